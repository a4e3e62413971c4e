//! `loci build PROJECT...`: images of services, without a container engine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::cli::exit::CliError;
use crate::cli::image_args::AnnotationArgs;
use crate::cli::index_args::IndexArgs;
use crate::cli::install::{unmet, wheels};
use crate::cli::output;
use crate::cli::place_arg;
use crate::cli::run_args::{GlobalArgs, block_on, paint, source_date_epoch};
use crate::cli::service_args::{ServiceArgs, SystemArgs};
use crate::cli::shop_args::{PYTHON, ShopArgs};
use crate::image::reference::Reference;
use crate::pipeline::error::PipelineError;
use crate::pipeline::events::Events;
use crate::pipeline::foundation::Refresh;
use crate::pipeline::service_images::{ImagesJob, ServiceImage, service_images};
use crate::report::summary;
use crate::service::root::error::RootError;
use crate::service::root::rootless;

/// What stands for a project's name in a destination.
const PLACEHOLDER: &str = "{project}";

#[derive(Debug, Args)]
pub(super) struct ServicesArgs {
    /// The projects to make images of
    #[arg(env = "PROJECT", value_name = "PROJECT", required = true)]
    projects: Vec<String>,
    #[arg(
        long,
        env = "FROM",
        value_name = "BASE",
        help = "The image to build upon: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG] or \
                docker-archive:FILE[:NAME]",
        required = true
    )]
    from: Option<String>,
    #[arg(
        long,
        env = "WHEELS",
        value_name = "SRC",
        help = "The set of wheels: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], \
                docker-archive:FILE[:NAME], tar:FILE, dir:DIR, store:[TAG] or the URL of a tarball",
        required = true
    )]
    wheels: Option<String>,
    #[arg(
        short,
        long = "output",
        value_name = "DEST",
        help = "Where to write the images, repeatable: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG] \
                or docker-archive:FILE[:NAME]; `{project}` in it stands for the project's name",
        required = true
    )]
    outputs: Vec<String>,
    /// Pins to keep to, instead of those the set brings, repeatable
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// The Python of this machine that builds projects with a source, for the base's
    #[arg(long, env = "LOCI_BUILD_PYTHON", value_name = "PATH", default_value = PYTHON)]
    build_python: PathBuf,
    /// Ask the distribution whether it has newer packages than those that are remembered
    #[arg(long)]
    refresh_packages: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    said: AnnotationArgs,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
}

/// Runs `loci build PROJECT...`: as root of a user namespace, where whoever runs it is not root. Where there can be
/// none it is tried all the same, for what the store remembers needs no root.
pub(super) fn run(global: &GlobalArgs, args: &ServicesArgs) -> Result<ExitCode, CliError> {
    let reason = rootless::enter();
    make(global, args).map_err(|error| match (error, reason) {
        (CliError::Pipeline(error), Some(reason))
            if matches!(error, PipelineError::Root(RootError::Private { .. })) =>
        {
            CliError::Rootless { error, reason }
        }
        (error, _) => error,
    })
}

fn make(global: &GlobalArgs, args: &ServicesArgs) -> Result<ExitCode, CliError> {
    let base = place_arg::image("--from", args.from.as_deref().unwrap_or_default())?;
    let wheels = wheels(args.wheels.as_deref())?;
    let mut services = Vec::new();
    for name in args.projects.iter().flat_map(|text| text.split_whitespace()) {
        let (name, wants) = args.service.wants(name)?;
        let destinations = args
            .outputs
            .iter()
            .map(|output| {
                place_arg::image_destination("--output", &output.replace(PLACEHOLDER, &name))
            })
            .collect::<Result<Vec<Reference>, _>>()?;
        services.push(ServiceImage { spec: args.system.spec(&name, wants)?, destinations });
    }
    if let Some(output) = args.outputs.iter().find(|output| !output.contains(PLACEHOLDER))
        && services.len() > 1
    {
        return Err(CliError::Value {
            option: "--output",
            text: output.clone(),
            reason: format!(
                "is one place for {} images; `{PLACEHOLDER}` in it makes a place of each",
                services.len()
            ),
        });
    }
    let (epoch, annotations) = (source_date_epoch()?, args.said.annotations()?);
    let display = global.display();
    let events = Events::to(display.reporter());
    let workshop = args.shop.open_with(&args.build_python, global, &args.index, events)?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let constraints = workshop.documents(&args.constraints).await?;
        let python = args.shop.python().map(Path::to_owned);
        let built = services.iter_mut().filter(|service| service.spec.wants.has_source());
        let built: Vec<&mut ServiceImage> = built.collect();
        let build_constraints = match built.is_empty() {
            true => Vec::new(),
            false => args.shop.build_constraints(&workshop).await?,
        };
        for service in built {
            service.spec.wants.build_constraints.clone_from(&build_constraints);
        }
        let refresh = match args.refresh_packages {
            true => Refresh::Packages,
            false => Refresh::No,
        };
        let job =
            ImagesJob { base, python, wheels, constraints, services, annotations, epoch, refresh };
        service_images(Arc::clone(&workshop), job).await.map_err(unmet)
    });
    drop(display);
    let made = outcome?;
    global.say(&summary::images(&made, paint()));
    if global.json {
        output::print_json(&made)?;
    }
    Ok(ExitCode::SUCCESS)
}
