//! What a project's steps ask for from elsewhere: trees of repositories, and files.

use std::sync::Arc;

use tempfile::TempDir;

use super::checkout::checkout;
use super::error::PipelineError;
use super::events::Activity;
use super::workshop::Workshop;
use crate::service::act::Fetched;
use crate::service::steps::{Download, Fetch, StepPlan};
use crate::vocab::redact::redact;

/// What was fetched; trees go with it.
#[derive(Debug, Default)]
pub(super) struct StepSources {
    /// Where each lies.
    pub(super) places: Fetched,
    /// The commits that repositories were checked out at, in the order of the steps.
    pub(super) commits: Vec<String>,
    _trees: Vec<TempDir>,
}

impl StepSources {
    /// Fetches what `plan` asks for.
    ///
    /// # Errors
    /// When a repository or file is not to be had.
    pub(super) async fn fetch(workshop: &Workshop, plan: &StepPlan) -> Result<Self, PipelineError> {
        let mut sources = Self::default();
        for fetch in plan.fetches() {
            if sources.places.contains_key(&fetch) {
                continue;
            }
            let place = match &fetch {
                Fetch::Git(git) => {
                    let tree = tempfile::Builder::new()
                        .prefix("checkout-")
                        .tempdir_in(workshop.store.tmp_dir())?;
                    let url = redact(&git.url).into_owned();
                    let file = url.clone();
                    let task = workshop.events.start(Activity::Fetch { file, size: None });
                    let reference = git.reference.as_deref();
                    let checkout = |_| checkout(&git.url, reference, tree.path());
                    let commit = task.run(checkout).await.map_err(|error| {
                        PipelineError::StepSource { url, source: Box::new(error) }
                    })?;
                    sources.commits.push(commit);
                    let path = tree.path().to_owned();
                    sources._trees.push(tree);
                    path
                }
                Fetch::Download(download) => file(workshop, download).await?,
            };
            sources.places.insert(fetch, place);
        }
        Ok(sources)
    }
}

/// The file, in the store.
pub(super) async fn file(
    workshop: &Workshop,
    download: &Download,
) -> Result<std::path::PathBuf, PipelineError> {
    let name = download.url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let task = workshop.events.start(Activity::Fetch { file: name, size: None });
    let fetch = |told: Arc<dyn Fn(u64) + Send + Sync>| async move {
        workshop.indexes.fetch_url(&download.url, Some(download.digest), &*told).await
    };
    let fetched = task.run(fetch).await?;
    Ok(workshop.store.path(&fetched.digest))
}

/// The fetched file by a name that a package manager takes for a package's: it goes by the ending.
pub(super) fn as_package(
    file: &std::path::Path,
    download: &Download,
) -> Result<String, PipelineError> {
    let name = download.url.path().rsplit('/').next().unwrap_or_default();
    let named = std::env::temp_dir().join(name);
    std::fs::copy(file, &named)?;
    Ok(named.to_string_lossy().into_owned())
}
