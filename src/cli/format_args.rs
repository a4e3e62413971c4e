//! [`FormatArgs`]: `--no-binary` and `--only-binary`, in the order in which they were given.
//!
//! The last word on a project counts, whichever of the two it is of, and `:all:` takes back what the
//! other one said before. So they are read together.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::exit::{CliError, bare};
use crate::index::format_control::FormatControl;

const NO_BINARY: &str = "no_binary";
const ONLY_BINARY: &str = "only_binary";

/// Words on formats, those of variables first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormatArgs(Vec<(&'static str, String)>);

impl FormatArgs {
    /// Which formats may be used for which project.
    pub(super) fn control(&self) -> Result<FormatControl, CliError> {
        let mut formats = FormatControl::default();
        for (id, word) in self.0.iter().filter(|(_, word)| !word.is_empty()) {
            let (option, outcome) = match *id {
                NO_BINARY => ("--no-binary", formats.no_binary(word)),
                _ => ("--only-binary", formats.only_binary(word)),
            };
            formats = outcome.map_err(|error| CliError::Value {
                option,
                text: word.clone(),
                reason: bare(word, &error.to_string()),
            })?;
        }
        Ok(formats)
    }
}

impl FromArgMatches for FormatArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let words = |id: &'static str| {
            let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
            let indices = matches.indices_of(id).into_iter().flatten();
            let words = matches.get_many::<String>(id).into_iter().flatten();
            indices.zip(words).map(move |(index, word)| (is_typed, index, id, word.clone()))
        };
        let mut all: Vec<_> = words(NO_BINARY).chain(words(ONLY_BINARY)).collect();
        all.sort();
        Ok(Self(all.into_iter().map(|(.., id, word)| (id, word)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for FormatArgs {
    fn augment_args(command: Command) -> Command {
        let option = |id, long, variable, help| {
            Arg::new(id)
                .long(long)
                .env(variable)
                .value_name("NAME")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help(help)
        };
        command
            .arg(option(
                NO_BINARY,
                "no-binary",
                "PIP_NO_BINARY",
                "Build this project from source, or `:all:`, repeatable",
            ))
            .arg(option(
                ONLY_BINARY,
                "only-binary",
                "PIP_ONLY_BINARY",
                "Never build this project from source, nor `:all:`, repeatable",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::requirement::package_name;

    #[test]
    fn the_last_word_counts() {
        #[track_caller]
        fn case(typed: &str, wheels: bool, sdists: bool) {
            let command = FormatArgs::augment_args(Command::new("x").no_binary_name(true));
            let matches = command.try_get_matches_from(typed.split_whitespace()).unwrap();
            let control = FormatArgs::from_arg_matches(&matches).unwrap().control().unwrap();
            let a = package_name("a").unwrap();
            assert_eq!(
                (control.allows_wheels(&a), control.allows_sdists(&a)),
                (wheels, sdists),
                "{typed}"
            );
        }
        case("", true, true);
        case("--only-binary a", true, false);
        case("--no-binary a", false, true);
        case("--no-binary b,a --only-binary c", false, true);
        case("--no-binary a --only-binary a", true, false);
        case("--only-binary a --no-binary a", false, true);
        case("--only-binary :all: --no-binary a", false, true);
        case("--no-binary a --only-binary :all:", true, false);
        case("--no-binary :all: --only-binary a,b", true, false);
        case("--only-binary a --no-binary :all:", false, true);
        case("--only-binary a --no-binary :all: --only-binary a", true, false);
    }
}
