//! [`Gate`]: the lock between counting on blobs and deleting them, and [`Only`], the lock that lets one
//! process at a time collect. Both are `flock`s on files of their own; what they mean together with
//! leases is said in [`lease`](super::lease).

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::{StoreError, io_error};

/// The gate of a store, as one command sees it. Any number of commands, and threads of them, are inside
/// at once, each for as long as one system call takes; whoever closes the gate is alone.
#[derive(Debug)]
pub(super) struct Gate {
    path: PathBuf,
    file: File,
    /// How many threads are inside. A `flock` belongs to the open file, which they share: the first one
    /// takes it and the last one lets go.
    inside: Mutex<usize>,
}

impl Gate {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self { file: open(&path)?, path, inside: Mutex::new(0) })
    }

    /// Goes in; waits while the gate is closed.
    pub(super) fn enter(&self) -> Result<Inside<'_>, StoreError> {
        let mut inside = self.count();
        if *inside == 0 {
            self.file.lock_shared().map_err(io_error("lock", &self.path))?;
        }
        *inside += 1;
        Ok(Inside { gate: self })
    }

    /// Closes the gate at `path`, once nobody is inside. The file is opened anew, so that the threads
    /// of this process stay out like all others: whoever has closed it must not go in.
    pub(super) fn close(path: &Path) -> Result<Closed, StoreError> {
        let file = open(path)?;
        file.lock().map_err(io_error("lock", path))?;
        Ok(Closed { _file: file })
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until it is dropped, the gate is not closed.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    gate: &'a Gate,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.count();
        *inside -= 1;
        if *inside == 0 {
            // It cannot fail on a file that is open; if it did, the end of the process would unlock it.
            let _ = self.gate.file.unlock();
        }
    }
}

/// Until it is dropped, or the process ends in whatever way, nobody is inside the gate.
#[derive(Debug)]
pub(super) struct Closed {
    // The lock belongs to the open file; closing it lets go.
    _file: File,
}

/// Until it is dropped, or the process ends in whatever way, no other one collects.
#[derive(Debug)]
pub(super) struct Only {
    _file: File,
}

impl Only {
    /// Takes the lock at `path` of the store at `root` without waiting: the other one does the same work.
    pub(super) fn take(path: &Path, root: &Path) -> Result<Self, StoreError> {
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
pub(super) mod testing {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::thread::ScopedJoinHandle;

    /// Waits until `work` stands at the gate, or has gone by, as far as the system tells.
    pub(in crate::store) fn wait_at_the_gate<T>(gate: &Path, work: &ScopedJoinHandle<'_, T>) {
        let inode = std::fs::metadata(gate).unwrap().ino().to_string();
        // `1: -> FLOCK  ADVISORY  READ 4711 fe:00:1234567 0 EOF` is one that waits (proc(5)).
        let locks = |waiting: bool| {
            let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
            text.lines().any(|line| {
                line.contains("->") == waiting
                    && line.split_whitespace().any(|word| word.rsplit(':').next() == Some(&inode))
            })
        };
        while !work.is_finished() && locks(false) && !locks(true) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a newcomer could close the gate now.
    fn is_free(path: &Path) -> bool {
        open(path).unwrap().try_lock().is_ok()
    }

    #[test]
    fn the_gate_is_free_once_the_last_one_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let gates = [Gate::open(path.clone()).unwrap(), Gate::open(path.clone()).unwrap()];
        let threads = [gates[0].enter().unwrap(), gates[0].enter().unwrap()];
        let other = gates[1].enter().unwrap();
        for inside in threads {
            assert!(!is_free(&path));
            drop(inside);
        }
        assert!(!is_free(&path));
        drop(other);
        let closed = Gate::close(&path).unwrap();
        assert!(open(&path).unwrap().try_lock_shared().is_err());
        drop(closed);
        let again = gates[0].enter().unwrap();
        assert!(!is_free(&path));
        drop(again);
        assert!(is_free(&path));
    }

    #[test]
    fn one_at_a_time_collects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gc");
        let first = Only::take(&path, dir.path()).unwrap();
        let error = Only::take(&path, Path::new("/store")).unwrap_err().to_string();
        assert!(error.starts_with("another `loci store gc` is at work in `/store`"), "{error}");
        drop(first);
        Only::take(&path, dir.path()).unwrap();
    }
}
