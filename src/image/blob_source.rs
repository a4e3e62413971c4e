//! [`BlobSource`]: where an image's manifests and blobs come from: this machine, or a registry.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::vocab::digest::Digest;

use super::Progress;
use super::blobs::{Blobs, ByteStream, Place};
use super::download::Download;
use super::error::{ImageError, io_error};
use super::manifest::{BlobRef, Document, MOST_MANIFEST};
use super::registry::repository::Repository;
use super::remote_file::RemoteFile;

/// How often what came damaged is asked for again.
pub(super) const TRIES: usize = 3;

/// Where manifests and blobs come from.
#[derive(Debug, Clone)]
pub(super) enum BlobSource {
    /// From this machine.
    Local(Arc<Blobs>),
    /// From a registry.
    Registry(Repository),
}

impl BlobSource {
    /// The manifest or index that `reference` of `origin` points to, checked against its digest.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there, too large or damaged.
    pub(super) async fn document(
        &self,
        reference: &BlobRef,
        origin: &str,
    ) -> Result<Document, ImageError> {
        if reference.size > MOST_MANIFEST {
            let fault = format!(
                "names a manifest of {} bytes; none should be larger than {MOST_MANIFEST}",
                reference.size
            );
            return Err(ImageError::Image { origin: origin.into(), fault });
        }
        let document = match self {
            Self::Local(blobs) => {
                let mut bytes = Vec::new();
                let kept = |source| ImageError::Read { what: reference.digest.to_string(), source };
                blobs.place(reference)?.write_to(&mut bytes, &kept, &|_| {})?;
                Document::new(bytes, reference.media_type.clone())
            }
            Self::Registry(repository) => {
                let there = repository.manifest(&reference.digest.to_string()).await?;
                let mut document = there.ok_or_else(|| ImageError::LacksBlob {
                    origin: origin.into(),
                    digest: reference.digest,
                })?;
                if !reference.media_type.is_empty() {
                    document.reference.media_type.clone_from(&reference.media_type);
                }
                document
            }
        };
        let found = document.reference.digest;
        if found != reference.digest {
            let (origin, expected) = (origin.into(), reference.digest);
            return Err(ImageError::Blob { origin, expected, found });
        }
        Ok(document)
    }

    /// The bytes of a blob of `origin` that has no more than `most` of them, checked.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there, too large or damaged.
    pub(super) async fn small(
        &self,
        blob: &BlobRef,
        origin: &str,
        most: u64,
    ) -> Result<Vec<u8>, ImageError> {
        if blob.size > most {
            let fault = format!("has a blob {} that is larger than it should be", blob.digest);
            return Err(ImageError::Image { origin: origin.into(), fault });
        }
        let quiet: Progress = Arc::new(|_| {});
        let mut tries = TRIES;
        loop {
            let bytes = self.write_to(blob, Vec::new(), Path::new(origin), &quiet).await?;
            let found = Digest::of(&bytes);
            if found == blob.digest {
                return Ok(bytes);
            }
            tries -= 1;
            if tries == 0 {
                let (origin, expected) = (origin.into(), blob.digest);
                return Err(ImageError::Blob { origin, expected, found });
            }
        }
    }

    /// The bytes of `blob` in `span`.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there; more may come with the bytes.
    pub(super) async fn stream(
        &self,
        blob: &BlobRef,
        span: Range<u64>,
    ) -> Result<ByteStream, ImageError> {
        match self {
            Self::Local(blobs) => Ok(blobs.place(blob)?.stream(span)),
            Self::Registry(repository) => {
                let file = RemoteFile::Blob { repository: repository.clone(), blob: blob.clone() };
                Ok(pieces(file, span))
            }
        }
    }

    /// Writes all bytes of `blob` to `out`, a part of what is at `to`, and gives `out` back.
    ///
    /// # Errors
    /// [`ImageError`] when they are not to be had, or `out` takes no more.
    pub(super) async fn write_to<W: Write + Send + 'static>(
        &self,
        blob: &BlobRef,
        mut out: W,
        to: &Path,
        progress: &Progress,
    ) -> Result<W, ImageError> {
        let refused = {
            let to = to.to_owned();
            move |error: io::Error| io_error("write", &to)(error)
        };
        match self {
            Self::Local(blobs) => {
                let place = blobs.place(blob)?;
                let progress = Arc::clone(progress);
                blocking(move || {
                    place.write_to(&mut out, &refused, &*progress)?;
                    Ok(out)
                })
                .await
            }
            Self::Registry(repository) => {
                let file = RemoteFile::Blob { repository: repository.clone(), blob: blob.clone() };
                let mut download = Download::new(&file, 0..blob.size);
                while let Some(bytes) = download.next().await? {
                    out.write_all(&bytes).map_err(&refused)?;
                    progress(bytes.len() as u64);
                }
                Ok(out)
            }
        }
    }

    /// When the bytes of `blob` turned out to be wrong: says what on this machine is to blame.
    ///
    /// # Errors
    /// [`ImageError`] naming it.
    pub(super) async fn blame(&self, blob: &BlobRef) -> Result<(), ImageError> {
        match self {
            Self::Local(blobs) => {
                let place = blobs.place(blob)?;
                let expected = blob.digest;
                blocking(move || {
                    place.blame()?;
                    let Place::File(file) = &place else { return Ok(()) };
                    let found = file.digest().map_err(io_error("read", file.path()))?;
                    if found == expected {
                        return Ok(());
                    }
                    let origin = file.path().display().to_string();
                    Err(ImageError::Blob { origin, expected, found })
                })
                .await
            }
            Self::Registry(_) => Ok(()),
        }
    }
}

/// The bytes of a file that is elsewhere, as they are asked for.
fn pieces(file: RemoteFile, span: Range<u64>) -> ByteStream {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    // A task of its own, for the download borrows the file; it ends when nobody takes the bytes.
    tokio::spawn(async move {
        let mut download = Download::new(&file, span);
        loop {
            let piece = match download.next().await {
                Ok(None) => return,
                Ok(Some(piece)) => Ok(piece),
                Err(error) => Err(error),
            };
            let is_last = piece.is_err();
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    Box::pin(futures::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

impl Blobs {
    /// Where a blob is, which must be of the size that is told of it.
    fn place(&self, blob: &BlobRef) -> Result<Place, ImageError> {
        let origin = || self.origin().to_owned();
        let place = self
            .get(&blob.digest)
            .ok_or_else(|| ImageError::LacksBlob { origin: origin(), digest: blob.digest })?;
        match place.size() {
            Some(found) if found != blob.size => {
                let (digest, expected) = (blob.digest, blob.size);
                Err(ImageError::BlobSize { origin: origin(), digest, expected, found })
            }
            _ => Ok(place),
        }
    }
}

/// Runs `work`, which may block, on a thread where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only at the end of the run, when nobody waits any more.
        Err(error) => Err(ImageError::Read {
            what: "a blob".into(),
            source: io::Error::other(error.to_string()),
        }),
    }
}
