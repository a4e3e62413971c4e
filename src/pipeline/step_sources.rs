//! What a project's steps ask for from elsewhere: trees of repositories, files, and packages of the distribution.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::PipelineError;
use super::events::Activity;
use super::foundation::package_names;
use super::kept_tree::KeptTree;
use super::workshop::Workshop;
use crate::service::act::Fetched;
use crate::service::packages::name::PackageName;
use crate::service::root::run::Root;
use crate::service::steps::{Download, Fetch, StepPlan};
use crate::vocab::redact::redact;

/// Where files that are packages are seen in a private root: nothing of it is of the root.
const PLACE: &str = "/run/loci-packages";

/// What was fetched; trees go with it.
#[derive(Debug, Default)]
pub(super) struct StepSources {
    /// Where each lies.
    pub(super) places: Fetched,
    /// The commits that repositories were checked out at, in the order of the steps.
    pub(super) commits: Vec<String>,
    _trees: Vec<KeptTree>,
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
                    let url = redact(&git.url).into_owned();
                    let file = url.clone();
                    let task = workshop.events.start(Activity::Fetch { file, size: None });
                    let tree = task.run(|_| KeptTree::of(workshop, git)).await;
                    let tree = tree.map_err(|error| PipelineError::StepSource {
                        url,
                        source: Box::new(error),
                    })?;
                    sources.commits.push(tree.commit.clone());
                    let path = tree.path.clone();
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
async fn file(workshop: &Workshop, download: &Download) -> Result<PathBuf, PipelineError> {
    let name = download.file_name().to_owned();
    let task = workshop.events.start(Activity::Fetch { file: name, size: None });
    let fetch = |told: Arc<dyn Fn(u64) + Send + Sync>| async move {
        workshop.indexes.fetch_url(&download.url, Some(download.digest), &*told).await
    };
    let fetched = task.run(fetch).await?;
    Ok(workshop.store.path(&fetched.digest))
}

/// Packages of the distribution that steps fetch, as files that a package manager takes for packages. They go with
/// this.
#[derive(Debug)]
pub(super) struct PackageFiles {
    dir: tempfile::TempDir,
    /// Their paths below the directory.
    files: Vec<String>,
}

impl PackageFiles {
    /// Fetches them.
    ///
    /// # Errors
    /// When one is not to be had, or is another file.
    pub(super) async fn fetch(
        workshop: &Workshop,
        downloads: &[Download],
    ) -> Result<Self, PipelineError> {
        let mut dir = tempfile::Builder::new();
        let dir = dir.prefix("packages-").tempdir_in(workshop.store.tmp_dir())?;
        // Package managers read as users of their own.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let mut files = Vec::with_capacity(downloads.len());
        for (number, download) in downloads.iter().enumerate() {
            let fetched = file(workshop, download).await?;
            // Two of them may have one name.
            let folder = dir.path().join(number.to_string());
            std::fs::create_dir(&folder)?;
            std::fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
            let path = folder.join(download.file_name());
            std::fs::copy(fetched, &path)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
            files.push(format!("{number}/{}", download.file_name()));
        }
        Ok(Self { dir, files })
    }

    /// `root`, in which they are seen, and what they are called there.
    ///
    /// # Errors
    /// When a path is none that a package manager may be given.
    pub(super) fn seen_in(&self, root: Root) -> Result<(Root, Vec<PackageName>), PipelineError> {
        if self.files.is_empty() {
            return Ok((root, Vec::new()));
        }
        let place = match root.is_live() {
            true => self.dir.path(),
            false => Path::new(PLACE),
        };
        let names = self.files.iter().map(|file| place.join(file).display().to_string());
        let names = package_names(&names.collect::<Vec<_>>())?;
        Ok((root.with_bind(self.dir.path(), place)?, names))
    }
}
