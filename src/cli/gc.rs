//! `loci store gc`: remove what nothing holds, and names that are old.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::age::Age;
use super::exit::CliError;
use super::output;
use super::run_args::GlobalArgs;
use crate::input::document::Document;
use crate::report::words;
use crate::resolve::lock::Lock;
use crate::store::Store;
use crate::store::gc::{GcReport, LostName};
use crate::store::rules::GcRules;
use crate::vocab::digest::Digest;

#[derive(Debug, Args)]
#[command(after_help = "\
Without options no name is lost: what goes is what no name leads to and no running command uses.
What is remembered of service images stays while it is used: for 30 days, or as `--older-than` says.
With `--keep-last` and `--older-than` together, a name goes only when both say so.

Examples:
  loci store gc --dry-run
  loci store gc --keep-last 3 --older-than 30d
  loci store gc --lock pylock.toml")]
pub(super) struct GcArgs {
    /// Keep only the N names written last; the others go, with what only they lead to
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Remove names written longer ago than this (45m, 12h, 30d, 2w), and no younger blobs
    #[arg(long, value_name = "AGE")]
    older_than: Option<Age>,
    /// Keep the files that this pylock.toml names, repeatable
    #[arg(long = "lock", value_name = "FILE")]
    locks: Vec<PathBuf>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Runs `loci store gc`.
pub(super) fn run(global: &GlobalArgs, store: &Store, args: &GcArgs) -> Result<ExitCode, CliError> {
    let mut rules = GcRules {
        keep_last: args.keep_last,
        older_than: args.older_than.map(|age| age.0),
        ..GcRules::default()
    };
    for path in &args.locks {
        rules.locked.extend(locked(path)?);
    }
    let report = if args.dry_run { store.gc_dry_run(&rules)? } else { store.gc(&rules)? };
    if global.json {
        output::print_json(&serde_json::json!({
            "names": report.names.iter().map(name).collect::<Vec<_>>(),
            "removed": report.removed,
            "bytes": report.bytes,
            "kept": report.kept,
            "held": report.held,
            "builds": report.builds,
            "remembered": report.remembered,
            "caches": report.caches,
            "leftovers": report.leftovers,
            "dry_run": args.dry_run,
        }))?;
    } else {
        output::print(&names(&report, args.dry_run))?;
    }
    global.say(&totals(&report, args.dry_run));
    Ok(ExitCode::SUCCESS)
}

/// The digests of all files that the lock at `path` names.
fn locked(path: &Path) -> Result<Vec<Digest>, CliError> {
    let document = Document::read(path)?;
    let lock = Lock::from_pylock(document.origin(), document.text())?;
    let digests = lock.packages.iter().flat_map(|package| {
        let wheels = package.wheels.iter().map(|wheel| wheel.sha256);
        wheels.chain(package.sdist.iter().map(|sdist| sdist.sha256))
    });
    Ok(digests.collect())
}

fn name(lost: &LostName) -> serde_json::Value {
    let LostName { tag, digest, written } = lost;
    serde_json::json!({ "tag": tag, "digest": digest, "named": super::store::moment(*written) })
}

/// The names that go, a line each.
fn names(report: &GcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would be untagged" } else { "untagged" };
    let line = |lost: &LostName| {
        let tag = words::one_line(&lost.tag);
        format!("{verb}: {tag}, written {}\n", Age::since(lost.written).ago())
    };
    report.names.iter().map(line).collect()
}

fn totals(report: &GcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would be removed" } else { "removed" };
    let mut text = format!(
        "{} {verb}, {}; {} kept",
        words::count(report.removed, "blob"),
        words::bytes(report.bytes),
        report.kept
    );
    if report.held > 0 {
        text.push_str(&format!(", {} of them only for running commands", report.held));
    }
    text.push('\n');
    let more: Vec<String> = [
        (report.builds, "build record"),
        (report.remembered, "remembered layer"),
        (report.leftovers, "leftover"),
        (report.caches, "unused cache file"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| words::count(number, what))
    .collect();
    if !more.is_empty() {
        text.push_str(&format!("also {verb}: {}\n", more.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_collection_in_words() {
        let lost = |tag: &str, days: u64| LostName {
            tag: tag.into(),
            digest: None,
            written: SystemTime::now() - Duration::from_secs(days * 86_400),
        };
        let mut report = GcReport {
            names: vec![lost("2025.1", 40), lost("odd\u{1b}[2J", 400)],
            removed: 1,
            bytes: 34,
            kept: 12,
            ..GcReport::default()
        };
        insta::assert_snapshot!(names(&report, false), @r#"
        untagged: 2025.1, written 40 d ago
        untagged: odd [2J, written 400 d ago
        "#);
        insta::assert_snapshot!(totals(&report, true), @"1 blob would be removed, 34 B; 12 kept");
        report = GcReport { held: 3, builds: 1, remembered: 2, leftovers: 2, caches: 5, ..report };
        insta::assert_snapshot!(totals(&report, false), @r#"
        1 blob removed, 34 B; 12 kept, 3 of them only for running commands
        also removed: 1 build record, 2 remembered layers, 2 leftovers, 5 unused cache files
        "#);
    }
}
