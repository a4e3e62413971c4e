//! [`BuildLog`]: what a build's processes print, with a heading before each.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::BuildError;
use crate::store::Store;
use crate::vocab::digest::Digest;

/// How much of the end of a log is read for its cause, in bytes.
const TAIL: u64 = 512 * 1024;

/// A log while it grows; any bytes.
pub(super) struct BuildLog {
    file: NamedTempFile,
}

impl BuildLog {
    pub(super) fn new(tmp: &Path) -> Result<Self, BuildError> {
        let file = tempfile::Builder::new()
            .prefix("log-")
            .append(true)
            .tempfile_in(tmp)
            .map_err(|source| BuildError::Io { path: tmp.into(), source })?;
        Ok(Self { file })
    }

    /// The file that processes append to.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Begins a section and says where. A log that cannot be written to loses a heading, no more.
    pub(super) fn heading(&mut self, text: &str) -> u64 {
        let _ = writeln!(self.file.as_file_mut(), "loci: {text}");
        self.file.as_file().metadata().map_or(0, |metadata| metadata.len())
    }

    /// The text from `start`, at most its last half MiB.
    pub(super) fn tail(&self, start: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(self.file.path())?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL))))?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// Keeps the log in the store; none when it is empty or the store is what failed.
    pub(super) fn keep(&self, store: &Store) -> Option<Digest> {
        let empty = self.file.as_file().metadata().map_or(true, |metadata| metadata.len() == 0);
        if empty { None } else { store.put_file(self.file.path()).ok() }
    }

    /// Keeps the log of a build that went well.
    pub(super) fn store(&self, store: &Store) -> Result<Digest, BuildError> {
        Ok(store.put_file(self.file.path())?)
    }
}
