//! [`Entry`]: one logical line, or one word of `PIP_PACKAGES`, read as a requirement.
//!
//! Reading is strict: people wrote it and can mend it. Beside PEP 508 it takes what pip's files hold:
//! a bare URL whose `#egg=NAME` fragment, or whose wheel's name, says what it is.

use std::str::FromStr;

use pep508_rs::{MarkerTree, MarkerWarningKind, Pep508Error, VersionOrUrl};
use url::Url;

use crate::vocab::requirement::{Requirement, guard, package_name};
use crate::vocab::wheel_filename::WheelFilename;

use super::document::{Fault, Place};

/// A requirement as it was written somewhere.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The requirement.
    pub(super) requirement: Requirement,
    /// The name as it was written, before normalisation.
    pub(super) display_name: String,
    /// Where it stands, with its text.
    pub(super) place: Place,
}

impl Entry {
    /// Reads the text of `place`.
    pub(super) fn parse(place: Place) -> Result<Self, Fault> {
        match read(&place.text) {
            Ok((requirement, display_name)) => Ok(Self { requirement, display_name, place }),
            Err(reason) => Err(Fault { place, reason }),
        }
    }

    /// Reads every one of `places`; all that went wrong, when anything did.
    pub(super) fn parse_all(places: Vec<Place>) -> Result<Vec<Self>, Vec<Fault>> {
        let mut entries = Vec::with_capacity(places.len());
        let mut faults = Vec::new();
        for place in places {
            match Self::parse(place) {
                Ok(entry) => entries.push(entry),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(entries) } else { Err(faults) }
    }
}

/// The requirement in `text` and its name as written, or the reason why there is none.
fn read(text: &str) -> Result<(Requirement, String), String> {
    let text = text.trim();
    if let Some(option) = text.split_whitespace().find(|word| word.starts_with('-')) {
        return Err(format!("the option `{}` is not supported in this place", option_name(option)));
    }
    if text.contains("${") {
        return Err("environment variables are not expanded".into());
    }
    if is_url(text) {
        return check(text).and_then(|()| read_url(text));
    }
    if text.starts_with(['.', '/', '~']) {
        return Err("a path is not a requirement".into());
    }
    check(text)?;
    let mut ignored = None;
    let mut reporter = |kind, message: String| {
        if !matches!(kind, MarkerWarningKind::DeprecatedMarkerName) {
            ignored.get_or_insert(message);
        }
    };
    let requirement =
        Requirement::parse_reporter(text, "", &mut reporter).map_err(|error| reason(&error))?;
    // The parser would leave out of account a comparison in a marker that makes no sense. A line
    // that then holds by accident is worse than an error.
    if let Some(message) = ignored {
        return Err(worded(&message));
    }
    Ok((requirement, text[..name_end(text)].to_owned()))
}

/// Refuses what the parser cannot be given, and any character outside of ASCII: people's files have
/// no use for them, and some look like others.
fn check(text: &str) -> Result<(), String> {
    if let Some(other) = text.chars().find(|c| !c.is_ascii()) {
        return Err(format!("`{other}` has no place in a requirement"));
    }
    guard(text).map_err(|error| error.reason)
}

/// Where the name at the start of `text` ends.
fn name_end(text: &str) -> usize {
    text.find(|c| !in_name(c)).unwrap_or(text.len())
}

/// Whether names may contain the character (PEP 508, "Names").
fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// `-r` of `-rfile`, `--hash` of `--hash=sha256:…`.
fn option_name(word: &str) -> &str {
    if word.starts_with("--") {
        word.split('=').next().unwrap_or(word)
    } else {
        let end = word.char_indices().nth(2).map_or(word.len(), |(index, _)| index);
        &word[..end]
    }
}

/// Whether `text` begins with a scheme and `://`.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// A bare URL, with or without a marker after white space and a semicolon.
fn read_url(text: &str) -> Result<(Requirement, String), String> {
    let (url, marker) = match text.split_once(" ;") {
        Some((url, marker)) => (url.trim_end(), Some(marker)),
        None => (text, None),
    };
    if url.contains(char::is_whitespace) {
        return Err("a URL must not contain white space".into());
    }
    let url = Url::parse(url).map_err(|error| format!("the URL cannot be read: {error}"))?;
    let display_name = url_name(&url).ok_or("the URL does not say what it is with `#egg=NAME`")?;
    let name = package_name(&display_name)
        .ok_or_else(|| format!("`{display_name}` is not a valid project name"))?;
    let marker = match marker {
        Some(marker) => {
            MarkerTree::from_str(marker.trim()).map_err(|error: Pep508Error<_>| reason(&error))?
        }
        None => MarkerTree::TRUE,
    };
    let version_or_url = Some(VersionOrUrl::Url(url));
    let requirement =
        Requirement { name, extras: Vec::new(), version_or_url, marker, origin: None };
    Ok((requirement, display_name))
}

/// The name that a URL gives itself: `egg=NAME` in its fragment, else that of the wheel it is.
fn url_name(url: &Url) -> Option<String> {
    let fragment = url.fragment().unwrap_or_default();
    let egg = fragment.split('&').find_map(|field| field.strip_prefix("egg="));
    if let Some(egg) = egg {
        return Some(egg.to_owned());
    }
    let file = url.path_segments()?.next_back()?;
    let wheel = WheelFilename::from_str(file).ok()?;
    Some(wheel.name().to_string())
}

/// What the parser of PEP 508 said, without the drawing that its display adds.
fn reason<T: pep508_rs::Pep508Url>(error: &Pep508Error<T>) -> String {
    worded(&error.message.to_string())
}

/// `message` on one line, in lower case, without what would have happened to the expression.
fn worded(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = message.replace(", will be ignored", "");
    let mut chars = message.chars();
    match chars.next() {
        Some(first) if !message.starts_with("URL") => first.to_lowercase().chain(chars).collect(),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::document::Document;

    fn parse(text: &str) -> Result<Entry, Fault> {
        Entry::parse(Document::new("x.txt", "").place(7, text))
    }

    #[test]
    fn requirements_and_urls_are_read() {
        for (text, name, meant) in [
            ("Foo.Bar", "Foo.Bar", "foo-bar"),
            ("foo[b,a] >=1 , <2", "foo", "foo[b,a]>=1,<2"),
            (
                "a_b===2.0.0a0;sys_platform!='win32'",
                "a_b",
                "a-b===2.0.0a0 ; sys_platform != 'win32'",
            ),
            ("foo @ https://h/foo.zip", "foo", "foo @ https://h/foo.zip"),
            (
                "git+https://h/Foo@v1#egg=Foo&subdirectory=x",
                "Foo",
                "foo @ git+https://h/Foo@v1#egg=Foo&subdirectory=x",
            ),
            (
                "https://h/a/six-1.0-py3-none-any.whl",
                "six",
                "six @ https://h/a/six-1.0-py3-none-any.whl",
            ),
            ("https://h/x#egg=x ; os_name == 'nt'", "x", "x @ https://h/x#egg=x ; os_name == 'nt'"),
        ] {
            let entry = parse(text).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(entry.display_name, name, "{text}");
            assert_eq!(entry.requirement.to_string(), meant, "{text}");
        }
    }

    #[test]
    fn faults_say_what_is_wrong() {
        let faults: Vec<String> = [
            "coverage===4.0;python_version>='3.9',<=3.10",
            "coverage===4.0;python_version>'three'",
            "coverage===4.0;'a'=='b'",
            "coverage===",
            "coverage===x.y",
            "coverage=1.0",
            "coverage 1.0",
            "not a requirement",
            "===1.0",
            "-rother.txt",
            "-e git+https://h/x#egg=x",
            "--index-url=https://h",
            "foo==1.0 --hash=sha256:abc",
            "foo @ https://${TOKEN}@h/x",
            "https://u:p@h/x",
            "https://h/x#egg=",
            "https://h/x#egg=a b",
            "./foo",
            "foo[===1",
            "foo-[bar]",
            "foo[bar,baz-.]",
            "foo; os_name == 'é' é",
        ]
        .into_iter()
        .map(|text| parse(text).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(faults.join("\n"), @r#"
        x.txt:7: unexpected character ',', expected 'and', 'or' or end of input: coverage===4.0;python_version>='3.9',<=3.10
        x.txt:7: expected PEP 440 version to compare with python_version, found three: expected version to start with a number, but no leading ASCII digits were found: coverage===4.0;python_version>'three'
        x.txt:7: comparing two quoted strings with each other doesn't make sense: 'a' == 'b': coverage===4.0;'a'=='b'
        x.txt:7: unexpected end of version specifier, expected version: coverage===
        x.txt:7: expected version to start with a number, but no leading ASCII digits were found: coverage===x.y
        x.txt:7: no such comparison operator "=", must be one of ~= == != <= >= < > ===: coverage=1.0
        x.txt:7: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `1`: coverage 1.0
        x.txt:7: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `a`: not a requirement
        x.txt:7: expected package name starting with an alphanumeric character, found `=`: ===1.0
        x.txt:7: the option `-r` is not supported in this place: -rother.txt
        x.txt:7: the option `-e` is not supported in this place: -e git+https://h/x#egg=x
        x.txt:7: the option `--index-url` is not supported in this place: --index-url=https://h
        x.txt:7: the option `--hash` is not supported in this place: foo==1.0 --hash=sha256:abc
        x.txt:7: environment variables are not expanded: foo @ https://****@h/x
        x.txt:7: the URL does not say what it is with `#egg=NAME`: https://****@h/x
        x.txt:7: `` is not a valid project name: https://h/x#egg=
        x.txt:7: a URL must not contain white space: https://h/x#egg=a b
        x.txt:7: a path is not a requirement: ./foo
        x.txt:7: expected an alphanumeric character starting the extra name, found `=`: foo[===1
        x.txt:7: the name `foo-` does not end in a letter or a digit: foo-[bar]
        x.txt:7: the name `baz-.` does not end in a letter or a digit: foo[bar,baz-.]
        x.txt:7: `é` has no place in a requirement: foo; os_name == 'é' é
        "#);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse(&text).map_err(|fault| fault.to_string());
        }

        #[test]
        fn no_almost_requirement_panics(
            text in "[aA1._-]{0,3}(\\[|\\]|=|<|~|!|,|@|;| |é|'|[(]|[)]|[(]{40}|a-|1[.]0|[*]|and|extra|python_version|in){0,12}"
        ) {
            let _ = parse(&text).map_err(|fault| fault.to_string());
        }
    }
}
