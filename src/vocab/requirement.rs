//! [`Requirement`]: a PEP 508 dependency, and the lenient reading that published metadata needs.
//!
//! The strict parser is `pep508_rs`. Metadata on indexes predates it, so [`parse_lenient`] retries
//! with the mends pip and uv apply too; files that people write are read strictly (see `input`).

use std::borrow::Cow;
use std::str::FromStr;

use pep440_rs::{Operator, Version, VersionSpecifiers};
use pep508_rs::{Pep508Error, VersionOrUrl};
use url::Url;

pub use pep508_rs::{ExtraName, PackageName};

/// A PEP 508 requirement whose direct reference, if any, is a URL.
pub type Requirement = pep508_rs::Requirement<Url>;

/// A text that is no requirement, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RequirementError {
    /// What is wrong with it, in one line.
    pub reason: String,
}

impl From<String> for RequirementError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}

impl From<Pep508Error<Url>> for RequirementError {
    /// Takes the message only: the error's `Display` draws several lines and may itself panic.
    fn from(error: Pep508Error<Url>) -> Self {
        Self { reason: error.message.to_string() }
    }
}

/// The normalised project name (PEP 503); none when `text` is no valid name, the empty text included.
#[must_use]
pub fn package_name(text: &str) -> Option<PackageName> {
    if text.is_empty() {
        return None;
    }
    PackageName::new(text.to_owned()).ok()
}

/// The version specifiers of `requirement`; empty (any version) when it has none or names a URL.
#[must_use]
pub fn specifiers(requirement: &Requirement) -> Cow<'_, VersionSpecifiers> {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => Cow::Borrowed(specifiers),
        Some(VersionOrUrl::Url(_)) | None => Cow::Owned(VersionSpecifiers::empty()),
    }
}

/// Whether `version` satisfies `specifiers` by PEP 440, where `===` compares versions, not texts.
///
/// A local version satisfies a specifier that names no local segment (PEP 440, "Local version
/// identifiers"). Pre-releases are not judged here: that is the resolver's business.
#[must_use]
pub fn allows(specifiers: &VersionSpecifiers, version: &Version) -> bool {
    specifiers.iter().all(|specifier| {
        // pep440_rs 0.7.3 leaves out of `<V` and `>V` what is a pre- or post-release of V's numbers.
        // PEP 440 ("Exclusive ordered comparison") says of V itself, and so does `packaging` from 26 on:
        // `<1.0rc2` takes 1.0a1, `<1.0.post1` takes 1.0rc1, and `>1.0a1` takes 1.0.post1.
        let given = specifier.version();
        match specifier.operator() {
            Operator::LessThan if given.any_prerelease() => {
                return version.clone().without_local() < *given;
            }
            Operator::LessThan => {
                return version.clone().without_local() < given.clone().with_dev(Some(0));
            }
            Operator::GreaterThan if given.is_dev() || given.is_post() => {
                return version.clone().without_local() > *given;
            }
            Operator::GreaterThan => {
                // The crate's own bound after all post-releases of a version.
                return version.clone().without_local() > given.clone().with_max(Some(0));
            }
            _ => {}
        }
        // pep440_rs 0.7.3 compares only as many numbers as the shorter release has, so that `1` would
        // satisfy `==1.1.*`; with zeros at its end a version is the same version (PEP 440).
        let wanted = specifier.version().release().len();
        let release = version.release();
        if release.len() >= wanted || *specifier.operator() == Operator::ExactEqual {
            return specifier.contains(version);
        }
        let padded = release.iter().copied().chain(std::iter::repeat(0)).take(wanted);
        specifier.contains(&version.clone().with_release(padded))
    })
}

/// Parses a requirement out of published metadata, mending what real packages get wrong.
///
/// # Errors
/// [`RequirementError`] with what is wrong with the text as it was published.
pub fn parse_lenient(text: &str) -> Result<Requirement, RequirementError> {
    let strict = match parse_strict(text) {
        Ok(requirement) => return Ok(requirement),
        Err(error) => error,
    };
    let mended = match text.split_once(';') {
        Some((dependency, marker)) => format!("{} ;{marker}", mend(dependency)),
        None => mend(text),
    };
    parse_strict(&mended).map_err(|_| strict)
}

/// Parses a requirement as PEP 508 has it.
///
/// # Errors
/// [`RequirementError`] with what is wrong with the text.
pub fn parse_strict(text: &str) -> Result<Requirement, RequirementError> {
    guard(text)?;
    Ok(Requirement::from_str(text)?)
}

/// Refuses the texts that make `pep508_rs` 0.9.2 panic or recurse without end: names and extras that
/// end in punctuation, characters outside of ASCII that are not quoted, parentheses without number.
///
/// # Errors
/// [`RequirementError`] with what is wrong with the text.
pub fn guard(text: &str) -> Result<(), RequirementError> {
    let mut quote = None;
    let mut parentheses = 0;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => parentheses += 1,
            (None, c) if !c.is_ascii() => {
                return Err(format!("`{c}` has no place in a requirement").into());
            }
            (None, _) => {}
        }
    }
    if parentheses > 32 {
        return Err("there are more than 32 parentheses".to_owned().into());
    }
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = text.trim_start();
    let (name, rest) = text.split_at(text.find(|c| !in_name(c)).unwrap_or(text.len()));
    let extras = rest.trim_start().strip_prefix('[').unwrap_or_default();
    let extras = extras.split(']').next().unwrap_or_default();
    let mut names = extras.split(|c| !in_name(c)).chain([name]);
    match names.find(|name| name.ends_with(['-', '_', '.'])) {
        Some(name) => Err(format!("the name `{name}` does not end in a letter or a digit").into()),
        None => Ok(()),
    }
}

/// Parses version specifiers out of published metadata (`Requires-Python` above all), mending what
/// real packages get wrong.
///
/// # Errors
/// What the strict parser said of the text as it was published.
pub fn parse_specifiers_lenient(
    text: &str,
) -> Result<VersionSpecifiers, pep440_rs::VersionSpecifiersParseError> {
    VersionSpecifiers::from_str(text)
        .or_else(|strict| VersionSpecifiers::from_str(&mend(text)).map_err(|_| strict))
}

/// Rewrites the known faults of published specifiers into what PEP 440 allows: parentheses and
/// stray quotes, a missing, trailing or doubled comma, `!=~5.0`, `=>`, and a wildcard after an
/// operator that takes none (`>=1.9.*`).
fn mend(text: &str) -> String {
    const OPERATOR: [char; 5] = ['<', '>', '=', '!', '~'];
    let unquoted: String = text.chars().filter(|c| !matches!(c, '\'' | '"')).collect();
    let (name, mut rest) = unquoted.split_at(unquoted.find(OPERATOR).unwrap_or(unquoted.len()));
    let mut specifiers = Vec::new();
    while let Some(start) = rest.find(OPERATOR) {
        let after = rest[start..].trim_start_matches(OPERATOR);
        let operator = match &rest[start..rest.len() - after.len()] {
            "!=~" => "!=",
            "=>" => ">=",
            "=<" => "<=",
            operator => operator,
        };
        let end = after.find(OPERATOR).unwrap_or(after.len());
        let version = after[..end].trim_matches([' ', ',', '(', ')']);
        let version = match operator {
            "==" | "!=" => version,
            _ => version.strip_suffix(".*").unwrap_or(version),
        };
        specifiers.push(format!("{operator}{version}"));
        rest = &after[end..];
    }
    format!("{}{}", name.trim_end_matches([' ', '(', ',']), specifiers.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn case(published: &str, meant: &str) {
        let requirement = parse_lenient(published).unwrap_or_else(|e| panic!("{published}: {e}"));
        assert_eq!(requirement.to_string(), meant);
    }

    #[test]
    fn real_metadata_is_read_leniently() {
        case("storpool (<8,>=7.2.0)", "storpool>=7.2.0,<8");
        case("numpy (>=1.9.*)", "numpy>=1.9");
        case("six>=1.9.*", "six>=1.9");
        case("foo!=~5.0", "foo!=5.0");
        case("foo (>=1.0<2)", "foo>=1.0,<2");
        case("foo >=1.0,", "foo>=1.0");
        case("foo>='1.0'", "foo>=1.0");
        case("foo>=1.0.*; python_version<'3'", "foo>=1.0 ; python_full_version < '3'");
        case("Foo.Bar[baz] >= 1", "foo-bar[baz]>=1");
    }

    #[test]
    fn requires_python_is_read_leniently() {
        for (published, meant) in [
            (">= 2.7", ">=2.7"),
            (">=3.6.*", ">=3.6"),
            (">=3.7,", ">=3.7"),
            ("'>=3.7'", ">=3.7"),
            (">=2.7,!=3.0.*,!=3.1.*", ">=2.7, !=3.0.*, !=3.1.*"),
            (">=3.6<4", ">=3.6, <4"),
            ("", ""),
        ] {
            let read = parse_specifiers_lenient(published).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read.to_string(), meant, "{published}");
        }
    }

    #[test]
    fn versions_are_compared_as_pep_440_has_it() {
        for (specifiers, version, holds) in [
            ("==1.1.*", "1", false),
            ("==1.0.*", "1", true),
            ("~=1.1.0", "1", false),
            ("!=1.1.*", "1", true),
            (">=1.1,<2", "1.1+local", true),
            ("===1.0", "1", false),
            ("===1", "1", true),
            ("<1.0rc2", "1.0a1", true),
            ("<1.0.0rc2", "1.0.dev3", true),
            ("<1.0rc2", "1.0rc2", false),
            ("<1.0rc2", "1.0rc2+local", false),
            ("<1.0", "1.0a1", false),
            ("<1.0.post1", "1.0rc1", true),
            ("<1.0.post1", "1.0.post1.dev0", false),
            (">1.0a1", "1.0.post1", true),
            (">1.0a1", "1.0a1.post1", false),
            (">1.0a1", "1.0a1+local", false),
            (">1.0.dev1", "1.0a1.post1", true),
            (">1.0", "1.0.post1.dev1", false),
            (">1.0.post1", "1.0.post1+local", false),
        ] {
            let specifiers: VersionSpecifiers = specifiers.parse().unwrap();
            assert_eq!(
                allows(&specifiers, &version.parse().unwrap()),
                holds,
                "{specifiers} {version}"
            );
        }
    }

    #[test]
    fn hostile_texts_are_refused_and_do_no_harm() {
        for text in ["a-[b]", "a->=1", "a[b-]", "a; os_name=='x' a\u{e9}", "", "[", "a[", "\u{e9}"]
        {
            assert!(parse_lenient(text).is_err(), "{text}");
        }
        assert!(parse_lenient(&format!("a; {}", "(".repeat(200_000))).is_err());
        assert!(parse_lenient("a; os_name == '\u{e9}'").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-c\\-._ \\[\\],;()<>=!~'\"0-9\u{e9}@:/]{0,40}") {
            let _ = parse_lenient(&text);
            let _ = parse_specifiers_lenient(&text);
        }
    }

    #[test]
    fn what_no_mend_helps_keeps_the_strict_error() {
        assert!(parse_lenient("not a requirement at all").is_err());
        assert!(parse_specifiers_lenient("soon").is_err());
    }
}
