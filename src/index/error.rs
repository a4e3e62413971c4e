//! [`IndexError`]: what goes wrong between here and an index. No message shows a password.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use url::Url;

use super::json::JsonPageError;
use crate::store::error::StoreError;
use crate::vocab::core_metadata::CoreMetadataError;
use crate::vocab::digest::Digest;
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

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can go wrong with an index, a page or a file on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
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
    /// What begins as an address and is none.
    #[error("`{text}` is not a URL")]
    Address {
        /// As it was given, without secrets.
        text: String,
        /// Why.
        #[source]
        source: url::ParseError,
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
    /// A page that should list files is not one.
    #[error("`{url}` is not an index page: its content type is `{content_type}`")]
    NotAPage {
        /// The address.
        url: Shown,
        /// What the server says it is.
        content_type: String,
    },
    /// A JSON page cannot be read.
    #[error("`{url}` is not an index page")]
    Page {
        /// The address.
        url: Shown,
        /// Why.
        #[source]
        source: PageFault,
    },
    /// No network may be used, and what is wanted is not in the cache.
    #[error("`{url}` is not in the cache, and loci was told to stay offline")]
    Offline {
        /// The address.
        url: Shown,
    },
    /// The bytes are not those that were announced.
    #[error(
        "the bytes of `{file}` are not those the index announced: expected {expected}, found {found}"
    )]
    Mismatch {
        /// The file's name.
        file: String,
        /// What the index says.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The file is longer than was announced.
    #[error("`{file}` is not {expected} bytes long, as the index announced, but {found} or more")]
    Size {
        /// The file's name.
        file: String,
        /// What the index says.
        expected: u64,
        /// What came before reading was given up.
        found: u64,
    },
    /// The connection broke, and so did each attempt to go on.
    #[error("`{file}` ended after {received} bytes, also when asked for the rest")]
    Cut {
        /// The file's name.
        file: String,
        /// What came.
        received: u64,
    },
    /// The wheel's archive holds no METADATA that can be found.
    #[error("the metadata of `{file}` cannot be found: {reason}")]
    Wheel {
        /// The file's name.
        file: String,
        /// Why.
        reason: &'static str,
    },
    /// METADATA makes no sense.
    #[error("the metadata of `{file}` cannot be used")]
    Metadata {
        /// The file's name.
        file: String,
        /// Why.
        #[source]
        source: CoreMetadataError,
    },
    /// The store failed.
    #[error("`{file}` cannot be stored")]
    Store {
        /// The file's name.
        file: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A file cannot be written while it is fetched.
    #[error("`{file}` cannot be written")]
    Write {
        /// The file's name.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why no answer came. It displays as the innermost of its causes: the layers of an HTTP client say
/// no more than that each of them failed.
#[derive(Debug)]
pub struct NetworkFault(reqwest::Error);

impl NetworkFault {
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

/// Why a JSON page cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PageFault(#[from] JsonPageError);
