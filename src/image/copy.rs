//! Sets and images on their way from one place to another: [`write`] out of the store, [`copy`] from
//! anywhere to anywhere.
//!
//! From image to image everything keeps its digest, and only what is missing moves. Where one side is
//! not an image (a tar, a directory, a set in the store), the wheels go through the store.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use oci_spec::image::{
    Arch, Descriptor, ImageConfiguration, ImageIndexBuilder, ImageManifest, MediaType,
    PlatformBuilder,
};

use tokio::sync::OnceCell;

use crate::store::Store;
use crate::store::layout::canonical_json;
use crate::store::set::{Origin, SetWheel, WheelSet};
use crate::vocab::digest::Digest;

use super::archive::ArchiveNames;
use super::blob_source::{BlobSource, blocking};
use super::error::{ImageError, io_error};
use super::manifest::{
    BlobRef, DOCKER_LIST, Document, MOST_MANIFEST, Manifest, OCI_INDEX, architecture, is_plain,
};
use super::offered::LocatedWheel;
use super::open_image::OpenImage;
use super::packed::{Packed, pack};
use super::reference::Reference;
use super::registry::referrers::{Artifact, ArtifactKind};
use super::remote_image::MOST_METADATA;
use super::sbom::Sbom;
use super::source::{Source, index_of, parse_index};
use super::transfer::{Image, Sink, transfer};
use super::tree::{ImageTree, Platforms, Root};
use super::{
    Access, INDEX, Progress, WriteOptions, Written, bring, directory, tar_contents, tarball,
};

/// Writes `set`, whose wheels are in the store, to where `destination` says. Equal sets and options
/// are equal bytes.
///
/// # Errors
/// [`ImageError::NotWritable`] when `destination` is only for reading; [`ImageError::Store`] when a wheel is not
/// in the store or damaged; [`ImageError::Wheel`] when one has no metadata that can be read; [`ImageError::Io`];
/// and what a registry says.
pub async fn write(
    set: &Arc<WheelSet>,
    destination: &Reference,
    options: &Arc<WriteOptions>,
    packing: &Packing,
    access: &Access,
    progress: &Progress,
) -> Result<Written, ImageError> {
    let (set, options, store) = (Arc::clone(set), Arc::clone(options), access.store.clone());
    let told = Arc::clone(progress);
    match destination.clone() {
        Reference::Directory(dir) => {
            blocking(move || directory::write(&set, &store, &dir, &options, &*told)).await
        }
        Reference::Tar(file) => {
            blocking(move || tarball::write(&set, &store, &file, &options, &*told)).await
        }
        Reference::Store { tag } => {
            blocking(move || {
                store.save_set(&tag, &set)?;
                let unchanged = set.wheels.iter().map(|wheel| wheel.size).sum();
                told(unchanged);
                Ok(Written { unchanged, ..Written::default() })
            })
            .await
        }
        Reference::Url(_) => Err(ImageError::NotWritable { reference: destination.to_string() }),
        Reference::Oci { .. }
        | Reference::OciArchive { .. }
        | Reference::DockerArchive { .. }
        | Reference::Registry(_) => {
            let sink = sink(destination, options.epoch, access).await?;
            let packed = packing.get(set, options, store).await?;
            let (created, roots) = (&packed.created, &packed.tree.roots);
            let artifacts: Vec<Artifact> = roots
                .iter()
                .zip(&packed.bills)
                .flat_map(|(root, bill)| {
                    let artifact = |kind, bytes: &Bytes| {
                        Artifact::new(kind, &root.reference, bytes.clone(), Some(created.clone()))
                    };
                    [
                        artifact(ArtifactKind::Index, &packed.index),
                        artifact(ArtifactKind::Bill, bill),
                    ]
                })
                .collect();
            let source = BlobSource::Local(Arc::new(packed.blobs.clone()));
            let image = Image { tree: packed.tree.clone(), source };
            let moved = transfer(&[image], &packed.tree, &sink, &artifacts, progress).await?;
            Ok(Written {
                images: packed.tree.named(),
                bytes: moved.written,
                unchanged: moved.unchanged,
                ..Written::default()
            })
        }
    }
}

/// The image of one set, made once however many places it goes to.
#[derive(Debug, Default)]
pub struct Packing(OnceCell<Arc<Packed>>);

impl Packing {
    async fn get(
        &self,
        set: Arc<WheelSet>,
        options: Arc<WriteOptions>,
        store: Store,
    ) -> Result<Arc<Packed>, ImageError> {
        let pack = || blocking(move || pack(&set, &store, &options).map(Arc::new));
        self.0.get_or_try_init(pack).await.map(Arc::clone)
    }
}

/// What becomes of an image that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It stays the one it is, with its digest.
    Keep,
    /// Another one is made of its wheels.
    Remake,
}

/// Copies `sources` to `destination`. Several images become one for several platforms; of one image for
/// several platforms those go that `platforms` says.
///
/// # Errors
/// [`ImageError`]; what `destination` named before is then as it was.
pub async fn copy(
    sources: &[Reference],
    destination: &Reference,
    (platforms, treatment): (&Platforms, Treatment),
    options: &Arc<WriteOptions>,
    access: &Access,
    progress: &Progress,
) -> Result<Written, ImageError> {
    let mut images = Vec::new();
    for source in sources {
        images.extend(OpenImage::open(source, access).await?);
    }
    let one = match sources {
        [one] => Some(one),
        _ => None,
    };
    let by_wheels = images.is_empty() || !destination.is_image() || treatment == Treatment::Remake;
    if let (Some(source), true) = (one, by_wheels) {
        if let (Some(image), Platforms::One(_)) = (images.first(), platforms) {
            // There must be such an image, though only its wheels are wanted.
            image.tree(platforms).await?;
        }
        let machine = match platforms {
            Platforms::One(architecture) | Platforms::Best(architecture) => {
                machine_of(architecture)
            }
            Platforms::All => options.machine.clone(),
        };
        return copy_wheels(source, destination, &machine, options, access, progress).await;
    }
    if !destination.is_image() || images.len() < sources.len() {
        let other = sources.iter().find(|source| !source.is_image()).unwrap_or(destination);
        return Err(ImageError::NotAnImage { reference: other.to_string() });
    }
    // Such an archive has no place for an index.
    let host = Platforms::Best(architecture(&options.machine));
    let platforms = match (destination, platforms) {
        (Reference::DockerArchive { .. }, Platforms::All) => &host,
        (_, platforms) => platforms,
    };
    let mut parts = Vec::with_capacity(images.len());
    for image in &images {
        let tree = image.tree(platforms).await?;
        parts.push(Image { tree, source: image.source.clone() });
    }
    let whole = match &parts[..] {
        [only] => only.tree.clone(),
        _ => joined(&parts, &images).await?,
    };
    let artifacts = match destination {
        Reference::Registry(_) => artifacts(&parts, access).await?,
        _ => Vec::new(),
    };
    let sink = sink(destination, options.epoch, access).await?;
    let moved = transfer(&parts, &whole, &sink, &artifacts, progress).await?;
    Ok(Written {
        images: whole.named(),
        bytes: moved.written,
        unchanged: moved.unchanged,
        ..Written::default()
    })
}

/// Where an image is to go. Waits for another one that is on its way there.
pub(super) async fn sink(
    destination: &Reference,
    epoch: u64,
    access: &Access,
) -> Result<Sink, ImageError> {
    match destination.clone() {
        Reference::Oci { dir, tag } => {
            blocking(move || Sink::layout(&dir, tag.unwrap_or_default())).await
        }
        Reference::OciArchive { file, tag } => {
            let names = ArchiveNames::Oci(tag.unwrap_or_default());
            blocking(move || Sink::archive(&file, names, epoch)).await
        }
        Reference::DockerArchive { file, name } => {
            blocking(move || Sink::archive(&file, ArchiveNames::Docker(name), epoch)).await
        }
        Reference::Registry(name) => Ok(Sink::registry(access.registries.repository(&name)?, name)),
        Reference::Directory(_)
        | Reference::Tar(_)
        | Reference::Store { .. }
        | Reference::Url(_) => Err(ImageError::NotAnImage { reference: destination.to_string() }),
    }
}

/// Copies where at least one side is no image.
async fn copy_wheels(
    source: &Reference,
    destination: &Reference,
    machine: &str,
    options: &Arc<WriteOptions>,
    access: &Access,
    progress: &Progress,
) -> Result<Written, ImageError> {
    if let Reference::Url(_) = destination {
        return Err(ImageError::NotWritable { reference: destination.to_string() });
    }
    let opened = Source::open(source, machine, access, progress).await?;
    let wheels: Vec<_> = opened.wheels.iter().collect();
    let located = bring(&wheels, access, progress).await?;
    let (store, from) = (access.store.clone(), source.to_string());
    let set = blocking(move || set_of(opened, located, &from, &store)).await?;
    let packing = Packing::default();
    write(&Arc::new(set), destination, options, &packing, access, progress).await
}

/// The set that a source is, all of whose wheels are put into the store.
fn set_of(
    source: Source,
    located: Vec<LocatedWheel>,
    from: &str,
    store: &Store,
) -> Result<WheelSet, ImageError> {
    use rayon::prelude::*;
    let wheels = source
        .wheels
        .par_iter()
        .zip(located)
        .map(|(offered, located)| {
            Ok(SetWheel {
                filename: located.filename.clone(),
                size: located.file.len(),
                digest: stored(&located, from, store)?,
                origin: offered
                    .origin
                    .clone()
                    .unwrap_or_else(|| Origin::Imported { from: from.to_owned() }),
            })
        })
        .collect::<Result<Vec<SetWheel>, ImageError>>()?;
    let pins = || {
        let lines = wheels.iter().map(|wheel| {
            let (name, version) = (wheel.filename.name(), wheel.filename.version());
            (name, format!("{name}==={version}\n"))
        });
        lines.collect::<BTreeMap<_, _>>().into_values().collect()
    };
    Ok(WheelSet {
        constraints: source.constraints.unwrap_or_else(pins),
        global_requirements: source.global_requirements.unwrap_or_default(),
        wheels,
    })
}

/// Puts a wheel into the store, if it is not there, and says its digest.
fn stored(wheel: &LocatedWheel, from: &str, store: &Store) -> Result<Digest, ImageError> {
    let failed = |error| io_error("read", wheel.file.path())(error);
    let found = wheel.file.digest().map_err(failed)?;
    if let Some(expected) = wheel.sha256.filter(|expected| *expected != found) {
        let (origin, wheel) = (from.to_owned(), wheel.filename.to_string());
        return Err(ImageError::Damaged { origin, wheel, expected, found });
    }
    if store.size(&found) == Some(wheel.file.len()) {
        return Ok(found);
    }
    let mut writer = store.writer()?;
    let mut reader = wheel.file.reader().map_err(failed)?;
    std::io::copy(&mut reader, &mut writer).map_err(failed)?;
    writer.flush().map_err(io_error("write", store.root()))?;
    writer.commit_as(&found)?;
    Ok(found)
}

/// An index over all images of `parts`, and what it leads to.
async fn joined(parts: &[Image], opened: &[OpenImage]) -> Result<ImageTree, ImageError> {
    let mut entries: Vec<(String, Descriptor)> = Vec::new();
    for (part, opened) in parts.iter().zip(opened) {
        for document in &part.tree.documents {
            let manifest = Manifest::parse(&document.bytes, &document.reference, &opened.origin)?;
            let Manifest::Image(manifest) = manifest else { continue };
            if is_attestation(part, document) {
                continue;
            }
            let descriptor = with_platform(document, &manifest, part, &opened.origin).await?;
            let platform = platform_of(&descriptor);
            if entries
                .iter()
                .any(|(known, other)| *known == platform && other.digest() != descriptor.digest())
            {
                let fault = format!("is one of two images for {platform}; an index has but one");
                return Err(ImageError::Image { origin: opened.origin.clone(), fault });
            }
            if entries.iter().all(|(known, _)| *known != platform) {
                entries.push((platform, descriptor));
            }
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(entries.into_iter().map(|(_, descriptor)| descriptor).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    let document = Document::new(canonical_json(&index), OCI_INDEX);
    let mut whole = ImageTree::join(parts.iter().map(|part| part.tree.clone()));
    // The indexes that were joined give way to the one that joins them.
    let is_index = |kind: &str| matches!(kind, OCI_INDEX | DOCKER_LIST);
    whole.documents.retain(|document| !is_index(&document.reference.media_type));
    whole.roots = vec![Root { ending: String::new(), reference: document.reference.clone() }];
    whole.documents.push(document);
    Ok(whole)
}

/// Whether an index has this manifest as one for no platform: what build tools attest of the others.
fn is_attestation(part: &Image, document: &Document) -> bool {
    let unknown = Arch::Other("unknown".into());
    let indexes = part.tree.documents.iter().filter_map(|index| {
        match Manifest::parse(&index.bytes, &index.reference, "").ok()? {
            Manifest::Index(index) => Some(index),
            Manifest::Image(_) => None,
        }
    });
    let digest = document.reference.digest.to_string();
    indexes.flat_map(|index| index.manifests().clone()).any(|descriptor| {
        descriptor.digest().to_string() == digest
            && descriptor.platform().as_ref().is_some_and(|p| *p.architecture() == unknown)
    })
}

/// What points to an image, with the platform that its configuration says.
async fn with_platform(
    document: &Document,
    manifest: &ImageManifest,
    part: &Image,
    origin: &str,
) -> Result<Descriptor, ImageError> {
    let blob = BlobRef::of(manifest.config(), origin)?;
    let bytes = part.source.small(&blob, origin, MOST_MANIFEST).await?;
    let config: ImageConfiguration = serde_json::from_slice(&bytes).map_err(|source| {
        ImageError::Manifest { origin: origin.into(), digest: blob.digest, source }
    })?;
    let mut platform = PlatformBuilder::default()
        .os(config.os().clone())
        .architecture(config.architecture().clone());
    if let Some(variant) = config.variant() {
        platform = platform.variant(variant.clone());
    }
    let mut descriptor = document.reference.descriptor();
    descriptor.set_platform(Some(platform.build().expect("every required field is set")));
    Ok(descriptor)
}

fn platform_of(descriptor: &Descriptor) -> String {
    let Some(platform) = descriptor.platform() else { return String::new() };
    let variant = platform.variant().as_ref().map(|v| format!("/{v}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os(), platform.architecture())
}

/// The wheel indexes of the images and the bills of their wheels, as artifacts that refer to them. An image
/// without an index gets none.
async fn artifacts(parts: &[Image], access: &Access) -> Result<Vec<Artifact>, ImageError> {
    let mut artifacts = Vec::new();
    for part in parts {
        for document in &part.tree.documents {
            let origin = document.reference.digest.to_string();
            let Ok(Manifest::Image(manifest)) =
                Manifest::parse(&document.bytes, &document.reference, &origin)
            else {
                continue;
            };
            let created = manifest.annotations().as_ref().and_then(|annotations| {
                annotations.get(oci_spec::image::ANNOTATION_CREATED).cloned()
            });
            let Some(index) = index_beside(&manifest, document, part, access).await? else {
                continue;
            };
            let bill = match parse_index(&index, &origin) {
                Ok(wheels) => {
                    let layers = diff_ids(&manifest, part, &origin).await?;
                    Some(Sbom::of_index(&wheels, Some(&layers), created.clone()).to_bytes().into())
                }
                Err(_) => None,
            };
            let files = [(ArtifactKind::Index, Some(index)), (ArtifactKind::Bill, bill)];
            artifacts.extend(files.into_iter().filter_map(|(kind, file)| {
                Some(Artifact::new(kind, &document.reference, file?, created.clone()))
            }));
        }
    }
    Ok(artifacts)
}

/// What the layers of an image are uncompressed: what they are where none is compressed, else as its
/// configuration says.
async fn diff_ids(
    manifest: &ImageManifest,
    part: &Image,
    origin: &str,
) -> Result<Vec<Digest>, ImageError> {
    let layers = manifest.layers().iter().map(|layer| BlobRef::of(layer, origin));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    if layers.iter().all(|layer| is_plain(&layer.media_type)) {
        return Ok(layers.iter().map(|layer| layer.digest).collect());
    }
    let blob = BlobRef::of(manifest.config(), origin)?;
    let bytes = part.source.small(&blob, origin, MOST_MANIFEST).await?;
    // A configuration that makes no sense is copied as it is, and names no layer.
    let config = serde_json::from_slice::<ImageConfiguration>(&bytes);
    let ids = config.map(|config| config.rootfs().diff_ids().clone()).unwrap_or_default();
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// The wheel index of an image: in its last layer, or beside it in its registry.
async fn index_beside(
    manifest: &ImageManifest,
    document: &Document,
    part: &Image,
    access: &Access,
) -> Result<Option<Bytes>, ImageError> {
    let origin = document.reference.digest.to_string();
    let last = manifest.layers().last().map(|layer| BlobRef::of(layer, &origin)).transpose()?;
    if let Some(last) = last.filter(|last| last.size <= MOST_METADATA) {
        let bytes = part.source.small(&last, &origin, MOST_METADATA).await?;
        let (store, origin) = (access.store.clone(), origin.clone());
        // What is no tar has no index; whether that is right is not asked when it is only copied.
        let index = blocking(move || {
            let contents = tar_contents::read_stream(&bytes[..], &origin, &store);
            let Ok(contents) = contents else { return Ok(None) };
            let is_index = index_of(&contents, &origin).ok().flatten().is_some();
            Ok(contents.files.get(INDEX).filter(|_| is_index).cloned())
        })
        .await?;
        if let Some(index) = index {
            return Ok(Some(index.into()));
        }
    }
    let BlobSource::Registry(repository) = &part.source else { return Ok(None) };
    match repository.referring_index(&document.reference.digest).await? {
        Some(blob) => {
            let bytes = part.source.small(&blob, &origin, 4 * MOST_METADATA).await?;
            Ok(Some(bytes.into()))
        }
        None => Ok(None),
    }
}

/// What `uname -m` calls an architecture of Go's.
pub(super) fn machine_of(architecture: &Arch) -> String {
    match architecture {
        Arch::Amd64 => "x86_64".into(),
        Arch::ARM64 => "aarch64".into(),
        Arch::i386 => "i686".into(),
        other => other.to_string(),
    }
}
