//! The words and figures progress and summaries share: sizes, times, colours, and text from outside
//! made fit for a terminal. It does not know what is being said.

use std::fmt;
use std::time::Duration;

use crate::vocab::size::Size;

/// A number of bytes, in binary units.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    Size(bytes).to_string()
}

/// A part of a number of bytes: `4.0 of 8.0 MiB`, the unit once where it is the same.
#[must_use]
pub fn bytes_of(part: u64, all: u64) -> String {
    let (part, all) = (bytes(part), bytes(all));
    match (part.split_once(' '), all.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {all}"),
        _ => format!("{part} of {all}"),
    }
}

/// A length of time: a tenth of a second below ten seconds, whole seconds above.
#[must_use]
pub fn time(time: Duration) -> String {
    let tenths = time.as_millis().saturating_add(50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    clock(Duration::from_secs(
        time.as_secs().saturating_add(u64::from(time.subsec_millis() >= 500)),
    ))
}

/// A running clock: whole seconds, so that it does not flicker.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Seconds as a summary holds them; what is no length of time (negative, not a number) counts as none.
#[must_use]
pub fn seconds(value: f64) -> String {
    time(Duration::try_from_secs_f64(value).unwrap_or_default())
}

/// `1 wheel`, `2 wheels`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Text from outside on one line: whatever could move the cursor or break the line is a space,
/// because a build log or an index decides what stands in it.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text from outside, its lines kept and each put behind `indent`.
#[must_use]
pub fn indented(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for line in text.trim_end().lines() {
        out.push_str(indent);
        out.extend(line.trim_end().chars().map(|c| if steers(c) { ' ' } else { c }));
        out.push('\n');
    }
    out
}

/// Control characters, and those that reorder the text around them.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in at most `width` characters.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[must_use]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// Colours.
    #[must_use]
    pub const fn coloured() -> Self {
        Self { on: true }
    }

    /// What the user's environment asks for: `NO_COLOR` (no-color.org) turns colours off,
    /// `CLICOLOR_FORCE` on, and otherwise a `terminal` has them unless it is a dumb one.
    #[must_use]
    pub fn chosen(env: impl Fn(&str) -> Option<String>, terminal: bool) -> Self {
        let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE") && env("CLICOLOR_FORCE").is_none_or(|v| v != "0");
        let dumb = env("TERM").is_some_and(|term| term == "dumb");
        let refused = set("NO_COLOR");
        Self { on: !refused && (forced || (terminal && !dumb)) }
    }

    /// What went wrong.
    pub fn bad(self, text: impl fmt::Display) -> String {
        self.sgr("1;31", text)
    }

    /// What deserves a look.
    pub fn odd(self, text: impl fmt::Display) -> String {
        self.sgr("1;33", text)
    }

    /// What went well.
    pub fn good(self, text: impl fmt::Display) -> String {
        self.sgr("1;32", text)
    }

    /// A heading.
    pub fn strong(self, text: impl fmt::Display) -> String {
        self.sgr("1", text)
    }

    fn sgr(self, code: &str, text: impl fmt::Display) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (411 << 20, "411.0 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(size), words);
        }
        assert_eq!(bytes_of(4 << 20, 8 << 20), "4.0 of 8.0 MiB");
        assert_eq!(bytes_of(0, 8 << 20), "0 B of 8.0 MiB");
    }

    #[test]
    fn times() {
        for (value, words) in [
            (0.0, "0.0 s"),
            (0.96, "1.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (61.2, "1 min 01 s"),
            (3725.0, "1 h 02 min"),
            (-1.0, "0.0 s"),
            (f64::NAN, "0.0 s"),
            (f64::INFINITY, "0.0 s"),
        ] {
            assert_eq!(seconds(value), words, "{value}");
        }
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\r\n\n  c\u{202e}d"), "a [2Jb c d");
        assert_eq!(indented("a\u{7}b \n\n c\n\n", "  "), "  a b\n  \n   c\n");
        assert_eq!(cut("wheels", 6), "wheels");
        assert_eq!(cut("wheels", 4), "whe…");
        assert_eq!(cut("wheels", 0), "");
    }

    #[test]
    fn colours_as_the_environment_asks() {
        let chosen = |vars: &[(&str, &str)], terminal| {
            let find = |name: &str| {
                vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            Paint::chosen(find, terminal) == Paint::coloured()
        };
        for (vars, terminal, on) in [
            (&[][..], true, true),
            (&[][..], false, false),
            (&[("NO_COLOR", "1")][..], true, false),
            (&[("NO_COLOR", "")][..], true, true),
            (&[("CLICOLOR_FORCE", "1")][..], false, true),
            (&[("CLICOLOR_FORCE", "0")][..], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")][..], true, false),
            (&[("TERM", "dumb")][..], true, false),
        ] {
            assert_eq!(chosen(vars, terminal), on, "{vars:?} on a terminal: {terminal}");
        }
    }
}
