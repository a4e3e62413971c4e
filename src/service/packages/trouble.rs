//! [`Trouble`]: what a package manager says when it cannot do something, where it is known.
//!
//! Only lines that leave no doubt are read; what is not known stays unknown, and the last lines are there.

use std::fmt;

/// Why packages could not be installed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    Disk,
    /// Another package manager is at work.
    Lock,
    /// A host's name is not known: there is no network, or a proxy is needed.
    Host {
        /// The name.
        host: String,
    },
    /// Something could not be fetched.
    Fetch {
        /// The line that says so.
        line: String,
    },
    /// A repository is not signed by a key that is known.
    Untrusted {
        /// The line that says so.
        line: String,
    },
    /// There are no such packages.
    Missing {
        /// Their names.
        names: Vec<String>,
    },
    /// Packages do not go together.
    Conflict {
        /// The line that says so.
        line: String,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk => f.write_str("the disk is full"),
            Self::Lock => f.write_str("another package manager is at work"),
            Self::Host { host } => write!(f, "the name `{host}` cannot be looked up"),
            Self::Missing { names } => {
                let (names, verb) = match &names[..] {
                    [name] => (format!("package `{name}`"), "does"),
                    names => (format!("packages `{}`", names.join("`, `")), "do"),
                };
                write!(f, "{names} {verb} not exist")
            }
            Self::Fetch { line } | Self::Untrusted { line } | Self::Conflict { line } => {
                f.write_str(line)
            }
        }
    }
}

/// Reads lines as they come by.
#[derive(Debug, Default)]
pub(super) struct Watch {
    found: Option<Trouble>,
    /// apt says what does not fit below this heading.
    in_unmet: bool,
}

impl Watch {
    pub(super) fn line(&mut self, line: &str) {
        let line = line.trim();
        if self.in_unmet && (line.contains(" : ") || line.contains(": ")) {
            self.note(Trouble::Conflict { line: line.into() });
        }
        self.in_unmet = line.ends_with("have unmet dependencies:");
        if let Some(trouble) = of(line) {
            self.note(trouble);
        }
    }

    /// What was found, of several things the one that brings the others about.
    pub(super) fn trouble(self) -> Option<Trouble> {
        self.found
    }

    fn note(&mut self, trouble: Trouble) {
        if let (Some(Trouble::Missing { names }), Trouble::Missing { names: more }) =
            (&mut self.found, &trouble)
        {
            for name in more {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            return;
        }
        if self.found.as_ref().is_none_or(|found| rank(&trouble) < rank(found)) {
            self.found = Some(trouble);
        }
    }
}

/// A full disk shows itself as many things, and without an index no package exists.
fn rank(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::Disk => 0,
        Trouble::Lock => 1,
        Trouble::Host { .. } => 2,
        Trouble::Untrusted { .. } => 3,
        Trouble::Fetch { .. } => 4,
        Trouble::Missing { .. } => 5,
        Trouble::Conflict { line } if line.contains("nothing provides") => 6,
        Trouble::Conflict { .. } => 7,
    }
}

/// The signs, by manager: what stands before a name, and what ends it.
const MISSING: [(&str, &str); 10] = [
    ("Unable to locate package ", " "),
    ("Couldn't find any package by glob '", "'"),
    ("Version '", "' was not found"),
    ("Package '", "' has no installation candidate"),
    ("No match for argument: ", " "),
    ("No package matches '", "'"),
    ("No package ", " available"),
    ("No provider of '", "' found"),
    ("Package '", "' not found"),
    ("package ", " is not available from any repository"),
];
const HOST: [(&str, &str); 6] = [
    ("Temporary failure resolving '", "'"),
    ("Could not resolve '", "'"),
    ("Could not resolve host: ", " "),
    ("Couldn't resolve host name for ", " "),
    ("Something wicked happened resolving '", ":"),
    ("Could not resolve proxy: ", " "),
];
const LOCK: [&str; 5] = [
    "Could not get lock ",
    "Unable to lock ",
    "Unable to acquire the dpkg frontend lock",
    "System management is locked by",
    "is locked by another process",
];
const DISK: [&str; 4] = [
    "No space left on device",
    "have enough free space in",
    "needs more space on the",
    "Disk Requirements:",
];
const UNTRUSTED: [&str; 5] = [
    "NO_PUBKEY",
    "is not signed",
    "GPG check FAILED",
    "could not be verified",
    "Signature verification failed",
];
const FETCH: [&str; 8] = [
    "Failed to fetch ",
    "does not have a Release file",
    "Failed to download metadata for repo",
    "Error downloading packages",
    "Cannot download ",
    "Curl error ",
    "Download (curl) error",
    "Unable to fetch some archives",
];
const CONFLICT: [&str; 2] = ["nothing provides ", "Problem: "];

fn of(line: &str) -> Option<Trouble> {
    let has = |signs: &[&str]| signs.iter().any(|sign| line.contains(sign));
    let line_of = |line: &str| {
        let heads = ["E: ", "W: ", "Error: ", "error: ", "Problem: ", "- "];
        heads.iter().find_map(|head| line.strip_prefix(head)).unwrap_or(line).to_owned()
    };
    // apt writes the quotation marks of the language.
    let plain = line.replace(['\u{2018}', '\u{2019}'], "'");
    // It tries again after what it marks so, and says it anew when it gives up.
    if line.starts_with("Err:") || line.starts_with("Ign:") {
        return None;
    }
    if has(&DISK) {
        Some(Trouble::Disk)
    } else if has(&LOCK) {
        Some(Trouble::Lock)
    } else if let Some(host) = between(&plain, &HOST) {
        Some(Trouble::Host { host })
    } else if has(&UNTRUSTED) {
        Some(Trouble::Untrusted { line: line_of(line) })
    } else if has(&FETCH) {
        Some(Trouble::Fetch { line: line_of(line) })
    } else if let Some(name) = between(&plain, &MISSING) {
        // As it was asked for: of `Version '1' for 'name' was not found`, `name=1`.
        let name = match name.split_once("' for '") {
            Some((version, name)) => format!("{name}={version}"),
            None => name,
        };
        Some(Trouble::Missing { names: vec![name] })
    } else if has(&CONFLICT) {
        Some(Trouble::Conflict { line: line_of(line) })
    } else {
        None
    }
}

/// What stands in `line` between one of the pairs; a blank also ends with the line.
fn between(line: &str, pairs: &[(&str, &str)]) -> Option<String> {
    pairs.iter().find_map(|(before, after)| {
        let (_, rest) = line.split_once(before)?;
        let found = match rest.split_once(after) {
            Some((found, _)) => found,
            None if *after == " " => rest,
            None => return None,
        };
        (!found.is_empty()).then(|| found.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(log: &str, expected: &str) {
        let mut watch = Watch::default();
        log.lines().for_each(|line| watch.line(line));
        let found = watch.trouble().map(|trouble| trouble.to_string());
        assert_eq!(found.as_deref().unwrap_or("none"), expected, "{log}");
    }

    #[test]
    fn troubles_are_told_from_each_other() {
        case(
            "Reading package lists...\nE: Sub-process /usr/bin/dpkg returned an error code (1)",
            "none",
        );
        case(
            "E: Unable to locate package foo\nE: Unable to locate package b.r\nE: Couldn't find any package by glob 'b.r'",
            "packages `foo`, `b.r` do not exist",
        );
        case(
            "E: Version \u{2018}9\u{2019} for \u{2018}git\u{2019} was not found",
            "package `git=9` does not exist",
        );
        case("E: Package 'foo' has no installation candidate", "package `foo` does not exist");
        case(
            "No match for argument: foo\nError: Unable to find a match: foo",
            "package `foo` does not exist",
        );
        case("error: No package matches 'foo'", "package `foo` does not exist");
        case("No provider of 'foo' found.", "package `foo` does not exist");
        case(
            "Err:1 http://a bookworm InRelease\n  Temporary failure resolving 'a'\nE: Unable to locate package foo",
            "the name `a` cannot be looked up",
        );
        case(
            "E: Failed to fetch http://a/x.deb  404  Not Found [IP: 1]",
            "Failed to fetch http://a/x.deb  404  Not Found [IP: 1]",
        );
        case("Err:3 http://a/x.deb", "none");
        case(
            "W: GPG error: http://a InRelease: The following signatures couldn't be verified: NO_PUBKEY 1",
            "GPG error: http://a InRelease: The following signatures couldn't be verified: NO_PUBKEY 1",
        );
        case(
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)",
            "another package manager is at work",
        );
        case(
            "dpkg: error: failed to write: No space left on device\nE: Failed to fetch x",
            "the disk is full",
        );
        case(
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            "the disk is full",
        );
        case(
            "The following packages have unmet dependencies:\n foo : Depends: bar (>= 2) but 1 is to be installed\nE: Unable to correct problems, you have held broken packages.",
            "foo : Depends: bar (>= 2) but 1 is to be installed",
        );
        case(
            "Error:
 Problem: conflicting requests
  - nothing provides libfoo.so needed by bar-1.x86_64",
            "nothing provides libfoo.so needed by bar-1.x86_64",
        );
    }
}
