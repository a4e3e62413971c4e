//! [`InstallTree`]: what installing a wheel consists of, as a stream of entries for any [`Sink`].
//!
//! Planning decides everything: every path, mode, size and hash, RECORD included, from what the wheel
//! says of itself. Emitting inflates, holds each content against the hash that was planned, and hands
//! it on. So two sinks get the same entries and the same bytes.

use std::borrow::Cow;
use std::io;

use super::archive::WheelArchive;
use super::direct_url::DirectUrl;
use super::error::{Fault, WheelError};
use super::plan::plan;
use super::record::hash_text;
use super::scheme::Scheme;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

/// What is written, and with which mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Where, relative to the prefix.
    pub path: SafePath,
    /// Permission bits: 0o644, 0o755, or 0o777 for a link.
    pub mode: u32,
    /// What.
    pub content: Content,
}

/// Where an entry's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The archive's entry of this index, inflated when it is emitted.
    Archive(usize),
    /// These bytes.
    Bytes(Vec<u8>),
    /// No bytes: a symbolic link to this target.
    Symlink(String),
}

/// What the installer adds of its own.
#[derive(Debug, Clone)]
pub struct InstallOptions<'a> {
    /// Whether someone asked for the project by name (`REQUESTED`, PEP 376).
    pub requested: bool,
    /// Where it came from, when not from an index (PEP 610).
    pub direct_url: Option<DirectUrl>,
    /// The text of `INSTALLER`, without the line's end.
    pub installer: &'a str,
}

/// Takes the entries of a tree one by one.
pub trait Sink {
    /// Writes `entry`, whose content is `bytes` (none for a link).
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn entry(&mut self, entry: &TreeEntry, bytes: &[u8]) -> io::Result<()>;
}

/// A planned installation; sorted by path, RECORD last.
#[derive(Debug, Clone)]
pub struct InstallTree {
    archive: WheelArchive,
    entries: Vec<TreeEntry>,
    facts: Vec<Facts>,
}

/// What is known of an entry's bytes before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The SHA-256 of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
}

impl InstallTree {
    /// Decides where everything in `archive` goes. Files without a hash in RECORD are inflated to
    /// learn theirs, scripts with a `#!python` line to fill it in; all others are left for
    /// [`Self::emit`].
    ///
    /// # Errors
    /// [`WheelError`] naming the entry that has no place, would be overwritten, or is not what
    /// RECORD says.
    pub fn plan(
        archive: &WheelArchive,
        scheme: &Scheme,
        options: &InstallOptions<'_>,
    ) -> Result<Self, WheelError> {
        let (entries, facts) = plan(archive, scheme, options)?.into_iter().unzip();
        Ok(Self { archive: archive.clone(), entries, facts })
    }

    /// The entries, in the order they are emitted.
    #[must_use]
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entries with what is known of their bytes.
    pub fn contents(&self) -> impl Iterator<Item = (&TreeEntry, Facts)> {
        self.entries.iter().zip(self.facts.iter().copied())
    }

    /// What is known of the bytes of the entry at `index`.
    ///
    /// # Panics
    /// When there is no such entry.
    #[must_use]
    pub fn facts(&self, index: usize) -> Facts {
        self.facts[index]
    }

    /// Leaves out the entries `keep` is false for; RECORD still lists them, as files that are there
    /// by another wheel's doing.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&TreeEntry, Facts) -> bool) {
        let kept = std::mem::take(&mut self.entries)
            .into_iter()
            .zip(std::mem::take(&mut self.facts))
            .filter(|(entry, facts)| keep(entry, *facts));
        (self.entries, self.facts) = kept.unzip();
    }

    /// The bytes of the entry at `index`, held against what was planned; none for a link.
    ///
    /// # Errors
    /// When it cannot be inflated or is not what RECORD says.
    ///
    /// # Panics
    /// When there is no such entry.
    pub fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>, WheelError> {
        match &self.entries[index].content {
            Content::Archive(at) => {
                let source = &self.archive.entries()[*at];
                let inflated = self.archive.read(source)?;
                let (expected, found) = (self.facts[index].digest, Digest::of(&inflated));
                if found != expected {
                    let fault = Fault::RecordHash {
                        name: source.path.to_string(),
                        recorded: hash_text(&expected),
                        found: hash_text(&found),
                    };
                    return Err(fault.of(self.archive.filename()));
                }
                Ok(Cow::Owned(inflated))
            }
            Content::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Content::Symlink(_) => Ok(Cow::Borrowed(&[])),
        }
    }

    /// Gives every entry to `sink`, in order.
    ///
    /// # Errors
    /// When an entry cannot be inflated, is not what RECORD says or cannot be written; what the sink
    /// already took is the caller's to discard.
    pub fn emit(&self, sink: &mut dyn Sink) -> Result<(), WheelError> {
        for (index, entry) in self.entries.iter().enumerate() {
            let bytes = self.bytes(index)?;
            sink.entry(entry, &bytes).map_err(|source| {
                Fault::Write { path: entry.path.to_string(), source }.of(self.archive.filename())
            })?;
        }
        Ok(())
    }
}
