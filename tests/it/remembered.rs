//! What the store remembers of service images: what a second build does without, and when it is forgotten.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::build_service::{Image, build, world};
use crate::world::{Run, World};

/// The digests of the layers that are remembered, by kind.
fn remembered(world: &World, kind: &str) -> Vec<String> {
    let digests =
        world.files(&format!("store/loci/kept/{kind}")).into_iter().flat_map(|(_, bytes)| {
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let blobs = value["blobs"].as_array().unwrap().clone();
            blobs.into_iter().map(|blob| blob.as_str().unwrap().replace("sha256:", ""))
        });
    digests.collect()
}

/// Makes what is remembered look as if nobody had used it for so many days.
fn age(world: &World, kind: &str, days: u64) {
    let dir = world.path("store/loci/kept").join(kind);
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for entry in fs::read_dir(dir).unwrap() {
        File::open(entry.unwrap().path()).unwrap().set_modified(then).unwrap();
    }
}

fn is_there(world: &World, digest: &str) -> bool {
    Path::new(&world.path("store/blobs/sha256")).join(digest).exists()
}

#[test]
fn a_collection_between_two_builds_costs_nothing() {
    let Some(world) = world() else { return };
    world.write(
        "steps/glance.toml",
        "[[step]]\nname = \"a command\"\n[step.run]\ncommand = [\"touch\", \"/etc/made\"]\n",
    );
    let make = || build(&world, "glance -o oci:out:x --dist-packages tree --steps steps").good();
    make();
    let layers = [remembered(&world, "foundations"), remembered(&world, "steps")].concat();
    assert_eq!(layers.len(), 2);
    for days in [0, 29] {
        for kind in ["foundations", "steps"] {
            age(&world, kind, days);
        }
        world.loci("store gc").good();
        assert!(layers.iter().all(|layer| is_there(&world, layer)), "after {days} days");
    }
    // What is used counts as new.
    make();
    world.loci("store gc --older-than 12h").good();
    assert!(layers.iter().all(|layer| is_there(&world, layer)));
    age(&world, "foundations", 31);
    let run = world.loci("store gc --dry-run").good();
    assert!(run.err.contains("also would be removed: 1 remembered layer"), "{}", run.err);
    world.loci("store gc").good();
    assert_eq!(
        layers.iter().map(|layer| is_there(&world, layer)).collect::<Vec<_>>(),
        [false, true]
    );
    make();
    assert_eq!(remembered(&world, "foundations").len(), 1);
}

#[test]
fn packages_of_long_ago_are_told() {
    let Some(world) = world() else { return };
    let make = |more: &str| -> Run {
        let arguments = format!(
            "build glance -o oci:out:x --dist-packages tree --python python3 --wheels dir:set \
             --from docker-archive:base.tar {more}"
        );
        world.run(world.command(&arguments).env("LOCI_PROGRESS", "lines")).good()
    };
    let said = |run: &Run| {
        run.err.lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(said(&make("")), "");
    let image = world.files("out");
    let [(name, bytes)] = &world.files("store/loci/kept/foundations")[..] else { panic!() };
    let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let made = value["value"]["made"].as_u64().unwrap();
    value["value"]["made"] = (made - 9 * 86_400).into();
    world.write(&format!("store/loci/kept/foundations/{name}"), value.to_string());
    insta::assert_snapshot!(said(&make("")), @"warning: packages of Debian 12 (bookworm) are as they were 9 days ago; `--refresh-packages` asks for newer ones");
    assert_eq!(world.files("out"), image);
    assert_eq!(said(&make("--refresh-packages")), "");
    assert_eq!(said(&make("")), "");
}

#[test]
fn trees_of_steps_are_fetched_once() {
    let Some(world) = world() else { return };
    let git = |words: &[&str]| world.git("pages", words);
    world.write("pages/first.html", "first");
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "x"]);
    git(&["tag", "-a", "v1", "-m", "x"]);
    let first = git(&["rev-parse", "HEAD"]);
    let tag = git(&["rev-parse", "v1"]);
    let commit = |name: &str| {
        world.write(&format!("pages/{name}.html"), name);
        git(&["add", "."]);
        git(&["commit", "-qm", "x"]);
        git(&["rev-parse", "HEAD"])
    };
    let second = commit("second");
    let url = format!("file://{}", world.path("pages").display());
    let step = |name: &str, reference: &str| {
        format!(
            "[[step]]\nname = \"{name}\"\n[step.git]\nurl = \"{url}\"\nref = \"{reference}\"\nto = \"/srv/{name}\"\n"
        )
    };
    let steps = [
        step("tag", "v1"),
        step("branch", "main"),
        step("commit", &second),
        step("part", &first[..9]),
        step("object", &tag),
    ];
    world.write("steps/glance.toml", steps.concat());
    let make = || {
        let arguments = "build glance -o oci:out:x --python python3 --wheels dir:set \
                         --from docker-archive:base.tar --steps steps";
        world.run(world.command(arguments).env("LOCI_PROGRESS", "lines"))
    };
    let files = || {
        let image = Image::read(&world, "out", "x");
        let names = image.names().filter(|name| name.starts_with("srv/"));
        names
            .filter(|name| name.ends_with(".html"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let run = make().good();
    assert!(!run.err.contains("warning"), "{}", run.err);
    insta::assert_snapshot!(files(), @"srv/branch/first.html srv/branch/second.html srv/commit/first.html srv/commit/second.html srv/object/first.html srv/part/first.html srv/tag/first.html");
    // A branch is asked for each time, and what is new is fetched.
    let third = commit("third");
    make().good();
    insta::assert_snapshot!(files(), @"srv/branch/first.html srv/branch/second.html srv/branch/third.html srv/commit/first.html srv/commit/second.html srv/object/first.html srv/part/first.html srv/tag/first.html");
    world.loci("store gc").good();
    let before = world.files("out");
    fs::rename(world.path("pages"), world.path("gone")).unwrap();
    let run = make().good();
    let warnings = run.err.lines().filter(|line| line.starts_with("warning"));
    let said = warnings.map(|line| {
        line.replace(&first, "FIRST").replace(&third, "THIRD").replace(&first[..9], "PART")
    });
    let mut said: Vec<String> = said.collect();
    said.sort();
    insta::assert_snapshot!(said.join("\n"), @r"
    warning: `git ls-remote` failed: 'HERE/pages' does not appear to be a git repository, so `PART` of `file://HERE/pages` is the commit that it was last time: FIRST
    warning: `git ls-remote` failed: 'HERE/pages' does not appear to be a git repository, so `main` of `file://HERE/pages` is the commit that it was last time: THIRD
    warning: `git ls-remote` failed: 'HERE/pages' does not appear to be a git repository, so `v1` of `file://HERE/pages` is the commit that it was last time: FIRST
    ");
    assert_eq!(world.files("out"), before);

    world.write("steps/glance.toml", step("other", "v2"));
    let run = make().ends(1);
    let error = run.err.lines().skip_while(|line| !line.starts_with("error")).collect::<Vec<_>>();
    insta::assert_snapshot!(error.join("\n"), @r"
    error: the fetch of `file://HERE/pages` failed: `git ls-remote` failed: 'HERE/pages' does not appear to be a git repository
    error: the step's repository `file://HERE/pages` cannot be fetched
      because: `git ls-remote` failed: 'HERE/pages' does not appear to be a git repository
      hint: name another repository by its variable, or leave the step out by setting that to nothing: nova's are NOVNC_REPO and SPICE_REPO
    ");

    // Nobody is asked who is elsewhere, when that is not wanted.
    world
        .write("steps/glance.toml", step("far", "v1").replace(&url, "https://example.invalid/far"));
    let arguments = "build glance -o oci:out:x --python python3 --wheels dir:set --offline \
                     --from docker-archive:base.tar --steps steps";
    insta::assert_snapshot!(world.loci(arguments).ends(1).err, @r"
    error: the step's repository `https://example.invalid/far` cannot be fetched
      because: the repository `https://example.invalid/far` is elsewhere, and loci was told to stay offline
      hint: name another repository by its variable, or leave the step out by setting that to nothing: nova's are NOVNC_REPO and SPICE_REPO
    ");
    world.write("steps/glance.toml", "");
    let project = format!("{arguments} --project-repo https://example.invalid/glance");
    insta::assert_snapshot!(world.loci(&project).ends(1).err, @"error: the repository `https://example.invalid/glance` is elsewhere, and loci was told to stay offline");
}
