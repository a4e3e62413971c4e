//! [`Age`]: how long ago something was, as people write and read it: `30d`, `30 d ago`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A length of time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age(pub(super) Duration);

impl Age {
    /// The time that has passed since `moment`; none for one in the future.
    pub(super) fn since(moment: SystemTime) -> Self {
        Self(moment.elapsed().unwrap_or_default())
    }

    /// Roughly how long ago, in one unit.
    pub(super) fn ago(self) -> String {
        match self.0.as_secs() {
            0..MINUTE => "just now".into(),
            seconds @ MINUTE..HOUR => format!("{} min ago", seconds / MINUTE),
            seconds @ HOUR..DAY => format!("{} h ago", seconds / HOUR),
            seconds => format!("{} d ago", seconds / DAY),
        }
    }
}

impl FromStr for Age {
    type Err = AgeError;

    /// Takes a whole number with its unit: `45m`, `12h`, `30d` or `2w`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = match text.bytes().next_back() {
            Some(b'm') => MINUTE,
            Some(b'h') => HOUR,
            Some(b'd') => DAY,
            Some(b'w') => 7 * DAY,
            _ => return Err(AgeError),
        };
        let number = &text[..text.len() - 1];
        // `parse` takes a sign too.
        let number: Option<u64> =
            number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = number.and_then(|number| number.checked_mul(unit)).ok_or(AgeError)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

/// A text that is no age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an age is a number with its unit, as in `45m`, `12h`, `30d` or `2w`")]
pub(super) struct AgeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_numbers_with_units() {
        for (text, seconds) in
            [("45m", 2_700), ("12h", 43_200), ("030d", 2_592_000), ("2w", 1_209_600), ("0d", 0)]
        {
            assert_eq!(text.parse(), Ok(Age(Duration::from_secs(seconds))), "{text}");
        }
        for text in
            ["", "d", "30", "30 d", "+3d", "-3d", "1.5h", "3y", "3D", "ä", "999999999999999w"]
        {
            assert_eq!(text.parse::<Age>(), Err(AgeError), "{text}");
        }
    }

    #[test]
    fn ages_are_read_in_one_unit() {
        for (seconds, text) in [
            (59, "just now"),
            (60, "1 min ago"),
            (3_599, "59 min ago"),
            (3_600, "1 h ago"),
            (86_399, "23 h ago"),
            (86_400, "1 d ago"),
            (40_000_000, "462 d ago"),
        ] {
            assert_eq!(Age(Duration::from_secs(seconds)).ago(), text);
        }
        assert_eq!(Age::since(SystemTime::now() + Duration::from_secs(900)).ago(), "just now");
    }
}
