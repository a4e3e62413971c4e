//! [`RegistryError`]: what goes wrong between here and a registry. No message shows a secret.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::host::{Host, small_body};
use super::login::LoginError;
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
    /// It does not let us: there is no login for it, or not one that may.
    #[error("`{host}` does not give access to {what}: {status}{}", said(text))]
    Denied {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// It answers something else than what was wanted.
    #[error("`{host}` refuses {what}: {status}{}", said(text))]
    Refused {
        /// The registry.
        host: String,
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
    #[error("`{host}` takes up {what}, but {fault}")]
    Upload {
        /// The registry.
        host: String,
        /// What was uploaded.
        what: String,
        /// What is wrong with the answer.
        fault: String,
    },
    /// Nothing moves any more.
    #[error("`{host}` took no byte of {what} for {seconds} seconds")]
    Stalled {
        /// The registry.
        host: String,
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
    /// The error that this answer is to a request for `what`.
    pub(super) async fn refused(host: &Host, what: &str, response: Response) -> Self {
        let status = response.status();
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
        let (host, what) = (host.name().to_owned(), what.to_owned());
        // It is shown on one line, and is not ours.
        let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Self::Denied { host, what, status, text }
            }
            _ => Self::Refused { host, what, status, text },
        }
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
