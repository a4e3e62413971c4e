//! [`LoginFile`]: one file of logins, Docker's `config.json` or podman's `auth.json`, and what its keys
//! mean. Helper programs are named here and run elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::error::Category;

use super::login::{LoginError, RegistryLogin};
use super::name::ImageName;

/// Docker's Hub, as the names of images have it.
const HUB: &str = "docker.io";

/// What Docker calls its Hub in files, and asks helpers for.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A file of logins.
#[derive(Debug, Clone)]
pub(super) struct LoginFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(****)")
    }
}

impl LoginFile {
    /// Reads what stands in the file at `path`.
    ///
    /// # Errors
    /// [`LoginError::Malformed`].
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, LoginError> {
        // Docker and podman take an empty file for one without logins.
        let content = if bytes.trim_ascii().is_empty() {
            Content::default()
        } else {
            serde_json::from_slice(bytes).map_err(|error| LoginError::Malformed {
                path: path.into(),
                fault: match error.classify() {
                    Category::Data => "a value of the wrong type",
                    Category::Eof => "an early end",
                    _ => "no JSON",
                },
                line: error.line(),
                column: error.column(),
            })?
        };
        Ok(Self { path: path.into(), content })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the helper for a host is called; an empty name says that there is none.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let own = self.content.cred_helpers.iter().flatten().find(|(key, _)| place(key) == host);
        let all = self.content.creds_store.as_deref();
        own.map(|(_, helper)| helper.as_str()).or(all).filter(|helper| !helper.is_empty())
    }

    /// The login in the file itself, of the longest namespace above the repository.
    ///
    /// # Errors
    /// [`LoginError::Auth`].
    pub(super) fn login(&self, name: &ImageName) -> Result<Option<RegistryLogin>, LoginError> {
        let entries = || self.content.auths.iter().flatten();
        let whole = format!("{}/{}", account(name.host()), name.repository());
        let ends = whole.match_indices('/').map(|(at, _)| at).chain([whole.len()]);
        for end in ends.rev() {
            let wanted = &whole[..end];
            let mut fitting: Vec<_> = entries().filter(|(key, _)| place(key) == wanted).collect();
            // The key that Docker asks for comes before others that mean the same registry.
            fitting.sort_by_key(|(key, _)| *key != server(wanted));
            for (key, entry) in fitting {
                let login = entry.as_ref().map(Entry::login).transpose();
                let login = login.map_err(|NoLogin| LoginError::Auth {
                    path: self.path.clone(),
                    key: key.clone(),
                })?;
                if let Some(login) = login.flatten() {
                    return Ok(Some(login));
                }
            }
        }
        Ok(None)
    }
}

/// An entry that should have a login and has not.
struct NoLogin;

impl Entry {
    /// The login it has; with a helper, Docker leaves entries without any.
    fn login(&self) -> Result<Option<RegistryLogin>, NoLogin> {
        let said = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = said(&self.identitytoken) {
            return Ok(Some(RegistryLogin::IdentityToken(token)));
        }
        if let Some(auth) = said(&self.auth) {
            let bytes = ENGINE.decode(auth.trim()).map_err(|_| NoLogin)?;
            let text = String::from_utf8(bytes).map_err(|_| NoLogin)?;
            let (name, password) = text.split_once(':').ok_or(NoLogin)?;
            // As Docker does: some programs pad with zeros before they encode.
            let password = password.trim_matches('\0');
            return Ok(Some(RegistryLogin::Password {
                name: name.into(),
                password: password.into(),
            }));
        }
        let password = said(&self.password);
        Ok(said(&self.username)
            .zip(password)
            .map(|(name, password)| RegistryLogin::Password { name, password }))
    }
}

/// Takes base64 with and without its padding, as it is written by hand too.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a registry is called to helpers, and as a key by `docker login`.
pub(super) fn server(host: &str) -> &str {
    if host == HUB { HUB_KEY } else { host }
}

/// The host under which a login is looked for: the Hub has several.
pub(super) fn account(host: &str) -> &str {
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { HUB } else { host }
}

/// The `HOST[/NAMESPACE]` that a key means. Docker's keys may be URLs of a version of the API, whose path
/// says nothing.
fn place(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (host, path) = bare.unwrap_or(key).split_once('/').unwrap_or((bare.unwrap_or(key), ""));
    match path.trim_end_matches('/') {
        path if bare.is_none() && !matches!(path, "" | "v1" | "v2") => {
            format!("{}/{path}", account(host))
        }
        _ => account(host).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str, image: &str) -> Result<String, LoginError> {
        let file = LoginFile::parse(Path::new("/c/config.json"), text.as_bytes())?;
        Ok(match file.login(&image.parse().unwrap())? {
            None => "nobody".into(),
            Some(RegistryLogin::Password { name, password }) => format!("{name}:{password}"),
            Some(RegistryLogin::IdentityToken(token)) => format!("token {token}"),
        })
    }

    #[test]
    fn a_login_is_found_by_any_of_its_keys() {
        #[track_caller]
        fn case(auths: &str, image: &str, expected: &str) {
            let text = format!(r#"{{"auths": {{{auths}}}, "HttpHeaders": {{"a": 1}}}}"#);
            assert_eq!(login(&text, image).unwrap(), expected, "{auths}: {image}");
        }
        const ME: &str = r#"{"auth": "bWU6cDpx"}"#;
        const YOU: &str = r#"{"username": "you", "password": "two"}"#;
        let me = |key: &str| format!(r#""{key}": {ME}"#);
        case(&me("quay.io"), "quay.io/a/x", "me:p:q");
        case(&me("quay.io"), "quay.io:443/a/x", "nobody");
        case(&me("quay.io"), "other.io/x", "nobody");
        for key in [
            "https://quay.io",
            "http://quay.io/v1/",
            "quay.io/",
            "quay.io/v2/",
            "https://quay.io/b",
        ] {
            case(&me(key), "quay.io/a/x", "me:p:q");
        }
        for key in
            ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]
        {
            case(&me(key), "ubuntu", "me:p:q");
            case(&me(key), "registry-1.docker.io/library/ubuntu", "me:p:q");
        }
        let two = format!(r#"{}, "quay.io/a/b": {YOU}, "quay.io/a/none": {{}}"#, me("quay.io/a"));
        case(&two, "quay.io/a/x", "me:p:q");
        case(&two, "quay.io/a/b/x", "you:two");
        case(&two, "quay.io/a/b", "you:two");
        case(&two, "quay.io/a/bc", "me:p:q");
        case(&two, "quay.io/a/none", "me:p:q");
        case(&two, "quay.io/c", "nobody");
        case(&format!(r#"{}, "index.docker.io/b": {YOU}"#, me("docker.io/a")), "b/x", "you:two");
        let both = format!(r#""http://h:1": {YOU}, {}, "https://h:1": {YOU}"#, me("h:1"));
        case(&both, "h:1/x", "me:p:q");
        case(r#""h:1": {"auth": "bWU6", "identitytoken": "t"}"#, "h:1/x", "token t");
        case(r#""h:1": {"auth": "bWU6cDpx\n"}, "h:2": null"#, "h:1/x", "me:p:q");
        case(r#""h:1": {"auth": "bWU6cAA="}"#, "h:1/x", "me:p");
        case(r#""h:1": {"auth": "bWU6cAA"}"#, "h:1/x", "me:p");
        case(r#""h:1": {"auth": ""}"#, "h:1/x", "nobody");
        case(r#""h:1": {"email": "a@b"}"#, "h:1/x", "nobody");
    }

    #[test]
    fn a_wrong_file_is_named_and_its_secrets_are_not() {
        let fails = |text: &str| {
            let error = login(text, "h:1/x").unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
            error.to_string()
        };
        insta::assert_snapshot!(fails("{\n  \"auths\": s3cret}"), @"`/c/config.json` is not a file of logins: no JSON at line 2 column 12");
        insta::assert_snapshot!(fails("{\n  \"auths\": {\"h\": \"s3cret\"}}"), @"`/c/config.json` is not a file of logins: a value of the wrong type at line 2 column 25");
        insta::assert_snapshot!(fails("{\"auths\": {"), @"`/c/config.json` is not a file of logins: an early end at line 1 column 11");
        for auth in ["s3cret", "s3cret==!", "czNjcmV0"] {
            let text = format!(r#"{{"auths": {{"h:1": {{"auth": "{auth}"}}}}}}"#);
            let error =
                "`/c/config.json`: the `auth` of `h:1` is not a name and a password in base64";
            assert_eq!(fails(&text), error, "{auth}");
            assert_eq!(login(&text, "h:2/x").unwrap(), "nobody");
        }
    }
}
