//! [`select`]: which file of a release is the best for a target, and why none is.
//!
//! The order is pip's: files that were not yanked before those that were, wheels before source
//! archives, wheels by the target's tag order and then by build tag (PEP 427), source archives by
//! format (PEP 625 first). Everything is judged for the target, never for this machine.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use pep440_rs::Version;

use super::no_fit::{NoFit, Reason, Unfit};
use super::page::ProjectPage;
use crate::vocab::dist_file::{DistFile, DistFilename};
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::sdist_filename::SdistFormat;
use crate::vocab::tags::TagPriority;
use crate::vocab::target::Target;
use crate::vocab::wheel_filename::BuildTag;

/// Which kinds of files may be taken, by project: pip's `--no-binary` and `--only-binary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatControl {
    no_binary: Names,
    only_binary: Names,
}

/// Some projects, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Names {
    all: bool,
    names: BTreeSet<PackageName>,
}

impl FormatControl {
    /// Wheels are not taken for the projects of `value`: names parted by commas, `:all:` or `:none:`
    /// (which forgets what was said before). The last word on a project counts.
    ///
    /// # Errors
    /// [`FormatControlError`] naming what is no project name.
    pub fn no_binary(mut self, value: &str) -> Result<Self, FormatControlError> {
        self.no_binary.take(value, &mut self.only_binary)?;
        Ok(self)
    }

    /// Source archives are not taken for the projects of `value`, written as for
    /// [`FormatControl::no_binary`].
    ///
    /// # Errors
    /// [`FormatControlError`] naming what is no project name.
    pub fn only_binary(mut self, value: &str) -> Result<Self, FormatControlError> {
        self.only_binary.take(value, &mut self.no_binary)?;
        Ok(self)
    }

    /// Whether wheels of `name` may be taken. A project that is named goes before `:all:`.
    #[must_use]
    pub fn allows_wheels(&self, name: &PackageName) -> bool {
        if self.only_binary.names.contains(name) {
            return true;
        }
        !self.no_binary.names.contains(name) && !(self.no_binary.all && !self.only_binary.all)
    }

    /// Whether source archives of `name` may be taken.
    #[must_use]
    pub fn allows_sdists(&self, name: &PackageName) -> bool {
        if self.only_binary.names.contains(name) {
            return false;
        }
        self.no_binary.names.contains(name) || !self.only_binary.all
    }
}

impl Names {
    fn take(&mut self, value: &str, other: &mut Self) -> Result<(), FormatControlError> {
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                ":all:" => {
                    *self = Self { all: true, names: BTreeSet::new() };
                    *other = Self::default();
                }
                ":none:" => *self = Self::default(),
                word => {
                    let name = package_name(word)
                        .ok_or_else(|| FormatControlError { word: word.to_owned() })?;
                    other.names.remove(&name);
                    self.names.insert(name);
                }
            }
        }
        Ok(())
    }
}

/// A word of `--no-binary` or `--only-binary` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is neither a project's name nor `:all:` or `:none:`")]
pub struct FormatControlError {
    word: String,
}

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
