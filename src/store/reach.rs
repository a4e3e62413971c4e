//! [`Reach`]: the blobs that manifests lead to.

use std::collections::BTreeSet;

use oci_spec::image::Descriptor;
use serde::Deserialize;

use crate::vocab::digest::Digest;

use super::error::StoreError;
use super::layout::Layout;

/// The media types of manifests and of indexes of them, as OCI and Docker call them.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// The blobs that some descriptors lead to, those they point to included. That they are in the layout
/// is not said.
#[derive(Debug, Default)]
pub(super) struct Reach {
    digests: BTreeSet<Digest>,
    /// Manifests that were followed: a digest may come as one of another kind first.
    read: BTreeSet<Digest>,
}

/// All that a manifest or an index may lead to.
#[derive(Deserialize)]
struct Links {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
}

impl Reach {
    /// Adds what `root` leads to. Only what is said to be a manifest is read; everything else is a leaf.
    ///
    /// # Errors
    /// Those of [`Layout::read`], and [`StoreError::Json`], for a manifest.
    pub(super) fn follow(&mut self, layout: &Layout, root: &Descriptor) -> Result<(), StoreError> {
        let mut open = vec![root.clone()];
        while let Some(descriptor) = open.pop() {
            // Blobs here are all SHA-256, so another algorithm's name leads to nothing of ours.
            let Ok(digest) = descriptor.digest().to_string().parse::<Digest>() else { continue };
            self.digests.insert(digest);
            if !MANIFESTS.contains(&descriptor.media_type().to_string().as_str())
                || !self.read.insert(digest)
            {
                continue;
            }
            let links: Links = serde_json::from_slice(&layout.read(&digest)?)
                .map_err(|source| StoreError::Json { what: digest.to_string(), source })?;
            open.extend(links.layers);
            open.extend(links.manifests);
            open.extend(links.config);
            open.extend(links.subject);
        }
        Ok(())
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// The digests, sorted.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::layout::canonical_json;
    use super::*;

    fn descriptor(kind: &str, digest: &str) -> Value {
        json!({ "mediaType": kind, "digest": digest, "size": 1 })
    }

    #[test]
    fn manifests_of_any_kind_are_followed_to_their_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let leaf = |name: &str| Digest::of(name.as_bytes());
        let put = |value: Value| layout.put(&canonical_json(&value)).unwrap().to_string();
        let leaf_of = |name: &str| descriptor("text/plain", &leaf(name).to_string());
        let subject = put(json!({ "layers": [leaf_of("of the subject")] }));
        let image = put(json!({
            "config": leaf_of("config"),
            "layers": [leaf_of("layer"), descriptor("text/plain", &subject)],
            "subject": descriptor(MANIFESTS[0], &subject),
        }));
        let docker = put(json!({ "layers": [leaf_of("docker's layer")] }));
        let index = put(json!({
            "manifests": [
                descriptor(MANIFESTS[2], &docker),
                descriptor(MANIFESTS[0], &image),
                descriptor("text/plain", &format!("sha512:{}", "0".repeat(128))),
            ],
        }));
        let root = serde_json::from_value(descriptor(MANIFESTS[1], &index)).unwrap();
        let mut reach = Reach::default();
        reach.follow(&layout, &root).unwrap();
        let mut expected: Vec<Digest> =
            ["of the subject", "config", "layer", "docker's layer"].map(leaf).into();
        let manifests = [&subject, &image, &docker, &index];
        expected.extend(manifests.map(|text| text.parse::<Digest>().unwrap()));
        expected.sort();
        assert_eq!(reach.digests().copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_a_leaf_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let follow = |kind: &str, digest: &Digest| {
            let root = serde_json::from_value(descriptor(kind, &digest.to_string())).unwrap();
            Reach::default().follow(&layout, &root)
        };
        let absent = Digest::of(b"absent");
        assert!(matches!(follow(MANIFESTS[0], &absent), Err(StoreError::NoSuchBlob { .. })));
        follow("text/plain", &absent).unwrap();
        for text in ["[", "{\"layers\":[{}]}"] {
            let digest = layout.put(text.as_bytes()).unwrap();
            assert!(matches!(follow(MANIFESTS[1], &digest), Err(StoreError::Json { .. })));
        }
    }
}
