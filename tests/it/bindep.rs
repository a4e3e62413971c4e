//! `loci bindep` as it is typed: PyPI's flags, LOCI's variables, and a machine's database of packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::world::{Run, World};

/// A program that speaks for a database of packages, and a search path with nothing else but the
/// shell that it needs.
fn database(world: &World, name: &str, script: &str) -> String {
    let path = format!("bin/{name}");
    world.write(&path, format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(world.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
    world.path("bin").to_str().unwrap().to_owned()
}

/// What is said of an unknown name, and of everything else, by dpkg on a machine with bash alone.
const DPKG: &str = "echo 'bash installed 5.2-1'; echo 'no packages found' >&2; exit 1";

#[test]
fn all_that_is_wanted_is_listed() {
    let world = World::bare();
    let list = |arguments: &str| world.loci(&format!("bindep -l csv {arguments}")).good().out;
    assert_eq!(
        list("glance ceph --distro debian:bookworm"),
        "ca-certificates,libpcre3,libpython3.11,libxml2,netbase,python3,sudo,tzdata,ceph-common,\
         python3-rados,python3-rbd\n"
    );
    assert_eq!(
        list("glance --profiles qemu --distro centos-9"),
        "ca-certificates,libxml2,python3.12,sudo,qemu-img\n"
    );
    assert_eq!(
        list("keystone ldap --pydep"),
        "pymysql,python-memcached,uwsgi,ldappool,python-ldap\n"
    );
    // PyPI's words for the same.
    let words = "bindep --list_all newline heat --distro rocky-9";
    assert_eq!(world.loci(words).good().out, "ca-certificates\nlibxml2\npython3.12\nsudo\n");
    world.write("empty.txt", "foo [never]\n");
    assert_eq!(list("-f empty.txt"), "");
}

#[test]
fn files_are_read_in_place_of_the_lists_or_beside_them() {
    let world = World::bare();
    world.write("one.txt", "foo [default]\nbar [nova noble]\n");
    world.write("two.txt", "baz []\nfoo\n");
    let list = |arguments: &str| {
        world.loci(&format!("bindep -l csv --distro ubuntu-24.04 {arguments}")).good().out
    };
    assert_eq!(list("-f one.txt -f two.txt"), "foo,baz\n");
    assert_eq!(list("-f one.txt nova"), "bar\n");
    assert_eq!(list("-f one.txt keystone"), "");
    // A service's codename is a profile, as in LOCI's scripts.
    assert!(list("nova --extra-bindep one.txt").ends_with(",libvirt0,bar\n"));
    let mut command = world.command("bindep -l csv --distro ubuntu-24.04");
    let extra =
        [("PROJECT", "barbican"), ("EXTRA_BINDEP", "one.txt two.txt"), ("PROFILES", "default")];
    let run = world.run(command.envs(extra)).good();
    assert!(run.out.ends_with(",tzdata,foo,bar,baz\n"), "{}", run.out);
    world.write("pydep.txt", "yyy [2025.2]\nzzz [master]\n");
    let mut command = world.command("bindep heat --pydep --extra-pydep pydep.txt");
    let run = world.run(command.env("PROJECT_RELEASE", "master")).good();
    assert_eq!(run.out, "pymysql\npython-memcached\nuwsgi\nzzz\n");
}

#[test]
fn profiles_are_listed() {
    let world = World::bare();
    world.write("release", "ID=openEuler\nVERSION_ID=\"24.03\"\nVERSION=\"24.03 (LTS)\"\n");
    let run = world.loci("bindep keystone --distro ./release --profiles").good();
    insta::assert_snapshot!(run.out, @r"
    Platform profiles:
    platform:openeuler
    platform:openeuler-24
    platform:openeuler-24.03
    platform:openeuler-lts

    Configuration profiles:
    apache
    ldap
    mellon
    nginx
    oauth
    openidc
    ");
    let all = world.loci("bindep --profiles --distro debian").good().out;
    assert!(all.contains("\nceph\n") && all.contains("\nvpn\n"), "{all}");
}

#[test]
fn what_the_machine_lacks_is_said_and_is_no_success() {
    let world = World::bare();
    world.write("bindep.txt", "zsh\nbash >=6,!=5.2-1\nash\n");
    let path = database(&world, "dpkg-query", DPKG);
    let check = |arguments: &str, code: i32| {
        let mut command = world.command(&format!("bindep --distro debian {arguments}"));
        world.run(command.env("PATH", &path)).ends(code).out
    };
    insta::assert_snapshot!(check("-f bindep.txt", 1), @r"
    Missing packages:
        ash zsh
    Bad versions of installed packages:
        bash version 5.2-1 does not match >=6
        bash version 5.2-1 does not match !=5.2-1
    ");
    assert_eq!(check("-b -f bindep.txt", 1), "ash\nzsh\n");
    // PyPI's program, too, lists all when it is asked for both.
    assert_eq!(check("-b -l newline -f bindep.txt", 0), "zsh\nbash\nash\n");
    world.write("bash.txt", "bash >5\n");
    assert_eq!(check("-f bash.txt", 0), "");
    insta::assert_snapshot!(check("-f bindep.txt --json", 1), @r#"
    {
      "missing": [
        "ash",
        "zsh"
      ],
      "unfit": [
        {
          "condition": ">=6",
          "installed": "5.2-1",
          "name": "bash"
        },
        {
          "condition": "!=5.2-1",
          "installed": "5.2-1",
          "name": "bash"
        }
      ]
    }
    "#);
}

#[test]
fn rpm_is_asked_for_each_package() {
    let world = World::bare();
    world.write("bindep.txt", "bash >=1:5\nzsh\n/bin/nothing\n");
    let script = "case \"$6\" in bash) echo 1:5.1-2.el9;; zsh) echo no package provides zsh; exit 1;;\n\
                  /*) echo \"error: file $6: No such file or directory\" >&2; exit 1;; esac";
    let path = database(&world, "rpm", script);
    let check = |distro: &str| {
        let mut command = world.command(&format!("bindep -b -f bindep.txt --distro {distro}"));
        world.run(command.env("PATH", &path))
    };
    for distro in ["centos-9", "openeuler-24.03", "opensuse-leap-15.6"] {
        assert_eq!(check(distro).ends(1).out, "/bin/nothing\nzsh\n", "{distro}");
    }
    database(&world, "rpm", "echo 'error: cannot open Packages database' >&2; exit 1");
    insta::assert_snapshot!(check("centos-9").ends(1).err, @r"
    error: `rpm` does not say what is installed: error: cannot open Packages database
      hint: list all that is wanted, installed or not, with `-l newline`
    ");
    insta::assert_snapshot!(check("debian-12").ends(1).err, @r"
    error: cannot run `dpkg-query` to see what is installed
      because: No such file or directory (os error 2)
      hint: list all that is wanted, installed or not, with `-l newline`
    ");
}

#[test]
fn profiles_that_nothing_asks_for_are_warned_of() {
    let world = World::bare();
    world.write("bindep.txt", "foo [test !doc platform:dpkg]\n");
    let warned = |arguments: &str| world.loci(&format!("bindep -l csv {arguments}")).good().err;
    // Others' profiles, projects and Pythons are no mistakes.
    assert_eq!(warned("nova ceph ldap keystone python3 mod_oauth2"), "");
    assert_eq!(warned("-f bindep.txt what-would-be-the-project test platform:rpm"), "");
    insta::assert_snapshot!(warned("-f bindep.txt test tset"), @"warning: profile `tset` is in no rule; known are `doc`, `test`");
    assert_eq!(warned("-q -f bindep.txt test tset"), "");
    world.write("bindep.txt", "foo\n");
    insta::assert_snapshot!(warned("-f bindep.txt a b"), @"warning: profile `b` is in no rule; there are none");
    let told = warned("nova cehp");
    assert!(
        told.starts_with("warning: profile `cehp` is in no rule; known are `apache`, "),
        "{told}"
    );
}

#[test]
fn what_makes_no_sense_is_wrong_input() {
    let world = World::bare();
    world.write("bindep.txt", "foo [A]\nbar\n\tbaz\n");
    world.write("pydep.txt", "ok\n/not/python\n");
    world.write("release", "NAME=x\n");
    let refused = |arguments: &str| -> Run { world.loci(&format!("bindep {arguments}")).ends(2) };
    let said: Vec<String> = [
        "barbican",
        "",
        "--profiles nova",
        "-f bindep.txt",
        "-f pydep.txt --pydep",
        "-f missing.txt",
        "nova --distro slackware",
        "nova --distro ./release",
        "nova --distro ./missing",
    ]
    .into_iter()
    .map(|arguments| format!("{arguments}:\n{}", refused(arguments).err))
    .collect();
    insta::assert_snapshot!(said.join(""), @r"
    barbican:
    error: there is no list of packages for the project `barbican`; there is one for `cinder`, `glance`, `heat`, `horizon`, `ironic`, `keystone`, `manila`, `neutron`, `nova`, `octavia`, `placement`, `requirements`
      hint: give a list of your own with `--file`, or one beside those of every service with `--extra-bindep`
    :
    error: no project is given; there are lists of packages for `cinder`, `glance`, `heat`, `horizon`, `ironic`, `keystone`, `manila`, `neutron`, `nova`, `octavia`, `placement`, `requirements`
      hint: name one first, or give a list of your own with `--file`
    --profiles nova:
    error: no project is given; there are lists of packages for `cinder`, `glance`, `heat`, `horizon`, `ironic`, `keystone`, `manila`, `neutron`, `nova`, `octavia`, `placement`, `requirements`
      hint: name one first, or give a list of your own with `--file`
    -f bindep.txt:
    error: bindep.txt:1: a profile is in lower case: foo [A]
    bindep.txt:3: there is a tab; only spaces separate: \tbaz
    -f pydep.txt --pydep:
    error: pydep.txt:2: URL requirement must be preceded by a package name. Add the name of the package before the URL (e.g., `package_name @ /path/to/file`).: /not/python
    -f missing.txt:
    error: cannot read `missing.txt`
      because: No such file or directory (os error 2)
    nova --distro slackware:
    error: `slackware` is no distribution that is known; known are `debian`, `ubuntu`, `centos`, `rhel`, `rocky`, `almalinux`, `ol`, `oracle`, `fedora`, `openeuler`, `opensuse`, `opensuse-leap`, `opensuse-tumbleweed`, `sles`
    nova --distro ./release:
    error: `./release` does not tell which distribution it is of
      because: there is no `ID` in it
      hint: name the distribution with `--distro`
    nova --distro ./missing:
    error: cannot read `./missing`
      because: No such file or directory (os error 2)
    ");
    world.write("release", "ID=alpine\n");
    insta::assert_snapshot!(refused("nova --distro ./release").err, @r"
    error: loci does not know how alpine keeps its packages
      hint: list all that is wanted, installed or not, with `-l newline`
    ");
}

#[test]
fn rules_come_from_standard_input() {
    let world = World::bare();
    world.write("rules", "foo\n");
    let mut command = world.command("bindep -l newline -f -");
    command.stdin(Stdio::from(fs::File::open(world.path("rules")).unwrap()));
    assert_eq!(world.run(&mut command).good().out, "foo\n");
}
