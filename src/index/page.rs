//! [`ProjectPage`]: all that find-links and indexes offer of one project, joined as pip joins them.
//!
//! Every index is asked and no index hides another's files; where two files are equally good, the
//! earlier source wins: find-links first, then the indexes in the order they were given.

use std::sync::Arc;

use pep440_rs::Version;

use super::listing::Listing;
use crate::vocab::dist_file::DistFile;
use crate::vocab::requirement::PackageName;

/// The files that are to be had of one project.
#[derive(Debug, Clone)]
pub struct ProjectPage {
    name: PackageName,
    sources: Vec<Arc<Listing>>,
    cached: bool,
}

impl ProjectPage {
    /// Joins listings, the preferred one first. `cached` tells that one of them was not asked for in
    /// this run.
    pub(super) const fn new(name: PackageName, sources: Vec<Arc<Listing>>, cached: bool) -> Self {
        Self { name, sources, cached }
    }

    /// The project.
    #[must_use]
    pub const fn name(&self) -> &PackageName {
        &self.name
    }

    /// Whether the page may be older than this run, so that a newer one may hold more.
    #[must_use]
    pub const fn is_cached(&self) -> bool {
        self.cached
    }

    /// Whether nothing at all is offered: the project exists nowhere, or has no usable file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.iter().all(|listing| listing.versions().next().is_none())
    }

    /// The versions, newest first, each once (`1.0` and `1.0.0` are one version).
    #[must_use]
    pub fn versions(&self) -> Vec<&Version> {
        let mut versions: Vec<&Version> =
            self.sources.iter().flat_map(|listing| listing.versions()).collect();
        versions.sort_by(|a, b| b.cmp(a));
        versions.dedup();
        versions
    }

    /// The files of `version`, those of the preferred source first.
    pub fn files_of(&self, version: &Version) -> impl Iterator<Item = DistFile> + '_ {
        let version = version.clone();
        self.sources.iter().flat_map(move |listing| listing.files_of(&version).collect::<Vec<_>>())
    }

    /// Every file, newest version first.
    pub fn files(&self) -> impl Iterator<Item = DistFile> + '_ {
        self.versions().into_iter().flat_map(|version| self.files_of(version))
    }
}
