//! Running a step's command in a root: with its own environment, in its directory, as its user.

use super::act::RunFailure;
use super::root::run::{CommandLine, Root};
use super::steps::RunStep;

/// A command that ended with an error.
#[derive(Debug, thiserror::Error)]
#[error("it ended with {status}{}{}", if tail.is_empty() { "" } else { ": " }, tail.join("\n  "))]
struct CommandFailed {
    status: std::process::ExitStatus,
    tail: Vec<String>,
}

/// Runs the command of `step` in `root`.
///
/// # Errors
/// When it cannot be run, or fails; with the last lines it said.
pub fn run(root: &Root, step: &RunStep) -> Result<(), RunFailure> {
    let output = root.run(&command(step, root.epoch()), &mut |line| tracing::debug!("{line}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Box::new(CommandFailed { status: output.status, tail: output.tail }))
}

/// The command as programs of every distribution carry it out (coreutils, or busybox, and util-linux). What it makes
/// is of the time `epoch`, if it heeds `SOURCE_DATE_EPOCH`.
fn command(step: &RunStep, epoch: Option<u64>) -> CommandLine {
    let mut arguments = vec!["-i".to_owned()];
    arguments.extend(epoch.map(|epoch| format!("SOURCE_DATE_EPOCH={epoch}")));
    arguments.extend(step.env.iter().map(|(name, value)| format!("{name}={value}")));
    if step.ids.uid != 0 {
        arguments.extend([
            "setpriv".to_owned(),
            format!("--reuid={}", step.ids.uid),
            format!("--regid={}", step.ids.gid),
            "--clear-groups".to_owned(),
            "--".to_owned(),
        ]);
    }
    // Not every `env` can change directories. What is run is never a part of the script.
    let there = ["sh", "-c", r#"cd "$1" && shift && exec "$@""#, "sh", &step.directory];
    arguments.extend(there.map(str::to_owned));
    arguments.extend(step.command.iter().cloned());
    CommandLine::new("env", arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::account::Ids;

    fn step(uid: u32, command: &[&str]) -> RunStep {
        RunStep {
            step: "x".into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: [("A".to_owned(), "1 2".to_owned())].into(),
            directory: "/var".into(),
            ids: Ids { uid, gid: 8 },
        }
    }

    #[test]
    fn a_command_has_its_own_surroundings() {
        let command = |uid| command(&step(uid, &["make", "all"]), Some(9)).arguments.join("|");
        assert_eq!(
            command(0),
            r#"-i|SOURCE_DATE_EPOCH=9|A=1 2|sh|-c|cd "$1" && shift && exec "$@"|sh|/var|make|all"#
        );
        assert_eq!(
            command(7),
            r#"-i|SOURCE_DATE_EPOCH=9|A=1 2|setpriv|--reuid=7|--regid=8|--clear-groups|--|sh|-c|cd "$1" && shift && exec "$@"|sh|/var|make|all"#
        );
        run(&Root::live(), &step(0, &["/bin/sh", "-c", "test \"$A\" = '1 2' -a $PWD = /var"]))
            .unwrap();
        let error =
            run(&Root::live(), &step(0, &["/bin/sh", "-c", "echo no; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status: 3: no");
        let error = run(&Root::live(), &step(0, &["/bin/sh", "-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status: 3");
    }
}
