//! Build requirements: resolved against the index or against a fixed set, then obtained as wheels.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};

use super::blocking;
use super::error::PipelineError;
use super::index_source::IndexSource;
use super::obtain::Obtainer;
use super::release::{Lineage, Release};
use super::set_source::{SetSource, checked_digest};
use crate::build::builder::Provision;
use crate::build::environment::EnvWheel;
use crate::build::error::ProvisionError;
use crate::input::pins::Pins;
use crate::resolve::problem::{PinForce, Prereleases, Problem};
use crate::resolve::resolution::resolve;
use crate::vocab::requirement::Requirement;
use crate::vocab::target::Target;
use crate::wheel::file::WheelFile;

type Provided = Arc<Vec<EnvWheel>>;
/// The requirements and the constraints that were asked for, sorted.
type Asked = (Vec<String>, Vec<String>);

/// What was provided in this run, by the requirements and constraints asked for: dozens of sdists
/// ask for nothing but setuptools.
#[derive(Default)]
pub struct ProvisionMemo(Mutex<HashMap<Asked, Provided>>);

/// Provides build requirements from the indexes. Pins are preferred, not forced: a package that asks
/// for another version of its build tool than the release has must get it.
pub struct IndexProvision {
    obtainer: Arc<Obtainer>,
    lineage: Lineage,
}

impl IndexProvision {
    /// Provides for the innermost build of `lineage`.
    #[must_use]
    pub fn new(obtainer: Arc<Obtainer>, lineage: Lineage) -> Self {
        Self { obtainer, lineage }
    }

    async fn provide_now(
        &self,
        requirements: Vec<Requirement>,
        constraints: Vec<Requirement>,
    ) -> Result<Vec<EnvWheel>, PipelineError> {
        let obtainer = Arc::clone(&self.obtainer);
        let source = IndexSource::new(Arc::clone(&obtainer), self.lineage.clone());
        let resolution = blocking(move || {
            let problem = Problem {
                roots: requirements,
                pins: &obtainer.pins,
                force: PinForce::Preferred,
                bounds: constraints,
                prereleases: obtainer.workshop.prereleases,
                target: obtainer.workshop.target(),
                exempt: BTreeSet::new(),
            };
            Ok(resolve(&problem, &source)?)
        })
        .await?;
        let wheels = resolution.packages.into_iter().map(|(name, package)| {
            let release = match self.obtainer.pins.get(&name) {
                Some(pin) if pin.version == package.version => Release::pinned(pin),
                _ => Release { name, version: package.version, exact: None },
            };
            async {
                let obtained = self.obtainer.obtain(release, self.lineage.clone()).await?;
                let store = &self.obtainer.workshop.store;
                Ok::<_, PipelineError>(EnvWheel {
                    filename: obtained.filename.clone(),
                    file: WheelFile::open(&store.path(&obtained.digest))?,
                    digest: obtained.digest,
                })
            }
        });
        try_join_all(wheels).await
    }
}

impl Provision for IndexProvision {
    fn provide<'a>(
        &'a self,
        requirements: &'a [Requirement],
        constraints: &'a [Requirement],
    ) -> BoxFuture<'a, Result<Vec<EnvWheel>, ProvisionError>> {
        async move {
            let mut bounds = constraints.to_vec();
            bounds.extend_from_slice(&self.obtainer.build_constraints);
            let texts = |list: &[Requirement]| {
                let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
                texts.sort();
                texts
            };
            let asked = (texts(requirements), texts(&bounds));
            let memo = &self.obtainer.provisions.0;
            let known = memo.lock().unwrap_or_else(PoisonError::into_inner).get(&asked).cloned();
            if let Some(provided) = known {
                return Ok(provided.as_ref().clone());
            }
            // Two builds may find out the same side by side; that one waited for the other would be
            // unknown to `Obtainer::wait_for`.
            let provided = self.provide_now(requirements.to_vec(), bounds).await;
            let provided = Arc::new(provided.map_err(ProvisionError::from)?);
            memo.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(asked, Arc::clone(&provided));
            Ok(provided.as_ref().clone())
        }
        .boxed()
    }
}

/// Provides build requirements from a fixed set of wheels, and from nowhere else.
pub struct SetProvision {
    source: Arc<SetSource>,
    target: Target,
    constraints: Vec<Requirement>,
}

impl SetProvision {
    /// Provides from `source`, within `constraints`.
    #[must_use]
    pub fn new(source: Arc<SetSource>, target: Target, constraints: Vec<Requirement>) -> Self {
        Self { source, target, constraints }
    }

    /// What everything that is provided keeps to.
    #[must_use]
    pub fn constraints(&self) -> &[Requirement] {
        &self.constraints
    }
}

impl Provision for SetProvision {
    fn provide<'a>(
        &'a self,
        requirements: &'a [Requirement],
        constraints: &'a [Requirement],
    ) -> BoxFuture<'a, Result<Vec<EnvWheel>, ProvisionError>> {
        async move {
            let problem = Problem {
                roots: requirements.to_vec(),
                pins: &Pins::default(),
                force: PinForce::Preferred,
                bounds: [constraints, &self.constraints].concat(),
                prereleases: Prereleases::AsNeeded,
                target: &self.target,
                exempt: BTreeSet::new(),
            };
            let resolution = resolve(&problem, &*self.source).map_err(PipelineError::from)?;
            let releases = resolution.packages.iter().map(|(name, p)| (name, &p.version));
            let located = self.source.bring(releases).await?;
            let wheels = located.into_iter().map(|wheel| {
                Ok(EnvWheel {
                    digest: checked_digest(&wheel)?,
                    filename: wheel.filename,
                    file: wheel.file,
                })
            });
            wheels.collect::<Result<Vec<_>, PipelineError>>().map_err(ProvisionError::from)
        }
        .boxed()
    }
}
