//! From a [`Reference`] to what is there: an image ([`OpenImage`]), or the wheels of any set ([`Source`]).

use std::sync::Arc;

use super::blob_source::{BlobSource, blocking};
use super::error::ImageError;
use super::manifest::architecture;
use super::open_image::OpenImage;
use super::reference::Reference;
use super::registry::name::ImageName;
use super::source::{Source, directory, from_contents, tar};
use super::{Access, Progress, archive_files, image_contents, layout, remote_image, remote_tar};

/// How many tags are named when one is not there.
const MOST_NAMED: usize = 12;

impl OpenImage {
    /// Opens the image at `reference`; none when no image is there, but another kind of set.
    ///
    /// # Errors
    /// [`ImageError`] when it is not there or cannot be read.
    pub(super) async fn open(
        reference: &Reference,
        access: &Access,
    ) -> Result<Option<Self>, ImageError> {
        let (origin, store) = (reference.to_string(), access.store.clone());
        let opened = match reference.clone() {
            Reference::Registry(name) => Self::in_registry(&name, access).await,
            Reference::Oci { dir, tag } => {
                blocking(move || layout::open(&dir, tag.as_ref(), &origin)).await
            }
            Reference::OciArchive { file, tag } => {
                blocking(move || archive_files::open_oci(&file, tag.as_ref(), &origin, &store))
                    .await
            }
            Reference::DockerArchive { file, name } => {
                blocking(move || archive_files::open_docker(&file, name.as_ref(), &origin, &store))
                    .await
            }
            Reference::Directory(_)
            | Reference::Tar(_)
            | Reference::Store { .. }
            | Reference::Url(_) => return Ok(None),
        };
        opened.map(Some)
    }

    async fn in_registry(name: &ImageName, access: &Access) -> Result<Self, ImageError> {
        let repository = access.registries.repository(name)?;
        let origin = name.to_string();
        if let Some(document) = repository.manifest(&name.reference()).await? {
            let source = BlobSource::Registry(repository);
            return Ok(Self { root: document.reference, source, origin });
        }
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

impl Source {
    /// Finds the wheels at `reference`, of an image for several platforms those for `machine`, as
    /// `uname -m` calls it. `progress` is told bytes when a set that is elsewhere has to come as a whole.
    ///
    /// # Errors
    /// [`ImageError::Entry`] naming the entry that makes an archive unusable: a path that is absolute or
    /// climbs out, a wheel that is a link, stands there twice or has no wheel's name. The other variants
    /// of [`ImageError`] for what cannot be read, is not an image, or has no wheels at all.
    pub async fn open(
        reference: &Reference,
        machine: &str,
        access: &Access,
        progress: &Progress,
    ) -> Result<Self, ImageError> {
        let (origin, store) = (reference.to_string(), access.store.clone());
        match reference.clone() {
            Reference::Url(url) => remote_tar::open(&url, access, progress).await,
            Reference::Directory(dir) => blocking(move || directory(&dir)).await,
            Reference::Tar(path) => blocking(move || tar(&path, &store)).await,
            Reference::Store { tag } => {
                blocking(move || Self::of_set(&store.load_set(&tag)?, &store, &origin)).await
            }
            Reference::Oci { .. }
            | Reference::OciArchive { .. }
            | Reference::DockerArchive { .. }
            | Reference::Registry(_) => {
                let opened = OpenImage::open(reference, access).await?;
                let image = opened.expect("an image is opened as one");
                let (document, manifest) = image.manifest(&architecture(machine)).await?;
                let blobs = match &image.source {
                    BlobSource::Local(blobs) => Arc::clone(blobs),
                    BlobSource::Registry(repository) => {
                        let (image, repository) = (&image, repository);
                        return remote_image::open(
                            (image, repository),
                            &document,
                            &manifest,
                            access,
                            progress,
                        )
                        .await;
                    }
                };
                let mut source = blocking(move || {
                    let contents = image_contents::read(&manifest, &blobs, &origin, &store)?;
                    from_contents(contents, &origin)
                })
                .await?;
                source.kept = Some(image.source);
                Ok(source)
            }
        }
    }
}
