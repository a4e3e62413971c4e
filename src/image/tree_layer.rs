//! [`TreeLayer`]: a layer of a file tree: directories, files and links with owners and modes.
//!
//! As with a layer of wheels its bytes are a function of what is in it, sorted by path
//! and of one fixed time, and it is written as often as it is needed without ever being a tree
//! anywhere: the files of installed wheels are inflated on the way. Whoever makes one lists every
//! directory that the layers below may lack, for engines differ in what they make of the others, and
//! none that they have: an entry would replace its owner and mode.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use serde_json::json;
use tar::EntryType;

use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;
use crate::wheel::tree::{Content, InstallTree, TreeEntry};

use super::error::ImageError;
use super::ustar::{BLOCK, Header, ZEROS};

/// Part of a layer's recipe: changes whenever equal nodes would be other bytes than before.
const FORMAT: u32 = 1;

/// How many bytes go through a pipe at once.
const PIECE: usize = 64 << 10;

/// Something in a file tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// What it is.
    pub body: Body,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub enum Body {
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(String),
    /// A file of these bytes.
    Bytes(Vec<u8>),
    /// A file of an installed wheel: the tree's entry of this index, which is not a link.
    Installed(Arc<InstallTree>, usize),
}

/// A layer of a file tree.
#[derive(Debug, Clone, Default)]
pub struct TreeLayer {
    nodes: BTreeMap<SafePath, Node>,
    epoch: u64,
}

impl TreeLayer {
    /// A layer with nothing in it, all of the time `epoch` in seconds since 1970.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { nodes: BTreeMap::new(), epoch }
    }

    /// Puts `node` at `path`, in place of what was there.
    pub fn insert(&mut self, path: SafePath, node: Node) {
        self.nodes.insert(path, node);
    }

    /// Adds what is in a planned installation, below `prefix`; all of it is root's.
    pub fn install(&mut self, prefix: &SafePath, tree: &Arc<InstallTree>) {
        for (index, entry) in tree.entries().iter().enumerate() {
            let body = match &entry.content {
                Content::Symlink(target) => Body::Symlink(target.clone()),
                Content::Archive(_) | Content::Bytes(_) => Body::Installed(Arc::clone(tree), index),
            };
            let node = Node { mode: entry.mode, owner: (0, 0), body };
            self.insert(prefix.join(&entry.path), node);
        }
    }

    /// Adds entries that are no wheel's, below `prefix`; all of them are root's.
    pub fn extend(&mut self, prefix: &SafePath, entries: impl IntoIterator<Item = TreeEntry>) {
        for entry in entries {
            let body = match entry.content {
                Content::Symlink(target) => Body::Symlink(target),
                Content::Bytes(bytes) => Body::Bytes(bytes),
                Content::Archive(_) => continue,
            };
            let node = Node { mode: entry.mode, owner: (0, 0), body };
            self.insert(prefix.join(&entry.path), node);
        }
    }

    /// Adds the directories that its nodes stand in and that are not among `there`, nor in it already:
    /// root's, mode 0755.
    pub fn complete(&mut self, there: &BTreeSet<SafePath>) {
        let mut missing = BTreeSet::new();
        for path in self.nodes.keys() {
            let mut parent = path.parent();
            while let Some(path) = parent {
                if there.contains(&path)
                    || self.nodes.contains_key(&path)
                    || missing.contains(&path)
                {
                    break;
                }
                parent = path.parent();
                missing.insert(path);
            }
        }
        for path in missing {
            self.insert(path, Node { mode: 0o755, owner: (0, 0), body: Body::Directory });
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What is in it, by path.
    pub fn nodes(&self) -> impl Iterator<Item = (&SafePath, &Node)> {
        self.nodes.iter()
    }

    /// The size of the tar in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let nodes = self.nodes.iter().map(|(path, node)| {
            let header = self.header(path, node).len() as u64;
            header + node.facts().1.next_multiple_of(BLOCK)
        });
        nodes.sum::<u64>() + 2 * BLOCK
    }

    /// A digest of all that the tar's bytes depend on. Equal recipes are equal layers.
    #[must_use]
    pub fn recipe(&self) -> Digest {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|(path, node)| {
                let (digest, size) = node.facts();
                let kind = node.kind().as_byte();
                (path.as_str(), kind, node.mode, node.owner, digest, size, node.target())
            })
            .collect();
        let recipe = json!({ "tree": FORMAT, "epoch": self.epoch, "nodes": nodes });
        Digest::of(&canonical_json(&recipe))
    }

    /// The tar, as it is read; it is made on a thread of its own.
    ///
    /// # Errors
    /// When there can be no pipe.
    pub fn reader(self: &Arc<Self>) -> io::Result<impl Read + Send + use<>> {
        let (reader, mut writer) = io::pipe()?;
        let layer = Arc::clone(self);
        std::thread::spawn(move || {
            let refused = |source| ImageError::Read { what: "a layer".into(), source };
            let mut out = BufWriter::with_capacity(PIECE, &mut writer);
            let written = layer.write_to(&mut out, &refused, &|_| {});
            // Who reads sees that the end is missing.
            if written.is_ok() {
                let _ = out.flush();
            }
        });
        Ok(BufReader::with_capacity(PIECE, reader))
    }

    /// Writes the tar to `out`, whose errors are worded by `refused`. Each file is held against what was
    /// planned.
    ///
    /// # Errors
    /// [`ImageError::Wheel`] when a file cannot be read out of its wheel, and what `refused` makes of an
    /// error of `out`.
    pub(super) fn write_to(
        &self,
        out: &mut dyn Write,
        refused: &dyn Fn(io::Error) -> ImageError,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        for (path, node) in &self.nodes {
            out.write_all(&self.header(path, node)).map_err(refused)?;
            let bytes = node.bytes()?;
            out.write_all(&bytes).map_err(refused)?;
            let padding = bytes.len().next_multiple_of(BLOCK as usize) - bytes.len();
            out.write_all(&ZEROS[..padding]).map_err(refused)?;
            progress(bytes.len() as u64);
        }
        out.write_all(&ZEROS).map_err(refused)
    }

    fn header(&self, path: &SafePath, node: &Node) -> Vec<u8> {
        let header = Header {
            path: path.as_str(),
            kind: node.kind(),
            mode: node.mode,
            owner: node.owner,
            size: node.facts().1,
            target: node.target(),
            epoch: self.epoch,
        };
        header.to_bytes()
    }
}

impl Node {
    fn kind(&self) -> EntryType {
        match &self.body {
            Body::Directory => EntryType::Directory,
            Body::Symlink(_) => EntryType::Symlink,
            Body::Bytes(_) | Body::Installed(..) => EntryType::Regular,
        }
    }

    fn target(&self) -> &str {
        match &self.body {
            Body::Symlink(target) => target,
            Body::Directory | Body::Bytes(_) | Body::Installed(..) => "",
        }
    }

    /// The digest and the number of its bytes.
    fn facts(&self) -> (Option<Digest>, u64) {
        match &self.body {
            Body::Directory | Body::Symlink(_) => (None, 0),
            Body::Bytes(bytes) => (Some(Digest::of(bytes)), bytes.len() as u64),
            Body::Installed(tree, index) => {
                let facts = tree.facts(*index);
                (Some(facts.digest), facts.size)
            }
        }
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, ImageError> {
        match &self.body {
            Body::Directory | Body::Symlink(_) => Ok(Cow::Borrowed(&[])),
            Body::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Body::Installed(tree, index) => Ok(tree.bytes(*index)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SafePath {
        text.parse().unwrap()
    }

    fn node(mode: u32, owner: (u32, u32), body: Body) -> Node {
        Node { mode, owner, body }
    }

    fn one(name: &str, node: Node, epoch: u64) -> TreeLayer {
        let mut layer = TreeLayer::new(epoch);
        layer.insert(path(name), node);
        layer
    }

    fn written(layer: &TreeLayer) -> Vec<u8> {
        let mut out = Vec::new();
        layer.write_to(&mut out, &|error| panic!("{error}"), &|_| {}).unwrap();
        out
    }

    #[test]
    fn all_that_a_layer_consists_of_is_in_its_recipe() {
        let bytes = |text: &str| Body::Bytes(text.as_bytes().to_vec());
        let link = |target: &str| Body::Symlink(target.into());
        let layers = [
            one("a", node(0o644, (0, 0), bytes("x")), 0),
            one("b", node(0o644, (0, 0), bytes("x")), 0),
            one("a", node(0o755, (0, 0), bytes("x")), 0),
            one("a", node(0o644, (1, 0), bytes("x")), 0),
            one("a", node(0o644, (0, 1), bytes("x")), 0),
            one("a", node(0o644, (0, 0), bytes("y")), 0),
            one("a", node(0o644, (0, 0), bytes("x")), 1),
            one("a", node(0o644, (0, 0), Body::Directory), 0),
            one("a", node(0o644, (0, 0), link("x")), 0),
            one("a", node(0o644, (0, 0), link("y")), 0),
        ];
        let recipes: BTreeSet<Digest> = layers.iter().map(TreeLayer::recipe).collect();
        let tars: BTreeSet<Vec<u8>> = layers.iter().map(written).collect();
        assert_eq!((recipes.len(), tars.len()), (layers.len(), layers.len()));
        for layer in layers {
            let tar = written(&layer);
            assert_eq!(tar.len() as u64, layer.size());
            let mut read = Vec::new();
            Arc::new(layer).reader().unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, tar);
        }
    }

    #[test]
    fn only_directories_that_are_missing_are_added() {
        let mut layer = one("a/b/c/file", node(0o644, (0, 0), Body::Bytes(Vec::new())), 0);
        layer.insert(path("a/b/c"), node(0o700, (7, 7), Body::Directory));
        layer.complete(&[path("a")].into());
        let found: Vec<_> =
            layer.nodes().map(|(path, node)| format!("{path} {:o}", node.mode)).collect();
        assert_eq!(found, ["a/b 755", "a/b/c 700", "a/b/c/file 644"]);
    }
}
