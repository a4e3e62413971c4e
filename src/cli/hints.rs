//! What to do next: one hint for an error where there is something to do.

use super::exit::CliError;
use crate::pipeline::error::PipelineError;
use crate::resolve::resolution::ResolveError;
use crate::service::prefix::PrefixError;
use crate::store::error::StoreError;

/// The hint for `error`, as a sentence without a full stop.
pub(super) fn hint(error: &CliError) -> Option<String> {
    let hint = match error {
        CliError::NoStore => "give a directory with `--store`",
        CliError::Damaged { .. } => {
            "damaged blobs were set aside; run the job again and what is missing is obtained again"
        }
        CliError::Interrupted => "run the same command again: it goes on with what is missing",
        CliError::Interpreter(_) => "name the Python that wheels are for with `--python`",
        CliError::Store(StoreError::Busy { .. })
        | CliError::Pipeline(PipelineError::Store(StoreError::Busy { .. })) => {
            "wait for it to end, or use another store with `--store`"
        }
        CliError::Pipeline(PipelineError::Prefix(PrefixError::Exists { .. })) => {
            "choose another `--prefix`, or replace this one with `--clear`"
        }
        CliError::Pipeline(PipelineError::NoGit { .. }) => {
            "install git, or give a directory or an archive with `--project-repo`"
        }
        CliError::Pipeline(PipelineError::Resolve(error))
            if matches!(
                error.as_ref(),
                ResolveError::Versions { source: PipelineError::Unfit { .. }, .. }
            ) =>
        {
            "name the Python that the set was made for with `--python`"
        }
        _ => return None,
    };
    Some(hint.into())
}
