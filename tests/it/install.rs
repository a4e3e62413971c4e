//! Services from a set of wheels, with no index to ask.

use std::process::Command;

use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World, python};

/// A set in `set` and its other forms, an index that is gone, and a service's source in `service`.
fn world() -> World {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0").requires("beta"));
    world.index.wheel(&WheelMaker::new("beta", "2.1"));
    world.index.wheel(
        &WheelMaker::new("service", "1.0")
            .requires("alpha")
            .entry_points("[console_scripts]\nservice = service:main\n")
            .file("service.py", "def main():\n    print('at work')\n")
            .without_module(),
    );
    world.index.sdist(&world.noted("gamma", "0.3"));
    world.write("upper-constraints.txt", "alpha===1.0\nbeta===2.1\ngamma===0.3\nservice===1.0\n");
    let outputs = "-o dir:set -o tar:set.tar -o oci:set.oci:master";
    world.loci(&format!("build requirements -c upper-constraints.txt {outputs}")).good();
    world.tree("service", &service());
    world
}

/// A source tree of the service, newer than the set's.
fn service() -> SdistMaker {
    SdistMaker::new("service", "9.1").header("Requires-Dist: gamma").build_requires("setuptools")
}

/// Runs the program where there is no network, if this machine can do that.
#[track_caller]
fn offline(world: &World, arguments: &str) -> Run {
    static ABLE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let able = *ABLE.get_or_init(|| {
        let probe = Command::new("unshare").args(["-rn", "true"]).output();
        let able = probe.is_ok_and(|output| output.status.success());
        if !able {
            println!("skipped: installing without a network needs `unshare -rn`");
        }
        able
    });
    if !able {
        return world.run(world.command(arguments).env("PIP_INDEX_URL", "http://127.0.0.1:9/"));
    }
    let mut command = Command::new("unshare");
    world.surround(&mut command);
    command.args(["-rn", env!("CARGO_BIN_EXE_loci")]).args(arguments.split_whitespace());
    world.run(&mut command)
}

/// What the Python of a prefix finds installed, each with the imports its metadata promises.
#[track_caller]
fn found(world: &World, prefix: &str) -> String {
    let script = "
import importlib, importlib.metadata as m, re, sys
for d in sorted(m.distributions(path=[p for p in sys.path if p.startswith(sys.prefix)]), key=lambda d: d.name):
    importlib.import_module(d.name)
    for need in d.requires or []:
        m.version(re.match('[A-Za-z0-9._-]+', need).group())
    print(d.name, d.version, d.read_text('INSTALLER').strip(), (d.read_text('direct_url.json') or '').strip())
";
    let mut command = Command::new(world.path(prefix).join("bin/python"));
    world.surround(&mut command);
    world.run(command.args(["-BI", "-c", script])).good().out
}

#[test]
fn a_set_is_installed_from_every_form_of_it() {
    let world = world();
    let url = world.index.at("/set.tar");
    world.index.put("/set.tar", "application/x-tar", world.bytes("set.tar"));
    let expected = "alpha 1.0 loci \nbeta 2.1 loci \nservice 1.0 loci \n";
    for (prefix, source) in [
        ("from-dir", "dir:set"),
        ("from-tar", "tar:set.tar"),
        ("from-oci", "oci:set.oci:master"),
        ("from-store", "store:"),
    ] {
        offline(&world, &format!("install service --wheels {source} --prefix {prefix}")).good();
        assert_eq!(found(&world, prefix), expected, "{source}");
        let mut script = Command::new(world.path(prefix).join("bin/service"));
        world.surround(&mut script);
        assert_eq!(world.run(&mut script).good().out, "at work\n", "{source}");
    }
    let run = world.loci(&format!("install service --wheels {url} --prefix from-url")).good();
    insta::assert_snapshot!(run.err, @"installed 3 packages and 26 files in `HERE/from-url` in 0 s");
    assert_eq!(found(&world, "from-url"), expected);
    let first = world.files("from-dir");
    for prefix in ["from-tar", "from-oci", "from-store", "from-url"] {
        for ((name, bytes), (other, others)) in first.iter().zip(world.files(prefix)) {
            let name_of_prefix = String::from_utf8_lossy(&others).replace(prefix, "from-dir");
            let same = *bytes == others || String::from_utf8_lossy(bytes) == name_of_prefix;
            assert!(*name == other && (same || name.ends_with("RECORD")), "{prefix}: {name}");
        }
    }
}

#[test]
fn a_project_is_built_from_its_source() {
    let world = world();
    let install = |prefix: &str, more: &str| {
        offline(&world, &format!("install service --wheels dir:set --prefix {prefix} {more}"))
    };
    install("from-tree", "--project-repo ./service").good();
    let broken = service().backend("def build_wheel(*arguments):\n    import missing_module");
    world.tree("broken", &broken);
    let run = install("from-broken", "--project-repo ./broken").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: `service` cannot be had from `HERE/broken`
      because: the module `missing_module` is not in the build environment, and the project does not ask for it
      because: `build_wheel` failed (exit status: 1)
      log: HERE/store/blobs/sha256/DIGEST
    "#);
    insta::assert_snapshot!(world.settled(&found(&world, "from-tree")), @r#"
    gamma 0.3 loci 
    service 9.1 loci {"dir_info":{},"url":"file://HERE/service"}
    "#);

    world.write("service-9.1.tar.gz", service().bytes());
    install("from-archive", "--project-repo ./service-9.1.tar.gz").good();
    insta::assert_snapshot!(world.settled(&found(&world, "from-archive")), @r#"
    gamma 0.3 loci 
    service 9.1 loci {"archive_info":{"hash":"sha256=DIGEST","hashes":{"sha256":"DIGEST"}},"url":"file://HERE/service-9.1.tar.gz"}
    "#);

    let git = |arguments: &str| {
        let mut command = Command::new("git");
        world.surround(&mut command);
        let who = ["-c", "user.name=A", "-c", "user.email=a@b", "-C", "service"];
        world.run(command.args(who).args(arguments.split_whitespace())).good().out
    };
    git("init -q -b main");
    git("add -A");
    git("commit -q -m first");
    git("tag v9");
    let commit = git("rev-parse HEAD").trim().to_owned();
    world.write("service/PKG-INFO", "Metadata-Version: 2.1\nName: service\nVersion: 10.0\n");
    git("commit -q -a -m second");
    let url = format!("file://{}", world.path("service").display());
    install("from-git", &format!("--project-repo {url} --project-ref v9")).good();
    insta::assert_snapshot!(world.settled(&found(&world, "from-git")).replace(&commit, "COMMIT"), @r#"
    gamma 0.3 loci 
    service 9.1 loci {"url":"file://HERE/service","vcs_info":{"commit_id":"COMMIT","requested_revision":"v9","vcs":"git"}}
    "#);
    install("from-path", "--project-repo ./service --project-ref v9").good();
    assert!(found(&world, "from-path").contains(&commit));
    install("from-head", &format!("--project-repo {url}")).good();
    assert!(found(&world, "from-head").contains("service 10.0 loci"));
    let run = install("from-nowhere", &format!("--project-repo {url} --project-ref v11")).ends(1);
    insta::assert_snapshot!(run.err, @"error: `git fetch` failed: couldn't find remote ref v11");
    assert!(!world.path("from-nowhere").exists());
}

#[test]
fn extras_packages_and_the_index_are_asked_for() {
    let world = world();
    let service = WheelMaker::new("service", "2.0")
        .header("Provides-Extra: more")
        .requires("gamma; extra == 'more'");
    world.index.wheel(&service);
    let install = "install service --wheels dir:set --project-repo pypi";
    world.loci(&format!("{install} --prefix a --extras more --pip-packages beta --refresh")).good();
    assert_eq!(found(&world, "a"), "beta 2.1 loci \ngamma 0.3 loci \nservice 2.0 loci \n");
    world.loci(&format!("{install} --prefix b --project-ref 1.0")).good();
    assert_eq!(found(&world, "b"), "alpha 1.0 loci \nbeta 2.1 loci \nservice 1.0 loci \n");
}

#[test]
fn an_existing_prefix_is_kept_unless_cleared() {
    let world = world();
    let install = "install service --wheels dir:set --prefix there";
    std::fs::create_dir(world.path("there")).unwrap();
    world.loci(install).good();
    let before = world.files("there");
    world.write("there/mine", "of the user");
    // Found out before any work, such as opening the set.
    let run = world.loci(&install.replace("dir:set", "dir:missing")).ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: `HERE/there` exists and is not an empty directory
      hint: choose another `--prefix`, or replace this one with `--clear`
    "#);
    assert_eq!(world.read("there/mine"), "of the user");
    world.loci(&format!("{install} --clear")).good();
    assert_eq!(world.files("there"), before);
    // What is no environment is not cleared away.
    world.write("work/mine", "of the user");
    let run = world.loci("install service --wheels dir:set --prefix work --clear").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: `HERE/work` is neither an empty directory nor an environment: it has no `pyvenv.cfg`
      hint: choose another `--prefix`, or remove what is there yourself
    "#);
    std::os::unix::fs::symlink("there", world.path("link")).unwrap();
    let run = world.loci("install service --wheels dir:set --prefix link --clear").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: `HERE/link` is a symbolic link
      hint: name the directory that it leads to with `--prefix`
    "#);
    assert_eq!(world.read("work/mine"), "of the user");
    // What fails with --clear leaves what was there.
    world.loci(&format!("{install} --clear --pip-packages nowhere")).ends(1);
    assert_eq!(world.files("there"), before);
    world.loci("install service --wheels dir:set --prefix work/../up/../p").good();
    assert!(
        world
            .read("p/bin/service")
            .starts_with(&format!("#!{}\n", world.path("p/bin/python").display()))
    );
    let left: Vec<_> = std::fs::read_dir(world.path("")).unwrap().collect();
    assert!(
        left.iter().all(|e| !e.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'))
    );
}

#[test]
fn a_set_that_lacks_something_or_is_for_another_python() {
    let world = world();
    let run =
        world.loci("install service --wheels dir:set --prefix p --pip-packages nowhere").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: these cannot all hold:
      `nowhere` is asked for
      there is no release of `nowhere` for TARGET
      hint: the set has no wheel of `nowhere`: add it with `loci build requirements --pip-packages`
    "#);
    std::fs::remove_file(world.path("set/beta-2.1-py3-none-any.whl")).unwrap();
    std::fs::remove_dir_all(world.path("set/.loci")).unwrap();
    let run = world.loci("install service --wheels dir:set --prefix p").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: these cannot all hold:
      `service` is asked for
      `service` 1.0 needs `alpha`
      `alpha` is pinned to 1.0 at upper-constraints.txt of dir:set:1: alpha===1.0
      `alpha` 1.0 needs `beta`
      `beta` is pinned to 2.1 at upper-constraints.txt of dir:set:2: beta===2.1
      there is no release of `beta` for TARGET
      hint: the set has no wheel of `beta`: add it with `loci build requirements --pip-packages`
    "#);
    let wheel = WheelMaker::new("beta", "2.1").tag("cp27-cp27mu-manylinux1_x86_64");
    world.write(&format!("set/{}", wheel.filename()), wheel.bytes());
    let run = world.loci("install service --wheels dir:set --prefix p").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: the versions of `beta` cannot be found out
      because: the set has `beta`, but no wheel of it fits this Python: beta-2.1-cp27-cp27mu-manylinux1_x86_64.whl
      hint: name the Python that the set was made for with `--python`
    "#);
    assert!(!world.path("p").exists());
    assert!(python().version.starts_with('3'));
}

#[test]
fn build_constraints_hold_for_the_project_too() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.index.wheel(&WheelMaker::new("tool", version));
    }
    world.write("c.txt", "tool===2.0\n");
    world.loci("build requirements -c c.txt -o dir:set").good();
    world.tree("service", &SdistMaker::new("service", "3.0").build_requires("tool"));
    world.write("build.txt", "tool<2\n");
    let install = "install service --wheels dir:set --project-repo ./service --prefix";
    world.loci(&format!("{install} free")).good();
    let run = world.loci(&format!("{install} bound --build-constraint build.txt")).ends(1);
    assert!(run.err.contains("`tool`"), "{}", run.err);
    assert!(!world.path("bound").exists());
}

#[test]
fn profiles_add_their_packages_and_what_is_for_a_root_is_refused() {
    let world = world();
    world.write("more.txt", "gamma\nalpha [special]\n");
    let install = "install beta --wheels dir:set --distro debian-12";
    world.loci(&format!("{install} --prefix a --extra-pydep more.txt")).good();
    assert_eq!(found(&world, "a"), "beta 2.1 loci \ngamma 0.3 loci \n");
    let mut command = world.command(&format!("{install} --prefix b"));
    command.env("PROFILES", "special").env("EXTRA_PYDEP", "more.txt").env("DIST_PACKAGES", "vim");
    world.run(command.env("UID", "7")).good();
    assert_eq!(found(&world, "b"), "alpha 1.0 loci \nbeta 2.1 loci \ngamma 0.3 loci \n");
    let run = world.loci(&format!("{install} --prefix c --uid 7")).ends(2);
    insta::assert_snapshot!(run.err, @"error: `--uid` means nothing with `--prefix`, which makes a Python environment and nothing else");
    let run =
        world.loci(&format!("{install} --prefix c --progress lines --profiles nonesuch")).good();
    insta::assert_snapshot!(run.err.lines().next().unwrap_or_default(), @"warning: nothing asks for the profile `nonesuch` in the Python packages of `beta`");
}
