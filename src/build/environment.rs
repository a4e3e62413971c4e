//! [`Environments`]: isolated Python environments unpacked from wheels, kept and shared.
//!
//! An environment is a function of its wheels and its interpreter, so builds that need the same wheels
//! use the same directory. It is made beside its place and renamed: what is there is whole.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fs_err as fs;
use rayon::prelude::*;
use serde::Serialize;

use super::interpreter::Interpreter;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::claims::{Claims, Obstructed};
use crate::wheel::directory::DirectorySink;
use crate::wheel::environment::Environment;
use crate::wheel::error::WheelError;
use crate::wheel::file::WheelFile;
use crate::wheel::scheme::Scheme;
use crate::wheel::tree::{InstallOptions, InstallTree};

/// A wheel that goes into an environment.
#[derive(Debug, Clone)]
pub struct EnvWheel {
    /// Its file name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub file: WheelFile,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// An environment on disk, whole.
#[derive(Debug, Clone)]
pub struct BuildEnvironment {
    prefix: PathBuf,
}

impl BuildEnvironment {
    /// The environment's directory.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The interpreter in it.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.prefix.join("bin/python")
    }
}

/// The environments of a store.
#[derive(Debug)]
pub struct Environments {
    store: Store,
    /// One lock for each environment that was asked for, so that tasks that need the same one at the
    /// same time unpack it once. Other processes may do the same work; one of them wins.
    locks: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Environments {
    /// Keeps environments in the store's folder for them.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, locks: Mutex::default() }
    }

    /// The environment of exactly these wheels, unpacked if it is not there yet.
    ///
    /// # Errors
    /// [`EnvironmentError`], with nothing left behind.
    pub async fn make(
        &self,
        interpreter: &Interpreter,
        wheels: &[EnvWheel],
    ) -> Result<BuildEnvironment, EnvironmentError> {
        let key = key(interpreter, wheels);
        let prefix = self.store.envs_dir().join(key.hex());
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key).or_default())
        };
        let _held = lock.lock().await;
        // Before the look: the store's gc leaves alone what is held.
        self.store.hold(&key).map_err(|source| EnvironmentError::Store { source })?;
        if prefix.is_dir() {
            // When it is not any more, its age counts from now on.
            if let Ok(directory) = std::fs::File::open(&prefix) {
                let _ = directory.set_modified(SystemTime::now());
            }
        } else {
            let (tmp, prefix, interpreter, wheels) =
                (self.store.tmp_dir(), prefix.clone(), interpreter.clone(), wheels.to_vec());
            tokio::task::spawn_blocking(move || unpack(&tmp, &prefix, &interpreter, &wheels))
                .await
                .map_err(|error| EnvironmentError::Io {
                    path: self.store.envs_dir(),
                    source: io::Error::other(error),
                })??;
        }
        Ok(BuildEnvironment { prefix })
    }
}

/// What an environment is a function of. The executable's path belongs to it because links and
/// `pyvenv.cfg` name it.
fn key(interpreter: &Interpreter, wheels: &[EnvWheel]) -> Digest {
    #[derive(Serialize)]
    struct Description<'a> {
        interpreter: &'a str,
        executable: &'a Path,
        wheels: Vec<Digest>,
    }
    let mut digests: Vec<_> = wheels.iter().map(|wheel| wheel.digest).collect();
    digests.sort();
    Digest::of(&canonical_json(&Description {
        interpreter: interpreter.identity(),
        executable: interpreter.executable(),
        wheels: digests,
    }))
}

fn unpack(
    tmp: &Path,
    prefix: &Path,
    interpreter: &Interpreter,
    wheels: &[EnvWheel],
) -> Result<(), EnvironmentError> {
    let failed = |source| EnvironmentError::Io { path: prefix.into(), source };
    let wheel_failed = |source| EnvironmentError::Wheel { source: Box::new(source) };
    let work = tempfile::Builder::new().prefix("env-").tempdir_in(tmp).map_err(failed)?;
    let root = work.path().join("env");
    let scheme = Scheme::for_python(interpreter.target().minor(), prefix);
    let environment = Environment {
        prefix: prefix.into(),
        python: interpreter.executable().into(),
        version: interpreter.target().python().clone(),
        system_site_packages: false,
    };
    environment.emit(&mut DirectorySink::new(&root).map_err(failed)?).map_err(failed)?;
    fs::create_dir_all(scheme.site_packages().under(&root)).map_err(failed)?;

    let options = InstallOptions { requested: false, direct_url: None, installer: "loci" };
    let mut trees = wheels
        .par_iter()
        .map(|wheel| {
            let archive = WheelArchive::open(wheel.file.clone(), &wheel.filename)?;
            InstallTree::plan(&archive, &scheme, &options)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(wheel_failed)?;
    // Wheels do share files (`tests/__init__.py` at the top); in a build environment the first wins.
    let mut claims = Claims::new();
    for (tree, wheel) in trees.iter_mut().zip(wheels) {
        let claimed = claims.claim(tree, wheel.filename.as_str());
        claimed.map_err(|source| EnvironmentError::Pair { source })?;
    }
    trees
        .par_iter()
        .map(|tree| {
            let mut sink = DirectorySink::new(&root).map_err(failed)?;
            tree.emit(&mut sink).map_err(wheel_failed)
        })
        .collect::<Result<(), _>>()?;
    match fs::rename(&root, prefix) {
        // Another process was first: its environment is the same as ours.
        Err(_) if prefix.is_dir() => Ok(()),
        result => result.map_err(failed),
    }
}

/// An environment that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A wheel of it is unusable.
    #[error("cannot make the build environment")]
    Wheel {
        /// Which, and why.
        #[source]
        source: Box<WheelError>,
    },
    /// Two wheels of it exclude each other.
    #[error("cannot make the build environment")]
    Pair {
        /// Which, and why.
        #[source]
        source: Obstructed,
    },
    /// The store cannot hold it against deletion.
    #[error("cannot make the build environment")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
    /// It cannot be written.
    #[error("cannot make the build environment in `{}`", path.display())]
    Io {
        /// Where it would be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
