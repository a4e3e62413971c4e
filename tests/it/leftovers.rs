//! What package managers and commands of steps leave behind, and what stays: the same in a Dockerfile's RUN and in an
//! image that is made without an engine.

use std::fs;
use std::path::Path;

use crate::base_image::{APT, BaseMaker};
use crate::build_service::{build, world};
use crate::container::{Container, Listing, listing, unpacked};
use crate::install_root::assert_same;
use crate::world::World;

/// A root of `base` with the steps in it.
fn container<'a>(world: &'a World, name: &str, base: &BaseMaker) -> Container<'a> {
    let mut container = Container::new(world, name, base);
    container.bind(&world.path("steps"), Path::new("/steps"));
    container
}

/// What is new in a root, or another than in the base.
fn changed(base: &Listing, root: &Listing) -> String {
    let is_usual = |path: &str| {
        let usual = ["etc/image_info", "etc/keystone", "var/lib/openstack", "usr/bin/"];
        usual.iter().any(|start| path.starts_with(start)) || path.ends_with("/keystone")
    };
    let paths = root.iter().filter(|(path, what)| base.get(*path) != Some(what) && !is_usual(path));
    let gone = base.keys().filter(|path| !root.contains_key(*path)).map(|path| format!("- {path}"));
    let mut lines: Vec<_> = paths.map(|(path, _)| format!("+ {path}")).chain(gone).collect();
    lines.sort();
    lines.join("\n")
}

/// What both ways have changed in a base, in which the container was as it was `before`: the same.
#[track_caller]
fn changed_by_both(world: &World, before: &Listing, container: &Container<'_>) -> String {
    let assembled = listing(&unpacked(world, "image", "x", "assembled"));
    let installed = listing(&container.dir);
    assert_same(&assembled, installed.clone());
    changed(before, &installed)
}

#[test]
fn what_steps_leave_behind_goes_in_both_ways() {
    let Some(world) = world() else { return };
    let makes = "echo $SOURCE_DATE_EPOCH >/made; echo it >/tmp/of-a-command; echo it >/run/of-a-command
        for folder in tmp/deep run/deep var/tmp var/cache/x var/log/y root/.cache srv/__pycache__; do
            mkdir -p /$folder; echo it >/$folder/file
        done
        echo it >/srv/a.pyc";
    // What one command leaves there is there for the next, and what a step says is to be there stays.
    let takes = "cat /tmp/of-a-command /run/of-a-command /var/tmp/named /run/named/file /srv/named.pyc >/taken";
    let script = |text: &str| {
        format!("[[step]]\nname = \"x\"\n[step.run]\ncommand = [\"sh\", \"-ec\", '''{text}''']\n")
    };
    let write = |path: &str| {
        format!("[[step]]\nname = \"x\"\n[step.write]\npath = \"{path}\"\ntext = \"named\"\n")
    };
    let named = ["/var/tmp/named", "/run/named/file", "/srv/named.pyc"].map(write).concat();
    world.write("steps/keystone.toml", named.clone() + &script(makes) + &script(takes));
    let mut build = world.command(
        "build keystone -o oci:image:x --steps steps --python python3 --wheels dir:set \
         --from docker-archive:base.tar",
    );
    world.run(build.env("SOURCE_DATE_EPOCH", "86400")).good();
    let base = BaseMaker::new().unwrap();
    let mut container = container(&world, "root", &base).with("SOURCE_DATE_EPOCH", "86400");
    let before = listing(&container.dir);
    // As a cache mount of the same file system is.
    world.write("cache/of-before", "mine");
    container.bind(&world.path("cache"), Path::new("/tmp/deep"));
    container.install("keystone --steps /steps").good();
    assert_eq!(world.read("cache/of-before") + &world.read("cache/file"), "mineit\n");
    fs::remove_dir(container.dir.join("tmp/deep")).unwrap();
    insta::assert_snapshot!(changed_by_both(&world, &before, &container), @r"
    + etc/group
    + etc/passwd
    + etc/shadow
    + made
    + run/named
    + run/named/file
    + srv
    + srv/named.pyc
    + taken
    + var/cache/x
    + var/cache/x/file
    + var/lib/dpkg/there
    + var/log/y
    + var/log/y/file
    + var/tmp
    + var/tmp/named
    ");
    assert_eq!(container.text("made"), "86400\n");
    assert_eq!(container.text("taken"), "it\nit\nnamednamednamed");
}

#[test]
fn what_a_step_names_stays_though_commands_leave_things_there() {
    let Some(world) = world() else { return };
    let mut text =
        "[[step]]\nname = \"x\"\n[step.directory]\npath = \"/run/lock/x\"\nmode = \"0700\"\n"
            .to_owned();
    for path in ["/var/tmp/named", "/tmp/named", "/root/.gnupg/conf", "/srv/a.pyc"] {
        text +=
            &format!("[[step]]\nname = \"x\"\n[step.write]\npath = \"{path}\"\ntext = \"named\"\n");
    }
    world.write("steps/keystone.toml", text);
    build(&world, "keystone -o oci:image:x --steps steps").good();
    let container = container(&world, "root", &BaseMaker::new().unwrap());
    let before = listing(&container.dir);
    container.install("keystone --steps /steps").good();
    insta::assert_snapshot!(changed_by_both(&world, &before, &container), @r"
    + etc/group
    + etc/passwd
    + etc/shadow
    + root/.gnupg
    + root/.gnupg/conf
    + run/lock
    + run/lock/x
    + srv
    + srv/a.pyc
    + tmp/named
    + var/lib/dpkg/there
    + var/tmp
    + var/tmp/named
    ");
}

#[test]
fn what_package_managers_leave_behind_goes_in_both_ways() {
    let Some(world) = world() else { return };
    let leaves = "
    echo said >>/var/log/dpkg.log; echo said >>/var/log/new.log; echo old >/etc/passwd-
    for folder in tmp run var/tmp var/cache/man var/lib/apt/lists/partial root/.gnupg usr/share/py/__pycache__; do
        mkdir -p /$folder; echo it >/$folder/file
    done
    echo 0123 >/etc/machine-id; echo key >/etc/ssh/ssh_host_rsa_key; echo answers >/var/cache/debconf/config.dat
    : >/var/lib/dpkg/lock; echo new >/usr/share/py/m.pyc; rm -f /var/cache/gone\n";
    let apt = APT.replacen('\n', leaves, 1);
    let base = [
        ("etc/machine-id", ""),
        ("etc/ssh/sshd_config", ""),
        ("usr/share/py/m.pyc", "old"),
        ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n"),
        ("var/cache/debconf/config.dat", "none"),
        ("var/cache/gone", ""),
        ("var/lib/dpkg/lock", ""),
        ("var/log/dpkg.log", "before"),
        ("var/log/mine.log", "mine"),
    ];
    let base = base.into_iter().fold(
        BaseMaker::new().unwrap().file("usr/bin/apt-get", 0o755, apt),
        |base, (path, text)| base.file(path, 0o644, text),
    );
    base.write(&world.path("base.tar"));
    build(&world, "keystone -o oci:image:x").good();
    let container = Container::new(&world, "root", &base);
    let before = listing(&container.dir);
    container.install("keystone").good();
    insta::assert_snapshot!(changed_by_both(&world, &before, &container), @r"
    + etc/group
    + etc/passwd
    + etc/shadow
    + var/cache/debconf/config.dat
    + var/cache/man
    + var/lib/apt
    + var/lib/apt/lists
    + var/lib/dpkg/there
    + var/tmp
    - usr/share/py/m.pyc
    - var/cache/gone
    - var/log/dpkg.log
    ");
}
