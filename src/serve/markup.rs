//! Text as HTML, and file names as paths: nothing that a set says reaches a page but through here.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::catalog::ServedWheel;

/// All but what RFC 3986 calls unreserved; `+` too, which some servers read as a space.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'!');

/// `text` as it stands in HTML, in an element or in a quoted attribute. Characters that are not text
/// (control characters, but for the ends of lines and tabs) are left out.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        matches!(c, '&' | '<' | '>' | '"' | '\'') || c.is_control() && !matches!(c, '\n' | '\t')
    };
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if odd(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Where a wheel is, below the root. The digest in it makes the address one of these bytes alone.
pub(super) fn file_path(wheel: &ServedWheel) -> String {
    let name = utf8_percent_encode(wheel.filename.as_str(), RESERVED);
    format!("files/{}/{name}", wheel.digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, html) in [
            ("plain", "plain"),
            (
                "<script>alert('a & \"b\"')</script>",
                "&lt;script&gt;alert(&#39;a &amp; &quot;b&quot;&#39;)&lt;/script&gt;",
            ),
            ("a\u{1b}[31mred\r\n\tb\0", "a[31mred\n\tb"),
        ] {
            assert_eq!(escaped(text), html);
        }
    }
}
