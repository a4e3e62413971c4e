//! `loci build`: the requirements of a release, or images of services.

mod requirements;
mod services;

use std::process::ExitCode;

use clap::{Args, Command, Subcommand};

use super::exit::CliError;
use super::run_args::GlobalArgs;

/// The project that is no service, as LOCI has it.
pub(super) const REQUIREMENTS: &str = "requirements";

#[derive(Debug, Args)]
#[command(
    after_help = "\
A service's image is the base, what its distribution adds (its own apt or dnf, in a private root, once
for all services that need the same), and the wheels, which go straight into layers. No container
engine is used. `loci build requirements --help` tells of the wheels.

Examples:
  loci build requirements -o oci:requirements
  loci build keystone --from docker://docker.io/library/debian:bookworm --wheels oci:requirements \\
      -o oci:keystone
  loci build keystone nova glance --from oci:base --wheels oci:requirements \\
      -o 'docker://registry.example.org/loci/{project}:master'
  loci build cinder --from oci:base --wheels oci:requirements --profiles 'lvm ceph' -o oci:cinder",
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

/// Whether `project` is the one that is no service.
pub(super) fn is_requirements(project: &str) -> bool {
    project.eq_ignore_ascii_case(REQUIREMENTS)
}

/// `command` where the variable PROJECT is `project`: the source of a service is not that of the
/// requirements.
pub(super) fn with_project(command: Command, project: Option<&str>) -> Command {
    if project.is_none_or(is_requirements) {
        return command;
    }
    command.mut_subcommand("build", |build| {
        build.mut_subcommand(REQUIREMENTS, |requirements| {
            requirements.mut_args(|arg| {
                let variable = arg.get_env().and_then(|name| name.to_str());
                let is_of_service = matches!(variable, Some("PROJECT_REPO" | "PROJECT_REF"));
                if is_of_service { arg.env(None::<&'static str>) } else { arg }
            })
        })
    })
}
