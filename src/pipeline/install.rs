//! A service from a set of wheels: resolved against the set alone, built and installed without a
//! network.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::blocking;
use super::error::PipelineError;
use super::events::{Activity, Ending, Stage};
use super::project::project_wheel;
use super::provision::SetProvision;
use super::set_source::{SetSource, Supply, checked_digest};
use super::workshop::Workshop;
use crate::image::Progress;
use crate::image::offered::LocatedWheel;
use crate::image::reference::Reference;
use crate::image::source::Source;
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::input::pins::Pins;
use crate::input::project::ProjectSource;
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::{Resolution, resolve};
use crate::service::environment::Installation;
use crate::service::prefix::{Prefix, install};
use crate::vocab::requirement::Requirement;
use crate::wheel::direct_url::DirectUrl;

/// What is to be installed, and where.
pub struct InstallJob {
    /// The project, by its name and the extras that are wanted.
    pub project: Requirement,
    /// Where its source is; none to take it from the set.
    pub source: Option<ProjectSource>,
    /// Further projects from the set.
    pub packages: Vec<Requirement>,
    /// Pins to keep to, where the set has several versions; the project's own pin gives way.
    pub constraints: Vec<Document>,
    /// What build requirements must keep to, where the project is built.
    pub build_constraints: Vec<Requirement>,
    /// The set.
    pub wheels: Reference,
    /// The environment.
    pub prefix: Prefix,
}

/// What was installed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct InstallSummary {
    /// The directory of the environment.
    pub prefix: PathBuf,
    /// Every package, `name==version`, by name.
    pub packages: Vec<String>,
    /// Files written.
    pub files: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Resolves the project against the set, builds it when it has a source, and installs it.
///
/// # Errors
/// When the set cannot be read or lacks something, the project does not build, or the prefix cannot
/// be written; the prefix is then as it was.
pub async fn install_service(
    workshop: Arc<Workshop>,
    job: InstallJob,
) -> Result<InstallSummary, PipelineError> {
    let begun = Instant::now();
    job.prefix.check()?;
    workshop.events.stage(Stage::Resolve, None);
    let mut opened = open(&workshop, &job.wheels).await?;
    let pins = pins(&job, opened.constraints.take(), &workshop)?;
    let supply = Supply::new(workshop.access(), workshop.events.clone());
    let set = Arc::new(SetSource::new(opened, workshop.target(), supply));
    let (set, direct_url) = match &job.source {
        None => (set, None),
        Some(source) => {
            let target = workshop.target().clone();
            let provision =
                SetProvision::new(Arc::clone(&set), target, job.build_constraints.clone());
            let built = project_wheel(&workshop, &job.project.name, source, &provision).await?;
            (Arc::new(set.with(built.wheel)), built.direct_url)
        }
    };
    let target = Arc::clone(&workshop);
    let (job, set) = (Arc::new(job), set);
    let resolution = {
        let (job, set) = (Arc::clone(&job), Arc::clone(&set));
        blocking(move || resolved(&target, &job, &set, &pins)).await?
    };
    let releases = resolution.packages.iter().map(|(name, package)| (name, &package.version));
    let wheels = set.bring(releases).await?;
    blocking(move || {
        let installed = install_all(&workshop, &job, &resolution, &wheels, direct_url.as_ref())?;
        Ok(InstallSummary { seconds: begun.elapsed().as_secs_f64(), ..installed })
    })
    .await
}

/// Opens the set. Of one that is elsewhere the index comes, or all of it where it has none.
async fn open(workshop: &Workshop, wheels: &Reference) -> Result<Source, PipelineError> {
    let machine = workshop.target().platform().arch();
    let access = workshop.access();
    let opened = if wheels.is_elsewhere() {
        let file = wheels.to_string();
        let task = workshop.events.start(Activity::Fetch { file, size: None });
        let access = &access;
        task.run(|told| async move { Source::open(wheels, machine, access, &told).await }).await
    } else {
        let quiet: Progress = Arc::new(|_| {});
        Source::open(wheels, machine, &access, &quiet).await
    };
    Ok(opened?)
}

/// The pins to keep to: those that were given, else those that the set brings.
fn pins(
    job: &InstallJob,
    brought: Option<String>,
    workshop: &Workshop,
) -> Result<Pins, PipelineError> {
    let constraints = match (job.constraints.as_slice(), brought) {
        ([], Some(text)) => {
            let origin = format!("upper-constraints.txt of {}", job.wheels);
            Constraints::parse(&Document::new(origin, text))?
        }
        (given, _) => given.iter().map(Constraints::parse).collect::<Result<_, _>>()?,
    };
    Ok(constraints.pins(workshop.target())?)
}

fn resolved(
    workshop: &Workshop,
    job: &InstallJob,
    set: &SetSource,
    pins: &Pins,
) -> Result<Resolution, PipelineError> {
    let problem = Problem {
        roots: std::iter::once(&job.project).chain(&job.packages).cloned().collect(),
        pins,
        force: PinForce::Hard,
        bounds: Vec::new(),
        exempt: BTreeSet::from([job.project.name.clone()]),
        prereleases: Prereleases::AsNeeded,
        target: workshop.target(),
    };
    let resolution = resolve(&problem, set)?;
    for (name, extra) in &resolution.missing_extras {
        workshop.events.warn(format!("`{name}` has no extra `{extra}`"));
    }
    Ok(resolution)
}

/// Installs `wheels`, which are those of the resolution in its order.
fn install_all(
    workshop: &Workshop,
    job: &InstallJob,
    resolution: &Resolution,
    wheels: &[LocatedWheel],
    direct_url: Option<&DirectUrl>,
) -> Result<InstallSummary, PipelineError> {
    workshop.events.stage(Stage::Install, Some(wheels.len()));
    wheels.par_iter().try_for_each(|wheel| checked_digest(wheel).map(drop))?;
    let requested = resolution.packages.values().map(|package| package.requested);
    let mut wheels: Vec<(&LocatedWheel, bool)> = wheels.iter().zip(requested).collect();
    // The project's own files go before those of its dependencies.
    wheels.sort_by_key(|(wheel, requested)| (!requested, wheel.filename.name().clone()));
    let installations: Vec<Installation<'_>> = wheels
        .iter()
        .map(|(wheel, requested)| Installation {
            wheel,
            requested: *requested,
            direct_url: direct_url.filter(|_| *wheel.filename.name() == job.project.name).cloned(),
        })
        .collect();
    let events = &workshop.events;
    let installed = install(&job.prefix, &workshop.interpreter, &installations, &|file| {
        events.start(Activity::Install { file: file.into() }).end(Ending::Done);
    })?;
    for collision in &installed.collisions {
        workshop.events.warn(format!(
            "`{}` is in `{}` and, with other bytes, in `{}`; the first one was taken",
            collision.path, collision.first, collision.second
        ));
    }
    Ok(InstallSummary {
        prefix: job.prefix.path.clone(),
        packages: resolution
            .packages
            .iter()
            .map(|(name, package)| format!("{name}=={}", package.version))
            .collect(),
        files: installed.files,
        seconds: 0.0,
    })
}
