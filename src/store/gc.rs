//! [`Store::gc`]: deletes what no name leads to. Nothing else in loci deletes from a store.
//!
//! The roots are all descriptors in `index.json`. What a root leads to is found by reading manifests
//! and indexes; whatever JSON is of another kind is a leaf. A build record lives as long as its
//! wheel, and its log with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use crate::vocab::digest::Digest;

use super::Store;
use super::builds::BuildRecord;
use super::error::{StoreError, io_error};
use super::lease::Lease;

/// A build environment nobody made or renewed for so long is deleted: it takes seconds to make again.
const ENV_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What [`Store::gc`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// The number of blobs removed.
    pub removed: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The number of blobs that stay.
    pub kept: usize,
    /// Build records removed because their wheels are.
    pub builds: usize,
    /// Old build environments, leftovers of interrupted commands and damaged blobs removed.
    pub leftovers: usize,
}

impl Store {
    /// Deletes every blob no name leads to, the build records of deleted wheels, build environments of
    /// 30 days and more, and what interrupted commands left. With `dry_run` only counts.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while any lease is held; those of reading `index.json` and the manifests, in
    /// which case nothing is deleted: what cannot be read might lead to anything.
    pub fn gc(&self, dry_run: bool) -> Result<GcReport, StoreError> {
        let _alone = Lease::exclusive(&self.caches.join("lock"), self.root())?;
        let mut live = BTreeSet::new();
        for named in self.tags()? {
            self.mark(&named.descriptor, &mut live)?;
        }
        let mut report = GcReport::default();
        let builds = self.memo("builds");
        let mut stale_builds = Vec::new();
        for key in builds.keys() {
            match builds.get::<BuildRecord>(&key) {
                Some(record) if live.contains(&record.digest) => {
                    live.insert(record.log);
                }
                _ => stale_builds.push(key),
            }
        }
        report.builds = stale_builds.len();
        // Records go before their blobs, so that a crash in between leaves no record without a wheel.
        if !dry_run {
            for key in &stale_builds {
                builds.remove(key)?;
            }
        }
        for (digest, size) in self.blobs()? {
            if live.contains(&digest) {
                report.kept += 1;
                continue;
            }
            report.removed += 1;
            report.bytes += size;
            if !dry_run {
                let path = self.path(&digest);
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        let old = SystemTime::now() - ENV_AGE;
        report.leftovers += clear(&self.envs_dir(), dry_run, Some(old))?;
        report.leftovers += clear(&self.tmp_dir(), dry_run, None)?;
        report.leftovers += clear(&self.damaged_dir(), dry_run, None)?;
        Ok(report)
    }

    /// Marks what `descriptor` leads to. Only roots and what manifests name as manifests is read.
    fn mark(&self, descriptor: &Descriptor, live: &mut BTreeSet<Digest>) -> Result<(), StoreError> {
        // Blobs here are all SHA-256, so another algorithm's name leads to nothing of ours.
        let Ok(digest) = descriptor.digest().to_string().parse::<Digest>() else { return Ok(()) };
        if !live.insert(digest) {
            return Ok(());
        }
        let json = |source| StoreError::Json { what: digest.to_string(), source };
        let children = match descriptor.media_type() {
            MediaType::ImageManifest => {
                let manifest: ImageManifest =
                    serde_json::from_slice(&self.read(&digest)?).map_err(json)?;
                let mut children = manifest.layers().clone();
                children.push(manifest.config().clone());
                children.extend(manifest.subject().clone());
                children
            }
            MediaType::ImageIndex => {
                let index: ImageIndex =
                    serde_json::from_slice(&self.read(&digest)?).map_err(json)?;
                let mut children = index.manifests().clone();
                children.extend(index.subject().clone());
                children
            }
            _ => Vec::new(),
        };
        children.iter().try_for_each(|child| self.mark(child, live))
    }
}

/// Removes what is in `dir`, or what in it was last changed before `before`, and counts it.
fn clear(dir: &Path, dry_run: bool, before: Option<SystemTime>) -> Result<usize, StoreError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(0) };
    let mut count = 0;
    for entry in entries {
        let path = entry.map_err(io_error("list", dir))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(io_error("read", &path))?;
        let changed = metadata.modified().map_err(io_error("read", &path))?;
        if before.is_some_and(|before| changed >= before) {
            continue;
        }
        count += 1;
        if !dry_run {
            if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .map_err(io_error("remove", &path))?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::names::Tag;
    use super::super::set::{Origin, SetWheel, WheelSet};
    use super::*;

    fn wheel(store: &Store, name: &str) -> SetWheel {
        SetWheel {
            filename: format!("{name}-1-py3-none-any.whl").parse().unwrap(),
            digest: store.put(name.as_bytes()).unwrap(),
            size: name.len() as u64,
            origin: Origin::Imported { from: "test".into() },
        }
    }

    fn record(store: &Store, wheel: &SetWheel) -> Digest {
        let log = store.put(format!("log of {}", wheel.filename).as_bytes()).unwrap();
        let key = Digest::of(wheel.filename.as_str().as_bytes());
        let record = BuildRecord {
            name: wheel.filename.name().clone(),
            version: wheel.filename.version().clone(),
            wheel: wheel.filename.clone(),
            digest: wheel.digest,
            log,
            seconds: 1.0,
            peak_memory: None,
            requires: Vec::new(),
        };
        store.builds().put(&key, &record).unwrap();
        key
    }

    #[test]
    fn only_what_names_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (kept, gone) = (wheel(&store, "kept"), wheel(&store, "gone"));
        let keys = [record(&store, &kept), record(&store, &gone)];
        fs::write(store.tmp_dir().join("half"), "").unwrap();
        fs::create_dir(store.envs_dir().join("young")).unwrap();
        let set = WheelSet { wheels: vec![kept], ..WheelSet::default() };
        store.save_set(&Tag::default(), &set).unwrap();

        // Kept: the wheel, its log, the manifest, the empty config, and the two (empty) texts as one.
        let expected = GcReport { removed: 2, bytes: 4 + 30, kept: 5, builds: 1, leftovers: 1 };
        assert_eq!(store.gc(true).unwrap(), expected);
        assert!(store.contains(&gone.digest));
        assert_eq!(store.gc(false).unwrap(), expected);
        assert!(!store.contains(&gone.digest));
        assert_eq!(store.load_set(&Tag::default()).unwrap(), set);
        assert_eq!(keys.map(|key| store.builds().get(&key).is_some()), [true, false]);
        assert!(store.envs_dir().join("young").exists());
        assert_eq!(store.gc(false).unwrap(), GcReport { kept: 5, ..GcReport::default() });
    }

    #[test]
    fn nothing_is_deleted_while_somebody_counts_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lease = store.lease().unwrap();
        assert!(matches!(store.gc(false), Err(StoreError::Busy { .. })));
        drop(lease);
        store.gc(false).unwrap();
    }

    #[test]
    fn nothing_is_deleted_when_a_manifest_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let set = WheelSet { wheels: vec![wheel(&store, "kept")], ..WheelSet::default() };
        let manifest = store.save_set(&Tag::default(), &set).unwrap();
        fs::write(store.path(&manifest), "damaged").unwrap();
        assert!(matches!(store.gc(false), Err(StoreError::Damaged { .. })));
        assert!(store.contains(&set.wheels[0].digest));
    }
}
