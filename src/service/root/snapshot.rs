//! [`Snapshot`]: what a root file system looks like at one moment, to be compared with later.
//!
//! Nothing is read but inodes: the kernel sets the time of an inode's last change itself (`ctime`), whatever
//! a program then does to its other times, so that no change goes unseen.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::time::{ClockId, clock_gettime};

use super::error::{RootError, io_error};

/// Everything below a root, by their paths in it; what is mounted there is left out.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) seen: BTreeMap<PathBuf, Seen>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    inode: u64,
    changed: (i64, i64),
    size: u64,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

/// What layers consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link,
    /// A device, fifo or socket, which no layer has.
    Other,
}

impl Snapshot {
    /// Looks at everything below `root`. When this returns, whatever changes next has a later time than all
    /// that was seen.
    ///
    /// # Errors
    /// [`RootError::Io`] when something cannot be looked at.
    pub fn of(root: &Path) -> Result<Self, RootError> {
        let snapshot = Self { seen: look(root)? };
        let newest = snapshot.seen.values().map(|seen| seen.changed).max();
        // Changes are timed by a clock that ticks every few milliseconds. Within the tick of the last change
        // another one would look the same, so that tick is waited for: one at most.
        while newest.is_some_and(|newest| newest == coarse_now()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(snapshot)
    }

    /// The number of paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether the root is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// The time that a change would have now.
fn coarse_now() -> (i64, i64) {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

/// Everything below `root` but what is mounted there.
pub(super) fn look(root: &Path) -> Result<BTreeMap<PathBuf, Seen>, RootError> {
    let mut seen = BTreeMap::new();
    let metadata = fs::symlink_metadata(root).map_err(io_error("look at", root))?;
    let device = metadata.dev();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let at = root.join(&folder);
        let failed = |error| io_error("list", &at)(error);
        let entries = match fs::read_dir(&at) {
            // Something that is still running in the root has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && at != root => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let path = folder.join(entry.file_name());
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(io_error("look at", &entry.path()))?,
            };
            if is_mounted(&entry.path(), || metadata.dev() != device) {
                continue;
            }
            let found = Seen::of(&metadata);
            if found.kind == Kind::Directory {
                folders.push(path.clone());
            }
            seen.insert(path, found);
        }
    }
    Ok(seen)
}

/// Whether something is mounted at `path`. A mount may be of the same file system, and an overlay has files of
/// others; where the kernel does not say (before Linux 5.8), `otherwise` does.
fn is_mounted(path: &Path, otherwise: impl FnOnce() -> bool) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        _ => otherwise(),
    }
}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_file() => Kind::File,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            kind,
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
        }
    }

    /// Whether this is what it was: of a directory only who may use it, for what is in it has paths of its own.
    pub(super) fn is_still(&self, earlier: &Self) -> bool {
        match (self.kind, earlier.kind) {
            (Kind::Directory, Kind::Directory) => {
                (self.mode, self.owner) == (earlier.mode, earlier.owner)
            }
            _ => self == earlier,
        }
    }

    /// One of this kind, for tests.
    #[cfg(test)]
    pub(super) fn some(kind: Kind) -> Self {
        Self { kind, inode: 0, changed: (0, 0), size: 0, mode: 0, owner: (0, 0) }
    }
}
