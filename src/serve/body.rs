//! [`Body`]: the bytes of a response while they are sent.
//!
//! A blob is read piece by piece on threads where reading may block, a piece at a time, so that a
//! slow client holds one piece in memory and not the wheel.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

/// The size of a piece in bytes.
const PIECE: u64 = 128 * 1024;

/// What is told when a blob cannot be read to its end.
type OnFault = Box<dyn Fn(&io::Error) + Send + Sync>;

/// The bytes of a response.
pub(super) enum Body {
    /// All of them at once.
    Bytes(Bytes),
    /// A part of a file.
    File(FilePart),
}

/// A part of an open file, from its next byte on.
pub(super) struct FilePart {
    file: Arc<File>,
    at: u64,
    end: u64,
    read: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    on_fault: OnFault,
}

/// Why a blob is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlobFault {
    /// It is not there.
    #[error("it is not in the store any more")]
    Missing,
    /// It is not of its size.
    #[error("it has {found} bytes in the store, and should have {size}")]
    Size {
        /// The size that it had, in bytes.
        size: u64,
        /// The size that it has.
        found: u64,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
}

impl FilePart {
    /// Opens the file at `path`, which must have `size` bytes, and reads the first piece of the
    /// `length` bytes from `first` on. Blocks.
    pub(super) fn open(
        path: &Path,
        size: u64,
        first: u64,
        length: u64,
        on_fault: OnFault,
    ) -> Result<Self, BlobFault> {
        let file = open_blob(path, size)?;
        let end = first + length;
        let read = (length > 0).then(|| piece(&file, first, end)).transpose();
        let read = read.map_err(BlobFault::Read)?;
        Ok(Self { file: Arc::new(file), at: first, end, read, reading: None, on_fault })
    }
}

/// Opens the file at `path`, which must have `size` bytes. Blocks.
pub(super) fn open_blob(path: &Path, size: u64) -> Result<File, BlobFault> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BlobFault::Missing),
        result => result.map_err(BlobFault::Read)?,
    };
    let found = file.metadata().map_err(BlobFault::Read)?.len();
    if found == size { Ok(file) } else { Err(BlobFault::Size { size, found }) }
}

/// The next piece of a file.
fn piece(file: &File, at: u64, end: u64) -> io::Result<Bytes> {
    let length = PIECE.min(end - at);
    let mut buffer = vec![0; usize::try_from(length).expect("a piece is small")];
    file.read_exact_at(&mut buffer, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it has become shorter"),
        _ => error,
    })?;
    Ok(buffer.into())
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(part) => {
                part.poll_piece(context).map(|piece| piece.map(|p| p.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Body {
    fn left(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(part) => part.end - part.at,
        }
    }
}

impl FilePart {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        let piece = match self.read.take() {
            Some(piece) => Ok(piece),
            None => {
                let reading = self.reading.get_or_insert_with(|| {
                    let (file, at, end) = (Arc::clone(&self.file), self.at, self.end);
                    tokio::task::spawn_blocking(move || piece(&file, at, end))
                });
                let read = ready!(Pin::new(reading).poll(context));
                self.reading = None;
                read.map_err(io::Error::other).flatten()
            }
        };
        match &piece {
            Ok(piece) => self.at += piece.len() as u64,
            Err(error) => {
                // The length that was promised is not kept, so the connection breaks, and no client
                // takes what it got for the whole.
                (self.on_fault)(error);
                self.at = self.end;
            }
        }
        Poll::Ready(Some(piece))
    }
}
