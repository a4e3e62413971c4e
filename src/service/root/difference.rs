//! [`Difference`]: what has become different in a root since a [`Snapshot`], as paths.
//!
//! Only what must be in a layer is there: a directory in which something changed is left out as long as it
//! is itself what it was, for its entry would replace the attributes that the base gave it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{RootError, io_error};
use super::ignored::{Ignored, is_bytecode};
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
    /// What is different below `root` from what `snapshot` saw there, but for what is ignored. Python's
    /// bytecode is never added; that of the base is removed where it was made anew.
    ///
    /// # Errors
    /// [`RootError::Io`] when something cannot be looked at.
    pub fn since(snapshot: &Snapshot, root: &Path, ignored: Ignored) -> Result<Self, RootError> {
        Ok(Self::between(&snapshot.seen, look(root)?, ignored))
    }

    fn between(
        old: &BTreeMap<PathBuf, Seen>,
        mut new: BTreeMap<PathBuf, Seen>,
        ignored: Ignored,
    ) -> Self {
        let is_as_before =
            |path: &Path, seen: &Seen| old.get(path).is_some_and(|earlier| seen.is_still(earlier));
        new.retain(|path, seen| !is_bytecode(path) || is_as_before(path, seen));
        let is_ignored = |path: &Path, seen: &Seen| ignored.has(path, seen.kind == Kind::Directory);

        let mut changes = Vec::new();
        for (path, seen) in &new {
            let how = match old.get(path) {
                Some(earlier) if seen.is_still(earlier) => continue,
                Some(_) => How::Changed,
                None => How::Added,
            };
            if !is_ignored(path, seen) {
                changes.push(Change { path: path.clone(), how });
            }
        }
        for (path, seen) in old {
            if new.contains_key(path) || is_ignored(path, seen) {
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

    /// Removes from `root` what has come since `snapshot` and would be left out of a difference: what is `ignored`, and
    /// Python's bytecode.
    ///
    /// # Errors
    /// [`RootError::Io`] when something cannot be looked at or removed.
    pub fn clear(snapshot: &Snapshot, root: &Path, ignored: Ignored) -> Result<(), RootError> {
        for (path, seen) in look(root)?.iter().rev() {
            let earlier = snapshot.seen.get(path);
            let is_left = match earlier {
                Some(earlier) => is_bytecode(path) && !seen.is_still(earlier),
                None => is_bytecode(path) || ignored.has(path, seen.kind == Kind::Directory),
            };
            if !is_left {
                continue;
            }
            let place = root.join(path);
            match seen.kind {
                // What stays in it is something that is kept, or mounted there.
                Kind::Directory => drop(fs::remove_dir(&place)),
                Kind::File | Kind::Link => {
                    match fs::remove_file(&place) {
                        // Something that is still running has removed it.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        other => other.map_err(io_error("remove", &place))?,
                    }
                }
            }
        }
        Ok(())
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
