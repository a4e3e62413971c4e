//! [`OpenImage`]: an image that can be read, wherever it is.

use oci_spec::image::Arch;

use crate::store::set::SET_TYPE;

use super::Access;
use super::blob_source::{BlobSource, blocking};
use super::error::ImageError;
use super::manifest::{BlobRef, choose_or_only};
use super::reference::Reference;
use super::registry::name::ImageName;
use super::tree::{ImageTree, Platforms, resolve};
use super::{archive_files, layout};

/// How many tags are named when one is not there.
const MOST_NAMED: usize = 12;

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
    /// Opens the image at `reference`; none when no image is there, but another kind of set.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there or cannot be read.
    pub(super) async fn open(
        reference: &Reference,
        access: &Access,
    ) -> Result<Option<Self>, ImageError> {
        let origin = reference.to_string();
        let local = reference.clone();
        let store = access.store.clone();
        match reference {
            Reference::Registry(name) => Self::in_registry(name, access).await.map(Some),
            Reference::Oci { .. }
            | Reference::OciArchive { .. }
            | Reference::DockerArchive { .. } => blocking(move || match &local {
                Reference::Oci { dir, tag } => layout::open(dir, tag.as_ref(), &origin),
                Reference::OciArchive { file, tag } => {
                    archive_files::open_oci(file, tag.as_ref(), &origin, &store)
                }
                Reference::DockerArchive { file, name } => {
                    archive_files::open_docker(file, name.as_ref(), &origin, &store)
                }
                _ => unreachable!("only these came here"),
            })
            .await
            .map(Some),
            Reference::Directory(_)
            | Reference::Tar(_)
            | Reference::Store { .. }
            | Reference::Url(_) => Ok(None),
        }
    }

    async fn in_registry(name: &ImageName, access: &Access) -> Result<Self, ImageError> {
        let repository = access.registries.repository(name)?;
        let origin = name.to_string();
        match repository.manifest(&name.reference()).await? {
            Some(document) => Ok(Self {
                root: document.reference,
                source: BlobSource::Registry(repository),
                origin,
            }),
            None => {
                // That there is none is the error; what else there is only helps.
                let mut tags = repository.tags().await.unwrap_or_default();
                if tags.contains(&name.reference()) {
                    let fault = "is there, but is no image of OCI or of Docker's schema 2".into();
                    return Err(ImageError::Image { origin, fault });
                }
                tags.retain(|tag| !tag.starts_with("sha256-"));
                let more = tags.len().saturating_sub(MOST_NAMED);
                tags.truncate(MOST_NAMED);
                Err(ImageError::NoImage { origin, tags, more })
            }
        }
    }

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
    ) -> Result<(BlobRef, Box<oci_spec::image::ImageManifest>), ImageError> {
        let (document, manifest) =
            resolve(self.root.clone(), &self.source, architecture, &self.origin, choose_or_only)
                .await?;
        if let Some(kind) = manifest.artifact_type() {
            let fault = match kind.as_ref() {
                SET_TYPE => "is a set in a store, which is read as `store:TAG`".to_owned(),
                kind => format!("is no image of wheels but an artifact: `{kind}`"),
            };
            return Err(ImageError::Image { origin: self.origin.clone(), fault });
        }
        Ok((document.reference, manifest))
    }
}
