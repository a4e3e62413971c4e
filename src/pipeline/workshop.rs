//! [`Workshop`]: what every job works with, made once at the start of a run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pep440_rs::Version;
use tokio::sync::OnceCell;

use super::bench::Bench;
use super::error::PipelineError;
use super::events::{Activity, Ending, Events};
use super::limits::Limits;
use super::release::Release;
use crate::build::builder::{BuildPhase, BuildRequest, BuildSource, Manner};
use crate::http::client::Client;
use crate::image::Access;
use crate::image::registry::Registries;
use crate::index::format_control::FormatControl;
use crate::index::indexes::Indexes;
use crate::index::no_fit::NoFit;
use crate::index::page::ProjectPage;
use crate::index::select::{Choice, Wanted};
use crate::input::document::Document;
use crate::input::rules::PackageRules;
use crate::resolve::problem::Prereleases;
use crate::store::Store;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::dist_file::DistFile;
use crate::vocab::redact::redact;
use crate::vocab::requirement::PackageName;
use crate::vocab::target::Target;

/// What every job works with. Nothing in it changes during a run but its caches.
pub struct Workshop {
    /// Where everything obtained is kept.
    pub store: Store,
    /// Makes requests.
    pub client: Client,
    /// Where images come from and go.
    pub registries: Registries,
    /// Where wheels and sdists come from.
    pub indexes: Indexes,
    /// The Python that wheels are for, and what builds them.
    pub bench: Bench,
    /// What single packages need.
    pub rules: PackageRules,
    /// Which formats may be used for which project.
    pub formats: FormatControl,
    /// When pre-releases may be chosen from an index.
    pub prereleases: Prereleases,
    /// Whether the source tree of a failed build is kept.
    pub keep_failed: bool,
    /// How long one hook of a build backend may take.
    pub build_timeout: Duration,
    /// How much runs at once.
    pub limits: Limits,
    /// Who is told what happens.
    pub events: Events,
    /// Metadata read in this run, so that nothing is asked for twice, even at the same moment.
    pub metadata: MetadataMemo,
}

/// Metadata by file, each read once a run.
#[derive(Default)]
pub struct MetadataMemo(Mutex<HashMap<String, Arc<OnceCell<Metadata>>>>);

/// None for an sdist that promises nothing.
type Metadata = Option<Arc<CoreMetadata>>;

impl Workshop {
    /// What images and sets are reached by.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            store: self.store.clone(),
            client: self.client.clone(),
            registries: self.registries.clone(),
        }
    }

    /// The Python and platform that wheels are for, where the bench is ready.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.bench.interpreter().target()
    }

    /// The files of a project on the indexes.
    ///
    /// # Errors
    /// When an index cannot be asked or gives no sense.
    pub async fn page(&self, name: &PackageName) -> Result<Arc<ProjectPage>, PipelineError> {
        let _permit = self.limits.pages.acquire().await.expect("the semaphore is never closed");
        let task = self.events.start(Activity::Page { project: name.to_string() });
        match self.indexes.page(name).await {
            Ok(page) => {
                task.end(Ending::Done);
                Ok(page)
            }
            Err(error) => {
                task.end(Ending::Failed { cause: error.to_string(), log: None });
                Err(error.into())
            }
        }
    }

    /// The best file of a release, or why there is none.
    ///
    /// # Errors
    /// When an index cannot be asked or gives no sense.
    pub async fn choose(
        &self,
        name: &PackageName,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Choice, NoFit>, PipelineError> {
        // The page first, under the limit and told as a task; what the choice asks again is rare.
        self.page(name).await?;
        Ok(self.indexes.choose(name, wanted, self.target(), &self.formats).await?)
    }

    /// The source archive of a release, whatever formats are wanted; none when there is none.
    ///
    /// # Errors
    /// When an index cannot be asked or gives no sense.
    pub async fn sdist(&self, release: &Release) -> Result<Option<DistFile>, PipelineError> {
        self.page(&release.name).await?;
        let sources = FormatControl::default()
            .no_binary(release.name.as_ref())
            .expect("a package name is a project's name");
        let choice =
            self.indexes.choose(&release.name, &release.wanted(), self.target(), &sources).await?;
        Ok(match choice {
            Ok(Choice::Sdist(file)) => Some(file),
            Ok(Choice::Wheel(_)) | Err(_) => None,
        })
    }

    /// The core metadata of a file on an index, read without fetching it where that works; none for an
    /// sdist whose metadata only its build tells.
    ///
    /// # Errors
    /// When the index cannot be asked or the metadata makes no sense.
    pub async fn metadata(
        &self,
        file: &DistFile,
    ) -> Result<Option<Arc<CoreMetadata>>, PipelineError> {
        let cell = {
            let mut memo = self.metadata.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(memo.entry(file.filename.as_str().to_owned()).or_default())
        };
        let metadata = cell
            .get_or_try_init(|| async {
                let _permit =
                    self.limits.pages.acquire().await.expect("the semaphore is never closed");
                let release = file.filename.as_str().to_owned();
                let task = self.events.start(Activity::Metadata { release });
                match self.indexes.metadata(file).await {
                    Ok(metadata) => {
                        task.end(Ending::Done);
                        Ok(metadata.map(Arc::new))
                    }
                    Err(error) => {
                        task.end(Ending::Failed { cause: error.to_string(), log: None });
                        Err(PipelineError::from(error))
                    }
                }
            })
            .await?;
        Ok(metadata.clone())
    }

    /// Why the package rules leave a project out, if they do.
    #[must_use]
    pub fn omission(&self, name: &PackageName) -> Option<String> {
        let rule = self.rules.get(name);
        let arch = self.target().platform().arch();
        rule.drop.clone().or_else(|| {
            let skipped = rule.skip_arch.iter().any(|skipped| skipped == arch);
            skipped.then(|| format!("it is not built on {arch}"))
        })
    }

    /// What is wanted of a build of `name` from `source`.
    #[must_use]
    pub fn build_request<'a>(
        &'a self,
        name: &'a PackageName,
        version: Option<&'a Version>,
        source: BuildSource,
        on_phase: &'a (dyn Fn(BuildPhase) + Send + Sync),
    ) -> BuildRequest<'a> {
        BuildRequest {
            name,
            version,
            source,
            manner: Manner::Direct,
            rule: self.rules.get(name),
            jobs: self.limits.jobs,
            keep_failed: self.keep_failed,
            timeout: Some(self.build_timeout),
            on_phase,
        }
    }

    /// Reads texts that the user named by their paths or URLs, in that order.
    ///
    /// # Errors
    /// When one cannot be read, or is an HTML page.
    pub async fn documents(&self, locations: &[String]) -> Result<Vec<Document>, PipelineError> {
        let mut documents = Vec::with_capacity(locations.len());
        for location in locations {
            documents.push(self.document(location).await?);
        }
        Ok(documents)
    }

    /// Reads a text that the user named by its path or its URL.
    ///
    /// # Errors
    /// When it cannot be read, or is an HTML page.
    pub async fn document(&self, location: &str) -> Result<Document, PipelineError> {
        read_document(&self.client, location).await
    }
}

/// Reads a text that the user named by its path or its URL.
///
/// # Errors
/// When it cannot be read, or is an HTML page.
pub async fn read_document(client: &Client, location: &str) -> Result<Document, PipelineError> {
    let is_url = ["http://", "https://", "file://"].iter().any(|s| location.starts_with(s));
    if !is_url {
        return Ok(Document::read(Path::new(location))?);
    }
    let url = url::Url::parse(location)
        .map_err(|source| PipelineError::Location { location: redact(location).into(), source })?;
    let text = client.text(&url).await?;
    Ok(Document::new(location, text.text))
}
