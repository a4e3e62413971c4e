//! [`Record`]: the list of a wheel's files with their hashes (the RECORD file, PEP 376 and 427).
//!
//! Reading is lenient where published wheels need it (`./`, absolute paths, missing columns, rows for
//! files that are not there); a hash that is given is never ignored when it is wrong.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha384, Sha512};

use super::error::Fault;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

/// The specification says without padding; some tools pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A hash RECORD gives for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordHash {
    /// SHA-256, as nearly all wheels have it.
    Sha256(Digest),
    /// A stronger one, which the specification allows; kept as written (`sha512=...`).
    Stronger(String),
}

impl RecordHash {
    /// Parses `algorithm=value`. None for no hash and for MD5 and SHA-1, which prove nothing (the
    /// specification forbids them); a text that is no hash stays as written, and matches nothing.
    fn parse(text: &str) -> Option<Self> {
        let (algorithm, value) = text.split_once('=')?;
        match algorithm {
            "md5" | "sha1" => None,
            "sha256" => {
                let digest = BASE64.decode(value).ok().and_then(|bytes| bytes.try_into().ok());
                Some(digest.map_or_else(
                    || Self::Stronger(text.into()),
                    |bytes| Self::Sha256(Digest::from_bytes(bytes)),
                ))
            }
            _ => Some(Self::Stronger(text.into())),
        }
    }

    /// As it stands in RECORD.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Sha256(digest) => hash_text(digest),
            Self::Stronger(text) => text.clone(),
        }
    }

    /// The SHA-256 of `bytes` when they have this hash; else the hash they have, as text.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<Digest, String> {
        let digest = Digest::of(bytes);
        let found = match self {
            Self::Stronger(text) if text.starts_with("sha512=") => {
                format!("sha512={}", BASE64.encode(Sha512::digest(bytes)))
            }
            Self::Stronger(text) if text.starts_with("sha384=") => {
                format!("sha384={}", BASE64.encode(Sha384::digest(bytes)))
            }
            _ => hash_text(&digest),
        };
        if self.text().trim_end_matches('=') == found { Ok(digest) } else { Err(found) }
    }
}

/// `sha256=` and the digest in URL-safe base64 without padding.
#[must_use]
pub fn hash_text(digest: &Digest) -> String {
    format!("sha256={}", BASE64.encode(digest.as_bytes()))
}

/// The hashes a wheel's RECORD gives, by the path of the file in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<SafePath, RecordHash>);

impl Record {
    /// Reads the text of a RECORD file.
    ///
    /// # Errors
    /// When it is not UTF-8 CSV, or gives one file two different hashes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let refuse = |reason: String| Fault::Record { reason };
        // Tools on other systems leave a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut hashes = BTreeMap::new();
        for row in reader.records() {
            let row = row.map_err(|error| refuse(error.to_string()))?;
            let path = row.get(0).unwrap_or_default();
            let hash = row.get(1).unwrap_or_default().trim();
            // A path that cannot be a path of the archive is an excess row.
            let path = path.strip_prefix("./").unwrap_or(path);
            let (Ok(path), Some(hash)) = (path.parse::<SafePath>(), RecordHash::parse(hash)) else {
                continue;
            };
            let text = hash.text();
            if let Some(earlier) = hashes.insert(path.clone(), hash)
                && earlier.text() != text
            {
                return Err(refuse(format!(
                    "it gives `{path}` two hashes: {} and {text}",
                    earlier.text()
                )));
            }
        }
        Ok(Self(hashes))
    }

    /// The hash of the file at `path` in the archive, when RECORD gives a usable one.
    #[must_use]
    pub fn get(&self, path: &SafePath) -> Option<&RecordHash> {
        self.0.get(path)
    }
}

/// Rows of a RECORD being written.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<(String, String, String)>);

impl Rows {
    pub(super) fn push(&mut self, path: impl Into<String>, digest: &Digest, size: u64) {
        self.0.push((path.into(), hash_text(digest), size.to_string()));
    }

    /// The text with `record`, RECORD's own path, as a row without hash and size; rows sorted as pip
    /// sorts them when asked to, else in the order they came with `record` last.
    pub(super) fn finish(mut self, record: impl Into<String>, sorted: bool) -> Vec<u8> {
        self.0.push((record.into(), String::new(), String::new()));
        if sorted {
            self.0.sort();
        }
        let mut text = Vec::new();
        for (path, hash, size) in self.0 {
            if path.contains(['"', ',', '\n', '\r']) {
                text.extend_from_slice(format!("\"{}\"", path.replace('"', "\"\"")).as_bytes());
            } else {
                text.extend_from_slice(path.as_bytes());
            }
            text.extend_from_slice(format!(",{hash},{size}\n").as_bytes());
        }
        text
    }
}
