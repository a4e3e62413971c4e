//! Sets on their way into a registry: what goes, and what need not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::foreign_image::{INDEX_TYPE, SBOM_TYPE};
use crate::harbour::{Harbour, REPOSITORY, noise, side_by_side, weight};
use crate::support::registry::{Fault, Registry, digest};
use crate::support::wheel::WheelMaker;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BLOBS: &str = "/v2/loci/requirements/blobs/";
const UPLOADS: &str = "/v2/loci/requirements/blobs/uploads/";

/// The manifest called `reference`, as JSON.
#[track_caller]
fn manifest(registry: &Registry, reference: &str) -> Value {
    registry.manifest(REPOSITORY, reference).unwrap().value()
}

/// The digest of the only image in a layout.
fn digest_in(harbour: &Harbour, layout: &str) -> String {
    let index: Value =
        serde_json::from_str(&harbour.world.read(&format!("{layout}/index.json"))).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// Every byte of every blob that went there as one.
fn sent_as_blobs(registry: &Registry) -> u64 {
    registry.requests().iter().filter(|r| r.is(UPLOADS)).map(|request| request.received).sum()
}

#[test]
fn a_set_goes_there_and_comes_back_the_same() {
    let harbour = Harbour::new();
    let world = &harbour.world;
    harbour.offer();
    harbour
        .loci(
            "build requirements -c c.txt -o docker://REGISTRY/loci/requirements:one \
             -o oci:here -o tar:here.tar -o dir:here-too -o oci-archive:here.oci",
        )
        .good();
    harbour.loci("copy store: docker://REGISTRY/loci/requirements:two").good();
    let told = digest_in(&harbour, "here");
    let expected = ["one", "two"].map(|tag| (tag.to_owned(), told.clone()));
    assert_eq!(harbour.registry.tags(REPOSITORY), expected.into());
    assert_eq!(harbour.registry.open_uploads(), 0);

    for (place, same_as) in [
        ("oci:there", "here"),
        ("tar:there.tar", "here.tar"),
        ("dir:there-too", "here-too"),
        ("oci-archive:there.oci", "here.oci"),
    ] {
        let source = "docker://REGISTRY/loci/requirements:one";
        harbour.on("machine", &format!("copy {source} {place}")).good();
        let path = place.split_once(':').unwrap().1;
        if world.path(same_as).is_dir() {
            assert!(world.files(path) == world.files(same_as), "{place} is not as {same_as}");
        } else {
            assert!(world.bytes(path) == world.bytes(same_as), "{place} is not as {same_as}");
        }
    }
    harbour.on("machine", "store verify").good();
    harbour.on("machine", "copy oci:there docker://REGISTRY/other/copy:three").good();
    assert_eq!(harbour.registry.tags("other/copy")["three"], told);
    harbour.assert_installs("machine-2", "nova", "docker://REGISTRY/other/copy:three");
    // By its digest, as a bare name, and with a tag that is not looked at then.
    for name in ["docker://REGISTRY/other/copy@DIGEST", "REGISTRY/other/copy:gone@DIGEST"] {
        harbour.assert_installs("machine-2", "nova", &name.replace("DIGEST", &told));
    }
}

#[test]
fn a_second_push_uploads_nothing() {
    let harbour = Harbour::loaded(Registry::new());
    let before = harbour.registry.tags(REPOSITORY);
    let run = harbour.loci("copy store: docker://REGISTRY/loci/requirements --json -q").good();
    assert_eq!(run.json()["bytes"], 0);
    let registry = &harbour.registry;
    assert_eq!((registry.hits("POST /"), sent_as_blobs(registry)), (0, 0));
    assert!(registry.uploaded() < 20_000, "{}", registry.uploaded());
    assert_eq!(registry.tags(REPOSITORY), before);
}

#[test]
fn after_a_changed_wheel_little_goes() {
    let harbour = Harbour::loaded(Registry::new());
    harbour.offer();
    let driver = WheelMaker::new("driver", "1.1").file("noise.bin", noise("new", 2300 << 10));
    harbour.world.index.wheel(&driver);
    let constraints = harbour.world.read("c.txt").replace("driver===1.0", "driver===1.1");
    harbour.world.write("c.txt", constraints);
    harbour.loci("build requirements -c c.txt -o docker://REGISTRY/loci/requirements:next").good();
    let sent = sent_as_blobs(&harbour.registry);
    let wheel = driver.bytes().len() as u64;
    // The layer's tar, the metadata and the index as an artifact.
    assert!((wheel..wheel + 30_000).contains(&sent), "{sent} for {wheel}");
    // The old one is as it was.
    harbour.loci("install nova --wheels docker://REGISTRY/loci/requirements --prefix old").good();
    assert_eq!(harbour.world.names("old").iter().filter(|n| n.contains("driver-1.0")).count(), 4);
}

/// The artifacts that the fallback tag of `subject` lists.
fn fallback(registry: &Registry, subject: &str) -> Vec<Value> {
    let tag = subject.replace(':', "-");
    manifest(registry, &tag)["manifests"].as_array().unwrap().clone()
}

#[test]
fn the_index_refers_to_its_image() {
    for registry in [Registry::new(), Registry::new().without_referrers()] {
        let harbour = Harbour::loaded(registry);
        let registry = &harbour.registry;
        let subject = registry.tags(REPOSITORY)["latest"].clone();
        let manifests = registry.manifests(REPOSITORY);
        let refers: Vec<_> = manifests
            .iter()
            .filter(|(_, manifest)| manifest.value()["subject"]["digest"] == *subject)
            .collect();
        let of_kind = |kind: &str| {
            let found =
                refers.iter().find(|(_, manifest)| manifest.value()["artifactType"] == kind);
            let (own, artifact) = found.unwrap();
            ((*own).clone(), artifact.value())
        };
        assert_eq!(refers.len(), 2);
        let (bill, artifact) = of_kind(SBOM_TYPE);
        let file = artifact["layers"][0]["digest"].as_str().unwrap();
        assert_eq!(artifact["layers"][0]["mediaType"], SBOM_TYPE);
        let file = registry.blob(REPOSITORY, file).unwrap();
        let parsed: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(parsed["components"].as_array().unwrap().len(), 11);
        // It is the one that is in the image.
        harbour.loci("copy docker://REGISTRY/loci/requirements dir:unpacked").good();
        assert_eq!(harbour.world.bytes("unpacked/.loci/sbom.cdx.json"), file);
        let (own, artifact) = of_kind(INDEX_TYPE);
        let index = artifact["layers"][0]["digest"].as_str().unwrap();
        let index: Value =
            serde_json::from_slice(&registry.blob(REPOSITORY, index).unwrap()).unwrap();
        assert_eq!(index["wheels"].as_array().unwrap().len(), 11);
        let tags = registry.tags(REPOSITORY);
        if tags.len() == 1 {
            // It has the API, and needs no tag.
            continue;
        }
        let listed = fallback(registry, &subject);
        let listed: BTreeSet<&str> =
            listed.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
        assert_eq!(listed, BTreeSet::from([own.as_str(), bill.as_str()]));
        // What others refer with stays, and what an earlier loci did goes.
        let tag = subject.replace(':', "-");
        let entry = |kind: &str, bytes: &str| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
                   "digest": digest(bytes.as_bytes()), "size": bytes.len(), "artifactType": kind})
        };
        let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": [entry("application/other", "other"), entry(INDEX_TYPE, "earlier")]});
        registry.put_manifest(REPOSITORY, &tag, OCI_INDEX, list.to_string());
        for other in ["other", "earlier"] {
            registry.put_manifest(REPOSITORY, "sha256:any", "application/x", other);
        }
        harbour.loci("copy store: docker://REGISTRY/loci/requirements").good();
        let kinds: Vec<_> =
            fallback(registry, &subject).iter().map(|entry| entry["digest"].clone()).collect();
        assert_eq!(kinds, [json!(digest(b"other")), json!(own), json!(bill)]);
    }
}

#[test]
fn what_a_registry_has_elsewhere_is_mounted() {
    let copy = "copy docker://REGISTRY/loci/requirements docker://REGISTRY/other/place:x --json -q";
    let login = |registry: Registry| registry.bearer("me", "secret");
    for (registry, mounts) in [
        (Registry::new(), true),
        (Registry::new().absolute_locations(), true),
        (Registry::new().refuse_mounts(), false),
        (login(Registry::new()), true),
        (login(Registry::new()).refuse_mounts(), false),
    ] {
        let harbour = Harbour::with(registry);
        harbour.log_in("me", "secret");
        harbour.loci("copy store: docker://REGISTRY/loci/requirements").good();
        harbour.registry.forget_requests();
        harbour.loci(copy).good();
        let registry = &harbour.registry;
        let blobs = registry.blobs("other/place").len();
        let received: u64 =
            registry.requests().iter().filter(|r| r.method == "PUT").map(|r| r.received).sum();
        // The artifacts' blobs are put by their bytes.
        assert_eq!(registry.hits("POST /v2/other/place/"), blobs);
        if mounts {
            assert_eq!(registry.hits("GET /v2/loci/requirements/blobs/"), 1);
            assert!(received < 20_000, "{received}");
        } else {
            assert!(received > weight(&["driver", "large"]), "{received}");
        }
        assert_eq!(registry.open_uploads(), 0);
        assert_eq!(registry.tags("other/place")["x"], registry.tags(REPOSITORY)["latest"]);
        harbour.assert_installs("machine", "nova", "docker://REGISTRY/other/place:x");
    }
}

/// How an upload goes when the first request for a blob that is a `pattern` meets `fault`.
#[track_caller]
fn broken(registry: Registry, pattern: &str, fault: &Fault) -> Harbour {
    let harbour = Harbour::with(registry);
    harbour.registry.fault(pattern, 1, fault.clone());
    let run = harbour.loci("copy store: docker://REGISTRY/loci/requirements");
    assert_eq!(run.code, 0, "{fault:?} at {pattern}: {}", run.err);
    assert_eq!(harbour.registry.requests().iter().filter(|r| r.status.is_none()).count(), 1);
    assert!(harbour.registry.open_uploads() <= 1);
    let copied = harbour.on("machine", "copy docker://REGISTRY/loci/requirements oci:there");
    copied.good();
    assert!(harbour.world.files("there") == harbour.layout(), "{fault:?} at {pattern}");
    harbour
}

#[test]
fn an_upload_that_broke_goes_on() {
    let whole: u64 = {
        let harbour = Harbour::loaded(Registry::new());
        let registry = &harbour.registry;
        let blobs = registry.blobs(REPOSITORY);
        blobs.iter().map(|blob| registry.blob(REPOSITORY, blob).unwrap().len() as u64).sum()
    };
    // No layer is so small.
    let cut = || Fault::Cut { after: 1000 };
    let first = format!("PUT {UPLOADS}");
    type Case = (Registry, String, Fault, fn(&Harbour, u64));
    let cases: [Case; 8] = [
        (Registry::new(), first.clone(), cut(), |harbour, whole| {
            let came = sent_as_blobs(&harbour.registry);
            assert_eq!(came, whole, "bytes that had come went again");
            assert_eq!(harbour.registry.hits(&format!("PATCH {UPLOADS}")), 1);
        }),
        (Registry::new().absolute_locations(), first.clone(), cut(), |_, _| {}),
        (Registry::new().lose_broken_uploads(), first.clone(), cut(), |harbour, whole| {
            assert!(sent_as_blobs(&harbour.registry) > whole);
            assert_eq!(harbour.registry.open_uploads(), 0);
        }),
        // All had come, and only the answer was lost.
        (Registry::new(), first.clone(), Fault::Mute, |harbour, whole| {
            assert_eq!(sent_as_blobs(&harbour.registry), whole);
        }),
        (Registry::new(), first, Fault::Drop, |_, _| {}),
        (Registry::new(), format!("POST {UPLOADS}"), Fault::Drop, |_, _| {}),
        (Registry::new(), format!("HEAD {BLOBS}"), Fault::Drop, |_, _| {}),
        (Registry::new(), "PUT /v2/loci/requirements/manifests/".into(), Fault::Mute, |_, _| {}),
    ];
    side_by_side(cases, |(registry, pattern, fault, check)| {
        check(&broken(registry, &pattern, &fault), whole);
    });
}

#[test]
fn large_blobs_go_in_chunks() {
    let mut harbour = Harbour::empty(Registry::new());
    let huge = WheelMaker::new("huge", "1.0").file("noise.bin", noise("huge", 65 << 20));
    harbour.world.index.wheel(&huge);
    harbour.world.write("c.txt", "huge===1.0\n");
    harbour.loci("build requirements -c c.txt --no-deps").good();
    // After one byte, the registry says the same as after none.
    for (after, chunks) in [(10 << 20, 2), (1, 4)] {
        let image = format!("loci/cut-{after}");
        let patch = format!("PATCH /v2/{image}/blobs/uploads/");
        harbour.registry.fault(&patch, 1, Fault::Cut { after });
        harbour.loci(&format!("copy store: docker://REGISTRY/{image}")).good();
        assert_eq!(harbour.registry.hits(&patch), chunks);
    }
    let tags = ["loci/cut-1", "loci/cut-10485760"].map(|image| harbour.registry.tags(image));
    assert_eq!(tags[0], tags[1]);
    harbour.on("machine", "copy docker://REGISTRY/loci/cut-1 oci:there").good();
    assert!(harbour.world.files("there") == harbour.layout());
    // Who takes no bytes, and says so as if all were well, is given up.
    harbour.registry = Registry::new().takes_no_chunks();
    let run = harbour.loci("copy store: docker://REGISTRY/loci/requirements --retries 1");
    insta::assert_snapshot!(run.ends(1).err, @"error: `REGISTRY/loci/requirements` takes up the blob sha256:DIGEST, but takes no byte of it");
    assert_eq!(harbour.registry.tags(REPOSITORY).len(), 0);
}

#[test]
fn of_two_pushes_of_one_tag_one_wins_whole() {
    let harbour = Harbour::new();
    harbour.loci("copy store: oci:first").good();
    harbour.offer();
    harbour.world.index.wheel(&WheelMaker::new("nova", "2.0").requires("keystone"));
    let constraints = harbour.world.read("c.txt").replace("nova===1.0", "nova===2.0");
    harbour.world.write("c.txt", constraints);
    harbour.loci("build requirements -c c.txt -o oci:second").good();
    let digests: BTreeMap<&str, String> =
        ["first", "second"].map(|layout| (layout, digest_in(&harbour, layout))).into();
    // Both wait before anything is asked, with a manifest in the hand, or before the artifact.
    for (pattern, after) in
        [("HEAD /", 0), ("POST /", 3), ("PUT /v2/loci/requirements/manifests/", 0)]
    {
        let image = format!("race/{}-{after}", pattern.split(' ').next().unwrap().to_lowercase());
        harbour.registry.hold_on(&pattern.replace("loci/requirements", &image), after);
        let mut children = ["first", "second"].map(|layout| {
            harbour.start_on(layout, &format!("copy -q oci:{layout} docker://REGISTRY/{image}"))
        });
        harbour.registry.wait_until_held(|| false);
        harbour.registry.resume();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        let tag = &harbour.registry.tags(&image)["latest"];
        let winner = digests.iter().find(|(_, digest)| *digest == tag).unwrap().0;
        let machine = format!("machine-{}", image.replace('/', "-"));
        harbour.on(&machine, &format!("copy docker://REGISTRY/{image} oci:{machine}")).good();
        assert!(harbour.world.files(&machine) == harbour.world.files(winner), "{image}");
        // Whoever lost has an image without a tag, and it is whole as well.
        for digest in digests.values() {
            harbour
                .on("reader", &format!("copy docker://REGISTRY/{image}@{digest} dir:any"))
                .good();
        }
    }
}

#[test]
fn a_wheel_that_is_damaged_here_is_named() {
    let harbour = Harbour::loaded(Registry::new());
    // The layers' digests are known to the store.
    let blobs = harbour.world.files("store/blobs/sha256");
    let (name, bytes) = blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut bytes = bytes.clone();
    bytes[1_000_000] ^= 1;
    harbour.world.write(&format!("store/blobs/sha256/{name}"), bytes);
    harbour.offer();
    let build = "build requirements -c c.txt -o docker://REGISTRY/another/place";
    let run = harbour.loci(build);
    insta::assert_snapshot!(run.ends(1).err, @r#"
    error: the blob `sha256:DIGEST` is damaged: its bytes are sha256:DIGEST
      hint: set it aside with `loci store verify`, and run the job again
    "#);
    assert_eq!(harbour.registry.tags("another/place").len(), 0);
    let run = harbour.loci("copy store: oci:there");
    insta::assert_snapshot!(run.ends(1).err, @"error: `driver-1.0-py3-none-any.whl` in `store:latest` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
    assert!(!harbour.world.path("there/index.json").exists());
}

#[test]
fn an_image_is_not_called_by_anothers_digest() {
    let harbour = Harbour::new();
    let digest = digest(b"another");
    let run = harbour.loci(&format!("copy store: docker://REGISTRY/loci/requirements@{digest}"));
    insta::assert_snapshot!(run.ends(1).err, @"error: what would be written is sha256:DIGEST, which cannot be called `REGISTRY/loci/requirements@sha256:DIGEST`");
    assert_eq!(harbour.registry.manifests(REPOSITORY).len(), 0);
}
