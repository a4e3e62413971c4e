//! Sets on their way out of a registry: which bytes come, and that they are the right ones.

use serde_json::{Value, json};

use crate::foreign_image::{
    ARCHITECTURE, DOCKER_LIST, ELSEWHERE, ForeignImage, INDEX, INDEX_TYPE, MANIFEST, Packing,
    put_index, put_json, tar_of,
};
use crate::harbour::{Harbour, KEYSTONE, NOVA, REPOSITORY, side_by_side, weight, wheels};
use crate::support::registry::{Fault, Redirect, Registry};

const IMAGE: &str = "docker://REGISTRY/loci/requirements";
const BLOBS: &str = "GET /v2/loci/requirements/blobs/";

/// The bytes of blobs that went out since this was asked last.
fn taken(registry: &Registry) -> u64 {
    let requests = registry.requests();
    registry.forget_requests();
    let blobs = requests.iter().filter(|r| r.is(BLOBS) || r.path.starts_with("/storage/"));
    blobs.map(|request| request.sent).sum()
}

/// The manifest called `latest`, and the size of its last layer.
fn latest(registry: &Registry) -> (Value, u64) {
    let manifest = registry.manifest(REPOSITORY, "latest").unwrap().value();
    let last = manifest["layers"].as_array().unwrap().last().unwrap()["size"].as_u64().unwrap();
    (manifest, last)
}

/// Checks what keystone and nova take, one after the other on one machine.
#[track_caller]
fn takes_its_own(harbour: &Harbour, image: &str, index: u64) {
    let registry = &harbour.registry;
    registry.forget_requests();
    harbour.assert_installs("machine", "keystone", image);
    let (sent, own) = (taken(registry), weight(&KEYSTONE));
    // Neighbours come in one request, with the few bytes between them.
    assert!((own + index..own + index + 16_000).contains(&sent), "{sent}: {own} and {index}");
    harbour.assert_installs("machine", "nova", image);
    let (sent, own) = (taken(registry), weight(&NOVA));
    assert!((own..own + 5000).contains(&sent), "{sent}: {own}");
    harbour.assert_installs("machine", "keystone", image);
    assert_eq!(taken(registry), 0);
    assert_eq!(registry.uploaded(), 0);
    harbour.on("machine", "store verify").good();
}

#[test]
fn a_service_takes_its_own_wheels_and_no_more() {
    let harbour = Harbour::loaded(Registry::new());
    let (_, index) = latest(&harbour.registry);
    takes_its_own(&harbour, IMAGE, index);
    // What is not needed comes when it is wanted.
    harbour.on("machine", &format!("copy {IMAGE} dir:all")).good();
    let rest = taken(&harbour.registry);
    let lacking = weight(&["lonely", "large"]);
    assert!((lacking..lacking + 16_000).contains(&rest), "{rest}: {lacking}");
    harbour.loci("copy store: dir:expected").good();
    assert!(harbour.world.files("all") == harbour.world.files("expected"));
}

#[test]
fn a_registry_that_gives_no_parts_is_borne_with() {
    for registry in [
        Registry::new().without_ranges(),
        Registry::new().without_ranges().redirect(Redirect::Elsewhere),
    ] {
        let harbour = Harbour::loaded(registry);
        harbour.assert_installs("machine", "nova", IMAGE);
        let all = taken(&harbour.registry);
        assert!(all > weight(&KEYSTONE) + weight(&NOVA), "{all}");
        harbour.assert_installs("machine", "keystone", IMAGE);
        assert_eq!(taken(&harbour.registry), 0);
        assert_eq!(harbour.registry.leaks().len(), 0);
    }
}

#[test]
fn what_breaks_on_the_way_comes_again() {
    let faults = [
        Fault::Truncate { after: 700 },
        Fault::Flip { at: 700 },
        Fault::Whole,
        Fault::Drop,
        Fault::Mute,
        Fault::Status { status: 429, retry_after: Some("0".into()) },
        Fault::Status { status: 503, retry_after: Some("0".into()) },
    ];
    side_by_side(faults, |fault| {
        let harbour = Harbour::loaded(Registry::new());
        let before = harbour.layout();
        for pattern in [BLOBS, "GET /v2/loci/requirements/manifests/"] {
            for arguments in [
                format!("install nova --wheels {IMAGE} --prefix env --clear"),
                format!("copy {IMAGE} oci:there"),
                format!("copy {IMAGE} oci-archive:there.tar"),
            ] {
                harbour.registry.calm().fault(pattern, 1, fault.clone());
                let run = harbour.on(&format!("{fault:?} {pattern}").replace('/', "-"), &arguments);
                assert_eq!(run.code, 0, "{fault:?} at {pattern}, {arguments}: {}", run.err);
            }
            assert!(harbour.world.files("there") == before, "{fault:?} at {pattern}");
            harbour.on("reader", "copy oci-archive:there.tar oci:unpacked").good();
            assert!(harbour.world.files("unpacked") == before, "{fault:?} at {pattern}");
            harbour.assert_installs("reader", "nova", "oci:there");
            for out in ["there", "unpacked"] {
                std::fs::remove_dir_all(harbour.world.path(out)).unwrap();
            }
        }
    });
}

#[test]
fn the_index_is_found_beside_the_image() {
    for registry in [Registry::new(), Registry::new().without_referrers()] {
        let harbour = Harbour::loaded(registry);
        let registry = &harbour.registry;
        let (mut manifest, _) = latest(registry);
        let has_api = registry.tags(REPOSITORY).len() == 1;
        // The layer with the index is no longer the last.
        let config = registry.blob(REPOSITORY, manifest["config"]["digest"].as_str().unwrap());
        let mut config: Value = serde_json::from_slice(&config.unwrap()).unwrap();
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse();
        config["history"].as_array_mut().unwrap().reverse();
        manifest["layers"].as_array_mut().unwrap().reverse();
        let config = config.to_string();
        manifest["config"]["size"] = json!(config.len());
        manifest["config"]["digest"] = json!(registry.put_blob(REPOSITORY, config));
        let subject = put_json(registry, REPOSITORY, "turned", MANIFEST, &manifest);
        let artifacts = registry.manifests(REPOSITORY);
        let artifact =
            artifacts.values().find(|manifest| manifest.value()["artifactType"] == INDEX_TYPE);
        let mut artifact = artifact.unwrap().value();
        let index = artifact["layers"][0]["size"].as_u64().unwrap();
        artifact["subject"] = subject.clone();
        let mut pointer = put_json(registry, REPOSITORY, "sha256:any", MANIFEST, &artifact);
        if !has_api {
            pointer["artifactType"] = artifact["artifactType"].clone();
            let tag = subject["digest"].as_str().unwrap().replace(':', "-");
            put_index(registry, REPOSITORY, &tag, INDEX, &[pointer]);
        }
        // The last layer is looked into, for it is small; it is one of the large wheels' here.
        let last = manifest["layers"].as_array().unwrap().last().unwrap()["size"].as_u64().unwrap();
        registry.forget_requests();
        harbour.assert_installs("machine", "keystone", &format!("{IMAGE}:turned"));
        let (sent, own) = (taken(registry), weight(&KEYSTONE) + index + last);
        assert!((own..own + 16_000).contains(&sent), "{sent}: {own}");
    }
}

/// A layer with the wheels of the set at `folder`, and no index.
fn all_wheels(folder: &str) -> Vec<u8> {
    let wheels = wheels();
    let named: Vec<_> =
        wheels.iter().map(|(name, bytes)| (format!("{folder}{name}"), bytes.as_slice())).collect();
    tar_of(named.iter().map(|(name, bytes)| (name.as_str(), *bytes)))
}

#[test]
fn an_image_as_loci_makes_it_comes_whole_and_once() {
    for folder in ["", "./", "var/lib/wheels/"] {
        let harbour = Harbour::with(Registry::new());
        let image = ForeignImage::new().layer(&all_wheels(folder), Packing::Gzip);
        image.put(&harbour.registry, REPOSITORY, "latest");
        harbour.assert_installs("machine", "keystone", IMAGE);
        assert!(taken(&harbour.registry) > weight(&["large"]));
        harbour.assert_installs("machine", "nova", IMAGE);
        assert_eq!(taken(&harbour.registry), 0, "{folder}");
        harbour.on("machine", &format!("copy {IMAGE} store:taken")).good();
        harbour.on("machine", "copy store:taken docker://REGISTRY/again/split").good();
        harbour.assert_installs("machine-2", "nova", "docker://REGISTRY/again/split");
    }
}

/// The image called `latest`, all of whose layers were compressed, as copies do.
fn recompressed(registry: &Registry, packing: Packing) {
    let (mut manifest, _) = latest(registry);
    for layer in manifest["layers"].as_array_mut().unwrap() {
        let tar = registry.blob(REPOSITORY, layer["digest"].as_str().unwrap()).unwrap();
        let bytes = packing.pack(&tar);
        layer["size"] = json!(bytes.len());
        layer["mediaType"] = json!(packing.media_type(false));
        layer["digest"] = json!(registry.put_blob(REPOSITORY, bytes));
    }
    put_json(registry, REPOSITORY, "squeezed", MANIFEST, &manifest);
    registry.forget_requests();
}

#[test]
fn of_compressed_layers_those_come_that_are_needed() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let harbour = Harbour::loaded(Registry::new());
        recompressed(&harbour.registry, packing);
        let image = format!("{IMAGE}:squeezed");
        harbour.assert_installs("machine", "keystone", &image);
        let sent = taken(&harbour.registry);
        // Neither of the large layers.
        assert!(sent < weight(&["large"]), "{packing:?}: {sent}");
        harbour.assert_installs("machine", "nova", &image);
        let sent = taken(&harbour.registry);
        assert!(sent > weight(&NOVA) && sent < weight(&NOVA) + 400_000, "{packing:?}: {sent}");
        harbour.assert_installs("machine", "nova", &image);
        // The configuration, which says what each layer is uncompressed.
        assert!(taken(&harbour.registry) < 3000, "{packing:?}");
        harbour.on("machine-2", &format!("copy {image} store:all")).good();
        harbour.on("machine-2", "copy store:all tar:all.tar").good();
        harbour.loci("copy store: tar:expected.tar").good();
        assert!(harbour.world.bytes("all.tar") == harbour.world.bytes("expected.tar"));
    }
}

#[test]
fn an_image_of_some_layers_has_their_wheels() {
    let harbour = Harbour::loaded(Registry::new());
    let registry = &harbour.registry;
    // As the images of single services are: without the layers of the two large wheels.
    let (mut manifest, _) = latest(registry);
    manifest["layers"].as_array_mut().unwrap().retain(|layer| {
        let size = layer["size"].as_u64().unwrap();
        size < weight(&["large"])
    });
    put_json(registry, REPOSITORY, "latest-keystone", MANIFEST, &manifest);
    let image = format!("{IMAGE}:latest-keystone");
    harbour.assert_installs("machine", "keystone", &image);
    let run = harbour.on("machine", &format!("install nova --wheels {image} --prefix new"));
    insta::assert_snapshot!(run.ends(1).err, @r#"
    error: these cannot all hold:
      `nova` is asked for
      `nova` 1.0 needs `driver`
      `driver` is pinned to 1.0 at upper-constraints.txt of docker://REGISTRY/loci/requirements:latest-keystone:2: driver===1.0
      there is no release of `driver` for TARGET
      hint: the set has no wheel of `driver`: add it with `loci build requirements --pip-packages`
    "#);
    // It is a set of its own.
    harbour.on("machine", &format!("copy {image} dir:some")).good();
    assert_eq!(harbour.world.wheels("some").len(), 9);
}

#[test]
fn manifests_of_every_kind_are_read() {
    let harbour = Harbour::with(Registry::new());
    let registry = &harbour.registry;
    let tar = all_wheels("");
    let put = |image: ForeignImage, reference: &str| {
        image.layer(&tar, Packing::Gzip).put(registry, "kinds/of", reference)
    };
    let wrong = ForeignImage::new().architecture(ELSEWHERE).layer(&tar_of([]), Packing::Gzip);
    let wrong = wrong.put(registry, "kinds/of", "sha256:wrong");
    let attested = ForeignImage::new().architecture("unknown");
    let attested = attested.layer(&tar_of([]), Packing::Gzip).put(registry, "kinds/of", "sha256:a");
    let docker = put(ForeignImage::new().docker(), "docker");
    let bare = put(ForeignImage::new().without_media_type(), "bare");
    let oci = put(ForeignImage::new(), "oci");
    put_index(registry, "kinds/of", "list", DOCKER_LIST, &[wrong.clone(), docker]);
    put_index(registry, "kinds/of", "index", INDEX, &[wrong.clone(), attested, oci.clone()]);
    let inner = put_index(registry, "kinds/of", "inner", INDEX, &[wrong, bare]);
    put_index(registry, "kinds/of", "nested", INDEX, &[inner]);
    let nameless = json!({"schemaVersion": 2, "manifests": [oci]});
    put_json(registry, "kinds/of", "nameless", INDEX, &nameless);
    for tag in ["docker", "bare", "oci", "list", "index", "inner", "nested", "nameless"] {
        let image = format!("docker://REGISTRY/kinds/of:{tag}");
        harbour.assert_installs("machine", "keystone", &image);
        harbour.on("machine", &format!("copy {image} docker://REGISTRY/copies/of:{tag}")).good();
        let (from, to) = (registry.tags("kinds/of"), registry.tags("copies/of"));
        assert_eq!(from[tag], to[tag]);
        let media_type = |repository| registry.manifest(repository, tag).unwrap().media_type;
        assert_eq!(media_type("kinds/of"), media_type("copies/of"), "{tag}");
    }
}

#[test]
fn one_platform_can_be_taken_out_of_several() {
    let harbour = Harbour::with(Registry::new());
    let registry = &harbour.registry;
    let image = |architecture, tag: &str| {
        let image = ForeignImage::new().architecture(architecture);
        let layer = tar_of([("readme", architecture.as_bytes())]);
        image.layer(&layer, Packing::Plain).put(registry, "many/images", tag)
    };
    let (here, there) = (image(ARCHITECTURE, "here"), image(ELSEWHERE, "there"));
    put_index(registry, "many/images", "both", INDEX, &[there.clone(), here.clone()]);
    put_index(registry, "many/images", "one", INDEX, std::slice::from_ref(&there));
    let from = "copy docker://REGISTRY/many/images";
    for (tag, architecture, wanted) in
        [("both", ARCHITECTURE, &here), ("both", ELSEWHERE, &there), ("one", ELSEWHERE, &there)]
    {
        let to = format!("docker://REGISTRY/one/image:{tag}-{architecture}");
        harbour.loci(&format!("{from}:{tag} {to} --platform linux/{architecture}")).good();
        let tags = registry.tags("one/image");
        assert_eq!(json!(tags[&format!("{tag}-{architecture}")]), wanted["digest"]);
    }
    // Joined again, they are what they were.
    let join = format!("{from}:here docker://REGISTRY/many/images:there");
    harbour.loci(&format!("{join} docker://REGISTRY/joined/again")).good();
    let joined = registry.manifest("joined/again", "latest").unwrap().value();
    let platforms: Vec<_> = joined["manifests"].as_array().unwrap().clone();
    assert_eq!(platforms.len(), 2);
    assert!(platforms.contains(&here) && platforms.contains(&there), "{platforms:?}");
    let missing = |tag: &str, to: &str| {
        let run = harbour.loci(&format!("{from}:{tag} {to} --platform linux/s390x")).ends(1);
        assert!(!harbour.world.path("nothing").exists());
        run.err.replace(ARCHITECTURE, "HERE").replace(ELSEWHERE, "THERE")
    };
    insta::assert_snapshot!(missing("one", "oci:nothing"), @"error: `REGISTRY/many/images:one` has no image for linux/s390x; it has images for linux/THERE");
    insta::assert_snapshot!(missing("both", "dir:nothing"), @"error: `REGISTRY/many/images:both` has no image for linux/s390x; it has images for linux/THERE, linux/HERE");
    insta::assert_snapshot!(missing("there", "tar:nothing"), @"error: `REGISTRY/many/images:there` is an image for linux/THERE, and not for linux/s390x");
}
