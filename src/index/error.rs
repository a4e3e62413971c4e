//! [`IndexError`]: what goes wrong between here and an index. No message shows a password.

use std::io;

use super::json::JsonPageError;
use crate::http::error::{HttpError, Shown};
use crate::store::error::StoreError;
use crate::vocab::core_metadata::CoreMetadataError;
use crate::vocab::digest::Digest;

/// What can go wrong with an index, a page or a file on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The server cannot be asked, or answers what is of no use.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What begins as an address and is none.
    #[error("`{text}` is not a URL")]
    Address {
        /// As it was given, without secrets.
        text: String,
        /// Why.
        #[source]
        source: url::ParseError,
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

/// Why a JSON page cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PageFault(#[from] JsonPageError);
