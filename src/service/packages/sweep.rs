//! [`sweep`]: what package managers leave behind is removed from a root.
//!
//! Their caches, indexes, logs, and what was before their last change; the bytecode that Python made of
//! modules that came with packages, which it makes again where it may; and what tells one machine from another.
//! Directories stay.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::service::root::error::RootError;
use crate::service::root::ignored::{is_bytecode, is_identity};
use crate::service::root::inside::follow;

/// Files, and directories below which no file stays. A star at the end is any ending.
const LEFT: [&str; 23] = [
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "var/cache/apt",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/dnf",
    "var/cache/ldconfig/aux-cache",
    "var/cache/libdnf5",
    "var/cache/yum",
    "var/cache/zypp",
    "var/lib/apt/lists",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/status-old",
    "var/log/alternatives.log",
    "var/log/apt",
    "var/log/dnf*",
    "var/log/dpkg.log",
    "var/log/hawkey.log",
    "var/log/yum.log",
    "var/log/zypp*",
];

/// Removes what is left from `root`, and what it has made since `before`.
pub(super) fn sweep(root: &Path, before: &Made) -> Result<(), RootError> {
    for path in LEFT {
        let path = Path::new(path);
        let parent = path.parent().unwrap_or(path);
        let folder = found(follow(root, parent), &root.join(path))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(start) = name.strip_suffix('*') else {
            remove_files(&folder.join(name))?;
            continue;
        };
        for entry in list(&folder)? {
            let entry = found(entry, &folder)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(start)) {
                remove_files(&entry.path())?;
            }
        }
    }
    before.remove_later(root)
}

/// What is made in a root and not brought by packages: bytecode and keys, with the number and time by which each is
/// known again. What was there before is somebody's own and stays.
#[derive(Debug, Default)]
pub(super) struct Made {
    files: BTreeMap<PathBuf, (u64, i64, i64)>,
}

impl Made {
    pub(super) fn of(root: &Path) -> Result<Self, RootError> {
        let mut files = BTreeMap::new();
        let mut folders = ["usr", "etc", "var/lib/dbus"].map(|folder| root.join(folder)).to_vec();
        while let Some(folder) = folders.pop() {
            for entry in list(&folder)? {
                let entry = found(entry, &folder)?;
                let path = entry.path();
                let inside = path.strip_prefix(root).unwrap_or(&path);
                if found(entry.file_type(), &path)?.is_dir() {
                    folders.push(path);
                } else if is_bytecode(inside) || is_identity(inside) {
                    let metadata = found(entry.metadata(), &path)?;
                    let changed = (metadata.ctime(), metadata.ctime_nsec());
                    files.insert(path, (metadata.ino(), changed.0, changed.1));
                }
            }
        }
        Ok(Self { files })
    }

    /// Removes what was not there, and the directories that are empty without it.
    fn remove_later(&self, root: &Path) -> Result<(), RootError> {
        for (path, id) in Self::of(root)?.files {
            if self.files.get(&path) != Some(&id) {
                found(fs::remove_file(&path), &path)?;
                if let Some(folder) = path.parent().filter(|folder| folder.ends_with("__pycache__"))
                {
                    // One that still has something in it refuses.
                    let _ = fs::remove_dir(folder);
                }
            }
        }
        Ok(())
    }
}

/// Removes a file, or all files below a directory. Links are not followed.
fn remove_files(path: &Path) -> Result<(), RootError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            for entry in list(path)? {
                remove_files(&self::found(entry, path)?.path())?;
            }
            Ok(())
        }
        Ok(_) => found(fs::remove_file(path), path),
        Err(error) if is_nothing(&error) => Ok(()),
        Err(error) => found(Err(error), path),
    }
}

/// What is in a directory; nothing when there is none.
fn list(path: &Path) -> Result<impl Iterator<Item = io::Result<fs::DirEntry>>, RootError> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if is_nothing(&error) => Ok(None.into_iter().flatten()),
        Err(error) => found(Err(error), path),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn found<T>(result: io::Result<T>, path: &Path) -> Result<T, RootError> {
    let path = path.to_owned();
    result.map_err(|source| RootError::Io { act: "clean up", path, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn leftovers_go_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let write = |path: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        };
        let module = "usr/lib/python3/dist-packages/a.py";
        let [old, new] = ["a", "b"].map(|name| {
            format!("usr/lib/python3/dist-packages/__pycache__/{name}.cpython-311.pyc")
        });
        let kept = [
            module,
            &old,
            "etc/ssh/ssh_host_rsa_key",
            "etc/passwd",
            "var/cache/debconf/config.dat",
            "var/log/svc/log",
        ];
        kept.iter().for_each(|path| write(path));
        fs::write(dir.path().join("outside"), "").unwrap();
        let before = Made::of(&root).unwrap();
        let gone = [
            &*new,
            "usr/share/tool/__pycache__/x.pyc",
            "etc/passwd-",
            "etc/machine-id",
            "etc/ssh/ssh_host_ecdsa_key",
            "var/cache/apt/archives/partial/x.deb",
            "var/cache/apt/pkgcache.bin",
            "var/lib/apt/lists/a_Packages",
            "var/log/apt/history.log",
            "var/log/dnf.librepo.log",
        ];
        gone.iter().for_each(|path| write(path));
        symlink("../../../..", root.join("var/cache/apt/out")).unwrap();
        symlink("../../..", root.join("var/log/zypp")).unwrap();

        sweep(&root, &before).unwrap();
        for path in kept {
            assert!(root.join(path).is_file(), "{path}");
        }
        for path in gone {
            assert!(!root.join(path).exists(), "{path}");
        }
        assert!(root.join("var/cache/apt/archives/partial").is_dir());
        assert!(!root.join("usr/share/tool/__pycache__").exists());
        assert!(dir.path().join("outside").is_file());
        // There need be nothing.
        let empty = tempfile::tempdir().unwrap();
        sweep(empty.path(), &Made::of(empty.path()).unwrap()).unwrap();
    }
}
