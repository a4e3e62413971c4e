//! [`copy_tree`]: a project's directory becomes a tree of its own, so that a build changes nothing
//! of the user's.

// The error names the path itself, so that of `fs_err` would name it twice.
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::SourceError;

/// Environments and caches that people keep in their checkouts: large, and never part of a build.
/// Newer ones say so themselves (see [`is_cache`]).
const LEFT_OUT: [&str; 6] = [".tox", ".nox", ".venv", ".mypy_cache", ".pytest_cache", ".stestr"];

/// Copies the directory `from` to `to`, which must not exist. `.git` comes along because `pbr` and
/// `setuptools_scm` ask it for the version; links stay links; sockets and pipes are left out.
///
/// # Errors
/// [`SourceError::Read`] and [`SourceError::Write`].
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), SourceError> {
    let written = |path: &Path, result: std::io::Result<()>| {
        result.map_err(|source| SourceError::Write { path: path.into(), source })
    };
    let read = |source| SourceError::Read { path: from.into(), source };
    written(to, fs::create_dir(to))?;
    for entry in fs::read_dir(from).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type().map_err(read)?;
        if kind.is_symlink() {
            let link = fs::read_link(&source)
                .map_err(|error| SourceError::Read { path: source.clone(), source: error })?;
            written(&target, symlink(link, &target))?;
        } else if kind.is_dir() {
            if !is_cache(&source) {
                copy_tree(&source, &target)?;
            }
        } else if kind.is_file() {
            written(&target, fs::copy(&source, &target).map(drop))?;
            // git and make compare times; failing to keep one costs time, never the result.
            if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified())
                && let Ok(file) = std::fs::File::open(&target)
            {
                let _ = file.set_modified(modified);
            }
        }
    }
    Ok(())
}

/// Whether a directory is marked as one whose content can be made again
/// (<https://bford.info/cachedir/>). A store is: one inside of the project, where the copy is made,
/// would else be copied into itself without end.
fn is_cache(directory: &Path) -> bool {
    let mut start = [0; SIGNATURE.len()];
    std::fs::File::open(directory.join("CACHEDIR.TAG"))
        .and_then(|mut tag| tag.read_exact(&mut start))
        .is_ok_and(|()| start == *SIGNATURE)
}

const SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_git_and_links_but_no_environments() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join(".git/refs")).unwrap();
        fs::create_dir_all(from.join(".tox/py3/bin")).unwrap();
        fs::write(from.join("setup.py"), "x").unwrap();
        symlink("setup.py", from.join("link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert!(to.join(".git/refs").is_dir());
        assert!(!to.join(".tox").exists());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("setup.py"));
        let times =
            [from, to].map(|d| fs::metadata(d.join("setup.py")).unwrap().modified().unwrap());
        assert_eq!(times[0], times[1]);
        assert!(copy_tree(&dir.path().join("none"), &dir.path().join("x")).is_err());
    }

    #[test]
    fn a_store_inside_of_the_project_is_not_copied_into_itself() {
        let dir = tempfile::tempdir().unwrap();
        crate::store::Store::open(&dir.path().join("store")).unwrap();
        fs::write(dir.path().join("setup.py"), "x").unwrap();
        let to = dir.path().join("store/loci/tmp/tree");
        copy_tree(dir.path(), &to).unwrap();
        assert!(to.join("setup.py").is_file());
        assert!(!to.join("store").exists());
    }
}
