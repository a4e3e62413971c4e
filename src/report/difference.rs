//! What changed from one image, set or lock to another, in words for a terminal. For a review comment see
//! [`markdown`](super::markdown).

use std::fmt::Write as _;

use super::table::Side::{Left, Right};
use super::table::table;
use super::words::{self, Paint};
use crate::image::files::{FileKind, ImageFile};
use crate::pipeline::difference::{
    ConfigChange, Difference, FileChange, FileChanges, How, Outline, PackageChange, Pull, Release,
    Unit,
};
use crate::pipeline::look::Totals;

/// The difference in lines; with its files one by one where they are to be listed.
#[must_use]
pub fn words(difference: &Difference, files: Listing, paint: Paint) -> String {
    let mut out = String::new();
    let Difference { before, after, .. } = difference;
    let head = words::one_line(&format!("{} -> {}", before.reference, after.reference));
    let _ = writeln!(out, "{}", paint.strong(head));
    section(&mut out, packages_of(before), &difference.packages, before.packages, paint);
    if let Some(count) = before.distribution.filter(|_| has_distribution(difference)) {
        section(&mut out, "distribution packages", &difference.distribution, count, paint);
    }
    for text in unread(difference) {
        let _ = writeln!(out, "{} {text}", paint.odd("distribution packages:"));
    }
    if let Some(changes) = &difference.files {
        let _ = writeln!(out, "{} {}", paint.strong("files:"), file_counts(changes));
        if files == Listing::All {
            let rows: Vec<_> = changes
                .list
                .iter()
                .map(|change| {
                    [sign(of_file(change)).into(), change.path.clone(), file_change(change)]
                })
                .collect();
            out.push_str(&painted(&table("  ", [Left, Left, Left], &rows), paint));
        }
    }
    if !difference.config.is_empty() {
        let _ = writeln!(
            out,
            "{} {}",
            paint.strong("configuration:"),
            changes(difference.config.len())
        );
        let rows: Vec<_> = difference
            .config
            .iter()
            .map(|change| [sign(of_config(change)).into(), saying(change), config_change(change)])
            .collect();
        out.push_str(&painted(&table("  ", [Left, Left, Left], &rows), paint));
    }
    if let (Some(before), Some(after)) = (before.bytes, after.bytes) {
        let _ = writeln!(out, "{} {}", paint.strong("bytes:"), bytes_from_to(before, after));
    }
    if let Some(pull) = &difference.pull {
        let _ = writeln!(out, "{} {}", paint.strong("to pull:"), pulled(pull));
    }
    out
}

/// Whether files are listed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Only how many.
    Counts,
    /// Each.
    All,
}

fn section(out: &mut String, title: &str, changes: &[PackageChange], before: usize, paint: Paint) {
    let counts = package_counts(changes, before);
    let _ = writeln!(out, "{} {counts}", paint.strong(format!("{title}:")));
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            [
                sign(change.how).into(),
                change.name.clone(),
                version_change(change),
                size_change(change),
            ]
        })
        .collect();
    out.push_str(&painted(&table("  ", [Left, Left, Left, Right], &rows), paint));
}

/// Lines whose sign is coloured.
fn painted(text: &str, paint: Paint) -> String {
    let line = |line: &str| {
        let (sign, rest) = line.split_at(line.len().min(3));
        let sign = match sign {
            "  +" => format!("  {}", paint.good("+")),
            "  -" => format!("  {}", paint.bad("-")),
            "  ~" => format!("  {}", paint.odd("~")),
            other => other.to_owned(),
        };
        format!("{sign}{rest}\n")
    };
    text.lines().map(line).collect()
}

const fn sign(how: How) -> &'static str {
    match how {
        How::Added => "+",
        How::Removed => "-",
        How::Changed | How::Rebuilt => "~",
    }
}

/// Whether there are packages of a distribution, on any side.
pub(super) fn has_distribution(difference: &Difference) -> bool {
    let sides = [&difference.before, &difference.after];
    sides.iter().any(|side| side.distribution.is_some_and(|count| count > 0))
}

/// Which packages could not be compared, in words.
pub(super) fn unread(difference: &Difference) -> Vec<String> {
    let sides = [&difference.before, &difference.after].into_iter();
    let said = sides.filter_map(|side| {
        let path = side.unread.as_deref()?;
        let place = words::one_line(&side.reference);
        Some(format!("those of `{place}` are {}", super::look::unread(path)))
    });
    said.collect()
}

/// What the packages of a side are called.
pub(super) const fn packages_of(side: &Outline) -> &'static str {
    match (side.distribution, side.bytes) {
        (Some(_), _) => "python packages",
        (None, Some(_)) => "wheels",
        (None, None) => "releases",
    }
}

/// `1 added, 2 removed, 3 changed, 4 of other bytes, 5 the same`, where there are any.
pub(super) fn package_counts(changes: &[PackageChange], before: usize) -> String {
    let count = |how: How| changes.iter().filter(|change| change.how == how).count();
    let touched: usize = changes.iter().map(|change| change.before.len()).sum();
    counted(&[
        (count(How::Added), "added"),
        (count(How::Removed), "removed"),
        (count(How::Changed), "changed"),
        (count(How::Rebuilt), "of other bytes"),
        (before.saturating_sub(touched), "the same"),
    ])
}

fn counted(counts: &[(usize, &str)]) -> String {
    let words: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

pub(super) fn file_counts(changes: &FileChanges) -> String {
    let FileChanges { added, removed, changed, .. } = changes;
    let one = |totals: &Totals, how: &str| {
        (totals.count > 0)
            .then(|| format!("{} {how} ({})", totals.count, words::bytes(totals.bytes)))
    };
    let all = [one(added, "added"), one(removed, "removed"), one(changed, "changed")];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "the same".into() } else { all.join(", ") }
}

fn changes(count: usize) -> String {
    words::count(count, "change")
}

/// `1.0 -> 1.1`; of what is only on one side, that.
pub(super) fn version_change(change: &PackageChange) -> String {
    let (before, after) = (versions(&change.before), versions(&change.after));
    match change.how {
        How::Added => after,
        How::Removed => before,
        How::Changed => format!("{before} -> {after}"),
        How::Rebuilt => format!("{after}, other bytes"),
    }
}

/// All releases of one side, after each other.
pub(super) fn versions(releases: &[Release]) -> String {
    let one = |release: &Release| match &release.only {
        // Which of several it is has to be said, and which of one has not.
        Some(only) if releases.len() > 1 => format!("{} ({only})", release.version),
        _ => release.version.clone(),
    };
    releases.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// How many bytes more or less there are; empty where nobody says.
pub(super) fn size_change(change: &PackageChange) -> String {
    let sum =
        |releases: &[Release]| releases.iter().map(|release| release.bytes).sum::<Option<u64>>();
    match (sum(&change.before), sum(&change.after)) {
        (Some(before), Some(after)) => more_or_less(before, after),
        _ => String::new(),
    }
}

/// `+2.0 MiB`, `-3 B`; `0 B` where nothing changes.
pub(super) fn more_or_less(before: u64, after: u64) -> String {
    let sign = match after.cmp(&before) {
        std::cmp::Ordering::Less => "-",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "+",
    };
    format!("{sign}{}", words::bytes(after.abs_diff(before)))
}

fn bytes_from_to(before: u64, after: u64) -> String {
    let (from, to) = (words::bytes(before), words::bytes(after));
    format!("{from} -> {to}, {}", more_or_less(before, after))
}

/// What has to come, of how much.
pub(super) fn pulled(pull: &Pull) -> String {
    let unit = match pull.unit {
        Unit::Layer => "layer",
        Unit::Wheel => "wheel",
    };
    let (missing, all) = (pull.missing, pull.all);
    format!(
        "{} in {} of {}, for who has the first",
        words::bytes_of(missing.bytes, all.bytes),
        missing.count,
        words::count(all.count, unit)
    )
}

pub(super) const fn of_file(change: &FileChange) -> How {
    match (&change.before, &change.after) {
        (None, _) => How::Added,
        (_, None) => How::Removed,
        _ => How::Changed,
    }
}

pub(super) const fn of_config(change: &ConfigChange) -> How {
    match (&change.before, &change.after) {
        (None, _) => How::Added,
        (_, None) => How::Removed,
        _ => How::Changed,
    }
}

/// What is said of a file: its size, or what of it changed.
pub(super) fn file_change(change: &FileChange) -> String {
    let (before, after) = match (&change.before, &change.after) {
        (Some(before), Some(after)) => (before, after),
        (Some(only), None) | (None, Some(only)) => return words::bytes(only.size),
        (None, None) => return String::new(),
    };
    let mut said = Vec::new();
    if before.kind != after.kind {
        said.push(format!("{} -> {}", kind(before), kind(after)));
    }
    if before.kind == FileKind::Symlink && before.target != after.target {
        let target = |file: &ImageFile| file.target.clone().unwrap_or_default();
        said.push(format!("{} -> {}", target(before), target(after)));
    }
    if before.size != after.size {
        said.push(more_or_less(before.size, after.size));
    } else if before.sha256 != after.sha256 {
        said.push("other bytes".into());
    }
    if before.mode != after.mode {
        said.push(format!("mode {:o} -> {:o}", before.mode, after.mode));
    }
    if (before.uid, before.gid) != (after.uid, after.gid) {
        said.push(format!("owner {}:{} -> {}:{}", before.uid, before.gid, after.uid, after.gid));
    }
    said.join(", ")
}

const fn kind(file: &ImageFile) -> &'static str {
    match file.kind {
        FileKind::File | FileKind::HardLink => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
        FileKind::Fifo => "pipe",
    }
}

/// What a change of the configuration is of.
pub(super) fn saying(change: &ConfigChange) -> String {
    format!("{} {}", change.kind, change.name).trim_end().to_owned()
}

pub(super) fn config_change(change: &ConfigChange) -> String {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_more_or_less() {
        for (before, after, words) in [
            (0, 2048, "+2.0 KiB"),
            (2048, 0, "-2.0 KiB"),
            (5, 5, "0 B"),
            (0, u64::MAX, "+16777216.0 TiB"),
        ] {
            assert_eq!(more_or_less(before, after), words);
        }
    }
}
