//! `loci build`: the requirements of a release, or images of services.

mod requirements;
mod services;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::CliError;
use super::run_args::GlobalArgs;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_precedence_over_arg = true
)]
pub(super) struct BuildArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    services: services::ServicesArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fetch or build a wheel for every pin, and write the set out
    Requirements(Box<requirements::RequirementsArgs>),
}

/// Runs `loci build`.
pub(super) fn run(global: &GlobalArgs, args: &BuildArgs) -> Result<ExitCode, CliError> {
    match &args.what {
        Some(What::Requirements(args)) => requirements::run(global, args),
        None => services::run(global, &args.services),
    }
}
