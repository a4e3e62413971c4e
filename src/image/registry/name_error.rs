//! [`ImageNameError`]: why a text is no image's name. What may be a login in it is not shown.

use crate::vocab::redact::redact;

use super::grammar::REPOSITORY_LIMIT;
use super::tag::ImageTagError;

/// A text that is no image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an image name: {fault}", self.shown())]
pub struct ImageNameError {
    text: String,
    fault: NameFault,
}

impl ImageNameError {
    pub(super) fn new(text: &str, fault: NameFault) -> Self {
        Self { text: text.into(), fault }
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn fault(&self) -> &NameFault {
        &self.fault
    }

    /// The text without what may be a login.
    fn shown(&self) -> String {
        let text = redact(&self.text);
        match text.rfind('@') {
            Some(at) if self.fault == NameFault::Login => format!("****{}", &text[at..]),
            _ => text.into_owned(),
        }
        .escape_debug()
        .to_string()
    }
}

/// What is wrong with a text that should be an image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// It begins as a URL.
    #[error("write it without `{}`", scheme.escape_debug())]
    Scheme {
        /// The scheme with its colon and slashes.
        scheme: String,
    },
    /// It has `docker//` for `docker://`.
    #[error("is `{}` meant?", meant.escape_debug())]
    NoColon {
        /// What it was to be.
        meant: String,
    },
    /// It has white space or control characters.
    #[error("it has white space or a control character in it")]
    Space,
    /// It has an `@` that no digest follows.
    #[error("only a digest may follow `@`; a login belongs in Docker's `config.json`")]
    Login,
    /// Its digest is of an algorithm loci does not use.
    #[error("its digest is `{}`, and only `sha256` is supported", algorithm.escape_debug())]
    Algorithm {
        /// The algorithm.
        algorithm: String,
    },
    /// Its digest is none.
    #[error("`{}` is not `sha256:` and 64 hex digits", text.escape_debug())]
    Digest {
        /// What stands for a digest.
        text: String,
    },
    /// It is the ID of an image in some engine.
    #[error("64 hex digits are an image's ID, which registries do not know")]
    Id,
    /// The registry's host is none.
    #[error("`{}` is not a registry's host", host.escape_debug())]
    Host {
        /// The host, with its port.
        host: String,
    },
    /// The registry's port is none.
    #[error("the port in `{}` is not a number up to 65535", host.escape_debug())]
    Port {
        /// The host, with its port.
        host: String,
    },
    /// A part of its path is empty.
    #[error("nothing {place}")]
    NoPart {
        /// Where: the rest of a sentence.
        place: &'static str,
    },
    /// A part of its path has capitals.
    #[error("write `{}` in lower case: `{}`", part.escape_debug(), lower.escape_debug())]
    UpperCase {
        /// The part.
        part: String,
        /// The part as it may be.
        lower: String,
    },
    /// A part of its path has what cannot stand there.
    #[error(
        "`{}` must be lower-case letters and digits, with `.`, `_`, `__` or hyphens only between them",
        part.escape_debug()
    )]
    Part {
        /// The part.
        part: String,
    },
    /// Its repository's name is too long.
    #[error("its repository has {length} characters, {REPOSITORY_LIMIT} are the most")]
    Long {
        /// How many it has.
        length: usize,
    },
    /// It ends in a colon.
    #[error("nothing follows its last colon")]
    NoTag,
    /// Its tag is none.
    #[error(transparent)]
    Tag(#[from] ImageTagError),
}
