//! `loci store gc` and `untag` as people meet them, and collections that are killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use loci::store::Store;
use loci::store::set::{Origin, SetWheel, WheelSet};
use loci::vocab::digest::Digest;
use rustix::process::{Pid, Signal, kill_process};

use crate::world::World;

/// A store with sets of these names, in this order, each with wheels of its own and one that all have.
fn stored(world: &World, names: &[&str], own: usize) {
    let store = Store::open(&world.path("store")).unwrap();
    for name in names {
        let parts = (0..own).map(|n| format!("{name}p{n}")).chain(["shared".into()]);
        let wheels = parts.map(|part| SetWheel {
            filename: format!("{part}-1-py3-none-any.whl").parse().unwrap(),
            digest: store.put(part.as_bytes()).unwrap(),
            size: part.len() as u64,
            origin: Origin::Imported { from: "test".into() },
        });
        let set = WheelSet { wheels: wheels.collect(), ..WheelSet::default() };
        store.save_set(&name.parse().unwrap(), &set).unwrap();
    }
}

/// The names in the store, and how many wheels each has.
fn listed(world: &World) -> Vec<(String, u64)> {
    let sets = world.loci("store ls --json").good().json();
    let set = |set: &serde_json::Value| {
        assert!(set["named"].as_str().unwrap().ends_with('Z'));
        (set["tag"].as_str().unwrap().to_owned(), set["wheels"].as_u64().unwrap())
    };
    sets.as_array().unwrap().iter().map(set).collect()
}

#[test]
fn names_are_kept_by_order_and_age() {
    let world = World::bare();
    stored(&world, &["a", "b", "c"], 1);
    let run = world.loci("store gc --keep-last 2 --dry-run").good();
    insta::assert_snapshot!(run.out, @"would be untagged: a, written just now");
    insta::assert_snapshot!(run.err, @"2 blobs would be removed, 1.2 KiB; 7 kept");
    assert_eq!(world.loci("store gc --keep-last 1 --older-than 45m").good().out, "");
    assert_eq!(listed(&world).len(), 3);
    let run = world.loci("store gc --keep-last 2 --json").good();
    let mut json = run.json();
    let (name, bytes) = (json["names"][0].take(), json["bytes"].take());
    assert!(bytes.as_u64() > Some(1_000), "{bytes}");
    assert_eq!(name["tag"], "a");
    assert!(name["digest"].as_str().unwrap().starts_with("sha256:"));
    let expected = serde_json::json!({
        "names": [null], "removed": 2, "bytes": null, "kept": 7, "held": 0, "builds": 0, "remembered": 0, "caches": 0,
        "leftovers": 0, "dry_run": false,
    });
    assert_eq!(json, expected);
    assert_eq!(listed(&world), [("b".into(), 2), ("c".into(), 2)]);
    let run = world.loci("store gc --older-than 0d").good();
    insta::assert_snapshot!(run.out, @r#"
    untagged: c, written just now
    untagged: b, written just now
    "#);
    assert_eq!(world.names("store/blobs"), [""; 0]);
    for (wrong, option) in [("30", "older-than"), ("1y", "older-than"), ("-1", "keep-last")] {
        let run = world.loci(&format!("store gc --{option}={wrong}")).ends(2);
        assert!(
            run.err.contains(&format!("invalid value '{wrong}' for '--{option}")),
            "{}",
            run.err
        );
    }
}

#[test]
fn names_are_taken_away_by_hand() {
    let world = World::bare();
    stored(&world, &["a", "b", "c"], 1);
    let run = world.loci("store untag a nothing").ends(1);
    insta::assert_snapshot!(run.err, @"error: nothing is named `nothing` in `HERE/store`; names there: `a`, `b`, `c`");
    let run = world.loci("store untag a").good();
    insta::assert_snapshot!(run.err, @"1 name taken away; `loci store gc` removes what nothing else leads to");
    assert_eq!(world.loci("store rm b c --json").good().json()["untagged"][1], "c");
    assert_eq!(listed(&world), []);
    assert_eq!(world.loci("store gc --json").good().json()["removed"], 9);
}

#[test]
fn a_damaged_name_is_told_and_nothing_lost() {
    let world = World::bare();
    stored(&world, &["hurt", "whole"], 1);
    let store = Store::open(&world.path("store")).unwrap();
    let manifest = store.layout().named(&"hurt".parse().unwrap()).unwrap().digest().unwrap();
    drop(store);
    let manifest = format!("store/blobs/sha256/{}", manifest.hex());
    world.write(&manifest, "damaged");
    let before = world.names("store/blobs");
    let run = world.loci("store gc --keep-last 3").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: cannot tell what `hurt` leads to
      because: the blob `sha256:DIGEST` is damaged: its bytes are sha256:DIGEST
      hint: run its job again, which writes it anew, or take the name away with `loci store untag hurt`
    "#);
    // Set aside, it is missing.
    world.loci("store verify").ends(1);
    let run = world.loci("store gc --dry-run").ends(1);
    assert!(run.err.starts_with("error: cannot tell what `hurt` leads to\n"), "{}", run.err);
    assert_eq!(world.names("store/blobs").len() + 1, before.len());
    world.loci("store untag hurt").good();
    world.loci("store gc").good();
    assert_eq!(listed(&world), [("whole".into(), 2)]);
    world.loci("store verify").good();
}

#[test]
fn what_a_lock_names_is_kept() {
    let world = World::bare();
    stored(&world, &["a"], 2);
    world.loci("store untag a").good();
    let lock = |name: &str| {
        let sha256 = Digest::of(name.as_bytes()).hex();
        format!(
            "lock-version = \"1.0\"\ncreated-by = \"test\"\n[[packages]]\nname = \"{name}\"\nversion = \"1\"\n\
             wheels = [{{ name = \"{name}-1-py3-none-any.whl\", path = \"x.whl\", hashes = {{ sha256 = \"{sha256}\" }} }}]\n"
        )
    };
    world.write("one.toml", lock("ap0"));
    world.write("two.toml", lock("shared"));
    world.write("bad.toml", "lock-version = 1\n");
    let before = world.names("store/blobs");
    for (path, said) in
        [("bad.toml", "error: bad.toml:1: "), ("no.toml", "error: cannot read `no.toml`")]
    {
        let run = world.loci(&format!("store gc --lock one.toml --lock {path}")).ends(2);
        assert!(run.err.starts_with(said), "{}", run.err);
    }
    assert_eq!(world.names("store/blobs"), before);
    let run = world.loci("store gc --lock one.toml --lock two.toml --json").good();
    assert_eq!((&run.json()["kept"], &run.json()["removed"]), (&2.into(), &4.into()));
    let mut expected = ["ap0", "shared"].map(|name| Digest::of(name.as_bytes()).hex());
    expected.sort();
    assert_eq!(world.names("store/blobs/sha256"), expected);
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Kills a collection as soon as `now` says so; whether it was still at work.
fn kill_when(mut child: Child, mut now: impl FnMut() -> bool) -> bool {
    while !now() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    // Until it is waited for, its number is its own.
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap().code().is_none()
}

#[test]
fn a_collection_that_is_killed_loses_nothing() {
    let model = World::bare();
    let names = ["s0", "s1", "s2", "s3", "s4", "s5"];
    stored(&model, &names, 120);
    let all = count(&model.path("store/blobs/sha256"));
    let expected: Vec<_> = names[4..].iter().map(|name| ((*name).to_owned(), 121)).collect();
    // Two sets of 120 wheels, what they share, a manifest each, the configuration and the texts.
    let left = 2 * 121 + 3;
    // At work on names; then on blobs, of which so many are left; then on what was moved away.
    let moments: Vec<Option<usize>> =
        [None].into_iter().chain((left..=all).rev().step_by(60).map(Some)).collect();
    let mut killed = 0;
    for moment in moments {
        let world = World::bare();
        let copied =
            Command::new("cp").arg("-r").args([model.path("store"), world.path("store")]).status();
        assert!(copied.unwrap().success());
        let mut gc = world.command("store gc --keep-last 2");
        let child = gc.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let blobs = world.path("store/blobs/sha256");
        let index = world.path("store/index.json");
        let named = fs::read(&index).unwrap();
        killed += usize::from(kill_when(child, || match moment {
            None => fs::read(&index).is_ok_and(|now| now != named),
            Some(left) => count(&blobs) <= left,
        }));
        let at = format!("{moment:?} of {all} blobs");
        world.loci("store verify").good();
        let found = listed(&world);
        assert!(found.ends_with(&expected), "{at}: {found:?}");
        assert!(found.iter().all(|(_, wheels)| *wheels == 121), "{at}: {found:?}");
        world.loci("store gc --keep-last 2").good();
        assert_eq!(listed(&world), expected, "{at}");
        assert_eq!(count(&blobs), left, "{at}");
        world.loci("store verify").good();
        for folder in ["store/loci/tmp", "store/loci/leases"] {
            assert_eq!(world.names(folder), [""; 0], "{at}: {folder}");
        }
    }
    assert!(killed > 0, "every collection was faster than the test");
}

#[test]
fn the_next_command_clears_away_what_a_killed_one_left() {
    let world = World::bare();
    stored(&world, &["a"], 1);
    fs::create_dir_all(world.path("store/loci/tmp/run-killed/build")).unwrap();
    world.write("store/loci/tmp/run-killed/build/tree", "");
    world.write("store/loci/leases/run-killed", "");
    world.loci("store ls").good();
    assert!(!world.path("store/loci/tmp/run-killed").exists());
    assert!(!world.path("store/loci/leases/run-killed").exists());
}
