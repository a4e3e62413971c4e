//! [`Problem`]: what is to be resolved, and [`MetadataSource`]: who knows the packages.
//!
//! Neither knows how it is solved; see [`resolution`](super::resolution).

use std::collections::BTreeSet;
use std::sync::Arc;

use pep440_rs::Version;

use crate::input::pins::{Equality, Pin, Pins};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::vocab::target::Target;

/// Who knows which releases there are and what they depend on: an index, or a set of wheels.
///
/// The solver asks from one thread and asks again for what it has forgotten, so an implementation
/// keeps its answers. What it says must not change while one problem is solved.
pub trait MetadataSource {
    /// Why a question has no answer. That a package does not exist is an answer: no versions.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The releases of `name` that have a file for the target, in any order.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn versions(&self, name: &PackageName) -> Result<Vec<Candidate>, Self::Error>;

    /// The metadata of a release that [`versions`](Self::versions) named.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<CoreMetadata>, Self::Error>;

    /// Why a release is to be passed over whose metadata failed with `error`, in words that follow
    /// its name ("has metadata that cannot be read"); none when nothing else is to be tried, which
    /// is right for whatever may be different next time.
    fn passes_over(&self, error: &Self::Error) -> Option<String> {
        let _ = error;
        None
    }

    /// Says what will probably be asked for next, so that it can be fetched meanwhile: the versions
    /// of a package, then the metadata of the release that looks best. Never waits.
    fn prefetch(&self, wanted: &[(PackageName, Option<Version>)]) {
        let _ = wanted;
    }
}

/// A release that could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its version.
    pub version: Version,
    /// Whether every file of it was yanked (PEP 592).
    pub yanked: bool,
}

/// How much a pin weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PinForce {
    /// Nothing else is chosen.
    Hard,
    /// It is chosen if that is possible: a set is kept as it was where nothing speaks against it.
    Preferred,
}

/// When a pre-release may be chosen that is not pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prereleases {
    /// When a specifier names one, or when there is no other way (PEP 440, "Handling of
    /// pre-releases").
    AsNeeded,
    /// Always, as with pip's `--pre`.
    Allowed,
}

/// What is asked for, and within which bounds.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// What is asked for; those whose markers do not hold for the target are passed over.
    pub roots: Vec<Requirement>,
    /// The versions that constraints name, and the ranges among those constraints, which always hold.
    pub pins: &'a Pins,
    /// How much the pins weigh.
    pub force: PinForce,
    /// Further ranges to stay within, without asking for the packages.
    pub bounds: Vec<Requirement>,
    /// The packages for which neither pins nor bounds hold: the project that is being installed.
    pub exempt: BTreeSet<PackageName>,
    /// When pre-releases may be chosen.
    pub prereleases: Prereleases,
    /// What markers and Requires-Python are judged by.
    pub target: &'a Target,
}

impl Problem<'_> {
    /// The pin of `name`, unless it gives way.
    pub(super) fn pin(&self, name: &PackageName) -> Option<&Pin> {
        if self.exempt.contains(name) { None } else { self.pins.get(name) }
    }

    /// The bounds on `name` that hold for the target, unless they give way.
    pub(super) fn bounds_on(&self, name: &PackageName) -> impl Iterator<Item = &Requirement> {
        let holds = !self.exempt.contains(name);
        self.pins
            .bounds()
            .iter()
            .chain(&self.bounds)
            .filter(move |bound| holds && bound.name == *name)
            .filter(|bound| bound.evaluate_markers(self.target.markers(), &[]))
    }

    /// The requirements that hold for the target.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Requirement> {
        self.roots.iter().filter(|root| root.evaluate_markers(self.target.markers(), &[]))
    }
}

/// Whether `version` is the one `pin` names: as a text after `===`, as a version after `==`.
pub(super) fn is_pinned(pin: &Pin, version: &Version) -> bool {
    match pin.equality {
        // Both as PEP 440 writes them, since a release's version is known from its files' names.
        Equality::Arbitrary => version.to_string() == pin.version.to_string(),
        Equality::Version => {
            *version == pin.version
                || !pin.version.is_local() && version.clone().without_local() == pin.version
        }
    }
}
