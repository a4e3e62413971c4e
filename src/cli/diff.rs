//! `loci diff`: what changed between two images, sets or locks.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::exit::{CliError, DIFFERENT};
use super::image_args::architecture;
use super::network_args::NetworkArgs;
use super::output;
use super::place_arg;
use super::run_args::{GlobalArgs, block_on, paint_results};
use crate::http::client::Client;
use crate::image::Access;
use crate::pipeline::diff::{DiffJob, Thing, diff};
use crate::pipeline::difference::{Difference, FileChange};
use crate::pipeline::events::Events;
use crate::report::difference::{self, Listing};
use crate::report::markdown;

#[derive(Debug, Args)]
#[command(after_help = "\
Two images of services are compared by their Python packages, the packages of their distribution,
their files and what they say of themselves; two sets by their wheels. What ends in .txt is a
constraints file and what ends in .toml a lock (PEP 751): they are compared with each other, or
with a set.

Examples:
  loci diff docker://registry.example.org/loci/keystone:1 docker://registry.example.org/loci/keystone:2
  loci diff store:yesterday store:today --markdown
  loci diff upper-constraints.txt oci:requirements:master
  loci diff oci:a oci:b --files --exit-code")]
pub(super) struct DiffArgs {
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        value_name = "A",
        help = "What it was: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], \
                docker-archive:FILE[:NAME], tar:FILE, dir:DIR, store:[TAG], a tarball's URL, or a \
                constraints file or pylock.toml by path or URL"
    )]
    before: String,
    /// What it is
    #[arg(value_name = "B")]
    after: String,
    /// List the files that changed one by one
    #[arg(long)]
    files: bool,
    /// Write Markdown, for a review comment
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// End with 1 when anything changed
    #[arg(long)]
    exit_code: bool,
    /// Of images for several platforms, compare this one's, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// The difference, and its files where they are asked for.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    difference: &'a Difference,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<&'a [FileChange]>,
}

/// Runs `loci diff`.
pub(super) fn run(global: &GlobalArgs, args: &DiffArgs) -> Result<ExitCode, CliError> {
    let job = DiffJob {
        before: thing(&args.before)?,
        after: thing(&args.after)?,
        platform: args.platform.as_deref().map(architecture).transpose()?,
    };
    let store = global.open_store()?;
    let client = Client::new(args.network.client())?;
    let registries = args.network.registries(&client)?;
    let access = Access { store, client, registries };
    let display = global.display();
    let events = Events::to(display.reporter());
    let found = block_on(async move {
        let _lease = access.store.lease()?;
        Ok(diff(&access, &events, job).await?)
    });
    drop(display);
    let found = found?;
    let listing = if args.files { Listing::All } else { Listing::Counts };
    if global.json {
        let entries = found.files.as_ref().filter(|_| args.files).map(|files| &files.list[..]);
        output::print_json(&Listed { difference: &found, entries })?;
    } else if args.markdown {
        output::print(&markdown::difference(&found, listing))?;
    } else {
        output::print(&difference::words(&found, listing, paint_results()))?;
    }
    let is_different = args.exit_code && !found.is_empty();
    Ok(if is_different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

/// A text by its ending, a place by its transport.
fn thing(text: &str) -> Result<Thing, CliError> {
    let is_url = ["http://", "https://", "file://"].iter().any(|start| text.starts_with(start));
    let path = if is_url { text.split(['?', '#']).next().unwrap_or(text) } else { text };
    let is_text = [".txt", ".toml"].iter().any(|end| path.ends_with(end));
    if is_text && (is_url || !text.contains(':')) {
        return Ok(Thing::Text(text.to_owned()));
    }
    Ok(Thing::Place(place_arg::any(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_by_its_ending() {
        for (text, expected) in [
            ("upper-constraints.txt", true),
            ("./x/pylock.keystone.toml", true),
            ("https://host.invalid/uc.txt?h=master", true),
            ("https://host.invalid/wheels.tar", false),
            ("dir:odd.txt", false),
            ("loci/requirements:master", false),
        ] {
            let found = matches!(thing(text).unwrap(), Thing::Text(_));
            assert_eq!(found, expected, "{text}");
        }
        assert!(thing("wheels").is_err());
    }
}
