//! [`RegistryLogin`]: who we are to a registry, and [`LoginError`]: why that cannot be found out.
//! Neither shows a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryLogin {
    /// A name and a password, for Basic authentication at the registry or at its token server.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A token that the token server exchanges for others: a `refresh_token` (RFC 6749).
    IdentityToken(String),
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryLogin(****)")
    }
}

/// Why the login for a registry cannot be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// A file of logins cannot be read.
    #[error("the logins in `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of logins is not as Docker writes it. The parser's own words may hold what stands there.
    #[error("`{}` is not a file of logins: {fault} at line {line} column {column}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
    /// A login in a file is none.
    #[error(
        "`{}`: the `auth` of `{}` is not a name and a password in base64",
        path.display(),
        key.escape_debug()
    )]
    Auth {
        /// The file.
        path: PathBuf,
        /// What the file calls the registry.
        key: String,
    },
    /// What a file calls a helper program cannot be the name of one.
    #[error("`{}`: `{}` is not the name of a credential helper", path.display(), helper.escape_debug())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The name.
        helper: String,
    },
    /// A helper program cannot be run.
    #[error("`{program}`, which has the login for `{server}`, cannot be run")]
    HelperStart {
        /// The program.
        program: String,
        /// What it was to be asked for.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A helper program fails.
    #[error("`{program}` gives no login for `{server}`: {}", ended(*status, said))]
    HelperFailed {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
        /// How it ended.
        status: ExitStatus,
        /// The first line of its complaint; it may have none.
        said: String,
    },
    /// A helper program takes too long.
    #[error("`{program}` gives no login for `{server}` within {} seconds", limit.as_secs())]
    HelperSlow {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A helper program ends well and says nothing that can be read.
    #[error("the answer of `{program}` about `{server}` is not a login")]
    HelperAnswer {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
    },
}

/// How a program ended, in its own words where it has some.
fn ended(status: ExitStatus, said: &str) -> String {
    if said.is_empty() { status.to_string() } else { said.into() }
}
