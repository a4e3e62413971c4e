//! An installed prefix: a Python environment with wheels in it, written whole or not at all.
//!
//! The environment is written beside its place and renamed into it at the end, so that nobody ever
//! sees half of one. Scripts name the final place from the start.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rayon::prelude::*;

use crate::build::interpreter::Interpreter;
use crate::image::source::LocatedWheel;
use crate::wheel::archive::WheelArchive;
use crate::wheel::claims::{Claims, SharedPath};
use crate::wheel::direct_url::DirectUrl;
use crate::wheel::directory::DirectorySink;
use crate::wheel::environment::Environment;
use crate::wheel::error::WheelError;
use crate::wheel::scheme::Scheme;
use crate::wheel::tree::{InstallOptions, InstallTree};

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

/// What to do with a prefix that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse, unless it is an empty directory.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// An environment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// What to do when it is there already.
    pub existing: Existing,
    /// Which packages it sees beside its own.
    pub visible: Visible,
}

impl Prefix {
    /// Refuses what [`install`] would refuse, before any work is done for it.
    ///
    /// # Errors
    /// [`PrefixError::Exists`].
    pub fn check(&self) -> Result<(), PrefixError> {
        if self.existing == Existing::Keep && !is_vacant(&self.path) {
            return Err(PrefixError::Exists { prefix: self.path.clone() });
        }
        Ok(())
    }
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Files written, the environment's own included.
    pub files: usize,
    /// Paths that two wheels write with different bytes: the first wheel's file is there.
    pub collisions: Vec<SharedPath>,
}

/// A prefix that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// Something is there that was not to be replaced.
    #[error("`{}` exists and is not an empty directory", prefix.display())]
    Exists {
        /// The prefix.
        prefix: PathBuf,
    },
    /// The prefix cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A wheel cannot be installed.
    #[error("cannot install `{file}`")]
    Wheel {
        /// The wheel's file name.
        file: String,
        /// Why.
        source: Box<WheelError>,
    },
}

/// Makes the environment at `prefix` and installs `wheels` into it, in whose order they claim their
/// paths; `on_wheel` hears of each wheel that is in place.
///
/// # Errors
/// [`PrefixError`]; whatever was at `prefix` before is then still there.
pub fn install(
    prefix: &Prefix,
    interpreter: &Interpreter,
    wheels: &[Installation<'_>],
    on_wheel: &(dyn Fn(&str) + Sync),
) -> Result<Installed, PrefixError> {
    prefix.check()?;
    let Prefix { path: prefix, existing, visible } = prefix;
    let parent = prefix.parent().unwrap_or(Path::new("/"));
    let write_failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PrefixError::Write { path, source }
    };
    fs::create_dir_all(parent).map_err(write_failed(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".loci-install-")
        .tempdir_in(parent)
        .map_err(write_failed(parent))?;
    let root = staging.path().join("root");
    fs::create_dir(&root).map_err(write_failed(&root))?;

    let target = interpreter.target();
    let environment = Environment {
        prefix: prefix.clone(),
        python: interpreter.executable().to_owned(),
        version: target.python().clone(),
        system_site_packages: *visible == Visible::System,
    };
    let mut sink = DirectorySink::new(&root).map_err(write_failed(&root))?;
    environment.emit(&mut sink).map_err(write_failed(&root))?;
    let mut files = environment.entries().len();

    let scheme = Scheme::for_python(target.minor(), prefix);
    let mut trees = wheels
        .par_iter()
        .map(|installation| {
            let file = installation.wheel.filename.as_str();
            plan(installation, &scheme)
                .map_err(|source| PrefixError::Wheel { file: file.into(), source: source.into() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut claims = Claims::new();
    let mut collisions = Vec::new();
    for (tree, installation) in trees.iter_mut().zip(wheels) {
        let shared = claims.claim(tree, installation.wheel.filename.as_str());
        collisions.extend(shared.into_iter().filter(|path| !path.identical));
    }
    trees.par_iter().zip(wheels).try_for_each(|(tree, installation)| {
        let file = installation.wheel.filename.as_str();
        let mut sink = DirectorySink::new(&root).map_err(write_failed(&root))?;
        tree.emit(&mut sink)
            .map_err(|source| PrefixError::Wheel { file: file.into(), source: source.into() })?;
        on_wheel(file);
        Ok(())
    })?;
    files += trees.iter().map(|tree| tree.entries().len()).sum::<usize>();

    if *existing == Existing::Replace && fs::symlink_metadata(prefix).is_ok() {
        let old = staging.path().join("old");
        fs::rename(prefix, &old).map_err(write_failed(prefix))?;
    }
    // An empty directory gives way to a rename; anything else that came up meanwhile does not.
    fs::rename(&root, prefix).map_err(write_failed(prefix))?;
    Ok(Installed { files, collisions })
}

fn plan(installation: &Installation<'_>, scheme: &Scheme) -> Result<InstallTree, WheelError> {
    let wheel = installation.wheel;
    let archive = WheelArchive::open(wheel.file.clone(), &wheel.filename)?;
    let options = InstallOptions {
        requested: installation.requested,
        direct_url: installation.direct_url.clone(),
        installer: "loci",
    };
    InstallTree::plan(&archive, scheme, &options)
}

fn is_vacant(prefix: &Path) -> bool {
    match fs::read_dir(prefix) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
