//! [`Release`]: what is obtained; [`Lineage`]: which builds wait for it.

use std::fmt;

use pep440_rs::Version;

use crate::index::select::Wanted;
use crate::input::pins::{Equality, Pin};
use crate::vocab::requirement::PackageName;

/// A release of a project: its name and exactly one version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Release {
    /// The project.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The version as it stands after `===`, which compares texts; none when another spelling of the
    /// same version will do.
    pub exact: Option<String>,
}

impl Release {
    /// The release that `pin` names.
    #[must_use]
    pub fn pinned(pin: &Pin) -> Self {
        let exact = (pin.equality == Equality::Arbitrary).then(|| pin.written.clone());
        Self { name: pin.name.clone(), version: pin.version.clone(), exact }
    }

    /// How an index is asked for it.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        match &self.exact {
            Some(written) => Wanted::Exact { written, version: &self.version },
            None => Wanted::Version(&self.version),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exact {
            Some(written) => write!(f, "{} {written}", self.name),
            None => write!(f, "{} {}", self.name, self.version),
        }
    }
}

/// The builds that wait for the wheel that is asked for, outermost first, each by its release: one
/// release of a project may need another one.
#[derive(Debug, Clone, Default)]
pub struct Lineage(Vec<String>);

impl Lineage {
    /// This lineage, and the build of `release` below it.
    #[must_use]
    pub fn with(&self, release: String) -> Self {
        let mut releases = self.0.clone();
        releases.push(release);
        Self(releases)
    }

    /// The build that asks.
    #[must_use]
    pub fn innermost(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Whether a build waits for another build's requirement.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }
}
