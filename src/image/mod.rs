//! The requirements set outside the store: as an OCI image, as a tarball, as a directory; and all
//! of them read back.
//!
//! A set is laid out once as layers, deterministic tars whose bytes depend on nothing but
//! the wheels in them. [`write()`] puts them where a [`reference::Reference`] says; [`source::Source`] reads any of
//! those, and images and tars made by others. Nothing here unpacks an archive: wheels are read where
//! they stand, or imported into the store.

pub mod reference;
pub mod registry;
mod manifest;
mod tree;
mod index_json;
mod ustar;
pub mod tree_layer;
pub mod sbom;
mod layer;
mod gzip;
mod zstd;
pub(crate) mod tar_headers;
mod plan;
mod packed;
mod blobs;
mod blob_source;
mod open_image;
mod archive_files;
mod layout;
mod archive;
mod transfer;
mod remote_file;
mod download;
mod tarball;
mod directory;
pub mod offered;
pub mod source;
mod image_contents;
mod tar_contents;
mod remote_image;
mod remote_tar;
mod layer_files;
pub mod files;
pub mod packages;
pub mod inspect;
mod bring;
pub mod base;
pub mod appended;
#[cfg(test)]
mod appended_tests;
mod open;
mod copy;
pub mod error;

pub use bring::bring;
pub use copy::{Packing, Treatment, copy, write};
pub use tree::Platforms;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use crate::http::client::Client;
use crate::store::Store;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS, WheelSet};
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

use error::{ImageError, io_error};
use index_json::WheelIndex;
use layer::{Content, Member};
use sbom::Sbom;

/// What becomes of wheels that an earlier set put into a directory and this one does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// They are removed.
    Remove,
    /// They stay, and stay ours: this set lacks what failed, and they may be all there is of it.
    Keep,
}

/// What an image of a set looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Many layers, of which an update changes few.
    #[default]
    Split,
    /// One, compressed, with everything in it: what LOCI itself makes and takes.
    Single,
}

/// A service, and the wheels that it needs: its image is one of the layers that have these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// What its image is called: `TAG-NAME`.
    pub name: String,
    /// The file names of its wheels.
    pub wheels: BTreeSet<String>,
}

/// How a set is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// The time everything in it is given, in seconds since 1970: `SOURCE_DATE_EPOCH`, or 0.
    pub epoch: u64,
    /// The architecture the wheels are for, as `uname -m` calls it.
    pub machine: String,
    /// What becomes of an earlier set's wheels in a directory.
    pub earlier: Earlier,
    /// How the layers of an image are cut.
    pub shape: Shape,
    /// What an image's manifest says of itself beside what loci says, by key.
    pub annotations: BTreeMap<String, String>,
    /// Images of single services, beside the one of all.
    pub subsets: Vec<Subset>,
    /// How the lock of a set is written; none for no lock.
    pub lock: Option<WriteLock>,
}

/// Writes the lock of a set (`pylock.toml`, PEP 751), whose wheels stand in the directory above it. What a lock
/// is, another room knows, so it is handed in.
pub type WriteLock = fn(&WheelSet) -> String;

/// Told bytes as they are written or found to be there already.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What images and sets are reached by.
#[derive(Debug, Clone)]
pub struct Access {
    /// Keeps what comes.
    pub store: Store,
    /// Asks for what is at URLs.
    pub client: Client,
    /// Registries.
    pub registries: registry::Registries,
}

/// What was written where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The digests of the images' manifests by what was added to the name: nothing for the image itself,
    /// `-keystone` for the one of a service.
    pub images: BTreeMap<String, Digest>,
    /// Bytes that were written.
    pub bytes: u64,
    /// Bytes that were there already.
    pub unchanged: u64,
    /// For a directory: wheels of its earlier set, which were removed, by file name.
    pub removed: Vec<String>,
    /// For a directory: wheels of nobody's set, which were left, by file name.
    pub strangers: Vec<String>,
}

/// The path of the wheel index wherever a set is written.
const INDEX: &str = ".loci/index.json";
/// The path of the lock beside it.
const LOCK: &str = ".loci/pylock.toml";
/// The path of the bill of materials beside it.
const SBOM: &str = ".loci/sbom.cdx.json";

/// The texts a set has beside its index, as members of a tar: the two it was obtained for, its lock, and the
/// bill of the wheels that the index has.
fn texts(set: &WheelSet, index: &WheelIndex, options: &WriteOptions) -> Vec<Member> {
    let text = |name: &str, text: &[u8]| Member {
        path: safe(name),
        content: Content::Bytes(text.to_vec()),
    };
    let mut texts = vec![
        text(CONSTRAINTS, set.constraints.as_bytes()),
        text(GLOBAL_REQUIREMENTS, set.global_requirements.as_bytes()),
    ];
    if let Some(lock) = options.lock {
        texts.push(text(LOCK, lock(set).as_bytes()));
    }
    let created = Civil::of(options.epoch).to_string();
    texts.push(text(SBOM, &Sbom::of_index(index, None, Some(created)).to_bytes()));
    texts
}

/// The wheel index as a member of a tar.
fn index_member(index: &WheelIndex) -> Member {
    Member { path: safe(INDEX), content: Content::Bytes(index.to_bytes()) }
}

/// A path that is written in this program or is a wheel's file name.
fn safe(path: &str) -> SafePath {
    path.parse().expect("a wheel's file name is one component, and our own paths are safe")
}

/// The directory `path` stands in, made when it is not there.
fn parent_of(path: &Path) -> Result<&Path, ImageError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    Ok(parent)
}

/// Lets one process at a time write below `dir`, and removes the temporary files a killed one left
/// there, which begin with `prefix`. The claim ends when what this gives is dropped. A file system
/// without locks is written without one, and then nothing is removed.
fn claim(dir: &Path, prefix: &str) -> Result<Option<File>, ImageError> {
    let file = File::open(dir).map_err(io_error("open", dir))?;
    if file.lock().is_err() {
        return Ok(None);
    }
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let entry = entry.map_err(io_error("list", dir))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_string_lossy().starts_with(prefix) {
            let path = entry.path();
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(Some(file))
}

#[cfg(test)]
pub(crate) mod testing {
    //! A set in a store, made in code.

    use std::sync::LazyLock;

    use super::reference::Reference;
    use super::registry::docker_config::LoginPlaces;
    use super::registry::{Protocol, Registries, RegistrySettings};
    use super::source::Source;
    use crate::http::client::ClientSettings;
    use crate::store::set::{Origin, SetWheel, WheelSet};
    use crate::support::wheel::WheelMaker;

    use super::*;

    pub(crate) fn options() -> WriteOptions {
        WriteOptions {
            epoch: 0,
            machine: "x86_64".into(),
            earlier: Earlier::Remove,
            shape: Shape::Split,
            annotations: BTreeMap::new(),
            subsets: Vec::new(),
            lock: Some(|set| format!("# {} wheels\n", set.wheels.len())),
        }
    }

    /// Runs `work` to its end.
    pub(crate) fn blocked<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Runtime::new().unwrap().block_on(work)
    }

    /// Writes `set`, whose wheels are in `store`, to `destination`.
    pub(crate) fn write_now(
        set: &WheelSet,
        store: &Store,
        destination: &Reference,
    ) -> Result<Written, ImageError> {
        let (set, options) = (Arc::new(set.clone()), Arc::new(options()));
        let packing = Packing::default();
        blocked(write(&set, destination, &options, &packing, &access(store), &quiet()))
    }

    /// Opens the set at `reference`.
    pub(crate) fn open_now(reference: &Reference, store: &Store) -> Result<Source, ImageError> {
        blocked(Source::open(reference, "x86_64", &access(store), &quiet()))
    }

    /// Nobody is told.
    pub(crate) fn quiet() -> Progress {
        Arc::new(|_| {})
    }

    /// What sets are reached by, with logins of nobody.
    pub(crate) fn access(store: &Store) -> Access {
        let settings = ClientSettings {
            retries: 4,
            first_wait: std::time::Duration::from_millis(1),
            ..ClientSettings::default()
        };
        let client = Client::new(settings).unwrap();
        let settings = RegistrySettings {
            client: client.clone(),
            logins: LoginPlaces::default(),
            protocol: Protocol::Http,
            chunk: 1000,
            certificates: Vec::new(),
        };
        Access { store: store.clone(), client, registries: Registries::new(settings) }
    }

    /// Made once: of 3 MiB that deflate finds nothing in.
    static LARGE: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| {
        let mut noise = Vec::new();
        while noise.len() < 3 << 20 {
            noise.extend(Digest::of(&noise.len().to_le_bytes()).as_bytes());
        }
        let wheel = WheelMaker::new("large", "1").file("noise.bin", noise);
        (wheel.filename(), wheel.bytes())
    });

    pub(crate) fn add(store: &Store, set: &mut WheelSet, wheel: &WheelMaker) {
        put(store, set, &wheel.filename(), &wheel.bytes());
    }

    fn put(store: &Store, set: &mut WheelSet, filename: &str, bytes: &[u8]) {
        set.wheels.push(SetWheel {
            filename: filename.parse().unwrap(),
            digest: store.put(bytes).unwrap(),
            size: bytes.len() as u64,
            origin: Origin::Imported { from: "test".into() },
        });
    }

    /// `six`, a `large` wheel that has a layer of its own, and one with a `long` name.
    pub(crate) fn set(store: &Store) -> WheelSet {
        let mut set = WheelSet {
            constraints: "six===1.16.0\n".into(),
            global_requirements: "six>=1\n".into(),
            ..WheelSet::default()
        };
        let six = WheelMaker::new("six", "1.16.0").requires("typing; python_version < '3'");
        add(store, &mut set, &six.header("Requires-Python: >=2.7"));
        let (filename, bytes) = &*LARGE;
        put(store, &mut set, filename, bytes);
        let tag = "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64";
        add(
            store,
            &mut set,
            &WheelMaker::new("with-a-long-name-of-its-own", "2024.12.31").tag(tag),
        );
        set
    }

    /// Every file below `dir` with its bytes, sorted.
    pub(crate) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                    files.push((name, fs_err::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::reference::Reference;
    use super::source::Source;
    use super::testing::{files, open_now, set, write_now};
    use super::*;

    #[test]
    fn a_set_is_read_back_from_wherever_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let set = set(&store);
        store.save_set(&"named".parse().unwrap(), &set).unwrap();
        for (text, knows_digests) in [
            ("dir:D", false),
            ("tar:D/x.tar", true),
            ("oci:D:tag", true),
            ("oci:D", true),
            ("oci-archive:D/x.tar", true),
            ("oci-archive:D/x.tar:tag", true),
            ("docker-archive:D/x.tar", true),
            ("docker-archive:D/x.tar:loci/requirements:tag", true),
        ] {
            let root = tempfile::tempdir().unwrap();
            let text = text.replace('D', &format!("{}/out", root.path().display()));
            let reference: Reference = text.parse().unwrap();
            write_now(&set, &store, &reference).unwrap();
            let once = files(root.path());
            write_now(&set, &store, &reference).unwrap();
            assert!(once == files(root.path()), "{text} is not the same twice");
            check(&open_now(&reference, &store).unwrap(), knows_digests);
            // What a killed writer left is gone after the next.
            fs::write(root.path().join("out/.loci-x.tar-killed"), "half").unwrap();
            write_now(&set, &store, &reference).unwrap();
            assert!(once == files(root.path()), "{text} keeps leftovers");
        }
        let named = Reference::Store { tag: "named".parse().unwrap() };
        check(&open_now(&named, &store).unwrap(), true);
        let url: Reference = "https://host.invalid/x.tar".parse().unwrap();
        assert!(matches!(write_now(&set, &store, &url), Err(ImageError::NotWritable { .. })));

        #[track_caller]
        fn check(source: &Source, knows_digests: bool) {
            let names: Vec<_> = source.wheels.iter().map(|w| w.filename.name().as_ref()).collect();
            assert_eq!(names, ["large", "six", "with-a-long-name-of-its-own"]);
            assert_eq!(source.constraints.as_deref(), Some("six===1.16.0\n"));
            assert_eq!(source.global_requirements.as_deref(), Some("six>=1\n"));
            for wheel in &source.wheels {
                let digest = wheel.file().unwrap().digest().unwrap();
                assert_eq!(wheel.sha256, knows_digests.then_some(digest));
            }
        }
    }

    #[test]
    fn nothing_is_named_when_a_wheel_is_gone_or_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let set = set(&store);
        let wheel = store.path(&set.wheels[1].digest);
        let mut bytes = fs::read(&wheel).unwrap();
        // Its layers' digests are known from here on.
        let first: Reference =
            format!("oci:{}", dir.path().join("first").display()).parse().unwrap();
        write_now(&set, &store, &first).unwrap();
        *bytes.get_mut(100_000).unwrap() ^= 1;
        for bytes in [&bytes[..], b"gone"] {
            fs_err::write(&wheel, bytes).unwrap();
            for text in ["tar:D/x.tar", "oci:D", "oci-archive:D/x.tar"] {
                let root = tempfile::tempdir().unwrap();
                let text = text.replace('D', &root.path().display().to_string());
                let reference: Reference = text.parse().unwrap();
                let error = write_now(&set, &store, &reference).unwrap_err().to_string();
                let names = [set.wheels[1].digest.hex(), set.wheels[1].filename.to_string()];
                assert!(names.iter().any(|name| error.contains(name)), "{text}: {error}");
                let left = files(root.path());
                assert!(left.iter().all(|(name, _)| !name.ends_with("x.tar")), "{text}");
                assert!(open_now(&reference, &store).is_err());
            }
        }
    }

    #[test]
    fn an_update_writes_only_the_layers_that_changed() {
        use super::testing::add;
        use crate::support::wheel::WheelMaker;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let out = dir.path().join("image");
        let reference: Reference = format!("oci:{}", out.display()).parse().unwrap();
        let mut set = set(&store);
        let first = write_now(&set, &store, &reference).unwrap();
        let again = write_now(&set, &store, &reference).unwrap();
        assert_eq!(again.images, first.images);
        assert_eq!((again.bytes, again.unchanged), (0, first.bytes));

        // A layer that was damaged meanwhile is mended.
        let large = fs::read_dir(out.join("blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .max_by_key(|entry| entry.metadata().unwrap().len())
            .unwrap()
            .path();
        let bytes = fs::read(&large).unwrap();
        fs::write(&large, vec![0; bytes.len()]).unwrap();
        let mended = write_now(&set, &store, &reference).unwrap();
        assert_eq!(mended.bytes, bytes.len() as u64);
        assert!(fs::read(&large).unwrap() == bytes);

        set.wheels.remove(0);
        add(&store, &mut set, &WheelMaker::new("six", "1.17.0"));
        let update = write_now(&set, &store, &reference).unwrap();
        assert!(update.unchanged > 3 << 20 && update.bytes < 100_000, "{update:?}");
    }
}
