//! [`BuildSystem`]: what `pyproject.toml` says of how a tree is built (PEP 517, PEP 518).

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::vocab::requirement::{Requirement, RequirementError, parse_lenient};

/// What setuptools calls the backend that runs an old `setup.py` as `python setup.py` would.
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";
/// The first setuptools with that backend, as PEP 517's "source trees" section has it.
const LEGACY_REQUIRES: &str = "setuptools>=40.8.0";

/// A backend, where it is imported from, and what must be installed to import it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BuildSystem {
    requires: Vec<Requirement>,
    backend: String,
    backend_path: Vec<String>,
}

impl BuildSystem {
    /// Reads the `[build-system]` of the tree, or its absence: an old tree is built by setuptools.
    ///
    /// # Errors
    /// [`SystemError`] when the tree is no Python project or says something that cannot be followed.
    pub(super) fn read(tree: &Path) -> Result<Self, SystemError> {
        let path = tree.join("pyproject.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return if tree.join("setup.py").is_file() {
                    Ok(Self::legacy(Vec::new()))
                } else {
                    Err(SystemError::NotPython)
                };
            }
            Err(source) => return Err(SystemError::Read { source }),
        };
        let document: PyProject = toml::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|source| SystemError::Toml { source: Box::new(source) })?;
        let Some(table) = document.build_system else { return Ok(Self::legacy(Vec::new())) };
        let requires = table
            .requires
            .ok_or(SystemError::NoRequires)?
            .into_iter()
            .map(|text| {
                parse_lenient(&text)
                    .map_err(|source| SystemError::Requirement { text, source: Box::new(source) })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let Some(backend) = table.build_backend else { return Ok(Self::legacy(requires)) };
        if !is_object_reference(&backend) {
            return Err(SystemError::Backend { backend });
        }
        for entry in &table.backend_path {
            check_backend_path(tree, entry)?;
        }
        Ok(Self { requires, backend, backend_path: table.backend_path })
    }

    fn legacy(mut requires: Vec<Requirement>) -> Self {
        if !requires.iter().any(|requirement| requirement.name.as_ref() == "setuptools") {
            requires.push(parse_lenient(LEGACY_REQUIRES).expect("the constant is a requirement"));
        }
        Self { requires, backend: LEGACY_BACKEND.into(), backend_path: Vec::new() }
    }

    /// What must be installed before the backend is asked anything.
    #[must_use]
    pub(super) fn requires(&self) -> &[Requirement] {
        &self.requires
    }

    /// The backend as `module` or `module:object`.
    #[must_use]
    pub(super) fn backend(&self) -> &str {
        &self.backend
    }

    /// Directories inside the tree that the backend is imported from, relative to it.
    #[must_use]
    pub(super) fn backend_path(&self) -> &[String] {
        &self.backend_path
    }
}

#[derive(Deserialize)]
struct PyProject {
    #[serde(rename = "build-system")]
    build_system: Option<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    requires: Option<Vec<String>>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

/// Whether the text is dotted names, with at most one `:` between module and object.
fn is_object_reference(text: &str) -> bool {
    let dotted = |text: &str| {
        text.split('.').all(|name| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c == '_' || c.is_alphanumeric())
        })
    };
    match text.split_once(':') {
        Some((module, object)) => dotted(module) && dotted(object),
        None => dotted(text),
    }
}

/// PEP 517: entries are relative and, links followed, inside the tree.
fn check_backend_path(tree: &Path, entry: &str) -> Result<(), SystemError> {
    let outside = || SystemError::BackendPath { entry: entry.into() };
    let inside = |tree: &Path| -> std::io::Result<bool> {
        let real: PathBuf = fs::canonicalize(tree.join(entry))?;
        Ok(real.starts_with(fs::canonicalize(tree)?))
    };
    if Path::new(entry).is_absolute() || !inside(tree).unwrap_or(false) {
        return Err(outside());
    }
    Ok(())
}

/// A tree that says nothing of use about how it is built.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Neither `pyproject.toml` nor `setup.py`.
    #[error(
        "the source tree is not a Python project: it has neither `pyproject.toml` nor `setup.py`"
    )]
    NotPython,
    /// `pyproject.toml` is there and cannot be read.
    #[error("cannot read `pyproject.toml`")]
    Read {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `pyproject.toml` is no TOML, or its `[build-system]` has other types than PEP 518 says.
    #[error("`pyproject.toml` is not valid")]
    Toml {
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// `[build-system]` without `requires`, which PEP 518 makes mandatory.
    #[error("`pyproject.toml` has a `[build-system]` without `requires`")]
    NoRequires,
    /// A line of `requires` is no requirement.
    #[error("`build-system.requires` holds `{text}`, which is not a requirement")]
    Requirement {
        /// The line.
        text: String,
        /// Why.
        #[source]
        source: Box<RequirementError>,
    },
    /// `build-backend` is no object reference.
    #[error("`build-system.build-backend` is `{backend}`, which names no Python object")]
    Backend {
        /// As written.
        backend: String,
    },
    /// `backend-path` leads out of the tree or nowhere.
    #[error(
        "`build-system.backend-path` holds `{entry}`, which is no directory inside the source tree"
    )]
    BackendPath {
        /// The entry.
        entry: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<BuildSystem, SystemError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        BuildSystem::read(dir.path())
    }

    #[track_caller]
    fn case(files: &[(&str, &str)], requires: &[&str], backend: &str, path: &[&str]) {
        let system = read(files).unwrap();
        let found: Vec<String> = system.requires().iter().map(ToString::to_string).collect();
        assert_eq!(found, requires);
        assert_eq!((system.backend(), system.backend_path()), (backend, &strings(path)[..]));
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn trees_without_a_backend_are_built_by_setuptools() {
        let old = &["setuptools>=40.8.0"][..];
        case(&[("setup.py", "")], old, LEGACY_BACKEND, &[]);
        case(&[("pyproject.toml", "[tool.black]\n")], old, LEGACY_BACKEND, &[]);
        case(
            &[
                ("setup.py", ""),
                ("pyproject.toml", "\u{feff}[build-system]\nrequires = ['wheel', 'Cython (<3)']\n"),
            ],
            &["wheel", "cython<3", "setuptools>=40.8.0"],
            LEGACY_BACKEND,
            &[],
        );
        case(
            &[("pyproject.toml", "[build-system]\nrequires = ['setuptools<58']\n")],
            &["setuptools<58"],
            LEGACY_BACKEND,
            &[],
        );
    }

    #[test]
    fn a_backend_is_taken_as_it_is_named() {
        case(
            &[
                ("_custom/b.py", ""),
                (
                    "pyproject.toml",
                    "[build-system]\nrequires = []\nbuild-backend = 'b:x.y'\nbackend-path = ['_custom', '.']\nother = 1\n",
                ),
            ],
            &[],
            "b:x.y",
            &["_custom", "."],
        );
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let error = |text: &str| read(&[("pyproject.toml", text)]).unwrap_err().to_string();
        insta::assert_snapshot!(read(&[("README", "")]).unwrap_err(), @"the source tree is not a Python project: it has neither `pyproject.toml` nor `setup.py`");
        insta::assert_snapshot!(error("[build-system\n"), @"`pyproject.toml` is not valid");
        insta::assert_snapshot!(error("[build-system]\nrequires = 'x'\n"), @"`pyproject.toml` is not valid");
        insta::assert_snapshot!(error("[build-system]\nbuild-backend = 'x'\n"), @"`pyproject.toml` has a `[build-system]` without `requires`");
        insta::assert_snapshot!(error("[build-system]\nrequires = ['a b']\n"), @"`build-system.requires` holds `a b`, which is not a requirement");
        insta::assert_snapshot!(error("[build-system]\nrequires = []\nbuild-backend = 'a:b:c'\n"), @"`build-system.build-backend` is `a:b:c`, which names no Python object");
        insta::assert_snapshot!(error("[build-system]\nrequires = []\nbuild-backend = 'a'\nbackend-path = ['../x']\n"), @"`build-system.backend-path` holds `../x`, which is no directory inside the source tree");
    }
}
