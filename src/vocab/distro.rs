//! [`Distro`]: a distribution of Linux: who it is, what installs its packages, and by which platform
//! profiles the rules of `bindep` know it.
//!
//! It is read from the text of an os-release file, or from the name that somebody gave it. Which file
//! that is, and what is installed, is not known here.

use std::collections::BTreeSet;
use std::fmt;

use super::distro_names::{KNOWN, Known, known};
use super::os_release::{OsRelease, OsReleaseError};

/// How a distribution packs its software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packaging {
    /// `.deb`, with the database of dpkg.
    Dpkg,
    /// `.rpm`, with its database.
    Rpm,
}

/// What fetches a distribution's packages and installs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageManager {
    /// Debian, Ubuntu and what is made of them.
    Apt,
    /// Fedora, Red Hat Enterprise Linux, their rebuilds, and openEuler.
    Dnf,
    /// SUSE and openSUSE.
    Zypper,
}

impl PackageManager {
    /// What it installs.
    #[must_use]
    pub const fn packaging(self) -> Packaging {
        match self {
            Self::Apt => Packaging::Dpkg,
            Self::Dnf | Self::Zypper => Packaging::Rpm,
        }
    }
}

/// A distribution. Displays as `Debian 12 (bookworm)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distro {
    id: String,
    name: Option<String>,
    like: Vec<String>,
    version: Option<String>,
    codename: Option<String>,
}

impl Distro {
    /// Reads the text of an os-release file (os-release(5)).
    ///
    /// # Errors
    /// [`DistroError::OsRelease`] when a value is quoted wrongly, [`DistroError::NoId`] when it does
    /// not say whose it is.
    pub fn from_os_release(text: &str) -> Result<Self, DistroError> {
        let release = OsRelease::parse(text)?;
        let id = release.get("ID").ok_or(DistroError::NoId)?.to_ascii_lowercase();
        Ok(Self {
            id,
            name: release.get("NAME").map(str::to_owned),
            like: release
                .get("ID_LIKE")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_ascii_lowercase)
                .collect(),
            version: release.get("VERSION_ID").map(str::to_owned),
            codename: release.codename(),
        })
    }

    /// Reads what `DISTRO` says: `debian`, `debian-12`, `debian:bookworm`, `ubuntu_noble`,
    /// `centos:stream9`. A version brings its codename, and a codename its version, where both are
    /// known.
    ///
    /// # Errors
    /// [`DistroError::Unknown`] when it begins with no name of a distribution.
    pub fn named(text: &str) -> Result<Self, DistroError> {
        const SEPARATORS: [char; 3] = ['-', ':', '_'];
        let unknown = || DistroError::Unknown { text: text.to_owned() };
        let lower = text.trim().to_lowercase();
        // The longest name, for `opensuse` is the beginning of others.
        let (found, rest) = KNOWN
            .iter()
            .filter_map(|known| {
                let rest = lower.strip_prefix(known.id)?;
                (rest.is_empty() || rest.starts_with(SEPARATORS)).then_some((known, rest))
            })
            .max_by_key(|(known, _)| known.id.len())
            .ok_or_else(unknown)?;
        let release = rest.trim_start_matches(SEPARATORS);
        // CentOS's images and documents call their versions so.
        let release = release.strip_prefix("stream").unwrap_or(release);
        let release = release.trim_start_matches(SEPARATORS);
        if release.contains(char::is_whitespace) || (!rest.is_empty() && release.is_empty()) {
            return Err(unknown());
        }
        let both = found
            .releases
            .iter()
            .find(|(version, codename)| *version == release || *codename == release);
        let (version, codename) = match both {
            Some((version, codename)) => (Some(*version), Some(*codename)),
            None if release.starts_with(|c: char| c.is_ascii_digit()) => (Some(release), None),
            None => (None, Some(release).filter(|release| !release.is_empty())),
        };
        Ok(Self {
            id: found.id.to_owned(),
            name: None,
            like: found.like.iter().map(|&like| like.to_owned()).collect(),
            version: version.map(str::to_owned),
            codename: codename.map(str::to_owned),
        })
    }

    /// What was named, completed by what is known of the `machine` it is meant for: `DISTRO=debian` on
    /// Debian 12 is Debian 12, and `DISTRO=rocky` on Oracle Linux 9 is Rocky Linux 9. What was named with
    /// a version stays as it is, and so does what has nothing to do with the machine.
    #[must_use]
    pub fn on(self, machine: &Self) -> Self {
        let is_rebuild = |distro: &Self| known(&distro.id).is_some_and(|known| known.is_rhel);
        if self.version.is_some() || self.codename.is_some() {
            self
        } else if self.bindep_id() == machine.bindep_id() {
            machine.clone()
        } else if is_rebuild(&self) && is_rebuild(machine) {
            Self { version: machine.version.clone(), ..self }
        } else {
            self
        }
    }

    /// Its name for machines, in lower case: `debian`, `centos`, `openeuler`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its version: `12`, `24.04`. None where it has none, such as Debian's unstable.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The name of its version: `bookworm`.
    #[must_use]
    pub fn codename(&self) -> Option<&str> {
        self.codename.as_deref()
    }

    /// What installs its packages; none where that is nothing loci knows.
    #[must_use]
    pub fn manager(&self) -> Option<PackageManager> {
        std::iter::once(&self.id)
            .chain(&self.like)
            .find_map(|id| known(id).map(|known| known.manager))
    }

    /// How its packages are packed; none where loci does not know.
    #[must_use]
    pub fn packaging(&self) -> Option<Packaging> {
        self.manager().map(PackageManager::packaging)
    }

    /// The profiles by which rules know it, such as `platform:debian-12`, `platform:dpkg` and
    /// `platform:base-py3`: the ones `bindep` 2.14 derives, also where others would be expected. openEuler is
    /// no `platform:rpm`, and what is only like Debian is no `platform:dpkg`.
    #[must_use]
    pub fn platform_profiles(&self) -> BTreeSet<String> {
        let id = self.bindep_id();
        let mut atoms = BTreeSet::new();
        self.add(&mut atoms, &id);
        let python = |since: [u32; 2]| if self.is_since(since) { "base-py3" } else { "base-py2" };
        let name = self.name.as_deref().unwrap_or_default().to_lowercase();
        let mut more: Vec<&str> = Vec::new();
        match id.as_str() {
            "debian" => more.extend(["dpkg", python([10, 0])]),
            "ubuntu" => more.extend(["dpkg", python([16, 4])]),
            "pop" => more.extend(["dpkg", "base-py3"]),
            "redhatenterpriseserver" | "redhatenterpriseworkstation" => {
                self.add(&mut atoms, "rhel");
                more.extend(["redhat", "rpm", python([8, 0])]);
            }
            "rhel" => {
                for kind in ["server", "workstation"] {
                    if name.contains(kind) {
                        self.add(&mut atoms, &format!("redhatenterprise{kind}"));
                        break;
                    }
                }
                more.extend(["redhat", "rpm", python([8, 0])]);
            }
            "centos" | "oracle" | "rocky" | "almalinux" => {
                more.extend(["redhat", "rpm", python([8, 0])]);
            }
            "fedora" => more.extend(["redhat", "rpm", python([23, 0])]),
            "amzn" | "amazonami" => {
                self.add(&mut atoms, if id == "amzn" { "amazonami" } else { "amzn" });
                more.extend(["redhat", "rpm"]);
            }
            "opensuse" | "opensuseproject" | "opensuse-tumbleweed" => {
                self.add(&mut atoms, "opensuse");
                self.add(&mut atoms, "opensuseproject");
                more.extend(["suse", "rpm"]);
            }
            "sles" | "suselinux" => {
                self.add(&mut atoms, if id == "sles" { "suselinux" } else { "sles" });
                more.extend(["suse", "rpm"]);
            }
            "gentoo" => more.push("emerge"),
            "arch" | "manjaro" => more.push("pacman"),
            "alpine" => more.push("apk"),
            _ => {}
        }
        atoms.extend(more.into_iter().map(str::to_owned));
        atoms.into_iter().map(|atom| format!("platform:{atom}")).collect()
    }

    /// Its name as `bindep` has it from the library it asks.
    fn bindep_id(&self) -> String {
        match self.id.split_whitespace().collect::<Vec<_>>().join("_").as_str() {
            "ol" => "oracle".to_owned(),
            "opensuse-leap" => "opensuse".to_owned(),
            id => id.to_owned(),
        }
    }

    /// Adds a name, and each beginning of the version and of the codename behind it: of Rocky 9.4
    /// `rocky`, `rocky-9` and `rocky-9.4`.
    fn add(&self, atoms: &mut BTreeSet<String>, id: &str) {
        atoms.insert(id.to_owned());
        let version = self.version.as_deref().unwrap_or_default().to_lowercase();
        let codename = self.codename.as_deref().unwrap_or_default().to_lowercase();
        let numbers = version.split('.').collect::<Vec<_>>();
        let words = codename.split_whitespace().collect::<Vec<_>>();
        for (parts, joint) in [(numbers, "."), (words, "-")] {
            for end in 1..=parts.len() {
                let beginning = parts[..end].join(joint);
                if !beginning.is_empty() {
                    atoms.insert(format!("{id}-{beginning}"));
                }
            }
        }
    }

    /// Whether the version is `since` or later; what has none is the newest.
    fn is_since(&self, since: [u32; 2]) -> bool {
        let mut numbers = self.version.as_deref().unwrap_or_default().split('.');
        let Some(Ok(major)) = numbers.next().map(str::parse::<u32>) else { return true };
        let minor = numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        [major, minor] >= since
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = known(&self.id).map(|known| known.name);
        f.write_str(known.or(self.name.as_deref()).unwrap_or(&self.id))?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match &self.codename {
            Some(codename) => write!(f, " ({codename})"),
            None => Ok(()),
        }
    }
}

/// A distribution that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistroError {
    /// The text is no os-release file.
    #[error(transparent)]
    OsRelease(#[from] OsReleaseError),
    /// The os-release file does not say whose it is.
    #[error("there is no `ID` in it")]
    NoId,
    /// It is none of those loci knows.
    #[error("`{text}` is no distribution that is known; known are {}", names())]
    Unknown {
        /// What was given.
        text: String,
    },
}

/// The names of all that can be named.
fn names() -> String {
    let names: Vec<_> = KNOWN.iter().map(|Known { id, .. }| format!("`{id}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn release(lines: &str) -> Distro {
        Distro::from_os_release(&lines.replace("; ", "\n")).unwrap_or_else(|e| panic!("{e}"))
    }

    /// What the profiles of a distribution are, without their common beginning.
    #[track_caller]
    fn case(distro: &Distro, shown: &str, profiles: &str) {
        assert_eq!(distro.to_string(), shown);
        let found: Vec<_> = distro
            .platform_profiles()
            .iter()
            .map(|profile| profile.strip_prefix("platform:").unwrap().to_owned())
            .collect();
        assert_eq!(found.join(" "), profiles, "{shown}");
    }

    #[test]
    fn profiles_are_those_of_bindep() {
        case(
            &release("ID=debian; VERSION_ID=\"12\"; VERSION_CODENAME=bookworm"),
            "Debian 12 (bookworm)",
            "base-py3 debian debian-12 debian-bookworm dpkg",
        );
        case(
            &release("ID=ubuntu; ID_LIKE=debian; VERSION_ID=\"24.04\"; VERSION_CODENAME=noble"),
            "Ubuntu 24.04 (noble)",
            "base-py3 dpkg ubuntu ubuntu-24 ubuntu-24.04 ubuntu-noble",
        );
        case(
            &release(
                "NAME=Ubuntu; VERSION=\"14.04.6 LTS, Trusty Tahr\"; ID=ubuntu; VERSION_ID=14.04",
            ),
            "Ubuntu 14.04 (Trusty Tahr)",
            "base-py2 dpkg ubuntu ubuntu-14 ubuntu-14.04 ubuntu-trusty ubuntu-trusty-tahr",
        );
        case(
            &release("NAME=\"CentOS Stream\"; VERSION=\"9\"; ID=\"centos\"; VERSION_ID=\"9\""),
            "CentOS 9",
            "base-py3 centos centos-9 redhat rpm",
        );
        case(
            &release("VERSION=\"9.4 (Blue Onyx)\"; ID=\"rocky\"; VERSION_ID=\"9.4\""),
            "Rocky Linux 9.4 (Blue Onyx)",
            "base-py3 redhat rocky rocky-9 rocky-9.4 rocky-blue rocky-blue-onyx rpm",
        );
        case(
            &release(
                "NAME=\"openEuler\"; VERSION=\"24.03 (LTS)\"; ID=\"openEuler\"; VERSION_ID=\"24.03\"",
            ),
            "openEuler 24.03 (LTS)",
            "openeuler openeuler-24 openeuler-24.03 openeuler-lts",
        );
        case(
            &release(
                "NAME=\"Red Hat Enterprise Linux Server\"; ID=rhel; VERSION_ID=7.9; VERSION=\"7.9 (Maipo)\"",
            ),
            "Red Hat Enterprise Linux 7.9 (Maipo)",
            "base-py2 redhat redhatenterpriseserver redhatenterpriseserver-7 redhatenterpriseserver-7.9 \
             redhatenterpriseserver-maipo rhel rhel-7 rhel-7.9 rhel-maipo rpm",
        );
        case(
            &release("ID=\"ol\"; VERSION_ID=\"9.4\""),
            "Oracle Linux 9.4",
            "base-py3 oracle oracle-9 oracle-9.4 redhat rpm",
        );
        case(
            &release("ID=\"opensuse-leap\"; VERSION_ID=\"15.6\""),
            "openSUSE Leap 15.6",
            "opensuse opensuse-15 opensuse-15.6 opensuseproject opensuseproject-15 \
             opensuseproject-15.6 rpm suse",
        );
        case(
            &release("ID=linuxmint; NAME=\"Linux Mint\"; ID_LIKE=\"ubuntu debian\"; VERSION_ID=22"),
            "Linux Mint 22",
            "linuxmint linuxmint-22",
        );
        case(&release("ID=debian"), "Debian", "base-py3 debian dpkg");
    }

    #[test]
    fn names_are_read() {
        for (text, shown) in [
            ("debian", "Debian"),
            ("Debian-12", "Debian 12 (bookworm)"),
            ("debian:bookworm", "Debian 12 (bookworm)"),
            ("debian:trixie", "Debian 13 (trixie)"),
            ("ubuntu_jammy", "Ubuntu 22.04 (jammy)"),
            ("ubuntu-24.04", "Ubuntu 24.04 (noble)"),
            ("ubuntu:zany", "Ubuntu (zany)"),
            ("centos", "CentOS"),
            ("centos:stream9", "CentOS 9"),
            ("centos-stream-10", "CentOS 10"),
            ("rocky-9.4", "Rocky Linux 9.4"),
            ("opensuse-leap-15.6", "openSUSE Leap 15.6"),
            ("opensuse", "openSUSE"),
            ("openEuler-24.03", "openEuler 24.03"),
        ] {
            let distro = Distro::named(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(distro.to_string(), shown, "{text}");
        }
        for text in ["", "debianish", "debian-", "debian-1 2", "windows-11", "-12"] {
            assert!(Distro::named(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(Distro::named("slack-15").unwrap_err(), @"`slack-15` is no distribution that is known; known are `debian`, `ubuntu`, `centos`, `rhel`, `rocky`, `almalinux`, `ol`, `oracle`, `fedora`, `openeuler`, `opensuse`, `opensuse-leap`, `opensuse-tumbleweed`, `sles`");
    }

    #[test]
    fn a_name_is_completed_by_the_machine() {
        for (name, machine, shown) in [
            (
                "debian",
                "ID=debian; VERSION_ID=12; VERSION_CODENAME=bookworm",
                "Debian 12 (bookworm)",
            ),
            ("debian-13", "ID=debian; VERSION_ID=12", "Debian 13 (trixie)"),
            ("centos", "ID=ol; VERSION_ID=9.4", "CentOS 9.4"),
            ("oracle", "ID=ol; VERSION_ID=9.4", "Oracle Linux 9.4"),
            ("centos", "ID=debian; VERSION_ID=12", "CentOS"),
            ("ubuntu", "ID=debian; VERSION_ID=12", "Ubuntu"),
        ] {
            let distro = Distro::named(name).unwrap().on(&release(machine));
            assert_eq!(distro.to_string(), shown, "{name} on {machine}");
        }
    }

    #[test]
    fn packages_are_installed_by_its_own_kind() {
        use PackageManager::{Apt, Dnf, Zypper};
        for (lines, manager) in [
            ("ID=ubuntu", Some(Apt)),
            ("ID=linuxmint; ID_LIKE=\"ubuntu debian\"", Some(Apt)),
            ("ID=ol; ID_LIKE=fedora", Some(Dnf)),
            ("ID=openEuler", Some(Dnf)),
            ("ID=anolis; ID_LIKE=\"rhel fedora centos\"", Some(Dnf)),
            ("ID=sled; ID_LIKE=suse", Some(Zypper)),
            ("ID=opensuse-leap; ID_LIKE=\"suse opensuse\"", Some(Zypper)),
            ("ID=alpine", None),
        ] {
            assert_eq!(release(lines).manager(), manager, "{lines}");
        }
        assert_eq!(release("ID=debian").packaging(), Some(Packaging::Dpkg));
        assert_eq!(release("ID=sles").packaging(), Some(Packaging::Rpm));
    }

    #[test]
    fn what_does_not_say_whose_it_is_is_refused() {
        assert_eq!(Distro::from_os_release("NAME=x\n"), Err(DistroError::NoId));
        assert_eq!(Distro::from_os_release("ID=\n"), Err(DistroError::NoId));
        assert!(matches!(Distro::from_os_release("ID=\"x\n"), Err(DistroError::OsRelease(_))));
    }
}
