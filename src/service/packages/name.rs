//! [`PackageName`]: a distribution's package, as people ask for it.

use std::fmt;
use std::str::FromStr;

/// What a package manager is asked for: a name, for apt with an architecture, version or suite if need be
/// (`name:arch`, `name=version`, `name/suite`), for dnf and zypper anything a package provides.
///
/// It is never taken for an option, a pattern or a group of packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// A text that names no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageNameError {
    /// It cannot be a name.
    #[error("`{text}` is no name of a distribution's package")]
    NoName {
        /// The text.
        text: String,
    },
    /// apt or dnf would look for names that are like it.
    #[error("`{text}` is a pattern, which may mean any number of packages: each has to be named")]
    Pattern {
        /// The text.
        text: String,
    },
    /// dnf and zypper would install a whole group.
    #[error("`{text}` is a group of packages: those that are wanted of it have to be named")]
    Group {
        /// The text.
        text: String,
    },
}

/// What makes a pattern of a name: for shells, for apt's tasks and regular expressions, or for dnf.
const PATTERN: &[char] = &['*', '?', '[', ']', '{', '}', '^', '$'];

impl PackageName {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a package of this name and version is what was asked for, as far as the name alone says.
    pub(super) fn is(&self, name: &str, version: &str) -> bool {
        match self.0.split_once('=') {
            None => self.0 == name,
            Some((own, wanted)) => own == name && wanted == version,
        }
    }
}

impl FromStr for PackageName {
    type Err = PackageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // apt takes a minus at the end for "remove it".
        let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/@_*?[".contains(c))
            && !text.ends_with('-')
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        let text = text.to_owned();
        match text {
            text if !is_name => Err(PackageNameError::NoName { text }),
            text if text.starts_with('@') => Err(PackageNameError::Group { text }),
            text if text.contains(PATTERN) => Err(PackageNameError::Pattern { text }),
            text => Ok(Self(text)),
        }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_options() {
        for text in [
            "g++",
            "libc6:amd64",
            "nginx=1:1.22.1-9~deb12u1",
            "a/bookworm",
            "perl(Test::More)",
            "/usr/bin/git",
            "/tmp/x_1.0.deb",
            "/tmp/x-1.0.rpm",
        ] {
            assert_eq!(text.parse::<PackageName>().unwrap().to_string(), text);
        }
        for text in ["", "-o", "--yes", "git-", "two names", "a\nb", "$(x) ", "é"] {
            let fault = text.parse::<PackageName>();
            assert!(matches!(fault, Err(PackageNameError::NoName { .. })), "{text}");
        }
        for text in ["python3-*", "lib?", "[a-z]sh", "x{a,b}", "lamp-server^", "vim$", "*"] {
            let fault = text.parse::<PackageName>();
            assert!(matches!(fault, Err(PackageNameError::Pattern { .. })), "{text}: {fault:?}");
        }
        let group = "@core".parse::<PackageName>().unwrap_err().to_string();
        assert_eq!(
            group,
            "`@core` is a group of packages: those that are wanted of it have to be named"
        );
        let asked = |text: &str| text.parse::<PackageName>().unwrap();
        assert!(asked("git").is("git", "1") && !asked("git").is("git-man", "1"));
        assert!(asked("git=1").is("git", "1") && !asked("git=1").is("git", "2"));
    }
}
