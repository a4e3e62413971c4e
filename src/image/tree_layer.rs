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
use std::ops::Bound;
use std::sync::Arc;

use serde_json::json;
use tar::EntryType;

use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;
use crate::wheel::environment::{OwnContent, OwnEntry};
use crate::wheel::tree::{Content, InstallTree};

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

    /// Adds an environment's own files, below `prefix`; all of them are root's.
    pub fn extend(&mut self, prefix: &SafePath, entries: impl IntoIterator<Item = OwnEntry>) {
        for entry in entries {
            let body = match entry.content {
                OwnContent::Symlink(target) => Body::Symlink(target),
                OwnContent::Bytes(bytes) => Body::Bytes(bytes),
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

    /// What is at `path` in it.
    #[must_use]
    pub fn get(&self, path: &SafePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Whether something in it is below `path`.
    #[must_use]
    pub fn has_below(&self, path: &SafePath) -> bool {
        // Others may stand between a path and what is below it: `a`, `a-b`, `a/b`.
        let after = self.nodes.range((Bound::Excluded(path), Bound::Unbounded));
        let mut near = after.take_while(|(found, _)| found.as_str().starts_with(path.as_str()));
        near.any(|(found, _)| found.strip_prefix(path.as_str()).is_some())
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
    use std::path::Path;

    use super::*;
    use crate::support::wheel::WheelMaker;
    use crate::wheel::archive::WheelArchive;
    use crate::wheel::file::WheelFile;
    use crate::wheel::scheme::Scheme;
    use crate::wheel::tree::InstallOptions;

    fn path(text: &str) -> SafePath {
        text.parse().unwrap()
    }

    fn node(body: Body) -> Node {
        Node { mode: 0o644, owner: (0, 0), body }
    }

    fn bytes(text: &str) -> Body {
        Body::Bytes(text.into())
    }

    /// A planned wheel with a file that is not inflated before it is written.
    fn wheel() -> Arc<InstallTree> {
        let maker = WheelMaker::new("foo", "1.0")
            .file("foo/data.bin", vec![7; 1000])
            .entry_points("[console_scripts]\nfoo = foo:main\n");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), maker.bytes()).unwrap();
        let wheel = WheelFile::open(file.path()).unwrap();
        let archive = WheelArchive::open(wheel, &maker.filename().parse().unwrap()).unwrap();
        let options = InstallOptions { requested: true, direct_url: None, installer: "loci" };
        let scheme = Scheme::for_python(11, Path::new("/env"));
        Arc::new(InstallTree::plan(&archive, &scheme, &options).unwrap())
    }

    /// One of everything.
    fn layer() -> TreeLayer {
        let mut layer = TreeLayer::new(7);
        layer.insert(path("etc"), node(Body::Directory));
        layer.insert(path("etc/empty"), node(bytes("")));
        layer.insert(path("etc/block"), node(bytes(&"x".repeat(512))));
        layer.insert(path(&format!("etc/{}", "long".repeat(60))), node(bytes("y")));
        layer.insert(path("etc/link"), node(Body::Symlink("t".repeat(150))));
        let far = Node { owner: (3_000_000, 4_000_000), ..node(bytes("z")) };
        layer.insert(path("etc/far"), far);
        layer.install(&path("env"), &wheel());
        layer
    }

    fn written(layer: &TreeLayer) -> Vec<u8> {
        let mut out = Vec::new();
        let refused = |source| ImageError::Read { what: "a layer".into(), source };
        layer.write_to(&mut out, &refused, &|_| {}).unwrap();
        out
    }

    #[test]
    fn the_size_is_known_before_anything_is_written() {
        for layer in [TreeLayer::new(0), layer()] {
            let out = written(&layer);
            assert_eq!(layer.size(), out.len() as u64);
            let mut read = Vec::new();
            Arc::new(layer).reader().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == out, "the reader gives other bytes");
        }
    }

    #[test]
    fn what_is_written_is_what_was_put_in() {
        let layer = layer();
        let out = written(&layer);
        let mut archive = tar::Archive::new(&out[..]);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            let target = entry.link_name().unwrap().map(|name| name.display().to_string());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 7, "{path}");
            let kind = header.entry_type().as_byte();
            let (mode, owner) = (header.mode().unwrap(), (header.uid(), header.gid()));
            let owner = (owner.0.unwrap(), owner.1.unwrap());
            found.push((path, kind, mode, owner, target.unwrap_or_default(), content));
        }
        let expected: Vec<_> = layer
            .nodes()
            .map(|(path, node)| {
                let owner = (u64::from(node.owner.0), u64::from(node.owner.1));
                let content = node.bytes().unwrap().into_owned();
                let (kind, target) = (node.kind().as_byte(), node.target().to_owned());
                (path.to_string(), kind, node.mode, owner, target, content)
            })
            .collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found == expected, "`{}` differs", expected.0);
        }
        assert_eq!(found.len(), expected.len());
    }

    #[track_caller]
    fn case(what: &str, change: impl FnOnce(&mut TreeLayer)) {
        let mut changed = layer();
        change(&mut changed);
        let (before, after) = (layer(), changed);
        assert_ne!(after.recipe(), before.recipe(), "{what} makes no other recipe");
        assert_ne!(written(&after), written(&before), "{what} makes no other bytes");
    }

    #[test]
    fn a_recipe_is_of_all_that_the_bytes_depend_on() {
        assert_eq!(layer().recipe(), layer().recipe());
        assert_eq!(written(&layer()), written(&layer()));
        let empty = || node(bytes(""));
        case("a path", |layer| {
            let node = layer.nodes.remove(&path("etc/empty")).unwrap();
            layer.insert(path("etc/vacant"), node);
        });
        case("a mode", |layer| {
            layer.insert(path("etc/empty"), Node { mode: 0o600, ..empty() });
        });
        for owner in [(1, 0), (0, 1)] {
            case("an owner", |layer| layer.insert(path("etc/empty"), Node { owner, ..empty() }));
        }
        case("a kind", |layer| layer.insert(path("etc/empty"), node(Body::Directory)));
        case("bytes", |layer| layer.insert(path("etc/block"), node(bytes(&"y".repeat(512)))));
        case("a target", |layer| {
            layer.insert(path("etc/link"), node(Body::Symlink("t".repeat(149))));
        });
        case("a time", |layer| layer.epoch = 8);
        case("a node less", |layer| drop(layer.nodes.remove(&path("etc/empty"))));
        case("a file of a wheel", |layer| {
            let file = path("env/lib/python3.11/site-packages/foo/data.bin");
            assert!(matches!(layer.nodes[&file].body, Body::Installed(..)));
            layer.insert(file, node(Body::Bytes(vec![8; 1000])));
        });
    }

    /// Equal bytes are an equal recipe, wherever they come from: layers of both are shared.
    #[test]
    fn a_recipe_is_not_of_where_bytes_come_from() {
        let mut changed = layer();
        let file = path("env/lib/python3.11/site-packages/foo/data.bin");
        changed.insert(file, node(Body::Bytes(vec![7; 1000])));
        assert_eq!(changed.recipe(), layer().recipe());
        assert_eq!(written(&changed), written(&layer()));
    }

    #[test]
    fn exactly_the_missing_directories_are_added() {
        let mut layer = TreeLayer::new(0);
        let own = Node { mode: 0o700, owner: (7, 8), body: Body::Directory };
        layer.insert(path("var/lib/own"), own);
        layer.insert(path("var/lib/own/deep/file"), node(bytes("x")));
        layer.insert(path("etc/a/link"), node(Body::Symlink("x".into())));
        layer.insert(path("top"), node(bytes("")));
        let there = BTreeSet::from([path("etc"), path("var"), path("usr")]);
        layer.complete(&there);
        let found: Vec<_> = layer
            .nodes()
            .map(|(path, node)| format!("{path} {:04o} {:?}", node.mode, node.owner))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        etc/a 0755 (0, 0)
        etc/a/link 0644 (0, 0)
        top 0644 (0, 0)
        var/lib 0755 (0, 0)
        var/lib/own 0700 (7, 8)
        var/lib/own/deep 0755 (0, 0)
        var/lib/own/deep/file 0644 (0, 0)
        ");
        let recipe = layer.recipe();
        layer.complete(&there);
        assert_eq!(layer.recipe(), recipe);
    }

    #[test]
    fn a_wheel_that_is_not_what_it_was_is_no_layer() {
        let maker = WheelMaker::new("foo", "1.0").file("foo/data.bin", vec![7; 100_000]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), maker.bytes()).unwrap();
        let wheel = WheelFile::open(file.path()).unwrap();
        let archive = WheelArchive::open(wheel, &maker.filename().parse().unwrap()).unwrap();
        let options = InstallOptions { requested: true, direct_url: None, installer: "loci" };
        let scheme = Scheme::for_python(11, Path::new("/env"));
        let tree = InstallTree::plan(&archive, &scheme, &options).unwrap();
        let mut layer = TreeLayer::new(0);
        layer.install(&path("env"), &Arc::new(tree));
        // All of it is nothing now: the plan still stands, and no byte of it can be had.
        let length = fs_err::metadata(file.path()).unwrap().len();
        fs_err::write(file.path(), vec![0; usize::try_from(length).unwrap()]).unwrap();
        let refused = |source| ImageError::Read { what: "a layer".into(), source };
        let outcome = layer.write_to(&mut Vec::new(), &refused, &|_| {});
        assert!(matches!(outcome, Err(ImageError::Wheel(_))), "{outcome:?}");
        let (size, layer) = (layer.size(), Arc::new(layer));
        let mut read = Vec::new();
        layer.reader().unwrap().read_to_end(&mut read).unwrap();
        assert!((read.len() as u64) < size, "half a layer is taken for a whole one");
    }
}
