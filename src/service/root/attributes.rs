//! The extended attributes of files that layers carry.
//!
//! Capabilities (`security.capability`), without which `ping` and the like don't work, and those of users. All
//! others say something about a host or an overlay file system, and are neither read nor set.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Before an attribute's name, in the PAX record that carries it.
pub(super) const PAX_PREFIX: &str = "SCHILY.xattr.";

const CAPABILITY: &str = "security.capability";

fn travels(name: &str) -> bool {
    name == CAPABILITY || name.starts_with("user.")
}

/// Sets an attribute of a file, if layers carry it and the file system knows it. Only root gives
/// capabilities.
pub(super) fn set(path: &Path, name: &str, value: &[u8], root: bool) -> io::Result<()> {
    if !travels(name) || (name == CAPABILITY && !root) {
        return Ok(());
    }
    match rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()) {
        Err(Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}

/// The attributes of a file that layers carry, sorted by name.
pub(super) fn of(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let size = match rustix::fs::llistxattr_query(path) {
        // Most files have none.
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = vec![0; size];
    // A list that has grown meanwhile is an error of its own (ERANGE).
    let size = rustix::fs::llistxattr(path, &mut names)?;
    let mut found = Vec::new();
    for name in names[..size].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let Some(text) = name.to_str().ok().filter(|text| travels(text)) else { continue };
        let mut value = vec![0; rustix::fs::lgetxattr_query(path, name)?];
        let size = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(size);
        found.push((text.to_owned(), value));
    }
    found.sort_unstable();
    Ok(found)
}
