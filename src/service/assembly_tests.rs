//! Tests of environments as layers: what shares a layer, and that nothing is lost or added on the way.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::*;
use crate::build::interpreter::Interpreter;
use crate::image::offered::LocatedWheel;
use crate::service::environment::{Basis, Installation, Visible};
use crate::service::prefix::{self, Existing, Prefix};
use crate::service::root::unpack::unpack;
use crate::support::wheel::WheelMaker;
use crate::wheel::file::WheelFile;

const PREFIX: &str = "var/lib/openstack";

fn interpreter() -> &'static Interpreter {
    static PYTHON: OnceLock<Interpreter> = OnceLock::new();
    PYTHON.get_or_init(|| Interpreter::probe(Path::new("python3")).unwrap())
}

/// A wheel of some bytes more than this many.
fn wheel(name: &str, size: usize) -> WheelMaker {
    WheelMaker::new(name, "1.0").file(&format!("{name}.bin"), name.repeat(size / name.len() + 1))
}

/// One of a family whose wheels all bring the same two files.
fn xstatic(name: &str, size: usize) -> WheelMaker {
    let shared = "__import__('pkg_resources').declare_namespace(__name__)\n";
    wheel(name, size).file("xstatic/__init__.py", shared).file("xstatic/pkg/__init__.py", shared)
}

/// Wheels that are there for as long as this is.
struct Wheels {
    located: Vec<LocatedWheel>,
    _dir: TempDir,
}

impl Wheels {
    fn of(makers: &[WheelMaker]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let located = makers.iter().map(|maker| {
            let path = dir.path().join(maker.filename());
            fs::write(&path, maker.bytes()).unwrap();
            let (filename, file) = (maker.filename().parse().unwrap(), WheelFile::open(&path));
            LocatedWheel { filename, file: file.unwrap(), sha256: None }
        });
        Self { located: located.collect(), _dir: dir }
    }

    /// Their installations; the first was asked for.
    fn installations(&self) -> Vec<Installation<'_>> {
        let wheels = self.located.iter().enumerate();
        wheels
            .map(|(at, wheel)| Installation { wheel, requested: at == 0, direct_url: None })
            .collect()
    }

    fn planned(&self, prefix: &Path) -> PlannedEnvironment {
        let wheels = self.installations();
        PlannedEnvironment::plan(prefix, interpreter(), Basis::New(Visible::Own), &wheels).unwrap()
    }
}

fn there() -> BTreeSet<SafePath> {
    ["etc", "var", "var/lib"].map(|path| path.parse().unwrap()).into()
}

fn cut(makers: &[WheelMaker], depth: usize) -> Vec<EnvironmentLayer> {
    let environment = Wheels::of(makers).planned(&Path::new("/").join(PREFIX));
    layers(&environment, &PREFIX.parse().unwrap(), &RootFacts::default(), &there(), depth, 0)
}

/// The recipe of each layer, by what history says of it.
fn recipes(layers: &[EnvironmentLayer]) -> BTreeMap<&str, Digest> {
    layers.iter().map(|layer| (&*layer.comment, layer.tree.recipe())).collect()
}

#[test]
fn a_large_wheel_is_the_same_layer_in_every_environment() {
    const LARGE: usize = 300 << 10;
    let shared = ["xstatic_a", "xstatic_b", "xstatic_c"];
    let large: Vec<_> = shared.iter().map(|name| xstatic(name, LARGE)).collect();
    // Another service, and another wheel of the family that takes the shared files first.
    let keystone = [&[wheel("keystone", LARGE)][..], &large].concat();
    let family = [&[wheel("horizon", 10), xstatic("xstatic_0", 10)][..], &large[1..]].concat();
    let (one, two) = (cut(&keystone, 1), cut(&family, 3));
    let (one, two) = (recipes(&one), recipes(&two));
    for name in &shared[1..] {
        let file = format!("{name}-1.0-py3-none-any.whl");
        assert_eq!(one[&*file], two[&*file], "{name}");
    }
    assert_eq!(one["a Python environment"], two["a Python environment"]);
    assert!(one.contains_key("xstatic_a-1.0-py3-none-any.whl"));
}

#[test]
fn directories_of_the_base_keep_their_modes() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("var/lib")).unwrap();
    fs::set_permissions(base.path().join("var/lib"), PermissionsExt::from_mode(0o750)).unwrap();
    let facts = RootFacts::read(base.path()).unwrap();
    let environment = Wheels::of(&[wheel("x", 10)]).planned(&Path::new("/").join(PREFIX));
    let there = facts.directories();
    for layer in layers(&environment, &PREFIX.parse().unwrap(), &facts, &there, 1, 0) {
        // By an engine that unpacks each layer by itself.
        let alone = tempfile::tempdir().unwrap();
        unpack([layer.tree.reader().unwrap()], alone.path()).unwrap();
        let found = fs::metadata(alone.path().join("var/lib")).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o750, "{}", layer.comment);
    }
}

#[test]
fn small_wheels_stand_together_by_name() {
    let small: Vec<_> = (0..40).map(|n| wheel(&format!("small{n}"), 50)).collect();
    let all = [&[wheel("nova", 300 << 10)][..], &small].concat();
    let layers = cut(&all, 1);
    let comments: Vec<_> = layers.iter().map(|layer| &*layer.comment).collect();
    assert_eq!(comments.first(), Some(&"a Python environment"));
    assert_eq!(comments.last(), Some(&"nova-1.0-py3-none-any.whl"));
    let shared = &comments[1..comments.len() - 1];
    assert!((2..=6).contains(&shared.len()), "{comments:?}");
    assert!(shared.iter().all(|comment| comment.ends_with(" small wheels")), "{comments:?}");
    // Another release of one of them is in the same company, and takes no other layer along.
    let mut newer = all.clone();
    newer[7] = WheelMaker::new("small6", "2.0");
    let before: BTreeSet<_> = layers.iter().map(|layer| layer.tree.recipe()).collect();
    let after: BTreeSet<_> = cut(&newer, 1).iter().map(|layer| layer.tree.recipe()).collect();
    assert_eq!(before.difference(&after).count(), 1);
    assert_eq!(cut(&newer, 1).len(), layers.len());
}

#[test]
fn no_image_has_too_many_layers() {
    let large: Vec<_> = (0..70).map(|n| wheel(&format!("large{n}"), 300 << 10)).collect();
    let all = [&[wheel("nova", 300 << 10)][..], &large].concat();
    for (depth, most) in [(1, 64), (60, 54), (90, 24), (105, 9), (110, 8), (usize::MAX / 2, 8)] {
        let count = cut(&all, depth).len();
        assert!(count <= most, "{count} layers upon {depth}");
    }
    // Those that are the largest are alone, whatever they are called.
    let sizes = [("b", 400), ("a", 300), ("d", 500), ("c", 600)];
    let some: Vec<_> = sizes.iter().map(|(name, size)| wheel(name, size << 10)).collect();
    let comments: Vec<_> = cut(&[&[wheel("nova", 900 << 10)][..], &some].concat(), 103)
        .iter()
        .map(|layer| layer.comment.clone())
        .filter(|comment| comment.ends_with(".whl"))
        .collect();
    let expected =
        ["c-1.0-py3-none-any.whl", "d-1.0-py3-none-any.whl", "nova-1.0-py3-none-any.whl"];
    assert_eq!(comments, expected);
}

/// Mode and content, or a link's target, of everything below `root`; a `/` in place of the content of a directory.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if meta.is_dir() {
                open.push(path.clone());
                b"/".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, (meta.permissions().mode() & 0o7777, content));
        }
    }
    found
}

#[test]
fn layers_make_what_installing_makes() {
    let dir = tempfile::tempdir().unwrap();
    // Whole below a directory, for scripts name the place they are at.
    let place = fs::canonicalize(dir.path()).unwrap().join("installed");
    let makers = [
        wheel("nova", 100)
            .entry_points("[console_scripts]\nnova-manage = nova:main\n")
            .file("nova-1.0.data/scripts/run", "#!python\n")
            .file("nova-1.0.data/data/etc/nova/nova.conf", "x")
            .file("README", "nova's"),
        xstatic("xstatic_a", 300 << 10),
        xstatic("xstatic_b", 300 << 10),
        xstatic("xstatic_c", 10),
        wheel("other", 10).file("README", "another one's").file_with_mode(
            "other/run.sh",
            "",
            0o755,
        ),
        // All is another one's, and its layer must not bring what was left out.
        wheel("worse", 300 << 10).file("README", "the worst").file("xstatic/__init__.py", "no"),
    ];
    let prefix = Prefix { path: place.clone(), existing: Existing::Keep, visible: Visible::Own };
    let wheels = Wheels::of(&makers);
    let installations = wheels.installations();
    let installed = prefix::install(&prefix, interpreter(), &installations, &|_| {}).unwrap();
    let environment = wheels.planned(&place);
    assert_eq!(environment.files(), installed.files);
    assert_eq!(environment.collisions, installed.collisions);
    assert_eq!(installed.collisions.len(), 3, "{:?}", installed.collisions);

    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let layers = layers(
        &environment,
        &"env".parse().unwrap(),
        &RootFacts::default(),
        &BTreeSet::new(),
        1,
        0,
    );
    let tars = layers.iter().map(|layer| layer.tree.reader().unwrap());
    unpack(tars, &root).unwrap();
    let (assembled, installed) = (tree(&root.join("env")), tree(&place));
    assert!(assembled.keys().eq(installed.keys()), "{:?}", assembled.keys());
    for (path, expected) in &installed {
        assert!(&assembled[path] == expected, "`{path}` differs");
    }
}

#[test]
fn wheels_that_exclude_each_other_are_refused_before_anything_is_written() {
    let wheels = Wheels::of(&[
        WheelMaker::new("file", "1.0").file("shared", ""),
        WheelMaker::new("folder", "1.0").file("shared/module.py", ""),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prefix");
    let prefix = Prefix { path, existing: Existing::Keep, visible: Visible::Own };
    let error =
        prefix::install(&prefix, interpreter(), &wheels.installations(), &|_| {}).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        error.to_string(),
        "cannot install `file-1.0-py3-none-any.whl` and `folder-1.0-py3-none-any.whl` side by side"
    );
    assert!(source.ends_with(
        "site-packages/shared` is a file in `file-1.0-py3-none-any.whl` and a directory in `folder-1.0-py3-none-any.whl`"
    ), "{source}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}
