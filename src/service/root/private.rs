//! A private root: a command is chrooted in it, in namespaces where mounts and processes end with loci.
//!
//! `unshare(1)` makes the namespaces and `private.sh` is the first process in them. Nothing is mounted
//! where anybody else sees it, and nothing stays: the namespaces end when loci closes the pipe that is the
//! script's input, as the kernel does for it when it is killed. The network is the host's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{RootError, io_error};
use super::inside::follow;

const SCRIPT: &str = include_str!("private.sh");
/// What the script says when all is mounted.
pub(super) const READY: &str = "loci: the root is ready";

/// A file or directory of the host that is seen in a private root, and cannot be changed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) from: PathBuf,
    /// A path in the root.
    pub(super) to: PathBuf,
}

/// A root in which everything is in place that the script mounts upon. What was made for that goes with it.
pub(super) struct Prepared {
    arguments: Vec<OsString>,
    made: Vec<PathBuf>,
}

impl Prepared {
    pub(super) fn new(root: &Path, binds: &[Bind]) -> Result<Self, RootError> {
        let mut prepared = Self { arguments: vec![root.into()], made: Vec::new() };
        let mut mounted = Vec::new();
        for name in ["proc", "dev", "tmp", "run"] {
            let place =
                follow(root, Path::new(name)).map_err(io_error("find", &root.join(name)))?;
            prepared.directory(&place).map_err(io_error("create", &place))?;
            prepared.arguments.push(place.clone().into());
            mounted.push(place);
        }
        for Bind { from, to } in binds {
            let place = follow(root, to).map_err(io_error("find", &root.join(to)))?;
            if !mounted.iter().any(|mounted| place.starts_with(mounted)) {
                let made =
                    if from.is_dir() { prepared.directory(&place) } else { prepared.file(&place) };
                made.map_err(io_error("create", &place))?;
            }
            prepared.arguments.push(from.into());
            prepared.arguments.push(place.into());
        }
        Ok(prepared)
    }

    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<_> = path.ancestors().take_while(|path| !path.is_dir()).collect();
        for directory in missing.into_iter().rev() {
            fs::create_dir(directory)?;
            self.made.push(directory.to_owned());
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        self.directory(path.parent().unwrap_or(path))?;
        fs::File::create_new(path)?;
        self.made.push(path.to_owned());
        Ok(())
    }

    /// What is given to `unshare` so that it runs `program` in the root.
    pub(super) fn arguments(&self, program: &str, arguments: &[String]) -> Vec<OsString> {
        let mut line: Vec<OsString> = [
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--",
            "sh",
            "-c",
            SCRIPT,
            "loci",
        ]
        .map(OsString::from)
        .to_vec();
        line.extend(self.arguments.iter().cloned());
        line.push("--".into());
        line.push(program.into());
        line.extend(arguments.iter().map(OsString::from));
        line
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Only what is as it was made: whatever a command put there is its own.
        for path in self.made.iter().rev() {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_dir() => drop(fs::remove_dir(path)),
                Ok(found) if found.is_file() && found.len() == 0 => drop(fs::remove_file(path)),
                _ => {}
            }
        }
    }
}
