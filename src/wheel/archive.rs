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
use super::file::WheelFile;
use super::info::WheelInfo;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::requirement::package_name;
use crate::vocab::safe_path::SafePath;
use crate::vocab::wheel_filename::WheelFilename;

/// A checked wheel; cloning is cheap and shares all of it.
#[derive(Debug, Clone)]
pub struct WheelArchive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: WheelFile,
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
            let entries: Vec<ArchiveEntry> =
                central::read(&file)?.into_iter().map(ArchiveEntry::from).collect();
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
            Ok((entries, dist_info, by_path))
        };
        let (entries, dist_info, by_path) = build().map_err(|fault| fault.of(filename))?;
        let filename = filename.clone();
        Ok(Self(Arc::new(Inner { file, filename, entries, by_path, dist_info })))
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
    #[must_use]
    pub fn position(&self, path: &SafePath) -> Option<usize> {
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
        self.0.file.read_at(entry.start, &mut packed).map_err(|source| Fault::Read { source })?;
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
        let mut reader = self.0.file.reader();
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
    pub fn read_info(&self, name: &str) -> Result<Option<Vec<u8>>, WheelError> {
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

    /// WHEEL, parsed.
    ///
    /// # Errors
    /// As [`Self::read`], and when its version is not one loci knows.
    pub fn wheel_info(&self) -> Result<WheelInfo, WheelError> {
        WheelInfo::parse(&self.required_info("WHEEL")?).map_err(|fault| fault.of(&self.0.filename))
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
