//! [`Foundation`]: what stands below the environment of a service's image: the base, and what its
//! distribution adds.
//!
//! Packages have scripts that make users and settings, so they are installed by their own manager, in a
//! private root that the base is unpacked into; the layer is what is different afterwards. It is made
//! once for all services with the same packages: the store remembers, by the base's digest, the distribution and
//! the packages' names, what came of it and when, and keeps the layer with it (kind `foundations`).

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use super::blocking;
use super::error::PipelineError;
use super::events::Activity;
use super::spec::SystemPackages;
use super::step_sources::PackageFiles;
use super::workshop::Workshop;
use crate::build::interpreter::{Interpreter, Record};
use crate::image::appended::{AddedContent, AddedLayer};
use crate::image::base::Base;
use crate::service::facts::RootFacts;
use crate::service::packages::Packages;
use crate::service::packages::name::PackageName;
use crate::service::root::difference::Difference;
use crate::service::root::error::RootError;
use crate::service::root::leftovers::Leftovers;
use crate::service::root::run::{CommandLine, Root};
use crate::service::root::snapshot::Snapshot;
use crate::service::root::unpack::unpack;
use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::distro::Distro;

/// Part of what a foundation is remembered by: changes whenever the same would be made otherwise.
const FORMAT: u32 = 3;

/// Packages that were installed so long ago are warned of: distributions mend faults every day.
const OLD: Duration = Duration::from_secs(7 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// What stands below an environment.
#[derive(Debug)]
pub struct Foundation {
    /// What the distribution adds to the base.
    pub layers: Vec<AddedLayer>,
    /// Its Python.
    pub interpreter: Interpreter,
    /// What is known of its root.
    pub facts: RootFacts,
    /// The distribution's packages in it, and their versions.
    pub packages: BTreeMap<String, String>,
}

/// A foundation as the store remembers it.
#[derive(Serialize, Deserialize)]
struct Remembered {
    layer: Option<(Digest, u64)>,
    interpreter: Record,
    facts: RootFacts,
    packages: BTreeMap<String, String>,
    /// When the distribution was asked for these packages, in seconds since 1970 by the clock. It goes into no image.
    made: u64,
}

/// Whether what is remembered of packages is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// It is.
    No,
    /// The distribution is asked whether it has newer ones, and then they are installed.
    Packages,
}

/// Makes foundations upon one base.
pub struct Ground {
    workshop: Arc<Workshop>,
    base: Base,
    epoch: u64,
    python: String,
    refresh: Refresh,
    /// Whether somebody was told that packages are old: one word is enough for ten services.
    warned: AtomicBool,
    /// What the base is.
    pub distro: Distro,
}

impl Ground {
    /// Finds out what `base` is; what it was `named` holds where it does not say so itself.
    ///
    /// # Errors
    /// When it cannot be unpacked, or does not say which distribution it is of.
    pub async fn find(
        workshop: &Arc<Workshop>,
        base: Base,
        python: &Path,
        epoch: u64,
        refresh: Refresh,
        named: Option<&Distro>,
    ) -> Result<Self, PipelineError> {
        let memo = workshop.store.memo("bases");
        let os_release = match memo.get::<String>(&base.digest()) {
            Some(text) => text,
            None => {
                let root = unpacked(workshop, &base).await?;
                let text = blocking(move || Ok(RootFacts::os_release(root.path())?)).await?;
                memo.put(&base.digest(), &text)?;
                text
            }
        };
        let distro = match (Distro::from_os_release(&os_release), named) {
            (Ok(found), _) => found,
            (Err(_), Some(named)) => named.clone(),
            (Err(source), None) => {
                return Err(PipelineError::UnknownDistro { base: base.name().to_owned(), source });
            }
        };
        let python = python.to_string_lossy().into_owned();
        let (workshop, warned) = (Arc::clone(workshop), AtomicBool::new(false));
        Ok(Self { workshop, base, epoch, python, refresh, warned, distro })
    }

    /// The base with these `packages` of `distro`: as it is remembered, or made now.
    ///
    /// # Errors
    /// When there can be no private root, or a package cannot be had.
    pub async fn with(
        &self,
        distro: &Distro,
        packages: &SystemPackages,
    ) -> Result<Foundation, PipelineError> {
        let names = &packages.names;
        let key = key(&self.base.digest(), distro, packages, &self.python, self.epoch);
        let kept = self.workshop.store.kept("foundations");
        let remembered = match (kept.get::<Remembered>(&key), self.refresh) {
            (Some(known), Refresh::No) => {
                self.warn_of_age(&known, distro);
                known
            }
            (known, _) => {
                let new = match known {
                    Some(known) if self.is_current(distro, names, &known).await? => {
                        Remembered { made: now(), ..known }
                    }
                    _ => self.make(distro, packages).await?,
                };
                let blobs: Vec<Digest> = new.layer.iter().map(|(digest, _)| *digest).collect();
                kept.put(&key, &new, &blobs)?;
                new
            }
        };
        remembered.foundation(&self.python, packages.count())
    }

    fn warn_of_age(&self, known: &Remembered, distro: &Distro) {
        if known.layer.is_none() {
            return;
        }
        if let Some(text) = told_age(distro, known.made, now())
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            self.workshop.events.warn(text);
        }
    }

    /// Whether the distribution would install just what is remembered.
    async fn is_current(
        &self,
        distro: &Distro,
        names: &[String],
        known: &Remembered,
    ) -> Result<bool, PipelineError> {
        let (names, distro) = (package_names(names)?, distro.clone());
        let dir = unpacked(&self.workshop, &self.base).await?;
        let resolved = blocking(move || {
            let root = Root::private(dir.path())?;
            let packages = packages_of(&root, &distro)?;
            Ok(packages.resolve(&names, &mut |line| tracing::debug!("{line}"))?)
        });
        Ok(resolved.await?.is_some_and(|resolved| {
            resolved.iter().all(|(name, version)| known.packages.get(name) == Some(version))
        }))
    }

    async fn make(
        &self,
        distro: &Distro,
        packages: &SystemPackages,
    ) -> Result<Remembered, PipelineError> {
        let (names, count) = (package_names(&packages.names)?, packages.count());
        let made = now();
        blocking(|| Ok(Root::check_private()?)).await?;
        let files = PackageFiles::fetch(&self.workshop, &packages.files).await?;
        let dir = unpacked(&self.workshop, &self.base).await?;
        let file = format!("{count} packages of {distro}");
        let task = self.workshop.events.start(Activity::Install { file });
        let (store, epoch, python) = (self.workshop.store.clone(), self.epoch, self.python.clone());
        let distro = distro.clone();
        task.run(|_| async move {
            blocking(move || {
                let root = Root::private(dir.path())?.with_epoch(epoch);
                let snapshot = Snapshot::of(dir.path())?;
                let (root, fetched) = files.seen_in(root)?;
                let packages = packages_of(&root, &distro)?;
                for names in [names, fetched] {
                    packages.install(&names, &mut |line| tracing::debug!("{line}"))?;
                }
                let installed = packages.installed()?;
                let interpreter = ask(&root, &python)?;
                let leftovers = Leftovers::of_packages();
                let difference = Difference::settle(&snapshot, dir.path(), &leftovers)?;
                let layer = match difference.is_empty() {
                    true => None,
                    false => Some(store_layer(&difference, dir.path(), epoch, &store)?),
                };
                let facts = RootFacts::read(dir.path())?;
                Ok(Remembered { layer, interpreter, facts, packages: installed, made })
            })
            .await
        })
        .await
    }
}

impl Remembered {
    fn foundation(self, python: &str, count: usize) -> Result<Foundation, PipelineError> {
        let layers = self.layer.map(|(digest, size)| AddedLayer {
            comment: format!("{count} packages of the distribution"),
            content: AddedContent::Blob { digest, size },
        });
        Ok(Foundation {
            layers: layers.into_iter().collect(),
            interpreter: Interpreter::recorded(Path::new(python), self.interpreter)?,
            facts: self.facts,
            packages: self.packages,
        })
    }
}

/// What a foundation is remembered by.
fn key(
    base: &Digest,
    distro: &Distro,
    packages: &SystemPackages,
    python: &str,
    epoch: u64,
) -> Digest {
    let files: Vec<_> = packages.files.iter().map(|file| (file.file_name(), file.digest)).collect();
    Digest::of(&canonical_json(&json!({
        "format": FORMAT,
        "base": base,
        // What people say it is may change which manager installs, and from where.
        "distro": [distro.id(), &distro.to_string()],
        "packages": packages.names,
        "files": files,
        "python": python,
        "epoch": epoch,
    })))
}

/// Seconds since 1970 by the clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What is to be said of packages that were installed at `made`; nothing while they are young.
fn told_age(distro: &Distro, made: u64, now: u64) -> Option<String> {
    let age = now.saturating_sub(made);
    (age > OLD.as_secs()).then(|| {
        let days = age / DAY;
        format!(
            "packages of {distro} are as they were {days} days ago; `--refresh-packages` asks for newer ones"
        )
    })
}

/// The packages of a root of `distro`.
///
/// # Errors
/// When nobody here knows its package manager, or the root has none.
pub(super) fn packages_of<'a>(
    root: &'a Root,
    distro: &Distro,
) -> Result<Packages<'a>, PipelineError> {
    let distribution = distro.to_string();
    match distro.manager() {
        Some(manager) => Ok(Packages::new(root, manager, &distribution)?),
        None => Err(PipelineError::NoManager { distribution }),
    }
}

/// The names, as a package manager may be given them.
///
/// # Errors
/// [`PipelineError::PackageName`] for what could be an option or a pattern.
pub(super) fn package_names(names: &[String]) -> Result<Vec<PackageName>, PipelineError> {
    names.iter().map(|name| Ok(name.parse::<PackageName>()?)).collect()
}

/// The base, unpacked into a directory of the store that goes with what this gives.
pub(super) async fn unpacked(workshop: &Workshop, base: &Base) -> Result<TempDir, PipelineError> {
    let name = base.name().to_owned();
    let task = workshop.events.start(Activity::Unpack { image: name });
    let tmp = workshop.store.tmp_dir();
    task.run(|_| async move {
        let tars = base.tars();
        blocking(move || {
            let dir = tempfile::Builder::new().prefix("root-").tempdir_in(tmp)?;
            unpack(tars, dir.path())?;
            Ok(dir)
        })
        .await
    })
    .await
}

/// Puts what is different in `dir` into the store as a layer, and says its digest and size.
pub(super) fn store_layer(
    difference: &Difference,
    dir: &Path,
    epoch: u64,
    store: &crate::store::Store,
) -> Result<(Digest, u64), PipelineError> {
    let mut out = BufWriter::with_capacity(1 << 20, store.writer()?);
    difference.write_layer(dir, epoch, &mut out)?;
    out.flush().map_err(|source| RootError::Out { source })?;
    let writer = out.into_inner().map_err(|error| RootError::Out { source: error.into_error() })?;
    Ok(writer.commit()?)
}

/// Asks the Python of a root what it is.
fn ask(root: &Root, python: &str) -> Result<Record, PipelineError> {
    let question = CommandLine::new(python, Interpreter::question());
    let mut said = String::new();
    let output = root.run(&question, &mut |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    if !output.status.success() {
        let said = output.tail.join("\n");
        return Err(PipelineError::NoPython { python: python.to_owned(), said });
    }
    let locate = |path: &Path| root.locate(path);
    Ok(Interpreter::answered(Path::new(python), &said, &locate)?.record().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distro(text: &str) -> Distro {
        Distro::from_os_release(text).unwrap()
    }

    #[test]
    fn foundations_are_told_apart_by_all_that_made_them() {
        let (debian, ubuntu) = ("ID=debian\nVERSION_ID=12\n", "ID=ubuntu\nVERSION_ID=24.04\n");
        let of = |base: &[u8], os_release: &str, name: &str, python: &str, epoch: u64| {
            let packages = SystemPackages { names: vec![name.to_owned()], ..Default::default() };
            key(&Digest::of(base), &distro(os_release), &packages, python, epoch)
        };
        let keys = [
            of(b"base", debian, "git", "python3", 0),
            of(b"other", debian, "git", "python3", 0),
            of(b"base", ubuntu, "git", "python3", 0),
            of(b"base", "ID=debian\nVERSION_ID=13\n", "git", "python3", 0),
            of(b"base", debian, "curl", "python3", 0),
            of(b"base", debian, "git", "python3.12", 0),
            of(b"base", debian, "git", "python3", 1),
        ];
        let different: std::collections::BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(of(b"base", debian, "git", "python3", 0), keys[0]);
    }

    #[test]
    fn old_packages_are_warned_of() {
        let debian = distro("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n");
        let told = |made: u64, now: u64| told_age(&debian, made * DAY, now * DAY);
        assert_eq!(told(10, 10), None);
        assert_eq!(told(10, 17), None);
        // Of a clock that was wrong nothing is known.
        assert_eq!(told(10, 9), None);
        insta::assert_snapshot!(told(10, 19).unwrap(), @"packages of Debian 12 (bookworm) are as they were 9 days ago; `--refresh-packages` asks for newer ones");
    }
}
