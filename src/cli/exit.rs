//! How a run ends: every error becomes words on standard error and an exit code here, and only here.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::hints;
use crate::build::interpreter::InterpreterError;
use crate::http::error::HttpError;
use crate::image::reference::ReferenceError;
use crate::index::error::IndexError;
use crate::input::error::InputError;
use crate::input::lists;
use crate::pipeline::error::{PipelineError, chain};
use crate::report::words;
use crate::resolve::pylock::PylockError;
use crate::serve::error::ServeError;
use crate::service::installed::InstalledError;
use crate::service::root::rootless::Rootless;
use crate::store::error::StoreError;
use crate::vocab::distro::DistroError;

/// Everything was done but some wheels, which are listed.
pub(super) const SOME_FAILED: u8 = 3;
/// Two things differ, and that was the question.
pub(super) const DIFFERENT: u8 = 1;
const FAILED: u8 = 1;
const WRONG_INPUT: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// A job failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// What is to be installed cannot be met by the set, and nothing else was asked.
    #[error(transparent)]
    Unmet(PipelineError),
    /// There can be no private root, for who runs this is not root and cannot be it in a namespace.
    #[error("{error}")]
    Rootless { error: PipelineError, reason: Rootless },
    /// A file that people write makes no sense.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A lock makes no sense.
    #[error(transparent)]
    Lock(#[from] PylockError),
    /// A source or destination makes no sense.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The settings for asking servers make no sense.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The indexes make no sense.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A set is not served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The Python cannot be used.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// A name is no distribution's.
    #[error(transparent)]
    Distro(#[from] DistroError),
    /// An os-release file is of no use.
    #[error("`{}` does not tell which distribution it is of", path.display())]
    OsRelease { path: PathBuf, source: DistroError },
    /// There is no list of packages for a project.
    #[error(
        "there is no list of packages for the project `{project}`; there is one for {}",
        projects()
    )]
    UnknownProject { project: String },
    /// Nobody said which project's packages are wanted.
    #[error("no project is given; there are lists of packages for {}", projects())]
    NoProject,
    /// Nobody knows how to see what is installed.
    #[error("loci does not know how {distro} keeps its packages")]
    NoPackaging { distro: String },
    /// What is installed cannot be seen.
    #[error(transparent)]
    Installed(#[from] InstalledError),
    /// There are no wheels to install from.
    #[error("there are no wheels to install from")]
    NoWheels,
    /// There are none where they should be.
    #[error("there are no wheels in `{place}`")]
    NoWheelsIn { place: String },
    /// An option was typed that means nothing for an environment alone.
    #[error(
        "`{option}` means nothing with `--prefix`, which makes a Python environment and nothing else"
    )]
    NotWithPrefix { option: String },
    /// A whole service can only be put into a root by root.
    #[error("a whole service goes into a root file system, which only root may write")]
    NotRoot,
    /// Nobody means to put a service into the system that they work on.
    #[error("this is a running machine and no image that is being made")]
    RunningMachine,
    /// There is no place for a store.
    #[error("there is no place for the store: neither `--store` nor HOME is given")]
    NoStore,
    /// There is no store where one was said to be.
    #[error("there is no store at `{}`", root.display())]
    NotAStore { root: PathBuf },
    /// A URL given as an option is none; the text is without its secrets.
    #[error("`{text}`, given as `{option}`, is not a URL")]
    Url { option: &'static str, text: String, source: url::ParseError },
    /// Any other option whose value makes no sense.
    #[error("`{text}`, given as `{option}`, {reason}")]
    Value { option: &'static str, text: String, reason: String },
    /// Results cannot be written.
    #[error("cannot write to {to}")]
    Output { to: String, source: io::Error },
    /// The store's check found damage.
    #[error("the store has blobs that are damaged ({damaged}) or missing ({missing})")]
    Damaged { damaged: usize, missing: usize },
    /// The runtime cannot be started.
    #[error("cannot start the runtime")]
    Runtime { source: io::Error },
    /// A task of the runtime ended by itself: a fault of loci.
    #[error("an internal task failed")]
    Task(#[source] tokio::task::JoinError),
    /// The user interrupted the run.
    #[error("interrupted; what was finished is kept")]
    Interrupted,
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Lock(_) | Self::Url { .. } | Self::Value { .. } => WRONG_INPUT,
            Self::NoStore | Self::NotAStore { .. } => WRONG_INPUT,
            Self::NotWithPrefix { .. } => WRONG_INPUT,
            Self::NoWheels | Self::NoWheelsIn { .. } | Self::NotRoot | Self::RunningMachine => {
                WRONG_INPUT
            }
            Self::Interpreter(_) => WRONG_INPUT,
            Self::Distro(_) | Self::OsRelease { .. } | Self::NoPackaging { .. } => WRONG_INPUT,
            Self::UnknownProject { .. } | Self::NoProject => WRONG_INPUT,
            Self::Serve(ServeError::NoAddress { .. }) => WRONG_INPUT,
            Self::Pipeline(
                PipelineError::Input(_)
                | PipelineError::Lock(_)
                | PipelineError::OtherKind { .. }
                | PipelineError::Location { .. }
                | PipelineError::NoSource { .. }
                | PipelineError::NoReference { .. }
                | PipelineError::NoConstraints { .. }
                | PipelineError::AgainstPin { .. }
                | PipelineError::PackageName(_)
                | PipelineError::StepPlan(_)
                | PipelineError::UnknownDistro { .. },
            ) => WRONG_INPUT,
            // Settings of indexes: what an index itself does wrong is a job's error.
            Self::Reference(_) | Self::Http(_) | Self::Index(_) => WRONG_INPUT,
            Self::Interrupted => INTERRUPTED,
            _ => FAILED,
        }
    }

    /// Says the error, what caused it and what would help on standard error.
    pub(super) fn report(&self) -> ExitCode {
        let mut text = format!("error: {self}\n");
        for cause in chain(self).iter().skip(1) {
            let lines = words::indented(cause, "    ");
            text.push_str(&format!("  because: {}", lines.trim_start()));
        }
        if let Self::Pipeline(error) | Self::Unmet(error) = self
            && let Some(log) = error.log()
        {
            text.push_str(&format!("  log: {}\n", log.display()));
        }
        if let Some(hint) = hints::hint(self) {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        // Where standard error is gone there is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(self.code())
    }
}

/// The projects that there are lists of packages for.
fn projects() -> String {
    lists::projects().map(|project| format!("`{project}`")).collect::<Vec<_>>().join(", ")
}

/// What `error` says of `text` without naming it again.
pub(super) fn bare(text: &str, error: &str) -> String {
    error.strip_prefix(&format!("`{text}` ")).unwrap_or(error).to_owned()
}
