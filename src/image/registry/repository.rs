//! [`Repository`]: one repository of a registry: its tags, manifests and blobs (OCI distribution
//! specification 1.1, "Endpoints"). How a blob gets there is told in [`upload`](super::upload).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::error::RegistryError;
use super::host::{Host, Scopes, small_body};
use super::name::ImageName;
use super::scope::Scope;
use crate::http::client::{Ask, Client};
use crate::http::error::Shown;
use crate::http::retry::Failure;
use crate::image::manifest::{
    BlobRef, DOCKER_LIST, DOCKER_MANIFEST, Document, MOST_MANIFEST, OCI_INDEX, OCI_MANIFEST,
};
use crate::vocab::digest::Digest;

/// No more tags are listed.
const MOST_TAGS: usize = 10_000;

/// One repository of a registry. Clones share their connections and tokens.
#[derive(Debug, Clone)]
pub(in crate::image) struct Repository {
    pub(super) host: Arc<Host>,
    /// Some image in it.
    pub(super) name: ImageName,
    /// The most bytes that go in one request.
    pub(super) chunk: u64,
}

/// What a request is for, and so what is asked of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Pull,
    Push,
}

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Referrers {
    manifests: Vec<oci_spec::image::Descriptor>,
}

impl Repository {
    /// What makes requests.
    pub(in crate::image) fn client(&self) -> &Client {
        self.host.client()
    }

    /// Whether `other` is in the same registry, so that blobs can be mounted from there.
    pub(in crate::image) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.host, &other.host)
    }

    /// The name of the repository.
    pub(in crate::image) fn name(&self) -> &str {
        self.name.repository()
    }

    /// The address of a blob, for messages.
    pub(in crate::image) fn shown(&self, digest: &Digest) -> Shown {
        self.host.shown(&format!("{}/blobs/{digest}", self.name()))
    }

    /// What is asked of a token for `purpose`.
    pub(super) fn scopes(&self, purpose: Purpose) -> Scopes {
        Scopes::from([match purpose {
            Purpose::Pull => Scope::pull(&self.name),
            Purpose::Push => Scope::push(&self.name),
        }])
    }

    /// The address of something in the repository.
    pub(super) async fn at(&self, path: &str) -> Result<Url, Failure<RegistryError>> {
        let base = self.host.base().await?;
        base.join(&format!("{}/{path}", self.name()))
            .map_err(|source| RegistryError::Host { host: self.host.name().into(), source })
            .map_err(Failure::Final)
    }

    /// One request without a body.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        purpose: Purpose,
    ) -> Result<Response, Failure<RegistryError>> {
        let ask = Ask { method, url, headers, body: None };
        self.host.send(ask, &self.name, &self.scopes(purpose)).await
    }

    /// The failure that an answer of another status than the wanted ones is.
    pub(in crate::image) async fn refusal(
        &self,
        what: &str,
        response: Response,
    ) -> Failure<RegistryError> {
        Failure::Final(self.refused(what, response).await)
    }

    /// The error that such an answer is.
    pub(super) async fn refused(&self, what: &str, response: Response) -> RegistryError {
        RegistryError::refused(&self.host, &self.name, what, response).await
    }

    /// The manifest called `reference`, a tag or a digest; none when there is none.
    ///
    /// # Errors
    /// [`RegistryError`]; [`RegistryError::Mismatch`] when it is not the one of that digest.
    pub(in crate::image) async fn manifest(
        &self,
        reference: &str,
    ) -> Result<Option<Document>, RegistryError> {
        let mut retries = self.client().retries();
        loop {
            match self.try_manifest(reference).await {
                Ok(document) => return Ok(document),
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    async fn try_manifest(
        &self,
        reference: &str,
    ) -> Result<Option<Document>, Failure<RegistryError>> {
        let url = self.at(&format!("manifests/{reference}")).await?;
        let mut headers = HeaderMap::new();
        // One header a type: some registries read but the first of a list.
        for kind in [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST] {
            headers.append(ACCEPT, HeaderValue::from_static(kind));
        }
        let response = self.ask(Method::GET, &url, headers, Purpose::Pull).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refusal(&format!("the manifest `{reference}`"), response).await),
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let kind = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let announced = header("docker-content-digest").and_then(|text| text.parse().ok());
        let most = usize::try_from(MOST_MANIFEST).unwrap_or(usize::MAX);
        let document = Document::new(small_body(response, most).await?, kind);
        let expected = reference.parse::<Digest>().ok().or(announced);
        match expected {
            Some(expected) if expected != document.reference.digest => {
                let found = document.reference.digest;
                let what = format!("the manifest `{reference}` of `{self}`");
                // It may have been damaged on the way.
                Err(Failure::Again(RegistryError::Mismatch { what, expected, found }, None))
            }
            _ => Ok(Some(document)),
        }
    }

    /// Puts a manifest there, as `reference`: a tag, or its digest. What it names must be there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(in crate::image) async fn put_manifest(
        &self,
        document: &Document,
        reference: &str,
    ) -> Result<(), RegistryError> {
        let mut retries = self.client().retries();
        loop {
            match self.try_put_manifest(document, reference).await {
                Ok(()) => return Ok(()),
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    async fn try_put_manifest(
        &self,
        document: &Document,
        reference: &str,
    ) -> Result<(), Failure<RegistryError>> {
        let url = self.at(&format!("manifests/{reference}")).await?;
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(&document.reference.media_type);
        headers.insert(CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static(OCI_MANIFEST)));
        let body = Some(document.bytes.clone().into());
        let ask = Ask { method: Method::PUT, url: &url, headers, body };
        let response = self.host.send(ask, &self.name, &self.scopes(Purpose::Push)).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.refusal(&format!("the manifest `{reference}`"), response).await)
    }

    /// Whether the blob is there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(in crate::image) async fn has_blob(&self, blob: &BlobRef) -> Result<bool, RegistryError> {
        let mut retries = self.client().retries();
        loop {
            match self.try_has_blob(blob).await {
                Ok(there) => return Ok(there),
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    pub(super) async fn try_has_blob(
        &self,
        blob: &BlobRef,
    ) -> Result<bool, Failure<RegistryError>> {
        let url = self.at(&format!("blobs/{}", blob.digest)).await?;
        let response = self.ask(Method::HEAD, &url, HeaderMap::new(), Purpose::Push).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(&format!("the blob {}", blob.digest), response).await),
        }
    }

    /// Asks once for a blob, with headers that may ask for a part of it; any status is an answer.
    pub(in crate::image) async fn get_blob(
        &self,
        digest: &Digest,
        headers: HeaderMap,
    ) -> Result<Response, Failure<RegistryError>> {
        let url = self.at(&format!("blobs/{digest}")).await?;
        self.ask(Method::GET, &url, headers, Purpose::Pull).await
    }

    /// The tags, in the order of the registry, so many at most.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(in crate::image) async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut retries = self.client().retries();
        let mut tags = Vec::new();
        let mut next = Some("tags/list".to_owned());
        while let Some(path) = next.take() {
            let page = loop {
                match self.try_tags(&path).await {
                    Ok(page) => break page,
                    Err(failure) => retries.after(failure).await?,
                }
            };
            let (more, following) = page;
            let came = !more.is_empty();
            tags.extend(more);
            next = following.filter(|_| came && tags.len() < MOST_TAGS);
        }
        Ok(tags)
    }

    async fn try_tags(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Option<String>), Failure<RegistryError>> {
        let url = self.at(path).await?;
        let response = self.ask(Method::GET, &url, HeaderMap::new(), Purpose::Pull).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((Vec::new(), None)),
            _ => return Err(self.refusal("the tags", response).await),
        }
        let link = response.headers().get(LINK).and_then(|value| value.to_str().ok());
        // `</v2/NAME/tags/list?last=x&n=y>; rel="next"` (RFC 8288); of it only the query is of use.
        let next = link
            .and_then(|link| link.split_once('<')?.1.split_once('>')?.0.split_once('?'))
            .map(|(_, query)| format!("tags/list?{query}"));
        let url = Shown::new(&url);
        let list: TagList = serde_json::from_slice(&small_body(response, 4 << 20).await?)
            .map_err(|source| Failure::Final(RegistryError::Json { url, source }))?;
        Ok((list.tags.unwrap_or_default(), next))
    }

    /// The artifacts of this type that refer to `subject`; none when the registry has no API for it.
    pub(super) async fn try_referrers(
        &self,
        subject: &Digest,
        artifact_type: &str,
    ) -> Result<Option<Vec<oci_spec::image::Descriptor>>, Failure<RegistryError>> {
        let mut url = self.at(&format!("referrers/{subject}")).await?;
        url.query_pairs_mut().append_pair("artifactType", artifact_type);
        let response = self.ask(Method::GET, &url, HeaderMap::new(), Purpose::Pull).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                return Ok(None);
            }
            _ => return Err(self.refusal("the referrers", response).await),
        }
        let bytes = Bytes::from(small_body(response, 4 << 20).await?);
        // What answers something else than an index has no such API.
        Ok(serde_json::from_slice::<Referrers>(&bytes).ok().map(|list| {
            let fits = |descriptor: &oci_spec::image::Descriptor| {
                descriptor.artifact_type().as_ref().is_some_and(|t| t.as_ref() == artifact_type)
            };
            list.manifests.into_iter().filter(fits).collect()
        }))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host.name(), self.name())
    }
}
