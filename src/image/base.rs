//! [`Base`]: an image that others are made upon: its layers as they are, its configuration to be added to.
//!
//! Nothing of a base is written anew. Its layers keep their bytes and digests; of its configuration
//! every field stays, those that nobody here knows included.

use std::io::{self, Read};

use bytes::Bytes;
use futures::StreamExt;
use oci_spec::image::MediaType;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::vocab::digest::{Digest, Hasher};

use super::Access;
use super::blob_source::BlobSource;
use super::blobs::ByteStream;
use super::error::ImageError;
use super::manifest::{BlobRef, MOST_MANIFEST, Manifest, architecture};
use super::open_image::OpenImage;
use super::reference::Reference;
use super::tar_contents::decompressed;
use super::tree::Platforms;

/// An image to make others upon.
#[derive(Debug, Clone)]
pub struct Base {
    /// What it is called in errors.
    pub(super) origin: String,
    /// What others can find it by, when it is in a registry.
    published: Option<String>,
    /// The digest of its manifest.
    pub(super) digest: Digest,
    /// Its configuration.
    pub(super) config: Map<String, Value>,
    /// Its layers, the lowest first, by OCI's media types.
    pub(super) layers: Vec<BlobRef>,
    /// Where these are.
    pub(super) source: BlobSource,
}

impl Base {
    /// Opens the image at `reference` for `machine`, as `uname -m` calls it.
    ///
    /// # Errors
    /// [`ImageError`] when it is no image, is for another platform, or its parts do not fit each other.
    pub async fn open(
        reference: &Reference,
        machine: &str,
        access: &Access,
    ) -> Result<Self, ImageError> {
        let opened = OpenImage::open(reference, access).await?;
        let image =
            opened.ok_or_else(|| ImageError::NotAnImage { reference: reference.to_string() })?;
        let origin = image.origin.clone();
        let tree = image.tree(&Platforms::One(architecture(machine))).await?;
        let refuse = |fault: String| ImageError::Image { origin: origin.clone(), fault };
        let document = tree.documents.last().ok_or_else(|| refuse("has no manifest".into()))?;
        let manifest = match Manifest::parse(&document.bytes, &document.reference, &origin)? {
            Manifest::Image(manifest) => manifest,
            Manifest::Index(_) => return Err(refuse("is an index of indexes".into())),
        };
        let config = BlobRef::of(manifest.config(), &origin)?;
        let bytes = image.source.small(&config, &origin, MOST_MANIFEST).await?;
        let digest = config.digest;
        let config: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|source| ImageError::Manifest { origin: origin.clone(), digest, source })?;
        let layers = manifest
            .layers()
            .iter()
            .map(|layer| as_oci(&BlobRef::of(layer, &origin)?, &origin))
            .collect::<Result<Vec<_>, _>>()?;
        let published = match reference {
            Reference::Registry(name) => Some(name.to_string()),
            _ => None,
        };
        let base = Self {
            published,
            digest: document.reference.digest,
            origin: origin.clone(),
            config,
            layers,
            source: image.source,
        };
        let (layers, ids) = (base.layers.len(), base.diff_ids().len());
        if layers != ids {
            return Err(refuse(format!("has {layers} layers, and {ids} in its configuration")));
        }
        Ok(base)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.origin
    }

    /// What others can find it by: none for a file or folder of this machine.
    #[must_use]
    pub fn published(&self) -> Option<&str> {
        self.published.as_deref()
    }

    /// The digest of its manifest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What it sets the variable `name` to.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.config.get("config")?.get("Env")?.as_array()?.iter().rev();
        variables
            .filter_map(|text| text.as_str()?.split_once('='))
            .find_map(|(own, value)| (own == name).then_some(value))
    }

    /// How many layers it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The digests of its layers' tars.
    pub(super) fn diff_ids(&self) -> Vec<Value> {
        let ids = self.config.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids"));
        ids.and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// Readers of its layers, the lowest first, as plain tars. At the end of each its bytes have been held
    /// against its digest. To be read on a thread that may block.
    ///
    /// Each layer is asked for when it is first read: a registry ends connections that nobody reads from, and the
    /// last one's turn may come minutes after the first one's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn tars(&self) -> Vec<Box<dyn Read + Send>> {
        let tars = self.layers.iter().map(|layer| tar_of(layer, &self.source, &self.origin));
        tars.collect()
    }
}

/// A layer by the media type that OCI has for it: Docker's are the same bytes.
fn as_oci(layer: &BlobRef, origin: &str) -> Result<BlobRef, ImageError> {
    let media_type = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            MediaType::ImageLayerGzip.to_string()
        }
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer.to_string(),
        kind if kind.contains("foreign") || kind.contains("nondistributable") => {
            let fault = format!("has the layer {}, which may not be distributed", layer.digest);
            return Err(ImageError::Image { origin: origin.into(), fault });
        }
        kind => kind.to_owned(),
    };
    Ok(BlobRef { media_type, ..layer.clone() })
}

/// A reader of the tar that `layer` is.
fn tar_of(layer: &BlobRef, source: &BlobSource, origin: &str) -> Box<dyn Read + Send> {
    let checked = CheckedBlob {
        layer: layer.clone(),
        source: source.clone(),
        stream: None,
        runtime: Handle::current(),
        piece: Bytes::new(),
        hasher: Hasher::new(),
        found: None,
    };
    Box::new(Whole(Lazy::Packed(Box::new(checked), origin.to_owned())))
}

/// Reads a blob, and at its end says whether it was the right one.
struct CheckedBlob {
    layer: BlobRef,
    source: BlobSource,
    /// Its bytes, once the first of them was wanted.
    stream: Option<ByteStream>,
    runtime: Handle,
    piece: Bytes,
    hasher: Hasher,
    found: Option<Digest>,
}

impl CheckedBlob {
    /// What comes next; none at the end.
    fn next(&mut self) -> Result<Option<Bytes>, ImageError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let asked = self.source.stream(&self.layer, 0..self.layer.size);
                none.insert(self.runtime.block_on(asked)?)
            }
        };
        self.runtime.block_on(stream.next()).transpose()
    }
}

impl Read for CheckedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.found.is_none() {
            match self.next().map_err(io::Error::other)? {
                Some(piece) => self.piece = piece,
                None => self.found = Some(self.hasher.clone().finish().0),
            }
        }
        let expected = self.layer.digest;
        if let Some(found) = self.found.filter(|found| *found != expected) {
            let text = format!("the blob {expected} is damaged: its bytes are {found}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        self.hasher.update(&taken);
        buffer[..count].copy_from_slice(&taken);
        Ok(count)
    }
}

/// A tar that is unpacked when the first byte is asked for: only then it is known how it is packed.
struct Whole(Lazy);

enum Lazy {
    Packed(Box<CheckedBlob>, String),
    Plain(Box<dyn Read + Send>),
    Broken,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.0, Lazy::Broken) {
                Lazy::Packed(blob, origin) => {
                    let plain = decompressed(blob, &origin).map_err(io::Error::other)?;
                    self.0 = Lazy::Plain(plain);
                }
                Lazy::Plain(mut plain) => {
                    let count = plain.read(buffer)?;
                    self.0 = Lazy::Plain(plain);
                    return Ok(count);
                }
                Lazy::Broken => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}
