//! [`Builder`]: turns sources into wheels in the store.
//!
//! A build is tried with what its project asks for; when its log says that setuptools is too new
//! for it, it is tried again with older ones, and what worked is remembered. Each try is in
//! `attempt`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use pep440_rs::Version;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Outcome, Stop};
use super::environment::{EnvWheel, Environments};
use super::error::{BuildError, BuildFailure, ProvisionError};
use super::interpreter::Interpreter;
use super::key::SystemFingerprint;
use super::log::BuildLog;
use super::surroundings::Surroundings;
use super::system::BuildSystem;
use super::workspace::Workspace;
use crate::input::rules::PackageRule;
use crate::store::Store;
use crate::store::memo::Memo;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::vocab::sdist_filename::SdistFormat;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

/// The caps on setuptools to fall back to, in turn: 82 left `pkg_resources` out, 81 and 72 options
/// and the `test` command, 66 versions that are not PEP 440, 60 the standard library's `distutils`,
/// 58 `use_2to3`.
const CAPS: [&str; 6] = ["82", "81", "72", "66", "60", "58"];

/// Hands over the wheels that requirements resolve to.
pub trait Provision: Send + Sync {
    /// The wheels of `requirements` and all that they require, for the interpreter of the build,
    /// within `constraints`.
    fn provide<'a>(
        &'a self,
        requirements: &'a [Requirement],
        constraints: &'a [Requirement],
    ) -> BoxFuture<'a, Result<Vec<EnvWheel>, ProvisionError>>;
}

/// What is built.
#[derive(Debug, Clone)]
pub enum BuildSource {
    /// A source archive.
    Sdist {
        /// Where it is.
        path: PathBuf,
        /// How it is packed.
        format: SdistFormat,
        /// The SHA-256 of its bytes.
        digest: Digest,
    },
    /// A directory.
    Tree {
        /// Where it is; it stays as it is.
        path: PathBuf,
        /// What changes whenever the directory's content does, for example the digest of a git
        /// commit's name; with none, its wheel is built each time.
        identity: Option<Digest>,
    },
}

impl BuildSource {
    fn identity(&self) -> Option<Digest> {
        match self {
            Self::Sdist { digest, .. } => Some(*digest),
            Self::Tree { identity, .. } => *identity,
        }
    }
}

/// Which hooks make the wheel. They may disagree over stray files in a source tree's `.egg-info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// `build_wheel` alone, as `python -m build` calls it: one start of Python less.
    Direct,
    /// `prepare_metadata_for_build_wheel` first, as pip does when it installs a project.
    Prepared,
}

/// What is wanted of one build.
pub struct BuildRequest<'a> {
    /// The project.
    pub name: &'a PackageName,
    /// The version the wheel must have, when it is known.
    pub version: Option<&'a Version>,
    /// What it is built from.
    pub source: BuildSource,
    /// Which hooks make it.
    pub manner: Manner,
    /// What this package needs.
    pub rule: &'a PackageRule,
    /// How many processes it may use at once; at least 1.
    pub jobs: u32,
    /// Whether the tree stays when the build fails.
    pub keep_failed: bool,
    /// How long one hook may take.
    pub timeout: Option<Duration>,
    /// Told when the build goes over to another phase.
    pub on_phase: &'a (dyn Fn(BuildPhase) + Send + Sync),
}

/// What a build is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPhase {
    /// The source is unpacked.
    Unpack,
    /// Build requirements are provided.
    Require,
    /// The environment is made.
    Environment,
    /// The backend is asked what more it needs.
    Ask,
    /// The backend prepares metadata.
    Metadata,
    /// The backend builds the wheel.
    Build,
    /// The wheel is checked and kept.
    Keep,
}

impl BuildPhase {
    /// The phase for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpack => "unpacking",
            Self::Require => "getting build requirements",
            Self::Environment => "making the environment",
            Self::Ask => "asking for requirements",
            Self::Metadata => "preparing metadata",
            Self::Build => "building",
            Self::Keep => "checking the wheel",
        }
    }
}

impl fmt::Display for BuildPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A wheel that was built, now or before.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Its file name.
    pub filename: WheelFilename,
    /// Its blob in the store.
    pub digest: Digest,
    /// The log's blob.
    pub log: Digest,
    /// How long the build took when it was done, in seconds.
    pub seconds: f64,
    /// The most memory that one of its processes held, in bytes.
    pub peak_memory: Option<u64>,
    /// The build key's digest; none for a tree without identity.
    pub key: Option<Digest>,
    /// Whether it was in the store already.
    pub reused: bool,
    /// The wheels of the build environment, sorted.
    pub requires: Vec<String>,
}

/// What is remembered of a source, so that an unchanged one need not be unpacked again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SourceNotes {
    pub(super) system: BuildSystem,
    pub(super) native: bool,
    /// The cap on setuptools that it was built with.
    pub(super) cap: Option<String>,
}

/// Builds for one interpreter into one store.
#[derive(Debug)]
pub struct Builder {
    pub(super) interpreter: Interpreter,
    pub(super) store: Store,
    pub(super) surroundings: Surroundings,
    pub(super) fingerprint: SystemFingerprint,
    pub(super) environments: Environments,
}

impl Builder {
    /// A builder; environments and temporary files are in the store's folders.
    #[must_use]
    pub fn new(
        interpreter: Interpreter,
        store: Store,
        surroundings: Surroundings,
        fingerprint: SystemFingerprint,
    ) -> Self {
        let environments = Environments::new(store.clone());
        Self { interpreter, store, surroundings, fingerprint, environments }
    }

    /// The interpreter that wheels are for.
    #[must_use]
    pub const fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Builds the wheel, or finds it built.
    ///
    /// # Errors
    /// [`BuildFailure`], with the log in the store once a backend has run. Dropping the future kills
    /// what it started.
    pub async fn build(
        &self,
        request: &BuildRequest<'_>,
        provision: &dyn Provision,
    ) -> Result<Built, Box<BuildFailure>> {
        self.run(request, provision, false).await.map(|outcome| match outcome {
            Outcome::Built(built) => *built,
            Outcome::Metadata(_) => unreachable!("only `metadata` asks for metadata"),
        })
    }

    /// What the wheel's METADATA will say: from PKG-INFO where it promises to be the same (PEP 643),
    /// else by the backend, which builds the wheel if need be.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn metadata(
        &self,
        request: &BuildRequest<'_>,
        provision: &dyn Provision,
    ) -> Result<CoreMetadata, Box<BuildFailure>> {
        let bytes = match self.run(request, provision, true).await? {
            Outcome::Metadata(text) => text.into_bytes(),
            Outcome::Built(built) => WheelFile::open(&self.store.path(&built.digest))
                .map_err(|source| BuildError::Io { path: self.store.path(&built.digest), source })
                .and_then(|file| Ok(WheelArchive::open(file, &built.filename)?.metadata_bytes()?))
                .map_err(plain_failure)?,
        };
        CoreMetadata::parse(&bytes)
            .map_err(|error| plain_failure(BuildError::Metadata { reason: error.to_string() }))
    }

    async fn run(
        &self,
        request: &BuildRequest<'_>,
        provision: &dyn Provision,
        metadata_only: bool,
    ) -> Result<Outcome, Box<BuildFailure>> {
        let mut log = BuildLog::new(&self.store.tmp_dir()).map_err(plain_failure)?;
        let mut workspace = None;
        let result =
            self.try_in_turn(request, provision, metadata_only, &mut log, &mut workspace).await;
        result.map_err(|(error, tried)| {
            let log = log.keep(&self.store);
            Box::new(BuildFailure {
                error,
                log_path: log.map(|digest| self.store.path(&digest)),
                log,
                tree: workspace.filter(|_| request.keep_failed).map(Workspace::keep),
                tried,
            })
        })
    }

    async fn try_in_turn(
        &self,
        request: &BuildRequest<'_>,
        provision: &dyn Provision,
        metadata_only: bool,
        log: &mut BuildLog,
        workspace: &mut Option<Workspace>,
    ) -> Result<Outcome, (BuildError, Vec<String>)> {
        let notes = self.notes(request, workspace).await.map_err(|error| (error, Vec::new()))?;
        let mut attempt = Attempt {
            builder: self,
            request,
            provision,
            identity: request.source.identity(),
            notes: &notes,
            metadata_only,
            log,
            workspace,
            seen: Vec::new(),
        };
        let first = notes.cap.as_deref();
        let mut tried = Vec::new();
        let mut failure = None;
        let older = CAPS.into_iter().skip_while(|cap| {
            // After a remembered cap only lower ones are of use.
            let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
            first.is_some_and(|first| number(cap) >= number(first))
        });
        for cap in std::iter::once(first).chain(older.map(Some)) {
            match attempt.run(cap).await {
                Ok(outcome) => {
                    if let (Some(cap), true, Some(identity)) = (cap, cap != first, attempt.identity)
                    {
                        let notes = SourceNotes { cap: Some(cap.into()), ..notes.clone() };
                        // Not remembered, it is found out again.
                        let _ = self.source_memo().put(&identity, &notes);
                    }
                    return Ok(outcome);
                }
                Err(Stop::NothingNew) => {}
                // There is no setuptools this old that the project takes.
                Err(Stop::Failed { error: BuildError::Provision { .. }, .. })
                    if failure.is_some() =>
                {
                    break;
                }
                Err(Stop::Failed { error, older_may_help }) => {
                    tried.push(cap.map_or("setuptools".into(), |cap| format!("setuptools<{cap}")));
                    // A later failure tells more only if it is of another kind.
                    if failure.is_none() || !older_may_help && is_of_a_hook(&error) {
                        failure = Some(error);
                    }
                    if !older_may_help {
                        break;
                    }
                }
            }
        }
        if tried.len() == 1 {
            tried.clear();
        }
        let error = failure.expect("the first try either succeeds or fails");
        Err((error, tried))
    }

    /// What is known of the source, from memory or by a look into it.
    async fn notes(
        &self,
        request: &BuildRequest<'_>,
        workspace: &mut Option<Workspace>,
    ) -> Result<SourceNotes, BuildError> {
        let identity = request.source.identity();
        if let Some(notes) = identity.and_then(|identity| self.source_memo().get(&identity)) {
            return Ok(notes);
        }
        (request.on_phase)(BuildPhase::Unpack);
        let made = self.workspace(&request.source).await?;
        let notes = SourceNotes {
            system: BuildSystem::read(made.tree())?,
            native: made.has_native_sources(),
            cap: None,
        };
        *workspace = Some(made);
        if let Some(identity) = identity {
            self.source_memo().put(&identity, &notes)?;
        }
        Ok(notes)
    }

    pub(super) async fn workspace(&self, source: &BuildSource) -> Result<Workspace, BuildError> {
        let (source, tmp) = (source.clone(), self.store.tmp_dir());
        blocking(&self.store.tmp_dir(), move || Workspace::make(&source, &tmp)).await
    }

    fn source_memo(&self) -> Memo {
        self.store.memo("sources")
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(BuildError::Io { path: place.into(), source: std::io::Error::other(error) })
        }
    }
}

fn is_of_a_hook(error: &BuildError) -> bool {
    matches!(error, BuildError::Hook { .. })
}

fn plain_failure(error: BuildError) -> Box<BuildFailure> {
    Box::new(BuildFailure { error, log: None, log_path: None, tree: None, tried: Vec::new() })
}
