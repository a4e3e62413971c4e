//! [`IndexSource`]: what the resolver is told when it may ask the indexes.
//!
//! The resolver is plain blocking code on a thread of its own; its questions are answered by the
//! runtime's tasks. Prefetching starts such tasks early, so that the answers are there in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use pep440_rs::Version;
use tokio::runtime::Handle;

use super::error::PipelineError;
use super::obtain::Obtainer;
use super::release::{Lineage, Release};
use crate::index::select::{Choice, Wanted, candidates, select};
use crate::resolve::problem::{Candidate, MetadataSource};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::dist_file::DistFile;
use crate::vocab::requirement::PackageName;

/// Releases that are there already, with their metadata.
pub type Known = BTreeMap<PackageName, (Version, Arc<CoreMetadata>)>;

/// Answers the resolver from the indexes; the backend of an sdist is asked for what the index
/// does not tell.
#[derive(Clone)]
pub struct IndexSource {
    obtainer: Arc<Obtainer>,
    lineage: Lineage,
    runtime: Handle,
    known: Arc<Known>,
}

impl IndexSource {
    /// A source for the innermost build of `lineage`, or for no build.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(obtainer: Arc<Obtainer>, lineage: Lineage) -> Self {
        Self { obtainer, lineage, runtime: Handle::current(), known: Arc::default() }
    }

    /// The same source, but for these releases it answers from here: they are obtained already.
    #[must_use]
    pub fn with_known(&self, known: &Known) -> Self {
        Self { known: Arc::new(known.clone()), ..self.clone() }
    }

    async fn versions_now(
        obtainer: &Obtainer,
        name: &PackageName,
    ) -> Result<Vec<Candidate>, PipelineError> {
        let workshop = &obtainer.workshop;
        let page = workshop.page(name).await?;
        Ok(candidates(&page, workshop.target(), &workshop.formats)
            .into_iter()
            .map(|release| Candidate { version: release.version.clone(), yanked: release.yanked })
            .collect())
    }

    /// The best file of one release; the other releases on its page are not looked at.
    async fn file(
        obtainer: &Obtainer,
        name: &PackageName,
        version: &Version,
    ) -> Result<DistFile, PipelineError> {
        let workshop = &obtainer.workshop;
        let page = workshop.page(name).await?;
        let wanted = Wanted::Version(version);
        match select(&page, &wanted, workshop.target(), &workshop.formats) {
            Ok(Choice::Wheel(file) | Choice::Sdist(file)) => Ok(file),
            Err(_) => {
                Err(PipelineError::NoRelease { name: name.clone(), version: version.clone() })
            }
        }
    }

    async fn metadata_now(
        obtainer: &Arc<Obtainer>,
        lineage: &Lineage,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<CoreMetadata>, PipelineError> {
        let file = Self::file(obtainer, name, version).await?;
        if let Some(metadata) = obtainer.workshop.metadata(&file).await? {
            return Ok(metadata);
        }
        // Only its backend tells what this sdist needs. The wheel of a pin that a build needs is going
        // to be built anyway, and must not be built twice.
        if lineage.innermost().is_some()
            && let Some(pin) = obtainer.pins.get(name)
            && pin.version == *version
        {
            let obtained = obtainer.obtain(Release::pinned(pin), lineage.clone()).await?;
            return Ok(Arc::clone(&obtained.metadata));
        }
        let release = Release { name: name.clone(), version: version.clone(), exact: None };
        let metadata = obtainer.sdist_metadata(&release, &file, lineage).await?;
        Ok(Arc::new(metadata))
    }
}

impl MetadataSource for IndexSource {
    type Error = PipelineError;

    fn versions(&self, name: &PackageName) -> Result<Vec<Candidate>, PipelineError> {
        if let Some((version, _)) = self.known.get(name) {
            return Ok(vec![Candidate { version: version.clone(), yanked: false }]);
        }
        self.runtime.block_on(Self::versions_now(&self.obtainer, name))
    }

    fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<CoreMetadata>, PipelineError> {
        if let Some((known, metadata)) = self.known.get(name)
            && known == version
        {
            return Ok(Arc::clone(metadata));
        }
        let metadata = Self::metadata_now(&self.obtainer, &self.lineage, name, version);
        self.runtime.block_on(metadata)
    }

    fn prefetch(&self, wanted: &[(PackageName, Option<Version>)]) {
        for (name, version) in wanted {
            if self.known.contains_key(name) {
                continue;
            }
            let obtainer = Arc::clone(&self.obtainer);
            let (name, version) = (name.clone(), version.clone());
            self.runtime.spawn(async move {
                // A failure comes up again when the resolver itself asks, if it ever does.
                let version = match version {
                    Some(version) => Some(version),
                    None => Self::versions_now(&obtainer, &name)
                        .await
                        .ok()
                        .and_then(|all| all.into_iter().map(|candidate| candidate.version).next()),
                };
                // Nothing is built ahead: what only a backend tells is asked for when it is needed.
                if let Some(version) = version
                    && let Ok(file) = Self::file(&obtainer, &name, &version).await
                {
                    let _ = obtainer.workshop.metadata(&file).await;
                }
            });
        }
    }
}
