//! Tests of images upon a base.

use std::io::Read;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::EntryType;

use super::appended::{AddedContent, AddedLayer, Addition, Shipment};
use super::base::Base;
use super::error::ImageError;
use super::reference::Reference;
use super::testing::{access, blocked, quiet};
use super::tree_layer::{Body, Node, TreeLayer};
use crate::image::manifest::DOCKER_MANIFEST;
use crate::store::Store;
use crate::store::layout::{Layout, canonical_json};
use crate::support::registry::Registry;
use crate::support::tar::odd_tar;
use crate::vocab::digest::Digest;

use std::io::Write as _;
use std::sync::Arc;

/// A base as Docker makes it, with a compressed layer, a history that is too short, and a field that
/// nobody knows.
fn base(dir: &Path, architecture: &str) -> (Reference, Digest) {
    let layout = Layout::create(dir).unwrap();
    let tar = odd_tar(&[("etc/passwd", EntryType::Regular, b"root:x:0:0::/root:/bin/sh\n")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    let packed = gzip.finish().unwrap();
    let layer = layout.put(&packed).unwrap();
    let config = canonical_json(&json!({
        "architecture": architecture,
        "os": "linux",
        "os.version": "twelve",
        "config": { "Env": ["LANG=C", "PATH=/usr/bin"], "Labels": { "mine": "1" }, "StopSignal": "9" },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&tar).to_string()] },
        "history": [{ "created_by": "nothing", "empty_layer": true }],
    }));
    let manifest = canonical_json(&json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config.len(),
            "digest": layout.put(&config).unwrap().to_string(),
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": packed.len(),
            "digest": layer.to_string(),
        }],
    }));
    let digest = layout.put(&manifest).unwrap();
    let descriptor = oci_spec::image::Descriptor::new(
        DOCKER_MANIFEST.into(),
        manifest.len() as u64,
        crate::store::set::sha256(&digest),
    );
    layout.name(&"base".parse().unwrap(), &descriptor).unwrap();
    (format!("oci:{}:base", dir.display()).parse().unwrap(), layer)
}

fn addition() -> Addition {
    let mut tree = TreeLayer::new(5);
    let file = Node { mode: 0o600, owner: (7, 8), body: Body::Bytes(b"mine".to_vec()) };
    tree.insert("var/lib/x/file".parse().unwrap(), file);
    let link = Node { mode: 0o777, owner: (0, 0), body: Body::Symlink("file".into()) };
    tree.insert("var/lib/x/link".parse().unwrap(), link);
    tree.complete(&["var".parse().unwrap()].into());
    Addition {
        layers: vec![AddedLayer {
            comment: "x".into(),
            content: AddedContent::Tree(Arc::new(tree)),
        }],
        path: vec!["/var/lib/x/bin".into()],
        labels: [("yours".to_owned(), "2".to_owned())].into(),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        bill: None,
        epoch: 5,
    }
}

struct Made {
    manifest: Value,
    config: Value,
    layer: Vec<u8>,
}

/// What is called `tag` in the layout at `dir`.
fn made(dir: &Path, tag: &str) -> Made {
    let layout = Layout::open(dir).unwrap();
    let named = layout.named(&tag.parse().unwrap()).unwrap();
    let read = |digest: &Value| -> Vec<u8> {
        layout.read(&digest.as_str().unwrap().parse().unwrap()).unwrap()
    };
    let digest = named.descriptor.digest().to_string();
    let manifest: Value = serde_json::from_slice(&read(&digest.into())).unwrap();
    let config = serde_json::from_slice(&read(&manifest["config"]["digest"])).unwrap();
    let layer = read(&manifest["layers"][1]["digest"]);
    Made { manifest, config, layer }
}

#[test]
fn a_base_stays_what_it_is_and_gets_layers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (reference, layer) = base(&dir.path().join("base"), "amd64");
    let out = dir.path().join("out");
    let to: Reference = format!("oci:{}:new", out.display()).parse().unwrap();
    let send = |to: &Reference| {
        blocked(async {
            let access = access(&store);
            let base = Base::open(&reference, "x86_64", &access).await.unwrap();
            let shipment = Arc::new(Shipment::new(access));
            let addition = addition();
            let trees = addition.layers.iter().filter_map(|layer| match &layer.content {
                AddedContent::Tree(tree) => Some(Arc::clone(tree)),
                AddedContent::Blob { .. } => None,
            });
            shipment.make(trees.collect(), std::slice::from_ref(to), &quiet()).await.unwrap();
            shipment.send(&base, addition, to, &quiet()).await.unwrap()
        })
    };
    let first = send(&to);
    let Made { manifest, config, layer: added } = made(&out, "new");
    insta::assert_json_snapshot!(config, {
        ".rootfs.diff_ids[0]" => "the base's",
        ".rootfs.diff_ids[1]" => "the layer's",
    }, @r#"
    {
      "architecture": "amd64",
      "config": {
        "Env": [
          "LANG=C",
          "PATH=/var/lib/x/bin:/usr/bin"
        ],
        "Labels": {
          "mine": "1",
          "yours": "2"
        },
        "StopSignal": "9"
      },
      "created": "1970-01-01T00:00:05Z",
      "history": [
        {
          "created_by": "nothing",
          "empty_layer": true
        },
        {
          "comment": "a layer of the base",
          "created": "1970-01-01T00:00:05Z"
        },
        {
          "created": "1970-01-01T00:00:05Z",
          "created_by": "loci: x"
        }
      ],
      "os": "linux",
      "os.version": "twelve",
      "rootfs": {
        "diff_ids": [
          "the base's",
          "the layer's"
        ],
        "type": "layers"
      }
    }
    "#);
    assert_eq!(manifest["layers"][0]["digest"], json!(layer.to_string()));
    assert_eq!(manifest["mediaType"], json!("application/vnd.oci.image.manifest.v1+json"));
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        json!("application/vnd.oci.image.layer.v1.tar+gzip")
    );
    assert_eq!(manifest["annotations"], json!({ "a": "b" }));
    assert_eq!(config["rootfs"]["diff_ids"][1], manifest["layers"][1]["digest"]);

    let mut seen = Vec::new();
    for entry in tar::Archive::new(&added[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let header = entry.header();
        seen.push(format!(
            "{:?} {:o} {}:{} {} {text}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.path().unwrap().display()
        ));
    }
    let seen: Vec<_> = seen.iter().map(|line| line.trim_end()).collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    Directory 755 0:0 var/lib/
    Directory 755 0:0 var/lib/x/
    Regular 600 7:8 var/lib/x/file mine
    Symlink 777 0:0 var/lib/x/link
    ");

    // The same again is the same, and nothing is written; elsewhere it has the same digest.
    let again = send(&to);
    assert_eq!((again.images.clone(), again.bytes), (first.images.clone(), 0));
    for text in ["oci-archive:D/x.tar:new", "docker-archive:D/y.tar:loci/x:new"] {
        let text = text.replace('D', &dir.path().display().to_string());
        assert_eq!(send(&text.parse().unwrap()).images, first.images, "{text}");
    }
}

#[test]
fn a_base_for_another_platform_or_in_pieces_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let open = |text: &str| -> ImageError {
        let text = text.replace("HERE", &dir.path().display().to_string());
        let reference: Reference = text.parse().unwrap();
        blocked(Base::open(&reference, "x86_64", &access(&store))).unwrap_err()
    };
    base(&dir.path().join("arm"), "arm64");
    let mut said = vec![open("oci:HERE/arm:base"), open("dir:HERE"), open("oci:HERE/arm:other")];
    // A layer more than its configuration knows.
    base(&dir.path().join("odd"), "amd64");
    let layout = Layout::open(&dir.path().join("odd")).unwrap();
    let named = layout.named(&"base".parse().unwrap()).unwrap();
    let digest: Digest = named.descriptor.digest().to_string().parse().unwrap();
    let mut manifest: Value = serde_json::from_slice(&layout.read(&digest).unwrap()).unwrap();
    let twice = manifest["layers"][0].clone();
    manifest["layers"].as_array_mut().unwrap().push(twice);
    let bytes = canonical_json(&manifest);
    let descriptor = oci_spec::image::Descriptor::new(
        DOCKER_MANIFEST.into(),
        bytes.len() as u64,
        crate::store::set::sha256(&layout.put(&bytes).unwrap()),
    );
    layout.name(&"base".parse().unwrap(), &descriptor).unwrap();
    said.push(open("oci:HERE/odd:base"));
    let here = dir.path().display().to_string();
    let said: Vec<_> = said.iter().map(|error| error.to_string().replace(&here, "HERE")).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    `oci:HERE/arm:base` is an image for linux/arm64, and not for linux/amd64
    `dir:HERE` is no image
    nothing is named `other` in `HERE/arm`; names there: `base`
    `oci:HERE/odd:base` has 2 layers, and 1 in its configuration
    ");
}

#[test]
fn a_damaged_base_is_found_out_as_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (reference, layer) = base(&dir.path().join("base"), "amd64");
    let path = Layout::open(&dir.path().join("base")).unwrap().path(&layer);
    let read = || {
        blocked(async {
            let base = Base::open(&reference, "x86_64", &access(&store)).await.unwrap();
            let mut tar = base.tars().pop().unwrap();
            let mut bytes = Vec::new();
            tokio::task::spawn_blocking(move || tar.read_to_end(&mut bytes).map(|_| bytes))
                .await
                .unwrap()
        })
    };
    assert_eq!(&read().unwrap()[..10], b"etc/passwd");
    let mut bytes = fs_err::read(&path).unwrap();
    // The time in gzip's header, which nobody reads.
    bytes[4] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains(&layer.to_string()) && error.contains("damaged"), "{error}");
}

#[test]
fn the_layers_of_a_base_are_asked_for_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let registry = Registry::new();
    let tars = ["one", "two", "three"].map(|name| odd_tar(&[(name, EntryType::Regular, b"x")]));
    registry.put_image("base", "1", &tars.each_ref().map(Vec::as_slice));
    let reference: Reference = format!("docker://{}/base:1", registry.host()).parse().unwrap();
    blocked(async {
        let base = Base::open(&reference, "x86_64", &access(&store)).await.unwrap();
        let there = base.tars();
        let digests = tars.each_ref().map(|tar| Digest::of(tar).to_string());
        let layers = move |registry: &Registry| {
            digests.each_ref().map(|digest| registry.hits(&format!("GET /v2/base/blobs/{digest}")))
        };
        assert_eq!(layers(&registry), [0, 0, 0]);
        let read = move || {
            let mut seen = Vec::new();
            for (mut tar, expected) in there.into_iter().zip(&tars) {
                let mut bytes = Vec::new();
                tar.read_to_end(&mut bytes).unwrap();
                assert_eq!(&bytes, expected);
                seen.push(layers(&registry));
            }
            seen
        };
        let seen = tokio::task::spawn_blocking(read).await.unwrap();
        assert_eq!(seen, [[1, 0, 0], [1, 1, 0], [1, 1, 1]]);
    });
}
