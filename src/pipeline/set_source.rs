//! [`SetSource`]: what the resolver is told when there is only a fixed set of wheels.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use pep440_rs::Version;

use super::error::PipelineError;
use super::events::{Activity, Events};
use crate::image::offered::{LocatedWheel, OfferedWheel};
use crate::image::source::Source;
use crate::image::{Access, Progress, bring};
use crate::resolve::problem::{Candidate, MetadataSource};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::PackageName;
use crate::vocab::target::Target;
use crate::wheel::archive::WheelArchive;

/// The wheels of a set that fit a target: the most wanted one of each release.
#[derive(Clone)]
pub struct SetSource {
    releases: BTreeMap<PackageName, BTreeMap<Version, Member>>,
    /// Projects that are in the set, but in no wheel that fits.
    unfit: BTreeMap<PackageName, Vec<String>>,
    /// Brings the wheels that are elsewhere.
    supply: Supply,
}

#[derive(Clone)]
struct Member {
    wheel: OfferedWheel,
    metadata: OnceLock<Arc<CoreMetadata>>,
}

impl SetSource {
    /// The wheels of `set` that fit `target`; those that are elsewhere, `supply` brings.
    #[must_use]
    pub fn new(mut set: Source, target: &Target, supply: Supply) -> Self {
        let wheels = std::mem::take(&mut set.wheels);
        let supply = Supply { _set: Arc::new(set), ..supply };
        let mut source = Self { releases: BTreeMap::new(), unfit: BTreeMap::new(), supply };
        let rank = |wheel: &OfferedWheel| {
            let priority = target.tags().priority(wheel.filename.tags());
            priority.map(|priority| (priority, wheel.filename.build().cloned()))
        };
        for wheel in wheels {
            let name = wheel.filename.name().clone();
            let Some(rank_of_this) = rank(&wheel) else {
                source.unfit.entry(name).or_default().push(wheel.filename.to_string());
                continue;
            };
            let versions = source.releases.entry(name).or_default();
            let version = wheel.filename.version().clone();
            if versions.get(&version).is_none_or(|m| rank(&m.wheel) < Some(rank_of_this)) {
                versions.insert(version, Member { wheel, metadata: OnceLock::new() });
            }
        }
        source
    }

    /// The same set with one more wheel, in place of all others of its project.
    #[must_use]
    pub fn with(&self, wheel: LocatedWheel) -> Self {
        let (name, version) = (wheel.filename.name().clone(), wheel.filename.version().clone());
        let mut changed = self.clone();
        let member = Member { wheel: wheel.into(), metadata: OnceLock::new() };
        changed.releases.insert(name, BTreeMap::from([(version, member)]));
        changed
    }

    /// The wheel of a release.
    ///
    /// # Errors
    /// When the set has none that fits.
    pub fn wheel(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<&OfferedWheel, PipelineError> {
        self.member(name, version).map(|member| &member.wheel)
    }

    /// The wheels of these releases, in their order, on this machine. Of those that are elsewhere, what the
    /// store lacks comes.
    ///
    /// # Errors
    /// When the set has none that fits of one, or one is not to be had.
    pub async fn bring<'a>(
        &self,
        releases: impl IntoIterator<Item = (&'a PackageName, &'a Version)>,
    ) -> Result<Vec<LocatedWheel>, PipelineError> {
        let wheels = releases
            .into_iter()
            .map(|(name, version)| self.wheel(name, version))
            .collect::<Result<Vec<_>, _>>()?;
        self.supply.bring(&wheels).await
    }

    fn member(&self, name: &PackageName, version: &Version) -> Result<&Member, PipelineError> {
        self.releases.get(name).and_then(|versions| versions.get(version)).ok_or_else(|| {
            PipelineError::NoRelease { name: name.clone(), version: version.clone() }
        })
    }
}

impl Member {
    fn metadata(&self) -> Result<Arc<CoreMetadata>, PipelineError> {
        if let Some(metadata) = self.metadata.get() {
            return Ok(Arc::clone(metadata));
        }
        let metadata = match (&self.wheel.metadata, self.wheel.file()) {
            (Some(metadata), _) => Arc::clone(metadata),
            (None, Some(file)) => {
                let archive = WheelArchive::open(file.clone(), &self.wheel.filename)?;
                Arc::new(archive.metadata()?)
            }
            (None, None) => unreachable!("what is elsewhere is described by its index"),
        };
        Ok(Arc::clone(self.metadata.get_or_init(|| metadata)))
    }
}

impl MetadataSource for SetSource {
    type Error = PipelineError;

    fn versions(&self, name: &PackageName) -> Result<Vec<Candidate>, PipelineError> {
        if let Some(versions) = self.releases.get(name) {
            let newest_first = versions.keys().rev();
            return Ok(newest_first
                .map(|version| Candidate { version: version.clone(), yanked: false })
                .collect());
        }
        match self.unfit.get(name) {
            Some(files) => Err(PipelineError::Unfit { name: name.clone(), files: files.clone() }),
            None => Ok(Vec::new()),
        }
    }

    fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<CoreMetadata>, PipelineError> {
        self.member(name, version)?.metadata()
    }
}

/// Brings wheels, and says so.
#[derive(Clone)]
pub struct Supply {
    access: Access,
    events: Events,
    /// Keeps what the wheels stand in.
    _set: Arc<Source>,
}

impl Supply {
    /// Brings wheels by `access`.
    #[must_use]
    pub fn new(access: Access, events: Events) -> Self {
        Self { access, events, _set: Arc::default() }
    }

    async fn bring(&self, wheels: &[&OfferedWheel]) -> Result<Vec<LocatedWheel>, PipelineError> {
        let there: Progress = Arc::new(|_| {});
        let elsewhere: Vec<_> = wheels.iter().filter(|wheel| wheel.file().is_none()).collect();
        if elsewhere.is_empty() {
            return Ok(bring(wheels, &self.access, &there).await?);
        }
        let size = elsewhere.iter().map(|wheel| wheel.size).sum();
        let file = format!("{} wheels", elsewhere.len());
        let task = self.events.start(Activity::Fetch { file, size: Some(size) });
        let brought = task.run(|told| async move { bring(wheels, &self.access, &told).await });
        Ok(brought.await?)
    }
}

/// Reads a wheel and returns its digest, which must be the one its set promised, if it did.
///
/// # Errors
/// When the wheel cannot be read, or is not what was promised.
pub fn checked_digest(wheel: &LocatedWheel) -> Result<Digest, PipelineError> {
    let found = wheel.file.digest()?;
    match wheel.sha256 {
        Some(expected) if expected != found => {
            Err(PipelineError::Mismatch { file: wheel.filename.to_string(), expected, found })
        }
        _ => Ok(found),
    }
}
