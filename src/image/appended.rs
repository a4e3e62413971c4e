//! An image upon a [`Base`]: what is added to it, and its way to where it is wanted.
//!
//! Added layers are uncompressed tars. Those of file trees are made on the way: into a layout each is
//! inflated, hashed and written in one pass; for other places the digest must be known first, so
//! that what is there already is not sent again. The store remembers digests (kind `layers`), so that
//! a layer which is at its destination already is not even made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::store::Store;
use crate::store::layout::canonical_json;
use crate::store::names::Tag;
use crate::vocab::civil::Civil;
use crate::vocab::digest::{Digest, Hasher};
use crate::wheel::file::WheelFile;

use super::base::Base;
use super::blob_source::{BlobSource, blocking};
use super::blobs::{Blobs, Place};
use super::copy::sink;
use super::error::{ImageError, io_error};
use super::layout::LayoutSink;
use super::manifest::{BlobRef, Document, OCI_MANIFEST};
use super::reference::Reference;
use super::registry::referrers::{Artifact, ArtifactKind};
use super::registry::repository::Repository;
use super::transfer::{Image, Sink, transfer};
use super::tree::{ImageTree, Root};
use super::tree_layer::TreeLayer;
use super::{Access, Progress, Written};

/// A layer that is added.
#[derive(Debug, Clone)]
pub struct AddedLayer {
    /// What history says of it.
    pub comment: String,
    /// What is in it.
    pub content: AddedContent,
}

/// The content of an [`AddedLayer`].
#[derive(Debug, Clone)]
pub enum AddedContent {
    /// A file tree.
    Tree(Arc<TreeLayer>),
    /// A tar, as a blob of the store.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
}

/// What is added to a base.
#[derive(Debug, Clone, Default)]
pub struct Addition {
    /// Layers, the lowest first.
    pub layers: Vec<AddedLayer>,
    /// Directories that go before those that the base's PATH has.
    pub path: Vec<String>,
    /// What the image says of itself, in its configuration.
    pub labels: BTreeMap<String, String>,
    /// The same, in its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Its bill of materials, which stands beside the image in a registry.
    pub bill: Option<Bytes>,
    /// When it is said to have been made, in seconds since 1970.
    pub epoch: u64,
}

/// Images on their way, and the places they go to.
#[derive(Debug)]
pub struct Shipment {
    access: Access,
    /// Layouts are claimed once, however many images go there.
    layouts: Mutex<BTreeMap<PathBuf, LayoutSink>>,
    /// Where blobs are in registries: services have many in common, in a repository each.
    pushed: Mutex<BTreeMap<Digest, Repository>>,
}

impl Shipment {
    /// Nothing yet.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access, layouts: Mutex::default(), pushed: Mutex::default() }
    }

    /// Makes layers that several images may have, side by side and each once: into the layout, if that
    /// is where all of them go.
    ///
    /// # Errors
    /// [`ImageError`] when a layer cannot be made, or written.
    pub async fn make(
        self: &Arc<Self>,
        layers: Vec<Arc<TreeLayer>>,
        destinations: &[Reference],
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let mut dirs = BTreeSet::new();
        let mut all_layouts = true;
        for destination in destinations {
            match destination {
                Reference::Oci { dir, .. } => drop(dirs.insert(dir.clone())),
                _ => all_layouts = false,
            }
        }
        let only = match (all_layouts, dirs.len()) {
            (true, 1) => dirs.pop_first(),
            _ => None,
        };
        let (shipment, progress) = (Arc::clone(self), Arc::clone(progress));
        blocking(move || {
            let layout = match only {
                Some(dir) => Some(shipment.layout(&dir, Tag::default())?),
                None => None,
            };
            let mut layers: Vec<(u64, Arc<TreeLayer>)> =
                layers.into_iter().map(|layer| (layer.size(), layer)).collect();
            // The largest first, so that none is waited for alone at the end.
            layers.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
            layers.par_iter().with_max_len(1).try_for_each(|(_, layer)| {
                shipment.digest(layer, layout.as_ref(), &*progress).map(drop)
            })
        })
        .await
    }

    /// Puts `addition` upon `base`, and the image to `destination`.
    ///
    /// # Errors
    /// [`ImageError`]; what `destination` named before is then as it was.
    pub async fn send(
        self: &Arc<Self>,
        base: &Base,
        addition: Addition,
        destination: &Reference,
        progress: &Progress,
    ) -> Result<Written, ImageError> {
        let (shipment, base, to) = (Arc::clone(self), base.clone(), destination.clone());
        let (bill, epoch) = (addition.bill.clone(), addition.epoch);
        let created = Civil::of(epoch).to_string();
        let (tree, blobs, below) = blocking(move || {
            let (tree, blobs) = shipment.joined(&base, &addition)?;
            let below = Image {
                tree: ImageTree { blobs: base.layers.clone(), ..ImageTree::default() },
                source: base.source,
            };
            Ok((tree, blobs, below))
        })
        .await?;
        let sink = match to {
            Reference::Oci { dir, tag } => {
                let shipment = Arc::clone(self);
                let tag = tag.unwrap_or_default();
                blocking(move || shipment.layout(&dir, tag).map(Sink::Layout)).await?
            }
            other => sink(&other, epoch, &self.access).await?.mounting(&locked(&self.pushed)),
        };
        let of_base: BTreeSet<Digest> = below.tree.blobs.iter().map(|blob| blob.digest).collect();
        let mut own = tree.clone();
        own.blobs.retain(|blob| !of_base.contains(&blob.digest));
        let images = [below, Image { tree: own, source: BlobSource::Local(Arc::new(blobs)) }];
        let bills = bill.iter().zip(&tree.roots).map(|(bill, root)| {
            let (kind, created) = (ArtifactKind::Bill, Some(created.clone()));
            Artifact::new(kind, &root.reference, bill.clone(), created)
        });
        let artifacts: Vec<Artifact> = bills.collect();
        let moved = transfer(&images, &tree, &sink, &artifacts, progress).await?;
        if let Some(repository) = sink.repository() {
            let blobs = tree.blobs.iter().map(|blob| (blob.digest, repository.clone()));
            locked(&self.pushed).extend(blobs);
        }
        Ok(Written {
            images: tree.named(),
            bytes: moved.written,
            unchanged: moved.unchanged,
            ..Written::default()
        })
    }

    fn layout(&self, dir: &Path, tag: Tag) -> Result<LayoutSink, ImageError> {
        let mut layouts = locked(&self.layouts);
        if let Some(sink) = layouts.get(dir) {
            return Ok(sink.tagged(tag));
        }
        let sink = LayoutSink::create(dir, tag)?;
        layouts.insert(dir.to_owned(), sink.clone());
        Ok(sink)
    }

    /// The digest of a layer, which is made to know it when nobody remembers.
    fn digest(
        &self,
        layer: &TreeLayer,
        layout: Option<&LayoutSink>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Digest, ImageError> {
        let recipe = layer.recipe();
        let memo = self.access.store.memo("layers");
        if let Some(digest) = memo.get::<Digest>(&recipe) {
            return Ok(digest);
        }
        let digest = match layout {
            Some(layout) => layout.put_layer(layer, progress)?,
            None => {
                let mut hasher = Hasher::new();
                let refused = |source| ImageError::Read { what: "a layer".into(), source };
                layer.write_to(&mut hasher, &refused, &|_| {})?;
                hasher.finish().0
            }
        };
        memo.put(&recipe, &digest)?;
        Ok(digest)
    }

    /// The image as a value: its manifest, and where its blobs are.
    fn joined(&self, base: &Base, addition: &Addition) -> Result<(ImageTree, Blobs), ImageError> {
        let mut blobs = Blobs::of("the image");
        let mut added = Vec::with_capacity(addition.layers.len());
        for layer in &addition.layers {
            let (digest, size, place) = match &layer.content {
                AddedContent::Tree(tree) => {
                    let digest = self.digest(tree, None, &|_| {})?;
                    (digest, tree.size(), Place::Tree(Arc::clone(tree)))
                }
                AddedContent::Blob { digest, size } => {
                    (*digest, *size, blob_of(&self.access.store, digest)?)
                }
            };
            blobs.insert(digest, place);
            added.push(BlobRef { digest, size, media_type: MediaType::ImageLayer.to_string() });
        }
        let config = Bytes::from(canonical_json(&config(base, addition, &added)));
        let config = BlobRef {
            size: config.len() as u64,
            digest: blobs.insert_bytes(config),
            media_type: MediaType::ImageConfig.to_string(),
        };
        let layers: Vec<&BlobRef> = base.layers.iter().chain(&added).collect();
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor())
            .layers(layers.iter().map(|layer| layer.descriptor()).collect::<Vec<Descriptor>>())
            .annotations(addition.annotations.clone().into_iter().collect::<HashMap<_, _>>())
            .build()
            .expect("every required field is set");
        let document = Document::new(canonical_json(&manifest), OCI_MANIFEST);
        let reference = document.reference.clone();
        let mut seen = BTreeSet::new();
        let tree = ImageTree {
            documents: vec![document],
            blobs: std::iter::once(&config)
                .chain(layers)
                .filter(|blob| seen.insert(blob.digest))
                .cloned()
                .collect(),
            roots: vec![Root { ending: String::new(), reference }],
        };
        Ok((tree, blobs))
    }
}

/// What a panic of another thread leaves in these maps is as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn blob_of(store: &Store, digest: &Digest) -> Result<Place, ImageError> {
    let path = store.path(digest);
    let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
    Ok(Place::File(file))
}

/// The base's configuration, added to: every field that is not spoken of here stays as it is.
fn config(base: &Base, addition: &Addition, added: &[BlobRef]) -> Map<String, Value> {
    let mut config = base.config.clone();
    let created = Civil::of(addition.epoch).to_string();
    let mut diff_ids = base.diff_ids();
    diff_ids.extend(added.iter().map(|layer| json!(layer.digest.to_string())));
    config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
    let mut history: Vec<Value> =
        config.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    // Each layer has exactly one entry that is not empty (OCI image configuration, "history").
    let told = history.iter().filter(|entry| entry.get("empty_layer") != Some(&json!(true)));
    for _ in told.count()..base.layers.len() {
        history.push(json!({ "created": created, "comment": "a layer of the base" }));
    }
    history.extend(addition.layers.iter().map(
        |layer| json!({ "created": created, "created_by": format!("loci: {}", layer.comment) }),
    ));
    config.insert("history".into(), history.into());
    config.insert("created".into(), created.into());
    let mut inner = config.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    if !addition.path.is_empty() {
        inner.insert("Env".into(), environment(inner.get("Env"), &addition.path).into());
    }
    if !addition.labels.is_empty() {
        let mut labels =
            inner.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
        for (key, value) in &addition.labels {
            labels.insert(key.clone(), value.clone().into());
        }
        inner.insert("Labels".into(), labels.into());
    }
    config.insert("config".into(), inner.into());
    config
}

/// The base's variables, with `first` before what its PATH has, wherever that has them.
fn environment(base: Option<&Value>, first: &[String]) -> Vec<Value> {
    /// What engines take where an image does not say.
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = base.and_then(Value::as_array).cloned().unwrap_or_default();
    let at = variables
        .iter()
        .position(|variable| variable.as_str().is_some_and(|text| text.starts_with("PATH=")));
    let before = at.and_then(|at| variables[at].as_str()?.strip_prefix("PATH=").map(str::to_owned));
    let before = before.as_deref().unwrap_or(USUAL);
    let others = before.split(':').filter(|there| first.iter().all(|dir| dir != there));
    let path: Vec<&str> = first.iter().map(String::as_str).chain(others).collect();
    let path = format!("PATH={}", path.join(":"));
    match at {
        Some(at) => variables[at] = path.into(),
        None => variables.push(path.into()),
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_first() {
        let path = |variables: Value| {
            let variables = environment(Some(&variables), &["/own/bin".to_owned()]);
            variables.iter().map(|text| text.as_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (before, after) in [
            (json!(["PATH=/usr/bin:/bin", "LANG=C"]), "PATH=/own/bin:/usr/bin:/bin LANG=C"),
            (json!(["PATH=/own/bin:/usr/bin"]), "PATH=/own/bin:/usr/bin"),
            (json!(["PATH=/usr/bin:/own/bin:/bin"]), "PATH=/own/bin:/usr/bin:/bin"),
            (json!(["PATH=/own/bin:/bin:/own/bin"]), "PATH=/own/bin:/bin"),
            (json!(["PATH=/own/bin/x"]), "PATH=/own/bin:/own/bin/x"),
            (
                json!(["LANG=C"]),
                "LANG=C PATH=/own/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
        ] {
            assert_eq!(path(before.clone()), after, "{before}");
        }
    }
}
