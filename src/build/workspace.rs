//! [`Workspace`]: the directory of one try to build: the tree, a home, a place for temporary files.

use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use super::builder::BuildSource;
use super::error::BuildError;
use super::source::Limits;
use super::source::copy::copy_tree;
use super::source::unpack::unpack;

/// File names of sources that a compiler turns into an extension.
const COMPILED: [&str; 15] =
    ["c", "cc", "cpp", "cxx", "pyx", "pxd", "rs", "f", "f90", "f77", "cu", "go", "m", "s", "swg"];

/// Removed when dropped, unless kept.
pub(super) struct Workspace {
    dir: TempDir,
    root: PathBuf,
    tree: PathBuf,
}

impl Workspace {
    /// Unpacks or copies `source`. Blocks.
    pub(super) fn make(source: &BuildSource, tmp: &Path) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Io { path: tmp.into(), source };
        let dir = tempfile::Builder::new().prefix("build-").tempdir_in(tmp).map_err(failed)?;
        // Absolute, links followed: compilers name files so, and the prefix map has to match.
        let root = fs::canonicalize(dir.path()).map_err(failed)?;
        for name in ["home", "tmp", "wheel", "metadata"] {
            fs::create_dir(root.join(name)).map_err(failed)?;
        }
        let tree = match source {
            BuildSource::Sdist { path, format, .. } => {
                let into = root.join("tree");
                fs::create_dir(&into).map_err(failed)?;
                unpack(path, *format, &into, Limits::default())?
            }
            BuildSource::Tree { path, .. } => {
                let into = root.join("tree");
                copy_tree(path, &into)?;
                into
            }
        };
        Ok(Self { dir, root, tree })
    }

    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// The whole directory: beside the tree it has `home`, `tmp`, `wheel` and `metadata`.
    pub(super) fn scratch(&self) -> &Path {
        &self.root
    }

    /// Leaves the directory where it is, and says where the tree in it is.
    pub(super) fn keep(self) -> PathBuf {
        let _ = self.dir.keep();
        self.tree
    }

    /// Whether there is anything to compile: then a pure result may be an accident of this system.
    pub(super) fn has_native_sources(&self) -> bool {
        fn walk(dir: &Path) -> bool {
            let Ok(entries) = fs::read_dir(dir) else { return false };
            entries.flatten().any(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(&entry.path()),
                Ok(kind) if kind.is_file() => entry
                    .path()
                    .extension()
                    .and_then(|extension| extension.to_str())
                    .is_some_and(|extension| COMPILED.contains(&extension)),
                _ => false,
            })
        }
        walk(&self.tree)
    }
}
