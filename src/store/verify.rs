//! [`Store::verify`]: re-reads every blob and sets aside what is damaged.
//!
//! A damaged blob is moved to `loci/damaged/`, so that it counts as absent and the next command that
//! needs it obtains it again. Other commands go on meanwhile: what `gc` takes away is left out, and
//! what another command has mended is left alone.

use std::fs::{self, File};
use std::io::ErrorKind;

use oci_spec::image::{ANNOTATION_TITLE, ImageManifest};
use rayon::prelude::*;

use crate::vocab::digest::Digest;

use super::Store;
use super::error::{StoreError, io_error};
use super::gate::Gate;
use super::lease::is_at;

/// What [`Store::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The number of blobs read.
    pub checked: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs whose bytes are not what their names say, sorted; set aside.
    pub damaged: Vec<DamagedBlob>,
    /// Names that lead to blobs which are not there, sorted.
    pub missing: Vec<MissingBlob>,
}

impl VerifyReport {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty()
    }
}

/// A blob that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedBlob {
    /// Its name.
    pub digest: Digest,
    /// The digest of the bytes it had.
    pub found: Digest,
}

/// A blob that something named needs and the store doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingBlob {
    /// The name.
    pub tag: String,
    /// The blob: the manifest itself, or something that it names.
    pub digest: Digest,
    /// The file it is in a set, a wheel or a text; none for what is no file.
    pub file: Option<String>,
}

impl Store {
    /// Reads every blob on all of rayon's threads and sets aside what is damaged. `progress` is told
    /// the bytes of each blob when it has been read. Other commands may run meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Io`] when a blob cannot be read at all; [`StoreError::Json`] when `index.json` can't.
    pub fn verify(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<VerifyReport, StoreError> {
        let mut blobs = self.blobs()?;
        // The largest first, so that no thread is left with one at the end.
        blobs.sort_by_key(|(digest, size)| (std::cmp::Reverse(*size), *digest));
        let checks = blobs
            .par_iter()
            .map(|(digest, size)| {
                let check = self.check(digest);
                progress(*size);
                check
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut report = VerifyReport { missing: self.missing()?, ..VerifyReport::default() };
        for (check, (digest, size)) in checks.into_iter().zip(blobs) {
            report.checked += usize::from(check != Check::Gone);
            report.bytes += if check == Check::Gone { 0 } else { size };
            if let Check::Damaged(found) = check {
                report.damaged.push(DamagedBlob { digest, found });
            }
        }
        report.damaged.sort();
        Ok(report)
    }

    /// Reads one blob, and sets it aside when it is damaged.
    fn check(&self, digest: &Digest) -> Result<Check, StoreError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Check::Gone),
            result => result.map_err(io_error("read", &path))?,
        };
        let (found, _) = Digest::of_reader(&file).map_err(io_error("read", &path))?;
        if found == *digest { Ok(Check::Whole) } else { self.set_aside(digest, &file, found) }
    }

    /// Sets a blob aside that is still the `file` in which `found` was read.
    fn set_aside(&self, digest: &Digest, file: &File, found: Digest) -> Result<Check, StoreError> {
        let path = self.path(digest);
        let aside = self.damaged_dir();
        fs::create_dir_all(&aside).map_err(io_error("create", &aside))?;
        let _closed = Gate::close(&self.gate_path())?;
        // It may have been mended since it was opened, or set aside, or deleted; while the gate is closed
        // it is not.
        if !is_at(file, &path) {
            return Ok(Check::Gone);
        }
        fs::rename(&path, aside.join(digest.hex())).map_err(io_error("set aside", &path))?;
        Ok(Check::Damaged(found))
    }

    fn missing(&self) -> Result<Vec<MissingBlob>, StoreError> {
        // Nothing is deleted meanwhile, so whatever has a name now has all that it leads to.
        let _inside = self.lease.enter()?;
        let layout = self.layout.unheld();
        let mut missing = Vec::new();
        for named in layout.names()? {
            let (Some(digest), Some(tag)) = (named.digest(), named.tag) else { continue };
            if !layout.contains(&digest) {
                missing.push(MissingBlob { tag, digest, file: None });
                continue;
            }
            // What is no manifest leads to nothing that was obtained.
            let Ok(manifest) = serde_json::from_slice::<ImageManifest>(&layout.read(&digest)?)
            else {
                continue;
            };
            for blob in manifest.layers().iter().chain([manifest.config()]) {
                let Ok(digest) = blob.digest().to_string().parse() else { continue };
                if !layout.contains(&digest) {
                    let title = blob.annotations().as_ref().and_then(|a| a.get(ANNOTATION_TITLE));
                    missing.push(MissingBlob { tag: tag.clone(), digest, file: title.cloned() });
                }
            }
        }
        missing.sort();
        Ok(missing)
    }
}

/// What reading a blob has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Whole,
    /// The digest of the bytes it had; it was set aside.
    Damaged(Digest),
    /// It is not there any more, or is another file now.
    Gone,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::gate::testing::wait_at_the_gate;
    use super::super::names::Tag;
    use super::super::set::{Origin, SetWheel, WheelSet};
    use super::*;

    #[test]
    fn damage_is_set_aside_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put(b"wheel").unwrap();
        let filename: crate::vocab::wheel_filename::WheelFilename =
            "six-1-py3-none-any.whl".parse().unwrap();
        let origin = Origin::Imported { from: "test".into() };
        let wheels = vec![SetWheel { filename: filename.clone(), digest, size: 5, origin }];
        store.save_set(&Tag::default(), &WheelSet { wheels, ..WheelSet::default() }).unwrap();
        let read = AtomicU64::new(0);
        let report = store.verify(&|bytes| _ = read.fetch_add(bytes, Ordering::Relaxed)).unwrap();
        assert!(report.is_clean());
        assert_eq!((report.checked, report.bytes), (4, read.into_inner()));

        fs::write(store.path(&digest), b"wheeL").unwrap();
        let report = store.verify(&|_| {}).unwrap();
        assert_eq!(report.damaged, [DamagedBlob { digest, found: Digest::of(b"wheeL") }]);
        let file = Some(filename.to_string());
        assert_eq!(report.missing, [MissingBlob { tag: "latest".into(), digest, file }]);
        assert!(!store.contains(&digest));
        assert!(store.root().join("loci/damaged").join(digest.hex()).exists());

        store.put(b"wheel").unwrap();
        assert!(store.verify(&|_| {}).unwrap().is_clean());

        // The two texts are one blob here.
        let texts = Digest::of(b"");
        fs::write(store.path(&texts), b"x").unwrap();
        for damaged in [1, 0] {
            let report = store.verify(&|_| {}).unwrap();
            assert_eq!(report.damaged.len(), damaged);
            let files: Vec<_> = report.missing.iter().flat_map(|blob| &blob.file).collect();
            assert_eq!(files, ["global-requirements.txt", "upper-constraints.txt"]);
        }
    }

    #[test]
    fn what_is_mended_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = Digest::of(b"whole");
        fs::write(store.path(&digest), b"hurt").unwrap();
        let file = fs::File::open(store.path(&digest)).unwrap();
        let inside = store.lease.enter().unwrap();
        std::thread::scope(|scope| {
            let work = scope.spawn(|| store.set_aside(&digest, &file, Digest::of(b"hurt")));
            wait_at_the_gate(&store.gate_path(), &work);
            store.put(b"whole").unwrap();
            drop(inside);
            assert_eq!(work.join().unwrap().unwrap(), Check::Gone);
        });
        assert_eq!(store.read(&digest).unwrap(), b"whole");
    }
}
