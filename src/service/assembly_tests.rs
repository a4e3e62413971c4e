//! Tests of environments as layers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::build::interpreter::Interpreter;
use crate::image::offered::LocatedWheel;
use crate::service::environment::{Installation, Visible};
use crate::service::prefix::{Existing, Prefix, install};
use crate::service::root::unpack::unpack;
use crate::support::wheel::WheelMaker;
use crate::wheel::file::WheelFile;

const PLACE: &str = "var/lib/openstack";

/// Bytes that are those of no other wheel, as many as a layer of its own needs.
fn noise(seed: &str, count: usize) -> Vec<u8> {
    let mut noise = Vec::new();
    while noise.len() < count {
        noise.extend(Digest::of(format!("{seed}{}", noise.len()).as_bytes()).as_bytes());
    }
    noise
}

fn located(dir: &Path, wheel: &WheelMaker) -> LocatedWheel {
    let path = dir.join(wheel.filename());
    fs_err::write(&path, wheel.bytes()).unwrap();
    let file = WheelFile::open(&path).unwrap();
    LocatedWheel { filename: wheel.filename().parse().unwrap(), file, sha256: None }
}

/// A large wheel of a family that has a file in common.
fn large(name: &str) -> WheelMaker {
    WheelMaker::new(name, "1")
        .file("xstatic/__init__.py", "# shared\n")
        .file(&format!("{name}/data.bin"), noise(name, 300 << 10))
}

/// The wheels with whether they were asked for, planned; `work` sees the plan.
fn planned<T>(
    wheels: &[(WheelMaker, bool)],
    prefix: &Path,
    work: impl FnOnce(&PlannedEnvironment, &[Installation<'_>], &Interpreter) -> T,
) -> T {
    let dir = tempfile::tempdir().unwrap();
    let located: Vec<_> = wheels.iter().map(|(wheel, _)| located(dir.path(), wheel)).collect();
    let installations: Vec<_> = located
        .iter()
        .zip(wheels)
        .map(|(wheel, (_, requested))| Installation {
            wheel,
            requested: *requested,
            direct_url: None,
        })
        .collect();
    let python = Interpreter::probe(Path::new("python3")).unwrap();
    let environment =
        PlannedEnvironment::plan(prefix, &python, Visible::System, &installations).unwrap();
    work(&environment, &installations, &python)
}

fn cut(wheels: &[(WheelMaker, bool)], depth: usize) -> Vec<EnvironmentLayer> {
    let there = ["var", "var/lib"].map(|path| path.parse().unwrap()).into();
    planned(wheels, Path::new("/var/lib/openstack"), |environment, _, _| {
        layers(environment, &PLACE.parse().unwrap(), &there, depth, 0)
    })
}

#[test]
fn large_wheels_are_the_same_in_any_company() {
    let recipes = |wheels: &[(WheelMaker, bool)]| -> BTreeMap<String, Digest> {
        cut(wheels, 1).into_iter().map(|layer| (layer.comment, layer.tree.recipe())).collect()
    };
    let one = recipes(&[(large("aaa"), false), (large("bbb"), false)]);
    let other = recipes(&[(large("bbb"), false), (WheelMaker::new("small", "1"), false)]);
    for comment in ["bbb-1-py3-none-any.whl", "a Python environment"] {
        assert_eq!(one[comment], other[comment], "{comment}");
    }
    assert!(other.contains_key("1 small wheel"), "{other:?}");
}

#[test]
fn what_was_asked_for_comes_last_and_there_are_never_too_many() {
    let mut wheels = vec![(large("nova"), true)];
    wheels.extend((0..70).map(|n| (large(&format!("dep{n}")), false)));
    let shallow = cut(&wheels, 1);
    assert_eq!(shallow.last().unwrap().comment, "nova-1-py3-none-any.whl");
    assert!(shallow.len() <= 1 + MOST_ALONE + SHARED, "{}", shallow.len());
    for depth in [1, 60, 110, 500] {
        let count = cut(&wheels, depth).len();
        assert!(depth + count + 3 <= 125 || depth > 100 && count <= 1 + SHARED, "{depth} {count}");
    }
}

/// Every path below `root`, with what it is: kind, mode, target and bytes.
fn listing(root: &Path) -> BTreeMap<String, (u32, Option<String>, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let mode = metadata.permissions().mode();
            if metadata.is_symlink() {
                let target = fs_err::read_link(&path).unwrap().to_str().unwrap().to_owned();
                found.insert(name, (0, Some(target), Vec::new()));
            } else if metadata.is_dir() {
                found.insert(name, (mode, None, Vec::new()));
                open.push(path);
            } else {
                found.insert(name, (mode, None, fs_err::read(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn layers_have_what_an_installation_has() {
    let wheels = [
        (large("nova").entry_points("[console_scripts]\nnova-manage = nova:main\n"), true),
        (large("aaa"), false),
        (WheelMaker::new("b.small", "2").file("b.small-2.data/data/etc/b.conf", "[x]\n"), false),
        (WheelMaker::new("c", "3").file("xstatic/__init__.py", "# shared\n"), false),
    ];
    let dir = tempfile::tempdir().unwrap();
    // Scripts name the place they are planned for, so both are planned for one.
    let prefix = dir.path().join("installed");
    planned(&wheels, &prefix, |environment, installations, python| {
        let place =
            Prefix { path: prefix.clone(), existing: Existing::Keep, visible: Visible::System };
        let installed = install(&place, python, installations, &|_| {}).unwrap();
        assert_eq!(installed.files, environment.files());
        let layers = layers(environment, &PLACE.parse().unwrap(), &BTreeSet::new(), 1, 0);
        let root = dir.path().join("root");
        fs_err::create_dir(&root).unwrap();
        let tars: Vec<_> = layers.iter().map(|layer| layer.tree.reader().unwrap()).collect();
        unpack(tars, &root).unwrap();
        let (assembled, installed) = (listing(&root.join(PLACE)), listing(&prefix));
        let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&assembled), names(&installed));
        assert!(assembled == installed);
        assert!(installed.contains_key("bin/nova-manage") && installed.contains_key("etc/b.conf"));
    });
}
