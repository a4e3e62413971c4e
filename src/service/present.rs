//! [`Present`]: a Python environment that is in a root already, into which others' packages are put: a plugin's, in
//! the image of a service.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::vocab::digest::Digest;
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::safe_path::SafePath;

use super::image_info::{BILL, LOCK};
use super::node;
use super::rooted::{links_below, resolve_parent};

/// What makes a directory an environment (PEP 405).
const MARK: &str = "pyvenv.cfg";

/// An environment that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Its files below the prefix, and their content; links have none.
    files: BTreeMap<SafePath, Option<Digest>>,
    /// The lock of the image that it is in (PEP 751), if that has one.
    pub lock: Option<String>,
    /// The bill of materials of the image that it is in, if that has one.
    pub bill: Option<String>,
}

/// What is there and cannot be put into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// It is no environment.
    #[error("`/{prefix}` is there, and is no Python environment: it has no `{MARK}`")]
    NoEnvironment {
        /// The prefix below the root.
        prefix: SafePath,
    },
    /// It is one of another Python.
    #[error("the environment in `/{prefix}` is not one of Python 3.{minor}")]
    OtherPython {
        /// The prefix below the root.
        prefix: SafePath,
        /// The minor version of the Python that there is.
        minor: u8,
    },
}

impl Present {
    /// What is at `prefix` in the directory `root`; none when nothing is, or an empty directory.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn read(root: &Path, prefix: &SafePath) -> io::Result<Option<Self>> {
        let place = resolve_parent(prefix, &mut links_below(root))?.under(root);
        let mut found = Vec::new();
        // A link is the business of who writes there.
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => list(&place, "", &mut found)?,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        if found.is_empty() {
            return Ok(None);
        }
        let hashed = found.into_par_iter().map(|(path, is_file)| {
            let digest = if is_file {
                Some(Digest::of_reader(fs::File::open(path.under(&place))?)?.0)
            } else {
                None
            };
            Ok((path, digest))
        });
        let said = |path: &str| {
            let node = path.parse().ok().and_then(|path| node::read(root, &path).ok().flatten());
            node.and_then(node::Node::into_text)
        };
        Ok(Some(Self {
            files: hashed.collect::<io::Result<_>>()?,
            lock: said(LOCK),
            bill: said(BILL),
        }))
    }

    /// The same, if it is an environment of Python 3.`minor`.
    ///
    /// # Errors
    /// [`Unsuitable`].
    pub fn suitable(self, prefix: &SafePath, minor: u8) -> Result<Self, Unsuitable> {
        let prefix = prefix.clone();
        if !self.files.keys().any(|path| path.as_str() == MARK) {
            return Err(Unsuitable::NoEnvironment { prefix });
        }
        let lib = format!("lib/python3.{minor}/");
        let is_other = |path: &SafePath| {
            path.as_str().starts_with("lib/python3.") && !path.as_str().starts_with(&lib)
        };
        match self.files.keys().any(is_other) {
            true => Err(Unsuitable::OtherPython { prefix, minor }),
            false => Ok(self),
        }
    }

    /// Its files below the prefix, and their content; links have none.
    pub fn files(&self) -> impl Iterator<Item = (&SafePath, Option<Digest>)> {
        self.files.iter().map(|(path, digest)| (path, *digest))
    }

    /// Its packages and their versions, by what their `.dist-info` directories are called.
    #[must_use]
    pub fn packages(&self) -> BTreeMap<PackageName, String> {
        self.files.keys().filter_map(release).collect()
    }
}

/// Adds what is below a directory, and whether it is a regular file. What is called by no text is passed over:
/// nothing is put there.
fn list(place: &Path, below: &str, found: &mut Vec<(SafePath, bool)>) -> io::Result<()> {
    for entry in fs::read_dir(place.join(below))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(place, &path, found)?;
        } else if let Ok(path) = path.parse() {
            found.push((path, kind.is_file()));
        }
    }
    Ok(())
}

/// `lib/python3.11/site-packages/oslo.config-10.7.0.dist-info/METADATA` is of `oslo-config`, 10.7.0 (PEP 376; names
/// have no hyphen there).
fn release(path: &SafePath) -> Option<(PackageName, String)> {
    let parts: Vec<&str> = path.components().collect();
    let ["lib", _, "site-packages", folder, "METADATA"] = parts[..] else { return None };
    let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
    Some((package_name(name)?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), path).unwrap();
    }

    fn prefix() -> SafePath {
        "opt/env".parse().unwrap()
    }

    #[test]
    fn an_environment_is_known_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let read = || Present::read(root, &prefix()).unwrap();
        assert_eq!(read(), None);
        fs::create_dir_all(root.join("usr/env")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("opt")).unwrap();
        assert_eq!(read(), None, "an empty directory is nothing");
        let env = root.join("usr/env");
        write(&env, "lib/python3.11/site-packages/oslo.config-10.7.0.dist-info/METADATA");
        let said = read().unwrap().suitable(&prefix(), 11).unwrap_err();
        insta::assert_snapshot!(said, @"`/opt/env` is there, and is no Python environment: it has no `pyvenv.cfg`");
        write(&env, "pyvenv.cfg");
        for path in
            ["six.py", "X_y-1.dist-info/METADATA", "-.dist-info/METADATA", "a.dist-info/METADATA"]
        {
            write(&env, &format!("lib/python3.11/site-packages/{path}"));
        }
        std::os::unix::fs::symlink("/usr/bin/python3", env.join("python")).unwrap();
        write(root, LOCK);
        let present = read().unwrap();
        let packages = present.packages();
        let packages = packages.iter().map(|(name, version)| format!("{name} {version}"));
        assert_eq!(packages.collect::<Vec<_>>(), ["oslo-config 10.7.0", "x-y 1"]);
        let files: BTreeMap<_, _> = present.files().collect();
        let file = |path: &str| files.get(&path.parse::<SafePath>().unwrap()).copied();
        assert_eq!(file("pyvenv.cfg"), Some(Some(Digest::of(b"pyvenv.cfg"))));
        assert_eq!((file("python"), file("none")), (Some(None), None));
        assert_eq!((present.lock.as_deref(), &present.bill), (Some(LOCK), &None));
        let text = serde_json::to_string(&present).unwrap();
        assert_eq!(serde_json::from_str::<Present>(&text).unwrap(), present);

        assert_eq!(present.clone().suitable(&prefix(), 11).unwrap(), present);
        let said = present.suitable(&prefix(), 13).unwrap_err();
        insta::assert_snapshot!(said, @"the environment in `/opt/env` is not one of Python 3.13");
    }
}
