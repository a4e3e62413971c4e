//! [`unpack`]: the layers of an image become a root file system.
//!
//! What the OCI image layer specification calls applying changesets: entries replace what is there,
//! directories are merged, and whiteouts remove what lower layers brought. Layers are not trusted: no name
//! leaves the root, by `..`, by a link or by a whiteout. Devices and fifos are passed over: nothing that is
//! run here needs an image's own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::ops::Bound::{Included, Unbounded};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid};
use tar::{Archive, Entry, EntryType};

use super::attributes;
use super::entry::{Attributes, relative};
use super::error::{Fault, RootError};
use super::inside::{follow, locate};
use crate::image::tar_headers::BoundedHeaders;

/// Before a name, it says that a lower layer's file of that name is gone (OCI image layer specification,
/// "Whiteouts").
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// In a directory, it says that all that lower layers have there is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS kept for itself, and old images still carry.
const AUFS: &[u8] = b".wh..wh.";

/// Unpacks `layers`, plain tars and the lowest first, into `root`, an empty directory. Each is read to its
/// end, what follows the tar in it included, so that a reader that checks a digest has seen all bytes.
///
/// Owners are set when this process is root, in a user namespace or not; else everything is its own.
///
/// # Errors
/// [`RootError::Tar`], [`RootError::Refused`] and [`RootError::Entry`], with the entry's name; what was
/// unpacked before it stays.
pub fn unpack<R: Read>(layers: impl IntoIterator<Item = R>, root: &Path) -> Result<(), RootError> {
    let mut unpacker = Unpacker {
        root,
        owners: rustix::process::geteuid().is_root(),
        times: BTreeMap::new(),
        written: BTreeSet::new(),
        buffer: vec![0; 128 * 1024],
    };
    for layer in layers {
        unpacker.written.clear();
        unpacker.layer(layer)?;
    }
    unpacker.finish()
}

struct Unpacker<'a> {
    root: &'a Path,
    owners: bool,
    /// When directories were modified, which is set when nothing more is put into them.
    times: BTreeMap<PathBuf, Timespec>,
    /// What this layer wrote: its own whiteouts do not hide it.
    written: BTreeSet<PathBuf>,
    buffer: Vec<u8>,
}

impl Unpacker<'_> {
    fn layer(&mut self, layer: impl Read) -> Result<(), RootError> {
        let tar = |source| RootError::Tar { source };
        let mut archive = Archive::new(BoundedHeaders::new(layer));
        for entry in archive.entries().map_err(tar)? {
            let mut entry = entry.map_err(tar)?;
            let name = entry.path_bytes().into_owned();
            self.entry(&name, &mut entry).map_err(|error| {
                let entry = String::from_utf8_lossy(&name).into_owned();
                match error {
                    EntryError::Fault(fault) => RootError::Refused { entry, fault },
                    EntryError::Io(source) => RootError::Entry { entry, source },
                }
            })?;
        }
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(tar)?;
        Ok(())
    }

    fn entry<R: Read>(&mut self, name: &[u8], entry: &mut Entry<'_, R>) -> Result<(), EntryError> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = relative(name)?;
        let Some(file_name) = path.file_name() else {
            return self.root_entry(kind, entry);
        };
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        if let Some(hidden) = file_name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&parent, file_name.as_bytes(), hidden);
        }
        let at = parent.join(file_name);
        let attributes = Attributes::of(entry)?;
        match kind {
            EntryType::Directory => self.directory(&at, &attributes)?,
            // Tars before POSIX mark a directory only by the slash at the end of its name.
            EntryType::Regular if name.ends_with(b"/") => self.directory(&at, &attributes)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&at, &attributes, entry)?;
            }
            EntryType::Symlink => self.symlink(&at, &attributes, entry)?,
            EntryType::Link => self.hard_link(&at, entry)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Ok(()),
            _ => return Err(Fault::Kind.into()),
        }
        self.written.insert(at);
        Ok(())
    }

    /// The entry of the root itself, which says who owns it and nothing else.
    fn root_entry<R: Read>(
        &mut self,
        kind: EntryType,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), EntryError> {
        if kind != EntryType::Directory {
            return Err(Fault::Root.into());
        }
        let attributes = Attributes::of(entry)?;
        let root = self.root.to_owned();
        self.dress(&root, &attributes)?;
        self.times.insert(root, attributes.modified);
        Ok(())
    }

    /// The directory `path` is inside the root, made where it is missing.
    fn parent(&self, path: &Path) -> io::Result<PathBuf> {
        let at = follow(self.root, path)?;
        let missing: Vec<_> = at.ancestors().take_while(|path| !path.is_dir()).collect();
        for directory in missing.into_iter().rev() {
            fs::create_dir(directory)?;
            // Whatever the umask of who runs this.
            fs::set_permissions(directory, PermissionsExt::from_mode(0o755))?;
        }
        Ok(at)
    }

    fn whiteout(&mut self, parent: &Path, name: &[u8], hidden: &[u8]) -> Result<(), EntryError> {
        if name == OPAQUE {
            for child in fs::read_dir(parent)? {
                self.hide(&child?.path())?;
            }
            return Ok(());
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Fault::Whiteout.into());
        }
        Ok(self.hide(&parent.join(OsStr::from_bytes(hidden)))?)
    }

    /// Removes what lower layers have at `path`, and nothing that this layer wrote there.
    fn hide(&self, path: &Path) -> io::Result<()> {
        // Paths are ordered by their components: what is below one follows it.
        let next = self.written.range::<Path, _>((Included(path), Unbounded)).next();
        if next.is_none_or(|written| !written.starts_with(path)) {
            return remove(path);
        }
        if is_directory(path)? {
            for child in fs::read_dir(path)? {
                self.hide(&child?.path())?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, at: &Path, attributes: &Attributes) -> io::Result<()> {
        if !is_directory(at)? {
            remove(at)?;
            fs::create_dir(at)?;
        }
        self.dress(at, attributes)?;
        self.times.insert(at.to_owned(), attributes.modified);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        at: &Path,
        attributes: &Attributes,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), EntryError> {
        remove(at)?;
        // `create_new` is O_EXCL, which follows no link; nobody else reads it before its mode is set.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(at)?;
        let mut left = entry.size();
        while left > 0 {
            let most =
                usize::try_from(left).map_or(self.buffer.len(), |l| l.min(self.buffer.len()));
            let count = match entry.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(Fault::Cut.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            file.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        self.dress(at, attributes)?;
        rustix::fs::futimens(&file, &times(attributes.modified))?;
        Ok(())
    }

    fn symlink<R: Read>(
        &self,
        at: &Path,
        attributes: &Attributes,
        entry: &Entry<'_, R>,
    ) -> Result<(), EntryError> {
        let target = entry.link_name_bytes().ok_or(Fault::Link)?;
        remove(at)?;
        symlink(OsStr::from_bytes(&target), at)?;
        self.own(at, attributes)?;
        let times = times(attributes.modified);
        rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io::Error::from)?;
        Ok(())
    }

    fn hard_link<R: Read>(&self, at: &Path, entry: &Entry<'_, R>) -> Result<(), EntryError> {
        let target = relative(&entry.link_name_bytes().ok_or(Fault::Link)?)?;
        let target = locate(self.root, &target)?;
        if !fs::symlink_metadata(&target).is_ok_and(|found| !found.is_dir()) {
            return Err(Fault::Link.into());
        }
        if target != at {
            remove(at)?;
            fs::hard_link(&target, at)?;
        }
        Ok(())
    }

    /// Sets owner, mode and extended attributes of a file or directory. In this order: a change of owner
    /// takes set-user-ID bits and capabilities away.
    fn dress(&self, at: &Path, attributes: &Attributes) -> io::Result<()> {
        self.own(at, attributes)?;
        fs::set_permissions(at, PermissionsExt::from_mode(attributes.mode))?;
        for (name, value) in &attributes.extended {
            attributes::set(at, name, value, self.owners)?;
        }
        Ok(())
    }

    fn own(&self, at: &Path, attributes: &Attributes) -> io::Result<()> {
        if !self.owners {
            return Ok(());
        }
        // The one number that is no owner but means "leave it".
        if attributes.uid == u32::MAX || attributes.gid == u32::MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        Ok(rustix::fs::chownat(CWD, at, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn finish(self) -> Result<(), RootError> {
        for (path, modified) in self.times {
            // A later layer may have put something else in its place.
            if is_directory(&path).is_ok_and(|is| is) {
                let times = times(modified);
                rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(
                    |error| RootError::Io { act: "set the time of", path, source: error.into() },
                )?;
            }
        }
        Ok(())
    }
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

/// Whether a directory is at `path`, and no link to one.
fn is_directory(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes whatever is at `path`; there need be nothing.
fn remove(path: &Path) -> io::Result<()> {
    let removed =
        if is_directory(path)? { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Why an entry is not unpacked, before it has its name.
#[derive(Debug)]
enum EntryError {
    Fault(Fault),
    Io(io::Error),
}

impl From<Fault> for EntryError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for EntryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for EntryError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}
