//! [`ImageError`]: why a set could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use crate::http::error::HttpError;
use crate::store::error::StoreError;
use crate::store::names::TagError;
use crate::vocab::digest::Digest;
use crate::wheel::error::WheelError;

use super::registry::error::RegistryError;
use super::registry::name_error::ImageNameError;
use super::registry::tag::ImageTagError;

/// Why a set could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store, or the image layout, refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A wheel of the set cannot be used.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// A server cannot be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A registry cannot be asked, or refuses.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is there is not a file, and would be lost.
    #[error("`{}` is there and is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Only images can be joined, or kept as they are.
    #[error("`{reference}` is no image")]
    NotAnImage {
        /// The place.
        reference: String,
    },
    /// The place can only be read.
    #[error("wheels cannot be written to `{reference}`")]
    NotWritable {
        /// The place.
        reference: String,
    },
    /// A tar cannot be read.
    #[error("`{origin}` is not a whole tar archive")]
    Tar {
        /// The tar.
        origin: String,
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// Something is compressed in a way that cannot be read.
    #[error("`{origin}` is compressed with {method}, which is not supported")]
    Compression {
        /// The tar or layer.
        origin: String,
        /// The method.
        method: &'static str,
    },
    /// An entry or a file makes its archive or directory unusable.
    #[error("`{origin}`: `{}` {fault}", entry.escape_debug())]
    Entry {
        /// The archive, image or directory.
        origin: String,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A set says it has a wheel, and has not.
    #[error("`{origin}` lacks the wheel `{wheel}` its index names")]
    Lacks {
        /// The archive, image or directory.
        origin: String,
        /// The wheel's file name.
        wheel: String,
    },
    /// A wheel index cannot be read.
    #[error("`{origin}`: `.loci/index.json` cannot be read")]
    Index {
        /// The archive, image or directory.
        origin: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// An image is not one that can be read.
    #[error("`{origin}` {fault}")]
    Image {
        /// The image.
        origin: String,
        /// What is wrong with it.
        fault: String,
    },
    /// There is no image of that name in its registry.
    #[error("there is no image `{origin}`{}", tags_there(tags, *more))]
    NoImage {
        /// The image.
        origin: String,
        /// The tags that the repository has.
        tags: Vec<String>,
        /// How many more it has.
        more: usize,
    },
    /// What an image is to be called is no name.
    #[error("the image cannot be named")]
    Name {
        /// Why.
        #[source]
        source: UnfitName,
    },
    /// A manifest cannot be read.
    #[error("the manifest {digest} of `{origin}` cannot be read")]
    Manifest {
        /// The image.
        origin: String,
        /// The manifest.
        digest: Digest,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// An image names a blob that is not there.
    #[error("`{origin}` lacks the blob {digest}, which it names")]
    LacksBlob {
        /// The image.
        origin: String,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its name says.
    #[error("`{origin}`: the blob {expected} is damaged: its bytes are {found}")]
    Blob {
        /// Where it came from, or goes to.
        origin: String,
        /// Its name.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A blob is longer or shorter than what names it says.
    #[error("`{origin}`: the blob {digest} has {found} bytes, but is said to have {expected}")]
    BlobSize {
        /// Where it is.
        origin: String,
        /// Its name.
        digest: Digest,
        /// The size that is told.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// A wheel is not what the index says.
    #[error(
        "`{wheel}` in `{origin}` is not what its index says: expected {expected}, found {found}"
    )]
    Damaged {
        /// The file it is in.
        origin: String,
        /// The wheel's file name.
        wheel: String,
        /// What the index says.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// An image was to get a name that is another image's digest.
    #[error("what would be written is {found}, which cannot be called `{name}`")]
    OtherDigest {
        /// The name.
        name: String,
        /// The digest of the manifest.
        found: Digest,
    },
    /// A file that is elsewhere ended too early.
    #[error("`{file}` ended after {received} bytes, also when asked for the rest")]
    Cut {
        /// The file.
        file: String,
        /// What came.
        received: u64,
    },
    /// A file that is elsewhere changed while it was read.
    #[error("`{file}` became another file while it was read")]
    Changed {
        /// The file.
        file: String,
    },
    /// A connection broke, and nobody knows whether what comes now is the same file.
    #[error(
        "the connection to `{file}` broke, and its server does not tell one version from another"
    )]
    Unversioned {
        /// The file.
        file: String,
    },
    /// Something cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// What it is.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A layer's bytes are not what its manifest says.
    #[error("`{origin}`: the layer {expected} is damaged: its bytes are {found}")]
    Layer {
        /// The image.
        origin: String,
        /// The digest the manifest has.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
}

/// Why something is no name of an image.
#[derive(Debug, thiserror::Error)]
pub enum UnfitName {
    /// In a layout.
    #[error(transparent)]
    Layout(#[from] TagError),
    /// In a registry.
    #[error(transparent)]
    Registry(#[from] ImageNameError),
    /// As a tag in a registry.
    #[error(transparent)]
    Tag(#[from] ImageTagError),
}

fn tags_there(tags: &[String], more: usize) -> String {
    match (tags, more) {
        ([], _) => String::new(),
        (_, 0) => format!("; tags there: `{}`", tags.join("`, `")),
        (_, more) => format!("; tags there: `{}` and {more} more", tags.join("`, `")),
    }
}

/// Says what was tried on which path when the file system refuses.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let wrap = crate::store::error::io_error(action, path);
    move |source| match wrap(source) {
        StoreError::Io { action, path, source } => ImageError::Io { action, path, source },
        other => other.into(),
    }
}
