//! [`RootError`]: what can go wrong with a root file system.

use std::io;
use std::path::{Path, PathBuf};

/// A root file system that could not be read, written or worked in.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A layer is cut, or no tar at all.
    #[error("a layer of the base is no readable tar")]
    Tar {
        /// What its reader says.
        source: io::Error,
    },
    /// An entry of a layer that no honest layer has.
    #[error("the entry `{entry}` of a layer is refused: {fault}")]
    Refused {
        /// Its name.
        entry: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// An entry of a layer that could not be written.
    #[error("cannot unpack the entry `{entry}` of a layer")]
    Entry {
        /// Its name.
        entry: String,
        /// Why.
        source: io::Error,
    },
    /// A file system refused something.
    #[error("cannot {act} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program of the host could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The output of a command could not be read.
    #[error("cannot read what `{program}` says")]
    Output {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A root cannot be made private: namespaces or mounts are forbidden.
    #[error("cannot make a private root: {}", said.last().map_or("`unshare` says nothing", String::as_str))]
    Private {
        /// What was said about it.
        said: Vec<String>,
    },
    /// The root that this system has cannot be replaced by another (`pivot_root(2)`, `EINVAL`).
    #[error(
        "the root here cannot be left for another (`pivot_root`): it is an initramfs, or a directory that was \
         changed into (`chroot`)"
    )]
    Stuck,
    /// A layer could not be written out.
    #[error("cannot write the layer")]
    Out {
        /// Why.
        source: io::Error,
    },
    /// A file's name means something else in a layer.
    #[error("`{}` cannot be in a layer, where its name hides another file", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with an entry of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its name climbs out.
    #[error("its name has a `..`")]
    Climbs,
    /// It would replace the root itself.
    #[error("the root can only be a directory")]
    Root,
    /// A whiteout that hides no file by name (OCI image layer specification, "Whiteouts").
    #[error("it hides nothing that could be a file")]
    Whiteout,
    /// A hard link to what is no file before it.
    #[error("it is a hard link to nothing before it")]
    Link,
    /// A kind of entry that no layer has.
    #[error("it is of an unknown kind")]
    Kind,
    /// The archive ends within it.
    #[error("the archive ends within it")]
    Cut,
}

/// Names what was tried on `path` in an error.
pub(super) fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RootError {
    let path = path.to_owned();
    move |source| RootError::Io { act, path, source }
}
