//! The main job: what it obtains, what it writes, what it says.

use crate::support::index::IndexFile;
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::World;

const JOB: &str = "build requirements -c upper-constraints.txt";

/// Pins of a wheel, of one with a dependency that nothing pins, and of a sdist.
fn world() -> World {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0"));
    world.index.wheel(&WheelMaker::new("alpha", "1.1"));
    world.index.wheel(&WheelMaker::new("beta", "2.1").requires("delta<4"));
    world.index.sdist(&world.noted("gamma", "0.3").build_requires("tool"));
    world.index.wheel(&WheelMaker::new("delta", "3.2"));
    world.index.wheel(&WheelMaker::new("delta", "4.0"));
    world.index.wheel(&WheelMaker::new("tool", "1.0"));
    world.write("upper-constraints.txt", "alpha===1.0\nbeta===2.1\ngamma===0.3\n");
    world
}

#[test]
fn wheels_are_fetched_and_built_once_and_outputs_are_the_same_bytes() {
    let world = world();
    let outputs = |to: &str| format!("{JOB} -o dir:{to} -o tar:{to}.tar -o oci:{to}.oci:master");
    let run = world.loci(&outputs("first")).good();
    insta::assert_snapshot!(run.err, @r#"
    9 wheels for TARGET, 7.5 KiB, in 0 s
      fetched      8     6.7 KiB
      built        1       835 B
      reused       0         0 B
      failed       0
      written: dir:first, 16.2 KiB new, 0 B unchanged
      written: tar:first.tar, 27.0 KiB new, 0 B unchanged
      written: oci:first.oci:master, 34.6 KiB new, 0 B unchanged
               sha256:DIGEST
    "#);
    assert_eq!((run.out.as_str(), world.built()), ("", vec!["gamma".to_owned()]));
    assert_eq!(
        world.wheels("first"),
        ["alpha", "beta", "certifi", "delta", "gamma", "pip", "setuptools", "uwsgi", "wheel"]
    );
    assert_eq!(
        world.bytes("first/alpha-1.0-py3-none-any.whl"),
        WheelMaker::new("alpha", "1.0").bytes()
    );
    insta::assert_snapshot!(world.read("first/upper-constraints.txt"), @r#"
    alpha===1.0
    beta===2.1
    certifi===2025.1
    delta===3.2
    gamma===0.3
    pip===25.1
    setuptools===80.9.0
    uwsgi===2.0.30
    wheel===0.45.1
    "#);

    let asked = world.index.requests().len();
    let run = world.loci(&outputs("again")).good();
    assert_eq!((run.figures(), world.built().len()), ([0, 0, 9], 1));
    assert_eq!(world.index.requests().len(), asked, "cached pages were asked for again");
    // A store where all is fetched and built anew.
    world.loci(&format!("{} --store other", outputs("anew"))).good();
    assert_eq!(world.built().len(), 2);
    for to in ["again", "anew"] {
        assert_eq!(world.files(to), world.files("first"), "{to}");
        assert!(world.bytes(&format!("{to}.tar")) == world.bytes("first.tar"), "{to}.tar");
        assert_eq!(world.files(&format!("{to}.oci")), world.files("first.oci"), "{to}.oci");
    }
    world.loci("store verify").good();
}

#[test]
fn what_nothing_pins_is_added_unless_refused() {
    let world = world();
    world.loci(&format!("{JOB} --no-deps -o dir:wheels")).good();
    assert_eq!(
        world.wheels("wheels"),
        ["alpha", "beta", "certifi", "gamma", "pip", "setuptools", "uwsgi", "wheel"]
    );
}

#[test]
fn one_failure_leaves_the_others_and_is_told() {
    let world = world();
    let broken = SdistMaker::new("epsilon", "1.0").backend(
        "def build_wheel(*arguments):\n    \
         print(\"ext.c:1:10: fatal error: krb5.h: No such file or directory\", flush=True)\n    \
         raise SystemExit(1)",
    );
    world.index.sdist(&broken);
    world.write("upper-constraints.txt", "alpha===1.0\n# a comment\nepsilon===1.0  # last\n");
    let run = world.loci(&format!("{JOB} -o dir:wheels --json")).ends(3);
    insta::assert_snapshot!(run.err, @r#"
    failed: no wheel of `epsilon 1.0`, pinned at upper-constraints.txt:3
      the header `krb5.h` is not installed; Debian has it in `libkrb5-dev`: `build_wheel` failed (exit status: 1)
      log: HERE/store/blobs/sha256/DIGEST
    6 wheels for TARGET, 5.0 KiB, in 0 s
      fetched      6     5.0 KiB
      built        0         0 B
      reused       0         0 B
      failed       1
      written: dir:wheels, 11.1 KiB new, 0 B unchanged
    "#);
    let summary = run.json();
    let log = summary["failures"][0]["log"].as_str().unwrap().to_owned();
    assert_eq!(summary["failures"][0]["place"], "upper-constraints.txt:3");
    assert!(log.starts_with("HERE/store/"), "{log}");
    let named = std::fs::read_dir(world.path("store/blobs/sha256")).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        String::from_utf8_lossy(&bytes).contains("fatal error: krb5.h")
    });
    assert!(named, "no log in the store says what the compiler said");
    assert_eq!(world.wheels("wheels"), ["alpha", "certifi", "pip", "setuptools", "uwsgi", "wheel"]);

    // What was missing comes, and nothing else is done again.
    world.index.wheel(&WheelMaker::new("epsilon", "1.0"));
    let run = world.loci(&format!("{JOB} --refresh -o dir:wheels")).good();
    assert_eq!(run.figures(), [1, 0, 6]);
    assert!(world.wheels("wheels").contains(&"epsilon".to_owned()));
}

#[test]
fn machines_read_json_and_people_colours() {
    let world = world();
    let run = world.loci(&format!("{JOB} -q --json -o dir:wheels")).good();
    assert_eq!(run.err, "");
    let summary = run.json();
    let wheel = &summary["wheels"][0];
    assert_eq!(
        (&wheel["name"], &wheel["version"], &wheel["how"]),
        (&"alpha".into(), &"1.0".into(), &"fetched".into())
    );
    assert_eq!(summary["written"][0]["destination"], "dir:wheels");
    assert_eq!(summary["failures"], serde_json::json!([]));

    let coloured = world.run(world.command(JOB).env("CLICOLOR_FORCE", "1")).good().err;
    assert!(coloured.contains("\u{1b}["), "{coloured}");
    let mut command = world.command(JOB);
    let plain = world.run(command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).good().err;
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn progress_is_told_in_lines() {
    let world = world();
    let run = world.loci(&format!("{JOB} --progress lines")).good();
    insta::assert_snapshot!(run.err, @r#"
    obtaining 8 wheels
    built gamma 0.3 in 0 s
    9 wheels for TARGET, 7.5 KiB, in 0 s
      fetched      8     6.7 KiB
      built        1       835 B
      reused       0         0 B
      failed       0
    "#);
}

#[test]
fn pins_have_markers_and_packages_come_beside_them() {
    let world = world();
    world.index.put(
        "/upper-constraints.txt",
        "text/plain",
        "alpha===1.0;python_version<'3'\nalpha===1.1;python_version>='3'\nceilometer===9\n\
         delta===4.0\nbeta===2.1\n",
    );
    world.write("global-requirements.txt", "delta<4  # BSD\n");
    let mut command = world.command("build requirements --global-requirements");
    command.args(["global-requirements.txt", "-c", &world.index.at("/upper-constraints.txt")]);
    command.args(["-o", "dir:wheels"]).env("PIP_PACKAGES", "gamma>0.2 uwsgi>=2.0.30");
    let run = world.run(&mut command).good();
    insta::assert_snapshot!(run.err, @r#"
    Left out on purpose:
      ceilometer: it is a service, which is installed from its own source
    warning: the pin http://INDEX/upper-constraints.txt:4: delta===4.0 is excluded by global-requirements.txt:1: delta<4
    9 wheels for TARGET, 7.5 KiB, in 0 s
      fetched      8     6.7 KiB
      built        1       835 B
      reused       0         0 B
      omitted      1
      failed       0
      written: dir:wheels, 16.2 KiB new, 0 B unchanged
    "#);
    assert_eq!(world.read("wheels/global-requirements.txt"), "delta<4  # BSD\n");
    assert!(world.names("wheels").contains(&"alpha-1.1-py3-none-any.whl".to_owned()));
    assert!(world.wheels("wheels").contains(&"gamma".to_owned()));
}

#[test]
fn a_wheel_that_goes_away_is_still_in_the_store() {
    let world = world();
    world.loci(&format!("{JOB} -o dir:wheels")).good();
    let first = world.files("wheels");
    // A later set in the same directory: what the earlier one put there goes.
    world.write("upper-constraints.txt", "alpha===1.1\n");
    world.loci(&format!("{JOB} -o dir:wheels --tag other")).good();
    assert_eq!(world.wheels("wheels"), ["alpha", "certifi", "pip", "setuptools", "uwsgi", "wheel"]);
    let listed = world.loci("store ls").good();
    // The last columns are the age and a digest, which covers the address of the index.
    let listed: Vec<&str> = listed.out.lines().map(|line| line[..44].trim_end()).collect();
    insta::assert_snapshot!(listed.join("\n"), @r#"
    latest                   9 wheels    7.5 KiB
    other                    6 wheels    5.0 KiB
    "#);
    world.loci("store gc").good();
    world.loci("store verify").good();
    // Nothing of the first set was collected.
    world.write("upper-constraints.txt", "alpha===1.0\nbeta===2.1\ngamma===0.3\n");
    let run = world.loci(&format!("{JOB} -o dir:wheels")).good();
    assert_eq!(run.figures(), [0, 0, 9]);
    assert_eq!(world.files("wheels"), first);
}

#[test]
fn yanked_releases_come_only_when_pinned() {
    let world = World::new();
    let wheel = |version| WheelMaker::new("alpha", version);
    world.index.wheel(&wheel("1.0"));
    let mut yanked = IndexFile::new(&wheel("1.1").filename(), wheel("1.1").bytes());
    yanked.yanked = Some("broken".into());
    world.index.file("alpha", yanked);
    world.write("upper-constraints.txt", "alpha===1.1\n");
    world.write("none.txt", "");
    world.loci(&format!("{JOB} -o dir:pinned")).good();
    assert!(world.names("pinned").contains(&"alpha-1.1-py3-none-any.whl".to_owned()));
    world.loci("build requirements -c none.txt --pip-packages alpha -o dir:free").good();
    assert!(world.names("free").contains(&"alpha-1.0-py3-none-any.whl".to_owned()));
}

#[test]
fn a_damaged_store_is_found_and_mended() {
    let world = world();
    world.loci(&format!("{JOB} -o dir:wheels")).good();
    let whole = world.bytes("wheels/alpha-1.0-py3-none-any.whl");
    let blobs = world.files("store/blobs/sha256");
    let (blob, _) = blobs.iter().find(|(_, bytes)| *bytes == whole).unwrap();
    world.write(&format!("store/blobs/sha256/{blob}"), "damaged");
    let json = world.loci("store verify --json").ends(1).json();
    insta::assert_snapshot!(serde_json::json!([json["damaged"], json["missing"]]), @r#"[[{"digest":"sha256:DIGEST","found":"sha256:DIGEST"}],[{"digest":"sha256:DIGEST","file":"alpha-1.0-py3-none-any.whl","tag":"latest"}]]"#);
    assert!(!world.path(&format!("store/blobs/sha256/{blob}")).exists());
    world.write(&format!("store/blobs/sha256/{blob}"), "damaged");
    let run = world.loci("store verify").ends(1);
    insta::assert_snapshot!(run.out, @r#"
    damaged: sha256:DIGEST has the content of sha256:DIGEST
    missing: alpha-1.0-py3-none-any.whl (sha256:DIGEST) of `latest`
    "#);
    insta::assert_snapshot!(run.err, @r#"
    16 blobs read, 12.5 KiB: 1 damaged, 1 missing
    error: the store has blobs that are damaged (1) or missing (1)
      hint: damaged blobs were set aside; run the job again and what is missing is obtained again
    "#);
    let run = world.loci(&format!("{JOB} -o dir:mended")).good();
    assert_eq!(run.figures(), [1, 0, 8]);
    assert_eq!(world.files("mended"), world.files("wheels"));
    world.loci("store verify").good();
}

#[test]
fn what_an_earlier_run_wrote_is_left_when_the_index_is_down() {
    let world = world();
    world.loci(&format!("{JOB} -o dir:wheels")).good();
    let before = world.files("wheels");
    let mut command = world.command(&format!("{JOB} --refresh -o dir:wheels"));
    let run = world.run(command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")).ends(3);
    assert!(run.err.contains("nothing was obtained"), "{}", run.err);
    assert_eq!(world.files("wheels"), before);
    assert!(world.loci("store ls").good().out.starts_with("latest                   9 wheels"));
}

#[test]
fn what_completes_a_set_goes_together() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("m1", "1.0").requires("dd<3"));
    world.index.wheel(&WheelMaker::new("m3", "1.0").requires("cc"));
    world.index.wheel(&WheelMaker::new("cc", "1.0").requires("dd<2"));
    for version in ["1.0", "2.0", "3.0"] {
        world.index.wheel(&WheelMaker::new("dd", version));
    }
    // An extra that one wheel of the set asks of another.
    world.index.wheel(&WheelMaker::new("exa", "1.0").requires("exb[fancy]"));
    let exb = WheelMaker::new("exb", "1.0").header("Provides-Extra: fancy");
    world.index.wheel(&exb.requires("exc; extra == 'fancy'"));
    world.index.wheel(&WheelMaker::new("exc", "1.0"));
    world.write("c.txt", "m1===1.0\nm3===1.0\nexa===1.0\nexb===1.0\n");
    world.loci("build requirements -c c.txt -o dir:set").good();
    let constraints = world.read("set/upper-constraints.txt");
    for pin in ["cc===1.0\n", "dd===1.0\n", "exc===1.0\n"] {
        assert!(constraints.contains(pin), "{constraints}");
    }
    world.loci("install m3 --wheels dir:set --prefix m3").good();
    world.loci("install exa --wheels dir:set --prefix exa").good();
}

#[test]
fn a_set_that_lacks_something_takes_nothing_away() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0"));
    world.index.wheel(&WheelMaker::new("beta", "1.0"));
    world.write("c.txt", "alpha===1.0\nbeta===1.0\n");
    world.loci("build requirements -c c.txt -o dir:set").good();
    world.write("c.txt", "alpha===1.0\nbeta===77\n");
    let run = world.loci("build requirements -c c.txt -o dir:set").ends(3);
    assert!(run.err.contains("`latest` stays as it was"), "{}", run.err);
    assert!(world.path("set/beta-1.0-py3-none-any.whl").exists());
    world.loci("install beta --wheels store: --prefix beta").good();
    // A whole set again removes what it does not have.
    world.write("c.txt", "alpha===1.0\n");
    world.loci("build requirements -c c.txt -o dir:set").good();
    assert!(!world.path("set/beta-1.0-py3-none-any.whl").exists());
}
