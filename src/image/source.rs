//! [`Source`]: the wheels of a directory, a tar, an image or a set in the store, read where they stand.
//!
//! Wheels are found at the root and deeper in tars and images, at the root only of a directory.
//! Nothing is unpacked. Out of compressed tars and layers, wheels are imported into the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::store::names::Tag;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS};
use crate::vocab::digest::Digest;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::file::WheelFile;

use super::INDEX;
use super::error::{ImageError, io_error};
use super::index_json::WheelIndex;
use super::tar_contents::{Contents, Found};
use super::{image_contents, tar_contents};

/// Where wheels are, on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory with wheels in it.
    Directory(PathBuf),
    /// A tar, plain or compressed with gzip.
    Tar(PathBuf),
    /// An image in an OCI image layout.
    OciLayout {
        /// The layout.
        dir: PathBuf,
        /// The image's name in it; none for the only one, else `latest`.
        tag: Option<Tag>,
    },
    /// A set in the store.
    Store {
        /// The set's name.
        tag: Tag,
    },
}

/// A wheel and where its bytes are.
#[derive(Debug, Clone)]
pub struct LocatedWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub file: WheelFile,
    /// The digest they should have, as far as the source says; they are not checked against it here.
    pub sha256: Option<Digest>,
}

/// The wheels of a [`Location`].
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The wheels, sorted by file name, no two of one name.
    pub wheels: Vec<LocatedWheel>,
    /// The text of its `upper-constraints.txt`.
    pub constraints: Option<String>,
    /// The text of its `global-requirements.txt`.
    pub global_requirements: Option<String>,
}

impl Source {
    /// Finds the wheels at `location`. `store` takes those that can't be read where they are.
    ///
    /// # Errors
    /// [`ImageError::Entry`] naming the entry that makes an archive unusable: a path that is absolute or
    /// climbs out, a wheel that is a link, stands there twice or has no wheel's name. The other variants
    /// of [`ImageError`] for what cannot be read, is not an image, or has no wheels at all.
    pub fn open(location: &Location, store: &Store) -> Result<Self, ImageError> {
        match location {
            Location::Directory(dir) => directory(dir),
            Location::Tar(file) => {
                let origin = file.display().to_string();
                from_contents(tar_contents::read(file, &origin, store)?, &origin, true)
            }
            Location::OciLayout { dir, tag } => {
                let origin = match tag {
                    Some(tag) => format!("oci:{}:{tag}", dir.display()),
                    None => format!("oci:{}", dir.display()),
                };
                let contents = image_contents::read(dir, tag.as_ref(), &origin, store)?;
                from_contents(contents, &origin, false)
            }
            Location::Store { tag } => from_store(tag, store),
        }
    }
}

fn directory(dir: &Path) -> Result<Source, ImageError> {
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
        source.wheels.push(LocatedWheel { filename, file, sha256: None });
    }
    let text = |name| fs::read(dir.join(name)).ok().map(text);
    source.constraints = text(CONSTRAINTS);
    source.global_requirements = text(GLOBAL_REQUIREMENTS);
    source.wheels.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
    some_wheels(source, &origin)
}

fn from_store(tag: &Tag, store: &Store) -> Result<Source, ImageError> {
    let set = store.load_set(tag)?;
    let wheels = set.wheels.into_iter().map(|wheel| {
        let path = store.path(&wheel.digest);
        if store.size(&wheel.digest) != Some(wheel.size) {
            return Err(ImageError::Lacks {
                origin: format!("store:{tag}"),
                wheel: wheel.filename.to_string(),
            });
        }
        let file = WheelFile::open(&path).map_err(io_error("read", &path))?;
        Ok(LocatedWheel { filename: wheel.filename, file, sha256: Some(wheel.digest) })
    });
    Ok(Source {
        wheels: wheels.collect::<Result<_, _>>()?,
        constraints: Some(set.constraints),
        global_requirements: Some(set.global_requirements),
    })
}

/// Makes a source of what was found in an archive. In a `closed` one every wheel of its index must
/// be there; an image may be a subset.
fn from_contents(mut contents: Contents, origin: &str, closed: bool) -> Result<Source, ImageError> {
    let index = index_of(&contents, origin)?;
    let mut wheels: BTreeMap<String, (String, LocatedWheel)> = BTreeMap::new();
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
        let sha256 = sha256.or(listed.map(|listed| listed.sha256));
        let wheel = LocatedWheel { filename, file, sha256 };
        let name = wheel.filename.to_string();
        if let Some((other, _)) = wheels.insert(name, (path.to_string(), wheel)) {
            return Err(refuse(format!("is there again as `{other}`")));
        }
    }
    if closed {
        let lacking = index
            .iter()
            .flat_map(|index| &index.wheels)
            .find(|wheel| !wheels.contains_key(wheel.filename.as_str()));
        if let Some(wheel) = lacking {
            let wheel = wheel.filename.to_string();
            return Err(ImageError::Lacks { origin: origin.into(), wheel });
        }
    }
    let source = Source {
        wheels: wheels.into_values().map(|(_, wheel)| wheel).collect(),
        constraints: contents.files.remove(CONSTRAINTS).map(text),
        global_requirements: contents.files.remove(GLOBAL_REQUIREMENTS).map(text),
    };
    some_wheels(source, origin)
}

/// The wheel index among the contents.
pub(super) fn index_of(
    contents: &Contents,
    origin: &str,
) -> Result<Option<WheelIndex>, ImageError> {
    let parse = |bytes: &Vec<u8>| {
        WheelIndex::parse(bytes)
            .map_err(|source| ImageError::Index { origin: origin.into(), source })
    };
    contents.files.get(INDEX).map(parse).transpose()
}

/// The wheel name `name` says, of the entry or file `entry` of `origin`.
pub(super) fn filename(name: &str, entry: &str, origin: &str) -> Result<WheelFilename, ImageError> {
    name.parse().map_err(|error| ImageError::Entry {
        origin: origin.into(),
        entry: entry.into(),
        fault: format!("has not the name of a wheel: {error}"),
    })
}

fn some_wheels(source: Source, origin: &str) -> Result<Source, ImageError> {
    if source.wheels.is_empty() {
        let fault = "has no wheels in it".into();
        return Err(ImageError::Image { origin: origin.into(), fault });
    }
    Ok(source)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use tar::{EntryType, Header};

    use super::super::testing::{OPTIONS, set};
    use super::super::{reference::Reference, write};
    use super::*;

    /// A tar of `(name, type, bytes)`, with names as they are given.
    fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, bytes) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            out.extend(header.as_bytes());
            out.extend(*bytes);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out.resize(out.len() + 1024, 0);
        out
    }

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
        Source::open(&Location::Tar(path), store).map_err(|error| {
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
        let tar = tar_of(&[
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
                .map(|wheel| (wheel.filename.to_string(), wheel.file.digest().unwrap()))
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
            let tar = tar_of(entries);
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
            (b"\x28\xb5\x2f\xfd", "compressed with zstd, which is not supported"),
            (b"\x1f\x8b garbage", "is not a whole tar archive"),
        ] {
            let error = open_bytes(bytes, &place).unwrap_err();
            assert!(error.contains(end), "{error}");
        }
        let whole = tar_of(&[(SIX, FILE, &[1; 2000])]);
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
        write(&set, &store, &Reference::Tar(path.clone()), &OPTIONS).unwrap();
        let bytes = fs::read(&path).unwrap();
        // The last wheel and its headers, of which one is PAX, go; what is left is a fine tar.
        let last = set.wheels[2].size.next_multiple_of(512) as usize + 3 * 512 + 1024;
        fs::write(&path, &bytes[..bytes.len() - last]).unwrap();
        let error = Source::open(&Location::Tar(path), &store).unwrap_err().to_string();
        assert!(error.contains("lacks the wheel `with_a_long_name"), "{error}");
    }

    #[test]
    fn a_damaged_or_compressed_image_is_noticed() {
        use crate::store::layout::Layout;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("image");
        let reference = Reference::Oci { dir: out.clone(), tag: None };
        let manifest = write(&set(&store), &store, &reference, &OPTIONS).unwrap().manifest;
        let layout = Layout::open(&out).unwrap();
        let text = String::from_utf8(layout.read(&manifest.unwrap()).unwrap()).unwrap();
        let last = text.rsplit("sha256:").next().unwrap();
        let metadata = Digest::from_hex(&last[..64]).unwrap();
        let mut bytes = layout.read(&metadata).unwrap();
        let at = bytes.windows(4).position(|window| window == b"six=").unwrap();
        bytes[at] = b'S';
        fs::write(layout.path(&metadata), bytes).unwrap();
        let error = Source::open(&reference.location().unwrap(), &store).unwrap_err();
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
        let below = tar_of(&[
            (SIX, FILE, b"old"),
            ("gone-1-py3-none-any.whl", FILE, b"x"),
            ("d/hidden-1-py3-none-any.whl", FILE, b"x"),
            ("e/gone-2-py3-none-any.whl", FILE, b"x"),
        ]);
        let above = tar_of(&[
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
        let location = Location::OciLayout { dir: out, tag: None };
        let source = Source::open(&location, &store).unwrap();
        assert_eq!(source.wheels.len(), 1);
        assert_eq!(source.wheels[0].file.digest().unwrap(), Digest::of(b"new"));
    }

    #[test]
    fn a_store_that_lost_a_wheel_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let set = set(&store);
        store.save_set(&Tag::default(), &set).unwrap();
        fs::remove_file(store.path(&set.wheels[0].digest)).unwrap();
        let error = Source::open(&Location::Store { tag: Tag::default() }, &store).unwrap_err();
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
        let whole = tar_of(&[
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
                    prop_assert!(wheel.file.digest().is_ok());
                }
            }
            Ok(())
        });
        result.unwrap();
    }
}
