//! [`Manifest`]: what an image consists of, as OCI and Docker write it down.
//!
//! Both kinds are read (OCI image specification 1.1; Docker's schema 2), and what was read is passed on
//! byte for byte: a manifest's digest is its name.

use bytes::Bytes;
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest, MediaType, Os};
use serde::Deserialize;

use crate::store::set::sha256;
use crate::vocab::digest::Digest;

use super::error::ImageError;

/// The media type of Docker's manifest of one image.
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of Docker's list of such manifests.
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media type of OCI's manifest of one image.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of OCI's index of such manifests.
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// No manifest is larger, in bytes: registries take none beyond 4 MiB.
pub(super) const MOST_MANIFEST: u64 = 4 << 20;

/// The name, size and kind of a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlobRef {
    /// Its digest.
    pub(super) digest: Digest,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its media type.
    pub(super) media_type: String,
}

impl BlobRef {
    /// What `descriptor`, of `origin`, points to.
    ///
    /// # Errors
    /// [`ImageError::Image`] when its digest is not SHA-256.
    pub(super) fn of(descriptor: &Descriptor, origin: &str) -> Result<Self, ImageError> {
        let text = descriptor.digest().to_string();
        let digest = text.parse().map_err(|_| ImageError::Image {
            origin: origin.into(),
            fault: format!("names a blob by `{text}`, which is not sha256"),
        })?;
        let media_type = descriptor.media_type().to_string();
        Ok(Self { digest, size: descriptor.size(), media_type })
    }

    /// What points to it.
    #[must_use]
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.as_str().into(), self.size, sha256(&self.digest))
    }
}

/// A manifest or an index, parsed.
#[derive(Debug, Clone)]
pub(super) enum Manifest {
    /// Of one image.
    Image(Box<ImageManifest>),
    /// Of several.
    Index(Box<ImageIndex>),
}

/// Just enough to tell the kinds apart. `mediaType` may be missing from OCI's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads the manifest that `reference` of `origin` points to.
    ///
    /// # Errors
    /// [`ImageError::Manifest`] when it is no JSON of a known kind, [`ImageError::Image`] when it is of
    /// another kind.
    pub(super) fn parse(
        bytes: &[u8],
        reference: &BlobRef,
        origin: &str,
    ) -> Result<Self, ImageError> {
        let refuse = |fault: String| ImageError::Image { origin: origin.into(), fault };
        let json = |source| ImageError::Manifest {
            origin: origin.into(),
            digest: reference.digest,
            source,
        };
        let outline: Outline = serde_json::from_slice(bytes).map_err(json)?;
        if outline.schema_version == Some(1) {
            return Err(refuse(
                "has a manifest of Docker's schema 1, which no registry should have any more"
                    .into(),
            ));
        }
        let kind = outline.media_type.as_deref().unwrap_or(&reference.media_type);
        let is_index = match kind {
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            OCI_INDEX | DOCKER_LIST => true,
            _ if outline.media_type.is_some() => {
                return Err(refuse(format!("is no image but `{kind}`")));
            }
            _ if outline.manifests.is_some() => true,
            _ if outline.layers.is_some() => false,
            _ => return Err(refuse(format!("is no image but `{kind}`"))),
        };
        Ok(if is_index {
            Self::Index(serde_json::from_slice(bytes).map_err(json)?)
        } else {
            Self::Image(serde_json::from_slice(bytes).map_err(json)?)
        })
    }

    /// The media type it has, or should have.
    #[must_use]
    pub(super) fn media_type(&self) -> String {
        let (said, default) = match self {
            Self::Image(manifest) => (manifest.media_type(), OCI_MANIFEST),
            Self::Index(index) => (index.media_type(), OCI_INDEX),
        };
        said.as_ref().map_or_else(|| default.to_owned(), ToString::to_string)
    }
}

/// A manifest with the very bytes that its digest is of.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Its name, size and kind.
    pub(super) reference: BlobRef,
    /// Its bytes.
    pub(super) bytes: Bytes,
}

impl Document {
    /// A document of `bytes`.
    #[must_use]
    pub(super) fn new(bytes: impl Into<Bytes>, media_type: impl Into<String>) -> Self {
        let bytes = bytes.into();
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        Self { reference: BlobRef { digest, size, media_type: media_type.into() }, bytes }
    }
}

/// The architecture as OCI has it (Go's `GOARCH`), from what `uname -m` says, or Rust.
pub(super) fn architecture(machine: &str) -> Arch {
    match machine {
        "x86_64" => Arch::Amd64,
        "aarch64" => Arch::ARM64,
        "i686" | "i386" | "x86" => Arch::i386,
        "powerpc64" if cfg!(target_endian = "little") => Arch::PowerPC64le,
        "armv7l" | "armv6l" => Arch::ARM,
        other => other.into(),
    }
}

/// How an image is found in an index of `origin`, for Linux on an architecture.
pub(super) type Choose =
    for<'a> fn(&'a ImageIndex, &Arch, &str) -> Result<&'a Descriptor, ImageError>;

/// The entry of an index for Linux on `architecture`; the only one, whatever it is for.
pub(super) fn choose_or_only<'a>(
    index: &'a ImageIndex,
    architecture: &Arch,
    origin: &str,
) -> Result<&'a Descriptor, ImageError> {
    match images(index)[..] {
        [only] => Ok(only),
        _ => choose(index, architecture, origin),
    }
}

/// The entries of an index that are images: what build tools attest stands there as if it were an image
/// of no platform.
fn images(index: &ImageIndex) -> Vec<&Descriptor> {
    let unknown = Arch::Other("unknown".into());
    let is_image = |descriptor: &&Descriptor| {
        descriptor.platform().as_ref().is_none_or(|platform| *platform.architecture() != unknown)
    };
    index.manifests().iter().filter(is_image).collect()
}

/// The entry of an index for Linux on `architecture`.
pub(super) fn choose<'a>(
    index: &'a ImageIndex,
    architecture: &Arch,
    origin: &str,
) -> Result<&'a Descriptor, ImageError> {
    let fits = |descriptor: &&Descriptor| {
        descriptor.platform().as_ref().is_none_or(|platform| {
            *platform.os() == Os::Linux && platform.architecture() == architecture
        })
    };
    let images = images(index);
    images.iter().copied().find(fits).ok_or_else(|| {
        let platforms: Vec<String> = images
            .iter()
            .filter_map(|descriptor| descriptor.platform().as_ref())
            .map(|platform| format!("{}/{}", platform.os(), platform.architecture()))
            .collect();
        let there = match platforms[..] {
            [] => String::new(),
            _ => format!("; it has images for {}", platforms.join(", ")),
        };
        ImageError::Image {
            origin: origin.into(),
            fault: format!("has no image for linux/{architecture}{there}"),
        }
    })
}

/// How a layer of this media type is compressed, as far as the type tells.
#[must_use]
pub(super) fn is_plain(media_type: &str) -> bool {
    media_type == MediaType::ImageLayer.to_string()
        || media_type == "application/vnd.docker.image.rootfs.diff.tar"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, media_type: &str) -> Result<Manifest, String> {
        let document = Document::new(text.to_owned(), media_type);
        Manifest::parse(&document.bytes, &document.reference, "oci:x").map_err(|e| e.to_string())
    }

    #[test]
    fn kinds_are_told_apart_with_and_without_a_media_type() {
        let digest = Digest::of(b"");
        let blob = |kind: &str| format!(r#"{{"mediaType":"{kind}","size":0,"digest":"{digest}"}}"#);
        let image = |head: &str| {
            format!(r#"{{"schemaVersion":2,{head}"config":{},"layers":[]}}"#, blob("c"))
        };
        let index = |head: &str| {
            format!(r#"{{"schemaVersion":2,{head}"manifests":[{}]}}"#, blob(OCI_MANIFEST))
        };
        for (text, kind, is_index) in [
            (image(""), OCI_MANIFEST, false),
            (image(""), "", false),
            (image(&format!(r#""mediaType":"{DOCKER_MANIFEST}","#)), "", false),
            (index(""), OCI_INDEX, true),
            (index(""), "text/plain", true),
            (index(&format!(r#""mediaType":"{DOCKER_LIST}","#)), DOCKER_LIST, true),
        ] {
            let manifest = parse(&text, kind).unwrap();
            assert_eq!(matches!(manifest, Manifest::Index(_)), is_index, "{text}");
        }
        for (text, error) in [
            ("{}", "`oci:x` is no image but `m`"),
            (
                r#"{"schemaVersion":1}"#,
                "`oci:x` has a manifest of Docker's schema 1, which no \
              registry should have any more",
            ),
            (r#"{"mediaType":"application/json"}"#, "`oci:x` is no image but `application/json`"),
            (
                "<html>",
                &format!("the manifest {} of `oci:x` cannot be read", Digest::of(b"<html>")),
            ),
        ] {
            assert_eq!(parse(text, "m").unwrap_err(), error);
        }
    }

    #[test]
    fn machines_are_called_as_go_calls_them() {
        for (machine, arch) in [("x86_64", "amd64"), ("aarch64", "arm64"), ("ppc64le", "ppc64le")] {
            assert_eq!(architecture(machine).to_string(), arch);
        }
    }
}
