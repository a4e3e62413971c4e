//! [`Retries`]: whether a request that failed is made again, and when.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::error::{HttpError, Shown};

/// Waits no longer than this on our own account.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Waits no longer than this when a server asks for it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// One try that failed.
#[derive(Debug)]
pub enum Failure<E = HttpError> {
    /// Another try would fail as well.
    Final(E),
    /// Another try may help, after the wait that the server asks for.
    Again(E, Option<Duration>),
}

impl<E> Failure<E> {
    /// The same failure in the words of another room.
    #[must_use]
    pub fn map<F>(self, wrap: impl FnOnce(E) -> F) -> Failure<F> {
        match self {
            Self::Final(error) => Failure::Final(wrap(error)),
            Self::Again(error, after) => Failure::Again(wrap(error), after),
        }
    }
}

/// How often one may still try, and how long to wait before.
#[derive(Debug, Clone)]
pub struct Retries {
    left: u32,
    wait: Duration,
}

impl Retries {
    /// So many tries after the first; the wait before the first of them doubles each time.
    #[must_use]
    pub fn new(left: u32, wait: Duration) -> Self {
        Self { left, wait }
    }

    /// Waits before the next try, if another one may help.
    ///
    /// # Errors
    /// Gives the error back when it may not, or none is left.
    pub async fn after<E>(&mut self, failure: Failure<E>) -> Result<(), E> {
        match failure {
            Failure::Final(error) => Err(error),
            Failure::Again(error, after) => self.again(error, after).await,
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// Gives the error back when no try is left.
    pub async fn again<E>(&mut self, error: E, after: Option<Duration>) -> Result<(), E> {
        if self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        tokio::time::sleep(after.unwrap_or(self.wait)).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

/// What a request that got no answer means for the next try.
pub(super) fn network(url: &Url, error: reqwest::Error) -> Failure {
    let is_hopeless = error.is_builder() || error.is_redirect() || is_tls(&error);
    let error = HttpError::Network { url: Shown::new(url), source: error.into() };
    if is_hopeless { Failure::Final(error) } else { Failure::Again(error, None) }
}

/// Whether the server's answer was understood and refused: an unknown certificate stays unknown.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An io::Error hides what it wraps from `source`, and connections wrap one in another.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = match wrapped {
        Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
        None => error.source(),
    };
    inner.is_some_and(is_tls)
}

/// The wait a server asks for: seconds, or a date (RFC 9110, "Retry-After").
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
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
            assert_eq!(is_tls(error), expected, "{error:?}");
        }
    }
}
