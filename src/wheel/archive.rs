//! [`WheelArchive`]: a wheel whose directory has passed every check, and the reading of its entries.
//!
//! Opening inflates nothing. What can only be seen while inflating (lengths, checksums) is checked
//! by [`WheelArchive::read`]; hashes are RECORD's business.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;

use pep440_rs::Version;

use super::central::{self, CentralEntry, Method};
use super::error::{Fault, WheelError};
use super::file::{WheelFile, WheelReader};
use super::info;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::package_name;
use crate::vocab::safe_path::SafePath;
use crate::vocab::wheel_filename::WheelFilename;

/// A checked wheel, its file held open; cloning is cheap and shares all of it.
#[derive(Debug, Clone)]
pub struct WheelArchive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: WheelFile,
    reader: WheelReader,
    filename: WheelFilename,
    entries: Vec<ArchiveEntry>,
    by_path: HashMap<SafePath, usize>,
    dist_info: SafePath,
}

/// A file in a wheel.
#[derive(Debug, Clone)]
pub struct ArchiveEntry {
    /// Where it stands in the archive.
    pub path: SafePath,
    /// Its unpacked size in bytes.
    pub size: u64,
    /// Whether anyone may execute it.
    pub executable: bool,
    method: Method,
    crc: u32,
    start: u64,
    compressed: u64,
}

impl From<CentralEntry> for ArchiveEntry {
    fn from(entry: CentralEntry) -> Self {
        let CentralEntry { path, size, executable, method, crc, start, compressed } = entry;
        Self { path, size, executable, method, crc, start, compressed }
    }
}

impl WheelArchive {
    /// Reads the archive's directory and checks all that can be checked without inflating: safe
    /// and distinct names, no links, known compression, sizes that are possible, and exactly one
    /// `.dist-info` that is the one `filename` promises, with METADATA, WHEEL and RECORD in it.
    ///
    /// # Errors
    /// [`WheelError`] naming the entry at fault.
    pub fn open(file: WheelFile, filename: &WheelFilename) -> Result<Self, WheelError> {
        let build = || {
            let reader = file.reader().map_err(|source| Fault::Read { source })?;
            let entries: Vec<ArchiveEntry> =
                central::read(&reader)?.into_iter().map(ArchiveEntry::from).collect();
            let dist_info = find_dist_info(&entries, filename)?;
            let by_path: HashMap<SafePath, usize> = entries
                .iter()
                .enumerate()
                .map(|(index, entry)| (entry.path.clone(), index))
                .collect();
            for name in ["METADATA", "WHEEL", "RECORD"] {
                let path = child(&dist_info, name);
                if !by_path.contains_key(&path) {
                    return Err(Fault::Missing { name: path.to_string() });
                }
            }
            Ok((reader, entries, dist_info, by_path))
        };
        let (reader, entries, dist_info, by_path) = build().map_err(|fault| fault.of(filename))?;
        let filename = filename.clone();
        Ok(Self(Arc::new(Inner { file, reader, filename, entries, by_path, dist_info })))
    }

    /// The file name it was opened by.
    #[must_use]
    pub fn filename(&self) -> &WheelFilename {
        &self.0.filename
    }

    /// The bytes it is read from.
    #[must_use]
    pub fn file(&self) -> &WheelFile {
        &self.0.file
    }

    /// The files, in the order of the archive's directory.
    #[must_use]
    pub fn entries(&self) -> &[ArchiveEntry] {
        &self.0.entries
    }

    /// The place of the file at `path` among [`Self::entries`].
    pub(super) fn position(&self, path: &SafePath) -> Option<usize> {
        self.0.by_path.get(path).copied()
    }

    /// The `.dist-info` directory.
    #[must_use]
    pub fn dist_info(&self) -> &SafePath {
        &self.0.dist_info
    }

    /// Unpacks one entry.
    ///
    /// # Errors
    /// When the bytes cannot be read or are not what the directory promises.
    pub fn read(&self, entry: &ArchiveEntry) -> Result<Vec<u8>, WheelError> {
        self.unpack(entry).map_err(|fault| fault.of(&self.0.filename))
    }

    fn unpack(&self, entry: &ArchiveEntry) -> Result<Vec<u8>, Fault> {
        let name = || entry.path.to_string();
        let length = |bytes: u64| {
            usize::try_from(bytes).map_err(|_| Fault::Inflate { name: name(), size: bytes })
        };
        let mut packed = vec![0; length(entry.compressed)?];
        self.0.reader.read_at(entry.start, &mut packed).map_err(|source| Fault::Read { source })?;
        let bytes = match entry.method {
            Method::Stored => packed,
            Method::Deflated => {
                let mut bytes = vec![0; length(entry.size)?];
                // The buffer has the declared size, so a longer stream fails instead of growing.
                match libdeflater::Decompressor::new().deflate_decompress(&packed, &mut bytes) {
                    Ok(written) if written as u64 == entry.size => bytes,
                    _ => return Err(Fault::Inflate { name: name(), size: entry.size }),
                }
            }
        };
        if libdeflater::crc32(&bytes) == entry.crc {
            Ok(bytes)
        } else {
            Err(Fault::Crc { name: name() })
        }
    }

    /// At most the first `most` bytes of an entry, unpacking no more than those; checksums and
    /// lengths are not checked.
    pub(super) fn read_start(
        &self,
        entry: &ArchiveEntry,
        most: u64,
    ) -> Result<Vec<u8>, WheelError> {
        let mut reader = self.0.reader.clone();
        let mut start = Vec::new();
        std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(entry.start))
            .and_then(|_| {
                let packed = reader.take(entry.compressed);
                match entry.method {
                    Method::Stored => packed.take(most).read_to_end(&mut start),
                    Method::Deflated => {
                        flate2::read::DeflateDecoder::new(packed).take(most).read_to_end(&mut start)
                    }
                }
            })
            .map_err(|_| Fault::Inflate { name: entry.path.to_string(), size: entry.size })
            .map_err(|fault| fault.of(&self.0.filename))?;
        Ok(start)
    }

    /// Unpacks a file of the `.dist-info` directory; none when there is no such file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_info(&self, name: &str) -> Result<Option<Vec<u8>>, WheelError> {
        let path = child(&self.0.dist_info, name);
        self.position(&path).map(|index| self.read(&self.0.entries[index])).transpose()
    }

    fn required_info(&self, name: &'static str) -> Result<Vec<u8>, WheelError> {
        self.read_info(name)?
            .ok_or_else(|| Fault::Missing { name: name.into() }.of(&self.0.filename))
    }

    /// The bytes of METADATA.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn metadata_bytes(&self) -> Result<Vec<u8>, WheelError> {
        self.required_info("METADATA")
    }

    /// METADATA, parsed.
    ///
    /// # Errors
    /// As [`Self::read`], and when it lacks what resolving needs.
    pub fn metadata(&self) -> Result<CoreMetadata, WheelError> {
        CoreMetadata::parse(&self.metadata_bytes()?)
            .map_err(|source| Fault::Metadata { source }.of(&self.0.filename))
    }

    /// Refuses a wheel of a format that loci does not know.
    pub(super) fn check_format(&self) -> Result<(), WheelError> {
        info::check(&self.required_info("WHEEL")?).map_err(|fault| fault.of(&self.0.filename))
    }

    /// The bytes of RECORD.
    pub(super) fn record_bytes(&self) -> Result<Vec<u8>, WheelError> {
        self.required_info("RECORD")
    }
}

/// `name` below `directory`.
pub(super) fn child(directory: &SafePath, name: &str) -> SafePath {
    directory.join(&name.parse().expect("the names this module joins are plain file names"))
}

/// The one top-level directory ending in `.dist-info`, which must be of the project and version of
/// the file name; case, `-`, `_` and `.` and the spelling of the version may differ, as they do.
fn find_dist_info(entries: &[ArchiveEntry], filename: &WheelFilename) -> Result<SafePath, Fault> {
    let found: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| entry.path.as_str().split_once('/'))
        .map(|(top, _)| top)
        .filter(|top| top.ends_with(".dist-info"))
        .collect();
    let mut found = found.into_iter();
    let directory = found.next().ok_or(Fault::NoDistInfo)?;
    if let Some(second) = found.next() {
        return Err(Fault::DistInfos { first: directory.into(), second: second.into() });
    }
    let stem = directory.trim_end_matches(".dist-info");
    let matches = stem.match_indices('-').any(|(at, _)| {
        package_name(&stem[..at]).as_ref() == Some(filename.name())
            && Version::from_str(&stem[at + 1..]).as_ref() == Ok(filename.version())
    });
    if !matches {
        return Err(Fault::DistInfoName { dist_info: directory.into() });
    }
    directory.parse().map_err(|source| Fault::Path { source })
}

#[cfg(test)]
mod tests {
    use crate::support::wheel::WheelMaker;
    use crate::wheel::fixture::{chain, open, open_bytes, patched};

    fn maker() -> WheelMaker {
        WheelMaker::new("Foo.Bar", "1.0").file("foo/data.txt", "data\n".repeat(1000))
    }

    #[track_caller]
    fn refused(bytes: &[u8]) -> String {
        let error = open_bytes(bytes, "foo_bar-1.0-py3-none-any.whl").unwrap_err();
        assert_eq!(error.wheel, "foo_bar-1.0-py3-none-any.whl");
        chain(&error.fault)
    }

    #[test]
    fn opens_and_reads() {
        let archive = open(&maker().requires("six")).unwrap();
        assert_eq!(archive.dist_info().as_str(), "Foo_Bar-1.0.dist-info");
        assert_eq!(archive.metadata().unwrap().requires_dist.len(), 1);
        archive.check_format().unwrap();
        let index = archive.position(&"foo/data.txt".parse().unwrap()).unwrap();
        let entry = &archive.entries()[index];
        assert_eq!(archive.read(entry).unwrap(), "data\n".repeat(1000).as_bytes());
        assert_eq!(archive.read_start(entry, 4).unwrap(), b"data");
    }

    #[test]
    fn names_that_leave_their_place_are_refused() {
        insta::assert_snapshot!(refused(&maker().file("../evil", "").bytes()), @"an entry's name is not safe: the path `../evil` climbs out with `..`");
        insta::assert_snapshot!(refused(&maker().file("/etc/evil", "").bytes()), @"an entry's name is not safe: the path `/etc/evil` is absolute");
        insta::assert_snapshot!(refused(&maker().file("C:evil", "").bytes()), @"an entry's name is not safe: the path `C:evil` starts with a drive letter");
        insta::assert_snapshot!(refused(&maker().file("a\\evil", "").bytes()), @r#"an entry's name is not safe: the path `a\\evil` contains a backslash"#);
        insta::assert_snapshot!(refused(&patched(maker().file("evil1", "").bytes(), b"evil1", b"evil\xff")), @r#"the name of the entry `evil\xff` is not UTF-8"#);
        insta::assert_snapshot!(refused(&patched(maker().file("evil1", "").bytes(), b"evil1", b"evil\0")), @r#"an entry's name is not safe: the path `evil\u{0}` contains a NUL"#);
        insta::assert_snapshot!(refused(&maker().file("a\x1b[2Jb", "").bytes()), @r"the name of the entry `a\u{1b}[2Jb` has control characters");
    }

    #[test]
    fn threads_may_share_an_archive() {
        fn shared<T: Send + Sync>(_: &T) {}
        let archive = open(&maker()).unwrap();
        shared(&archive);
        shared(archive.file());
        let read = &|index: usize| archive.read(&archive.entries()[index]).unwrap();
        let alone: Vec<_> = (0..archive.entries().len()).map(read).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..archive.entries().len())
                .map(|index| scope.spawn(move || read(index)))
                .collect();
            for (thread, bytes) in threads.into_iter().zip(&alone) {
                assert_eq!(thread.join().unwrap(), *bytes);
            }
        });
    }

    #[test]
    fn names_that_clash_are_refused() {
        let two = maker().file("one", "1").file("two", "2").bytes();
        insta::assert_snapshot!(refused(&patched(two, b"two", b"one")), @"the entry `one` stands in it twice");
        let below = maker().file("foo/data.txt/x", "");
        insta::assert_snapshot!(refused(&below.bytes()), @"the entry `foo/data.txt` is a file, and `foo/data.txt/x` lies below it");
    }

    #[test]
    fn links_and_special_files_are_refused() {
        // The mode is in the upper half of the directory's external attributes.
        let as_type = |kind: u32| {
            let mode = |kind: u32| ((kind | 0o640) << 16).to_le_bytes();
            let bytes = maker().file_with_mode("evil", "/etc/passwd", 0o640).bytes();
            refused(&patched(bytes, &mode(0o100_000), &mode(kind)))
        };
        insta::assert_snapshot!(as_type(0o120_000), @"the entry `evil` is a symbolic link, which a wheel must not have");
        insta::assert_snapshot!(as_type(0o010_000), @"the entry `evil` is a special file, which a wheel must not have");
        insta::assert_snapshot!(as_type(0o040_000), @"the entry `evil` is a directory without a `/`, which a wheel must not have");
    }

    #[test]
    fn archives_readers_disagree_about_are_refused() {
        let good = maker().bytes();
        insta::assert_snapshot!(refused(b""), @"it is not a whole zip archive: invalid Zip archive: Could not find EOCD");
        insta::assert_snapshot!(refused(&[&good[..], b"tail"].concat()), @"it has bytes that belong to no entry of the zip archive");
        insta::assert_snapshot!(refused(&[b"head", &good[..]].concat()), @"it is not a whole zip archive: invalid Zip archive: No CDFH found");
        insta::assert_snapshot!(refused(&[&good[..], &good].concat()), @"it has bytes that belong to no entry of the zip archive");
        insta::assert_snapshot!(refused(&good[..good.len() / 2]), @"it is not a whole zip archive: invalid Zip archive: Could not find EOCD");
        // The first occurrence of the name is its own header's.
        let mut other = good.clone();
        let at = good.windows(12).position(|window| window == b"foo/data.txt").unwrap();
        other[at] = b'g';
        insta::assert_snapshot!(refused(&other), @"the entry `foo/data.txt` contradicts the archive's directory: its header has another name");
        // The compressed and unpacked size in the directory (offset 20 and 24 of its header).
        let listed = good.windows(12).rposition(|window| window == b"foo/data.txt").unwrap() - 46;
        let mut larger = good.clone();
        larger[listed + 24] ^= 1;
        insta::assert_snapshot!(refused(&larger), @"the entry `foo/data.txt` contradicts the archive's directory: its header has another size or checksum");
        let mut bomb = good.clone();
        bomb[listed + 27] = 0x7f;
        bomb[at - 30 + 25] = 0x7f;
        insta::assert_snapshot!(refused(&bomb), @"the entry `foo/data.txt` claims 2130711432 bytes, more than its 52 bytes can hold");
        let mut overlap = good.clone();
        overlap[listed + 21] = 0x7f;
        overlap[at - 30 + 19] = 0x7f;
        insta::assert_snapshot!(refused(&overlap), @"the bytes of the entry `foo/data.txt` overlap with what follows them");
        let mut encrypted = good.clone();
        encrypted[listed + 8] |= 1;
        insta::assert_snapshot!(refused(&encrypted), @"the entry `foo/data.txt` is encrypted, which a wheel must not have");
        let mut method = good;
        method[listed + 10] = 12;
        method[at - 30 + 8] = 12;
        insta::assert_snapshot!(refused(&method), @"the entry `foo/data.txt` is compressed by `Unsupported(12)`");
    }

    #[test]
    fn the_dist_info_must_be_the_one() {
        let other = WheelMaker::new("foo-bar", "2.0");
        insta::assert_snapshot!(refused(&other.bytes()), @"its `foo_bar-2.0.dist-info` does not match its file name");
        let second = maker().file("foo_bar-1.0.0.dist-info/METADATA", "");
        insta::assert_snapshot!(refused(&second.bytes()), @"it has more than one `.dist-info` directory: `Foo_Bar-1.0.dist-info` and `foo_bar-1.0.0.dist-info`");
        insta::assert_snapshot!(refused(&maker().without_record().bytes()), @"it has no `Foo_Bar-1.0.dist-info/RECORD`");
        let none = patched(maker().bytes(), b".dist-info", b".dist_info");
        insta::assert_snapshot!(refused(&none), @"it has no `.dist-info` directory");
        // Another spelling of the same version and name is the same.
        let bytes = WheelMaker::new("FOO.bar", "1.0.0").bytes();
        assert!(open_bytes(&bytes, "foo_bar-1.0-py3-none-any.whl").is_ok());
    }

    #[test]
    fn damage_is_seen_when_inflating() {
        let good = maker().bytes();
        let start = good.windows(12).position(|window| window == b"foo/data.txt").unwrap() + 12;
        let fault = |bytes: &[u8]| {
            let archive = open_bytes(bytes, &maker().filename()).unwrap();
            let index = archive.position(&"foo/data.txt".parse().unwrap()).unwrap();
            archive.read(&archive.entries()[index]).unwrap_err().fault.to_string()
        };
        let mut damaged = good.clone();
        damaged[start + 2] ^= 0x10;
        let message = fault(&damaged);
        assert!(message.contains("`foo/data.txt`"), "{message}");
        // Both headers claim one byte more than there is.
        let listed = good.windows(12).rposition(|window| window == b"foo/data.txt").unwrap() - 46;
        let mut longer = good;
        longer[listed + 24] += 1;
        longer[start - 42 + 22] += 1;
        insta::assert_snapshot!(fault(&longer), @"the entry `foo/data.txt` does not unpack to the 5001 bytes it claims");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn no_flipped_byte_panics(at in 0_usize..10_000, to in proptest::prelude::any::<u8>()) {
            let mut bytes = maker().bytes();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(archive) = open_bytes(&bytes, &maker().filename()) {
                for entry in archive.entries() {
                    let _ = archive.read(entry);
                }
            }
        }
    }
}
