//! The logical lines of a requirements or constraints file, as pip reads them: a backslash at the
//! end joins the next line, `#` at the start or after white space begins a comment, and lines with
//! nothing left are skipped (pip's "Requirements File Format").

use super::document::{Document, Place};
use super::error::InputError;

/// The logical lines of `document`, without comments, each with its place.
///
/// # Errors
/// [`InputError::Html`] when the text begins as a page does: no requirement begins with `<`.
pub(super) fn logical_lines(document: &Document) -> Result<Vec<Place>, InputError> {
    if document.text().trim_start().starts_with('<') {
        return Err(InputError::Html { origin: document.origin().to_owned() });
    }
    let mut lines = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    let mut take = |first: usize, text: &str| {
        let text = without_comment(text).trim();
        if !text.is_empty() {
            lines.push(document.place(first, text));
        }
    };
    for (index, line) in document.text().lines().enumerate() {
        let (first, mut joined) = begun.take().unwrap_or((index + 1, String::new()));
        // A comment cannot be continued, although it ends a continuation.
        let comment = line.trim_start().starts_with('#');
        if comment && !joined.is_empty() {
            joined.push(' ');
        }
        match line.strip_suffix('\\') {
            Some(line) if !comment => {
                joined.push_str(line);
                begun = Some((first, joined));
            }
            _ => take(first, &(joined + line)),
        }
    }
    if let Some((first, joined)) = begun {
        take(first, &joined);
    }
    Ok(lines)
}

/// `line` up to its comment. A `#` inside a word, as in `git+https://host/x#egg=x`, begins none.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (index, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..index];
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(text: &str, expected: &[(usize, &str)]) {
        let lines = logical_lines(&Document::new("x.txt", text)).unwrap();
        let found: Vec<_> = lines.iter().map(|place| (place.line, place.text.as_str())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        case("", &[]);
        case("\n # a\n\ta \r\nb# no comment\n", &[(3, "a"), (4, "b# no comment")]);
        case("a  # http://x/#y\n#b", &[(1, "a")]);
        case("a\\\n>=1,\\\n<2\nb", &[(1, "a>=1,<2"), (4, "b")]);
        case("a \\\n# b \\\nc", &[(1, "a"), (3, "c")]);
        case("a \\", &[(1, "a")]);
        case("# a \\\nb", &[(2, "b")]);
        case("x://h/a#egg=a # b", &[(1, "x://h/a#egg=a")]);
    }

    #[test]
    fn a_page_is_named_as_such() {
        let error = |text| logical_lines(&Document::new("https://u:p@host/c", text)).unwrap_err();
        insta::assert_snapshot!(error("<!DOCTYPE html>\n<html>"), @"`https://****@host/c` is an HTML page, not a list of requirements");
        for text in ["\n  <html lang=en>", "<?xml version='1.0'?>"] {
            assert!(matches!(error(text), InputError::Html { .. }), "{text}");
        }
    }
}
