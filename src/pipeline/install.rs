//! A service's environment below a prefix, from a set of wheels, without a network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::blocking;
use super::compose::{Composed, OpenSet, Wants};
use super::error::PipelineError;
use super::events::{Activity, Ending, Events, Stage};
use super::workshop::Workshop;
use crate::image::reference::Reference;
use crate::input::document::Document;
use crate::service::prefix::{Prefix, extend, install};
use crate::service::present::Present;
use crate::wheel::claims::SharedPath;

/// What is to be installed, and where.
pub struct InstallJob {
    /// What the service is to consist of.
    pub wants: Wants,
    /// Pins to keep to, where the set has several versions; the project's own pin gives way.
    pub constraints: Vec<Document>,
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
    let set = OpenSet::open(&workshop, &job.wheels, &job.constraints, workshop.target()).await?;
    let composed = set.compose(&workshop, &job.wants).await?;
    blocking(move || {
        let files = install_all(&workshop, &job.prefix, &composed)?;
        Ok(InstallSummary {
            prefix: job.prefix.path,
            packages: composed.freeze(),
            files,
            seconds: begun.elapsed().as_secs_f64(),
        })
    })
    .await
}

/// Installs what a service consists of, and says how many files that are.
pub(super) fn install_all(
    workshop: &Workshop,
    prefix: &Prefix,
    composed: &Composed,
) -> Result<usize, PipelineError> {
    let events = &workshop.events;
    events.stage(Stage::Install, Some(composed.wheels.len()));
    let installations = composed.installations()?;
    let installed = install(prefix, workshop.bench.interpreter(), &installations, &|file| {
        events.start(Activity::Install { file: file.into() }).end(Ending::Done);
    })?;
    warn_of_collisions(&installed.collisions, events);
    Ok(installed.files)
}

/// Puts what a service consists of into the environment that is `present` at `prefix`, and says how many files that are.
pub(super) fn extend_all(
    workshop: &Workshop,
    (prefix, present): (&Path, &Present),
    composed: &Composed,
) -> Result<usize, PipelineError> {
    let events = &workshop.events;
    events.stage(Stage::Install, Some(composed.wheels.len()));
    let installations = composed.installations()?;
    let interpreter = workshop.bench.interpreter();
    let installed = extend(prefix, present, interpreter, &installations, &|file| {
        events.start(Activity::Install { file: file.into() }).end(Ending::Done);
    })?;
    warn_of_collisions(&installed.collisions, events);
    Ok(installed.files)
}

pub(super) fn warn_of_collisions(collisions: &[SharedPath], events: &Events) {
    for SharedPath { path, first, second, .. } in collisions {
        events.warn(match first {
            Some(first) => format!(
                "`{path}` is in `{first}` and, with other bytes, in `{second}`; the first one was taken"
            ),
            None => format!("`{path}` is there already, and stays; `{second}` has it with other bytes"),
        });
    }
}
