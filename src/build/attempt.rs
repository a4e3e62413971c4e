//! [`Attempt`]: one try at a build: requirements, environment, hooks, checks.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Instant;

use fs_err as fs;
use pep440_rs::Version;

use super::backend::{Backend, HookError};
use super::builder::{
    BuildPhase, BuildRequest, Builder, Built, Manner, Provision, SourceNotes, blocking,
};
use super::cause::Cause;
use super::environment::{BuildEnvironment, EnvWheel};
use super::error::BuildError;
use super::key::{BuildKey, System};
use super::log::BuildLog;
use super::surroundings::Place;
use super::workspace::Workspace;
use crate::store::builds::BuildRecord;
use crate::store::error::StoreError;
use crate::store::layout::canonical_json;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::{Requirement, parse_lenient};
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::file::WheelFile;
use crate::wheel::repack::repack;

/// What a try gives.
pub(super) enum Outcome {
    Built(Box<Built>),
    /// The text of METADATA, when no wheel had to be built for it.
    Metadata(String),
}

/// Why a try gave nothing.
pub(super) enum Stop {
    /// It would have been the same as one before.
    NothingNew,
    Failed {
        error: BuildError,
        older_may_help: bool,
    },
}

impl<E: Into<BuildError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed { error: error.into(), older_may_help: false }
    }
}

/// The tries at one build share this.
pub(super) struct Attempt<'a> {
    pub(super) builder: &'a Builder,
    pub(super) request: &'a BuildRequest<'a>,
    pub(super) provision: &'a dyn Provision,
    pub(super) identity: Option<Digest>,
    pub(super) notes: &'a SourceNotes,
    pub(super) metadata_only: bool,
    pub(super) log: &'a mut BuildLog,
    /// The tree, once it is unpacked; taken by the try that builds in it.
    pub(super) workspace: &'a mut Option<Workspace>,
    /// The versions of setuptools that were tried.
    pub(super) seen: Vec<Version>,
}

impl Attempt<'_> {
    /// One try, with setuptools below `cap`.
    pub(super) async fn run(&mut self, cap: Option<&str>) -> Result<Outcome, Stop> {
        let again = !self.seen.is_empty();
        let known = self.metadata_key();
        if let Some(text) = known.and_then(|key| self.builder.store.memo("metadata").get(&key)) {
            return Ok(Outcome::Metadata(text));
        }
        if self.metadata_only
            && !again
            && let Some(text) = self.static_metadata().await?
        {
            return Ok(Outcome::Metadata(text));
        }
        let rule = self.request.rule;
        let mut constraints = rule.build_constraints.clone();
        if let Some(cap) = cap {
            let text = format!("setuptools<{cap}");
            constraints.push(parse_lenient(&text).expect("a name and a number are a requirement"));
        }
        let base: Vec<Requirement> =
            self.notes.system.requires().iter().chain(&rule.build_requires).cloned().collect();
        let mut wheels = self.provide(&base, &constraints, again).await?;
        if again || cap.is_some() {
            self.log.heading(&format!("trying again with {}", names(&wheels).join(" ")));
        }
        if again {
            // What an earlier try left in the tree must not be seen.
            self.workspace.take();
        }
        let more = self.requires_of_hook(&wheels).await?;
        if !more.is_empty() {
            let all: Vec<_> = base.iter().cloned().chain(more).collect();
            wheels = self.provide(&all, &constraints, false).await?;
        }
        if self.metadata_only
            && let Some(text) = self.prepared_metadata(&wheels).await?
        {
            return self.remembered(known, text);
        }
        let key = self.identity.map(|identity| self.key(identity, &wheels));
        if let Some(built) = key.as_ref().and_then(|key| self.reuse(key)) {
            return Ok(Outcome::Built(Box::new(built)));
        }
        self.build(key, &wheels).await.map(|built| Outcome::Built(Box::new(built)))
    }

    /// Wheels for `requirements`; [`Stop::NothingNew`] when their setuptools was tried before.
    async fn provide(
        &mut self,
        requirements: &[Requirement],
        constraints: &[Requirement],
        again: bool,
    ) -> Result<Vec<EnvWheel>, Stop> {
        let markers = self.builder.interpreter.target().markers();
        let wanted: Vec<_> =
            requirements.iter().filter(|r| r.evaluate_markers(markers, &[])).cloned().collect();
        if wanted.is_empty() {
            return if again { Err(Stop::NothingNew) } else { Ok(Vec::new()) };
        }
        (self.request.on_phase)(BuildPhase::Require);
        let mut wheels = self
            .provision
            .provide(&wanted, constraints)
            .await
            .map_err(|source| Stop::from(BuildError::Provision { source }))?;
        wheels.sort_by(|a, b| a.filename.cmp(&b.filename));
        let setuptools = wheels
            .iter()
            .find(|wheel| wheel.filename.name().as_ref() == "setuptools")
            .map(|wheel| wheel.filename.version());
        match setuptools {
            Some(version) if again && self.seen.contains(version) => Err(Stop::NothingNew),
            None if again => Err(Stop::NothingNew),
            Some(version) => {
                self.seen.push(version.clone());
                Ok(wheels)
            }
            None => Ok(wheels),
        }
    }

    /// What `get_requires_for_build_wheel` asks for, from memory where nothing it sees has changed.
    async fn requires_of_hook(&mut self, wheels: &[EnvWheel]) -> Result<Vec<Requirement>, Stop> {
        let memo = self.builder.store.memo("hooks");
        let key = self.identity.map(|identity| self.key(identity, wheels).digest());
        let texts = match key.and_then(|key| memo.get::<Vec<String>>(&key)) {
            Some(texts) => texts,
            None => {
                let environment = self.environment(wheels).await?;
                self.unpacked().await?;
                (self.request.on_phase)(BuildPhase::Ask);
                let start = self.log.heading("get_requires_for_build_wheel");
                let texts = match self.backend(&environment)?.requires_for_wheel().await {
                    Ok(texts) => texts,
                    Err(hook) => return Err(self.failed(hook, start)),
                };
                if let Some(key) = key {
                    memo.put(&key, &texts)?;
                }
                texts
            }
        };
        texts
            .into_iter()
            .map(|text| match parse_lenient(&text) {
                Ok(requirement) => Ok(requirement),
                Err(source) => {
                    Err(Stop::from(BuildError::Requirement { text, source: Box::new(source) }))
                }
            })
            .collect()
    }

    async fn build(&mut self, key: Option<BuildKey>, wheels: &[EnvWheel]) -> Result<Built, Stop> {
        let environment = self.environment(wheels).await?;
        self.unpacked().await?;
        let begin = Instant::now();
        let metadata = match self.request.manner {
            Manner::Direct => None,
            Manner::Prepared => self.prepare(&environment).await?,
        };
        (self.request.on_phase)(BuildPhase::Build);
        let start = self.log.heading("build_wheel");
        let backend = self.backend(&environment)?;
        let into = backend.scratch.join("wheel");
        let given = match backend.build_wheel(&into, metadata.as_deref()).await {
            Ok(given) => given,
            Err(hook) => return Err(self.failed(hook, start)),
        };
        let seconds = begin.elapsed().as_secs_f64();
        (self.request.on_phase)(BuildPhase::Keep);
        let filename: WheelFilename = given.value.parse().map_err(BuildError::Filename)?;
        self.check(&filename)?;
        let path = into.join(filename.as_str());
        let (store, epoch) = (self.builder.store.clone(), self.builder.surroundings.epoch());
        let name = filename.clone();
        let digest = blocking(&into, move || {
            let failed = |source| BuildError::Io { path: path.clone(), source };
            let file = WheelFile::open(&path).map_err(failed)?;
            // A zip writer seeks, a blob writer does not: the blob is copied from a file beside it.
            let mut packed = tempfile::tempfile_in(store.tmp_dir()).map_err(failed)?;
            repack(&file, &name, &mut packed, epoch)?;
            std::io::Seek::rewind(&mut packed).map_err(failed)?;
            let mut blob = store.writer()?;
            std::io::copy(&mut packed, &mut blob).map_err(failed)?;
            blob.flush().map_err(failed)?;
            Ok(blob.commit()?.0)
        })
        .await?;
        let log = self.log.store(&self.builder.store)?;
        let built = Built {
            digest,
            log,
            seconds,
            peak_memory: given.peak,
            key: key.as_ref().map(BuildKey::digest),
            reused: false,
            requires: names(wheels),
            filename,
        };
        if let Some(key) = key {
            self.record(&key, &built)?;
        }
        Ok(built)
    }

    /// Whether the wheel is what was wanted.
    fn check(&self, filename: &WheelFilename) -> Result<(), BuildError> {
        let request = self.request;
        let wheel = filename.to_string();
        if filename.name() != request.name
            || request.version.is_some_and(|v| v != filename.version())
        {
            let version = request.version.map_or(String::new(), |version| format!(" {version}"));
            return Err(BuildError::Release {
                wheel,
                expected: format!("{}{version}", request.name),
            });
        }
        let target = self.builder.interpreter.target();
        if target.tags().priority(filename.tags()).is_none() {
            return Err(BuildError::Tags { wheel, target: target.to_string() });
        }
        if request.rule.platform_wheel && filename.is_pure() {
            return Err(BuildError::Pure { wheel });
        }
        Ok(())
    }

    fn key(&self, identity: Digest, wheels: &[EnvWheel]) -> BuildKey {
        let builder = self.builder;
        BuildKey {
            environment: wheels
                .iter()
                .map(|wheel| (wheel.filename.to_string(), wheel.digest))
                .collect(),
            shaping: builder.surroundings.shaping().collect(),
            variables: self.request.rule.env.clone(),
            config_settings: self.request.rule.config_settings.clone(),
            epoch: builder.surroundings.epoch().seconds(),
            interpreter: builder.interpreter.identity().to_owned(),
            system: Some(System {
                platform: builder.interpreter.target().platform().to_string(),
                fingerprint: builder.fingerprint.digest(),
            }),
            manner: self.request.manner,
            ..BuildKey::new(identity)
        }
    }

    /// The wheel of this key, or of the same key on any system when that was pure.
    fn reuse(&self, key: &BuildKey) -> Option<Built> {
        let builds = self.builder.store.builds();
        [key.digest(), key.portable().digest()].into_iter().find_map(|key| {
            let record = builds.get(&key)?;
            self.check(&record.wheel).ok()?;
            Some(Built {
                filename: record.wheel,
                digest: record.digest,
                log: record.log,
                seconds: record.seconds,
                peak_memory: record.peak_memory,
                key: Some(key),
                reused: true,
                requires: record.requires,
            })
        })
    }

    fn record(&self, key: &BuildKey, built: &Built) -> Result<(), StoreError> {
        let builds = self.builder.store.builds();
        let record = BuildRecord {
            name: built.filename.name().clone(),
            version: built.filename.version().clone(),
            wheel: built.filename.clone(),
            digest: built.digest,
            log: built.log,
            seconds: built.seconds,
            peak_memory: built.peak_memory,
            requires: built.requires.clone(),
        };
        // The key it was built under first: whoever looks in between finds that one, as later ones do.
        builds.put(&key.digest(), &record)?;
        if built.filename.is_pure() && !self.notes.native {
            builds.put(&key.portable().digest(), &record)?;
        }
        Ok(())
    }

    /// The memory key of what the backend would say of this source with any environment.
    fn metadata_key(&self) -> Option<Digest> {
        let identity = self.identity.filter(|_| self.metadata_only)?;
        let interpreter = self.builder.interpreter.identity();
        Some(Digest::of(&canonical_json(&(identity, interpreter, &self.request.rule.env))))
    }

    fn remembered(&self, key: Option<Digest>, text: String) -> Result<Outcome, Stop> {
        if let Some(key) = key {
            self.builder.store.memo("metadata").put(&key, &text)?;
        }
        Ok(Outcome::Metadata(text))
    }

    /// PKG-INFO, when it promises to be what METADATA will be (PEP 643).
    async fn static_metadata(&mut self) -> Result<Option<String>, BuildError> {
        self.unpacked().await?;
        let Some(workspace) = self.workspace.as_ref() else { return Ok(None) };
        let Ok(bytes) = fs::read(workspace.tree().join("PKG-INFO")) else { return Ok(None) };
        let promised = CoreMetadata::parse(&bytes).is_ok_and(|m| {
            m.has_static_dependencies()
                && m.name == *self.request.name
                && self.request.version.is_none_or(|version| *version == m.version)
        });
        Ok(promised.then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn prepared_metadata(&mut self, wheels: &[EnvWheel]) -> Result<Option<String>, Stop> {
        let environment = self.environment(wheels).await?;
        self.unpacked().await?;
        let Some(directory) = self.prepare(&environment).await? else { return Ok(None) };
        let path = directory.join("METADATA");
        let bytes = fs::read(&path).map_err(|source| BuildError::Io { path, source })?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Has the backend write the wheel's `.dist-info` and says where; none when it cannot.
    async fn prepare(&mut self, environment: &BuildEnvironment) -> Result<Option<PathBuf>, Stop> {
        (self.request.on_phase)(BuildPhase::Metadata);
        let start = self.log.heading("prepare_metadata_for_build_wheel");
        let backend = self.backend(environment)?;
        let into = backend.scratch.join("metadata");
        match backend.prepare_metadata(&into).await {
            Ok(name) => Ok(name.map(|name| into.join(name))),
            Err(hook) => Err(self.failed(hook, start)),
        }
    }

    async fn environment(&self, wheels: &[EnvWheel]) -> Result<BuildEnvironment, BuildError> {
        (self.request.on_phase)(BuildPhase::Environment);
        Ok(self.builder.environments.make(&self.builder.interpreter, wheels).await?)
    }

    /// Makes sure that there is a tree.
    async fn unpacked(&mut self) -> Result<(), BuildError> {
        if self.workspace.is_none() {
            (self.request.on_phase)(BuildPhase::Unpack);
            *self.workspace = Some(self.builder.workspace(&self.request.source).await?);
        }
        Ok(())
    }

    fn backend(&self, environment: &BuildEnvironment) -> Result<Backend<'_>, BuildError> {
        let workspace = self.workspace.as_ref().expect("the tree is unpacked before a hook runs");
        let scratch = workspace.scratch();
        let jobs = self.request.jobs.max(1);
        // The one way to ask setuptools for parallel compilers without touching the project.
        let distutils = scratch.join("distutils.cfg");
        if jobs > 1 {
            fs::write(&distutils, format!("[build_ext]\nparallel={jobs}\n"))
                .map_err(|source| BuildError::Io { path: distutils.clone(), source })?;
        }
        let variables = self.builder.surroundings.variables(&Place {
            environment: environment.prefix(),
            tree: workspace.tree(),
            home: &scratch.join("home"),
            temporary: &scratch.join("tmp"),
            distutils: (jobs > 1).then_some(distutils.as_path()),
            jobs,
            overrides: &self.request.rule.env,
        });
        Ok(Backend {
            system: &self.notes.system,
            python: environment.python(),
            tree: workspace.tree(),
            scratch,
            variables,
            config_settings: &self.request.rule.config_settings,
            timeout: self.request.timeout,
            log: self.log.file(),
        })
    }

    fn failed(&self, hook: HookError, start: u64) -> Stop {
        let signal = match &hook {
            HookError::Exited { status, .. } => status.signal(),
            _ => None,
        };
        let cause = match &hook {
            HookError::Exited { .. } | HookError::NoAnswer { .. } => {
                Cause::of(&self.log.tail(start), signal)
            }
            _ => None,
        };
        let older_may_help =
            !self.seen.is_empty() && cause.as_ref().is_some_and(Cause::wants_older_setuptools);
        Stop::Failed { error: BuildError::Hook { hook, cause }, older_may_help }
    }
}

fn names(wheels: &[EnvWheel]) -> Vec<String> {
    let names: BTreeMap<_, _> = wheels.iter().map(|w| (w.filename.to_string(), ())).collect();
    names.into_keys().collect()
}
