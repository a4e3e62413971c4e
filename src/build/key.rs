//! [`BuildKey`]: the whole of what a build sees, and its digest, under which the result is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde::Serialize;

use super::builder::Manner;
use crate::store::layout::canonical_json;
use crate::vocab::digest::{Digest, Hasher};

/// Changes when loci builds the same inputs otherwise than before.
const RECIPE: u32 = 1;

/// What one build is a function of. The number of jobs, paths and times are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildKey {
    pub(super) recipe: u32,
    /// The source archive.
    pub source: Digest,
    /// Which hooks make the wheel.
    pub manner: Manner,
    /// The wheels of the environment: file name and digest.
    pub environment: BTreeMap<String, Digest>,
    /// The user's compilers and flags.
    pub shaping: BTreeMap<String, String>,
    /// The package's own variables.
    pub variables: BTreeMap<String, String>,
    /// The package's settings for its backend.
    pub config_settings: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// The interpreter's identity.
    pub interpreter: String,
    /// The platform and what is installed on it; none for results that hold on every system.
    pub system: Option<System>,
}

/// The system's part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    /// The platform as tags tell it, for example `linux x86_64 (glibc 2.36)`.
    pub platform: String,
    /// Compiler, linker and development packages.
    pub fingerprint: Digest,
}

impl BuildKey {
    /// A key of this source, with everything else still empty.
    pub(super) fn new(source: Digest) -> Self {
        Self {
            recipe: RECIPE,
            source,
            manner: Manner::Direct,
            environment: BTreeMap::new(),
            shaping: BTreeMap::new(),
            variables: BTreeMap::new(),
            config_settings: BTreeMap::new(),
            epoch: 0,
            interpreter: String::new(),
            system: None,
        }
    }

    /// The digest of the canonical description.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical_json(self))
    }

    /// The key of a result that holds on every system.
    #[must_use]
    pub fn portable(&self) -> Self {
        Self { system: None, ..self.clone() }
    }
}

/// The versions of the compiler, the linker and the distribution's development packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemFingerprint(Digest);

impl SystemFingerprint {
    /// Asks `compiler` (a command line as `$CC` may be; `cc` when none) and `ld` for their versions
    /// and the package database for its packages. What is not there counts as absent.
    #[must_use]
    pub fn read(compiler: Option<&str>) -> Self {
        let mut hasher = Hasher::new();
        let mut put = |text: &str| {
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
        };
        put(&version_of(compiler.unwrap_or("cc")));
        put(&version_of("ld"));
        if let Ok(status) = fs::read("/var/lib/dpkg/status") {
            for package in dpkg_packages(&String::from_utf8_lossy(&status)) {
                put(&package);
            }
        } else if Path::new("/var/lib/rpm").is_dir() || Path::new("/usr/lib/sysimage/rpm").is_dir()
        {
            let mut packages: Vec<String> = output("rpm -qa").lines().map(str::to_owned).collect();
            packages.retain(|package| package.contains("-devel-") || is_tool(package));
            packages.sort();
            for package in packages {
                put(&package);
            }
        }
        Self(hasher.finish().0)
    }

    /// The digest of all these versions.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

/// `name version` of the installed packages that shape builds, in the file's order, which is sorted.
fn dpkg_packages(status: &str) -> Vec<String> {
    let mut found = Vec::new();
    for stanza in status.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        let installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if installed && (name.ends_with("-dev") || is_tool(name)) {
            found.push(format!("{name} {version}"));
        }
    }
    found
}

fn is_tool(package: &str) -> bool {
    ["gcc", "g++", "gfortran", "clang", "binutils", "cmake", "rustc", "cython", "swig"]
        .iter()
        .any(|tool| package.strip_prefix(tool).is_some_and(|rest| !rest.starts_with("-base")))
}

fn version_of(command: &str) -> String {
    output(&format!("{command} --version")).lines().next().unwrap_or_default().to_owned()
}

/// What a command line without quotes prints; nothing when it cannot be run.
fn output(command: &str) -> String {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return String::new() };
    Command::new(program)
        .args(words)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_changes_the_key_and_order_does_not() {
        let base = || BuildKey {
            system: Some(System { platform: "p".into(), fingerprint: Digest::of(b"s") }),
            ..BuildKey::new(Digest::of(b"sdist"))
        };
        assert_eq!(base().digest(), base().digest());
        let one = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        let others = [
            BuildKey::new(Digest::of(b"other")),
            base().portable(),
            BuildKey { environment: [("w".to_owned(), Digest::of(b"w"))].into(), ..base() },
            BuildKey { shaping: one("CC"), ..base() },
            BuildKey { variables: one("CC"), ..base() },
            BuildKey { config_settings: one("CC"), ..base() },
            BuildKey { epoch: 1, ..base() },
            BuildKey { interpreter: "i".into(), ..base() },
        ];
        let digests: std::collections::BTreeSet<_> =
            others.iter().map(BuildKey::digest).chain([base().digest()]).collect();
        assert_eq!(digests.len(), others.len() + 1);
    }

    #[test]
    fn development_packages_are_found() {
        let status = "Package: libpq-dev\nStatus: install ok installed\nVersion: 15.1\n\n\
            Package: gone-dev\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: vim\nStatus: install ok installed\nVersion: 9\n\n\
            Package: gcc-12\nStatus: install ok installed\nVersion: 12.2\n";
        assert_eq!(dpkg_packages(status), ["libpq-dev 15.1", "gcc-12 12.2"]);
        assert_eq!(SystemFingerprint::read(None), SystemFingerprint::read(None));
    }
}
