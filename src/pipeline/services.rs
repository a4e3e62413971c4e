//! Services whose parts of a set have images of their own: what each needs, to run and to be built, and
//! the proof that the set has all of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::blocking;
use super::error::PipelineError;
use super::events::Stage;
use super::obtain::Obtainer;
use super::release::Release;
use super::set_source::{SetSource, Supply};
use super::want::newest;
use super::workshop::Workshop;
use crate::build::builder::BuildSource;
use crate::build::requires::sdist_requires;
use crate::image::Subset;
use crate::image::source::Source;
use crate::input::pins::Pins;
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::resolve;
use crate::store::set::WheelSet;
use crate::vocab::requirement::Requirement;

/// A service as the user names it.
#[derive(Debug, Clone)]
pub struct ServiceName {
    /// As it is written; its image is called so.
    pub written: String,
    /// Its distribution.
    pub requirement: Requirement,
}

/// A service, and what its build needs.
#[derive(Debug, Clone)]
pub(super) struct Service {
    name: ServiceName,
    build_requires: Vec<Requirement>,
}

impl Service {
    /// What has to be in the set for it.
    pub(super) fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        std::iter::once(&self.name.requirement).chain(&self.build_requires)
    }
}

/// Finds out what the builds of these services need, each in the release that its pin names or else the
/// newest: their source archives say so. One that has no archive needs what every build needs.
pub(super) async fn services(
    obtainer: &Arc<Obtainer>,
    names: &[ServiceName],
) -> Result<Vec<Service>, PipelineError> {
    let mut services = Vec::with_capacity(names.len());
    for name in names {
        let release = match obtainer.pins.get(&name.requirement.name) {
            Some(pin) => Release::pinned(pin),
            None => newest(&obtainer.workshop, &name.requirement.name, &[&name.requirement])
                .await
                .map_err(Arc::new)?,
        };
        let build_requires = build_requires(obtainer, &release).await?;
        services.push(Service { name: name.clone(), build_requires });
    }
    Ok(services)
}

async fn build_requires(
    obtainer: &Arc<Obtainer>,
    release: &Release,
) -> Result<Vec<Requirement>, PipelineError> {
    let Some(file) = obtainer.workshop.sdist(release).await? else { return Ok(Vec::new()) };
    let BuildSource::Sdist { path, format, .. } =
        obtainer.fetch_sdist(&file).await.map_err(Arc::new)?.0
    else {
        unreachable!("an sdist is fetched as one")
    };
    let tmp = obtainer.workshop.store.tmp_dir();
    blocking(move || Ok(sdist_requires(&path, format, &tmp)?)).await
}

/// The wheels of each service, resolved against `set` alone: what it needs to run, and what its build
/// needs.
///
/// # Errors
/// [`PipelineError::Service`] naming the first that the set is not enough for.
pub(super) async fn subsets(
    obtainer: &Arc<Obtainer>,
    services: Vec<Service>,
    set: &WheelSet,
) -> Result<Vec<Subset>, PipelineError> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    obtainer.workshop.events.stage(Stage::Resolve, None);
    let workshop = Arc::clone(&obtainer.workshop);
    let (set, pins) = (set.clone(), Arc::clone(&obtainer.pins));
    blocking(move || {
        let opened = Source::of_set(&set, &workshop.store, "the set")?;
        let supply = Supply::new(workshop.access(), workshop.events.clone());
        let source = SetSource::new(opened, workshop.target(), supply);
        let (mut subsets, mut failed) = (Vec::new(), None);
        for service in &services {
            match subset(service, &source, &pins, &workshop) {
                Ok(subset) => subsets.push(subset),
                Err(error) => {
                    let name = service.name.written.clone();
                    // The first one is the error; of the others there must be a word as well.
                    if failed.is_some() {
                        let cause = error.explain();
                        workshop
                            .events
                            .warn(format!("the set is not enough for `{name}` either: {cause}"));
                        continue;
                    }
                    failed =
                        Some(PipelineError::Service { service: name, source: Box::new(error) });
                }
            }
        }
        failed.map_or(Ok(subsets), Err)
    })
    .await
}

fn subset(
    service: &Service,
    source: &SetSource,
    pins: &Pins,
    workshop: &Workshop,
) -> Result<Subset, PipelineError> {
    let project = &service.name.requirement;
    let mut build: Vec<Requirement> = service.build_requires.clone();
    // Where a pin has decided on one of these, whatever it is will do.
    build.extend(workshop.rules.extra().iter().map(|extra| Requirement {
        version_or_url: match pins.get(&extra.requirement.name) {
            Some(_) => None,
            None => extra.requirement.version_or_url.clone(),
        },
        ..extra.requirement.clone()
    }));
    // A pin that names an exact version is as good as any for a build; one that does not fit gives way.
    let problem = |roots: Vec<Requirement>, force| Problem {
        roots,
        pins,
        force,
        bounds: Vec::new(),
        prereleases: Prereleases::AsNeeded,
        target: workshop.target(),
        exempt: BTreeSet::from([project.name.clone()]),
    };
    let mut wheels = BTreeSet::new();
    for problem in
        [problem(vec![project.clone()], PinForce::Hard), problem(build, PinForce::Preferred)]
    {
        let resolution = resolve(&problem, source)?;
        for (name, package) in &resolution.packages {
            wheels.insert(source.wheel(name, &package.version)?.filename.to_string());
        }
    }
    Ok(Subset { name: service.name.written.clone(), wheels })
}
