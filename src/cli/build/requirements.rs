//! `loci build requirements`: the main job.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::cli::exit::{CliError, SOME_FAILED, bare};
use crate::cli::image_args::ImageArgs;
use crate::cli::index_args::IndexArgs;
use crate::cli::output;
use crate::cli::place_arg;
use crate::cli::project_arg;
use crate::cli::run_args::{GlobalArgs, block_on, paint, source_date_epoch};
use crate::cli::service_args::given;
use crate::cli::shop_args::ShopArgs;
use crate::image::reference::Reference;
use crate::image::{Earlier, WriteOptions};
use crate::input::document::Document;
use crate::input::release_source::ReleaseSource;
use crate::input::requirements::parse_packages;
use crate::pipeline::events::Events;
use crate::pipeline::release_tree::release_texts;
use crate::pipeline::requirements::{RequirementsJob, Scope, requirements};
use crate::pipeline::services::ServiceName;
use crate::pipeline::set_lock;
use crate::report::summary;
use crate::store::names::Tag;

/// The constraints that are used when none are given: made by `loci lock` for ten services.
const DEFAULT_SET: &str = include_str!("../../../constraints/default.txt");

#[derive(Debug, Args)]
#[command(after_help = "\
Run it again and it does only what is missing. When single wheels fail, all others are kept and
written, the failures are listed with their causes and logs, and the exit code is 3.

Examples:
  loci build requirements -o dir:wheels
  loci build requirements --project-release 2025.2 -o oci:requirements:2025.2
  loci build requirements -c upper-constraints.txt --global-requirements global-requirements.txt \\
      -o oci:requirements:master -o tar:wheels.tar
  loci build requirements -c upper-constraints.txt --services keystone,nova \\
      -o docker://registry.example.org/loci/requirements:master
  loci build requirements -c upper-constraints.txt --pip-packages 'rpdb uwsgi>=2.0.30' -o dir:wheels")]
pub(super) struct RequirementsArgs {
    /// Pins to obtain wheels for, repeatable [default: those of the release, or loci's own set for ten
    /// services]
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// Ranges the pins should keep to; written beside the wheels [default: those of the release]
    #[arg(long, value_name = "FILE|URL")]
    global_requirements: Option<String>,
    /// The release whose pins these are: `master`, `2025.2`, `stable/2025.2` ...
    #[arg(long, env = "PROJECT_RELEASE", value_name = "RELEASE")]
    project_release: Option<String>,
    /// The tree with the pins of releases, a directory or a git URL [default: OpenStack's own, when a
    /// release is asked for]
    #[arg(long, env = "PROJECT_REPO", value_name = "DIR|URL")]
    project_repo: Option<String>,
    /// The branch, tag, commit or ref of that tree, instead of a release
    #[arg(long, env = "PROJECT_REF", value_name = "REF")]
    project_ref: Option<String>,
    /// More projects to obtain wheels for, separated by spaces
    #[arg(
        long,
        env = "PIP_PACKAGES",
        value_name = "REQUIREMENTS",
        default_value = "",
        hide_default_value = true
    )]
    pip_packages: String,
    /// Services that get images of their own, TAG-NAME, with only the layers they need
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    services: Vec<String>,
    /// Nothing: a set keeps all wheels, those that were not built here too, or no service could be
    /// installed without a network
    #[arg(
        long,
        env = "KEEP_ALL_WHEELS",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true
    )]
    keep_all_wheels: bool,
    /// Leave out what the wheels need and nothing pins
    #[arg(long)]
    no_deps: bool,
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        short,
        long = "output",
        value_name = "DEST",
        help = "Where to write the set, repeatable: docker://NAME, oci:DIR[:TAG], \
                oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], tar:FILE, dir:DIR or store:TAG"
    )]
    outputs: Vec<String>,
    /// What the set is called in the store
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: String,
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
    // Taken apart before the arguments are read: `pip_args`.
    /// Options of pip, instead of those of `--pip-args`
    #[arg(
        long,
        env = "PIP_WHEEL_ARGS",
        value_name = "OPTIONS",
        allow_hyphen_values = true,
        help_heading = "Index options"
    )]
    pip_wheel_args: Option<String>,
}

/// Runs `loci build requirements`.
pub(super) fn run(global: &GlobalArgs, args: &RequirementsArgs) -> Result<ExitCode, CliError> {
    let destinations =
        args.outputs.iter().map(|text| destination(text)).collect::<Result<_, _>>()?;
    let tag = args.tag.parse::<Tag>().map_err(|error| CliError::Value {
        option: "--tag",
        text: args.tag.clone(),
        reason: bare(&args.tag, &error.to_string()),
    })?;
    let packages = parse_packages(&args.pip_packages, "--pip-packages")?;
    let mut services = args
        .services
        .iter()
        .filter(|name| !name.trim().is_empty())
        .map(|name| service(name.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    services.sort_by(|a, b| a.written.cmp(&b.written));
    services.dedup_by(|a, b| a.requirement.name == b.requirement.name);
    let release = ReleaseSource::read(
        given(args.project_repo.as_deref()),
        given(args.project_ref.as_deref()),
        given(args.project_release.as_deref()),
    )?;
    let (epoch, annotations) = (source_date_epoch()?, args.image.annotations()?);
    let display = global.display();
    // It asks the Python and waits for its answer: a signal must not have to wait for that.
    let workshop = args.shop.open(global, &args.index, Events::to(display.reporter()))?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let mut constraints = workshop.documents(&args.constraints).await?;
        let mut global_requirements = match &args.global_requirements {
            Some(location) => Some(workshop.document(location).await?),
            None => None,
        };
        if constraints.is_empty() {
            constraints.push(match &release {
                Some(release) => {
                    let release = release_texts(&workshop, release).await?;
                    global_requirements = global_requirements.or(release.global_requirements);
                    release.constraints
                }
                None => Document::new("constraints/default.txt", DEFAULT_SET),
            });
        }
        let options = WriteOptions {
            epoch,
            machine: workshop.target().platform().arch().to_owned(),
            earlier: Earlier::Remove,
            shape: args.image.shape(),
            annotations,
            subsets: Vec::new(),
            lock: Some(set_lock::text),
        };
        let job = RequirementsJob {
            constraints,
            global_requirements,
            packages,
            services,
            build_constraints: args.shop.build_constraints(&workshop).await?,
            scope: if args.no_deps { Scope::Pinned } else { Scope::Complete },
            destinations,
            options,
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

/// A service, by its project's name: its image is called so.
fn service(text: &str) -> Result<ServiceName, CliError> {
    let requirement = project_arg::parse(text)?;
    let is_more = requirement.version_or_url.is_some()
        || !requirement.extras.is_empty()
        || !requirement.marker.is_true();
    if is_more {
        return Err(CliError::Value {
            option: "--services",
            text: text.into(),
            reason: "is more than the name of a project".into(),
        });
    }
    Ok(ServiceName { written: text.to_lowercase(), requirement })
}

/// Where a set may be written: not everywhere where one can be read.
fn destination(text: &str) -> Result<Reference, CliError> {
    match place_arg::destination("--output", text)? {
        Reference::Registry(name) if name.digest().is_some() => Err(CliError::Value {
            option: "--output",
            text: text.into(),
            reason: "has a digest, which is known only when the image is made".into(),
        }),
        Reference::Url(url) => Err(CliError::Value {
            option: "--output",
            text: Reference::Url(url).to_string(),
            reason: "cannot be written to; a registry (`docker://`), `oci:`, `tar:` and `dir:` can"
                .into(),
        }),
        reference => Ok(reference),
    }
}
