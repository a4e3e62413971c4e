//! [`ImageError`]: why a set could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;
use crate::vocab::digest::Digest;
use crate::wheel::error::WheelError;

/// Why a set could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store, or the image layout, refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A wheel of the set cannot be used.
    #[error(transparent)]
    Wheel(#[from] WheelError),
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

/// Says what was tried on which path when the file system refuses.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let wrap = crate::store::error::io_error(action, path);
    move |source| match wrap(source) {
        StoreError::Io { action, path, source } => ImageError::Io { action, path, source },
        other => other.into(),
    }
}
