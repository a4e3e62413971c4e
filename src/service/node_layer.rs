//! [`layer`]: nodes as a layer of an image, upon a root of which only facts are known.
//!
//! It puts there what [`node::write`](super::node::write()) would make in the root itself, and refuses what that would
//! refuse.

use std::collections::BTreeSet;
use std::io;

use crate::image::tree_layer::{self, Body, TreeLayer};
use crate::vocab::safe_path::SafePath;

use super::facts::{Found, RootFacts};
use super::node::{Node, NodeError, NodeKind};
use super::rooted::{resolve, resolve_parent};

/// What `nodes` make, one after the other, of a root of which `facts` are known and that has the directories
/// `there`, all of the time `epoch` in seconds since 1970.
///
/// # Errors
/// The first [`NodeError`].
pub fn layer(
    nodes: &[Node],
    facts: &RootFacts,
    there: &BTreeSet<SafePath>,
    epoch: u64,
) -> Result<TreeLayer, NodeError> {
    let mut root = Root { facts, there, layer: TreeLayer::new(epoch) };
    nodes.iter().try_for_each(|node| root.put(node))?;
    facts.keep_directories(&mut root.layer);
    root.layer.complete(there);
    Ok(root.layer)
}

/// The root with what has been put there so far.
struct Root<'a> {
    facts: &'a RootFacts,
    there: &'a BTreeSet<SafePath>,
    layer: TreeLayer,
}

impl Root<'_> {
    fn put(&mut self, node: &Node) -> Result<(), NodeError> {
        let failed = |source| NodeError::Write { path: node.path.clone(), source };
        let refused = |found| NodeError::OtherKind { path: node.path.clone(), found };
        let mut links = |path: &SafePath| Ok(self.link(path));
        let place = match node.kind {
            NodeKind::Directory => match resolve(&node.path, &mut links).map_err(failed)? {
                Some(place) => place,
                None => return Ok(()),
            },
            _ => resolve_parent(&node.path, &mut links).map_err(failed)?,
        };
        let is_below_file = std::iter::successors(place.parent(), SafePath::parent)
            .any(|above| self.is(&above) == Some(Kind::Other));
        let body = match (&node.kind, self.is(&place)) {
            (NodeKind::Directory, _) if is_below_file => return Err(refused("no")),
            (NodeKind::Directory, Some(Kind::Other)) => return Err(refused("no")),
            (_, _) if is_below_file => return Err(failed(io::ErrorKind::NotADirectory.into())),
            (NodeKind::File(_) | NodeKind::Symlink(_), Some(Kind::Directory)) => {
                return Err(refused("a"));
            }
            (NodeKind::Directory, _) => Body::Directory,
            (NodeKind::File(content), _) => Body::Bytes(content.clone()),
            (NodeKind::Symlink(target), _) => Body::Symlink(target.clone()),
        };
        let owner = (node.uid, node.gid);
        self.layer.insert(place, tree_layer::Node { mode: node.mode, owner, body });
        Ok(())
    }

    /// Where the link at `path` leads to, if one is there.
    fn link(&self, path: &SafePath) -> Option<String> {
        match (self.layer.get(path), self.facts.at(path)) {
            (Some(tree_layer::Node { body: Body::Symlink(target), .. }), _) => Some(target.clone()),
            (None, Some(Found::Link(target))) => Some(target.clone()),
            _ => None,
        }
    }

    fn is(&self, path: &SafePath) -> Option<Kind> {
        let of = |is_directory| if is_directory { Kind::Directory } else { Kind::Other };
        match (self.layer.get(path), self.facts.at(path)) {
            (Some(node), _) => Some(of(matches!(node.body, Body::Directory))),
            (None, _) if self.there.contains(path) => Some(Kind::Directory),
            (None, Some(found)) => Some(of(*found == Found::Directory)),
            // A parent that something in the layer stands in.
            (None, None) => self.layer.has_below(path).then_some(Kind::Directory),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Other,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::service::node;
    use crate::service::root::unpack::unpack;

    fn path(text: &str) -> SafePath {
        text.parse().unwrap()
    }

    fn mine(node: Node) -> Node {
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        node.owned_by(ids.0, ids.1)
    }

    fn base() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for folder in ["usr/lib", "etc", "var/log", "srv/data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (link, target) in
            [("lib", "usr/lib"), ("opt", "/srv/data"), ("var/spool", "../srv/none")]
        {
            symlink(target, root.join(link)).unwrap();
        }
        for file in ["file", "usr/lib/old"] {
            fs::write(root.join(file), "old").unwrap();
        }
        dir
    }

    /// Everything below a root.
    fn seen(root: &Path, below: &Path, lines: &mut BTreeSet<String>) {
        for entry in fs::read_dir(below).unwrap() {
            let place = entry.unwrap().path();
            let name = place.strip_prefix(root).unwrap().display();
            let metadata = fs::symlink_metadata(&place).unwrap();
            let mode = metadata.mode() & 0o7777;
            if metadata.is_symlink() {
                lines.insert(format!("{name} -> {}", fs::read_link(&place).unwrap().display()));
            } else if metadata.is_dir() {
                lines.insert(format!("{name}/ {mode:04o}"));
                seen(root, &place, lines);
            } else {
                let text = fs::read_to_string(&place).unwrap();
                lines.insert(format!("{name} {mode:04o} {text}"));
            }
        }
    }

    /// Writes nodes into a root, and puts them upon one: the same comes of it.
    #[track_caller]
    fn case(nodes: Vec<Node>) -> Result<(), String> {
        let nodes: Vec<Node> = nodes.into_iter().map(mine).collect();
        let (written, layered) = (base(), base());
        let facts = RootFacts::read(layered.path()).unwrap();
        let mut made = layer(&nodes, &facts, &facts.directories(), 0).map(Arc::new);
        let outcome = node::write(written.path(), &nodes);
        match (&mut made, outcome) {
            (Ok(layer), Ok(_)) => unpack([layer.reader().unwrap()], layered.path()).unwrap(),
            (Err(one), Err(other)) => {
                assert_eq!(one.to_string(), other.to_string());
                return Err(one.to_string());
            }
            (one, other) => panic!("{one:?} and {other:?}"),
        }
        let [written, layered] = [&written, &layered].map(|dir| {
            let mut lines = BTreeSet::new();
            seen(dir.path(), dir.path(), &mut lines);
            lines
        });
        assert_eq!(layered, written);
        Ok(())
    }

    fn file(at: &str) -> Node {
        Node::file(path(at), b"new".to_vec())
    }

    fn directory(at: &str) -> Node {
        Node { mode: 0o750, ..Node::directory(path(at)) }
    }

    fn link(at: &str, target: &str) -> Node {
        Node::symlink(path(at), target.into())
    }

    #[test]
    fn directories_of_the_base_keep_their_modes() {
        use std::os::unix::fs::PermissionsExt;
        let base = base();
        let log = base.path().join("var/log");
        fs::set_permissions(&log, PermissionsExt::from_mode(0o1777)).unwrap();
        let facts = RootFacts::read(base.path()).unwrap();
        let there = facts.directories();
        let layer = layer(&[mine(file("var/log/deep/x"))], &facts, &there, 0).unwrap();
        // By an engine that unpacks each layer by itself.
        let alone = tempfile::tempdir().unwrap();
        unpack([Arc::new(layer).reader().unwrap()], alone.path()).unwrap();
        let mode = |path: &str| fs::metadata(alone.path().join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("var/log"), mode("var/log/deep")), (0o1777, 0o755));
    }

    #[test]
    fn what_is_put_upon_a_root_is_what_is_written_into_it() {
        for nodes in [
            vec![file("etc/x"), directory("var/log"), link("var/run", "/run")],
            // Links of the base are followed, those of directories as well.
            vec![directory("lib"), directory("opt"), file("lib/a/b"), file("opt/c")],
            vec![directory("var/spool/mail"), file("var/spool/x")],
            // What is put there first counts afterwards.
            vec![link("a", "usr/lib"), file("a/x"), directory("a/y"), directory("a")],
            vec![file("file"), link("usr/lib/old", "x"), file("usr/lib/old"), file("lib/old")],
            vec![file("deep/er/x"), directory("deep")],
        ] {
            case(nodes).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_written_cannot_be_put() {
        let said = [
            vec![file("usr/lib")],
            vec![link("etc", "x")],
            vec![directory("file")],
            vec![directory("file/x")],
            vec![file("file/x")],
            vec![file("new/x"), file("new")],
            vec![link("a", "b"), link("b", "a"), file("a/x")],
        ]
        .map(|nodes| case(nodes).unwrap_err());
        insta::assert_snapshot!(said.join("\n"), @r"
        `/usr/lib` is there already and is a directory
        `/etc` is there already and is a directory
        `/file` is there already and is no directory
        `/file/x` is there already and is no directory
        cannot write `/file/x`
        `/new` is there already and is a directory
        cannot write `/a/x`
        ");
    }
}
