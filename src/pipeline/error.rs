//! What can go wrong with a job, and with a single wheel of it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pep440_rs::Version;

use super::release::Release;
use crate::build::error::BuildFailure;
use crate::build::interpreter::InterpreterError;
use crate::build::requires::RequiresError;
use crate::http::error::HttpError;
use crate::image::error::ImageError;
use crate::index::error::IndexError;
use crate::index::no_fit::NoFit;
use crate::input::document::Place;
use crate::input::error::InputError;
use crate::resolve::pylock::PylockError;
use crate::resolve::resolution::ResolveError;
use crate::service::account::AccountError;
use crate::service::act::ActError;
use crate::service::node::NodeError;
use crate::service::packages::PackagesError;
use crate::service::packages::name::PackageNameError;
use crate::service::prefix::PrefixError;
use crate::service::present::Unsuitable;
use crate::service::root::error::RootError;
use crate::service::steps::PlanError;
use crate::store::error::StoreError;
use crate::vocab::digest::Digest;
use crate::vocab::distro::DistroError;
use crate::vocab::redact::redact;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::wheel::error::WheelError;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A file that people write makes no sense.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A server cannot be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An index cannot be asked, or gives no sense.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A set cannot be read or written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A wheel cannot be read.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// A prefix cannot be made.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A Python cannot be used.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// A project is to be built, and there is no Python for that.
    #[error("a project with a source is built by a Python of this machine")]
    NoBench(#[source] InterpreterError),
    /// A root file system cannot be read, written or worked in.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The distribution's packages cannot be installed.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// What is to be a package's name is none.
    #[error(transparent)]
    PackageName(#[from] PackageNameError),
    /// A user or group cannot be added.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Something cannot be written into a root.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A project's steps make no sense with the values they have.
    #[error(transparent)]
    StepPlan(#[from] PlanError),
    /// A project's step failed.
    #[error(transparent)]
    Step(#[from] ActError),
    /// What a step asks for cannot be fetched.
    #[error("the step's repository `{url}` cannot be fetched")]
    StepSource {
        /// The repository, without credentials.
        url: String,
        /// Why.
        source: Box<PipelineError>,
    },
    /// A base does not say which distribution it is of.
    #[error("`{base}` does not say which distribution it is of")]
    UnknownDistro {
        /// The base.
        base: String,
        /// What is wrong.
        source: DistroError,
    },
    /// Nobody here knows how to install packages there.
    #[error("the packages of {distribution} are installed by none of apt, dnf and zypper")]
    NoManager {
        /// The distribution, as people call it.
        distribution: String,
    },
    /// An image has no Python, or one that does not run.
    #[error("the image has no Python `{python}` that runs: {}", said.lines().last().unwrap_or("it says nothing"))]
    NoPython {
        /// As it was asked for.
        python: String,
        /// The last lines it said.
        said: String,
    },
    /// The requirements cannot be met.
    #[error(transparent)]
    Resolve(Box<ResolveError<PipelineError>>),
    /// A single wheel cannot be had, and the job needs it.
    #[error(transparent)]
    Obtain(#[from] Arc<ObtainError>),
    /// What a build needs cannot be found out.
    #[error(transparent)]
    Requires(#[from] RequiresError),
    /// A service cannot be installed from the set, so the set is not written.
    #[error("the set is not enough for `{service}`, so nothing was written")]
    Service {
        /// The service.
        service: String,
        /// Why.
        source: Box<PipelineError>,
    },
    /// The project itself cannot be built.
    #[error("`{project}` cannot be had from `{place}`")]
    Project {
        /// The project.
        project: PackageName,
        /// Where its source is, without credentials.
        place: String,
        /// Why.
        source: Arc<ObtainError>,
    },
    /// A wheel's file cannot be read.
    #[error("cannot read a wheel")]
    Read(#[from] io::Error),
    /// A wheel is not what its set promised.
    #[error("`{file}` has the digest {found}, but its set promises {expected}")]
    Mismatch {
        /// The wheel's file name.
        file: String,
        /// What the set promises.
        expected: Digest,
        /// What the file has.
        found: Digest,
    },
    /// A release that was chosen is not there any more.
    #[error("there is no file of `{name}` {version} that fits")]
    NoRelease {
        /// The project.
        name: PackageName,
        /// The version.
        version: Version,
    },
    /// A set has a project only in wheels for another Python or platform.
    #[error("the set has `{name}`, but no wheel of it fits this Python: {}", files.join(", "))]
    Unfit {
        /// The project.
        name: PackageName,
        /// The wheels there are.
        files: Vec<String>,
    },
    /// What is at the environment's place cannot be put into.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The service is in the environment already, in another version.
    #[error("`{name}` {found} is there already, and {wanted} was wanted")]
    OtherThere {
        /// The project.
        name: PackageName,
        /// The version that is there.
        found: String,
        /// The version that was wanted.
        wanted: String,
    },
    /// What was to be built from a source is in the environment already.
    #[error("`{name}` {found} is there already, and was to come from a source of its own")]
    SourcedThere {
        /// The project.
        name: PackageName,
        /// The version that is there.
        found: String,
    },
    /// A location given by the user is no URL.
    #[error("`{location}` is not a URL")]
    Location {
        /// What was given, without secrets.
        location: String,
        /// Why it is none.
        source: url::ParseError,
    },
    /// A project's archive has a name that tells no format.
    #[error("`{}` is no source archive: its name must end in .tar.gz, .zip or .tar.bz2", path.display())]
    NoArchive {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing where a project's source should be.
    #[error("there is no source of `{project}` at `{}`", path.display())]
    NoSource {
        /// The project.
        project: PackageName,
        /// The path that was given.
        path: PathBuf,
    },
    /// A requirement contradicts the pin of its project.
    #[error("`{requirement}` is asked for, but {pin}")]
    AgainstPin {
        /// The requirement.
        requirement: Box<Requirement>,
        /// The line of the pin.
        pin: Box<Place>,
    },
    /// A lock makes no sense.
    #[error(transparent)]
    Lock(#[from] PylockError),
    /// Two things have nothing in common that could be compared.
    #[error("`{}` {} and cannot be compared with `{}`, which {}", sides[0].0, sides[0].1, sides[1].0, sides[1].1)]
    OtherKind {
        /// What each is called, and what it is.
        sides: Box<[(String, &'static str); 2]>,
    },
    /// There are no wheels where wheels were asked for.
    #[error("`{reference}` is an image with a root file system, and no set of wheels")]
    NoWheels {
        /// The image.
        reference: String,
    },
    /// git cannot be run.
    #[error("cannot run `git`")]
    NoGit {
        /// Why.
        source: io::Error,
    },
    /// git failed.
    #[error("`git {command}` failed: {said}")]
    Git {
        /// Its subcommand.
        command: String,
        /// What it said of it.
        said: String,
    },
    /// A repository is elsewhere, and nobody may be asked.
    #[error("the repository `{url}` is elsewhere, and loci was told to stay offline")]
    Offline {
        /// Its address, without credentials.
        url: String,
    },
    /// A repository does not have what was asked for.
    #[error(
        "`{repository}` has neither branch nor tag {}{}",
        quoted(wanted, " nor "),
        told(branches)
    )]
    NoReference {
        /// The repository, without credentials.
        repository: String,
        /// What was looked for, in that order.
        wanted: Vec<String>,
        /// The branches there are.
        branches: Vec<String>,
    },
    /// A tree that should have the constraints of a release has none.
    #[error("there is no `{file}` in `{place}`")]
    NoConstraints {
        /// The file's name.
        file: &'static str,
        /// The tree, without credentials.
        place: String,
    },
    /// A task of the runtime ended by itself: a fault of loci.
    #[error("an internal task failed")]
    Task(#[source] tokio::task::JoinError),
}

impl From<ResolveError<Self>> for PipelineError {
    fn from(error: ResolveError<Self>) -> Self {
        Self::Resolve(Box::new(error))
    }
}

/// Why a single wheel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// No file fits.
    #[error(transparent)]
    NoFit(#[from] NoFit),
    /// No version is admitted.
    #[error("no release of `{name}` that fits satisfies `{}`", requirements.join("` and `"))]
    NoneAdmitted {
        /// The project.
        name: PackageName,
        /// What was asked for.
        requirements: Vec<String>,
    },
    /// The package rules forbid to build it.
    #[error("there is no wheel of `{release}` that fits, and it is never built from source")]
    NeverBuild {
        /// The release.
        release: Release,
    },
    /// The wheel at the URL of a pin is another project's, or for another Python.
    #[error("`{file}` is not a wheel of `{name}` for {target}")]
    OtherWheel {
        /// The project.
        name: PackageName,
        /// The wheel's file name.
        file: String,
        /// The Python and platform.
        target: String,
    },
    /// Two builds need each other.
    #[error("building `{builder}` needs `{release}`, whose build needs `{builder}`")]
    Cycle {
        /// The release whose build asked.
        builder: String,
        /// What it asked for.
        release: Release,
    },
    /// The build failed.
    #[error(transparent)]
    Build(#[from] Box<BuildFailure>),
    /// Anything else on the way.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl PipelineError {
    /// The error with everything that caused it, in one line.
    #[must_use]
    pub fn explain(&self) -> String {
        chain(self).join(": ")
    }

    /// The log of the build that failed, when one did.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            Self::Obtain(error) | Self::Project { source: error, .. } => error.log(),
            _ => None,
        }
    }
}

impl ObtainError {
    /// The error with everything that caused it, in one line.
    #[must_use]
    pub fn explain(&self) -> String {
        chain(self).join(": ")
    }

    /// The log of the build that failed, when one did.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            Self::Build(failure) => failure.log_path.as_deref(),
            _ => None,
        }
    }
}

/// How many branches are told.
const TOLD: usize = 20;

fn quoted(names: &[String], between: &str) -> String {
    names.iter().map(|name| format!("`{}`", redact(name))).collect::<Vec<_>>().join(between)
}

/// The branches there are, those of the newest releases at the end.
fn told(branches: &[String]) -> String {
    let (few, more) = branches.split_at(branches.len().min(TOLD));
    match (few, more.len()) {
        ([], _) => String::new(),
        (_, 0) => format!("; its branches are {}", quoted(few, ", ")),
        (_, more) => format!("; its branches are {} and {more} more", quoted(few, ", ")),
    }
}

/// What an error says, and then each of its sources; a source that ends what was said last is not
/// said again.
#[must_use]
pub fn chain(error: &dyn Error) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !said.last().is_some_and(|last| last.ends_with(&cause)) {
            said.push(cause);
        }
        source = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Said {
        said: &'static str,
        source: Option<Box<Said>>,
    }

    #[test]
    fn a_source_is_said_once() {
        for (all, said) in [
            (&["a", "b", "c"][..], &["a", "b", "c"][..]),
            (&["a: b", "b", "c"], &["a: b", "c"]),
            (&["a: b: c", "b: c", "c"], &["a: b: c"]),
            (&["no b here", "b"], &["no b here", "b"]),
        ] {
            let error =
                all.iter().rev().fold(None, |source, said| Some(Box::new(Said { said, source })));
            assert_eq!(chain(&*error.unwrap()), said);
        }
    }
}
