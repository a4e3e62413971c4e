//! [`WheelIndex`]: `.loci/index.json`, what a written set says of its wheels.
//!
//! It is enough to resolve against the set and to read single wheels out of it without opening any.
//! Unknown fields are ignored, so that newer writers can say more.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::set::{Origin, WheelSet};
use crate::vocab::digest::Digest;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

use super::error::{ImageError, io_error};

/// The version of the format that is written.
const VERSION: u32 = 1;

/// What a written set says of its wheels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelIndex {
    /// The version of the format: 1.
    pub version: u32,
    /// The wheels, sorted by file name.
    pub wheels: Vec<IndexedWheel>,
}

/// One wheel of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// The digest.
    pub sha256: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The layer it is in, of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// Where its bytes begin in that layer, or in the tar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// `Requires-Dist`, in order, each a PEP 508 requirement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires_dist: Vec<String>,
    /// `Requires-Python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// `Provides-Extra`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides_extra: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl WheelIndex {
    /// The index of `set`, without places. Reads the metadata of every wheel, on all of rayon's
    /// threads.
    ///
    /// # Errors
    /// [`ImageError::Wheel`] when a wheel has no metadata that can be read, [`ImageError::Io`].
    pub fn of(set: &WheelSet, store: &Store) -> Result<Self, ImageError> {
        let mut wheels = set
            .wheels
            .par_iter()
            .map(|wheel| {
                let path = store.path(&wheel.digest);
                let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
                let metadata = WheelArchive::open(file, &wheel.filename)?.metadata()?;
                Ok(IndexedWheel {
                    filename: wheel.filename.clone(),
                    sha256: wheel.digest,
                    size: wheel.size,
                    layer: None,
                    offset: None,
                    requires_dist: metadata.requires_dist.iter().map(ToString::to_string).collect(),
                    requires_python: metadata.requires_python.map(|range| range.to_string()),
                    provides_extra: metadata
                        .provides_extras
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    origin: wheel.origin.clone(),
                })
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
        Ok(Self { version: VERSION, wheels })
    }

    /// Its text: JSON with one wheel a line, so that two of them can be compared by people too.
    ///
    /// # Panics
    /// Never: every field is JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{{\"version\":{},\"wheels\":[\n", self.version);
        let lines: Vec<_> = self
            .wheels
            .iter()
            .map(|wheel| serde_json::to_string(wheel).expect("every field is JSON"))
            .collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]}\n");
        text.into_bytes()
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What the parser says.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The entry of the wheel called `filename`.
    #[must_use]
    pub fn get(&self, filename: &WheelFilename) -> Option<&IndexedWheel> {
        let find = |wheel: &IndexedWheel| wheel.filename.as_str().cmp(filename.as_str());
        // Others may have written it, in any order.
        match self.wheels.binary_search_by(find) {
            Ok(at) => Some(&self.wheels[at]),
            Err(_) => self.wheels.iter().find(|wheel| wheel.filename == *filename),
        }
    }
}
