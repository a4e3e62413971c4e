//! `loci build requirements`: the main job.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::exit::{CliError, SOME_FAILED, bare};
use super::index_args::IndexArgs;
use super::output;
use super::run_args::{GlobalArgs, block_on, paint, source_date_epoch};
use super::shop_args::ShopArgs;
use crate::image::reference::Reference;
use crate::input::document::Document;
use crate::input::requirements::parse_packages;
use crate::pipeline::events::Events;
use crate::pipeline::requirements::{RequirementsJob, Scope, requirements};
use crate::report::summary;
use crate::store::names::Tag;

/// The constraints that are used when none are given: made by `loci lock` for ten services.
const DEFAULT_SET: &str = include_str!("../../constraints/default.txt");

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fetch or build a wheel for every pin, and write the set out
    #[command(after_help = "\
Run it again and it does only what is missing. When single wheels fail, all others are kept and
written, the failures are listed with their causes and logs, and the exit code is 3.

Examples:
  loci build requirements -o dir:wheels
  loci build requirements -c upper-constraints.txt --global-requirements global-requirements.txt \\
      -o oci:requirements:master -o tar:wheels.tar
  loci build requirements -c upper-constraints.txt --pip-packages 'rpdb uwsgi>=2.0.30' -o dir:wheels")]
    Requirements(RequirementsArgs),
}

#[derive(Debug, Args)]
struct RequirementsArgs {
    /// Pins to obtain wheels for, repeatable [default: loci's own set for ten services]
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// Ranges the pins should keep to; written beside the wheels
    #[arg(long, value_name = "FILE|URL")]
    global_requirements: Option<String>,
    /// More projects to obtain wheels for, separated by spaces
    #[arg(
        long,
        env = "PIP_PACKAGES",
        value_name = "REQUIREMENTS",
        default_value = "",
        hide_default_value = true
    )]
    pip_packages: String,
    /// Leave out what the wheels need and nothing pins
    #[arg(long)]
    no_deps: bool,
    /// Where to write the set, repeatable: dir:DIR, tar:FILE or oci:DIR[:TAG]
    #[arg(short, long = "output", value_name = "DEST")]
    outputs: Vec<String>,
    /// What the set is called in the store
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: String,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
}

/// Runs `loci build`.
pub(super) fn run(global: &GlobalArgs, args: &BuildArgs) -> Result<ExitCode, CliError> {
    let What::Requirements(args) = &args.what;
    let destinations =
        args.outputs.iter().map(|text| destination(text)).collect::<Result<_, _>>()?;
    let tag = args.tag.parse::<Tag>().map_err(|error| CliError::Value {
        option: "--tag",
        text: args.tag.clone(),
        reason: bare(&args.tag, &error.to_string()),
    })?;
    let packages = parse_packages(&args.pip_packages, "--pip-packages")?;
    let display = global.display();
    // It asks the Python and waits for its answer: a signal must not have to wait for that.
    let workshop = args.shop.open(global, &args.index, Events::to(display.reporter()))?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let mut constraints = workshop.documents(&args.constraints).await?;
        if constraints.is_empty() {
            constraints.push(Document::new("constraints/default.txt", DEFAULT_SET));
        }
        let global_requirements = match &args.global_requirements {
            Some(location) => Some(workshop.document(location).await?),
            None => None,
        };
        let job = RequirementsJob {
            constraints,
            global_requirements,
            packages,
            build_constraints: args.shop.build_constraints(&workshop).await?,
            scope: if args.no_deps { Scope::Pinned } else { Scope::Complete },
            destinations,
            epoch: source_date_epoch()?,
            tag,
        };
        Ok(requirements(Arc::clone(&workshop), &job).await?)
    });
    drop(display);
    let done = outcome?;
    global.say(&summary::words(&done, paint()));
    if global.json {
        output::print_json(&done)?;
    }
    Ok(if done.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

/// Where a set may be written: not everywhere where one can be read.
fn destination(text: &str) -> Result<Reference, CliError> {
    match text.parse()? {
        Reference::Url(url) => Err(CliError::Value {
            option: "--output",
            text: Reference::Url(url).to_string(),
            reason: "cannot be written to; `dir:`, `tar:`, `oci:` and `store:` can".into(),
        }),
        reference => Ok(reference),
    }
}
