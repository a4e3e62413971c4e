//! A registry at its worst: what goes through it is whole none the less, byte for byte.

use crate::harbour::{Harbour, REPOSITORY, side_by_side};
use crate::support::registry::{Chaos, Redirect, Registry};

const IMAGE: &str = "docker://REGISTRY/loci/requirements";
const PUSH: &str = "copy store: docker://REGISTRY/loci/requirements";

fn kinds() -> [Registry; 4] {
    let tokens = Registry::new().bearer("me", "secret").refuse_mounts();
    tokens.token_uses(9);
    [
        tokens,
        Registry::new().without_referrers().lose_broken_uploads(),
        Registry::new().absolute_locations().redirect(Redirect::Elsewhere).refuse_mounts(),
        Registry::new().redirect(Redirect::Here).without_ranges(),
    ]
}

/// The registry's image, which must be the one it should be.
#[track_caller]
fn assert_whole(harbour: &Harbour, image: &str, what: &str) {
    harbour.registry.calm();
    assert_eq!(harbour.registry.leaks().len(), 0);
    harbour.on("reader", &format!("copy {image} oci:read")).good();
    assert!(harbour.world.files("read") == harbour.layout(), "{what}");
    std::fs::remove_dir_all(harbour.world.path("read")).unwrap();
}

/// Runs `arguments` on `machine` through trouble.
#[track_caller]
fn rough(harbour: &Harbour, seed: u64, machine: &str, arguments: &str) {
    harbour.registry.calm().chaos(Chaos::rough(seed));
    let run = harbour.on(machine, &format!("{arguments} --retries 12"));
    harbour.registry.calm();
    assert_eq!(run.code, 0, "{seed}: {arguments}: {}", run.err);
}

/// Every kind of registry, each with a seed of its own: the number of the first is in the variable
/// `LOCI_TEST_SEED`, to look for trouble that no test has met yet.
fn seeds() -> impl Iterator<Item = (u64, Registry)> {
    let first = std::env::var("LOCI_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    (first..).zip(kinds())
}

#[test]
fn pushes_are_whole() {
    side_by_side(seeds(), |(seed, registry)| {
        let harbour = Harbour::with(registry);
        harbour.log_in("me", "secret");
        rough(&harbour, seed, "store", PUSH);
        assert_whole(&harbour, IMAGE, &format!("{seed}: {PUSH}"));
    });
}

#[test]
fn pulls_are_whole() {
    side_by_side(seeds(), |(seed, registry)| {
        let harbour = Harbour::loaded(registry);
        for place in ["oci:there", "oci-archive:there.oci", "tar:there.tar"] {
            rough(&harbour, seed, "machine", &format!("copy {IMAGE} {place}"));
            harbour.on("reader", &format!("copy {place} oci:read")).good();
            assert!(harbour.world.files("read") == harbour.layout(), "{seed}: {place}");
            std::fs::remove_dir_all(harbour.world.path("read")).unwrap();
        }
        harbour.on("machine", "store verify").good();
    });
}

#[test]
fn copies_are_whole() {
    side_by_side(seeds(), |(seed, registry)| {
        let harbour = Harbour::loaded(registry);
        let to = "docker://REGISTRY/other/place";
        rough(&harbour, seed, "machine", &format!("copy {IMAGE} {to}"));
        let registry = &harbour.registry;
        assert_eq!(registry.tags("other/place")["latest"], registry.tags(REPOSITORY)["latest"]);
        assert_whole(&harbour, to, &format!("{seed}: {to}"));
    });
}

#[test]
fn installations_are_whole() {
    side_by_side(seeds(), |(seed, registry)| {
        let harbour = Harbour::loaded(registry);
        let expected = harbour.installed("nova");
        let machine = format!("machine-{seed}");
        rough(
            &harbour,
            seed,
            &machine,
            &format!("install keystone --wheels {IMAGE} --prefix env --clear"),
        );
        rough(
            &harbour,
            seed,
            &machine,
            &format!("install nova --wheels {IMAGE} --prefix env --clear"),
        );
        assert!(harbour.world.files("env") == expected, "{seed}");
        harbour.on(&machine, "store verify").good();
    });
}

#[test]
fn what_never_gets_better_is_given_up() {
    use crate::support::registry::Fault;

    let harbour = Harbour::loaded(Registry::new());
    let refused = |pattern: &str, fault: Fault, arguments: &str| {
        harbour.registry.calm().fault(pattern, 1000, fault);
        let run = harbour.on("machine", &format!("{arguments} --retries 2")).ends(1);
        assert!(!harbour.world.path("env").exists());
        run.err
    };
    let status = |status| Fault::Status { status, retry_after: Some("0".into()) };
    let blobs = "GET /v2/loci/requirements/blobs/";
    let install = format!("install nova --wheels {IMAGE} --prefix env");
    insta::assert_snapshot!(refused("GET /v2/loci/requirements/manifests/", status(503), &install), @"error: `http://REGISTRY/v2/loci/requirements/manifests/latest` answers 503 Service Unavailable");
    insta::assert_snapshot!(refused(blobs, status(429), &install), @"error: `http://REGISTRY/v2/loci/requirements/blobs/sha256:DIGEST` answers 429 Too Many Requests");
    insta::assert_snapshot!(refused(blobs, Fault::Truncate { after: 0 }, &install), @r#"
    error: the connection to `http://REGISTRY/v2/loci/requirements/blobs/sha256:DIGEST` failed
      because: end of file before message length reached
    "#);
    insta::assert_snapshot!(refused(blobs, Fault::Flip { at: 100 }, &install), @r#"
    error: `REGISTRY/loci/requirements@sha256:DIGEST` is not a whole tar archive
      because: archive header checksum mismatch
    "#);
    insta::assert_snapshot!(refused(blobs, Fault::Drop, &install), @r#"
    error: the connection to `http://REGISTRY/v2/loci/requirements/blobs/sha256:DIGEST` failed
      because: connection closed before message completed
    "#);
    let push = "copy store: docker://REGISTRY/another/place";
    harbour.registry.calm();
    let given_up = |method: &str, fault: Fault| {
        harbour.registry.calm().fault(&format!("{method} /v2/another/place/blobs/"), 1000, fault);
        let run = harbour.loci(&format!("{push} --retries 1")).ends(1);
        assert_eq!(harbour.registry.tags("another/place").len(), 0);
        // Which upload it was, and how its end was seen, is another matter each time.
        let end = run.err.find("/upload-").unwrap_or(run.err.len());
        run.err[..end].to_owned()
    };
    insta::assert_snapshot!(given_up("POST", status(500)), @"error: `http://REGISTRY/v2/another/place/blobs/uploads/` answers 500 Internal Server Error");
    insta::assert_snapshot!(given_up("PUT", Fault::Drop), @"error: the connection to `http://REGISTRY/v2/another/place/blobs/uploads");
    insta::assert_snapshot!(given_up("HEAD", Fault::Mute), @r#"
    error: the connection to `http://REGISTRY/v2/another/place/blobs/sha256:DIGEST` failed
      because: connection closed before message completed
    "#);
}
