//! [`Host`]: one registry, who we are to it, and how it is spoken to.
//!
//! Whether it speaks https or http is found out once. It says by a challenge what it wants (RFC 9110,
//! "WWW-Authenticate"): Basic, or a token from a realm of its choice, for one scope at a time. Tokens
//! end; a request refused with one is made again with the next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OnceCell;
use url::Url;

use super::challenge::{Bearer, Challenge, has_ended};
use super::docker_config::DockerConfig;
use super::error::RegistryError;
use super::login::RegistryLogin;
use super::name::ImageName;
use super::scope::Scope;
use super::token::{ANSWER_LIMIT, Token};
use crate::http::client::{Ask, Client};
use crate::http::error::{HttpError, Shown};
use crate::http::retry::Failure;

/// A token that ends within this time is not used any more.
const SOON: Duration = Duration::from_secs(5);

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// By http alone.
    Http,
    /// By https alone.
    Https,
    /// By https, or by http where nobody speaks https.
    #[default]
    Detect,
}

/// What a request is for.
pub(super) type Scopes = BTreeSet<Scope>;

/// What a request says of who makes it.
#[derive(Debug)]
struct Authorization {
    value: HeaderValue,
    /// Whether another one would be as good: it is a password, or a token that was asked for just now.
    is_fresh: bool,
}

/// One registry.
#[derive(Debug)]
pub(super) struct Host {
    /// As names call it.
    name: String,
    /// As requests call it, with its port.
    api: String,
    protocol: Protocol,
    client: Client,
    logins: DockerConfig,
    base: OnceCell<Url>,
    challenge: Mutex<Option<Challenge>>,
    /// By repository. A helper program is asked once.
    known_logins: tokio::sync::Mutex<HashMap<String, Option<RegistryLogin>>>,
    tokens: Mutex<HashMap<Scopes, (Token, Instant)>>,
    /// Held while a token is asked for, so that many requests ask for one.
    asking: tokio::sync::Mutex<()>,
}

impl Host {
    pub(super) fn new(
        name: String,
        api: String,
        protocol: Protocol,
        client: Client,
        logins: DockerConfig,
    ) -> Self {
        Self {
            name,
            api,
            protocol,
            client,
            logins,
            base: OnceCell::new(),
            challenge: Mutex::default(),
            known_logins: tokio::sync::Mutex::default(),
            tokens: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// As names call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What makes requests to it.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is known, and no other than `url`'s server.
    pub(super) fn is_at(&self, url: &Url) -> bool {
        self.base.get().is_some_and(|base| base.origin() == url.origin())
    }

    /// The address of its API, `/v2/`.
    pub(super) async fn base(&self) -> Result<&Url, Failure<RegistryError>> {
        self.base.get_or_try_init(|| self.find()).await
    }

    /// The address of its API as far as it is known, for messages.
    pub(super) fn shown(&self, path: &str) -> Shown {
        let guess = self.address("https").ok();
        match self.base.get().or(guess.as_ref()).and_then(|base| base.join(path).ok()) {
            Some(url) => Shown::new(&url),
            None => Shown::text(&format!("{}/v2/{path}", self.name)),
        }
    }

    fn address(&self, scheme: &str) -> Result<Url, RegistryError> {
        Url::parse(&format!("{scheme}://{}/v2/", self.api))
            .map_err(|source| RegistryError::Host { host: self.name.clone(), source })
    }

    async fn find(&self) -> Result<Url, Failure<RegistryError>> {
        let [https, http] =
            ["https", "http"].map(|scheme| self.address(scheme).map_err(Failure::Final));
        match self.protocol {
            Protocol::Https => return https,
            Protocol::Http => return http,
            Protocol::Detect => {}
        }
        let (https, http) = (https?, http?);
        let failure = match self.greet(&https).await {
            Ok(()) => return Ok(https),
            Err(failure) => failure,
        };
        // A certificate that is not trusted is no reason to speak openly; a server that answers at all
        // speaks https.
        if !matches!(failure, Failure::Again(HttpError::Network { .. }, _)) {
            return Err(failure.map(Into::into));
        }
        // A connection may have broken for another reason, and a server of https answers http with 400 or
        // sends us back: only what a registry answers counts.
        let ask = Ask { method: Method::GET, url: &http, headers: HeaderMap::new(), body: None };
        match self.client.once(ask).await {
            Ok(response)
                if matches!(response.status(), StatusCode::OK | StatusCode::UNAUTHORIZED)
                    && response.url().scheme() == "http" =>
            {
                self.heed(&response);
                tracing::info!(host = %self.name, "the registry is spoken to by plain http");
                Ok(http)
            }
            _ => Err(failure.map(Into::into)),
        }
    }

    /// Whether there is a server: any answer will do, and what it wants of us is remembered.
    async fn greet(&self, base: &Url) -> Result<(), Failure> {
        let ask = Ask { method: Method::GET, url: base, headers: HeaderMap::new(), body: None };
        match self.client.once(ask).await {
            Ok(response) => {
                self.heed(&response);
                Ok(())
            }
            Err(Failure::Again(HttpError::Status { .. }, _)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Makes one request about `name`, for `scopes`. One without a body is made again when it was only our login that
    /// was wanting; another status than 401 is an answer.
    pub(super) async fn send(
        &self,
        ask: Ask<'_>,
        name: &ImageName,
        scopes: &Scopes,
    ) -> Result<Response, Failure<RegistryError>> {
        let Ask { method, url, headers, body } = ask;
        let had_body = body.is_some();
        // Uploads may go to another server, which has no business with our login.
        let ours = self.is_at(url);
        let mut first = headers.clone();
        let login = if ours { self.authorization(name, scopes).await? } else { None };
        if let Some(login) = &login {
            first.insert(AUTHORIZATION, login.value.clone());
        }
        let ask = Ask { method: method.clone(), url, headers: first, body };
        let response = self.client.once(ask).await.map_err(|failure| failure.map(Into::into))?;
        if response.status() != StatusCode::UNAUTHORIZED || !ours {
            return Ok(response);
        }
        self.heed(&response);
        self.forget(scopes, login.as_ref());
        let is_fresh = login.is_some_and(|login| login.is_fresh);
        let ended = has_ended(www_authenticate(&response));
        let next = self.authorization(name, scopes).await?;
        let (Some(next), false) = (next, had_body && is_fresh && !ended) else {
            return Ok(response);
        };
        if had_body {
            // The body is gone; whoever has it makes it anew, and this login goes with it.
            let error = RegistryError::refused(self, name, "a request", response).await;
            return Err(Failure::Again(error, Some(Duration::ZERO)));
        }
        let mut second = headers;
        second.insert(AUTHORIZATION, next.value.clone());
        let ask = Ask { method, url, headers: second, body: None };
        let response = self.client.once(ask).await.map_err(|failure| failure.map(Into::into))?;
        if response.status() == StatusCode::UNAUTHORIZED && has_ended(www_authenticate(&response)) {
            // It was good, and others had the use of it, or the clocks differ.
            self.forget(scopes, Some(&next));
            let error = RegistryError::refused(self, name, "a request", response).await;
            return Err(Failure::Again(error, None));
        }
        Ok(response)
    }

    /// Remembers what the registry wants of us.
    fn heed(&self, response: &Response) {
        if let Some(challenge) = Challenge::choose(www_authenticate(response)) {
            *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
        }
    }

    fn challenge(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the token that was `used`, unless another one took its place meanwhile.
    fn forget(&self, scopes: &Scopes, used: Option<&Authorization>) {
        let Some(used) = used else { return };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.get(scopes).and_then(|(token, _)| as_bearer(token.secret()));
        if known.as_ref() == Some(&used.value) {
            tokens.remove(scopes);
        }
    }

    /// Whether a login for `name` was found.
    pub(super) async fn has_login(&self, name: &ImageName) -> bool {
        let known = self.known_logins.lock().await;
        known.get(name.repository()).is_some_and(Option::is_some)
    }

    /// Whether the registry wants the login itself, and no token that it stands for.
    pub(super) fn wants_password(&self) -> bool {
        self.challenge() == Some(Challenge::Basic)
    }

    fn token(&self, scopes: &Scopes) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = tokens.get(scopes)?;
        (*until > Instant::now() + SOON).then(|| token.secret().to_owned())
    }

    /// The Authorization that the registry asked for; none when it asked for none, or we have none.
    async fn authorization(
        &self,
        name: &ImageName,
        scopes: &Scopes,
    ) -> Result<Option<Authorization>, Failure<RegistryError>> {
        let fresh = |value| Authorization { value, is_fresh: true };
        match self.challenge() {
            None => Ok(None),
            Some(Challenge::Basic) => match self.login(name).await.map_err(Failure::Final)? {
                Some(RegistryLogin::Password { name, password }) => {
                    Ok(Some(fresh(basic(&name, &password))))
                }
                _ => Ok(None),
            },
            Some(Challenge::Bearer(asked)) => {
                let _asking = self.asking.lock().await;
                let known = self.token(scopes);
                let is_fresh = known.is_none();
                let token = match known {
                    Some(token) => token,
                    None => self.ask_token(&asked, name, scopes).await?,
                };
                Ok(as_bearer(&token).map(|value| Authorization { value, is_fresh }))
            }
        }
    }

    async fn login(&self, name: &ImageName) -> Result<Option<RegistryLogin>, RegistryError> {
        let mut known = self.known_logins.lock().await;
        let login = match known.get(name.repository()) {
            Some(login) => login.clone(),
            None => {
                let login = self.logins.login(name).await?;
                known.insert(name.repository().to_owned(), login.clone());
                login
            }
        };
        // Where http was given as the protocol, the user knows; a server on this machine hears it anyway.
        let is_open = self.base.get().is_some_and(|base| base.scheme() == "http");
        if login.is_some()
            && is_open
            && self.protocol == Protocol::Detect
            && !self.base.get().is_some_and(is_loopback)
        {
            return Err(RegistryError::OpenLogin { host: self.name.clone() });
        }
        Ok(login)
    }

    async fn ask_token(
        &self,
        bearer: &Bearer,
        name: &ImageName,
        scopes: &Scopes,
    ) -> Result<String, Failure<RegistryError>> {
        let login = self.login(name).await.map_err(Failure::Final)?;
        let secure = self.base.get().is_some_and(|base| base.scheme() == "https");
        if login.is_some() && secure && bearer.realm().scheme() != "https" {
            return Err(Failure::Final(RegistryError::OpenLogin { host: self.name.clone() }));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let (url, method, body) = match &login {
            Some(RegistryLogin::IdentityToken(token)) => {
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(CONTENT_TYPE, form);
                let body = bearer.refresh_form(scopes, token).into();
                (bearer.realm().clone(), Method::POST, Some(body))
            }
            Some(RegistryLogin::Password { name, password }) => {
                headers.insert(AUTHORIZATION, basic(name, password));
                (bearer.token_url(scopes), Method::GET, None)
            }
            None => (bearer.token_url(scopes), Method::GET, None),
        };
        let ask = Ask { method, url: &url, headers, body };
        let response = self.client.once(ask).await.map_err(|failure| failure.map(Into::into))?;
        if !response.status().is_success() {
            return Err(Failure::Final(RegistryError::no_token(self, name, response).await));
        }
        let bytes = small_body(response, ANSWER_LIMIT).await?;
        let wrong =
            |source| Failure::Final(RegistryError::Token { host: self.name.clone(), source });
        let token = Token::parse(&bytes).map_err(wrong)?;
        let value = token.secret().to_owned();
        let until = Instant::now() + token.lifetime();
        // A token that ends at once is good for the one request it was asked for.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scopes.clone(), (token, until));
        Ok(value)
    }
}

/// The body of an answer that should be small.
pub(super) async fn small_body(
    mut response: Response,
    most: usize,
) -> Result<Vec<u8>, Failure<RegistryError>> {
    let url = Shown::new(response.url());
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() > most => {
                return Err(Failure::Final(RegistryError::Large { url, most }));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Err(error) => {
                let error = HttpError::Network { url, source: error.into() };
                return Err(Failure::Again(error.into(), None));
            }
        }
    }
}

fn basic(name: &str, password: &str) -> HeaderValue {
    use base64::Engine as _;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    secret(&format!("Basic {login}")).expect("base64 is a header value")
}

fn as_bearer(token: &str) -> Option<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

/// What an answer wants to be told.
fn www_authenticate(response: &Response) -> impl Iterator<Item = &[u8]> {
    response.headers().get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes)
}

/// A header value that is not shown.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
