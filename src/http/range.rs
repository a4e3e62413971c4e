//! [`ContentRange`]: which part of a file an answer holds (RFC 9110, "Content-Range").

use reqwest::Response;
use reqwest::header::CONTENT_RANGE;

/// The first byte of the part, and the size of the whole file where the server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The size of the whole file.
    pub whole: Option<u64>,
}

impl ContentRange {
    /// What the answer says; none when it says nothing that makes sense.
    #[must_use]
    pub fn of(response: &Response) -> Option<Self> {
        Self::parse(response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, whole) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
        let whole = match whole.trim() {
            "*" => None,
            whole => Some(whole.parse().ok()?),
        };
        let is_sound = start <= end && whole.is_none_or(|whole| end < whole);
        is_sound.then_some(Self { start, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_makes_sense() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes */10", None),
            ("bytes 5-10/10", None),
            ("bytes 6-5/10", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            let expected = expected.map(|(start, whole)| ContentRange { start, whole });
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
