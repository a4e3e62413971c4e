//! What the tests of this module share: wheels made in code, opened and installed in a scratch directory.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::WheelArchive;
use super::error::WheelError;
use super::file::WheelFile;
use super::scheme::Scheme;
use super::tree::{Content, InstallOptions, InstallTree, Sink, TreeEntry};
use crate::support::wheel::WheelMaker;

/// The wheel of `bytes`, opened as `filename`.
pub(super) fn open_bytes(bytes: &[u8], filename: &str) -> Result<WheelArchive, WheelError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wheel");
    fs_err::write(&path, bytes).unwrap();
    // The open file outlives its directory.
    WheelArchive::open(WheelFile::open(&path).unwrap(), &filename.parse().unwrap())
}

pub(super) fn open(maker: &WheelMaker) -> Result<WheelArchive, WheelError> {
    open_bytes(&maker.bytes(), &maker.filename())
}

/// The wheel's installation below `/env` for Python 3.11, as `loci` and not requested.
pub(super) fn plan(maker: &WheelMaker) -> Result<InstallTree, WheelError> {
    let options = InstallOptions { requested: false, direct_url: None, installer: "loci" };
    InstallTree::plan(&open(maker)?, &Scheme::for_python(11, Path::new("/env")), &options)
}

/// Keeps what is written: mode and bytes (or the link's target) by path.
#[derive(Default)]
pub(super) struct Kept(pub(super) BTreeMap<String, (u32, Vec<u8>)>);

impl Sink for Kept {
    fn entry(&mut self, entry: &TreeEntry, bytes: &[u8]) -> std::io::Result<()> {
        let bytes = match &entry.content {
            Content::Symlink(target) => target.as_bytes(),
            _ => bytes,
        };
        self.0.insert(entry.path.to_string(), (entry.mode, bytes.to_vec()));
        Ok(())
    }
}

impl Kept {
    pub(super) fn text(&self, path: &str) -> String {
        String::from_utf8(self.0[path].1.clone()).unwrap()
    }
}

pub(super) fn install(maker: &WheelMaker) -> Result<Kept, WheelError> {
    let mut kept = Kept::default();
    plan(maker)?.emit(&mut kept)?;
    Ok(kept)
}

/// The messages of an error and its sources, joined.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// `bytes` with every `from` made `to`, which is as long.
pub(super) fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    assert!(bytes.windows(from.len()).any(|window| window == from));
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}
