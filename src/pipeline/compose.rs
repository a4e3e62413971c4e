//! What a service consists of: its project and all that goes with it, resolved against a set of wheels
//! alone, and brought here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::blocking;
use super::error::PipelineError;
use super::events::{Activity, Events};
use super::project::{ProjectWheel, project_wheel};
use super::provision::SetProvision;
use super::set_source::{SetSource, Supply, checked_digest};
use super::workshop::Workshop;
use crate::image::Progress;
use crate::image::offered::LocatedWheel;
use crate::image::reference::Reference;
use crate::image::source::Source;
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::input::pins::Pins;
use crate::input::project::ProjectSource;
use crate::resolve::lock::Lock;
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::{Resolution, resolve};
use crate::service::environment::Installation;
use crate::service::image_info::LOCK;
use crate::service::present::Present;
use crate::service::project_account::environment;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::vocab::target::Target;
use crate::wheel::direct_url::DirectUrl;

/// A set of wheels, open, and the pins that go with it.
pub struct OpenSet {
    source: Arc<SetSource>,
    pins: Pins,
    target: Target,
    /// The text of the pins.
    pub constraints: String,
    /// What it is called.
    pub name: String,
}

/// A project, and where its source is: none to take its wheel from the set.
#[derive(Debug, Clone)]
pub struct SourcedProject {
    /// Its name, and the extras that are wanted.
    pub requirement: Requirement,
    /// Its source.
    pub source: Option<ProjectSource>,
}

/// What a service is to consist of.
#[derive(Debug, Clone)]
pub struct Wants {
    /// The service's own project.
    pub project: SourcedProject,
    /// Projects that go with it.
    pub extra: Vec<SourcedProject>,
    /// Further packages, from the set.
    pub packages: Vec<Requirement>,
    /// What build requirements must keep to, where a project is built.
    pub build_constraints: Vec<Requirement>,
}

/// A service, resolved; its wheels are here.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The service's own project.
    pub project: PackageName,
    /// Which version of each package.
    pub resolution: Resolution,
    /// Their wheels, those that were asked for first, then by name.
    pub wheels: Vec<LocatedWheel>,
    /// Where the wheels of projects came from that are not from an index (PEP 610).
    pub direct_urls: BTreeMap<PackageName, DirectUrl>,
    /// Packages that are built from a source of their own.
    sourced: BTreeSet<PackageName>,
    /// What the environment has already, when it is there.
    present: Option<Present>,
}

impl Wants {
    /// Where the projects come from that do not come from the set.
    pub fn sources(&self) -> impl Iterator<Item = &ProjectSource> {
        let projects = std::iter::once(&self.project).chain(&self.extra);
        projects.filter_map(|project| project.source.as_ref())
    }

    /// Whether a project is to be built, or taken from elsewhere than the set.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.sources().next().is_some()
    }
}

impl OpenSet {
    /// Opens the set `wheels` for `target`. Of one that is elsewhere the index comes, or all of it where it
    /// has none. The pins are those of `constraints`; without these, those that the set brings.
    ///
    /// # Errors
    /// When the set or the constraints cannot be read.
    pub async fn open(
        workshop: &Workshop,
        wheels: &Reference,
        constraints: &[Document],
        target: &Target,
    ) -> Result<Self, PipelineError> {
        let machine = target.platform().arch();
        let access = workshop.access();
        let mut opened = if wheels.is_elsewhere() {
            let file = wheels.to_string();
            let task = workshop.events.start(Activity::Fetch { file, size: None });
            let access = &access;
            task.run(|told| async move { Source::open(wheels, machine, access, &told).await })
                .await?
        } else {
            let quiet: Progress = Arc::new(|_| {});
            Source::open(wheels, machine, &access, &quiet).await?
        };
        let brought;
        let documents = match (constraints, opened.constraints.take()) {
            ([], Some(text)) => {
                brought = [Document::new(format!("upper-constraints.txt of {wheels}"), text)];
                &brought[..]
            }
            (given, _) => given,
        };
        let constraints: Vec<Constraints> =
            documents.iter().map(Constraints::parse).collect::<Result<_, _>>()?;
        let pins = constraints.into_iter().collect::<Constraints>().pins(target)?;
        let supply = Supply::new(access, workshop.events.clone());
        Ok(Self {
            source: Arc::new(SetSource::new(opened, target, supply)),
            pins,
            target: target.clone(),
            constraints: documents.iter().map(Document::text).collect(),
            name: wheels.to_string(),
        })
    }

    /// Resolves a service against the set, builds what has a source, and brings the wheels.
    ///
    /// # Errors
    /// When the set lacks something, or a project does not build.
    pub async fn compose(
        &self,
        workshop: &Arc<Workshop>,
        wants: &Wants,
    ) -> Result<Composed, PipelineError> {
        let mut set = Arc::clone(&self.source);
        let (mut direct_urls, mut sourced) = (BTreeMap::new(), BTreeSet::new());
        for project in std::iter::once(&wants.project).chain(&wants.extra) {
            let Some(source) = &project.source else { continue };
            let name = &project.requirement.name;
            let builds = Arc::clone(workshop);
            let own = blocking(move || {
                let bench = builds.bench.ready().map_err(PipelineError::NoBench)?;
                Ok(bench.interpreter().target().clone())
            });
            let own = own.await?;
            let provision =
                SetProvision::new(Arc::clone(&self.source), own, wants.build_constraints.clone());
            let ProjectWheel { wheel, direct_url } =
                project_wheel(workshop, name, source, &provision).await?;
            if self.target.tags().priority(wheel.filename.tags()).is_none() {
                let (name, file) = (name.clone(), wheel.filename.to_string());
                return Err(PipelineError::Unfit { name, files: vec![file] });
            }
            sourced.insert(name.clone());
            if let Some(direct_url) = direct_url {
                direct_urls.insert(name.clone(), direct_url);
            }
            set = Arc::new(set.with(wheel));
        }
        let resolution = {
            let (set, target) = (Arc::clone(&set), self.target.clone());
            let (pins, wants) = (self.pins.clone(), wants.clone());
            blocking(move || Ok(resolve(&problem(&wants, &pins, &target), &*set)?)).await?
        };
        for (name, extra) in &resolution.missing_extras {
            workshop.events.warn(format!("`{name}` has no extra `{extra}`"));
        }
        let releases = resolution.packages.iter().map(|(name, package)| (name, &package.version));
        let mut wheels = set.bring(releases).await?;
        // The projects' own files go before those of their dependencies.
        let asked = |wheel: &LocatedWheel| resolution.packages[wheel.filename.name()].requested;
        wheels.sort_by_key(|wheel| (!asked(wheel), wheel.filename.name().clone()));
        let project = wants.project.requirement.name.clone();
        Ok(Composed { project, resolution, wheels, direct_urls, sourced, present: None })
    }
}

/// The pins of a project that has a source give way to it.
fn problem<'a>(wants: &Wants, pins: &'a Pins, target: &'a Target) -> Problem<'a> {
    let projects = || std::iter::once(&wants.project).chain(&wants.extra);
    Problem {
        roots: projects()
            .map(|project| &project.requirement)
            .chain(&wants.packages)
            .cloned()
            .collect(),
        pins,
        force: PinForce::Hard,
        bounds: Vec::new(),
        exempt: projects().map(|p| p.requirement.name.clone()).collect::<BTreeSet<_>>(),
        prereleases: Prereleases::AsNeeded,
        target,
    }
}

impl Composed {
    /// The wheels as they are to be installed, each held against what its set promised.
    ///
    /// # Errors
    /// When one cannot be read, or is not what was promised.
    pub fn installations(&self) -> Result<Vec<Installation<'_>>, PipelineError> {
        self.wheels.par_iter().try_for_each(|wheel| checked_digest(wheel).map(drop))?;
        Ok(self
            .wheels
            .iter()
            .map(|wheel| {
                let name = wheel.filename.name();
                Installation {
                    wheel,
                    requested: self.resolution.packages[name].requested,
                    direct_url: self.direct_urls.get(name).cloned(),
                }
            })
            .collect())
    }

    /// The same, for a root that has `present` at the environment's place: what an environment has stays, and is
    /// warned of when it is of another version.
    ///
    /// # Errors
    /// When it is no environment of Python 3.`minor`, or has the service already, in another version or from
    /// elsewhere.
    pub fn beside(
        mut self,
        present: Option<Present>,
        minor: u8,
        events: &Events,
    ) -> Result<Self, PipelineError> {
        let Some(present) = present else { return Ok(self) };
        let prefix = environment();
        let mut present = present.suitable(&prefix, minor)?;
        if let Some(text) = &present.lock
            && let Err(error) = Lock::from_pylock(&format!("/{LOCK}"), text)
        {
            events.warn(format!("{error}; the new lock tells of what is new, and no more"));
            present.lock = None;
        }
        let packages = present.packages();
        let mut wheels = Vec::with_capacity(self.wheels.len());
        for wheel in self.wheels {
            let (name, version) = (wheel.filename.name(), wheel.filename.version().to_string());
            let Some(there) = packages.get(name) else {
                wheels.push(wheel);
                continue;
            };
            let (name, found) = (name.clone(), there.clone());
            if self.sourced.contains(&name) {
                return Err(PipelineError::SourcedThere { name, found });
            }
            if *there != version {
                if name == self.project {
                    return Err(PipelineError::OtherThere { name, found, wanted: version });
                }
                events.warn(format!("`{name}` {there} is there already, and {version} was wanted"));
            }
        }
        self.wheels = wheels;
        self.present = Some(present);
        Ok(self)
    }

    /// The environment that it goes into, when that is there.
    #[must_use]
    pub const fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    /// The packages that the environment had before, each with its version.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<PackageName, String> {
        self.present.iter().flat_map(Present::packages).collect()
    }

    /// Every package of the environment and its version, by name.
    #[must_use]
    pub fn packages(&self) -> BTreeMap<PackageName, String> {
        let own = self.resolution.packages.iter();
        let mut packages: BTreeMap<_, _> =
            own.map(|(name, package)| (name.clone(), package.version.to_string())).collect();
        packages.extend(self.kept());
        packages
    }

    /// The same, as lines: `name==version`.
    #[must_use]
    pub fn freeze(&self) -> Vec<String> {
        self.packages().iter().map(|(name, version)| format!("{name}=={version}")).collect()
    }
}
