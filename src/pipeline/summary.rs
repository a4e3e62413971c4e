//! [`Summary`]: what a requirements job did, as a value: for people at its end, as JSON for machines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::image::Written;
use crate::vocab::digest::Digest;

/// How a wheel came into the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Its bytes came from an index in this run.
    Fetched,
    /// It was built in this run.
    Built,
    /// It was in the store already.
    Reused,
}

/// One wheel of the set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WheelReport {
    /// The project, by its normalised name (PEP 503).
    pub name: String,
    /// The version.
    pub version: String,
    /// The wheel's file name.
    pub file: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How it was obtained.
    pub how: How,
    /// How long that took, in seconds.
    pub seconds: f64,
}

/// One pin that no wheel was obtained for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureReport {
    /// The project, by its normalised name (PEP 503).
    pub name: String,
    /// The version.
    pub version: String,
    /// What went wrong, in full.
    pub cause: String,
    /// The build's log, when there is one.
    pub log: Option<PathBuf>,
    /// Where the pin stands (`file:line`), when it stands in a file.
    pub place: Option<String>,
}

/// A pin that was left out on purpose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OmissionReport {
    /// The project.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A destination that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenReport {
    /// As the user wrote it, without secrets.
    pub destination: String,
    /// The digest of the image's manifest, for an image.
    pub manifest: Option<Digest>,
    /// The digests of the images of single services, by what was added to the name: `-keystone`.
    pub services: BTreeMap<String, Digest>,
    /// Bytes that were written, or went over the network.
    pub bytes: u64,
    /// Bytes that were there already.
    pub unchanged: u64,
}

impl WrittenReport {
    /// What came of writing to `destination`.
    #[must_use]
    pub fn of(destination: String, written: &Written) -> Self {
        let Written { bytes, unchanged, .. } = *written;
        let mut services = written.images.clone();
        let manifest = services.remove("");
        Self { destination, manifest, services, bytes, unchanged }
    }
}

/// What a requirements job did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The Python and platform the wheels are for.
    pub target: String,
    /// Every wheel of the set, by name.
    pub wheels: Vec<WheelReport>,
    /// Every failure, by name.
    pub failures: Vec<FailureReport>,
    /// Pins left out on purpose, by name.
    pub omitted: Vec<OmissionReport>,
    /// What the user should know, in the order it came up.
    pub warnings: Vec<String>,
    /// The destinations that were written.
    pub written: Vec<WrittenReport>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl Summary {
    /// The number of wheels that came `how`.
    #[must_use]
    pub fn count(&self, how: How) -> usize {
        self.wheels.iter().filter(|wheel| wheel.how == how).count()
    }

    /// The bytes of the wheels that came `how`.
    #[must_use]
    pub fn bytes(&self, how: How) -> u64 {
        self.wheels.iter().filter(|wheel| wheel.how == how).map(|wheel| wheel.size).sum()
    }

    /// The wheels that took longest in this run, slowest first, at most `most`.
    #[must_use]
    pub fn slowest(&self, most: usize) -> Vec<&WheelReport> {
        let mut wheels: Vec<_> =
            self.wheels.iter().filter(|wheel| wheel.how != How::Reused).collect();
        wheels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
        wheels.truncate(most);
        wheels
    }
}
