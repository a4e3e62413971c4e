//! [`PlannedEnvironment`]: a Python environment with wheels in it, before it is anywhere.
//!
//! Which file comes from which wheel is decided here, once; [`prefix`](super::prefix) writes it as a directory,
//! [`assembly`](super::assembly) as layers of an image. Both have the same files.

use std::path::Path;

use rayon::prelude::*;

use crate::build::interpreter::Interpreter;
use crate::image::offered::LocatedWheel;
use crate::wheel::archive::WheelArchive;
use crate::wheel::claims::{Claims, Obstructed, SharedPath};
use crate::wheel::direct_url::DirectUrl;
use crate::wheel::environment::Environment;
use crate::wheel::error::WheelError;
use crate::wheel::scheme::Scheme;
use crate::wheel::tree::{InstallOptions, InstallTree};

use super::present::Present;

/// A wheel to be installed.
pub struct Installation<'a> {
    /// The wheel.
    pub wheel: &'a LocatedWheel,
    /// Whether the user asked for it by name (PEP 376, REQUESTED).
    pub requested: bool,
    /// Where it came from, when not from an index (PEP 610).
    pub direct_url: Option<DirectUrl>,
}

/// Which packages the environment sees beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// None.
    Own,
    /// Those of the Python it is for, such as the bindings that distributions package.
    System,
}

/// What wheels are put into.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// An environment of their own, which sees these packages as well.
    New(Visible),
    /// One that is there.
    Present(&'a Present),
}

/// An environment to be.
pub struct PlannedEnvironment {
    /// The files that make it one; none when it is there already.
    pub own: Option<Environment>,
    /// Its wheels, in the order in which they claimed their paths.
    pub wheels: Vec<PlannedWheel>,
    /// Paths that two wheels write with different bytes: the first wheel's file is there.
    pub collisions: Vec<SharedPath>,
}

/// A wheel in an environment to be.
pub struct PlannedWheel {
    /// Its file name.
    pub file: String,
    /// Whether the user asked for it by name.
    pub requested: bool,
    /// What is written of it.
    pub tree: InstallTree,
    /// All of it, where what is left out of `tree` is the same in the wheels that write it.
    pub whole: Option<InstallTree>,
}

/// A wheel cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot install `{file}`")]
pub struct UnfitWheel {
    /// The wheel's file name.
    pub file: String,
    /// Why.
    pub source: Box<WheelError>,
}

/// An environment that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum UnfitEnvironment {
    /// A wheel cannot be installed.
    #[error(transparent)]
    Wheel(#[from] UnfitWheel),
    /// Two wheels cannot be installed side by side.
    #[error("cannot install `{}` and `{}` side by side", source.file, source.directory)]
    Pair {
        /// Why.
        source: Obstructed,
    },
}

impl PlannedEnvironment {
    /// Plans the environment of `interpreter` at `prefix`, an absolute path, with `wheels`, which claim
    /// their paths in this order; or what goes into the one that is `present` there, all of whose files stay.
    ///
    /// # Errors
    /// [`UnfitEnvironment`] naming the wheel that cannot be read or must not be installed, or two that exclude each
    /// other.
    pub fn plan(
        prefix: &Path,
        interpreter: &Interpreter,
        basis: Basis<'_>,
        wheels: &[Installation<'_>],
    ) -> Result<Self, UnfitEnvironment> {
        let target = interpreter.target();
        let own = |visible| Environment {
            prefix: prefix.to_owned(),
            python: interpreter.executable().to_owned(),
            version: target.python().clone(),
            system_site_packages: visible == Visible::System,
        };
        let (own, mut claims) = match basis {
            Basis::New(visible) => (Some(own(visible)), Claims::new()),
            Basis::Present(present) => (None, Claims::of_environment(present.files())),
        };
        let scheme = Scheme::for_python(target.minor(), prefix);
        let trees = wheels
            .par_iter()
            .map(|installation| plan(installation, &scheme))
            .collect::<Result<Vec<_>, UnfitWheel>>()?;
        let (mut planned, mut collisions) = (Vec::with_capacity(wheels.len()), Vec::new());
        for (mut tree, installation) in trees.into_iter().zip(wheels) {
            let file = installation.wheel.filename.to_string();
            let shared = claims
                .claim(&mut tree, &file)
                .map_err(|source| UnfitEnvironment::Pair { source })?;
            let harmless = shared.iter().all(|path| path.identical);
            let whole = match shared.is_empty() {
                false if harmless => Some(plan(installation, &scheme)?),
                _ => None,
            };
            collisions.extend(shared.into_iter().filter(|path| !path.identical));
            planned.push(PlannedWheel { file, requested: installation.requested, tree, whole });
        }
        Ok(Self { own, wheels: planned, collisions })
    }

    /// How many files it has, its own included.
    #[must_use]
    pub fn files(&self) -> usize {
        let wheels = self.wheels.iter().map(|wheel| wheel.tree.entries().len());
        let own = self.own.as_ref().map_or(0, |own| own.entries().len());
        own + wheels.sum::<usize>()
    }
}

fn plan(installation: &Installation<'_>, scheme: &Scheme) -> Result<InstallTree, UnfitWheel> {
    let wheel = installation.wheel;
    let options = InstallOptions {
        requested: installation.requested,
        direct_url: installation.direct_url.clone(),
        installer: "loci",
    };
    WheelArchive::open(wheel.file.clone(), &wheel.filename)
        .and_then(|archive| InstallTree::plan(&archive, scheme, &options))
        .map_err(|source| UnfitWheel { file: wheel.filename.to_string(), source: source.into() })
}
