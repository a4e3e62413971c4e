//! [`FormatControl`]: whether wheels or source archives of a project may be taken.

use std::collections::BTreeSet;

use crate::vocab::requirement::{PackageName, package_name};

/// Which kinds of files may be taken, by project: pip's `--no-binary` and `--only-binary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatControl {
    no_binary: Names,
    only_binary: Names,
}

/// Some projects, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Names {
    all: bool,
    names: BTreeSet<PackageName>,
}

impl FormatControl {
    /// Wheels are not taken for the projects of `value`: names parted by commas, `:all:` or `:none:`
    /// (which forgets what was said before). The last word on a project counts.
    ///
    /// # Errors
    /// [`FormatControlError`] naming what is no project name.
    pub fn no_binary(mut self, value: &str) -> Result<Self, FormatControlError> {
        self.no_binary.take(value, &mut self.only_binary)?;
        Ok(self)
    }

    /// Source archives are not taken for the projects of `value`, written as for
    /// [`FormatControl::no_binary`].
    ///
    /// # Errors
    /// [`FormatControlError`] naming what is no project name.
    pub fn only_binary(mut self, value: &str) -> Result<Self, FormatControlError> {
        self.only_binary.take(value, &mut self.no_binary)?;
        Ok(self)
    }

    /// Whether wheels of `name` may be taken. A project that is named goes before `:all:`.
    #[must_use]
    pub fn allows_wheels(&self, name: &PackageName) -> bool {
        if self.only_binary.names.contains(name) {
            return true;
        }
        !self.no_binary.names.contains(name) && (self.only_binary.all || !self.no_binary.all)
    }

    /// Whether source archives of `name` may be taken.
    #[must_use]
    pub fn allows_sdists(&self, name: &PackageName) -> bool {
        if self.only_binary.names.contains(name) {
            return false;
        }
        self.no_binary.names.contains(name) || !self.only_binary.all
    }
}

impl Names {
    fn take(&mut self, value: &str, other: &mut Self) -> Result<(), FormatControlError> {
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                ":all:" => {
                    *self = Self { all: true, names: BTreeSet::new() };
                    *other = Self::default();
                }
                ":none:" => *self = Self::default(),
                word => {
                    let name = package_name(word)
                        .ok_or_else(|| FormatControlError { word: word.to_owned() })?;
                    other.names.remove(&name);
                    self.names.insert(name);
                }
            }
        }
        Ok(())
    }
}

/// A word of `--no-binary` or `--only-binary` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is neither a project's name nor `:all:` or `:none:`")]
pub struct FormatControlError {
    word: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_control_is_that_of_pip() {
        let (a, b) = (package_name("a").unwrap(), package_name("b").unwrap());
        let control = |no: &str, only: &str| {
            FormatControl::default().no_binary(no).unwrap().only_binary(only).unwrap()
        };
        let allows = |c: &FormatControl, name| (c.allows_wheels(name), c.allows_sdists(name));
        assert_eq!(allows(&control("", ""), &a), (true, true));
        assert_eq!(allows(&control(":all:", ""), &a), (false, true));
        assert_eq!(allows(&control(":all:", "A"), &a), (true, false));
        assert_eq!(allows(&control(":all:", "A"), &b), (false, true));
        assert_eq!(allows(&control("a", ":all:"), &a), (true, false));
        assert_eq!(allows(&control(":all:,:none:,b", ""), &a), (true, true));
        assert_eq!(allows(&control(":all:,:none:,b", ""), &b), (false, true));
        let error = FormatControl::default().no_binary("a b").unwrap_err();
        assert_eq!(error.to_string(), "`a b` is neither a project's name nor `:all:` or `:none:`");
    }
}
