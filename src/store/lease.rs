//! [`Lease`]: the right to count on what is in the store, and its opposite, the right to delete.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::{StoreError, io_error};

/// Holds the store's lock until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct Lease {
    // The lock belongs to the open file; closing it lets go.
    _file: File,
}

impl Lease {
    /// Shares the lock with other commands; waits while another holds it exclusively.
    pub(crate) fn shared(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        file.lock_shared().map_err(io_error("lock", path))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock for this command alone, without waiting: a build may run for hours.
    pub(crate) fn exclusive(path: &Path, root: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::Busy { root: root.to_owned(), pids: holders(&file) })
            }
            Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
        }
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io_error("open", path))
}

/// The processes that hold a lock on `file`, as `/proc/locks` tells (proc(5)); none where it doesn't.
fn holders(file: &File) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let Ok(inode) = file.metadata().map(|metadata| metadata.ino()) else { return Vec::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            // `1: FLOCK  ADVISORY  READ 4711 fe:00:1234567 0 EOF`
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, "FLOCK", _, _, pid, place, ..] = fields[..] else { return None };
            let same = place.rsplit(':').next()?.parse() == Ok(inode);
            same.then(|| pid.parse().ok()).flatten()
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_shared_and_deleting_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lease::shared(&path).unwrap();
        let second = Lease::shared(&path).unwrap();
        let error = Lease::exclusive(&path, Path::new("/store")).unwrap_err().to_string();
        assert!(error.starts_with("another loci command uses the store `/store`"), "{error}");
        drop((first, second));
        Lease::exclusive(&path, dir.path()).unwrap();
    }
}
