//! From what was typed, and the variables beside it, to the arguments of a verb.
//!
//! A variable that stands for one option is clap's matter. Here are those that are more: `PROJECT`,
//! which says what `loci build` builds and whom other variables are meant for, and `PIP_ARGS`.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, Error};

use super::{build, help, pip_args};

/// What was typed as `args`, the program's name first, where the variable PROJECT is `project`.
pub(super) fn matches(
    command: Command,
    args: &[OsString],
    project: Option<&str>,
) -> Result<ArgMatches, Error> {
    let project = project.map(str::trim).filter(|project| !project.is_empty());
    let command = help::finish(build::with_project(command, project));
    if let Some(args) = project.and_then(|project| verb_of_project(&command, args, project)) {
        match with_pip_args(&command, &args) {
            // Whoever typed a project wants that one.
            Err(error) if is_stray_word(&error) => {}
            outcome => return outcome,
        }
    }
    with_pip_args(&command, args)
}

/// Reads `args`, and then again with what `PIP_ARGS` adds to them.
fn with_pip_args(command: &Command, args: &[OsString]) -> Result<ArgMatches, Error> {
    let matches = command.clone().try_get_matches_from(args)?;
    let expanded = pip_args::expanded(command, &matches, args)
        .map_err(|error| Error::raw(ErrorKind::InvalidValue, format!("{error}\n")))?;
    let Some(expanded) = expanded else { return Ok(matches) };
    let command = command.clone();
    let command = if expanded.isolated { pip_args::isolate(command) } else { command };
    command.try_get_matches_from(expanded.args).map_err(|error| {
        // What was typed was read before, so that it is the variable's fault.
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default();
        let said = said.strip_prefix("error: ").unwrap_or(said);
        Error::raw(error.kind(), format!("`{}` cannot be used: {said}\n", expanded.variable))
    })
}

/// `loci build` with PROJECT=requirements in its environment, as it would have been typed.
fn verb_of_project(command: &Command, args: &[OsString], project: &str) -> Option<Vec<OsString>> {
    let at = verb_at(command, args)?;
    let is_typed = args.get(at + 1).is_some_and(|arg| arg == build::REQUIREMENTS);
    if args[at] != "build" || is_typed || !build::is_requirements(project) {
        return None;
    }
    let mut args = args.to_vec();
    args.insert(at + 1, build::REQUIREMENTS.into());
    Some(args)
}

/// Where in `args` the verb is: the first word that is neither an option nor the value of one.
fn verb_at(command: &Command, args: &[OsString]) -> Option<usize> {
    let takes_value = |arg: &str| {
        let long = arg.strip_prefix("--");
        let mut options = command.get_arguments();
        options.any(|o| o.get_long() == long && long.is_some() && o.get_action().takes_values())
    };
    let mut at = 1;
    loop {
        match args.get(at)?.to_str() {
            Some(option) if option.starts_with('-') => at += 1 + usize::from(takes_value(option)),
            _ => return Some(at),
        }
    }
}

/// Whether `error` is about a word that is no option, where none is wanted.
fn is_stray_word(error: &Error) -> bool {
    error.kind() == ErrorKind::UnknownArgument
        && matches!(
            error.get(ContextKind::InvalidArg),
            Some(ContextValue::String(word)) if !word.starts_with('-')
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::command;

    #[test]
    fn project_says_what_is_built() {
        #[track_caller]
        fn case(project: &str, typed: &str, verb: Result<&str, ErrorKind>) {
            let args: Vec<OsString> = typed.split_whitespace().map(Into::into).collect();
            let read = matches(command(), &args, Some(project)).map(|matches| {
                let mut names = Vec::new();
                let mut at = &matches;
                while let Some((name, inner)) = at.subcommand() {
                    names.push(name.to_owned());
                    at = inner;
                }
                names.join(" ")
            });
            let read = read.map_err(|error| error.kind());
            assert_eq!(read.as_deref(), verb.as_ref().copied(), "{project}: {typed}");
        }
        let services = "--from oci:b --wheels dir:w -o oci:i";
        let requirements = Ok("build requirements");
        case("requirements", "loci build", requirements);
        case(" Requirements ", "loci build -o dir:x -c c.txt", requirements);
        case("requirements", "loci --store build -q --progress=none build --no-deps", requirements);
        case("requirements", "loci build requirements", requirements);
        case("keystone", "loci build requirements", requirements);
        case("", "loci build requirements", requirements);
        case("requirements", "loci lock six", Ok("lock"));
        case("requirements", &format!("loci build nova {services}"), Ok("build"));
        case("requirements", "loci build --frobnicate", Err(ErrorKind::UnknownArgument));
        case("requirements", "loci build --help", Err(ErrorKind::DisplayHelp));
        case("requirements", "loci", Err(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand));
        case("keystone", "loci build nova", Err(ErrorKind::MissingRequiredArgument));
    }
}
