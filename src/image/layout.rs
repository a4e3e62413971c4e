//! `oci:DIR[:TAG]`: a set as an image in an OCI image layout, whatever else is in that layout.
//!
//! Layers are uncompressed: wheels are compressed already, single wheels can be read out of them, and
//! their digests depend on no compressor. The store remembers the digest of each layer it has seen
//! (kind `layers`), so a layer that is in the layout already is only read.

use std::fs;
use std::io::Write;
use std::path::Path;

use oci_spec::image::{
    Arch, Config, Descriptor, History, HistoryBuilder, ImageConfigurationBuilder,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder,
};
use rayon::prelude::*;

use crate::store::Store;
use crate::store::file::TMP_PREFIX;
use crate::store::layout::Layout;
use crate::store::names::Tag;
use crate::store::set::{WheelSet, sha256};
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;

use super::error::{ImageError, io_error};
use super::index_json::WheelIndex;
use super::layer::{Content, Layer, Member};
use super::plan::plan;
use super::{WriteOptions, Written, claim, index_member, safe, texts};

/// The annotation with the number of wheels in the image.
const WHEELS: &str = "org.openstack.loci.wheels";

/// Writes `set` as an image into the layout at `dir`, made when there is none, and calls it `tag` there.
///
/// # Errors
/// Those of [`write`](super::write).
pub(super) fn write(
    set: &WheelSet,
    store: &Store,
    dir: &Path,
    tag: &Tag,
    options: &WriteOptions<'_>,
) -> Result<Written, ImageError> {
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let _claim = claim(dir, TMP_PREFIX)?;
    let layout = Layout::create(dir)?;
    let mut index = WheelIndex::of(set, store)?;
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
        .map(|layer| Part::write(layer, store, &layout, options))
        .collect::<Result<_, _>>()?;
    for part in &parts {
        for (member, offset) in part.layer.members().iter().zip(part.layer.offsets()) {
            let name = member.path.as_str();
            let found = index.wheels.binary_search_by(|w| w.filename.as_str().cmp(name));
            if let Ok(at) = found {
                index.wheels[at].layer = Some(part.digest);
                index.wheels[at].offset = Some(offset);
            }
        }
    }
    let mut members = Vec::from(texts(set));
    members.push(index_member(&index));
    let metadata = Layer::sorted(members, options.epoch);
    parts.push(Part::write(metadata, store, &layout, options)?);

    let digest = name(&layout, tag, set, &parts, options)?;
    let total = |unchanged| {
        parts.iter().filter(|part| part.unchanged == unchanged).map(|part| part.size).sum()
    };
    Ok(Written {
        manifest: Some(digest),
        bytes: total(false),
        unchanged: total(true),
        ..Written::default()
    })
}

/// A layer that is in the layout.
struct Part {
    layer: Layer,
    digest: Digest,
    size: u64,
    unchanged: bool,
}

impl Part {
    fn write(
        layer: Layer,
        store: &Store,
        layout: &Layout,
        options: &WriteOptions<'_>,
    ) -> Result<Self, ImageError> {
        let memo = store.memo("layers");
        let recipe = layer.recipe();
        let size = layer.size();
        let known = memo.get::<Digest>(&recipe);
        if let Some(digest) = known.filter(|digest| is_whole(layout, digest, size)) {
            (options.progress)(layer.content_size());
            return Ok(Self { layer, digest, size, unchanged: true });
        }
        let mut writer = layout.writer()?;
        let refused = |error| io_error("write a layer to", layout.root())(error);
        layer.write_to(store, &mut writer, &refused, options.progress)?;
        writer.flush().map_err(refused)?;
        let (digest, _) = writer.commit()?;
        if known != Some(digest) {
            memo.put(&recipe, &digest)?;
        }
        Ok(Self { layer, digest, size, unchanged: false })
    }

    /// What history says of the layer.
    fn describe(&self) -> String {
        match self.layer.members() {
            [member] => format!("loci: {}", member.path),
            members if members.iter().any(|member| member.path.as_str() == super::INDEX) => {
                "loci: metadata".into()
            }
            members => format!("loci: {} wheels", members.len()),
        }
    }
}

/// Whether the blob is there and its bytes are what its name says. Somebody else may have written
/// it, and reading is much cheaper than writing.
fn is_whole(layout: &Layout, digest: &Digest, size: u64) -> bool {
    layout.size(digest) == Some(size)
        && fs::File::open(layout.path(digest))
            .and_then(Digest::of_reader)
            .is_ok_and(|(found, _)| found == *digest)
}

/// Writes the image's configuration and manifest, and calls it `tag`.
fn name(
    layout: &Layout,
    tag: &Tag,
    set: &WheelSet,
    parts: &[Part],
    options: &WriteOptions<'_>,
) -> Result<Digest, ImageError> {
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
        .diff_ids(parts.iter().map(|part| part.digest.to_string()).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    let config = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(architecture(options.machine))
        .os(Os::Linux)
        .config(Config::default())
        .rootfs(rootfs)
        .history(history)
        .build()
        .expect("every required field is set");
    let (config, config_size) = layout.put_json(&config)?;
    let layer =
        |part: &Part| Descriptor::new(MediaType::ImageLayer, part.size, sha256(&part.digest));
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(Descriptor::new(MediaType::ImageConfig, config_size, sha256(&config)))
        .layers(parts.iter().map(layer).collect::<Vec<_>>())
        .annotations([(WHEELS.to_owned(), set.wheels.len().to_string())])
        .build()
        .expect("every required field is set");
    let (digest, size) = layout.put_json(&manifest)?;
    layout.name(tag, &Descriptor::new(MediaType::ImageManifest, size, sha256(&digest)))?;
    Ok(digest)
}

/// The architecture as OCI has it (Go's `GOARCH`), from what `uname -m` says.
pub(super) fn architecture(machine: &str) -> Arch {
    match machine {
        "x86_64" => Arch::Amd64,
        "aarch64" => Arch::ARM64,
        "i686" | "i386" => Arch::i386,
        "armv7l" | "armv6l" => Arch::ARM,
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::image::{ImageConfiguration, ImageManifest};

    use super::super::testing::{OPTIONS, add, set};
    use super::*;
    use crate::support::wheel::WheelMaker;

    #[test]
    fn an_update_writes_only_the_layers_that_changed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("image");
        let mut set = set(&store);
        let tag = Tag::default();
        let first = write(&set, &store, &out, &tag, &OPTIONS).unwrap();
        let again = write(&set, &store, &out, &tag, &OPTIONS).unwrap();
        assert_eq!(again.manifest, first.manifest);
        assert_eq!((again.bytes, again.unchanged), (0, first.bytes));

        // A layer that was damaged meanwhile is mended.
        let layout = Layout::open(&out).unwrap();
        let large = layout.blobs_dir().join(
            fs::read_dir(layout.blobs_dir())
                .unwrap()
                .map(|entry| entry.unwrap())
                .max_by_key(|entry| entry.metadata().unwrap().len())
                .unwrap()
                .file_name(),
        );
        let bytes = fs::read(&large).unwrap();
        fs::write(&large, vec![0; bytes.len()]).unwrap();
        let mended = write(&set, &store, &out, &tag, &OPTIONS).unwrap();
        assert_eq!(mended.bytes, bytes.len() as u64);
        assert!(fs::read(&large).unwrap() == bytes);

        set.wheels.remove(0);
        add(&store, &mut set, &WheelMaker::new("six", "1.17.0"));
        let update = write(&set, &store, &out, &"new".parse().unwrap(), &OPTIONS).unwrap();
        assert!(update.unchanged > 3 << 20 && update.bytes < 100_000, "{update:?}");

        let manifest: ImageManifest =
            serde_json::from_slice(&layout.read(&update.manifest.unwrap()).unwrap()).unwrap();
        let config: Digest = manifest.config().digest().to_string().parse().unwrap();
        let config: ImageConfiguration =
            serde_json::from_slice(&layout.read(&config).unwrap()).unwrap();
        let layers: Vec<_> =
            manifest.layers().iter().map(|layer| layer.digest().to_string()).collect();
        assert_eq!(config.rootfs().diff_ids(), &layers);
        let history = config.history().as_ref().unwrap();
        assert_eq!(history.len(), layers.len());
        let texts: Vec<_> = history.iter().filter_map(|h| h.created_by().as_deref()).collect();
        assert_eq!(texts[0], "loci: large-1-py3-none-any.whl");
        assert_eq!(texts.last(), Some(&"loci: metadata"));
    }

    #[test]
    fn machines_are_called_as_go_calls_them() {
        for (machine, arch) in [("x86_64", "amd64"), ("aarch64", "arm64"), ("ppc64le", "ppc64le")] {
            assert_eq!(architecture(machine).to_string(), arch);
        }
    }
}
