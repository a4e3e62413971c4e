//! [`Want`]: something the main job wants a wheel of.

use std::sync::Arc;

use pep440_rs::Operator;

use super::error::{ObtainError, PipelineError};
use super::obtain::{Obtained, Obtainer};
use super::release::{Lineage, Release};
use super::summary::FailureReport;
use super::workshop::Workshop;
use crate::index::select::candidates;
use crate::input::document::Place;
use crate::input::pins::{Pin, UrlPin};
use crate::resolve::problem::Prereleases;
use crate::vocab::redact::publishable;
use crate::vocab::requirement::{PackageName, Requirement, allows, specifiers};

/// Something a wheel is wanted of.
pub(super) enum Want<'a> {
    /// The release that a pin names.
    Pin(&'a Pin),
    /// What is at the URL of a pin.
    Url(&'a UrlPin),
    /// The newest release of a project that all of these admit.
    Extra(&'a PackageName, Vec<&'a Requirement>),
    /// This release.
    Release(&'a Release),
}

impl Want<'_> {
    pub(super) fn name(&self) -> &PackageName {
        match self {
            Self::Pin(pin) => &pin.name,
            Self::Url(pin) => &pin.name,
            Self::Extra(name, _) => name,
            Self::Release(release) => &release.name,
        }
    }

    /// The failure as it is reported.
    pub(super) fn failure(&self, error: &ObtainError) -> FailureReport {
        let at = |place: &Place| Some(format!("{}:{}", place.origin, place.line));
        let (version, place) = match self {
            Self::Pin(pin) => (pin.written.clone(), at(&pin.place)),
            Self::Url(pin) => (publishable(&pin.url).into(), at(&pin.place)),
            Self::Extra(_, requirements) => {
                let asked: Vec<_> =
                    requirements.iter().map(|r| specifiers(r).to_string()).collect();
                (asked.join(", "), None)
            }
            Self::Release(release) => (release.version.to_string(), None),
        };
        FailureReport {
            name: self.name().to_string(),
            version,
            cause: error.explain(),
            log: error.log().map(Into::into),
            place,
        }
    }

    /// Obtains a wheel of it, as a task of its own, so that the work of many wheels spreads over the
    /// processors.
    pub(super) async fn obtain(
        &self,
        obtainer: &Arc<Obtainer>,
    ) -> Result<Arc<Obtained>, Arc<ObtainError>> {
        let work = match self {
            Self::Pin(pin) => obtainer.obtain(Release::pinned(pin), Lineage::default()),
            Self::Url(pin) => obtainer.obtain_url((*pin).clone()),
            Self::Release(release) => obtainer.obtain((*release).clone(), Lineage::default()),
            Self::Extra(name, requirements) => {
                let bounds = obtainer.pins.bounds().iter().filter(|bound| bound.name == **name);
                let limits: Vec<_> = bounds.chain(requirements.iter().copied()).collect();
                let newest = newest(&obtainer.workshop, name, &limits).await;
                obtainer.obtain(newest.map_err(Arc::new)?, Lineage::default())
            }
        };
        match tokio::spawn(work).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Arc::new(PipelineError::Task(error).into())),
        }
    }
}

/// The newest release of `name` that all of `limits` admit; a pre-release only when there is nothing
/// else, or when they were asked for.
pub(super) async fn newest(
    workshop: &Workshop,
    name: &PackageName,
    limits: &[&Requirement],
) -> Result<Release, ObtainError> {
    let page = workshop.page(name).await?;
    let ranges: Vec<_> = limits.iter().map(|limit| specifiers(limit)).collect();
    let all = candidates(&page, workshop.target(), &workshop.formats);
    // Who names a version exactly has decided, yanked or not (PEP 592).
    let exact = ranges
        .iter()
        .flat_map(|range| range.iter())
        .any(|specifier| matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual));
    let admitted = || {
        all.iter().filter(|c| {
            (exact || !c.yanked) && ranges.iter().all(|range| allows(range, &c.version))
        })
    };
    let all_may_be_chosen = workshop.prereleases == Prereleases::Allowed;
    let chosen = admitted()
        .find(|c| all_may_be_chosen || !c.version.any_prerelease())
        .or_else(|| admitted().next());
    match chosen {
        Some(candidate) => {
            Ok(Release { name: name.clone(), version: candidate.version.clone(), exact: None })
        }
        None => Err(ObtainError::NoneAdmitted {
            name: name.clone(),
            requirements: limits.iter().map(ToString::to_string).collect(),
        }),
    }
}
