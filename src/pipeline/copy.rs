//! The job of `loci copy`: images and sets from anywhere to anywhere.

use std::sync::Arc;
use std::time::Instant;

use super::error::PipelineError;
use super::events::{Activity, Events, Stage};
use super::summary::WrittenReport;
use crate::image::reference::Reference;
use crate::image::{self, Access, Platforms, Treatment, WriteOptions};

/// What is to be copied.
pub struct CopyJob {
    /// From where; several images become one for several platforms.
    pub sources: Vec<Reference>,
    /// Where to.
    pub destination: Reference,
    /// Which images of one for several platforms.
    pub platforms: Platforms,
    /// Whether an image stays the one it is.
    pub treatment: Treatment,
    /// How what is no image yet becomes one.
    pub options: WriteOptions,
}

/// What was copied.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CopySummary {
    /// Where it is now.
    #[serde(flatten)]
    pub written: WrittenReport,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Copies.
///
/// # Errors
/// When a source cannot be read or the destination not be written; what it named is then as before.
pub async fn copy(
    access: &Access,
    events: &Events,
    job: CopyJob,
) -> Result<CopySummary, PipelineError> {
    let begun = Instant::now();
    events.stage(Stage::Write, Some(1));
    let name = job.destination.to_string();
    let options = Arc::new(job.options.clone());
    let task = events.start(Activity::Write { destination: name.clone() });
    let CopyJob { sources, destination, platforms, treatment, .. } = &job;
    let copy = |told| async move {
        let how = (platforms, *treatment);
        image::copy(sources, destination, how, &options, access, &told).await
    };
    let copied = task.run(copy).await?;
    Ok(CopySummary {
        written: WrittenReport::of(name, &copied),
        seconds: begun.elapsed().as_secs_f64(),
    })
}
