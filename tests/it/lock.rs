//! Locking: what is chosen, how it is written, how a conflict is told.

use crate::support::index::IndexFile;
use crate::support::wheel::WheelMaker;
use crate::world::World;

fn world() -> World {
    let world = World::bare();
    let service = WheelMaker::new("service", "2.0").requires("alpha>=1").requires("beta");
    let mut file = IndexFile::new(&service.filename(), service.bytes());
    file.metadata = Some(service.metadata_text().into_bytes());
    file.requires_python = Some(">=3.9".into());
    world.index.file("service", file);
    for version in ["0.9", "1.0", "1.5", "2.0"] {
        world.index.wheel(&WheelMaker::new("alpha", version));
    }
    world.index.wheel(&WheelMaker::new("beta", "3.0").requires("alpha<2").requires("gamma"));
    world.index.sdist(&world.noted("gamma", "0.3").header("Requires-Dist: alpha!=1.5"));
    world
}

#[test]
fn a_lock_is_a_pylock_or_constraints() {
    let world = world();
    let run = world.loci("lock service").good();
    insta::assert_snapshot!(run.out, @r#"
    lock-version = "1.0"
    created-by = "loci"

    [[packages]]
    name = "alpha"
    version = "1.0"
    wheels = [
        { name = "alpha-1.0-py3-none-any.whl", url = "http://INDEX/files/alpha-1.0-py3-none-any.whl", size = 834, hashes = { sha256 = "DIGEST" } },
    ]

    [[packages]]
    name = "beta"
    version = "3.0"
    dependencies = [
        { name = "alpha" },
        { name = "gamma" },
    ]
    wheels = [
        { name = "beta-3.0-py3-none-any.whl", url = "http://INDEX/files/beta-3.0-py3-none-any.whl", size = 857, hashes = { sha256 = "DIGEST" } },
    ]

    [[packages]]
    name = "gamma"
    version = "0.3"
    dependencies = [
        { name = "alpha" },
    ]
    sdist = { name = "gamma-0.3.tar.gz", url = "http://INDEX/files/gamma-0.3.tar.gz", size = 1195, hashes = { sha256 = "DIGEST" } }

    [[packages]]
    name = "service"
    version = "2.0"
    requires-python = ">=3.9"
    dependencies = [
        { name = "alpha" },
        { name = "beta" },
    ]
    wheels = [
        { name = "service-2.0-py3-none-any.whl", url = "http://INDEX/files/service-2.0-py3-none-any.whl", size = 885, hashes = { sha256 = "DIGEST" } },
    ]
    "#);
    assert_eq!(run.err, "");
    world.loci("lock service -o pylock.toml").good();
    assert_eq!(world.settled(&world.read("pylock.toml")), run.out);
    let run = world.loci("lock service --format constraints").good();
    insta::assert_snapshot!(run.out, @r#"
    alpha===1.0
    beta===3.0
    gamma===0.3
    service===2.0
    "#);

    // What was locked is what the main job takes.
    world.write("upper-constraints.txt", run.out);
    let run = world.loci("lock service -c upper-constraints.txt --format constraints").good();
    assert_eq!(run.out, world.read("upper-constraints.txt"));
}

#[test]
fn pins_hold_for_all_but_the_projects_themselves() {
    let world = world();
    world.write("pins.txt", "alpha===1.0\nservice===1.0\n");
    let run = world.loci("lock service -c pins.txt --format constraints").good();
    insta::assert_snapshot!(run.out, @r#"
    alpha===1.0
    beta===3.0
    gamma===0.3
    service===2.0
    "#);
}

#[test]
fn a_conflict_is_told_with_its_places() {
    let world = world();
    world.write("pins.txt", "# made by hand\nalpha===2.0\nbeta===3.0\n");
    let run = world.loci("lock service -c pins.txt -o pylock.toml").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: these cannot all hold:
      `service` is asked for
      `service` 2.0 needs `alpha>=1`
      `service` 2.0 needs `beta`
      `beta` is pinned to 3.0 at pins.txt:3: beta===3.0
      `beta` 3.0 needs `alpha<2`
      `alpha` is pinned to 2.0 at pins.txt:2: alpha===2.0
    "#);
    assert!(!world.path("pylock.toml").exists());
    let run = world.loci("lock service nowhere").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: these cannot all hold:
      `nowhere` is asked for
      there is no release of `nowhere` for TARGET
    "#);
    let run = world.loci("lock service<2").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: these cannot all hold:
      `service<2` is asked for
      the only release of `service` for TARGET is 2.0
    "#);
}
