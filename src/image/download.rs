//! [`Download`]: some bytes of a file that is elsewhere, in order, whatever happens on the way.
//!
//! A broken connection is taken up again where it broke off. A server that knows no ranges answers with
//! the whole file: what is not wanted of it is passed over. That the bytes are the right ones is for
//! those to check who take them.

use std::ops::Range;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::http::client::Client;
use crate::http::range::ContentRange;
use crate::http::retry::{Failure, Retries};

use super::error::ImageError;
use super::remote_file::RemoteFile;

/// Where a file ends whose size is not known.
pub(super) const TO_THE_END: u64 = u64::MAX;

/// Some bytes of a file that is elsewhere.
pub(super) struct Download<'a> {
    file: &'a RemoteFile,
    start: u64,
    /// Where the next byte stands.
    position: u64,
    end: u64,
    /// How many bytes of the answer come before that.
    skip: u64,
    response: Option<Response>,
    /// The version of the file that the first answer was of.
    version: Option<HeaderValue>,
    /// What came already, beyond a limit.
    ahead: Bytes,
    retries: Retries,
    client: &'a Client,
    answer: Answer,
}

/// What a server made of the first request for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// There was none yet.
    None,
    /// It gave the part.
    Part,
    /// It gave the whole file.
    Whole,
}

impl<'a> Download<'a> {
    /// The bytes of `file` in `span`; nothing is asked for yet.
    pub(super) fn new(file: &'a RemoteFile, span: Range<u64>) -> Self {
        let client = file.client();
        Self {
            file,
            start: span.start,
            position: span.start,
            end: span.end,
            skip: 0,
            response: None,
            version: None,
            ahead: Bytes::new(),
            retries: client.retries(),
            client,
            answer: Answer::None,
        }
    }

    /// Goes on to `end`, which is further than it was asked to go: of use when the whole file comes
    /// anyway. [`TO_THE_END`] is as far as it comes.
    pub(super) fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Ends at `end`, where the file does, if that comes sooner.
    pub(super) fn shorten(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// The answer that is being read.
    pub(super) const fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// Asks, if nothing was asked yet, and says what came of it.
    ///
    /// # Errors
    /// [`ImageError`] when no answer is to be had.
    pub(super) async fn answer(&mut self) -> Result<Answer, ImageError> {
        while self.answer == Answer::None {
            if let Err(failure) = self.ask().await {
                self.retries.after(failure).await?;
            }
        }
        Ok(self.answer)
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`ImageError`] when they are not to be had, after every retry.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ImageError> {
        while self.position < self.end {
            match self.try_next().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.position += bytes.len() as u64;
                    // Whoever comes further each time may go on for ever.
                    self.retries = self.client.retries();
                    return Ok(Some(bytes));
                }
                Err(failure) => {
                    self.response = None;
                    self.retries.after(failure).await?;
                }
            }
        }
        Ok(None)
    }

    /// The next bytes, of which none is beyond `limit`; none at the end.
    ///
    /// # Errors
    /// As for [`Download::next`].
    pub(super) async fn next_until(&mut self, limit: u64) -> Result<Option<Bytes>, ImageError> {
        let mut piece = match std::mem::take(&mut self.ahead) {
            ahead if ahead.is_empty() => match self.next().await? {
                None => return Ok(None),
                Some(piece) => piece,
            },
            ahead => ahead,
        };
        let start = self.position - piece.len() as u64;
        let most = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
        if piece.len() > most {
            self.ahead = piece.split_off(most);
        }
        Ok(Some(piece))
    }

    /// The error of a file that ends too early.
    pub(super) fn ended(&self) -> ImageError {
        self.file.cut(self.position)
    }

    async fn try_next(&mut self) -> Result<Bytes, Failure<ImageError>> {
        if self.response.is_none() {
            self.ask().await?;
        }
        let Some(response) = self.response.as_mut() else { return Ok(Bytes::new()) };
        let chunk = response.chunk().await.map_err(|error| self.file.broken(error))?;
        let Some(mut chunk) = chunk else {
            if self.end == TO_THE_END {
                self.end = self.position;
                return Ok(Bytes::new());
            }
            return Err(Failure::Again(self.file.cut(self.position), None));
        };
        let skipped = usize::try_from(self.skip).map_or(chunk.len(), |skip| skip.min(chunk.len()));
        self.skip -= skipped as u64;
        chunk = chunk.split_off(skipped);
        // What comes beyond the end is nobody's.
        let wanted = self.end - self.position;
        if chunk.len() as u64 > wanted {
            chunk.truncate(usize::try_from(wanted).unwrap_or(chunk.len()));
        }
        Ok(chunk)
    }

    /// A file at a URL may change between two requests; without a version nobody would know.
    fn hold_to_version(
        &mut self,
        response: &Response,
        expected: Option<&HeaderValue>,
    ) -> Result<(), Failure<ImageError>> {
        if self.file.is_named_by_digest() {
            return Ok(());
        }
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        // Where nothing was taken yet, and nothing before it by another request, any version will do.
        let is_new = self.position == self.start && self.file.etag().is_none();
        match (expected, self.file.version(response)) {
            (_, version) if is_new => self.version = version,
            (Some(expected), Some(version)) if version == *expected => self.version = Some(version),
            (Some(_), Some(_)) => return Err(Failure::Final(self.file.changed())),
            // It gave the part because it is of that version (RFC 9110, "If-Range"), and need not say so.
            (Some(expected), None) if is_part => self.version = Some(expected.clone()),
            (None, version) if self.answer == Answer::None => self.version = version,
            _ => return Err(Failure::Final(self.file.unversioned())),
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), Failure<ImageError>> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let to_the_end = self.end == TO_THE_END || self.file.size() == Some(self.end);
        let whole = self.position == 0 && to_the_end;
        if !whole {
            let range = match to_the_end {
                true => format!("bytes={}-", self.position),
                false => format!("bytes={}-{}", self.position, self.end - 1),
            };
            headers.insert(RANGE, HeaderValue::try_from(range).expect("digits are a value"));
        }
        let version = self.version.clone().or_else(|| self.file.etag());
        if let Some(version) = version.clone().filter(|_| !whole) {
            headers.insert(IF_RANGE, version);
        }
        let response = self.file.get(headers).await?;
        if response.status().is_success() {
            self.hold_to_version(&response, version.as_ref())?;
        }
        self.skip = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = ContentRange::of(&response);
                if range.is_none_or(|range| range.start != self.position) {
                    return Err(Failure::Final(self.file.wrong_range()));
                }
                self.answer = Answer::Part;
                0
            }
            StatusCode::OK => {
                self.answer = if whole { Answer::Part } else { Answer::Whole };
                self.position
            }
            // All had come, and only the end was not told.
            StatusCode::RANGE_NOT_SATISFIABLE
                if self.end == TO_THE_END && self.position > self.start =>
            {
                self.end = self.position;
                return Ok(());
            }
            // It has no byte there, and would not have more of them another time.
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Failure::Final(self.ended())),
            _ => return Err(self.file.refused(response).await),
        };
        self.response = Some(response);
        Ok(())
    }
}
