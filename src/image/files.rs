//! [`ImageFiles`]: the files of an image: its layers, one upon the other, as an engine applies them (OCI image
//! layer specification, "Applying Changesets").
//!
//! Nothing is written anywhere, so a path that goes through a symbolic link is followed here, in the
//! image and not on this machine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::layer_files::{LayerFiles, Step, within};

pub use super::layer_files::{FileKind, ImageFile};

/// Links to links go no further; a path beyond is left as it is written.
const MOST_LINKS: usize = 40;
/// Nor is a path that is longer than this, in bytes: no kernel takes one.
const MOST_PATH: usize = 4096;

/// The files of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFiles {
    files: BTreeMap<String, ImageFile>,
    texts: BTreeMap<String, Bytes>,
    /// A directory as it was written, and where it is; the next file is often beside the last one.
    last: Option<(String, String)>,
}

impl ImageFiles {
    /// The files of these layers, the lowest first.
    #[must_use]
    pub(super) fn stack(layers: &[Arc<LayerFiles>]) -> Self {
        let mut whole = Self::default();
        for (number, layer) in layers.iter().enumerate() {
            // To be gone twice is to be gone.
            let mut gone = HashSet::new();
            for step in &layer.steps {
                match step {
                    Step::Remove(path) | Step::Empty(path)
                        if !gone.insert((std::mem::discriminant(step), path)) => {}
                    Step::Put(path, file) => whole.put(path, file, layer, number),
                    Step::Remove(path) => {
                        let path = whole.place(path);
                        whole.remove(&path, number);
                    }
                    Step::Empty(folder) => {
                        let folder = whole.follow(folder);
                        whole.empty(&folder, number);
                    }
                }
            }
        }
        whole
    }

    /// Every file with its path, which has no `/` at its beginning, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ImageFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The file at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&ImageFile> {
        self.files.get(path)
    }

    /// The texts that were kept, with their paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.texts.iter().map(|(path, text)| (path.as_str(), &text[..]))
    }

    /// The text at `path`, if it was kept.
    pub(super) fn text(&self, path: &str) -> Option<&[u8]> {
        self.texts.get(path).map(|text| &text[..])
    }

    /// How many files there are that are no directories.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.values().filter(|file| file.kind != FileKind::Directory).count()
    }

    /// The bytes of all files, each once however many names it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files = self.files.values().filter(|file| file.kind == FileKind::File);
        files.fold(0, |sum, file| sum.saturating_add(file.size))
    }

    fn put(&mut self, written: &str, file: &ImageFile, layer: &LayerFiles, number: usize) {
        let path = self.place(written);
        let mut file = ImageFile { layer: number, ..file.clone() };
        let mut text = layer.texts.get(written).cloned();
        if file.kind == FileKind::HardLink
            && let Some(target) = file.target.as_deref().and_then(within)
        {
            let target = self.place(&target);
            if let Some(named) = self.files.get(&target) {
                (file.size, file.sha256) = (named.size, named.sha256);
            }
            text = self.texts.get(&target).cloned();
        }
        if file.kind == FileKind::Directory {
            // A directory takes over what is in the one that is there.
            self.texts.remove(&path);
        } else {
            self.remove(&path, usize::MAX);
        }
        if matches!(file.kind, FileKind::Directory | FileKind::Symlink) {
            self.last = None;
        }
        if let Some(text) = text {
            self.texts.insert(path.clone(), text);
        }
        self.files.insert(path, file);
    }

    /// Removes what is at `path` and below it and comes from the layers below `number`.
    fn remove(&mut self, path: &str, number: usize) {
        if self.files.get(path).is_some_and(|file| file.layer < number) {
            self.files.remove(path);
            self.texts.remove(path);
        }
        self.empty(path, number);
    }

    /// Removes what is below `folder` and comes from the layers below `number`.
    fn empty(&mut self, folder: &str, number: usize) {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let gone: Vec<String> = self
            .files
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .filter(|(_, file)| file.layer < number)
            .map(|(path, _)| path.clone())
            .collect();
        if !gone.is_empty() {
            self.last = None;
        }
        for path in gone {
            self.files.remove(&path);
            self.texts.remove(&path);
        }
    }

    /// Where a file is that is written as `path`: the directory may be reached through links.
    fn place(&mut self, path: &str) -> String {
        let Some((folder, name)) = path.rsplit_once('/') else { return path.to_owned() };
        if self.last.as_ref().is_none_or(|(written, _)| written != folder) {
            self.last = Some((folder.to_owned(), self.follow(folder)));
        }
        let folder = self.last.as_ref().map_or(folder, |(_, place)| place);
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    }

    /// Where `path` leads within the image when every link on the way is followed.
    #[must_use]
    pub fn follow(&self, path: &str) -> String {
        let mut place = path.to_owned();
        for _ in 0..MOST_LINKS {
            let ends = place.match_indices('/').map(|(at, _)| at).chain([place.len()]);
            let link = ends.into_iter().find_map(|end| {
                let target = self.files.get(&place[..end])?;
                (target.kind == FileKind::Symlink).then_some((end, target.target.as_deref()?))
            });
            let Some((end, target)) = link else { return place };
            if place.len() + target.len() > MOST_PATH {
                break;
            }
            let folder = match place[..end].rsplit_once('/') {
                Some((folder, _)) if !target.starts_with('/') => folder,
                _ => "",
            };
            place = above_root(&format!("{folder}/{target}{}", &place[end..]));
        }
        path.to_owned()
    }
}

/// A path as the kernel resolves it within a root, above which there is only the root.
fn above_root(path: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    components.join("/")
}

#[cfg(test)]
mod tests {
    use tar::EntryType;

    use super::super::layer_files::{Budget, read};
    use super::*;
    use crate::support::tar::odd_tar;

    /// Layers in short: `path` is a file with its own path as content, `path/` a directory, `path -> target` a
    /// symbolic link, `path = target` a hard link.
    #[track_caller]
    fn case(layers: &[&[&str]], expected: &[&str]) {
        let read_layer = |names: &&[&str]| {
            let mut tar = Vec::new();
            for name in *names {
                let (path, kind, target) = match (name.split_once(" -> "), name.split_once(" = ")) {
                    (Some((path, target)), _) => (path, EntryType::Symlink, target),
                    (_, Some((path, target))) => (path, EntryType::Link, target),
                    _ if name.ends_with('/') => (*name, EntryType::Directory, ""),
                    _ => (*name, EntryType::Regular, ""),
                };
                let mut bytes = match kind {
                    EntryType::Regular => odd_tar(&[(path, kind, name.as_bytes())]),
                    _ => odd_tar(&[(path, kind, b"")]),
                };
                let mut header = tar::Header::new_ustar();
                header.as_mut_bytes().copy_from_slice(&bytes[..512]);
                if !target.is_empty() {
                    header.set_link_name_literal(target).unwrap();
                }
                header.set_cksum();
                bytes[..512].copy_from_slice(header.as_bytes());
                tar.extend_from_slice(&bytes[..bytes.len() - 1024]);
            }
            tar.resize(tar.len() + 1024, 0);
            Arc::new(read(&tar[..], "x", &Budget::default()).unwrap())
        };
        let layers: Vec<_> = layers.iter().map(read_layer).collect();
        let files = ImageFiles::stack(&layers);
        let found: Vec<String> = files
            .iter()
            .map(|(path, file)| match (file.kind, &file.target) {
                (FileKind::Symlink, Some(target)) => format!("{path} -> {target} @{}", file.layer),
                (FileKind::HardLink, _) => format!("{path} = {} @{}", file.size, file.layer),
                (FileKind::Directory, _) => format!("{path}/ @{}", file.layer),
                _ => format!("{path} @{}", file.layer),
            })
            .collect();
        assert_eq!(found, expected, "{layers:?}");
    }

    #[test]
    fn layers_are_applied_as_an_engine_does() {
        case(&[&["a", "b"], &["b", "c"]], &["a @0", "b @1", "c @1"]);
        // Whiteouts, of files and of directories with all that is in them.
        case(&[&["a", "b"], &[".wh.a"]], &["b @0"]);
        case(&[&["d/", "d/a", "d/e/f", "da"], &[".wh.d"]], &["da @0"]);
        case(&[&["d/", "d/a"], &["d/.wh.a"]], &["d/ @0"]);
        case(&[&["a"], &[".wh.none"]], &["a @0"]);
        // They hide nothing of their own layer, wherever they stand in it.
        case(&[&["a"], &["a", ".wh.a"]], &["a @1"]);
        case(&[&["a"], &[".wh.a", "a"]], &["a @1"]);
        case(&[&["d/", "d/a"], &["d/", "d/b", ".wh.d"]], &["d/ @1", "d/b @1"]);
        // Opaque directories.
        case(&[&["d/", "d/a", "d/e/b"], &["d/", "d/c", "d/.wh..wh..opq"]], &["d/ @1", "d/c @1"]);
        case(&[&["a", "d/b"], &[".wh..wh..opq", "c"]], &["c @1"]);
        // A whiteout is of a layer, and what is made later is there.
        case(&[&["a"], &[".wh.a"], &["a"]], &["a @2"]);
    }

    #[test]
    fn what_replaces_a_file_replaces_what_was_in_it() {
        case(&[&["d/", "d/a"], &["d"]], &["d @1"]);
        case(&[&["d/", "d/a"], &["d -> e"]], &["d -> e @1"]);
        case(&[&["d"], &["d/", "d/a"]], &["d/ @1", "d/a @1"]);
        // A directory again has new attributes and keeps what is in it.
        case(&[&["d/", "d/a"], &["d/"]], &["d/ @1", "d/a @0"]);
    }

    #[test]
    fn links_are_followed_within_the_image() {
        // As in a base whose `/lib` went into `/usr`.
        case(
            &[&["usr/lib/", "lib -> usr/lib"], &["lib/x"]],
            &["lib -> usr/lib @0", "usr/lib/ @0", "usr/lib/x @1"],
        );
        case(
            &[&["usr/lib/", "usr/lib/x", "lib -> /usr/lib"], &["lib/.wh.x"]],
            &["lib -> /usr/lib @0", "usr/lib/ @0"],
        );
        case(
            &[&["a -> ../../b", "b -> c", "c/", "c/old"], &["a/.wh..wh..opq", "a/x"]],
            &["a -> ../../b @0", "b -> c @0", "c/ @0", "c/x @1"],
        );
        // A link in a loop is a name like others; a link itself is replaced and not followed.
        case(&[&["a -> b", "b -> a"], &["a/x"]], &["a -> b @0", "a/x @1", "b -> a @0"]);
        case(&[&["a -> b", "b"], &["a"]], &["a @1", "b @0"]);
        case(
            &[&["file"], &["name = file", "none = gone"]],
            &["file @0", "name = 4 @1", "none = 0 @1"],
        );
    }

    #[test]
    fn texts_go_with_their_files() {
        let layer = |entries: &[(&str, EntryType, &[u8])]| {
            Arc::new(read(&odd_tar(entries)[..], "x", &Budget::default()).unwrap())
        };
        const FILE: EntryType = EntryType::Regular;
        let first = layer(&[("etc/os-release", FILE, b"old"), ("var/lib/dpkg/status", FILE, b"s")]);
        let second = layer(&[("etc/os-release", FILE, b"new"), ("var/lib/.wh.dpkg", FILE, b"")]);
        let files = ImageFiles::stack(&[first, second]);
        let texts: Vec<_> = files.texts().collect();
        assert_eq!(texts, [("etc/os-release", &b"new"[..])]);
        assert_eq!((files.count(), files.bytes()), (1, 3));
    }
}
