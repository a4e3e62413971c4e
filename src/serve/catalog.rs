//! [`Catalog`]: the wheels of a set, with all that pages say of them.
//!
//! It is read from the store once. Wheels stay where they are; their METADATA, which installers ask
//! for most, is kept in memory.

use std::path::Path;

use hyper::body::Bytes;
use rayon::prelude::*;

use super::error::ServeError;
use crate::store::Store;
use crate::store::builds::{BuildRecord, Builds};
use crate::store::error::io_error;
use crate::store::names::Tag;
use crate::store::set::{Origin, SetWheel};
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::PackageName;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

/// A set as it is served.
pub(super) struct Catalog {
    /// The set's name.
    pub tag: Tag,
    /// The wheels, sorted by project, version and file name.
    pub wheels: Vec<ServedWheel>,
    /// The text of `upper-constraints.txt`.
    pub constraints: String,
    /// The text of `global-requirements.txt`.
    pub global_requirements: String,
}

/// One wheel of it.
pub(super) struct ServedWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// `Requires-Python`.
    pub requires_python: Option<String>,
    /// METADATA as it stands in the wheel.
    pub metadata: Bytes,
    /// The digest of METADATA.
    pub metadata_digest: Digest,
    /// Where it comes from.
    pub origin: Origin,
    /// What is known of its build, when it was built here and its log is there.
    pub build: Option<ServedBuild>,
}

/// A build, and its log.
pub(super) struct ServedBuild {
    /// Its key.
    pub key: Digest,
    /// What came of it.
    pub record: BuildRecord,
    /// The size of its log in bytes.
    pub log_size: u64,
}

impl Catalog {
    /// Reads the set called `tag`, on all of rayon's threads.
    ///
    /// # Errors
    /// [`ServeError::Store`] when there is no such set; [`ServeError::Lacks`] and [`ServeError::Wheel`]
    /// when its wheels cannot be served as they should be.
    pub(super) fn read(store: &Store, tag: &Tag) -> Result<Self, ServeError> {
        let set = store.load_set(tag)?;
        let mut lacking: Vec<String> = set
            .wheels
            .iter()
            .filter(|wheel| store.size(&wheel.digest) != Some(wheel.size))
            .map(|wheel| wheel.filename.to_string())
            .collect();
        if !lacking.is_empty() {
            lacking.sort();
            return Err(ServeError::Lacks { tag: tag.to_string(), wheels: lacking });
        }
        let builds = store.builds();
        let mut wheels = set
            .wheels
            .into_par_iter()
            .map(|wheel| ServedWheel::read(store, &builds, wheel))
            .collect::<Result<Vec<_>, _>>()?;
        wheels.sort_by(|a, b| a.filename.cmp(&b.filename));
        Ok(Self {
            tag: tag.clone(),
            wheels,
            constraints: set.constraints,
            global_requirements: set.global_requirements,
        })
    }

    /// The projects in order, each with its wheels.
    pub(super) fn projects(&self) -> impl Iterator<Item = (&PackageName, &[ServedWheel])> {
        let same = |a: &ServedWheel, b: &ServedWheel| a.filename.name() == b.filename.name();
        self.wheels.chunk_by(same).map(|wheels| (wheels[0].filename.name(), wheels))
    }
}

impl ServedWheel {
    fn read(store: &Store, builds: &Builds, wheel: SetWheel) -> Result<Self, ServeError> {
        let SetWheel { filename, digest, size, origin } = wheel;
        let metadata = Self::metadata(&store.path(&digest), &filename)?;
        // What cannot be read is left for the installer to judge; pip lets it pass as well.
        let requires_python = CoreMetadata::parse(&metadata)
            .ok()
            .and_then(|metadata| metadata.requires_python)
            .map(|range| range.to_string());
        let build = match &origin {
            Origin::Built { key } => builds.get(key).and_then(|record| {
                let log_size = store.size(&record.log)?;
                Some(ServedBuild { key: *key, record, log_size })
            }),
            Origin::Fetched { .. } | Origin::Imported { .. } => None,
        };
        let metadata_digest = Digest::of(&metadata);
        let metadata = metadata.into();
        Ok(Self {
            filename,
            digest,
            size,
            requires_python,
            metadata,
            metadata_digest,
            origin,
            build,
        })
    }

    fn metadata(path: &Path, filename: &WheelFilename) -> Result<Vec<u8>, ServeError> {
        let file = WheelFile::open(path).map_err(io_error("read", path))?;
        Ok(WheelArchive::open(file, filename)?.metadata_bytes()?)
    }
}
