//! Layers and trees for the tests of this folder.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// A layer that is written however bad it is; long names are GNU's.
pub(super) struct LayerMaker {
    tar: Builder<Vec<u8>>,
    owner: (u64, u64),
}

impl LayerMaker {
    pub(super) fn new() -> Self {
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { tar: Builder::new(Vec::new()), owner: (ids.0.into(), ids.1.into()) }
    }

    /// Who owns the entries that follow.
    pub(super) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// PAX records of the entry that follows.
    pub(super) fn records(mut self, records: &[(&str, &str)]) -> Self {
        let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
        self.tar.append_pax_extensions(records).unwrap();
        self
    }

    fn entry(mut self, name: &str, kind: EntryType, mode: u32, link: &str, content: &str) -> Self {
        for (text, kind) in [(name, EntryType::GNULongName), (link, EntryType::GNULongLink)] {
            if text.len() > 100 {
                let header = self.header("././@LongLink", kind, 0, text.len() + 1);
                let text = [text.as_bytes(), b"\0"].concat();
                self.tar.append(&header, &text[..]).unwrap();
            }
        }
        let mut header = self.header(name, kind, mode, content.len());
        header.set_link_name_literal(&link[..link.len().min(100)]).unwrap();
        header.set_cksum();
        self.tar.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn header(&self, name: &str, kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        let name = &name.as_bytes()[..name.len().min(100)];
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(size as u64);
        header.set_cksum();
        header
    }

    pub(super) fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(name, EntryType::Directory, mode, "", "")
    }

    pub(super) fn file(self, name: &str, mode: u32, content: &str) -> Self {
        self.entry(name, EntryType::Regular, mode, "", content)
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Symlink, 0o777, target, "")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Link, 0o644, target, "")
    }

    pub(super) fn fifo(self, name: &str) -> Self {
        self.entry(name, EntryType::Fifo, 0o644, "", "")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.tar.get_ref()[..], &[0; 1024]].concat()
    }
}

/// The files, directories and links below `root`, sorted: directories end in `/`, then mode and content, or a link's target.
pub(super) fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            let name = String::from_utf8_lossy(name);
            if meta.is_symlink() {
                found.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
            } else if meta.is_dir() {
                found.push(format!("{name}/ {mode:o}"));
                folders.push(path);
            } else if meta.is_file() {
                let content = fs::read(&path).unwrap();
                found.push(format!("{name} {mode:o} {}", String::from_utf8_lossy(&content)));
            }
        }
    }
    found.sort();
    found
}
