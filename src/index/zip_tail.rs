//! Finding METADATA in a wheel of which only the last bytes are at hand.
//!
//! A zip archive's directory stands at its end (APPNOTE.TXT 4.3.6), and wheels put their `.dist-info`
//! last (PEP 427), so one or two small reads give a wheel's metadata. Only that is done here: whoever
//! installs a wheel checks the whole of it (see `wheel::archive`). No read is done here either; the
//! caller brings bytes.

use std::io::Read;
use std::ops::Range;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::vocab::requirement::package_name;
use crate::vocab::wheel_filename::WheelFilename;

/// How many bytes of the end are worth a first read: they hold the directory and METADATA of most.
pub(super) const TAIL: u64 = 48 * 1024;

/// No directory and no METADATA of a real wheel come near this; what does is not read.
const LONGEST: u64 = 64 << 20;

/// Where the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    /// Its bytes in the file.
    pub(super) span: Range<u64>,
}

/// Where METADATA is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The bytes in the file that hold its header and its data; the header's length is only known
    /// when it is read, so a little more than usual is counted for it.
    pub(super) span: Range<u64>,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
}

/// What a member's bytes gave.
pub(super) enum Opened {
    /// Its data.
    Data(Vec<u8>),
    /// Its header is longer than was counted for; so much has to be read.
    Longer(Range<u64>),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Finds the directory of a file of `size` bytes whose end is `tail`.
pub(super) fn directory(tail: &[u8], size: u64) -> Result<Directory, &'static str> {
    const NONE: &str = "it is not a zip archive";
    // The record at the end is 22 bytes and a comment; the last one whose comment reaches to the end
    // is it.
    let end = (0..=tail.len().checked_sub(22).ok_or(NONE)?)
        .rev()
        .take(usize::from(u16::MAX) + 1)
        .find(|&at| {
            tail[at..].starts_with(b"PK\x05\x06")
                && u16_at(tail, at + 20)
                    .is_some_and(|comment| at + 22 + usize::from(comment) == tail.len())
        })
        .ok_or(NONE)?;
    let tail_start = size.checked_sub(tail.len() as u64).ok_or(NONE)?;
    let (mut length, mut start) = (
        u64::from(u32_at(tail, end + 12).ok_or(NONE)?),
        u64::from(u32_at(tail, end + 16).ok_or(NONE)?),
    );
    if length == u64::from(u32::MAX) || start == u64::from(u32::MAX) {
        const FAULT: &str = "its zip64 record is damaged";
        let locator = end.checked_sub(20).ok_or(FAULT)?;
        if !tail[locator..].starts_with(b"PK\x06\x07") {
            return Err(FAULT);
        }
        let record = u64_at(tail, locator + 8).and_then(|at| at.checked_sub(tail_start));
        let record = record.and_then(|at| usize::try_from(at).ok()).ok_or(FAULT)?;
        let record = tail.get(record..).filter(|bytes| bytes.starts_with(b"PK\x06\x06"));
        let record = record.ok_or(FAULT)?;
        length = u64_at(record, 40).ok_or(FAULT)?;
        start = u64_at(record, 48).ok_or(FAULT)?;
    }
    let stop = start.checked_add(length).filter(|stop| *stop <= size);
    let stop = stop.filter(|_| length <= LONGEST).ok_or("its directory is damaged")?;
    Ok(Directory { span: start..stop })
}

/// Finds the METADATA of `wheel` in the directory's bytes.
pub(super) fn metadata(bytes: &[u8], wheel: &WheelFilename) -> Result<Member, &'static str> {
    const FAULT: &str = "its directory is damaged";
    let mut found = None;
    let mut rest = bytes;
    while rest.starts_with(b"PK\x01\x02") {
        let field = |at| u16_at(rest, at).map(usize::from).ok_or(FAULT);
        let (name, extra, comment) = (field(28)?, field(30)?, field(32)?);
        let path = rest.get(46..46 + name).ok_or(FAULT)?;
        let next = 46 + name + extra + comment;
        if is_metadata(path, wheel) {
            if found.is_some() {
                return Err("it has more than one `.dist-info`");
            }
            let extra = rest.get(46 + name..46 + name + extra).ok_or(FAULT)?;
            found = Some(member(rest, name, extra).ok_or(FAULT)??);
        }
        rest = rest.get(next..).ok_or(FAULT)?;
    }
    if !rest.is_empty() && !rest.starts_with(b"PK\x05\x05") {
        return Err(FAULT);
    }
    found.ok_or("it has no `.dist-info/METADATA` of its name and version")
}

/// Whether a path is `NAME-VERSION.dist-info/METADATA` of the wheel, whose case and escaping may
/// differ from the file name.
fn is_metadata(path: &[u8], wheel: &WheelFilename) -> bool {
    let Some(stem) = path.strip_suffix(b".dist-info/METADATA") else { return false };
    let Some((name, version)) =
        std::str::from_utf8(stem).ok().and_then(|stem| stem.rsplit_once('-'))
    else {
        return false;
    };
    package_name(name).is_some_and(|name| name == *wheel.name())
        && version.parse().is_ok_and(|version: pep440_rs::Version| version == *wheel.version())
}

/// Reads one record of the directory; none when it is too short.
fn member(record: &[u8], name: usize, extra: &[u8]) -> Option<Result<Member, &'static str>> {
    if u16_at(record, 8)? & 1 != 0 {
        return Some(Err("its METADATA is encrypted"));
    }
    let mut numbers = [20, 24, 42].map(|at| u32_at(record, at).map(u64::from));
    // Numbers that don't fit stand in the zip64 field, in this order: size, packed size, offset.
    let mut fields = extra;
    while let (Some(id), Some(length)) = (u16_at(fields, 0), u16_at(fields, 2)) {
        let data = fields.get(4..4 + usize::from(length))?;
        if id == 1 {
            let mut at = 0;
            for number in [1, 0, 2] {
                if numbers[number] == Some(u64::from(u32::MAX)) {
                    numbers[number] = u64_at(data, at);
                    at += 8;
                }
            }
        }
        fields = &fields[4 + usize::from(length)..];
    }
    let [packed, size, start] = numbers;
    let (packed, size, start) = (packed?, size?, start?);
    if packed > LONGEST || size > LONGEST {
        return Some(Err("its METADATA is too long"));
    }
    let stop = start.checked_add(30 + name as u64 + 64 + packed)?;
    let (method, crc) = (u16_at(record, 10)?, u32_at(record, 16)?);
    Some(Ok(Member { span: start..stop, method, crc, packed, size }))
}

/// Unpacks METADATA from the bytes of its span, which may be cut at the end.
pub(super) fn open(bytes: &[u8], member: &Member) -> Result<Opened, &'static str> {
    const FAULT: &str = "its METADATA is damaged";
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(FAULT);
    }
    let header = |at| u16_at(bytes, at).map(u64::from).ok_or(FAULT);
    let start = 30 + header(26)? + header(28)?;
    let stop = start + member.packed;
    let span = usize::try_from(start).ok().zip(usize::try_from(stop).ok()).ok_or(FAULT)?;
    let Some(packed) = bytes.get(span.0..span.1) else {
        let begin = member.span.start;
        return Ok(Opened::Longer(begin..begin.checked_add(stop).ok_or(FAULT)?));
    };
    let mut data = Vec::new();
    match member.method {
        0 => data.extend_from_slice(packed),
        8 => {
            // One byte more than announced is enough to see a size that lies.
            let mut inflated = DeflateDecoder::new(packed).take(member.size + 1);
            inflated.read_to_end(&mut data).map_err(|_| FAULT)?;
        }
        _ => return Err("its METADATA is packed in an unknown way"),
    }
    let mut crc = Crc::new();
    crc.update(&data);
    if data.len() as u64 != member.size || crc.sum() != member.crc {
        return Err(FAULT);
    }
    Ok(Opened::Data(data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::support::wheel::WheelMaker;

    fn read(bytes: &[u8], wheel: &WheelFilename) -> Result<Vec<u8>, &'static str> {
        let part = |span: &Range<u64>| {
            let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            &bytes[clip(span.start)..clip(span.end).max(clip(span.start))]
        };
        let directory = directory(bytes, bytes.len() as u64)?;
        let member = metadata(part(&directory.span), wheel)?;
        match open(part(&member.span), &member)? {
            Opened::Data(data) => Ok(data),
            Opened::Longer(span) => match open(part(&span), &member)? {
                Opened::Data(data) => Ok(data),
                Opened::Longer(_) => Err("longer than the file"),
            },
        }
    }

    fn wheel(maker: &WheelMaker) -> WheelFilename {
        maker.filename().parse().unwrap()
    }

    #[test]
    fn finds_metadata() {
        let maker = WheelMaker::new("Foo.Bar", "1.0").requires("six").file("x/y.py", "x");
        let found = read(&maker.bytes(), &wheel(&maker)).unwrap();
        assert_eq!(found, maker.metadata_text().into_bytes());
    }

    #[test]
    fn says_why_there_is_none() {
        let maker = WheelMaker::new("foo", "1.0");
        let other = WheelMaker::new("bar", "1.0");
        let case = |bytes: &[u8], maker: &WheelMaker| read(bytes, &wheel(maker)).unwrap_err();
        assert_eq!(
            case(&maker.bytes(), &other),
            "it has no `.dist-info/METADATA` of its name and version"
        );
        assert_eq!(case(b"<html>", &maker), "it is not a zip archive");
        let two = maker.clone().file("Foo-1.0.dist-info/METADATA", "x");
        assert_eq!(case(&two.bytes(), &maker), "it has more than one `.dist-info`");
        let mut damaged = maker.bytes();
        let at = damaged.windows(13).position(|w| w == b"info/METADATA").unwrap();
        damaged[at + 20] ^= 0x55;
        assert_eq!(case(&damaged, &maker), "its METADATA is damaged");
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_harmless(
            flips in proptest::collection::vec((0usize..2000, any::<u8>()), 1..8),
            cut in 0usize..2000,
        ) {
            let maker = WheelMaker::new("foo", "1.0");
            let mut bytes = maker.bytes();
            for (at, flip) in flips {
                let at = at % bytes.len();
                bytes[at] ^= flip;
            }
            let _ = read(&bytes, &wheel(&maker));
            bytes.truncate(cut.min(bytes.len()));
            let _ = read(&bytes, &wheel(&maker));
        }
    }
}
