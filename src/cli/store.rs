//! `loci store`: look at the store, check it, take names away; and [`gc`], which removes what nothing
//! holds.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::age::Age;
use super::exit::CliError;
use super::gc;
use super::output;
use super::run_args::GlobalArgs;
use crate::pipeline::events::{Activity, Ending, Events, Stage};
use crate::report::words;
use crate::service::root::rootless;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::names::Tag;
use crate::store::verify::{DamagedBlob, MissingBlob, VerifyReport};
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the sets in the store
    Ls,
    /// Read every blob and compare it with its digest; damaged ones are set aside
    Verify,
    /// Take names away; what only they lead to goes with the next `gc`
    #[command(visible_alias = "rm")]
    Untag {
        /// The names
        #[arg(required = true, value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Remove the blobs that no name leads to and no running command uses, and old names if asked
    Gc(gc::GcArgs),
}

/// Runs `loci store`.
pub(super) fn run(global: &GlobalArgs, args: &StoreArgs) -> Result<ExitCode, CliError> {
    if matches!(args.what, What::Gc(_)) {
        // What a build without root left behind when it was killed is of users whom only its namespace has; all else
        // is removed without one.
        let _ = rootless::enter();
    }
    let store = global.open_named_store()?;
    match &args.what {
        What::Ls => list(global, &store),
        What::Verify => verify(global, &store),
        What::Untag { tags } => untag(global, &store, tags),
        What::Gc(args) => gc::run(global, &store, args),
    }
}

#[derive(Serialize)]
struct ListedSet {
    tag: String,
    wheels: usize,
    bytes: u64,
    digest: Option<Digest>,
    named: String,
    #[serde(skip)]
    age: Age,
}

/// A moment as JSON has it.
pub(super) fn moment(time: SystemTime) -> String {
    Civil::of(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).to_string()
}

fn list(global: &GlobalArgs, store: &Store) -> Result<ExitCode, CliError> {
    let _lease = store.lease()?;
    let mut sets = Vec::new();
    for named in store.tags()? {
        let Some(tag) = named.tag.as_deref().and_then(|tag| tag.parse::<Tag>().ok()) else {
            continue;
        };
        let set = match store.load_set(&tag) {
            // It lost its name since the names were read.
            Err(StoreError::NoSuchTag { .. }) => continue,
            set => set?,
        };
        let written = store.written(&named);
        sets.push(ListedSet {
            tag: tag.to_string(),
            wheels: set.wheels.len(),
            bytes: set.wheels.iter().map(|wheel| wheel.size).sum(),
            digest: named.digest(),
            named: moment(written),
            age: Age::since(written),
        });
    }
    if global.json {
        output::print_json(&sets)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for set in &sets {
        let digest = set.digest.map(|digest| digest.short()).unwrap_or_default();
        text.push_str(&format!(
            "{:<24} {:>5} {:>10} {:>11}  {digest}\n",
            set.tag,
            words::count(set.wheels, "wheel"),
            words::bytes(set.bytes),
            set.age.ago()
        ));
    }
    output::print(&text)?;
    let blobs = store.blobs()?;
    let bytes = blobs.iter().map(|(_, size)| size).sum();
    global.say(&format!(
        "{} and {} in `{}`\n",
        words::count(sets.len(), "set"),
        words::bytes(bytes),
        store.root().display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn untag(global: &GlobalArgs, store: &Store, tags: &[String]) -> Result<ExitCode, CliError> {
    store.untag(tags)?;
    if global.json {
        output::print_json(&serde_json::json!({ "untagged": tags }))?;
    }
    global.say(&format!(
        "{} taken away; `loci store gc` removes what nothing else leads to\n",
        words::count(tags.len(), "name")
    ));
    Ok(ExitCode::SUCCESS)
}

fn verify(global: &GlobalArgs, store: &Store) -> Result<ExitCode, CliError> {
    let _lease = store.lease()?;
    let display = global.display();
    let events = Events::to(display.reporter());
    events.stage(Stage::Verify, None);
    let task = events.start(Activity::Write { destination: "the check of the store".into() });
    let report = store.verify(&|bytes| task.advance(bytes));
    task.end(Ending::Done);
    drop(display);
    let report = report?;
    if global.json {
        output::print_json(&serde_json::json!({
            "checked": report.checked,
            "bytes": report.bytes,
            "damaged": report.damaged.iter().map(damaged).collect::<Vec<_>>(),
            "missing": report.missing.iter().map(missing).collect::<Vec<_>>(),
        }))?;
    } else {
        output::print(&findings(&report))?;
    }
    global.say(&format!(
        "{} read, {}: {} damaged, {} missing\n",
        words::count(report.checked, "blob"),
        words::bytes(report.bytes),
        report.damaged.len(),
        report.missing.len()
    ));
    if report.is_clean() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(CliError::Damaged { damaged: report.damaged.len(), missing: report.missing.len() })
    }
}

/// What is wrong, a line each.
fn findings(report: &VerifyReport) -> String {
    let mut text = String::new();
    for DamagedBlob { digest, found } in &report.damaged {
        text.push_str(&format!("damaged: {digest} has the content of {found}\n"));
    }
    for MissingBlob { tag, digest, file } in &report.missing {
        let file = file.as_deref().unwrap_or("a blob");
        text.push_str(&format!("missing: {file} ({digest}) of `{tag}`\n"));
    }
    text
}

fn damaged(blob: &DamagedBlob) -> serde_json::Value {
    serde_json::json!({ "digest": blob.digest, "found": blob.found })
}

fn missing(blob: &MissingBlob) -> serde_json::Value {
    serde_json::json!({ "digest": blob.digest, "file": blob.file, "tag": blob.tag })
}
