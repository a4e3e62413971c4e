//! [`Store`]: what a registry holds, by repository: blobs, manifests, tags, and uploads that are
//! under way. It speaks no HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A manifest as it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// Its JSON; null when it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

#[derive(Default)]
pub struct Repository {
    pub blobs: BTreeMap<String, Arc<Vec<u8>>>,
    pub manifests: BTreeMap<String, Manifest>,
    pub tags: BTreeMap<String, String>,
}

impl Repository {
    /// A manifest by its tag or digest, with its digest.
    pub fn manifest(&self, reference: &str) -> Option<(&String, &Manifest)> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests.get_key_value(digest)
    }

    /// The digests a manifest names and this repository lacks, or holds in another size.
    pub fn lacks(&self, manifest: &Value) -> Vec<String> {
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        let mut lacking = Vec::new();
        let mut look = |descriptor: &Value, size: &dyn Fn(&str) -> Option<usize>| {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            let told = descriptor["size"].as_u64();
            // What has addresses of its own is not asked of a registry.
            let kept_here = descriptor["urls"].as_array().is_none_or(Vec::is_empty);
            if kept_here && (told.is_none() || told != size(digest).map(|size| size as u64)) {
                lacking.push(digest.to_owned());
            }
        };
        let blob = |digest: &str| self.blobs.get(digest).map(|blob| blob.len());
        let manifest_size = |digest: &str| self.manifests.get(digest).map(|m| m.bytes.len());
        if let Some(config) = manifest.get("config") {
            look(config, &blob);
        }
        list("layers").iter().for_each(|layer| look(layer, &blob));
        list("manifests").iter().for_each(|manifest| look(manifest, &manifest_size));
        lacking
    }
}

/// A blob on its way.
pub struct Upload {
    pub repository: String,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Store {
    pub repositories: BTreeMap<String, Repository>,
    pub uploads: BTreeMap<String, Upload>,
    uploads_begun: usize,
}

impl Store {
    pub fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.into()).or_default()
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<Arc<Vec<u8>>> {
        self.repositories.get(repository)?.blobs.get(digest).cloned()
    }

    pub fn put_blob(&mut self, repository: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        self.repository(repository).blobs.insert(digest.clone(), Arc::new(bytes));
        digest
    }

    /// Links a blob of one repository into another; false when it is not there.
    pub fn mount(&mut self, digest: &str, from: &str, to: &str) -> bool {
        let blob = self.blob(from, digest);
        let found = blob.is_some();
        self.repository(to).blobs.extend(blob.map(|blob| (digest.to_owned(), blob)));
        found
    }

    /// Puts a manifest under its digest, and under `reference` when that is a tag.
    pub fn put_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        manifest: Manifest,
    ) -> String {
        let digest = digest(&manifest.bytes);
        let repository = self.repository(repository);
        repository.manifests.insert(digest.clone(), manifest);
        if !reference.contains(':') {
            repository.tags.insert(reference.into(), digest.clone());
        }
        digest
    }

    /// Begins an upload, and names it.
    pub fn begin_upload(&mut self, repository: &str) -> String {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        let upload = Upload { repository: repository.into(), bytes: Vec::new() };
        self.uploads.insert(id.clone(), upload);
        id
    }
}

/// The digest of bytes, as registries write it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
