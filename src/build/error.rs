//! [`BuildError`] and [`BuildFailure`]: why there is no wheel, and where to look.

use std::path::PathBuf;

use super::backend::HookError;
use super::cause::Cause;
use super::environment::EnvironmentError;
use super::source::SourceError;
use super::system::SystemError;
use crate::store::error::StoreError;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::RequirementError;
use crate::vocab::wheel_filename::WheelFilenameError;
use crate::wheel::error::WheelError;

/// What whoever provides wheels for build environments fails with.
pub type ProvisionError = Box<dyn std::error::Error + Send + Sync>;

/// A build that gave no wheel.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct BuildFailure {
    /// What went wrong.
    #[source]
    pub error: BuildError,
    /// The log's blob, once a backend has run.
    pub log: Option<Digest>,
    /// Where the log can be read.
    pub log_path: Option<PathBuf>,
    /// The tree as the build left it, when it was asked to be kept.
    pub tree: Option<PathBuf>,
    /// What was tried in turn, for example `setuptools<82`; empty when it was tried once.
    pub tried: Vec<String>,
}

impl BuildFailure {
    /// What the log says, where it is known.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        match &self.error {
            BuildError::Hook { cause, .. } => cause.as_ref(),
            _ => None,
        }
    }

    fn summary(&self) -> String {
        match self.cause() {
            Some(cause) => cause.to_string(),
            None => "it cannot be built".into(),
        }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source tree could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tree says nothing of use about its build.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The wheels for the build environment could not be had.
    #[error("its build requirements cannot be provided")]
    Provision {
        /// Why.
        #[source]
        source: ProvisionError,
    },
    /// The environment could not be made of them.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The backend failed.
    #[error("{hook}")]
    Hook {
        /// The hook and how it ended.
        hook: HookError,
        /// What the log says.
        cause: Option<Cause>,
    },
    /// The backend asked for something that is no requirement.
    #[error("the backend asks for `{text}`, which is not a requirement")]
    Requirement {
        /// What it asked for.
        text: String,
        /// Why it is none.
        #[source]
        source: Box<RequirementError>,
    },
    /// The wheel's name is no wheel's name.
    #[error("the backend made a file with a bad name")]
    Filename(#[from] WheelFilenameError),
    /// The wheel is of another release.
    #[error("the backend made `{wheel}`, which is not {expected}")]
    Release {
        /// The wheel.
        wheel: String,
        /// `name version`.
        expected: String,
    },
    /// The wheel cannot be used here.
    #[error("the backend made `{wheel}`, which does not fit {target}")]
    Tags {
        /// The wheel.
        wheel: String,
        /// The interpreter and platform.
        target: String,
    },
    /// The wheel has no compiled part although it should: the compiler was missing or failed.
    #[error("the backend made `{wheel}` without its compiled part")]
    Pure {
        /// The wheel.
        wheel: String,
    },
    /// The wheel is broken.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The metadata that the backend prepared cannot be read.
    #[error("the metadata it prepared cannot be used: {reason}")]
    Metadata {
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A working directory could not be used.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
