//! `loci image`: look at images and sets, wherever they are.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::CliError;
use super::image_args::architecture;
use super::network_args::NetworkArgs;
use super::output;
use super::place_arg;
use super::run_args::{GlobalArgs, block_on, paint_results};
use crate::http::client::Client;
use crate::image::Access;
use crate::image::error::ImageError;
use crate::image::inspect::Depth;
use crate::pipeline::error::PipelineError;
use crate::pipeline::events::Events;
use crate::pipeline::look::{FileEntry, Kind, LookJob, View, look};
use crate::report::look as words;

#[derive(Debug, Args)]
pub(super) struct ImageVerbArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what an image or a set is, or list what is in it
    Ls(LsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
An image of wheels is judged by its index, so that no layer of it is read but the last one. Of any other
image every layer is read, checked and put upon those below it, as an engine does.

Examples:
  loci image ls docker://registry.example.org/loci/requirements:master
  loci image ls oci:requirements:master --wheels
  loci image ls docker-archive:keystone.tar --packages
  loci image ls docker://registry.example.org/loci/keystone:master --layers --json")]
pub(super) struct LsArgs {
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        value_name = "REF",
        help = "What: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], \
                tar:FILE, dir:DIR, store:[TAG] or a tarball's URL"
    )]
    place: String,
    #[command(flatten)]
    list: ListArgs,
    /// Of an image for several platforms, look at this one's, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// What is listed; one thing at most.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct ListArgs {
    /// List its wheels: name, version, size, the beginning of the digest, file and origin
    #[arg(long)]
    wheels: bool,
    /// List its files, as `tar tv` does
    #[arg(long)]
    files: bool,
    /// List its Python packages and those of its distribution
    #[arg(long)]
    packages: bool,
    /// List its layers, the lowest first
    #[arg(long)]
    layers: bool,
}

/// Runs `loci image`.
pub(super) fn run(global: &GlobalArgs, args: &ImageVerbArgs) -> Result<ExitCode, CliError> {
    match &args.what {
        What::Ls(args) => list(global, args),
    }
}

fn list(global: &GlobalArgs, args: &LsArgs) -> Result<ExitCode, CliError> {
    let place = place_arg::any(&args.place)?;
    let platform = args.platform.as_deref().map(architecture).transpose()?;
    let depth = match &args.list {
        ListArgs { files: true, .. } => Depth::Files,
        ListArgs { layers: true, .. } => Depth::Outline,
        _ => Depth::Contents,
    };
    let store = global.open_store()?;
    let client = Client::new(args.network.client())?;
    let registries = args.network.registries(&client)?;
    let access = Access { store, client, registries };
    let display = global.display();
    let events = Events::to(display.reporter());
    let view = block_on(async move {
        let _lease = access.store.lease()?;
        Ok(look(&access, &events, &LookJob { place, platform, depth }).await?)
    });
    drop(display);
    let view = view?;
    if global.json {
        output::print_json(&as_json(&view, &args.list)?)?;
    } else {
        output::print(&as_text(&view, &args.list)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(view: &View, list: &ListArgs) -> Result<String, CliError> {
    let paint = paint_results();
    Ok(match (list, &view.kind) {
        (ListArgs { wheels: true, .. }, Kind::Wheels { wheels }) => words::wheels(wheels),
        (ListArgs { wheels: true, .. }, _) => return Err(no_wheels(view)),
        (ListArgs { packages: true, .. }, _) => words::packages(view, paint),
        (ListArgs { layers: true, .. }, _) => match &view.image {
            Some(image) => words::layers(&image.layers),
            None => return Err(no_image(view)),
        },
        (ListArgs { files: true, .. }, Kind::System(system)) => words::files(system),
        _ => words::overview(view, paint),
    })
}

/// All that is known of it, and its files where they are asked for.
#[derive(Serialize)]
struct Listing<'a> {
    #[serde(flatten)]
    view: &'a View,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<FileEntry<'a>>>,
}

fn as_json<'a>(view: &'a View, list: &ListArgs) -> Result<Listing<'a>, CliError> {
    let entries = match (list, &view.kind) {
        (ListArgs { wheels: true, .. }, Kind::System(_)) => return Err(no_wheels(view)),
        (ListArgs { layers: true, .. }, _) if view.image.is_none() => return Err(no_image(view)),
        (ListArgs { files: true, .. }, Kind::System(system)) => Some(system.entries().collect()),
        _ => None,
    };
    Ok(Listing { view, entries })
}

fn no_wheels(view: &View) -> CliError {
    PipelineError::NoWheels { reference: view.reference.clone() }.into()
}

fn no_image(view: &View) -> CliError {
    PipelineError::from(ImageError::NotAnImage { reference: view.reference.clone() }).into()
}
