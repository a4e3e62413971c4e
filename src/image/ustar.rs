//! [`Header`]: what precedes an entry's bytes in a tar, as a function of what it says.
//!
//! POSIX ustar, with numbers for users and groups and no names; a PAX record is written only for what
//! ustar cannot say (a path or a link's target over 100 bytes or not in ASCII, a size of 8 GiB or
//! more, an id over seven octal digits).

use tar::EntryType;

use crate::vocab::safe_path::SafePath;

/// Everything in a tar is a multiple of this, in bytes.
pub(super) const BLOCK: u64 = 512;
/// What ends a tar, and a part of what fills blocks.
pub(super) const ZEROS: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];
/// The first size ustar's eleven octal digits cannot say.
const USTAR_SIZE: u64 = 1 << 33;
/// The first id ustar's seven octal digits cannot say.
const USTAR_ID: u32 = 1 << 21;

/// An entry of a tar, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    /// Its path; that of a directory gets a `/` at its end.
    pub(super) path: &'a str,
    /// What it is.
    pub(super) kind: EntryType,
    /// Permission bits.
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: (u32, u32),
    /// The number of its bytes.
    pub(super) size: u64,
    /// Where a link leads; empty for all else.
    pub(super) target: &'a str,
    /// Its time, in seconds since 1970.
    pub(super) epoch: u64,
}

impl<'a> Header<'a> {
    /// A regular file of mode 0644 that is root's.
    pub(super) fn file(path: &'a SafePath, size: u64, epoch: u64) -> Self {
        Self {
            path: path.as_str(),
            kind: EntryType::Regular,
            mode: 0o644,
            owner: (0, 0),
            size,
            target: "",
            epoch,
        }
    }

    /// The header in bytes, a multiple of 512.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let directory;
        let name = if self.kind == EntryType::Directory {
            directory = format!("{}/", self.path);
            &directory
        } else {
            self.path
        };
        let mut pax = Vec::new();
        for (key, text) in [("path", name), ("linkpath", self.target)] {
            if text.len() > 100 || !text.is_ascii() {
                pax_record(&mut pax, key, text);
            }
        }
        if self.size >= USTAR_SIZE {
            pax_record(&mut pax, "size", &self.size.to_string());
        }
        for (key, id) in [("uid", self.owner.0), ("gid", self.owner.1)] {
            if id >= USTAR_ID {
                pax_record(&mut pax, key, &id.to_string());
            }
        }
        let mut out = Vec::new();
        if !pax.is_empty() {
            let last = self.path.rsplit('/').next().unwrap_or(self.path);
            let name = format!("PaxHeaders/{last}");
            let header = Header {
                path: &name,
                kind: EntryType::XHeader,
                mode: 0o644,
                owner: (0, 0),
                size: pax.len() as u64,
                target: "",
                epoch: self.epoch,
            };
            out.extend(header.ustar(&name));
            out.extend(&pax);
            out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        }
        out.extend(self.ustar(name));
        out
    }

    fn ustar(self, name: &str) -> [u8; BLOCK as usize] {
        let mut header = tar::Header::new_ustar();
        copy_start(&mut header.as_old_mut().name, name);
        copy_start(&mut header.as_old_mut().linkname, self.target);
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        // Where there is a PAX record, these only have to be readable.
        let id = |id: u32| u64::from(if id < USTAR_ID { id } else { 0 });
        header.set_uid(id(self.owner.0));
        header.set_gid(id(self.owner.1));
        header.set_size(if self.size < USTAR_SIZE { self.size } else { 0 });
        header.set_mtime(self.epoch);
        header.set_cksum();
        *header.as_bytes()
    }
}

fn copy_start(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts its own digits (pax(1), "pax Extended
/// Header").
fn pax_record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(format!("{length} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pax_lengths_count_themselves(value in "[a-z]{0,1200}") {
            let mut out = Vec::new();
            pax_record(&mut out, "path", &value);
            let text = String::from_utf8(out).unwrap();
            let (length, _) = text.split_once(' ').unwrap();
            prop_assert_eq!(length.parse(), Ok(text.len()));
        }

        #[test]
        fn a_reader_of_tars_reads_what_was_meant(
            path in "[a-zé]{1,60}(/[a-z.]{1,70}x){0,2}",
            target in "[a-zé/]{1,130}",
            mode in 0_u32..0o1_0000,
            uid in any::<u32>(),
            gid in any::<u32>(),
            kind in 0_usize..3,
        ) {
            let kind = [EntryType::Regular, EntryType::Directory, EntryType::Symlink][kind];
            let target = if kind == EntryType::Symlink { target } else { String::new() };
            let header =
                Header { path: &path, kind, mode, owner: (uid, gid), size: 0, target: &target, epoch: 9 };
            let mut bytes = header.to_bytes();
            bytes.extend(ZEROS);
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut entries = archive.entries().unwrap();
            let mut entry = entries.next().unwrap().unwrap();
            let read = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            prop_assert_eq!(read, path);
            if kind == EntryType::Symlink {
                let link = entry.link_name().unwrap().unwrap();
                prop_assert_eq!(link.to_str().unwrap(), target);
            }
            let mut ids = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
            if let Some(records) = entry.pax_extensions().unwrap() {
                for record in records {
                    let record = record.unwrap();
                    let value = record.value().unwrap().parse();
                    match record.key().unwrap() {
                        "uid" => ids.0 = value.unwrap(),
                        "gid" => ids.1 = value.unwrap(),
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(ids, (u64::from(uid), u64::from(gid)));
            prop_assert_eq!(entry.header().mode().unwrap(), mode);
            prop_assert_eq!(entry.header().entry_type(), kind);
            prop_assert_eq!(entry.header().mtime().unwrap(), 9);
        }
    }
}
