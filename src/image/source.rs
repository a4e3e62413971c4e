//! [`Source`]: the wheels of a directory, a tar, an image or a set in the store, and where each stands.
//!
//! Wheels are found at the root and deeper in tars and images, at the root only of a directory.
//! Nothing is unpacked. Out of compressed tars and layers, wheels are imported into the store. Of a set
//! that is elsewhere only the index is read, where it has one; its wheels come when they are
//! wanted (see [`bring`](super::bring)).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::store::Store;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS, WheelSet};
use crate::wheel::file::WheelFile;

use super::blob_source::BlobSource;
use super::error::{ImageError, io_error};
use super::index_json::WheelIndex;
use super::offered::{LocatedWheel, OfferedWheel};
use super::tar_contents::{Contents, Found, filename};
use super::{INDEX, tar_contents};

/// The wheels of a place.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The wheels, sorted by file name, no two of one name.
    pub wheels: Vec<OfferedWheel>,
    /// The text of its `upper-constraints.txt`.
    pub constraints: Option<String>,
    /// The text of its `global-requirements.txt`.
    pub global_requirements: Option<String>,
    /// Wheels that the index names and that are not there: those of other parts of an image.
    pub(super) lacking: Vec<String>,
    /// Keeps what was unpacked for the time being.
    pub(super) kept: Option<BlobSource>,
}

impl Source {
    /// The wheels of `set`, called `origin` in errors, which are in `store`.
    ///
    /// # Errors
    /// [`ImageError::Lacks`] naming one that is not, [`ImageError::Io`].
    pub fn of_set(set: &WheelSet, store: &Store, origin: &str) -> Result<Self, ImageError> {
        let wheels = set.wheels.iter().map(|wheel| {
            let path = store.path(&wheel.digest);
            if store.size(&wheel.digest) != Some(wheel.size) {
                return Err(ImageError::Lacks {
                    origin: origin.to_owned(),
                    wheel: wheel.filename.to_string(),
                });
            }
            let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
            let (filename, sha256) = (wheel.filename.clone(), Some(wheel.digest));
            let located = LocatedWheel { filename, file, sha256 };
            Ok(OfferedWheel { origin: Some(wheel.origin.clone()), ..located.into() })
        });
        Ok(Self {
            wheels: wheels.collect::<Result<_, _>>()?,
            constraints: Some(set.constraints.clone()),
            global_requirements: Some(set.global_requirements.clone()),
            lacking: Vec::new(),
            kept: None,
        })
    }
}

impl Source {
    /// The same, of a tar: every wheel of its index must be there.
    pub(super) fn with_all_of_its_index(self, origin: &str) -> Result<Self, ImageError> {
        match self.lacking.first() {
            None => Ok(self),
            Some(wheel) => Err(ImageError::Lacks { origin: origin.into(), wheel: wheel.clone() }),
        }
    }
}

pub(super) fn tar(path: &Path, store: &Store) -> Result<Source, ImageError> {
    let origin = path.display().to_string();
    // It says more of why there is no file than the next line would.
    fs::metadata(path).map_err(io_error("read", path))?;
    let file = WheelFile::open(path).map_err(io_error("read", path))?;
    from_contents(tar_contents::read(&file, &origin, store)?, &origin)?
        .with_all_of_its_index(&origin)
}

pub(super) fn directory(dir: &Path) -> Result<Source, ImageError> {
    let origin = dir.display().to_string();
    let mut source = Source::default();
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let entry = entry.map_err(io_error("list", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".whl") {
            continue;
        }
        let path = entry.path();
        let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
        let filename = filename(&name, &name, &origin)?;
        source.wheels.push(LocatedWheel { filename, file, sha256: None }.into());
    }
    let text = |name| fs::read(dir.join(name)).ok().map(text);
    source.constraints = text(CONSTRAINTS);
    source.global_requirements = text(GLOBAL_REQUIREMENTS);
    source.wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
    some_wheels(source, &origin)
}

/// Makes a source of what was found in an archive or an image, which may be a part of the one that its
/// index was written for.
pub(super) fn from_contents(mut contents: Contents, origin: &str) -> Result<Source, ImageError> {
    let index = index_of(&contents, origin)?;
    let mut wheels: BTreeMap<String, (String, OfferedWheel)> = BTreeMap::new();
    let constraints = contents.take_text(CONSTRAINTS).map(text);
    let global_requirements = contents.take_text(GLOBAL_REQUIREMENTS).map(text);
    for (path, Found { filename, file, sha256 }) in contents.wheels {
        let refuse = |fault: String| ImageError::Entry {
            origin: origin.to_owned(),
            entry: path.to_string(),
            fault,
        };
        let listed = index.as_ref().and_then(|index| index.get(&filename));
        if listed.is_some_and(|listed| listed.size != file.len()) {
            return Err(refuse(format!("is not of the size `{INDEX}` says")));
        }
        if let (Some(found), Some(listed)) = (sha256, listed)
            && found != listed.sha256
        {
            return Err(ImageError::Damaged {
                origin: origin.to_owned(),
                wheel: filename.to_string(),
                expected: listed.sha256,
                found,
            });
        }
        let sha256 = sha256.or(listed.map(|listed| listed.sha256));
        let located = LocatedWheel { filename, file, sha256 };
        let origin = listed.map(|listed| listed.origin.clone());
        let wheel = OfferedWheel { origin, ..located.into() };
        let name = wheel.filename.to_string();
        if let Some((other, _)) = wheels.insert(name, (path.to_string(), wheel)) {
            return Err(refuse(format!("is there again as `{other}`")));
        }
    }
    let listed = index.iter().flat_map(|index| &index.wheels);
    let lacking = listed.map(|wheel| wheel.filename.as_str());
    let lacking = lacking.filter(|name| !wheels.contains_key(*name)).map(str::to_owned).collect();
    let source = Source {
        lacking,
        wheels: wheels.into_values().map(|(_, wheel)| wheel).collect(),
        constraints,
        global_requirements,
        kept: None,
    };
    some_wheels(source, origin)
}

/// The wheel index among the contents.
pub(super) fn index_of(
    contents: &Contents,
    origin: &str,
) -> Result<Option<WheelIndex>, ImageError> {
    contents.files.get(INDEX).map(|bytes| parse_index(bytes, origin)).transpose()
}

/// The wheel index of `origin` in these bytes.
pub(super) fn parse_index(bytes: &[u8], origin: &str) -> Result<WheelIndex, ImageError> {
    WheelIndex::parse(bytes).map_err(|source| ImageError::Index { origin: origin.into(), source })
}

pub(super) fn some_wheels(source: Source, origin: &str) -> Result<Source, ImageError> {
    if source.wheels.is_empty() {
        let fault = "has no wheels in it".into();
        return Err(ImageError::Image { origin: origin.into(), fault });
    }
    Ok(source)
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::store::names::Tag;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use tar::EntryType;

    use super::super::reference::Reference;
    use super::super::testing::{open_now, set, write_now};
    use super::*;
    use crate::support::tar::odd_tar;
    use crate::vocab::digest::Digest;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        (dir, store)
    }

    fn open_bytes(
        bytes: &[u8],
        (dir, store): &(tempfile::TempDir, Store),
    ) -> Result<Source, String> {
        let path = dir.path().join("x.tar");
        fs::write(&path, bytes).unwrap();
        open_now(&Reference::Tar(path), store).map_err(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            text.replace(&format!("{}/", dir.path().display()), "")
        })
    }

    const FILE: EntryType = EntryType::Regular;
    const SIX: &str = "six-1-py3-none-any.whl";

    #[test]
    fn wheels_are_found_at_any_depth_and_the_rest_is_passed_over() {
        let tar = odd_tar(&[
            ("./", EntryType::Directory, b""),
            ("./deep/", EntryType::Directory, b""),
            ("./deep/six-1-py3-none-any.whl", FILE, b"six"),
            ("./upper-constraints.txt", FILE, b"six===1"),
            ("usr/lib/system-x\\x2dy.slice", FILE, b""),
            ("bin", EntryType::Symlink, b""),
            ("a-1-py3-none-any.whl", FILE, b"aa"),
        ]);
        let place = store();
        for bytes in [tar.clone(), gzip(&tar)] {
            let source = open_bytes(&bytes, &place).unwrap();
            let found: Vec<_> = source
                .wheels
                .iter()
                .map(|wheel| (wheel.filename.to_string(), wheel.file().unwrap().digest().unwrap()))
                .collect();
            assert_eq!(
                found,
                [
                    ("a-1-py3-none-any.whl".into(), Digest::of(b"aa")),
                    (SIX.into(), Digest::of(b"six")),
                ]
            );
            assert_eq!(source.constraints.as_deref(), Some("six===1"));
        }
    }

    #[test]
    fn hostile_tars_are_refused_by_the_name_of_the_entry() {
        let place = store();
        let case = |entries: &[(&str, EntryType, &[u8])], error: &str| {
            let tar = odd_tar(entries);
            assert_eq!(open_bytes(&tar, &place).unwrap_err(), error);
            assert_eq!(open_bytes(&gzip(&tar), &place).unwrap_err(), error);
        };
        case(&[("../x", FILE, b"")], "`x.tar`: `../x` climbs out with `..`");
        case(&[("/x", FILE, b"")], "`x.tar`: `/x` is an absolute path");
        case(
            &[(SIX, EntryType::Symlink, b"")],
            "`x.tar`: `six-1-py3-none-any.whl` is a link or another special file",
        );
        case(
            &[(SIX, EntryType::Link, b"")],
            "`x.tar`: `six-1-py3-none-any.whl` is a link or another special file",
        );
        case(
            &[(SIX, FILE, b""), ("./six-1-py3-none-any.whl", FILE, b"")],
            "`x.tar`: `./six-1-py3-none-any.whl` is there twice",
        );
        case(
            &[(SIX, FILE, b""), ("d/six-1-py3-none-any.whl", FILE, b"")],
            "`x.tar`: `six-1-py3-none-any.whl` is there again as `d/six-1-py3-none-any.whl`",
        );
        case(
            &[("six.whl", FILE, b"")],
            "`x.tar`: `six.whl` has not the name of a wheel: the wheel name `six.whl` does not have \
             five or six parts between hyphens",
        );
        case(&[("readme", FILE, b"")], "`x.tar` has no wheels in it");
        case(
            &[(".loci/index.json", FILE, b"{")],
            "`x.tar`: `.loci/index.json` cannot be read: EOF while parsing an object at line 1 \
             column 1",
        );
    }

    #[test]
    fn what_is_no_tar_is_said_to_be_none() {
        let place = store();
        for (bytes, end) in [
            (&b"<html>502 Bad Gateway</html>"[..], "is not a whole tar archive"),
            (b"", "has no wheels in it"),
            (b"\x28\xb5\x2f\xfd", "is not a whole tar archive"),
            (b"BZh9", "compressed with bzip2, which is not supported"),
            (b"\x1f\x8b garbage", "is not a whole tar archive"),
        ] {
            let error = open_bytes(bytes, &place).unwrap_err();
            assert!(error.contains(end), "{error}");
        }
        let whole = odd_tar(&[(SIX, FILE, &[1; 2000])]);
        for bytes in [&whole[..1000], &gzip(&whole)[..40]] {
            let error = open_bytes(bytes, &place).unwrap_err();
            assert!(error.contains("`x.tar` is not a whole tar archive"), "{error}");
        }
    }

    #[test]
    fn a_tar_that_ends_early_lacks_what_its_index_names() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let path = dir.path().join("x.tar");
        let set = set(&store);
        write_now(&set, &store, &Reference::Tar(path.clone())).unwrap();
        let bytes = fs::read(&path).unwrap();
        // The last wheel and its headers, of which one is PAX, go; what is left is a fine tar.
        let last = set.wheels[2].size.next_multiple_of(512) as usize + 3 * 512 + 1024;
        fs::write(&path, &bytes[..bytes.len() - last]).unwrap();
        let error = open_now(&Reference::Tar(path), &store).unwrap_err().to_string();
        assert!(error.contains("lacks the wheel `with_a_long_name"), "{error}");
    }

    #[test]
    fn a_damaged_or_compressed_image_is_noticed() {
        use crate::store::layout::Layout;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("image");
        let reference = Reference::Oci { dir: out.clone(), tag: None };
        let manifest = write_now(&set(&store), &store, &reference).unwrap().images.remove("");
        let layout = Layout::open(&out).unwrap();
        let text = String::from_utf8(layout.read(&manifest.unwrap()).unwrap()).unwrap();
        let last = text.rsplit("sha256:").next().unwrap();
        let metadata = Digest::from_hex(&last[..64]).unwrap();
        let mut bytes = layout.read(&metadata).unwrap();
        let at = bytes.windows(4).position(|window| window == b"six=").unwrap();
        bytes[at] = b'S';
        fs::write(layout.path(&metadata), bytes).unwrap();
        let error = open_now(&reference, &store).unwrap_err();
        assert!(matches!(error, ImageError::Layer { .. }), "{error}");
    }

    #[test]
    fn layers_are_stacked_with_their_whiteouts() {
        use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType};

        use crate::store::layout::Layout;
        use crate::store::set::sha256;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("image");
        let layout = Layout::create(&out).unwrap();
        let below = odd_tar(&[
            (SIX, FILE, b"old"),
            ("gone-1-py3-none-any.whl", FILE, b"x"),
            ("d/hidden-1-py3-none-any.whl", FILE, b"x"),
            ("e/gone-2-py3-none-any.whl", FILE, b"x"),
        ]);
        let above = odd_tar(&[
            (".wh.gone-1-py3-none-any.whl", FILE, b""),
            ("d/.wh..wh..opq", FILE, b""),
            (".wh.e", FILE, b""),
            (SIX, FILE, b"new"),
        ]);
        let layers: Vec<_> = [gzip(&below), above]
            .iter()
            .map(|bytes| {
                let digest = layout.put(bytes).unwrap();
                Descriptor::new(MediaType::ImageLayer, bytes.len() as u64, sha256(&digest))
            })
            .collect();
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .config(Descriptor::new(MediaType::ImageConfig, 2, sha256(&Digest::of(b"{}"))))
            .layers(layers)
            .build()
            .unwrap();
        let (digest, size) = layout.put_json(&manifest).unwrap();
        let descriptor = Descriptor::new(MediaType::ImageManifest, size, sha256(&digest));
        layout.name(&"only".parse().unwrap(), &descriptor).unwrap();
        let source = open_now(&Reference::Oci { dir: out, tag: None }, &store).unwrap();
        assert_eq!(source.wheels.len(), 1);
        assert_eq!(source.wheels[0].file().unwrap().digest().unwrap(), Digest::of(b"new"));
    }

    #[test]
    fn a_store_that_lost_a_wheel_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let set = set(&store);
        store.save_set(&Tag::default(), &set).unwrap();
        fs::remove_file(store.path(&set.wheels[0].digest)).unwrap();
        let error = open_now(&Reference::Store { tag: Tag::default() }, &store).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`store:latest` lacks the wheel `six-1.16.0-py3-none-any.whl` its index names"
        );
    }

    /// Whatever a tar was damaged into, it is read or refused; a wheel that is found has the bytes its
    /// window promises.
    #[test]
    fn damaged_tars_never_panic() {
        let place = store();
        let long = "n".repeat(80) + "-1-py3-none-any.whl";
        let whole = odd_tar(&[
            (SIX, FILE, &[1; 700]),
            ("PaxHeaders/x", EntryType::XHeader, b"19 size=0000000700\n"),
            (&long, FILE, &[2; 700]),
            ("upper-constraints.txt", FILE, b"six===1"),
        ]);
        let damage = (0..whole.len(), any::<u8>(), 0..=whole.len(), any::<bool>());
        let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
        let result = runner.run(&damage, |(at, byte, cut, zip)| {
            let mut tar = whole.clone();
            tar[at] = byte;
            tar.truncate(cut);
            let tar = if zip { gzip(&tar) } else { tar };
            if let Ok(source) = open_bytes(&tar, &place) {
                for wheel in source.wheels {
                    prop_assert!(wheel.file().unwrap().digest().is_ok());
                }
            }
            Ok(())
        });
        result.unwrap();
    }
}
