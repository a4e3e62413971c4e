//! [`Difference::write_layer`]: a difference as the bytes of a layer.
//!
//! An uncompressed tar (OCI image layer specification), whose bytes depend on the files alone: one time for
//! all, owners by number, no names of users, PAX records only for what ustar cannot say.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::attributes;
use super::difference::{Difference, How};
use super::error::{RootError, io_error};
use super::snapshot::{Kind, Seen};
use super::unpack::WHITEOUT;

/// Everything in a tar is a multiple of this, in bytes.
const BLOCK: usize = 512;
/// The first size ustar's eleven octal digits cannot say.
const USTAR_SIZE: u64 = 1 << 33;
/// The first owner ustar's seven octal digits cannot say.
const USTAR_ID: u64 = 1 << 21;
/// What ustar has room for of a name, in bytes.
const USTAR_NAME: usize = 100;

impl Difference {
    /// Writes what is different in `root` to `out` as a layer, in which everything is of the time `epoch`, in
    /// seconds since 1970. The directories in which something is are there, too: an engine that unpacks each layer
    /// by itself makes those that are not with attributes of its own.
    ///
    /// # Errors
    /// [`RootError::Io`] when a file cannot be read or changes meanwhile, [`RootError::Name`] when one is called
    /// as a whiteout is, [`RootError::Out`] when `out` takes no more.
    pub fn write_layer(
        &self,
        root: &Path,
        epoch: u64,
        out: &mut dyn Write,
    ) -> Result<(), RootError> {
        let mut layer = LayerWriter {
            epoch,
            out,
            made: HashSet::new(),
            links: HashMap::new(),
            buffer: vec![0; 128 * 1024],
        };
        for change in self.changes() {
            layer.parents(root, change.path())?;
            match change.how() {
                How::Removed => layer.whiteout(change.path())?,
                How::Added | How::Changed => layer.path(root, change.path())?,
            }
        }
        layer.write(&[0; 2 * BLOCK])
    }
}

struct LayerWriter<'a> {
    epoch: u64,
    out: &'a mut dyn Write,
    /// Directories that are written already.
    made: HashSet<PathBuf>,
    /// Files with several names, by device and inode, and the name that is written already.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl LayerWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), RootError> {
        self.out.write_all(bytes).map_err(|source| RootError::Out { source })
    }

    fn parents(&mut self, root: &Path, path: &Path) -> Result<(), RootError> {
        let is_new = |above: &&Path| !above.as_os_str().is_empty() && !self.made.contains(*above);
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(is_new).collect();
        missing.into_iter().rev().try_for_each(|above| self.path(root, above))
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), RootError> {
        let mut name = path.parent().map_or(Vec::new(), |p| p.as_os_str().as_bytes().to_vec());
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend(WHITEOUT);
        name.extend(path.file_name().map_or(&b""[..], OsStrExt::as_bytes));
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        let entry = Entry { name: &name, link: b"", size: 0, uid: 0, gid: 0, extended: Vec::new() };
        let bytes = entry.header(header, self.epoch);
        self.write(&bytes)
    }

    fn path(&mut self, root: &Path, path: &Path) -> Result<(), RootError> {
        let at = root.join(path);
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(WHITEOUT)) {
            return Err(RootError::Name { path: path.to_owned() });
        }
        let metadata = fs::symlink_metadata(&at).map_err(io_error("look at", &at))?;
        let Seen { kind, mode, owner: (uid, gid), .. } = Seen::of(&metadata);
        let mut name = path.as_os_str().as_bytes().to_vec();
        let mut header = Header::new_ustar();
        header.set_mode(mode);
        let mut link = Vec::new();
        let mut size = 0;
        match kind {
            Kind::Other => return Ok(()),
            Kind::Directory => {
                self.made.insert(path.to_owned());
                name.push(b'/');
                header.set_entry_type(EntryType::Directory);
            }
            Kind::Link => {
                let target = fs::read_link(&at).map_err(io_error("read", &at))?;
                link = target.into_os_string().into_encoded_bytes();
                header.set_entry_type(EntryType::Symlink);
            }
            Kind::File => match self.other_name(&metadata, &name) {
                Some(first) => {
                    link = first;
                    header.set_entry_type(EntryType::Link);
                }
                None => {
                    size = metadata.size();
                    header.set_entry_type(EntryType::Regular);
                }
            },
        }
        let extended = match header.entry_type() {
            EntryType::Symlink | EntryType::Link => Vec::new(),
            _ => attributes::of(&at).map_err(io_error("read the attributes of", &at))?,
        };
        let (uid, gid) = (uid.into(), gid.into());
        let entry = Entry { name: &name, link: &link, size, uid, gid, extended };
        let bytes = entry.header(header, self.epoch);
        self.write(&bytes)?;
        if size > 0 { self.content(&at, size) } else { Ok(()) }
    }

    /// The name under which the layer has this file already, when it has several.
    fn other_name(&mut self, metadata: &Metadata, name: &[u8]) -> Option<Vec<u8>> {
        if metadata.nlink() < 2 {
            return None;
        }
        let id = (metadata.dev(), metadata.ino());
        if let Some(first) = self.links.get(&id) {
            return Some(first.clone());
        }
        self.links.insert(id, name.to_owned());
        None
    }

    fn content(&mut self, at: &Path, size: u64) -> Result<(), RootError> {
        let mut file = File::open(at).map_err(io_error("read", at))?;
        let mut left = size;
        while left > 0 {
            let most =
                usize::try_from(left).map_or(self.buffer.len(), |l| l.min(self.buffer.len()));
            let count = match file.read(&mut self.buffer[..most]) {
                Ok(0) => Err(io::Error::other("it has become shorter meanwhile")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            let count = count.map_err(io_error("read", at))?;
            self.out
                .write_all(&self.buffer[..count])
                .map_err(|source| RootError::Out { source })?;
            left -= count as u64;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.write(&[0; BLOCK][..padding as usize])
    }
}

/// What ustar may have no room for.
struct Entry<'a> {
    name: &'a [u8],
    link: &'a [u8],
    size: u64,
    uid: u64,
    gid: u64,
    extended: Vec<(String, Vec<u8>)>,
}

impl Entry<'_> {
    /// All that precedes the content: `header` with the rest filled in, after the records it needs.
    fn header(&self, mut header: Header, epoch: u64) -> Vec<u8> {
        let mut records: Vec<(String, &[u8])> = Vec::new();
        for (name, value) in &self.extended {
            records.push((format!("{}{name}", attributes::PAX_PREFIX), value));
        }
        for (key, name) in [("linkpath", self.link), ("path", self.name)] {
            if name.len() > USTAR_NAME || !name.is_ascii() {
                records.push((key.to_owned(), name));
            }
        }
        let numbers = [
            ("gid", self.gid, USTAR_ID),
            ("size", self.size, USTAR_SIZE),
            ("uid", self.uid, USTAR_ID),
        ];
        let texts = numbers.map(|(_, number, _)| number.to_string());
        for ((key, number, limit), text) in numbers.into_iter().zip(&texts) {
            if number >= limit {
                records.push((key.to_owned(), text.as_bytes()));
            }
        }
        // In a fixed order, whatever made them needed.
        records.sort();

        let mut bytes = Vec::new();
        if !records.is_empty() {
            let mut builder = Builder::new(&mut bytes);
            let records = records.iter().map(|(key, value)| (key.as_str(), *value));
            builder.append_pax_extensions(records).expect("a Vec takes all bytes");
            drop(builder);
            // Its end of an archive: this one goes on.
            bytes.truncate(bytes.len() - 2 * BLOCK);
        }
        let fields = header.as_old_mut();
        let length = self.name.len().min(USTAR_NAME);
        fields.name[..length].copy_from_slice(&self.name[..length]);
        let length = self.link.len().min(USTAR_NAME);
        fields.linkname[..length].copy_from_slice(&self.link[..length]);
        // Where there is a record, these only have to be readable.
        let within = |number: u64, limit: u64| if number < limit { number } else { 0 };
        header.set_uid(within(self.uid, USTAR_ID));
        header.set_gid(within(self.gid, USTAR_ID));
        header.set_size(within(self.size, USTAR_SIZE));
        header.set_mtime(epoch);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes
    }
}
