//! [`HttpError`]: what goes wrong between here and a server. No message shows a password.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use url::Url;

use crate::vocab::redact::redact;

/// An address as people may see it (see [`redact`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// The address without its secrets.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        let mut url = url.clone();
        url.set_fragment(None);
        Self(redact(url.as_str()).into_owned())
    }
}

impl Shown {
    /// What is not quite an address, without its secrets.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(redact(text).into_owned())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can go wrong with a server, or with the settings for asking one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The settings of the client cannot be used.
    #[error("the certificates of `{}` cannot be read", path.display())]
    Certificates {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The HTTP client cannot be made of its settings.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// The proxy cannot be used.
    #[error("the proxy `{proxy}` is not an address")]
    Proxy {
        /// As it was given, without a password.
        proxy: String,
    },
    /// No answer came, after every retry.
    #[error("the connection to `{url}` failed")]
    Network {
        /// The address.
        url: Shown,
        /// Why.
        #[source]
        source: NetworkFault,
    },
    /// An answer came, but not the wanted one.
    #[error("`{url}` answers {status}")]
    Status {
        /// The address.
        url: Shown,
        /// The status and its usual words.
        status: reqwest::StatusCode,
    },
    /// The answer to a ranged request is not the range that was asked for.
    #[error("`{url}` answers with another part of the file than was asked for")]
    Range {
        /// The address.
        url: Shown,
    },
    /// A scheme that is neither HTTP nor `file:`.
    #[error("`{url}` is not an address of http, https or file")]
    Scheme {
        /// The address.
        url: Shown,
    },
    /// A text is not in the encoding it should be in.
    #[error("`{url}` is not text in UTF-8")]
    Encoding {
        /// The address.
        url: Shown,
    },
    /// A local file or directory cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What can be wrong with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The server's certificate is not one to trust.
    Certificate,
    /// The server speaks something else, http perhaps.
    NotTls,
}

/// Why no answer came. It displays as the innermost of its causes: the layers of an HTTP client say
/// no more than that each of them failed.
#[derive(Debug)]
pub struct NetworkFault(reqwest::Error);

impl NetworkFault {
    /// What was wrong with TLS, when that was it.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFault> {
        tls_fault(&self.0)
    }

    /// Whether there was not even a connection.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
    }
}

impl From<reqwest::Error> for NetworkFault {
    /// The address is taken out, for it may hold a login.
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut innermost: &dyn Error = &self.0;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        fmt::Display::fmt(innermost, f)
    }
}

impl Error for NetworkFault {}

/// What is wrong with TLS, in an error or in what it wraps.
fn tls_fault(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(_)) => return Some(TlsFault::Certificate),
        Some(rustls::Error::InvalidMessage(_)) => return Some(TlsFault::NotTls),
        _ => {}
    }
    // An io::Error hides what it wraps from `source`, and connections wrap one in another.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = match wrapped {
        Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
        None => error.source(),
    };
    inner.and_then(tls_fault)
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_refused_certificate_is_found_however_deep_it_is_wrapped() {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let other = || rustls::Error::DecryptError;
        let shut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        case(&unknown(), true);
        case(&io::Error::other(unknown()), true);
        case(&io::Error::other(io::Error::other(unknown())), true);
        case(&HttpError::Local { path: "x".into(), source: io::Error::other(unknown()) }, true);
        case(&io::Error::other(io::Error::other(other())), false);
        case(&shut(), false);
        case(&io::Error::other(shut()), false);

        #[track_caller]
        fn case(error: &(dyn Error + 'static), expected: bool) {
            assert_eq!(tls_fault(error) == Some(TlsFault::Certificate), expected, "{error:?}");
        }
    }
}
