//! `pylock.toml`: the text form of a [`Lock`] (PEP 751, the pylock.toml specification).
//!
//! Read strictly: a key the specification does not know, a file name that is another release's or a
//! missing hash is an error with its line. Written compactly, a file a line, in an order that does
//! not depend on how the lock came about, so that two locks can be compared with `diff`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::MarkerTree;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use url::Url;

use super::lock::{FilePlace, Lock, LockedFile, LockedPackage};
use crate::vocab::digest::Digest;
use crate::vocab::redact::{redact, without_login};
use crate::vocab::requirement::{PackageName, package_name, parse_strict};
use crate::vocab::sdist_filename::SdistFilename;
use crate::vocab::wheel_filename::WheelFilename;

impl Lock {
    /// Reads a `pylock.toml`. `origin` names the text in errors.
    ///
    /// # Errors
    /// [`PylockError`] with the line at fault.
    pub fn from_pylock(origin: &str, text: &str) -> Result<Self, PylockError> {
        let reader = Reader { origin, text };
        // The version first: what another major version means by its keys is not ours to judge.
        let head: Head = toml::from_str(text).map_err(|error| reader.toml(&error))?;
        let major = head.lock_version.get_ref().split('.').next();
        if head.lock_version.get_ref().parse::<Version>().is_err() || major != Some("1") {
            return Err(PylockError::LockVersion {
                place: reader.place(&head.lock_version),
                found: head.lock_version.into_inner(),
            });
        }
        let raw: RawLock = toml::from_str(text).map_err(|error| reader.toml(&error))?;
        let requirements = raw.tool.loci.map(|loci| loci.requirements).unwrap_or_default();
        Ok(Self {
            requires_python: reader.optional(raw.requires_python, "requires-python")?,
            environments: raw
                .environments
                .iter()
                .map(|marker| reader.marker(marker, "environments"))
                .collect::<Result<_, _>>()?,
            packages: raw
                .packages
                .into_iter()
                .map(|package| reader.package(package))
                .collect::<Result<_, _>>()?,
            requirements: requirements
                .iter()
                .map(|requirement| {
                    parse_strict(requirement.get_ref())
                        .map_err(|error| reader.fault(requirement, "requirements", error))
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// The text of the `pylock.toml`. Addresses lose their user names and passwords: a lock is
    /// made to be shared.
    #[must_use]
    pub fn to_pylock(&self) -> String {
        let mut text = "lock-version = \"1.0\"\ncreated-by = \"loci\"\n".to_owned();
        if let Some(requires_python) = &self.requires_python {
            line(&mut text, "requires-python", &quoted(requires_python));
        }
        let environments: Vec<_> =
            self.environments.iter().map(|marker| quoted(&written(marker))).collect();
        list(&mut text, "environments", &environments);
        if self.packages.is_empty() {
            text.push_str("packages = []\n");
        }
        let mut packages: Vec<_> = self.packages.iter().collect();
        packages.sort_by_key(|package| (&package.name, &package.version, written(&package.marker)));
        for package in packages {
            write_package(&mut text, package);
        }
        if !self.requirements.is_empty() {
            text.push_str("\n[tool.loci]\n");
            let asked: BTreeSet<String> = self.requirements.iter().map(quoted).collect();
            list(&mut text, "requirements", &asked.into_iter().collect::<Vec<_>>());
        }
        text
    }
}

fn write_package(text: &mut String, package: &LockedPackage) {
    text.push_str("\n[[packages]]\n");
    line(text, "name", &quoted(&package.name));
    line(text, "version", &quoted(&package.version));
    if package.marker != MarkerTree::TRUE {
        line(text, "marker", &quoted(&written(&package.marker)));
    }
    if let Some(requires_python) = &package.requires_python {
        line(text, "requires-python", &quoted(requires_python));
    }
    let dependencies: Vec<_> =
        package.dependencies.iter().map(|name| format!("{{ name = {} }}", quoted(name))).collect();
    list(text, "dependencies", &dependencies);
    if let Some(index) = &package.index {
        line(text, "index", &quoted(&without_login(index)));
    }
    if let Some(sdist) = &package.sdist {
        line(text, "sdist", &file(sdist, sdist.filename.as_str()));
    }
    let mut wheels: Vec<_> = package.wheels.iter().collect();
    wheels.sort_by_key(|wheel| wheel.filename.as_str());
    let wheels: Vec<_> =
        wheels.into_iter().map(|wheel| file(wheel, wheel.filename.as_str())).collect();
    list(text, "wheels", &wheels);
}

fn file<N>(file: &LockedFile<N>, filename: &str) -> String {
    let place = match &file.place {
        FilePlace::Url(url) => format!("url = {}", quoted(&without_login(url))),
        FilePlace::Path(path) => format!("path = {}", quoted(path)),
    };
    let size = file.size.map(|size| format!("size = {size}, ")).unwrap_or_default();
    let name = quoted(&filename);
    let sha256 = file.sha256.hex();
    format!("{{ name = {name}, {place}, {size}hashes = {{ sha256 = \"{sha256}\" }} }}")
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

fn list(text: &mut String, key: &str, values: &[String]) {
    if !values.is_empty() {
        let _ = writeln!(text, "{key} = [");
        for value in values {
            let _ = writeln!(text, "    {value},");
        }
        text.push_str("]\n");
    }
}

fn quoted(value: &impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// A marker as text; one that always holds has none of its own.
fn written(marker: &MarkerTree) -> String {
    marker.try_to_string().unwrap_or_else(|| "python_version >= '0'".into())
}

/// Turns what serde read into a lock, with the line of whatever is wrong.
struct Reader<'a> {
    origin: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn place_at(&self, offset: usize) -> PylockPlace {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        PylockPlace { origin: self.origin.into(), line }
    }

    fn place<T>(&self, value: &Spanned<T>) -> PylockPlace {
        self.place_at(value.span().start)
    }

    fn toml(&self, error: &toml::de::Error) -> PylockError {
        let offset = error.span().map_or(0, |span| span.start);
        PylockError::Toml { place: self.place_at(offset), reason: error.message().into() }
    }

    /// A marker, by way of a requirement: the parser's faults are guarded against there.
    fn marker(
        &self,
        marker: &Spanned<String>,
        key: &'static str,
    ) -> Result<MarkerTree, PylockError> {
        let text = format!("marked ; {}", marker.get_ref());
        let requirement = parse_strict(&text).map_err(|error| self.fault(marker, key, error))?;
        Ok(requirement.marker)
    }

    fn fault(
        &self,
        value: &Spanned<String>,
        key: &'static str,
        reason: impl fmt::Display,
    ) -> PylockError {
        PylockError::Value {
            place: self.place(value),
            key,
            text: redact(value.get_ref()).into_owned(),
            // Some parsers underline the text on further lines; the first says what is wrong.
            reason: reason
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches(':')
                .into(),
        }
    }

    fn value<T: FromStr<Err: fmt::Display>>(
        &self,
        value: &Spanned<String>,
        key: &'static str,
    ) -> Result<T, PylockError> {
        value.get_ref().parse().map_err(|error: T::Err| self.fault(value, key, error))
    }

    fn optional<T: FromStr<Err: fmt::Display>>(
        &self,
        value: Option<Spanned<String>>,
        key: &'static str,
    ) -> Result<Option<T>, PylockError> {
        value.map(|value| self.value(&value, key)).transpose()
    }

    fn name(&self, name: &Spanned<String>) -> Result<PackageName, PylockError> {
        package_name(name.get_ref())
            .ok_or_else(|| self.fault(name, "name", "it is not a valid project name"))
    }

    fn package(&self, raw: RawPackage) -> Result<LockedPackage, PylockError> {
        let place = self.place(&raw.name);
        let name = self.name(&raw.name)?;
        for (kind, is_there) in [
            ("archive", raw.archive.is_some()),
            ("directory", raw.directory.is_some()),
            ("checkout", raw.vcs.is_some()),
        ] {
            if is_there {
                return Err(PylockError::Unsupported { place, name, kind });
            }
        }
        let wheels = raw
            .wheels
            .into_iter()
            .map(|raw| self.file(raw, &name, str::parse::<WheelFilename>))
            .collect::<Result<Vec<_>, _>>()?;
        let sdist = raw
            .sdist
            .map(|raw| self.file(raw, &name, |text| SdistFilename::parse(text, &name)))
            .transpose()?;
        let mut found = wheels
            .iter()
            .map(|wheel| (wheel.filename.as_str(), wheel.filename.name(), wheel.filename.version()))
            .chain(
                sdist
                    .iter()
                    .map(|sdist| (sdist.filename.as_str(), &name, sdist.filename.version())),
            )
            .peekable();
        let Some((_, _, first)) = found.peek() else {
            return Err(PylockError::NoFiles { place, name });
        };
        let version = self.optional(raw.version, "version")?.unwrap_or_else(|| (*first).clone());
        for (file, file_name, file_version) in found {
            if *file_name != name || *file_version != version {
                let file = file.to_owned();
                return Err(PylockError::Stranger { place, name, version, file });
            }
        }
        Ok(LockedPackage {
            version,
            marker: match &raw.marker {
                Some(marker) => self.marker(marker, "marker")?,
                None => MarkerTree::TRUE,
            },
            requires_python: self.optional(raw.requires_python, "requires-python")?,
            dependencies: raw
                .dependencies
                .iter()
                .map(|dependency| self.name(&dependency.name))
                .collect::<Result<_, _>>()?,
            index: self.optional(raw.index, "index")?,
            wheels,
            sdist,
            name,
        })
    }

    fn file<N, E: fmt::Display>(
        &self,
        raw: Spanned<RawFile>,
        package: &PackageName,
        parse: impl FnOnce(&str) -> Result<N, E>,
    ) -> Result<LockedFile<N>, PylockError> {
        let place = self.place(&raw);
        let raw = raw.into_inner();
        let fault = |reason: String| PylockError::File {
            place: place.clone(),
            name: package.clone(),
            reason,
        };
        let url: Option<Url> = self.optional(raw.url, "url")?;
        // "name > path > url" is the order in which the specification finds a file's name.
        let filename = match (&raw.name, &raw.path, &url) {
            (Some(name), _, _) => name.clone(),
            (None, Some(path), _) => path.rsplit(['/', '\\']).next().unwrap_or_default().into(),
            (None, None, Some(url)) => {
                let last = url.path().rsplit('/').next().unwrap_or_default();
                percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
            }
            (None, None, None) => String::new(),
        };
        let place = match (url, raw.path) {
            (Some(url), _) => FilePlace::Url(url),
            (None, Some(path)) => FilePlace::Path(path),
            (None, None) => return Err(fault("has neither `url` nor `path`".into())),
        };
        let filename =
            parse(&filename).map_err(|error| fault(format!("has no usable name: {error}")))?;
        let sha256 = raw.hashes.sha256.ok_or_else(|| fault("has no `sha256` hash".into()))?;
        let sha256 = Digest::from_hex(&sha256)
            .map_err(|error| fault(format!("has no usable hash: {error}")))?;
        Ok(LockedFile { filename, place, size: raw.size, sha256 })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    lock_version: Spanned<String>,
}

/// Every key of the specification; those loci has no use for are ignored by name.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawLock {
    #[serde(rename = "lock-version")]
    _lock_version: IgnoredAny,
    #[serde(rename = "created-by")]
    _created_by: String,
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    environments: Vec<Spanned<String>>,
    #[serde(rename = "extras", default)]
    _extras: IgnoredAny,
    #[serde(rename = "dependency-groups", default)]
    _dependency_groups: IgnoredAny,
    #[serde(rename = "default-groups", default)]
    _default_groups: IgnoredAny,
    packages: Vec<RawPackage>,
    #[serde(default)]
    tool: RawTools,
}

#[derive(Deserialize, Default)]
struct RawTools {
    loci: Option<RawLoci>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLoci {
    #[serde(default)]
    requirements: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawPackage {
    name: Spanned<String>,
    version: Option<Spanned<String>>,
    marker: Option<Spanned<String>>,
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    dependencies: Vec<RawDependency>,
    index: Option<Spanned<String>>,
    #[serde(default)]
    wheels: Vec<Spanned<RawFile>>,
    sdist: Option<Spanned<RawFile>>,
    vcs: Option<IgnoredAny>,
    directory: Option<IgnoredAny>,
    archive: Option<IgnoredAny>,
    #[serde(rename = "attestation-identities", default)]
    _attestation_identities: IgnoredAny,
    #[serde(rename = "tool", default)]
    _tool: IgnoredAny,
}

/// The specification lets a dependency say as much of the other entry as it takes to tell it apart.
#[derive(Deserialize)]
struct RawDependency {
    name: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: Option<String>,
    #[serde(rename = "upload-time", default)]
    _upload_time: IgnoredAny,
    url: Option<Spanned<String>>,
    path: Option<String>,
    size: Option<u64>,
    hashes: RawHashes,
}

#[derive(Deserialize)]
struct RawHashes {
    sha256: Option<String>,
}

/// A line of a lock file; displays as `origin:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PylockPlace {
    /// The file.
    pub origin: String,
    /// The line, from one.
    pub line: usize,
}

impl fmt::Display for PylockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.origin, self.line)
    }
}

/// A lock file that cannot be used, and where it is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PylockError {
    /// It is not TOML, or not of the keys and types of the specification.
    #[error("{place}: {reason}")]
    Toml {
        /// Where.
        place: PylockPlace,
        /// What the parser said.
        reason: String,
    },
    /// It is of a version that loci does not read.
    #[error("{place}: the lock-version is `{found}`, and only 1.0 is supported")]
    LockVersion {
        /// Where.
        place: PylockPlace,
        /// The version.
        found: String,
    },
    /// A text that makes no sense for its key.
    #[error("{place}: `{key}` cannot be read: {reason}: {text}")]
    Value {
        /// Where.
        place: PylockPlace,
        /// The key.
        key: &'static str,
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A package from elsewhere than an index.
    #[error(
        "{place}: `{name}` is locked as a {kind}, and only wheels and source distributions are supported"
    )]
    Unsupported {
        /// Where.
        place: PylockPlace,
        /// The package.
        name: PackageName,
        /// What it is locked as.
        kind: &'static str,
    },
    /// A package with nothing to install.
    #[error("{place}: `{name}` has neither wheels nor an sdist")]
    NoFiles {
        /// Where.
        place: PylockPlace,
        /// The package.
        name: PackageName,
    },
    /// A file of another release.
    #[error("{place}: the file `{file}` is not one of `{name}` {version}")]
    Stranger {
        /// Where.
        place: PylockPlace,
        /// The package.
        name: PackageName,
        /// Its version.
        version: Version,
        /// The file's name.
        file: String,
    },
    /// A file that cannot be used.
    #[error("{place}: a file of `{name}` {reason}")]
    File {
        /// Where.
        place: PylockPlace,
        /// The package.
        name: PackageName,
        /// What is wrong with it.
        reason: String,
    },
}

#[cfg(test)]
#[path = "pylock_tests.rs"]
mod tests;
