//! [`Token`]: what a registry's token server answers (distribution's "Token Authentication
//! Specification"). What it is asked is in [`scope`](super::scope).

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The most a token server's answer may have, in bytes.
pub const ANSWER_LIMIT: usize = 1 << 20;

/// The longest token, in bytes: servers take no longer header.
const TOKEN_LIMIT: usize = 64 << 10;

/// How long a token is good for when its server does not say, as the specification has it.
const LIFETIME: Duration = Duration::from_secs(60);

/// What is believed of a lifetime at most: a run is over by then.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What a token server gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    token: String,
    lifetime: Duration,
    refresh: Option<String>,
}

impl Token {
    /// Reads a token server's answer.
    ///
    /// # Errors
    /// [`TokenError`] when it is none, or has nothing in it that can be sent as a token.
    pub fn parse(body: &[u8]) -> Result<Self, TokenError> {
        if body.len() > ANSWER_LIMIT {
            return Err(TokenError::Long { what: "answer", limit: ANSWER_LIMIT });
        }
        // Into a value first: the complaints of typed parsing quote what they read.
        let answer: Value =
            serde_json::from_slice(body).map_err(|source| TokenError::Json { source })?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        let token = text("token").or_else(|| text("access_token")).ok_or(TokenError::Missing)?;
        if token.len() > TOKEN_LIMIT {
            return Err(TokenError::Long { what: "token", limit: TOKEN_LIMIT });
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        Ok(Self {
            token: token.into(),
            lifetime: answer.get("expires_in").and_then(lifetime).unwrap_or(LIFETIME),
            refresh: text("refresh_token").map(str::to_owned),
        })
    }

    /// The token, for `Authorization: Bearer`: visible ASCII.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.token
    }

    /// How long it is good for from when it was asked for; at most a day.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// An identity token to get others with, when the server gave one.
    #[must_use]
    pub fn refresh(&self) -> Option<&str> {
        self.refresh.as_deref()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// A number of seconds, which some servers quote. Programs that do not say write 0.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (seconds >= 1.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST_LIFETIME.as_secs_f64())))
}

/// Why a token server's answer is none. Nothing of the answer is shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not JSON.
    #[error("the token server's answer is not JSON")]
    Json {
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// It has no token.
    #[error("the token server's answer has no `token` and no `access_token`")]
    Missing,
    /// It or its token is too long.
    #[error("the token server's {what} is longer than {limit} bytes")]
    Long {
        /// What is too long.
        what: &'static str,
        /// What is the most.
        limit: usize,
    },
    /// The token cannot stand in a header.
    #[error("the token server's token has other characters than visible ASCII")]
    Characters,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_has_a_token_and_a_lifetime() {
        #[track_caller]
        fn case(text: &str, token: &str, seconds: u64, refresh: Option<&str>) {
            let answer = Token::parse(text.as_bytes()).unwrap();
            let found = (answer.secret(), answer.lifetime(), answer.refresh());
            assert_eq!(found, (token, Duration::from_secs(seconds), refresh), "{text}");
            assert!(!format!("{answer:?}").contains(token));
        }
        case(r#"{"token": "abc"}"#, "abc", 60, None);
        case(
            r#"{"access_token": "abc", "expires_in": 300, "refresh_token": "r"}"#,
            "abc",
            300,
            Some("r"),
        );
        case(r#"{"token": "abc", "access_token": "def", "issued_at": "x"}"#, "abc", 60, None);
        case(r#"{"token": "", "access_token": "def", "expires_in": "3599"}"#, "def", 3599, None);
        for odd in ["0", "-5", "null", "[]", "\"soon\"", "\"NaN\""] {
            case(&format!(r#"{{"token": "abc", "expires_in": {odd}}}"#), "abc", 60, None);
        }
        for much in ["18446744073709551615", "1e300", "\"inf\""] {
            case(&format!(r#"{{"token": "abc", "expires_in": {much}}}"#), "abc", 86400, None);
        }
    }

    #[test]
    fn an_answer_without_a_token_is_said_to_be_so() {
        let case = |text: &str| Token::parse(text.as_bytes()).unwrap_err().to_string();
        insta::assert_snapshot!(case("<html>"), @"the token server's answer is not JSON");
        insta::assert_snapshot!(case("[]"), @"the token server's answer has no `token` and no `access_token`");
        insta::assert_snapshot!(case(r#"{"token": 5}"#), @"the token server's answer has no `token` and no `access_token`");
        insta::assert_snapshot!(case(r#"{"token": "a\nb"}"#), @"the token server's token has other characters than visible ASCII");
        insta::assert_snapshot!(case(&format!(r#"{{"token": "{}"}}"#, "a".repeat(70_000))), @"the token server's token is longer than 65536 bytes");
        insta::assert_snapshot!(case(&" ".repeat(ANSWER_LIMIT + 1)), @"the token server's answer is longer than 1048576 bytes");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            text in "\\{\"(token|expires_in)\": ?(\"[a-z]{0,3}\"|-?[0-9]{1,30}|1e[0-9]{1,3}), ?\"(token|expires_in)\": ?(\"[ -~]{0,3}\"|-?[0-9.]{1,30})\\}",
        ) {
            let _ = Token::parse(&bytes);
            if let Ok(token) = Token::parse(text.as_bytes()) {
                prop_assert!(token.lifetime() > Duration::ZERO && token.lifetime() <= LONGEST_LIFETIME);
            }
        }
    }
}
