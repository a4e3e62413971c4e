//! [`Answer`]: status, headers and content of a response, as a value.
//!
//! What a request asked for beside the thing itself is settled here: conditions, ranges, compression.

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
    RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, StatusCode};

use super::accept::{Form, accepts_gzip};
use super::conditions::{self, Verdict};
use super::page::Page;
use super::people;
use super::range::Span;
use crate::vocab::digest::Digest;

/// The media type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The head of a request.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// GET or HEAD, or it is refused.
    pub method: &'a Method,
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// The form of a page of the index that is asked for.
    pub(super) fn form(&self) -> Option<Form> {
        Form::accepted(self.field(&ACCEPT).as_deref())
    }

    fn wants_gzip(&self) -> bool {
        accepts_gzip(self.field(&ACCEPT_ENCODING).as_deref())
    }

    /// A field with a list in it, which may come in pieces; what is not ASCII counts as absent.
    fn field(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        let mut fields = self.headers.get_all(name).into_iter().filter_map(|f| f.to_str().ok());
        let first = fields.next()?;
        let mut joined = Cow::Borrowed(first);
        for field in fields {
            let joined = joined.to_mut();
            joined.push(',');
            joined.push_str(field);
        }
        Some(joined)
    }
}

/// A response, but for the bytes of a blob.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields, `Content-Length` among them.
    pub headers: HeaderMap,
    /// What follows them, unless the method is HEAD.
    pub bytes: Bytes,
    /// What follows them in place of `bytes`.
    pub blob: Option<BlobPart>,
}

/// A part of a blob in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlobPart {
    /// The blob.
    pub digest: Digest,
    /// The size that all of it should have, in bytes.
    pub size: u64,
    /// The first byte's place.
    pub first: u64,
    /// The number of bytes.
    pub length: u64,
    /// What it is, for people.
    pub name: String,
}

/// A file that may be sent in parts.
pub(super) struct File<'a> {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes' digest, of which its entity tag is made.
    pub digest: Digest,
    /// Its bytes.
    pub source: Source<'a>,
    /// How long it may be kept.
    pub keep: Keep,
}

/// Where the bytes of a file are.
pub(super) enum Source<'a> {
    /// In memory.
    Memory(&'a Bytes),
    /// In the store.
    Blob {
        /// The size in bytes.
        size: u64,
        /// What it is, for people.
        name: String,
    },
}

/// How long caches may keep a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// As long as they like: the address is one of these bytes alone.
    Always,
    /// As long as the server says at each use that it has not changed.
    Asking,
    /// Not at all.
    Never,
}

impl Keep {
    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Always => "public, max-age=31536000, immutable",
            Self::Asking => "no-cache",
            Self::Never => "no-store",
        })
    }
}

impl Answer {
    fn new(status: StatusCode, keep: Keep) -> Self {
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(CACHE_CONTROL, keep.header());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status, headers, bytes: Bytes::new(), blob: None }
    }

    fn with_text(self, content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        Self { bytes: bytes.clone(), ..self.announcing(content_type, bytes.len() as u64) }
    }

    fn announcing(mut self, content_type: &'static str, length: u64) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.headers.insert(CONTENT_LENGTH, length.into());
        if content_type.contains("html") {
            self.headers.insert(CONTENT_SECURITY_POLICY, people::content_security_policy());
        }
        self
    }

    /// A page, in the encoding that is asked for; `vary` says which fields its address leaves open.
    pub(super) fn page(asked: &Asked<'_>, page: &Page, vary: &'static str) -> Self {
        let packed = if asked.wants_gzip() { page.gzip() } else { None };
        let body = packed.unwrap_or(page.plain());
        let mut answer = judged(asked, &body.etag).unwrap_or_else(|| {
            let mut answer = Self::new(StatusCode::OK, Keep::Asking)
                .with_text(page.content_type, body.bytes.clone());
            if packed.is_some() {
                answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer
        });
        answer.headers.insert(ETAG, body.etag.clone());
        answer.headers.insert(VARY, HeaderValue::from_static(vary));
        answer
    }

    /// A file, or the part of it that is asked for.
    pub(super) fn file(asked: &Asked<'_>, file: File<'_>) -> Self {
        let etag = super::page::quoted(&file.digest.hex());
        let size = match file.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Blob { size, .. } => size,
        };
        let mut answer = judged(asked, &etag).unwrap_or_else(|| {
            let span = match asked.headers.get(RANGE).and_then(|field| field.to_str().ok()) {
                // A range is of GET alone (RFC 9110, section 14.2).
                Some(field)
                    if asked.method == Method::GET
                        && conditions::range_counts(asked.headers, etag_text(&etag)) =>
                {
                    Span::asked(field, size)
                }
                _ => Span::Whole,
            };
            let (status, first, length) = match span {
                Span::Whole => (StatusCode::OK, 0, size),
                Span::Part { first, length } => (StatusCode::PARTIAL_CONTENT, first, length),
                Span::Beyond => {
                    let mut answer = Self::error(
                        asked,
                        StatusCode::RANGE_NOT_SATISFIABLE,
                        &format!("it has {size} bytes, and none in that range"),
                    );
                    answer.headers.insert(CONTENT_RANGE, value(format!("bytes */{size}")));
                    return answer;
                }
            };
            let mut answer = Self::new(status, file.keep).announcing(file.content_type, length);
            match file.source {
                Source::Memory(bytes) => answer.bytes = slice(bytes, first, length),
                Source::Blob { size, name } => {
                    let digest = file.digest;
                    answer.blob = Some(BlobPart { digest, size, first, length, name });
                }
            }
            if status == StatusCode::PARTIAL_CONTENT {
                let last = first + length - 1;
                answer.headers.insert(CONTENT_RANGE, value(format!("bytes {first}-{last}/{size}")));
            }
            answer
        });
        if !answer.status.is_client_error() {
            answer.headers.insert(CACHE_CONTROL, file.keep.header());
            answer.headers.insert(ETAG, etag);
        }
        answer.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        answer
    }

    /// Another address for what is asked for, relative to this one.
    pub(super) fn redirect(location: &str) -> Self {
        let mut answer = Self::new(StatusCode::MOVED_PERMANENTLY, Keep::Asking)
            .with_text(TEXT, format!("see {location}\n"));
        answer.headers.insert(LOCATION, value(location.to_owned()));
        answer
    }

    /// A sentence about what went wrong, in the form in which pages are asked for.
    pub(super) fn error(asked: &Asked<'_>, status: StatusCode, message: &str) -> Self {
        let (content_type, text) = match asked.form() {
            Some(Form::SimpleJson) => {
                ("application/json", format!("{}\n", serde_json::json!({ "message": message })))
            }
            Some(Form::SimpleHtml | Form::Html) => {
                let title = status.canonical_reason().unwrap_or("Error");
                (people::HTML, people::message(title, message))
            }
            None => (TEXT, format!("{message}\n")),
        };
        let keep = if status.is_server_error() { Keep::Never } else { Keep::Asking };
        let mut answer = Self::new(status, keep).with_text(content_type, text);
        answer.headers.insert(VARY, HeaderValue::from_static("accept"));
        answer
    }

    /// Refuses a method that would change something, or that there is no sense in.
    pub(super) fn not_allowed(asked: &Asked<'_>) -> Self {
        let message = format!("{} is not allowed: this index is read only", asked.method);
        let mut answer = Self::error(asked, StatusCode::METHOD_NOT_ALLOWED, &message);
        answer.headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        answer
    }
}

/// A part of bytes, which is within them.
fn slice(bytes: &Bytes, first: u64, length: u64) -> Bytes {
    let at = |place: u64| usize::try_from(place).map_or(bytes.len(), |at| at.min(bytes.len()));
    bytes.slice(at(first)..at(first + length))
}

/// The answer when the conditions say that nothing is to be sent.
fn judged(asked: &Asked<'_>, etag: &HeaderValue) -> Option<Answer> {
    match conditions::judge(asked.headers, etag_text(etag)) {
        Verdict::Send => None,
        Verdict::Unchanged => Some(Answer::new(StatusCode::NOT_MODIFIED, Keep::Asking)),
        Verdict::Failed => {
            let message = "it is not what the condition names";
            Some(Answer::error(asked, StatusCode::PRECONDITION_FAILED, message))
        }
    }
}

fn etag_text(etag: &HeaderValue) -> &str {
    etag.to_str().unwrap_or_default()
}

/// Numbers and paths that were percent-encoded, as a header's value.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
