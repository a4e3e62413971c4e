//! [`Retries`]: whether a request that failed is made again, and when.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::error::{HttpError, NetworkFault, Shown, TlsFault};

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

    /// So many times as many tries, for what takes several requests.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { left: self.left.saturating_mul(factor), ..self }
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
    let is_hopeless = error.is_builder() || error.is_redirect();
    let source = NetworkFault::from(error);
    // The server's answer was understood and refused: an unknown certificate stays unknown.
    let is_hopeless = is_hopeless || source.tls() == Some(TlsFault::Certificate);
    let error = HttpError::Network { url: Shown::new(url), source };
    if is_hopeless { Failure::Final(error) } else { Failure::Again(error, None) }
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
