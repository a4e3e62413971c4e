//! [`RootFacts`]: what must be known of a root file system to put layers upon it when it is not there any
//! more: who its users are, what stands where, and which Python environment it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::image::tree_layer::{self, Body, TreeLayer};
use crate::vocab::safe_path::SafePath;

use super::account::{AccountError, AccountFiles};
use super::node::{self, Node, NodeKind};
use super::present::Present;
use super::project_account::environment;
use super::rooted::resolve_parent;

/// The files that say who the users are.
const ACCOUNTS: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];
/// Where a system says what it is, the first one before the other (os-release(5)).
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Mode and owner of most directories.
const USUAL: (u32, u32, u32) = (0o755, 0, 0);

/// What is known of a root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFacts {
    /// The text of its os-release file; empty when it has none.
    pub os_release: String,
    /// The environment that services have, when there is something at its place.
    pub environment: Option<Present>,
    accounts: [Option<File>; 4],
    found: BTreeMap<SafePath, Found>,
    /// Mode and owner of those directories that are not everybody's to read and root's to write.
    special: BTreeMap<SafePath, (u32, u32, u32)>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// A directory.
    #[serde(rename = "d")]
    Directory,
    /// A symbolic link with its target.
    #[serde(rename = "l")]
    Link(String),
    /// A file, or something else that has nothing in it.
    #[serde(rename = "f")]
    File,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    mode: u32,
    uid: u32,
    gid: u32,
    content: Vec<u8>,
}

impl RootFacts {
    /// Looks at the directory `root`. What is called by no text is passed over: nothing is put there.
    ///
    /// # Errors
    /// [`AccountError::Read`] and [`AccountError::List`] when something is there and cannot be read.
    pub fn read(root: &Path) -> Result<Self, AccountError> {
        let mut facts = Self { os_release: Self::os_release(root)?, ..Self::default() };
        for (file, path) in facts.accounts.iter_mut().zip(ACCOUNTS) {
            let found = node::read(root, &fixed(path));
            let found = found.map_err(|source| AccountError::Read { source })?;
            *file = found.and_then(File::of);
        }
        facts.look(root, "")?;
        facts.environment =
            Present::read(root, &environment()).map_err(|source| AccountError::Look { source })?;
        Ok(facts)
    }

    /// The text of the os-release file of the directory `root`; empty when it has none.
    ///
    /// # Errors
    /// [`AccountError::Read`] when it is there and cannot be read.
    pub fn os_release(root: &Path) -> Result<String, AccountError> {
        for path in OS_RELEASE {
            let found = node::read(root, &fixed(path));
            let found = found.map_err(|source| AccountError::Read { source })?;
            if let Some(file) = found.and_then(File::of) {
                return Ok(String::from_utf8_lossy(&file.content).into_owned());
            }
        }
        Ok(String::new())
    }

    fn look(&mut self, root: &Path, below: &str) -> Result<(), AccountError> {
        let failed = |source| AccountError::List { path: below.to_owned(), source };
        for entry in fs::read_dir(root.join(below)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type().map_err(failed)?;
            // What is in these is not of the image.
            if kind.is_dir() && !matches!(path.as_str(), "proc" | "sys" | "dev") {
                self.look(root, &path)?;
            }
            let found = if kind.is_dir() {
                Found::Directory
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(failed)?.into_os_string();
                target.into_string().map_or(Found::File, Found::Link)
            } else {
                Found::File
            };
            if let Ok(path) = path.parse::<SafePath>() {
                if found == Found::Directory {
                    let metadata = entry.metadata().map_err(failed)?;
                    let who = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
                    if who != USUAL {
                        self.special.insert(path.clone(), who);
                    }
                }
                self.found.insert(path, found);
            }
        }
        Ok(())
    }

    /// Its users and groups.
    #[must_use]
    pub fn accounts(&self) -> AccountFiles {
        let [passwd, group, shadow, gshadow] = &self.accounts;
        let node = |file: &Option<File>, path| file.as_ref().map(|file| file.node(path));
        AccountFiles::new(
            node(passwd, ACCOUNTS[0]),
            node(group, ACCOUNTS[1]),
            node(shadow, ACCOUNTS[2]),
            node(gshadow, ACCOUNTS[3]),
        )
    }

    /// Its directories.
    #[must_use]
    pub fn directories(&self) -> BTreeSet<SafePath> {
        let found = self.found.iter().filter(|(_, found)| **found == Found::Directory);
        found.map(|(path, _)| path.clone()).collect()
    }

    /// Puts into `layer` those directories that something in it is in and that are not as an engine makes them which
    /// finds none in a layer.
    pub fn keep_directories(&self, layer: &mut TreeLayer) {
        for (path, &(mode, uid, gid)) in &self.special {
            if layer.get(path).is_none() && layer.has_below(path) {
                let node = tree_layer::Node { mode, owner: (uid, gid), body: Body::Directory };
                layer.insert(path.clone(), node);
            }
        }
    }

    /// Where what is to be at `path` has to stand in a layer: not below a link.
    ///
    /// # Errors
    /// When links go round.
    pub fn place(&self, path: &SafePath) -> io::Result<SafePath> {
        resolve_parent(path, &mut |path| match self.at(path) {
            Some(Found::Link(target)) => Ok(Some(target.clone())),
            _ => Ok(None),
        })
    }

    /// What stands at a path, links not followed; none when nothing does.
    #[must_use]
    pub fn at(&self, path: &SafePath) -> Option<&Found> {
        self.found.get(path)
    }
}

impl File {
    fn of(node: Node) -> Option<Self> {
        let Node { kind: NodeKind::File(content), mode, uid, gid, .. } = node else { return None };
        Some(Self { mode, uid, gid, content })
    }

    fn node(&self, path: &str) -> Node {
        let Self { mode, uid, gid, content } = self;
        let kind = NodeKind::File(content.clone());
        Node { path: fixed(path), kind, mode: *mode, uid: *uid, gid: *gid }
    }
}

fn fixed(path: &str) -> SafePath {
    path.parse().expect("these paths are fixed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_listed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = RootFacts::read(&dir.path().join("nothing")).unwrap_err();
        assert_eq!(error.to_string(), "cannot list `/`");
    }

    #[test]
    fn facts_stand_for_the_root_they_are_of() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["usr/lib", "etc/x", "proc/1"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
        fs::write(root.join("usr/lib/os-release"), "ID=debian\n").unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let facts = RootFacts::read(root).unwrap();
        let again: RootFacts =
            serde_json::from_slice(&serde_json::to_vec(&facts).unwrap()).unwrap();
        assert_eq!(again, facts);
        assert_eq!(facts.os_release, "ID=debian\n");
        let paths: Vec<_> = facts.directories().iter().map(ToString::to_string).collect();
        assert_eq!(
            paths,
            ["dev", "etc", "etc/x", "proc", "sys", "usr", "usr/lib"]
                .into_iter()
                .filter(|path| root.join(path).exists())
                .collect::<Vec<_>>()
        );
        assert_eq!(facts.place(&fixed("lib/a/b")).unwrap().as_str(), "usr/lib/a/b");
        let at = |path: &str| facts.at(&fixed(path));
        assert_eq!(at("lib"), Some(&Found::Link("usr/lib".into())));
        assert_eq!((at("etc/passwd"), at("usr")), (Some(&Found::File), Some(&Found::Directory)));
        assert_eq!((at("etc/none"), at("proc/1")), (None, None));
        assert!(facts.accounts().user(&"root".parse().unwrap()).unwrap().is_some());
    }
}
