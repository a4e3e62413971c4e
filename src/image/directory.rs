//! `dir:DIR`: a set as a directory, for `pip --find-links` and people.
//!
//! Files are copied, never linked: who edits a wheel in the directory must not edit the store's. What is
//! there already with the right bytes stays. `DIR/.loci/index.json` says which wheels are ours: of those,
//! the ones the set has no longer are removed; any other wheel is left and reported.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use rayon::prelude::*;

use crate::store::Store;
use crate::store::file::{TMP_PREFIX, keep, temporary_in};
use crate::store::set::{SetWheel, WheelSet};
use crate::wheel::file::WheelFile;

use super::error::{ImageError, io_error};
use super::index_json::{IndexedWheel, WheelIndex};
use super::layer::{Content, Member, copy_blob};
use super::{Earlier, INDEX, WriteOptions, Written, claim, index_member, texts};

/// Writes `set` into the directory `dir`, file by file, each whole or not at all.
///
/// # Errors
/// Those of [`write`](super::write).
pub(super) fn write(
    set: &WheelSet,
    store: &Store,
    dir: &Path,
    options: &WriteOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Written, ImageError> {
    let mut index = WheelIndex::of(set, store)?;
    let folder = dir.join(".loci");
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    let _claim = claim(dir, TMP_PREFIX)?;
    let mut earlier = fs::read(dir.join(INDEX))
        .ok()
        .and_then(|bytes| WheelIndex::parse(&bytes).ok())
        .map_or_else(Vec::new, |index| index.wheels);
    if options.earlier == Earlier::Keep {
        index.add(earlier.extract_if(.., |wheel| dir.join(wheel.filename.as_str()).is_file()));
    }

    let mut written = Written::default();
    let counts = set
        .wheels
        .par_iter()
        .map(|wheel| write_wheel(wheel, store, dir, progress))
        .collect::<Result<Vec<_>, _>>()?;
    for (bytes, unchanged) in counts {
        written.bytes += bytes;
        written.unchanged += unchanged;
    }
    for text in texts(set, &index, options) {
        write_text(&text, dir, &mut written)?;
    }
    clear(&index, dir, &earlier, &mut written)?;
    // Last, so that wheels are ours from the moment the index says so until they are removed.
    write_text(&index_member(&index), dir, &mut written)?;
    Ok(written)
}

/// Writes a wheel unless it is there; gives the bytes written and those left.
fn write_wheel(
    wheel: &SetWheel,
    store: &Store,
    dir: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(u64, u64), ImageError> {
    let path = dir.join(wheel.filename.as_str());
    // A link, even to the right bytes, is replaced by a file.
    let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let there = is_file
        && WheelFile::open(&path).is_ok_and(|file| {
            file.len() == wheel.size && file.digest().is_ok_and(|digest| digest == wheel.digest)
        });
    if there {
        progress(wheel.size);
        return Ok((0, wheel.size));
    }
    let mut file = temporary_in(dir, TMP_PREFIX)?;
    let refused = |error| io_error("write", &path)(error);
    let out = file.as_file_mut();
    copy_blob(store, &wheel.digest, wheel.size, out, &refused, progress)?;
    keep(file, &path)?;
    Ok((wheel.size, 0))
}

fn write_text(member: &Member, dir: &Path, written: &mut Written) -> Result<(), ImageError> {
    let Content::Bytes(bytes) = &member.content else { return Ok(()) };
    let path = member.path.under(dir);
    if fs::read(&path).is_ok_and(|there| there == *bytes) {
        written.unchanged += bytes.len() as u64;
        return Ok(());
    }
    let mut file = temporary_in(dir, TMP_PREFIX)?;
    file.write_all(bytes).map_err(io_error("write", &path))?;
    keep(file, &path)?;
    written.bytes += bytes.len() as u64;
    Ok(())
}

/// Removes the wheels of the earlier set that the index does not have, and notes the others.
fn clear(
    index: &WheelIndex,
    dir: &Path,
    earlier: &[IndexedWheel],
    written: &mut Written,
) -> Result<(), ImageError> {
    let names = |wheels: &[IndexedWheel]| -> BTreeSet<String> {
        wheels.iter().map(|wheel| wheel.filename.to_string()).collect()
    };
    let (ours, earlier) = (names(&index.wheels), names(earlier));
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let entry = entry.map_err(io_error("list", dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.ends_with(".whl") || ours.contains(&name) {
            continue;
        }
        if earlier.contains(&name) {
            let path = entry.path();
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            written.removed.push(name);
        } else {
            written.strangers.push(name);
        }
    }
    written.removed.sort();
    written.strangers.sort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{options, set};
    use super::*;

    #[test]
    fn only_what_differs_is_written_and_only_ours_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("wheels");
        let mut set = set(&store);
        let first = write(&set, &store, &out, &options(), &|_| {}).unwrap();
        assert_eq!(first.unchanged, 0);
        let again = write(&set, &store, &out, &options(), &|_| {}).unwrap();
        assert_eq!((again.bytes, again.unchanged), (0, first.bytes));

        // A damaged wheel is mended, a link is replaced and not followed, a stranger is left.
        let six = set.wheels[0].filename.to_string();
        let large = set.wheels[1].filename.to_string();
        fs::write(out.join(&six), "damaged").unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(out.join(&large), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, out.join(&large)).unwrap();
        fs::write(out.join("stranger-1-py3-none-any.whl"), "").unwrap();
        let mended = write(&set, &store, &out, &options(), &|_| {}).unwrap();
        assert_eq!(mended.bytes, set.wheels[0].size + set.wheels[1].size);
        assert!(fs::symlink_metadata(out.join(&large)).unwrap().is_file());
        assert_eq!(mended.strangers, ["stranger-1-py3-none-any.whl"]);

        set.wheels.remove(0);
        let less = write(&set, &store, &out, &options(), &|_| {}).unwrap();
        assert_eq!(less.removed, std::slice::from_ref(&six));
        assert_eq!(less.strangers, ["stranger-1-py3-none-any.whl"]);
        assert!(!out.join(&six).exists());
    }
}
