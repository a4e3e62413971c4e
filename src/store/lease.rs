//! [`Lease`]: what one running command counts on, written down where `gc` reads it.
//!
//! Each opened [`Store`](super::Store) has a lease: a file in `loci/leases/` that it keeps locked
//! (`flock`), and a directory in `loci/tmp/` of the same name for its temporary files. Into the file goes
//! the digest of every blob, and of every build environment, that the command has asked for or written.
//! The kernel drops the lock when the command ends in whatever way, so a lease that can be locked is
//! dead: it holds nothing, and its temporary files are nobody's (see `leases`).
//!
//! # Why nothing is deleted that somebody counts on
//!
//! A digest is recorded *before* its blob is looked for, and before a new blob gets its name; and it is
//! recorded inside the gate (`loci/lock`, locked by all who are inside together, and closed by one alone).
//! `gc` closes the gate, and while it is closed, in this order,
//!
//! 1. reads all live leases,
//! 2. reads the names (`index.json`) and what they lead to,
//! 3. moves away every blob that neither holds.
//!
//! So a record is made either before the gate is closed, and then `gc` reads it, or after it is open
//! again, and then the look that follows sees what is left: there is no moment between "it is there" and
//! "it is held". A name is written while the lease of its writer still holds all that it leads to. Leases
//! are read before names, so that a command which names something and ends meanwhile is seen by the one
//! or by the other.
//!
//! A blob gets its name inside the gate too, for whoever closes it is sure that a file it has looked at is
//! not replaced: [`verify`](super::verify) sets aside only what it has read.
//!
//! A digest is recorded once: a second look at it costs a look into a table in memory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{NamedTempFile, TempPath};

use crate::vocab::digest::Digest;

use super::error::{StoreError, io_error};
use super::file::temporary_in;
use super::gate::{Gate, Inside};
use super::leases::Leases;

/// Holds what was recorded in it until its last clone is dropped, or the process ends in whatever way.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gate: Gate,
    tmp: PathBuf,
    // Before the file, which is unlocked when it is closed: a lease that is there and can be locked is
    // one whose command was killed.
    path: TempPath,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    file: File,
    digests: HashSet<Digest>,
}

impl Lease {
    /// Begins a lease among `leases`, with the gate at `gate`.
    pub(super) fn begin(leases: &Leases, gate: PathBuf) -> Result<Self, StoreError> {
        let gate = Gate::open(gate)?;
        loop {
            let file = temporary_in(&leases.dir, "run-")?;
            if let Some((file, path, tmp)) = settle(file, leases)? {
                let held = Mutex::new(Held { file, digests: HashSet::new() });
                return Ok(Self(Arc::new(Inner { gate, tmp, path, held })));
            }
        }
    }

    /// Holds what `digests` name, whether it is there or not: a look after this one stays true.
    pub(super) fn hold(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for digest in digests.iter().filter(|digest| !held.digests.contains(digest)) {
            // The line end comes first, so that a line that a full disk has cut spoils no other one.
            text.push('\n');
            text.push_str(&digest.hex());
        }
        if text.is_empty() {
            return Ok(());
        }
        let inside = self.0.gate.enter()?;
        held.file.write_all(text.as_bytes()).map_err(io_error("write", &self.0.path))?;
        drop(inside);
        held.digests.extend(digests);
        Ok(())
    }

    /// Keeps the gate open: until this is dropped nothing is deleted and nothing set aside.
    pub(super) fn enter(&self) -> Result<Inside<'_>, StoreError> {
        self.0.gate.enter()
    }

    /// The directory for this command's temporary files.
    pub(super) fn tmp_dir(&self) -> &Path {
        &self.0.tmp
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What was left in it on purpose, the tree of a build that failed, stays until `gc`.
        let _ = fs::remove_dir(&self.tmp);
    }
}

/// Locks a new lease's file and makes its directory. None when somebody who clears away dead leases has
/// found the file before it was locked, or when the name is taken by what an earlier command left.
fn settle(
    file: NamedTempFile,
    leases: &Leases,
) -> Result<Option<(File, TempPath, PathBuf)>, StoreError> {
    let (file, path) = file.into_parts();
    file.lock().map_err(io_error("lock", &path))?;
    if !is_at(&file, &path) {
        return Ok(None);
    }
    let tmp = leases.tmp_of(&path);
    match fs::create_dir(&tmp) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        result => result.map_err(io_error("create", &tmp))?,
    }
    Ok(Some((file, path, tmp)))
}

/// Whether `path` leads to the file that `file` is, and not to another one, or to none.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
