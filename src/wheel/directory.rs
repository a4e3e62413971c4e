//! [`DirectorySink`]: writes entries below a directory.
//!
//! Nothing is overwritten and no link is followed below the root: a file that is already there is an
//! error, and so is a link where a directory should be.

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::tree::{Content, Sink, TreeEntry};
use crate::vocab::safe_path::SafePath;

/// Writes below `root`. Several sinks may write below one root at the same time, each its own files.
#[derive(Debug)]
pub struct DirectorySink {
    root: PathBuf,
    made: HashSet<SafePath>,
}

impl DirectorySink {
    /// A sink that writes below `root`, which is created if need be.
    ///
    /// # Errors
    /// When the root is not a directory and cannot become one.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(root)?;
        Ok(Self { root: root.to_owned(), made: HashSet::new() })
    }

    fn make_parents(&mut self, path: &SafePath) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.made.contains(&parent) {
            return Ok(());
        }
        self.make_parents(&parent)?;
        let directory = parent.under(&self.root);
        match fs_err::create_dir(&directory) {
            // The mode is fixed, whatever the umask of who runs this.
            Ok(()) => fs_err::set_permissions(&directory, PermissionsExt::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs_err::symlink_metadata(&directory)?.is_dir() {
                    return Err(io::Error::new(
                        io::ErrorKind::NotADirectory,
                        format!("`{}` is not a directory", directory.display()),
                    ));
                }
            }
            Err(error) => return Err(error),
        }
        self.made.insert(parent);
        Ok(())
    }
}

impl Sink for DirectorySink {
    fn entry(&mut self, entry: &TreeEntry, bytes: &[u8]) -> io::Result<()> {
        self.make_parents(&entry.path)?;
        let path = entry.path.under(&self.root);
        if let Content::Symlink(target) = &entry.content {
            return symlink(target, &path);
        }
        // `create_new` is O_EXCL, which neither overwrites nor follows a link.
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(entry.mode)
            .open(&path)?;
        file.write_all(bytes)?;
        file.set_permissions(PermissionsExt::from_mode(entry.mode))
    }
}
