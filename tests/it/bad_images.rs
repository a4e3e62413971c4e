//! Images that make no sense, or are not there: each error names the thing and where it is, and nothing
//! half-written stays behind.

use serde_json::{Value, json};
use tar::EntryType;

use crate::foreign_image::{
    ARCHITECTURE, ELSEWHERE, ForeignImage, INDEX, INDEX_TYPE, MANIFEST, Packing, put_index,
    put_json, tar_of,
};
use crate::harbour::{Harbour, REPOSITORY, wheels};
use crate::support::registry::{Registry, digest};
use crate::support::tar::odd_tar;
use crate::support::wheel::WheelMaker;

const FILE: EntryType = EntryType::Regular;
const SIX: &str = "six-1-py3-none-any.whl";

/// What is said when something of `bad/image:latest` is to be installed.
#[track_caller]
fn refused(harbour: &Harbour) -> String {
    refuses(harbour, "install keystone --wheels docker://REGISTRY/bad/image --prefix env", 1)
}

/// What is said to these arguments, after which nothing half-written may be anywhere.
#[track_caller]
fn refuses(harbour: &Harbour, arguments: &str, code: i32) -> String {
    let mut names = harbour.world.names("");
    names.retain(|name| !name.starts_with("machine/"));
    let run = harbour.on("machine", &format!("{arguments} --retries 1")).ends(code);
    let mut after = harbour.world.names("");
    after.retain(|name| !name.starts_with("machine/"));
    assert_eq!(after, names, "{arguments}");
    assert_eq!(harbour.world.names("machine/loci/tmp"), [""; 0]);
    if harbour.world.path("machine").exists() {
        harbour.on("machine", "store verify").good();
    }
    run.err.replace(ARCHITECTURE, "HERE").replace(ELSEWHERE, "THERE")
}

/// The set's image with another index in its last layer: what `change` makes of the one of it.
fn with_index(change: impl Fn(&mut Vec<Value>)) -> Harbour {
    let harbour = Harbour::loaded(Registry::new());
    let registry = &harbour.registry;
    let mut manifest = registry.manifest(REPOSITORY, "latest").unwrap().value();
    let layers = manifest["layers"].as_array_mut().unwrap();
    let last = layers.last_mut().unwrap();
    let tar = registry.blob(REPOSITORY, last["digest"].as_str().unwrap()).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut index = archive.entries().unwrap().map(|entry| entry.unwrap()).find_map(|entry| {
        entry.path_bytes().ends_with(b"index.json").then(|| serde_json::from_reader(entry).unwrap())
    });
    let index: &mut Value = index.as_mut().unwrap();
    change(index["wheels"].as_array_mut().unwrap());
    let tar = tar_of([(".loci/index.json", index.to_string().as_bytes())]);
    last["size"] = json!(tar.len());
    last["digest"] = json!(registry.put_blob("bad/image", tar));
    for blob in registry.blobs(REPOSITORY) {
        registry.put_blob("bad/image", registry.blob(REPOSITORY, &blob).unwrap());
    }
    put_json(registry, "bad/image", "latest", MANIFEST, &manifest);
    harbour
}

/// The wheel of a project in an index.
fn wheel<'a>(wheels: &'a mut [Value], name: &str) -> &'a mut Value {
    let named = |wheel: &&mut Value| wheel["filename"].as_str().unwrap().starts_with(name);
    wheels.iter_mut().find(named).unwrap()
}

#[test]
fn an_index_that_says_what_is_not_so() {
    let said =
        |change: &dyn Fn(&mut Value)| refused(&with_index(|wheels| change(wheel(wheels, "oslo"))));
    insta::assert_snapshot!(said(&|oslo| oslo["offset"] = json!(1_u64 << 40)), @"error: `REGISTRY/bad/image`: `oslo_config-1.0-py3-none-any.whl` is, as the index says, beyond the end of its layer");
    insta::assert_snapshot!(said(&|oslo| oslo["offset"] = json!(u64::MAX)), @"error: `REGISTRY/bad/image`: `oslo_config-1.0-py3-none-any.whl` is, as the index says, beyond the end of its layer");
    insta::assert_snapshot!(said(&|oslo| oslo["offset"] = json!(7)), @"error: `oslo_config-1.0-py3-none-any.whl` in `REGISTRY/bad/image@sha256:DIGEST` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
    insta::assert_snapshot!(said(&|oslo| oslo["size"] = json!(1_u64 << 50)), @"error: `REGISTRY/bad/image`: `oslo_config-1.0-py3-none-any.whl` is, as the index says, beyond the end of its layer");
    insta::assert_snapshot!(said(&|oslo| oslo["size"] = json!(7)), @"error: `oslo_config-1.0-py3-none-any.whl` in `REGISTRY/bad/image@sha256:DIGEST` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
    insta::assert_snapshot!(said(&|oslo| oslo["sha256"] = json!(digest(b"another"))), @"error: `oslo_config-1.0-py3-none-any.whl` in `REGISTRY/bad/image@sha256:DIGEST` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
    insta::assert_snapshot!(said(&|oslo| oslo["layer"] = json!(digest(b"another"))), @r#"
    error: these cannot all hold:
      `keystone` is asked for
      `keystone` 1.0 needs `oslo-config>=1`
      there is no release of `oslo-config` for TARGET
      hint: the set has no wheel of `oslo-config`: add it with `loci build requirements --pip-packages`
    "#);
    insta::assert_snapshot!(said(&|oslo| oslo["filename"] = json!("../oslo-1-py3-none-any.whl")), @r#"
    error: `REGISTRY/bad/image`: `.loci/index.json` cannot be read
      because: the wheel name `../oslo-1-py3-none-any.whl` is a path at line 1 column 2087
    "#);
    insta::assert_snapshot!(said(&|oslo| oslo["requires_dist"] = json!(["certifi; ("])), @"error: `REGISTRY/bad/image`: `oslo_config-1.0-py3-none-any.whl` is said to require `certifi; (`: Expected marker value, found end of dependency specification");
    // Two that share bytes.
    let harbour = with_index(|wheels| {
        let keystone = wheel(wheels, "keystone").clone();
        let oslo = wheel(wheels, "oslo");
        for key in ["layer", "offset", "size", "sha256"] {
            oslo[key] = keystone[key].clone();
        }
    });
    insta::assert_snapshot!(refused(&harbour), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `oslo_config-1.0-py3-none-any.whl` overlaps `keystone-1.0-py3-none-any.whl`, as the index says");
}

#[test]
fn what_is_not_there() {
    let harbour = Harbour::loaded(Registry::new().tags_a_page(4).absolute_locations());
    let install = |image: &str| {
        refuses(&harbour, &format!("install keystone --wheels {image} --prefix env"), 1)
    };
    insta::assert_snapshot!(install("docker://REGISTRY/loci/requirements:lastet"), @"error: there is no image `REGISTRY/loci/requirements:lastet`; tags there: `latest`");
    insta::assert_snapshot!(install("docker://REGISTRY/loci/requirments"), @"error: there is no image `REGISTRY/loci/requirments`");
    let digest = format!("sha256:{}", "ab".repeat(32));
    insta::assert_snapshot!(install(&format!("docker://REGISTRY/loci/requirements@{digest}")), @"error: there is no image `REGISTRY/loci/requirements@sha256:DIGEST`; tags there: `latest`");
    // Tags come in pages, which nobody needs to know.
    for tag in 0..20 {
        ForeignImage::new().put(&harbour.registry, REPOSITORY, &format!("tag-{tag:02}"));
    }
    insta::assert_snapshot!(install("docker://REGISTRY/loci/requirements:tag-20"), @"error: there is no image `REGISTRY/loci/requirements:tag-20`; tags there: `latest`, `tag-00`, `tag-01`, `tag-02`, `tag-03`, `tag-04`, `tag-05`, `tag-06`, `tag-07`, `tag-08`, `tag-09`, `tag-10` and 9 more");
    insta::assert_snapshot!(refuses(&harbour, "copy docker://REGISTRY/a:b oci:there", 1), @"error: there is no image `REGISTRY/a:b`");
    insta::assert_snapshot!(refuses(&harbour, "copy docker://REGISTRY/a:b dir:there", 1), @"error: there is no image `REGISTRY/a:b`");
    // A directory that was taken for an image.
    let host = harbour.registry.host();
    harbour.world.write(&format!("{host}/wheels/{SIX}"), "x");
    insta::assert_snapshot!(install("REGISTRY/wheels"), @r#"
    error: there is no image `REGISTRY/wheels`
      hint: for what is at `REGISTRY/wheels` on this machine, write `dir:REGISTRY/wheels`
    "#);
    harbour.loci(&format!("copy store: oci:{}/layout", host.replace(':', "-"))).good();
    std::fs::rename(
        harbour.world.path(&format!("{}/layout", host.replace(':', "-"))),
        harbour.world.path(&format!("{host}/layout")),
    )
    .unwrap();
    insta::assert_snapshot!(install("REGISTRY/layout"), @r#"
    error: there is no image `REGISTRY/layout`
      hint: for what is at `REGISTRY/layout` on this machine, write `oci:REGISTRY/layout`
    "#);
    insta::assert_snapshot!(refuses(&harbour, "install keystone --wheels wheels --prefix env", 2), @"error: `wheels` does not say what it is: write `dir:wheels` for a directory of wheels or `oci:wheels` for an image layout");
    insta::assert_snapshot!(refuses(&harbour, "install keystone --wheels a/B --prefix env", 2), @"error: `a/B` is not an image name: write `B` in lower case: `b`");
    // No registry at all: the port is of a listener that has gone.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let said = install(&format!("docker://{gone}/loci/requirements")).replace(&gone, "GONE");
    insta::assert_snapshot!(said, @r#"
    error: the connection to `https://GONE/v2/` failed
      because: Connection refused (os error 111)
    "#);
}

#[test]
fn what_an_image_lacks() {
    let whole = |harbour: &Harbour| {
        let wheels = wheels();
        let tar = tar_of(wheels.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        ForeignImage::new().layer(&tar, Packing::Gzip).put(
            &harbour.registry,
            "whole/image",
            "latest",
        )
    };
    // The manifest alone is in the other repository.
    let harbour = Harbour::empty(Registry::new());
    whole(&harbour);
    let manifest = harbour.registry.manifest("whole/image", "latest").unwrap().value();
    put_json(&harbour.registry, "bad/image", "latest", MANIFEST, &manifest);
    insta::assert_snapshot!(refused(&harbour), @"error: `REGISTRY/bad/image` lacks the blob sha256:DIGEST, which it names");
    insta::assert_snapshot!(refuses(&harbour, "copy docker://REGISTRY/bad/image docker://REGISTRY/x/y", 1), @"error: `REGISTRY/bad/image` lacks the blob sha256:DIGEST, which it names");
    assert_eq!(harbour.registry.tags("x/y").len(), 0);
    let to =
        harbour.on("machine", "copy docker://REGISTRY/bad/image oci:there --retries 0").ends(1);
    insta::assert_snapshot!(to.err, @"error: `REGISTRY/bad/image` lacks the blob sha256:DIGEST, which it names");
    insta::assert_snapshot!(refuses(&harbour, "copy oci:there dir:here", 1), @"error: `oci:there` has no image in it");
    // An index whose image is nowhere.
    let pointer = put_json(&harbour.registry, "else/where", "latest", MANIFEST, &manifest);
    put_index(&harbour.registry, "bad/image", "latest", INDEX, &[pointer]);
    insta::assert_snapshot!(refused(&harbour), @"error: `REGISTRY/bad/image` lacks the blob sha256:DIGEST, which it names");
    // Sizes that are not so.
    let resized = |change: i64| {
        let mut manifest = manifest.clone();
        let layer = &mut manifest["layers"][0];
        let size = layer["size"].as_i64().unwrap();
        layer["size"] = json!(size + change);
        for blob in harbour.registry.blobs("whole/image") {
            let bytes = harbour.registry.blob("whole/image", &blob).unwrap();
            harbour.registry.put_blob("bad/image", bytes);
        }
        put_json(&harbour.registry, "bad/image", "latest", MANIFEST, &manifest);
        refused(&harbour).replace(&size.to_string(), "SIZE")
    };
    insta::assert_snapshot!(resized(1), @"error: `REGISTRY/bad/image@sha256:DIGEST` ended after SIZE bytes, also when asked for the rest");
    insta::assert_snapshot!(resized(-1), @r#"
    error: `REGISTRY/bad/image@sha256:DIGEST` is not a whole tar archive
      because: unexpected end of file
    "#);
}

#[test]
fn what_is_no_image() {
    let harbour = Harbour::loaded(Registry::new());
    let registry = &harbour.registry;
    let put = |kind: &str, bytes: &[u8]| {
        registry.put_manifest("bad/image", "latest", kind, bytes);
        refused(&harbour)
    };
    insta::assert_snapshot!(put(MANIFEST, &vec![b' '; 50 << 20]), @"error: the answer of `http://REGISTRY/v2/bad/image/manifests/latest` is larger than 4194304 bytes, which it should never be");
    insta::assert_snapshot!(put(MANIFEST, b"<html>"), @r#"
    error: the manifest sha256:DIGEST of `REGISTRY/bad/image` cannot be read
      because: expected value at line 1 column 1
    "#);
    insta::assert_snapshot!(put(MANIFEST, b"{}"), @r#"
    error: the manifest sha256:DIGEST of `REGISTRY/bad/image` cannot be read
      because: missing field `schemaVersion` at line 1 column 2
    "#);
    insta::assert_snapshot!(put(MANIFEST, br#"{"schemaVersion": 1, "fsLayers": []}"#), @"error: `REGISTRY/bad/image` has a manifest of Docker's schema 1, which no registry should have any more");
    let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    insta::assert_snapshot!(put(old, br#"{"schemaVersion": 1, "fsLayers": []}"#), @"error: `REGISTRY/bad/image` is there, but is no image of OCI or of Docker's schema 2");
    insta::assert_snapshot!(put(INDEX, br#"{"schemaVersion": 2, "manifests": []}"#), @"error: `REGISTRY/bad/image` has no image for linux/HERE");
    let sha512 = format!("sha512:{}", "ab".repeat(64));
    let other = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "x", "digest": sha512, "size": 2},
        "layers": [{"mediaType": "x", "digest": sha512, "size": 2}]});
    insta::assert_snapshot!(put(MANIFEST, other.to_string().as_bytes()), @"error: `REGISTRY/bad/image` names a blob by `sha512:abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab`, which is not sha256");
    // The set's index is an artifact, and no image of wheels.
    let artifacts = registry.manifests(REPOSITORY);
    let (digest, _) = artifacts
        .iter()
        .find(|(_, manifest)| manifest.value()["artifactType"] == INDEX_TYPE)
        .unwrap();
    let image = format!("install keystone --wheels REGISTRY/{REPOSITORY}@{digest} --prefix env");
    insta::assert_snapshot!(refuses(&harbour, &image, 1), @"error: `REGISTRY/loci/requirements@sha256:DIGEST` is no image of wheels but an artifact: `application/vnd.loci.index.v1+json`");
    // An index that leads to itself is not possible; one that leads to indexes for ever is.
    let mut pointer = ForeignImage::new().put(registry, "bad/image", "latest");
    for _ in 0..6 {
        pointer = put_index(registry, "bad/image", "latest", INDEX, &[pointer]);
    }
    insta::assert_snapshot!(refused(&harbour), @"error: `REGISTRY/bad/image` has indexes within indexes");
    insta::assert_snapshot!(refuses(&harbour, "copy docker://REGISTRY/bad/image oci:there", 1), @"error: `REGISTRY/bad/image` has indexes within indexes");
}

#[test]
fn images_for_other_machines() {
    let harbour = Harbour::empty(Registry::new());
    let registry = &harbour.registry;
    let machine = if ELSEWHERE == "arm64" { "aarch64" } else { "x86_64" };
    let wheel = WheelMaker::new("keystone", "1.0").tag(&format!("cp311-cp311-linux_{machine}"));
    let tar = tar_of([(wheel.filename().as_str(), wheel.bytes().as_slice())]);
    let image = |architecture| {
        let image = ForeignImage::new().architecture(architecture).layer(&tar, Packing::Gzip);
        image.put(registry, "bad/image", "sha256:none")
    };
    let (there, other) = (image(ELSEWHERE), image("s390x"));
    put_index(registry, "bad/image", "latest", INDEX, &[there.clone(), other]);
    insta::assert_snapshot!(refused(&harbour), @"error: `REGISTRY/bad/image` has no image for linux/HERE; it has images for linux/THERE, linux/s390x");
    put_index(registry, "bad/image", "latest", INDEX, &[there]);
    insta::assert_snapshot!(refused(&harbour).replace(machine, "MACHINE"), @r#"
    error: the versions of `keystone` cannot be found out
      because: the set has `keystone`, but no wheel of it fits this Python: keystone-1.0-cp311-cp311-linux_MACHINE.whl
      hint: name the Python that the set was made for with `--python`
    "#);
}

#[test]
fn layers_that_are_no_layers() {
    let harbour = Harbour::empty(Registry::new());
    let said = |tar: &[u8]| {
        let mut said = Vec::new();
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let image = ForeignImage::new().layer(tar, packing);
            image.put(&harbour.registry, "bad/image", "latest");
            said.push(refused(&harbour));
        }
        said.dedup();
        said.join("or\n")
    };
    let case = |entries: &[(&str, EntryType, &[u8])]| said(&odd_tar(entries));
    insta::assert_snapshot!(said(b"<html>502 Bad Gateway</html>"), @r#"
    error: `REGISTRY/bad/image@sha256:DIGEST` is not a whole tar archive
      because: failed to read entire block
    "#);
    insta::assert_snapshot!(case(&[("../x", FILE, b"")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `../x` climbs out with `..`");
    insta::assert_snapshot!(case(&[("/x", FILE, b"")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `/x` is an absolute path");
    insta::assert_snapshot!(case(&[(SIX, EntryType::Symlink, b"")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `six-1-py3-none-any.whl` is a link or another special file");
    insta::assert_snapshot!(case(&[(SIX, EntryType::Link, b"")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `six-1-py3-none-any.whl` is a link or another special file");
    insta::assert_snapshot!(case(&[(SIX, EntryType::Fifo, b"")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `six-1-py3-none-any.whl` is a link or another special file");
    insta::assert_snapshot!(case(&[(SIX, FILE, b"x"), (SIX, FILE, b"x")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `six-1-py3-none-any.whl` is there twice");
    insta::assert_snapshot!(case(&[(SIX, FILE, b"x"), ("d/six-1-py3-none-any.whl", FILE, b"y")]), @"error: `REGISTRY/bad/image`: `six-1-py3-none-any.whl` is there again as `d/six-1-py3-none-any.whl`");
    insta::assert_snapshot!(case(&[("six.whl", FILE, b"x")]), @"error: `REGISTRY/bad/image@sha256:DIGEST`: `six.whl` has not the name of a wheel: the wheel name `six.whl` does not have five or six parts between hyphens");
    insta::assert_snapshot!(case(&[("readme", FILE, b"x")]), @"error: `REGISTRY/bad/image` has no wheels in it");
    insta::assert_snapshot!(said(&odd_tar(&[(SIX, FILE, &[1; 2000])])[..1000]), @r#"
    error: `REGISTRY/bad/image@sha256:DIGEST` is not a whole tar archive
      because: it ends within `six-1-py3-none-any.whl`
    "#);
    // It is a layer, and what it has is no wheel.
    insta::assert_snapshot!(case(&[("keystone-1-py3-none-any.whl", FILE, b"x")]), @r#"
    error: what `keystone` 1 needs cannot be found out
      because: the wheel `keystone-1-py3-none-any.whl` cannot be used
      because: it is not a whole zip archive
      because: invalid Zip archive: Could not find EOCD
    "#);
}

#[test]
fn archives_of_images_that_make_no_sense() {
    let harbour = Harbour::empty(Registry::new());
    let case = |transport: &str, entries: &[(&str, EntryType, &[u8])]| {
        harbour.world.write("x.tar", odd_tar(entries));
        refuses(&harbour, &format!("copy {transport}:x.tar oci:there"), 1)
    };
    const LAYOUT: (&str, EntryType, &[u8]) =
        ("oci-layout", FILE, br#"{"imageLayoutVersion":"1.0.0"}"#);
    for kind in ["oci-archive", "docker-archive"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(case(kind, &[("../x", FILE, b"")]).replace(kind, "KIND"), @"error: `KIND:x.tar`: `../x` climbs out with `..`");
            insta::assert_snapshot!(case(kind, &[("/x", FILE, b"")]).replace(kind, "KIND"), @"error: `KIND:x.tar`: `/x` is an absolute path");
            insta::assert_snapshot!(case(kind, &[("x", FILE, b""), ("./x", FILE, b"")]).replace(kind, "KIND"), @"error: `KIND:x.tar`: `./x` is there twice");
            insta::assert_snapshot!(case(kind, &[("x", EntryType::Fifo, b"")]).replace(kind, "KIND"), @"error: `KIND:x.tar`: `x` is a special file");
        }
    }
    insta::assert_snapshot!(case("oci-archive", &[("x", FILE, b"")]), @"error: `oci-archive:x.tar` is no archive of an image layout");
    insta::assert_snapshot!(case("docker-archive", &[("x", FILE, b"")]), @"error: `docker-archive:x.tar` is no archive of `docker save`: it has no `manifest.json`");
    insta::assert_snapshot!(case("oci-archive", &[LAYOUT, ("index.json", FILE, b"{")]), @r#"
    error: the manifest sha256:DIGEST of `oci-archive:x.tar` cannot be read
      because: EOF while parsing an object at line 1 column 1
    "#);
    insta::assert_snapshot!(case("oci-archive", &[LAYOUT, ("index.json", FILE, br#"{"schemaVersion":2,"manifests":[]}"#)]), @"error: `oci-archive:x.tar` has no image in it that has a name");
    insta::assert_snapshot!(case("docker-archive", &[("manifest.json", FILE, b"[]")]), @"error: `docker-archive:x.tar` has no image in it that has a name");
    insta::assert_snapshot!(case("docker-archive", &[("manifest.json", FILE, br#"[{"Config":"c","Layers":["l"]}]"#)]), @"error: `docker-archive:x.tar` lacks the configuration `c`");
    insta::assert_snapshot!(case("docker-archive", &[("c", FILE, b"{}"), ("manifest.json", FILE, br#"[{"Config":"c","Layers":["l"]}]"#)]), @"error: `docker-archive:x.tar` lacks the layer `l`");
    let link = [
        ("l", EntryType::Symlink, &b""[..]),
        ("c", FILE, b"{}"),
        ("manifest.json", FILE, br#"[{"Config":"c","Layers":["l"]}]"#),
    ];
    insta::assert_snapshot!(case("docker-archive", &link), @"error: `docker-archive:x.tar` lacks the layer `l`");
}
