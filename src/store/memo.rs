//! [`Memo`]: small values remembered by digest, each a JSON file.
//!
//! A memo is a cache. It is written atomically but not synced: one that a power cut leaves empty, or
//! that an older loci wrote in another shape, reads as absent, and its value is found out again.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::vocab::digest::Digest;

use super::error::StoreError;
use super::file::replace;
use super::layout::canonical_json;
use super::lease::Lease;

/// Values of one kind, remembered by digest.
#[derive(Debug, Clone)]
pub struct Memo {
    dir: PathBuf,
    /// Whose temporary files it makes.
    lease: Lease,
}

impl Memo {
    pub(super) fn new(dir: PathBuf, lease: Lease) -> Self {
        Self { dir, lease }
    }

    /// The value remembered under `key`; none when there is none that can be read.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path(key)).ok()?).ok()
    }

    /// Remembers `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, key: &Digest, value: &impl Serialize) -> Result<(), StoreError> {
        replace(self.lease.tmp_dir(), &self.path(key), &canonical_json(value))
    }

    /// The keys under which something is remembered, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = Digest> {
        fs::read_dir(&self.dir).into_iter().flatten().filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Digest::from_hex(name.strip_suffix(".json")?).ok()
        })
    }

    /// Where the value of `key` is, or would be.
    pub(super) fn path(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", key.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn what_cannot_be_read_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let memo = Store::open(dir.path()).unwrap().memo("numbers");
        let key = Digest::of(b"key");
        assert_eq!(memo.get::<u32>(&key), None);
        memo.put(&key, &7).unwrap();
        assert_eq!(memo.get::<u32>(&key), Some(7));
        assert_eq!(memo.get::<String>(&key), None);
        fs::write(memo.path(&key), "").unwrap();
        assert_eq!(memo.get::<u32>(&key), None);
        assert_eq!(memo.keys().collect::<Vec<_>>(), [key]);
    }
}
