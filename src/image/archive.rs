//! `oci-archive:FILE[:TAG]` and `docker-archive:FILE[:NAME]`: an image as one tar, as skopeo, podman and
//! Docker Engine read it (containers-transports(5)).
//!
//! The tar is written from front to back, once; it gets its name when it is whole.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::image::ANNOTATION_REF_NAME;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::sync::Mutex;

use crate::store::file::{TMP_PREFIX, keep, temporary_in};
use crate::store::layout::{OCI_LAYOUT, canonical_json};
use crate::store::names::Tag;
use crate::vocab::digest::{Digest, Hasher};

use super::blob_source::{BlobSource, TRIES, blocking};
use super::error::{ImageError, io_error};
use super::manifest::{BlobRef, Manifest, OCI_INDEX};
use super::registry::name::ImageName;
use super::registry::tag::ImageTag;
use super::tree::ImageTree;
use super::ustar::{BLOCK, Header};
use super::{Progress, claim, parent_of, safe};

/// How the images in an archive are called.
#[derive(Debug, Clone)]
pub(super) enum ArchiveNames {
    /// As in a layout.
    Oci(Tag),
    /// As in a Docker Engine; by nothing, where no name was given.
    Docker(Option<ImageName>),
}

/// An archive that an image is put into.
#[derive(Debug, Clone)]
pub(super) struct ArchiveSink {
    path: PathBuf,
    names: ArchiveNames,
    epoch: u64,
    /// The tar as it grows; none once it is finished.
    tar: Arc<Mutex<Option<NamedTempFile>>>,
    _claim: Arc<Option<File>>,
}

impl ArchiveSink {
    /// The archive that will be at `path`; everything in it is dated `epoch` seconds after 1970.
    ///
    /// # Errors
    /// [`ImageError::NotAFile`] when something else is there, [`ImageError::Io`].
    pub(super) fn create(path: &Path, names: ArchiveNames, epoch: u64) -> Result<Self, ImageError> {
        if std::fs::symlink_metadata(path)
            .is_ok_and(|there| !there.is_file() && !there.is_symlink())
        {
            return Err(ImageError::NotAFile { path: path.to_owned() });
        }
        let dir = parent_of(path)?;
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let prefix = format!("{TMP_PREFIX}{name}-");
        let claim = Arc::new(claim(dir, &prefix)?);
        let tar = temporary_in(dir, &prefix)?;
        Ok(Self {
            path: path.to_owned(),
            names,
            epoch,
            tar: Arc::new(Mutex::new(Some(tar))),
            _claim: claim,
        })
    }

    /// Whether such an archive can hold `tree` under its names.
    ///
    /// # Errors
    /// [`ImageError`] when it cannot.
    pub(super) fn check(&self, tree: &ImageTree) -> Result<(), ImageError> {
        match &self.names {
            ArchiveNames::Oci(_) => Ok(()),
            ArchiveNames::Docker(name) => docker_images(tree, name.as_ref(), &self.path).map(drop),
        }
    }

    /// Writes a blob; one at a time.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn put(
        &self,
        blob: &BlobRef,
        source: &BlobSource,
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let mut slot = self.tar.lock().await;
        let refused = |error| io_error("write", &self.path)(error);
        let tar = slot.as_mut().expect("it is there until the archive is finished");
        let file = tar.as_file_mut();
        file.write_all(
            &Header::file(&safe(&blob_path(&blob.digest)), blob.size, self.epoch).to_bytes(),
        )
        .map_err(refused)?;
        let start = file.stream_position().map_err(refused)?;
        for attempt in 1.. {
            let out = Hashing { file: file.try_clone().map_err(refused)?, hasher: Hasher::new() };
            let out = source.write_to(blob, out, &self.path, progress).await?;
            let (found, size) = out.hasher.finish();
            if found == blob.digest && size == blob.size {
                break;
            }
            source.blame(blob).await?;
            if attempt == TRIES {
                let origin = self.path.display().to_string();
                return Err(ImageError::Blob { origin, expected: blob.digest, found });
            }
            file.set_len(start).map_err(refused)?;
            file.seek(SeekFrom::Start(start)).map_err(refused)?;
        }
        pad(file, blob.size).map_err(refused)
    }

    /// Writes what names the images, and gives the archive its name.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(super) async fn finish(&self, tree: &ImageTree) -> Result<(), ImageError> {
        let refused = |error| io_error("write", &self.path)(error);
        let tar = self.tar.lock().await.take();
        let mut tar = tar.expect("an archive is finished once");
        let file = tar.as_file_mut();
        let mut put = |path: &str, bytes: &[u8]| -> io::Result<()> {
            file.write_all(&Header::file(&safe(path), bytes.len() as u64, self.epoch).to_bytes())?;
            file.write_all(bytes)?;
            pad(file, bytes.len() as u64)
        };
        match &self.names {
            ArchiveNames::Oci(tag) => {
                for document in &tree.documents {
                    let path = blob_path(&document.reference.digest);
                    put(&path, &document.bytes).map_err(refused)?;
                }
                put("oci-layout", OCI_LAYOUT.as_bytes()).map_err(refused)?;
                let manifests: Vec<_> = tree
                    .roots
                    .iter()
                    .map(|root| {
                        let mut value = json!(root.reference.descriptor());
                        let name = format!("{tag}{}", root.ending);
                        value["annotations"] = json!({ ANNOTATION_REF_NAME: name });
                        value
                    })
                    .collect();
                let index =
                    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
                put("index.json", &canonical_json(&index)).map_err(refused)?;
            }
            ArchiveNames::Docker(name) => {
                let images = docker_images(tree, name.as_ref(), &self.path)?;
                put("manifest.json", &canonical_json(&images)).map_err(refused)?;
            }
        }
        file.write_all(&[0; 2 * BLOCK as usize]).map_err(refused)?;
        let path = self.path.clone();
        blocking(move || Ok(keep(tar, &path)?)).await
    }
}

/// `manifest.json` as `docker save` writes it: the configuration and the layers of each image.
fn docker_images(
    tree: &ImageTree,
    name: Option<&ImageName>,
    path: &Path,
) -> Result<serde_json::Value, ImageError> {
    let origin = format!("docker-archive:{}", path.display());
    let mut images = Vec::new();
    for root in &tree.roots {
        let document = tree.document(&root.reference.digest).expect("a root is a document");
        let Manifest::Image(manifest) =
            Manifest::parse(&document.bytes, &document.reference, &origin)?
        else {
            let fault = "can hold images of one platform only".to_owned();
            return Err(ImageError::Image { origin, fault });
        };
        let path_of =
            |descriptor| BlobRef::of(descriptor, &origin).map(|blob| blob_path(&blob.digest));
        let layers =
            manifest.layers().iter().map(path_of).collect::<Result<Vec<_>, ImageError>>()?;
        let tags = match name {
            Some(name) => vec![with_ending(name, &root.ending)?.to_string()],
            None => Vec::new(),
        };
        images.push(json!({
            "Config": path_of(manifest.config())?,
            "RepoTags": tags,
            "Layers": layers,
        }));
    }
    Ok(json!(images))
}

/// The name with an ending at its tag.
pub(super) fn with_ending(name: &ImageName, ending: &str) -> Result<ImageName, ImageError> {
    let tag = name.tag().map_or_else(|| "latest".to_owned(), ToString::to_string);
    let tag = format!("{tag}{ending}")
        .parse::<ImageTag>()
        .map_err(|source| ImageError::Name { source: source.into() })?;
    Ok(name.with_tag(tag))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn pad(file: &mut File, size: u64) -> io::Result<()> {
    const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    file.write_all(&ZEROS[..(size.next_multiple_of(BLOCK) - size) as usize])
}

/// Hashes what goes into the file.
struct Hashing {
    file: File,
    hasher: Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
