//! The contents of an image on this machine: its layers, one upon the other.

use oci_spec::image::ImageManifest;
use rayon::prelude::*;

use crate::store::Store;

use super::INDEX;
use super::blobs::{Blobs, Place};
use super::error::{ImageError, io_error};
use super::manifest::BlobRef;
use super::source::index_of;
use super::tar_contents::{self, Contents};
use crate::wheel::file::WheelFile;

/// Reads the image of `manifest`, whose blobs are here. Every layer is checked against its digest but those
/// all of whose wheels have a digest in the (checked) wheel index: such a wheel is checked when it is used.
pub(super) fn read(
    manifest: &ImageManifest,
    blobs: &Blobs,
    origin: &str,
    store: &Store,
) -> Result<Contents, ImageError> {
    let layers = manifest
        .layers()
        .par_iter()
        .map(|layer| {
            let blob = BlobRef::of(layer, origin)?;
            let file = file_of(blobs, &blob)?;
            let contents = tar_contents::read(&file, origin, store)?;
            Ok((Part { blob, file }, contents))
        })
        .collect::<Result<Vec<_>, ImageError>>()?;

    let (indexed, mut unchecked): (Vec<_>, Vec<_>) =
        layers.iter().partition(|(_, layer)| layer.files.contains_key(INDEX));
    check(&indexed.iter().map(|(part, _)| part).collect::<Vec<_>>(), origin)?;
    // Only the topmost index counts: it replaces those below.
    let index = match indexed.last() {
        Some((_, layer)) => index_of(layer, origin)?,
        None => None,
    };
    unchecked.retain(|(_, layer)| {
        layer.wheels.is_empty()
            || !layer.wheels.values().all(|wheel| {
                wheel.sha256.is_none()
                    && index.as_ref().is_some_and(|index| index.get(&wheel.filename).is_some())
            })
    });
    check(&unchecked.iter().map(|(part, _)| part).collect::<Vec<_>>(), origin)?;
    Ok(Contents::stacked(layers.into_iter().map(|(_, layer)| layer)))
}

/// A layer and where its bytes are.
struct Part {
    blob: BlobRef,
    file: WheelFile,
}

fn file_of(blobs: &Blobs, blob: &BlobRef) -> Result<WheelFile, ImageError> {
    match blobs.get(&blob.digest) {
        Some(Place::File(file)) if file.len() == blob.size => Ok(file),
        _ => Err(ImageError::LacksBlob { origin: blobs.origin().into(), digest: blob.digest }),
    }
}

impl Contents {
    /// The contents of layers, each upon those before it.
    pub(super) fn stacked(layers: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Self::default();
        for layer in layers {
            stack(&mut whole, layer);
        }
        whole
    }
}

/// Puts `layer` upon what is below it.
fn stack(below: &mut Contents, layer: Contents) {
    let hidden = |path: &str| {
        layer.opaque.iter().any(|folder| path.starts_with(folder.as_str()))
            || layer.whiteouts.contains(path)
            || path.match_indices('/').any(|(at, _)| layer.whiteouts.contains(&path[..at]))
    };
    below.wheels.retain(|path, _| !hidden(path.as_str()));
    below.files.retain(|path, _| !hidden(path));
    below.wheels.extend(layer.wheels);
    below.files.extend(layer.files);
}

/// Compares layers with their digests, on all of rayon's threads.
fn check(layers: &[&Part], origin: &str) -> Result<(), ImageError> {
    layers.into_par_iter().try_for_each(|part| {
        let found = part.file.digest().map_err(io_error("read", part.file.path()))?;
        let expected = part.blob.digest;
        if found == expected {
            Ok(())
        } else {
            Err(ImageError::Layer { origin: origin.into(), expected, found })
        }
    })
}
