//! [`pack`]: a set of wheels as an image, before it is anywhere: its layers as recipes, its manifests as
//! bytes. Equal sets and options give equal digests.
//!
//! Layers are uncompressed: wheels are compressed already, single wheels can be read out of them, and
//! their digests depend on no compressor. The store remembers the digest of each layer it has seen
//! (kind `layers`), so that a layer which is at its destination already is not even made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use oci_spec::image::{
    ANNOTATION_BASE_IMAGE_NAME, ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_TITLE,
    Config, Descriptor, History, HistoryBuilder, ImageConfigurationBuilder, ImageManifestBuilder,
    MediaType, Os, RootFsBuilder,
};
use rayon::prelude::*;

use crate::store::Store;
use crate::store::layout::canonical_json;
use crate::store::set::{CONSTRAINTS, WheelSet};
use crate::vocab::civil::Civil;
use crate::vocab::digest::{Digest, Hasher};

use super::blobs::{Blobs, Place};
use super::error::ImageError;
use super::gzip::StoredGzip;
use super::index_json::WheelIndex;
use super::layer::{Content, Layer, Member};
use super::manifest::{BlobRef, Document, OCI_MANIFEST, architecture};
use super::plan::plan;
use super::sbom::Sbom;
use super::source::parse_index;
use super::tree::{ImageTree, Root};
use super::{Shape, WriteOptions, index_member, safe, tarball, texts};

/// The annotation with the number of wheels in the image.
const WHEELS: &str = "org.openstack.loci.wheels";
/// The annotation with the digest of the constraints that the wheels were obtained for.
const CONSTRAINTS_DIGEST: &str = "org.openstack.loci.constraints";

/// A set as an image.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    /// What it consists of.
    pub(super) tree: ImageTree,
    /// Where the bytes of its blobs come from.
    pub(super) blobs: Blobs,
    /// The wheel index, as it stands in the last layer.
    pub(super) index: Bytes,
    /// The bill of each image's wheels, in the order of the roots.
    pub(super) bills: Vec<Bytes>,
    /// When it is said to have been made.
    pub(super) created: String,
}

/// Makes an image of `set`, whose wheels are in `store`; nothing is written but memos.
///
/// # Errors
/// Those of [`write`](super::write).
pub(super) fn pack(
    set: &WheelSet,
    store: &Store,
    options: &WriteOptions,
) -> Result<Packed, ImageError> {
    let index = WheelIndex::of(set, store)?;
    let parts = match options.shape {
        Shape::Split => split(set, index, store, options)?,
        Shape::Single => vec![single(set, index, store, options)?],
    };
    let mut packed = Packed {
        tree: ImageTree::default(),
        blobs: Blobs::of("the set"),
        index: parts.last().and_then(Part::index).unwrap_or_default(),
        bills: Vec::new(),
        created: Civil::of(options.epoch).to_string(),
    };
    for part in &parts {
        packed.blobs.insert(part.reference.digest, part.place.clone());
    }
    let index = parse_index(&packed.index, "the set")?;
    let all: Vec<&Part> = parts.iter().collect();
    packed.add_image("", &all, (set, &index), set.wheels.len(), options);
    for subset in &options.subsets {
        let count = set.wheels.iter().filter(|w| subset.wheels.contains(w.filename.as_str()));
        let parts: Vec<&Part> = parts.iter().filter(|part| part.serves(&subset.wheels)).collect();
        packed.add_image(
            &format!("-{}", subset.name),
            &parts,
            (set, &index),
            count.count(),
            options,
        );
    }
    Ok(packed)
}

impl Packed {
    /// Adds an image of these layers, to be named with `ending`.
    fn add_image(
        &mut self,
        ending: &str,
        parts: &[&Part],
        (set, index): (&WheelSet, &WheelIndex),
        wheels: usize,
        options: &WriteOptions,
    ) {
        let layers: Vec<Digest> = parts.iter().map(|part| part.diff_id).collect();
        let bill = Sbom::of_index(index, Some(&layers), Some(self.created.clone()));
        self.bills.push(bill.to_bytes().into());
        let config = canonical_json(&config(parts, options));
        let config_size = config.len() as u64;
        let config = BlobRef {
            digest: self.blobs.insert_bytes(config),
            size: config_size,
            media_type: MediaType::ImageConfig.to_string(),
        };
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor())
            .layers(
                parts.iter().map(|part| part.reference.descriptor()).collect::<Vec<Descriptor>>(),
            )
            .annotations(annotations(set, wheels, options).into_iter().collect::<HashMap<_, _>>())
            .build()
            .expect("every required field is set");
        let document = Document::new(canonical_json(&manifest), OCI_MANIFEST);
        let mut blobs = vec![config];
        blobs.extend(parts.iter().map(|part| part.reference.clone()));
        let reference = document.reference.clone();
        let tree = ImageTree {
            documents: vec![document],
            blobs,
            roots: vec![Root { ending: ending.to_owned(), reference }],
        };
        self.tree = ImageTree::join([std::mem::take(&mut self.tree), tree]);
    }
}

/// A layer, and its names.
struct Part {
    layer: Arc<Layer>,
    reference: BlobRef,
    /// The digest of the tar itself.
    diff_id: Digest,
    place: Place,
}

/// The largest wheels alone, the others with their like, the texts and the index last.
fn split(
    set: &WheelSet,
    mut index: WheelIndex,
    store: &Store,
    options: &WriteOptions,
) -> Result<Vec<Part>, ImageError> {
    let mut parts: Vec<Part> = plan(&set.wheels)
        .into_iter()
        .map(|wheels| {
            let members = wheels.iter().map(|wheel| Member {
                path: safe(wheel.filename.as_str()),
                content: Content::Blob { digest: wheel.digest, size: wheel.size },
            });
            Layer::sorted(members.collect(), options.epoch)
        })
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|layer| Part::plain(layer, store))
        .collect::<Result<_, _>>()?;
    for part in &parts {
        for (member, offset) in part.layer.members().iter().zip(part.layer.offsets()) {
            let name = member.path.as_str();
            let found = index.wheels.binary_search_by(|w| w.filename.as_str().cmp(name));
            if let Ok(at) = found {
                index.wheels[at].layer = Some(part.diff_id);
                index.wheels[at].offset = Some(offset);
            }
        }
    }
    let mut members = texts(set, &index, options);
    members.push(index_member(&index));
    parts.push(Part::plain(Layer::sorted(members, options.epoch), store)?);
    Ok(parts)
}

/// Everything in one layer, compressed as LOCI's consumers expect it.
fn single(
    set: &WheelSet,
    index: WheelIndex,
    store: &Store,
    options: &WriteOptions,
) -> Result<Part, ImageError> {
    Part::gzip(tarball::tar_of(set, index, options), store)
}

impl Part {
    fn plain(layer: Layer, store: &Store) -> Result<Self, ImageError> {
        let memo = store.memo("layers");
        let recipe = layer.recipe();
        let digest = match memo.get::<Digest>(&recipe) {
            Some(digest) => digest,
            None => {
                let mut hasher = Hasher::new();
                layer.write_to(store, &mut hasher, &no_refusal, &|_| {})?;
                let (digest, _) = hasher.finish();
                memo.put(&recipe, &digest)?;
                digest
            }
        };
        let media_type = MediaType::ImageLayer.to_string();
        let reference = BlobRef { digest, size: layer.size(), media_type };
        let layer = Arc::new(layer);
        let place = Place::Layer(Arc::clone(&layer), store.clone());
        Ok(Self { layer, reference, diff_id: digest, place })
    }

    fn gzip(layer: Layer, store: &Store) -> Result<Self, ImageError> {
        let memo = store.memo("layers");
        let key = Digest::of(format!("gzip {}", layer.recipe()).as_bytes());
        let known = memo.get::<(Digest, Digest, u64)>(&key);
        let (diff_id, digest, size) = match known {
            Some(known) => known,
            None => {
                let mut hasher = Hasher::new();
                let mut both = Both { tar: Hasher::new(), gzip: StoredGzip::new(&mut hasher) };
                layer.write_to(store, &mut both, &no_refusal, &|_| {})?;
                let (diff_id, _) = both.tar.finish();
                both.gzip.finish().map_err(no_refusal)?;
                let (digest, size) = hasher.finish();
                memo.put(&key, &(diff_id, digest, size))?;
                (diff_id, digest, size)
            }
        };
        let media_type = MediaType::ImageLayerGzip.to_string();
        let layer = Arc::new(layer);
        let place = Place::Gzip(Arc::clone(&layer), store.clone());
        Ok(Self { layer, reference: BlobRef { digest, size, media_type }, diff_id, place })
    }

    /// Whether a subset of these wheels needs the layer: it has one of them, or what every set has.
    fn serves(&self, wheels: &BTreeSet<String>) -> bool {
        self.layer.members().iter().any(|member| {
            let name = member.path.as_str();
            wheels.contains(name) || name == super::INDEX
        })
    }

    /// The wheel index, when it is in this layer.
    fn index(&self) -> Option<Bytes> {
        let mut members = self.layer.members().iter();
        match &members.find(|member| member.path.as_str() == super::INDEX)?.content {
            Content::Bytes(bytes) => Some(bytes.clone().into()),
            Content::Blob { .. } => None,
        }
    }

    /// What history says of the layer.
    fn describe(&self) -> String {
        let members = self.layer.members();
        let wheels = members.iter().filter(|m| m.path.as_str().ends_with(".whl")).count();
        match members {
            [member] => format!("loci: {}", member.path),
            _ if wheels == 0 => "loci: metadata".into(),
            _ => format!("loci: {wheels} wheels"),
        }
    }
}

/// Memory takes everything.
fn no_refusal(source: std::io::Error) -> ImageError {
    ImageError::Read { what: "a layer".into(), source }
}

/// Hashes a tar as it goes into gzip.
struct Both<'a> {
    tar: Hasher,
    gzip: StoredGzip<&'a mut Hasher>,
}

impl std::io::Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.tar.update(bytes);
        self.gzip.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn config(parts: &[&Part], options: &WriteOptions) -> oci_spec::image::ImageConfiguration {
    let created = Civil::of(options.epoch).to_string();
    let history: Vec<History> = parts
        .iter()
        .map(|part| {
            HistoryBuilder::default()
                .created(created.clone())
                .created_by(part.describe())
                .build()
                .expect("no field is required")
        })
        .collect();
    let rootfs = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(parts.iter().map(|part| part.diff_id.to_string()).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    ImageConfigurationBuilder::default()
        .created(created)
        .architecture(architecture(&options.machine))
        .os(Os::Linux)
        .config(Config::default())
        .rootfs(rootfs)
        .history(history)
        .build()
        .expect("every required field is set")
}

/// What the manifest says of itself; what people say goes before it.
fn annotations(set: &WheelSet, wheels: usize, options: &WriteOptions) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (ANNOTATION_CREATED.to_owned(), Civil::of(options.epoch).to_string()),
        (ANNOTATION_TITLE.to_owned(), "requirements".to_owned()),
        (
            ANNOTATION_DESCRIPTION.to_owned(),
            format!("Python wheels for OpenStack services, with {CONSTRAINTS}"),
        ),
        (ANNOTATION_BASE_IMAGE_NAME.to_owned(), "scratch".to_owned()),
        (WHEELS.to_owned(), wheels.to_string()),
        (CONSTRAINTS_DIGEST.to_owned(), Digest::of(set.constraints.as_bytes()).to_string()),
    ]);
    annotations.extend(options.annotations.clone());
    annotations
}

#[cfg(test)]
mod tests {
    use oci_spec::image::{ImageConfiguration, ImageManifest};

    use super::super::testing::{options, set};
    use super::super::{Subset, WriteOptions};
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    fn bytes(place: &Place) -> Vec<u8> {
        let mut bytes = Vec::new();
        place.write_to(&mut bytes, &no_refusal, &|_| {}).unwrap();
        bytes
    }

    #[test]
    fn every_blob_is_what_its_digest_says() {
        let (_dir, store) = store();
        let set = set(&store);
        for shape in [Shape::Split, Shape::Single] {
            let options = WriteOptions { shape, ..options() };
            let packed = pack(&set, &store, &options).unwrap();
            let again = pack(&set, &store, &options).unwrap();
            assert_eq!(packed.tree.roots, again.tree.roots);
            for blob in &packed.tree.blobs {
                let bytes = bytes(&packed.blobs.get(&blob.digest).unwrap());
                assert_eq!((Digest::of(&bytes), bytes.len() as u64), (blob.digest, blob.size));
            }
        }
    }

    #[test]
    fn a_subset_has_only_the_layers_it_needs() {
        let (_dir, store) = store();
        let set = set(&store);
        let wheels = BTreeSet::from([set.wheels[0].filename.to_string()]);
        let subsets = vec![Subset { name: "keystone".into(), wheels }];
        let packed = pack(&set, &store, &WriteOptions { subsets, ..options() }).unwrap();
        let [whole, part] = &packed.tree.roots[..] else { panic!("{:?}", packed.tree.roots) };
        assert_eq!((whole.ending.as_str(), part.ending.as_str()), ("", "-keystone"));
        let layers = |root: &Root| {
            let document = packed.tree.document(&root.reference.digest).unwrap();
            let manifest: ImageManifest = serde_json::from_slice(&document.bytes).unwrap();
            let config = BlobRef::of(manifest.config(), "").unwrap();
            let config = bytes(&packed.blobs.get(&config.digest).unwrap());
            let config: ImageConfiguration = serde_json::from_slice(&config).unwrap();
            let history = config.history().clone().unwrap();
            assert_eq!(history.len(), manifest.layers().len());
            let digests: Vec<_> =
                manifest.layers().iter().map(|layer| layer.digest().to_string()).collect();
            assert_eq!(*config.rootfs().diff_ids(), digests);
            history.iter().map(|h| h.created_by().clone().unwrap()).collect::<Vec<_>>()
        };
        let all = layers(whole);
        assert_eq!(all[0], "loci: large-1-py3-none-any.whl");
        assert_eq!(all.last().unwrap(), "loci: metadata");
        assert_eq!(layers(part), ["loci: six-1.16.0-py3-none-any.whl", "loci: metadata"]);
    }
}
