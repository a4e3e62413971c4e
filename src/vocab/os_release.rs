//! [`OsRelease`]: the variables of an os-release file (os-release(5)).
//!
//! They are assignments as a shell reads them, without any of its expansions. What they mean is for
//! [`super::distro`] to say.

use std::collections::BTreeMap;

/// The variables, each with its last value. One that is set to nothing is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsRelease {
    values: BTreeMap<String, String>,
}

impl OsRelease {
    /// Reads the text. Lines that assign nothing are skipped.
    ///
    /// # Errors
    /// [`OsReleaseError`] at a quote that nothing ends.
    pub fn parse(text: &str) -> Result<Self, OsReleaseError> {
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let Some((name, value)) = line.split_once('=') else { continue };
            if name.starts_with('#') {
                continue;
            }
            let value = unquoted(value)
                .ok_or_else(|| OsReleaseError { line: index + 1, text: line.to_owned() })?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { values })
    }

    /// The value of a variable; none when it is not set or is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The name of the version: `VERSION_CODENAME`, which may be empty to say that there is none, or
    /// what Ubuntu had before it, or what stands in `VERSION` in parentheses or behind a comma.
    #[must_use]
    pub fn codename(&self) -> Option<String> {
        let named = ["VERSION_CODENAME", "UBUNTU_CODENAME"];
        let codename = match named.iter().find_map(|name| self.values.get(*name)) {
            Some(codename) => codename,
            None => in_version(self.get("VERSION")?)?,
        };
        Some(codename.trim().to_owned()).filter(|codename| !codename.is_empty())
    }
}

/// The codename in `9.4 (Blue Onyx)` or `14.04.6 LTS, Trusty Tahr`: it has no digit.
fn in_version(version: &str) -> Option<&str> {
    version.char_indices().find_map(|(at, c)| {
        let rest = &version[at + c.len_utf8()..];
        let words = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        match c {
            '(' => words.rfind(')').map(|end| &words[..end]).filter(|words| !words.is_empty()),
            ',' => Some(words).filter(|words| !words.is_empty()),
            _ => None,
        }
    })
}

/// The first word of a value as a shell reads it: what is quoted, and what is not, put together.
fn unquoted(value: &str) -> Option<String> {
    let mut word = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => loop {
                match chars.next()? {
                    '\'' => break,
                    c => word.push(c),
                }
            },
            '"' => loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => match chars.next()? {
                        c @ ('"' | '\\' | '$' | '`') => word.push(c),
                        c => word.extend(['\\', c]),
                    },
                    c => word.push(c),
                }
            },
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => break,
            c => word.push(c),
        }
    }
    Some(word)
}

/// A line of an os-release file with a quote that nothing ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} has a quote that nothing ends: `{}`", text.escape_debug())]
pub struct OsReleaseError {
    /// The line, counted from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn case(value: &str, meant: Option<&str>) {
        let release = OsRelease::parse(&format!("# comment\n\nX={value}\nnothing\n")).unwrap();
        assert_eq!(release.get("X"), meant, "{value}");
    }

    #[test]
    fn values_are_quoted_as_in_a_shell() {
        case("debian", Some("debian"));
        case("\"Debian GNU/Linux\"", Some("Debian GNU/Linux"));
        case("'a \"b\" \\'", Some("a \"b\" \\"));
        case("\"a \\\"b\\\" \\$c \\d\"", Some("a \"b\" $c \\d"));
        case("a\\ b\"c\"'d' e", Some("a bcd"));
        case("a=b", Some("a=b"));
        case("", None);
        case("\"\"", None);
        let error = OsRelease::parse("A=1\nB=\"x\\\"\n").unwrap_err();
        insta::assert_snapshot!(error, @r#"line 2 has a quote that nothing ends: `B=\"x\\\"`"#);
    }

    #[test]
    fn the_last_value_counts() {
        assert_eq!(OsRelease::parse("A=1\nA=2\n#A=3\r\n").unwrap().get("A"), Some("2"));
    }

    #[test]
    fn codenames_are_found() {
        for (text, codename) in [
            ("VERSION_CODENAME=noble\nUBUNTU_CODENAME=x", Some("noble")),
            ("VERSION_CODENAME=\nVERSION=\"9 (x)\"", None),
            ("UBUNTU_CODENAME=xenial", Some("xenial")),
            ("VERSION=\"9.4 (Blue Onyx)\"", Some("Blue Onyx")),
            ("VERSION=\"22.03 (LTS-SP4)\"", None),
            ("VERSION=\"24.03 (LTS)\"", Some("LTS")),
            ("VERSION=\"14.04.6 LTS, Trusty Tahr\"", Some("Trusty Tahr")),
            ("VERSION=\"1 (a) b (c) 2\"", Some("a) b (c")),
            ("VERSION=\"9, 1\"", None),
            ("VERSION=9", None),
            ("", None),
        ] {
            let release = OsRelease::parse(text).unwrap();
            assert_eq!(release.codename().as_deref(), codename, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([A-Z=\"'\\\\ (),0-9\n]|VERSION=|é){0,40}") {
            let _ = OsRelease::parse(&text).map(|release| release.codename());
        }
    }
}
