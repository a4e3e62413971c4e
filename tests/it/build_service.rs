//! Images of services without an engine, upon a tiny base that is made in code: real private roots, real
//! layers, no network.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use loci::store::layout::Layout;
use serde_json::Value;

use crate::base_image::BaseMaker;
use crate::private_root;
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World};

/// A set in `set`, and a base in `base.tar`; none, with the reason said, where there can be no private root.
pub fn world() -> Option<World> {
    if !private_root::are_there() {
        return None;
    }
    if !rustix_is_root() {
        println!("skipped: only root can own the files of a base");
        return None;
    }
    let world = World::new();
    BaseMaker::new()?.write(&world.path("base.tar"));
    for wheel in [
        WheelMaker::new("keystone", "30.0.0")
            .requires("alpha")
            .entry_points("[console_scripts]\nkeystone-manage = keystone:main\n"),
        WheelMaker::new("glance", "33.0.0").requires("alpha"),
        WheelMaker::new("alpha", "1.0").file("alpha/data.bin", vec![7; 300 << 10]),
        WheelMaker::new("beta", "2.0"),
        WheelMaker::new("pymysql", "1.2.0"),
        WheelMaker::new("python-memcached", "1.62"),
        WheelMaker::new("pbr", "7.0"),
    ] {
        world.index.wheel(&wheel);
    }
    let pins = "keystone===30.0.0\nglance===33.0.0\nalpha===1.0\nbeta===2.0\npymysql===1.2.0\n\
                python-memcached===1.62\npbr===7.0\n";
    world.write("upper-constraints.txt", pins);
    world.loci("build requirements -c upper-constraints.txt -o dir:set").good();
    Some(world)
}

fn rustix_is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

pub fn build(world: &World, arguments: &str) -> Run {
    let base = "--python python3 --from docker-archive:base.tar --wheels dir:set";
    world.run(
        world
            .command(&format!("build {arguments} {base}"))
            .env("PIP_INDEX_URL", "http://127.0.0.1:9/"),
    )
}

/// An image in a layout: its configuration, its annotations, and what its layers put where.
pub struct Image {
    config: Value,
    pub annotations: Value,
    layers: Vec<String>,
    files: BTreeMap<String, (String, Vec<u8>)>,
}

impl Image {
    pub fn read(world: &World, dir: &str, tag: &str) -> Self {
        let layout = Layout::open(&world.path(dir)).unwrap();
        let read = |digest: &str| layout.read(&digest.parse().unwrap()).unwrap();
        let named = layout.named(&tag.parse().unwrap()).unwrap();
        let manifest: Value =
            serde_json::from_slice(&read(named.descriptor.digest().as_ref())).unwrap();
        let config = read(manifest["config"]["digest"].as_str().unwrap());
        let layers: Vec<String> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap().to_owned())
            .collect();
        let mut files = BTreeMap::new();
        for layer in &layers {
            let bytes = read(layer);
            for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
                let header = entry.header();
                let said = format!(
                    "{:?} {:o} {}:{}",
                    header.entry_type(),
                    header.mode().unwrap() & 0o7777,
                    header.uid().unwrap(),
                    header.gid().unwrap()
                );
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
                files.insert(path, (said, bytes));
            }
        }
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            annotations: manifest["annotations"].clone(),
            layers,
            files,
        }
    }

    /// The paths of all that is in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let (_, bytes) = self.files.get(path).unwrap_or_else(|| panic!("no {path}"));
        String::from_utf8(bytes.clone()).unwrap()
    }
}

#[test]
fn a_service_is_upon_its_base_and_the_same_each_time() {
    let Some(world) = world() else { return };
    let run = build(&world, "keystone glance -o oci:images:{project} --dist-packages tree").good();
    insta::assert_snapshot!(run.err, @r"
    keystone with 5 packages
      oci:images:keystone, 1.9 MiB new, 375.5 KiB unchanged
      sha256:DIGEST
    glance with 5 packages
      oci:images:glance, 1.7 KiB new, 2.3 MiB unchanged
      sha256:DIGEST
    made 2 images in 0 s
    ");
    let image = Image::read(&world, "images", "keystone");
    for (path, said) in [
        ("etc/keystone", "Directory 755 42424:42424"),
        ("var/log/keystone", "Directory 755 42424:42424"),
        ("var/lib/openstack", "Directory 755 0:0"),
        ("var/lib/openstack/bin/keystone-manage", "Regular 755 0:0"),
        ("var/lib/openstack/bin/python", "Symlink 777 0:0"),
        ("etc/shadow", "Regular 640 0:0"),
        ("usr/bin/tree", "Regular 644 0:0"),
        ("etc/image_info/pylock.toml", "Regular 644 0:0"),
        ("etc/image_info/sbom.cdx.json", "Regular 644 0:0"),
    ] {
        assert_eq!(image.files.get(path).map(|(said, _)| said.as_str()), Some(said), "{path}");
    }
    let users = image.text("etc/passwd");
    assert!(
        users.ends_with(
            "keystone:x:42424:42424:keystone user:/var/lib/keystone:/usr/sbin/nologin\n"
        ),
        "{users}"
    );
    assert!(image.text("etc/image_info/packages.txt").contains("tree 1.0\n"));
    insta::assert_snapshot!(image.text("etc/image_info/pip.txt"), @r"
    alpha==1.0
    keystone==30.0.0
    pymysql==1.2.0
    python-memcached==1.62
    uwsgi==2.0.30
    ");
    insta::assert_snapshot!(image.text("etc/image_info/project.txt"), @r"
    PROJECT=keystone
    PROJECT_VERSION=30.0.0
    ");
    assert!(
        image.files.keys().all(|path| !path.ends_with(".pyc") && !path.contains("policy-rc.d"))
    );
    assert_eq!(image.config["config"]["Env"][0], "PATH=/var/lib/openstack/bin:/usr/bin:/bin");
    assert_eq!(image.config["config"]["Labels"]["org.openstack.loci.project"], "keystone");
    assert_eq!(image.annotations["org.opencontainers.image.version"], "30.0.0");

    let other = Image::read(&world, "images", "glance");
    let shared = image.layers.iter().filter(|layer| other.layers.contains(layer)).count();
    assert!(shared >= 3, "the base, the environment and the large wheel: {shared}");

    // Again, elsewhere, with another store: the same bytes.
    let mut again = world.command(
        "build keystone glance -o oci:again:{project} --dist-packages tree --python python3 \
         --from docker-archive:base.tar --wheels dir:set",
    );
    world.run(again.env("LOCI_STORE", world.path("other"))).good();
    assert_eq!(world.files("images"), world.files("again"));
}

/// The Python that a service is for is the base's. One of this machine is needed to build a project, and for
/// nothing else.
#[test]
fn no_python_of_this_machine_is_asked_for_what_the_set_has() {
    let Some(world) = world() else { return };
    let python = String::from_utf8(BaseMaker::new().unwrap().read("usr/bin/python3")).unwrap();
    BaseMaker::new()
        .unwrap()
        .file("usr/bin/python3", 0o755, "#!/bin/sh\necho the wrong one\nexit 1\n")
        .file(
            "usr/bin/python3.55",
            0o755,
            python.replace("/usr/bin/python3", "/usr/bin/python3.55"),
        )
        .variable("LOCI_BASE_PYTHON=python3.55")
        .write(&world.path("named.tar"));
    world.tree("source", &SdistMaker::new("keystone", "31.0").build_requires("setuptools"));
    let base = "--wheels dir:set -o oci:out:x";
    let alone = |arguments: &str| {
        let mut command = world.command(&format!("build keystone {arguments} {base}"));
        world.run(command.env("PATH", "/nonexistent").env_remove("LOCI_PYTHON"))
    };
    alone("--from docker-archive:base.tar").good();
    alone("--from docker-archive:base.tar --python /usr/bin/python3").good();
    alone("--from docker-archive:named.tar").good();
    alone("--from docker-archive:named.tar --python python3.55").good();
    let run = alone("--from docker-archive:named.tar --python python3").ends(1);
    insta::assert_snapshot!(run.err, @r"
    error: the image has no Python `python3` that runs: the wrong one
      hint: name another of the image's with `--python` (LOCI_PYTHON), install one with `--dist-packages` (`python3`; on CentOS Stream and Rocky `python3.12`), or take another base
    ");
    let run = alone("--from docker-archive:base.tar --project-repo ./source").ends(1);
    insta::assert_snapshot!(run.err, @r"
    error: a project with a source is built by a Python of this machine
      because: cannot run the interpreter `python3`
      because: No such file or directory (os error 2)
      hint: name one with `--build-python`, or leave out `--project-repo` and `--project-ref`: the set has the project, too
    ");
    let python = crate::world::python().executable.display().to_string();
    world
        .loci(&format!(
            "build keystone --from docker-archive:base.tar --python python3 --build-python {python} \
             --project-repo ./source {base}"
        ))
        .good();
}

#[test]
fn where_a_base_lies_is_no_part_of_an_image() {
    let Some(world) = world() else { return };
    let elsewhere = "somebody's folder/the base.tar";
    fs::create_dir(world.path("somebody's folder")).unwrap();
    fs::copy(world.path("base.tar"), world.path(elsewhere)).unwrap();
    build(&world, "keystone -o oci:here:x").good();
    let mut there =
        world.command("build keystone -o oci:there:x --python python3 --wheels dir:set --from");
    world.run(there.arg(format!("docker-archive:{elsewhere}"))).good();
    assert_eq!(world.files("here"), world.files("there"));
    let bill = Image::read(&world, "here", "x").text("etc/image_info/sbom.cdx.json");
    assert!(!bill.contains("base.tar"), "{bill}");
}

/// Everything below a path, given to a user.
fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

#[test]
fn who_is_not_root_makes_the_same_or_hears_what_is_missing() {
    let Some(world) = world() else { return };
    // A number that no range of ids is given to.
    let user = 54_321;
    build(&world, "keystone -o oci:image:x").good();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o777)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_loci"), world.path("loci")).unwrap();
    let by_user = |arguments: &str, store: &str| {
        let mut command = Command::new("setpriv");
        world.surround(&mut command);
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        command.arg(world.path("loci")).args(arguments.split_whitespace());
        world.run(command.env("LOCI_STORE", world.path(store)))
    };
    let words = "build keystone --python python3 --from docker-archive:base.tar --wheels dir:set";
    let run = by_user(&format!("{words} -o oci:other:x"), "new-store").ends(1);
    assert!(run.err.starts_with("error: cannot make a private root: "), "{}", run.err);
    let hint = "\n  hint: without root it needs a user namespace, but ";
    assert!(run.err.contains(hint), "{}", run.err);
    assert!(!world.path("other").join("index.json").exists());

    // What the store remembers needs no root.
    give(&world.path("store"), user);
    by_user(&format!("{words} -o oci:remembered:x"), "store").good();
    assert_eq!(world.files("image"), world.files("remembered"));
}

#[test]
fn a_project_comes_from_its_source() {
    let Some(world) = world() else { return };
    world.tree(
        "source",
        &SdistMaker::new("keystone", "31.0")
            .header("Requires-Dist: beta")
            .build_requires("setuptools"),
    );
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        world.surround(&mut command);
        command.current_dir(world.path("source"));
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(words);
        assert!(command.output().unwrap().status.success(), "{words:?}");
    };
    git(&["init", "-q", "-b", "master"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "x"]);
    git(&["update-ref", "refs/changes/67/418167/1", "HEAD"]);
    let url = format!("file://{}", world.path("source").display());
    for (more, revision) in [
        ("--project-repo ./source".to_owned(), false),
        (format!("--project-repo {url} --project-ref refs/changes/67/418167/1"), true),
        (format!("--project-repo {url} --project-ref master --extra-projects glance"), true),
    ] {
        build(&world, &format!("keystone -o oci:sourced:x {more}")).good();
        let image = Image::read(&world, "sourced", "x");
        let packages = image.text("etc/image_info/pip.txt");
        assert!(
            packages.contains("keystone==31.0\n") && packages.contains("beta==2.0\n"),
            "{packages}"
        );
        assert_eq!(packages.contains("glance"), more.contains("extra-projects"));
        assert_eq!(
            image.annotations.get("org.opencontainers.image.revision").is_some(),
            revision,
            "{more}"
        );
    }
    let run = build(
        &world,
        &format!("keystone -o oci:sourced:y --project-repo {url} --project-ref nonesuch"),
    )
    .ends(1);
    insta::assert_snapshot!(run.err, @"error: `git fetch` failed: couldn't find remote ref nonesuch");
}

#[test]
fn steps_of_ones_own_are_done() {
    let Some(world) = world() else { return };
    world.write(
        "steps/glance.toml",
        "[variables]\nGREETING = \"hello\"\n\
         [[step]]\nname = \"a file\"\n[step.write]\npath = \"/etc/glance/greeting\"\nowner = \"project\"\ntext = \"{GREETING}\\n\"\n\
         [[step]]\nname = \"a command\"\n[step.run]\ncommand = [\"sh\", \"-c\", \"cat /etc/glance/greeting > /etc/glance/made\"]\n",
    );
    build(&world, "glance -o oci:stepped:x --steps steps").good();
    let image = Image::read(&world, "stepped", "x");
    assert_eq!(image.files["etc/glance/greeting"].0, "Regular 644 42424:42424");
    assert_eq!(image.text("etc/glance/made"), "hello\n");

    world.write("steps/glance.toml", "[[step]]\nname = \"a lost cause\"\n[step.run]\ncommand = [\"sh\", \"-c\", \"echo no way; exit 3\"]\n");
    let run = build(&world, "glance -o oci:failed:x --steps steps").ends(1);
    insta::assert_snapshot!(run.err, @r"
    error: the step `a lost cause` failed to run `sh`
      because: it ended with exit status: 3: no way
    ");
    assert!(!world.path("failed").join("index.json").exists());
}

#[test]
fn what_cannot_be_is_said() {
    let Some(world) = world() else { return };
    let base = BaseMaker::new().unwrap();
    base.architecture("arm64").write(&world.path("arm.tar"));
    let passwd = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n";
    BaseMaker::new().unwrap().file("etc/passwd", 0o644, passwd).write(&world.path("used.tar"));
    BaseMaker::new()
        .unwrap()
        .file("usr/bin/python3", 0o755, "#!/bin/sh\necho broken\nexit 1\n")
        .write(&world.path("no-python.tar"));
    let mut said = String::new();
    for (arguments, code) in [
        ("nonesuch -o oci:o", 1),
        ("keystone -o oci:o --pip-packages rpdb", 1),
        ("keystone -o oci:o --dist-packages broken", 1),
        ("keystone -o oci:o --dist-packages=--reinstall", 2),
        ("keystone -o oci:o --from docker-archive:used.tar --uid 33", 1),
        ("keystone -o oci:o --from docker-archive:arm.tar", 1),
        ("keystone -o oci:o --from docker-archive:no-python.tar", 1),
        ("keystone -o oci:o --from docker-archive:nothing.tar", 1),
        ("keystone -o oci:o --uid many", 2),
        ("keystone -o oci:o --uid 0", 2),
        ("keystone glance -o oci:o", 2),
        ("keystone -o dir:o", 2),
        ("keystone -o keystone:master", 2),
        ("keystone -o oci:o --from tar:base.tar", 2),
        ("keystone -o oci:o --distro plan9", 2),
    ] {
        let from = match arguments.contains("--from") {
            true => "",
            false => "--from docker-archive:base.tar",
        };
        let run =
            world.loci(&format!("build {arguments} {from} --python python3 --wheels dir:set"));
        said.push_str(&format!("{arguments}\n{}", run.err));
        assert_eq!(run.code, code, "{arguments}: {}", run.err);
    }
    insta::assert_snapshot!(said, @r"
    nonesuch -o oci:o
    error: these cannot all hold:
      `nonesuch` is asked for
      there is no release of `nonesuch` for TARGET
      hint: the set has no wheel of `nonesuch`: add it with `loci build requirements --pip-packages`
    keystone -o oci:o --pip-packages rpdb
    error: these cannot all hold:
      `rpdb` is asked for
      there is no release of `rpdb` for TARGET
      hint: the set has no wheel of `rpdb`: add it with `loci build requirements --pip-packages`
    keystone -o oci:o --dist-packages broken
    error: package `broken` does not exist in Debian 12 (bookworm)
    keystone -o oci:o --dist-packages=--reinstall
    error: `--reinstall`, given as `--dist-packages`, is no name of a distribution's package
    keystone -o oci:o --from docker-archive:used.tar --uid 33
    error: the user id 33 is in use by `www-data`
      hint: choose other numbers with `--uid` and `--gid` (UID and GID)
    keystone -o oci:o --from docker-archive:arm.tar
    error: `docker-archive:arm.tar` is an image for linux/arm64, and not for linux/amd64
    keystone -o oci:o --from docker-archive:no-python.tar
    error: the image has no Python `python3` that runs: broken
      hint: name another of the image's with `--python` (LOCI_PYTHON), install one with `--dist-packages` (`python3`; on CentOS Stream and Rocky `python3.12`), or take another base
    keystone -o oci:o --from docker-archive:nothing.tar
    error: cannot read `nothing.tar`
      because: No such file or directory (os error 2)
    keystone -o oci:o --uid many
    error: `many`, given as `--uid`, is not the number of a user or group
    keystone -o oci:o --uid 0
    error: `0`, given as `--uid`, is the number of root
    keystone glance -o oci:o
    error: `oci:o`, given as `--output`, is one place for 2 images; `{project}` in it makes a place of each
    keystone -o dir:o
    error: `dir:o`, given as `--output`, is no place for an image: `docker://`, `oci:`, `oci-archive:` and `docker-archive:` are
    keystone -o keystone:master
    error: `keystone:master`, given as `--output`, names no registry: write `docker://HOST/keystone:master` for an image in one, or `oci:DIR:master` for one in a layout
    keystone -o oci:o --from tar:base.tar
    error: `tar:base.tar`, given as `--from`, is no place for an image: `docker://`, `oci:`, `oci-archive:` and `docker-archive:` are
    keystone -o oci:o --distro plan9
    error: `plan9`, given as `--distro`, is no distribution that is known; known are `debian`, `ubuntu`, `centos`, `rhel`, `rocky`, `almalinux`, `ol`, `oracle`, `fedora`, `openeuler`, `opensuse`, `opensuse-leap`, `opensuse-tumbleweed`, `sles`
    ");
    let arguments = "build keystone -o oci:o --profiles nonesuch --from docker-archive:base.tar";
    let mut command = world.command(&format!("{arguments} --python python3 --wheels dir:set"));
    let run = world.run(command.env("LOCI_PROGRESS", "lines")).good();
    let warning = run.err.lines().find(|line| line.starts_with("warning"));
    insta::assert_snapshot!(warning.unwrap_or_default(), @"warning: nothing asks for the profile `nonesuch`; those of `keystone` are apache, fluent, ldap, mellon, mod_oauth2, nginx, oauth, openidc");
}

#[test]
fn what_is_killed_leaves_nothing_mounted_and_nothing_named() {
    let Some(world) = world() else { return };
    let mounts = || std::fs::read_to_string("/proc/mounts").unwrap();
    let before = mounts();
    let mut child = world
        .command(
            "build keystone -o oci:out:x --dist-packages slow --python python3 --wheels dir:set \
             --from docker-archive:base.tar",
        )
        .spawn()
        .unwrap();
    // Whatever runs in a namespace of this test's: its first process names a directory of this store.
    let store = fs::canonicalize(world.path("store")).unwrap();
    let processes = || fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    let words = |process: &Path| {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).into_owned()
    };
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let of_roots = || -> Vec<PathBuf> {
        let is_first = |process: &PathBuf| {
            let words = words(process);
            words.contains("first-process") && words.contains(store.to_str().unwrap())
        };
        let own = namespace(Path::new("/proc/self"));
        let found = processes().filter(is_first).filter_map(|process| namespace(&process));
        found.filter(|found| Some(found) != own.as_ref()).collect()
    };
    let running = |name: &str, namespaces: &[PathBuf]| {
        let is_here = |process: &PathBuf| {
            namespace(process).is_some_and(|found| namespaces.contains(&found))
                && words(process).starts_with(name)
        };
        processes().filter(is_here).count()
    };
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::yield_now();
        }
    };
    until("apt was not reached", &|| running("sleep", &of_roots()) > 0);
    let namespaces = of_roots();
    child.kill().unwrap();
    child.wait().unwrap();
    until("apt outlives loci", &|| running("", &namespaces) == 0);
    assert_eq!(mounts(), before);
    assert!(!world.path("out").exists());
    build(&world, "keystone -o oci:out:x").good();
    // The root that it was in goes when the store is swept.
    world.loci("store gc").good();
    assert_eq!(world.names("store/loci/tmp"), [""; 0]);
}
