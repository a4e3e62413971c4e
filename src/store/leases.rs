//! [`Leases`]: the leases of all commands, as others see them: what the live ones hold, and what the
//! dead ones left.
//!
//! A lease is dead when it can be locked. Whoever clears a dead one away keeps it locked meanwhile, and
//! removes its file last, so that being killed in between leaves a dead lease again.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::vocab::digest::Digest;

use super::error::{StoreError, io_error};
use super::lease::is_at;

/// The leases of a store.
#[derive(Debug)]
pub(super) struct Leases {
    pub(super) dir: PathBuf,
    /// Where each has a directory of its own for temporary files.
    pub(super) tmp: PathBuf,
}

/// What one lease was found to be.
enum Found {
    /// Its command runs; the file, for reading.
    Alive(File),
    /// Its command was killed; nobody else takes it for dead while this file is open.
    Dead(File),
    /// Its command has ended meanwhile.
    Gone,
}

impl Leases {
    /// All that live leases hold. It is complete while the gate is closed (see [`lease`](super::lease)).
    pub(super) fn held(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut held = HashSet::new();
        for path in entries(&self.dir)? {
            if let Found::Alive(mut file) = find(&path)? {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
                let text = String::from_utf8_lossy(&bytes);
                held.extend(text.lines().filter_map(|line| Digest::from_hex(line).ok()));
            }
        }
        Ok(held)
    }

    /// Clears away the dead leases and their temporary files, and counts what was in their directories.
    pub(super) fn sweep(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for path in entries(&self.dir)? {
            let Found::Dead(file) = find(&path)? else { continue };
            let tmp = self.tmp_of(&path);
            for leftover in entries(&tmp)? {
                remove(&leftover)?;
                count += 1;
            }
            remove(&tmp)?;
            // Only who has it locked removes it, so what is at the path now stays there.
            if is_at(&file, &path) {
                remove(&path)?;
            }
        }
        Ok(count)
    }

    /// Counts what [`Leases::sweep`] would.
    pub(super) fn dead(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for path in entries(&self.dir)? {
            if let Found::Dead(_file) = find(&path)? {
                count += entries(&self.tmp_of(&path))?.len();
            }
        }
        Ok(count)
    }

    /// What is among the temporary files and of no lease: trees of failed builds that were to be kept.
    pub(super) fn orphans(&self) -> Result<Vec<PathBuf>, StoreError> {
        // A command makes its lease before its directory, and removes it after that.
        let mut orphans = entries(&self.tmp)?;
        orphans.retain(|path| !path.file_name().is_some_and(|name| self.dir.join(name).exists()));
        Ok(orphans)
    }

    /// The directory for the temporary files of the lease at `path`.
    pub(super) fn tmp_of(&self, path: &Path) -> PathBuf {
        self.tmp.join(path.file_name().unwrap_or_default())
    }
}

fn find(path: &Path) -> Result<Found, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Gone),
        result => result.map_err(io_error("open", path))?,
    };
    match file.try_lock() {
        Ok(()) if is_at(&file, path) => Ok(Found::Dead(file)),
        Ok(()) => Ok(Found::Gone),
        Err(TryLockError::WouldBlock) => Ok(Found::Alive(file)),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// What is in the directory `dir`; nothing when there is none.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<_> { fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(io_error("list", dir)),
    }
}

/// Removes the file or directory at `path`, which another process may do too.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    let gone = fs::symlink_metadata(path).and_then(|metadata| {
        if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    });
    match gone {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(io_error("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::Lease;
    use super::*;

    fn leases(dir: &Path) -> Leases {
        let leases = Leases { dir: dir.join("leases"), tmp: dir.join("tmp") };
        fs::create_dir(&leases.dir).unwrap();
        fs::create_dir(&leases.tmp).unwrap();
        leases
    }

    fn count(dir: &Path) -> usize {
        entries(dir).unwrap().len()
    }

    #[test]
    fn what_live_leases_hold_is_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let leases = leases(dir.path());
        let begin = || Lease::begin(&leases, dir.path().join("lock")).unwrap();
        let digests = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        let (first, second) = (begin(), begin());
        first.hold(&digests[..2]).unwrap();
        first.hold(&digests[1..2]).unwrap();
        second.hold(&digests[1..]).unwrap();
        assert_eq!(leases.held().unwrap(), digests.into());
        let clone = second.clone();
        drop((first, second));
        assert_eq!(leases.held().unwrap(), digests[1..].iter().copied().collect());
        drop(clone);
        assert_eq!(leases.held().unwrap(), HashSet::new());
        assert_eq!((count(&leases.dir), count(&leases.tmp)), (0, 0));
    }

    #[test]
    fn a_cut_line_spoils_no_other_one() {
        let dir = tempfile::tempdir().unwrap();
        let leases = leases(dir.path());
        let lease = Lease::begin(&leases, dir.path().join("lock")).unwrap();
        let digest = Digest::of(b"whole");
        let path = entries(&leases.dir).unwrap().remove(0);
        let mut text = format!("\n{}\n{}", Digest::of(b"a").hex(), &digest.hex()[..30]);
        text.push_str(&format!("\n{}", digest.hex()));
        fs::write(path, text).unwrap();
        assert_eq!(leases.held().unwrap(), [Digest::of(b"a"), digest].into());
        drop(lease);
    }

    #[test]
    fn only_what_dead_leases_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let leases = leases(dir.path());
        let alive = Lease::begin(&leases, dir.path().join("lock")).unwrap();
        fs::write(alive.tmp_dir().join("half"), "").unwrap();
        // What a killed command leaves: a file that nobody has locked, and a directory.
        fs::write(leases.dir.join("run-killed"), Digest::of(b"x").hex()).unwrap();
        fs::create_dir_all(leases.tmp.join("run-killed/build/tree")).unwrap();
        fs::write(leases.tmp.join("run-killed/log"), "").unwrap();
        fs::create_dir(leases.tmp.join("run-kept")).unwrap();

        assert_eq!(leases.held().unwrap(), HashSet::new());
        assert_eq!(leases.dead().unwrap(), 2);
        assert_eq!(leases.orphans().unwrap(), [leases.tmp.join("run-kept")]);
        assert_eq!(leases.sweep().unwrap(), 2);
        assert_eq!(leases.sweep().unwrap(), 0);
        assert_eq!((count(&leases.dir), count(&leases.tmp)), (1, 2));
        assert!(alive.tmp_dir().join("half").exists());
    }

    #[test]
    fn what_is_left_in_a_lease_on_purpose_is_nobodys_then() {
        let dir = tempfile::tempdir().unwrap();
        let leases = leases(dir.path());
        let lease = Lease::begin(&leases, dir.path().join("lock")).unwrap();
        let tree = lease.tmp_dir().join("tree");
        fs::create_dir(&tree).unwrap();
        drop(lease);
        assert_eq!(leases.sweep().unwrap(), 0);
        assert!(tree.exists());
        assert_eq!(leases.orphans().unwrap(), [tree.parent().unwrap()]);
    }

    /// Many begin leases while others take what is not yet locked for dead.
    #[test]
    fn a_lease_that_has_begun_is_never_swept() {
        let dir = tempfile::tempdir().unwrap();
        let leases = leases(dir.path());
        let begin = || Lease::begin(&leases, dir.path().join("lock")).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sweepers = [(); 2].map(|()| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        leases.sweep().unwrap();
                    }
                })
            });
            let workers = [0_u32, 1].map(|worker| {
                let begin = &begin;
                let leases = &leases;
                scope.spawn(move || {
                    for n in 0..200_u32 {
                        let lease = begin();
                        let digest = Digest::of(&[worker.to_le_bytes(), n.to_le_bytes()].concat());
                        lease.hold(&[digest]).unwrap();
                        assert!(lease.tmp_dir().is_dir());
                        assert!(leases.held().unwrap().contains(&digest), "{worker}, {n}");
                    }
                })
            });
            let ended = workers.map(std::thread::ScopedJoinHandle::join);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            for worker in ended {
                worker.unwrap();
            }
            for sweeper in sweepers {
                sweeper.join().unwrap();
            }
        });
    }
}
