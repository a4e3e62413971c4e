//! [`DirectUrl`]: where an installed distribution came from, when not from an index (PEP 610).

use serde_json::{Value, json};

use crate::vocab::digest::Digest;

/// The content of `direct_url.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectUrl {
    /// A wheel or source distribution.
    Archive {
        /// Its URL, without credentials.
        url: String,
        /// The SHA-256 of the file.
        digest: Option<Digest>,
    },
    /// A directory of this machine.
    Directory {
        /// Its `file:` URL.
        url: String,
    },
    /// A commit in a git repository.
    Git {
        /// The repository's URL, without credentials.
        url: String,
        /// The branch, tag or commit that was asked for.
        requested_revision: Option<String>,
        /// The full id of the commit that was built.
        commit_id: String,
    },
}

impl DirectUrl {
    /// The JSON text, with sorted keys.
    pub(super) fn to_json(&self) -> String {
        self.value().to_string()
    }

    fn value(&self) -> Value {
        match self {
            Self::Archive { url, digest: None } => json!({ "archive_info": {}, "url": url }),
            Self::Archive { url, digest: Some(digest) } => json!({
                // `hash` is the older spelling, which installers before PEP 710's time read.
                "archive_info": { "hash": format!("sha256={}", digest.hex()), "hashes": { "sha256": digest.hex() } },
                "url": url,
            }),
            Self::Directory { url } => json!({ "dir_info": {}, "url": url }),
            Self::Git { url, requested_revision: None, commit_id } => json!({
                "url": url,
                "vcs_info": { "commit_id": commit_id, "vcs": "git" },
            }),
            Self::Git { url, requested_revision: Some(revision), commit_id } => json!({
                "url": url,
                "vcs_info": { "commit_id": commit_id, "requested_revision": revision, "vcs": "git" },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_pep_610_says() {
        let git = DirectUrl::Git {
            url: "https://example.org/x.git".into(),
            requested_revision: Some("master".into()),
            commit_id: "0123".into(),
        };
        insta::assert_snapshot!(git.to_json(), @r#"{"url":"https://example.org/x.git","vcs_info":{"commit_id":"0123","requested_revision":"master","vcs":"git"}}"#);
        let directory = DirectUrl::Directory { url: "file:///src/x".into() };
        insta::assert_snapshot!(directory.to_json(), @r#"{"dir_info":{},"url":"file:///src/x"}"#);
        let archive =
            DirectUrl::Archive { url: "https://example.org/x.tar.gz".into(), digest: None };
        insta::assert_snapshot!(archive.to_json(), @r#"{"archive_info":{},"url":"https://example.org/x.tar.gz"}"#);
    }
}
