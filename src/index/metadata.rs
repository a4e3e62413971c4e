//! The metadata of a file, without fetching all of it where that can be avoided.
//!
//! In order: what an earlier run found, the METADATA served beside the file (PEP 658), the file
//! itself when the store or this machine has it, parts of it by ranged requests, and at last the
//! whole of it. A source archive's own metadata may change when it is built, so it is not read here.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use url::Url;

use super::error::IndexError;
use super::fetch::{joined, local};
use super::indexes::Indexes;
use super::zip_tail::{self, Opened, TAIL};
use crate::http::error::{HttpError, Shown};
use crate::http::range::ContentRange;
use crate::store::error::StoreError;
use crate::store::file::replace;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::dist_file::{DistFile, DistFilename, MetadataFile};
use crate::vocab::wheel_filename::WheelFilename;

/// Some bytes of a file, and how long all of it is.
struct Part {
    bytes: Vec<u8>,
    start: u64,
    whole: u64,
}

impl Part {
    fn get(&self, span: &Range<u64>) -> Option<&[u8]> {
        let at = |at: u64| usize::try_from(at.checked_sub(self.start)?).ok();
        self.bytes.get(at(span.start)?..at(span.end)?)
    }
}

impl Indexes {
    /// The metadata of a wheel, or of a source archive whose index serves it. None for any other
    /// source archive: its build tells.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn metadata(&self, file: &DistFile) -> Result<Option<CoreMetadata>, IndexError> {
        let Some(bytes) = self.metadata_bytes(file).await? else { return Ok(None) };
        let metadata = CoreMetadata::parse(&bytes).map_err(|source| IndexError::Metadata {
            file: file.filename.as_str().to_owned(),
            source,
        })?;
        Ok(Some(metadata))
    }

    /// The text of METADATA, as [`Indexes::metadata`] finds it.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn metadata_bytes(&self, file: &DistFile) -> Result<Option<Vec<u8>>, IndexError> {
        // Only a digest tells one file from another, so only what has one is cached.
        let cached = file.sha256.map(|digest| self.metadata_dir().join(digest.hex()));
        if let Some(bytes) = cached.as_deref().and_then(read_cached) {
            return Ok(Some(bytes));
        }
        let bytes = match self.served_metadata(file).await? {
            Some(bytes) => bytes,
            None => match &file.filename {
                DistFilename::Wheel(wheel) => self.wheel_metadata(file, wheel).await?,
                DistFilename::Sdist(_) => return Ok(None),
            },
        };
        if let Some(path) = cached
            && let Err(error) = write_cached(&self.store.tmp_dir(), &path, &bytes)
        {
            tracing::debug!(%error, path = %path.display(), "metadata is not cached");
        }
        Ok(Some(bytes))
    }

    fn metadata_dir(&self) -> PathBuf {
        self.store.http_dir().join("metadata")
    }

    /// What the index serves beside the file.
    async fn served_metadata(&self, file: &DistFile) -> Result<Option<Vec<u8>>, IndexError> {
        let MetadataFile::Present(expected) = file.metadata else { return Ok(None) };
        if self.offline {
            return Ok(None);
        }
        let mut url = file.url.clone();
        url.set_path(&format!("{}.metadata", url.path()));
        if url.scheme() == "file" {
            return Ok(None);
        }
        let text = match self.client.text(&url).await {
            Ok(text) => text,
            // Mirrors copy the promise without the file.
            Err(HttpError::Status { status: StatusCode::NOT_FOUND, .. }) => return Ok(None),
            // Old METADATA is in any encoding: the file's own is read leniently.
            Err(HttpError::Encoding { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = text.text.into_bytes();
        let found = Digest::of(&bytes);
        match expected {
            Some(expected) if expected != found => {
                let file = format!("{}.metadata", file.filename.as_str());
                Err(IndexError::Mismatch { file, expected, found })
            }
            _ => Ok(Some(bytes)),
        }
    }

    async fn wheel_metadata(
        &self,
        file: &DistFile,
        wheel: &WheelFilename,
    ) -> Result<Vec<u8>, IndexError> {
        let stored = file.sha256.filter(|digest| self.store.contains(digest));
        let path = match stored {
            Some(digest) => Some(self.store.path(&digest)),
            None => local(&file.url)?,
        };
        if let Some(path) = path {
            return from_path(path, wheel.clone()).await;
        }
        if self.offline {
            return Err(IndexError::Offline { url: Shown::new(&file.url) });
        }
        if let Some(bytes) = self.ranged_metadata(file, wheel).await? {
            return Ok(bytes);
        }
        let fetched = self.fetch(file, &|_| {}).await?;
        from_path(self.store.path(&fetched.digest), wheel.clone()).await
    }

    /// Reads parts of the wheel; none when the server does not give parts.
    async fn ranged_metadata(
        &self,
        file: &DistFile,
        wheel: &WheelFilename,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        let fault = |reason| wheel_fault(wheel, reason);
        let tail = match file.size {
            Some(size) => format!("{}-{}", size.saturating_sub(TAIL), size.saturating_sub(1)),
            None => format!("-{TAIL}"),
        };
        let Some(tail) = self.part(&file.url, &tail).await? else { return Ok(None) };
        if tail.start.checked_add(tail.bytes.len() as u64) != Some(tail.whole) {
            return Err(HttpError::Range { url: Shown::new(&file.url) }.into());
        }
        let directory = zip_tail::directory(&tail.bytes, tail.whole).map_err(fault)?;
        let read;
        let entries = match tail.get(&directory.span) {
            Some(bytes) => bytes,
            None => match self.span(&file.url, &directory.span, tail.whole).await? {
                Some(bytes) => {
                    read = bytes;
                    &read
                }
                None => return Ok(None),
            },
        };
        let member = zip_tail::metadata(entries, wheel).map_err(fault)?;
        // What is counted for the header may reach past the end of a small wheel.
        let mut span = member.span.start..member.span.end.min(tail.whole);
        for _ in 0..2 {
            let read;
            let bytes = match tail.get(&span) {
                Some(bytes) => bytes,
                None => match self.span(&file.url, &span, tail.whole).await? {
                    Some(bytes) => {
                        read = bytes;
                        &read
                    }
                    None => return Ok(None),
                },
            };
            match zip_tail::open(bytes, &member).map_err(fault)? {
                Opened::Data(data) => return Ok(Some(data)),
                Opened::Longer(longer) => span = longer,
            }
        }
        Err(fault("its METADATA is damaged"))
    }

    async fn span(
        &self,
        url: &Url,
        span: &Range<u64>,
        whole: u64,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        let wrong = || IndexError::from(HttpError::Range { url: Shown::new(url) });
        if span.start >= span.end || span.end > whole {
            return Err(wrong());
        }
        let range = format!("{}-{}", span.start, span.end - 1);
        let Some(part) = self.part(url, &range).await? else { return Ok(None) };
        match part.get(span) {
            Some(bytes) if part.whole == whole => Ok(Some(bytes.to_owned())),
            _ => Err(wrong()),
        }
    }

    /// One range of a file; none when the server gives no ranges of it.
    async fn part(&self, url: &Url, range: &str) -> Result<Option<Part>, IndexError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let value = HeaderValue::try_from(format!("bytes={range}"));
        headers.insert(RANGE, value.expect("digits are a header value"));
        let mut retries = self.client.retries();
        loop {
            let response = self.client.file(url, &headers).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT => {}
                StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(None),
                status => return Err(HttpError::Status { url: Shown::new(url), status }.into()),
            }
            let Some(ContentRange { start, whole: Some(whole) }) = ContentRange::of(&response)
            else {
                return Ok(None);
            };
            match response.bytes().await {
                Ok(bytes) => return Ok(Some(Part { bytes: bytes.into(), start, whole })),
                Err(source) => {
                    let url = Shown::new(url);
                    let error = HttpError::Network { url, source: source.into() };
                    retries.again(error, None).await?;
                }
            }
        }
    }
}

fn wheel_fault(wheel: &WheelFilename, reason: &'static str) -> IndexError {
    IndexError::Wheel { file: wheel.as_str().to_owned(), reason }
}

/// Reads METADATA out of a wheel on disk.
async fn from_path(path: PathBuf, wheel: WheelFilename) -> Result<Vec<u8>, IndexError> {
    let read = move || {
        let fail = |source| HttpError::Local { path: path.clone(), source };
        let fault = |reason| wheel_fault(&wheel, reason);
        let mut file = fs_err::File::open(&path).map_err(fail)?;
        let whole = file.metadata().map_err(fail)?.len();
        let mut at = |span: Range<u64>| read_span(&mut file, &span, whole).map_err(fail);
        let tail = at(whole.saturating_sub(TAIL)..whole)?;
        let directory = zip_tail::directory(&tail, whole).map_err(fault)?;
        let member = zip_tail::metadata(&at(directory.span)?, &wheel).map_err(fault)?;
        let mut span = member.span.clone();
        for _ in 0..2 {
            match zip_tail::open(&at(span)?, &member).map_err(fault)? {
                Opened::Data(data) => return Ok(data),
                Opened::Longer(longer) => span = longer,
            }
        }
        Err(fault("its METADATA is damaged"))
    };
    joined(tokio::task::spawn_blocking(read).await)
}

/// The bytes of a span, cut at the end of the file.
fn read_span(file: &mut (impl Read + Seek), span: &Range<u64>, whole: u64) -> io::Result<Vec<u8>> {
    let end = span.end.min(whole);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(span.start.min(end)))?;
    file.take(end.saturating_sub(span.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Cached metadata: 32 bytes of digest, then the text.
fn read_cached(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs_err::read(path).ok()?;
    let digest: [u8; 32] = bytes.get(..32)?.try_into().ok()?;
    bytes.drain(..32);
    (Digest::of(&bytes) == Digest::from_bytes(digest)).then_some(bytes)
}

fn write_cached(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut cached = Digest::of(bytes).as_bytes().to_vec();
    cached.extend_from_slice(bytes);
    replace(tmp, path, &cached)
}
