//! [`inspect`]: what is at a place, looked at and not copied: an image's configuration and layers, and its
//! wheels or its files.
//!
//! An image with a wheel index is judged by that, and no layer of it is read but the last one. Of others all
//! layers are read as they come by, each checked against its digest.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use oci_spec::image::{Arch, History, ImageConfiguration, ImageManifest};
use rayon::prelude::*;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::store::set::Origin;
use crate::vocab::digest::{Digest, Hasher};
use crate::vocab::wheel_filename::WheelFilename;

use super::blob_source::{BlobSource, TRIES, blocking};
use super::blobs::ByteStream;
use super::error::{ImageError, io_error};
use super::files::ImageFiles;
use super::index_json::WheelIndex;
use super::layer_files::{Budget, FileKind, LayerFiles, read};
use super::manifest::{BlobRef, MOST_MANIFEST, architecture};
use super::open_image::OpenImage;
use super::reference::Reference;
use super::remote_image::MOST_METADATA;
use super::source::{Source, parse_index};
use super::tree::platform_of;
use super::{Access, INDEX, Progress};

/// So many layers are read at once.
const SIDE_BY_SIDE: usize = 4;

/// How far it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The configuration and the names of the layers.
    Outline,
    /// What is in it, as far as its index tells where it has one.
    Contents,
    /// Every file of it.
    Files,
}

/// What is at a place.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The image; none for a set that is none.
    pub image: Option<ImageInfo>,
    /// What is in it.
    pub contents: Contents,
}

/// What is in an image or a set.
#[derive(Debug, Clone)]
pub enum Contents {
    /// It was not looked.
    Unread,
    /// Wheels, sorted by file name.
    Wheels(Vec<WheelInfo>),
    /// Files.
    Files(ImageFiles),
}

/// A wheel of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WheelInfo {
    /// The project, by its normalised name (PEP 503).
    pub name: String,
    /// The version.
    pub version: String,
    /// The file name.
    pub file: String,
    /// The size in bytes.
    pub size: u64,
    /// The digest.
    pub sha256: Digest,
    /// Where it came from in the first place, as far as the set says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageInfo {
    /// The digest of its manifest.
    pub digest: Digest,
    /// `linux/amd64`
    pub platform: String,
    /// When it was made, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The bytes of its layers, as they are stored.
    pub size: u64,
    /// How it is run.
    pub config: RunConfig,
    /// What its manifest says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerInfo>,
}

/// How an image is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RunConfig {
    /// As whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The command that is always run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Variables, as `NAME=value`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Ports it serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Directories that are to outlive a container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// The digest, as it is stored.
    pub digest: Digest,
    /// The size in bytes, as it is stored.
    pub size: u64,
    /// The media type.
    pub media_type: String,
    /// What made it, as history has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// Layers that were read, by digest: another image may have them as well.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<Digest, Arc<LayerFiles>>);

/// Looks at `reference`. Of an image for several platforms it is the one for Linux on `platform`; without one
/// the only one, or the one for `machine`, as `uname -m` calls it.
///
/// # Errors
/// [`ImageError`] when nothing is there, or a part of it is damaged; [`ImageError::NotAnImage`] when files are asked
/// for of what has none.
pub async fn inspect(
    reference: &Reference,
    (platform, machine): (Option<&Arch>, &str),
    depth: Depth,
    access: &Access,
    seen: &mut Seen,
    progress: &Progress,
) -> Result<Inspected, ImageError> {
    let Some(opened) = OpenImage::open(reference, access).await? else {
        if depth == Depth::Files {
            return Err(ImageError::NotAnImage { reference: reference.to_string() });
        }
        let machine = platform.map_or_else(|| machine.to_owned(), super::copy::machine_of);
        let source = Source::open(reference, &machine, access, progress).await?;
        let wheels = blocking(move || wheels_of(&source)).await?;
        return Ok(Inspected { image: None, contents: Contents::Wheels(wheels) });
    };
    let (document, manifest) = match platform {
        Some(platform) => opened.manifest_for(platform).await?,
        None => opened.manifest(&architecture(machine)).await?,
    };
    let blob = BlobRef::of(manifest.config(), &opened.origin)?;
    let config = opened.source.small(&blob, &opened.origin, MOST_MANIFEST).await?;
    let config: ImageConfiguration = serde_json::from_slice(&config).map_err(|source| {
        ImageError::Manifest { origin: opened.origin.clone(), digest: blob.digest, source }
    })?;
    let image = info(document.digest, &manifest, &config, &opened.origin)?;
    let reading = Reading { opened: &opened, progress, budget: Arc::default() };
    let contents = match depth {
        Depth::Outline => Contents::Unread,
        Depth::Contents => match reading.indexed(&manifest, &config, seen).await? {
            Some(wheels) => Contents::Wheels(wheels),
            None => judged(reading.files(&manifest, seen).await?, &opened.origin)?,
        },
        Depth::Files => Contents::Files(reading.files(&manifest, seen).await?),
    };
    Ok(Inspected { image: Some(image), contents })
}

struct Reading<'a> {
    opened: &'a OpenImage,
    progress: &'a Progress,
    budget: Arc<Budget>,
}

impl Reading<'_> {
    /// The wheels that the image's index names and its layers have; none when there is no index in its last
    /// layer.
    async fn indexed(
        &self,
        manifest: &ImageManifest,
        config: &ImageConfiguration,
        seen: &mut Seen,
    ) -> Result<Option<Vec<WheelInfo>>, ImageError> {
        let origin = self.opened.origin.as_str();
        let Some(last) = manifest.layers().last() else { return Ok(None) };
        let last = BlobRef::of(last, origin)?;
        if last.size > MOST_METADATA {
            return Ok(None);
        }
        let layer = self.layer(&last).await?;
        let index = layer.texts.get(INDEX).map(|text| parse_index(text, origin)).transpose()?;
        seen.0.insert(last.digest, layer);
        let diff_ids = config.rootfs().diff_ids();
        let wheels = index.map(|index: WheelIndex| {
            let there = |layer: &Digest| diff_ids.contains(&layer.to_string());
            let wheels = index.wheels.into_iter();
            wheels
                .filter(|wheel| wheel.layer.as_ref().is_none_or(there))
                .map(|w| WheelInfo::new(&w.filename, w.size, w.sha256, Some(w.origin)))
                .collect::<Vec<_>>()
        });
        // An index that fits none of the layers is another image's.
        Ok(wheels.filter(|wheels| !wheels.is_empty()).map(sorted))
    }

    /// The files of the image.
    async fn files(
        &self,
        manifest: &ImageManifest,
        seen: &mut Seen,
    ) -> Result<ImageFiles, ImageError> {
        let blobs = manifest
            .layers()
            .iter()
            .map(|layer| BlobRef::of(layer, &self.opened.origin))
            .collect::<Result<Vec<_>, _>>()?;
        // One layer may be there twice: an empty one.
        let missing: BTreeMap<Digest, BlobRef> = blobs
            .iter()
            .filter(|blob| !seen.0.contains_key(&blob.digest))
            .map(|blob| (blob.digest, blob.clone()))
            .collect();
        let mut reading =
            futures::stream::iter(missing)
                .map(|(digest, blob)| async move {
                    Ok::<_, ImageError>((digest, self.layer(&blob).await?))
                })
                .buffer_unordered(SIDE_BY_SIDE);
        while let Some(layer) = reading.next().await {
            let (digest, layer) = layer?;
            seen.0.insert(digest, layer);
        }
        let layers: Vec<_> =
            blobs.iter().filter_map(|blob| seen.0.get(&blob.digest).cloned()).collect();
        blocking(move || Ok(ImageFiles::stack(&layers))).await
    }

    /// What a layer does, once it is sure that it is the one it is said to be.
    async fn layer(&self, blob: &BlobRef) -> Result<Arc<LayerFiles>, ImageError> {
        let mut tries = match self.opened.source {
            BlobSource::Local(_) => 1,
            BlobSource::Registry(_) => TRIES,
        };
        loop {
            tries -= 1;
            match self.try_layer(blob).await {
                // What was damaged on the way may come whole the next time.
                Err(ImageError::Layer { .. }) if tries > 0 => {}
                outcome => return outcome.map(Arc::new),
            }
        }
    }

    async fn try_layer(&self, blob: &BlobRef) -> Result<LayerFiles, ImageError> {
        let stream = self.opened.source.stream(blob, 0..blob.size).await?;
        let (origin, budget) = (self.opened.origin.clone(), Arc::clone(&self.budget));
        let (expected, progress) = (blob.digest, Arc::clone(self.progress));
        blocking(move || {
            let mut pieces = Pieces {
                stream,
                runtime: Handle::current(),
                piece: Bytes::new(),
                hasher: Hasher::new(),
                failed: None,
                progress,
            };
            let layer = read(&mut pieces, &origin, &budget);
            // A fault of the tar is none when its bytes are not those that were asked for.
            let rest = io::copy(&mut pieces, &mut io::sink());
            if let Some(error) = pieces.failed {
                return Err(error);
            }
            rest.map_err(|source| ImageError::Read { what: expected.to_string(), source })?;
            let (found, _) = pieces.hasher.finish();
            if found == expected {
                layer
            } else {
                Err(ImageError::Layer { origin, expected, found })
            }
        })
        .await
    }
}

/// Reads a blob's pieces as they come, and hashes them.
struct Pieces {
    stream: ByteStream,
    runtime: Handle,
    piece: Bytes,
    hasher: Hasher,
    failed: Option<ImageError>,
    progress: Progress,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(piece)) => {
                    self.hasher.update(&piece);
                    (self.progress)(piece.len() as u64);
                    self.piece = piece;
                }
                Some(Err(error)) => {
                    let said = io::Error::other(error.to_string());
                    self.failed = Some(error);
                    return Err(said);
                }
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// What files are: a set where there are wheels and nothing that is installed.
fn judged(files: ImageFiles, origin: &str) -> Result<Contents, ImageError> {
    let installed = files.texts().any(|(path, _)| path != INDEX);
    let wheels: Vec<_> = files
        .iter()
        .filter(|(path, file)| file.kind == FileKind::File && path.ends_with(".whl"))
        .filter_map(|(path, file)| Some((path.rsplit('/').next()?, file.size, file.sha256?)))
        .collect();
    if installed || wheels.is_empty() {
        return Ok(Contents::Files(files));
    }
    let index = files.text(INDEX).map(|text| parse_index(text, origin)).transpose()?;
    let wheels = wheels.into_iter().map(|(name, size, sha256)| {
        let filename = super::tar_contents::filename(name, name, origin)?;
        let origin = index.as_ref().and_then(|index| index.get(&filename));
        Ok(WheelInfo::new(&filename, size, sha256, origin.map(|wheel| wheel.origin.clone())))
    });
    Ok(Contents::Wheels(sorted(wheels.collect::<Result<_, ImageError>>()?)))
}

/// The wheels of a set that is no image; those are read whose digest nobody tells.
fn wheels_of(source: &Source) -> Result<Vec<WheelInfo>, ImageError> {
    let wheels = source.wheels.par_iter().map(|wheel| {
        let sha256 = match (wheel.sha256, wheel.file()) {
            (Some(digest), _) => digest,
            (None, Some(file)) => file.digest().map_err(io_error("read", file.path()))?,
            (None, None) => unreachable!("what is elsewhere has a digest in its index"),
        };
        Ok(WheelInfo::new(&wheel.filename, wheel.size, sha256, wheel.origin.clone()))
    });
    Ok(sorted(wheels.collect::<Result<_, ImageError>>()?))
}

fn sorted(mut wheels: Vec<WheelInfo>) -> Vec<WheelInfo> {
    wheels.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
    wheels
}

impl WheelInfo {
    fn new(filename: &WheelFilename, size: u64, sha256: Digest, origin: Option<Origin>) -> Self {
        let (name, version) = (filename.name().to_string(), filename.version().to_string());
        Self { name, version, file: filename.to_string(), size, sha256, origin }
    }
}

fn info(
    digest: Digest,
    manifest: &ImageManifest,
    config: &ImageConfiguration,
    origin: &str,
) -> Result<ImageInfo, ImageError> {
    let none = Vec::new();
    let history: &[History] = config.history().as_ref().unwrap_or(&none);
    let mut made = history.iter().filter(|entry| entry.empty_layer() != Some(true));
    let layers = manifest
        .layers()
        .iter()
        .map(|layer| {
            let BlobRef { digest, size, media_type } = BlobRef::of(layer, origin)?;
            let created_by = made.next().and_then(|entry| entry.created_by().clone());
            Ok(LayerInfo { digest, size, media_type, created_by })
        })
        .collect::<Result<Vec<_>, ImageError>>()?;
    let annotations = manifest.annotations().clone().unwrap_or_default();
    Ok(ImageInfo {
        digest,
        platform: platform_of(config),
        created: config.created().clone(),
        size: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size)),
        config: config.config().as_ref().map(run_config).unwrap_or_default(),
        annotations: annotations.into_iter().collect(),
        layers,
    })
}

fn run_config(config: &oci_spec::image::Config) -> RunConfig {
    // Docker writes an empty text where there is nothing.
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    RunConfig {
        user: said(config.user()),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        working_dir: said(config.working_dir()),
        ports: config.exposed_ports().clone().unwrap_or_default(),
        volumes: config.volumes().clone().unwrap_or_default(),
        labels: config.labels().clone().unwrap_or_default().into_iter().collect(),
    }
}
