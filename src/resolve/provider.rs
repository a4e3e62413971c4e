//! The problem as `pubgrub` sees it: packages, sets of versions, and what depends on what.
//!
//! An extra is a package of its own (`keystone[ldap]`) that depends on the very same version of its
//! base. Pins and bounds narrow the versions there are; they are no dependencies, so that a package
//! which is only constrained is not installed.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use pep440_rs::{Operator, Version};
use pep508_rs::VersionOrUrl;
use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics};
use version_ranges::Ranges;

use super::conflict::{Unusable, compact};
use super::problem::{Candidate, MetadataSource, PinForce, Prereleases, Problem, is_pinned};
use super::ranges::{VersionSet, exact_version, versions_of};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::{ExtraName, PackageName, Requirement, specifiers};

/// After how many tries of one project further versions of it are prefetched.
const TRIES_BEFORE_MORE: usize = 3;

/// How many versions of one project are prefetched ahead at most.
const MOST_AT_ONCE: usize = 32;

/// What the solver chooses a version for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Package {
    /// What is asked for as a whole; it has one version.
    Root,
    /// A project.
    Base(PackageName),
    /// An extra of a project.
    Extra(PackageName, ExtraName),
}

impl Package {
    /// The project.
    pub(super) fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Base(name) | Self::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("what is asked for"),
            Self::Base(name) => write!(f, "{name}"),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// Answers the solver, and remembers what it was told for the report.
pub(super) struct Provider<'a, S> {
    problem: &'a Problem<'a>,
    source: &'a S,
    /// Whether pre-releases are the last resort for every package.
    last_resort: bool,
    notes: RefCell<Notes>,
}

/// What was learned on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// All there is of a package, newest first.
    pub(super) known: BTreeMap<PackageName, Rc<[Candidate]>>,
    /// What pins and bounds leave of it.
    candidates: BTreeMap<PackageName, Rc<[Candidate]>>,
    /// Sets of versions, and how the requirement was written that asked for them.
    pub(super) written: BTreeMap<Package, Vec<(VersionSet, String)>>,
    /// The packages of which some specifier names a pre-release.
    prereleases: BTreeSet<PackageName>,
    /// The releases that some specifier names exactly, so that they may be yanked.
    exact: BTreeSet<(PackageName, Version)>,
    /// Whether a release was withheld where there was no other.
    withheld: bool,
    /// When a package was first heard of.
    order: BTreeMap<PackageName, usize>,
    /// The version last chosen for a project, which its extras follow.
    chosen: BTreeMap<PackageName, Version>,
    /// How often a version was chosen for a project.
    tries: BTreeMap<PackageName, usize>,
    prefetched: BTreeSet<(PackageName, Option<Version>)>,
}

impl<'a, S: MetadataSource> Provider<'a, S> {
    /// A provider that withholds pre-releases nobody asked for.
    pub(super) fn new(problem: &'a Problem<'a>, source: &'a S) -> Self {
        let mut notes = Notes::default();
        for bound in problem.pins.bounds().iter().chain(&problem.bounds) {
            notes.asked(bound);
        }
        Self { problem, source, last_resort: false, notes: RefCell::new(notes) }
    }

    /// The same for a second attempt: whatever was found to be asked for stays so, and pre-releases
    /// are taken where nothing else fits. None when nothing was withheld from the first.
    pub(super) fn as_last_resort(&self) -> Option<Self> {
        let before = self.notes.borrow();
        let notes = Notes {
            known: before.known.clone(),
            candidates: before.candidates.clone(),
            prereleases: before.prereleases.clone(),
            exact: before.exact.clone(),
            ..Notes::default()
        };
        (before.withheld && !self.last_resort).then(|| Self {
            problem: self.problem,
            source: self.source,
            last_resort: true,
            notes: RefCell::new(notes),
        })
    }

    /// What was learned.
    pub(super) fn into_notes(self) -> Notes {
        self.notes.into_inner()
    }

    /// The requirements of a release that hold: its own, or those that only `extra` brings.
    pub(super) fn requirements<'m>(
        &self,
        metadata: &'m CoreMetadata,
        extra: Option<&ExtraName>,
    ) -> Vec<&'m Requirement> {
        let markers = self.problem.target.markers();
        let extras: Vec<ExtraName> = extra.cloned().into_iter().collect();
        metadata
            .requires_dist
            .iter()
            .filter(|requirement| {
                requirement.evaluate_markers(markers, &extras)
                    && (extra.is_none() || !requirement.evaluate_markers(markers, &[]))
            })
            .collect()
    }

    fn candidates(&self, name: &PackageName) -> Result<Rc<[Candidate]>, S::Error> {
        if let Some(candidates) = self.notes.borrow().candidates.get(name) {
            return Ok(Rc::clone(candidates));
        }
        let mut known = self.source.versions(name)?;
        known.sort_by(|a, b| b.version.cmp(&a.version));
        let pin = self.problem.pin(name).filter(|_| self.problem.force == PinForce::Hard);
        let bounds = self
            .problem
            .bounds_on(name)
            .fold(Ranges::full(), |set, bound| set.intersection(&versions_of(&specifiers(bound))));
        let candidates: Rc<[Candidate]> = known
            .iter()
            .filter(|candidate| pin.is_none_or(|pin| is_pinned(pin, &candidate.version)))
            .filter(|candidate| bounds.contains(&candidate.version))
            .cloned()
            .collect();
        let mut notes = self.notes.borrow_mut();
        notes.known.insert(name.clone(), known.into());
        notes.candidates.insert(name.clone(), Rc::clone(&candidates));
        Ok(candidates)
    }

    /// The best version of `name` in `set`.
    fn best(&self, name: &PackageName, set: &VersionSet) -> Result<Option<Version>, S::Error> {
        let candidates = self.candidates(name)?;
        let inside = || candidates.iter().filter(|candidate| set.contains(&candidate.version));
        if let Some(pin) = self.problem.pin(name)
            && let Some(pinned) = inside().find(|candidate| is_pinned(pin, &candidate.version))
        {
            return Ok(Some(pinned.version.clone()));
        }
        let mut notes = self.notes.borrow_mut();
        let kept = |candidate: &&Candidate| {
            !candidate.yanked
                || notes.exact.contains(&(name.clone(), candidate.version.clone().without_local()))
        };
        let final_only = |candidate: &&Candidate| !candidate.version.any_prerelease();
        let newest = inside().find(kept);
        let asked = self.problem.prereleases == Prereleases::Allowed
            || notes.prereleases.contains(name)
            || !candidates.iter().any(|candidate| final_only(&candidate) && kept(&candidate));
        let best = if asked { newest } else { inside().filter(kept).find(final_only) };
        let best = best.or(if self.last_resort { newest } else { None });
        let best = best.map(|candidate| candidate.version.clone());
        if best.is_none() && inside().next().is_some() {
            notes.withheld = true;
        }
        Ok(best)
    }

    fn prefetch(&self, wanted: Vec<(PackageName, Option<Version>)>) {
        let wanted: Vec<_> = {
            let mut notes = self.notes.borrow_mut();
            wanted.into_iter().filter(|one| notes.prefetched.insert(one.clone())).collect()
        };
        if !wanted.is_empty() {
            self.source.prefetch(&wanted);
        }
    }

    /// Where one version of a project after the other is tried, the next ones are likely to be
    /// asked for, too: more of them the longer it goes on.
    fn expect_more_tries(
        &self,
        name: &PackageName,
        set: &VersionSet,
        best: &Version,
    ) -> Result<(), S::Error> {
        let tries = {
            let mut notes = self.notes.borrow_mut();
            let tries = notes.tries.entry(name.clone()).or_default();
            *tries += 1;
            *tries
        };
        if tries < TRIES_BEFORE_MORE {
            return Ok(());
        }
        let candidates = self.candidates(name)?;
        let next = candidates
            .iter()
            .map(|candidate| &candidate.version)
            .filter(|version| *version < best && set.contains(version))
            .filter(|version| self.last_resort || !version.any_prerelease())
            .take(tries.saturating_mul(2).min(MOST_AT_ONCE));
        self.prefetch(next.map(|version| (name.clone(), Some(version.clone()))).collect());
        Ok(())
    }

    /// What `package` at `version` needs because of `requirements`, or why it cannot be used.
    fn needs<'r>(
        &self,
        package: &Package,
        version: &Version,
        requirements: impl IntoIterator<Item = &'r Requirement>,
    ) -> Result<Vec<(Package, VersionSet)>, Unusable> {
        let mut needs = Vec::new();
        let mut wanted = Vec::new();
        let mut notes = self.notes.borrow_mut();
        for requirement in requirements {
            if let Some(VersionOrUrl::Url(_)) = &requirement.version_or_url {
                return Err(Unusable::DirectUrl { requirement: requirement.to_string() });
            }
            notes.asked(requirement);
            let set = versions_of(&specifiers(requirement));
            let name = &requirement.name;
            let extras = requirement.extras.iter().cloned();
            let bases = std::iter::once(Package::Base(name.clone()))
                .chain(extras.map(|extra| Package::Extra(name.clone(), extra)));
            for needed in bases {
                if needed == *package {
                    // A package may name itself, as `all` extras do; it is there already.
                    if set.contains(version) {
                        continue;
                    }
                    return Err(Unusable::NeedsOtherSelf { requirement: requirement.to_string() });
                }
                notes.wrote(&needed, &set, requirement);
                needs.push((needed, set.clone()));
            }
            let pinned = self.problem.pin(name).map(|pin| pin.version.clone());
            wanted.push((name.clone(), pinned));
        }
        drop(notes);
        self.prefetch(wanted);
        Ok(needs)
    }
}

impl Notes {
    /// Notes what a requirement says of its package, whoever has it.
    fn asked(&mut self, requirement: &Requirement) {
        let name = &requirement.name;
        let next = self.order.len();
        self.order.entry(name.clone()).or_insert(next);
        let specifiers = specifiers(requirement);
        if specifiers.iter().any(|one| {
            one.any_prerelease()
                && !matches!(one.operator(), Operator::NotEqual | Operator::NotEqualStar)
        }) {
            self.prereleases.insert(name.clone());
        }
        if let Some(version) = exact_version(&specifiers) {
            self.exact.insert((name.clone(), version.clone().without_local()));
        }
    }

    fn wrote(&mut self, package: &Package, set: &VersionSet, requirement: &Requirement) {
        let written = self.written.entry(package.clone()).or_default();
        if !written.iter().any(|(other, _)| other == set) {
            written.push((set.clone(), compact(&specifiers(requirement))));
        }
    }
}

impl<S: MetadataSource> DependencyProvider for Provider<'_, S> {
    type P = Package;
    type V = Version;
    type VS = VersionSet;
    type Priority = (u8, u32, Reverse<usize>, bool);
    type M = Unusable;
    type Err = S::Error;

    /// What leaves no choice comes first, then what was in conflicts, then in the order of hearing
    /// of it, which puts direct dependencies before those of others; an extra follows its base.
    fn prioritize(
        &self,
        package: &Package,
        set: &VersionSet,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let Some(name) = package.name() else {
            return (2, 0, Reverse(0), true);
        };
        // An error comes back when the version is chosen, so let that be soon.
        let Ok(candidates) = self.candidates(name) else {
            return (2, u32::MAX, Reverse(0), true);
        };
        if let Ok(Some(best)) = self.best(name, set) {
            self.prefetch(vec![(name.clone(), Some(best))]);
        }
        let choices =
            candidates.iter().filter(|candidate| set.contains(&candidate.version)).take(2).count();
        let order = self.notes.borrow().order.get(name).copied().unwrap_or(usize::MAX);
        let is_base = matches!(package, Package::Base(_));
        (u8::from(choices < 2), statistics.conflict_count(), Reverse(order), is_base)
    }

    fn choose_version(
        &self,
        package: &Package,
        set: &VersionSet,
    ) -> Result<Option<Version>, S::Error> {
        match package {
            Package::Root => Ok(set.contains(&root_version()).then(root_version)),
            Package::Base(name) => {
                let best = self.best(name, set)?;
                if let Some(best) = &best {
                    self.notes.borrow_mut().chosen.insert(name.clone(), best.clone());
                    self.expect_more_tries(name, set, best)?;
                }
                Ok(best)
            }
            Package::Extra(name, _) => {
                let chosen = self.notes.borrow().chosen.get(name).cloned();
                match chosen.filter(|version| set.contains(version)) {
                    Some(version) => Ok(Some(version)),
                    None => self.best(name, set),
                }
            }
        }
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, VersionSet, Unusable>, S::Error> {
        let needs = match package {
            Package::Root => self.needs(package, version, self.problem.roots()),
            Package::Base(name) | Package::Extra(name, _) => {
                let metadata = match self.source.metadata(name, version) {
                    Ok(metadata) => metadata,
                    Err(error) => match self.source.passes_over(&error) {
                        Some(reason) => {
                            return Ok(Dependencies::Unavailable(Unusable::Metadata { reason }));
                        }
                        None => return Err(error),
                    },
                };
                let extra = match package {
                    Package::Extra(_, extra) => Some(extra),
                    Package::Root | Package::Base(_) => None,
                };
                match &metadata.requires_python {
                    Some(python) if !self.problem.target.satisfies(python) => {
                        Err(Unusable::Python { requires_python: python.to_string() })
                    }
                    _ => self.needs(package, version, self.requirements(&metadata, extra)),
                }
            }
        };
        Ok(match needs {
            Err(reason) => Dependencies::Unavailable(reason),
            Ok(mut needs) => {
                if let Package::Extra(name, _) = package {
                    let same = Ranges::singleton(version.clone());
                    needs.push((Package::Base(name.clone()), same));
                }
                Dependencies::Available(needs.into_iter().collect())
            }
        })
    }
}

/// The one version of [`Package::Root`].
pub(super) fn root_version() -> Version {
    Version::new([0])
}
