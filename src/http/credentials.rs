//! [`Credentials`]: who we are to which server, from addresses with `user:password@` and from a netrc
//! file. They leave the addresses at the door, so that no message and no cache can show them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::RwLock;

use percent_encoding::percent_decode_str;
use url::{Origin, Url};

use crate::vocab::redact::without_login;

/// A name and a password for HTTP's Basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(****)")
    }
}

/// What is known of logins.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    netrc: Netrc,
    /// Logins that came in addresses: origin, path and login.
    told: RwLock<Vec<(Origin, String, Login)>>,
}

impl Credentials {
    pub(super) fn new(netrc: Netrc) -> Self {
        Self { netrc, told: RwLock::default() }
    }

    /// The address without its login, which is remembered.
    pub(super) fn strip(&self, url: &Url) -> Url {
        let bare = without_login(url);
        let Some(login) = login_in(url) else { return bare };
        let entry = (bare.origin(), bare.path().to_owned(), login);
        let mut told = self.told.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !told.contains(&entry) {
            told.push(entry);
        }
        bare
    }

    /// The login for an address: its own, else the one told for the longest path above it or else
    /// for its server, else the netrc's.
    pub(super) fn login(&self, url: &Url) -> Option<Login> {
        if let Some(own) = login_in(url) {
            return Some(own);
        }
        let told = self.told.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let origin = url.origin();
        told.iter()
            .filter(|(at, _, _)| *at == origin)
            .max_by_key(|(_, path, _)| if url.path().starts_with(path) { path.len() } else { 0 })
            .map(|(_, _, login)| login.clone())
            .or_else(|| self.netrc.login(url.host_str()?))
    }
}

fn login_in(url: &Url) -> Option<Login> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (!url.username().is_empty() || url.password().is_some())
        .then(|| Login { name: decode(url.username()), password: url.password().map(decode) })
}

/// The logins of a netrc file, by host, as ftp(1) describes it.
#[derive(Debug, Default)]
pub(super) struct Netrc {
    hosts: BTreeMap<String, Login>,
    default: Option<Login>,
}

impl Netrc {
    /// Reads a file; one that is not there has no logins.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match fs_err::read(path) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let mut netrc = Self::default();
        let mut words = Vec::new();
        let mut in_macro = false;
        for line in text.lines() {
            // A macro ends at an empty line; its text is not ours to read.
            if in_macro {
                in_macro = !line.trim().is_empty();
                continue;
            }
            for word in line.split_whitespace().take_while(|word| !word.starts_with('#')) {
                if word == "macdef" {
                    in_macro = true;
                    break;
                }
                words.push(word);
            }
        }
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let host = match word {
                "machine" => words.next().map(str::to_owned),
                "default" => None,
                _ => continue,
            };
            let (mut name, mut password) = (String::new(), None);
            while let Some(key) = words.next_if(|word| !matches!(*word, "machine" | "default")) {
                match key {
                    "login" => name = words.next().unwrap_or_default().to_owned(),
                    "password" => password = words.next().map(str::to_owned),
                    _ => {}
                }
            }
            let login = Login { name, password };
            match host {
                Some(host) => {
                    netrc.hosts.entry(host).or_insert(login);
                }
                None if word == "default" => netrc.default = netrc.default.or(Some(login)),
                None => {}
            }
        }
        netrc
    }

    fn login(&self, host: &str) -> Option<Login> {
        self.hosts.get(host).or(self.default.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str, password: &str) -> Login {
        Login { name: name.into(), password: Some(password.into()) }
    }

    #[test]
    fn reads_a_netrc() {
        let netrc = Netrc::parse(
            "# logins\nmachine a.test login me password one # mine\nmacdef init\n machine x\n\n\
             machine b.test\n  password two\n  login you\n  account x\ndefault login any password three",
        );
        assert_eq!(netrc.login("a.test"), Some(login("me", "one")));
        assert_eq!(netrc.login("b.test"), Some(login("you", "two")));
        assert_eq!(netrc.login("c.test"), Some(login("any", "three")));
        assert_eq!(Netrc::parse("machine").login("a"), None);
        assert_eq!(Netrc::parse("login x machine a login").login("b"), None);
    }

    #[test]
    fn the_longest_path_above_an_address_counts() {
        let credentials = Credentials::default();
        let url = |text: &str| Url::parse(text).unwrap();
        let bare = credentials.strip(&url("https://me:p%40ss@a.test/one/simple/"));
        assert_eq!(bare.as_str(), "https://a.test/one/simple/");
        credentials.strip(&url("https://token@a.test/two/simple/"));
        assert_eq!(
            credentials.login(&url("https://a.test/one/simple/six/")),
            Some(login("me", "p@ss"))
        );
        let token = Login { name: "token".into(), password: None };
        assert_eq!(credentials.login(&url("https://a.test/two/simple/six/")), Some(token));
        assert!(credentials.login(&url("https://a.test/files/x.whl")).is_some());
        assert_eq!(credentials.login(&url("https://b.test/one/simple/")), None);
        assert_eq!(credentials.login(&url("http://a.test/one/simple/")), None);
        assert!(!format!("{credentials:?}").contains("p@ss"));
    }
}
