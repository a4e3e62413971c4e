//! A private root: a directory in which everything is in place for the [first process](super::first) of one.
//!
//! `unshare(1)` makes the namespaces. Nothing is mounted where anybody else sees it, and nothing stays: the namespaces
//! end when loci closes the pipe that is that process' input, as the kernel does for it when it is killed. The network
//! is the host's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{RootError, io_error};
use super::first::{Bind, FirstProcess};
use super::inside::follow;

/// A root in which everything is in place that is mounted upon. What was made for that goes with it.
pub(super) struct Prepared {
    first: FirstProcess,
    made: Vec<PathBuf>,
}

impl Prepared {
    pub(super) fn new(root: &Path, binds: &[Bind]) -> Result<Self, RootError> {
        let first = FirstProcess {
            root: root.to_owned(),
            mounts: Default::default(),
            binds: Vec::new(),
            command: Vec::new(),
        };
        let mut prepared = Self { first, made: Vec::new() };
        for (at, name) in ["proc", "dev"].into_iter().enumerate() {
            let place =
                follow(root, Path::new(name)).map_err(io_error("find", &root.join(name)))?;
            prepared.directory(&place).map_err(io_error("create", &place))?;
            prepared.first.mounts[at] = place;
        }
        for Bind { from, to } in binds {
            let place = follow(root, to).map_err(io_error("find", &root.join(to)))?;
            if !prepared.first.mounts.iter().any(|mounted| place.starts_with(mounted)) {
                let made =
                    if from.is_dir() { prepared.directory(&place) } else { prepared.file(&place) };
                made.map_err(io_error("create", &place))?;
            }
            prepared.first.binds.push(Bind { from: from.clone(), to: place });
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
        let command = std::iter::once(program).chain(arguments.iter().map(String::as_str));
        let command = command.map(OsString::from).collect();
        FirstProcess { command, ..self.first.clone() }.arguments()
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
