//! [`NoFit`]: why no file of a release can be taken, in people's words.
//!
//! It is an explanation, not only an error: it tells what there is, so that whoever reads it need
//! not open the index's page.

use std::collections::BTreeSet;
use std::fmt;

use crate::vocab::requirement::PackageName;

/// No file of the wanted version can be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoFit {
    /// The project.
    pub name: PackageName,
    /// The version, as it was asked for.
    pub wanted: String,
    /// The target, for people.
    pub target: String,
    /// Why.
    pub reason: Reason,
}

/// Why no file can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The project is on no index, or has no file that is a wheel or a source archive.
    NoFiles,
    /// There are other versions.
    NoVersion {
        /// Those next to the wanted one, oldest first.
        nearest: Vec<String>,
    },
    /// There are files of the version, each with its fault.
    Unfit {
        /// One fault a file.
        faults: Vec<Unfit>,
        /// Whether a source archive would have been taken.
        sdists: bool,
    },
}

/// Why one file cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// No tag of the wheel is one of the target's; the tags.
    Tags(String),
    /// Its Requires-Python leaves the target out.
    Python {
        /// What it requires.
        specifiers: String,
        /// Whether the file is a source archive.
        sdist: bool,
    },
    /// Wheels of this project are not to be taken.
    WheelExcluded,
    /// Source archives of this project are not to be taken.
    SdistExcluded,
}

impl std::error::Error for NoFit {}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, wanted, target, reason } = self;
        match reason {
            Reason::NoFiles => {
                write!(f, "no file of `{name}` {wanted} can be had: no index offers `{name}`")
            }
            Reason::NoVersion { nearest } => write!(
                f,
                "no file of `{name}` {wanted} can be had, and the nearest versions are: {}",
                nearest.join(", ")
            ),
            Reason::Unfit { faults, sdists } => write!(
                f,
                "no file of `{name}` {wanted} fits {target}: {}",
                explain(faults, *sdists).join("; ")
            ),
        }
    }
}

/// How many tag sets are told before the rest is only counted.
const TOLD: usize = 4;

fn explain(faults: &[Unfit], sdists: bool) -> Vec<String> {
    let mut tags = BTreeSet::new();
    let mut pythons = BTreeSet::new();
    let (mut wheels_excluded, mut has_sdist) = (false, false);
    for fault in faults {
        match fault {
            Unfit::Tags(set) => {
                tags.insert(set.as_str());
            }
            Unfit::Python { specifiers, sdist } => {
                pythons.insert(specifiers.as_str());
                has_sdist |= *sdist;
            }
            Unfit::WheelExcluded => wheels_excluded = true,
            Unfit::SdistExcluded => has_sdist = true,
        }
    }
    let mut words = Vec::new();
    for specifiers in pythons {
        words.push(format!("it requires Python `{specifiers}`"));
    }
    if !tags.is_empty() {
        let more = tags.len().saturating_sub(TOLD);
        let told: Vec<&str> = tags.into_iter().take(TOLD).collect();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        words.push(format!("its wheels are for {}{more}", told.join(", ")));
    }
    if wheels_excluded {
        words.push("its wheels are not to be taken (`--no-binary`)".into());
    }
    match (has_sdist, sdists) {
        (true, true) => {}
        (true, false) => {
            words.push("its source archive is not to be taken (`--only-binary`)".into());
        }
        (false, _) => words.push("it has no source archive".into()),
    }
    words
}
