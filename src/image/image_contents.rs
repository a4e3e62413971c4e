//! The contents of an image in an OCI image layout: its layers, one upon the other.

use std::fs;
use std::path::Path;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Os};
use rayon::prelude::*;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::layout::Layout;
use crate::store::names::{Named, Tag};
use crate::store::set::SET_TYPE;
use crate::vocab::digest::Digest;

use super::INDEX;
use super::error::{ImageError, io_error};
use super::layout::architecture;
use super::source::index_of;
use super::tar_contents::{self, Contents};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Indexes of indexes go no deeper than this.
const MOST_NESTED: usize = 4;

/// Reads the image called `tag` in the layout at `dir`. Manifests are checked against their digests, and
/// so is every layer except those all of whose wheels have a digest in the (checked) wheel index: such a
/// wheel is checked when it is used.
pub(super) fn read(
    dir: &Path,
    tag: Option<&Tag>,
    origin: &str,
    store: &Store,
) -> Result<Contents, ImageError> {
    let layout = Layout::open(dir)?;
    let manifest = manifest(&layout, &choose(&layout, tag, origin)?, origin, 0)?;
    let mut layers = manifest
        .layers()
        .par_iter()
        .map(|layer| {
            let digest = digest_of(layer, origin)?;
            if layout.size(&digest) != Some(layer.size()) {
                return Err(layout.no_such_blob(&digest).into());
            }
            Ok((digest, tar_contents::read(&layout.path(&digest), origin, store)?))
        })
        .collect::<Result<Vec<_>, ImageError>>()?;

    let mut whole = Contents::default();
    let (indexed, mut unchecked): (Vec<_>, Vec<_>) =
        layers.iter().partition(|(_, layer)| layer.files.contains_key(INDEX));
    check(&layout, indexed.iter().map(|(digest, _)| *digest).collect(), origin)?;
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
    check(&layout, unchecked.iter().map(|(digest, _)| *digest).collect(), origin)?;

    for (_, layer) in layers.drain(..) {
        stack(&mut whole, layer);
    }
    Ok(whole)
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
fn check(layout: &Layout, layers: Vec<Digest>, origin: &str) -> Result<(), ImageError> {
    layers.into_par_iter().try_for_each(|expected| {
        let path = layout.path(&expected);
        let (found, _) =
            fs::File::open(&path).and_then(Digest::of_reader).map_err(io_error("read", &path))?;
        if found == expected {
            Ok(())
        } else {
            Err(ImageError::Layer { origin: origin.into(), expected, found })
        }
    })
}

/// The image called `tag`; without one, the only image, else `latest`.
fn choose(layout: &Layout, tag: Option<&Tag>, origin: &str) -> Result<Descriptor, ImageError> {
    if let Some(tag) = tag {
        return Ok(layout.named(tag)?.descriptor);
    }
    match &layout.names()?[..] {
        [] => {
            let fault = "has no image in it".into();
            Err(ImageError::Image { origin: origin.into(), fault })
        }
        [Named { descriptor, .. }] => Ok(descriptor.clone()),
        _ => Ok(layout.named(&Tag::default())?.descriptor),
    }
}

/// The manifest `descriptor` leads to, through indexes, for this machine.
fn manifest(
    layout: &Layout,
    descriptor: &Descriptor,
    origin: &str,
    depth: usize,
) -> Result<ImageManifest, ImageError> {
    let refuse = |fault: String| ImageError::Image { origin: origin.into(), fault };
    let digest = digest_of(descriptor, origin)?;
    let bytes = || -> Result<Vec<u8>, ImageError> { Ok(layout.read(&digest)?) };
    let json = |source| StoreError::Json { what: digest.to_string(), source };
    let is_index = match descriptor.media_type() {
        MediaType::ImageManifest => false,
        MediaType::ImageIndex => true,
        MediaType::Other(kind) if kind == DOCKER_MANIFEST => false,
        MediaType::Other(kind) if kind == DOCKER_LIST => true,
        other => return Err(refuse(format!("is no image but `{other}`"))),
    };
    if is_index {
        if depth == MOST_NESTED {
            return Err(refuse("has indexes within indexes".into()));
        }
        let index: ImageIndex = serde_json::from_slice(&bytes()?).map_err(json)?;
        let machine = architecture(std::env::consts::ARCH);
        let fits = |descriptor: &&Descriptor| {
            descriptor.platform().as_ref().is_none_or(|platform| {
                *platform.os() == Os::Linux && *platform.architecture() == machine
            })
        };
        let chosen = match &index.manifests()[..] {
            [only] => Some(only),
            several => several.iter().find(fits),
        };
        let Some(chosen) = chosen else {
            return Err(refuse(format!("has no image for linux/{machine}")));
        };
        return manifest(layout, chosen, origin, depth + 1);
    }
    let manifest: ImageManifest = serde_json::from_slice(&bytes()?).map_err(json)?;
    if manifest.artifact_type().as_ref().is_some_and(|kind| kind.as_ref() == SET_TYPE) {
        return Err(refuse("is a set in a store, which is read as `store:TAG`".into()));
    }
    Ok(manifest)
}

fn digest_of(descriptor: &Descriptor, origin: &str) -> Result<Digest, ImageError> {
    let text = descriptor.digest().to_string();
    text.parse().map_err(|_| ImageError::Image {
        origin: origin.into(),
        fault: format!("names a blob by `{text}`, which is not sha256"),
    })
}
