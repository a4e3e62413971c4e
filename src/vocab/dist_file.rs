//! [`DistFile`]: one file that an index offers for a release, and what the index says of it.

use pep440_rs::{Version, VersionSpecifiers};
use url::Url;

use super::digest::Digest;
use super::requirement::PackageName;
use super::sdist_filename::SdistFilename;
use super::wheel_filename::WheelFilename;

/// A wheel or a source distribution, by its file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DistFilename {
    /// A built distribution.
    Wheel(WheelFilename),
    /// A source distribution.
    Sdist(SdistFilename),
}

impl DistFilename {
    /// Parses a file name on the page of the project `name`; none for what is neither a wheel nor a
    /// source distribution of that project (eggs, installers, signatures, strangers).
    #[must_use]
    pub fn parse(text: &str, name: &PackageName) -> Option<Self> {
        if text.ends_with(".whl") {
            let wheel: WheelFilename = text.parse().ok()?;
            (wheel.name() == name).then_some(Self::Wheel(wheel))
        } else {
            SdistFilename::parse(text, name).ok().map(Self::Sdist)
        }
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        match self {
            Self::Wheel(wheel) => wheel.version(),
            Self::Sdist(sdist) => sdist.version(),
        }
    }

    /// The file name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Wheel(wheel) => wheel.as_str(),
            Self::Sdist(sdist) => sdist.as_str(),
        }
    }
}

/// Whether an index serves a file's METADATA by itself (PEP 658, 714).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataFile {
    /// It does not.
    #[default]
    Absent,
    /// It does, with or without telling the digest.
    Present(Option<Digest>),
}

/// One file on a project's page (PEP 503, 691, 700).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistFile {
    /// The parsed name.
    pub filename: DistFilename,
    /// Where it is; absolute, without the fragment that may carry a hash. `file:` for find-links.
    pub url: Url,
    /// Its SHA-256, when the index gives one.
    pub sha256: Option<Digest>,
    /// Its size in bytes, when the index gives one.
    pub size: Option<u64>,
    /// Its Requires-Python; none when absent or unreadable.
    pub requires_python: Option<VersionSpecifiers>,
    /// Why it was yanked, perhaps empty; none when it was not (PEP 592).
    pub yanked: Option<String>,
    /// Whether METADATA is served beside it.
    pub metadata: MetadataFile,
}
