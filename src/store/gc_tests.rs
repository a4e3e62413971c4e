//! Collections by example. In files of their own: [`model`], against a slow and obvious one, and
//! [`beside`], with commands that go on.

#[path = "gc_model_tests.rs"]
mod model;
#[path = "gc_beside_tests.rs"]
mod beside;

use std::fs::{File, FileTimes};
use std::io::Write;

use super::super::names::Tag;
use super::super::set::{Origin, SetWheel, WheelSet};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn put_wheel(store: &Store, name: &str) -> SetWheel {
    SetWheel {
        filename: format!("{name}-1-py3-none-any.whl").parse().unwrap(),
        digest: store.put(name.as_bytes()).unwrap(),
        size: name.len() as u64,
        origin: Origin::Imported { from: "test".into() },
    }
}

fn set(wheels: impl IntoIterator<Item = SetWheel>) -> WheelSet {
    WheelSet { wheels: wheels.into_iter().collect(), ..WheelSet::default() }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn record(store: &Store, wheel: &SetWheel) -> Digest {
    let log = store.put(format!("log of {}", wheel.filename).as_bytes()).unwrap();
    let key = Digest::of(wheel.filename.as_str().as_bytes());
    let record = BuildRecord {
        name: wheel.filename.name().clone(),
        version: wheel.filename.version().clone(),
        wheel: wheel.filename.clone(),
        digest: wheel.digest,
        log,
        seconds: 1.0,
        peak_memory: None,
        requires: Vec::new(),
    };
    store.builds().put(&key, &record).unwrap();
    key
}

/// Makes what is at `path` so old.
fn age(path: &Path, age: Duration) {
    let then = SystemTime::now() - age;
    let times = FileTimes::new().set_modified(then).set_accessed(then);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// The names in the store, sorted.
fn names(store: &Store) -> Vec<String> {
    store.tags().unwrap().into_iter().filter_map(|named| named.tag).collect()
}

/// What was made by a command that has ended.
fn made(dir: &Path, make: impl FnOnce(&Store)) {
    make(&Store::open(dir).unwrap());
}

/// Collects, after a dry run that must have said the same.
#[track_caller]
fn gc(dir: &Path, rules: &GcRules) -> GcReport {
    let store = Store::open(dir).unwrap();
    let said = store.gc_dry_run(rules).unwrap();
    let done = store.gc(rules).unwrap();
    assert_eq!(said, done);
    done
}

#[test]
fn only_what_names_lead_to_stays() {
    let dir = tempfile::tempdir().unwrap();
    let looks = || Store::open(dir.path()).unwrap();
    let mut keys = Vec::new();
    let mut kept = WheelSet::default();
    made(dir.path(), |store| {
        let wheels = [put_wheel(store, "kept"), put_wheel(store, "gone")];
        keys.extend(wheels.iter().map(|wheel| record(store, wheel)));
        kept.wheels.extend(wheels.into_iter().take(1));
        store.save_set(&Tag::default(), &kept).unwrap();
    });
    // Kept: the wheel, its log, the manifest, the empty config, and the two (empty) texts as one.
    let expected =
        GcReport { removed: 2, bytes: 4 + 30, kept: 5, builds: 1, ..GcReport::default() };
    assert_eq!(gc(dir.path(), &GcRules::default()), expected);
    assert!(!looks().contains(&Digest::of(b"gone")));
    assert_eq!(looks().load_set(&Tag::default()).unwrap(), kept);
    let found: Vec<_> = keys.iter().map(|key| looks().builds().get(key).is_some()).collect();
    assert_eq!(found, [true, false]);
    assert_eq!(gc(dir.path(), &GcRules::default()), GcReport { kept: 5, ..GcReport::default() });
}

#[test]
fn what_running_commands_count_on_stays() {
    let dir = tempfile::tempdir().unwrap();
    let texts = ["looked at", "sized", "read", "put again", "its name is lost", "nobody's"];
    made(dir.path(), |store| {
        let wheels = texts.map(|text| put_wheel(store, &text.replace([' ', '\''], "_")));
        record(store, &wheels[0]);
        store.save_set(&tag("set"), &set([wheels[4].clone()])).unwrap();
    });
    let digests = texts.map(|text| Digest::of(text.replace([' ', '\''], "_").as_bytes()));
    let environment = Digest::of(b"environment");

    let running = Store::open(dir.path()).unwrap();
    assert!(running.contains(&digests[0]));
    assert!(running.size(&digests[1]).is_some());
    running.read(&digests[2]).unwrap();
    running.put(b"put_again").unwrap();
    let named = running.load_set(&tag("set")).unwrap();
    running.untag(&["set".into()]).unwrap();
    let mut begun = running.writer().unwrap();
    begun.write_all(b"begun before").unwrap();
    let mut whole = running.clone().writer().unwrap();
    whole.write_all(b"whole before").unwrap();
    let whole = whole.commit().unwrap().0;
    // Absent when it was looked for, so that it was written by somebody else, and then counted on.
    assert!(!running.contains(&Digest::of(b"later")));
    made(dir.path(), |store| _ = store.put(b"later").unwrap());
    running.hold(&environment).unwrap();
    for name in [environment.hex(), Digest::of(b"old").hex(), "strange".into()] {
        std::fs::create_dir(running.envs_dir().join(&name)).unwrap();
        age(&running.envs_dir().join(name), 31 * DAY);
    }

    let report = gc(dir.path(), &GcRules::default());
    // One wheel and two environments.
    assert_eq!((report.removed, report.leftovers), (1, 2), "{report:?}");
    assert_eq!((report.kept, report.held), (11, 11), "{report:?}");
    assert!(!running.contains(&digests[5]));
    for digest in digests[..5].iter().chain([&whole, &Digest::of(b"later")]) {
        running.read(digest).unwrap();
    }
    let record = running.builds().get(&Digest::of(b"looked_at-1-py3-none-any.whl")).unwrap();
    running.read(&record.log).unwrap();
    assert!(running.envs_dir().join(environment.hex()).exists());
    let begun = begun.commit().unwrap().0;
    gc(dir.path(), &GcRules::default());
    running.read(&begun).unwrap();
    // What was named once can be named again, and outlives its command.
    running.save_set(&tag("again"), &named).unwrap();
    drop(running);
    // The wheel, the manifest, the config and the texts.
    let report = gc(dir.path(), &GcRules::default());
    assert_eq!((report.kept, report.held), (4, 0), "{report:?}");
}

#[test]
fn a_lease_outlives_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(b"held").unwrap();
    let lease = store.lease().unwrap();
    drop(store);
    assert_eq!(gc(dir.path(), &GcRules::default()).held, 1);
    drop(lease);
    assert_eq!(gc(dir.path(), &GcRules::default()).removed, 1);
}

#[test]
fn names_go_before_what_only_they_led_to() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| {
        let shared = put_wheel(store, "shared");
        for name in ["old", "middle", "new", "old"] {
            store.save_set(&tag(name), &set([shared.clone(), put_wheel(store, name)])).unwrap();
        }
    });
    let keep = |keep_last| GcRules { keep_last: Some(keep_last), ..GcRules::default() };
    // The last write of a name counts.
    let report = gc(dir.path(), &keep(2));
    assert_eq!(report.names.iter().map(|lost| lost.tag.as_str()).collect::<Vec<_>>(), ["middle"]);
    assert_eq!((report.removed, report.kept), (2, 7));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(names(&store), ["new", "old"]);
    let manifest = report.names[0].digest.unwrap();
    assert!(!store.contains(&manifest) && !store.contains(&Digest::of(b"middle")));
    drop(store);
    let report = gc(dir.path(), &keep(0));
    let lost: Vec<_> = report.names.iter().map(|lost| lost.tag.as_str()).collect();
    assert_eq!((lost, report.removed, report.kept), (vec!["old", "new"], 7, 0));
}

#[test]
fn what_is_young_stays() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| {
        for name in ["young", "aged"] {
            record(store, &put_wheel(store, name));
        }
        for bytes in [&b"aged"[..], b"log of aged-1-py3-none-any.whl"] {
            age(&store.path(&Digest::of(bytes)), 3 * DAY);
        }
        age(&store.path(&Digest::of(b"log of young-1-py3-none-any.whl")), 3 * DAY);
    });
    let rules = GcRules { older_than: Some(2 * DAY), ..GcRules::default() };
    let report = gc(dir.path(), &rules);
    // The log of what is young stays with it.
    assert_eq!((report.removed, report.kept, report.held, report.builds), (2, 2, 0, 1));
    assert_eq!(gc(dir.path(), &GcRules::default()).removed, 2);
}

#[test]
fn what_is_remembered_stays_with_its_blobs_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let kept_at = |kind: &str, name: &str| {
        let file = format!("{}.json", Digest::of(name.as_bytes()).hex());
        dir.path().join("loci/kept").join(kind).join(file)
    };
    let all = ["used", "aged", "shared", "old and used", "held"];
    made(dir.path(), |store| {
        for name in all {
            let blob = store.put(name.as_bytes()).unwrap();
            let shared = Digest::of(b"shared");
            let blobs = if name == "aged" { vec![blob, shared] } else { vec![blob] };
            let kind = if name == "used" { "of now" } else { "of then" };
            store.put(b"shared").unwrap();
            store.kept(kind).put(&Digest::of(name.as_bytes()), &name, &blobs).unwrap();
            age(&store.path(&blob), 200 * DAY);
        }
        store.kept("of then").put(&Digest::of(b"nothing"), &0, &[]).unwrap();
        std::fs::write(kept_at("of then", "unreadable"), "{").unwrap();
        std::fs::write(kept_at("of then", "hurt"), "{").unwrap();
    });
    for name in ["aged", "old and used", "held", "nothing", "unreadable"] {
        age(&kept_at("of then", name), 31 * DAY);
    }
    // Between two builds.
    made(dir.path(), |store| {
        let value = store.kept("of then").get::<String>(&Digest::of(b"old and used"));
        assert_eq!(value.as_deref(), Some("old and used"));
    });
    let running = Store::open(dir.path()).unwrap();
    assert!(running.contains(&Digest::of(b"held")));
    let report = gc(dir.path(), &GcRules::default());
    assert_eq!((report.removed, report.kept, report.held), (1, 4, 1), "{report:?}");
    // `aged`, `nothing` and what cannot be read.
    assert_eq!((report.remembered, report.caches), (3, 0), "{report:?}");
    for name in all {
        let there = running.path(&Digest::of(name.as_bytes())).exists();
        let kind = if name == "used" { "of now" } else { "of then" };
        assert_eq!(
            (there, kept_at(kind, name).exists()),
            (name != "aged", name != "aged"),
            "{name}"
        );
    }
    drop(running);
    let report = gc(dir.path(), &GcRules::default());
    assert_eq!((report.removed, report.remembered), (1, 1), "{report:?}");

    // A name, a lock or its youth keeps a blob, and nothing that counts on it.
    let locked = [Digest::of(b"used")].into();
    let rules = GcRules { older_than: Some(Duration::ZERO), locked, ..GcRules::default() };
    let report = gc(dir.path(), &rules);
    assert_eq!((report.removed, report.kept, report.remembered), (2, 1, 4), "{report:?}");
}

#[test]
fn the_name_of_an_older_loci_is_as_old_as_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| {
        for name in ["first", "second"] {
            let manifest = store.save_set(&tag(name), &set([put_wheel(store, name)])).unwrap();
            age(&store.path(&manifest), 3 * DAY);
        }
        let index = store.root().join("index.json");
        let mut value: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
        let annotations = value["manifests"][0]["annotations"].as_object_mut().unwrap();
        assert!(annotations.remove("org.openstack.loci.named").is_some());
        std::fs::write(&index, value.to_string()).unwrap();
    });
    let rules = GcRules { older_than: Some(2 * DAY), ..GcRules::default() };
    let report = gc(dir.path(), &rules);
    assert_eq!(report.names.iter().map(|lost| lost.tag.as_str()).collect::<Vec<_>>(), ["first"]);
}

#[test]
fn what_locks_name_stays() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| _ = ["a", "b"].map(|name| record(store, &put_wheel(store, name))));
    let locked = [Digest::of(b"a"), Digest::of(b"absent")].into();
    // The wheel and its log.
    let report = gc(dir.path(), &GcRules { locked, ..GcRules::default() });
    assert_eq!((report.removed, report.kept, report.held), (2, 2, 0));
}

#[test]
fn nothing_is_lost_while_a_manifest_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = None;
    made(dir.path(), |store| {
        for name in ["oldest", "hurt", "whole"] {
            let digest = store.save_set(&tag(name), &set([put_wheel(store, name)])).unwrap();
            if name == "hurt" {
                manifest = Some(digest);
            }
        }
    });
    let store = Store::open(dir.path()).unwrap();
    let path = store.path(&manifest.unwrap());
    std::fs::write(&path, "damaged").unwrap();
    let keep = |keep_last| GcRules { keep_last: Some(keep_last), ..GcRules::default() };
    for _ in 0..2 {
        for rules in [GcRules::default(), keep(2)] {
            let errors = [store.gc(&rules).unwrap_err(), store.gc_dry_run(&rules).unwrap_err()];
            for error in errors {
                assert_eq!(error.to_string(), "cannot tell what `hurt` leads to");
            }
        }
        assert_eq!(names(&store), ["hurt", "oldest", "whole"]);
        // Missing is no better than damaged.
        let _ = std::fs::remove_file(&path);
    }
    // A name that goes need not lead anywhere.
    assert_eq!(store.gc(&keep(1)).unwrap().names.len(), 2);
    assert_eq!(names(&store), ["whole"]);
    assert_eq!(store.load_set(&tag("whole")).unwrap().wheels.len(), 1);
}

#[test]
fn names_are_taken_away_all_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut digest = None;
    for name in ["a", "b", "c"] {
        digest = Some(store.save_set(&tag(name), &set([put_wheel(&store, name)])).unwrap());
    }
    let untag = |names: &[&str]| store.untag(&names.iter().map(|&n| n.into()).collect::<Vec<_>>());
    let error = untag(&["a", "x", "b"]).unwrap_err().to_string();
    assert!(error.starts_with("nothing is named `x`"), "{error}");
    assert_eq!(names(&store), ["a", "b", "c"]);
    untag(&["a", "b"]).unwrap();
    assert_eq!(names(&store), ["c"]);
    // What stands there without a name has its digest for one; what has a name does not.
    let digest = digest.unwrap().to_string();
    assert!(matches!(untag(&[&digest]), Err(StoreError::NoSuchTag { .. })));
    let index = store.root().join("index.json");
    let text = std::fs::read_to_string(&index).unwrap().replace("ref.name", "ref.other");
    std::fs::write(&index, text).unwrap();
    untag(&[&digest]).unwrap();
    assert_eq!(store.tags().unwrap(), []);
}

#[test]
fn leftovers_and_what_nobody_uses_go() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| {
        let caches = store.root().join("loci");
        for (folder, names) in [
            ("http/pages", ["old", "new"]),
            ("http/metadata", ["old", "new"]),
            ("layers", ["old.json", "new.json"]),
            ("kind nobody knows", ["old.json", "new.json"]),
            ("damaged", ["a", "b"]),
            ("leases", ["run-killed", "run-shot"]),
            ("tmp/run-killed", ["half", "log"]),
            // The tree of a failed build that was kept, and what an older loci left.
            ("tmp/run-ended/build", ["tree", "log"]),
            ("tmp", [".loci-old", "build-old"]),
        ] {
            std::fs::create_dir_all(caches.join(folder)).unwrap();
            for name in names {
                let path = caches.join(folder).join(name);
                std::fs::write(&path, "").unwrap();
                if name.starts_with("old") {
                    age(&path, 91 * DAY);
                }
            }
        }
    });
    let running = Store::open(dir.path()).unwrap();
    std::fs::write(running.tmp_dir().join("half"), "").unwrap();
    let report = gc(dir.path(), &GcRules::default());
    assert_eq!((report.caches, report.leftovers), (4, 2 + 2 + 1 + 2));
    assert!(running.tmp_dir().join("half").exists());
    assert_eq!(entries(&running.root().join("loci/tmp")).unwrap(), [running.tmp_dir()]);
    assert_eq!(gc(dir.path(), &GcRules::default()), GcReport::default());
}

#[test]
fn a_command_clears_away_what_killed_ones_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tmp = store.root().join("loci/tmp");
    for (name, lease) in [("run-killed", true), ("run-kept", false)] {
        std::fs::create_dir_all(tmp.join(name).join("tree")).unwrap();
        if lease {
            std::fs::write(store.root().join("loci/leases").join(name), "").unwrap();
        }
    }
    let _lease = store.lease().unwrap();
    let mut left = entries(&tmp).unwrap();
    left.sort();
    let mut expected = vec![store.tmp_dir(), tmp.join("run-kept")];
    expected.sort();
    assert_eq!(left, expected);
}
