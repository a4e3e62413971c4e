//! What is run to install, remove and list packages: values, which say nothing about any root.

use std::collections::BTreeMap;

use super::name::PackageName;
use crate::service::root::run::CommandLine;
use crate::vocab::distro::PackageManager;

/// For all that apt does: no drawing, no translated descriptions, and an error when an index is missing.
const APT: [&str; 9] = [
    "-q",
    "-o",
    "Acquire::Languages=none",
    "-o",
    "Acquire::Retries=3",
    "-o",
    "APT::Update::Error-Mode=any",
    "-o",
    "Dpkg::Use-Pty=0",
];
/// For what apt changes: no questions, and nothing that nobody asked for. A root that is lost at a power cut is
/// made anew, so dpkg need not wait for the disk.
const APT_CHANGES: [&str; 7] = [
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Dpkg::Options::=--force-unsafe-io",
];
const APT_INSTALL: [&str; 1] = ["--no-install-recommends"];
const ZYPPER: [&str; 1] = ["--non-interactive"];
const ZYPPER_INSTALL: [&str; 2] = ["--no-recommends", "--auto-agree-with-licenses"];
const DNF: [&str; 3] = ["-y", "--setopt=install_weak_deps=False", "--setopt=tsflags=nodocs"];

impl PackageManager {
    /// The programs that are it, the first that is there being used.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get"],
            Self::Dnf => &["dnf", "microdnf", "yum"],
            Self::Zypper => &["zypper"],
        }
    }

    /// What makes `program`, which is one of [`PackageManager::programs`], know what there is.
    #[must_use]
    pub fn refresh(self, program: &str) -> Vec<CommandLine> {
        match self {
            Self::Apt => vec![line(program, &[&APT, &["update"]], &[])],
            // It does so by itself.
            Self::Dnf => Vec::new(),
            Self::Zypper => vec![line(program, &[&ZYPPER, &["refresh"]], &[])],
        }
    }

    /// What installs `names` after a refresh.
    #[must_use]
    pub fn install(self, program: &str, names: &[PackageName]) -> Vec<CommandLine> {
        match self {
            Self::Apt => {
                vec![line(program, &[&APT, &["install"], &APT_INSTALL, &APT_CHANGES], names)]
            }
            Self::Dnf => vec![
                line(program, &[&DNF, &["install"]], names),
                line(program, &[&["clean", "all"]], &[]),
            ],
            Self::Zypper => vec![
                line(program, &[&ZYPPER, &["install"], &ZYPPER_INSTALL], names),
                line(program, &[&ZYPPER, &["clean", "--all"]], &[]),
            ],
        }
    }

    /// What says after a refresh which versions would be installed, as [`resolved`] reads it. Only apt does in words
    /// made to be read by programs.
    #[must_use]
    pub fn resolve(self, program: &str, names: &[PackageName]) -> Option<CommandLine> {
        match self {
            Self::Apt => {
                let options: [&[&str]; 4] = [&APT, &["install"], &APT_INSTALL, &["--simulate"]];
                Some(line(program, &options, names))
            }
            Self::Dnf | Self::Zypper => None,
        }
    }

    /// What removes `names` and what needs one of them: what they needed themselves may be a base's own.
    #[must_use]
    pub fn remove(self, program: &str, names: &[PackageName]) -> Vec<CommandLine> {
        const APT_ALONE: [&str; 2] = ["-o", "APT::Get::AutomaticRemove=false"];
        const DNF_ALONE: [&str; 2] = ["-y", "--setopt=clean_requirements_on_remove=False"];
        match self {
            Self::Apt => vec![line(program, &[&APT, &["purge"], &APT_CHANGES, &APT_ALONE], names)],
            Self::Dnf => vec![line(program, &[&DNF_ALONE, &["remove"]], names)],
            Self::Zypper => vec![line(program, &[&ZYPPER, &["remove", "--no-clean-deps"]], names)],
        }
    }

    /// What lists the installed packages, as [`installed`] reads them.
    #[must_use]
    pub fn list(self) -> CommandLine {
        match self {
            Self::Apt => CommandLine::new(
                "dpkg-query",
                ["-W", "-f", "${db:Status-Status}\\t${Package}\\t${Version}\\n"],
            ),
            Self::Dnf | Self::Zypper => {
                CommandLine::new("rpm", ["-qa", "--qf", "installed\\t%{NAME}\\t%{EVR}\\n"])
            }
        }
    }
}

/// A command with its options, and names that are not taken for any.
fn line(program: &str, options: &[&[&str]], names: &[PackageName]) -> CommandLine {
    let options = options.iter().flat_map(|part| part.iter()).map(|option| (*option).to_owned());
    let end = (!names.is_empty()).then(|| "--".to_owned());
    CommandLine::new(program, options.chain(end).chain(names.iter().map(ToString::to_string)))
}

/// The version of each installed package, out of what [`PackageManager::list`] says. Public keys, which rpm
/// lists as packages, are none.
#[must_use]
pub fn installed<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let packages = lines.into_iter().filter_map(|line| {
        let (name, version) = line.strip_prefix("installed\t")?.split_once('\t')?;
        (name != "gpg-pubkey").then(|| (name.to_owned(), version.to_owned()))
    });
    packages.collect()
}

/// The version of each package that would be installed, out of what the command of [`PackageManager::resolve`] says:
/// `Inst NAME [OLD] (NEW SUITE [ARCHITECTURE])`.
#[must_use]
pub fn resolved<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let packages = lines.into_iter().filter_map(|line| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
        Some((name.to_owned(), version.to_owned()))
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[CommandLine]) -> Vec<String> {
        lines.iter().map(|line| format!("{} {}", line.program, line.arguments.join(" "))).collect()
    }

    #[test]
    fn plans_are_these() {
        let names: Vec<PackageName> = ["git", "g++"].map(|name| name.parse().unwrap()).to_vec();
        let mut said = String::new();
        for manager in [PackageManager::Apt, PackageManager::Dnf, PackageManager::Zypper] {
            let program = manager.programs()[0];
            let resolve = manager.resolve(program, &names).into_iter().collect();
            let plans = [
                manager.refresh(program),
                resolve,
                manager.install(program, &names),
                manager.remove(program, &names),
            ];
            for plan in plans.into_iter().filter(|plan| !plan.is_empty()) {
                said.push_str(&words(&plan).join("\n"));
                said.push('\n');
            }
        }
        insta::assert_snapshot!(said, @r"
        apt-get -q -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o Dpkg::Use-Pty=0 update
        apt-get -q -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o Dpkg::Use-Pty=0 install --no-install-recommends --simulate -- git g++
        apt-get -q -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o Dpkg::Use-Pty=0 install --no-install-recommends -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -- git g++
        apt-get -q -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o Dpkg::Use-Pty=0 purge -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o APT::Get::AutomaticRemove=false -- git g++
        dnf -y --setopt=install_weak_deps=False --setopt=tsflags=nodocs install -- git g++
        dnf clean all
        dnf -y --setopt=clean_requirements_on_remove=False remove -- git g++
        zypper --non-interactive refresh
        zypper --non-interactive install --no-recommends --auto-agree-with-licenses -- git g++
        zypper --non-interactive clean --all
        zypper --non-interactive remove --no-clean-deps -- git g++
        ");
    }

    #[test]
    fn installed_packages_are_read() {
        let lines = [
            "installed\tgit\t1:2.39.5-0+deb12u2",
            "config-files\tapache2\t2.4",
            "installed\tgpg-pubkey\t1-2",
            "dpkg-query: warning",
        ];
        let expected = BTreeMap::from([("git".to_owned(), "1:2.39.5-0+deb12u2".to_owned())]);
        assert_eq!(installed(lines), expected);
    }

    #[test]
    fn resolved_packages_are_read() {
        let lines = [
            "Reading package lists...",
            "Inst libc6 [2.36-9] (2.36-9+deb12u14 Debian:12/stable [amd64])",
            "Inst git (1:2.39.5-0+deb12u2 Debian:12/stable [amd64]) []",
            "Conf git (1:2.39.5-0+deb12u2 Debian:12/stable [amd64])",
        ];
        let expected = [("git", "1:2.39.5-0+deb12u2"), ("libc6", "2.36-9+deb12u14")];
        let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(resolved(lines), BTreeMap::from(expected));
    }
}
