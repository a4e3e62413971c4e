//! [`Span`]: what a `Range` field asks for (RFC 9110, section 14).
//!
//! One range of bytes is given; a field with several, of another unit or with no sense is passed
//! over, as the standard allows, and the answer is the whole.

/// The part of a file that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// All of it.
    Whole,
    /// So many bytes from the one at `first` on; never none.
    Part {
        /// The first byte's place.
        first: u64,
        /// The number of bytes.
        length: u64,
    },
    /// Bytes that it does not have.
    Beyond,
}

impl Span {
    /// What `field` asks for of a file with `size` bytes.
    pub(super) fn asked(field: &str, size: u64) -> Self {
        let parsed = || {
            let (unit, range) = field.split_once('=')?;
            if !unit.trim().eq_ignore_ascii_case("bytes") {
                return None;
            }
            let (first, last) = range.trim().split_once('-')?;
            match (first.trim(), last.trim()) {
                ("", "") => None,
                ("", length) => {
                    let length = number(length)?.min(size);
                    Some(Self::part(size - length, size, size))
                }
                (first, "") => Some(Self::part(number(first)?, size, size)),
                (first, last) => {
                    let (first, last) = (number(first)?, number(last)?);
                    (first <= last).then(|| Self::part(first, last.saturating_add(1), size))
                }
            }
        };
        parsed().unwrap_or(Self::Whole)
    }

    fn part(first: u64, end: u64, size: u64) -> Self {
        match end.min(size).checked_sub(first) {
            None | Some(0) => Self::Beyond,
            Some(length) => Self::Part { first, length },
        }
    }
}

/// Digits as a number; more than fit are as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let fine = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    fine.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_spans() {
        #[track_caller]
        fn case(field: &str, size: u64, expected: Span) {
            assert_eq!(Span::asked(field, size), expected, "{field} of {size}");
        }
        let part = |first, length| Span::Part { first, length };
        case("bytes=0-0", 10, part(0, 1));
        case("bytes=2-4", 10, part(2, 3));
        case("Bytes = 2 - 4", 10, part(2, 3));
        case("bytes=0-9", 10, part(0, 10));
        case("bytes=5-", 10, part(5, 5));
        case("bytes=5-99", 10, part(5, 5));
        case("bytes=-3", 10, part(7, 3));
        case("bytes=-99", 10, part(0, 10));
        case("bytes=9-99999999999999999999999", 10, part(9, 1));
        case("bytes=0-18446744073709551615", 10, part(0, 10));
        case("bytes=10-", 10, Span::Beyond);
        case("bytes=10-12", 10, Span::Beyond);
        case("bytes=99999999999999999999999-", 10, Span::Beyond);
        case("bytes=-0", 10, Span::Beyond);
        case("bytes=0-", 0, Span::Beyond);
        case("bytes=-1", 0, Span::Beyond);
        for field in
            ["", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=a-b", "bytes=+1-2", "bytes=--1"]
        {
            case(field, 10, Span::Whole);
        }
        case("bytes=0-1,4-5", 10, Span::Whole);
        case("items=0-1", 10, Span::Whole);
    }
}
