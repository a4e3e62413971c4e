//! [`ImageTag`]: what a registry calls an image in a repository. A layout's names
//! ([`Tag`](crate::store::names::Tag)) may have more characters.

use std::fmt;
use std::str::FromStr;

/// The longest tag, in bytes.
const TAG_LIMIT: usize = 128;

/// A name for an image in a repository (OCI distribution specification, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageTag(String);

impl ImageTag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageTag {
    type Err = ImageTagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_tag = text.starts_with(is_word)
            && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
            && text.len() <= TAG_LIMIT;
        if is_tag { Ok(Self(text.into())) } else { Err(ImageTagError { text: text.into() }) }
    }
}

impl fmt::Display for ImageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no tag of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not an image tag: tags are at most 128 letters, digits, `_`, `.` and `-`, the first neither `.` nor `-`",
    text.escape_debug()
)]
pub struct ImageTagError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_few_characters() {
        for text in ["a", "_", "1.2-3", "Master", &"a".repeat(128)] {
            assert_eq!(text.parse::<ImageTag>().unwrap().to_string(), text);
        }
        for text in ["", ".a", "-a", "a/b", "a:b", "a+b", "\u{fc}", &"a".repeat(129)] {
            assert!(text.parse::<ImageTag>().is_err(), "{text}");
        }
    }
}
