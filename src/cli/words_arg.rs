//! [`Words`]: values that pip splits at white space when they come from a variable, and takes whole
//! when they were typed.

use std::ffi::OsStr;

use clap::builder::{StringValueParser, TypedValueParser, ValueParserFactory};
use clap::parser::ValueSource;
use clap::{Arg, Command, Error};

/// One value of the command line, or all of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

/// The values of every part, the empty ones left out.
pub(super) fn all(parts: &[Words]) -> impl Iterator<Item = &str> {
    parts.iter().flat_map(|part| &part.0).map(String::as_str).filter(|word| !word.is_empty())
}

impl ValueParserFactory for Words {
    type Parser = WordsParser;

    fn value_parser() -> Self::Parser {
        WordsParser
    }
}

/// Reads [`Words`].
#[derive(Debug, Clone)]
pub(super) struct WordsParser;

impl TypedValueParser for WordsParser {
    type Value = Words;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Words, Error> {
        self.parse_ref_(command, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Words, Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        Ok(Words(match source {
            ValueSource::EnvVariable => text.split_whitespace().map(str::to_owned).collect(),
            _ => vec![text],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_variable_is_split() {
        for (source, words) in [
            (ValueSource::CommandLine, &["/tmp/my links b"][..]),
            (ValueSource::EnvVariable, &["/tmp/my", "links", "b"]),
        ] {
            let text = OsStr::new("/tmp/my links b");
            let parsed = WordsParser.parse_ref_(&Command::new("x"), None, text, source).unwrap();
            assert_eq!(all(&[parsed]).collect::<Vec<_>>(), words, "{source:?}");
        }
    }
}
