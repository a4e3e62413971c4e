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
use super::set_source::{SetSource, checked_digest};
use super::workshop::Workshop;
use crate::image::reference::Reference;
use crate::image::source::{Location, Source};
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::input::pins::Pins;
use crate::input::project::ProjectSource;
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::resolve;
use crate::service::prefix::{Installation, Prefix, install};
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
    let opened = {
        let location = locate(&workshop, &job.wheels).await?;
        let (workshop, wheels) = (Arc::clone(&workshop), job.wheels.clone());
        blocking(move || {
            Source::open(&location, &workshop.store).map_err(|source| match wheels {
                // The path of what was fetched tells people nothing.
                Reference::Url(_) => PipelineError::Fetched { url: wheels.to_string(), source },
                _ => source.into(),
            })
        })
        .await?
    };
    let pins = pins(&job, opened.constraints, &workshop)?;
    let set = Arc::new(SetSource::new(opened.wheels, workshop.target()));
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
    blocking(move || {
        let installed = resolve_and_install(&workshop, &job, &set, &pins, direct_url.as_ref())?;
        Ok(InstallSummary { seconds: begun.elapsed().as_secs_f64(), ..installed })
    })
    .await
}

/// Where the set is on this machine; what is at a URL is fetched into the store first.
async fn locate(workshop: &Workshop, wheels: &Reference) -> Result<Location, PipelineError> {
    let url = match wheels {
        Reference::Url(url) => url,
        other => return Ok(other.location().expect("only a URL is elsewhere")),
    };
    let file = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let task = workshop.events.start(Activity::Fetch { file, size: None });
    match workshop.indexes.fetch_url(url, None, &|total| task.reach(total)).await {
        Ok(fetched) => {
            task.end(Ending::Done);
            Ok(Location::Tar(workshop.store.path(&fetched.digest)))
        }
        Err(error) => {
            task.end(Ending::Failed { cause: error.to_string(), log: None });
            Err(error.into())
        }
    }
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

fn resolve_and_install(
    workshop: &Workshop,
    job: &InstallJob,
    set: &SetSource,
    pins: &Pins,
    direct_url: Option<&DirectUrl>,
) -> Result<InstallSummary, PipelineError> {
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
    let mut wheels = resolution
        .packages
        .iter()
        .map(|(name, package)| Ok((set.wheel(name, &package.version)?, package.requested)))
        .collect::<Result<Vec<_>, PipelineError>>()?;
    workshop.events.stage(Stage::Install, Some(wheels.len()));
    wheels.par_iter().try_for_each(|(wheel, _)| checked_digest(wheel).map(drop))?;
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
