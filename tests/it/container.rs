//! [`Container`]: a root file system of its own, as a Dockerfile's RUN has one: a tiny base made in code, changed into
//! within a mount namespace. The host's libraries are seen there, for loci is linked to them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use loci::service::root::unpack::unpack;
use loci::store::layout::Layout;
use serde_json::Value;

use crate::base_image::BaseMaker;
use crate::world::{Run, World, python};

/// Runs the words behind `--` in the root `$1`, with what stands before them bound to where it says. All of it is
/// seen by these words only. Nobody but root may read what they make, unless they say so.
const ENTER: &str = r#"
root=$1; shift
mount -t proc proc "$root/proc"
mount -o bind /dev "$root/dev"
while [ "$1" != -- ]; do mount -o bind "$1" "$root$2"; shift 2; done
shift
umask 077
exec chroot "$@"
"#;

/// Where libraries are; some may be links.
const LIBRARIES: [&str; 4] = ["lib", "lib64", "usr/lib", "usr/lib64"];

/// A root file system.
pub struct Container<'a> {
    world: &'a World,
    pub dir: PathBuf,
    binds: Vec<(PathBuf, PathBuf)>,
    variables: Vec<(&'static str, String)>,
    /// Options of `unshare` and `chroot`.
    pub ways: (&'static str, &'static str),
}

impl<'a> Container<'a> {
    /// The root that `base` is the image of, with loci and the set in it.
    pub fn new(world: &'a World, name: &str, base: &BaseMaker) -> Self {
        let dir = world.path(name);
        fs::create_dir(&dir).unwrap();
        unpack([&base.layer()[..]], &dir).unwrap();
        let mut made =
            Self { world, dir, binds: Vec::new(), variables: Vec::new(), ways: ("", "") };
        for name in LIBRARIES {
            let host = Path::new("/").join(name);
            match fs::read_link(&host) {
                Ok(target) => std::os::unix::fs::symlink(target, made.dir.join(name)).unwrap(),
                Err(_) if host.is_dir() => made.bind(&host, &host),
                Err(_) => {}
            }
        }
        made.bind(Path::new(env!("CARGO_BIN_EXE_loci")), Path::new("/usr/bin/loci"));
        made.bind(&world.path("set"), Path::new("/wheels"));
        made
    }

    /// Makes `from` seen at `to`.
    pub fn bind(&mut self, from: &Path, to: &Path) {
        let place = self.dir.join(to.strip_prefix("/").unwrap());
        if from.is_dir() {
            fs::create_dir_all(&place).unwrap();
        } else {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            File::create(&place).unwrap();
        }
        self.binds.push((from.to_owned(), to.to_owned()));
    }

    /// Makes the Python of these tests seen where it is, for what has to be built.
    pub fn with_python(mut self) -> Self {
        let executable = &python().executable;
        let output =
            Command::new(executable).args(["-c", "import sys; print(sys.base_prefix)"]).output();
        let prefix = PathBuf::from(String::from_utf8(output.unwrap().stdout).unwrap().trim());
        if prefix == Path::new("/usr") {
            // Its modules are among the libraries.
            self.bind(executable, executable);
        } else {
            self.bind(&prefix, &prefix);
        }
        self.with("LOCI_PYTHON", executable.to_str().unwrap())
    }

    /// With a variable, as a build argument is one.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    pub fn run(&self, words: &str) -> Run {
        let mut command = Command::new("unshare");
        command.args(["--mount"]).args(self.ways.0.split_whitespace());
        command.args(["sh", "-ec", ENTER, "sh"]).arg(&self.dir);
        for (from, to) in &self.binds {
            command.args([from, to]);
        }
        command.arg("--").args(self.ways.1.split_whitespace()).arg(&self.dir);
        command.args(words.split_whitespace());
        command.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LOCI_PROGRESS", "none"),
            ("PIP_INDEX_URL", "http://127.0.0.1:9/"),
            ("PIP_RETRIES", "0"),
        ]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.world.run(&mut command)
    }

    pub fn install(&self, words: &str) -> Run {
        self.run(&format!("loci install {words} --wheels dir:/wheels"))
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let path = self.dir.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.dir.join(path)).is_ok()
    }
}

/// Paths, and what is at each.
pub type Listing = BTreeMap<String, (String, Vec<u8>)>;

/// Everything in a root that is of an image: its kind, mode, owner, and content or target.
pub fn listing(root: &Path) -> Listing {
    // Where something is bound or mounted there is only a place for it.
    let is_other = |path: &str| {
        LIBRARIES.contains(&path)
            || ["dev", "proc", "wheels", "steps", "usr/bin/loci"].contains(&path)
    };
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let meta = fs::symlink_metadata(&path).unwrap();
            if is_other(&name) {
                continue;
            }
            let (kind, content) = if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                ("link", target.into_os_string().into_encoded_bytes())
            } else if meta.is_dir() {
                open.push(path);
                ("directory", Vec::new())
            } else {
                ("file", fs::read(&path).unwrap())
            };
            let mode = meta.permissions().mode() & 0o7777;
            found.insert(name, (format!("{kind} {mode:o} {}:{}", meta.uid(), meta.gid()), content));
        }
    }
    found
}

/// Unpacks an image that is in a layout.
pub fn unpacked(world: &World, dir: &str, tag: &str, to: &str) -> PathBuf {
    let layout = Layout::open(&world.path(dir)).unwrap();
    let named = layout.named(&tag.parse().unwrap()).unwrap();
    let digest = named.descriptor.digest().to_string().parse().unwrap();
    let manifest: Value = serde_json::from_slice(&layout.read(&digest).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter().map(|layer| {
        let digest: loci::vocab::digest::Digest =
            layer["digest"].as_str().unwrap().parse().unwrap();
        let blob = world.path(dir).join("blobs/sha256").join(digest.hex());
        BufReader::new(File::open(blob).unwrap())
    });
    let root = world.path(to);
    fs::create_dir(&root).unwrap();
    unpack(layers, &root).unwrap();
    root
}
