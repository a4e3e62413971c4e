//! What a set of wheels needs beyond itself: names that no pin gives, such as `certifi`, which
//! floats on purpose. Without them a service could not be installed from the set alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pep440_rs::Version;

use super::blocking;
use super::error::PipelineError;
use super::index_source::IndexSource;
use super::obtain::{Obtained, Obtainer};
use super::release::{Lineage, Release};
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::resolve;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::{ExtraName, PackageName, Requirement};

/// What is to be obtained to make a set complete.
#[derive(Debug, Default)]
pub struct Missing {
    /// Releases that the set needs and lacks.
    pub releases: Vec<Release>,
    /// What could not be completed, and why.
    pub warnings: Vec<String>,
}

/// Finds what `wheels` need, without optional extras, that is not among them.
///
/// What cannot be resolved becomes a warning: the pins were obtained all the same, and the services
/// that do not need it can be installed.
pub async fn missing(
    obtainer: &Arc<Obtainer>,
    wheels: &BTreeMap<PackageName, Arc<Obtained>>,
) -> Missing {
    match find(obtainer, wheels).await {
        Ok(missing) => missing,
        Err(error) => Missing {
            releases: Vec::new(),
            warnings: vec![format!(
                "what the wheels need beyond the pins is not in the set: {}",
                error.explain()
            )],
        },
    }
}

async fn find(
    obtainer: &Arc<Obtainer>,
    wheels: &BTreeMap<PackageName, Arc<Obtained>>,
) -> Result<Missing, PipelineError> {
    let workshop = Arc::clone(&obtainer.workshop);
    let known: BTreeMap<PackageName, (Version, Arc<CoreMetadata>)> = wheels
        .iter()
        .map(|(name, wheel)| {
            (name.clone(), (wheel.filename.version().clone(), Arc::clone(&wheel.metadata)))
        })
        .collect();
    let source = IndexSource::new(Arc::clone(obtainer), Lineage::default());
    let obtainer = Arc::clone(obtainer);
    blocking(move || {
        let target = workshop.target();
        let mut wanted: BTreeMap<PackageName, Vec<(PackageName, Requirement)>> = BTreeMap::new();
        for (name, (_, metadata)) in &known {
            for requirement in &metadata.requires_dist {
                if requirement.evaluate_markers(target.markers(), &[] as &[ExtraName])
                    && !known.contains_key(&requirement.name)
                    // A pin that is not in the set failed, and was told so.
                    && obtainer.pins.get(&requirement.name).is_none()
                {
                    let needs = wanted.entry(requirement.name.clone()).or_default();
                    needs.push((name.clone(), requirement.clone()));
                }
            }
        }
        let source = source.with_known(known.clone());
        let mut missing = Missing::default();
        let mut releases = BTreeMap::new();
        // One at a time: a need that cannot be met must not hide the others.
        for (name, needs) in wanted {
            if workshop.rules.get(&name).drop.is_some() {
                continue;
            }
            let problem = Problem {
                roots: needs.iter().map(|(_, requirement)| requirement.clone()).collect(),
                pins: &obtainer.pins,
                force: PinForce::Hard,
                bounds: Vec::new(),
                target,
                exempt: BTreeSet::new(),
                prereleases: Prereleases::AsNeeded,
            };
            match resolve(&problem, &source) {
                Ok(resolution) => {
                    for (name, package) in resolution.packages {
                        if !known.contains_key(&name) && obtainer.pins.get(&name).is_none() {
                            let version = package.version;
                            let release = Release { name: name.clone(), version, exact: None };
                            releases.insert(name, release);
                        }
                    }
                }
                Err(error) => {
                    let by: Vec<String> = needs.iter().map(|(by, _)| format!("`{by}`")).collect();
                    missing.warnings.push(format!(
                        "`{name}`, needed by {}, is not in the set: {}",
                        by.join(", "),
                        PipelineError::from(error).explain()
                    ));
                }
            }
        }
        missing.releases = releases.into_values().collect();
        Ok(missing)
    })
    .await
}
