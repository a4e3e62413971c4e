//! The archive's directory, checked against everything that can be known before inflating.
//!
//! Two zip readers that disagree about one archive are how a wheel shows one face to a scanner and
//! another to an installer. So what readers are known to disagree about is refused: duplicate
//! names, entries whose own header contradicts the directory, overlapping entries, surplus bytes.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader};

use zip::read::{ArchiveOffset, Config, ZipArchive};

use super::error::Fault;
use super::file::WheelReader;
use crate::vocab::safe_path::SafePath;

/// No entry above this is taken: an entry is unpacked in memory as a whole.
const LARGEST: u64 = 2 << 30;
/// Deflate cannot expand a byte to more than this (RFC 1951: 258 bytes from 2 bits), with room to spare.
const LARGEST_RATIO: u64 = 1040;
/// What may follow an entry's bytes: a ZIP64 data descriptor with its signature (APPNOTE 4.3.9).
const LARGEST_DESCRIPTOR: u64 = 24;
/// The fixed part of a local header (APPNOTE 4.3.7).
const LOCAL_HEADER: usize = 30;

/// How an entry is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

/// A file of the archive, as its directory and its own header say alike.
#[derive(Debug, Clone)]
pub(super) struct CentralEntry {
    pub(super) path: SafePath,
    pub(super) size: u64,
    pub(super) executable: bool,
    pub(super) method: Method,
    pub(super) crc: u32,
    pub(super) start: u64,
    pub(super) compressed: u64,
}

/// The files of the archive in the order of its directory; entries for directories are left out.
pub(super) fn read(file: &WheelReader) -> Result<Vec<CentralEntry>, Fault> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let zip = ZipArchive::with_config(config, BufReader::new(file.clone()))
        .map_err(|source| Fault::Zip { source })?;
    refuse_surplus(file, zip.comment().len())?;
    if zip.has_duplicate_names() {
        let name = duplicate_name(file, zip.central_directory_start()).unwrap_or_default();
        return Err(Fault::Duplicate { name });
    }
    let mut entries = Vec::with_capacity(zip.len());
    let mut spans = Vec::with_capacity(zip.len());
    let mut is_directory = HashMap::with_capacity(zip.len());
    for index in 0..zip.len() {
        let listed = zip.by_index_data(index).map_err(|source| Fault::Zip { source })?;
        let raw = listed.name_raw();
        let Ok(name) = std::str::from_utf8(raw) else {
            return Err(Fault::NameEncoding { name: raw.escape_ascii().to_string() });
        };
        if name.contains(|c: char| c.is_control() && c != '\0') {
            return Err(Fault::NameControl { name: name.escape_default().to_string() });
        }
        let directory = name.ends_with('/');
        let path: SafePath = name
            .strip_suffix('/')
            .unwrap_or(name)
            .parse()
            .map_err(|source| Fault::Path { source })?;
        let name = || name.to_owned();
        if is_directory.insert(path.clone(), directory).is_some() {
            return Err(Fault::Duplicate { name: name() });
        }
        let mode = listed.external_attributes() >> 16;
        refuse_special(mode, directory, &name)?;
        if listed.encrypted() {
            return Err(Fault::Special { name: name(), kind: "encrypted" });
        }
        let method = match listed.compression() {
            zip::CompressionMethod::Stored => Method::Stored,
            zip::CompressionMethod::Deflated => Method::Deflated,
            other => {
                return Err(Fault::Compression { name: name(), method: format!("{other:?}") });
            }
        };
        let entry = CentralEntry {
            path,
            size: listed.size(),
            // As with pip, bits without a file type mean nothing: some tools mark every file so.
            executable: mode & 0o170_000 == 0o100_000 && mode & 0o111 != 0,
            method,
            crc: listed.crc32(),
            start: local_data_start(file, &listed, raw, &name)?,
            compressed: listed.compressed_size(),
        };
        check_size(&entry, directory, &name)?;
        spans.push((listed.header_start(), end_of(&entry), index));
        if !directory {
            entries.push(entry);
        }
    }
    refuse_overlap_and_gaps(&mut spans, zip.central_directory_start(), |index| {
        zip.by_index_data(index).map_or_else(
            |_| String::new(),
            |entry| String::from_utf8_lossy(entry.name_raw()).into(),
        )
    })?;
    refuse_files_as_directories(&entries, &is_directory)?;
    Ok(entries)
}

/// The first name that stands in the directory a second time. The zip reader knows that there is
/// one, and not which.
fn duplicate_name(file: &WheelReader, mut at: u64) -> Option<String> {
    let mut seen = HashSet::new();
    loop {
        let mut header = [0; 46];
        file.read_at(at, &mut header).ok()?;
        if !header.starts_with(b"PK\x01\x02") {
            return None;
        }
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        file.read_at(at.checked_add(46)?, &mut name).ok()?;
        let rest = [28, 30, 32].map(|field| u64::from(length(field)));
        at = at.checked_add(46 + rest.iter().sum::<u64>())?;
        if seen.contains(&name) {
            return Some(name.escape_ascii().to_string());
        }
        seen.insert(name);
    }
}

/// The directory must end where its end record begins, and that where the file does: bytes in
/// between or behind are another archive to some readers (APPNOTE 4.3.14 to 4.3.16).
fn refuse_surplus(file: &WheelReader, comment: usize) -> Result<(), Fault> {
    let read = |at: u64, buffer: &mut [u8]| {
        file.read_at(at, buffer).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Surplus,
            _ => Fault::Read { source },
        })
    };
    let end = file.len().checked_sub(22 + comment as u64).ok_or(Fault::Surplus)?;
    let mut record = [0; 22];
    read(end, &mut record)?;
    if !record.starts_with(b"PK\x05\x06") {
        return Err(Fault::Surplus);
    }
    let mut locator = [0; 20];
    let before = end.checked_sub(20).ok_or(Fault::Surplus)?;
    read(before, &mut locator)?;
    let (size, start, next) = if locator.starts_with(b"PK\x06\x07") {
        let at = u64_at(&locator, 8);
        let mut record = [0; 56];
        read(at, &mut record)?;
        if !record.starts_with(b"PK\x06\x06") || at.checked_add(56) != Some(before) {
            return Err(Fault::Surplus);
        }
        (u64_at(&record, 40), u64_at(&record, 48), at)
    } else {
        (u64::from(u32_at(&record, 12)), u64::from(u32_at(&record, 16)), end)
    };
    if start.checked_add(size) == Some(next) { Ok(()) } else { Err(Fault::Surplus) }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().copied().map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn refuse_special(mode: u32, directory: bool, name: &dyn Fn() -> String) -> Result<(), Fault> {
    let kind = match mode & 0o170_000 {
        0 => return Ok(()),
        0o100_000 if !directory => return Ok(()),
        0o040_000 if directory => return Ok(()),
        0o040_000 => "a directory without a `/`",
        0o100_000 => "a file with a `/`",
        0o120_000 => "a symbolic link",
        _ => "a special file",
    };
    Err(Fault::Special { name: name(), kind })
}

fn check_size(
    entry: &CentralEntry,
    directory: bool,
    name: &dyn Fn() -> String,
) -> Result<(), Fault> {
    let (size, compressed) = (entry.size, entry.compressed);
    if directory && size > 0 {
        return Err(Fault::Special { name: name(), kind: "a directory with content" });
    }
    if entry.method == Method::Stored && size != compressed {
        return Err(Fault::Header { name: name(), what: "it is stored, and its sizes differ" });
    }
    if size > compressed.saturating_mul(LARGEST_RATIO) {
        return Err(Fault::Bomb { name: name(), size, compressed });
    }
    if size > LARGEST {
        return Err(Fault::TooLarge { name: name(), size, limit: LARGEST });
    }
    Ok(())
}

const fn end_of(entry: &CentralEntry) -> u64 {
    entry.start.saturating_add(entry.compressed)
}

/// Reads the entry's own header, which must say what the directory says, and returns where its
/// compressed bytes begin.
fn local_data_start(
    file: &WheelReader,
    listed: &zip::read::ZipFileEntry<'_>,
    raw: &[u8],
    name: &dyn Fn() -> String,
) -> Result<u64, Fault> {
    let refuse = |what| Fault::Header { name: name(), what };
    let start = listed.header_start();
    let mut header = vec![0; LOCAL_HEADER + raw.len()];
    file.read_at(start, &mut header).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => refuse("its header is outside the archive"),
        _ => Fault::Read { source },
    })?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32_at(&header, at);
    if !header.starts_with(b"PK\x03\x04") {
        return Err(refuse("there is no header where the directory says"));
    }
    if usize::from(short(26)) != raw.len() || &header[LOCAL_HEADER..] != raw {
        return Err(refuse("its header has another name"));
    }
    let method = match listed.compression() {
        zip::CompressionMethod::Stored => 0,
        _ => 8,
    };
    if short(8) != method {
        return Err(refuse("its header has another compression"));
    }
    let flags = short(6);
    if flags & 1 != 0 {
        return Err(refuse("its header says it is encrypted"));
    }
    // With bit 3 the sizes follow the data (APPNOTE 4.4.4), and all-ones means a ZIP64 field.
    let same = |found: u32, listed: u64| found == u32::MAX || u64::from(found) == listed;
    if flags & 8 == 0
        && !(long(14) == listed.crc32()
            && same(long(18), listed.compressed_size())
            && same(long(22), listed.size()))
    {
        return Err(refuse("its header has another size or checksum"));
    }
    let fixed = (LOCAL_HEADER + raw.len()) as u64 + u64::from(short(28));
    start.checked_add(fixed).ok_or_else(|| refuse("its header is outside the archive"))
}

fn refuse_overlap_and_gaps(
    spans: &mut [(u64, u64, usize)],
    directory_start: u64,
    name: impl Fn(usize) -> String,
) -> Result<(), Fault> {
    spans.sort_unstable();
    if spans.first().is_some_and(|first| first.0 > 0) {
        return Err(Fault::Surplus);
    }
    let nexts = spans.iter().skip(1).map(|next| next.0).chain([directory_start]);
    for (&(_, end, index), next) in spans.iter().zip(nexts) {
        if end > next {
            return Err(Fault::Overlap { name: name(index) });
        }
        // A longer gap may hide an entry the directory does not list.
        if next - end > LARGEST_DESCRIPTOR {
            return Err(Fault::Surplus);
        }
    }
    Ok(())
}

fn refuse_files_as_directories(
    entries: &[CentralEntry],
    is_directory: &HashMap<SafePath, bool>,
) -> Result<(), Fault> {
    for path in is_directory.keys() {
        let mut parent = path.parent();
        while let Some(directory) = parent {
            if is_directory.get(&directory) == Some(&false) {
                // The first one in the directory's order is named, so that runs agree.
                let below = entries
                    .iter()
                    .find(|entry| entry.path.strip_prefix(directory.as_str()).is_some())
                    .map_or_else(|| path.to_string(), |entry| entry.path.to_string());
                return Err(Fault::FileAsDirectory { name: directory.to_string(), below });
            }
            parent = directory.parent();
        }
    }
    Ok(())
}
