//! [`Obtainer`]: one wheel for one release, fetched or built, and never twice in a run.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, OnceCell};

use super::blocking;
use super::error::{ObtainError, PipelineError};
use super::events::{Activity, Ending};
use super::provision::ProvisionMemo;
use super::release::{Lineage, Release};
use super::summary::How;
use super::workshop::Workshop;
use crate::index::select::Choice;
use crate::input::pins::Pins;
use crate::store::set::Origin;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::dist_file::{DistFile, DistFilename};
use crate::vocab::requirement::Requirement;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

/// A wheel in the store.
#[derive(Debug, Clone)]
pub struct Obtained {
    /// The wheel's file name.
    pub filename: WheelFilename,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it came from.
    pub origin: Origin,
    /// How it was obtained in this run.
    pub how: How,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// What it says of itself.
    pub metadata: Arc<CoreMetadata>,
}

/// What obtaining a wheel comes to; shared by all who asked for it.
pub(super) type Outcome = Result<Arc<Obtained>, Arc<ObtainError>>;

/// A release that somebody asked for.
#[derive(Default)]
struct Order {
    outcome: OnceCell<Outcome>,
    /// Told when a build asks for it: it must not queue behind that build then.
    hurry: Notify,
}

/// Obtains wheels: each release once a run, however many ask for it.
pub struct Obtainer {
    pub(super) workshop: Arc<Workshop>,
    /// What build requirements prefer.
    pub(super) pins: Arc<Pins>,
    /// What build requirements must keep to.
    pub(super) build_constraints: Vec<Requirement>,
    outcomes: Mutex<HashMap<Release, Arc<Order>>>,
    /// Which build waits for which release, to find builds that wait for each other.
    waits: Mutex<Vec<(String, String)>>,
    pub(super) provisions: ProvisionMemo,
}

impl Obtainer {
    /// An obtainer whose build requirements prefer `pins` and keep to `build_constraints`.
    #[must_use]
    pub fn new(
        workshop: Arc<Workshop>,
        pins: Arc<Pins>,
        build_constraints: Vec<Requirement>,
    ) -> Arc<Self> {
        Arc::new(Self {
            workshop,
            pins,
            build_constraints,
            outcomes: Mutex::default(),
            waits: Mutex::default(),
            provisions: ProvisionMemo::default(),
        })
    }

    /// Obtains a wheel of `release`; `lineage` names the builds that wait for it.
    pub fn obtain(
        self: &Arc<Self>,
        release: Release,
        lineage: Lineage,
    ) -> BoxFuture<'static, Outcome> {
        let this = Arc::clone(self);
        // Boxed, since a build obtains its own requirements.
        async move {
            let _waiting = this.wait_for(&release, &lineage)?;
            let order = {
                let mut outcomes = this.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(outcomes.entry(release.clone()).or_default())
            };
            if lineage.innermost().is_some() {
                order.hurry.notify_one();
            }
            let outcome = order
                .outcome
                .get_or_init(|| async {
                    this.obtain_now(&release, &lineage, &order.hurry)
                        .await
                        .map(Arc::new)
                        .map_err(Arc::new)
                })
                .await;
            outcome.clone()
        }
        .boxed()
    }

    /// Notes that the innermost build of `lineage` waits for `release`.
    ///
    /// Two builds that need each other would wait for ever: the second one to ask is refused.
    pub(super) fn wait_for(
        self: &Arc<Self>,
        release: &Release,
        lineage: &Lineage,
    ) -> Result<Option<Waiting>, Arc<ObtainError>> {
        let Some(builder) = lineage.innermost() else { return Ok(None) };
        let wanted = release.to_string();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeSet::new();
        let mut open = vec![wanted.as_str()];
        while let Some(name) = open.pop() {
            if name == builder {
                return Err(Arc::new(ObtainError::Cycle {
                    builder: builder.to_owned(),
                    release: release.clone(),
                }));
            }
            if seen.insert(name) {
                open.extend(waits.iter().filter(|(by, _)| by == name).map(|(_, of)| of.as_str()));
            }
        }
        let edge = (builder.to_owned(), wanted);
        waits.push(edge.clone());
        Ok(Some(Waiting { obtainer: Arc::clone(self), edge }))
    }

    async fn obtain_now(
        self: &Arc<Self>,
        release: &Release,
        lineage: &Lineage,
        hurry: &Notify,
    ) -> Result<Obtained, ObtainError> {
        let workshop = &self.workshop;
        match workshop.choose(&release.name, &release.wanted()).await?? {
            Choice::Wheel(file) => self.fetch_wheel(&file).await,
            Choice::Sdist(_) if workshop.rules.get(&release.name).never_build => {
                Err(ObtainError::NeverBuild { release: release.clone() })
            }
            Choice::Sdist(file) => self.build_sdist(release, &file, lineage, hurry).await,
        }
    }

    async fn fetch_wheel(&self, file: &DistFile) -> Result<Obtained, ObtainError> {
        let DistFilename::Wheel(filename) = &file.filename else {
            unreachable!("a chosen wheel has a wheel's name");
        };
        let begun = Instant::now();
        let (digest, size, how) = self.fetch(file, &self.workshop.limits.fetches).await?;
        Ok(Obtained {
            filename: filename.clone(),
            digest,
            size,
            origin: Origin::fetched(&file.url),
            how,
            seconds: begun.elapsed().as_secs_f64(),
            metadata: self.read(filename, digest).await?,
        })
    }

    /// Reads the metadata of a wheel in the store. A wheel that cannot be used fails here, by itself,
    /// and not together with the set it would be in.
    pub(super) async fn read(
        &self,
        filename: &WheelFilename,
        digest: Digest,
    ) -> Result<Arc<CoreMetadata>, ObtainError> {
        let _permit =
            self.workshop.limits.archives.acquire().await.expect("the semaphore is never closed");
        let path = self.workshop.store.path(&digest);
        let filename = filename.clone();
        let metadata = blocking(move || {
            Ok(WheelArchive::open(WheelFile::open(&path)?, &filename)?.metadata()?)
        });
        Ok(Arc::new(metadata.await?))
    }

    /// Fetches `file` into the store unless it is there.
    pub(super) async fn fetch(
        &self,
        file: &DistFile,
        places: &tokio::sync::Semaphore,
    ) -> Result<(Digest, u64, How), ObtainError> {
        let workshop = &self.workshop;
        if let Some(digest) = file.sha256
            && let Some(size) = workshop.store.size(&digest)
        {
            let file = file.filename.as_str().to_owned();
            workshop.events.reused(Activity::Fetch { file, size: Some(size) });
            return Ok((digest, size, How::Reused));
        }
        let _permit = places.acquire().await.expect("the semaphore is never closed");
        let name = file.filename.as_str().to_owned();
        let task = workshop.events.start(Activity::Fetch { file: name, size: file.size });
        match workshop.indexes.fetch(file, &|total| task.reach(total)).await {
            Ok(fetched) if fetched.reused => {
                task.end(Ending::Reused);
                Ok((fetched.digest, fetched.size, How::Reused))
            }
            Ok(fetched) => {
                task.end(Ending::Done);
                Ok((fetched.digest, fetched.size, How::Fetched))
            }
            Err(error) => {
                task.end(Ending::Failed { cause: error.to_string(), log: None });
                Err(PipelineError::from(error).into())
            }
        }
    }
}

/// A build waits for a wheel as long as this lives.
pub(super) struct Waiting {
    obtainer: Arc<Obtainer>,
    edge: (String, String),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = self.obtainer.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = waits.iter().position(|edge| *edge == self.edge) {
            waits.swap_remove(at);
        }
    }
}
