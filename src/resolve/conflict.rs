//! [`Conflict`]: why there is no solution, as facts that cannot all hold.
//!
//! The solver proves it by a tree of deductions. People are helped by its leaves, each of which is
//! somebody's text (a requirement, a pin with its line, a list of versions), told from what was asked
//! for down to where it breaks; the deductions between them are left to the reader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use pep440_rs::Version;
use pubgrub::{DerivationTree, External};

use super::problem::{Candidate, PinForce, Problem, is_pinned};
use super::provider::{Notes, Package};
use super::ranges::{VersionSet, versions_of};
use crate::input::document::Place;
use crate::vocab::requirement::{PackageName, specifiers};

/// How many versions are named before it becomes a number.
const SHOWN: usize = 4;

/// Facts that cannot all hold, in the order to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    facts: Vec<Fact>,
}

impl Conflict {
    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(super) fn new(
        tree: &DerivationTree<Package, VersionSet, Unusable>,
        problem: &Problem<'_>,
        notes: &Notes,
    ) -> Self {
        let mut leaves = Vec::new();
        collect_leaves(tree, &mut leaves);
        let teller = Teller { problem, notes };
        // Facts by the project they are about; what is asked for is about none.
        let mut facts: BTreeMap<Option<PackageName>, Vec<Fact>> = BTreeMap::new();
        let mut needs: BTreeMap<Option<PackageName>, Vec<PackageName>> = BTreeMap::new();
        let mut wanted: BTreeMap<&PackageName, Vec<&VersionSet>> = BTreeMap::new();
        for leaf in &leaves {
            if let External::FromDependencyOf(package, _, needed, set) = leaf
                && let Some(name) = needed.name()
            {
                needs.entry(package.name().cloned()).or_default().push(name.clone());
                if !is_same_project(package, needed) {
                    wanted.entry(name).or_default().push(set);
                }
            }
            let (about, told) = teller.tell(leaf);
            facts.entry(about).or_default().extend(told);
        }
        for facts in facts.values_mut() {
            facts.sort_by_cached_key(|fact| (fact.rank(), fact.to_string()));
            facts.dedup();
            let is_told = facts.iter().any(|fact| fact.rank() > 3);
            facts.retain(|fact| match fact {
                Fact::Known { name, known, .. } => {
                    tells_something(known, wanted.get(name).map_or(&[][..], |sets| sets), is_told)
                }
                _ => true,
            });
        }
        let mut ordered = Vec::new();
        let mut queue = VecDeque::from([None]);
        let mut seen = BTreeSet::new();
        while let Some(name) = queue.pop_front() {
            if seen.insert(name.clone()) {
                ordered.extend(facts.remove(&name).unwrap_or_default());
                queue.extend(needs.remove(&name).unwrap_or_default().into_iter().map(Some));
            }
        }
        ordered.extend(facts.into_values().flatten());
        Self { facts: ordered }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these cannot all hold:")?;
        for fact in &self.facts {
            write!(f, "\n  {fact}")?;
        }
        Ok(())
    }
}

/// One fact of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Something was asked for.
    Asked {
        /// The requirement.
        requirement: String,
    },
    /// A pin allows only one version.
    Pinned {
        /// The project.
        name: PackageName,
        /// The version as the pin has it.
        version: String,
        /// The line that pins it.
        place: Place,
    },
    /// Bounds leave no version.
    Bounded {
        /// The project.
        name: PackageName,
        /// The bounds.
        bounds: Vec<String>,
    },
    /// No other versions than these are there.
    Known {
        /// The project.
        name: PackageName,
        /// The versions, newest first.
        known: Vec<Candidate>,
        /// What they have files for.
        target: String,
    },
    /// Releases cannot be used.
    Unusable {
        /// The releases.
        releases: Releases,
        /// Why.
        reason: Unusable,
    },
    /// Releases need something.
    Needs {
        /// The releases.
        releases: Releases,
        /// The requirement.
        requirement: String,
    },
}

impl Fact {
    /// Where it stands among the facts on one project.
    const fn rank(&self) -> u8 {
        match self {
            Self::Asked { .. } => 0,
            Self::Pinned { .. } => 1,
            Self::Bounded { .. } => 2,
            Self::Known { .. } => 3,
            Self::Unusable { .. } => 4,
            Self::Needs { .. } => 5,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { requirement } => write!(f, "`{requirement}` is asked for"),
            Self::Pinned { name, version, place } => {
                write!(f, "`{name}` is pinned to {version} at {place}")
            }
            Self::Bounded { name, bounds } => {
                write!(f, "`{name}` is constrained by `{}`", bounds.join("`, `"))
            }
            Self::Known { name, known, target } => {
                let shown: Vec<String> = known
                    .iter()
                    .take(SHOWN)
                    .map(|candidate| {
                        let yanked = if candidate.yanked { " (yanked)" } else { "" };
                        format!("{}{yanked}", candidate.version)
                    })
                    .collect();
                match &shown[..] {
                    [] => write!(f, "there is no release of `{name}` for {target}"),
                    [only] => write!(f, "the only release of `{name}` for {target} is {only}"),
                    shown => {
                        write!(
                            f,
                            "the releases of `{name}` for {target} are {}",
                            shown.join(", ")
                        )?;
                        match known.len() - shown.len() {
                            0 => Ok(()),
                            older => write!(f, " and {older} older"),
                        }
                    }
                }
            }
            Self::Unusable { releases, reason } => {
                write!(f, "{releases} {}", reason.said_of(releases.several))
            }
            Self::Needs { releases, requirement } => {
                let need = if releases.several { "need" } else { "needs" };
                write!(f, "{releases} {need} `{requirement}`")
            }
        }
    }
}

/// Some releases of a project, or of one of its extras, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    words: String,
    several: bool,
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Why a release cannot be part of any solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It is for other Pythons.
    Python {
        /// Its Requires-Python.
        requires_python: String,
    },
    /// Its metadata is of no use.
    Metadata {
        /// Why, in words that follow the release.
        reason: String,
    },
    /// It depends on something at a URL.
    DirectUrl {
        /// The requirement.
        requirement: String,
    },
    /// It depends on another version of itself.
    NeedsOtherSelf {
        /// The requirement.
        requirement: String,
    },
}

impl Unusable {
    fn said_of(&self, several: bool) -> String {
        let (is, needs) = if several { ("are", "need") } else { ("is", "needs") };
        match self {
            Self::Python { requires_python } => format!("{is} for python `{requires_python}`"),
            Self::Metadata { reason } => reason.clone(),
            Self::DirectUrl { requirement } => {
                format!("{needs} `{requirement}`, and direct URLs are not supported")
            }
            Self::NeedsOtherSelf { requirement } => {
                format!("{needs} another version of itself: {requirement}")
            }
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said_of(false))
    }
}

/// Whether it helps to say that a project has no versions but the `known` ones.
///
/// The solver needs that fact wherever it has tried all versions. People do when a requirement finds
/// nothing, or several of them nothing in common; not when each version's own trouble `is_told`, nor
/// when two requirements contradict each other whatever there is.
fn tells_something(known: &[Candidate], wanted: &[&VersionSet], is_told: bool) -> bool {
    let is_plain =
        |candidate: &&Candidate| !candidate.yanked && !candidate.version.any_prerelease();
    let finds_nothing = wanted.iter().any(|set| {
        !known.iter().filter(is_plain).any(|candidate| set.contains(&candidate.version))
    });
    let contradict = || {
        wanted
            .iter()
            .enumerate()
            .any(|(i, set)| wanted[..i].iter().any(|other| set.is_disjoint(other)))
    };
    finds_nothing || !is_told && !contradict()
}

/// Whether an extra is tied to its base, which goes without saying.
fn is_same_project(package: &Package, needed: &Package) -> bool {
    matches!((package, needed), (Package::Extra(name, _), Package::Base(base)) if name == base)
}

type Leaf = External<Package, VersionSet, Unusable>;

fn collect_leaves<'t>(
    tree: &'t DerivationTree<Package, VersionSet, Unusable>,
    leaves: &mut Vec<&'t Leaf>,
) {
    // Subtrees may be shared very often: a stack and a set of what was seen, not recursion.
    let mut seen = BTreeSet::new();
    let mut stack = vec![tree];
    while let Some(tree) = stack.pop() {
        match tree {
            DerivationTree::External(leaf) => leaves.push(leaf),
            DerivationTree::Derived(derived) => {
                if derived.shared_id.is_none_or(|id| seen.insert(id)) {
                    stack.extend([&*derived.cause1, &*derived.cause2]);
                }
            }
        }
    }
}

struct Teller<'a> {
    problem: &'a Problem<'a>,
    notes: &'a Notes,
}

impl Teller<'_> {
    /// The project a leaf is about, and what to say of it.
    fn tell(&self, leaf: &Leaf) -> (Option<PackageName>, Vec<Fact>) {
        let about = match leaf {
            External::NotRoot(package, _)
            | External::NoVersions(package, _)
            | External::FromDependencyOf(package, ..)
            | External::Custom(package, ..) => package.name(),
        };
        let facts = match leaf {
            External::NotRoot(..) => Vec::new(),
            External::FromDependencyOf(package, _, needed, _)
                if is_same_project(package, needed) =>
            {
                Vec::new()
            }
            External::FromDependencyOf(package, versions, needed, set) => {
                let requirement = self.requirement(needed, set);
                vec![match package {
                    Package::Root => Fact::Asked { requirement },
                    Package::Base(_) | Package::Extra(..) => {
                        Fact::Needs { releases: self.releases(package, versions), requirement }
                    }
                }]
            }
            External::Custom(package, versions, reason) => vec![Fact::Unusable {
                releases: self.releases(package, versions),
                reason: reason.clone(),
            }],
            External::NoVersions(package, set) => {
                package.name().map(|name| self.no_versions(name, set)).unwrap_or_default()
            }
        };
        (about.cloned(), facts)
    }

    fn known(&self, name: &PackageName) -> &[Candidate] {
        self.notes.known.get(name).map_or(&[], |known| known)
    }

    fn no_versions(&self, name: &PackageName, set: &VersionSet) -> Vec<Fact> {
        let known = self.known(name);
        let there = || Fact::Known {
            name: name.clone(),
            known: known.to_vec(),
            target: self.problem.target.to_string(),
        };
        if self.problem.force == PinForce::Hard
            && let Some(pin) = self.problem.pin(name)
        {
            let version = pin.written.clone();
            let pinned = Fact::Pinned { name: name.clone(), version, place: pin.place.clone() };
            let is_there = known.iter().any(|candidate| is_pinned(pin, &candidate.version));
            let also = if is_there {
                self.bounded(name, &VersionSet::singleton(pin.version.clone()))
            } else {
                Some(there())
            };
            return std::iter::once(pinned).chain(also).collect();
        }
        vec![self.bounded(name, set).unwrap_or_else(there)]
    }

    /// The bounds that keep out releases of `name` which are in `set`, if there are any.
    fn bounded(&self, name: &PackageName, set: &VersionSet) -> Option<Fact> {
        let known = self.known(name);
        let bounds: Vec<String> = self
            .problem
            .bounds_on(name)
            .filter(|bound| {
                let allowed = versions_of(&specifiers(bound));
                known.iter().any(|candidate| {
                    set.contains(&candidate.version) && !allowed.contains(&candidate.version)
                })
            })
            .map(|bound| format!("{name}{}", compact(&specifiers(bound))))
            .collect();
        (!bounds.is_empty()).then(|| Fact::Bounded { name: name.clone(), bounds })
    }

    /// A package and those of its known versions that are in `versions`.
    fn releases(&self, package: &Package, versions: &VersionSet) -> Releases {
        let known = package.name().map(|name| self.known(name)).unwrap_or_default();
        let inside: Vec<&Version> = known
            .iter()
            .rev()
            .map(|candidate| &candidate.version)
            .filter(|version| versions.contains(version))
            .collect();
        let (words, several) = match inside[..] {
            [] => (format!("`{package}`"), false),
            [only] => (format!("`{package}` {only}"), false),
            [ref most @ .., last] if inside.len() <= SHOWN => {
                let most: Vec<String> = most.iter().map(ToString::to_string).collect();
                (format!("`{package}` {} and {last}", most.join(", ")), true)
            }
            _ if inside.len() == known.len() => (format!("every release of `{package}`"), false),
            [first, .., last] => {
                (format!("`{package}` {first} to {last} ({} releases)", inside.len()), true)
            }
        };
        Releases { words, several }
    }

    /// A requirement as it was written, as far as that was noted.
    fn requirement(&self, package: &Package, set: &VersionSet) -> String {
        let written = self.notes.written.get(package).into_iter().flatten();
        match written.into_iter().find(|(noted, _)| noted == set) {
            Some((_, specifiers)) => format!("{package}{specifiers}"),
            None if *set == VersionSet::full() => package.to_string(),
            None => format!("{package}{set}"),
        }
    }
}

/// Specifiers without spaces.
pub(super) fn compact(specifiers: &pep440_rs::VersionSpecifiers) -> String {
    specifiers.to_string().replace(", ", ",")
}
