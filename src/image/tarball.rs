//! `tar:FILE`: a set as one uncompressed tar, the index first, for consumers by URL.
//!
//! Whoever reads the first bytes knows where each wheel stands in the rest.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;

use crate::store::Store;
use crate::store::file::{TMP_PREFIX, keep, temporary_in};
use crate::store::set::WheelSet;
use crate::wheel::file::WheelFile;

use super::error::{ImageError, io_error};
use super::index_json::WheelIndex;
use super::layer::{Content, Layer, Member};
use super::{WriteOptions, Written, claim, index_member, parent_of, safe, texts};

/// Writes `set` to the file at `path`, in place of what is there, once it is whole.
///
/// # Errors
/// Those of [`write`](super::write).
pub(super) fn write(
    set: &WheelSet,
    store: &Store,
    path: &Path,
    options: &WriteOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Written, ImageError> {
    // Renaming over a device or a pipe would put it out of the way.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
        return Err(ImageError::NotAFile { path: path.to_owned() });
    }
    let layer = tar_of(set, WheelIndex::of(set, store)?, options);
    let dir = parent_of(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let prefix = format!("{TMP_PREFIX}{name}-");
    let _claim = claim(dir, &prefix)?;
    if is_there(&layer, path).unwrap_or(false) {
        progress(layer.content_size());
        return Ok(Written { unchanged: layer.size(), ..Written::default() });
    }
    let mut file = temporary_in(dir, &prefix)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    let refused = |error| io_error("write", path)(error);
    layer.write_to(store, &mut out, &refused, progress)?;
    out.flush().map_err(refused)?;
    drop(out);
    keep(file, path)?;
    Ok(Written { bytes: layer.size(), ..Written::default() })
}

/// Whether the file at `path` is this very tar already. To hash what is there takes all threads and
/// no writing; to write it again would take one and a sync.
fn is_there(layer: &Layer, path: &Path) -> io::Result<bool> {
    let size = layer.size();
    if fs::symlink_metadata(path)?.len() != size {
        return Ok(false);
    }
    let file = WheelFile::open(path)?;
    if file.len() != size {
        return Ok(false);
    }
    let mut end = 0;
    for part in layer.parts() {
        let mut gap = vec![0; (part.offset - end) as usize];
        file.read_at(end, &mut gap)?;
        // The padding of the part before, then this part's header.
        let padding = gap.len() - part.header.len();
        if gap[padding..] != part.header || gap[..padding].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        end = part.offset + part.member.size();
    }
    let mut rest = vec![0; (size - end) as usize];
    file.read_at(end, &mut rest)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Ok(false);
    }
    layer
        .parts()
        .into_par_iter()
        .map(|part| {
            let found = WheelFile::window(path, part.offset, part.member.size())?.digest()?;
            Ok(found == part.member.digest())
        })
        .try_reduce(|| true, |a, b| Ok(a && b))
}

/// The tar, with an index that says where the wheels stand in it. The index comes first, so the
/// places depend on its length and its length on the places: both only grow from one round to the
/// next, and digits are few, so they soon agree.
pub(super) fn tar_of(set: &WheelSet, mut index: WheelIndex, options: &WriteOptions) -> Layer {
    let mut wheels: Vec<_> = set.wheels.iter().collect();
    wheels.sort_by_key(|wheel| wheel.filename.as_str());
    let texts = texts(set, &index, options);
    loop {
        let mut members = vec![index_member(&index)];
        members.extend(texts.iter().cloned());
        let others = members.len();
        members.extend(wheels.iter().map(|wheel| Member {
            path: safe(wheel.filename.as_str()),
            content: Content::Blob { digest: wheel.digest, size: wheel.size },
        }));
        let layer = Layer::ordered(members, options.epoch);
        let before = index.clone();
        for (wheel, offset) in index.wheels.iter_mut().zip(&layer.offsets()[others..]) {
            wheel.offset = Some(*offset);
        }
        if index == before {
            return layer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{options, set};
    use super::*;

    #[test]
    fn the_index_comes_first_and_says_where_everything_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let path = dir.path().join("deep/wheels.tar");
        let set = set(&store);
        let written = write(&set, &store, &path, &options(), &|_| {}).unwrap();
        let bytes = fs_err::read(&path).unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        let again = write(&set, &store, &path, &options(), &|_| {}).unwrap();
        assert_eq!((again.bytes, again.unchanged), (0, written.bytes));

        let mut archive = tar::Archive::new(&bytes[..]);
        let mut names = Vec::new();
        let mut index = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().display().to_string());
            if names.len() == 1 {
                std::io::Read::read_to_end(&mut entry, &mut index).unwrap();
            }
        }
        assert_eq!(
            names[..6],
            [
                ".loci/index.json",
                "upper-constraints.txt",
                "global-requirements.txt",
                ".loci/pylock.toml",
                ".loci/sbom.cdx.json",
                "large-1-py3-none-any.whl",
            ]
        );
        let index = WheelIndex::parse(&index).unwrap();
        assert_eq!(index.wheels.len(), 3);
        for wheel in &index.wheels {
            let (at, size) = (wheel.offset.unwrap() as usize, wheel.size as usize);
            let there = crate::vocab::digest::Digest::of(&bytes[at..at + size]);
            assert_eq!(there, wheel.sha256, "{}", wheel.filename);
        }
        // A byte that changed anywhere makes it another file, which is written again.
        for at in [0, 600, index.wheels[0].offset.unwrap() as usize + 9, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            std::fs::write(&path, other).unwrap();
            assert_eq!(write(&set, &store, &path, &options(), &|_| {}).unwrap(), written, "{at}");
            assert!(std::fs::read(&path).unwrap() == bytes);
        }
        assert_eq!(index.wheels[1].requires_python.as_deref(), Some(">=2.7"));
        assert_eq!(index.wheels[1].requires_dist, ["typing ; python_full_version < '3'"]);
    }
}
