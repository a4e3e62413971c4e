//! [`Packages`]: what an image with a root file system has installed: Python packages, by their
//! `.dist-info`, and those of the distribution, by its own list.
//!
//! It only reads what tools left behind; whether the packages work is not asked.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::{Digest, Hasher};

use super::files::ImageFiles;
use super::layer_files::{FileKind, within};

/// Files of a `.dist-info` that tell how a package came there, and not what it is.
const OF_INSTALLER: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];
/// Where rpm keeps its list, in formats that nothing here reads.
const RPM_LISTS: [&str; 5] = [
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages.db",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
];

/// What an image has installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// Python packages, sorted by name.
    pub python: Vec<PythonPackage>,
    /// Packages of the distribution, sorted by name.
    pub distribution: Vec<DistributionPackage>,
    /// What the distribution says it is.
    pub system: Option<System>,
    /// A list of the distribution's packages that is there and cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// An installed Python package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PythonPackage {
    /// The project, by its normalised name (PEP 503).
    pub name: String,
    /// The version, as its metadata has it.
    pub version: String,
    /// Its `.dist-info` directory.
    pub path: String,
    /// The bytes of its files; none where no RECORD tells which they are.
    pub bytes: Option<u64>,
    /// The digest of all its files with their names, but those that tell of the installation itself.
    pub content: Option<Digest>,
    /// Its licence as an SPDX expression, where it has one (PEP 639).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// An installed package of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DistributionPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The bytes it says it takes.
    pub bytes: u64,
}

/// What a distribution says it is (os-release).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct System {
    /// `debian`, `centos`, ...
    pub id: String,
    /// `12`, `9`, ...
    pub version: String,
    /// As people call it.
    pub name: String,
}

impl Packages {
    /// What is installed in `files`.
    #[must_use]
    pub fn of(files: &ImageFiles) -> Self {
        let mut packages = Self::default();
        for (path, text) in files.texts() {
            if let Some(folder) = path.strip_suffix("/METADATA").or(path.strip_suffix("/PKG-INFO"))
            {
                // What other packages carry within themselves is a part of those.
                if folder.rsplit('/').nth(1) != Some("_vendor") {
                    packages.python.push(python_package(folder, text, files));
                }
            } else if path == "var/lib/dpkg/status" || path.starts_with("var/lib/dpkg/status.d/") {
                packages.distribution.extend(debian_packages(text));
            }
        }
        // Distributions leave both kinds of metadata beside one package.
        let wheels: BTreeSet<(String, String)> = packages
            .python
            .iter()
            .filter(|package| package.path.ends_with(".dist-info"))
            .map(|package| (package.name.clone(), site(&package.path).to_owned()))
            .collect();
        packages.python.retain(|package| {
            package.path.ends_with(".dist-info")
                || !wheels.contains(&(package.name.clone(), site(&package.path).to_owned()))
        });
        packages.python.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        packages
            .distribution
            .sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        packages.system = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|path| files.text(&files.follow(path)))
            .map(system);
        if packages.distribution.is_empty() {
            let there = RPM_LISTS.iter().find(|path| files.get(&files.follow(path)).is_some());
            packages.unread = there.map(|path| format!("/{path}"));
        }
        packages
    }
}

/// The directory that a package's metadata is in.
fn site(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(site, _)| site)
}

fn python_package(folder: &str, text: &[u8], files: &ImageFiles) -> PythonPackage {
    let (site, directory) = folder.rsplit_once('/').unwrap_or(("", folder));
    // What is there is listed, also where its metadata is of a time that knew no rules.
    let stem = directory.rsplit_once('.').map_or(directory, |(stem, _)| stem);
    let (name, version) = stem.split_once('-').unwrap_or((stem, "?"));
    let mut package = PythonPackage {
        name: name.to_lowercase().replace(['_', '.'], "-"),
        version: version.to_owned(),
        path: folder.to_owned(),
        bytes: None,
        content: None,
        license: None,
    };
    if let Ok(metadata) = CoreMetadata::parse(text) {
        package.name = metadata.name.to_string();
        package.version = metadata.version.to_string();
        package.license = metadata.license;
    }
    let Some(record) = files.text(&format!("{folder}/RECORD")) else { return package };
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
    let paths: BTreeSet<String> = rows
        .byte_records()
        .map_while(Result::ok)
        .filter_map(|row| {
            let path = String::from_utf8_lossy(row.get(0)?).into_owned();
            let path = if path.starts_with('/') { path } else { format!("{site}/{path}") };
            within(&path)
        })
        .collect();
    let (mut bytes, mut content) = (0_u64, Hasher::new());
    for path in paths {
        // Directories on the way may be links.
        let place = if files.get(&path).is_some() { path } else { files.follow(&path) };
        let Some(file) = files.get(&place) else { continue };
        if file.kind == FileKind::File {
            bytes = bytes.saturating_add(file.size);
        }
        let own = place.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        if own.is_some_and(|name| OF_INSTALLER.contains(&name)) || place.ends_with(".pyc") {
            continue;
        }
        let below = place.strip_prefix(site).unwrap_or(&place);
        let digest = file.sha256.map(|digest| digest.hex()).unwrap_or_default();
        content.update(format!("{below}\0{digest}\0").as_bytes());
    }
    (package.bytes, package.content) = (Some(bytes), Some(content.finish().0));
    package
}

/// The packages that a list of dpkg has as installed (deb-control(5), dpkg-query(1)).
fn debian_packages(text: &[u8]) -> Vec<DistributionPackage> {
    let text = String::from_utf8_lossy(text);
    let mut packages = Vec::new();
    let (mut package, mut installed) = (None, true);
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            packages.extend(package.take().filter(|_| installed));
            installed = true;
            continue;
        }
        // What is indented goes on with a field that is not asked for here.
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if field == "Package" {
            package = Some(DistributionPackage {
                name: value.to_owned(),
                version: String::new(),
                architecture: String::new(),
                bytes: 0,
            });
        }
        let Some(package) = &mut package else { continue };
        match field {
            "Status" => installed = value.split(' ').nth(2) == Some("installed"),
            "Version" => package.version = value.to_owned(),
            "Architecture" => package.architecture = value.to_owned(),
            // In units of 1024 bytes.
            "Installed-Size" => {
                package.bytes = value.parse::<u64>().unwrap_or_default().saturating_mul(1024);
            }
            _ => {}
        }
    }
    packages
}

/// Reads os-release(5).
fn system(text: &[u8]) -> System {
    let text = String::from_utf8_lossy(text);
    let value = |wanted: &str| {
        let found =
            text.lines().find_map(|line| line.trim().strip_prefix(wanted)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    System { id: value("ID"), version: value("VERSION_ID"), name: value("PRETTY_NAME") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tar::EntryType;

    use super::super::layer_files::{Budget, read};
    use super::*;
    use crate::support::tar::odd_tar;

    const SITE: &str = "var/lib/openstack/lib/python3.11/site-packages";

    fn image(entries: &[(&str, &str)]) -> ImageFiles {
        let tar: Vec<u8> = entries
            .iter()
            .flat_map(|(path, text)| {
                let path = path.replace("SITE", SITE);
                let mut tar = odd_tar(&[(&path, EntryType::Regular, text.as_bytes())]);
                tar.truncate(tar.len() - 1024);
                tar
            })
            .chain([0; 1024])
            .collect();
        let layer = read(&tar[..], "x", &Budget::default()).unwrap();
        ImageFiles::stack(&[Arc::new(layer)])
    }

    #[test]
    fn python_packages_have_the_size_of_what_they_installed() {
        let files = image(&[
            (
                "SITE/Foo_Bar-1.0.dist-info/METADATA",
                "Name: Foo.Bar\nVersion: 1.0\nLicense-Expression: MIT\n",
            ),
            (
                "SITE/Foo_Bar-1.0.dist-info/RECORD",
                "foo/a.py,,\r\n../../../bin/foo,,\r\nnone.py,,\r\nFoo_Bar-1.0.dist-info/METADATA,,\r\n",
            ),
            ("SITE/foo/a.py", "12345"),
            ("var/lib/openstack/bin/foo", "1234567"),
            ("SITE/odd-2.dist-info/METADATA", "no metadata"),
            ("usr/lib/python3/dist-packages/rbd-3.egg-info/PKG-INFO", "Name: rbd\nVersion: 3\n"),
            ("usr/lib/python3/dist-packages/rbd-3.dist-info/METADATA", "Name: rbd\nVersion: 3\n"),
            ("SITE/setuptools/_vendor/six-1.dist-info/METADATA", "Name: six\nVersion: 1\n"),
        ]);
        let found: Vec<String> = Packages::of(&files)
            .python
            .into_iter()
            .map(|p| format!("{} {} {:?} {:?}", p.name, p.version, p.bytes, p.license.is_some()))
            .collect();
        assert_eq!(found, ["foo-bar 1.0 Some(63) true", "odd 2 None false", "rbd 3 None false",]);
    }

    #[test]
    fn content_is_told_apart_and_the_way_it_came_is_not() {
        let content = |module: &str, installer: &str| {
            let files = image(&[
                ("SITE/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n"),
                ("SITE/a-1.dist-info/RECORD", "a.py,,\na-1.dist-info/INSTALLER,,\n"),
                ("SITE/a-1.dist-info/INSTALLER", installer),
                ("SITE/a.py", module),
            ]);
            Packages::of(&files).python[0].content.unwrap()
        };
        assert_eq!(content("x", "pip"), content("x", "loci"));
        assert_ne!(content("x", "pip"), content("y", "pip"));
    }

    #[test]
    fn the_distribution_says_what_it_has() {
        let files = image(&[
            (
                "var/lib/dpkg/status",
                "Package: libc6\nStatus: install ok installed\nInstalled-Size: 13\nArchitecture: amd64\n\
                 Version: 2.36-9\nDescription: x\n Package: not one\n\nPackage: gone\n\
                 Status: deinstall ok config-files\nVersion: 1\n\nPackage: apt\nStatus: hold ok installed\n\
                 Version: 2.6.1\nArchitecture: amd64",
            ),
            (
                "var/lib/dpkg/status.d/tzdata",
                "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
            ),
            (
                "etc/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\n",
            ),
        ]);
        let packages = Packages::of(&files);
        let found: Vec<String> = packages
            .distribution
            .iter()
            .map(|p| format!("{} {} {} {}", p.name, p.version, p.architecture, p.bytes))
            .collect();
        assert_eq!(found, ["apt 2.6.1 amd64 0", "libc6 2.36-9 amd64 13312", "tzdata 2024a all 0"]);
        let system = packages.system.unwrap();
        assert_eq!(
            (system.id.as_str(), system.version.as_str(), system.name.as_str()),
            ("debian", "12", "Debian GNU/Linux 12 (bookworm)")
        );
        assert_eq!(packages.unread, None);
        let files = image(&[("var/lib/rpm/rpmdb.sqlite", "SQLite")]);
        assert_eq!(Packages::of(&files).unread.as_deref(), Some("/var/lib/rpm/rpmdb.sqlite"));
    }
}
