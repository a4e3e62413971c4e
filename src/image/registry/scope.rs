//! [`Scope`]: what a token is to allow, and how a registry's token server is asked for it
//! (distribution's "Token Authentication Specification", and for identity tokens RFC 6749). Nothing
//! here sends a request.

use std::collections::BTreeSet;
use std::fmt;

use url::Url;
use url::form_urlencoded::Serializer;

use super::challenge::Bearer;
use super::name::ImageName;

/// Who asks, where a token server wants to know (RFC 6749 2.2).
const CLIENT: &str = "loci";

/// What a token allows. Displays as token servers know it: `repository:NAME:pull,push`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    repository: String,
    actions: &'static str,
}

impl Scope {
    /// To read in the repository of `name`.
    #[must_use]
    pub fn pull(name: &ImageName) -> Self {
        Self { repository: name.repository().into(), actions: "pull" }
    }

    /// To read and write in the repository of `name`. To mount a blob of another repository takes
    /// [`Scope::pull`] of that one beside it.
    #[must_use]
    pub fn push(name: &ImageName) -> Self {
        Self { repository: name.repository().into(), actions: "pull,push" }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository:{}:{}", self.repository, self.actions)
    }
}

impl Bearer {
    /// The address that gives a token for all of `scopes`, and for what the registry asks for itself: it
    /// may know its repositories by other names than we do. A password is sent with Basic, or none.
    #[must_use]
    pub fn token_url(&self, scopes: &BTreeSet<Scope>) -> Url {
        let mut url = self.realm().clone();
        url.set_fragment(None);
        let parameters = self.service().map(|service| ("service", service.to_owned()));
        let scopes = self.wanted(scopes).into_iter().map(|scope| ("scope", scope));
        let parameters: Vec<_> = parameters.into_iter().chain(scopes).collect();
        // Even with nothing to append, a question mark would be.
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    /// The form (`application/x-www-form-urlencoded`) to post to [`Bearer::realm`] to exchange an
    /// identity token for one that allows all of `scopes`. It holds the identity token.
    #[must_use]
    pub fn refresh_form(&self, scopes: &BTreeSet<Scope>, identity_token: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", self.service().unwrap_or_default());
        form.append_pair("client_id", CLIENT);
        form.append_pair("scope", &self.wanted(scopes).join(" "));
        form.append_pair("refresh_token", identity_token);
        form.finish()
    }

    /// `scopes`, and what of the registry's own is not in them.
    fn wanted(&self, scopes: &BTreeSet<Scope>) -> Vec<String> {
        let mut wanted: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        for own in self.scope().unwrap_or_default().split_ascii_whitespace() {
            if !wanted.iter().any(|scope| allows(scope, own)) {
                wanted.push(own.into());
            }
        }
        wanted
    }
}

/// Whether who has `scope` may do what `other` is for.
fn allows(scope: &str, other: &str) -> bool {
    match (scope.rsplit_once(':'), other.rsplit_once(':')) {
        (Some((of, actions)), Some((other_of, others))) => {
            let has = |action| actions.split(',').any(|own| own == action);
            of == other_of && others.split(',').all(has)
        }
        _ => scope == other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::challenge::Challenge;
    use super::*;

    fn bearer(header: &str) -> Bearer {
        match Challenge::choose([header.as_bytes()]) {
            Some(Challenge::Bearer(bearer)) => bearer,
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn a_token_is_asked_for_with_every_scope() {
        let name = |text: &str| text.parse::<ImageName>().unwrap();
        let (push, pull) = (Scope::push(&name("h:1/a/x")), Scope::pull(&name("h:1/base")));
        let case = |own: &str, scopes: &[&Scope], expected: &[&str]| {
            let bearer = bearer(&format!("Bearer realm=\"https://h/t\",scope=\"{own}\""));
            let url = bearer.token_url(&scopes.iter().copied().cloned().collect());
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let expected: Vec<_> =
                expected.iter().map(|&scope| ("scope".to_owned(), scope.to_owned())).collect();
            assert_eq!(pairs, expected, "{own}");
        };
        let both = ["repository:a/x:pull,push", "repository:base:pull"];
        case("", &[&push, &pull, &pull], &both);
        case("repository:a/x:push,pull repository:base:pull", &[&push, &pull], &both);
        let others = "repository:proxy/base:pull registry:catalog:* odd";
        let asked: Vec<_> = [both[1]].into_iter().chain(others.split(' ')).collect();
        case(others, &[&pull], &asked);
        let more = "repository:base:pull,delete";
        case(more, &[&pull], &[both[1], more]);
        case(more, &[], &[more]);
    }

    #[test]
    fn what_is_asked_is_encoded() {
        let scopes = BTreeSet::from([Scope::push(&"h:1/a/x".parse().unwrap())]);
        let realm = bearer("Bearer realm=\"https://h/t?a=b#c\", service=\"h:1\"");
        insta::assert_snapshot!(realm.token_url(&scopes), @"https://h/t?a=b&service=h%3A1&scope=repository%3Aa%2Fx%3Apull%2Cpush");
        insta::assert_snapshot!(realm.refresh_form(&scopes, "a&b=c"), @"grant_type=refresh_token&service=h%3A1&client_id=loci&scope=repository%3Aa%2Fx%3Apull%2Cpush&refresh_token=a%26b%3Dc");
        let bare = bearer("Bearer realm=\"https://h/t\"");
        insta::assert_snapshot!(bare.token_url(&BTreeSet::new()), @"https://h/t");
    }
}
