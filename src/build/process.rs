//! [`run`]: one child process with all its descendants, its output in a file and a limit on its time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, Command};

/// What is run, and where.
pub(super) struct Task<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [&'a Path],
    pub(super) directory: &'a Path,
    /// The whole environment: nothing is inherited.
    pub(super) variables: &'a BTreeMap<OsString, OsString>,
    pub(super) timeout: Option<Duration>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited(ExitStatus),
    TimedOut(Duration),
}

/// Runs the task to its end, with both outputs appended to `log`. The child leads a process group
/// of its own; whatever is left of that group at the end, after a time-out, or when the returned
/// future is dropped, is killed.
pub(super) async fn run(task: &Task<'_>, log: &File) -> io::Result<End> {
    let mut child = Group::spawn(task, log)?;
    let wait = child.child.wait();
    let status = match task.timeout {
        None => wait.await?,
        Some(limit) => match tokio::time::timeout(limit, wait).await {
            Ok(status) => status?,
            Err(_) => return Ok(End::TimedOut(limit)),
        },
    };
    Ok(End::Exited(status))
}

/// A child and its process group, killed when dropped.
struct Group {
    child: Child,
    leader: Option<Pid>,
    /// Held open as long as the child may live: the driver's group is killed by the kernel when it
    /// closes, as it does when loci dies. `Child::wait` would close it.
    _stdin: Option<ChildStdin>,
}

impl Group {
    fn spawn(task: &Task<'_>, log: &File) -> io::Result<Self> {
        let mut child = Command::new(task.program)
            .args(task.arguments)
            .current_dir(task.directory)
            .env_clear()
            .envs(task.variables)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let stdin = child.stdin.take();
        Ok(Self { child, leader, _stdin: stdin })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Descendants keep the group's number taken even after the leader was waited for; with none
        // left there is no such group, which is what is wanted.
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    async fn shell(script: &str, timeout: Option<Duration>) -> (End, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        std::fs::write(&path, script).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let variables = BTreeMap::from([("A".into(), "b".into())]);
        let task = Task {
            program: Path::new("/bin/sh"),
            arguments: &[&path],
            directory: dir.path(),
            variables: &variables,
            timeout,
        };
        let end = run(&task, &log).await.unwrap();
        (end, std::fs::read_to_string(dir.path().join("log")).unwrap())
    }

    #[tokio::test]
    async fn output_and_status_are_told() {
        let (end, log) = shell("echo $A$HOME; echo err >&2; exit 3", None).await;
        assert_eq!(log, "b\nerr\n");
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)));
        let (end, _) = shell("kill -9 $$", None).await;
        assert!(matches!(end, End::Exited(status) if status.signal() == Some(9)));
    }

    #[tokio::test]
    async fn a_group_outlives_neither_its_leader_nor_its_time() {
        let limit = Duration::from_millis(200);
        for (script, timeout) in
            [("sleep 1000 & echo $!", None), ("sleep 1000 & echo $!; wait", Some(limit))]
        {
            let (end, log) = shell(script, timeout).await;
            assert_eq!(end == End::TimedOut(limit), timeout.is_some());
            let pid: i32 = log.trim().parse().unwrap();
            // Killed at once; reaped by init a little later.
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
            for _ in 0..10_000 {
                match state() {
                    Ok(text) if !text.contains(") Z ") => std::thread::yield_now(),
                    _ => break,
                }
            }
            assert!(state().map_or(true, |text| text.contains(") Z ")), "{script}");
        }
    }
}
