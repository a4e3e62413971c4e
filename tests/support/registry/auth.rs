//! [`Gate`]: who may do what at a registry, and the tokens it gives out, by the Docker registry's
//! token specification. What a request does is told to it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::http::{Answer, Request, values};
use super::routes::error;

/// How a client shows who it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// It need not.
    #[default]
    Open,
    /// By name and password.
    Basic,
    /// By a token, got for a name and password or an identity token at `/token`.
    Bearer,
}

/// What a request needs: a repository, and `pull` or `push` there.
pub type Need = (String, &'static str);

#[derive(Default)]
pub struct Gate {
    pub scheme: Scheme,
    /// The value of Authorization that names the one user there is.
    login: String,
    pub identity_token: Option<String>,
    /// Whether those without credentials may pull.
    pub anonymous_pull: bool,
    /// Repositories that nobody may use.
    pub denied: BTreeSet<String>,
    /// How often a token given from now on is good for.
    pub token_uses: Option<usize>,
    tokens: BTreeMap<String, Token>,
    /// The address of the token endpoint.
    pub realm: String,
}

struct Token {
    /// What it allows, by repository.
    scopes: BTreeMap<String, BTreeSet<String>>,
    left: Option<usize>,
}

impl Gate {
    pub fn set_login(&mut self, name: &str, password: &str) {
        self.login = basic(name, password);
    }

    /// What is answered to a request that may not do what it needs to; uses up its token once
    /// otherwise.
    pub fn refuses(&mut self, request: &Request, needs: &[Need]) -> Option<Answer> {
        let authorization = request.header("authorization");
        match self.scheme {
            Scheme::Open => None,
            Scheme::Basic => {
                let user = authorization == Some(&self.login);
                let may = |(repository, action): &Need| self.may(user, repository, action);
                if !user && (authorization.is_some() || needs.is_empty() || !needs.iter().all(may))
                {
                    let challenge = "Basic realm=\"fixture\"";
                    return Some(unauthorized().header("www-authenticate", challenge));
                }
                (!needs.iter().all(may)).then(|| error(403, "DENIED", "access is denied"))
            }
            Scheme::Bearer => {
                let told = authorization.and_then(|text| text.strip_prefix("Bearer "));
                let mistake = match told.map(|token| self.tokens.get_mut(token)) {
                    None => "",
                    Some(None | Some(Token { left: Some(0), .. })) => ",error=\"invalid_token\"",
                    Some(Some(token)) if token.allows(needs) => {
                        token.left = token.left.map(|left| left - 1);
                        return None;
                    }
                    Some(Some(_)) => ",error=\"insufficient_scope\"",
                };
                let challenge = format!(
                    "Bearer realm=\"{}\",service=\"fixture\"{}{mistake}",
                    self.realm,
                    scope(needs)
                );
                Some(unauthorized().header("www-authenticate", challenge))
            }
        }
    }

    fn may(&self, user: bool, repository: &str, action: &str) -> bool {
        let known = user || self.anonymous_pull && action == "pull";
        known && !self.denied.contains(repository)
    }

    /// Answers at the token endpoint: GET with a name and password or without any, POST as OAuth 2
    /// has it with an identity token or a password.
    pub fn token(&mut self, request: &Request, form: &[u8]) -> Answer {
        let field = |key: &str| values(form, key).into_iter().next().unwrap_or_default();
        let posted = request.method == "POST";
        let (user, scopes) = if posted {
            let user = match field("grant_type").as_str() {
                "refresh_token" => self.identity_token == Some(field("refresh_token")),
                "password" => self.login == basic(&field("username"), &field("password")),
                _ => false,
            };
            (Some(user), values(form, "scope"))
        } else {
            let user = request.header("authorization").map(|told| told == self.login);
            (user, request.queries("scope"))
        };
        if user == Some(false) {
            return unauthorized();
        }
        let mut token = Token { scopes: BTreeMap::new(), left: self.token_uses };
        for scope in scopes.iter().flat_map(|scopes| scopes.split_whitespace()) {
            let mut parts = scope.split(':');
            let (Some("repository"), Some(repository), Some(actions)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let actions = actions.split(',');
            let given = actions.filter(|action| self.may(user.is_some(), repository, action));
            let allowed = token.scopes.entry(repository.into()).or_default();
            allowed.extend(given.map(str::to_owned));
        }
        let name = format!("token-{}", self.tokens.len() + 1);
        self.tokens.insert(name.clone(), token);
        // Registries use either word, and some both.
        let word = if posted { "access_token" } else { "token" };
        Answer::new(200).json(&json!({word: name, "expires_in": 300}))
    }
}

impl Token {
    fn allows(&self, needs: &[Need]) -> bool {
        let allowed = |repository: &str, action: &str| {
            self.scopes.get(repository).is_some_and(|actions| actions.contains(action))
        };
        needs.iter().all(|(repository, action)| allowed(repository, action))
    }
}

/// The challenge's part that says what is needed; empty when nothing is.
fn scope(needs: &[Need]) -> String {
    let mut scopes = Vec::<String>::new();
    for (repository, action) in needs {
        let start = format!("repository:{repository}:");
        match scopes.iter_mut().find(|scope| scope.starts_with(&start)) {
            Some(scope) => scope.extend([",", action]),
            None => scopes.push(start + action),
        }
    }
    if scopes.is_empty() { String::new() } else { format!(",scope=\"{}\"", scopes.join(" ")) }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn unauthorized() -> Answer {
    error(401, "UNAUTHORIZED", "authentication required")
}
