//! [`Challenge`]: what a registry wants to be told before it answers (`WWW-Authenticate`, RFC 9110
//! 11.6.1; `Bearer` with the parameters of distribution's token specification).
//!
//! Servers write the header in many ways, and nothing depends on why one is no challenge: what cannot
//! be read is passed over.

use url::Url;

/// What a registry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A token from another server.
    Bearer(Bearer),
    /// A name and a password (RFC 7617).
    Basic,
}

/// Where tokens for a registry are given, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    realm: Url,
    service: Option<String>,
    scope: Option<String>,
}

impl Bearer {
    /// The token server, of http or https; it may be another than the registry, and less safe.
    #[must_use]
    pub const fn realm(&self) -> &Url {
        &self.realm
    }

    /// What the registry calls itself there.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// What the token must allow, as the registry says: scopes with spaces between them (RFC 6749 3.3).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

impl Challenge {
    /// The challenge to meet out of all in the values of `WWW-Authenticate`: the first `Bearer` that
    /// says where tokens are, since a password may be asked for there as well; else `Basic`.
    #[must_use]
    pub fn choose<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let values: Vec<_> = values.into_iter().map(String::from_utf8_lossy).collect();
        let offers: Vec<_> = values.iter().flat_map(|value| offers_in(value)).collect();
        let bearer = offers.iter().filter(|offer| offer.is("Bearer")).find_map(Offer::bearer);
        bearer
            .map(Self::Bearer)
            .or_else(|| offers.iter().any(|offer| offer.is("Basic")).then_some(Self::Basic))
    }
}

/// Whether the registry says in the values of `WWW-Authenticate` that the token it was shown is not good any
/// more, so that another one may be (RFC 6750 3.1). One that does not allow enough is no such token.
#[must_use]
pub fn has_ended<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    values.into_iter().map(String::from_utf8_lossy).any(|value| {
        let mut offers = offers_in(&value).into_iter();
        offers.any(|offer| offer.is("Bearer") && offer.get("error") == Some("invalid_token"))
    })
}

/// One challenge of any scheme.
struct Offer<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Offer<'_> {
    fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn bearer(&self) -> Option<Bearer> {
        let realm = Url::parse(self.get("realm")?).ok()?;
        matches!(realm.scheme(), "http" | "https").then(|| Bearer {
            realm,
            service: self.get("service").map(str::to_owned),
            scope: self.get("scope").map(str::to_owned),
        })
    }
}

/// The challenges in one value. A comma stands between challenges and between the parameters of one: a
/// word is a parameter's name when `=` follows, and else a scheme.
fn offers_in(value: &str) -> Vec<Offer<'_>> {
    let mut offers: Vec<Offer<'_>> = Vec::new();
    let mut rest = Rest(value);
    while !rest.0.is_empty() {
        let word = rest.take(is_token);
        if word.is_empty() {
            // A string where none belongs is no place to look for words.
            if rest.0.starts_with('"') {
                rest.value();
            } else {
                rest.skip();
            }
            continue;
        }
        let after_word = rest;
        rest.take(is_space);
        if rest.0.starts_with('=') {
            rest.skip();
            rest.take(is_space);
            let value = rest.value();
            if let Some(offer) = offers.last_mut() {
                offer.parameters.push((word, value));
            }
            continue;
        }
        rest = after_word;
        offers.push(Offer { scheme: word, parameters: Vec::new() });
        // Instead of parameters there may be one text with equals signs at its end (token68), which
        // no scheme has that is of use here.
        let mut after_text = rest;
        after_text.take(is_space);
        after_text.take(is_token68);
        after_text.take(|c| c == '=');
        after_text.take(is_space);
        if after_text.0.is_empty() || after_text.0.starts_with(',') {
            rest = after_text;
        }
    }
    offers
}

/// What is still to be read of a value.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, is_meant: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !is_meant(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self) {
        let mut chars = self.0.chars();
        chars.next();
        self.0 = chars.as_str();
    }

    /// A quoted string, or what stands before the next comma or space: some leave the quotes out of URLs.
    fn value(&mut self) -> String {
        let Some(quoted) = self.0.strip_prefix('"') else {
            return self.take(|c| c != ',' && !is_space(c)).into();
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => value.extend(chars.next()),
                c => value.push(c),
            }
        }
        self.0 = chars.as_str();
        value
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// RFC 9110 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// RFC 9110 11.2.
fn is_token68(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(values: &[&str]) -> String {
        match Challenge::choose(values.iter().map(|value| value.as_bytes())) {
            None => "nothing".into(),
            Some(Challenge::Basic) => "basic".into(),
            Some(Challenge::Bearer(bearer)) => {
                let said = |text: Option<&str>| text.unwrap_or("-").to_owned();
                format!("{} {} {}", bearer.realm(), said(bearer.service()), said(bearer.scope()))
            }
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        #[track_caller]
        fn case(values: &[&str], expected: &str) {
            assert_eq!(chosen(values), expected, "{values:?}");
        }
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/x:pull,push""#;
        let expected = "https://auth.docker.io/token registry.docker.io repository:a/x:pull,push";
        case(&[hub], expected);
        case(&[&format!("Basic realm=\"x, Bearer y\", {hub}")], expected);
        case(&["Basic realm=x", hub], expected);
        case(&[&format!("{hub}, Basic realm=x")], expected);
        case(&[&format!("Negotiate, NTLM, {hub}")], expected);
        case(&[&format!("Negotiate YWJj/+==  ,{hub}")], expected);
        case(
            &[&hub.to_lowercase().replace(',', " ,\t ").replace('=', " = ")[..60]],
            "https://auth.docker.io/token - -",
        );
        case(&["BEARER Realm=https://h/t?a=b,Service=s,scope=\"a b\""], "https://h/t?a=b s a b");
        case(
            &[r#"bearer realm="https://h/t" service="a \"q\" \\ b""#],
            r#"https://h/t a "q" \ b -"#,
        );
        case(
            &[r#",, ,Bearer realm="http://h:1/t", realm="http://i", service="" "#],
            "http://h:1/t - -",
        );
        case(&[r#"Bearer realm="https://h/t",scope="open"#], "https://h/t - open");
        case(&["Basic"], "basic");
        case(&["basic realm=\"Registry\""], "basic");
        case(&["Bearer realm=\"/token\", Basic realm=x"], "basic");
        case(&["Bearer service=x", "Basic"], "basic");
        case(&["Bearer realm=\"file:///etc/passwd\""], "nothing");
        case(&["Digest realm=\"Basic\", nonce=\"Basic\""], "nothing");
        case(&["Bearer", "realm=\"https://h/t\""], "nothing");
        case(&["\"Basic\"=x", "=", "\\", ""], "nothing");
        case(&[], "nothing");
    }

    #[test]
    fn a_token_that_ended_is_told_from_one_that_does_not_allow_enough() {
        let ended = |value: &str| has_ended([value.as_bytes()]);
        assert!(ended(r#"Bearer realm="https://h/t",error="invalid_token",scope="a""#));
        assert!(ended(r#"Basic realm="x", bearer realm="https://h/t", error=invalid_token"#));
        assert!(!ended(r#"Bearer realm="https://h/t",error="insufficient_scope""#));
        assert!(!ended(r#"Basic realm="x", error="invalid_token""#));
        assert!(!ended(""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..3),
            text in "(Bearer|Basic|realm|=|\"|\\\\|,| |https://h|[a-z/+.]){0,20}",
        ) {
            let _ = Challenge::choose(values.iter().map(Vec::as_slice));
            let _ = Challenge::choose([text.as_bytes()]);
        }

        #[test]
        fn what_is_quoted_is_read_back(service in "[ -~\u{e4}]{1,20}", scope in "[ -~]{1,20}") {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let value = format!(
                "Basic realm=\"{0}\", Bearer service=\"{0}\", realm=\"https://h/t\" , scope=\"{1}\"",
                quoted(&service), quoted(&scope)
            );
            prop_assert_eq!(chosen(&[&value]), format!("https://h/t {service} {scope}"));
        }
    }
}
