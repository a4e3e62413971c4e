//! The wheels of an image in a registry.
//!
//! Its index says which wheel stands where, in the last layer or as an artifact that refers to the image;
//! no other byte is read before a wheel is wanted. An image without an index, as LOCI itself makes it,
//! comes as a whole and is indexed on the way in; so do single layers that somebody compressed.

use std::collections::BTreeMap;
use std::sync::Arc;

use oci_spec::image::{ImageConfiguration, ImageManifest};
use rayon::prelude::*;

use crate::vocab::digest::Digest;

use super::bring::import_layer;
use super::error::ImageError;
use super::index_json::{IndexedWheel, WheelIndex};
use super::manifest::{BlobRef, MOST_MANIFEST, is_plain};
use super::offered::{OfferedWheel, WheelPlace};
use super::open_image::OpenImage;
use super::registry::repository::Repository;
use super::remote_file::RemoteFile;
use super::source::{Source, from_contents, index_of, parse_index, text};
use super::tar_contents::Contents;
use super::{Access, Progress};
use crate::image::blob_source::BlobSource;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS};

/// A last layer of more bytes is not only texts and an index.
pub(super) const MOST_METADATA: u64 = 16 << 20;

/// Opens the image whose manifest is at `document`.
///
/// # Errors
/// Those of [`Source::open`].
pub(super) async fn open(
    (image, repository): (&OpenImage, &Repository),
    document: &BlobRef,
    manifest: &ImageManifest,
    access: &Access,
    progress: &Progress,
) -> Result<Source, ImageError> {
    let origin = image.origin.as_str();
    let layers = manifest
        .layers()
        .iter()
        .map(|layer| BlobRef::of(layer, origin))
        .collect::<Result<Vec<_>, _>>()?;
    let source = &image.source;
    let reading = Reading { repository, source, origin, layers: &layers, access, progress };
    if let Some((index, texts)) = reading.index(document).await? {
        let diff_ids = reading.diff_ids(&index, manifest).await?;
        let offered = reading.offer(&index, &diff_ids, &texts)?;
        // An index that fits none of the layers is another image's.
        if !offered.wheels.is_empty() {
            return Ok(offered);
        }
    }
    from_contents(Contents::stacked(reading.all().await?), origin)
}

struct Reading<'a> {
    repository: &'a Repository,
    /// The same, as a source of blobs.
    source: &'a BlobSource,
    origin: &'a str,
    layers: &'a [BlobRef],
    access: &'a Access,
    progress: &'a Progress,
}

impl Reading<'_> {
    fn file(&self, blob: &BlobRef) -> RemoteFile {
        RemoteFile::Blob { repository: self.repository.clone(), blob: blob.clone() }
    }

    /// The index, and what else stands beside it.
    async fn index(
        &self,
        document: &BlobRef,
    ) -> Result<Option<(WheelIndex, Contents)>, ImageError> {
        if let Some(last) = self.layers.last().filter(|last| last.size <= MOST_METADATA) {
            let contents =
                import_layer(&self.file(last), self.access, &(Arc::new(|_| {}) as _)).await?;
            if let Some(index) = index_of(&contents, self.origin)? {
                return Ok(Some((index, contents)));
            }
        }
        let Some(blob) = self.repository.referring_index(&document.digest).await? else {
            return Ok(None);
        };
        let bytes = self.source.small(&blob, self.origin, MOST_METADATA * 4).await?;
        Ok(Some((parse_index(&bytes, self.origin)?, Contents::default())))
    }

    /// What each layer is uncompressed: what the index calls it. Where the manifest's own digests are
    /// those, the configuration is not asked for.
    async fn diff_ids(
        &self,
        index: &WheelIndex,
        manifest: &ImageManifest,
    ) -> Result<Vec<Digest>, ImageError> {
        let own: Vec<Digest> = self.layers.iter().map(|layer| layer.digest).collect();
        if self.layers.iter().all(|layer| is_plain(&layer.media_type))
            || index.wheels.iter().all(|wheel| wheel.layer.is_none())
        {
            return Ok(own);
        }
        let blob = BlobRef::of(manifest.config(), self.origin)?;
        let bytes = self.source.small(&blob, self.origin, MOST_MANIFEST).await?;
        let config: ImageConfiguration = serde_json::from_slice(&bytes).map_err(|source| {
            ImageError::Manifest { origin: self.origin.into(), digest: blob.digest, source }
        })?;
        let ids: Option<Vec<Digest>> =
            config.rootfs().diff_ids().iter().map(|id| id.parse().ok()).collect();
        // One that does not fit the manifest is of no use; by no digest of ours is anything found then.
        Ok(ids.filter(|ids| ids.len() == own.len()).unwrap_or(own))
    }

    /// The wheels of the index that are in this image, which may be a part of the one it was written for.
    fn offer(
        &self,
        index: &WheelIndex,
        diff_ids: &[Digest],
        texts: &Contents,
    ) -> Result<Source, ImageError> {
        let files: BTreeMap<Digest, (Arc<RemoteFile>, &BlobRef)> = diff_ids
            .iter()
            .zip(self.layers)
            .map(|(id, layer)| (*id, (Arc::new(self.file(layer)), layer)))
            .collect();
        let only = match self.layers {
            [only] => files.get(&diff_ids[0]).map(|(file, _)| (Arc::clone(file), only)),
            _ => None,
        };
        let place = |wheel: &IndexedWheel| -> Result<Option<WheelPlace>, ImageError> {
            let found = match &wheel.layer {
                Some(id) => files.get(id).map(|(file, layer)| (Arc::clone(file), *layer)),
                None => only.clone(),
            };
            let Some((file, layer)) = found else { return Ok(None) };
            if !is_plain(&layer.media_type) {
                return Ok(Some(WheelPlace::Layer(file)));
            }
            let Some(offset) = wheel.offset else { return Ok(Some(WheelPlace::Layer(file))) };
            if offset.checked_add(wheel.size).is_none_or(|end| end > layer.size) {
                return Err(ImageError::Entry {
                    origin: self.origin.into(),
                    entry: wheel.filename.to_string(),
                    fault: "is, as the index says, beyond the end of its layer".into(),
                });
            }
            Ok(Some(WheelPlace::Span(file, offset)))
        };
        let text_of = |name| texts.files.get(name).cloned().map(text);
        let mut source = Source {
            wheels: Vec::with_capacity(index.wheels.len()),
            constraints: text_of(CONSTRAINTS),
            global_requirements: text_of(GLOBAL_REQUIREMENTS),
            lacking: Vec::new(),
            kept: None,
        };
        for wheel in &index.wheels {
            if let Some(place) = place(wheel)? {
                source.wheels.push(wheel.offer(place, self.origin)?);
            }
        }
        source.wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
        Ok(source)
    }

    /// Every layer, its wheels imported into the store; the lowest first.
    async fn all(&self) -> Result<Vec<Contents>, ImageError> {
        let mut contents = Vec::with_capacity(self.layers.len());
        for layer in self.layers {
            contents.push(import_layer(&self.file(layer), self.access, self.progress).await?);
        }
        Ok(contents)
    }
}

impl IndexedWheel {
    /// The wheel, at `place`, as the index of `origin` describes it.
    pub(super) fn offer(
        &self,
        place: WheelPlace,
        origin: &str,
    ) -> Result<OfferedWheel, ImageError> {
        let metadata = self.metadata().map_err(|fault| ImageError::Entry {
            origin: origin.into(),
            entry: self.filename.to_string(),
            fault,
        })?;
        Ok(OfferedWheel {
            filename: self.filename.clone(),
            size: self.size,
            sha256: Some(self.sha256),
            metadata: Some(Arc::new(metadata)),
            origin: Some(self.origin.clone()),
            place,
        })
    }
}

/// The wheels of an index, all of them in `file`, described on all of rayon's threads.
pub(super) fn offer_all(
    index: &WheelIndex,
    file: &Arc<RemoteFile>,
    origin: &str,
) -> Result<Vec<OfferedWheel>, ImageError> {
    index
        .wheels
        .par_iter()
        .map(|wheel| {
            let offset = wheel.offset.ok_or_else(|| ImageError::Entry {
                origin: origin.into(),
                entry: wheel.filename.to_string(),
                fault: "has no place in the index".into(),
            })?;
            wheel.offer(WheelPlace::Span(Arc::clone(file), offset), origin)
        })
        .collect()
}
