//! [`OpenImage`]: an image that can be read, wherever it is.

use oci_spec::image::{Arch, ImageManifest};

use crate::store::set::SET_TYPE;

use super::blob_source::BlobSource;
use super::error::ImageError;
use super::manifest::{BlobRef, choose, choose_or_only};
use super::tree::{ImageTree, Platforms, check_platform, resolve};

/// An image that can be read.
#[derive(Debug, Clone)]
pub(super) struct OpenImage {
    /// Its manifest or index.
    pub(super) root: BlobRef,
    /// Where that and its blobs are.
    pub(super) source: BlobSource,
    /// What it is called in errors.
    pub(super) origin: String,
}

impl OpenImage {
    /// All that it consists of.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn tree(&self, platforms: &Platforms) -> Result<ImageTree, ImageError> {
        ImageTree::read(self.root.clone(), &self.source, platforms, &self.origin).await
    }

    /// The manifest of the image for Linux on `architecture`, or of the only one: which of its wheels fit
    /// is told by their tags.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn manifest(
        &self,
        architecture: &Arch,
    ) -> Result<(BlobRef, Box<ImageManifest>), ImageError> {
        let (document, manifest) =
            resolve(self.root.clone(), &self.source, architecture, &self.origin, choose_or_only)
                .await?;
        self.check(&manifest)?;
        Ok((document.reference, manifest))
    }

    /// The manifest of the image for Linux on `architecture`, and of no other one.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn manifest_for(
        &self,
        architecture: &Arch,
    ) -> Result<(BlobRef, Box<ImageManifest>), ImageError> {
        let (document, manifest) =
            resolve(self.root.clone(), &self.source, architecture, &self.origin, choose).await?;
        self.check(&manifest)?;
        check_platform(&manifest, &self.source, architecture, &self.origin).await?;
        Ok((document.reference, manifest))
    }

    /// An artifact is no image, though its manifest is of the same kind.
    fn check(&self, manifest: &ImageManifest) -> Result<(), ImageError> {
        if let Some(kind) = manifest.artifact_type() {
            let fault = match kind.as_ref() {
                SET_TYPE => "is a set in a store, which is read as `store:TAG`".to_owned(),
                kind => format!("is no image of wheels but an artifact: `{kind}`"),
            };
            return Err(ImageError::Image { origin: self.origin.clone(), fault });
        }
        Ok(())
    }
}
