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
pub(super) enum RecordHash {
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
    pub(super) fn text(&self) -> String {
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
pub(super) fn hash_text(digest: &Digest) -> String {
    format!("sha256={}", BASE64.encode(digest.as_bytes()))
}

/// The hashes a wheel's RECORD gives, by the path of the file in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeMap<SafePath, RecordHash>);

impl Record {
    /// Reads the text of a RECORD file.
    ///
    /// # Errors
    /// When it is not UTF-8 CSV, or gives one file two different hashes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
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
    pub(super) fn get(&self, path: &SafePath) -> Option<&RecordHash> {
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

    /// The RECORD of an installation, in which `record` names RECORD itself: sorted, with the line
    /// ends of Python's `csv`, so that it is the very file pip writes.
    pub(super) fn installed(mut self, record: &str) -> Vec<u8> {
        self.0.push((record.into(), String::new(), String::new()));
        self.0.sort();
        self.text("\r\n")
    }

    /// The RECORD of a wheel, in which `record` names RECORD itself: in the archive's order.
    pub(super) fn packed(mut self, record: &str) -> Vec<u8> {
        self.0.push((record.into(), String::new(), String::new()));
        self.text("\n")
    }

    fn text(&self, line_end: &str) -> Vec<u8> {
        let mut text = String::new();
        for (path, hash, size) in &self.0 {
            if path.contains(['"', ',', '\n', '\r']) {
                text.push_str(&format!("\"{}\"", path.replace('"', "\"\"")));
            } else {
                text.push_str(path);
            }
            text.push_str(&format!(",{hash},{size}{line_end}"));
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> SafePath {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_published_wheels_have() {
        let digest = Digest::of(b"x");
        let hash = hash_text(&digest);
        let text = format!(
            "\u{feff}a.py,{hash},1\r\n./b.py,{hash}=,1\n\"c,\"\"d\"\".py\",{hash}\n/usr/share/x,{hash},1\n\
             ../../bin/y,{hash},1\nold.py,md5=abc,1\nnone.py,,\nonly\na.py,{hash},1\n\n"
        );
        let record = Record::parse(text.as_bytes()).unwrap();
        for name in ["a.py", "b.py", "c,\"d\".py"] {
            assert_eq!(
                record.get(&path(name)).map(|hash| hash.check(b"x")),
                Some(Ok(digest)),
                "{name}"
            );
        }
        for name in ["old.py", "none.py", "only"] {
            assert_eq!(record.get(&path(name)), None, "{name}");
        }
        assert_eq!(record.0.len(), 3);
    }

    #[test]
    fn stronger_hashes_are_held_too_and_unknown_ones_match_nothing() {
        let strong = format!("a,sha512={}\n", BASE64.encode(Sha512::digest(b"x")));
        let record = Record::parse(strong.as_bytes()).unwrap();
        assert_eq!(record.get(&path("a")).unwrap().check(b"x"), Ok(Digest::of(b"x")));
        assert!(record.get(&path("a")).unwrap().check(b"y").is_err());
        for text in ["a,sha256=short\n", "a,blake2=xyz\n", "a,sha384=\n"] {
            let record = Record::parse(text.as_bytes()).unwrap();
            assert!(record.get(&path("a")).unwrap().check(b"x").is_err(), "{text}");
        }
    }

    #[test]
    fn two_hashes_for_one_file_are_refused() {
        let [one, two] = [b"1", b"2"].map(|bytes| hash_text(&Digest::of(bytes)));
        let error = Record::parse(format!("a,{one},1\n./a,{two},1\n").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("gives `a` two hashes"), "{error}");
        assert!(Record::parse(b"\xff,,\n").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in proptest::collection::btree_set("[ab,\"\n ]{1,6}", 0..5)) {
            let digest = Digest::of(b"x");
            for write in [Rows::installed, Rows::packed] {
                let mut rows = Rows::default();
                for name in &names {
                    rows.push(name.as_str(), &digest, 1);
                }
                let record = Record::parse(&write(rows, "RECORD")).unwrap();
                for name in &names {
                    prop_assert_eq!(record.get(&path(name)), Some(&RecordHash::Sha256(digest)));
                }
                prop_assert_eq!(record.get(&path("RECORD")), None);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Record::parse(&bytes);
        }
    }
}
