//! [`Blobs`]: blobs on this machine, by digest, wherever their bytes stand.
//!
//! A blob is a file, a window of an archive, bytes in memory, or a layer of wheels or of a file tree that is
//! made as it is read: no second copy of it is ever on disk. Whether bytes are what their digest says
//! is for those to check who take them.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tempfile::TempPath;
use tokio::sync::mpsc;

use crate::store::Store;
use crate::store::layout::Layout;
use crate::vocab::digest::Digest;
use crate::wheel::file::WheelFile;

use super::error::{ImageError, io_error};
use super::gzip::StoredGzip;
use super::layer::Layer;
use super::tree_layer::TreeLayer;

/// The bytes of a blob, piece by piece.
pub(super) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ImageError>> + Send>>;

/// How many bytes are handed on at once.
const PIECE: usize = 256 * 1024;
/// How many pieces wait for the one who takes them.
const WAITING: usize = 4;

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In a file, or in a window of one.
    File(WheelFile),
    /// In a layer of wheels in this store.
    Layer(Arc<Layer>, Store),
    /// In such a layer, wrapped in gzip.
    Gzip(Arc<Layer>, Store),
    /// In a layer of a file tree.
    Tree(Arc<TreeLayer>),
    /// In memory.
    Bytes(Bytes),
}

impl Place {
    /// How many bytes there are, where that is known before they are read.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.len()),
            Self::Layer(layer, _) => Some(layer.size()),
            Self::Gzip(..) => None,
            Self::Tree(layer) => Some(layer.size()),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Writes all bytes to `out`, whose errors are worded by `refused`.
    ///
    /// # Errors
    /// [`ImageError`] when the bytes cannot be read, and what `refused` makes of an error of `out`.
    pub(super) fn write_to(
        &self,
        out: &mut dyn Write,
        refused: &dyn Fn(io::Error) -> ImageError,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        match self {
            Self::Layer(layer, store) => layer.pour(store, out, refused, progress),
            Self::Gzip(layer, store) => {
                let mut gzip = StoredGzip::new(out);
                layer.pour(store, &mut gzip, refused, progress)?;
                gzip.finish().map_err(refused)
            }
            Self::Tree(layer) => layer.write_to(out, refused, progress),
            Self::Bytes(bytes) => {
                out.write_all(bytes).map_err(refused)?;
                progress(bytes.len() as u64);
                Ok(())
            }
            Self::File(file) => copy_file(file, 0, out, refused, progress),
        }
    }

    /// The bytes in `span`, read on a thread of their own as they are asked for.
    pub(super) fn stream(&self, span: Range<u64>) -> ByteStream {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let place = self.clone();
        tokio::task::spawn_blocking(move || {
            let (from, left) = (span.start, span.end.saturating_sub(span.start));
            let mut pipe = Pipe { sender: &sender, skip: from, left, piece: BytesMut::new() };
            // Who takes the pieces has gone away then, and needs no error.
            let gone = |error| ImageError::Read { what: "a blob".into(), source: error };
            let read = match &place {
                Place::File(file) => {
                    pipe.skip = 0;
                    copy_file(file, from, &mut pipe, &gone, &|_| {})
                }
                place => place.write_to(&mut pipe, &gone, &|_| {}),
            };
            let done = read.and_then(|()| pipe.flush().map_err(gone));
            // Who has all that is wanted stops there, by an error.
            if let Err(error) = done
                && pipe.left > 0
            {
                let _ = sender.blocking_send(Err(error));
            }
        });
        Box::pin(futures::stream::poll_fn(move |context| receiver.poll_recv(context)))
    }

    /// When the bytes turned out not to be what their digest says: names the wheel that is to blame,
    /// where one is.
    pub(super) fn blame(&self) -> Result<(), ImageError> {
        match self {
            Self::Layer(layer, store) | Self::Gzip(layer, store) => layer.check(store),
            Self::File(_) | Self::Tree(_) | Self::Bytes(_) => Ok(()),
        }
    }
}

fn copy_file(
    file: &WheelFile,
    from: u64,
    out: &mut dyn Write,
    refused: &dyn Fn(io::Error) -> ImageError,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), ImageError> {
    let failed = |error| io_error("read", file.path())(error);
    let mut reader = file.reader().map_err(failed)?;
    reader.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut buffer = vec![0; PIECE];
    let mut left = file.len().saturating_sub(from);
    while left > 0 {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(failed)?,
        };
        out.write_all(&buffer[..count]).map_err(refused)?;
        progress(count as u64);
        left -= count as u64;
    }
    Ok(())
}

/// Hands what is written on in pieces: so many bytes, after so many that are not wanted.
struct Pipe<'a> {
    sender: &'a mpsc::Sender<Result<Bytes, ImageError>>,
    skip: u64,
    left: u64,
    piece: BytesMut,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        let wanted = &bytes[skipped..];
        let taken = usize::try_from(self.left).map_or(wanted.len(), |left| left.min(wanted.len()));
        self.left -= taken as u64;
        self.piece.extend_from_slice(&wanted[..taken]);
        if self.piece.len() >= PIECE || self.left == 0 {
            self.flush()?;
        }
        if self.left == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Blobs on this machine, by digest.
#[derive(Debug, Clone, Default)]
pub(super) struct Blobs {
    origin: String,
    places: BTreeMap<Digest, Place>,
    /// Has more of them.
    layout: Option<Layout>,
    /// A file for the time being, which some are in.
    _kept: Option<Arc<TempPath>>,
}

impl Blobs {
    /// The blobs of `origin`, none yet.
    #[must_use]
    pub(super) fn of(origin: &str) -> Self {
        Self { origin: origin.to_owned(), ..Self::default() }
    }

    /// Those of a layout, as they are asked for.
    #[must_use]
    pub(super) fn in_layout(origin: &str, layout: Layout) -> Self {
        Self { layout: Some(layout), ..Self::of(origin) }
    }

    /// The same, with a file that they are in and that goes with them.
    #[must_use]
    pub(super) fn keeping(self, kept: Option<Arc<TempPath>>) -> Self {
        Self { _kept: kept, ..self }
    }

    /// What has them.
    #[must_use]
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Adds a blob.
    pub(super) fn insert(&mut self, digest: Digest, place: Place) {
        self.places.insert(digest, place);
    }

    /// Adds bytes, and says their digest.
    pub(super) fn insert_bytes(&mut self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.insert(digest, Place::Bytes(bytes));
        digest
    }

    /// Where a blob is; none when it is not here.
    #[must_use]
    pub(super) fn get(&self, digest: &Digest) -> Option<Place> {
        if let Some(place) = self.places.get(digest) {
            return Some(place.clone());
        }
        let path = self.layout.as_ref()?.path(digest);
        WheelFile::open(&path).ok().map(Place::File)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::super::testing::set;
    use super::*;
    use crate::image::layer::{Content, Member};
    use crate::image::safe;

    #[tokio::test]
    async fn a_stream_begins_where_it_is_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let set = set(&store);
        let members = set.wheels.iter().map(|wheel| Member {
            path: safe(wheel.filename.as_str()),
            content: Content::Blob { digest: wheel.digest, size: wheel.size },
        });
        let layer = Arc::new(Layer::sorted(members.collect(), 0));
        let mut tar = Vec::new();
        layer.pour(&store, &mut tar, &|error| panic!("{error}"), &|_| {}).unwrap();
        let file = WheelFile::open(&store.path(&set.wheels[1].digest)).unwrap();
        let wheel = fs_err::read(file.path()).unwrap();
        for (place, bytes) in [
            (Place::Bytes(Bytes::from_static(b"some bytes")), b"some bytes".to_vec()),
            (Place::Layer(layer, store), tar),
            (Place::File(file), wheel),
        ] {
            let (half, end) = (bytes.len() / 2, bytes.len());
            for span in [0..end, 1..end, half..end, end..end, 0..1, 1..half, half..half + 1] {
                let wanted = span.start as u64..span.end as u64;
                let pieces: Vec<Bytes> = place.stream(wanted).try_collect().await.unwrap();
                assert!(pieces.concat() == bytes[span.clone()], "{span:?}");
            }
        }
    }
}
