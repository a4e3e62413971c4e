//! [`Difference`]: what has become different in a root since a [`Snapshot`], as paths.
//!
//! A directory in which something changed is left out as long as it is itself what it was.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{RootError, io_error};
use super::leftovers::{Fate, Leftovers};
use super::snapshot::{Kind, Seen, Snapshot, look};

/// The changes in a root, in the order in which a layer has them: a directory before what is in it, and in a
/// directory what is removed before all else (OCI image layer specification, "Whiteouts").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    changes: Vec<Change>,
}

/// A path that has become different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    path: PathBuf,
    how: How,
}

/// How a path has become different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was not there.
    Added,
    /// It is another file, or who may use it is different.
    Changed,
    /// It is not there any more, nor is anything below it.
    Removed,
}

impl Change {
    /// The path, relative to the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it has become different.
    #[must_use]
    pub fn how(&self) -> How {
        self.how
    }

    /// The components of the path, each with what it is sorted by.
    fn key(&self) -> impl Iterator<Item = (bool, &OsStr)> {
        let mut components = self.path.iter().peekable();
        std::iter::from_fn(move || {
            let component = components.next()?;
            let is_whiteout = self.how == How::Removed && components.peek().is_none();
            Some((!is_whiteout, component))
        })
    }
}

impl Difference {
    /// What is different below `root` from what `snapshot` saw there, once its leftovers are removed.
    ///
    /// # Errors
    /// [`RootError::Io`] when something cannot be looked at or removed.
    pub fn settle(
        snapshot: &Snapshot,
        root: &Path,
        leftovers: &Leftovers,
    ) -> Result<Self, RootError> {
        let (old, mut new) = (&snapshot.seen, look(root)?);
        let is_still = |path: &Path, seen: &Seen| old.get(path).is_some_and(|o| seen.is_still(o));
        // What is in a directory goes before it.
        let changed: Vec<PathBuf> =
            new.iter().rev().filter(|(p, s)| !is_still(p, s)).map(|(p, _)| p.clone()).collect();
        for path in changed {
            let place = root.join(&path);
            match leftovers.fate(&path, old.get(&path), new.get(&path)) {
                Fate::Kept | Fate::Ignored => {}
                Fate::Emptied => fs::write(&place, "").map_err(io_error("empty", &place))?,
                Fate::Removed => {
                    if remove(&place, new[&path].kind)? {
                        new.remove(&path);
                    }
                }
            }
        }
        new.retain(|_, seen| seen.kind != Kind::Other);
        let fate = |path: &Path| leftovers.fate(path, old.get(path), new.get(path));
        Ok(Self::between(old, &new, &|path| fate(path) == Fate::Ignored))
    }

    fn between(
        old: &BTreeMap<PathBuf, Seen>,
        new: &BTreeMap<PathBuf, Seen>,
        is_ignored: &dyn Fn(&Path) -> bool,
    ) -> Self {
        let mut changes = Vec::new();
        for (path, seen) in new {
            let how = match old.get(path) {
                Some(earlier) if seen.is_still(earlier) => continue,
                Some(_) => How::Changed,
                None => How::Added,
            };
            if !is_ignored(path) {
                changes.push(Change { path: path.clone(), how });
            }
        }
        for (path, seen) in old {
            if new.contains_key(path) || seen.kind == Kind::Other || is_ignored(path) {
                continue;
            }
            // What was below something that went, or that is no directory any more, went with it.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let has_parent = parent.is_none_or(|parent| {
                new.get(parent).is_some_and(|parent| parent.kind == Kind::Directory)
            });
            if has_parent {
                changes.push(Change { path: path.clone(), how: How::Removed });
            }
        }
        changes.sort_by(|a, b| a.key().cmp(b.key()));
        Self { changes }
    }

    /// The changes, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Removes what is at `path`; whether it is gone.
fn remove(path: &Path, kind: Kind) -> Result<bool, RootError> {
    let removed = match kind {
        // What is in it is something that is kept, or mounted there.
        Kind::Directory => return Ok(fs::remove_dir(path).is_ok()),
        Kind::File | Kind::Link | Kind::Other => fs::remove_file(path),
    };
    match removed {
        // Something that is still running has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        // Something is mounted there after all.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        other => other.map(|()| true).map_err(io_error("remove", path)),
    }
}
