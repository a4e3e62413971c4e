//! [`words()`]: a [`Summary`] for people. What went wrong stands last, where a terminal leaves it in
//! sight. Machines read the summary itself, by serde.

use crate::pipeline::copy::CopySummary;
use crate::pipeline::install::InstallSummary;
use crate::pipeline::service_images::ImagesSummary;
use crate::pipeline::service_root::RootSummary;
use crate::pipeline::summary::{FailureReport, How, Summary, WheelReport, WrittenReport};

use super::words::{self, Paint};

/// So many of the slowest wheels are named.
const SLOWEST: usize = 5;

/// The summary in lines, each ended by a line feed.
#[must_use]
pub fn words(summary: &Summary, paint: Paint) -> String {
    let mut out = String::new();
    slowest(&mut out, summary, paint);
    omitted(&mut out, summary, paint);
    warnings(&mut out, summary, paint);
    failures(&mut out, summary, paint);
    figures(&mut out, summary, paint);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn slowest(out: &mut String, summary: &Summary, paint: Paint) {
    let slowest = summary.slowest(SLOWEST);
    if slowest.is_empty() {
        return;
    }
    line(out, &paint.strong("Slowest:"));
    let width = slowest.iter().map(|wheel| release(wheel).chars().count()).max().unwrap_or(0);
    for wheel in slowest {
        let took = words::seconds(wheel.seconds);
        line(out, &format!("  {:<width$}  {took:>11}  {}", release(wheel), how(wheel.how)));
    }
}

fn omitted(out: &mut String, summary: &Summary, paint: Paint) {
    if summary.omitted.is_empty() {
        return;
    }
    line(out, &paint.strong("Left out on purpose:"));
    for omission in &summary.omitted {
        let (name, reason) = (words::one_line(&omission.name), words::one_line(&omission.reason));
        line(out, &format!("  {name}: {reason}"));
    }
}

fn warnings(out: &mut String, summary: &Summary, paint: Paint) {
    for warning in &summary.warnings {
        line(out, &format!("{} {}", paint.odd("warning:"), words::one_line(warning)));
    }
}

fn failures(out: &mut String, summary: &Summary, paint: Paint) {
    for failure in &summary.failures {
        let FailureReport { name, version, cause, log, place } = failure;
        let release = words::one_line(&format!("{name} {version}"));
        let place = place.as_ref().map(|place| format!(", pinned at {}", words::one_line(place)));
        let place = place.unwrap_or_default();
        line(out, &format!("{} no wheel of `{release}`{place}", paint.bad("failed:")));
        out.push_str(&words::indented(cause, "  "));
        if let Some(log) = log {
            line(out, &format!("  log: {}", words::one_line(&log.to_string_lossy())));
        }
    }
}

fn figures(out: &mut String, summary: &Summary, paint: Paint) {
    let wheels = words::count(summary.wheels.len(), "wheel");
    let target = words::one_line(&summary.target);
    let all = [How::Fetched, How::Built, How::Reused];
    let bytes: u64 = all.iter().map(|&how| summary.bytes(how)).sum();
    let head = format!(
        "{wheels} for {target}, {}, in {}",
        words::bytes(bytes),
        words::seconds(summary.seconds)
    );
    let paint_head = if summary.failures.is_empty() { Paint::good } else { Paint::strong };
    line(out, &paint_head(paint, head));
    for kind in all {
        let (count, bytes) = (summary.count(kind), words::bytes(summary.bytes(kind)));
        line(out, &format!("  {:<8} {count:>5}  {bytes:>10}", how(kind)));
    }
    // Zero failures is worth saying, zero omissions is not.
    if !summary.omitted.is_empty() {
        line(out, &format!("  {:<8} {:>5}", "omitted", summary.omitted.len()));
    }
    line(out, &format!("  {:<8} {:>5}", "failed", summary.failures.len()));
    for written in &summary.written {
        line(out, &format!("  written: {}", place(written)));
        if let Some(manifest) = &written.manifest {
            line(out, &format!("           {manifest}"));
        }
        for (ending, manifest) in &written.services {
            line(out, &format!("           {manifest} {ending}"));
        }
    }
}

/// A destination, and what was written to it.
fn place(written: &WrittenReport) -> String {
    format!(
        "{}, {} new, {} unchanged",
        words::one_line(&written.destination),
        words::bytes(written.bytes),
        words::bytes(written.unchanged)
    )
}

/// What a copy did, in words.
#[must_use]
pub fn copied(summary: &CopySummary, paint: Paint) -> String {
    let mut out = String::new();
    let (place, took) = (place(&summary.written), words::seconds(summary.seconds));
    line(&mut out, &format!("{} {place}, in {took}", paint.good("copied")));
    if let Some(manifest) = &summary.written.manifest {
        line(&mut out, &format!("  {manifest}"));
    }
    out
}

fn release(wheel: &WheelReport) -> String {
    words::one_line(&format!("{} {}", wheel.name, wheel.version))
}

fn how(how: How) -> &'static str {
    match how {
        How::Fetched => "fetched",
        How::Built => "built",
        How::Reused => "reused",
    }
}

/// What an installation did, in words.
#[must_use]
pub fn installed(summary: &InstallSummary, paint: Paint) -> String {
    format!(
        "{} {} and {} in `{}` in {}\n",
        paint.good("installed"),
        words::count(summary.packages.len(), "package"),
        words::count(summary.files, "file"),
        summary.prefix.display(),
        words::seconds(summary.seconds),
    )
}

/// What was put into a root, in words.
#[must_use]
pub fn in_root(summary: &RootSummary, paint: Paint) -> String {
    format!(
        "{} {} with {} of the distribution and {} and {} of Python in {}\n",
        paint.good("installed"),
        summary.project,
        words::count(summary.distribution.len(), "package"),
        words::count(summary.packages.len(), "package"),
        words::count(summary.files, "file"),
        words::seconds(summary.seconds),
    )
}

/// That the distribution's packages are there, in words.
#[must_use]
pub fn prepared(packages: usize, paint: Paint) -> String {
    format!("{} {}\n", paint.good("installed"), words::count(packages, "package"))
}

/// What images were made, in words.
#[must_use]
pub fn images(summary: &ImagesSummary, paint: Paint) -> String {
    let mut out = String::new();
    for image in &summary.images {
        let count = words::count(image.packages.len(), "package");
        line(&mut out, &format!("{} with {count}", paint.strong(&image.project)));
        for written in &image.written {
            line(&mut out, &format!("  {}", place(written)));
            if let Some(manifest) = &written.manifest {
                line(&mut out, &format!("  {manifest}"));
            }
        }
    }
    let count = words::count(summary.images.len(), "image");
    line(
        &mut out,
        &format!("{} {count} in {}", paint.good("made"), words::seconds(summary.seconds)),
    );
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pipeline::summary::OmissionReport;
    use crate::vocab::digest::Digest;

    fn wheel(name: &str, version: &str, how: How, size: u64, seconds: f64) -> WheelReport {
        WheelReport {
            name: name.into(),
            version: version.into(),
            file: format!("{name}-{version}-py3-none-any.whl"),
            digest: Digest::of(name.as_bytes()),
            size,
            how,
            seconds,
        }
    }

    fn summary() -> Summary {
        Summary {
            target: "cpython 3.11.7 on linux x86_64 (glibc 2.36)".into(),
            wheels: vec![
                wheel("gssapi", "1.9.0", How::Built, 3 << 20, 57.2),
                wheel("iso8601", "2.1.0", How::Reused, 7_545, 0.0),
                wheel("scipy", "1.15.3", How::Fetched, 37 << 20, 1.26),
            ],
            failures: Vec::new(),
            omitted: Vec::new(),
            warnings: Vec::new(),
            written: vec![WrittenReport {
                destination: "oci:requirements:master".into(),
                manifest: Some(Digest::of(b"manifest")),
                services: BTreeMap::from([("-nova".into(), Digest::of(b"nova"))]),
                bytes: 3 << 20,
                unchanged: 37 << 20,
            }],
            seconds: 61.4,
        }
    }

    #[test]
    fn a_good_run() {
        insta::assert_snapshot!(words(&summary(), Paint::plain()), @r#"
        Slowest:
          gssapi 1.9.0         57 s  built
          scipy 1.15.3        1.3 s  fetched
        3 wheels for cpython 3.11.7 on linux x86_64 (glibc 2.36), 40.0 MiB, in 1 min 01 s
          fetched      1    37.0 MiB
          built        1     3.0 MiB
          reused       1     7.4 KiB
          failed       0
          written: oci:requirements:master, 3.0 MiB new, 37.0 MiB unchanged
                   sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
                   sha256:19e05df6b2e5fb94f3ee7eed2c02d340a1128a00231f5f6949641a143ab3b57a -nova
        "#);
    }

    #[test]
    fn a_run_with_failures() {
        let mut summary = summary();
        summary.omitted =
            vec![OmissionReport { name: "ceilometer".into(), reason: "not installable".into() }];
        summary.warnings = vec!["`old` 1.0 is yanked: broken".into()];
        summary.failures = vec![
            FailureReport {
                name: "krb5".into(),
                version: "0.7.0".into(),
                cause: "the compiler found no `krb5.h`\u{1b}[0m\nit is in `libkrb5-dev`\n".into(),
                log: Some("/store/blobs/sha256/00".into()),
                place: Some("upper-constraints.txt:231".into()),
            },
            FailureReport {
                name: "nowhere".into(),
                version: "1.0".into(),
                cause: "no index has `nowhere`".into(),
                log: None,
                place: None,
            },
        ];
        insta::assert_snapshot!(words(&summary, Paint::plain()), @r#"
        Slowest:
          gssapi 1.9.0         57 s  built
          scipy 1.15.3        1.3 s  fetched
        Left out on purpose:
          ceilometer: not installable
        warning: `old` 1.0 is yanked: broken
        failed: no wheel of `krb5 0.7.0`, pinned at upper-constraints.txt:231
          the compiler found no `krb5.h` [0m
          it is in `libkrb5-dev`
          log: /store/blobs/sha256/00
        failed: no wheel of `nowhere 1.0`
          no index has `nowhere`
        3 wheels for cpython 3.11.7 on linux x86_64 (glibc 2.36), 40.0 MiB, in 1 min 01 s
          fetched      1    37.0 MiB
          built        1     3.0 MiB
          reused       1     7.4 KiB
          omitted      1
          failed       2
          written: oci:requirements:master, 3.0 MiB new, 37.0 MiB unchanged
                   sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
                   sha256:19e05df6b2e5fb94f3ee7eed2c02d340a1128a00231f5f6949641a143ab3b57a -nova
        "#);
    }

    #[test]
    fn colours_only_when_asked_for() {
        assert!(!words(&summary(), Paint::plain()).contains('\u{1b}'));
        assert!(words(&summary(), Paint::coloured()).contains("\u{1b}[1;32m3 wheels for"));
    }

    #[test]
    fn an_empty_run() {
        let summary = Summary { wheels: Vec::new(), written: Vec::new(), ..summary() };
        insta::assert_snapshot!(words(&summary, Paint::plain()), @r#"
        0 wheels for cpython 3.11.7 on linux x86_64 (glibc 2.36), 0 B, in 1 min 01 s
          fetched      0         0 B
          built        0         0 B
          reused       0         0 B
          failed       0
        "#);
    }
}
