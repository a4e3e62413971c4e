//! `oci:DIR[:TAG]`: images in an OCI image layout, whatever else is in that layout.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::store::error::StoreError;
use crate::store::file::TMP_PREFIX;
use crate::store::layout::Layout;
use crate::store::names::{Named, Tag};
use crate::vocab::digest::Digest;

use super::blob_source::{BlobSource, TRIES, blocking};
use super::blobs::Blobs;
use super::error::{ImageError, io_error};
use super::manifest::{BlobRef, Document};
use super::open_image::OpenImage;
use super::registry::upload::Pushed;
use super::tree::Root;
use super::tree_layer::TreeLayer;
use super::{Progress, claim};

/// How many bytes are written at once: files of a tree are small.
const BUFFER: usize = 256 << 10;

/// A layout that an image is put into.
#[derive(Debug, Clone)]
pub(super) struct LayoutSink {
    layout: Layout,
    tag: Tag,
    /// What was written or read whole while this place was claimed: nobody else changes it meanwhile.
    whole: Arc<Mutex<BTreeSet<Digest>>>,
    _claim: Arc<Option<File>>,
}

impl LayoutSink {
    /// The layout at `dir`, made when there is none, and what the image is to be called there.
    ///
    /// # Errors
    /// [`ImageError::Store`] when something else is there, [`ImageError::Io`].
    pub(super) fn create(dir: &Path, tag: Tag) -> Result<Self, ImageError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let claim = Arc::new(claim(dir, TMP_PREFIX)?);
        Ok(Self { layout: Layout::create(dir)?, tag, whole: Arc::default(), _claim: claim })
    }

    /// The same place, for an image that is to be called `tag`.
    #[must_use]
    pub(super) fn tagged(&self, tag: Tag) -> Self {
        Self { tag, ..self.clone() }
    }

    /// Puts a layer there whose digest is not known before it is written, and says it.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) fn put_layer(
        &self,
        layer: &TreeLayer,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Digest, ImageError> {
        let refused = |error| io_error("write", self.layout.root())(error);
        let mut out = BufWriter::with_capacity(BUFFER, self.layout.writer()?);
        layer.write_to(&mut out, &refused, progress)?;
        let writer = out.into_inner().map_err(|error| refused(error.into_error()))?;
        let (digest, _) = writer.commit()?;
        self.remember(digest);
        Ok(digest)
    }

    /// Whether the blob is there and its bytes are what its name says. Somebody else may have written
    /// it, and reading is much cheaper than writing.
    fn is_whole(&self, digest: &Digest, size: u64) -> bool {
        if self.layout.size(digest) != Some(size) {
            return false;
        }
        if self.whole.lock().is_ok_and(|whole| whole.contains(digest)) {
            return true;
        }
        let found = File::open(self.layout.path(digest)).and_then(Digest::of_reader);
        let is_whole = found.is_ok_and(|(found, _)| found == *digest);
        if is_whole {
            self.remember(*digest);
        }
        is_whole
    }

    fn remember(&self, digest: Digest) {
        if let Ok(mut whole) = self.whole.lock() {
            whole.insert(digest);
        }
    }

    /// Puts a blob there, unless it is there whole.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn put(
        &self,
        blob: &BlobRef,
        source: &BlobSource,
        progress: &Progress,
    ) -> Result<Pushed, ImageError> {
        let (sink, known) = (self.clone(), blob.clone());
        if blocking(move || Ok(sink.is_whole(&known.digest, known.size))).await? {
            progress(blob.size);
            return Ok(Pushed::Present);
        }
        let mut tries = TRIES;
        loop {
            let writer = self.layout.writer()?;
            let writer = source.write_to(blob, writer, self.layout.root(), progress).await?;
            let expected = blob.digest;
            // Syncing waits for the disk.
            let committed = blocking(move || Ok(writer.commit_as(&expected))).await?;
            match committed {
                Ok(_) => {
                    self.remember(expected);
                    return Ok(Pushed::Uploaded);
                }
                Err(StoreError::Mismatch { expected, found }) => {
                    source.blame(blob).await?;
                    tries -= 1;
                    if tries == 0 {
                        let origin = self.layout.root().display().to_string();
                        return Err(ImageError::Blob { origin, expected, found });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Puts a manifest there.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) fn put_document(&self, document: &Document) -> Result<(), ImageError> {
        let BlobRef { digest, size, .. } = &document.reference;
        if self.is_whole(digest, *size) {
            return Ok(());
        }
        let mut writer = self.layout.writer()?;
        let refused = |error| io_error("write", self.layout.root())(error);
        writer.write_all(&document.bytes).map_err(refused)?;
        Ok(writer.commit_as(digest).map(drop)?)
    }

    /// Names what the image is to be known by.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) fn name(&self, root: &Root) -> Result<(), ImageError> {
        Ok(self.layout.name(&self.tag(root)?, &root.reference.descriptor())?)
    }

    /// What `root` is to be called.
    ///
    /// # Errors
    /// [`ImageError::Name`] when that is no name.
    pub(super) fn tag(&self, root: &Root) -> Result<Tag, ImageError> {
        let tag = format!("{}{}", self.tag, root.ending).parse::<Tag>();
        tag.map_err(|source| ImageError::Name { source: source.into() })
    }
}

/// Opens the image called `tag` in the layout at `dir`; without a tag the only one, else `latest`.
///
/// # Errors
/// [`ImageError::Image`] when there is none, [`ImageError::Store`] when `dir` is no layout.
pub(super) fn open(dir: &Path, tag: Option<&Tag>, origin: &str) -> Result<OpenImage, ImageError> {
    let layout = Layout::open(dir)?;
    let descriptor = match tag {
        Some(tag) => layout.named(tag)?.descriptor,
        None => match &layout.names()?[..] {
            [] => {
                let fault = "has no image in it".into();
                return Err(ImageError::Image { origin: origin.into(), fault });
            }
            [Named { descriptor, .. }] => descriptor.clone(),
            _ => layout.named(&Tag::default())?.descriptor,
        },
    };
    Ok(OpenImage {
        root: BlobRef::of(&descriptor, origin)?,
        source: BlobSource::Local(Arc::new(Blobs::in_layout(origin, layout))),
        origin: origin.to_owned(),
    })
}
