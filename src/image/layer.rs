//! [`Layer`]: a tar whose bytes are a function of the files in it.
//!
//! Regular files only, sorted by path unless the caller has an order to keep; mode 0644, user and
//! group 0 without names, one fixed time. Where each file's bytes stand is known before anything is
//! written.

use std::fs;
use std::io::{self, Read, Write};

use serde_json::json;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::layout::canonical_json;
use crate::vocab::digest::{Digest, Hasher};
use crate::vocab::safe_path::SafePath;

use super::error::{ImageError, io_error};
use super::ustar::{BLOCK, Header, ZEROS};

/// Part of a layer's recipe: changes whenever equal members would be other bytes than before.
const FORMAT: u32 = 1;

/// A file in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path.
    pub path: SafePath,
    /// Its bytes.
    pub content: Content,
}

/// The bytes of a [`Member`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A blob of the store.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// These.
    Bytes(Vec<u8>),
}

impl Member {
    /// The number of its bytes.
    #[must_use]
    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::Blob { size, .. } => *size,
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        match &self.content {
            Content::Blob { digest, .. } => *digest,
            Content::Bytes(bytes) => Digest::of(bytes),
        }
    }

    /// What precedes its bytes in a tar, a multiple of 512 bytes.
    fn header(&self, epoch: u64) -> Vec<u8> {
        Header::file(&self.path, self.size(), epoch).to_bytes()
    }
}

/// A deterministic tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    members: Vec<Member>,
    epoch: u64,
}

impl Layer {
    /// A layer of `members`, sorted by path, all of the time `epoch` in seconds since 1970.
    #[must_use]
    pub(super) fn sorted(mut members: Vec<Member>, epoch: u64) -> Self {
        members.sort_by(|a, b| a.path.cmp(&b.path));
        Self { members, epoch }
    }

    /// A tar of `members` in the order they come.
    #[must_use]
    pub(super) fn ordered(members: Vec<Member>, epoch: u64) -> Self {
        Self { members, epoch }
    }

    /// The files in it, in their order.
    #[must_use]
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where the bytes of each member begin, in the order of the members.
    #[must_use]
    pub(super) fn offsets(&self) -> Vec<u64> {
        self.parts().into_iter().map(|part| part.offset).collect()
    }

    /// The size of the tar in bytes.
    #[must_use]
    pub(super) fn size(&self) -> u64 {
        let last = self.parts().pop();
        last.map_or(0, |part| part.offset + part.member.size().next_multiple_of(BLOCK)) + 2 * BLOCK
    }

    /// The bytes of all members.
    #[must_use]
    pub(super) fn content_size(&self) -> u64 {
        self.members.iter().map(Member::size).sum()
    }

    /// The tar piece by piece; zeros are all that is between and after them.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let mut at = 0;
        self.members
            .iter()
            .map(|member| {
                let header = member.header(self.epoch);
                let offset = at + header.len() as u64;
                at = offset + member.size().next_multiple_of(BLOCK);
                Part { member, header, offset }
            })
            .collect()
    }

    /// A digest of all that the tar's bytes depend on. Equal recipes are equal layers.
    #[must_use]
    pub(super) fn recipe(&self) -> Digest {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.path.as_str(), member.digest(), member.size()))
            .collect();
        Digest::of(&canonical_json(
            &json!({ "format": FORMAT, "epoch": self.epoch, "members": members }),
        ))
    }

    /// Writes the tar to `out`, whose errors are worded by `refused`. Each blob is checked on the way.
    ///
    /// # Errors
    /// [`ImageError::Store`] when a blob is gone or damaged, [`ImageError::Io`] when one cannot be read, and what
    /// `refused` makes of an error of `out`.
    pub(super) fn write_to(
        &self,
        store: &Store,
        out: &mut dyn Write,
        refused: &dyn Fn(io::Error) -> ImageError,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        self.write_with(out, refused, progress, &mut |digest, size, out| {
            copy_blob(store, digest, size, out, refused, progress)
        })
    }

    /// Writes the tar to `out` as [`Layer::write_to`] does, for one who knows the tar's digest and
    /// holds it against that: blobs are taken as they are.
    ///
    /// # Errors
    /// As for [`Layer::write_to`], but for damaged blobs.
    pub(super) fn pour(
        &self,
        store: &Store,
        out: &mut dyn Write,
        refused: &dyn Fn(io::Error) -> ImageError,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        self.write_with(out, refused, progress, &mut |digest, size, out| {
            read_blob(store, digest, size, &mut |bytes| {
                out.write_all(bytes).map_err(refused)?;
                progress(bytes.len() as u64);
                Ok(())
            })
        })
    }

    /// Holds every blob against its digest.
    ///
    /// # Errors
    /// [`ImageError::Store`] naming the first that is gone or damaged, [`ImageError::Io`].
    pub(super) fn check(&self, store: &Store) -> Result<(), ImageError> {
        let refused = |error| io_error("write", store.root())(error);
        self.write_to(store, &mut io::sink(), &refused, &|_| {})
    }

    /// Writes the tar, whose blobs `blob` writes.
    fn write_with(
        &self,
        out: &mut dyn Write,
        refused: &dyn Fn(io::Error) -> ImageError,
        progress: &(dyn Fn(u64) + Sync),
        blob: WriteBlob<'_>,
    ) -> Result<(), ImageError> {
        for member in &self.members {
            out.write_all(&member.header(self.epoch)).map_err(refused)?;
            match &member.content {
                Content::Bytes(bytes) => {
                    out.write_all(bytes).map_err(refused)?;
                    progress(bytes.len() as u64);
                }
                Content::Blob { digest, size } => blob(digest, *size, out)?,
            }
            let padding = member.size().next_multiple_of(BLOCK) - member.size();
            out.write_all(&ZEROS[..padding as usize]).map_err(refused)?;
        }
        out.write_all(&ZEROS).map_err(refused)
    }
}

/// Writes the blob of this digest and size.
type WriteBlob<'a> = &'a mut dyn FnMut(&Digest, u64, &mut dyn Write) -> Result<(), ImageError>;

/// A member and its place in a tar.
pub(super) struct Part<'a> {
    /// The member.
    pub(super) member: &'a Member,
    /// What directly precedes its bytes.
    pub(super) header: Vec<u8>,
    /// Where its bytes begin.
    pub(super) offset: u64,
}

/// Copies a blob of `size` bytes to `out` and checks it on the way: what is written never has another
/// size, and damage is found before the result gets its name.
pub(super) fn copy_blob(
    store: &Store,
    digest: &Digest,
    size: u64,
    out: &mut dyn Write,
    refused: &dyn Fn(io::Error) -> ImageError,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), ImageError> {
    let mut hasher = Hasher::new();
    read_blob(store, digest, size, &mut |bytes| {
        hasher.update(bytes);
        out.write_all(bytes).map_err(refused)?;
        progress(bytes.len() as u64);
        Ok(())
    })?;
    let (found, _) = hasher.finish();
    if found == *digest {
        Ok(())
    } else {
        Err(StoreError::Damaged { digest: *digest, found }.into())
    }
}

/// Hands the bytes of a blob, which has `size` of them or is none, to `take`.
fn read_blob(
    store: &Store,
    digest: &Digest,
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let path = store.path(digest);
    if store.size(digest) != Some(size) {
        return Err(store.layout().no_such_blob(digest).into());
    }
    let mut file = fs::File::open(&path).map_err(io_error("read", &path))?.take(size);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => take(&buffer[..result.map_err(io_error("read", &path))?])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::safe;
    use super::*;

    fn bytes(path: &str, bytes: &[u8]) -> Member {
        Member { path: safe(path), content: Content::Bytes(bytes.to_vec()) }
    }

    fn written(layer: &Layer, store: &Store) -> Vec<u8> {
        let mut out = Vec::new();
        layer.write_to(store, &mut out, &|error| panic!("{error}"), &|_| {}).unwrap();
        out
    }

    #[test]
    fn a_layer_is_read_as_it_was_meant() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put(b"wheel").unwrap();
        let long = format!("{}.whl", "n".repeat(150));
        let members = vec![
            bytes(&long, b"long"),
            bytes(".loci/index.json", b"{}"),
            Member { path: safe("a.whl"), content: Content::Blob { digest, size: 5 } },
            bytes("empty", b""),
        ];
        let layer = Layer::sorted(members.clone(), 7);
        let tar = written(&layer, &store);
        assert_eq!(tar.len() as u64, layer.size());
        let mut archive = tar::Archive::new(&tar[..]);
        let mut seen = Vec::new();
        for (entry, offset) in archive.entries().unwrap().zip(layer.offsets()) {
            let mut entry = entry.unwrap();
            assert_eq!(entry.raw_file_position(), offset);
            assert_eq!(entry.header().mtime().unwrap(), 7);
            assert_eq!(entry.header().mode().unwrap(), 0o644);
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            seen.push((entry.path().unwrap().to_str().unwrap().to_owned(), text));
        }
        let expected =
            [(".loci/index.json", "{}"), ("a.whl", "wheel"), ("empty", ""), (&long, "long")];
        assert_eq!(seen, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));

        let again = Layer::sorted(members.into_iter().rev().collect(), 7);
        assert_eq!((again.recipe(), written(&again, &store)), (layer.recipe(), tar));
    }

    #[test]
    fn damage_in_the_store_is_not_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put(b"wheel").unwrap();
        let member = Member { path: safe("a.whl"), content: Content::Blob { digest, size: 5 } };
        let layer = Layer::sorted(vec![member], 0);
        let try_it =
            || layer.write_to(&store, &mut io::sink(), &|error| panic!("{error}"), &|_| {});
        fs::write(store.path(&digest), b"wheeL").unwrap();
        assert!(matches!(try_it(), Err(ImageError::Store(StoreError::Damaged { .. }))));
        fs::write(store.path(&digest), b"whee").unwrap();
        assert!(matches!(try_it(), Err(ImageError::Store(StoreError::NoSuchBlob { .. }))));
    }

    #[test]
    fn sizes_beyond_ustar_are_pax_records() {
        let digest = Digest::of(b"");
        let size = (1 << 33) + 5;
        let member = Member { path: safe("big"), content: Content::Blob { digest, size } };
        let header = member.header(0);
        assert_eq!(header.len(), 1536);
        let text = String::from_utf8_lossy(&header[512..1024]).into_owned();
        assert!(text.starts_with("19 size=8589934597\n"), "{text}");
        assert_eq!(Layer::sorted(vec![member], 0).offsets(), [1536]);
    }
}
