//! [`Store`]: the content-addressed store everything obtained ends in, and its caches.
//!
//! ```text
//! ROOT
//!   oci-layout  index.json  blobs/sha256/<hex>    an OCI image layout
//!   loci/builds/<key>.json                        build key -> wheel digest, log digest, ...
//!   loci/kept/<kind>/<key>.json                   what is remembered with blobs: see `kept`
//!   loci/http/  loci/envs/  ...                   caches
//!   loci/damaged/                                 blobs `verify` set aside
//!   loci/leases/<run>                             what each running command counts on
//!   loci/tmp/<run>/                               its temporary files
//!   loci/lock  loci/gc                            who may delete: see `lease`
//! ```
//!
//! # Atomicity
//!
//! A blob is written to a directory of its command in `loci/tmp` while it is hashed, synced, then renamed to the name its bytes
//! give it, so a blob that exists is whole, whatever killed its writer. Two writers of one blob both
//! succeed. A name (tag) is written only when all that it names is there and durable. Everything
//! below `loci/` is a cache: it may be deleted by anyone while no command runs, and costs only time. A
//! cached record that cannot be read, or whose blob is gone, counts as absent.
//!
//! # Locking
//!
//! Many processes may use one store, and `gc` runs beside them. Each opened store has a [`Lease`], which
//! holds every blob that was looked for, read or written through it, or through a clone of it, until the
//! last of them is dropped; nobody has to think of it. Only [`Store::gc`] deletes, and never what a
//! live lease holds: [`lease`] says why there is no moment in between. Names are changed under a lock of
//! their own (see [`names`]). All locks are `flock`, which the kernel drops when their holder dies.
//!
//! Nothing here reads the environment or the network, and nothing here knows what an image is.

pub mod layout;
pub mod blob;
pub mod names;
pub(crate) mod file;
mod gate;
pub mod lease;
mod leases;
pub mod memo;
pub mod builds;
pub mod kept;
pub mod set;
mod reach;
pub mod rules;
pub mod gc;
pub mod verify;
pub mod error;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::vocab::digest::Digest;

use blob::BlobWriter;
use builds::Builds;
use error::{StoreError, io_error};
use kept::Kept;
use layout::Layout;
use lease::Lease;
use leases::Leases;
use memo::Memo;
use names::Named;

/// A store on disk. Cheap to clone; clones share one lease, and any thread may use one.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    caches: PathBuf,
    lease: Lease,
}

impl Store {
    /// Opens the store at `root`, making it when there is none.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`] when `root` holds something else, [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::create(root)?;
        // Of the layout's root and not of ours, which may be relative: environments name their own
        // place, and builds have another working directory.
        let caches = layout.root().join("loci");
        for folder in ["builds", "http", "envs", "tmp", "leases"] {
            let path = caches.join(folder);
            std::fs::create_dir_all(&path).map_err(io_error("create", &path))?;
        }
        let lease = Lease::begin(&leases(&caches), gate_path(&caches))?;
        let layout = layout.with_lease(lease.clone());
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            // <https://bford.info/cachedir/>: backups leave the directory out.
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n\
                        # This directory is a loci store: what it holds can be obtained again.\n";
            std::fs::write(&tag, text).map_err(io_error("write", &tag))?;
        }
        Ok(Self { layout, caches, lease })
    }

    /// Whether there is a store at `root`: an image layout with loci's own directory in it.
    #[must_use]
    pub fn is_at(root: &Path) -> bool {
        root.join("oci-layout").is_file() && root.join("loci").is_dir()
    }

    /// Where the store is when nobody says: `LOCI_STORE`, else `loci` in `XDG_CACHE_HOME` (which
    /// counts only when absolute, as its specification says), else `.cache/loci` in `HOME`. The values
    /// are handed in; an empty one counts as unset. None when there is none of them.
    #[must_use]
    pub fn default_root(
        loci_store: Option<&OsStr>,
        xdg_cache_home: Option<&OsStr>,
        home: Option<&OsStr>,
    ) -> Option<PathBuf> {
        let given = |value: Option<&OsStr>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
        given(loci_store)
            .or_else(|| {
                given(xdg_cache_home).filter(|path| path.is_absolute()).map(|p| p.join("loci"))
            })
            .or_else(|| given(home).map(|home| home.join(".cache/loci")))
    }

    /// The directory the store is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The OCI image layout below the caches.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Begins a command's work: clears away what killed commands left, and gives what holds all that is
    /// counted on, which so outlives the store and its clones.
    ///
    /// # Errors
    /// None now; that something cannot be cleared away is for [`Store::gc`] to say.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        if let Err(error) = self.leases().sweep() {
            tracing::debug!(%error, "leftovers of a killed command stay");
        }
        Ok(self.lease.clone())
    }

    /// Holds what has this digest from now on: a blob, or a build environment of that key. Looking for a
    /// blob, reading and writing it hold it without being asked.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn hold(&self, digest: &Digest) -> Result<(), StoreError> {
        self.lease.hold(&[*digest])
    }

    /// Whether the blob is there.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.layout.contains(digest)
    }

    /// Where the blob is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.path(digest)
    }

    /// The blob's size in bytes; none when it is not there.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.layout.size(digest)
    }

    /// The blob's bytes, checked against its digest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.layout.read(digest)
    }

    /// Begins a blob whose bytes come piece by piece.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        self.layout.writer()
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.layout.put(bytes)
    }

    /// Stores a copy of the file at `path`; its digest is of what was copied.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put_file(&self, path: &Path) -> Result<Digest, StoreError> {
        self.layout.put_file(path)
    }

    /// Takes names away; what only they led to goes with the next [`Store::gc`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchTag`] for the first there is not, with none taken away;
    /// [`StoreError::Json`] when `index.json` is not an image index, [`StoreError::Io`].
    pub fn untag(&self, tags: &[String]) -> Result<(), StoreError> {
        self.layout.unname(tags)
    }

    /// When a name was written. A name that an older loci wrote counts as old as its manifest.
    #[must_use]
    pub fn written(&self, named: &Named) -> SystemTime {
        self.layout.written(named)
    }

    /// What the store names, sorted by tag. Nothing of it is held yet: see [`Layout::named`].
    ///
    /// # Errors
    /// [`StoreError::Json`] when `index.json` is not an image index, [`StoreError::Io`].
    pub fn tags(&self) -> Result<Vec<Named>, StoreError> {
        self.layout.names()
    }

    /// Every blob with its size in bytes, in no order. Files whose names are no digests are nobody's
    /// blobs and are left out.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let dir = self.layout.blobs_dir();
        let list = || -> io::Result<Vec<_>> {
            let mut blobs = Vec::new();
            for entry in std::fs::read_dir(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let named = |digest: &Digest| name.to_str() == Some(&digest.hex());
                let digest = name.to_str().and_then(|name| Digest::from_hex(name).ok());
                let Some(digest) = digest.filter(named) else { continue };
                match entry.metadata() {
                    // `gc` was there between the two looks.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    metadata => blobs.push((digest, metadata?.len())),
                }
            }
            Ok(blobs)
        };
        list().map_err(io_error("list", &dir))
    }

    /// The index of what was built.
    #[must_use]
    pub fn builds(&self) -> Builds {
        Builds::of(self.clone())
    }

    /// Small remembered values of one `kind`, by digest (see [`Memo`]). `kind` is a folder name.
    #[must_use]
    pub fn memo(&self, kind: &'static str) -> Memo {
        Memo::new(self.caches.join(kind), self.lease.clone())
    }

    /// Values of one `kind` that are remembered together with blobs (see [`Kept`]). `kind` is a folder name.
    #[must_use]
    pub fn kept(&self, kind: &'static str) -> Kept {
        let memo = Memo::new(self.kept_dir().join(kind), self.lease.clone());
        Kept::new(self.clone(), memo)
    }

    /// Where `index` keeps pages.
    #[must_use]
    pub fn http_dir(&self) -> PathBuf {
        self.caches.join("http")
    }

    /// Where `build` keeps unpacked build environments.
    #[must_use]
    pub fn envs_dir(&self) -> PathBuf {
        self.caches.join("envs")
    }

    /// The directory for this command's temporary files, on the same file system as the blobs.
    #[must_use]
    pub fn tmp_dir(&self) -> PathBuf {
        self.lease.tmp_dir().to_owned()
    }

    fn leases(&self) -> Leases {
        leases(&self.caches)
    }

    fn gate_path(&self) -> PathBuf {
        gate_path(&self.caches)
    }

    fn kept_dir(&self) -> PathBuf {
        self.caches.join("kept")
    }

    fn damaged_dir(&self) -> PathBuf {
        self.caches.join("damaged")
    }
}

fn leases(caches: &Path) -> Leases {
    Leases { dir: caches.join("leases"), tmp: caches.join("tmp") }
}

fn gate_path(caches: &Path) -> PathBuf {
    caches.join("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_makes_a_store_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/store");
        let digest = Store::open(&root).unwrap().put(b"bytes").unwrap();
        let again = Store::open(&root).unwrap();
        assert_eq!(again.read(&digest).unwrap(), b"bytes");
        assert_eq!(
            fs_err::read_to_string(root.join("oci-layout")).unwrap(),
            r#"{"imageLayoutVersion":"1.0.0"}"#
        );
        for path in ["index.json", "CACHEDIR.TAG", "loci/builds", "loci/http", "loci/envs"] {
            assert!(root.join(path).exists(), "{path}");
        }
    }

    #[test]
    fn a_relative_root_is_made_absolute_for_everything() {
        let dir = tempfile::tempdir().unwrap();
        let up = std::env::current_dir().unwrap().components().count() - 1;
        let relative = Path::new(&"../".repeat(up)).join(dir.path().strip_prefix("/").unwrap());
        let store = Store::open(&relative).unwrap();
        for path in [store.root(), &store.tmp_dir(), &store.envs_dir(), &store.http_dir()] {
            assert!(path.is_absolute(), "{}", path.display());
        }
        store.put(b"bytes").unwrap();
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("thesis.txt"), "").unwrap();
        let error = Store::open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("is neither empty nor an OCI image layout"), "{error}");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_default_root_follows_the_environment() {
        #[track_caller]
        fn case(values: [&str; 3], root: Option<&str>) {
            let [store, xdg, home] = values.map(|value| Some(OsStr::new(value)));
            assert_eq!(Store::default_root(store, xdg, home), root.map(PathBuf::from));
        }
        case(["s", "/x", "/h"], Some("s"));
        case(["", "/x", "/h"], Some("/x/loci"));
        case(["", "x", "/h"], Some("/h/.cache/loci"));
        case(["", "", ""], None);
    }
}
