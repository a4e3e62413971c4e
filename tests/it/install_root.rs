//! `loci install PROJECT` in a root file system of its own, as a Dockerfile's RUN does it, and what `loci build` makes of
//! the same.

use std::fs;
use std::path::Path;

use crate::base_image::{APT, BaseMaker};
use crate::build_service::{build, world};
use crate::container::{Container, Listing, listing, unpacked};
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::python;

/// Both ways have made the same of a root: every path, with its kind, mode, owner and content.
#[track_caller]
pub fn assert_same(assembled: &Listing, mut installed: Listing) {
    for (path, (said, content)) in assembled {
        let (other, bytes) = installed.remove(path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(&other, said, "{path}");
        // The bill of an image made without an engine names the base, which nobody knows within a RUN.
        let is_bill = path == "etc/image_info/sbom.cdx.json";
        assert!(bytes == *content || is_bill, "`{path}` differs");
    }
    assert_eq!(installed.keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_run_makes_what_an_image_without_an_engine_has() {
    let Some(world) = world() else { return };
    let more = "--dist-packages tree --profiles apache --pip-packages beta --uid 1234 --gid 4321";
    build(&world, &format!("keystone -o oci:image:x {more}")).good();
    let assembled = listing(&unpacked(&world, "image", "x", "assembled"));
    let container = Container::new(&world, "root", &BaseMaker::new().unwrap());
    let run = container.install(&format!("keystone {more}")).good();
    insta::assert_snapshot!(run.err, @"installed keystone with 11 packages of the distribution and 6 packages and 46 files of Python in 0 s");
    assert_same(&assembled, listing(&container.dir));
    assert_eq!(assembled["etc/keystone"].0, "directory 755 1234:4321");
    assert!(assembled.contains_key("usr/bin/apache2") && assembled.contains_key("usr/bin/tree"));
    // Neither a store nor anything else is left.
    for path in ["tmp", "root", "run"] {
        let left: Vec<_> = fs::read_dir(container.dir.join(path)).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn packages_that_steps_fetch_are_installed_in_both_ways() {
    let Some(world) = world() else { return };
    let package = b"#!/bin/sh\n".to_vec();
    world.index.put("/packages/with-user.deb", "application/x-debian-package", &*package);
    let step = format!(
        "[[step]]\nname = \"a package\"\n[step.download]\nurl = \"{}\"\nsha256 = \"{}\"\ninstall = true\n",
        world.index.at("/packages/with-user.deb"),
        loci::vocab::digest::Digest::of(&package).hex(),
    );
    world.write("steps/keystone.toml", &step);
    let run = build(&world, "keystone -o oci:image:x --steps steps --json").good();
    assert!(run.out.contains("\"with-user.deb\""), "{}", run.out);
    let assembled = listing(&unpacked(&world, "image", "x", "assembled"));

    let base = BaseMaker::new().unwrap();
    let mut container = Container::new(&world, "root", &base);
    container.bind(&world.path("steps"), Path::new("/steps"));
    container.install("keystone --steps /steps").good();
    let installed = listing(&container.dir);
    for path in [
        "etc/passwd",
        "etc/group",
        "etc/shadow",
        "usr/bin/with-user",
        "etc/image_info/packages.txt",
    ] {
        assert_eq!(assembled.get(path), installed.get(path), "{path}");
        assert!(installed.contains_key(path), "{path}");
    }
    let users = container.text("etc/passwd");
    assert!(users.contains("tester:x:900") && users.contains("keystone:x:42424"), "{users}");
    assert!(container.text("etc/image_info/packages.txt").contains("with-user 1.0\n"));
    let left: Vec<_> = fs::read_dir(container.dir.join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    // Another package by the same name is another image.
    let other = b"#!/bin/sh\ntrue\n".to_vec();
    world.index.put("/packages/with-user.deb", "application/x-debian-package", &*other);
    let digest = |bytes| loci::vocab::digest::Digest::of(bytes).hex().to_string();
    world.write("steps/keystone.toml", step.replace(&digest(&package), &digest(&other)));
    build(&world, "keystone -o oci:image:y --steps steps").good();
    let again = listing(&unpacked(&world, "image", "y", "again"));
    assert_eq!(again["usr/bin/with-user"].1, other);
}

#[test]
fn build_arguments_are_heard_as_variables() {
    let Some(world) = world() else { return };
    let apt = APT.replacen('\n', "\necho \"$http_proxy $NO_PROXY $DEBIAN_FRONTEND\" >>/seen\n", 1);
    let base = BaseMaker::new().unwrap().file("usr/bin/apt-get", 0o755, apt);
    let base = base.file("etc/os-release", 0o644, "NAME=oddity\n");
    let container = Container::new(&world, "root", &base)
        .with("PROJECT", "keystone")
        .with("WHEELS", "dir:/wheels")
        .with("DISTRO", "debian-12")
        .with("UID", "77")
        .with("GID", "78")
        .with("PLUGIN", "no")
        .with("PROFILES", "nginx ")
        .with("DIST_PACKAGES", "tree less")
        .with("PIP_PACKAGES", "beta pbr")
        .with("EXTRA_PROJECTS", "glance")
        .with("PROJECT_REF", "")
        .with("PROJECT_REPO", "")
        .with("EXTRA_BINDEP", "")
        .with("http_proxy", "http://proxy:3128")
        .with("NO_PROXY", "opendev.org");
    container.run("loci install").good();
    assert!(container.text("seen").starts_with("http://proxy:3128 opendev.org noninteractive\n"));
    assert!(container.text("etc/passwd").contains("keystone:x:77:78:"));
    let packages = container.text("etc/image_info/packages.txt");
    for name in ["tree", "less", "nginx", "libpcre3", "sudo"] {
        assert!(packages.contains(&format!("{name} 1.0\n")), "{name}: {packages}");
    }
    insta::assert_snapshot!(container.text("etc/image_info/pip.txt"), @r"
    alpha==1.0
    beta==2.0
    glance==33.0.0
    keystone==30.0.0
    pbr==7.0
    pymysql==1.2.0
    python-memcached==1.62
    uwsgi==2.0.30
    ");
}

#[test]
fn a_plugin_goes_into_what_a_service_has() {
    let Some(world) = world() else { return };
    let container = Container::new(&world, "root", &BaseMaker::new().unwrap());
    container.install("keystone").good();
    let before = listing(&container.dir);
    container.install("glance --plugin yes").good();
    let after = listing(&container.dir);
    let site = format!("var/lib/openstack/lib/python{}/site-packages", python().version);
    let changed: Vec<_> = after
        .iter()
        .filter(|(path, what)| before.get(*path) != Some(what))
        .map(|(path, _)| path.replace(&site, "SITE"))
        .collect();
    insta::assert_snapshot!(changed.join("\n"), @r"
    etc/image_info/pip.txt
    etc/image_info/project.txt
    etc/image_info/pylock.toml
    etc/image_info/sbom.cdx.json
    SITE/glance-33.0.0.dist-info
    SITE/glance-33.0.0.dist-info/INSTALLER
    SITE/glance-33.0.0.dist-info/METADATA
    SITE/glance-33.0.0.dist-info/RECORD
    SITE/glance-33.0.0.dist-info/REQUESTED
    SITE/glance-33.0.0.dist-info/WHEEL
    SITE/glance.py
    ");
    assert!(before.keys().all(|path| after.contains_key(path)));
    insta::assert_snapshot!(container.text("etc/image_info/pip.txt"), @r"
    alpha==1.0
    glance==33.0.0
    keystone==30.0.0
    pymysql==1.2.0
    python-memcached==1.62
    uwsgi==2.0.30
    ");
}

#[test]
fn a_lock_that_cannot_be_read_is_no_hindrance_to_a_plugin() {
    let Some(world) = world() else { return };
    let base = BaseMaker::new().unwrap();
    let container = Container::new(&world, "root", &base).with("LOCI_PROGRESS", "lines");
    container.install("keystone").good();
    fs::write(container.dir.join("etc/image_info/pylock.toml"), "lock-version = 7\n").unwrap();
    let run = container.install("glance --plugin yes").good();
    let warnings = run.err.lines().filter(|line| line.starts_with("warning"));
    insta::assert_snapshot!(warnings.collect::<Vec<_>>().join("\n"), @"warning: /etc/image_info/pylock.toml:1: invalid type: integer `7`, expected a string; the new lock tells of what is new, and no more");
    let lock = container.text("etc/image_info/pylock.toml");
    assert!(lock.contains("glance-33.0.0") && !lock.contains("keystone"), "{lock}");
}

#[test]
fn a_plugin_is_the_same_in_both_ways() {
    let Some(world) = world() else { return };
    let plugin = WheelMaker::new("plugin", "1.0")
        .requires("alpha")
        .file("alpha/data.bin", "other bytes")
        .file("alpha.py", "__version__ = \"1.0\"\n")
        .file("alpha/more.txt", "more");
    let newer = WheelMaker::new("keystone", "30.1").requires("alpha");
    for (wheel, set) in [(&plugin, "set"), (&newer, "newer")] {
        world.index.wheel(wheel);
        let pins = world.read("upper-constraints.txt") + "plugin===1.0\n";
        let pins = if set == "newer" { pins.replace("30.0.0", "30.1") } else { pins };
        world.write("pins.txt", &pins);
        world.loci(&format!("build requirements -c pins.txt -o dir:{set}")).good();
    }
    build(&world, "keystone -o oci:image:keystone").good();
    let upon = |words: &str| {
        let base = "--python python3 --from oci:image:keystone -o oci:image:plugin";
        world.run(&mut world.command(&format!("build {words} {base}")))
    };
    let run = upon("plugin --plugin yes --wheels dir:set").good();
    insta::assert_snapshot!(run.err, @r"
    plugin with 6 packages
      oci:image:plugin, 2.2 KiB new, 2.3 MiB unchanged
      sha256:DIGEST
    made 1 image in 0 s
    ");
    let assembled = listing(&unpacked(&world, "image", "plugin", "assembled"));

    let container = Container::new(&world, "root", &BaseMaker::new().unwrap());
    container.install("keystone").good();
    let run = container.install("plugin --plugin yes").good();
    insta::assert_snapshot!(run.err, @"installed plugin with 8 packages of the distribution and 6 packages and 7 files of Python in 0 s");
    assert_same(&assembled, listing(&container.dir));
    // What the service has stays as it is.
    let site = format!("var/lib/openstack/lib/python{}/site-packages", python().version);
    assert!(assembled[&format!("{site}/alpha/data.bin")].1.len() > 100 << 10);
    assert!(assembled.contains_key(&format!("{site}/alpha/more.txt")));
    // The lock and the bill are of all that is there.
    for path in ["etc/image_info/pylock.toml", "etc/image_info/sbom.cdx.json"] {
        let text = container.text(path);
        for wheel in ["keystone-30.0.0-py3", "alpha-1.0-py3", "plugin-1.0-py3"] {
            assert!(text.contains(wheel), "{wheel}: {text}");
        }
    }

    // A service is not put upon another version of itself, whichever way.
    let mut said = upon("keystone --wheels dir:newer").ends(1).err;
    let mut container = container;
    container.bind(&world.path("newer"), Path::new("/newer"));
    said += &container.run("loci install keystone --wheels dir:/newer").ends(1).err;
    insta::assert_snapshot!(said, @r"
    error: `keystone` 30.0.0 is there already, and 30.1 was wanted
      hint: choose a base that has no `keystone` yet
    error: `keystone` 30.0.0 is there already, and 30.1 was wanted
      hint: choose a base that has no `keystone` yet
    ");
}

/// What stands for git: a tree is cloned by copying it.
const GIT: &str = r#"#!/bin/sh
echo "$*" >>/asked
case $1 in
clone) cp -r "${5#file://}/." . ;;
rev-parse) echo 0123456789abcdef0123456789abcdef01234567 ;;
esac
"#;

#[test]
fn git_is_there_only_for_as_long_as_it_is_needed() {
    let Some(world) = world() else { return };
    let mut base = BaseMaker::new().unwrap().file("opt/git", 0o755, GIT);
    let source = SdistMaker::new("keystone", "31.0").header("Requires-Dist: beta");
    for (path, bytes) in source.tree() {
        base = base.file(&format!("source/{path}"), 0o644, bytes);
    }
    let reference = "refs/changes/67/418167/1";
    let container = Container::new(&world, "root", &base)
        .with_python()
        .with("PROJECT_REPO", "file:///source")
        .with("PROJECT_REF", reference);
    container.install("keystone").good();
    assert!(container.text("asked").contains(&format!("origin/{reference}")));
    // Nor is anything that it brought.
    assert!(!container.has("usr/bin/git"));
    assert!(!container.text("etc/image_info/packages.txt").contains("git"));
    assert!(!container.text("etc/group").contains("git"));
    insta::assert_snapshot!(container.text("etc/image_info/project.txt"), @r"
    PROJECT=keystone
    PROJECT_REPO=file:///source
    PROJECT_REF=refs/changes/67/418167/1
    PROJECT_COMMIT=0123456789abcdef0123456789abcdef01234567
    PROJECT_VERSION=31.0
    ");
    insta::assert_snapshot!(container.text("etc/image_info/pip.txt"), @r"
    beta==2.0
    keystone==31.0
    pymysql==1.2.0
    python-memcached==1.62
    uwsgi==2.0.30
    ");

    // One that was there stays.
    let base = base.file("usr/bin/git", 0o755, GIT);
    let container = Container::new(&world, "with-git", &base)
        .with_python()
        .with("PROJECT_REPO", "file:///source")
        .with("PROJECT_REF", "31.0");
    container.install("keystone").good();
    assert!(container.has("usr/bin/git"));
}

#[test]
fn requirements_are_packages_alone() {
    let Some(world) = world() else { return };
    let container = Container::new(&world, "root", &BaseMaker::new().unwrap())
        .with("PROJECT", "requirements")
        .with("DIST_PACKAGES", "tree");
    let before = listing(&container.dir);
    let run = container.run("loci install --json").good();
    insta::assert_snapshot!(run.err, @"installed 26 packages");
    assert_eq!(run.json()["project"], "requirements");
    let packages = run.json()["distribution"].as_array().unwrap().clone();
    assert!(packages.len() == 26 && packages.contains(&"tree".into()), "{packages:?}");
    let after = listing(&container.dir);
    // Among them is git, which brings a group.
    let own = ["var/lib/dpkg/there", "etc/group"];
    let outside = |path: &String| !path.starts_with("usr/bin/") && !own.contains(&path.as_str());
    let changed: Vec<_> =
        after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
    let changed: Vec<_> =
        changed.into_iter().map(|(path, _)| path).filter(|path| outside(path)).collect();
    assert_eq!(changed, [""; 0]);
    assert!(container.has("usr/bin/tree") && container.has("usr/bin/build-essential"));
}

#[test]
fn what_cannot_be_done_in_a_root_is_said() {
    let Some(world) = world() else { return };
    let base = || BaseMaker::new().unwrap();
    let container = Container::new(&world, "root", &base());
    let before = listing(&container.dir);
    let mut said = String::new();
    for (words, code) in [
        ("loci install keystone", 2),
        ("loci install keystone --wheels dir:/tmp", 2),
        ("loci install keystone --wheels dir:/wheels --uid 0", 2),
        ("loci install keystone --wheels dir:/wheels --dist-packages python3-*", 2),
        ("loci install keystone --wheels dir:/wheels --steps /none", 2),
        ("loci install ../x --wheels dir:/wheels", 2),
    ] {
        let run = container.run(words).ends(code);
        said.push_str(&format!("{words}\n{}", run.err));
    }
    assert!(listing(&container.dir) == before, "something was done");
    for (words, code) in [
        ("keystone --dist-packages broken", 1),
        ("keystone --pip-packages rpdb", 1),
        ("keystone --project-repo /none", 2),
    ] {
        let run = container.install(words).ends(code);
        said.push_str(&format!("{words}\n{}", run.err));
    }
    insta::assert_snapshot!(said, @r"
    loci install keystone
    error: there are no wheels to install from
      hint: name the set with `--wheels`, or WHEELS in the environment; loci's Dockerfile takes WHEELS, or WHEELS_IMAGE for an image that the engine has, as a build argument
    loci install keystone --wheels dir:/tmp
    error: there are no wheels in `dir:/tmp`
      hint: name the set with `--wheels`, or WHEELS in the environment; loci's Dockerfile takes WHEELS, or WHEELS_IMAGE for an image that the engine has, as a build argument
    loci install keystone --wheels dir:/wheels --uid 0
    error: `0`, given as `--uid`, is the number of root
    loci install keystone --wheels dir:/wheels --dist-packages python3-*
    error: `python3-*`, given as `--dist-packages`, is a pattern, which may mean any number of packages: each has to be named
    loci install keystone --wheels dir:/wheels --steps /none
    error: cannot read `/none`
      because: No such file or directory (os error 2)
    loci install ../x --wheels dir:/wheels
    error: `../x` is not the name of a project
    keystone --dist-packages broken
    error: package `broken` does not exist in Debian 12 (bookworm)
    keystone --pip-packages rpdb
    error: these cannot all hold:
      `rpdb` is asked for
      there is no release of `rpdb` for TARGET
      hint: the set has no wheel of `rpdb`: add it with `loci build requirements --pip-packages`
    keystone --project-repo /none
    error: there is no source of `keystone` at `/none`
    ");

    let mut said = String::new();
    let users = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n";
    for (name, base, words) in [
        ("used", base().file("etc/passwd", 0o644, users), "keystone --uid 33"),
        ("nobody's", base().file("etc/os-release", 0o644, ""), "keystone"),
        ("empty", base().file("usr/bin/python3", 0o755, "#!/bin/sh\nexit 1\n"), "keystone"),
    ] {
        let container = Container::new(&world, name, &base);
        let run = container.install(words);
        said.push_str(&format!("{name} ({})\n{}", run.code, run.err));
    }
    insta::assert_snapshot!(said, @r"
    used (1)
    error: the user id 33 is in use by `www-data`
      hint: choose other numbers with `--uid` and `--gid` (UID and GID)
    nobody's (2)
    error: `/` does not say which distribution it is of
      because: there is no `ID` in it
      hint: name the distribution with `--distro`
    empty (2)
    error: the interpreter `python3` failed to describe itself: it said nothing
      hint: name the Python that wheels are for with `--python`
    ");
}

#[test]
fn only_an_image_that_is_being_made_is_written_by_root() {
    let Some(world) = world() else { return };
    let init = "#!/bin/sh\nloci install keystone --wheels dir:/wheels\n";
    let base = BaseMaker::new().unwrap().file("sbin/init", 0o755, init);
    let mut container = Container::new(&world, "root", &base);
    let before = listing(&container.dir);
    let mut said = String::new();
    for (ways, words) in [
        // As the first process of a system that was booted, and one that it starts.
        (("--pid --fork", ""), "/sbin/init"),
        (("", "--userspec=1234:1234"), "loci install keystone --wheels dir:/wheels"),
    ] {
        container.ways = ways;
        said.push_str(&container.run(words).ends(2).err);
    }
    insta::assert_snapshot!(said, @r"
    error: this is a running machine and no image that is being made
      hint: with `--prefix` only its Python environment is made; `loci build` makes an image of it all
    error: a whole service goes into a root file system, which only root may write
      hint: with `--prefix` only its Python environment is made; `loci build` makes an image of it all
    ");
    assert!(listing(&container.dir) == before, "something was done");
}
