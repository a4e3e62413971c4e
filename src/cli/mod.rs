//! The command line: the only place for clap, standard output, hints and exit codes.
//!
//! Each verb has a file with its arguments and its body together. Arguments are what was typed;
//! the body turns them into the pipeline's settings before any work starts.

mod arguments;
mod index_args;
mod pip_args;
mod pip_options;
mod format_args;
mod network_args;
mod image_args;
mod run_args;
mod output;
mod exit;
mod hints;
mod shop_args;
mod service_args;
mod root_guard;
mod words_arg;
mod place_arg;
mod project_arg;
mod distro_arg;
mod build;
mod lock;
mod install;
mod copy;
mod image;
mod bindep;
mod diff;
mod age;
mod gc;
mod store;
mod serve;
mod help;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::CliError;
use run_args::GlobalArgs;

use crate::service::root::first::FirstProcess;

/// Turn constraints into wheels, and wheels into services
#[derive(Debug, Parser)]
#[command(
    name = "loci",
    version,
    after_help = "\
loci reads exact pins (upper-constraints.txt), fetches or builds every wheel once into a
content-addressed store, writes the set out, and installs services from it without a network.

Examples:
  loci build requirements -o dir:wheels
  loci build requirements -c upper-constraints.txt -o oci:requirements:master -o tar:wheels.tar
  loci build keystone --from oci:base --wheels oci:requirements:master -o oci:keystone
  loci install keystone --wheels dir:wheels --prefix /var/lib/openstack
  loci lock keystone nova -c upper-constraints.txt --format constraints

Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 some wheels failed, all others are kept;
130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build images of services, or the requirements: constraints in, wheels out
    Build(build::BuildArgs),
    /// Resolve projects and their dependencies, and write what was chosen
    Lock(lock::LockArgs),
    /// Install a project and its dependencies from a set of wheels
    Install(install::InstallArgs),
    /// Copy an image or a set of wheels between registries, layouts, archives and directories
    Copy(copy::CopyArgs),
    /// Look at an image or a set of wheels, wherever it is
    Image(image::ImageVerbArgs),
    /// Say which packages of the distribution a project and its profiles want
    Bindep(bindep::BindepArgs),
    /// Say what changed between two images, sets or locks
    Diff(diff::DiffArgs),
    /// Serve a set in the store as a package index, for pip and uv, and as pages for people
    Serve(serve::ServeArgs),
    /// Look at the store, check it, or remove what nothing names
    Store(store::StoreArgs),
}

/// Runs the command line `args` (the program's name first) and says how it ended.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 some wheels failed; 130 interrupted.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(process) = FirstProcess::asked(args.iter().cloned()) {
        return output::of_first_process(&process);
    }
    let project = std::env::var("PROJECT").ok();
    let matches = arguments::matches(Cli::command(), &args, project.as_deref());
    let read = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match read {
        Ok(read) => read,
        Err(error) => {
            // Help and version are results and go to standard output; a broken pipe there is no fault.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    run_args::start_logging(&cli.global);
    let outcome = match &cli.command {
        Command::Build(args) => build::run(&cli.global, args),
        Command::Lock(args) => lock::run(&cli.global, args),
        Command::Install(args) => install::run(&cli.global, args, &matches),
        Command::Copy(args) => copy::run(&cli.global, args),
        Command::Image(args) => image::run(&cli.global, args),
        Command::Bindep(args) => bindep::run(&cli.global, args),
        Command::Diff(args) => diff::run(&cli.global, args),
        Command::Serve(args) => serve::run(&cli.global, args),
        Command::Store(args) => store::run(&cli.global, args),
    };
    outcome.unwrap_or_else(|error: CliError| error.report())
}

#[cfg(test)]
mod dockerfile_tests;

#[cfg(test)]
mod testing {
    //! The whole command, for tests of how it is read.

    use clap::{Command, CommandFactory};

    /// `loci` with all its verbs.
    pub(super) fn command() -> Command {
        super::Cli::command()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        help::finish(Cli::command()).debug_assert();
    }
}
