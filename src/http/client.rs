//! [`Client`]: HTTP with retries, logins, certificates and proxies. A text or a response is what it
//! gives; what either means is for others to know.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Body, Method, Response, StatusCode};
use url::{Origin, Url};

use super::credentials::{Credentials, Netrc};
use super::error::{HttpError, Shown};
use super::retry::{Failure, Retries, network, retry_after};
pub use super::transport::ClientSettings;
use super::transport::{Pair, roots};
use crate::vocab::redact::without_login;

/// An HTTP client; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    checked: Pair,
    unchecked: Option<Pair>,
    credentials: Credentials,
    settings: ClientSettings,
    /// Servers no try of a request could reach: later requests to them are tried once, so that a
    /// thousand pages of a dead index don't each wait out their retries.
    dead: Mutex<Vec<Origin>>,
}

/// One request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What is asked for.
    pub method: Method,
    /// Of which address.
    pub url: &'a Url,
    /// With which headers.
    pub headers: HeaderMap,
    /// With which bytes. While they come as a stream, the server may stay silent for as long as it
    /// likes: who streams looks to it that they flow.
    pub body: Option<Body>,
}

/// A text and what its server says of it.
#[derive(Debug, Clone)]
pub struct Text {
    /// The body; empty when [`Text::status`] is not a success.
    pub text: String,
    /// 200; 304 when the validators hold; 404 or 410 when there is nothing.
    pub status: StatusCode,
    /// The address after redirects, against which relative ones are read.
    pub url: Url,
    /// The Content-Type, in lower case and without parameters.
    pub content_type: String,
    /// What tells this version of the text from others.
    pub validators: Validators,
    /// For how many seconds the server lets us believe it; none when it does not say.
    pub max_age: Option<u64>,
}

/// What a conditional request is made of (RFC 9110, "Validator Fields").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// The entity tag.
    pub etag: Option<String>,
    /// When it was last modified.
    pub last_modified: Option<String>,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    /// [`HttpError`] when the certificates, the netrc file or the proxy cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, HttpError> {
        let roots = Arc::new(roots(&settings)?);
        let unchecked = match settings.trusted_hosts.is_empty() {
            true => None,
            false => Some(Pair::new(&settings, None)?),
        };
        let netrc = match (&settings.netrc, &settings.default_netrc) {
            (Some(path), _) => Netrc::read(path)
                .map_err(|source| HttpError::Local { path: path.clone(), source })?,
            // Nobody asked for it: it may be another user's, where HOME was kept.
            (None, Some(path)) => Netrc::read(path).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the file of logins is not used");
                Netrc::default()
            }),
            (None, None) => Netrc::default(),
        };
        let checked = Pair::new(&settings, Some(&roots))?;
        let credentials = Credentials::new(netrc);
        Ok(Self(Arc::new(Inner {
            checked,
            unchecked,
            credentials,
            settings,
            dead: Mutex::default(),
        })))
    }

    /// A client that also trusts the certificates in these files.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn trusting(&self, roots: Vec<PathBuf>) -> Result<Self, HttpError> {
        Self::new(ClientSettings { extra_roots: roots, ..self.0.settings.clone() })
    }

    /// The address without the login in it, which is remembered for that server.
    #[must_use]
    pub fn strip(&self, url: &Url) -> Url {
        self.0.credentials.strip(url)
    }

    /// Reads a text from `http:`, `https:` or `file:`, of any content type.
    ///
    /// # Errors
    /// [`HttpError`], also when there is nothing at that address.
    pub async fn text(&self, url: &Url) -> Result<Text, HttpError> {
        let text = self.text_if(url, "*/*", &Validators::default()).await?;
        if text.status.is_success() {
            return Ok(text);
        }
        if let Ok(path) = url.to_file_path() {
            return Err(HttpError::Local { path, source: io::ErrorKind::NotFound.into() });
        }
        Err(HttpError::Status { url: Shown::new(url), status: text.status })
    }

    /// Reads a text unless it is what `validators` name; "there is none" is an answer.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn text_if(
        &self,
        url: &Url,
        accept: &'static str,
        validators: &Validators,
    ) -> Result<Text, HttpError> {
        if url.scheme() == "file" {
            return local_text(url);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        for (name, value) in
            [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)]
        {
            if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
        let mut retries = self.retries();
        loop {
            match self.try_text(url, &headers).await {
                Ok(text) => return Ok(text),
                Err(failure) => self.pause(url, &mut retries, failure).await?,
            }
        }
    }

    async fn try_text(&self, url: &Url, headers: &HeaderMap) -> Result<Text, Failure> {
        let response = self.try_get(url, headers, |pair| &pair.texts).await?;
        let status = response.status();
        if !status.is_success()
            && !matches!(
                status,
                StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND | StatusCode::GONE
            )
        {
            return Err(Failure::Final(HttpError::Status { url: Shown::new(url), status }));
        }
        let header = |name| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default();
        let mut text = Text {
            text: String::new(),
            status,
            url: response.url().clone(),
            content_type: content_type.trim().to_ascii_lowercase(),
            validators: Validators { etag: header(ETAG), last_modified: header(LAST_MODIFIED) },
            max_age: header(CACHE_CONTROL).and_then(|value| max_age(&value)),
        };
        if status.is_success() {
            let bytes = response.bytes().await.map_err(|error| network(url, error))?;
            text.text = String::from_utf8(bytes.into())
                .map_err(|_| Failure::Final(HttpError::Encoding { url: Shown::new(url) }))?;
        }
        Ok(text)
    }

    /// Asks for a file as it is; the answer may have any status that a repetition does not help.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn file(&self, url: &Url, headers: &HeaderMap) -> Result<Response, HttpError> {
        let mut retries = self.retries();
        loop {
            match self.try_get(url, headers, |pair| &pair.files).await {
                Ok(response) => return Ok(response),
                Err(failure) => self.pause(url, &mut retries, failure).await?,
            }
        }
    }

    /// One request with the login that is known for its address.
    async fn try_get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        of: impl Fn(&Pair) -> &reqwest::Client,
    ) -> Result<Response, Failure> {
        // The login goes into a header of our own; the address must not repeat it.
        let login = self.0.credentials.login(url);
        let mut request = of(self.pair(url)?).get(without_login(url)).headers(headers.clone());
        if let Some(login) = login {
            request = request.basic_auth(login.name, login.password);
        }
        self.send(url, request).await
    }

    /// Asks once, as it is said and with no login of ours. The answer may have any status that a
    /// repetition does not help.
    ///
    /// # Errors
    /// [`Failure`], which says whether another try may help.
    pub async fn once(&self, ask: Ask<'_>) -> Result<Response, Failure> {
        let pair = self.pair(ask.url)?;
        let streams = ask.body.as_ref().is_some_and(|body| body.as_bytes().is_none());
        let client = if streams { &pair.uploads } else { &pair.files };
        let mut request = client.request(ask.method, without_login(ask.url)).headers(ask.headers);
        if let Some(body) = ask.body {
            request = request.body(body);
        }
        self.send(ask.url, request).await
    }

    /// The connections for an address.
    fn pair(&self, url: &Url) -> Result<&Pair, Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::Final(HttpError::Scheme { url: Shown::new(url) }));
        }
        Ok(match &self.0.unchecked {
            Some(pair) if self.is_trusted(url) => pair,
            _ => &self.0.checked,
        })
    }

    /// Statuses that may be better next time are failures; all others are answers.
    async fn send(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let unreachable = error.is_connect();
                let failure = network(url, error);
                return Err(match failure {
                    Failure::Again(error, _)
                        if unreachable && self.dead().contains(&url.origin()) =>
                    {
                        Failure::Final(error)
                    }
                    failure => failure,
                });
            }
        };
        self.dead().retain(|origin| *origin != url.origin());
        let status = response.status();
        let may_pass = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if may_pass {
            let error = HttpError::Status { url: Shown::new(url), status };
            return Err(Failure::Again(error, retry_after(response.headers())));
        }
        Ok(response)
    }

    fn is_trusted(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.0
            .settings
            .trusted_hosts
            .iter()
            .any(|trusted| trusted == "*" || trusted == host || Some(trusted) == with_port.as_ref())
    }

    /// Waits before the next try, if there is to be one.
    ///
    /// # Errors
    /// Gives the error of `failure` back when there is not.
    pub async fn pause(
        &self,
        url: &Url,
        retries: &mut Retries,
        failure: Failure,
    ) -> Result<(), HttpError> {
        let (error, after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Again(error, after) => (error, after),
        };
        let waited = retries.again(error, after).await;
        if let Err(HttpError::Network { source, .. }) = &waited
            && source.is_connect()
        {
            let mut dead = self.dead();
            if !dead.contains(&url.origin()) {
                dead.push(url.origin());
            }
        }
        waited
    }

    fn dead(&self) -> MutexGuard<'_, Vec<Origin>> {
        self.0.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fresh count of retries.
    #[must_use]
    pub fn retries(&self) -> Retries {
        Retries::new(self.0.settings.retries, self.0.settings.first_wait)
    }

    /// The longest silence of a server.
    #[must_use]
    pub fn timeout(&self) -> std::time::Duration {
        self.0.settings.timeout
    }
}

/// The lifetime in a Cache-Control; 0 when it must be asked for each time (RFC 9111).
fn max_age(value: &str) -> Option<u64> {
    let directives = || value.split(',').map(|part| part.trim().to_ascii_lowercase());
    if directives().any(|part| matches!(part.as_str(), "no-store" | "no-cache")) {
        return Some(0);
    }
    directives().find_map(|part| part.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

/// Reads a file, or the `index.html` of a directory.
fn local_text(url: &Url) -> Result<Text, HttpError> {
    let mut path = url.to_file_path().map_err(|()| HttpError::Scheme { url: Shown::new(url) })?;
    let mut at = url.clone();
    if path.is_dir() {
        path.push("index.html");
        at = Url::from_directory_path(path.parent().unwrap_or(&path)).unwrap_or(at);
    }
    let (status, bytes) = match fs_err::read(&path) {
        Ok(bytes) => (StatusCode::OK, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, Vec::new())
        }
        Err(source) => return Err(HttpError::Local { path, source }),
    };
    let is_html = path.extension().is_some_and(|end| end == "html" || end == "htm");
    Ok(Text {
        text: String::from_utf8(bytes).map_err(|_| HttpError::Encoding { url: Shown::new(url) })?,
        status,
        url: at,
        content_type: if is_html { "text/html".into() } else { String::new() },
        validators: Validators::default(),
        max_age: Some(0),
    })
}
