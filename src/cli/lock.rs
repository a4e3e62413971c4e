//! `loci lock`: resolve only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::exit::CliError;
use super::index_args::IndexArgs;
use super::output;
use super::project_arg;
use super::run_args::{GlobalArgs, block_on};
use super::shop_args::ShopArgs;
use crate::pipeline::events::Events;
use crate::pipeline::lock::{LockJob, lock};
use crate::resolve::lock::LockedPackage;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loci lock keystone -o pylock.keystone.toml
  loci lock keystone nova -c upper-constraints.txt --format constraints
  loci lock 'keystone>=28' 'requests[socks]' --format constraints")]
pub(super) struct LockArgs {
    /// Projects, or requirements, to resolve together
    #[arg(required = true, value_name = "PROJECT")]
    projects: Vec<String>,
    /// Pins to keep to, except for the projects themselves, repeatable
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// What to write: pylock.toml (PEP 751), or constraints as pip reads them
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Where to write it; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Pylock,
    Constraints,
}

/// Runs `loci lock`.
pub(super) fn run(global: &GlobalArgs, args: &LockArgs) -> Result<ExitCode, CliError> {
    let roots =
        args.projects.iter().map(|text| project_arg::parse(text)).collect::<Result<_, _>>()?;
    let display = global.display();
    // It asks the Python and waits for its answer: a signal must not have to wait for that.
    let workshop = args.shop.open(global, &args.index, Events::to(display.reporter()))?;
    let lock = block_on(async move {
        let _lease = workshop.store.lease()?;
        let constraints = workshop.documents(&args.constraints).await?;
        let build_constraints = args.shop.build_constraints(&workshop).await?;
        let job = LockJob { roots, constraints, build_constraints };
        Ok(lock(Arc::clone(&workshop), job).await?)
    });
    drop(display);
    let lock = lock?;
    if global.json {
        output::print_json(&lock.packages.iter().map(package).collect::<Vec<_>>())?;
        if args.output == Path::new("-") {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let text = match args.format {
        Format::Pylock => lock.to_pylock(),
        Format::Constraints => lock.to_constraints_text(),
    };
    output::write(&args.output, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// A package of a lock, for machines.
fn package(package: &LockedPackage) -> serde_json::Value {
    serde_json::json!({
        "name": package.name,
        "version": package.version.to_string(),
        "dependencies": package.dependencies,
        "wheels": package.wheels.iter().map(|wheel| wheel.filename.as_str()).collect::<Vec<_>>(),
        "sdist": package.sdist.as_ref().map(|sdist| sdist.filename.as_str()),
    })
}
