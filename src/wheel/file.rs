//! [`WheelFile`]: a wheel's bytes, wherever they stand.
//!
//! A wheel is a file of its own, or a window of one: a member of an uncompressed tar or layer is
//! read in place. Nothing is mapped into memory, for a file that shrinks under a map is a crash, and
//! nothing is held open: a set has more wheels than a process may open files.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::vocab::digest::Digest;

/// Where the bytes of a wheel are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelFile {
    path: Arc<Path>,
    offset: u64,
    length: u64,
}

impl WheelFile {
    /// The whole of the file at `path`.
    ///
    /// # Errors
    /// When it is not there or not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), offset: 0, length: length_of(path)? })
    }

    /// `length` bytes of the file at `path`, from byte `offset` on.
    ///
    /// # Errors
    /// When the file is not there, not a regular file or ends before the window does.
    pub fn window(path: &Path, offset: u64, length: u64) -> io::Result<Self> {
        let whole = length_of(path)?;
        if offset.checked_add(length).is_none_or(|end| end > whole) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "`{}` ends at byte {whole}, before the {length} bytes at {offset}",
                    path.display()
                ),
            ));
        }
        Ok(Self { path: path.into(), offset, length })
    }

    /// `length` of these bytes, from byte `offset` on.
    ///
    /// # Errors
    /// When they end before the part does.
    pub fn part(&self, offset: u64, length: u64) -> io::Result<Self> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it ends at byte {}, before the {length} bytes at {offset}", self.length),
            ));
        }
        Ok(Self { path: Arc::clone(&self.path), offset: self.offset + offset, length })
    }

    /// The number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The path of the file that holds the bytes, perhaps among others.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` with the bytes from `offset` on. Each call opens the file: for more than one,
    /// a reader is cheaper.
    ///
    /// # Errors
    /// When there are fewer bytes than the buffer takes, or the file cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reader()?.read_at(offset, buffer)
    }

    /// Opens the file and returns a reader over all bytes, at their start.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reader(&self) -> io::Result<WheelReader> {
        let file = Arc::new(fs_err::File::open(&*self.path)?);
        Ok(WheelReader { file, offset: self.offset, length: self.length, position: 0 })
    }

    /// The SHA-256 of the bytes.
    ///
    /// # Errors
    /// When the file cannot be read or has become shorter.
    pub fn digest(&self) -> io::Result<Digest> {
        let (digest, length) = Digest::of_reader(self.reader()?)?;
        if length == self.length { Ok(digest) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

fn length_of(path: &Path) -> io::Result<u64> {
    let metadata = fs_err::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is not a regular file", path.display()),
        ));
    }
    Ok(metadata.len())
}

/// The open bytes of a [`WheelFile`]; what is beyond them does not exist. A clone shares the open
/// file and has a position of its own, so that threads may read at once.
#[derive(Debug, Clone)]
pub struct WheelReader {
    file: Arc<fs_err::File>,
    offset: u64,
    length: u64,
    position: u64,
}

impl WheelReader {
    /// The number of bytes.
    pub(super) const fn len(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` with the bytes from `offset` on, wherever the position is.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.file().read_exact_at(buffer, self.offset + offset)
    }
}

impl Read for WheelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let at = self.offset.saturating_add(self.position);
        let got = self.file.file().read_at(&mut buffer[..wanted], at)?;
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for WheelReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tar");
        fs_err::write(&path, b"head-wheel-tail").unwrap();
        let wheel = WheelFile::window(&path, 5, 5).unwrap();
        assert_eq!((wheel.len(), wheel.path()), (5, path.as_path()));
        assert_eq!(wheel.digest().unwrap(), Digest::of(b"wheel"));
        let mut text = String::new();
        let mut reader = wheel.reader().unwrap();
        reader.seek(SeekFrom::End(-3)).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "eel");
        let mut two = [0; 2];
        wheel.read_at(3, &mut two).unwrap();
        assert_eq!(&two, b"el");
        assert!(wheel.read_at(4, &mut two).is_err());
        let part = wheel.part(1, 3).unwrap();
        assert_eq!(part.digest().unwrap(), Digest::of(b"hee"));
        assert!(wheel.part(3, 3).is_err() && wheel.part(u64::MAX, 2).is_err());
        assert!(wheel.read_at(u64::MAX, &mut two).is_err());
        assert!(reader.seek(SeekFrom::Current(-9)).is_err());
    }

    #[test]
    fn refuses_windows_past_the_end_and_directories() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("short");
        fs_err::write(&path, b"1234").unwrap();
        assert!(WheelFile::window(&path, 0, 4).is_ok());
        assert!(WheelFile::window(&path, 2, 3).is_err());
        assert!(WheelFile::window(&path, u64::MAX, 2).is_err());
        assert!(WheelFile::open(directory.path()).is_err());
    }
}
