//! What changed from one image, set or lock to another, as Markdown for a review comment (GitHub's and GitLab's,
//! with tables).
//!
//! Whatever comes from outside stands between backquotes, where it means nothing to Markdown.

use std::fmt::Write as _;

use super::difference::{
    Listing, config_change, file_change, file_counts, has_distribution, more_or_less, of_config,
    of_file, package_counts, packages_of, pulled, saying, size_change, unread, versions,
};
use super::words;
use crate::pipeline::difference::{Difference, How, PackageChange};

/// More rows than this are folded away.
const MOST_OPEN: usize = 20;

/// The difference as Markdown; with its files one by one where they are to be listed.
#[must_use]
pub fn difference(difference: &Difference, files: Listing) -> String {
    let mut out = String::new();
    let Difference { before, after, .. } = difference;
    let _ = writeln!(out, "### {} → {}\n", code(&before.reference), code(&after.reference));
    if difference.is_empty() {
        out.push_str("Nothing changed.\n\n");
    }
    let _ = writeln!(out, "| | before | after | |\n|---|---:|---:|---|");
    let mut row = |what: &str, before: String, after: String, changes: String| {
        let _ = writeln!(out, "| {what} | {before} | {after} | {changes} |");
    };
    let number = |count: usize| count.to_string();
    let counts = package_counts(&difference.packages, before.packages);
    row(packages_of(before), number(before.packages), number(after.packages), counts);
    if let (true, Some(old), Some(new)) =
        (has_distribution(difference), before.distribution, after.distribution)
    {
        let counts = package_counts(&difference.distribution, old);
        row("distribution packages", number(old), number(new), counts);
    }
    if let Some(changes) = &difference.files {
        row("files", String::new(), String::new(), file_counts(changes));
    }
    if let (Some(old), Some(new)) = (before.bytes, after.bytes) {
        row("bytes", words::bytes(old), words::bytes(new), more_or_less(old, new));
    }
    if let Some(pull) = &difference.pull {
        row("to pull", String::new(), String::new(), pulled(pull));
    }
    for text in unread(difference) {
        let _ = writeln!(out, "\nDistribution packages: {text}.");
    }
    packages(&mut out, packages_of(before), &difference.packages);
    packages(&mut out, "distribution packages", &difference.distribution);
    let config: Vec<_> = difference
        .config
        .iter()
        .map(|change| {
            [how(of_config(change)).into(), code(&saying(change)), code(&config_change(change))]
        })
        .collect();
    table(&mut out, "configuration", ["", "what", "change"], &config);
    if let (Listing::All, Some(changes)) = (files, &difference.files) {
        let rows: Vec<_> = changes
            .list
            .iter()
            .map(|change| {
                [how(of_file(change)).into(), code(&change.path), code(&file_change(change))]
            })
            .collect();
        table(&mut out, "files", ["", "path", "change"], &rows);
    }
    out
}

fn packages(out: &mut String, title: &str, changes: &[PackageChange]) {
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            [
                how(change.how).to_owned(),
                code(&change.name),
                code(&versions(&change.before)),
                code(&versions(&change.after)),
                size_change(change),
            ]
        })
        .collect();
    table(out, title, ["", "package", "before", "after", "bytes"], &rows);
}

const fn how(how: How) -> &'static str {
    match how {
        How::Added => "added",
        How::Removed => "removed",
        How::Changed => "changed",
        How::Rebuilt => "other bytes",
    }
}

fn table<const N: usize>(out: &mut String, title: &str, heads: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        return;
    }
    let folded = rows.len() > MOST_OPEN;
    let count = rows.len();
    let _ = match folded {
        true => writeln!(out, "\n<details><summary>{title}: {count}</summary>\n"),
        false => writeln!(out, "\n#### {title}\n"),
    };
    let _ = writeln!(out, "| {} |\n|{}", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    if folded {
        out.push_str("\n</details>\n");
    }
}

/// Text that means nothing to Markdown, in a table too; nothing for no text.
fn code(text: &str) -> String {
    let text = words::one_line(text).replace('`', "'").replace('|', "\\|");
    if text.is_empty() { text } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_means_nothing_to_markdown() {
        for (text, expected) in [("a|b", r"`a\|b`"), ("`x` <b>\n", "`'x' <b>`"), ("", "")] {
            assert_eq!(code(text), expected);
        }
    }

    #[test]
    fn long_tables_are_folded() {
        let rows = |count| (0..count).map(|n: usize| [n.to_string()]).collect::<Vec<_>>();
        let mut out = String::new();
        table(&mut out, "files", ["n"], &rows(1));
        table(&mut out, "files", ["n"], &rows(0));
        assert_eq!(out, "\n#### files\n\n| n |\n|---|\n| 0 |\n");
        let mut out = String::new();
        table(&mut out, "files", ["n"], &rows(MOST_OPEN + 1));
        assert!(out.starts_with("\n<details><summary>files: 21</summary>\n\n| n |"), "{out}");
        assert!(out.ends_with("| 20 |\n\n</details>\n"), "{out}");
    }
}
