//! [`AccountName`], [`AccountId`], [`AccountPath`]: what users and groups are called, by name and by
//! number, and what else stands in their lines (`passwd(5)`, `group(5)`).

use std::fmt;
use std::str::FromStr;

/// The longest name that `useradd` and `utmp` take.
const LONGEST: usize = 32;

/// The name of a user or group: a letter or underscore, then letters, digits, `_`, `-` and `.`, of
/// 32 characters at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

/// The number of a user or group: neither root's nor the one that means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u32);

/// An absolute path that can stand in a line of `/etc/passwd`: a home, or a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPath(String);

/// What cannot be the name or number of a user or group, or a path of theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {fault}", text.escape_debug())]
pub struct AccountWordError {
    text: String,
    fault: &'static str,
}

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl AccountPath {
    /// The path as text, which begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = AccountWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !starts || !text.chars().all(goes_on) {
            return Err(refused(text, "cannot be the name of a user or group"));
        }
        if text.len() > LONGEST {
            return Err(refused(text, "is longer than the 32 characters of a user's name"));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for AccountId {
    type Err = AccountWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused(text, "is not the number of a user or group"));
        }
        match text.parse() {
            Ok(0) => Err(refused(text, "is the number of root")),
            // `chown(2)` takes it for "do not change".
            Ok(u32::MAX) | Err(_) => Err(refused(text, "is more than 4294967294")),
            Ok(number) => Ok(Self(number)),
        }
    }
}

impl FromStr for AccountPath {
    type Err = AccountWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with('/') {
            return Err(refused(text, "is not an absolute path"));
        }
        if text.contains(|c: char| c == ':' || c.is_control()) {
            return Err(refused(text, "has a colon or a control character"));
        }
        Ok(Self(text.into()))
    }
}

fn refused(text: &str, fault: &'static str) -> AccountWordError {
    AccountWordError { text: text.into(), fault }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for AccountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case<T: FromStr<Err = AccountWordError> + fmt::Display>(text: &str, said: &str) {
        let outcome = match text.parse::<T>() {
            Ok(word) => word.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, said);
    }

    #[test]
    fn names() {
        for name in ["keystone", "neutron-vpnaas", "_x", "os.vif", "PyMySQL"] {
            case::<AccountName>(name, name);
        }
        case::<AccountName>("", "`` cannot be the name of a user or group");
        case::<AccountName>("a:b", "`a:b` cannot be the name of a user or group");
        case::<AccountName>("-rf", "`-rf` cannot be the name of a user or group");
        case::<AccountName>("a\nb", "`a\\nb` cannot be the name of a user or group");
        case::<AccountName>("é", "`é` cannot be the name of a user or group");
        let long = "a".repeat(33);
        case::<AccountName>(
            &long,
            &format!("`{long}` is longer than the 32 characters of a user's name"),
        );
    }

    #[test]
    fn numbers() {
        case::<AccountId>("42424", "42424");
        case::<AccountId>("1", "1");
        case::<AccountId>("4294967294", "4294967294");
        case::<AccountId>("0", "`0` is the number of root");
        case::<AccountId>("00", "`00` is the number of root");
        case::<AccountId>("4294967295", "`4294967295` is more than 4294967294");
        case::<AccountId>("99999999999", "`99999999999` is more than 4294967294");
        for text in ["", "-1", "+1", "1.0", "x", " 1"] {
            case::<AccountId>(text, &format!("`{text}` is not the number of a user or group"));
        }
    }

    #[test]
    fn paths() {
        case::<AccountPath>("/bin/bash", "/bin/bash");
        case::<AccountPath>("bin/bash", "`bin/bash` is not an absolute path");
        case::<AccountPath>("/a:b", "`/a:b` has a colon or a control character");
        case::<AccountPath>("/a\n", "`/a\\n` has a colon or a control character");
    }
}
