//! [`ask`]: a login out of a credential helper, a program beside the engine that keeps logins
//! (`docker-credential-NAME get`, the protocol of docker-credential-helpers). Logins are only read.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::vocab::redact::redact;

use super::login::{LoginError, RegistryLogin};

/// How long a helper may take: it may ask a keychain or a cloud, but nobody is there to type.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read of what a helper says, in bytes.
const ANSWER_LIMIT: u64 = 1 << 20;

/// The most that is shown of a helper's complaint, in characters.
const COMPLAINT_LIMIT: usize = 200;

/// What a helper says when it knows no login, on standard output and with a failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: String,
}

/// Asks the helper `program`, looked for in `path` (a value of `PATH`; by default this process's),
/// for the login to `server`; none when it knows of none.
///
/// # Errors
/// [`LoginError`] when it cannot be run, fails, takes longer than `limit` or answers nonsense.
pub(super) async fn ask(
    program: &str,
    server: &str,
    path: Option<&OsStr>,
    limit: Duration,
) -> Result<Option<RegistryLogin>, LoginError> {
    let start =
        |source| LoginError::HelperStart { program: program.into(), server: server.into(), source };
    let mut command = Command::new(program);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A helper may answer without reading; whether it knew what to answer shows then.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
    };
    let talk = async { tokio::join!(tell, read(stdout), read(stderr), child.wait()) };
    let Ok(((), said, complaint, status)) = tokio::time::timeout(limit, talk).await else {
        let (program, server) = (program.into(), server.into());
        return Err(LoginError::HelperSlow { program, server, limit });
    };
    let status = status.map_err(start)?;
    if !status.success() {
        if said.trim_ascii() == NOT_FOUND.as_bytes() {
            return Ok(None);
        }
        let said = grievance(&complaint, &said);
        return Err(LoginError::HelperFailed {
            program: program.into(),
            server: server.into(),
            status,
            said,
        });
    }
    // The parser's complaint is not passed on: it may quote what it read.
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| LoginError::HelperAnswer { program: program.into(), server: server.into() })?;
    Ok(match (answer.username, answer.secret) {
        (name, token) if name == TOKEN_USER => Some(RegistryLogin::IdentityToken(token)),
        (name, password) if name.is_empty() && password.is_empty() => None,
        (name, password) => Some(RegistryLogin::Password { name, password }),
    })
}

/// What an output says, up to the limit; it is closed then, so that nobody waits for us to go on.
async fn read(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(output) = output {
        // What came before an error is all there is to judge.
        let _ = output.take(ANSWER_LIMIT).read_to_end(&mut said).await;
    }
    said
}

/// The line to show of a helper that failed: the first on standard error, else the one on standard
/// output, where the protocol has it, if it is a sentence and cannot be (a piece of) an answer.
fn grievance(complaint: &[u8], said: &[u8]) -> String {
    let first = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let shown = redact(line.unwrap_or_default());
        shown.chars().filter(|c| !c.is_control()).take(COMPLAINT_LIMIT).collect::<String>()
    };
    let (complaint, said) = (first(complaint), first(said));
    if complaint.is_empty() && said.contains(' ') && !said.contains(['{', '"']) {
        return said;
    }
    complaint
}

#[cfg(test)]
pub(super) mod testing {
    //! Helper programs made in code.

    use std::path::Path;
    use std::process::{Command, Stdio};

    /// Puts a helper called `docker-credential-NAME` into `dir`, a shell script.
    pub(in super::super) fn helper(dir: &Path, name: &str, script: &str) {
        // Written by another process: what this one has open for writing while another thread starts
        // a program cannot be run ("text file busy").
        let status = Command::new("/bin/sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod +x "$2""#, "sh", script])
            .arg(dir.join(format!("docker-credential-{name}")))
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(script: &str, limit: Duration) -> Result<Option<RegistryLogin>, LoginError> {
        let dir = tempfile::tempdir().unwrap();
        testing::helper(dir.path(), "x", script);
        let path = std::env::join_paths([dir.path(), "/usr/bin".as_ref(), "/bin".as_ref()]);
        ask("docker-credential-x", "quay.io", Some(&path.unwrap()), limit).await
    }

    #[tokio::test]
    async fn a_helper_is_asked() {
        let case = async |script: &str| answer(script, PATIENCE).await.unwrap();
        let password = |name: &str, password: &str| {
            Some(RegistryLogin::Password { name: name.into(), password: password.into() })
        };
        let echo = r#"[ "$1" = get ] && echo "{\"Username\":\"me\",\"Secret\":\"at $(cat)\"}""#;
        assert_eq!(case(echo).await, password("me", "at quay.io"));
        let deaf = r#"exec <&-; echo '{"ServerURL":"x","Username":"me","Secret":"s"}'"#;
        assert_eq!(case(deaf).await, password("me", "s"));
        let token = r#"echo '{"Username":"<token>","Secret":"s"}'"#;
        assert_eq!(case(token).await, Some(RegistryLogin::IdentityToken("s".into())));
        assert_eq!(case(r#"echo '{"Username":"","Secret":""}'"#).await, None);
        assert_eq!(case("echo credentials not found in native keychain; exit 1").await, None);
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_named_and_its_secret_is_not() {
        let case = async |script: &str| {
            let error = answer(script, PATIENCE).await.unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
            error.to_string()
        };
        insta::assert_snapshot!(case("echo 's3cret'; echo; echo no keys >&2; exit 1").await, @"`docker-credential-x` gives no login for `quay.io`: no keys");
        insta::assert_snapshot!(case("echo pass is not set up; echo more; exit 1").await, @"`docker-credential-x` gives no login for `quay.io`: pass is not set up");
        insta::assert_snapshot!(case("echo s3cret; exit 3").await, @"`docker-credential-x` gives no login for `quay.io`: exit status: 3");
        insta::assert_snapshot!(case(r#"echo '{"Secret": "s3cret"}'; exit 3"#).await, @"`docker-credential-x` gives no login for `quay.io`: exit status: 3");
        insta::assert_snapshot!(case("kill -9 $$").await, @"`docker-credential-x` gives no login for `quay.io`: signal: 9 (SIGKILL)");
        insta::assert_snapshot!(case(r#"echo '{"Username":"s3cret","Secret":["s3cret"]}'"#).await, @"the answer of `docker-credential-x` about `quay.io` is not a login");
        insta::assert_snapshot!(case("exec yes s3cret").await, @"`docker-credential-x` gives no login for `quay.io`: signal: 13 (SIGPIPE)");
        insta::assert_snapshot!(case(r#"printf '\033[2J https://me:s3cret@h/' >&2; exit 1"#).await, @"`docker-credential-x` gives no login for `quay.io`: [2J https://****@h/");
    }

    #[tokio::test]
    async fn a_helper_is_not_waited_for_without_end() {
        let error = answer("exec sleep 1000", Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, LoginError::HelperSlow { .. }), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let nowhere = Some(empty.path().as_os_str());
        let error = ask("docker-credential-x", "quay.io", nowhere, PATIENCE).await.unwrap_err();
        insta::assert_snapshot!(error, @"`docker-credential-x`, which has the login for `quay.io`, cannot be run");
    }
}
