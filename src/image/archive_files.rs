//! [`ArchiveFiles`]: the files in a tar of an image, read where they stand: what `oci-archive:` and
//! `docker-archive:` name, written by loci, skopeo, podman or `docker save`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use oci_spec::image::{ImageIndex, ImageManifestBuilder, MediaType};
use rayon::prelude::*;
use serde::Deserialize;
use tar::{Archive, EntryType};
use tempfile::TempPath;

use crate::store::Store;
use crate::store::file::{TMP_PREFIX, temporary_in};
use crate::store::layout::canonical_json;
use crate::store::names::Tag;
use crate::vocab::digest::Digest;
use crate::wheel::file::WheelFile;

use super::blob_source::BlobSource;
use super::blobs::{Blobs, Place};
use super::error::{ImageError, io_error};
use super::manifest::{BlobRef, Document, MOST_MANIFEST, OCI_MANIFEST};
use super::open_image::OpenImage;
use super::registry::name::ImageName;
use super::tar_contents::plain;

/// Links to links go no further.
const MOST_LINKS: usize = 8;

/// The files in a tar.
struct ArchiveFiles {
    files: BTreeMap<String, Found>,
    origin: String,
    /// What the tar was unpacked to, where it was compressed.
    unpacked: Option<Arc<TempPath>>,
}

enum Found {
    File(WheelFile),
    /// A link to another file of the tar, as `docker save` writes them for equal layers.
    Link(String),
}

/// One image as `manifest.json` has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ArchiveFiles {
    fn open(path: &Path, origin: &str, store: &Store) -> Result<Self, ImageError> {
        let mut file = fs::File::open(path).map_err(io_error("read", path))?;
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(io_error("read", path))?;
        if start != [0x1f, 0x8b] {
            return Self::list(path, origin, None);
        }
        // Nothing can be found again in a compressed tar.
        let mut temporary = temporary_in(&store.tmp_dir(), TMP_PREFIX)?;
        let file = fs::File::open(path).map_err(io_error("read", path))?;
        io::copy(&mut MultiGzDecoder::new(file), temporary.as_file_mut())
            .map_err(|source| ImageError::Tar { origin: origin.into(), source })?;
        let unpacked = Arc::new(temporary.into_temp_path());
        Self::list(&Arc::clone(&unpacked), origin, Some(unpacked))
    }

    fn list(
        path: &Path,
        origin: &str,
        unpacked: Option<Arc<TempPath>>,
    ) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Tar { origin: origin.into(), source };
        let mut archive = Archive::new(fs::File::open(path).map_err(io_error("read", path))?);
        let mut files = BTreeMap::new();
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let written = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let refuse = |fault: &str| ImageError::Entry {
                origin: origin.into(),
                entry: written.clone(),
                fault: fault.into(),
            };
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind == EntryType::XGlobalHeader {
                continue;
            }
            let Some(name) = plain(&written).map_err(refuse)? else { continue };
            let found = match kind {
                EntryType::Regular | EntryType::Continuous => Found::File(
                    WheelFile::window(path, entry.raw_file_position(), entry.size())
                        .map_err(failed)?,
                ),
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = String::from_utf8_lossy(&target).into_owned();
                    let target = match kind {
                        EntryType::Symlink => beside(name, &target),
                        _ => plain(&target).ok().flatten().map(str::to_owned),
                    };
                    Found::Link(target.ok_or_else(|| refuse("leads out of the archive"))?)
                }
                _ => return Err(refuse("is a special file")),
            };
            if files.insert(name.to_owned(), found).is_some() {
                return Err(refuse("is there twice"));
            }
        }
        Ok(Self { files, origin: origin.to_owned(), unpacked })
    }

    fn get(&self, name: &str) -> Option<&WheelFile> {
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match self.files.get(name)? {
                Found::File(file) => return Some(file),
                Found::Link(target) => name = target,
            }
        }
        None
    }

    /// The bytes of a small file.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(file) = self.get(name) else { return Ok(None) };
        if file.len() > MOST_MANIFEST {
            return Err(ImageError::Entry {
                origin: self.origin.clone(),
                entry: name.to_owned(),
                fault: "is larger than any such file should be".into(),
            });
        }
        let mut bytes = Vec::new();
        let read = file.reader().and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map_err(io_error("read", file.path()))?;
        Ok(Some(bytes))
    }

    fn refuse(&self, fault: impl Into<String>) -> ImageError {
        ImageError::Image { origin: self.origin.clone(), fault: fault.into() }
    }

    fn blobs(&self) -> Blobs {
        Blobs::of(&self.origin).keeping(self.unpacked.clone())
    }
}

/// Opens the image called `tag` in the archive of a layout at `path`; without a tag the only one, else
/// `latest`.
///
/// # Errors
/// [`ImageError`] when it is no such archive, or has no such image.
pub(super) fn open_oci(
    path: &Path,
    tag: Option<&Tag>,
    origin: &str,
    store: &Store,
) -> Result<OpenImage, ImageError> {
    let archive = ArchiveFiles::open(path, origin, store)?;
    let index = archive
        .read("index.json")?
        .filter(|_| archive.get("oci-layout").is_some())
        .ok_or_else(|| archive.refuse("is no archive of an image layout"))?;
    let index: ImageIndex = serde_json::from_slice(&index).map_err(|source| {
        ImageError::Manifest { origin: origin.into(), digest: Digest::of(&index), source }
    })?;
    let named = |descriptor: &oci_spec::image::Descriptor| {
        let annotations = descriptor.annotations().as_ref();
        annotations.and_then(|a| a.get(oci_spec::image::ANNOTATION_REF_NAME).cloned())
    };
    let wanted = tag.map_or_else(|| Tag::default().to_string(), ToString::to_string);
    let root = match (&index.manifests()[..], tag) {
        ([only], None) => only,
        (all, _) => all.iter().find(|d| named(d).as_deref() == Some(&wanted)).ok_or_else(|| {
            let names: Vec<String> = all.iter().filter_map(named).collect();
            archive.refuse(no_image(&format!("has no image `{wanted}`"), &names))
        })?,
    };
    let mut blobs = archive.blobs();
    for name in archive.files.keys() {
        let digest = name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok());
        if let (Some(digest), Some(file)) = (digest, archive.get(name)) {
            blobs.insert(digest, Place::File(file.clone()));
        }
    }
    Ok(OpenImage {
        root: BlobRef::of(root, origin)?,
        source: BlobSource::Local(Arc::new(blobs)),
        origin: origin.to_owned(),
    })
}

/// Opens the image called `name` in the archive at `path`, as `docker save` writes it; without a name the
/// only one. It has no manifest of a registry's kind, so one is made of what is there.
///
/// # Errors
/// [`ImageError`] when it is no such archive, or has no such image.
pub(super) fn open_docker(
    path: &Path,
    name: Option<&ImageName>,
    origin: &str,
    store: &Store,
) -> Result<OpenImage, ImageError> {
    let archive = ArchiveFiles::open(path, origin, store)?;
    let list = archive.read("manifest.json")?.ok_or_else(|| {
        archive.refuse("is no archive of `docker save`: it has no `manifest.json`")
    })?;
    let images: Vec<DockerImage> = serde_json::from_slice(&list).map_err(|source| {
        ImageError::Manifest { origin: origin.into(), digest: Digest::of(&list), source }
    })?;
    let tags = |image: &DockerImage| image.repo_tags.clone().unwrap_or_default();
    let called = |image: &&DockerImage| {
        let names = tags(image);
        names.iter().filter_map(|tag| tag.parse::<ImageName>().ok()).any(|tag| {
            name.is_some_and(|name| {
                (tag.host(), tag.repository(), tag.reference())
                    == (name.host(), name.repository(), name.reference())
            })
        })
    };
    let image = match (&images[..], name) {
        ([only], None) => only,
        (all, _) => all.iter().find(called).ok_or_else(|| {
            let names: Vec<String> = all.iter().flat_map(tags).collect();
            let wanted = match name {
                Some(name) => format!("has no image `{name}`"),
                None => "has several images".to_owned(),
            };
            archive.refuse(no_image(&wanted, &names))
        })?,
    };
    let mut blobs = archive.blobs();
    let config = archive
        .read(&image.config)?
        .ok_or_else(|| archive.refuse(format!("lacks the configuration `{}`", image.config)))?;
    let config = BlobRef {
        size: config.len() as u64,
        digest: blobs.insert_bytes(config),
        media_type: MediaType::ImageConfig.to_string(),
    };
    let layers = image
        .layers
        .par_iter()
        .map(|layer| {
            let file = archive
                .get(layer)
                .ok_or_else(|| archive.refuse(format!("lacks the layer `{layer}`")))?;
            let failed = |error| io_error("read", file.path())(error);
            let digest = file.digest().map_err(failed)?;
            let mut start = [0; 2];
            let is_gzip = file.read_at(0, &mut start).is_ok() && start == [0x1f, 0x8b];
            let kind = if is_gzip { MediaType::ImageLayerGzip } else { MediaType::ImageLayer };
            let media_type = kind.to_string();
            Ok((BlobRef { digest, size: file.len(), media_type }, file.clone()))
        })
        .collect::<Result<Vec<_>, ImageError>>()?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config.descriptor())
        .layers(layers.iter().map(|(layer, _)| layer.descriptor()).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    let document = Document::new(canonical_json(&manifest), OCI_MANIFEST);
    for (layer, file) in layers {
        blobs.insert(layer.digest, Place::File(file));
    }
    blobs.insert_bytes(document.bytes.clone());
    Ok(OpenImage {
        root: document.reference,
        source: BlobSource::Local(Arc::new(blobs)),
        origin: origin.to_owned(),
    })
}

/// What is wrong with an archive that has not the image that is wanted, but these.
fn no_image(fault: &str, names: &[String]) -> String {
    match names {
        [] => "has no image in it that has a name".to_owned(),
        _ => format!("{fault}; names there: `{}`", names.join("`, `")),
    }
}

/// Where a symbolic link at `name` leads within the archive; none when it leads out.
fn beside(name: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut path: Vec<&str> = name.split('/').collect();
    path.pop();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(path.pop()?),
            component => path.push(component),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_archive() {
        for (name, target, leads) in [
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("layer.tar", "x/./y", Some("x/y")),
            ("a/layer.tar", "../../etc/passwd", None),
            ("a/layer.tar", "/etc/passwd", None),
        ] {
            assert_eq!(beside(name, target).as_deref(), leads, "{name} -> {target}");
        }
    }
}
