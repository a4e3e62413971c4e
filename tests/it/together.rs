//! Several processes with one store at the same time.

use std::process::Stdio;

use crate::support::wheel::WheelMaker;
use crate::world::World;

const JOB: &str = "build requirements -c upper-constraints.txt";

fn world() -> World {
    let world = World::new();
    for n in 0..12 {
        world.index.wheel(&WheelMaker::new(&format!("alpha{n}"), "1.0"));
    }
    world.index.sdist(&world.noted("beta", "1.0").build_requires("setuptools"));
    let mut pins: String = (0..12).map(|n| format!("alpha{n}===1.0\n")).collect();
    pins.push_str("beta===1.0\n");
    world.write("upper-constraints.txt", pins);
    world
}

#[test]
fn two_runs_share_a_store() {
    let world = world();
    let outputs =
        ["-o dir:one -o oci:image:one --tag one", "-o dir:two -o oci:image:two --tag two"];
    let children = outputs.map(|outputs| {
        let mut command = world.command(&format!("{JOB} {outputs}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for child in children {
        world.told(child.wait_with_output().unwrap()).good();
    }
    assert_eq!(world.wheels("one").len(), 18);
    assert_eq!(world.files("one"), world.files("two"));
    world.loci("store verify").good();
    let listed = world.loci("store ls --json").good().json();
    let tags: Vec<_> = listed.as_array().unwrap().iter().map(|set| &set["tag"]).collect();
    assert_eq!(tags, ["one", "two"]);
    // Both tags of the one image are there.
    for tag in ["one", "two"] {
        let install = format!("install alpha1 --wheels oci:image:{tag} --prefix prefix-{tag}");
        world.loci(&install).good();
    }
}

#[test]
fn what_a_run_has_obtained_is_not_collected_under_it() {
    let world = world();
    let whole = world.index.requests().len();
    world.loci(&format!("{JOB} -o dir:expected --store other")).good();
    let requests = world.index.requests().len() - whole;
    // No two runs make as many requests.
    for at in [3, requests / 3, requests / 2, requests * 3 / 4] {
        let _ = std::fs::remove_dir_all(world.path("store"));
        world.index.hold_after(at);
        let mut job = world.command(JOB);
        // The request that is held is lost, and made again.
        job.env("PIP_RETRIES", "3").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = job.spawn().unwrap();
        world.index.wait_until_held(|| child.try_wait().unwrap().is_some());
        assert_eq!(child.try_wait().unwrap(), None, "{at}");
        let before = world.names("store/blobs");
        let run = world.loci("store gc --json").good();
        assert_eq!(run.json()["removed"], 0, "{at}: {}", run.err);
        // What was under way may have been stored since.
        let after = world.names("store/blobs");
        assert!(before.iter().all(|blob| after.contains(blob)), "{at}: {before:?}, {after:?}");
        world.loci("store verify").good();
        world.index.let_go();
        world.told(child.wait_with_output().unwrap()).good();
        world.loci("store gc").good();
        let run = world.loci(&format!("{JOB} -o dir:wheels")).good();
        assert_eq!(run.figures(), [0, 0, 18], "{at}");
        assert_eq!(world.files("wheels"), world.files("expected"), "{at}");
    }
}

#[test]
fn a_run_that_ends_leaves_nothing_to_tidy_up() {
    let world = world();
    world.index.hold_after(24);
    let mut child = world.command(JOB).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    world.index.wait_until_held(|| child.try_wait().unwrap().is_some());
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    world.index.let_go();
    for folder in ["store/loci/tmp", "store/loci/leases"] {
        assert_eq!(world.names(folder), [""; 0], "{folder}");
    }
    // What it had fetched is nobody's now.
    let left = world.names("store/blobs").len();
    assert_eq!(world.loci("store gc --json").good().json()["removed"], left);
    assert_eq!(world.names("store/blobs"), [""; 0]);
    world.loci(JOB).good();
}

#[test]
fn one_collects_at_a_time() {
    let world = world();
    world.loci(JOB).good();
    // The lock of a collection, held by this process for as long as the file is open.
    let lock = std::fs::File::create(world.path("store/loci/gc")).unwrap();
    lock.lock().unwrap();
    let run = world.loci("store gc").ends(1);
    // Who it is, the system does not tell at every moment.
    let said = run.err.replace(&format!(" (process {})", std::process::id()), "");
    insta::assert_snapshot!(said, @r#"
    error: another `loci store gc` is at work in `HERE/store`
      hint: wait for it to end: it does the same work
    "#);
    // Everything else is no trouble.
    world.loci("store ls").good();
    world.loci(JOB).good();
    drop(lock);
    world.loci("store gc").good();
}

#[test]
fn jobs_run_beside_collections() {
    let world = world();
    world.loci(&format!("{JOB} -o dir:expected --store other")).good();
    for round in 0..3 {
        let _ = std::fs::remove_dir_all(world.path("store"));
        // There is a store for the first collection.
        loci::store::Store::open(&world.path("store")).unwrap();
        let jobs = ["one", "two"].map(|name| {
            let job = format!("{JOB} -o dir:{name}{round} --tag {name}");
            world.command(&job).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        let mut jobs = Vec::from(jobs);
        while jobs.iter_mut().any(|job| job.try_wait().unwrap().is_none()) {
            world.loci("store gc --keep-last 1 --quiet").good();
        }
        for job in jobs {
            world.told(job.wait_with_output().unwrap()).good();
        }
        for name in ["one", "two"] {
            let written = format!("{name}{round}");
            for (path, bytes) in world.files("expected") {
                let found = world.bytes(&format!("{written}/{path}"));
                let text = String::from_utf8_lossy;
                assert!(found == bytes, "{written}/{path}: {}", text(&found));
            }
            assert_eq!(world.names(&written), world.names("expected"));
        }
        world.loci("store gc --keep-last 1").good();
        world.loci("store verify").good();
        let left = world.loci("store ls --json").good().json();
        let tag = left[0]["tag"].as_str().unwrap().to_owned();
        world.loci(&format!("install alpha1 --wheels store:{tag} --prefix p{round}")).good();
    }
}
