//! The lists that come with loci: which packages each project wants, of the distribution
//! (`bindep/`) and of Python (`pydep/`).
//!
//! A service's rules are those every service has and its own; the requirements build has only its
//! own. They are part of the program.

use std::collections::BTreeSet;

use super::bindep::BindepFile;
use super::document::Document;

/// What the packages of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Packages of the distribution.
    Distribution,
    /// Python packages, which are in the set of wheels.
    Python,
}

/// The lists of one project, under its name.
struct Lists {
    project: &'static str,
    distribution: &'static str,
    python: &'static str,
}

impl Lists {
    fn read(&self, kind: Kind) -> BindepFile {
        let (folder, text) = match kind {
            Kind::Distribution => ("bindep", self.distribution),
            Kind::Python => ("pydep", self.python),
        };
        BindepFile::parse(&Document::new(format!("{folder}/{}.txt", self.project), text))
            .expect("a test reads the very same text, which is part of the program")
    }
}

/// The lists of the project that is called so.
macro_rules! lists {
    ($project:literal) => {
        Lists {
            project: $project,
            distribution: include_str!(concat!("../../bindep/", $project, ".txt")),
            python: include_str!(concat!("../../pydep/", $project, ".txt")),
        }
    };
}

/// What every service has.
const COMMON: Lists = lists!("common");

/// The build of the requirements, which is no service.
const REQUIREMENTS: &str = "requirements";

const PROJECTS: [Lists; 12] = [
    lists!("cinder"),
    lists!("glance"),
    lists!("heat"),
    lists!("horizon"),
    lists!("ironic"),
    lists!("keystone"),
    lists!("manila"),
    lists!("neutron"),
    lists!("nova"),
    lists!("octavia"),
    lists!("placement"),
    lists!("requirements"),
];

/// The projects that have lists, sorted.
pub fn projects() -> impl Iterator<Item = &'static str> {
    PROJECTS.iter().map(|lists| lists.project)
}

/// The rules of a project: those of every service, and its own; none when it has no list.
#[must_use]
pub fn of_project(project: &str, kind: Kind) -> Option<BindepFile> {
    let own = PROJECTS.iter().find(|lists| lists.project == project)?.read(kind);
    if project == REQUIREMENTS {
        return Some(own);
    }
    let mut all = of_every_service(kind);
    all.join(own);
    Some(all)
}

/// The rules that every service has, of a service without a list too.
#[must_use]
pub fn of_every_service(kind: Kind) -> BindepFile {
    COMMON.read(kind)
}

/// Every profile that any list asks for, those of platforms apart: what is in `PROFILES` may be meant
/// for another project.
#[must_use]
pub fn profiles() -> BTreeSet<String> {
    PROJECTS
        .iter()
        .chain([&COMMON])
        .flat_map(|lists| [Kind::Distribution, Kind::Python].map(|kind| lists.read(kind)))
        .flat_map(|rules| rules.profiles().user)
        .collect()
}

/// Those of the `chosen` profiles that are neither `known` nor mean anything else: what LOCI's
/// scripts take for a profile as well is none to warn of.
pub fn unknown<'a>(
    chosen: impl Iterator<Item = &'a str>,
    known: &BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    chosen.filter(|profile| {
        let is_python = ["python", "py"].iter().any(|name| {
            profile.strip_prefix(name).is_some_and(|version| {
                version.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
            })
        });
        let is_other = is_python
            || profile.starts_with("platform:")
            || ["default", "mod_oauth2"].contains(profile)
            || projects().any(|project| project == *profile);
        !is_other && !known.contains(*profile)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::bindep::active::Active;
    use crate::input::bindep::rule::Rule;
    use crate::vocab::distro::Distro;

    /// What a service wants on a distribution.
    #[track_caller]
    fn case(project: &str, kind: Kind, profiles: &str, distro: &str, packages: &str) {
        let active = Active::of_project(
            project,
            profiles.split_whitespace(),
            &Distro::named(distro).unwrap(),
        );
        let found: Vec<_> = of_project(project, kind)
            .unwrap()
            .packages(&active)
            .into_iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(found.join(" "), packages, "{project} {profiles} {distro}");
    }

    #[test]
    fn services_have_what_all_have_and_their_own() {
        let distribution = Kind::Distribution;
        case(
            "keystone",
            distribution,
            "ldap",
            "debian-12",
            "ca-certificates libpcre3 libpython3.11 libxml2 netbase python3 sudo tzdata libldap-2.5-0",
        );
        case(
            "keystone",
            distribution,
            "apache mellon",
            "ubuntu-24.04",
            "apache2 ca-certificates libapache2-mod-wsgi-py3 libpcre3 libpython3.12t64 libxml2 \
             netbase python3 sudo tzdata libapache2-mod-auth-mellon",
        );
        case(
            "cinder",
            distribution,
            "lvm",
            "centos-9",
            "ca-certificates libxml2 python3.12 sudo device-mapper-persistent-data lvm2 targetcli",
        );
        case(
            "octavia",
            distribution,
            "ceph",
            "openeuler-24.03",
            "ca-certificates libxml2 python3 sudo dhcp",
        );
        case(
            "nova",
            Kind::Python,
            "fluent",
            "debian-13",
            "fluent-logger pymysql python-memcached uwsgi libvirt-python",
        );
        case("requirements", Kind::Python, "", "rocky-9", "networking-baremetal purestorage");
        assert!(of_project("../nova", distribution).is_none());
    }

    /// Sorted, so that a name is found and stands once; and a list of its own for every project.
    #[test]
    fn lists_are_sorted() {
        for lists in PROJECTS.iter().chain([&COMMON]) {
            for kind in [Kind::Distribution, Kind::Python] {
                let rules = lists.read(kind);
                let names: Vec<_> = rules.rules().map(Rule::name).collect();
                assert!(names.is_sorted_by(|a, b| a < b), "{} {kind:?}: {names:?}", lists.project);
            }
        }
        assert!(projects().collect::<Vec<_>>().is_sorted());
        for folder in ["bindep", "pydep"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), PROJECTS.len() + 1);
        }
    }

    /// What LOCI's lists know is known, under the same names.
    #[test]
    fn profiles_are_those_of_loci() {
        let own = profiles();
        for profile in [
            "apache",
            "baremetal",
            "ceph",
            "configdrive",
            "fluent",
            "ipmi",
            "ipxe",
            "ldap",
            "linuxbridge",
            "lvm",
            "mellon",
            "migration",
            "nginx",
            "oauth",
            "openidc",
            "openvswitch",
            "purestorage",
            "qemu",
            "tftp",
            "vpn",
        ] {
            assert!(own.contains(profile), "{profile}");
        }
        assert!(own.iter().all(|profile| !projects().any(|project| project == profile)));
    }

    #[test]
    fn unknown_profiles_are_found() {
        let chosen = "apache aapche nova python3 py3.11 pythonic platform:rpm mod_oauth2 default";
        let found: Vec<_> = unknown(chosen.split(' '), &profiles()).collect();
        assert_eq!(found, ["aapche", "pythonic"]);
    }

    #[test]
    fn names_of_python_packages_are_requirements() {
        let distro = Distro::named("debian-12").unwrap();
        let every = profiles();
        for project in projects() {
            let active = Active::of_project(project, every.iter().map(String::as_str), &distro);
            let rules = of_project(project, Kind::Python).unwrap();
            assert!(!rules.requirements(&active).unwrap().is_empty(), "{project}");
        }
    }
}
