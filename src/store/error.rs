//! [`StoreError`]: why the store could not do something.

use std::io;
use std::path::{Path, PathBuf};

use crate::vocab::digest::Digest;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    /// The directory holds something that is not an OCI image layout.
    #[error("`{}` {fault}", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// What it is instead.
        fault: &'static str,
    },
    /// Bytes that were announced under one digest have another; they were not kept.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// The digest that was announced.
        expected: Digest,
        /// The digest of the bytes that came.
        found: Digest,
    },
    /// A blob's bytes are no longer what its name says.
    #[error("the blob `{digest}` is damaged: its bytes are {found}")]
    Damaged {
        /// The blob's name.
        digest: Digest,
        /// The digest of the bytes it has.
        found: Digest,
    },
    /// The blob is not there.
    #[error("no blob `{digest}` in `{}`", root.display())]
    NoSuchBlob {
        /// The blob's name.
        digest: Digest,
        /// Where it was looked for.
        root: PathBuf,
    },
    /// Nothing has that name.
    #[error("nothing is named `{tag}` in `{}`; {}", root.display(), known_tags(known))]
    NoSuchTag {
        /// The name.
        tag: String,
        /// Where it was looked for.
        root: PathBuf,
        /// The names there are.
        known: Vec<String>,
    },
    /// The name names something that is not a set of wheels.
    #[error("`{tag}` names no set of wheels but `{found}`")]
    NotASet {
        /// The name.
        tag: String,
        /// The artifact type or media type of what it names.
        found: String,
    },
    /// A manifest of wheels breaks its own rules.
    #[error("the manifest of `{tag}` is not one of wheels: {reason}")]
    Set {
        /// The name.
        tag: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text is not JSON of the kind it should be.
    #[error("`{what}` cannot be read")]
    Json {
        /// The file or blob.
        what: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// What a name leads to cannot be told, so nothing is deleted.
    #[error("cannot tell what `{name}` leads to")]
    Unclear {
        /// The name; the manifest's digest where it has none.
        name: String,
        /// Why its manifest cannot be read.
        #[source]
        source: Box<StoreError>,
    },
    /// Another one deletes from the store.
    #[error("another `loci store gc` is at work in `{}`{}", root.display(), holders(pids))]
    Busy {
        /// The store.
        root: PathBuf,
        /// The process that does, as far as the system tells.
        pids: Vec<u32>,
    },
}

fn known_tags(known: &[String]) -> String {
    match known {
        [] => "there are no names".into(),
        _ => format!("names there: `{}`", known.join("`, `")),
    }
}

fn holders(pids: &[u32]) -> String {
    match pids {
        [] => String::new(),
        [pid] => format!(" (process {pid})"),
        _ => {
            let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
            format!(" (processes {})", pids.join(", "))
        }
    }
}

/// Says what was tried on which path when the file system refuses.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source: innermost(source) }
}

/// Libraries wrap an error together with its path; that path is said already, so where the system
/// failed only its kind is kept.
fn innermost(error: io::Error) -> io::Error {
    use io::ErrorKind as Kind;
    let ours = matches!(
        error.kind(),
        Kind::Other | Kind::UnexpectedEof | Kind::InvalidData | Kind::InvalidInput
    );
    if ours || error.raw_os_error().is_some() { error } else { error.kind().into() }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_path_is_said_once() {
        let path = Path::new("/nope/x");
        for error in [std::fs::read(path).unwrap_err(), fs_err::read(path).unwrap_err()] {
            let error = io_error("read", path)(error);
            assert_eq!(error.to_string(), "cannot read `/nope/x`");
            assert!(!error.source().unwrap().to_string().contains("nope"), "{error:?}");
        }
    }
}
