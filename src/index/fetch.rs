//! Fetching a file whole: streamed into the store, hashed as it arrives, resumed when it breaks off.
//!
//! Nothing is kept that is not what the index announced, and nothing that is not whole. A resumed
//! file is hashed over all of its bytes, for they may come from two servers; without a digest to hold
//! that against, only a strong entity tag makes a resumption safe.

use std::io::Write;
use std::path::PathBuf;

use reqwest::header::{ACCEPT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use super::error::IndexError;
use super::indexes::Indexes;
use crate::http::error::{HttpError, Shown};
use crate::http::range::ContentRange;
use url::Url;

use crate::store::blob::BlobWriter;
use crate::store::error::StoreError;
use crate::vocab::digest::Digest;
use crate::vocab::dist_file::DistFile;

/// A file that is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it was there already, so that nothing came over the network.
    pub reused: bool,
}

/// How one reading of a body ended.
enum Body {
    Whole,
    Broken(IndexError),
}

/// A file to be fetched, and what was promised of it.
struct Remote<'a> {
    name: &'a str,
    url: &'a Url,
    sha256: Option<Digest>,
    size: Option<u64>,
}

impl Indexes {
    /// Puts `file` into the store. `on_bytes` is told how many bytes of it are there, counted from its
    /// beginning, whenever more have come.
    ///
    /// A file whose digest the index tells and the store has is not asked for. A local file is copied
    /// each time: its name says nothing of its bytes.
    ///
    /// # Errors
    /// [`IndexError`]; nothing is kept then.
    pub async fn fetch(
        &self,
        file: &DistFile,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, IndexError> {
        let remote = Remote {
            name: file.filename.as_str(),
            url: &file.url,
            sha256: file.sha256,
            size: file.size,
        };
        self.fetch_remote(&remote, on_bytes).await
    }

    /// Puts what is at `url` into the store, whatever it is; `sha256` is what was promised of it.
    ///
    /// # Errors
    /// [`IndexError`]; nothing is kept then.
    pub async fn fetch_url(
        &self,
        url: &Url,
        sha256: Option<Digest>,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, IndexError> {
        let url = self.client.strip(url);
        let name = url.path().rsplit('/').next().unwrap_or_default();
        let remote = Remote { name, url: &url, sha256, size: None };
        self.fetch_remote(&remote, on_bytes).await
    }

    async fn fetch_remote(
        &self,
        file: &Remote<'_>,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, IndexError> {
        let name = file.name;
        if let Some(digest) = file.sha256
            && let Some(size) = self.store.size(&digest)
        {
            on_bytes(size);
            return Ok(Fetched { digest, size, reused: true });
        }
        let store_error = |source| IndexError::Store { file: name.to_owned(), source };
        if let Some(path) = local(file.url)? {
            let mut writer = self.store.writer().map_err(store_error)?;
            let (name, task) = (name.to_owned(), path.clone());
            let copied = tokio::task::spawn_blocking(move || {
                let mut from = fs_err::File::open(&task)
                    .map_err(|source| HttpError::Local { path: task, source })?;
                std::io::copy(&mut from, &mut writer)
                    .map_err(|source| IndexError::Write { file: name, source })?;
                Ok::<_, IndexError>(writer)
            });
            let writer = joined(copied.await)?;
            on_bytes(writer.written());
            return self.commit(file, writer).await;
        }
        if self.offline {
            return Err(IndexError::Offline { url: Shown::new(file.url) });
        }
        let mut writer = self.store.writer().map_err(store_error)?;
        let mut etag = None;
        let mut resumed = false;
        let mut farthest = 0;
        let mut retries = self.client.retries();
        loop {
            let response = self.client.file(file.url, &headers(writer.written(), &etag)).await?;
            let status = response.status();
            match status {
                StatusCode::OK => {
                    // The server begins anew, because it knows no ranges or the file has changed.
                    if writer.written() > 0 {
                        writer = self.store.writer().map_err(store_error)?;
                    }
                    resumed = false;
                    etag = strong_etag(&response);
                }
                StatusCode::PARTIAL_CONTENT => {
                    let range = ContentRange::of(&response);
                    if writer.written() == 0
                        || range.is_none_or(|range| range.start != writer.written())
                    {
                        return Err(HttpError::Range { url: Shown::new(file.url) }.into());
                    }
                    resumed = true;
                }
                // There is no rest after all: the size was not known, and everything has come.
                StatusCode::RANGE_NOT_SATISFIABLE if writer.written() > 0 => {}
                status => {
                    return Err(HttpError::Status { url: Shown::new(file.url), status }.into());
                }
            }
            let body = match status {
                StatusCode::RANGE_NOT_SATISFIABLE => Body::Whole,
                _ => receive(response, &mut writer, file, on_bytes).await?,
            };
            let broken = match body {
                Body::Broken(error) => error,
                Body::Whole if file.size.is_some_and(|size| writer.written() < size) => {
                    IndexError::Cut { file: name.to_owned(), received: writer.written() }
                }
                Body::Whole => match self.commit(file, writer).await {
                    // Two servers may have given parts of two files: once more, in one piece.
                    Err(IndexError::Mismatch { .. }) if resumed => {
                        resumed = false;
                        etag = None;
                        writer = self.store.writer().map_err(store_error)?;
                        continue;
                    }
                    done => return done,
                },
            };
            // What came farther than any try before was not in vain, so it counts as no failure.
            if writer.written() > farthest {
                farthest = writer.written();
                retries = self.client.retries();
            }
            // Nothing would tell that the rest is of another file: it begins anew.
            if file.sha256.is_none() && etag.is_none() {
                writer = self.store.writer().map_err(store_error)?;
            }
            retries.again(broken, None).await?;
        }
    }

    /// Keeps what was written, if it is what was announced.
    async fn commit(&self, file: &Remote<'_>, writer: BlobWriter) -> Result<Fetched, IndexError> {
        let expected = file.sha256;
        // Syncing waits for the disk, which is not for a task of sockets to do.
        let committed = tokio::task::spawn_blocking(move || match expected {
            Some(digest) => writer.commit_as(&digest).map(|size| (digest, size)),
            None => writer.commit(),
        });
        let name = || file.name.to_owned();
        match joined(committed.await) {
            Ok((digest, size)) => Ok(Fetched { digest, size, reused: false }),
            Err(StoreError::Mismatch { expected, found }) => {
                Err(IndexError::Mismatch { file: name(), expected, found })
            }
            Err(source) => Err(IndexError::Store { file: name(), source }),
        }
    }
}

/// What a blocking task gave; a panic in it goes on here, as it would have without the task.
pub(super) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The path of a file that is on this machine.
pub(super) fn local(url: &Url) -> Result<Option<PathBuf>, IndexError> {
    if url.scheme() != "file" {
        return Ok(None);
    }
    let path = url.to_file_path().map_err(|()| HttpError::Scheme { url: Shown::new(url) })?;
    Ok(Some(path))
}

fn headers(from: u64, etag: &Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // The digest is of the file as it is stored, so nothing may be packed on the way.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if from > 0 {
        let range = format!("bytes={from}-");
        headers.insert(RANGE, HeaderValue::try_from(range).expect("digits are a header value"));
        if let Some(etag) = etag {
            headers.insert(IF_RANGE, etag.clone());
        }
    }
    headers
}

/// The entity tag, when it vouches for the very bytes (RFC 9110, "If-Range").
fn strong_etag(response: &Response) -> Option<HeaderValue> {
    let etag = response.headers().get(ETAG)?;
    (!etag.as_bytes().starts_with(b"W/")).then(|| etag.clone())
}

async fn receive(
    mut response: Response,
    writer: &mut BlobWriter,
    file: &Remote<'_>,
    on_bytes: &(dyn Fn(u64) + Send + Sync),
) -> Result<Body, IndexError> {
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Body::Whole),
            Err(error) => {
                let url = Shown::new(file.url);
                return Ok(Body::Broken(HttpError::Network { url, source: error.into() }.into()));
            }
        };
        writer
            .write_all(&chunk)
            .map_err(|source| IndexError::Write { file: file.name.to_owned(), source })?;
        if let Some(expected) = file.size
            && writer.written() > expected
        {
            return Err(IndexError::Size {
                file: file.name.to_owned(),
                expected,
                found: writer.written(),
            });
        }
        on_bytes(writer.written());
    }
}
