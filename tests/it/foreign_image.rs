//! [`ForeignImage`]: an image as other tools make it, put into a registry: layers compressed or not, in
//! the words of OCI or of Docker. And tars that no tool should make.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use tar::EntryType;

use crate::support::registry::{Registry, digest};
use crate::support::tar::odd_tar;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub fn pack(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => tar.to_vec(),
            Self::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(tar).unwrap();
                gzip.finish().unwrap()
            }
            Self::Zstd => compress_to_vec(tar, CompressionLevel::Uncompressed),
        }
    }

    pub fn media_type(self, docker: bool) -> &'static str {
        match (self, docker) {
            (Self::Plain, false) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Gzip, false) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Zstd, false) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::Plain, true) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Gzip, true) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::Zstd, true) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        }
    }
}

/// An image that is to be put somewhere.
#[derive(Clone, Default)]
pub struct ForeignImage {
    layers: Vec<(Vec<u8>, &'static str)>,
    diff_ids: Vec<String>,
    docker: bool,
    without_media_type: bool,
    architecture: Option<&'static str>,
    config: Value,
    history: Vec<&'static str>,
}

impl ForeignImage {
    /// Of no layers, for this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// In the words of Docker's schema 2. To be said before there are layers.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// The manifest does not say what it is, as OCI lets it.
    pub fn without_media_type(mut self) -> Self {
        self.without_media_type = true;
        self
    }

    /// For another machine.
    pub fn architecture(mut self, architecture: &'static str) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// Run so: the words of `config` in an image's configuration.
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// What made the layer that was added last.
    pub fn made_by(mut self, words: &'static str) -> Self {
        self.history.push(words);
        self
    }

    /// With one more layer.
    pub fn layer(mut self, tar: &[u8], packing: Packing) -> Self {
        self.layers.push((packing.pack(tar), packing.media_type(self.docker)));
        self.diff_ids.push(digest(tar));
        self
    }

    /// Puts it into a registry; `reference` is a tag, or any text with a colon for none. Gives what points
    /// to it.
    pub fn put(self, registry: &Registry, repository: &str, reference: &str) -> Value {
        let blob = |bytes: Vec<u8>, kind: &str| {
            let size = bytes.len();
            json!({"mediaType": kind, "digest": registry.put_blob(repository, bytes), "size": size})
        };
        let architecture = self.architecture.unwrap_or(ARCHITECTURE);
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": if self.config.is_null() { json!({}) } else { self.config },
            "history": self.history.iter().map(|by| json!({"created_by": by})).collect::<Vec<_>>(),
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        let (kind, config_kind) = match self.docker {
            false => (MANIFEST, "application/vnd.oci.image.config.v1+json"),
            true => (DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json"),
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": blob(config.to_string().into(), config_kind),
            "layers": self.layers.into_iter().map(|(bytes, kind)| blob(bytes, kind)).collect::<Vec<_>>(),
        });
        if self.without_media_type {
            manifest.as_object_mut().unwrap().remove("mediaType");
        }
        let mut pointer = put_json(registry, repository, reference, kind, &manifest);
        pointer["platform"] = json!({"architecture": architecture, "os": "linux"});
        pointer
    }
}

/// This machine's architecture, as images say it.
pub const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "arm64",
    _ => "amd64",
};

/// Another machine's.
pub const ELSEWHERE: &str = match ARCHITECTURE.as_bytes() {
    b"arm64" => "amd64",
    _ => "arm64",
};

/// The artifact types of the wheel index, and of the bill of materials.
pub const INDEX_TYPE: &str = "application/vnd.loci.index.v1+json";
pub const SBOM_TYPE: &str = "application/vnd.cyclonedx+json";

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Puts a manifest, whatever is in it, and gives what points to it.
pub fn put_json(
    registry: &Registry,
    repository: &str,
    reference: &str,
    media_type: &str,
    manifest: &Value,
) -> Value {
    let bytes = manifest.to_string();
    let size = bytes.len();
    let digest = registry.put_manifest(repository, reference, media_type, bytes);
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

/// Puts an index of images, which are what points to them.
pub fn put_index(
    registry: &Registry,
    repository: &str,
    reference: &str,
    media_type: &str,
    images: &[Value],
) -> Value {
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": images});
    put_json(registry, repository, reference, media_type, &index)
}

/// A tar of files.
pub fn tar_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let entries = files.into_iter().map(|(name, bytes)| (name, EntryType::Regular, bytes));
    odd_tar(&entries.collect::<Vec<_>>())
}
