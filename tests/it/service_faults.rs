//! Images of services where something goes wrong on the way, or was there before: what is named stays, what is
//! done is not done again, and nothing half-done is left.

use std::fs;
use std::process::Command;

use crate::base_image::{APT, BaseMaker};
use crate::build_service::{Image, build, world};
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World};

/// Builds on a file system of this size at `disk`, which is gone afterwards, and says what was on it then.
fn on_a_small_disk(world: &World, size: &str, arguments: &str) -> Run {
    fs::create_dir_all(world.path("disk")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs disk; code=0; \
         \"$0\" build {arguments} --python python3 --from docker-archive:base.tar --wheels dir:set \
         || code=$?; ls -A disk; cat disk/out/index.json 2>/dev/null && echo; exit $code"
    );
    let mut command = Command::new("unshare");
    world.surround(&mut command);
    command.args(["--mount", "sh", "-ec", &script, env!("CARGO_BIN_EXE_loci")]);
    command.env("LOCI_PROGRESS", "none");
    world.run(&mut command)
}

#[test]
fn a_full_disk_is_told_and_names_nothing() {
    let Some(world) = world() else { return };
    let mut said = String::new();
    for (size, arguments) in [
        ("1m", "keystone -o oci:disk/out:x"),
        ("1m", "keystone -o oci-archive:disk/out.tar"),
        ("1m", "keystone -o oci:out:x --store disk/store"),
    ] {
        let run = on_a_small_disk(&world, size, arguments);
        said.push_str(&format!("{size} {arguments} ({})\n{}{}", run.code, run.out, run.err));
        assert!(!world.path("out/index.json").exists(), "{arguments}");
    }
    insta::assert_snapshot!(said, @r#"
    1m keystone -o oci:disk/out:x (1)
    out
    {"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}
    error: cannot write `HERE/disk/out`
      because: No space left on device (os error 28)
    1m keystone -o oci-archive:disk/out.tar (1)
    error: cannot write `disk/out.tar`
      because: No space left on device (os error 28)
    1m keystone -o oci:out:x --store disk/store (1)
    store
    error: cannot unpack the entry `bin/busybox` of a layer
      because: No space left on device (os error 28)
    "#);
    build(&world, "keystone -o oci:out:x").good();
}

#[test]
fn what_a_destination_named_stays_when_the_next_run_fails() {
    let Some(world) = world() else { return };
    build(&world, "keystone glance -o oci:out:{project} -o docker-archive:{project}.tar").good();
    let before = (world.files("out"), world.bytes("keystone.tar"));
    for arguments in [
        "keystone --pip-packages rpdb",
        "keystone --dist-packages broken",
        "keystone nonesuch",
        "keystone --project-repo /none",
    ] {
        let to = "-o oci:out:{project} -o docker-archive:{project}.tar";
        assert_ne!(build(&world, &format!("{arguments} {to}")).code, 0, "{arguments}");
        assert!((world.files("out"), world.bytes("keystone.tar")) == before, "{arguments}");
    }
    assert!(!world.path("nonesuch.tar").exists());
    // Neither a root nor anything else is left of those that failed.
    world.loci("store gc").good();
    assert_eq!(world.names("store/loci/tmp"), [""; 0]);
    world.loci("store verify").good();
}

#[test]
fn packages_are_installed_once_for_all_that_share_them() {
    let Some(world) = world() else { return };
    let apt = APT.replace("        if [ -e", "        echo \"Setting up $word\"; if [ -e");
    assert_ne!(apt, APT);
    BaseMaker::new().unwrap().file("usr/bin/apt-get", 0o755, apt).write(&world.path("base.tar"));
    let set_up = |arguments: &str| {
        let run = build(&world, &format!("-v {arguments}")).good();
        run.err.matches("Setting up tree").count()
    };
    assert_eq!(set_up("keystone glance -o oci:a:{project} --dist-packages tree"), 1);
    assert_eq!(set_up("keystone glance -o oci:b:{project} --dist-packages tree"), 0);
    assert_eq!(set_up("glance -o oci:b:other --dist-packages tree --pip-packages beta"), 0);
}

#[test]
fn wheels_of_another_python_and_bases_that_are_none_are_told() {
    let Some(world) = world() else { return };
    fs::create_dir(world.path("other")).unwrap();
    for name in ["keystone", "pymysql", "python-memcached", "uwsgi"] {
        let wheel = WheelMaker::new(name, "1.0").tag("cp38-cp38-manylinux_2_17_x86_64").platlib();
        world.write(&format!("other/{}", wheel.filename()), wheel.bytes());
    }
    let empty = || BaseMaker::new().unwrap();
    empty().file("etc/os-release", 0o644, "").write(&world.path("nameless.tar"));
    empty().file("usr/bin/dpkg-query", 0o755, "#!/bin/sh\nexit 7\n").write(&world.path("odd.tar"));
    world.write("junk.tar", "junk");
    let bytes = world.bytes("base.tar");
    world.write("half.tar", &bytes[..bytes.len() / 2]);
    world.loci("build requirements -c upper-constraints.txt -o oci:set.oci:x").good();
    let mut said = String::new();
    for (from, more) in [
        ("docker-archive:base.tar", "--wheels dir:other"),
        ("docker-archive:base.tar", "--wheels dir:none"),
        ("docker-archive:nameless.tar", "--wheels dir:set"),
        ("docker-archive:odd.tar", "--wheels dir:set"),
        ("docker-archive:junk.tar", "--wheels dir:set"),
        ("docker-archive:half.tar", "--wheels dir:set"),
        ("oci:set.oci:x", "--wheels dir:set"),
        ("oci:set.oci:y", "--wheels dir:set"),
        ("oci:set", "--wheels dir:set"),
        ("dir:set", "--wheels dir:set"),
        ("base.tar", "--wheels dir:set"),
    ] {
        let arguments =
            format!("build keystone -o oci:out:x --python python3 --from {from} {more}");
        let run = world.run(world.command(&arguments).env("PIP_INDEX_URL", "http://127.0.0.1:9/"));
        said.push_str(&format!("{from} {more} ({})\n{}", run.code, run.err));
    }
    insta::assert_snapshot!(said, @r"
    docker-archive:base.tar --wheels dir:other (1)
    error: the versions of `keystone` cannot be found out
      because: the set has `keystone`, but no wheel of it fits this Python: keystone-1.0-cp38-cp38-manylinux_2_17_x86_64.whl
      hint: name the Python that the set was made for with `--python`
    docker-archive:base.tar --wheels dir:none (1)
    error: cannot list `none`
      because: No such file or directory (os error 2)
    docker-archive:nameless.tar --wheels dir:set (2)
    error: `docker-archive:nameless.tar` does not say which distribution it is of
      because: there is no `ID` in it
      hint: name the distribution with `--distro`
    docker-archive:odd.tar --wheels dir:set (1)
    error: `dpkg-query` failed in Debian 12 (bookworm) (exit status: 7)
    docker-archive:junk.tar --wheels dir:set (1)
    error: `docker-archive:junk.tar` is not a whole tar archive
      because: failed to read entire block
    docker-archive:half.tar --wheels dir:set (1)
    error: `docker-archive:half.tar` is not a whole tar archive
      because: `half.tar` ends at byte 1005824, before the 2008064 bytes at 2560
    oci:set.oci:x --wheels dir:set (2)
    error: `oci:set.oci:x` does not say which distribution it is of
      because: there is no `ID` in it
      hint: name the distribution with `--distro`
    oci:set.oci:y --wheels dir:set (1)
    error: nothing is named `y` in `set.oci`; names there: `x`
    oci:set --wheels dir:set (1)
    error: `set` is not an OCI image layout: it has no file `oci-layout`
    dir:set --wheels dir:set (2)
    error: `dir:set`, given as `--from`, is no place for an image: `docker://`, `oci:`, `oci-archive:` and `docker-archive:` are
    base.tar --wheels dir:set (2)
    error: `base.tar` does not say what it is: write `docker-archive:base.tar` for what is there on this machine
    ");
    assert!(!world.path("out/index.json").exists());
    let arguments =
        "build keystone -o oci:out:x --python python3 --wheels dir:set --distro debian-12";
    world.loci(&format!("{arguments} --from docker-archive:nameless.tar")).good();
}

#[test]
fn every_kind_of_source_is_taken() {
    let Some(world) = world() else { return };
    let source = SdistMaker::new("keystone", "31.0").build_requires("setuptools");
    world.tree("source", &source);
    world.write("keystone-31.0.tar.gz", source.bytes());
    world.tree("extra", &SdistMaker::new("glance", "34.0"));
    let git = |words: &[&str]| world.git("source", words);
    git(&["init", "-q", "-b", "master"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "x"]);
    git(&["tag", "-a", "31.0", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    git(&["update-ref", "refs/changes/67/418167/1", "HEAD"]);
    // What is later is not what was asked for.
    fs::write(world.path("source/PKG-INFO"), source.pkg_info().replace("31.0", "32.0")).unwrap();
    git(&["commit", "-qam", "y"]);
    git(&["branch", "stable/2025.2", "31.0"]);
    let expect = |arguments: &str, packages: &[&str]| {
        build(&world, &format!("keystone -o oci:out:x {arguments}")).good();
        let image = Image::read(&world, "out", "x");
        let info = image.text("etc/image_info/pip.txt");
        for package in packages {
            assert!(info.lines().any(|line| line == *package), "{arguments}: {info}");
        }
        image
    };
    for reference in ["31.0", "stable/2025.2", "refs/changes/67/418167/1", &commit] {
        let arguments = format!("--project-repo ./source --project-ref {reference}");
        let image = expect(&arguments, &["keystone==31.0"]);
        let annotations = &image.annotations;
        assert_eq!(annotations["org.opencontainers.image.revision"], *commit, "{reference}");
        assert_eq!(annotations["org.openstack.loci.ref"], reference, "{reference}");
    }
    expect("--project-repo ./source --project-ref HEAD", &["keystone==32.0"]);
    expect("--project-repo ./keystone-31.0.tar.gz", &["keystone==31.0"]);
    expect("--extra-projects glance=./extra", &["keystone==30.0.0", "glance==34.0"]);
    expect(
        "--project-repo ./source --extra-projects glance",
        &["keystone==32.0", "glance==33.0.0"],
    );
    let wrong = build(&world, "keystone -o oci:out:x --project-repo ./extra");
    let none = build(&world, "keystone -o oci:out:x --project-repo ./set");
    insta::assert_snapshot!(format!("{}{}", wrong.err, none.err), @r"
    error: `keystone` cannot be had from `HERE/extra`
      because: it cannot be built
      because: the backend made `glance-34.0-py3-none-any.whl`, which is not keystone
      log: HERE/store/blobs/sha256/DIGEST
    error: `keystone` cannot be had from `HERE/set`
      because: it cannot be built
      because: the source tree is not a Python project: it has neither `pyproject.toml` nor `setup.py`
    ");
}
