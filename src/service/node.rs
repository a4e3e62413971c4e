//! [`Node`]: one directory, file or link that a service image has beside what its wheels and its
//! distribution bring.
//!
//! A node is a value: it becomes a member of a layer elsewhere, or is written into a root by
//! [`write()`]. Both give the same tree.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, fchown, lchown};
use std::path::{Path, PathBuf};

use crate::vocab::safe_path::SafePath;

use super::rooted::{links_below, resolve, resolve_parent};

/// A directory, file or symbolic link of a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is below the root.
    pub path: SafePath,
    /// What it is.
    pub kind: NodeKind,
    /// Its permission bits; a link's mean nothing.
    pub mode: u32,
    /// The number of its owner.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory. What is in one that exists already stays.
    Directory,
    /// A file with its content.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Symlink(String),
}

/// A node that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file cannot be read.
    #[error("cannot read `/{path}`")]
    Read {
        /// The path in the root.
        path: SafePath,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be made.
    #[error("cannot write `/{path}`")]
    Write {
        /// The path in the root.
        path: SafePath,
        /// Why.
        source: io::Error,
    },
    /// The owner cannot be set: only root may give files away.
    #[error("cannot give `/{path}` to user {uid} and group {gid}")]
    Owner {
        /// The path in the root.
        path: SafePath,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// Why.
        source: io::Error,
    },
    /// A directory is where something else should be, or the other way round.
    #[error("`/{path}` is there already and is {found} directory")]
    OtherKind {
        /// The path in the root.
        path: SafePath,
        /// `a` or `no`.
        found: &'static str,
    },
}

impl Node {
    /// A directory of root's with mode 0755.
    #[must_use]
    pub const fn directory(path: SafePath) -> Self {
        Self { path, kind: NodeKind::Directory, mode: 0o755, uid: 0, gid: 0 }
    }

    /// A file of root's with mode 0644.
    #[must_use]
    pub const fn file(path: SafePath, content: Vec<u8>) -> Self {
        Self { path, kind: NodeKind::File(content), mode: 0o644, uid: 0, gid: 0 }
    }

    /// A symbolic link.
    #[must_use]
    pub const fn symlink(path: SafePath, target: String) -> Self {
        Self { path, kind: NodeKind::Symlink(target), mode: 0o777, uid: 0, gid: 0 }
    }

    /// Its text, if it is a file with one.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self.kind {
            NodeKind::File(content) => String::from_utf8(content).ok(),
            NodeKind::Directory | NodeKind::Symlink(_) => None,
        }
    }

    /// The same node of another owner.
    #[must_use]
    pub fn owned_by(self, uid: u32, gid: u32) -> Self {
        Self { uid, gid, ..self }
    }
}

/// Reads the file that `path` leads to in `root`, under the path it really has; none when there is
/// no such file.
///
/// # Errors
/// [`NodeError::Read`], also when it is no regular file.
pub fn read(root: &Path, path: &SafePath) -> Result<Option<Node>, NodeError> {
    let failed = |source| NodeError::Read { path: path.clone(), source };
    let found = resolve(path, &mut links_below(root)).map_err(failed)?;
    let real = found.ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
    let place = real.under(root);
    let metadata = match std::fs::symlink_metadata(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let content = std::fs::read(&place).map_err(failed)?;
    let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    Ok(Some(Node { path: real, kind: NodeKind::File(content), mode, uid, gid }))
}

/// Puts `nodes` into the directory `root`, one after the other. Parents that are missing become
/// directories of mode 0755; links on the way are followed inside of the root. Files and links are
/// replaced in one step, with their mode and owner; a directory that is there keeps what is in it
/// and gets the mode and owner. Nothing else is touched. Says where they have come to stand, the root itself left out.
///
/// # Errors
/// The first [`NodeError`]; the nodes before it are then written.
pub fn write(root: &Path, nodes: &[Node]) -> Result<Vec<SafePath>, NodeError> {
    nodes.iter().filter_map(|node| write_one(root, node).transpose()).collect()
}

fn write_one(root: &Path, node: &Node) -> Result<Option<SafePath>, NodeError> {
    let failed = |source| NodeError::Write { path: node.path.clone(), source };
    let no_owner = |source| {
        let Node { path, uid, gid, .. } = node;
        NodeError::Owner { path: path.clone(), uid: *uid, gid: *gid, source }
    };
    if node.kind == NodeKind::Directory {
        let Some(real) = resolve(&node.path, &mut links_below(root)).map_err(failed)? else {
            return Ok(None);
        };
        let directory = make_directory(root, &real).map_err(|error| refine(node, error))?;
        let metadata = std::fs::symlink_metadata(&directory).map_err(failed)?;
        if (metadata.uid(), metadata.gid()) != (node.uid, node.gid) {
            chown(&directory, Some(node.uid), Some(node.gid)).map_err(no_owner)?;
        }
        // After the owner, since a change of owner takes set-id bits away.
        std::fs::set_permissions(&directory, Permissions::from_mode(node.mode)).map_err(failed)?;
        return Ok(Some(real));
    }
    let real = resolve_parent(&node.path, &mut links_below(root)).map_err(failed)?;
    let parent = match real.parent() {
        Some(parent) => make_directory(root, &parent).map_err(|error| refine(node, error))?,
        None => root.to_owned(),
    };
    let place = real.under(root);
    if std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(NodeError::OtherKind { path: node.path.clone(), found: "a" });
    }
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".loci-");
    match &node.kind {
        NodeKind::Directory => {}
        NodeKind::File(content) => {
            let mut file = builder.tempfile_in(&parent).map_err(failed)?;
            file.write_all(content).map_err(failed)?;
            let metadata = file.as_file().metadata().map_err(failed)?;
            if (metadata.uid(), metadata.gid()) != (node.uid, node.gid) {
                fchown(file.as_file(), Some(node.uid), Some(node.gid)).map_err(no_owner)?;
            }
            let mode = Permissions::from_mode(node.mode);
            file.as_file().set_permissions(mode).map_err(failed)?;
            file.persist(&place).map_err(|error| failed(error.error))?;
        }
        NodeKind::Symlink(target) => {
            let link = builder
                .make_in(&parent, |path| std::os::unix::fs::symlink(target, path))
                .map_err(failed)?;
            let metadata = std::fs::symlink_metadata(link.path()).map_err(failed)?;
            if (metadata.uid(), metadata.gid()) != (node.uid, node.gid) {
                lchown(link.path(), Some(node.uid), Some(node.gid)).map_err(no_owner)?;
            }
            link.persist(&place).map_err(|error| failed(error.error))?;
        }
    }
    Ok(Some(real))
}

/// Makes the directory at `path`, in which there are no links any more, and its parents.
fn make_directory(root: &Path, path: &SafePath) -> io::Result<PathBuf> {
    let mut directory = root.to_owned();
    for component in path.components() {
        directory.push(component);
        match std::fs::DirBuilder::new().mode(0o755).create(&directory) {
            // The mode is fixed, whatever the umask of who runs this.
            Ok(()) => std::fs::set_permissions(&directory, Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !std::fs::symlink_metadata(&directory)?.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(directory)
}

fn refine(node: &Node, error: io::Error) -> NodeError {
    let path = node.path.clone();
    match (error.kind(), &node.kind) {
        (io::ErrorKind::NotADirectory, NodeKind::Directory) => {
            NodeError::OtherKind { path, found: "no" }
        }
        _ => NodeError::Write { path, source: error },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn ids() -> (u32, u32) {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    fn path(text: &str) -> SafePath {
        text.parse().unwrap()
    }

    /// Everything below a root, a line each.
    fn seen(root: &Path) -> String {
        fn walk(root: &Path, below: &Path, lines: &mut Vec<String>) {
            for entry in std::fs::read_dir(below).unwrap() {
                let place = entry.unwrap().path();
                let name = place.strip_prefix(root).unwrap().display();
                let metadata = std::fs::symlink_metadata(&place).unwrap();
                let mode = metadata.mode() & 0o7777;
                if metadata.is_symlink() {
                    let target = std::fs::read_link(&place).unwrap();
                    lines.push(format!("{name} -> {}", target.display()));
                } else if metadata.is_dir() {
                    lines.push(format!("{name}/ {mode:04o}"));
                    walk(root, &place, lines);
                } else {
                    let content = std::fs::read_to_string(&place).unwrap();
                    lines.push(format!("{name} {mode:04o} {content}"));
                }
            }
        }
        let mut lines = Vec::new();
        walk(root, root, &mut lines);
        lines.sort();
        lines.join("\n")
    }

    fn mine(node: Node) -> Node {
        let (uid, gid) = ids();
        node.owned_by(uid, gid)
    }

    #[test]
    fn nodes_are_written_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let outer = dir.path();
        let root = outer.join("root");
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::fs::create_dir_all(root.join("var/log")).unwrap();
        std::fs::create_dir_all(outer.join("etc")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/etc", root.join("conf")).unwrap();
        symlink("../../../../etc", root.join("climb")).unwrap();
        symlink("/usr/lib/file", root.join("file")).unwrap();
        std::fs::write(root.join("usr/lib/file"), "kept").unwrap();
        std::fs::write(root.join("var/log/old"), "kept").unwrap();
        std::fs::set_permissions(root.join("var/log/old"), Permissions::from_mode(0o600)).unwrap();
        let nodes = [
            mine(Node::file(path("lib/a/b"), b"b".to_vec())),
            mine(Node::file(path("conf/c"), b"c".to_vec())),
            mine(Node::file(path("climb/d"), b"d".to_vec())),
            mine(Node { mode: 0o4755, ..Node::file(path("file"), b"new".to_vec()) }),
            mine(Node { mode: 0o700, ..Node::directory(path("var/log")) }),
            mine(Node::directory(path("lib"))),
            mine(Node { mode: 0o1777, ..Node::directory(path("x/y")) }),
            mine(Node::symlink(path("var/run"), "/run".into())),
        ];
        write(&root, &nodes).unwrap();
        let once = seen(&root);
        write(&root, &nodes).unwrap();
        assert_eq!(seen(&root), once);
        insta::assert_snapshot!(once, @r"
        climb -> ../../../../etc
        conf -> /etc
        etc/ 0755
        etc/c 0644 c
        etc/d 0644 d
        file 4755 new
        lib -> usr/lib
        usr/ 0755
        usr/lib/ 0755
        usr/lib/a/ 0755
        usr/lib/a/b 0644 b
        usr/lib/file 0644 kept
        var/ 0755
        var/log/ 0700
        var/log/old 0600 kept
        var/run -> /run
        x/ 0755
        x/y/ 1777
        ");
        assert_eq!(seen(&outer.join("etc")), "", "nothing leaves the root");
    }

    #[test]
    fn what_is_of_another_kind_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        std::fs::write(dir.path().join("file"), "kept").unwrap();
        let said: Vec<String> = [
            Node::file(path("dir"), Vec::new()),
            Node::symlink(path("dir"), "x".into()),
            Node::directory(path("file")),
            Node::file(path("file/x"), Vec::new()),
        ]
        .into_iter()
        .map(|node| write(dir.path(), &[mine(node)]).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        `/dir` is there already and is a directory
        `/dir` is there already and is a directory
        `/file` is there already and is no directory
        cannot write `/file/x`
        ");
        assert_eq!(seen(dir.path()), "dir/ 0755\nfile 0644 kept");
    }

    #[test]
    fn owners_are_set_when_root_runs_this() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = [
            Node::directory(path("d")).owned_by(42424, 42425),
            Node::file(path("d/f"), Vec::new()).owned_by(42424, 42425),
            Node::symlink(path("d/l"), "f".into()).owned_by(42424, 42425),
        ];
        let outcome = write(dir.path(), &nodes);
        if ids().0 != 0 {
            let error = outcome.unwrap_err().to_string();
            assert_eq!(error, "cannot give `/d` to user 42424 and group 42425");
            println!("skipped: giving files away needs root");
            return;
        }
        outcome.unwrap();
        for name in ["d", "d/f", "d/l"] {
            let metadata = std::fs::symlink_metadata(dir.path().join(name)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (42424, 42425), "{name}");
        }
    }

    #[test]
    fn files_are_read_where_they_really_are() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/etc")).unwrap();
        std::fs::write(dir.path().join("usr/etc/passwd"), "x").unwrap();
        symlink("/usr/etc", dir.path().join("etc")).unwrap();
        let node = read(dir.path(), &path("etc/passwd")).unwrap().unwrap();
        assert_eq!(node.path.as_str(), "usr/etc/passwd");
        assert_eq!(node.kind, NodeKind::File(b"x".to_vec()));
        assert_eq!(node.mode, 0o644);
        assert_eq!(read(dir.path(), &path("etc/shadow")).unwrap(), None);
        let error = read(dir.path(), &path("etc")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `/etc`");
    }
}
