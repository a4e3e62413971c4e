//! [`Requirement`]: a PEP 508 dependency, and the lenient reading that published metadata needs.
//!
//! The strict parser is `pep508_rs`. Metadata on indexes predates it, so [`parse_lenient`] retries
//! with the mends pip and uv apply too; files that people write are read strictly (see `input`).

use std::borrow::Cow;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{Pep508Error, VersionOrUrl};
use url::Url;

pub use pep508_rs::{ExtraName, PackageName};

/// A PEP 508 requirement whose direct reference, if any, is a URL.
pub type Requirement = pep508_rs::Requirement<Url>;

/// What the strict parser says of a text that is no requirement.
pub type RequirementError = Pep508Error<Url>;

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
    specifiers.contains(version)
}

/// Parses a requirement out of published metadata, mending what real packages get wrong.
///
/// # Errors
/// What the strict parser said of the text as it was published.
pub fn parse_lenient(text: &str) -> Result<Requirement, RequirementError> {
    let strict = match Requirement::from_str(text) {
        Ok(requirement) => return Ok(requirement),
        Err(error) => error,
    };
    let (dependency, marker) = match text.split_once(';') {
        Some((dependency, marker)) => (dependency, Some(marker)),
        None => (text, None),
    };
    let mended = match marker {
        Some(marker) => format!("{} ;{marker}", mend(dependency)),
        None => mend(dependency),
    };
    Requirement::from_str(&mended).map_err(|_| strict)
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
    fn what_no_mend_helps_keeps_the_strict_error() {
        assert!(parse_lenient("not a requirement at all").is_err());
        assert!(parse_specifiers_lenient("soon").is_err());
    }
}
