//! [`Document`]: a text that somebody wrote, and where it came from; [`Place`]: a line of one.
//!
//! A document is only text: it is not known yet whether it is constraints, requirements or rules.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::vocab::redact::redact;

use super::error::InputError;

/// The most characters of a line that are shown in a message.
const SHOWN: usize = 200;

/// A text and where it came from: a path, a URL or the name of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    origin: Arc<str>,
    text: String,
}

impl Document {
    /// A text already at hand, for example fetched from a URL. Credentials in a URL are left out of
    /// the origin, since it is shown in messages.
    #[must_use]
    pub fn new(origin: impl Into<String>, text: impl Into<String>) -> Self {
        let origin = origin.into();
        let text = text.into();
        // Editors on other systems write a byte order mark, which means nothing in UTF-8.
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        Self { origin: redact(&origin).into(), text }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`InputError::Read`] when it cannot be read, [`InputError::Encoding`] when it is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let origin = redact(&path.display().to_string()).into_owned();
        // Not `fs-err`: its errors repeat the path, which the origin names already.
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(InputError::Read { origin, source }),
        };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(origin, text)),
            Err(_) => Err(InputError::Encoding { origin }),
        }
    }

    /// Where the text came from, for messages.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of line `line` (counted from 1), on which `text` stands.
    pub(super) fn place(&self, line: usize, text: impl Into<String>) -> Place {
        Place { origin: Arc::clone(&self.origin), line, text: text.into() }
    }
}

/// A line of a document. Displays as `origin:line: text`, with credentials left out, control
/// characters escaped and very long lines cut, so that any file may be quoted to a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where the document came from.
    pub origin: Arc<str>,
    /// The line, counted from 1; the first one where a backslash joins several.
    pub line: usize,
    /// The line's text without its comment.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.origin, self.line, shown(&self.text))
    }
}

/// A line that cannot be read. Displays as `origin:line: reason: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line.
    pub place: Place,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { origin, line, .. } = &self.place;
        write!(f, "{origin}:{line}: {}: {}", redact(&self.reason), shown(&self.place.text))
    }
}

/// `text` as it is shown in messages: without credentials, with control characters escaped, and cut
/// when it is very long.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in redact(text).chars().enumerate() {
        if count == SHOWN {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let document = Document::new("https://me:pass@host/x.txt?token=T", "");
        assert_eq!(document.origin(), "https://****@host/x.txt?****");
        let place = document.place(1, "a @ https://t@h/x");
        let reason = "`https://t@h/x` is wrong".to_owned();
        let fault = Fault { place, reason }.to_string();
        assert_eq!(
            fault,
            "https://****@host/x.txt?****:1: `https://****@h/x` is wrong: a @ https://****@h/x"
        );
    }

    #[test]
    fn any_line_can_be_shown() {
        let place = Document::new("x.txt", "").place(3, "a\u{1b}[31m\u{7}b");
        assert_eq!(place.to_string(), "x.txt:3: a\\u{1b}[31m\\u{7}b");
        let long = Document::new("x.txt", "").place(1, "é".repeat(1000)).to_string();
        assert_eq!(long.chars().count(), "x.txt:1: ".len() + SHOWN + 1);
    }

    #[test]
    fn files_are_read_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.txt");
        let error = Document::read(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read `{}`", path.display()));
        std::fs::write(&path, b"\xef\xbb\xbfsix===1.0\n").unwrap();
        assert_eq!(Document::read(&path).unwrap().text(), "six===1.0\n");
        std::fs::write(&path, b"\xff\xfes\0i\0x\0").unwrap();
        let error = Document::read(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` is not text in UTF-8", path.display()));
    }
}
