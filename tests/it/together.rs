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
fn nothing_is_collected_under_a_run() {
    let world = world();
    world.index.hold_after(9);
    let mut child = world.command(JOB).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let id = child.id().to_string();
    world.index.wait_until_held(|| child.try_wait().unwrap().is_some());
    let run = world.loci("store gc").ends(1);
    // Who it is, the system does not tell at every moment.
    let said = run.err.replace(&format!(" (process {id})"), "");
    insta::assert_snapshot!(said, @r#"
    error: another loci command uses the store `HERE/store`
      hint: wait for it to end, or use another store with `--store`
    "#);
    // Looking at it and another job are no trouble.
    world.loci("store ls").good();
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Nothing waits for gc to be tidied up.
    assert_eq!(world.names("store/loci/tmp"), [""; 0]);
    world.index.let_go();
    world.loci("store gc").good();
    world.loci(JOB).good();
}
