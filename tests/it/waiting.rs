//! Builds that need each other's results: none waits for ever, and real cycles are told.

use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::World;

#[test]
fn a_build_that_others_need_leaves_the_queue() {
    let world = World::new();
    let mut pins = String::from("zdep===1.0\n");
    world.index.sdist(&world.noted("zdep", "1.0"));
    // More of them than may run at once, all pinned, as what they need is.
    for name in ["aa", "ab", "ac", "ad"] {
        world.index.sdist(&world.noted(name, "1.0").build_requires("zdep"));
        pins.push_str(&format!("{name}===1.0\n"));
    }
    world.write("c.txt", pins);
    world.loci("build requirements -c c.txt -j 1").good();
    let mut built = world.built();
    built.sort();
    assert_eq!(built, ["aa", "ab", "ac", "ad", "zdep"]);
}

#[test]
fn builds_that_need_each_other_are_refused() {
    let world = World::new();
    world.index.sdist(&SdistMaker::new("cb", "1.0").build_requires("cb2"));
    world.index.sdist(&SdistMaker::new("cb2", "1.0").build_requires("cb"));
    world.index.wheel(&WheelMaker::new("alpha", "1.0"));
    world.write("c.txt", "cb===1.0\ncb2===1.0\nalpha===1.0\n");
    let run = world.loci("build requirements -c c.txt").ends(3);
    assert_eq!(run.figure("failed "), 2, "{}", run.err);
    assert!(run.err.contains("whose build needs `cb"), "{}", run.err);
}

#[test]
fn a_release_may_be_built_with_another_release_of_its_project() {
    let world = World::new();
    world.index.sdist(&SdistMaker::new("selfy", "2.0").build_requires("selfy<2"));
    world.index.wheel(&WheelMaker::new("selfy", "1.0"));
    world.write("c.txt", "selfy===2.0\n");
    world.loci("build requirements -c c.txt -o dir:set").good();
    assert!(world.path("set/selfy-2.0-py3-none-any.whl").exists());
}
