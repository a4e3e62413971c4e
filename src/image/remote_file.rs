//! [`RemoteFile`]: a blob in a registry, or a file at a URL, that can be read in parts.

use reqwest::header::{ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::http::client::Client;
use crate::http::error::{HttpError, Shown};
use crate::http::retry::Failure;
use crate::vocab::redact::publishable;

use super::error::ImageError;
use super::manifest::BlobRef;
use super::registry::repository::Repository;

/// A file that is elsewhere.
#[derive(Debug, Clone)]
pub(super) enum RemoteFile {
    /// A blob in a registry.
    Blob {
        /// Where it is.
        repository: Repository,
        /// What it is.
        blob: BlobRef,
    },
    /// A file at a URL.
    Url {
        /// Asks for it.
        client: Client,
        /// Where it is.
        url: Url,
        /// Its size in bytes, as far as the server told.
        size: Option<u64>,
        /// What tells it from other versions of it.
        etag: Option<HeaderValue>,
    },
}

impl RemoteFile {
    /// What asks for it.
    pub(super) fn client(&self) -> &Client {
        match self {
            Self::Blob { repository, .. } => repository.client(),
            Self::Url { client, .. } => client,
        }
    }

    /// Its size in bytes, where it is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Blob { blob, .. } => Some(blob.size),
            Self::Url { size, .. } => *size,
        }
    }

    /// What tells it from other versions of it: a blob has none.
    pub(super) fn etag(&self) -> Option<HeaderValue> {
        match self {
            Self::Blob { .. } => None,
            Self::Url { etag, .. } => etag.clone(),
        }
    }

    /// Whether its bytes can be held against its name.
    pub(super) const fn is_named_by_digest(&self) -> bool {
        matches!(self, Self::Blob { .. })
    }

    /// Which version of it an answer is of, as far as that can be told for sure (RFC 9110, "Validator
    /// Fields"): by a strong entity tag, else by a date.
    pub(super) fn version(&self, response: &Response) -> Option<HeaderValue> {
        let header = |name| response.headers().get(name).cloned();
        let is_strong = |tag: &HeaderValue| !tag.as_bytes().starts_with(b"W/");
        header(ETAG).filter(is_strong).or_else(|| header(LAST_MODIFIED))
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Blob { repository, blob } => format!("{repository}@{}", blob.digest),
            Self::Url { url, .. } => publishable(url).to_string(),
        }
    }

    /// Asks for it once, with these headers.
    pub(super) async fn get(&self, headers: HeaderMap) -> Result<Response, Failure<ImageError>> {
        match self {
            Self::Blob { repository, blob } => {
                repository.get_blob(&blob.digest, headers).await.map_err(|f| f.map(Into::into))
            }
            // The client has made it again as often as it may.
            Self::Url { client, url, .. } => {
                client.file(url, &headers).await.map_err(|error| Failure::Final(error.into()))
            }
        }
    }

    /// The failure that an answer of another status than the wanted ones is.
    pub(super) async fn refused(&self, response: Response) -> Failure<ImageError> {
        match self {
            Self::Blob { repository, blob } if response.status() == StatusCode::NOT_FOUND => {
                let origin = repository.to_string();
                Failure::Final(ImageError::LacksBlob { origin, digest: blob.digest })
            }
            Self::Blob { repository, blob } => {
                let what = format!("the blob {}", blob.digest);
                repository.refusal(&what, response).await.map(Into::into)
            }
            Self::Url { url, .. } => {
                let status = response.status();
                Failure::Final(HttpError::Status { url: Shown::new(url), status }.into())
            }
        }
    }

    /// The failure of a connection that broke.
    pub(super) fn broken(&self, error: reqwest::Error) -> Failure<ImageError> {
        let source = error.into();
        Failure::Again(HttpError::Network { url: self.shown(), source }.into(), None)
    }

    /// The error of a body that ended early.
    pub(super) fn cut(&self, received: u64) -> ImageError {
        ImageError::Cut { file: self.name(), received }
    }

    /// The error of a file that is not the one any more that was begun.
    pub(super) fn changed(&self) -> ImageError {
        ImageError::Changed { file: self.name() }
    }

    /// The error of a file of which nobody knows whether it is the one that was begun.
    pub(super) fn unversioned(&self) -> ImageError {
        ImageError::Unversioned { file: self.name() }
    }

    /// The error of a part that was not asked for.
    pub(super) fn wrong_range(&self) -> ImageError {
        HttpError::Range { url: self.shown() }.into()
    }

    fn shown(&self) -> Shown {
        match self {
            Self::Blob { repository, blob } => repository.shown(&blob.digest),
            Self::Url { url, .. } => Shown::new(url),
        }
    }
}
