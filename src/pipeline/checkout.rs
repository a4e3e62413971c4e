//! Checking a commit out of a git repository, by git itself.

use std::borrow::Cow;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::PipelineError;
use super::workshop::Workshop;
use crate::build::builder::BuildSource;
use crate::vocab::digest::Digest;
use crate::vocab::redact::redact;

/// How long a repository may take to list what it has.
const PATIENCE: Duration = Duration::from_secs(120);

/// When git gives a transfer up (`http.lowSpeedLimit`, bytes in a second, and `http.lowSpeedTime`, seconds).
const STALLED: [(&str, &str); 2] =
    [("GIT_HTTP_LOW_SPEED_LIMIT", "1"), ("GIT_HTTP_LOW_SPEED_TIME", "120")];

/// The tree at `path`, which holds `commit`: it is built once however often it is checked out.
pub(super) fn commit_source(path: &Path, commit: &str) -> BuildSource {
    BuildSource::Tree {
        path: path.to_owned(),
        identity: Some(Digest::of(format!("git {commit}").as_bytes())),
    }
}

/// Clones `url` into `tree`, with its whole history since pbr counts commits from the last tag, and
/// checks `reference` out: a branch, a tag, a commit or a ref such as `refs/changes/67/418167/1`.
/// Returns the commit.
pub(super) async fn checkout(
    url: &str,
    reference: Option<&str>,
    tree: &Path,
) -> Result<String, PipelineError> {
    git(&["clone", "--quiet", "--no-checkout", "--", &place(url), "."], tree).await?;
    let wanted = reference.unwrap_or("HEAD");
    let local = format!("{wanted}^{{commit}}");
    let remote = format!("origin/{wanted}^{{commit}}");
    let mut commit = None;
    for candidate in [&remote, &local] {
        if let Ok(found) = git(&["rev-parse", "--verify", "--quiet", candidate], tree).await {
            commit = Some(found);
            break;
        }
    }
    let commit = match commit {
        Some(commit) => commit,
        None => {
            git(&["fetch", "--quiet", "origin", wanted], tree).await?;
            git(&["rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}"], tree).await?
        }
    };
    git(&["checkout", "--quiet", "--detach", &commit], tree).await?;
    Ok(commit)
}

/// Has in `tree` what `url` has at `wanted`, a full name of a reference or of a commit, without its history. Returns
/// the commit. Not every server gives a commit by its name.
pub(super) async fn shallow(url: &str, wanted: &str, tree: &Path) -> Result<String, PipelineError> {
    git(&["init", "--quiet"], tree).await?;
    let from = place(url);
    git(&["fetch", "--quiet", "--depth", "1", "--no-tags", "--", &from, wanted], tree).await?;
    let commit = git(&["rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}"], tree).await?;
    git(&["checkout", "--quiet", "--detach", &commit], tree).await?;
    Ok(commit)
}

/// The repository as git is told of it: git runs in another tree, from where a relative path leads elsewhere.
pub(super) fn place(url: &str) -> Cow<'_, str> {
    let local = std::path::absolute(url).ok().filter(|path| path.exists());
    let local = local.and_then(|path| path.into_os_string().into_string().ok());
    local.map_or(Cow::Borrowed(url), Cow::Owned)
}

/// What `url` has: a line for each reference, its commit before it (`git ls-remote`). It is asked from `tree`.
pub(super) async fn listed(url: &str, tree: &Path) -> Result<String, PipelineError> {
    let from = place(url);
    let arguments = ["ls-remote", "--quiet", "--", &from];
    match tokio::time::timeout(PATIENCE, git(&arguments, tree)).await {
        Ok(listed) => listed,
        Err(_) => Err(PipelineError::Git {
            command: "ls-remote".to_owned(),
            said: format!("`{}` has not answered for {} s", redact(url), PATIENCE.as_secs()),
        }),
    }
}

/// Whether `url` can be asked: a repository of this machine always.
///
/// # Errors
/// [`PipelineError::Offline`] when it is elsewhere, and nobody may be asked.
pub(super) fn reachable(workshop: &Workshop, url: &str) -> Result<(), PipelineError> {
    let is_here = url.starts_with("file://") || matches!(place(url), Cow::Owned(_));
    if is_here || !workshop.indexes.is_offline() {
        return Ok(());
    }
    Err(PipelineError::Offline { url: redact(url).into_owned() })
}

/// Runs git in `tree` and returns what it printed.
pub(super) async fn git(arguments: &[&str], tree: &Path) -> Result<String, PipelineError> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(tree)
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(STALLED.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| PipelineError::NoGit { source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // The reason stands in the line that says so; what follows it is advice.
    let fatal = said.lines().find_map(|line| line.strip_prefix("fatal: "));
    let said = fatal.or_else(|| said.trim().lines().last()).unwrap_or("it said nothing");
    Err(PipelineError::Git {
        command: arguments.first().copied().unwrap_or_default().to_owned(),
        said: redact(said).into_owned(),
    })
}
