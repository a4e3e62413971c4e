//! [`Layout`]: a directory shaped as the OCI image specification's image layout.
//!
//! The store is one, and so is what `oci:DIR` writes. This file makes and opens layouts and reads
//! and writes blobs; what they are named is in [`names`](super::names). Of a store's own layout, every
//! blob that is looked for, read or written is held against deletion from then on: see
//! [`lease`](super::lease).

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::vocab::digest::Digest;

use super::blob::BlobWriter;
use super::error::{StoreError, io_error};
use super::file::{TMP_PREFIX, temporary_in};
use super::lease::Lease;

/// The file `oci-layout` of a layout (OCI image specification, "Image Layout").
pub(crate) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An OCI image layout on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    tmp: PathBuf,
    /// None for a layout that is no store's: nobody deletes from it.
    lease: Option<Lease>,
}

impl Layout {
    /// Opens the layout at `root`, making it when the directory is absent or empty.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`] when `root` holds something else, [`StoreError::Io`].
    pub fn create(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        // Absolute, so that a later change of the working directory changes nothing.
        let root = &fs::canonicalize(root).map_err(io_error("open", root))?;
        let marker = root.join("oci-layout");
        if !marker.exists() {
            let others = fs::read_dir(root)
                .and_then(Iterator::collect::<io::Result<Vec<_>>>)
                .map_err(io_error("list", root))?
                .into_iter()
                .any(|entry| !entry.file_name().to_string_lossy().starts_with(TMP_PREFIX));
            // The marker may have appeared meanwhile, by another process that makes this layout.
            if others && !marker.exists() {
                let fault = "is neither empty nor an OCI image layout";
                return Err(StoreError::NotALayout { path: root.clone(), fault });
            }
            write_new(root, &marker, OCI_LAYOUT.as_bytes())?;
        }
        let layout = Self::open(root)?;
        let blobs = layout.blobs_dir();
        fs::create_dir_all(&blobs).map_err(io_error("create", &blobs))?;
        let index = layout.index_path();
        if !index.exists() {
            let empty = concat!(
                r#"{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","#,
                r#""schemaVersion":2}"#
            );
            write_new(root, &index, empty.as_bytes())?;
        }
        Ok(layout)
    }

    /// Opens the layout at `root`, which must be one.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`] when it isn't, [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let marker = root.join("oci-layout");
        let refuse = |fault| StoreError::NotALayout { path: root.to_owned(), fault };
        let bytes = match fs::read(&marker) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refuse("is not an OCI image layout: it has no file `oci-layout`"));
            }
            result => result.map_err(io_error("read", &marker))?,
        };
        let version = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|value| Some(value.get("imageLayoutVersion")?.as_str()?.to_owned()));
        match version.as_deref() {
            Some(version) if version.starts_with("1.") => {}
            Some(_) => return Err(refuse("is an OCI image layout of an unknown version")),
            None => return Err(refuse("has a file `oci-layout` that says no version")),
        }
        Ok(Self { root: root.to_owned(), tmp: root.to_owned(), lease: None })
    }

    /// The same layout as that of a store: its temporary files, and whatever is counted on, are `lease`'s.
    #[must_use]
    pub(super) fn with_lease(self, lease: Lease) -> Self {
        Self { tmp: lease.tmp_dir().to_owned(), lease: Some(lease), ..self }
    }

    /// The same layout for who deletes, or only looks: nothing that it tells may be counted on.
    #[must_use]
    pub(super) fn unheld(&self) -> Self {
        Self { lease: None, ..self.clone() }
    }

    /// The lease that holds what is counted on; none for a layout that is no store's.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Holds what `digests` name from now on.
    pub(super) fn hold(&self, digests: &[Digest]) -> Result<(), StoreError> {
        self.lease.as_ref().map_or(Ok(()), |lease| lease.hold(digests))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the blob is there.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.size(digest).is_some()
    }

    /// Where the blob is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.hex())
    }

    /// The blob's size in bytes; none when it is not there. In a store, what cannot be held cannot be
    /// counted on, and is as good as not there.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        if let Err(error) = self.hold(&[*digest]) {
            tracing::debug!(%error, %digest, "a blob cannot be held, so it counts as absent");
            return None;
        }
        let metadata = fs::metadata(self.path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// The blob's bytes, checked against its digest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.hold(&[*digest])?;
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(self.no_such_blob(digest));
            }
            result => result.map_err(io_error("read", &path))?,
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::Damaged { digest: *digest, found });
        }
        Ok(bytes)
    }

    /// Begins a blob whose bytes come piece by piece.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        Ok(BlobWriter::new(self.temporary()?, self.blobs_dir(), self.lease.clone()))
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.size(&digest) == Some(bytes.len() as u64) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(io_error("write", &self.path(&digest)))?;
        writer.commit()?;
        Ok(digest)
    }

    /// Stores `value` as JSON with sorted keys, and says its digest and size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put_json(&self, value: &impl Serialize) -> Result<(Digest, u64), StoreError> {
        let bytes = canonical_json(value);
        Ok((self.put(&bytes)?, bytes.len() as u64))
    }

    /// Stores a copy of the file at `path`; its digest is of what was copied.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put_file(&self, path: &Path) -> Result<Digest, StoreError> {
        let mut file = fs::File::open(path).map_err(io_error("read", path))?;
        let mut writer = self.writer()?;
        io::copy(&mut file, &mut writer).map_err(io_error("copy", path))?;
        Ok(writer.commit()?.0)
    }

    pub(crate) fn no_such_blob(&self, digest: &Digest) -> StoreError {
        StoreError::NoSuchBlob { digest: *digest, root: self.root.clone() }
    }

    pub(crate) fn blobs_dir(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(crate) fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        temporary_in(&self.tmp, TMP_PREFIX)
    }
}

/// `value` as JSON with sorted keys and no spaces: equal values are equal bytes, whatever order
/// the maps inside it have.
///
/// # Panics
/// Never for the types of this crate: none has a map with keys that are not text, and none fails to
/// serialise by itself.
#[must_use]
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    // `serde_json` keeps the objects of a `Value` in a `BTreeMap`.
    let value = serde_json::to_value(value).expect("maps of ours have text as keys");
    serde_json::to_vec(&value).expect("a JSON value is JSON")
}

/// Writes `bytes` to `path` in `dir` unless another process did so first.
fn write_new(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = temporary_in(dir, TMP_PREFIX)?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.as_file().sync_data().map_err(io_error("write", path))?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => {
            Err(io_error("write", path)(error.error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layouts_open() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(dir.path().join("oci-layout"), text).unwrap();
            }
            match Layout::open(dir.path()).unwrap_err() {
                StoreError::NotALayout { fault, .. } => fault,
                error => panic!("{error}"),
            }
        };
        assert!(fault(None).contains("no file `oci-layout`"));
        assert!(fault(Some("<html>")).contains("no version"));
        assert!(fault(Some(r#"{"imageLayoutVersion":"2.0.0"}"#)).contains("unknown version"));
    }

    #[test]
    fn json_is_sorted() {
        let map: std::collections::HashMap<_, _> =
            (0..20).map(|i| (format!("k{i:02}"), i)).collect();
        let text = String::from_utf8(canonical_json(&map)).unwrap();
        assert!(text.starts_with(r#"{"k00":0,"k01":1,"k02":2"#), "{text}");
    }

    #[test]
    fn damage_is_noticed_and_absence_named() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let digest = layout.put(b"whole").unwrap();
        fs::write(layout.path(&digest), b"hurt!").unwrap();
        assert!(matches!(layout.read(&digest), Err(StoreError::Damaged { .. })));
        let other = Digest::of(b"other");
        assert!(matches!(layout.read(&other), Err(StoreError::NoSuchBlob { .. })));
        assert_eq!(layout.size(&other), None);
    }

    #[test]
    fn a_copied_file_is_named_by_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, vec![3; 100_000]).unwrap();
        let layout = Layout::create(&dir.path().join("layout")).unwrap();
        assert_eq!(layout.put_file(&file).unwrap(), Digest::of(&vec![3; 100_000]));
        assert_eq!(layout.put_file(&file).unwrap(), Digest::of(&vec![3; 100_000]));
    }
}
