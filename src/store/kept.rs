//! [`Kept`]: values remembered together with the blobs that they count on, such as the layer that a
//! distribution's packages came to.
//!
//! No name leads to these blobs. `gc` keeps them for as long as somebody uses the value, and then takes both away:
//! each value lies in `loci/kept/<kind>/<key>.json` beside the digests of its blobs, so that a kind which is new, or
//! whose values have another shape than once, is no matter to it. When a value was last used is the time of its
//! file.
//!
//! As with a [`Memo`], a value that cannot be read counts as absent, and one whose blobs are not there too.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vocab::digest::Digest;

use super::Store;
use super::error::StoreError;
use super::memo::Memo;

/// Values of one kind, remembered by digest, with their blobs.
#[derive(Debug, Clone)]
pub struct Kept {
    store: Store,
    memo: Memo,
}

/// A value as it lies there.
#[derive(Serialize, Deserialize)]
struct Entry<T> {
    blobs: Vec<Digest>,
    value: T,
}

/// What `gc` reads of it.
#[derive(Deserialize)]
struct Links {
    blobs: Vec<Digest>,
}

impl Kept {
    pub(super) fn new(store: Store, memo: Memo) -> Self {
        Self { store, memo }
    }

    /// The value remembered under `key`, if all its blobs are there: they are held from now on, and the value counts
    /// as used.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<T> {
        let Entry { blobs, value } = self.memo.get(key)?;
        if !blobs.iter().all(|digest| self.store.contains(digest)) {
            return None;
        }
        let path = self.memo.path(key);
        // Whoever may only read the store uses what it has; it grows old then.
        let touched = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = touched {
            tracing::debug!(%error, path = %path.display(), "not noted as used");
        }
        Some(value)
    }

    /// Remembers `value`, which counts on `blobs`, under `key`, in place of what was there.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] when a blob is not in the store, [`StoreError::Io`].
    pub fn put(
        &self,
        key: &Digest,
        value: &impl Serialize,
        blobs: &[Digest],
    ) -> Result<(), StoreError> {
        if let Some(absent) = blobs.iter().find(|digest| !self.store.contains(digest)) {
            return Err(self.store.layout().no_such_blob(absent));
        }
        // `gc` removes old values, and this one may take the place of such a one.
        let _inside = self.store.lease.enter()?;
        self.memo.put(key, &Entry { blobs: blobs.to_vec(), value })
    }
}

/// The blobs that the value at `path` counts on; none when it cannot be read.
pub(super) fn blobs_of(path: &Path) -> Vec<Digest> {
    let links = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    links.map(|links: Links| links.blobs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_its_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let kept = store.kept("layers");
        let (key, blob) = (Digest::of(b"key"), Digest::of(b"layer"));
        assert_eq!(kept.get::<u32>(&key), None);
        assert!(matches!(kept.put(&key, &7, &[blob]), Err(StoreError::NoSuchBlob { .. })));
        store.put(b"layer").unwrap();
        kept.put(&key, &7, &[blob]).unwrap();
        assert_eq!(kept.get(&key), Some(7));
        assert_eq!(kept.get::<String>(&key), None);
        assert_eq!(blobs_of(&kept.memo.path(&key)), [blob]);
        fs_err::remove_file(store.path(&blob)).unwrap();
        assert_eq!(kept.get::<u32>(&key), None);
        fs_err::write(kept.memo.path(&key), "{}").unwrap();
        assert_eq!(blobs_of(&kept.memo.path(&key)), []);
    }
}
