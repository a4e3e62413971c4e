//! [`LayerFiles`]: what one layer does to the files of an image, in its order, read as it goes by.
//!
//! Nothing is unpacked. Of contents only the few texts are kept that tell what an image is made of; of every
//! other file its digest. What the layers make together is told in [`files`](super::files).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;
use tar::{Archive, Entry, EntryType};

use crate::vocab::digest::Digest;

use super::INDEX;
use super::error::ImageError;
use super::tar_contents::decompressed;
use super::tar_headers::BoundedHeaders;

/// The names and texts of one image's layers take no more memory than this, in bytes.
const MOST_MEMORY: u64 = 512 << 20;
/// What a file takes beside its name.
const PER_FILE: u64 = 160;
/// Of a text no more is kept than this: what is asked of METADATA stands in its beginning.
const MOST_METADATA: u64 = 256 * 1024;
/// No other text is larger than this.
const MOST_TEXT: u64 = 64 << 20;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// A file as a layer has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFile {
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes; a hard link has that of the file it is a name of.
    pub size: u64,
    /// Its permissions, with those beyond `rwx`.
    pub mode: u32,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// When it was changed, in seconds since 1970.
    pub modified: u64,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The layer it is from, the lowest being 0; before layers are put upon each other it is always 0.
    pub layer: usize,
    /// The digest of a regular file's bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// One thing that a layer does; paths are without a `/` at their beginning or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A file is there from now on.
    Put(String, ImageFile),
    /// A file of the layers below is gone, with all that is in it (OCI image layer specification,
    /// "Whiteouts").
    Remove(String),
    /// All that the layers below have in this directory is gone ("Opaque Whiteout").
    Empty(String),
}

/// What a layer does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LayerFiles {
    /// All of it, in order.
    pub(super) steps: Vec<Step>,
    /// The texts that are kept, by path.
    pub(super) texts: BTreeMap<String, Bytes>,
}

/// How much memory the layers of one image may still take.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU64::new(MOST_MEMORY))
    }
}

impl Budget {
    fn take(&self, bytes: u64) -> Option<()> {
        let take = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(drop)
    }
}

/// Reads the layer `reader` has, a tar compressed or not, to its end. `origin` is what it is called
/// in errors.
///
/// # Errors
/// [`ImageError::Tar`] when it is no tar, [`ImageError::Entry`] for a path that climbs out of the root or more
/// than any layer should have, [`ImageError::Compression`].
pub(super) fn read(
    reader: impl Read + Send,
    origin: &str,
    budget: &Budget,
) -> Result<LayerFiles, ImageError> {
    let tar_error = |source| ImageError::Tar { origin: origin.into(), source };
    let mut tar = decompressed(reader, origin)?;
    let mut layer = LayerFiles::default();
    let mut archive = Archive::new(BoundedHeaders::new(&mut tar));
    for entry in archive.entries().map_err(tar_error)? {
        let mut entry = entry.map_err(tar_error)?;
        let written = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |fault: &str| ImageError::Entry {
            origin: origin.into(),
            entry: written.clone(),
            fault: fault.into(),
        };
        let Some(kind) = kind_of(entry.header().entry_type()) else { continue };
        let path = within(&written).ok_or_else(|| refuse("climbs out with `..`"))?;
        let mut file = attributes(&entry, kind);
        let names = path.len() + file.target.as_ref().map_or(0, String::len);
        budget
            .take(names as u64 + PER_FILE)
            .ok_or_else(|| refuse("is one of more files than any image should have"))?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => {
                layer.steps.push(Step::Empty(folder.to_owned()));
                continue;
            }
            // What some storage drivers keep for themselves is not for the image.
            Some(own) if own.is_empty() || own.starts_with(".wh.") => continue,
            Some(hidden) => {
                let gone =
                    if folder.is_empty() { hidden.into() } else { format!("{folder}/{hidden}") };
                layer.steps.push(Step::Remove(gone));
                continue;
            }
            None if path.is_empty() => continue,
            None => {}
        }
        if kind == FileKind::File {
            let most = most_kept(&path).map(|most| most.min(file.size));
            if most.is_some_and(|most| most > MOST_TEXT || budget.take(most).is_none()) {
                return Err(refuse("is larger than any such file should be"));
            }
            let (digest, text) = content(&mut entry, most.unwrap_or(0)).map_err(tar_error)?;
            file.sha256 = Some(digest);
            if most.is_some() {
                layer.texts.insert(path.clone(), text.into());
            }
        }
        layer.steps.push(Step::Put(path, file));
    }
    drop(archive);
    // What follows the end of the tar belongs to the layer, whose digest is asked for.
    io::copy(&mut tar, &mut io::sink()).map_err(tar_error)?;
    Ok(layer)
}

/// What an entry is; none for what is no file.
fn kind_of(entry: EntryType) -> Option<FileKind> {
    Some(match entry {
        EntryType::Directory => FileKind::Directory,
        EntryType::Symlink => FileKind::Symlink,
        EntryType::Link => FileKind::HardLink,
        EntryType::Char => FileKind::CharDevice,
        EntryType::Block => FileKind::BlockDevice,
        EntryType::Fifo => FileKind::Fifo,
        EntryType::XGlobalHeader | EntryType::XHeader => return None,
        // POSIX: a type nobody knows is to be treated as a regular file.
        _ => FileKind::File,
    })
}

fn attributes<R: Read>(entry: &Entry<'_, R>, kind: FileKind) -> ImageFile {
    let header = entry.header();
    let target = match kind {
        FileKind::Symlink | FileKind::HardLink => {
            entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned())
        }
        _ => None,
    };
    let size = if kind == FileKind::File { entry.size() } else { 0 };
    // A number that nobody can read is left out by some tools on purpose, and nothing depends on it.
    ImageFile {
        kind,
        size,
        mode: header.mode().unwrap_or_default() & 0o7777,
        uid: header.uid().unwrap_or_default(),
        gid: header.gid().unwrap_or_default(),
        modified: header.mtime().unwrap_or_default(),
        target,
        layer: 0,
        sha256: None,
    }
}

/// The digest of an entry's bytes, and so many of the first of them.
fn content(entry: &mut impl Read, kept: u64) -> io::Result<(Digest, Vec<u8>)> {
    let mut text = Vec::new();
    entry.by_ref().take(kept).read_to_end(&mut text)?;
    let (digest, _) = Digest::of_reader(io::Cursor::new(&text).chain(entry))?;
    Ok((digest, text))
}

/// How much of the file at `path` is kept; none for a file whose content tells nothing.
fn most_kept(path: &str) -> Option<u64> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match (folder, name) {
        (folder, "METADATA") if folder.ends_with(".dist-info") => Some(MOST_METADATA),
        (folder, "PKG-INFO") if folder.ends_with(".egg-info") => Some(MOST_METADATA),
        (folder, "RECORD") if folder.ends_with(".dist-info") => Some(u64::MAX),
        ("var/lib/dpkg", "status") => Some(u64::MAX),
        ("var/lib/dpkg/status.d", name) if !name.ends_with(".md5sums") => Some(u64::MAX),
        ("etc" | "usr/lib", "os-release") => Some(MOST_METADATA),
        _ if path == INDEX => Some(u64::MAX),
        _ => None,
    }
}

/// A path below the root, `.` and `..` resolved as engines do; none when it leads out. The root itself is
/// empty.
pub(super) fn within(path: &str) -> Option<String> {
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()?),
            component => components.push(component),
        }
    }
    Some(components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::tar::odd_tar;

    fn read_all(entries: &[(&str, EntryType, &[u8])]) -> Result<LayerFiles, ImageError> {
        read(&odd_tar(entries)[..], "x", &Budget::default())
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn a_layer_says_what_it_does_in_order() {
        let layer = read_all(&[
            ("./", EntryType::Directory, b""),
            ("./etc/", EntryType::Directory, b""),
            ("/etc/passwd", FILE, b"root"),
            ("etc/.wh.gone", FILE, b""),
            (".wh.top", FILE, b""),
            ("var/.wh..wh..opq", FILE, b""),
            (".wh..wh.plnk", EntryType::Directory, b""),
            ("a/../b", EntryType::Symlink, b""),
        ]);
        let layer = layer.unwrap();
        let said: Vec<String> = layer
            .steps
            .iter()
            .map(|step| match step {
                Step::Put(path, file) => {
                    format!("{path} {:?} {}", file.kind, file.size)
                }
                Step::Remove(path) => format!("-{path}"),
                Step::Empty(path) => format!("-{path}/*"),
            })
            .collect();
        assert_eq!(
            said,
            ["etc Directory 0", "etc/passwd File 4", "-etc/gone", "-top", "-var/*", "b Symlink 0",]
        );
        let Step::Put(_, passwd) = &layer.steps[1] else { panic!("{:?}", layer.steps) };
        assert_eq!(passwd.sha256, Some(Digest::of(b"root")));
    }

    #[test]
    fn only_what_tells_something_is_kept() {
        let deep = "usr/lib/python3/dist-packages/x-1.dist-info";
        let long = vec![b'x'; 300 * 1024];
        let names = [
            format!("{deep}/METADATA"),
            format!("{deep}/RECORD"),
            format!("{deep}/INSTALLER"),
            "var/lib/dpkg/status".into(),
            "var/lib/dpkg/status.d/tzdata".into(),
            "var/lib/dpkg/status.d/tzdata.md5sums".into(),
            "etc/os-release".into(),
            "etc/passwd".into(),
        ];
        let entries: Vec<(&str, EntryType, &[u8])> =
            names.iter().map(|name| (name.as_str(), FILE, &long[..])).collect();
        let layer = read_all(&entries).unwrap();
        let kept: Vec<(&str, usize)> = layer
            .texts
            .iter()
            .map(|(path, text)| (path.rsplit('/').next().unwrap(), text.len() >> 10))
            .collect();
        assert_eq!(
            kept,
            [
                ("os-release", 256),
                ("METADATA", 256),
                ("RECORD", 300),
                ("status", 300),
                ("tzdata", 300)
            ]
        );
        let digests = layer.steps.iter().all(|step| match step {
            Step::Put(_, file) => file.sha256 == Some(Digest::of(&long)),
            _ => false,
        });
        assert!(digests);
    }

    #[test]
    fn what_no_image_should_have_is_refused() {
        let error = read_all(&[("a/../../x", FILE, b"")]).unwrap_err().to_string();
        assert_eq!(error, "`x`: `a/../../x` climbs out with `..`");
        let tar = odd_tar(&[("x", FILE, b""), ("y", FILE, b"")]);
        let budget = Budget(AtomicU64::new(PER_FILE + 1));
        let error = read(&tar[..], "x", &budget).unwrap_err().to_string();
        assert_eq!(error, "`x`: `y` is one of more files than any image should have");
        let tar = odd_tar(&[("etc/os-release", FILE, b"ID=debian")]);
        let budget = Budget(AtomicU64::new(PER_FILE + 20));
        let error = read(&tar[..], "x", &budget).unwrap_err().to_string();
        assert_eq!(error, "`x`: `etc/os-release` is larger than any such file should be");
    }

    #[test]
    fn paths_are_below_the_root() {
        for (path, expected) in [
            ("./usr//bin/", Some("usr/bin")),
            ("/usr/./bin", Some("usr/bin")),
            ("usr/../bin", Some("bin")),
            ("..", None),
            ("a/../..", None),
            ("./", Some("")),
        ] {
            assert_eq!(within(path).as_deref(), expected, "{path}");
        }
    }
}
