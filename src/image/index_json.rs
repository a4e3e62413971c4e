//! [`WheelIndex`]: `.loci/index.json`, what a written set says of its wheels.
//!
//! It is enough to resolve against the set and to read single wheels out of it without opening any.
//! Unknown fields are ignored, so that newer writers can say more.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::set::{Origin, WheelSet};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::{ExtraName, parse_lenient, parse_specifiers_lenient};
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

use super::error::{ImageError, io_error};

/// The version of the format that is written.
const VERSION: u32 = 1;

/// What a written set says of its wheels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WheelIndex {
    /// The version of the format: 1.
    pub version: u32,
    /// The wheels, sorted by file name.
    pub wheels: Vec<IndexedWheel>,
}

/// One wheel of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexedWheel {
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
    /// `License-Expression` (PEP 639).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl WheelIndex {
    /// The index of `set`, without places. Reads the metadata of every wheel, on all of rayon's
    /// threads.
    ///
    /// # Errors
    /// [`ImageError::Wheel`] when a wheel has no metadata that can be read, [`ImageError::Entry`] when two have
    /// one file name, [`ImageError::Io`].
    pub(super) fn of(set: &WheelSet, store: &Store) -> Result<Self, ImageError> {
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
                    license: metadata.license,
                    origin: wheel.origin.clone(),
                })
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
        if let Some(pair) = wheels.windows(2).find(|pair| pair[0].filename == pair[1].filename) {
            return Err(ImageError::Entry {
                origin: "the set".into(),
                entry: pair[0].filename.to_string(),
                fault: "is in it twice".into(),
            });
        }
        Ok(Self { version: VERSION, wheels })
    }

    /// Adds wheels that stand beside those of the set, unless one of their name is there.
    pub(super) fn add(&mut self, wheels: impl IntoIterator<Item = IndexedWheel>) {
        for wheel in wheels {
            if self.wheels.iter().all(|known| known.filename != wheel.filename) {
                self.wheels.push(wheel);
            }
        }
        self.wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
    }

    /// Its text: JSON with one wheel a line, so that two of them can be compared by people too.
    ///
    /// # Panics
    /// Never: every field is JSON.
    #[must_use]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
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
    /// What the parser says, or what it would say of another format, or of wheels that are empty or twice
    /// there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        let index: Self = serde_json::from_slice(bytes)?;
        if index.version != VERSION {
            let version = index.version;
            return Err(Error::custom(format!("its format is {version}, and known is {VERSION}")));
        }
        let mut seen = BTreeSet::new();
        for wheel in &index.wheels {
            if wheel.size == 0 {
                return Err(Error::custom(format!("`{}` is said to be empty", wheel.filename)));
            }
            if !seen.insert(wheel.filename.as_str()) {
                return Err(Error::custom(format!("`{}` is in it twice", wheel.filename)));
            }
        }
        Ok(index)
    }

    /// The entry of the wheel called `filename`.
    #[must_use]
    pub(super) fn get(&self, filename: &WheelFilename) -> Option<&IndexedWheel> {
        let find = |wheel: &IndexedWheel| wheel.filename.as_str().cmp(filename.as_str());
        // Others may have written it, in any order.
        match self.wheels.binary_search_by(find) {
            Ok(at) => Some(&self.wheels[at]),
            Err(_) => self.wheels.iter().find(|wheel| wheel.filename == *filename),
        }
    }
}

impl IndexedWheel {
    /// The metadata, as far as the index has it.
    ///
    /// # Errors
    /// What is wrong with the entry, in words that go on from the wheel's name.
    pub(super) fn metadata(&self) -> Result<CoreMetadata, String> {
        let requires_dist = self
            .requires_dist
            .iter()
            .map(|text| {
                parse_lenient(text)
                    .map_err(|error| format!("is said to require `{text}`: {}", error.reason))
            })
            .collect::<Result<_, _>>()?;
        let extras = self.provides_extra.iter();
        Ok(CoreMetadata {
            name: self.filename.name().clone(),
            display_name: self.filename.name().to_string(),
            version: self.filename.version().clone(),
            requires_dist,
            requires_python: self
                .requires_python
                .as_deref()
                .and_then(|text| parse_specifiers_lenient(text).ok()),
            provides_extras: extras.filter_map(|e| ExtraName::new(e.clone()).ok()).collect(),
            dynamic: Vec::new(),
            metadata_version: None,
            license: self.license.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::set;
    use super::*;

    #[test]
    fn the_index_round_trips_and_newer_fields_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut set = set(&store);
        let index = WheelIndex::of(&set, &store).unwrap();
        assert_eq!(WheelIndex::parse(&index.to_bytes()).unwrap(), index);
        let newer = String::from_utf8(index.to_bytes()).unwrap().replacen('{', "{\"new\":1,", 2);
        assert_eq!(WheelIndex::parse(newer.as_bytes()).unwrap(), index);
        assert!(set.wheels.iter().all(|wheel| index.get(&wheel.filename).is_some()));
        assert_eq!(index.get(&"no-1-py3-none-any.whl".parse().unwrap()), None);

        set.wheels.push(set.wheels[0].clone());
        let error = WheelIndex::of(&set, &store).unwrap_err().to_string();
        assert_eq!(error, "`the set`: `six-1.16.0-py3-none-any.whl` is in it twice");
    }
}
