//! Input that makes no sense: each names the thing, has its exit code, and leaves nothing half-written.

use std::fs;
use std::process::Command;

use crate::support::index::{Fault, IndexFile};
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World};

const HTML: &str = "<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n";

/// The main job with these constraints, into `wheels`.
#[track_caller]
fn build(world: &World, constraints: &str) -> Run {
    world.write("c.txt", constraints);
    world.loci("build requirements -c c.txt -o dir:wheels")
}

/// Nothing half-written: no temporary file anywhere, and a store that is clean.
#[track_caller]
fn assert_tidy(world: &World) {
    assert_eq!(world.names("store/loci/tmp"), [""; 0]);
    let odd: Vec<String> = world
        .names("")
        .into_iter()
        .filter(|name| {
            name.split('/').any(|part| part.starts_with(".loci-") || part.ends_with(".tmp"))
        })
        .collect();
    assert_eq!(odd, [""; 0]);
    world.loci("store verify").good();
}

#[test]
fn constraints_that_cannot_be_read() {
    let world = World::new();
    let run = world.loci("build requirements -c missing.txt -o dir:wheels").ends(2);
    insta::assert_snapshot!(run.err, @r#"
    error: cannot read `missing.txt`
      because: No such file or directory (os error 2)
    "#);
    let run = build(&world, HTML).ends(2);
    insta::assert_snapshot!(run.err, @"error: `c.txt` is an HTML page, not a list of requirements");
    world.index.put("/page", "text/html", HTML);
    world.index.put("/plain", "text/plain", HTML);
    for path in ["/page", "/plain"] {
        let url = world.index.at(path);
        let run = world.loci(&format!("build requirements -c {url} -o dir:wheels")).ends(2);
        assert_eq!(
            run.err,
            format!("error: `http://INDEX{path}` is an HTML page, not a list of requirements\n")
        );
    }
    let url = world.index.at("/missing");
    let run = world.loci(&format!("build requirements -c {url} -o dir:wheels")).ends(1);
    insta::assert_snapshot!(run.err, @"error: `http://INDEX/missing` answers 404 Not Found");
    let run = build(&world, "a===1\nb==\n-r other.txt\na===2\nc===1;python_version<>'3'\n").ends(2);
    insta::assert_snapshot!(run.err, @r#"
    error: c.txt:2: unexpected end of version specifier, expected version: b==
    c.txt:3: the option `-r` is not supported in this place: -r other.txt
    c.txt:5: expected a valid marker operator (such as `>=` or `not in`), found `<>`: c===1;python_version<>'3'
    "#);
    let run = build(&world, "a===1\na===2\n").ends(2);
    insta::assert_snapshot!(run.err, @"error: `a` has two constraints that contradict each other: c.txt:1: a===1, and c.txt:2: a===2");
    fs::write(world.path("c.txt"), b"\xff\xfe").unwrap();
    let run = world.loci("build requirements -c c.txt -o dir:wheels").ends(2);
    insta::assert_snapshot!(run.err, @"error: `c.txt` is not text in UTF-8");
    fs::create_dir(world.path("d.txt")).unwrap();
    let run = world.loci("build requirements -c d.txt -o dir:wheels").ends(2);
    insta::assert_snapshot!(run.err, @r#"
    error: cannot read `d.txt`
      because: Is a directory (os error 21)
    "#);
    assert!(!world.path("wheels").exists());
    assert_tidy(&world);
}

#[test]
fn pins_that_cannot_be_had() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0"));
    world.index.wheel(&WheelMaker::new("beta", "1.0").tag("cp27-cp27mu-manylinux1_x86_64"));
    let gamma = WheelMaker::new("gamma", "1.0");
    let mut old = IndexFile::new(&gamma.filename(), gamma.bytes());
    old.requires_python = Some("<3".into());
    world.index.file("gamma", old);
    let run = build(&world, "alpha===1.5\nbeta===1.0\ngamma===1.0\nnowhere===1.0\n").ends(3);
    insta::assert_snapshot!(run.err, @r#"
    failed: no wheel of `alpha 1.5`, pinned at c.txt:1
      no file of `alpha` 1.5 can be had, and the nearest versions are: 1.0
    failed: no wheel of `beta 1.0`, pinned at c.txt:2
      no file of `beta` 1.0 fits TARGET: its wheels are for cp27-cp27mu-manylinux1_x86_64; it has no source archive
    failed: no wheel of `gamma 1.0`, pinned at c.txt:3
      no file of `gamma` 1.0 fits TARGET: it requires Python `<3`; it has no source archive
    failed: no wheel of `nowhere 1.0`, pinned at c.txt:4
      no file of `nowhere` 1.0 can be had: no index offers `nowhere`
    5 wheels for TARGET, 4.2 KiB, in 0 s
      fetched      5     4.2 KiB
      built        0         0 B
      reused       0         0 B
      failed       4
      written: dir:wheels, 9.4 KiB new, 0 B unchanged
    "#);
    assert_eq!(world.wheels("wheels"), ["certifi", "pip", "setuptools", "uwsgi", "wheel"]);
    assert_tidy(&world);
}

#[test]
fn bytes_that_are_not_those_announced() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0"));
    world.index.sdist(&SdistMaker::new("beta", "1.0"));
    world.index.fault("/files/alpha-1.0-py3-none-any.whl", Fault::Flip { at: 60 });
    world.index.fault("/files/beta-1.0.tar.gz", Fault::Flip { at: 60 });
    let run = build(&world, "alpha===1.0\nbeta===1.0\n").ends(3);
    insta::assert_snapshot!(run.err, @r#"
    failed: no wheel of `alpha 1.0`, pinned at c.txt:1
      the bytes of `alpha-1.0-py3-none-any.whl` are not those the index announced: expected sha256:DIGEST, found sha256:DIGEST
    failed: no wheel of `beta 1.0`, pinned at c.txt:2
      the bytes of `beta-1.0.tar.gz` are not those the index announced: expected sha256:DIGEST, found sha256:DIGEST
    5 wheels for TARGET, 4.2 KiB, in 0 s
      fetched      5     4.2 KiB
      built        0         0 B
      reused       0         0 B
      failed       2
      written: dir:wheels, 9.4 KiB new, 0 B unchanged
    "#);
    // What does not match is never kept, under whatever name.
    let mut flipped = WheelMaker::new("alpha", "1.0").bytes();
    flipped[60] ^= 1;
    assert!(world.files("store").iter().all(|(_, bytes)| *bytes != flipped));
    assert_tidy(&world);
}

#[test]
fn an_index_that_is_down() {
    let world = World::new();
    world.write("c.txt", "alpha===1.0\n");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://user:secret@{gone}/simple/");
    let mut command = world.command("build requirements -c c.txt -o dir:wheels");
    let run = world.run(command.env("PIP_INDEX_URL", &url)).ends(3);
    insta::assert_snapshot!(run.err.replace(&gone.to_string(), "GONE"), @r#"
    warning: nothing was obtained: what was written before is left as it is
    failed: no wheel of `alpha 1.0`, pinned at c.txt:1
      the connection to `http://GONE/simple/alpha/` failed: Connection refused (os error 111)
    failed: no wheel of `certifi`
      the connection to `http://GONE/simple/certifi/` failed: Connection refused (os error 111)
    failed: no wheel of `pip`
      the connection to `http://GONE/simple/pip/` failed: Connection refused (os error 111)
    failed: no wheel of `setuptools <81`
      the connection to `http://GONE/simple/setuptools/` failed: Connection refused (os error 111)
    failed: no wheel of `uwsgi`
      the connection to `http://GONE/simple/uwsgi/` failed: Connection refused (os error 111)
    failed: no wheel of `wheel`
      the connection to `http://GONE/simple/wheel/` failed: Connection refused (os error 111)
    0 wheels for TARGET, 0 B, in 0 s
      fetched      0         0 B
      built        0         0 B
      reused       0         0 B
      failed       6
    "#);
    assert!(!world.path("wheels").exists());
    let mut command = world.command("lock alpha -o pylock.toml");
    let run = world.run(command.env("PIP_INDEX_URL", &url)).ends(1);
    insta::assert_snapshot!(run.err.replace(&gone.to_string(), "GONE"), @r#"
    error: the versions of `alpha` cannot be found out
      because: the connection to `http://GONE/simple/alpha/` failed
      because: Connection refused (os error 111)
    "#);
    assert!(!world.path("pylock.toml").exists());
    let run = world.loci("build requirements -c c.txt --offline").ends(3);
    assert!(run.err.contains("`http://INDEX/simple/alpha/` is not in the cache"), "{}", run.err);
    world.index.fault("/simple/alpha/", Fault::Status { status: 503, times: 9, retry_after: None });
    let run = world.loci("build requirements -c c.txt").ends(3);
    assert!(run.err.contains("`http://INDEX/simple/alpha/` answers 503"), "{}", run.err);
    assert_tidy(&world);
}

/// Runs a script of the shell where `full` is a small disk, if this machine can do that.
fn on_a_small_disk(world: &World, kilobytes: usize, script: &str) -> Option<Run> {
    fs::create_dir_all(world.path("full")).unwrap();
    for namespaces in ["-m", "-rm"] {
        let mut command = Command::new("unshare");
        world.surround(&mut command);
        let mount = format!("mount -t tmpfs -o size={kilobytes}k tmpfs full || exit 99\n{script}");
        command.args([namespaces, "sh", "-c", &mount]).env("LOCI", env!("CARGO_BIN_EXE_loci"));
        match command.output() {
            Ok(output)
                if output.status.success() || !matches!(output.status.code(), Some(1 | 99)) =>
            {
                return Some(world.told(output));
            }
            _ => {}
        }
    }
    println!("skipped: a full disk needs `unshare -m` and the right to mount");
    None
}

#[test]
fn a_disk_that_is_full() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0").file("alpha.bin", noise(600_000)));
    world.write("c.txt", "alpha===1.0\n");
    let script = "\
        $LOCI build requirements -c c.txt --store full/store; echo code $?\n\
        find full/store -name '*.whl' -o -path '*/loci/tmp/*'\n\
        $LOCI store verify -q --store full/store; echo code $?\n";
    let Some(run) = on_a_small_disk(&world, 500, script) else { return };
    // The small wheels may come at the moment when the big one has filled the disk.
    let mut lines = run.err.lines();
    assert_eq!(lines.next(), Some("failed: no wheel of `alpha 1.0`, pinned at c.txt:1"));
    let causes: Vec<&str> =
        run.err.lines().filter(|line| line.contains("cannot be written")).collect();
    assert_eq!(causes.len(), run.figure("failed "), "{}", run.err);
    assert!(causes.iter().all(|line| line.ends_with(": No space left on device (os error 28)")));
    insta::assert_snapshot!(run.out, @r#"
    code 3
    code 0
    "#);

    // In an image, what was finished stays; nothing has a name that it does not deserve.
    let script = "\
        for to in dir:full/wheels tar:full/wheels.tar oci:full/image; do\n\
            $LOCI build requirements -c c.txt -q -o $to; echo code $?\n\
            find full -name '*tmp*' -o -name '.loci-*' -o -name 'alpha*' -o -name '*.tar'\n\
            for blob in full/image/blobs/sha256/*; do\n\
                test -e $blob || continue; sum=$(sha256sum $blob); test ${sum%% *} = ${blob##*/} || echo damaged $blob\n\
            done 2>/dev/null\n\
            rm -rf full/*\n\
        done\n";
    let Some(run) = on_a_small_disk(&world, 500, script) else { return };
    let wheel = run.err.split('`').nth(1).unwrap();
    let said = run.err.replace(wheel, "full/wheels/WHEEL");
    insta::assert_snapshot!(said, @r#"
    error: cannot write `full/wheels/WHEEL`
      because: No space left on device (os error 28)
    error: cannot write `full/wheels.tar`
      because: No space left on device (os error 28)
    error: cannot write `HERE/full/image`
      because: No space left on device (os error 28)
    "#);
    insta::assert_snapshot!(run.out, @r#"
    code 1
    code 1
    code 1
    "#);

    world.loci("build requirements -c c.txt -q -o dir:set").good();
    let script = "$LOCI install alpha --wheels dir:set --prefix full/p; echo code $?; ls -A full";
    let Some(run) = on_a_small_disk(&world, 500, script) else { return };
    insta::assert_snapshot!(run.err, @r#"
    error: cannot install `alpha-1.0-py3-none-any.whl`
      because: the wheel `alpha-1.0-py3-none-any.whl` cannot be used
      because: `lib/python3.11/site-packages/alpha.bin` cannot be written
      because: No space left on device (os error 28)
    "#);
    insta::assert_snapshot!(run.out, @"code 1");
    assert_tidy(&world);
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_wheel_that_climbs_out() {
    let world = World::new();
    let evil = WheelMaker::new("evil", "1.0").file("../../outside.py", "x = 1\n");
    world.index.wheel(&evil);
    world.index.sdist(&SdistMaker::new("victim", "1.0").build_requires("evil"));
    let run = build(&world, "evil===1.0\nvictim===1.0\n").ends(3);
    insta::assert_snapshot!(run.err, @r#"
    failed: no wheel of `evil 1.0`, pinned at c.txt:1
      the wheel `evil-1.0-py3-none-any.whl` cannot be used: an entry's name is not safe: the path `../../outside.py` climbs out with `..`
    failed: no wheel of `victim 1.0`, pinned at c.txt:2
      it cannot be built: its build requirements cannot be provided: the wheel `evil-1.0-py3-none-any.whl` cannot be used: an entry's name is not safe: the path `../../outside.py` climbs out with `..`
    5 wheels for TARGET, 4.2 KiB, in 0 s
      fetched      5     4.2 KiB
      built        0         0 B
      reused       0         0 B
      failed       2
      written: dir:wheels, 9.4 KiB new, 0 B unchanged
    "#);
    world.write(&format!("set/{}", evil.filename()), evil.bytes());
    let run = world.loci("install evil --wheels dir:set --prefix p").ends(1);
    insta::assert_snapshot!(run.err, @r#"
    error: what `evil` 1.0 needs cannot be found out
      because: the wheel `evil-1.0-py3-none-any.whl` cannot be used
      because: an entry's name is not safe
      because: the path `../../outside.py` climbs out with `..`
    "#);
    assert!(!world.path("p").exists());
    assert!(!world.names("").iter().any(|name| name.ends_with("outside.py")));
    assert_tidy(&world);
}

#[test]
fn a_source_that_is_no_project() {
    let world = World::new();
    world.write("empty/README", "nothing here\n");
    world.write("broken/pyproject.toml", "[build-system\n");
    world.write("file.txt", "text\n");
    world.write("bad.tar.gz", "not a tar");
    world.tree("other", &SdistMaker::new("other", "1.0"));
    world.write("c.txt", "");
    world.loci("build requirements -q -o dir:set -c c.txt").good();
    let mut said = String::new();
    for source in [
        "./empty",
        "./broken",
        "./missing",
        "./file.txt",
        "./bad.tar.gz",
        "./other",
        "file:///nowhere/x.git",
    ] {
        let install =
            format!("install service --wheels dir:set --prefix p --project-repo {source}");
        let run = world.loci(&install);
        said.push_str(&format!("{source}: {}\n{}", run.code, run.err));
        assert!(!world.path("p").exists(), "{source}");
    }
    insta::assert_snapshot!(said, @r#"
    ./empty: 1
    error: `service` cannot be had from `HERE/empty`
      because: it cannot be built
      because: the source tree is not a Python project: it has neither `pyproject.toml` nor `setup.py`
    ./broken: 1
    error: `service` cannot be had from `HERE/broken`
      because: it cannot be built
      because: `pyproject.toml` is not valid
      because: TOML parse error at line 1, column 14
          |
        1 | [build-system
          |              ^
        unclosed table, expected `]`
    ./missing: 2
    error: there is no source of `service` at `HERE/missing`
    ./file.txt: 1
    error: `service` cannot be had from `HERE/file.txt`
      because: it cannot be built
      because: cannot read `HERE/file.txt`
      because: Not a directory (os error 20)
    ./bad.tar.gz: 1
    error: `service` cannot be had from `HERE/bad.tar.gz`
      because: it cannot be built
      because: cannot read the source archive `HERE/store/blobs/sha256/DIGEST`
      because: unexpected end of file
    ./other: 1
    error: `service` cannot be had from `HERE/other`
      because: it cannot be built
      because: the backend made `other-1.0-py3-none-any.whl`, which is not service
      log: HERE/store/blobs/sha256/DIGEST
    file:///nowhere/x.git: 1
    error: `git clone` failed: '/nowhere/x.git' does not appear to be a git repository
    "#);
    assert_tidy(&world);
}

#[test]
fn sets_that_are_none() {
    let world = World::new();
    world.write("no.tar", "not a tar");
    world.write("dir/README", "");
    world.index.put("/page.tar", "text/html", HTML);
    let mut said = String::new();
    for source in [
        "dir:missing",
        "dir:dir",
        "tar:missing.tar",
        "tar:no.tar",
        "oci:dir",
        "oci:missing:x",
        "store:unknown",
        "docker://127.0.0.1:1/loci/requirements",
        "./dir",
        "registry.example/loci/Requirements:master",
        &world.index.at("/missing.tar"),
        &world.index.at("/page.tar"),
    ] {
        let run = world.loci(&format!("install service --wheels {source} --prefix p"));
        said.push_str(&format!("{source}: {}\n{}", run.code, run.err));
        assert!(!world.path("p").exists(), "{source}");
    }
    insta::assert_snapshot!(world.settled(&said), @r"
    dir:missing: 1
    error: cannot list `missing`
      because: No such file or directory (os error 2)
    dir:dir: 2
    error: there are no wheels in `dir:dir`
      hint: name the set with `--wheels`, or WHEELS in the environment; loci's Dockerfile takes WHEELS, or WHEELS_IMAGE for an image that the engine has, as a build argument
    tar:missing.tar: 1
    error: cannot read `missing.tar`
      because: No such file or directory (os error 2)
    tar:no.tar: 1
    error: `no.tar` is not a whole tar archive
      because: failed to read entire block
    oci:dir: 1
    error: `dir` is not an OCI image layout: it has no file `oci-layout`
    oci:missing:x: 1
    error: `missing` is not an OCI image layout: it has no file `oci-layout`
    store:unknown: 1
    error: nothing is named `unknown` in `HERE/store`; there are no names
    docker://127.0.0.1:1/loci/requirements: 1
    error: the connection to `https://127.0.0.1:1/v2/` failed
      because: Connection refused (os error 111)
    ./dir: 2
    error: `./dir` does not say what it is: write `dir:./dir` for what is there on this machine
    registry.example/loci/Requirements:master: 2
    error: `registry.example/loci/Requirements:master` is not an image name: write `Requirements` in lower case: `requirements`
    http://INDEX/missing.tar: 1
    error: `http://INDEX/missing.tar` answers 404 Not Found
    http://INDEX/page.tar: 1
    error: `http://INDEX/page.tar` is not a whole tar archive
      because: failed to read entire block
    ");
    assert_tidy(&world);
}

#[test]
fn option_values_that_make_no_sense() {
    let world = World::new();
    world.write("c.txt", "");
    world.write("file", "");
    let mut said = String::new();
    for arguments in [
        "build requirements -c c.txt -o wheels",
        "build requirements -c c.txt -o docker-daemon:x/y",
        "build requirements -c c.txt -o http://x/y.tar",
        "build requirements -c c.txt -o dir:file",
        "build requirements -c c.txt --tag a:b:c:-",
        "build requirements -c c.txt --pip-packages a=1",
        "build requirements -c c.txt --index-url pypi",
        "build requirements -c c.txt --extra-index-url :/x",
        "build requirements -c c.txt --find-links missing",
        "build requirements -c c.txt --no-binary a/b",
        "build requirements -c c.txt --python nopython",
        "build requirements -c c.txt --python true",
        "build requirements -c c.txt --store file",
        "build requirements -c c.txt --cert missing.pem",
        "build requirements -c c.txt --proxy ::",
        "lock a;b",
        "lock \u{e9}\u{1f600};b",
        "lock wheel -o missing/pylock.toml",
        "install a/b --wheels dir:x --prefix p",
        "install a --wheels dir:x --prefix p --extras a+b",
        "install a --wheels dir:x --prefix p --project-repo ext::sh",
    ] {
        let run = world.loci(arguments);
        said.push_str(&format!("{arguments}: {}\n{}", run.code, run.err));
    }
    insta::assert_snapshot!(said, @r#"
    build requirements -c c.txt -o wheels: 2
    error: `wheels` does not say what it is: write `dir:wheels` for a directory of wheels or `oci:wheels` for an image layout
    build requirements -c c.txt -o docker-daemon:x/y: 2
    error: `docker-daemon:` is not supported; `docker://`, `oci:`, `oci-archive:`, `docker-archive:`, `tar:`, `dir:` and `store:` are
    build requirements -c c.txt -o http://x/y.tar: 2
    error: `http://x/y.tar`, given as `--output`, cannot be written to; a registry (`docker://`), `oci:`, `tar:` and `dir:` can
    build requirements -c c.txt -o dir:file: 1
    error: cannot create `file/.loci`
      because: Not a directory (os error 20)
    build requirements -c c.txt --tag a:b:c:-: 2
    error: `a:b:c:-`, given as `--tag`, is not a tag: letters, digits and `-._:@/+` are allowed
    build requirements -c c.txt --pip-packages a=1: 2
    error: --pip-packages:1: no such comparison operator "=", must be one of ~= == != <= >= < > ===: a=1
    build requirements -c c.txt --index-url pypi: 2
    error: `pypi`, given as `--index-url`, is not a URL
      because: relative URL without a base
    build requirements -c c.txt --extra-index-url :/x: 2
    error: `:/x`, given as `--extra-index-url`, is not a URL
      because: relative URL without a base
    build requirements -c c.txt --find-links missing: 2
    error: `HERE/missing` cannot be read
      because: failed to canonicalize path `HERE/missing`: No such file or directory (os error 2)
    build requirements -c c.txt --no-binary a/b: 2
    error: `a/b`, given as `--no-binary`, is neither a project's name nor `:all:` or `:none:`
    build requirements -c c.txt --python nopython: 2
    error: cannot run the interpreter `nopython`
      because: No such file or directory (os error 2)
      hint: name the Python that wheels are for with `--python`
    build requirements -c c.txt --python true: 2
    error: `true` does not answer as a Python does
      because: EOF while parsing a value at line 1 column 0
      hint: name the Python that wheels are for with `--python`
    build requirements -c c.txt --store file: 1
    error: cannot create `HERE/file`
      because: File exists (os error 17)
    build requirements -c c.txt --cert missing.pem: 2
    error: the certificates of `missing.pem` cannot be read
      because: failed to open file `missing.pem`: No such file or directory (os error 2)
    build requirements -c c.txt --proxy ::: 2
    error: the proxy `****` is not an address
    lock a;b: 2
    error: `a;b`, given as `PROJECT`, is not a requirement: Expected a quoted string or a valid marker name, found `b`
    lock é😀;b: 2
    error: `é😀;b`, given as `PROJECT`, is not a requirement: `é` has no place in a requirement
    lock wheel -o missing/pylock.toml: 1
    error: cannot write to `missing/pylock.toml`
      because: entity not found
    install a/b --wheels dir:x --prefix p: 2
    error: `a/b` is not the name of a project
    install a --wheels dir:x --prefix p --extras a+b: 2
    error: `a+b`, given as `--extras`, is not the name of an extra
    install a --wheels dir:x --prefix p --project-repo ext::sh: 2
    error: `ext::sh` is not the source of a project: git would run a command for it
    "#);
    let mut command = world.command("build requirements -c c.txt");
    let run = world.run(command.env("SOURCE_DATE_EPOCH", "now")).ends(2);
    insta::assert_snapshot!(run.err, @"error: `now`, given as `SOURCE_DATE_EPOCH`, is not a number of seconds since 1970");
    assert_eq!(
        world.loci("build requirements --jobs many").ends(2).err.lines().next().unwrap(),
        "error: invalid value 'many' for '--jobs <N>': invalid digit found in string"
    );
}
