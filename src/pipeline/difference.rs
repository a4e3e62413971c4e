//! [`Difference`]: what changed from one image, set or lock to another, as a value. Nothing is read here.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;
use serde::Serialize;

use super::look::{Kind, System, Totals, View};
use crate::image::files::{FileKind, ImageFile};
use crate::image::inspect::{ImageInfo, WheelInfo};
use crate::vocab::digest::Digest;

/// What is compared: what one side has, by kind.
#[derive(Debug, Clone)]
pub enum Side {
    /// An image or a set.
    View(Box<View>),
    /// A lock or constraints.
    Releases(Releases),
}

/// The releases that a text names.
#[derive(Debug, Clone, Default)]
pub struct Releases {
    /// What it is called.
    pub reference: String,
    /// Its releases by the normalised name of their project.
    pub packages: BTreeMap<String, Vec<Release>>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it was.
    pub before: Outline,
    /// What it is.
    pub after: Outline,
    /// Python packages, or wheels, that changed, by name.
    pub packages: Vec<PackageChange>,
    /// Packages of the distribution that changed, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<PackageChange>,
    /// Files that changed; none for what has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileChanges>,
    /// What changed in how the image is run and what it says of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigChange>,
    /// What has to come for the second where the first is; none for texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
}

/// One of the two, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// Where it is, as it was named.
    pub reference: String,
    /// The digest of an image's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How many Python packages, or wheels, it has.
    pub packages: usize,
    /// How many packages of a distribution it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<usize>,
    /// A list of the distribution's packages that is there and cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// The bytes of its wheels or files; none for texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A release of a package that one side has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Release {
    /// The version, or whatever a text constrains it to.
    pub version: String,
    /// What tells it from another of its name: an architecture, or when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What tells its bytes from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another one.
    Changed,
    /// Its version is the same, its bytes are not.
    Rebuilt,
}

/// A package that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// How.
    pub how: How,
    /// Its releases before.
    pub before: Vec<Release>,
    /// Its releases after.
    pub after: Vec<Release>,
}

/// Files that changed; directories count where they are on both sides and have other attributes. When a file
/// was written is nobody's matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FileChanges {
    /// New ones.
    pub added: Totals,
    /// Those that are gone.
    pub removed: Totals,
    /// Those that are others now, with their bytes after.
    pub changed: Totals,
    /// Each of them, by path.
    #[serde(skip)]
    pub list: Vec<FileChange>,
}

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path, without a `/` at its beginning.
    pub path: String,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<ImageFile>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<ImageFile>,
}

/// Something an image says that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    /// What kind of thing: `user`, `variable`, `label`, ...
    pub kind: &'static str,
    /// Its name, where there may be several of the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What of the second is not in the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pull {
    /// What it comes in.
    pub unit: Unit,
    /// What has to come.
    pub missing: Totals,
    /// All that there is.
    pub all: Totals,
}

/// What bytes come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Layers, as they are stored.
    Layer,
    /// Wheels.
    Wheel,
}

impl Side {
    /// What it is called.
    #[must_use]
    pub fn reference(&self) -> &str {
        match self {
            Self::View(view) => &view.reference,
            Self::Releases(releases) => &releases.reference,
        }
    }

    /// What it is, in words that go on from its name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Releases(_) => "is a list of pins",
            Self::View(view) => match view.kind {
                Kind::System(_) => "is an image with a root file system",
                Kind::Wheels { .. } | Kind::Unread {} => "is a set of wheels",
            },
        }
    }

    fn image(&self) -> Option<&ImageInfo> {
        match self {
            Self::View(view) => view.image.as_ref(),
            Self::Releases(_) => None,
        }
    }

    fn system(&self) -> Option<&System> {
        match self {
            Self::View(view) => match &view.kind {
                Kind::System(system) => Some(system),
                Kind::Wheels { .. } | Kind::Unread {} => None,
            },
            Self::Releases(_) => None,
        }
    }

    fn wheels(&self) -> Option<&[WheelInfo]> {
        match self {
            Self::View(view) => match &view.kind {
                Kind::Wheels { wheels } => Some(wheels),
                Kind::System(_) | Kind::Unread {} => None,
            },
            Self::Releases(_) => None,
        }
    }

    fn packages(&self) -> BTreeMap<String, Vec<Release>> {
        if let Self::Releases(releases) = self {
            return releases.packages.clone();
        }
        let mut packages: BTreeMap<String, Vec<Release>> = BTreeMap::new();
        let mut add = |name: &String, version: &String, bytes, content| {
            let release = Release { version: version.clone(), only: None, bytes, content };
            packages.entry(name.clone()).or_default().push(release);
        };
        for wheel in self.wheels().unwrap_or_default() {
            add(&wheel.name, &wheel.version, Some(wheel.size), Some(wheel.sha256));
        }
        for package in self.system().iter().flat_map(|system| &system.packages.python) {
            add(&package.name, &package.version, package.bytes, package.content);
        }
        packages
    }

    fn distribution(&self) -> BTreeMap<String, Vec<Release>> {
        let mut packages: BTreeMap<String, Vec<Release>> = BTreeMap::new();
        for package in self.system().iter().flat_map(|system| &system.packages.distribution) {
            let only = Some(package.architecture.clone()).filter(|arch| !arch.is_empty());
            let (version, bytes) = (package.version.clone(), Some(package.bytes));
            let release = Release { version, only, bytes, content: None };
            packages.entry(package.name.clone()).or_default().push(release);
        }
        packages
    }

    fn outline(&self) -> Outline {
        let wheels = self.wheels().map(|wheels| wheels.iter().map(|wheel| wheel.size).sum());
        Outline {
            reference: self.reference().to_owned(),
            digest: self.image().map(|image| image.digest),
            packages: self.packages().values().map(Vec::len).sum(),
            distribution: self.system().map(|system| system.packages.distribution.len()),
            unread: self.system().and_then(|system| system.packages.unread.clone()),
            bytes: wheels.or(self.system().map(|system| system.totals.bytes)),
        }
    }
}

impl Difference {
    /// What changed from `before` to `after`; none when they have nothing in common that could be compared.
    #[must_use]
    pub fn of(before: &Side, after: &Side) -> Option<Self> {
        if before.system().is_some() != after.system().is_some() {
            return None;
        }
        let files = before.system().zip(after.system()).map(|(a, b)| file_changes(a, b));
        let (mut old, mut new) = (before.packages(), after.packages());
        match (before, after) {
            (Side::Releases(_), Side::View(_)) => meet(&mut old, &new),
            (Side::View(_), Side::Releases(_)) => meet(&mut new, &old),
            _ => {}
        }
        let config = match (before.image(), after.image()) {
            (Some(before), Some(after)) => config_changes(before, after),
            _ => Vec::new(),
        };
        Some(Self {
            before: before.outline(),
            after: after.outline(),
            packages: package_changes(&old, &new),
            distribution: package_changes(&before.distribution(), &after.distribution()),
            files,
            config,
            pull: pull(before, after),
        })
    }

    /// Whether nothing changed that is compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
            && self.distribution.is_empty()
            && self.config.is_empty()
            && self.files.as_ref().is_none_or(|files| files.list.is_empty())
    }
}

/// Makes the releases of a text such that they can be compared with those that are there: a text says when it
/// holds, and may write a version in another way.
fn meet(text: &mut BTreeMap<String, Vec<Release>>, there: &BTreeMap<String, Vec<Release>>) {
    let parsed = |release: &Release| release.version.parse::<Version>().ok();
    for (name, releases) in text {
        for release in releases {
            (release.only, release.content) = (None, None);
            let Some(version) = parsed(release) else { continue };
            let mut there = there.get(name).into_iter().flatten();
            if let Some(same) = there.find(|other| parsed(other).as_ref() == Some(&version)) {
                release.version.clone_from(&same.version);
            }
        }
    }
}

fn package_changes(
    before: &BTreeMap<String, Vec<Release>>,
    after: &BTreeMap<String, Vec<Release>>,
) -> Vec<PackageChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let releases = |side: &BTreeMap<String, Vec<Release>>, name: &String| {
        let mut releases = side.get(name).cloned().unwrap_or_default();
        releases.sort();
        releases
    };
    let changes = names.into_iter().filter_map(|name| {
        let (before, after) = (releases(before, name), releases(after, name));
        let same = |same: fn(&Release, &Release) -> bool| {
            before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| same(a, b))
        };
        let how = match (&before[..], &after[..]) {
            ([], _) => How::Added,
            (_, []) => How::Removed,
            _ if !same(|a, b| (&a.version, &a.only) == (&b.version, &b.only)) => How::Changed,
            // What says nothing of its bytes has none that differ.
            _ if !same(|a, b| {
                a.content.is_none() || b.content.is_none() || a.content == b.content
            }) =>
            {
                How::Rebuilt
            }
            _ => return None,
        };
        Some(PackageChange { name: name.clone(), how, before, after })
    });
    changes.collect()
}

fn file_changes(before: &System, after: &System) -> FileChanges {
    let mut changes = FileChanges::default();
    let paths: BTreeSet<&str> =
        before.files.iter().chain(after.files.iter()).map(|(path, _)| path).collect();
    for path in paths {
        let (old, new) = (before.files.get(path), after.files.get(path));
        let totals = match (old, new) {
            (Some(old), Some(new)) if is_same(old, new) => continue,
            // Some tools name every directory, and some only those that they say something of.
            (Some(only), None) | (None, Some(only)) if only.kind == FileKind::Directory => continue,
            (Some(_), Some(_)) => &mut changes.changed,
            (Some(_), None) => &mut changes.removed,
            (None, _) => &mut changes.added,
        };
        totals.count += 1;
        totals.bytes = totals.bytes.saturating_add(new.or(old).map_or(0, |file| file.size));
        let (before, after) = (old.cloned(), new.cloned());
        changes.list.push(FileChange { path: path.to_owned(), before, after });
    }
    changes
}

fn is_same(a: &ImageFile, b: &ImageFile) -> bool {
    // A file with two names has either as the one that is a link to the other.
    let kind = |file: &ImageFile| match file.kind {
        FileKind::HardLink if file.sha256.is_some() => FileKind::File,
        kind => kind,
    };
    let target = |file: &ImageFile| file.target.clone().filter(|_| file.kind == FileKind::Symlink);
    kind(a) == kind(b)
        && target(a) == target(b)
        && (a.size, a.sha256, a.mode, a.uid, a.gid) == (b.size, b.sha256, b.mode, b.uid, b.gid)
}

fn config_changes(before: &ImageInfo, after: &ImageInfo) -> Vec<ConfigChange> {
    let (before, after) = (sayings(before), sayings(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changes = keys.into_iter().filter_map(|key| {
        let (old, new) = (before.get(key).cloned(), after.get(key).cloned());
        let (_, kind, name) = key;
        (old != new).then(|| ConfigChange { kind, name: name.clone(), before: old, after: new })
    });
    changes.collect()
}

/// All that an image says, by a number that sorts the kinds, the kind and the name.
fn sayings(image: &ImageInfo) -> BTreeMap<(usize, &'static str, String), String> {
    let config = &image.config;
    let mut said = BTreeMap::new();
    let mut say = |at: usize, kind, name: &str, text: String| {
        said.insert((at, kind, name.to_owned()), text);
    };
    say(0, "platform", "", image.platform.clone());
    for (at, kind, text) in [(1, "user", &config.user), (4, "directory", &config.working_dir)] {
        if let Some(text) = text {
            say(at, kind, "", text.clone());
        }
    }
    for (at, kind, words) in [(2, "entrypoint", &config.entrypoint), (3, "command", &config.cmd)] {
        if !words.is_empty() {
            say(at, kind, "", serde_json::json!(words).to_string());
        }
    }
    for variable in &config.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        say(5, "variable", name, value.to_owned());
    }
    for (at, kind, names) in [(6, "port", &config.ports), (7, "volume", &config.volumes)] {
        for name in names {
            say(at, kind, name, String::new());
        }
    }
    for (at, kind, pairs) in [(8, "label", &config.labels), (9, "annotation", &image.annotations)] {
        for (name, value) in pairs {
            say(at, kind, name, value.clone());
        }
    }
    said
}

/// What has to come: layers where both are images, wheels where not.
fn pull(before: &Side, after: &Side) -> Option<Pull> {
    let layers = |image: &ImageInfo| -> BTreeMap<Digest, u64> {
        image.layers.iter().map(|layer| (layer.digest, layer.size)).collect()
    };
    let wheels = |wheels: &[WheelInfo]| -> BTreeMap<Digest, u64> {
        wheels.iter().map(|wheel| (wheel.sha256, wheel.size)).collect()
    };
    let (unit, here, all) = match (before.image(), after.image()) {
        (Some(before), Some(after)) => (Unit::Layer, layers(before), layers(after)),
        _ => (Unit::Wheel, wheels(before.wheels()?), wheels(after.wheels()?)),
    };
    let sum = |parts: &mut dyn Iterator<Item = &u64>| {
        parts.fold(Totals::default(), |sum, size| Totals {
            count: sum.count + 1,
            bytes: sum.bytes.saturating_add(*size),
        })
    };
    let mut missing =
        all.iter().filter(|(digest, _)| !here.contains_key(*digest)).map(|(_, size)| size);
    Some(Pull { unit, missing: sum(&mut missing), all: sum(&mut all.values()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(packages: &[(&str, &str, Option<&str>)]) -> Side {
        let mut releases = Releases::default();
        for (name, version, bytes) in packages {
            let content = bytes.map(|bytes| Digest::of(bytes.as_bytes()));
            let release = Release { version: (*version).into(), only: None, bytes: None, content };
            releases.packages.entry((*name).into()).or_default().push(release);
        }
        Side::Releases(releases)
    }

    #[test]
    fn packages_are_added_removed_changed_or_only_made_of_other_bytes() {
        #[track_caller]
        fn case(
            before: &[(&str, &str, Option<&str>)],
            after: &[(&str, &str, Option<&str>)],
            expected: Option<How>,
        ) {
            let difference = Difference::of(&releases(before), &releases(after)).unwrap();
            let how: Vec<How> = difference.packages.iter().map(|change| change.how).collect();
            assert_eq!(how, expected.into_iter().collect::<Vec<_>>());
            assert_eq!(difference.is_empty(), expected.is_none());
        }
        case(&[], &[("a", "1", None)], Some(How::Added));
        case(&[("a", "1", None)], &[], Some(How::Removed));
        case(&[("a", "1", None)], &[("a", "2", None)], Some(How::Changed));
        case(&[("a", "1", Some("x"))], &[("a", "1", Some("y"))], Some(How::Rebuilt));
        case(&[("a", "1", Some("x"))], &[("a", "1", Some("x"))], None);
        // Of what says nothing of its bytes only the version is compared.
        case(&[("a", "1", Some("x"))], &[("a", "1", None)], None);
        // One name may have several, in any order.
        case(&[("a", "1", None), ("a", "2", None)], &[("a", "2", None), ("a", "1", None)], None);
        case(&[("a", "1", None), ("a", "2", None)], &[("a", "1", None)], Some(How::Changed));
    }

    #[test]
    fn a_file_is_the_same_whenever_it_was_written_and_whichever_name_came_first() {
        let file = ImageFile {
            kind: FileKind::File,
            size: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified: 5,
            target: None,
            layer: 0,
            sha256: Some(Digest::of(b"x")),
        };
        let other = |change: fn(&mut ImageFile)| {
            let mut other = file.clone();
            change(&mut other);
            is_same(&file, &other)
        };
        assert!(other(|file| (file.modified, file.layer) = (9, 3)));
        assert!(other(|file| (file.kind, file.target) = (FileKind::HardLink, Some("y".into()))));
        assert!(!other(|file| file.uid = 42424));
        assert!(!other(|file| file.mode = 0o755));
        assert!(!other(|file| file.sha256 = Some(Digest::of(b"y"))));
        assert!(!other(|file| (file.kind, file.target) = (FileKind::Symlink, Some("y".into()))));
    }
}
