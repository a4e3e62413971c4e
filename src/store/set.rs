//! [`WheelSet`]: the wheels one requirements job obtained, as the store remembers them.
//!
//! In the store a set is an OCI artifact manifest: one layer descriptor per wheel, in order of their
//! file names, and one for each of the two texts. It makes no copy of any wheel.

use std::collections::HashMap;

use oci_spec::image::{
    ANNOTATION_TITLE, Descriptor, DescriptorBuilder, ImageManifest, ImageManifestBuilder,
    MediaType, Sha256Digest,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::vocab::digest::Digest;
use crate::vocab::redact::publishable;
use crate::vocab::wheel_filename::WheelFilename;

use super::Store;
use super::error::StoreError;
use super::names::Tag;

/// The artifact type of a set's manifest.
pub const SET_TYPE: &str = "application/vnd.loci.wheels.v1";
/// The media type of a wheel.
const WHEEL_TYPE: &str = "application/vnd.loci.wheel.v1+zip";
const TEXT_TYPE: &str = "text/plain";
/// The annotation with a wheel's [`Origin`], as JSON.
const ORIGIN: &str = "org.openstack.loci.origin";

/// The name of the constraints a set was obtained for, wherever the set is written.
pub const CONSTRAINTS: &str = "upper-constraints.txt";
/// The name of the global requirements a set was obtained for, wherever the set is written.
pub const GLOBAL_REQUIREMENTS: &str = "global-requirements.txt";

/// The wheels one requirements job obtained, and the texts it obtained them for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WheelSet {
    /// The wheels.
    pub wheels: Vec<SetWheel>,
    /// The text of `upper-constraints.txt`.
    pub constraints: String,
    /// The text of `global-requirements.txt`.
    pub global_requirements: String,
}

/// One wheel of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a wheel comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was fetched.
    Fetched {
        /// From here; never with a user name or password in it (see [`Origin::fetched`]).
        url: String,
    },
    /// It was built.
    Built {
        /// Under this build key.
        key: Digest,
    },
    /// It came with another set.
    Imported {
        /// From here.
        from: String,
    },
}

impl Origin {
    /// Fetched from `url`, less its secrets: a set is published.
    #[must_use]
    pub fn fetched(url: &Url) -> Self {
        Self::Fetched { url: publishable(url).into() }
    }
}

impl Store {
    /// Calls `set` `tag`, in place of what was called so, and says its manifest's digest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] when one of its wheels is not in the store, [`StoreError::Set`] when
    /// two wheels have one name, and those of [`Layout::name`](super::layout::Layout::name).
    pub fn save_set(&self, tag: &Tag, set: &WheelSet) -> Result<Digest, StoreError> {
        let mut wheels: Vec<&SetWheel> = set.wheels.iter().collect();
        wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
        if let Some(pair) = wheels.windows(2).find(|pair| pair[0].filename == pair[1].filename) {
            let reason = format!("`{}` is in it twice", pair[0].filename);
            return Err(StoreError::Set { tag: tag.to_string(), reason });
        }
        let mut layers = Vec::with_capacity(wheels.len() + 2);
        for wheel in wheels {
            if self.size(&wheel.digest) != Some(wheel.size) {
                return Err(self.layout().no_such_blob(&wheel.digest));
            }
            let origin = serde_json::to_value(&wheel.origin).map(|value| value.to_string());
            let annotations = [
                (ANNOTATION_TITLE.to_owned(), wheel.filename.to_string()),
                (ORIGIN.to_owned(), origin.expect("an origin is JSON")),
            ];
            layers.push(titled(WHEEL_TYPE, &wheel.digest, wheel.size, annotations.into()));
        }
        for (title, text) in
            [(CONSTRAINTS, &set.constraints), (GLOBAL_REQUIREMENTS, &set.global_requirements)]
        {
            let digest = self.put(text.as_bytes())?;
            let annotations = [(ANNOTATION_TITLE.to_owned(), title.to_owned())];
            layers.push(titled(TEXT_TYPE, &digest, text.len() as u64, annotations.into()));
        }
        let config = Descriptor::new(MediaType::EmptyJSON, 2, sha256(&self.put(b"{}")?));
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .artifact_type(SET_TYPE)
            .config(config)
            .layers(layers)
            .build()
            .expect("every required field is set");
        let (digest, size) = self.layout().put_json(&manifest)?;
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, size, sha256(&digest));
        descriptor.set_artifact_type(Some(SET_TYPE.into()));
        self.layout().name(tag, &descriptor)?;
        Ok(digest)
    }

    /// The set called `tag`. That its wheels are in the store is not checked.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTag`]; [`StoreError::NotASet`]; [`StoreError::Set`] or [`StoreError::Json`] when
    /// its manifest makes no sense; those of [`Store::read`].
    pub fn load_set(&self, tag: &Tag) -> Result<WheelSet, StoreError> {
        let fault = |reason: String| StoreError::Set { tag: tag.to_string(), reason };
        let named = self.layout().named(tag)?;
        let digest = named.digest().ok_or_else(|| fault("its digest is not sha256".into()))?;
        let bytes = self.read(&digest)?;
        let manifest: ImageManifest = serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Json { what: digest.to_string(), source })?;
        let kind =
            manifest.artifact_type().as_ref().unwrap_or_else(|| manifest.config().media_type());
        if kind.as_ref() != SET_TYPE {
            return Err(StoreError::NotASet { tag: tag.to_string(), found: kind.to_string() });
        }
        let mut set = WheelSet::default();
        for layer in manifest.layers() {
            let annotation = |key: &str| {
                layer
                    .annotations()
                    .as_ref()
                    .and_then(|annotations| annotations.get(key))
                    .ok_or_else(|| fault(format!("a layer has no `{key}`")))
            };
            let title = annotation(ANNOTATION_TITLE)?;
            let digest = layer
                .digest()
                .to_string()
                .parse()
                .map_err(|_| fault(format!("the digest of `{title}` is not sha256")))?;
            match title.as_str() {
                CONSTRAINTS => set.constraints = self.read_text(&digest)?,
                GLOBAL_REQUIREMENTS => set.global_requirements = self.read_text(&digest)?,
                _ => set.wheels.push(SetWheel {
                    filename: title.parse().map_err(|error| fault(format!("{error}")))?,
                    digest,
                    size: layer.size(),
                    origin: serde_json::from_str(annotation(ORIGIN)?)
                        .map_err(|error| fault(format!("the origin of `{title}`: {error}")))?,
                }),
            }
        }
        Ok(set)
    }

    fn read_text(&self, digest: &Digest) -> Result<String, StoreError> {
        // What was stored was text; a blob that isn't any more would have failed its check.
        Ok(String::from_utf8_lossy(&self.read(digest)?).into_owned())
    }
}

fn titled(
    kind: &str,
    digest: &Digest,
    size: u64,
    annotations: HashMap<String, String>,
) -> Descriptor {
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(sha256(digest))
        .size(size)
        .annotations(annotations)
        .build()
        .expect("every required field is set")
}

/// The digest as `oci-spec` has it.
///
/// # Panics
/// Never: a [`Digest`] writes itself as 64 hex digits.
#[must_use]
pub fn sha256(digest: &Digest) -> Sha256Digest {
    digest.hex().parse().expect("64 hex digits are a SHA-256 digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(store: &Store) -> WheelSet {
        let wheel = |filename: &str, bytes: &[u8], origin| SetWheel {
            filename: filename.parse().unwrap(),
            digest: store.put(bytes).unwrap(),
            size: bytes.len() as u64,
            origin,
        };
        let url = "https://user:secret@host/six.whl?token=1#sha256=x".parse().unwrap();
        WheelSet {
            wheels: vec![
                wheel(
                    "PyYAML-6.0-py3-none-any.whl",
                    b"yaml",
                    Origin::Built { key: Digest::of(b"key") },
                ),
                wheel("six-1.16.0-py2.py3-none-any.whl", b"six", Origin::fetched(&url)),
            ],
            constraints: "six===1.16.0\n".into(),
            global_requirements: "six\n".into(),
        }
    }

    #[test]
    fn a_set_is_saved_and_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut set = set(&store);
        let digest = store.save_set(&Tag::default(), &set).unwrap();
        assert_eq!(store.load_set(&Tag::default()).unwrap(), set);
        assert_eq!(set.wheels[1].origin, Origin::Fetched { url: "https://host/six.whl".into() });
        set.wheels.reverse();
        assert_eq!(store.save_set(&"again".parse().unwrap(), &set).unwrap(), digest);
        assert_eq!(store.tags().unwrap().len(), 2);
    }

    #[test]
    fn a_set_is_named_only_when_all_of_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let whole = set(&store);
        let mut twice = whole.clone();
        twice.wheels.push(whole.wheels[0].clone());
        assert!(matches!(
            store.save_set(&Tag::default(), &twice),
            Err(StoreError::Set { reason, .. }) if reason.contains("twice")
        ));
        fs_err::remove_file(store.path(&whole.wheels[0].digest)).unwrap();
        assert!(matches!(
            store.save_set(&Tag::default(), &whole),
            Err(StoreError::NoSuchBlob { .. })
        ));
        assert_eq!(store.tags().unwrap(), []);
    }

    #[test]
    fn what_is_no_set_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .config(Descriptor::new(MediaType::ImageConfig, 2, sha256(&Digest::of(b"{}"))))
            .layers(Vec::new())
            .build()
            .unwrap();
        let (digest, size) = store.layout().put_json(&manifest).unwrap();
        let descriptor = Descriptor::new(MediaType::ImageManifest, size, sha256(&digest));
        store.layout().name(&Tag::default(), &descriptor).unwrap();
        let text = store.load_set(&Tag::default()).unwrap_err().to_string();
        assert_eq!(
            text,
            "`latest` names no set of wheels but `application/vnd.oci.image.config.v1+json`"
        );
    }
}
