//! [`resolve`]: finds versions that go together; [`Resolution`] is what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pep440_rs::Version;
use pep508_rs::VersionOrUrl;
use pubgrub::{PubGrubError, SelectedDependencies};

use super::conflict::Conflict;
use super::problem::{MetadataSource, Problem};
use super::provider::{Package, Provider, root_version};
use crate::vocab::requirement::{ExtraName, PackageName};

/// Versions that go together: what was asked for and all that it needs, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// The releases, by project.
    pub packages: BTreeMap<PackageName, Resolved>,
    /// Extras that were asked for and that the chosen release does not have; pip warns of them too.
    pub missing_extras: BTreeSet<(PackageName, ExtraName)>,
}

/// A chosen release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The version.
    pub version: Version,
    /// The extras of it that something asks for.
    pub extras: BTreeSet<ExtraName>,
    /// The projects it needs directly, its extras included.
    pub dependencies: BTreeSet<PackageName>,
    /// Whether it was asked for itself.
    pub requested: bool,
}

impl Resolution {
    /// The same as a constraints file that pip reads: a `name===version` a line, sorted.
    #[must_use]
    pub fn to_constraints_text(&self) -> String {
        let mut text = String::new();
        for (name, resolved) in &self.packages {
            let _ = writeln!(text, "{name}==={}", resolved.version);
        }
        text
    }
}

/// Finds versions for `problem` among what `source` knows.
///
/// The newest versions that fit are preferred, in the order in which packages are heard of, breadth
/// first. The same problem and source give the same answer.
///
/// # Errors
/// [`ResolveError::Conflict`] when there is no solution, and why; the source's own errors.
pub fn resolve<S: MetadataSource>(
    problem: &Problem<'_>,
    source: &S,
) -> Result<Resolution, ResolveError<S::Error>> {
    for root in problem.roots() {
        if let Some(VersionOrUrl::Url(_)) = &root.version_or_url {
            return Err(ResolveError::DirectUrl { requirement: root.to_string() });
        }
    }
    let mut provider = Provider::new(problem, source);
    let selected = loop {
        match pubgrub::resolve(&provider, Package::Root, root_version()) {
            Ok(selected) => break selected,
            // With pre-releases nobody asked for, it may be possible after all.
            Err(PubGrubError::NoSolution(tree)) => match provider.as_last_resort() {
                Some(last_resort) => provider = last_resort,
                None => {
                    let conflict = Conflict::new(&tree, problem, &provider.into_notes());
                    return Err(ResolveError::Conflict(conflict));
                }
            },
            Err(PubGrubError::ErrorChoosingVersion { package, source }) => {
                return Err(ResolveError::Versions { package: package.to_string(), source });
            }
            // The provider never cancels; were it to, its error would be the source's.
            Err(PubGrubError::ErrorInShouldCancel(source)) => {
                return Err(ResolveError::Versions { package: Package::Root.to_string(), source });
            }
            Err(PubGrubError::ErrorRetrievingDependencies { package, version, source }) => {
                let package = package.to_string();
                return Err(ResolveError::Metadata { package, version, source });
            }
        }
    };
    describe(&selected, problem, source, &provider)
}

/// Tells the solver's answer in terms of projects.
fn describe<S: MetadataSource>(
    selected: &SelectedDependencies<Package, Version>,
    problem: &Problem<'_>,
    source: &S,
    provider: &Provider<'_, S>,
) -> Result<Resolution, ResolveError<S::Error>> {
    let mut resolution = Resolution::default();
    let requested: BTreeSet<&PackageName> = problem.roots().map(|root| &root.name).collect();
    for (package, version) in selected.iter() {
        if let Package::Base(name) = package {
            let resolved = Resolved {
                version: version.clone(),
                extras: BTreeSet::new(),
                dependencies: BTreeSet::new(),
                requested: requested.contains(name),
            };
            resolution.packages.insert(name.clone(), resolved);
        }
    }
    for (package, version) in selected.iter() {
        let (name, extra) = match package {
            Package::Root => continue,
            Package::Base(name) => (name, None),
            Package::Extra(name, extra) => (name, Some(extra)),
        };
        let metadata = source.metadata(name, version).map_err(|source| ResolveError::Metadata {
            package: package.to_string(),
            version: version.clone(),
            source,
        })?;
        let requirements = provider.requirements(&metadata, extra);
        let Some(resolved) = resolution.packages.get_mut(name) else { continue };
        if let Some(extra) = extra {
            if metadata.provides_extras.contains(extra) || !requirements.is_empty() {
                resolved.extras.insert(extra.clone());
            } else {
                resolution.missing_extras.insert((name.clone(), extra.clone()));
            }
        }
        let needed = requirements.iter().map(|requirement| &requirement.name);
        resolved.dependencies.extend(needed.filter(|needed| *needed != name).cloned());
    }
    Ok(resolution)
}

/// Why there is no resolution.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError<E: std::error::Error + 'static> {
    /// There is no solution.
    #[error("{0}")]
    Conflict(Conflict),
    /// It cannot be found out which versions there are.
    #[error("the versions of `{package}` cannot be found out")]
    Versions {
        /// The package.
        package: String,
        /// Why not.
        #[source]
        source: E,
    },
    /// It cannot be found out what a release needs.
    #[error("what `{package}` {version} needs cannot be found out")]
    Metadata {
        /// The package.
        package: String,
        /// Its version.
        version: Version,
        /// Why not.
        #[source]
        source: E,
    },
    /// A URL is asked for.
    #[error("`{requirement}` names a URL, which is not supported here")]
    DirectUrl {
        /// The requirement.
        requirement: String,
    },
}

#[cfg(test)]
#[path = "resolution_tests.rs"]
mod tests;
