//! Pins that name a URL in place of a version: a git repository, an archive or a wheel. Their version
//! is known once they are obtained, and the set is then pinned to it.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::checkout::{checkout, commit_source, reachable};
use super::error::{ObtainError, PipelineError};
use super::events::{Activity, Ending};
use super::obtain::{Obtained, Obtainer, Outcome};
use super::release::Lineage;
use super::summary::How;
use crate::build::builder::BuildSource;
use crate::index::Fetched;
use crate::input::pins::UrlPin;
use crate::input::project::ProjectSource;
use crate::store::set::Origin;
use crate::vocab::digest::Digest;
use crate::vocab::sdist_filename::SdistFormat;
use crate::vocab::wheel_filename::WheelFilename;

impl Obtainer {
    /// Obtains the wheel of a pin that names a URL.
    pub(super) fn obtain_url(self: &Arc<Self>, pin: UrlPin) -> BoxFuture<'static, Outcome> {
        let this = Arc::clone(self);
        async move { this.obtain_url_now(&pin).await.map(Arc::new).map_err(Arc::new) }.boxed()
    }

    async fn obtain_url_now(self: &Arc<Self>, pin: &UrlPin) -> Result<Obtained, ObtainError> {
        if pin.url.scheme().starts_with("git+") {
            return self.obtain_commit(pin).await;
        }
        let file = pin.url.path().rsplit('/').next().unwrap_or_default();
        let begun = Instant::now();
        let fetched = self.fetch_promised(pin, file).await?;
        if let Ok(filename) = file.parse::<WheelFilename>() {
            let target = self.workshop.target();
            if *filename.name() != pin.name || target.tags().priority(filename.tags()).is_none() {
                return Err(ObtainError::OtherWheel {
                    name: pin.name.clone(),
                    file: filename.to_string(),
                    target: target.to_string(),
                });
            }
            return Ok(Obtained {
                metadata: self.read(&filename, fetched.digest).await?,
                filename,
                digest: fetched.digest,
                size: fetched.size,
                origin: Origin::fetched(&pin.url),
                how: if fetched.reused { How::Reused } else { How::Fetched },
                seconds: begun.elapsed().as_secs_f64(),
            });
        }
        let (format, _) =
            SdistFormat::of(file).ok_or_else(|| PipelineError::NoArchive { path: file.into() })?;
        let path = self.workshop.store.path(&fetched.digest);
        let source = BuildSource::Sdist { path, format, digest: fetched.digest };
        self.build(&pin.name, None, source, fetched.size, &Lineage::default(), &Notify::new()).await
    }

    async fn obtain_commit(self: &Arc<Self>, pin: &UrlPin) -> Result<Obtained, ObtainError> {
        let source = ProjectSource::parse(pin.url.as_str(), None).map_err(PipelineError::from)?;
        let ProjectSource::Git { url, reference } = source else {
            unreachable!("a URL whose scheme begins with `git+` is a repository's");
        };
        reachable(&self.workshop, &url)?;
        let tree = tempfile::Builder::new()
            .prefix("checkout-")
            .tempdir_in(self.workshop.store.tmp_dir())
            .map_err(PipelineError::from)?;
        let commit = checkout(&url, reference.as_deref(), tree.path()).await?;
        let source = commit_source(tree.path(), &commit);
        self.build(&pin.name, None, source, 0, &Lineage::default(), &Notify::new()).await
    }

    /// Fetches the file; its fragment may promise a hash (`#sha256=...`).
    async fn fetch_promised(&self, pin: &UrlPin, file: &str) -> Result<Fetched, ObtainError> {
        let workshop = &self.workshop;
        let promised = pin
            .url
            .fragment()
            .into_iter()
            .flat_map(|fragment| fragment.split('&'))
            .find_map(|part| Digest::from_hex(part.strip_prefix("sha256=")?).ok());
        let task = workshop.events.start(Activity::Fetch { file: file.into(), size: None });
        let fetched =
            workshop.indexes.fetch_url(&pin.url, promised, &|total| task.reach(total)).await;
        match fetched {
            Ok(fetched) => {
                task.end(if fetched.reused { Ending::Reused } else { Ending::Done });
                Ok(fetched)
            }
            Err(error) => {
                task.end(Ending::Failed { cause: error.to_string(), log: None });
                Err(PipelineError::from(error).into())
            }
        }
    }
}
