//! [`PackageName`]: a distribution's package, as people ask for it.

use std::fmt;
use std::str::FromStr;

/// What a package manager is asked for: a name, for apt with an architecture, version or suite if need be
/// (`name:arch`, `name=version`, `name/suite`), for dnf and zypper anything a package provides.
///
/// It is never taken for an option or for several packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// A text that names no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no name of a distribution's package")]
pub struct PackageNameError {
    text: String,
}

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
        let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/@_".contains(c))
            && !text.ends_with('-')
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name { Ok(Self(text.into())) } else { Err(PackageNameError { text: text.into() }) }
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
        for text in ["g++", "libc6:amd64", "nginx=1.22.1-9", "a/bookworm", "@core", "/usr/bin/git"]
        {
            assert_eq!(text.parse::<PackageName>().unwrap().to_string(), text);
        }
        for text in ["", "-o", "--yes", "git-", "two names", "a\nb", "$(x) ", "é"] {
            assert!(text.parse::<PackageName>().is_err(), "{text}");
        }
        let asked = |text: &str| text.parse::<PackageName>().unwrap();
        assert!(asked("git").is("git", "1") && !asked("git").is("git-man", "1"));
        assert!(asked("git=1").is("git", "1") && !asked("git=1").is("git", "2"));
    }
}
