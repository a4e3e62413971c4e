//! [`Unmet`]: which of the packages that are wanted this machine does not have, as dpkg or rpm knows.
//!
//! It only asks; nothing is installed here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::{Command, Output};

use crate::input::bindep::PackageRequest;
use crate::input::bindep::condition::Condition;
use crate::vocab::distro::Packaging;

/// What is wanted and not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmet {
    /// The packages that are not installed.
    pub missing: BTreeSet<String>,
    /// Those that are, in a version that will not do; in the order they are wanted, a condition each.
    pub unfit: Vec<Unfit>,
}

/// An installed package whose version does not satisfy a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The package.
    pub name: String,
    /// The condition.
    pub condition: Condition,
    /// The version that is installed.
    pub installed: String,
}

impl Unmet {
    /// Asks the machine for every package of `requests`.
    ///
    /// # Errors
    /// [`InstalledError`] when the database cannot be asked.
    pub fn of(requests: &[PackageRequest], packaging: Packaging) -> Result<Self, InstalledError> {
        let names: Vec<_> = requests.iter().map(|request| request.name.as_str()).collect();
        let versions = match packaging {
            Packaging::Dpkg => ask_dpkg(&names)?,
            Packaging::Rpm => ask_rpm(&names)?,
        };
        Ok(Self::judged(requests, &versions))
    }

    /// Whether nothing is missing and all versions will do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unfit.is_empty()
    }

    fn judged(requests: &[PackageRequest], versions: &BTreeMap<String, String>) -> Self {
        let mut unmet = Self::default();
        for PackageRequest { name, conditions, .. } in requests {
            let Some(installed) = versions.get(name) else {
                unmet.missing.insert(name.clone());
                continue;
            };
            for condition in conditions.iter().filter(|condition| !condition.admits(installed)) {
                unmet.unfit.push(Unfit {
                    name: name.clone(),
                    condition: condition.clone(),
                    installed: installed.clone(),
                });
            }
        }
        unmet
    }
}

/// The versions of those `names` that are installed.
fn ask_dpkg(names: &[&str]) -> Result<BTreeMap<String, String>, InstalledError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let format = "--showformat=${Package} ${db:Status-Status} ${Version}\\n";
    let output = run("dpkg-query", &[&["--show", format, "--"], names].concat())?;
    // 1 is also said when only some of them are known.
    match output.status.code() {
        Some(0 | 1) => Ok(read_dpkg(&String::from_utf8_lossy(&output.stdout))),
        _ => Err(failed("dpkg-query", &output)),
    }
}

/// Reads lines of name, state and version: a package for several processors has several.
fn read_dpkg(text: &str) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some("installed"), Some(version)) =
            (words.next(), words.next(), words.next())
        {
            versions.entry(name.to_owned()).or_insert_with(|| version.to_owned());
        }
    }
    versions
}

/// The same; a name may also be something that a package provides, so each is asked by itself.
fn ask_rpm(names: &[&str]) -> Result<BTreeMap<String, String>, InstalledError> {
    let format = "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";
    let mut versions = BTreeMap::new();
    for &name in names {
        let output = run("rpm", &["-q", "--whatprovides", "--qf", format, "--", name])?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            let version = said.lines().next().unwrap_or_default();
            versions.insert(name.to_owned(), version.to_owned());
        } else if !is_absent(&said, &String::from_utf8_lossy(&output.stderr)) {
            return Err(failed("rpm", &output));
        }
    }
    Ok(versions)
}

/// Whether rpm says no more than that there is no such package, or no such file.
fn is_absent(said: &str, warned: &str) -> bool {
    let absent = ["no package provides", "not owned by any package", "No such file or directory"];
    absent.iter().any(|words| said.contains(words) || warned.contains(words))
}

fn run(program: &'static str, arguments: &[&str]) -> Result<Output, InstalledError> {
    Command::new(program)
        .args(arguments)
        // Its words are read.
        .env("LC_ALL", "C")
        .output()
        .map_err(|source| InstalledError::Run { program, source })
}

fn failed(program: &'static str, output: &Output) -> InstalledError {
    let said = String::from_utf8_lossy(&output.stderr);
    InstalledError::Failed { program, said: said.trim().to_owned() }
}

/// A database of packages that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum InstalledError {
    /// Its program cannot be run.
    #[error("cannot run `{program}` to see what is installed")]
    Run {
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its program failed.
    #[error("`{program}` does not say what is installed: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::bindep::BindepFile;
    use crate::input::bindep::active::Active;
    use crate::input::document::Document;
    use crate::vocab::distro::Distro;

    #[test]
    fn what_is_not_there_is_told() {
        let rules = "zz\nfoo >=1.2,!=1.10\naa\nbar\nold\n";
        let rules = BindepFile::parse(&Document::new("bindep.txt", rules)).unwrap();
        let debian = Distro::named("debian").unwrap();
        let requests = rules.packages(&Active::new(["x"], &debian));
        let versions = read_dpkg(
            "bar installed 1:2-3\nbar installed 1:2-4\nfoo installed 1.10\nold config-files 1\n\
             new not-installed \n",
        );
        assert_eq!(versions["bar"], "1:2-3");
        let unmet = Unmet::judged(&requests, &versions);
        assert_eq!(unmet.missing.iter().collect::<Vec<_>>(), ["aa", "old", "zz"]);
        let unfit: Vec<_> = unmet.unfit.iter().map(|unfit| unfit.condition.to_string()).collect();
        assert_eq!(unfit, ["!=1.10"]);
    }

    #[test]
    fn rpm_says_what_is_absent() {
        for (said, warned, absent) in [
            ("no package provides foo\n", "", true),
            ("", "error: file /usr/bin/foo: No such file or directory\n", true),
            ("file /etc/foo is not owned by any package\n", "", true),
            ("", "error: cannot open Packages database in /var/lib/rpm\n", false),
        ] {
            assert_eq!(is_absent(said, warned), absent, "{said}{warned}");
        }
    }
}
