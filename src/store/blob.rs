//! [`BlobWriter`]: a blob while its bytes arrive.
//!
//! The one way bytes come into a layout: a temporary file, hashed as it grows, synced, then renamed
//! to its digest. Reading is the layout's business.

use std::io::{self, Write};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use crate::vocab::digest::{Digest, Hasher};

use super::error::StoreError;
use super::file::{rename, sync};
use super::lease::Lease;

/// A blob while its bytes arrive. Dropped before it is committed, it leaves nothing.
pub struct BlobWriter {
    file: NamedTempFile,
    hasher: Hasher,
    written: u64,
    blobs: PathBuf,
    /// Of the store that the blob is for; none of another layout, where nobody deletes.
    lease: Option<Lease>,
}

impl BlobWriter {
    pub(super) fn new(file: NamedTempFile, blobs: PathBuf, lease: Option<Lease>) -> Self {
        Self { file, hasher: Hasher::new(), written: 0, blobs, lease }
    }

    /// The number of bytes so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Keeps the blob under the digest its bytes have, and says it with their number.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn commit(self) -> Result<(Digest, u64), StoreError> {
        let (digest, size) = self.hasher.clone().finish();
        self.keep(&digest)?;
        Ok((digest, size))
    }

    /// Keeps the blob if its bytes are what was announced, and says their number.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`], with nothing kept, when they are not; [`StoreError::Io`].
    pub fn commit_as(self, expected: &Digest) -> Result<u64, StoreError> {
        let (found, size) = self.hasher.clone().finish();
        if found != *expected {
            return Err(StoreError::Mismatch { expected: *expected, found });
        }
        self.keep(expected)?;
        Ok(size)
    }

    /// Syncs the bytes, so that after a power cut the name never shows less than all of them, then
    /// renames. The directory is synced before something *names* the blob (see
    /// [`names`](super::names)): a blob whose name is lost before that is obtained again. Where another
    /// writer was first, its equal bytes are replaced, which no reader notices and which mends a
    /// blob that was damaged. It is held before it has its name (see [`lease`](super::lease)).
    fn keep(self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blobs.join(digest.hex());
        sync(&self.file, &path)?;
        let Some(lease) = self.lease else { return rename(self.file, &path) };
        lease.hold(&[*digest])?;
        let _inside = lease.enter()?;
        rename(self.file, &path)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.as_file_mut().write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::layout::Layout;
    use super::*;

    fn count(dir: &Path) -> usize {
        fs_err::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_blob_is_kept_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let before = count(dir.path());

        let mut dropped = layout.writer().unwrap();
        dropped.write_all(b"half").unwrap();
        assert_eq!(dropped.written(), 4);
        drop(dropped);

        let mut wrong = layout.writer().unwrap();
        wrong.write_all(b"wrong").unwrap();
        let expected = Digest::of(b"right");
        let error = wrong.commit_as(&expected).unwrap_err();
        assert!(
            matches!(error, StoreError::Mismatch { found, .. } if found == Digest::of(b"wrong"))
        );

        assert_eq!(count(&layout.blobs_dir()), 0);
        assert_eq!(count(dir.path()), before);
    }

    #[test]
    fn losing_the_race_is_success() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let writers: Vec<_> = (0..3).map(|_| layout.writer().unwrap()).collect();
        for mut writer in writers {
            writer.write_all(b"same").unwrap();
            assert_eq!(writer.commit_as(&Digest::of(b"same")).unwrap(), 4);
        }
        assert_eq!(layout.read(&Digest::of(b"same")).unwrap(), b"same");
    }
}
