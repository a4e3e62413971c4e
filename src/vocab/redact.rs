//! Leaving secrets out: of what is shown ([`redact`]), and of addresses ([`without_login`],
//! [`publishable`]).
//!
//! Every message, log line and lock that may hold an address goes through here, so that what counts
//! as a secret is said once.

use std::borrow::Cow;

use url::Url;

/// Fields of a query whose names hold one of these (in lower case) have secret values.
const SECRETS: [&str; 7] = ["auth", "credential", "key", "passw", "secret", "sig", "token"];

/// `text` as it may be shown: the `user:password@` of every URL in it becomes `****@`, and so does
/// the value of a query's field such as `?token=`. A name without a password is a token on many
/// servers, so it is hidden too.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    without_secret_fields(&without_logins(text)).into()
}

fn without_logins(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        let end = after
            .find(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace())
            .unwrap_or(after.len());
        redacted.push_str(before);
        rest = match after[..end].rfind('@') {
            Some(at) => {
                redacted.push_str("****");
                &after[at..]
            }
            None => after,
        };
    }
    redacted.push_str(rest);
    redacted
}

fn without_secret_fields(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for (at, field) in text.split_inclusive(['?', '&']).enumerate() {
        let secret = field.split_once('=').filter(|(name, _)| at > 0 && is_secret(name));
        let Some((name, value)) = secret else {
            redacted.push_str(field);
            continue;
        };
        let ends = |c: char| c.is_whitespace() || matches!(c, '&' | '#' | '`' | '"' | '\'');
        let end = value.find(ends).unwrap_or(value.len());
        redacted.push_str(name);
        redacted.push_str("=****");
        redacted.push_str(&value[end..]);
    }
    redacted
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && SECRETS.iter().any(|secret| name.contains(secret))
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
            ("https://h/x?next=https://u:p@h/", "https://h/x?next=https://****@h/"),
            ("https://h/x?h=main&token=T1", "https://h/x?h=main&token=****"),
            (
                "`https://h/x?X-Amz-Signature=abc&y=1#z` ?",
                "`https://h/x?X-Amz-Signature=****&y=1#z` ?",
            ),
            ("https://h/?private_token=T#f is", "https://h/?private_token=****#f is"),
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
