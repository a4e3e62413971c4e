//! A service in the root file system that this process is in: what a Dockerfile's RUN does.
//!
//! It is what an image made without an engine has, by the same plans: the distribution's packages, the user
//! and its directories, the environment, the project's steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::blocking;
use super::compose::OpenSet;
use super::error::PipelineError;
use super::events::{Activity, Events, Stage, Task};
use super::foundation::{package_names, packages_of};
use super::install::{extend_all, install_all};
use super::service_files::{Footing, service_files};
use super::spec::{ServiceSpec, Site, scheme};
use super::step_sources::{PackageFiles, StepSources};
use super::tools::{Tool, tools};
use super::workshop::Workshop;
use crate::image::reference::Reference;
use crate::input::document::Document;
use crate::service::account::AccountFiles;
use crate::service::act;
use crate::service::environment::Visible;
use crate::service::facts::RootFacts;
use crate::service::node;
use crate::service::packages::name::PackageName;
use crate::service::packages::{Changed, Packages, PackagesError};
use crate::service::prefix::{Existing, Prefix, PrefixError};
use crate::service::present::Present;
use crate::service::project_account::{ENVIRONMENT, environment};
use crate::service::root::difference::Difference;
use crate::service::root::leftovers::Leftovers;
use crate::service::root::run::Root;
use crate::service::root::snapshot::Snapshot;
use crate::service::run_step;
use crate::service::skeleton::{ids, skeleton};
use crate::service::steps::StepPlan;
use crate::vocab::distro::Distro;

/// The service that is no service: what wheels are compiled with.
pub const REQUIREMENTS: &str = "requirements";

/// A service to be put into a root, whose packages are there.
pub struct RootJob {
    /// The service.
    pub spec: ServiceSpec,
    /// What stands in the root.
    pub ground: PreparedRoot,
    /// The set of wheels.
    pub wheels: Reference,
    /// Pins to keep to, in place of those that the set brings.
    pub constraints: Vec<Document>,
    /// When the image is said to have been made, in seconds since 1970.
    pub epoch: u64,
}

/// A root with the distribution's packages that a service needs.
pub struct PreparedRoot {
    root: Root,
    distro: Distro,
    /// The service, on this distribution.
    pub site: Site,
    /// What is there only for as long as sources are fetched.
    lent: Vec<PackageName>,
}

/// What was put into a root.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RootSummary {
    /// The service.
    pub project: String,
    /// Every Python package, `name==version`, by name.
    pub packages: Vec<String>,
    /// The distribution's packages that were asked for.
    pub distribution: Vec<String>,
    /// Files of the environment.
    pub files: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl PreparedRoot {
    /// Installs the packages that `spec` needs in the root that this process is in.
    ///
    /// # Errors
    /// When the root does not say what it is, a package cannot be had, or the service's user cannot be as it is
    /// wanted.
    pub async fn prepare(
        spec: &ServiceSpec,
        epoch: u64,
        events: &Events,
    ) -> Result<Self, PipelineError> {
        events.stage(Stage::Install, None);
        let root = Root::live().with_epoch(epoch);
        let os_release = RootFacts::os_release(root.dir())?;
        let found = match (Distro::from_os_release(&os_release), &spec.distro) {
            (Ok(found), _) => found,
            (Err(_), Some(distro)) => distro.clone(),
            (Err(source), None) => {
                let base = root.dir().display().to_string();
                return Err(PipelineError::UnknownDistro { base, source });
            }
        };
        // Packages add users and take none away: who is in the way now will be afterwards.
        skeleton(&spec.name, spec.account.as_ref(), &accounts()?, &StepPlan::default())?;
        let site = spec.on(&found, events)?;
        let prepared = Self { root, distro: site.distro.clone(), site, lent: Vec::new() };
        let names = package_names(&prepared.site.packages.names)?;
        prepared.install(names, events).await?;
        Ok(prepared)
    }

    async fn install(
        &self,
        names: Vec<PackageName>,
        events: &Events,
    ) -> Result<Changed, PipelineError> {
        let file = format!("{} packages of {}", names.len(), self.distro);
        let task = events.start(Activity::Install { file });
        self.change(task, move |packages| {
            packages.install(&names, &mut |line| tracing::debug!("{line}"))
        })
        .await
    }

    /// Installs the packages that steps fetch.
    async fn install_files(&self, workshop: &Workshop) -> Result<(), PipelineError> {
        let downloads = &self.site.packages.files;
        if downloads.is_empty() {
            return Ok(());
        }
        let files = PackageFiles::fetch(workshop, downloads).await?;
        let (_, names) = files.seen_in(self.root.clone())?;
        self.install(names, &workshop.events).await.map(drop)
    }

    /// Installs what the root lacks of these `tools`, until [`PreparedRoot::take_back`].
    async fn lend(&mut self, tools: &[Tool], events: &Events) -> Result<(), PipelineError> {
        let missing = tools.iter().filter(|tool| !self.root.has_program(tool.program()));
        let manager = self.distro.manager();
        let packages = missing.filter_map(|tool| Some(tool.package(manager?).to_owned()));
        let names = package_names(&packages.collect::<Vec<_>>())?;
        if !names.is_empty() {
            let added = self.install(names, events).await?.added;
            self.lent = package_names(&added.into_keys().collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Takes away what was lent, with the users that came with it, for there were only those `before`; says which
    /// packages are there then.
    async fn take_back(
        &self,
        before: &AccountFiles,
        events: &Events,
    ) -> Result<BTreeMap<String, String>, PipelineError> {
        if !self.lent.is_empty() {
            let lent = self.lent.clone();
            let names: Vec<_> = lent.iter().map(ToString::to_string).collect();
            let packages = names.join(", ");
            let task = events.start(Activity::Remove { packages });
            let gone = self
                .change(task, move |packages| {
                    packages.remove(&lent, &mut |line| tracing::debug!("{line}"))
                })
                .await?;
            for name in gone.removed.keys().filter(|name| !names.contains(*name)) {
                events.warn(format!("`{name}` went with what was there to fetch sources"));
            }
            node::write(self.root.dir(), &before.changed_since(&accounts()?))?;
        }
        let (root, distro) = (self.root.clone(), self.distro.clone());
        blocking(move || Ok(packages_of(&root, &distro)?.installed()?)).await
    }

    async fn look(&self) -> Result<Snapshot, PipelineError> {
        let root = self.root.clone();
        blocking(move || Ok(Snapshot::of(root.dir())?)).await
    }

    /// Removes what has been left over since it was looked at.
    async fn tidy(&self, snapshot: Snapshot, leftovers: Leftovers) -> Result<(), PipelineError> {
        let root = self.root.clone();
        let tidy = move || Ok(Difference::settle(&snapshot, root.dir(), &leftovers)?);
        blocking(tidy).await.map(drop)
    }

    async fn change(
        &self,
        task: Task,
        change: impl FnOnce(&Packages<'_>) -> Result<Changed, PackagesError> + Send + 'static,
    ) -> Result<Changed, PipelineError> {
        let (root, distro) = (self.root.clone(), self.distro.clone());
        let change = move || Ok(change(&packages_of(&root, &distro)?)?);
        task.run(|_| blocking(change)).await
    }
}

fn accounts() -> Result<AccountFiles, PipelineError> {
    Ok(AccountFiles::read(Path::new("/"))?)
}

fn prefix() -> PathBuf {
    Path::new("/").join(ENVIRONMENT)
}

/// Puts the service into the root.
///
/// # Errors
/// When the set lacks something, a project does not build, a user's number is somebody else's, or a step
/// fails; what was done before that stays, as in a RUN whose layer is thrown away.
pub async fn service_root(
    workshop: Arc<Workshop>,
    job: RootJob,
) -> Result<RootSummary, PipelineError> {
    let begun = Instant::now();
    let RootJob { spec, mut ground, wheels, constraints, epoch } = job;
    ground.install_files(&workshop).await?;
    // Only now all those are there whom packages bring.
    let before = accounts()?;
    let ids = ids(&spec.name, spec.account.as_ref(), &before)?;
    let plan = spec.plan(&ground.site, &scheme(workshop.target().minor()), ids)?;
    let skeleton = skeleton(&spec.name, spec.account.as_ref(), &before, &plan)?;
    ground.lend(&tools(&spec.wants, &plan), &workshop.events).await?;
    workshop.events.stage(Stage::Resolve, None);
    let unbuilt = match spec.wants.has_source() {
        true => Some(ground.look().await?),
        false => None,
    };
    let set = OpenSet::open(&workshop, &wheels, &constraints, workshop.target()).await?;
    let composed = set.compose(&workshop, &ground.site.wants).await?;
    let present = blocking(|| {
        let prefix = prefix();
        Ok(Present::read(Path::new("/"), &environment())
            .map_err(|source| PrefixError::Look { prefix, source })?)
    });
    let minor = workshop.target().minor();
    let composed = composed.beside(present.await?, minor, &workshop.events)?;
    let sources = StepSources::fetch(&workshop, &plan).await?;
    if let Some(unbuilt) = unbuilt {
        ground.tidy(unbuilt, Leftovers::of_builds()).await?;
    }
    let installed = ground.take_back(&before, &workshop.events).await?;

    let project = spec.name.to_string();
    let mut nodes = skeleton;
    let (root, events) = (ground.root.clone(), workshop.events.clone());
    let packages = composed.freeze();
    let (distro, release) = (ground.distro.clone(), spec.release.clone());
    let files = blocking(move || {
        let known = Footing { distro: &distro, packages: &installed, base: None, epoch };
        nodes.extend(service_files((&project, release.as_deref()), &composed, &known)?.0);
        node::write(root.dir(), &nodes)?;
        let prefix = Prefix { path: prefix(), existing: Existing::Keep, visible: Visible::System };
        let files = match composed.present() {
            None => install_all(&workshop, &prefix, &composed)?,
            Some(present) => extend_all(&workshop, (&prefix.path, present), &composed)?,
        };
        let task = events.start(Activity::Run { step: project_steps(&plan) });
        let act =
            || act::act(root.dir(), &plan, &sources.places, &mut |step| run_step::run(&root, step));
        if plan.needs_root() {
            let snapshot = Snapshot::of(root.dir())?;
            Difference::settle(&snapshot, root.dir(), &Leftovers::of_commands(act()?))?;
        } else {
            act()?;
        }
        drop(task);
        Ok(files)
    })
    .await?;
    Ok(RootSummary {
        project: spec.name.to_string(),
        packages,
        distribution: ground.site.packages.listed(),
        files,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn project_steps(plan: &StepPlan) -> String {
    format!("{} steps", plan.acts().len())
}
