//! Commands killed on their way to or from a registry, and run again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harbour::{Harbour, REPOSITORY, kill, side_by_side};
use crate::support::registry::Registry;

const IMAGE: &str = "docker://REGISTRY/loci/requirements";

/// Kills `arguments` once they have made each of these shares of their requests, with `prepare` done
/// before; `check` is told when it was.
#[track_caller]
fn killed(
    arguments: &str,
    prepare: impl Fn() -> Harbour + Sync,
    check: impl Fn(&Harbour, &str) + Sync,
) {
    let whole = prepare();
    let before = whole.registry.requests().len();
    whole.on("machine", arguments).good();
    let requests = whole.registry.requests().len() - before;
    let points = [0, 2, requests / 3, requests / 2, requests * 2 / 3, requests - 2, requests - 1];
    side_by_side(points.into_iter().collect::<BTreeSet<_>>(), |at| {
        let harbour = prepare();
        harbour.registry.hold_after(at);
        let mut child = harbour.start_on("machine", arguments);
        harbour.registry.wait_until_held(|| child.try_wait().unwrap().is_some());
        kill(child);
        harbour.registry.let_go();
        check(&harbour, &format!("{arguments}, killed after {at} of {requests} requests"));
    });
}

/// Every image that has a tag is whole: all it names is there.
#[track_caller]
fn assert_tags_whole(registry: &Registry, repository: &str, at: &str) {
    for (tag, digest) in registry.tags(repository) {
        let manifest = registry.manifest(repository, &digest).unwrap().value();
        let lists = ["layers", "manifests"].map(|list| manifest[list].as_array().cloned());
        let named = lists.into_iter().flatten().flatten().chain([manifest["config"].clone()]);
        for digest in named.filter_map(|value| value["digest"].as_str().map(str::to_owned)) {
            let there = registry.blob(repository, &digest).is_some()
                || registry.manifest(repository, &digest).is_some();
            assert!(there, "{at}: `{tag}` lacks {digest}");
        }
    }
}

/// The wheels' blobs a store has, and nothing that was begun.
#[track_caller]
fn assert_store_clean(harbour: &Harbour, at: &str) {
    harbour.on("machine", "store verify").good();
    harbour.on("machine", "store gc").good();
    assert_eq!(harbour.world.names("machine/loci/tmp"), [""; 0], "{at}");
}

#[test]
fn a_push_is_whole_or_was_none() {
    let prepare = || {
        let harbour = Harbour::loaded(Registry::new());
        harbour.offer();
        let constraints = harbour.world.read("c.txt").replace("nova===1.0\n", "");
        harbour.world.write("c.txt", constraints);
        // Whoever pushes has the store with another set than the one that is there.
        harbour.loci("build requirements -c c.txt --no-deps").good();
        harbour
    };
    for to in ["loci/requirements", "loci/fresh"] {
        let push = format!("copy store: docker://REGISTRY/{to}");
        let prepare = || {
            let harbour = prepare();
            std::fs::rename(harbour.world.path("store"), harbour.world.path("machine")).unwrap();
            harbour
        };
        killed(&push, prepare, |harbour, at| {
            let registry = &harbour.registry;
            harbour.on("machine", "copy store: oci:new").good();
            let index: Value = serde_json::from_str(&harbour.world.read("new/index.json")).unwrap();
            let new = index["manifests"][0]["digest"].as_str().unwrap();
            let old = registry.tags(REPOSITORY)["latest"].clone();
            assert_tags_whole(registry, to, at);
            if let Some(now) = registry.tags(to).get("latest") {
                assert!(*now == new || *now == old, "{at}");
            }
            harbour.on("machine", &push).good();
            assert_eq!(registry.tags(to)["latest"], new, "{at}");
            assert_tags_whole(registry, to, at);
            harbour.on("reader", &format!("copy docker://REGISTRY/{to} oci:read")).good();
            assert!(harbour.world.files("read") == harbour.world.files("new"), "{at}");
        });
    }
}

#[test]
fn a_pull_leaves_no_half_image() {
    for place in ["oci:there", "oci-archive:there.oci", "tar:there.tar", "dir:there", "store:there"]
    {
        let pull = format!("copy {IMAGE} {place}");
        killed(
            &pull,
            || Harbour::loaded(Registry::new()),
            |harbour, at| {
                // What is there now has the tag and is whole, or has none.
                let early = harbour.on("reader", &format!("copy {place} dir:early"));
                let done = early.code == 0 && !place.starts_with("store:");
                assert!(!done || place.starts_with("dir:"), "{at}: {}", early.err);
                harbour.registry.forget_requests();
                harbour.on("machine", &pull).good();
                let path = place.split_once(':').unwrap().1;
                if place != "store:there" {
                    let expected = place.replace("there", "expected");
                    harbour.loci(&format!("copy store: {expected}")).good();
                    let files = |name: &str| {
                        let path = harbour.world.path(name);
                        if path.is_dir() {
                            harbour.world.files(name)
                        } else {
                            vec![(String::new(), harbour.world.bytes(name))]
                        }
                    };
                    assert!(files(path) == files(&path.replace("there", "expected")), "{at}");
                }
                let left: Vec<_> = std::fs::read_dir(harbour.world.path(""))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| name.starts_with('.') || name.contains("tmp"))
                    .collect();
                assert_eq!(left, [""; 0], "{at}");
                assert_store_clean(harbour, at);
            },
        );
    }
}

#[test]
fn a_copy_between_repositories_is_whole_or_was_none() {
    for registry in [Registry::new, || Registry::new().refuse_mounts()] {
        let copy = format!("copy {IMAGE} docker://REGISTRY/loci/copy");
        killed(
            &copy,
            || Harbour::loaded(registry()),
            |harbour, at| {
                let registry = &harbour.registry;
                assert_tags_whole(registry, "loci/copy", at);
                harbour.on("machine", &copy).good();
                assert_eq!(
                    registry.tags("loci/copy")["latest"],
                    registry.tags(REPOSITORY)["latest"]
                );
                assert_tags_whole(registry, "loci/copy", at);
            },
        );
    }
}

#[test]
fn an_installation_is_whole_or_is_none() {
    let install = format!("install nova --wheels {IMAGE} --prefix env");
    killed(
        &install,
        || Harbour::loaded(Registry::new()),
        |harbour, at| {
            assert!(!harbour.world.path("env").exists(), "{at}");
            harbour.on("machine", &install).good();
            let expected = harbour.world.files("env");
            assert!(expected == harbour.installed("nova"), "{at}");
            assert_store_clean(harbour, at);
        },
    );
}
