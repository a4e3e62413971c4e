//! Builds as the pipeline runs them: at their turn, told as tasks, their requirements provided from
//! the indexes.

use std::sync::Arc;
use std::time::Instant;

use pep440_rs::Version;
use tokio::sync::Notify;

use super::error::{ObtainError, PipelineError};
use super::events::{Activity, Ending, Task};
use super::obtain::{Obtained, Obtainer};
use super::provision::IndexProvision;
use super::release::{Lineage, Release};
use super::summary::How;
use crate::build::builder::{BuildPhase, BuildSource};
use crate::build::error::BuildFailure;
use crate::input::rules::PackageRule;
use crate::store::set::Origin;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::dist_file::{DistFile, DistFilename};
use crate::vocab::requirement::PackageName;
use crate::wheel::file::WheelFile;

impl Obtainer {
    /// Fetches the sdist `file` and builds a wheel of it.
    pub(super) async fn build_sdist(
        self: &Arc<Self>,
        release: &Release,
        file: &DistFile,
        lineage: &Lineage,
        hurry: &Notify,
    ) -> Result<Obtained, ObtainError> {
        let (source, size) = self.fetch_sdist(file).await?;
        self.build(&release.name, Some(&release.version), source, size, lineage, hurry).await
    }

    /// Builds a wheel of `name` from `source`, whose size in bytes is `size`.
    pub(super) async fn build(
        self: &Arc<Self>,
        name: &PackageName,
        version: Option<&Version>,
        source: BuildSource,
        size: u64,
        lineage: &Lineage,
        hurry: &Notify,
    ) -> Result<Obtained, ObtainError> {
        let workshop = &self.workshop;
        let release = match version {
            Some(version) => format!("{name} {version}"),
            None => name.to_string(),
        };
        let lineage = lineage.with(release.clone());
        let _pass = if lineage.is_nested() {
            // A build that another build waits for must not queue behind it.
            None
        } else {
            let weight = weight(workshop.rules.get(name), size);
            tokio::select! {
                biased;
                // A build that holds a pass came to wait for this one, which may use its share.
                () = hurry.notified() => None,
                pass = workshop.limits.builds.enter(weight) => Some(pass),
            }
        };
        // What it waited for its turn is not its own time.
        let begun = Instant::now();
        let provision = IndexProvision::new(Arc::clone(self), lineage);
        let task = workshop.events.start(Activity::Build { release });
        let on_phase = |phase: BuildPhase| task.phase(phase.as_str());
        let request = workshop.build_request(name, version, source, &on_phase);
        match workshop.bench.builder().build(&request, &provision).await {
            Ok(built) => {
                task.end(if built.reused { Ending::Reused } else { Ending::Done });
                let path = workshop.store.path(&built.digest);
                let size = WheelFile::open(&path).map_err(PipelineError::from)?.len();
                Ok(Obtained {
                    metadata: self.read(&built.filename, built.digest).await?,
                    filename: built.filename,
                    size,
                    digest: built.digest,
                    origin: Origin::Built {
                        key: built.key.expect("archives and commits have an identity"),
                    },
                    how: if built.reused { How::Reused } else { How::Built },
                    seconds: begun.elapsed().as_secs_f64(),
                })
            }
            Err(failure) => Err(failed(task, failure)),
        }
    }

    /// The metadata that the wheel of an sdist would have, by its backend.
    ///
    /// # Errors
    /// When the sdist cannot be fetched, or its backend fails.
    pub async fn sdist_metadata(
        self: &Arc<Self>,
        release: &Release,
        file: &DistFile,
        lineage: &Lineage,
    ) -> Result<CoreMetadata, Arc<ObtainError>> {
        // Its backend's requirements may be built for it: that is waiting too.
        let _waiting = self.wait_for(release, lineage)?;
        let workshop = &self.workshop;
        let (source, _) = self.fetch_sdist(file).await.map_err(Arc::new)?;
        let provision = IndexProvision::new(Arc::clone(self), lineage.with(release.to_string()));
        let task = workshop.events.start(Activity::Metadata { release: release.to_string() });
        let on_phase = |phase: BuildPhase| task.phase(phase.as_str());
        let request =
            workshop.build_request(&release.name, Some(&release.version), source, &on_phase);
        match workshop.bench.builder().metadata(&request, &provision).await {
            Ok(metadata) => {
                task.end(Ending::Done);
                Ok(metadata)
            }
            Err(failure) => Err(Arc::new(failed(task, failure))),
        }
    }

    /// Fetches an sdist; its size in bytes comes with it.
    pub(super) async fn fetch_sdist(
        &self,
        file: &DistFile,
    ) -> Result<(BuildSource, u64), ObtainError> {
        let DistFilename::Sdist(filename) = &file.filename else {
            unreachable!("a chosen sdist has an sdist's name");
        };
        let (digest, size, _) = self.fetch(file, &self.workshop.limits.sources).await?;
        let path = self.workshop.store.path(&digest);
        Ok((BuildSource::Sdist { path, format: filename.format(), digest }, size))
    }
}

/// Ends `task` with what went wrong.
pub(super) fn failed(task: Task, failure: Box<BuildFailure>) -> ObtainError {
    let error = ObtainError::from(failure);
    let log = error.log().map(Into::into);
    task.end(Ending::Failed { cause: error.explain(), log });
    error
}

/// How early a build should begin: its known duration in seconds, else a guess by the size of its
/// source in bytes.
fn weight(rule: &PackageRule, size: u64) -> u64 {
    rule.expected_seconds.map_or_else(|| (size / 100_000).min(10), u64::from)
}
