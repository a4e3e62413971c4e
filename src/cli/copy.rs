//! `loci copy`: images and sets from anywhere to anywhere.

use std::process::ExitCode;

use clap::Args;

use super::exit::CliError;
use super::image_args::{ImageArgs, architecture};
use super::network_args::NetworkArgs;
use super::output;
use super::place_arg;
use super::run_args::{GlobalArgs, block_on, paint, source_date_epoch};
use crate::http::client::Client;
use crate::image::reference::Reference;
use crate::image::{Access, Earlier, Platforms, WriteOptions};
use crate::pipeline::copy::{CopyJob, copy};
use crate::pipeline::events::Events;
use crate::pipeline::set_lock;
use crate::report::summary;

#[derive(Debug, Args)]
#[command(override_usage = "loci copy [OPTIONS] <SRC>... <DST>")]
#[command(after_help = "\
From image to image every digest stays, and only what is missing moves. Several images become
one for several platforms. A tar, a directory and a set in the store have wheels and no layers:
they go through the store; so does an image that is to look otherwise (`--layout` and the like).

Examples:
  loci copy oci:requirements:master docker://registry.example.org/loci/requirements:master
  loci copy docker://registry.example.org/loci/requirements:master tar:wheels.tar
  loci copy oci:amd64 oci:arm64 docker://registry.example.org/loci/requirements:2025.2
  loci copy loci/requirements:master-ubuntu store:ubuntu")]
pub(super) struct CopyArgs {
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        required = true,
        num_args = 2..,
        value_names = ["SRC", "DST"],
        help = "Where from, and last where to: docker://NAME, oci:DIR[:TAG], \
                oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], tar:FILE, dir:DIR, \
                store:[TAG] or, to read, a tarball's URL"
    )]
    places: Vec<String>,
    /// Copy one platform's image out of several, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `loci copy`.
pub(super) fn run(global: &GlobalArgs, args: &CopyArgs) -> Result<ExitCode, CliError> {
    let (destination, sources) = args.places.split_last().expect("two places are required");
    let destination = place_arg::destination("DST", destination)?;
    let sources =
        sources.iter().map(|text| place_arg::any(text)).collect::<Result<Vec<Reference>, _>>()?;
    let options = WriteOptions {
        epoch: source_date_epoch()?,
        machine: std::env::consts::ARCH.to_owned(),
        earlier: Earlier::Remove,
        shape: args.image.shape(),
        annotations: args.image.annotations()?,
        subsets: Vec::new(),
        lock: Some(set_lock::text),
    };
    let platforms = match &args.platform {
        Some(text) => Platforms::One(architecture(text)?),
        None => Platforms::All,
    };
    let treatment = args.image.treatment();
    let store = global.open_store()?;
    let client = Client::new(args.network.client())?;
    let registries = args.network.registries(&client)?;
    let access = Access { store, client, registries };
    let display = global.display();
    let events = Events::to(display.reporter());
    let copied = block_on(async move {
        let _lease = access.store.lease()?;
        let job = CopyJob { sources, destination, platforms, treatment, options };
        Ok(copy(&access, &events, job).await?)
    });
    drop(display);
    let copied = copied?;
    global.say(&summary::copied(&copied, paint()));
    if global.json {
        output::print_json(&copied)?;
    }
    Ok(ExitCode::SUCCESS)
}
