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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::wheel::WheelMaker;
    use crate::wheel::fixture::plan;

    fn entry(path: &str, mode: u32) -> TreeEntry {
        TreeEntry { path: path.parse().unwrap(), mode, content: Content::Bytes(Vec::new()) }
    }

    #[test]
    fn writes_modes_and_links() {
        let root = tempfile::tempdir().unwrap();
        let mut sink = DirectorySink::new(&root.path().join("a/b")).unwrap();
        plan(&WheelMaker::new("foo", "1").file_with_mode("x/tool", "t", 0o755))
            .unwrap()
            .emit(&mut sink)
            .unwrap();
        let site = root.path().join("a/b/lib/python3.11/site-packages");
        let mode = |path: &str| {
            fs_err::symlink_metadata(site.join(path)).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!((mode("foo.py"), mode("x/tool"), mode("x")), (0o644, 0o755, 0o755));
        let mut link = entry("l", 0o777);
        link.content = Content::Symlink("lib".into());
        sink.entry(&link, b"").unwrap();
        assert_eq!(fs_err::read_link(root.path().join("a/b/l")).unwrap(), Path::new("lib"));
    }

    #[test]
    fn overwrites_nothing_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs_err::write(root.path().join("file"), "mine").unwrap();
        symlink(outside.path(), root.path().join("link")).unwrap();
        symlink(outside.path().join("new"), root.path().join("dangling")).unwrap();
        let mut sink = DirectorySink::new(root.path()).unwrap();
        for path in ["file", "file/x", "link/x", "link/y/z", "dangling"] {
            let error = sink.entry(&entry(path, 0o644), b"theirs").unwrap_err();
            assert!(!error.to_string().is_empty(), "{path}");
        }
        assert_eq!(fs_err::read(root.path().join("file")).unwrap(), b"mine");
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    }
}
