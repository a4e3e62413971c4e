//! A directory of this machine as the nodes of an image: a repository's files, without its history.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::vocab::safe_path::SafePath;

use super::node::{Node, NodeKind};

/// What is below `directory`, without `.git`, as nodes of root's below `to`, parents first and by name.
/// Of the modes only what git keeps is kept: whether a file can be run.
///
/// # Errors
/// When something cannot be read, has a name that is not UTF-8, or is neither a file, a directory nor
/// a link.
pub(crate) fn nodes_of(directory: &Path, to: &SafePath) -> io::Result<Vec<Node>> {
    let mut nodes = vec![Node::directory(to.clone())];
    collect(directory, to, &mut nodes)?;
    Ok(nodes)
}

fn collect(directory: &Path, to: &SafePath, nodes: &mut Vec<Node>) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let name = entry?.file_name().into_string();
        names.push(name.map_err(|name| {
            io::Error::other(format!("the name {} is not UTF-8", name.display()))
        })?);
    }
    names.sort();
    for name in names.iter().filter(|name| *name != ".git") {
        let place = directory.join(name);
        let path = to.join(&name.parse().map_err(io::Error::other)?);
        let metadata = fs_err::symlink_metadata(&place)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            nodes.push(Node::directory(path.clone()));
            collect(&place, &path, nodes)?;
        } else if kind.is_symlink() {
            let target = fs_err::read_link(&place)?.into_os_string().into_string();
            let target = target.map_err(|_| io::Error::other("a link leads to no UTF-8 name"))?;
            nodes.push(Node::symlink(path, target));
        } else if kind.is_file() {
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            let content = NodeKind::File(fs_err::read(&place)?);
            nodes.push(Node { path, kind: content, mode, uid: 0, gid: 0 });
        } else {
            let reason = format!("`{}` is neither a file nor a directory", place.display());
            return Err(io::Error::other(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_becomes_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path();
        std::fs::create_dir_all(here.join(".git/refs")).unwrap();
        std::fs::create_dir_all(here.join("app")).unwrap();
        std::fs::write(here.join("app/x.js"), "x").unwrap();
        std::fs::write(here.join("run.sh"), "").unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(here.join("run.sh"), mode).unwrap();
        std::os::unix::fs::symlink("run.sh", here.join("a")).unwrap();
        let nodes = nodes_of(here, &"usr/share/novnc".parse().unwrap()).unwrap();
        let lines = nodes.iter().map(|node| format!("{} {:04o}", node.path, node.mode));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
        usr/share/novnc 0755
        usr/share/novnc/a 0777
        usr/share/novnc/app 0755
        usr/share/novnc/app/x.js 0644
        usr/share/novnc/run.sh 0755
        ");
        assert!(nodes_of(&here.join("none"), &"x".parse().unwrap()).is_err());
    }
}
