//! `loci store`: look at the store, check it, remove what nothing names.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::CliError;
use super::output;
use super::run_args::GlobalArgs;
use crate::pipeline::events::{Activity, Ending, Events, Stage};
use crate::report::words;
use crate::store::Store;
use crate::store::names::Tag;
use crate::store::verify::{DamagedBlob, MissingBlob, VerifyReport};
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
    /// Remove the blobs that no set names, and what is left of broken runs
    Gc {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs `loci store`.
pub(super) fn run(global: &GlobalArgs, args: &StoreArgs) -> Result<ExitCode, CliError> {
    let store = global.open_named_store()?;
    match args.what {
        What::Ls => list(global, &store),
        What::Verify => verify(global, &store),
        What::Gc { dry_run } => collect(global, &store, dry_run),
    }
}

#[derive(Serialize)]
struct ListedSet {
    tag: String,
    wheels: usize,
    bytes: u64,
    digest: Option<Digest>,
}

fn list(global: &GlobalArgs, store: &Store) -> Result<ExitCode, CliError> {
    let _lease = store.lease()?;
    let mut sets = Vec::new();
    for named in store.tags()? {
        let Some(tag) = named.tag.as_deref().and_then(|tag| tag.parse::<Tag>().ok()) else {
            continue;
        };
        let set = store.load_set(&tag)?;
        sets.push(ListedSet {
            tag: tag.to_string(),
            wheels: set.wheels.len(),
            bytes: set.wheels.iter().map(|wheel| wheel.size).sum(),
            digest: named.digest(),
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
            "{:<24} {:>5} {:>10}  {digest}\n",
            set.tag,
            words::count(set.wheels, "wheel"),
            words::bytes(set.bytes)
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

fn collect(global: &GlobalArgs, store: &Store, dry_run: bool) -> Result<ExitCode, CliError> {
    let report = store.gc(dry_run)?;
    if global.json {
        output::print_json(&serde_json::json!({
            "removed": report.removed,
            "bytes": report.bytes,
            "kept": report.kept,
            "builds": report.builds,
            "leftovers": report.leftovers,
            "dry_run": dry_run,
        }))?;
    }
    let verb = if dry_run { "would be removed" } else { "removed" };
    global.say(&format!(
        "{} {verb}, {}; {} kept\n",
        words::count(report.removed, "blob"),
        words::bytes(report.bytes),
        report.kept
    ));
    Ok(ExitCode::SUCCESS)
}
