//! [`Store::gc`]: deletes what no name leads to and no running command holds. Nothing else in loci
//! deletes blobs.
//!
//! The roots are the descriptors in `index.json`, the locks that are given, the leases of running
//! commands, and what is remembered with blobs ([`kept`](super::kept)) and was used lately. It runs beside other commands: why nothing is lost to them is said in
//! [`lease`](super::lease). They wait only while the gate is closed, in which time blobs are moved
//! away; they are deleted afterwards.
//!
//! Names go before blobs, so that whatever moment it is killed at, all that is named is whole. What was
//! moved away is among its temporary files, and those of a killed command are cleared away by the next
//! one.
//!
//! A build record lives as long as its wheel, and its log with it; without its wheel it counts as absent. With what is
//! remembered it is the other way about: the blob lives as long as somebody uses what counts on it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::vocab::digest::Digest;

use super::Store;
use super::builds::BuildRecord;
use super::error::{StoreError, io_error};
use super::gate::{Gate, Only};
use super::kept::blobs_of;
use super::layout::Layout;
use super::leases::{entries, remove};
use super::names::Named;
use super::reach::Reach;
use super::rules::GcRules;

/// A build environment nobody made or renewed for so long is deleted: it takes seconds to make again.
const ENV_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What is only remembered, pages of indexes above all, is deleted when nobody has used it for so long.
const CACHE_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// What is below `loci/` and has rules of its own. Every other folder, of whatever kind, is of small things that are only
/// remembered.
const NO_CACHES: [&str; 7] = ["builds", "damaged", "envs", "http", "kept", "leases", "tmp"];
/// Further folders of such things.
const CACHES: [&str; 2] = ["http/pages", "http/metadata"];
/// So many build records are removed while others wait.
const AT_ONCE: usize = 64;

/// What [`Store::gc`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// The names that were taken away, the newest first.
    pub names: Vec<LostName>,
    /// The number of blobs removed.
    pub removed: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The number of blobs that stay.
    pub kept: usize,
    /// How many of these stay only because running commands hold them.
    pub held: usize,
    /// Build records removed because their wheels are.
    pub builds: usize,
    /// Values removed that were remembered with blobs and nobody used, those of service images above all.
    pub remembered: usize,
    /// Pages of indexes and other remembered things removed because nobody used them for 90 days.
    pub caches: usize,
    /// Old build environments, leftovers of interrupted commands and damaged blobs removed.
    pub leftovers: usize,
}

/// A name that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostName {
    /// The name.
    pub tag: String,
    /// What it named; none when its digest is not SHA-256.
    pub digest: Option<Digest>,
    /// When it was written.
    pub written: SystemTime,
}

impl Store {
    /// Takes away the names that `rules` let go, and deletes every blob that nothing leads to, the build
    /// records of deleted wheels, what was remembered with blobs and is not used any more, build environments
    /// of 30 days and more, caches that nobody has used for 90 days, and what interrupted commands left. Other commands may run meanwhile; what they count on
    /// stays.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another one collects; [`StoreError::Unclear`] when a manifest cannot be
    /// read, in which case nothing is deleted: it might lead to anything; those of reading `index.json`.
    pub fn gc(&self, rules: &GcRules) -> Result<GcReport, StoreError> {
        let trash = tempfile::tempdir_in(self.tmp_dir());
        let trash = trash.map_err(io_error("create a directory in", &self.tmp_dir()))?;
        let report = self.collect(rules, Some(&trash))?;
        trash.close().map_err(io_error("remove files in", &self.tmp_dir()))?;
        Ok(report)
    }

    /// Says what [`Store::gc`] would do now, and does nothing.
    ///
    /// # Errors
    /// As [`Store::gc`].
    pub fn gc_dry_run(&self, rules: &GcRules) -> Result<GcReport, StoreError> {
        self.collect(rules, None)
    }

    /// Without a place for what is thrown away, nothing is.
    fn collect(&self, rules: &GcRules, trash: Option<&TempDir>) -> Result<GcReport, StoreError> {
        let _only = Only::take(&self.caches.join("gc"), self.root())?;
        let layout = self.layout.unheld();
        let now = SystemTime::now();
        let mut report = GcReport::default();

        let names = layout.names()?;
        let tagged = names.iter().filter(|named| named.tag.is_some());
        let dated = tagged.map(|named| (layout.written(named), named.clone())).collect();
        let leaving = rules.leaving(dated, now);
        // What cannot be read is found out before anything is lost.
        named(&layout, &leaving)?;
        let (gone, pretended) = match trash {
            Some(_) => (layout.unname_found(leaving)?, Vec::new()),
            None => (leaving.clone(), leaving),
        };
        report.names = gone.iter().filter_map(|named| lost(&layout, named)).collect();

        let sweep =
            Sweep { store: self, layout: &layout, rules, now, trash: trash.map(TempDir::path) };
        let stale = sweep.blobs(&pretended, &mut report)?;
        sweep.records(&stale, &mut report)?;
        sweep.leftovers(&mut report)?;
        Ok(report)
    }
}

/// What all names lead to but those that are `leaving`, or have left.
fn named(layout: &Layout, leaving: &[Named]) -> Result<Reach, StoreError> {
    let mut reach = Reach::default();
    for named in layout.names()?.iter().filter(|named| !leaving.contains(named)) {
        reach.follow(layout, &named.descriptor).map_err(|source| StoreError::Unclear {
            name: named.tag.clone().unwrap_or_else(|| named.descriptor.digest().to_string()),
            source: Box::new(source),
        })?;
    }
    Ok(reach)
}

fn lost(layout: &Layout, named: &Named) -> Option<LostName> {
    let tag = named.tag.clone()?;
    Some(LostName { tag, digest: named.digest(), written: layout.written(named) })
}

/// What a collection works with.
struct Sweep<'a> {
    store: &'a Store,
    layout: &'a Layout,
    rules: &'a GcRules,
    now: SystemTime,
    /// Where to move what goes; nothing goes without it.
    trash: Option<&'a Path>,
}

impl Sweep<'_> {
    /// Moves away the blobs and build environments that nobody counts on, and says the keys of builds
    /// whose wheels went. The gate is closed meanwhile, and the order is that of [`lease`](super::lease):
    /// leases before names. What is `pretended` to have no name has one still.
    fn blobs(&self, pretended: &[Named], report: &mut GcReport) -> Result<Vec<Digest>, StoreError> {
        let _closed = Gate::close(&self.store.gate_path())?;
        let held = self.store.leases().held()?;
        let named = named(self.layout, pretended)?;
        let mut young = HashSet::new();
        let mut blobs = Vec::new();
        for (digest, size) in self.store.blobs()? {
            let path = self.layout.path(&digest);
            if self.rules.older_than.is_some() {
                let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
                if !self.rules.is_old(written.map_err(io_error("read", &path))?, self.now) {
                    young.insert(digest);
                }
            }
            blobs.push((digest, size, path));
        }
        let remembered = self.remembered(&held, report)?;
        let stays = |digest: &Digest| {
            named.contains(digest)
                || self.rules.locked.contains(digest)
                || young.contains(digest)
                || remembered.contains(digest)
        };
        // A log stays for the reason that its wheel does.
        let (mut logs, mut held_logs, mut stale) = (HashSet::new(), HashSet::new(), Vec::new());
        let builds = self.store.memo("builds");
        for key in builds.keys() {
            match builds.get::<BuildRecord>(&key) {
                Some(record) if stays(&record.digest) => _ = logs.insert(record.log),
                Some(record) if held.contains(&record.digest) => _ = held_logs.insert(record.log),
                _ => stale.push(key),
            }
        }
        let environments = entries(&self.store.envs_dir())?;
        for path in environments.into_iter().filter(|path| self.is_abandoned(path, &held)) {
            report.leftovers += 1;
            self.discard(&path)?;
        }
        for (digest, size, path) in blobs {
            if stays(&digest) || logs.contains(&digest) {
                report.kept += 1;
            } else if held.contains(&digest) || held_logs.contains(&digest) {
                report.kept += 1;
                report.held += 1;
            } else {
                report.removed += 1;
                report.bytes += size;
                self.discard(&path)?;
            }
        }
        Ok(stale)
    }

    /// Moves away what was remembered with blobs and is not used any more, and says on which blobs the rest counts.
    /// Names come before it, and leases before names, for the reason that is given there: who remembers
    /// something holds its blobs.
    fn remembered(
        &self,
        held: &HashSet<Digest>,
        report: &mut GcReport,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut counted_on = HashSet::new();
        for kind in entries(&self.store.kept_dir())? {
            for path in entries(&kind)? {
                let blobs = blobs_of(&path);
                let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
                if !self.rules.is_unused(used.map_err(io_error("read", &path))?, self.now) {
                    counted_on.extend(blobs);
                } else if !blobs.iter().any(|digest| held.contains(digest)) {
                    report.remembered += 1;
                    self.discard(&path)?;
                }
            }
        }
        Ok(counted_on)
    }

    /// Removes the build records whose wheels have gone, some at a time while the gate is closed: a
    /// command may have built the wheel again, and a record is written while the gate is open.
    fn records(&self, stale: &[Digest], report: &mut GcReport) -> Result<(), StoreError> {
        let builds = self.store.memo("builds");
        if self.trash.is_none() {
            report.builds += stale.len();
            return Ok(());
        }
        for keys in stale.chunks(AT_ONCE) {
            let _closed = Gate::close(&self.store.gate_path())?;
            for key in keys {
                let record = builds.get::<BuildRecord>(key);
                if record.is_none_or(|record| !self.layout.contains(&record.digest)) {
                    self.discard(&builds.path(key))?;
                    report.builds += 1;
                }
            }
        }
        Ok(())
    }

    /// Removes what nobody could count on, while commands go on.
    fn leftovers(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let leases = self.store.leases();
        let mut gone = leases.orphans()?;
        gone.extend(entries(&self.store.damaged_dir())?);
        report.leftovers += gone.len();
        report.leftovers += if self.trash.is_some() { leases.sweep()? } else { leases.dead()? };
        let mut folders = entries(&self.store.caches)?;
        folders.retain(|path| path.is_dir() && !NO_CACHES.iter().any(|name| path.ends_with(name)));
        folders.extend(CACHES.map(|folder| self.store.caches.join(folder)));
        for folder in folders {
            let mut unused = entries(&folder)?;
            unused.retain(|path| self.is_unused(path));
            report.caches += unused.len();
            gone.extend(unused);
        }
        if self.trash.is_some() {
            gone.iter().try_for_each(|path| remove(path))?;
        }
        Ok(())
    }

    /// Moves `path` away, which takes microseconds where deleting may wait for the disk.
    fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let Some(trash) = self.trash else { return Ok(()) };
        let to: PathBuf = trash.join(path.file_name().unwrap_or_default());
        fs::rename(path, to).map_err(io_error("remove", path))
    }

    /// Whether nobody works in the build environment, and nobody did for a long time.
    fn is_abandoned(&self, path: &Path, held: &HashSet<Digest>) -> bool {
        let key = path.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok());
        let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        !key.is_some_and(|key| held.contains(&key))
            && changed.is_ok_and(|changed| changed < self.now - ENV_AGE)
    }

    /// Whether nobody has written or read the file for a long time, as far as the file system notes it.
    fn is_unused(&self, path: &Path) -> bool {
        let old = self.now - CACHE_AGE;
        fs::symlink_metadata(path).is_ok_and(|metadata| {
            metadata.is_file()
                && [metadata.modified(), metadata.accessed()]
                    .into_iter()
                    .all(|time| time.is_ok_and(|time| time < old))
        })
    }
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
