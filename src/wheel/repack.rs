//! [`repack`]: a wheel's content in reproducible bytes.
//!
//! Backends write entries in the order of a directory listing, with the times and modes of files
//! just made. The same content repacked is the same file: sorted, fixed times and modes, RECORD
//! rewritten, one compressor at one level.

use std::io::{Seek, Write};
use std::str::FromStr;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::archive::{WheelArchive, child};
use super::error::{Fault, WheelError};
use super::file::WheelFile;
use super::record::{Record, Rows};
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;
use crate::vocab::wheel_filename::WheelFilename;

/// Seconds since 1970 (UTC) that stand for every time in what is built (`SOURCE_DATE_EPOCH` of
/// reproducible-builds.org). The default is 1980-01-01, the first day a zip archive can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceDateEpoch(u64);

/// 1980-01-01 and 2107-12-31: what a zip archive can tell.
const ZIP_TIMES: (u64, u64) = (315_532_800, 4_354_819_198);

impl SourceDateEpoch {
    /// The seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The nearest time a zip archive can tell.
    fn zip_time(self) -> DateTime {
        let Civil { year, month, day, hour, minute, second } =
            Civil::of(self.0.clamp(ZIP_TIMES.0, ZIP_TIMES.1));
        let year = u16::try_from(year).unwrap_or(1980);
        DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default()
    }
}

impl Default for SourceDateEpoch {
    fn default() -> Self {
        Self(ZIP_TIMES.0)
    }
}

impl FromStr for SourceDateEpoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Writes the wheel `file`, called `filename`, to `out`: the same files, `.dist-info` last and RECORD
/// the very last. Signatures of RECORD are left out, for it is another one now.
///
/// # Errors
/// When the wheel is not one [`WheelArchive::open`] takes, an entry is not what RECORD says, or `out`
/// cannot be written.
pub fn repack(
    file: &WheelFile,
    filename: &WheelFilename,
    out: impl Write + Seek,
    epoch: SourceDateEpoch,
) -> Result<(), WheelError> {
    let archive = WheelArchive::open(file.clone(), filename)?;
    let fail = |fault: Fault| fault.of(filename);
    let info = archive.dist_info().as_str();
    let record_path = child(archive.dist_info(), "RECORD");
    let signatures = ["RECORD.jws", "RECORD.p7s"].map(|name| child(archive.dist_info(), name));
    let recorded = Record::parse(&archive.record_bytes()?).map_err(fail)?;
    let mut entries: Vec<_> = archive
        .entries()
        .iter()
        .filter(|entry| entry.path != record_path && !signatures.contains(&entry.path))
        .collect();
    entries.sort_by_key(|entry| (entry.path.strip_prefix(info).is_some(), &entry.path));

    let mut zip = ZipWriter::new(out);
    let time = epoch.zip_time();
    let mut write = |path: &str, executable: bool, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(6))
            .last_modified_time(time)
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        zip.start_file(path, options)
            .map_err(std::io::Error::from)
            .and_then(|()| zip.write_all(bytes))
            .map_err(|source| fail(Fault::Write { path: path.into(), source }))
    };
    let mut rows = Rows::default();
    for entry in entries {
        let bytes = archive.read(entry)?;
        let digest = match recorded.get(&entry.path) {
            None => Digest::of(&bytes),
            Some(hash) => hash.check(&bytes).map_err(|found| {
                let name = entry.path.to_string();
                fail(Fault::RecordHash { name, recorded: hash.text(), found })
            })?,
        };
        rows.push(entry.path.as_str(), &digest, entry.size);
        write(entry.path.as_str(), entry.executable, &bytes)?;
    }
    write(record_path.as_str(), false, &rows.packed(record_path.as_str()))?;
    let written = zip.finish().map_err(std::io::Error::from).and_then(|mut out| out.flush());
    written.map_err(|source| fail(Fault::Write { path: filename.as_str().into(), source }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::support::wheel::WheelMaker;
    use crate::wheel::fixture::{chain, open_bytes};

    fn repacked(bytes: &[u8], filename: &str) -> Result<Vec<u8>, WheelError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheel");
        fs_err::write(&path, bytes).unwrap();
        let mut out = Cursor::new(Vec::new());
        let file = WheelFile::open(&path).unwrap();
        repack(&file, &filename.parse().unwrap(), &mut out, SourceDateEpoch::default())?;
        Ok(out.into_inner())
    }

    #[test]
    fn the_same_content_is_the_same_file() {
        let one = WheelMaker::new("foo", "1").file("a", "1").file_with_mode("b", "2", 0o775);
        let two = WheelMaker::new("foo", "1").file_with_mode("b", "2", 0o711).file("a", "1");
        let name = one.filename();
        let bytes = repacked(&one.bytes(), &name).unwrap();
        assert_eq!(bytes, repacked(&two.bytes(), &name).unwrap());
        assert_eq!(bytes, repacked(&bytes, &name).unwrap());
        let archive = open_bytes(&bytes, &name).unwrap();
        let order: Vec<&str> = archive.entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(
            order,
            [
                "a",
                "b",
                "foo.py",
                "foo-1.dist-info/METADATA",
                "foo-1.dist-info/WHEEL",
                "foo-1.dist-info/RECORD"
            ]
        );
        assert!(archive.entries()[1].executable);
        let record = String::from_utf8(archive.record_bytes().unwrap()).unwrap();
        assert!(record.ends_with("\nfoo-1.dist-info/RECORD,,\n"), "{record}");
    }

    #[test]
    fn signatures_go_and_lies_are_refused() {
        let signed = WheelMaker::new("foo", "1").file("foo-1.dist-info/RECORD.jws", "{}");
        let bytes = repacked(&signed.bytes(), &signed.filename()).unwrap();
        let archive = open_bytes(&bytes, &signed.filename()).unwrap();
        assert_eq!(archive.read_info("RECORD.jws").unwrap(), None);
        let lying = WheelMaker::new("foo", "1")
            .without_record()
            .file("foo-1.dist-info/RECORD", "foo.py,sha256=AAAA,1\n");
        let error = repacked(&lying.bytes(), &lying.filename()).unwrap_err();
        assert!(chain(&error).contains("the entry `foo.py` has the hash `sha256="), "{error}");
    }

    #[test]
    fn times_are_those_a_zip_can_tell() {
        for (seconds, time) in [
            (0, "1980-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_700_000_001, "2023-11-14 22:13:20"),
            (u64::MAX, "2107-12-31 23:59:58"),
        ] {
            let found = SourceDateEpoch(seconds).zip_time();
            assert_eq!(found.to_string(), time, "{seconds}");
        }
    }
}
