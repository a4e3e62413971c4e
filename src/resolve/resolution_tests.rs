//! Tests of resolving: tables of what is chosen, snapshots of what is said, and a slow and obvious
//! solver beside the fast one.

use std::cell::RefCell;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::problem::{Candidate, PinForce, Prereleases};
use super::*;
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::input::pins::Pins;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::{Requirement, allows, package_name, specifiers};
use crate::vocab::target::Target;
use crate::vocab::target::tests::debian;

/// Releases written as lines: `name version [yanked] [py=SPECIFIERS]: requirement; marker, ...`.
#[derive(Default)]
struct Universe {
    releases: BTreeMap<PackageName, Vec<(Candidate, Arc<CoreMetadata>)>>,
    prefetched: RefCell<Vec<String>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index fails with `{0}`")]
struct Down(&'static str);

impl MetadataSource for Universe {
    type Error = Down;

    fn versions(&self, name: &PackageName) -> Result<Vec<Candidate>, Down> {
        if name.as_ref() == "down" {
            return Err(Down("down"));
        }
        let releases = self.releases.get(name).into_iter().flatten();
        Ok(releases.map(|(candidate, _)| candidate.clone()).collect())
    }

    fn metadata(&self, name: &PackageName, version: &Version) -> Result<Arc<CoreMetadata>, Down> {
        let release = self.releases[name]
            .iter()
            .find(|(candidate, _)| candidate.version == *version)
            .unwrap();
        for fault in ["broken", "unreadable"] {
            if release.1.requires_dist.iter().any(|needed| needed.name.as_ref() == fault) {
                return Err(Down(fault));
            }
        }
        Ok(Arc::clone(&release.1))
    }

    fn passes_over(&self, error: &Down) -> Option<String> {
        (error.0 == "broken").then(|| "has no readable metadata".into())
    }

    fn prefetch(&self, wanted: &[(PackageName, Option<Version>)]) {
        self.prefetched.borrow_mut().extend(wanted.iter().map(|(name, version)| {
            version.as_ref().map_or_else(|| name.to_string(), |version| format!("{name} {version}"))
        }));
    }
}

fn universe(text: &str) -> Universe {
    let mut universe = Universe::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (release, needs) = line.split_once(':').unwrap_or((line, ""));
        let words: Vec<&str> = release.split_whitespace().collect();
        let mut metadata = format!("Name: {}\nVersion: {}\n", words[0], words[1]);
        for word in &words[2..] {
            if let Some(python) = word.strip_prefix("py=") {
                metadata += &format!("Requires-Python: {python}\n");
            }
        }
        for requirement in needs.split(" & ").map(str::trim).filter(|text| !text.is_empty()) {
            metadata += &format!("Requires-Dist: {requirement}\n");
            if let Some((_, extra)) = requirement.split_once("extra == ") {
                metadata += &format!("Provides-Extra: {}\n", extra.trim_matches('\''));
            }
        }
        let metadata = Arc::new(CoreMetadata::parse(metadata.as_bytes()).unwrap());
        let candidate =
            Candidate { version: metadata.version.clone(), yanked: words.contains(&"yanked") };
        let releases = universe.releases.entry(metadata.name.clone()).or_default();
        releases.push((candidate, metadata));
    }
    universe
}

fn pins(text: &str, target: &Target) -> Pins {
    Constraints::parse(&Document::new("uc.txt", text)).unwrap().pins(target).unwrap()
}

fn requirements(text: &str) -> Vec<Requirement> {
    text.split(" & ").filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).collect()
}

/// What to vary about a problem.
#[derive(Default, Clone, Copy)]
struct Ask<'a> {
    roots: &'a str,
    constraints: &'a str,
    bounds: &'a str,
    exempt: &'a str,
    preferred: bool,
    pre: bool,
}

fn run(universe: &Universe, ask: Ask<'_>) -> Result<Resolution, ResolveError<Down>> {
    let target = debian("3.11.7");
    let pins = pins(ask.constraints, &target);
    let problem = Problem {
        roots: requirements(ask.roots),
        pins: &pins,
        force: if ask.preferred { PinForce::Preferred } else { PinForce::Hard },
        bounds: requirements(ask.bounds),
        exempt: package_name(ask.exempt).into_iter().collect(),
        prereleases: if ask.pre { Prereleases::Allowed } else { Prereleases::AsNeeded },
        target: &target,
    };
    resolve(&problem, universe)
}

#[track_caller]
fn case(releases: &str, ask: Ask<'_>, chosen: &str) {
    let resolution = run(&universe(releases), ask).unwrap_or_else(|error| panic!("{error}"));
    let found: Vec<String> = resolution
        .packages
        .iter()
        .map(|(name, resolved)| {
            let extras: Vec<&str> = resolved.extras.iter().map(AsRef::as_ref).collect();
            let extras =
                if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
            format!("{name}{extras} {}", resolved.version)
        })
        .collect();
    assert_eq!(found.join(", "), chosen);
}

#[track_caller]
fn conflict(releases: &str, ask: Ask<'_>) -> String {
    let error = run(&universe(releases), ask).unwrap_err();
    assert!(matches!(error, ResolveError::Conflict(_)), "{error}");
    error.to_string()
}

fn roots(roots: &str) -> Ask<'_> {
    Ask { roots, ..Ask::default() }
}

#[test]
fn the_newest_that_fits_is_chosen() {
    case("a 1\na 2\na 10", roots("a"), "a 10");
    case("a 1\na 2\na 10", roots("a<10"), "a 2");
    case("a 1: b\na 2: b>1\nb 1\nb 2: a", roots("a"), "a 2, b 2");
    case("a 2: b<2\na 1: b\nb 1\nb 2", roots("a & b>=2"), "a 1, b 2");
    case("a 1: b ; sys_platform == 'win32'\nb 1", roots("a & b ; os_name == 'nt'"), "a 1");
    case("a 1 py=>=3.9\na 2 py=>=3.12", roots("a"), "a 1");
    case("a 1\na 2: broken", roots("a"), "a 1");
    case("a 1: c @ https://example.org/c-1.zip\na 0", roots("a"), "a 0");
}

#[test]
fn extras_bring_their_own() {
    let releases = "a 1: b ; extra == 'x' & c ; extra == 'y' & a[x,y] ; extra == 'all'
        a 2: d ; extra == 'x'
        b 1\nc 1: a\nd 1: a<2";
    case(releases, roots("a"), "a 2");
    case(releases, roots("a[all]<2"), "a[all,x,y] 1, b 1, c 1");
    // The newest `a` cannot have the extra, and an extra never goes with another version.
    case(releases, roots("a[x]"), "a[x] 1, b 1");
    case(releases, roots("a[x]==1 & a[Y]"), "a[x,y] 1, b 1, c 1");

    let resolution = run(&universe(releases), roots("a[y]")).unwrap();
    assert_eq!(resolution.to_constraints_text(), "a===2\n");
    let missing: Vec<String> =
        resolution.missing_extras.iter().map(|(name, extra)| format!("{name}[{extra}]")).collect();
    assert_eq!(missing, ["a[y]"]);
}

#[test]
fn a_resolution_tells_what_depends_on_what() {
    let releases = "a 1: b & c ; extra == 'x' & a ; extra == 'x'\nb 1\nc 1: b";
    let resolution = run(&universe(releases), roots("a[x]")).unwrap();
    let told: Vec<String> = resolution
        .packages
        .iter()
        .map(|(name, resolved)| {
            let needs: Vec<&str> = resolved.dependencies.iter().map(AsRef::as_ref).collect();
            format!("{name} {} {}", needs.join(","), resolved.requested)
        })
        .collect();
    assert_eq!(told, ["a b,c true", "b  false", "c b false"]);
}

#[test]
fn pins_decide() {
    let releases = "a 1: b\na 2: b\nb 1\nb 1.0.0\nb 1+local\nb 2\nb 3rc1";
    let ask = roots("a");
    case(releases, Ask { constraints: "a===1\nb===1", ..ask }, "a 1, b 1");
    case(releases, Ask { constraints: "b===1.0.0", ..ask }, "a 2, b 1.0.0");
    case(releases, Ask { constraints: "b===1+local", ..ask }, "a 2, b 1+local");
    case(releases, Ask { constraints: "b==1", ..ask }, "a 2, b 1+local");
    case(releases, Ask { constraints: "b===3rc1", ..ask }, "a 2, b 3rc1");
    case(releases, Ask { constraints: "b<2", ..ask }, "a 2, b 1+local");
    case(releases, Ask { bounds: "b<2 & c>1", ..ask }, "a 2, b 1+local");
    case(releases, Ask { bounds: "b<2 ; os_name == 'nt'", ..ask }, "a 2, b 2");
    case(releases, Ask { constraints: "a===1\na<2\nb===2", exempt: "a", ..ask }, "a 2, b 2");
    case("b 1 yanked\nb 2 yanked", Ask { constraints: "b===1", ..roots("b") }, "b 1");
}

#[test]
fn preferred_pins_give_way() {
    let releases = "a 1\na 2\nb 1: a>=2\nb 2: a>=2";
    let ask = Ask { constraints: "a===1\nb===1", preferred: true, ..roots("a") };
    case(releases, ask, "a 1");
    case(releases, Ask { roots: "a & b", ..ask }, "a 2, b 1");
    case(releases, Ask { roots: "b", constraints: "b===7", ..ask }, "a 2, b 2");
}

#[test]
fn prereleases_are_taken_as_needed() {
    let releases = "a 1\na 2rc1\nb 1rc1\nc 1: a>=2rc1\nd 1: a>=1.5";
    case(releases, roots("a"), "a 1");
    case(releases, roots("a>=1.0b1"), "a 2rc1");
    case(releases, Ask { pre: true, ..roots("a") }, "a 2rc1");
    case(releases, roots("b"), "b 1rc1");
    case(releases, roots("a & c"), "a 2rc1, c 1");
    case(releases, roots("d"), "a 2rc1, d 1");
    // Others give way before a pre-release is taken that nobody asked for.
    case("a 1\na 2rc1\nd 1: a\nd 2: a>1", roots("d"), "a 1, d 1");
}

#[test]
fn yanked_releases_are_taken_only_by_name() {
    let releases = "a 1\na 2 yanked\nb 1: a==2";
    case(releases, roots("a"), "a 1");
    case(releases, roots("a==2"), "a 2");
    case(releases, roots("a & b"), "a 2, b 1");
    insta::assert_snapshot!(conflict(releases, roots("a>1")), @r#"
    these cannot all hold:
      `a>1` is asked for
      the releases of `a` for cpython 3.11.7 on linux x86_64 (glibc 2.36) are 2 (yanked), 1
    "#);
}

#[test]
fn conflicts_are_told_from_what_was_asked_to_where_it_breaks() {
    let releases = "keystone 25.0: oslo.messaging>=14.1.0,<15
        oslo.messaging 12.0\noslo.messaging 14.5";
    let constraints = "# first\nkeystone===25.0\nOslo.Messaging===12.0 # x";
    insta::assert_snapshot!(conflict(releases, Ask { constraints, ..roots("keystone") }), @r#"
    these cannot all hold:
      `keystone` is asked for
      `keystone` is pinned to 25.0 at uc.txt:2: keystone===25.0
      `keystone` 25.0 needs `oslo-messaging>=14.1.0,<15`
      `oslo-messaging` is pinned to 12.0 at uc.txt:3: Oslo.Messaging===12.0
    "#);
    let constraints = "oslo.messaging===13.0";
    insta::assert_snapshot!(conflict(releases, Ask { constraints, ..roots("keystone") }), @r#"
    these cannot all hold:
      `keystone` is asked for
      `keystone` 25.0 needs `oslo-messaging>=14.1.0,<15`
      `oslo-messaging` is pinned to 13.0 at uc.txt:1: oslo.messaging===13.0
      the releases of `oslo-messaging` for cpython 3.11.7 on linux x86_64 (glibc 2.36) are 14.5, 12.0
    "#);
    let bounds = "oslo.messaging<14 & oslo.messaging!=14.3";
    insta::assert_snapshot!(conflict(releases, Ask { bounds, ..roots("keystone") }), @r#"
    these cannot all hold:
      `keystone` is asked for
      `keystone` 25.0 needs `oslo-messaging>=14.1.0,<15`
      `oslo-messaging` is constrained by `oslo-messaging<14`
    "#);
    insta::assert_snapshot!(conflict("a 1", roots("nothing>=2")), @r#"
    these cannot all hold:
      `nothing>=2` is asked for
      there is no release of `nothing` for cpython 3.11.7 on linux x86_64 (glibc 2.36)
    "#);
    insta::assert_snapshot!(conflict("a 1 py=<3\na 2 py=>=3.12", roots("a[x]")), @r#"
    these cannot all hold:
      `a` is asked for
      `a` 1 is for python `<3`
      `a` 2 is for python `>=3.12`
    "#);
    insta::assert_snapshot!(
        conflict("a 1: b<2\na 2: b<2\na 3: b<3\nb 1\nb 2\nb 3\nc 1: b>=3\nc 2: b>3", roots("a & c")), @r#"
    these cannot all hold:
      `a` is asked for
      `c` is asked for
      `c` 1 needs `b>=3`
      `c` 2 needs `b>3`
      `a` 1 and 2 need `b<2`
      `a` 3 needs `b<3`
      the releases of `b` for cpython 3.11.7 on linux x86_64 (glibc 2.36) are 3, 2, 1
    "#);
}

#[test]
fn what_the_source_fails_with_is_passed_on() {
    let error = run(&universe("a 1: down"), roots("a")).unwrap_err();
    assert_eq!(error.to_string(), "the versions of `down` cannot be found out");
    let error = run(&universe("a 1: unreadable"), roots("a")).unwrap_err();
    assert_eq!(error.to_string(), "what `a` 1 needs cannot be found out");
    let error = run(&universe(""), roots("a @ https://example.org/a.zip")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a @ https://example.org/a.zip` names a URL, which is not supported here"
    );
}

#[test]
fn what_comes_next_is_said_in_time_and_once() {
    let universe = universe("a 1: b & c>=1\nb 1: c\nc 1\nc 2");
    run(&universe, Ask { constraints: "c===1", ..roots("a") }).unwrap();
    assert_eq!(*universe.prefetched.borrow(), ["a", "a 1", "b", "c 1", "b 1"]);
}

#[test]
fn more_versions_are_prefetched_where_one_after_the_other_fails() {
    let releases: Vec<String> = (1..=9).map(|version| format!("a {version}: gone")).collect();
    let universe = universe(&format!("{}\na 10rc1", releases.join("\n")));
    let resolution = run(&universe, roots("a")).unwrap();
    assert_eq!(resolution.to_constraints_text(), "a===10rc1\n");
    let prefetched = universe.prefetched.borrow();
    let ahead = ["a 7", "a 6", "a 5", "a 4", "a 3", "a 2", "a 1"];
    let at = prefetched.iter().position(|wanted| wanted == ahead[0]).unwrap();
    assert_eq!(prefetched[at..at + ahead.len()], ahead);
}

/// Universes of a few packages that often conflict, with extras, cycles and pre-releases.
fn small_universe() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let needed = (
        prop::sample::select(vec!["a", "b", "c", "d", "a[x]", "b[x]", "b[y]"]),
        prop::sample::select(vec!["", "==1", "==2", ">=2", "<3", "!=2", "<2", ">=3"]),
        prop::sample::select(vec!["", "", "", " ; extra == 'x'", " ; extra == 'y'"]),
    )
        .prop_map(|(name, specifier, marker)| format!("{name}{specifier}{marker}"));
    let release = (name(), 1..4_u8, prop::collection::vec(needed, 0..4))
        .prop_map(|(name, version, needs)| ((name, version), needs.join(" & ")));
    prop::collection::vec(release, 1..12).prop_map(|releases| {
        let releases: BTreeMap<_, _> = releases.into_iter().collect();
        let lines: Vec<String> = releases
            .iter()
            .map(|((name, version), needs)| format!("{name} {version}: {needs}"))
            .collect();
        lines.join("\n")
    })
}

/// Whether `versions` are a solution, judged step by step; returns the projects that are needed.
fn check(
    universe: &Universe,
    roots: &[Requirement],
    versions: &BTreeMap<PackageName, Version>,
) -> Option<BTreeSet<PackageName>> {
    let target = debian("3.11.7");
    let mut seen = BTreeSet::new();
    let mut open: Vec<(PackageName, Option<ExtraName>)> = Vec::new();
    let satisfied = |requirement: &Requirement, open: &mut Vec<_>| {
        open.push((requirement.name.clone(), None));
        open.extend(requirement.extras.iter().map(|e| (requirement.name.clone(), Some(e.clone()))));
        versions.get(&requirement.name).is_some_and(|v| allows(&specifiers(requirement), v))
    };
    if !roots.iter().all(|root| satisfied(root, &mut open)) {
        return None;
    }
    while let Some((name, extra)) = open.pop() {
        if !seen.insert((name.clone(), extra.clone())) {
            continue;
        }
        let metadata = universe.metadata(&name, versions.get(&name)?).unwrap();
        let extras: Vec<ExtraName> = extra.into_iter().collect();
        let holding =
            metadata.requires_dist.iter().filter(|r| r.evaluate_markers(target.markers(), &extras));
        if !holding.into_iter().all(|requirement| satisfied(requirement, &mut open)) {
            return None;
        }
    }
    Some(seen.into_iter().map(|(name, _)| name).collect())
}

/// Every way to choose at most one version of each package.
fn choices(universe: &Universe) -> Vec<BTreeMap<PackageName, Version>> {
    let mut all = vec![BTreeMap::new()];
    for (name, releases) in &universe.releases {
        let mut more = Vec::new();
        for choice in &all {
            for (candidate, _) in releases {
                let mut choice: BTreeMap<_, _> = choice.clone();
                choice.insert(name.clone(), candidate.version.clone());
                more.push(choice);
            }
        }
        all = more;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_slow_and_obvious_solver_agrees(
        text in small_universe(),
        asked in prop::sample::select(vec!["a", "a & b", "a[x] & c", "b[y]>=2 & d", "c<3 & b[x]"]),
    ) {
        let universe = universe(&text);
        let roots_asked = requirements(asked);
        match run(&universe, roots(asked)) {
            Ok(resolution) => {
                let versions: BTreeMap<_, _> = resolution
                    .packages
                    .iter()
                    .map(|(name, resolved)| (name.clone(), resolved.version.clone()))
                    .collect();
                let needed = check(&universe, &roots_asked, &versions);
                prop_assert_eq!(needed, Some(versions.keys().cloned().collect()));
                prop_assert_eq!(run(&universe, roots(asked)).ok(), Some(resolution.clone()));
                // What was found stays possible when it is pinned.
                let constraints = resolution.to_constraints_text();
                let pinned = run(&universe, Ask { constraints: &constraints, ..roots(asked) });
                prop_assert_eq!(pinned.ok(), Some(resolution));
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                for versions in choices(&universe) {
                    prop_assert_eq!(check(&universe, &roots_asked, &versions), None, "{:?}", versions);
                }
            }
        }
    }
}
