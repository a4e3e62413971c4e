//! [`Lock`]: exactly which files an environment is made of, as a value (PEP 751).
//!
//! A lock is made by resolving or read from a `pylock.toml` (see [`pylock`](super::pylock), which
//! knows the text form). It holds what loci acts on: wheels and source distributions with their
//! SHA-256. Archives, directories and checkouts that PEP 751 also knows are refused on reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::MarkerTree;
use url::Url;

use crate::vocab::digest::Digest;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::vocab::sdist_filename::SdistFilename;
use crate::vocab::target::Target;
use crate::vocab::wheel_filename::WheelFilename;

/// A locked set of packages; written in one order whatever the order here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// The Pythons it is for; none for any.
    pub requires_python: Option<VersionSpecifiers>,
    /// The environments it is for: one of them must hold, when there are any.
    pub environments: Vec<MarkerTree>,
    /// The packages.
    pub packages: Vec<LockedPackage>,
    /// What was asked for (`tool.loci.requirements`).
    pub requirements: Vec<Requirement>,
}

/// One release in a lock, with every file it may be installed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// The project.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// When it is part of the set.
    pub marker: MarkerTree,
    /// The Pythons it admits.
    pub requires_python: Option<VersionSpecifiers>,
    /// The packages of the lock that it depends on directly.
    pub dependencies: BTreeSet<PackageName>,
    /// The index it was found on.
    pub index: Option<Url>,
    /// Its wheels.
    pub wheels: Vec<LockedFile<WheelFilename>>,
    /// Its source distribution.
    pub sdist: Option<LockedFile<SdistFilename>>,
}

/// A file in a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile<N> {
    /// Its name.
    pub filename: N,
    /// Where it is.
    pub place: FilePlace,
    /// Its length in bytes, when known.
    pub size: Option<u64>,
    /// Its SHA-256: PEP 751 wants a hash for every file, and loci wants this one.
    pub sha256: Digest,
}

/// Where a locked file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// At an address.
    Url(Url),
    /// At a path relative to the lock, or absolute.
    Path(String),
}

impl Lock {
    /// The packages of this lock that are for `target`, by name (PEP 751, "Installation").
    ///
    /// # Errors
    /// [`LockError`] when the lock is not for this target, or not clear about it.
    pub fn select(
        &self,
        target: &Target,
    ) -> Result<BTreeMap<&PackageName, &LockedPackage>, LockError> {
        if let Some(requires_python) = &self.requires_python
            && !target.satisfies(requires_python)
        {
            return Err(LockError::Python {
                requires_python: requires_python.clone(),
                target: target.to_string(),
            });
        }
        let holds = |marker: &MarkerTree| marker.evaluate(target.markers(), &[]);
        if !self.environments.is_empty() && !self.environments.iter().any(holds) {
            return Err(LockError::Environment { target: target.to_string() });
        }
        let mut selected = BTreeMap::new();
        for package in self.packages.iter().filter(|package| holds(&package.marker)) {
            if let Some(requires_python) = &package.requires_python
                && !target.satisfies(requires_python)
            {
                return Err(LockError::PackagePython {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    requires_python: requires_python.clone(),
                    target: target.to_string(),
                });
            }
            if let Some(other) = selected.insert(&package.name, package) {
                return Err(LockError::Ambiguous {
                    name: package.name.clone(),
                    versions: [other.version.clone(), package.version.clone()],
                });
            }
        }
        Ok(selected)
    }

    /// The same set as a constraints file that pip reads: a `name===version` a line, sorted.
    #[must_use]
    pub fn to_constraints_text(&self) -> String {
        let mut packages: Vec<_> = self.packages.iter().collect();
        packages.sort_by_key(|package| (&package.name, &package.version));
        let mut text = String::new();
        for package in packages {
            let _ = write!(text, "{}==={}", package.name, package.version);
            if let Some(marker) = package.marker.try_to_string() {
                let _ = write!(text, ";{marker}");
            }
            text.push('\n');
        }
        text
    }
}

/// A lock that is not for a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The lock is for other Pythons.
    #[error("the lock is for python `{requires_python}`, and this is {target}")]
    Python {
        /// The lock's Requires-Python.
        requires_python: VersionSpecifiers,
        /// The target.
        target: String,
    },
    /// The lock is for other environments.
    #[error("none of the environments of the lock is {target}")]
    Environment {
        /// The target.
        target: String,
    },
    /// A package in it is for other Pythons.
    #[error(
        "`{name}` {version} in the lock is for python `{requires_python}`, and this is {target}"
    )]
    PackagePython {
        /// The package.
        name: PackageName,
        /// Its version.
        version: Version,
        /// Its Requires-Python.
        requires_python: VersionSpecifiers,
        /// The target.
        target: String,
    },
    /// More than one release of a project holds.
    #[error("the lock has two releases of `{name}` for this target: {} and {}", versions[0], versions[1])]
    Ambiguous {
        /// The project.
        name: PackageName,
        /// The two versions.
        versions: [Version; 2],
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::target::tests::debian;

    fn package(name: &str, version: &str, marker: &str, python: Option<&str>) -> LockedPackage {
        LockedPackage {
            name: PackageName::new(name.into()).unwrap(),
            version: version.parse().unwrap(),
            marker: if marker.is_empty() { MarkerTree::TRUE } else { marker.parse().unwrap() },
            requires_python: python.map(|python| python.parse().unwrap()),
            dependencies: BTreeSet::new(),
            index: None,
            wheels: Vec::new(),
            sdist: None,
        }
    }

    #[test]
    fn a_target_gets_its_packages() {
        let lock = Lock {
            packages: vec![
                package("b", "2", "python_full_version >= '3.11'", None),
                package("b", "1", "python_full_version < '3.11'", Some("<3.11")),
                package("a", "1.0", "", Some(">=3.9")),
            ],
            ..Lock::default()
        };
        let selected = lock.select(&debian("3.11.7")).unwrap();
        let versions: Vec<_> =
            selected.values().map(|p| format!("{} {}", p.name, p.version)).collect();
        assert_eq!(versions, ["a 1.0", "b 2"]);
        insta::assert_snapshot!(lock.to_constraints_text(), @r"
        a===1.0
        b===1;python_full_version < '3.11'
        b===2;python_full_version >= '3.11'
        ");
    }

    #[test]
    fn a_target_it_is_not_for_is_told_why() {
        let case = |lock: &Lock, message: &str| {
            assert_eq!(lock.select(&debian("3.11.7")).unwrap_err().to_string(), message);
        };
        case(
            &Lock { requires_python: Some(">=3.12".parse().unwrap()), ..Lock::default() },
            "the lock is for python `>=3.12`, and this is cpython 3.11.7 on linux x86_64 (glibc 2.36)",
        );
        case(
            &Lock {
                environments: vec!["sys_platform == 'win32'".parse().unwrap()],
                ..Lock::default()
            },
            "none of the environments of the lock is cpython 3.11.7 on linux x86_64 (glibc 2.36)",
        );
        case(
            &Lock { packages: vec![package("a", "1", "", Some("<3"))], ..Lock::default() },
            "`a` 1 in the lock is for python `<3`, and this is cpython 3.11.7 on linux x86_64 (glibc 2.36)",
        );
        case(
            &Lock {
                packages: vec![package("a", "1", "", None), package("a", "2", "", None)],
                ..Lock::default()
            },
            "the lock has two releases of `a` for this target: 1 and 2",
        );
    }
}
