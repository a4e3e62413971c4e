//! [`select`]: which file of a release is the best for a target, and why none is.
//!
//! The order is pip's: files that were not yanked before those that were, wheels before source
//! archives, wheels by the target's tag order and then by build tag (PEP 427), source archives by
//! format (PEP 625 first). Everything is judged for the target, never for this machine.

use std::cmp::Reverse;

use pep440_rs::Version;

pub use super::format_control::FormatControl;
use super::no_fit::{NoFit, Reason, Unfit};
use super::page::ProjectPage;
use crate::vocab::dist_file::{DistFile, DistFilename};
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::sdist_filename::SdistFormat;
use crate::vocab::tags::TagPriority;
use crate::vocab::target::Target;
use crate::vocab::wheel_filename::BuildTag;

/// The version that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A pin: only files whose version is written like that, so `1.0` is neither `1.0.0` nor
    /// `1.0+local` (PEP 440, "Arbitrary equality").
    Exact {
        /// As it stands after `===`.
        written: &'a str,
        /// The same, parsed.
        version: &'a Version,
    },
    /// A version that a resolver chose; `1.0` and `1.0.0` are the same.
    Version(&'a Version),
}

impl Wanted<'_> {
    const fn version(&self) -> &Version {
        match self {
            Self::Exact { version, .. } | Self::Version(version) => version,
        }
    }

    fn takes(&self, file: &DistFile) -> bool {
        match self {
            Self::Exact { written, .. } => is_written(&file.filename, written),
            Self::Version(version) => file.filename.version() == *version,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Exact { written, .. } => (*written).to_owned(),
            Self::Version(version) => version.to_string(),
        }
    }
}

/// Whether a file's version, normalised or as it stands in the file's name, is the text `written`.
fn is_written(filename: &DistFilename, written: &str) -> bool {
    if filename.version().to_string().eq_ignore_ascii_case(written) {
        return true;
    }
    match filename {
        DistFilename::Wheel(wheel) => {
            wheel.as_str().split('-').nth(1).is_some_and(|text| text.eq_ignore_ascii_case(written))
        }
        DistFilename::Sdist(sdist) => SdistFormat::of(sdist.as_str()).is_some_and(|(_, stem)| {
            let name = stem.len().checked_sub(written.len() + 1).and_then(|at| {
                let (name, version) = (stem.get(..at)?, stem.get(at..)?);
                version.strip_prefix('-')?.eq_ignore_ascii_case(written).then_some(name)
            });
            name.and_then(package_name).is_some_and(|name| name == *sdist.name())
        }),
    }
}

/// The file to take, by what has to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Fetch it.
    Wheel(DistFile),
    /// Fetch it and build a wheel from it.
    Sdist(DistFile),
}

impl Choice {
    /// The file.
    #[must_use]
    pub const fn file(&self) -> &DistFile {
        match self {
            Self::Wheel(file) | Self::Sdist(file) => file,
        }
    }
}

/// How good a fitting file is; greater is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    whole: bool,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sdist(Reverse<SdistFormat>),
    Wheel(TagPriority, Option<BuildTag>),
}

/// The best file of the wanted version for `target`. Yanked files are taken only where nothing else
/// of that very version fits: whoever names a version has decided (PEP 592).
///
/// # Errors
/// [`NoFit`] saying what there is and why it does not do.
pub fn select(
    page: &ProjectPage,
    wanted: &Wanted<'_>,
    target: &Target,
    formats: &FormatControl,
) -> Result<Choice, NoFit> {
    let files: Vec<DistFile> =
        page.files_of(wanted.version()).filter(|file| wanted.takes(file)).collect();
    let no_fit = |reason| NoFit {
        name: page.name().clone(),
        wanted: wanted.text(),
        target: target.to_string(),
        reason,
    };
    if files.is_empty() {
        return Err(no_fit(missing(page, wanted)));
    }
    best(page.name(), files, target, formats).map_err(|faults| {
        no_fit(Reason::Unfit { faults, sdists: formats.allows_sdists(page.name()) })
    })
}

/// A version with a file that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: Version,
    /// Whether its only fitting files were yanked, so that nothing but a pin may choose it.
    pub yanked: bool,
    /// The best file.
    pub choice: Choice,
}

/// Every version that has a file for `target`, newest first. Pre-releases and yanked releases are
/// among them: whether they may be chosen is the resolver's business.
#[must_use]
pub fn candidates(page: &ProjectPage, target: &Target, formats: &FormatControl) -> Vec<Candidate> {
    page.versions()
        .into_iter()
        .filter_map(|version| {
            let files = page.files_of(version).collect();
            let choice = best(page.name(), files, target, formats).ok()?;
            let yanked = choice.file().yanked.is_some();
            Some(Candidate { version: version.clone(), yanked, choice })
        })
        .collect()
}

fn best(
    name: &PackageName,
    files: Vec<DistFile>,
    target: &Target,
    formats: &FormatControl,
) -> Result<Choice, Vec<Unfit>> {
    let mut best: Option<(Rank, DistFile)> = None;
    let mut faults = Vec::new();
    for file in files {
        match rank(name, &file, target, formats) {
            // Only what is strictly better replaces: among equals the first source wins.
            Ok(rank) if best.as_ref().is_none_or(|(found, _)| rank > *found) => {
                best = Some((rank, file));
            }
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
    }
    match best {
        Some((Rank { kind: Kind::Wheel(..), .. }, file)) => Ok(Choice::Wheel(file)),
        Some((Rank { kind: Kind::Sdist(_), .. }, file)) => Ok(Choice::Sdist(file)),
        None => Err(faults),
    }
}

fn rank(
    name: &PackageName,
    file: &DistFile,
    target: &Target,
    formats: &FormatControl,
) -> Result<Rank, Unfit> {
    let kind = match &file.filename {
        DistFilename::Wheel(_) if !formats.allows_wheels(name) => return Err(Unfit::WheelExcluded),
        DistFilename::Sdist(_) if !formats.allows_sdists(name) => return Err(Unfit::SdistExcluded),
        DistFilename::Wheel(wheel) => match target.tags().priority(wheel.tags()) {
            Some(priority) => Kind::Wheel(priority, wheel.build().cloned()),
            None => return Err(Unfit::Tags(wheel.tags().to_string())),
        },
        DistFilename::Sdist(sdist) => Kind::Sdist(Reverse(sdist.format())),
    };
    match &file.requires_python {
        Some(specifiers) if !target.satisfies(specifiers) => Err(Unfit::Python {
            specifiers: specifiers.to_string(),
            sdist: matches!(kind, Kind::Sdist(_)),
        }),
        _ => Ok(Rank { whole: file.yanked.is_none(), kind }),
    }
}

/// How many versions on either side of the one that is missing are told.
const NEIGHBOURS: usize = 2;

fn missing(page: &ProjectPage, wanted: &Wanted<'_>) -> Reason {
    let versions = page.versions();
    if versions.is_empty() {
        return Reason::NoFiles;
    }
    let at = versions.partition_point(|version| *version > wanted.version());
    let from = at.saturating_sub(NEIGHBOURS);
    // The version itself is there when it is only written in another way.
    let to = (at + NEIGHBOURS).min(versions.len());
    let mut nearest: Vec<String> = versions[from..to].iter().map(ToString::to_string).collect();
    nearest.reverse();
    Reason::NoVersion { nearest }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::listing::{Listing, Offer};
    use super::*;
    use crate::vocab::target::tests::debian;

    /// A page of files at `https://h/FILE`; text after a space in `Requires-Python` form, `yanked` or both.
    fn page(name: &str, files: &[&str]) -> ProjectPage {
        let name = package_name(name).unwrap();
        let urls: Vec<String> = files.iter().map(|file| format!("https://h/{file}")).collect();
        let offers = files.iter().zip(&urls).map(|(file, url)| {
            let mut words = file.split(' ');
            let filename = words.next().unwrap();
            let mut offer =
                Offer { filename, url: url.split(' ').next().unwrap(), ..Offer::default() };
            for word in words {
                match word {
                    "yanked" => offer.yanked = Some("bad"),
                    specifiers => offer.requires_python = Some(specifiers),
                }
            }
            offer
        });
        let listing = Listing::new(&name, None, offers);
        ProjectPage::new(name, vec![Arc::new(listing)], false)
    }

    fn choose(page: &ProjectPage, pin: &str, formats: &FormatControl) -> Result<String, NoFit> {
        let version = pin.parse().unwrap();
        let wanted = Wanted::Exact { written: pin, version: &version };
        select(page, &wanted, &debian("3.11.7"), formats)
            .map(|choice| choice.file().filename.as_str().to_owned())
    }

    #[track_caller]
    fn case(name: &str, files: &[&str], pin: &str, expected: &str) {
        let chosen = choose(&page(name, files), pin, &FormatControl::default());
        assert_eq!(chosen.unwrap_or_else(|no| panic!("{no}")), expected);
    }

    #[track_caller]
    fn no_fit(name: &str, files: &[&str], pin: &str) -> String {
        choose(&page(name, files), pin, &FormatControl::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_best_file_is_the_one_pip_takes() {
        let manylinux = "a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl";
        case("a", &["a-1.0.tar.gz", "a-1.0-py3-none-any.whl", manylinux], "1.0", manylinux);
        let newer = "a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl";
        case("a", &[manylinux, newer], "1.0", newer);
        let too_new = "a-1.0-cp311-cp311-manylinux_2_39_x86_64.whl";
        case("a", &[manylinux, too_new], "1.0", manylinux);
        case(
            "a",
            &["a-1.0-py3-none-any.whl", "a-1.0-2-py3-none-any.whl"],
            "1.0",
            "a-1.0-2-py3-none-any.whl",
        );
        case(
            "a",
            &["a-1.0-9-py3-none-any.whl", "a-1.0-10-py3-none-any.whl"],
            "1.0",
            "a-1.0-10-py3-none-any.whl",
        );
        case(
            "a",
            &["a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1.0.zip", "a-1.0.tar.gz"],
            "1.0",
            "a-1.0.tar.gz",
        );
        case(
            "a",
            &["a-1.0-cp37-abi3-manylinux2014_x86_64.whl", "a-1.0.zip"],
            "1.0",
            "a-1.0-cp37-abi3-manylinux2014_x86_64.whl",
        );
        case(
            "a",
            &["A-1.0-py2.py3-none-any.whl", "a-1.0.zip"],
            "1.0",
            "A-1.0-py2.py3-none-any.whl",
        );
    }

    #[test]
    fn a_pin_is_matched_as_it_is_written() {
        case("a", &["a-1.0.0.zip", "a-1.0.zip", "a-1.0+local.zip"], "1.0", "a-1.0.zip");
        case("a", &["a-1.0.0.zip", "a-1.0.zip"], "1.0.0", "a-1.0.0.zip");
        case("a", &["a-1-1.zip"], "1.post1", "a-1-1.zip");
        case("a", &["a-1-1.zip"], "1-1", "a-1-1.zip");
        case("a", &["a-2013.01.zip"], "2013.01", "a-2013.01.zip");
        case("a", &["a-2.0.0a0.zip"], "2.0.0a0", "a-2.0.0a0.zip");
        case("a", &["a-1.0+local-py3-none-any.whl"], "1.0+local", "a-1.0+local-py3-none-any.whl");
        insta::assert_snapshot!(
            no_fit("a", &["a-1.0.0.zip", "a-1.1.zip"], "1.0"),
            @"no file of `a` 1.0 can be had, and the nearest versions are: 1.0.0, 1.1"
        );
        let page = page("a", &["a-1.0.0.zip"]);
        let version = "1.0".parse().unwrap();
        let chosen =
            select(&page, &Wanted::Version(&version), &debian("3.11.7"), &FormatControl::default());
        assert!(chosen.is_ok(), "a resolver's versions are versions, not texts");
    }

    #[test]
    fn yanked_files_come_last_and_requires_python_counts() {
        case("a", &["a-1.0-py3-none-any.whl yanked", "a-1.0.zip"], "1.0", "a-1.0.zip");
        case("a", &["a-1.0-py3-none-any.whl yanked"], "1.0", "a-1.0-py3-none-any.whl");
        case("a", &["a-1.0-py3-none-any.whl >=3.12", "a-1.0.zip >=3.8"], "1.0", "a-1.0.zip");
        case("a", &["a-1.0.zip soon"], "1.0", "a-1.0.zip");
    }

    #[test]
    fn an_explanation_tells_what_there_is() {
        insta::assert_snapshot!(
            no_fit("a", &[], "1.0"),
            @"no file of `a` 1.0 can be had: no index offers `a`"
        );
        insta::assert_snapshot!(
            no_fit("a", &["a-1.0.zip", "a-1.1.zip", "a-1.2.zip", "a-2.0.zip", "a-3.0.zip", "a-4.zip"], "1.5"),
            @"no file of `a` 1.5 can be had, and the nearest versions are: 1.1, 1.2, 2.0, 3.0"
        );
        insta::assert_snapshot!(
            no_fit("psycopg2", &[
                "psycopg2-2.9.12-cp312-cp312-win_amd64.whl",
                "psycopg2-2.9.12-cp311-cp311-manylinux_2_39_x86_64.whl",
            ], "2.9.12"),
            @"no file of `psycopg2` 2.9.12 fits cpython 3.11.7 on linux x86_64 (glibc 2.36): its wheels are for cp311-cp311-manylinux_2_39_x86_64, cp312-cp312-win_amd64; it has no source archive"
        );
        insta::assert_snapshot!(
            no_fit("a", &["a-1.0-py3-none-any.whl >=3.12", "a-1.0.zip >=3.12"], "1.0"),
            @"no file of `a` 1.0 fits cpython 3.11.7 on linux x86_64 (glibc 2.36): it requires Python `>=3.12`"
        );
        let files = page("a", &["a-1.0-cp312-cp312-win_amd64.whl", "a-1.0.zip"]);
        let formats = FormatControl::default().only_binary(":all:").unwrap();
        insta::assert_snapshot!(
            choose(&files, "1.0", &formats).unwrap_err(),
            @"no file of `a` 1.0 fits cpython 3.11.7 on linux x86_64 (glibc 2.36): its wheels are for cp312-cp312-win_amd64; its source archive is not to be taken (`--only-binary`)"
        );
    }

    #[test]
    fn candidates_are_every_version_that_fits() {
        let files = page(
            "a",
            &[
                "a-1.0.zip",
                "a-2.0-cp312-cp312-win_amd64.whl",
                "a-3.0.zip yanked",
                "a-4.0a1.zip",
                "a-5.0.zip >=3.12",
                "a-1.0-py3-none-any.whl",
            ],
        );
        let found: Vec<(String, bool, bool)> =
            candidates(&files, &debian("3.11.7"), &FormatControl::default())
                .into_iter()
                .map(|c| (c.version.to_string(), c.yanked, matches!(c.choice, Choice::Wheel(_))))
                .collect();
        assert_eq!(
            found,
            [
                ("4.0a1".into(), false, false),
                ("3.0".into(), true, false),
                ("1.0".into(), false, true),
            ]
        );
    }

    #[test]
    fn among_equals_the_first_source_wins() {
        let (first, second) = (
            page("a", &["a-1.0-py3-none-any.whl"]),
            page("a", &["a-1.0-py3-none-any.whl yanked", "a-2.zip"]),
        );
        let name = package_name("a").unwrap();
        let listing = |url: &str| {
            let offer = Offer { filename: "a-1.0-py3-none-any.whl", url, ..Offer::default() };
            Arc::new(Listing::new(&name, None, std::iter::once(offer)))
        };
        let both = ProjectPage::new(
            name.clone(),
            vec![listing("https://one/a"), listing("https://two/a")],
            false,
        );
        let version = "1.0".parse().unwrap();
        let chosen =
            select(&both, &Wanted::Version(&version), &debian("3.11.7"), &FormatControl::default())
                .unwrap();
        assert_eq!(chosen.file().url.as_str(), "https://one/a");
        assert_eq!(first.files().count() + second.files().count(), 3);
        assert_eq!(both.versions().len(), 1);
    }
}
