//! What loci writes, read by programs that are not loci: skopeo, umoci, GNU tar and pip. Each test
//! says by name which of them is missing, and is then skipped.

use std::process::Command;

use crate::support::wheel::WheelMaker;
use crate::world::World;

/// A set with wheels on both sides of the size at which one gets a layer of its own.
fn world() -> World {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0").requires("beta"));
    let noise: Vec<u8> =
        (0_u32..3 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    world.index.wheel(&WheelMaker::new("beta", "2.0").file("beta.bin", noise));
    world.write("c.txt", "alpha===1.0\nbeta===2.0\n");
    let outputs = "-o oci:image:master -o tar:set.tar -o dir:set";
    world.loci(&format!("build requirements -c c.txt {outputs}")).good();
    world
}

/// Whether `program` can be run.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        println!("skipped: `{program}` is not installed");
    }
    found
}

#[test]
fn skopeo_reads_the_image() {
    if !has("skopeo") {
        return;
    }
    let world = world();
    let mut inspect = Command::new("skopeo");
    world.surround(&mut inspect);
    let run = world.run(inspect.args(["inspect", "oci:image:master"])).good();
    assert!(run.json()["Layers"].as_array().unwrap().len() >= 3, "{}", run.out);
    // Copied with other compression, it is still a set.
    let mut copy = Command::new("skopeo");
    world.surround(&mut copy);
    let to = ["copy", "--insecure-policy", "--dest-compress", "oci:image:master", "oci:copied:x"];
    world.run(copy.args(to)).good();
    world.loci("install alpha --wheels oci:copied:x --prefix p").good();
}

#[test]
fn umoci_unpacks_the_image() {
    if !has("umoci") {
        return;
    }
    let world = world();
    let mut unpack = Command::new("umoci");
    world.surround(&mut unpack);
    world.run(unpack.args(["unpack", "--rootless", "--image", "image:master", "bundle"])).good();
    for file in ["upper-constraints.txt", "global-requirements.txt", "alpha-1.0-py3-none-any.whl"] {
        assert_eq!(
            world.bytes(&format!("bundle/rootfs/{file}")),
            world.bytes(&format!("set/{file}")),
            "{file}"
        );
    }
    assert_eq!(world.wheels("bundle/rootfs"), world.wheels("set"));
}

#[test]
fn tar_unpacks_the_tarball() {
    let world = world();
    std::fs::create_dir(world.path("out")).unwrap();
    let mut tar = Command::new("tar");
    world.surround(&mut tar);
    world.run(tar.args(["-xf", "set.tar", "-C", "out"])).good();
    assert_eq!(world.wheels("out"), world.wheels("set"));
}

#[test]
fn pip_checks_the_environment() {
    let world = world();
    world.loci("install alpha --wheels dir:set --prefix p").good();
    let mut pip = Command::new("python3");
    world.surround(&mut pip);
    let python = world.path("p/bin/python");
    let known = pip.args(["-m", "pip", "--python"]).arg(&python).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&known.stdout).into_owned();
    if !known.status.success() && said.is_empty() {
        println!("skipped: python3 has no pip that knows `--python`");
        return;
    }
    assert_eq!(said.trim(), "No broken requirements found.");
}
