//! [`Contents`]: the wheels and texts of one tar, be it a file of its own or a layer.
//!
//! Only names are judged and wheels located; nothing is unpacked. A tar of a whole root file system
//! may hold links, devices and odd names: they are passed over unless they pretend to be wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use tar::{Archive, Entries, Entry, EntryType};

use crate::store::Store;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS};
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::file::WheelFile;

use super::INDEX;
use super::error::{ImageError, io_error};
use super::tar_headers::BoundedHeaders;
use super::zstd::ZstdFrames;

/// No text or index of a set is as large as this, in bytes.
const MOST_TEXT: u64 = 64 * 1024 * 1024;

/// What is in a tar, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The wheels, by path.
    pub(super) wheels: BTreeMap<SafePath, Found>,
    /// The index at the root, and the texts there and deeper, by path.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// Paths that are gone from the layers below (OCI image layer specification, "Whiteouts").
    pub(super) whiteouts: BTreeSet<String>,
    /// Directories, as text that ends in `/` or is empty, that hide what the layers below have in them.
    pub(super) opaque: BTreeSet<String>,
}

/// A wheel in a tar.
#[derive(Debug)]
pub(super) struct Found {
    /// Its file name.
    pub(super) filename: WheelFilename,
    /// Its bytes.
    pub(super) file: WheelFile,
    /// Their digest, when they had to be read.
    pub(super) sha256: Option<Digest>,
}

/// Reads the tar in `file`, called `origin` in errors. Out of a compressed one, wheels are imported
/// into `store`.
pub(super) fn read(file: &WheelFile, origin: &str, store: &Store) -> Result<Contents, ImageError> {
    let open = || file.reader().map_err(io_error("read", file.path()));
    let mut start = Vec::new();
    open()?.take(6).read_to_end(&mut start).map_err(io_error("read", file.path()))?;
    if Compression::of(&start, origin)? != Compression::None {
        return read_stream(open()?, origin, store);
    }
    let tar_error = |source| ImageError::Tar { origin: origin.into(), source };
    let mut archive = Archive::new(open()?);
    let entries = archive.entries_with_seek().map_err(tar_error)?;
    collect(entries, origin, &mut |entry, _| {
        let wheel = file.part(entry.raw_file_position(), entry.size());
        Ok((wheel.map_err(tar_error)?, None))
    })
}

/// Reads a tar, compressed or not, as it comes by, and imports its wheels into `store`.
pub(super) fn read_stream(
    reader: impl Read + Send,
    origin: &str,
    store: &Store,
) -> Result<Contents, ImageError> {
    let tar_error = |source| ImageError::Tar { origin: origin.into(), source };
    let mut plain = decompressed(reader, origin)?;
    let contents = {
        let mut archive = Archive::new(BoundedHeaders::new(&mut plain));
        let entries = archive.entries().map_err(tar_error)?;
        collect(entries, origin, &mut |entry, path| import(entry, path, origin, store))?
    };
    // What follows the end of the tar belongs to its file, whose digest may be asked for.
    io::copy(&mut plain, &mut io::sink()).map_err(tar_error)?;
    Ok(contents)
}

/// What `reader` packs, by what its first bytes say.
pub(super) fn decompressed<'a>(
    mut reader: impl Read + Send + 'a,
    origin: &str,
) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
    let tar_error = |source| ImageError::Tar { origin: origin.into(), source };
    let mut start = Vec::new();
    reader.by_ref().take(6).read_to_end(&mut start).map_err(tar_error)?;
    let compression = Compression::of(&start, origin)?;
    let whole = io::Cursor::new(start).chain(reader);
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(ZstdFrames::new(whole)),
    })
}

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// What the first six bytes say.
    fn of(start: &[u8], origin: &str) -> Result<Self, ImageError> {
        let method = match start {
            [0x1f, 0x8b, ..] => return Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => "bzip2",
            [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
            _ => return Ok(Self::None),
        };
        Err(ImageError::Compression { origin: origin.into(), method })
    }
}

/// What was imported out of a tar, as the store remembers it (kind `contents`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remembered {
    wheels: Vec<(String, WheelFilename, Digest, u64)>,
    files: BTreeMap<String, String>,
    whiteouts: BTreeSet<String>,
    opaque: BTreeSet<String>,
}

impl Contents {
    /// What the store is to remember; none when not all wheels were imported.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        let wheels = self.wheels.iter().map(|(path, found)| {
            Some((path.to_string(), found.filename.clone(), found.sha256?, found.file.len()))
        });
        let files = self
            .files
            .iter()
            .map(|(path, bytes)| Some((path.clone(), String::from_utf8(bytes.clone()).ok()?)));
        Some(Remembered {
            wheels: wheels.collect::<Option<_>>()?,
            files: files.collect::<Option<_>>()?,
            whiteouts: self.whiteouts.clone(),
            opaque: self.opaque.clone(),
        })
    }

    /// What was remembered; none when a wheel is not in the store any more.
    pub(super) fn recall(remembered: Remembered, store: &Store) -> Option<Self> {
        let wheels = remembered.wheels.into_iter().map(|(path, filename, digest, size)| {
            store.size(&digest).filter(|there| *there == size)?;
            let file = WheelFile::open(&store.path(&digest)).ok()?;
            Some((path.parse().ok()?, Found { filename, file, sha256: Some(digest) }))
        });
        let files = remembered.files.into_iter().map(|(path, text)| (path, text.into_bytes()));
        Some(Self {
            wheels: wheels.collect::<Option<_>>()?,
            files: files.collect(),
            whiteouts: remembered.whiteouts,
            opaque: remembered.opaque,
        })
    }
}

impl Contents {
    /// Takes out the text called `name`: the one at the root or, where there is none, the one that
    /// stands beside the wheels.
    pub(super) fn take_text(&mut self, name: &str) -> Option<Vec<u8>> {
        let beside = || {
            let folders = self.wheels.keys().map(|path| folder_and_name(path.as_str()).0);
            folders
                .map(|folder| format!("{folder}{name}"))
                .find(|path| self.files.contains_key(path))
        };
        let path = if self.files.contains_key(name) { Some(name.to_owned()) } else { beside() };
        self.files.remove(&path?)
    }
}

/// Stores a wheel that cannot be read where it is.
fn import<R: Read>(
    entry: &mut Entry<'_, R>,
    path: &SafePath,
    origin: &str,
    store: &Store,
) -> Result<(WheelFile, Option<Digest>), ImageError> {
    let size = entry.size();
    let mut writer = store.writer()?;
    let mut buffer = vec![0; 128 * 1024];
    // Not `io::copy`: whether the tar or the store is at fault is for people to know.
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(|source| ImageError::Tar { origin: origin.into(), source })?,
        };
        let refused = |error| io_error("import a wheel into", store.root())(error);
        writer.write_all(&buffer[..count]).map_err(refused)?;
    }
    if writer.written() != size {
        let source =
            io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends within `{path}`"));
        return Err(ImageError::Tar { origin: origin.into(), source });
    }
    let (digest, _) = writer.commit()?;
    let path = store.path(&digest);
    let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
    Ok((file, Some(digest)))
}

/// Locates a wheel's bytes, with their digest when they had to be read.
type Take<'a, R> = &'a mut dyn FnMut(
    &mut Entry<'_, R>,
    &SafePath,
) -> Result<(WheelFile, Option<Digest>), ImageError>;

fn collect<R: Read>(
    entries: Entries<'_, R>,
    origin: &str,
    take: Take<'_, R>,
) -> Result<Contents, ImageError> {
    let tar_error = |source| ImageError::Tar { origin: origin.into(), source };
    let mut contents = Contents::default();
    let mut texts_left = MOST_TEXT;
    for entry in entries {
        let mut entry = entry.map_err(tar_error)?;
        let written = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |fault: &str| ImageError::Entry {
            origin: origin.into(),
            entry: written.clone(),
            fault: fault.into(),
        };
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let Some(path) = plain(&written).map_err(&refuse)? else { continue };
        let (folder, name) = folder_and_name(path);
        if let Some(hidden) = name.strip_prefix(".wh.") {
            if hidden == ".wh..opq" {
                contents.opaque.insert(folder.to_owned());
            } else {
                contents.whiteouts.insert(format!("{folder}{hidden}"));
            }
            continue;
        }
        let kind = entry.header().entry_type();
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let is_text = path == INDEX || matches!(name, CONSTRAINTS | GLOBAL_REQUIREMENTS);
        // Deeper ones may be anybody's; only at the root are they said to be ours.
        let is_ours = is_text && (is_file || folder.is_empty() || path == INDEX);
        if !name.ends_with(".whl") && !is_ours || kind.is_dir() {
            continue;
        }
        if !is_file {
            return Err(refuse("is a link or another special file"));
        }
        if is_ours {
            let Some(left) = texts_left.checked_sub(entry.size()) else {
                return Err(refuse("is larger than any such file should be"));
            };
            texts_left = left;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(tar_error)?;
            if contents.files.insert(path.to_owned(), bytes).is_some() {
                return Err(refuse("is there twice"));
            }
            continue;
        }
        let path: SafePath = path.parse().map_err(|_| refuse("is not a safe path"))?;
        let filename = filename(name, &written, origin)?;
        let (file, sha256) = take(&mut entry, &path)?;
        if contents.wheels.insert(path, Found { filename, file, sha256 }).is_some() {
            return Err(refuse("is there twice"));
        }
    }
    Ok(contents)
}

/// The folder in a path, which ends in `/` or is empty, and what is in it.
fn folder_and_name(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// An entry's path without the `./` and `/` that tar puts around it; none for the root itself.
pub(super) fn plain(written: &str) -> Result<Option<&str>, &'static str> {
    if written.starts_with('/') {
        return Err("is an absolute path");
    }
    if written.split('/').any(|component| component == "..") {
        return Err("climbs out with `..`");
    }
    let mut path = written.trim_end_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    Ok(Some(path).filter(|path| !matches!(*path, "" | ".")))
}

/// The wheel name `name` says, of the entry or file `entry` of `origin`.
pub(super) fn filename(name: &str, entry: &str, origin: &str) -> Result<WheelFilename, ImageError> {
    name.parse().map_err(|error| ImageError::Entry {
        origin: origin.into(),
        entry: entry.into(),
        fault: format!("has not the name of a wheel: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_at_the_root_or_beside_the_wheels() {
        const DEEP: &str = "root/packages/upper-constraints.txt";
        case(&[CONSTRAINTS, DEEP], Some(CONSTRAINTS));
        case(&[DEEP, "upper-constraints.txt/readme"], Some(DEEP));
        case(&["etc/upper-constraints.txt"], None);
        case(&[], None);

        #[track_caller]
        fn case(texts: &[&str], expected: Option<&str>) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let mut tar = tar::Builder::new(Vec::new());
            for path in texts.iter().copied().chain(["root/packages/six-1-py3-none-any.whl"]) {
                let mut header = tar::Header::new_ustar();
                header.set_size(path.len() as u64);
                tar.append_data(&mut header, path, path.as_bytes()).unwrap();
            }
            // A link in somebody's folder is nothing to us.
            let mut link = tar::Header::new_ustar();
            link.set_entry_type(EntryType::Symlink);
            link.set_size(0);
            tar.append_link(&mut link, "etc/global-requirements.txt", "elsewhere").unwrap();
            let tar = tar.into_inner().unwrap();
            let mut contents = read_stream(&tar[..], "x.tar", &store).unwrap();
            let found =
                contents.take_text(CONSTRAINTS).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expected, "{texts:?}");
        }
    }
}
