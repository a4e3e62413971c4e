//! Source trees: what a build works in, unpacked from an archive or copied from a directory.
//!
//! An archive is hostile until it is unpacked: names go through
//! [`SafePath`](crate::vocab::safe_path::SafePath), links may not lead out, devices are refused and
//! sizes are bounded. Every error names the entry.

pub(super) mod unpack;
pub(super) mod copy;
mod tree;

use std::io;
use std::path::PathBuf;

use crate::vocab::safe_path::SafePathError;

/// How much an archive may hold: far more than any real one, far less than a bomb.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries of every kind.
    pub entries: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 500_000, bytes: 8 << 30 }
    }
}

/// A source tree that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The archive cannot be read to its end.
    #[error("cannot read the source archive `{}`", archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive is no zip, or a broken one.
    #[error("cannot read the source archive `{}`", archive.display())]
    Zip {
        /// The archive.
        archive: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// An entry's name might leave the tree.
    #[error("the entry `{}` is refused", entry.escape_default())]
    Name {
        /// The name as the archive has it.
        entry: String,
        /// Why.
        #[source]
        source: SafePathError,
    },
    /// A link leads out of the tree.
    #[error("the entry `{entry}` links to `{}`, outside of the tree", target.escape_default())]
    Link {
        /// The link.
        entry: String,
        /// Where it leads.
        target: String,
    },
    /// A hard link to what is no file of the archive before it.
    #[error("the entry `{entry}` is a hard link to `{}`, which is no file before it", target.escape_default())]
    HardLink {
        /// The link.
        entry: String,
        /// Where it leads.
        target: String,
    },
    /// A device, a pipe, or something newer.
    #[error("the entry `{entry}` is neither a file, a directory nor a link")]
    Kind {
        /// The entry.
        entry: String,
    },
    /// One name for a file and for a directory.
    #[error("the entry `{entry}` is both a file and a directory")]
    Clash {
        /// The entry.
        entry: String,
    },
    /// More entries than any source archive has.
    #[error("the source archive holds more than {limit} entries")]
    Entries {
        /// [`Limits::entries`].
        limit: usize,
    },
    /// More bytes than any source archive has.
    #[error("the source archive unpacks to more than {limit} bytes, at the entry `{entry}`")]
    Bytes {
        /// The entry that goes over.
        entry: String,
        /// [`Limits::bytes`].
        limit: u64,
    },
    /// The tree cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory to copy cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
