//! [`Upload`]: a blob on its way into a repository (OCI distribution specification 1.1, "Pushing blobs").
//!
//! Asked first is whether it is there, then whether it can be mounted from another repository of the
//! registry; a refused mount opens an upload, which is used. Small blobs go in one PUT, large ones in
//! chunks. Whatever breaks, the registry is asked how far it came, and the upload goes on from there.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Body, Method, Response, StatusCode};
use url::Url;

use super::error::RegistryError;
use super::repository::{Purpose, Repository};
use super::scope::Scope;
use crate::http::client::Ask;
use crate::http::retry::Failure;
use crate::image::Progress;
use crate::image::blob_source::BlobSource;
use crate::image::error::ImageError;
use crate::image::manifest::BlobRef;

/// After so many silent times a registry that has all bytes is given up: it may have to copy them.
const PATIENCE: u32 = 8;

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Pushed {
    /// It was there.
    Present,
    /// It was taken over from another repository of the registry.
    Mounted,
    /// Its bytes went over the network.
    Uploaded,
}

/// How far an upload is.
#[derive(Debug, Clone)]
enum Stage {
    /// Nothing is known of the blob.
    New,
    /// The registry has so many bytes, and takes the next ones there.
    Open { location: Url, offset: u64 },
    /// Something broke: only the registry knows how far it came.
    Unsure { location: Url },
}

/// A blob on its way into a repository.
struct Upload<'a> {
    to: &'a Repository,
    blob: &'a BlobRef,
    source: &'a BlobSource,
    mount_from: Option<&'a Repository>,
    progress: &'a Progress,
    stage: Stage,
    /// How far it ever came, in bytes: so many were told to `progress`.
    told: Arc<AtomicU64>,
}

type Step<T> = Result<T, Failure<ImageError>>;

impl Repository {
    /// Puts `blob` of `source` there, unless it is there; `mount_from` is a repository of the same
    /// registry that has it. `progress` is told bytes as they go.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(in crate::image) async fn push_blob(
        &self,
        blob: &BlobRef,
        source: &BlobSource,
        mount_from: Option<&Repository>,
        progress: &Progress,
    ) -> Result<Pushed, ImageError> {
        if self.has_blob(blob).await? {
            progress(blob.size);
            return Ok(Pushed::Present);
        }
        let told = Arc::default();
        let mut upload =
            Upload { to: self, blob, source, mount_from, progress, stage: Stage::New, told };
        // Several requests make one upload.
        let mut retries = self.client().retries().times(3);
        let mut farthest = 0;
        loop {
            let failure = match upload.step().await {
                Ok(Some(pushed)) => return Ok(pushed),
                Ok(None) => continue,
                Err(failure) => failure,
            };
            // What came farther than ever before was not in vain.
            let reached = upload.told.load(Ordering::Relaxed);
            if reached > farthest
                && matches!(upload.stage, Stage::Open { .. } | Stage::Unsure { .. })
            {
                farthest = reached;
                retries = self.client().retries().times(3);
            }
            retries.after(failure).await?;
        }
    }
}

impl Upload<'_> {
    /// One step on the way; says how the blob got there when it is.
    async fn step(&mut self) -> Step<Option<Pushed>> {
        match self.stage.clone() {
            Stage::New => self.open().await,
            Stage::Unsure { location } => self.ask_how_far(&location).await,
            Stage::Open { location, offset } if offset == 0 && self.blob.size <= self.to.chunk => {
                self.finish(location, 0..self.blob.size).await.map(Some)
            }
            Stage::Open { location, offset } if offset < self.blob.size => {
                self.chunk(&location, offset).await.map(|()| None)
            }
            Stage::Open { location, .. } => self.finish(location, 0..0).await.map(Some),
        }
    }

    async fn open(&mut self) -> Step<Option<Pushed>> {
        let mut url = self.to.at("blobs/uploads/").await.map_err(wrap)?;
        let mut scopes = self.to.scopes(Purpose::Push);
        if let Some(from) = self.mount_from {
            url.query_pairs_mut()
                .append_pair("mount", &self.blob.digest.to_string())
                .append_pair("from", from.name());
            scopes.insert(Scope::pull(&from.name));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let ask = Ask { method: Method::POST, url: &url, headers, body: None };
        let response = match self.to.host.send(ask, &self.to.name, &scopes).await {
            // The login may not be good for both repositories; it may be for this one.
            Err(Failure::Final(error)) if error.is_denial() && self.mount_from.take().is_some() => {
                return Ok(None);
            }
            other => other.map_err(wrap)?,
        };
        match response.status() {
            StatusCode::CREATED => {
                (self.progress)(self.blob.size);
                Ok(Some(Pushed::Mounted))
            }
            StatusCode::ACCEPTED => {
                let location = self.location(&response, &url).map_err(Failure::Final)?;
                self.stage = Stage::Open { location, offset: 0 };
                Ok(None)
            }
            // Some registries answer so where they know no mounts.
            _ if self.mount_from.take().is_some() => Ok(None),
            _ => Err(self.refusal(response).await),
        }
    }

    async fn ask_how_far(&mut self, location: &Url) -> Step<Option<Pushed>> {
        let ask = Ask { method: Method::GET, url: location, headers: HeaderMap::new(), body: None };
        let scopes = self.to.scopes(Purpose::Push);
        let response = self.to.host.send(ask, &self.to.name, &scopes).await.map_err(wrap)?;
        if response.status().is_success() {
            let offset = reported(&response).unwrap_or(0);
            if offset <= self.blob.size {
                let location = self.location(&response, location).unwrap_or(location.clone());
                self.stage = Stage::Open { location, offset };
                return Ok(None);
            }
        }
        // The upload is over: perhaps it was finished, and only the answer was lost.
        self.stage = Stage::New;
        if self.to.try_has_blob(self.blob).await.map_err(wrap)? {
            return Ok(Some(Pushed::Uploaded));
        }
        Ok(None)
    }

    async fn chunk(&mut self, location: &Url, offset: u64) -> Step<()> {
        let end = (offset + self.to.chunk).min(self.blob.size);
        let mut headers = HeaderMap::new();
        let range = format!("{offset}-{}", end - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::try_from(range).expect("digits are a value"));
        let response = self.send(Method::PATCH, location.clone(), headers, offset..end).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED => {
                let reached = reported(&response).unwrap_or(end);
                if reached > end {
                    return Err(Failure::Final(self.fault("says it has more bytes than it got")));
                }
                let location = self.location(&response, location).map_err(Failure::Final)?;
                self.stage = Stage::Open { location, offset: reached };
                if reached <= offset {
                    // It may do so for ever.
                    return Err(Failure::Again(self.fault("takes no byte of it"), None));
                }
                Ok(())
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => {
                self.stage = match offset {
                    // It has one byte, and has no way to tell one from none.
                    0 => Stage::New,
                    _ => Stage::Unsure { location: location.clone() },
                };
                let error = self.to.refused(&self.what(), response).await;
                Err(Failure::Again(error.into(), None))
            }
            _ => Err(self.refusal(response).await),
        }
    }

    /// The last request: with the bytes in `span`, which are all, or none when they went before.
    async fn finish(&mut self, mut location: Url, span: Range<u64>) -> Step<Pushed> {
        let before = location.clone();
        location.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let response = self.send(Method::PUT, location, HeaderMap::new(), span).await?;
        match response.status() {
            status if status.is_success() => Ok(Pushed::Uploaded),
            // The bytes were not those, or not all of them.
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                let damaged = response.status() == StatusCode::BAD_REQUEST;
                let error = self.to.refused(&self.what(), response).await;
                if damaged {
                    self.source.blame(self.blob).await.map_err(Failure::Final)?;
                    self.stage = Stage::New;
                } else {
                    self.stage = Stage::Unsure { location: before };
                }
                Err(Failure::Again(error.into(), None))
            }
            _ => Err(self.refusal(response).await),
        }
    }

    /// Sends the bytes in `span`. Until there is an answer, how far the registry came is not known.
    async fn send(
        &mut self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        span: Range<u64>,
    ) -> Step<Response> {
        let length = span.end - span.start;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, length.into());
        let before = self.stage.clone();
        if let Stage::Open { location, .. } = &self.stage {
            self.stage = Stage::Unsure { location: location.clone() };
        }
        let sent = Arc::new(AtomicU64::new(0));
        let failed: Arc<Mutex<Option<ImageError>>> = Arc::default();
        let body = match length {
            // As a stream, for the registry may be long about what it has.
            0 => Body::wrap_stream(futures::stream::empty::<std::io::Result<Vec<u8>>>()),
            _ => self.body(span, &sent, &failed).await.map_err(Failure::Final)?,
        };
        let scopes = self.to.scopes(Purpose::Push);
        let ask = Ask { method, url: &url, headers, body: Some(body) };
        let answer = self.to.host.send(ask, &self.to.name, &scopes);
        let outcome = tokio::select! {
            outcome = answer => outcome.map_err(wrap),
            seconds = stalled(&sent, length, self.to.client().timeout()) => {
                let (repository, what) = (self.to.to_string(), self.what());
                let error = RegistryError::Stalled { repository, what, seconds };
                Err(Failure::Again(error.into(), None))
            }
        };
        // Who was not let in brought nothing.
        if let Err(Failure::Again(ImageError::Registry(error), _)) = &outcome
            && error.is_denial()
        {
            self.stage = before;
        }
        // When it was our side that failed, no registry is to blame.
        match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(Failure::Final(error)),
            None => outcome,
        }
    }

    /// The bytes in `span` as they are asked for.
    async fn body(
        &self,
        span: Range<u64>,
        sent: &Arc<AtomicU64>,
        failed: &Arc<Mutex<Option<ImageError>>>,
    ) -> Result<Body, ImageError> {
        let stream = self.source.stream(self.blob, span.clone()).await?;
        let (sent, failed) = (Arc::clone(sent), Arc::clone(failed));
        let mut left = span.end - span.start;
        let (told, progress) = (Arc::clone(&self.told), Arc::clone(self.progress));
        let start = span.start;
        let stream = stream.map(move |piece| match piece {
            Ok(mut piece) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(piece.len()));
                left -= piece.len() as u64;
                let now =
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
                let before = told.fetch_max(start + now, Ordering::Relaxed);
                if start + now > before {
                    progress(start + now - before);
                }
                Ok(piece)
            }
            Err(error) => {
                let said = std::io::Error::other(error.to_string());
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(said)
            }
        });
        Ok(Body::wrap_stream(stream))
    }

    /// Where the next request goes: as the answer says, which may be relative to what was asked.
    fn location(&self, response: &Response, asked: &Url) -> Result<Url, ImageError> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.and_then(|location| asked.join(location).ok());
        let location = location.ok_or_else(|| self.fault("does not say where to go on"))?;
        let open = asked.scheme() == "https" && location.scheme() == "http";
        match location.scheme() {
            // Behind a proxy that ends TLS, a registry may not know how it was asked.
            "http" if open && location.host_str() == asked.host_str() => {
                let mut secure = location.clone();
                let same =
                    secure.set_scheme("https").is_ok() && secure.set_port(asked.port()).is_ok();
                if same { Ok(secure) } else { Ok(location) }
            }
            "http" | "https" => Ok(location),
            _ => Err(self.fault("does not say where to go on")),
        }
    }

    fn what(&self) -> String {
        format!("the blob {}", self.blob.digest)
    }

    fn fault(&self, fault: &str) -> ImageError {
        let (repository, what) = (self.to.to_string(), self.what());
        RegistryError::Upload { repository, what, fault: fault.to_owned() }.into()
    }

    async fn refusal(&self, response: Response) -> Failure<ImageError> {
        wrap(self.to.refusal(&self.what(), response).await)
    }
}

fn wrap(failure: Failure<RegistryError>) -> Failure<ImageError> {
    failure.map(Into::into)
}

/// How many bytes the registry says it has: `Range: 0-99` for a hundred.
fn reported(response: &Response) -> Option<u64> {
    let text = response.headers().get(RANGE)?.to_str().ok()?;
    let (start, last) = text.trim().trim_start_matches("bytes=").split_once('-')?;
    let (start, last): (u64, u64) = (start.trim().parse().ok()?, last.trim().parse().ok()?);
    // One that has nothing may say `0-0`: it cannot say it otherwise. One byte of a blob is sent again.
    (start == 0).then(|| if last == 0 { 0 } else { last + 1 })
}

/// Ends, with the seconds it took, when the registry takes no bytes any more, or has all of them and
/// does not answer.
async fn stalled(sent: &AtomicU64, length: u64, silence: Duration) -> u64 {
    let (mut before, mut silent) = (u64::MAX, 0);
    loop {
        tokio::time::sleep(silence).await;
        let now = sent.load(Ordering::Relaxed);
        silent = if now == before { silent + 1 } else { 0 };
        before = now;
        if silent >= if now >= length { PATIENCE } else { 1 } {
            return silence.as_secs() * u64::from(silent);
        }
    }
}
