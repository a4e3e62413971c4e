//! [`SafePath`]: a relative path that cannot leave its root.
//!
//! Archives are hostile until checked: every entry name passes through here before anything is
//! written, so that climbing out is impossible by type and not by care.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A relative, normal, `/`-separated path: no root, no drive, no `.`, `..` or empty component, no
/// backslash, no NUL, valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SafePath(String);

impl SafePath {
    /// The path as text, `/`-separated.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `root`.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// This path with `child` below it.
    #[must_use]
    pub fn join(&self, child: &Self) -> Self {
        Self(format!("{}/{}", self.0, child.0))
    }

    /// The path without its last component; none for a single component.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The components, first to last; there is at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// What is left of this path below `prefix`, when it lies below it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        let rest = self.0.strip_prefix(prefix)?.strip_prefix('/')?;
        Some(Self(rest.into()))
    }
}

impl FromStr for SafePath {
    type Err = SafePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |fault| Err(SafePathError { text: text.into(), fault });
        if text.starts_with('/') {
            return refuse("is absolute");
        }
        if text.contains('\0') {
            return refuse("contains a NUL");
        }
        if text.contains('\\') {
            return refuse("contains a backslash");
        }
        if text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic() {
            return refuse("starts with a drive letter");
        }
        for component in text.split('/') {
            match component {
                "" => return refuse("has an empty component"),
                "." => return refuse("has a `.` component"),
                ".." => return refuse("climbs out with `..`"),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for SafePath {
    type Error = SafePathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SafePath> for String {
    fn from(path: SafePath) -> Self {
        path.0
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for SafePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// A path that might leave its root, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path `{}` {fault}", text.escape_default())]
pub struct SafePathError {
    text: String,
    fault: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_could_leave_the_root() {
        for text in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/..",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            "C:x",
            "a\\b",
            "a\0",
        ] {
            assert!(text.parse::<SafePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn takes_paths_apart() {
        let path: SafePath = "a/b/c.py".parse().unwrap();
        assert_eq!(path.file_name(), "c.py");
        assert_eq!(path.parent().unwrap().as_str(), "a/b");
        assert_eq!(path.strip_prefix("a").unwrap().as_str(), "b/c.py");
        assert_eq!(path.strip_prefix("a/bb"), None);
        assert_eq!(path.components().count(), 3);
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_below_its_root(text in "[a./\\\\:]{0,12}") {
            if let Ok(path) = text.parse::<SafePath>() {
                let whole = path.under(Path::new("/root"));
                prop_assert!(whole.starts_with("/root"));
                prop_assert!(whole.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
