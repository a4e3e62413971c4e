//! Leaving secrets out: of what is shown ([`redact`]), and of addresses ([`without_login`],
//! [`publishable`]).
//!
//! Every message, log line and lock that may hold an address goes through here, so that what counts
//! as a secret is said once.

use std::borrow::Cow;

use url::Url;

/// `text` as it may be shown: the `user:password@` of every URL in it becomes `****@`, and its query
/// becomes `?****`: servers have too many names for a token there. A name without a password is a
/// token on many servers, so it is hidden too. What is not quite a URL may hold secrets as well.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        redacted.push_str(before);
        // No further than to a URL in this one's path, which is the next one's turn.
        let near = &after[..after.find("://").unwrap_or(after.len())];
        let end = near.find(|c: char| matches!(c, '?' | '#') || c.is_whitespace());
        let (url, behind) = after.split_at(end.unwrap_or(near.len()));
        let authority = &url[..url.find('/').unwrap_or(url.len())];
        // A password may have a slash that nobody escaped: the "port" before it is no number.
        let is_cut = !authority.contains('@')
            && authority.rsplit_once(':').is_some_and(|(_, port)| {
                !port.ends_with(']') && port.contains(|c: char| !c.is_ascii_digit())
            });
        match if is_cut { url } else { authority }.rfind('@') {
            Some(at) => redacted.extend(["****", &url[at..]]),
            None => redacted.push_str(url),
        }
        rest = match behind.strip_prefix('?') {
            Some(query) => {
                redacted.push_str("?****");
                after_query(query)
            }
            None => behind,
        };
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

/// What follows a query, with the marks around the URL that is quoted in a sentence.
fn after_query(text: &str) -> &str {
    let end = text.find(|c: char| c == '#' || c.is_whitespace()).unwrap_or(text.len());
    let marks = |c: char| matches!(c, '`' | '"' | '\'' | ')' | ',' | ':' | ';');
    &text[text[..end].trim_end_matches(marks).len()..]
}

/// `url` without user name and password.
#[must_use]
pub fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // Fails only for URLs that can have no user, where there is nothing to leave out.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// `url` as it may stand in what is published: without user name, password, query and fragment.
#[must_use]
pub fn publishable(url: &Url) -> Url {
    let mut url = without_login(url);
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        for (text, shown) in [
            ("https://me:pass@host/x.txt", "https://****@host/x.txt"),
            ("https://host/a@b", "https://host/a@b"),
            (
                "a @ git+https://t@h/x and ssh://p@q:1/y",
                "a @ git+https://****@h/x and ssh://****@q:1/y",
            ),
            ("https://a:b@c@host", "https://****@host"),
            ("https://h/?next=https://u:p@h/#x", "https://h/?****#x"),
            ("https://p/https://u:secret@h/x", "https://p/https://****@h/x"),
            ("https://h/x#u?v://a:b@c", "https://h/x#u?v://****@c"),
            ("https://h/x?h=main&token=T1", "https://h/x?****"),
            ("https://h?tok=a@b/c", "https://h?****"),
            ("`https://h/x?X-Amz-Signature=a`b&y=1#z` ?", "`https://h/x?****#z` ?"),
            (
                "at 'https://h/?t=T': no `https://h/?t=T`",
                "at 'https://h/?****': no `https://h/?****`",
            ),
            (
                "a @ https://t@h/x?y=z#egg=a and https://h/?",
                "a @ https://****@h/x?****#egg=a and https://h/?****",
            ),
            ("http://u:secret@:99999/", "http://****@:99999/"),
            ("https://u:sec/ret@h/x", "https://****@h/x"),
            ("https://[::1]/a@b", "https://[::1]/a@b"),
            ("https://h:1/a@b", "https://h:1/a@b"),
            ("git+https://u:p@h/a@b", "git+https://****@h/a@b"),
            ("what is a token=1?", "what is a token=1?"),
            ("plain@text", "plain@text"),
            ("://", "://"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn what_is_published_has_no_secrets() {
        let url = "https://me:pass@host/x.whl?token=1&h=main#sha256=0".parse().unwrap();
        assert_eq!(without_login(&url).as_str(), "https://host/x.whl?token=1&h=main#sha256=0");
        assert_eq!(publishable(&url).as_str(), "https://host/x.whl");
        let path = "data:text".parse().unwrap();
        assert_eq!(publishable(&path), path);
    }
}
