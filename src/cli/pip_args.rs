//! `PIP_ARGS` and `PIP_WHEEL_ARGS`: options of pip, read as a shell and pip read them, and set beside
//! what was typed as options of ours.
//!
//! What was typed goes before what they say, and what they say before pip's own variables. Values may
//! be secrets, so that no message has one.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::pip_options::{self, Meaning, Takes};
use crate::vocab::redact::redact;

/// The variables, with the arguments that they are of, the first one that is given before the other.
const VARIABLES: [(&str, &str); 2] =
    [("pip_wheel_args", "PIP_WHEEL_ARGS"), ("pip_args", "PIP_ARGS")];

/// Options that speak of the same: whoever typed one of them has said it all.
const FAMILY: [&str; 2] = ["no-binary", "only-binary"];

/// What was typed, with the options that a variable adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The command line, the program's name first.
    pub(super) args: Vec<OsString>,
    /// Which variable it is.
    pub(super) variable: &'static str,
    /// Whether pip's own variables don't count.
    pub(super) isolated: bool,
}

/// Options that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PipArgsError {
    /// A shell would wait for more.
    #[error("`{variable}` ends within quotes, or with a backslash")]
    Unfinished { variable: &'static str },
    /// A word where an option should be; it is not shown, for it may be a URL with a password.
    #[error(
        "word {at} of `{variable}` is no option; what more is to be installed goes into `PIP_PACKAGES`"
    )]
    Word { variable: &'static str, at: usize },
    /// An option of nobody.
    #[error("`{}`, given in `{variable}`, is no option of pip that loci knows", redact(name))]
    Unknown { variable: &'static str, name: String },
    /// An option that ends too early.
    #[error("`{name}`, given in `{variable}`, has no value")]
    NoValue { variable: &'static str, name: String },
    /// A value for what has none.
    #[error("`{name}`, given in `{variable}`, takes no value")]
    Flag { variable: &'static str, name: String },
    /// An option of pip that loci cannot follow.
    #[error("`{name}`, given in `{variable}`, has no meaning here: {reason}")]
    Refused { variable: &'static str, name: String, reason: &'static str },
    /// An option that other verbs have.
    #[error("`{name}`, given in `{variable}`, has no meaning for `{verb}`")]
    OtherVerb { variable: &'static str, name: String, verb: String },
}

/// One option that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    /// As it was written, without its value.
    name: String,
    value: Option<String>,
    meaning: Meaning,
}

/// The arguments `args` of `command`, of which `matches` were made, with the options that the variable
/// of their verb adds; none when it adds nothing.
///
/// # Errors
/// [`PipArgsError`] when an option of pip means nothing to the verb.
pub(super) fn expanded(
    command: &Command,
    matches: &ArgMatches,
    args: &[OsString],
) -> Result<Option<Expanded>, PipArgsError> {
    let (root, mut command, mut matches) = (command, command, matches);
    let mut verb = root.get_name().to_owned();
    while let Some((name, inner)) = matches.subcommand()
        && let Some(subcommand) = command.find_subcommand(name)
    {
        (command, matches) = (subcommand, inner);
        verb = format!("{verb} {name}");
    }
    let Some((variable, text)) = text(matches) else { return Ok(None) };
    let mut options: Vec<(Arg, OsString)> = Vec::new();
    let mut isolated = false;
    for given in read(variable, text)? {
        let long = match given.meaning {
            Meaning::Ours(long) => long,
            Meaning::Isolated => {
                isolated = true;
                continue;
            }
            Meaning::Nothing => continue,
            Meaning::Refused(reason) => {
                return Err(PipArgsError::Refused { variable, name: given.name, reason });
            }
        };
        let argument = |long| {
            let mut all = command.get_arguments().chain(root.get_arguments());
            all.find(|argument| argument.get_long() == Some(long))
        };
        let Some(ours) = argument(long) else {
            return Err(PipArgsError::OtherVerb { variable, name: given.name, verb });
        };
        let family = if FAMILY.contains(&long) { &FAMILY[..] } else { &[long] };
        let is_typed = family.iter().filter_map(|long| argument(long)).any(|argument| {
            matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
        });
        if is_typed {
            continue;
        }
        // Of what is said once the last word counts.
        if !matches!(ours.get_action(), ArgAction::Append | ArgAction::Count) {
            options.retain(|(earlier, _)| earlier.get_id() != ours.get_id());
        }
        let option = match given.value {
            Some(value) => format!("--{long}={value}"),
            None => format!("--{long}"),
        };
        options.push((ours.clone(), option.into()));
    }
    if options.is_empty() && !isolated {
        return Ok(None);
    }
    let mut args = args.to_vec();
    // Behind `--` nothing is an option.
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    args.splice(end..end, options.into_iter().map(|(_, option)| option));
    Ok(Some(Expanded { args, variable, isolated }))
}

/// `command` without the variables that pip has for its own options.
pub(super) fn isolate(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let variable = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            let is_pips = variable.starts_with("PIP_")
                && !["PIP_ARGS", "PIP_WHEEL_ARGS", "PIP_PACKAGES"].contains(&variable);
            if is_pips { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(isolate)
}

/// The first variable, or the option of its name, that was given.
fn text(matches: &ArgMatches) -> Option<(&'static str, &str)> {
    VARIABLES.into_iter().find_map(|(id, variable)| {
        // A verb that has no such argument says so by an error.
        let text = matches.try_get_one::<String>(id).ok()??;
        (!text.trim().is_empty()).then_some((variable, text.as_str()))
    })
}

fn read(variable: &'static str, text: &str) -> Result<Vec<Given>, PipArgsError> {
    let words = shlex::split(text).ok_or(PipArgsError::Unfinished { variable })?;
    let mut words = words.into_iter().enumerate();
    let mut all = Vec::new();
    let known = |name: &str| {
        let unknown = || PipArgsError::Unknown { variable, name: name.to_owned() };
        pip_options::find(name).ok_or_else(unknown)
    };
    while let Some((at, word)) = words.next() {
        let mut next = |name: &str| match words.next() {
            Some((_, value)) => Ok(value),
            None => Err(PipArgsError::NoValue { variable, name: name.to_owned() }),
        };
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (format!("--{name}"), Some(value.to_owned())),
                None => (format!("--{long}"), None),
            };
            let (takes, meaning) = known(&name)?;
            let value = match (takes, value) {
                (Takes::Nothing, None) => None,
                (Takes::Nothing, Some(_)) => return Err(PipArgsError::Flag { variable, name }),
                (Takes::Value, Some(value)) => Some(value),
                (Takes::Value, None) => Some(next(&name)?),
            };
            all.push(Given { name, value, meaning });
            continue;
        }
        let mut letters = match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() && letters != "-" => letters.chars(),
            _ => return Err(PipArgsError::Word { variable, at: at + 1 }),
        };
        // `-qv` is two options, `-fwheels` and `-qf wheels` are one with a value.
        while let Some(letter) = letters.next() {
            let name = format!("-{letter}");
            let (takes, meaning) = known(&name)?;
            let value = match (takes, letters.as_str()) {
                (Takes::Nothing, _) => None,
                (Takes::Value, "") => Some(next(&name)?),
                (Takes::Value, value) => Some(value.to_owned()),
            };
            if value.is_some() {
                letters = "".chars();
            }
            all.push(Given { name, value, meaning });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::command;

    /// What `PIP_ARGS` adds to what was typed, or why it adds nothing.
    #[track_caller]
    fn case(typed: &str, pip_args: &str, added: &str) {
        let command = command();
        let mut args: Vec<OsString> = typed.split_whitespace().map(Into::into).collect();
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        args.insert(end, format!("--pip-args={pip_args}").into());
        let matches = command.clone().try_get_matches_from(&args).unwrap();
        let said = match expanded(&command, &matches, &args) {
            Ok(None) => String::new(),
            Ok(Some(expanded)) => {
                let here = expanded.args.iter().position(|arg| arg == "--");
                let here = here.unwrap_or(expanded.args.len());
                assert_eq!(expanded.args[here..], args[end + 1..]);
                let more: Vec<_> =
                    expanded.args[end + 1..here].iter().map(|arg| arg.to_str().unwrap()).collect();
                // What was made of it is understood.
                command.try_get_matches_from(&expanded.args).unwrap();
                more.join(" ") + if expanded.isolated { " (isolated)" } else { "" }
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said, added, "{typed}: {pip_args}");
    }

    #[test]
    fn options_of_pip_become_ours() {
        let lock = "loci lock six";
        for (pip_args, added) in [
            ("", ""),
            (" \n\t", ""),
            ("--index-url https://a/", "--index-url=https://a/"),
            ("--index-url=https://a/?b=c", "--index-url=https://a/?b=c"),
            ("-i https://a/", "--index-url=https://a/"),
            ("-ihttps://a/", "--index-url=https://a/"),
            ("--pypi-url=https://a/ -i https://b/", "--index-url=https://b/"),
            ("--extra-index-url a --extra-index-url b", "--extra-index-url=a --extra-index-url=b"),
            (
                r#"-f "my wheels" --find-links='b "c'"#,
                r#"--find-links=my wheels --find-links=b "c"#,
            ),
            (r"-f my\ wheels", "--find-links=my wheels"),
            ("-qf wheels", "--quiet --find-links=wheels"),
            ("-vv -v -qq", "--verbose --verbose --verbose --quiet"),
            ("--pre --no-index --pre", "--no-index --pre"),
            ("--default-timeout 9 --retries=0", "--timeout=9 --retries=0"),
            ("-c c.txt --constraint=d.txt", "--constraints=c.txt --constraints=d.txt"),
            ("--cert /c --proxy p:1 --trusted-host h", "--cert=/c --proxy=p:1 --trusted-host=h"),
            ("--only-binary=:all: --no-binary a,b", "--only-binary=:all: --no-binary=a,b"),
            ("--no-cache-dir --disable-pip-version-check --progress-bar off -U --no-compile", ""),
            ("--isolated", " (isolated)"),
            // A value may look like an option, as it may for pip.
            ("-f -q", "--find-links=-q"),
            ("--index-url=", "--index-url="),
            // As in a shell script, which many of these come from.
            ("--pre # that is needed", "--pre"),
        ] {
            case(lock, pip_args, added);
        }
    }

    #[test]
    fn what_was_typed_goes_before() {
        for (typed, pip_args, added) in [
            ("loci lock six -i https://a/", "-i https://b/ --pre", "--pre"),
            ("loci lock six --find-links a", "-f b", ""),
            ("loci lock six --pre", "--pre", ""),
            ("loci -v lock six", "-v", ""),
            ("loci lock six --only-binary a", "--no-binary :all:", ""),
            ("loci lock --pre -- six", "-f b", "--find-links=b"),
            ("loci build requirements --no-deps", "--no-deps -f b", "--find-links=b"),
            ("loci build requirements", "--no-deps", "--no-deps"),
        ] {
            case(typed, pip_args, added);
        }
    }

    #[test]
    fn what_means_nothing_here_is_named_and_values_are_not() {
        let mut said = String::new();
        for pip_args in [
            "--user",
            "-e https://u:SECRET@h/x",
            "-t SECRET",
            "--target=SECRET",
            "--no-build-isolation",
            "--require-hashes",
            "--frobnicate=SECRET",
            "--https://u:SECRET@h/",
            "-Z SECRET",
            "-qZ",
            "SECRET",
            "--pre -- SECRET",
            "--pre -",
            "--no-index=SECRET",
            "-i",
            "--retries",
            "-f 'SECRET",
            "-f SECRET\\",
            "--no-deps",
        ] {
            let command = command();
            let option = format!("--pip-args={pip_args}");
            let args = ["loci", "lock", "six", &option].map(OsString::from);
            let matches = command.clone().try_get_matches_from(&args).unwrap();
            let error = expanded(&command, &matches, &args).unwrap_err().to_string();
            assert!(!error.contains("SECRET"), "{error}");
            said.push_str(&format!("{error}\n"));
        }
        insta::assert_snapshot!(said, @r"
        `--user`, given in `PIP_ARGS`, has no meaning here: where a service goes is loci's own business
        `-e`, given in `PIP_ARGS`, has no meaning here: it would add to what is installed, which `PIP_PACKAGES` does
        `-t`, given in `PIP_ARGS`, has no meaning here: where a service goes is loci's own business
        `--target`, given in `PIP_ARGS`, has no meaning here: where a service goes is loci's own business
        `--no-build-isolation`, given in `PIP_ARGS`, has no meaning here: every build has an environment of its own
        `--require-hashes`, given in `PIP_ARGS`, has no meaning here: constraints have no hashes; the lock of a set has
        `--frobnicate`, given in `PIP_ARGS`, is no option of pip that loci knows
        `--https://****@h/`, given in `PIP_ARGS`, is no option of pip that loci knows
        `-Z`, given in `PIP_ARGS`, is no option of pip that loci knows
        `-Z`, given in `PIP_ARGS`, is no option of pip that loci knows
        word 1 of `PIP_ARGS` is no option; what more is to be installed goes into `PIP_PACKAGES`
        word 2 of `PIP_ARGS` is no option; what more is to be installed goes into `PIP_PACKAGES`
        word 2 of `PIP_ARGS` is no option; what more is to be installed goes into `PIP_PACKAGES`
        `--no-index`, given in `PIP_ARGS`, takes no value
        `-i`, given in `PIP_ARGS`, has no value
        `--retries`, given in `PIP_ARGS`, has no value
        `PIP_ARGS` ends within quotes, or with a backslash
        `PIP_ARGS` ends within quotes, or with a backslash
        `--no-deps`, given in `PIP_ARGS`, has no meaning for `loci lock`
        ");
    }

    #[test]
    fn an_option_takes_a_value_where_ours_does() {
        use crate::cli::pip_options::OPTIONS;
        let command = command();
        let build = command.find_subcommand("build").unwrap();
        let verb = build.find_subcommand("requirements").unwrap();
        for (names, takes, meaning) in OPTIONS {
            let Meaning::Ours(long) = meaning else { continue };
            let mut all = verb.get_arguments().chain(command.get_arguments());
            let ours = all.find(|argument| argument.get_long() == Some(long));
            let ours = ours.unwrap_or_else(|| panic!("{names:?}"));
            assert_eq!(ours.get_action().takes_values(), *takes == Takes::Value, "{names:?}");
        }
    }
}
