//! What an entry of a layer says about itself: its [`Attributes`], and the path that its name means.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::Timespec;
use tar::Entry;

use super::attributes;
use super::error::Fault;

/// What an entry says about itself beside its content.
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Timespec,
    pub(super) extended: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Self> {
        let header = entry.header();
        let id = |id: io::Result<u64>| {
            u32::try_from(id?).map_err(|_| io::Error::other("its owner's number is too large"))
        };
        let mut attributes = Self {
            mode: header.mode()? & 0o7777,
            uid: id(header.uid())?,
            gid: id(header.gid())?,
            modified: Timespec { tv_sec: header.mtime()?.cast_signed(), tv_nsec: 0 },
            extended: Vec::new(),
        };
        // The reader takes a line end within a value for the end of a record. What it makes of such a value is
        // left out: the base's own layers keep it.
        for record in entry.pax_extensions()?.into_iter().flatten().flatten() {
            let Ok(key) = record.key() else { continue };
            if key == "mtime" {
                // Before 1970 and other oddities: the header's own time will do.
                if let Some(modified) = record.value().ok().and_then(timestamp) {
                    attributes.modified = modified;
                }
            } else if let Some(name) = key.strip_prefix(attributes::PAX_PREFIX) {
                attributes.extended.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
        Ok(attributes)
    }
}

/// Seconds since 1970 with a fraction, as in a PAX record.
fn timestamp(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
    Some(Timespec {
        tv_sec: seconds.parse::<u32>().ok()?.into(),
        tv_nsec: nanoseconds.parse().ok()?,
    })
}

/// The path an entry's name means below the root; an absolute one begins there too.
pub(super) fn relative(name: &[u8]) -> Result<PathBuf, Fault> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Fault::Climbs),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_records_are_read() {
        for (text, expected) in [
            ("1", Some((1, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.1234567891", Some((1, 123_456_789))),
            ("-1", None),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(timestamp(text).map(|t| (t.tv_sec, t.tv_nsec)), expected, "{text}");
        }
    }
}
