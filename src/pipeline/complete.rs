//! What a set of wheels needs beyond itself: names that no pin gives, such as `certifi`, which
//! floats on purpose. Without them a service could not be installed from the set alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blocking;
use super::error::PipelineError;
use super::index_source::{IndexSource, Known};
use super::obtain::{Obtained, Obtainer};
use super::release::{Lineage, Release};
use crate::resolve::problem::{MetadataSource, PinForce, Problem};
use crate::resolve::resolution::resolve;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::{PackageName, Requirement};

/// What is to be obtained to make a set complete.
#[derive(Debug, Default)]
pub struct Missing {
    /// Releases that the set needs and lacks.
    pub releases: Vec<Release>,
    /// What could not be completed, and why.
    pub warnings: Vec<String>,
}

/// Finds what `wheels` and `packages` need, the extras among them that somebody asks for included, that
/// is not there.
///
/// What cannot be resolved becomes a warning: the pins were obtained all the same, and the services
/// that do not need it can be installed.
pub async fn missing(
    obtainer: &Arc<Obtainer>,
    wheels: &BTreeMap<PackageName, Arc<Obtained>>,
    packages: &[Requirement],
) -> Missing {
    let known = wheels
        .iter()
        .map(|(name, wheel)| {
            (name.clone(), (wheel.filename.version().clone(), Arc::clone(&wheel.metadata)))
        })
        .collect();
    let source = IndexSource::new(Arc::clone(obtainer), Lineage::default());
    let search = Search { obtainer: Arc::clone(obtainer), known };
    let needs = search.needs(packages);
    let found = blocking(move || Ok(search.resolve(&needs, &source))).await;
    found.unwrap_or_else(|error| Missing {
        releases: Vec::new(),
        warnings: vec![format!(
            "what the wheels need beyond the pins is not in the set: {}",
            error.explain()
        )],
    })
}

/// A requirement, and who has it.
struct Need {
    requirement: Requirement,
    by: String,
}

struct Search {
    obtainer: Arc<Obtainer>,
    known: Known,
}

impl Search {
    /// What is asked of projects that are not there, or of extras of those that are.
    fn needs(&self, packages: &[Requirement]) -> Vec<Need> {
        let markers = self.obtainer.workshop.target().markers();
        let of_wheels = self.known.iter().flat_map(|(name, (_, metadata))| {
            metadata.requires_dist.iter().map(move |requirement| (requirement, format!("`{name}`")))
        });
        let of_user = packages.iter().map(|requirement| (requirement, "you".to_owned()));
        of_wheels
            .chain(of_user)
            .filter(|(requirement, _)| {
                requirement.evaluate_markers(markers, &[])
                    && (self.is_open(&requirement.name)
                        || !requirement.extras.is_empty()
                            && self.known.contains_key(&requirement.name))
            })
            .map(|(requirement, by)| Need { requirement: requirement.clone(), by })
            .collect()
    }

    /// Whether a wheel of the project is still to be found: it is not there, it is no pin, which would
    /// have failed and been told so, and it is not left out on purpose.
    fn is_open(&self, name: &PackageName) -> bool {
        !self.known.contains_key(name)
            && self.obtainer.pins.get(name).is_none()
            && self.obtainer.workshop.omission(name).is_none()
    }

    /// All needs together, so that what is found goes together; where that has no solution, one project
    /// after the other: a need that cannot be met must not hide the others.
    fn resolve(mut self, needs: &[Need], source: &IndexSource) -> Missing {
        let mut missing = Missing::default();
        let mut found = BTreeMap::new();
        let all: Vec<&Need> = needs.iter().collect();
        if let Ok(releases) = self.resolve_some(&all, &source.with_known(&self.known)) {
            found = releases;
        } else {
            let mut by_name: BTreeMap<&PackageName, Vec<&Need>> = BTreeMap::new();
            for need in needs {
                by_name.entry(&need.requirement.name).or_default().push(need);
            }
            for (name, needs) in by_name {
                match self.resolve_some(&needs, &source.with_known(&self.known)) {
                    Ok(releases) => {
                        for (name, (release, metadata)) in releases {
                            let known = (release.version.clone(), Arc::clone(&metadata));
                            self.known.insert(name.clone(), known);
                            found.insert(name, (release, metadata));
                        }
                    }
                    Err(error) => {
                        let by: Vec<&str> = needs.iter().map(|need| need.by.as_str()).collect();
                        missing.warnings.push(format!(
                            "what {} of `{name}` is not all in the set: {}",
                            needed_by(&by),
                            error.explain()
                        ));
                    }
                }
            }
        }
        missing.releases = found.into_values().map(|(release, _)| release).collect();
        missing
    }

    fn resolve_some(
        &self,
        needs: &[&Need],
        source: &IndexSource,
    ) -> Result<BTreeMap<PackageName, (Release, Arc<CoreMetadata>)>, PipelineError> {
        let problem = Problem {
            roots: needs.iter().map(|need| need.requirement.clone()).collect(),
            pins: &self.obtainer.pins,
            force: PinForce::Hard,
            bounds: Vec::new(),
            target: self.obtainer.workshop.target(),
            exempt: BTreeSet::new(),
            prereleases: self.obtainer.workshop.prereleases,
        };
        let resolution = resolve(&problem, source)?;
        resolution
            .packages
            .into_iter()
            .filter(|(name, _)| self.is_open(name))
            .map(|(name, package)| {
                let metadata = source.metadata(&name, &package.version)?;
                let release = Release { name: name.clone(), version: package.version, exact: None };
                Ok((name, (release, metadata)))
            })
            .collect()
    }
}

/// `a needs`, `a and b need`: who needs something, with the verb.
fn needed_by(by: &[&str]) -> String {
    match by {
        [] => "somebody needs".into(),
        ["you"] => "you need".into(),
        [one] => format!("{one} needs"),
        [first @ .., last] => format!("{} and {last} need", first.join(", ")),
    }
}
