//! `oci:DIR[:TAG]`: images in an OCI image layout, whatever else is in that layout.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

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
use super::{Progress, claim};

/// A layout that an image is put into.
#[derive(Debug, Clone)]
pub(super) struct LayoutSink {
    layout: Layout,
    tag: Tag,
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
        Ok(Self { layout: Layout::create(dir)?, tag, _claim: claim })
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
        let (layout, known) = (self.layout.clone(), blob.clone());
        if blocking(move || Ok(is_whole(&layout, &known.digest, known.size))).await? {
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
                Ok(_) => return Ok(Pushed::Uploaded),
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
        if is_whole(&self.layout, digest, *size) {
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

/// Whether the blob is there and its bytes are what its name says. Somebody else may have written
/// it, and reading is much cheaper than writing.
fn is_whole(layout: &Layout, digest: &Digest, size: u64) -> bool {
    layout.size(digest) == Some(size)
        && fs::File::open(layout.path(digest))
            .and_then(Digest::of_reader)
            .is_ok_and(|(found, _)| found == *digest)
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
