//! [`Builds`]: what was built under which key, so that nothing is built twice.

use serde::{Deserialize, Serialize};

use pep440_rs::Version;

use crate::vocab::digest::Digest;
use crate::vocab::requirement::PackageName;
use crate::vocab::wheel_filename::WheelFilename;

use super::Store;
use super::error::StoreError;
use super::memo::Memo;

/// What came of one build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The project.
    pub name: PackageName,
    /// The version that was built.
    pub version: Version,
    /// The wheel's file name.
    pub wheel: WheelFilename,
    /// The wheel's blob.
    pub digest: Digest,
    /// The log's blob.
    pub log: Digest,
    /// How long the build took, in seconds.
    pub seconds: f64,
    /// The most memory a process of the build held, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// What the build environment was made of: wheel file names, sorted.
    pub requires: Vec<String>,
}

/// The index of builds in a store, by build key.
#[derive(Debug, Clone)]
pub struct Builds {
    store: Store,
    memo: Memo,
}

impl Builds {
    pub(crate) fn of(store: Store) -> Self {
        let memo = store.memo("builds");
        Self { store, memo }
    }

    /// The store the wheels and logs are in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was built under `key`, when its wheel is still there.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<BuildRecord> {
        self.memo.get(key).filter(|record: &BuildRecord| self.store.contains(&record.digest))
    }

    /// Remembers what was built under `key`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] when the wheel is not in the store, [`StoreError::Io`].
    pub fn put(&self, key: &Digest, record: &BuildRecord) -> Result<(), StoreError> {
        if !self.store.contains(&record.digest) {
            return Err(self.store.layout().no_such_blob(&record.digest));
        }
        self.store.hold(&record.log)?;
        // `gc` removes records whose wheels are gone, and this one may take the place of such a one.
        let _inside = self.store.lease.enter()?;
        self.memo.put(key, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_whose_wheel_is_gone_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = Digest::of(b"key");
        let record = BuildRecord {
            name: "six".parse().unwrap(),
            version: "1.16.0".parse().unwrap(),
            wheel: "six-1.16.0-py3-none-any.whl".parse().unwrap(),
            digest: Digest::of(b"wheel"),
            log: Digest::of(b"log"),
            seconds: 1.5,
            peak_memory: Some(1),
            requires: vec!["setuptools-80.0-py3-none-any.whl".into()],
        };
        let builds = store.builds();
        assert!(matches!(builds.put(&key, &record), Err(StoreError::NoSuchBlob { .. })));
        store.put(b"wheel").unwrap();
        builds.put(&key, &record).unwrap();
        assert_eq!(builds.get(&key), Some(record));
        fs_err::remove_file(store.path(&Digest::of(b"wheel"))).unwrap();
        assert_eq!(builds.get(&key), None);
    }
}
