//! Acting on a [`StepPlan`]: what it consists of is written into a root, in its order.
//!
//! What was fetched is handed in, and how a command is run in the root is the caller's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::vocab::digest::Digest;

use super::copied::{self, CopyError};
use super::node::{self, Node, NodeError, NodeKind};
use super::steps::{Act, Fetch, RunStep, StepPlan};
use super::tree;

/// Where what a plan asks for lies: the tree of a repository, or a file.
pub type Fetched = BTreeMap<Fetch, PathBuf>;

/// Why a command failed, as whoever runs it says it.
pub type RunFailure = Box<dyn Error + Send + Sync>;

/// A step that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Something cannot be written.
    #[error("the step `{step}` failed")]
    Write {
        /// The step.
        step: String,
        /// Why.
        source: NodeError,
    },
    /// Something cannot be copied.
    #[error("the step `{step}` failed")]
    Copy {
        /// The step.
        step: String,
        /// Why.
        source: CopyError,
    },
    /// A command failed.
    #[error("the step `{step}` failed to run `{program}`")]
    Run {
        /// The step.
        step: String,
        /// The program.
        program: String,
        /// Why.
        source: RunFailure,
    },
    /// What was fetched cannot be read, or was not fetched.
    #[error("the step `{step}` cannot read what was fetched for it")]
    Fetched {
        /// The step.
        step: String,
        /// Why.
        source: io::Error,
    },
    /// What was fetched is something else.
    #[error("what the step `{step}` fetched is `{found}` and not `{wanted}`")]
    Digest {
        /// The step.
        step: String,
        /// The digest it has.
        found: Digest,
        /// The digest it should have.
        wanted: Digest,
    },
    /// A step needs a root.
    #[error("the step `{step}` can only be done in a root")]
    NeedsRoot {
        /// The step.
        step: String,
    },
}

/// Does the steps of `plan` in `root`, in which everything else is already; `run` runs a command there. Says which paths
/// the steps themselves have written to, as [`Leftovers::of_commands`] takes them.
///
/// [`Leftovers::of_commands`]: super::root::leftovers::Leftovers::of_commands
///
/// # Errors
/// [`ActError`] for the first step that fails; those before it are done.
pub fn act(
    root: &Path,
    plan: &StepPlan,
    fetched: &Fetched,
    run: &mut dyn FnMut(&RunStep) -> Result<(), RunFailure>,
) -> Result<BTreeSet<PathBuf>, ActError> {
    let mut named = BTreeSet::new();
    for planned in plan.acts() {
        let step = || planned.name.clone();
        let nodes = match &planned.act {
            Act::Run(command) => {
                let program = command.command.first().cloned().unwrap_or_default();
                run(command).map_err(|source| ActError::Run { step: step(), program, source })?;
                continue;
            }
            Act::Copy(copy) => copied::nodes_of(root, copy)
                .map_err(|source| ActError::Copy { step: step(), source })?,
            written => nodes_of(&planned.name, written, fetched)?,
        };
        let written = node::write(root, &nodes);
        let written = written.map_err(|source| ActError::Write { step: step(), source })?;
        named.extend(written.iter().map(|path| PathBuf::from(path.as_str())));
    }
    Ok(named)
}

/// All that a plan consists of which needs no root ([`StepPlan::needs_root`]), in its order: what comes
/// later replaces what is at its path before.
///
/// # Errors
/// [`ActError`] when something was not fetched, or a step needs a root.
pub fn nodes(plan: &StepPlan, fetched: &Fetched) -> Result<Vec<Node>, ActError> {
    let mut all = Vec::new();
    for planned in plan.acts() {
        all.extend(nodes_of(&planned.name, &planned.act, fetched)?);
    }
    Ok(all)
}

fn nodes_of(step: &str, act: &Act, fetched: &Fetched) -> Result<Vec<Node>, ActError> {
    let step = || step.to_owned();
    let failed = |source| ActError::Fetched { step: step(), source };
    let place = |fetch: &Fetch| {
        fetched.get(fetch).ok_or_else(|| failed(io::Error::other("it was not fetched")))
    };
    match act {
        Act::Write(node) => Ok(vec![node.clone()]),
        Act::Tree { git, to } => {
            let directory = place(&Fetch::Git(git.clone()))?;
            tree::nodes_of(directory, to).map_err(failed)
        }
        Act::File { download, node } => {
            let file = place(&Fetch::Download(download.clone()))?;
            let content = std::fs::read(file).map_err(failed)?;
            let (found, wanted) = (Digest::of(&content), download.digest);
            if found != wanted {
                return Err(ActError::Digest { step: step(), found, wanted });
            }
            Ok(vec![Node { kind: NodeKind::File(content), ..node.clone() }])
        }
        Act::Copy(_) | Act::Run(_) => Err(ActError::NeedsRoot { step: step() }),
    }
}
