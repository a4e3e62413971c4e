//! [`Known`]: the distributions that loci knows by name, as a table.

use super::distro::PackageManager::{self, Apt, Dnf, Zypper};

/// What is known of one distribution.
#[derive(Debug)]
pub(super) struct Known {
    /// `ID` of its os-release file, in lower case, or what people and `bindep` call it.
    pub(super) id: &'static str,
    /// Its name for people.
    pub(super) name: &'static str,
    /// What installs its packages.
    pub(super) manager: PackageManager,
    /// `ID_LIKE` of its os-release file.
    pub(super) like: &'static [&'static str],
    /// Whether it is Red Hat Enterprise Linux or is built of its sources, by the same versions.
    pub(super) is_rhel: bool,
    /// Versions that have a name, with that name.
    pub(super) releases: &'static [(&'static str, &'static str)],
}

const RHEL: Known = Known {
    id: "rhel",
    name: "Red Hat Enterprise Linux",
    manager: Dnf,
    like: &["fedora"],
    is_rhel: true,
    releases: &[],
};

const OPENSUSE: Known = Known {
    id: "opensuse",
    name: "openSUSE",
    manager: Zypper,
    like: &["suse"],
    is_rhel: false,
    releases: &[],
};

/// All of them, in the order in which they are listed to people.
pub(super) const KNOWN: &[Known] = &[
    Known {
        id: "debian",
        name: "Debian",
        manager: Apt,
        like: &[],
        is_rhel: false,
        releases: &[
            ("10", "buster"),
            ("11", "bullseye"),
            ("12", "bookworm"),
            ("13", "trixie"),
            ("14", "forky"),
        ],
    },
    Known {
        id: "ubuntu",
        name: "Ubuntu",
        manager: Apt,
        like: &["debian"],
        is_rhel: false,
        releases: &[
            ("18.04", "bionic"),
            ("20.04", "focal"),
            ("22.04", "jammy"),
            ("24.04", "noble"),
            ("26.04", "resolute"),
        ],
    },
    Known { id: "centos", name: "CentOS", like: &["rhel", "fedora"], ..RHEL },
    RHEL,
    Known { id: "rocky", name: "Rocky Linux", like: &["rhel", "centos", "fedora"], ..RHEL },
    Known { id: "almalinux", name: "AlmaLinux", like: &["rhel", "centos", "fedora"], ..RHEL },
    Known { id: "ol", name: "Oracle Linux", ..RHEL },
    Known { id: "oracle", name: "Oracle Linux", ..RHEL },
    Known { id: "fedora", name: "Fedora", like: &[], is_rhel: false, ..RHEL },
    Known { id: "openeuler", name: "openEuler", like: &[], is_rhel: false, ..RHEL },
    OPENSUSE,
    Known { id: "opensuse-leap", name: "openSUSE Leap", like: &["suse", "opensuse"], ..OPENSUSE },
    Known {
        id: "opensuse-tumbleweed",
        name: "openSUSE Tumbleweed",
        like: &["opensuse", "suse"],
        ..OPENSUSE
    },
    Known { id: "sles", name: "SUSE Linux Enterprise Server", ..OPENSUSE },
];

/// The one that is called `id`, or the one that others call themselves like.
pub(super) fn known(id: &str) -> Option<&'static Known> {
    let id = if id == "suse" { "sles" } else { id };
    KNOWN.iter().find(|known| known.id == id)
}
