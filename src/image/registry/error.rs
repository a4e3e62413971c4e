//! [`RegistryError`]: what goes wrong between here and a registry. No message shows a secret.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::host::{Host, small_body};
use super::login::LoginError;
use super::name::ImageName;
use super::token::TokenError;
use crate::http::error::{HttpError, Shown};
use crate::vocab::digest::Digest;

/// An error's body is read so far, in bytes.
const MOST_SAID: usize = 64 * 1024;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It cannot be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The logins cannot be read.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Its name makes no address.
    #[error("`{host}` is not the host of a registry")]
    Host {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: url::ParseError,
    },
    /// There is no login for it, and without one it does not let us.
    #[error("`{host}` gives no access to `{repository}` without a login: {status}{}", said(text))]
    NoLogin {
        /// The registry.
        host: String,
        /// The repository, without the host.
        repository: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The login is good, and may not do what it was to do.
    #[error(
        "`{host}` gives no access to `{repository}` with the login there is: {status}{}",
        said(text)
    )]
    Denied {
        /// The registry.
        host: String,
        /// The repository, without the host.
        repository: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The login is not good.
    #[error("`{host}` refuses the login there is for it: {status}{}", said(text))]
    WrongLogin {
        /// The registry.
        host: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// It answers something else than what was wanted.
    #[error("`{repository}` refuses {what}: {status}{}", said(text))]
    Refused {
        /// The repository, with the registry's host.
        repository: String,
        /// What was asked for.
        what: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// A login would be heard by everybody on the way.
    #[error("the login for `{host}` is not sent, for it would go over plain http")]
    OpenLogin {
        /// The registry.
        host: String,
    },
    /// The answer to a login is no token.
    #[error("`{host}` answers a login with something that is not a token")]
    Token {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: TokenError,
    },
    /// An answer is larger than it should be.
    #[error("the answer of `{url}` is larger than {most} bytes, which it should never be")]
    Large {
        /// The address.
        url: Shown,
        /// The limit.
        most: usize,
    },
    /// An answer is not the JSON it should be.
    #[error("the answer of `{url}` makes no sense")]
    Json {
        /// The address.
        url: Shown,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Bytes are not those that were announced.
    #[error("{what} is damaged: expected {expected}, found {found}")]
    Mismatch {
        /// What it is.
        what: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// An upload is answered by something the specification does not have.
    #[error("`{repository}` takes up {what}, but {fault}")]
    Upload {
        /// The repository, with the registry's host.
        repository: String,
        /// What was uploaded.
        what: String,
        /// What is wrong with the answer.
        fault: String,
    },
    /// Nothing moves any more.
    #[error("`{repository}` took no byte of {what} for {seconds} seconds")]
    Stalled {
        /// The repository, with the registry's host.
        repository: String,
        /// What was uploaded.
        what: String,
        /// How long.
        seconds: u64,
    },
}

/// Errors as registries tell them (OCI distribution specification, "Error Codes").
#[derive(Deserialize)]
struct Told {
    errors: Vec<ToldError>,
}

#[derive(Deserialize)]
struct ToldError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl RegistryError {
    /// The error that this answer is to a request for `what` of `name`'s repository.
    pub(super) async fn refused(
        host: &Host,
        name: &ImageName,
        what: &str,
        response: Response,
    ) -> Self {
        let status = response.status();
        let text = told(response).await;
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let repository = format!("{}/{}", host.name(), name.repository());
            return Self::Refused { repository, what: what.to_owned(), status, text };
        }
        let (repository, has_login) = (name.repository().to_owned(), host.has_login(name).await);
        let is_wrong = status == StatusCode::UNAUTHORIZED && host.wants_password();
        let host = host.name().to_owned();
        match has_login {
            false => Self::NoLogin { host, repository, status, text },
            true if is_wrong => Self::WrongLogin { host, status, text },
            true => Self::Denied { host, repository, status, text },
        }
    }

    /// The error that this answer of a token server is.
    pub(super) async fn no_token(host: &Host, name: &ImageName, response: Response) -> Self {
        let status = response.status();
        let is_wrong = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
        );
        if is_wrong && host.has_login(name).await {
            // An identity token that ended is a bad request (RFC 6749 5.2).
            let (host, text) = (host.name().to_owned(), told(response).await);
            return Self::WrongLogin { host, status, text };
        }
        Self::refused(host, name, "a token", response).await
    }

    /// Whether it is our login that is wanting.
    pub(super) const fn is_denial(&self) -> bool {
        matches!(self, Self::NoLogin { .. } | Self::Denied { .. } | Self::WrongLogin { .. })
    }
}

/// What an answer says, on one line.
async fn told(response: Response) -> String {
    let body = small_body(response, MOST_SAID).await.unwrap_or_default();
    let text = match serde_json::from_slice::<Told>(&body) {
        Ok(told) => {
            let words = told
                .errors
                .into_iter()
                .map(|error| if error.message.is_empty() { error.code } else { error.message });
            words.filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
        }
        // A page of some proxy says nothing that the status does not.
        Err(_) => String::new(),
    };
    // It is not ours.
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
