//! An installed prefix: a Python environment with wheels in it, written whole or not at all.
//!
//! The environment is written beside its place and renamed into it at the end, so that nobody ever
//! sees half of one. Scripts name the final place from the start.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rayon::prelude::*;
use tempfile::TempDir;

use crate::build::interpreter::Interpreter;
use crate::wheel::claims::SharedPath;
use crate::wheel::directory::DirectorySink;

use super::environment::{
    Basis, Installation, PlannedEnvironment, UnfitEnvironment, UnfitWheel, Visible,
};
use super::present::Present;

/// What to do with a prefix that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse, unless it is an empty directory.
    Keep,
    /// Put the new one in its place, if it is an environment: nothing else is ever removed.
    Replace,
}

/// An environment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// What to do when it is there already.
    pub existing: Existing,
    /// Which packages it sees beside its own.
    pub visible: Visible,
}

impl Prefix {
    /// Refuses what [`install`] would refuse, before any work is done for it.
    ///
    /// # Errors
    /// [`PrefixError::Exists`], [`PrefixError::NoEnvironment`], [`PrefixError::Link`], or
    /// [`PrefixError::Look`] when it cannot be found out.
    pub fn check(&self) -> Result<(), PrefixError> {
        let prefix = self.path.clone();
        let found = match Found::at(&prefix) {
            Ok(found) => found,
            Err(source) => return Err(PrefixError::Look { prefix, source }),
        };
        match (found, self.existing) {
            (Found::Nothing | Found::Vacant, _) | (Found::Environment, Existing::Replace) => Ok(()),
            (Found::Link, _) => Err(PrefixError::Link { prefix }),
            (_, Existing::Keep) => Err(PrefixError::Exists { prefix }),
            (Found::Other, Existing::Replace) => Err(PrefixError::NoEnvironment { prefix }),
        }
    }
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Files written, the environment's own included.
    pub files: usize,
    /// Paths that two wheels write with different bytes: the first wheel's file is there.
    pub collisions: Vec<SharedPath>,
}

/// A prefix that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// Something is there that was not to be replaced.
    #[error("`{}` exists and is not an empty directory", prefix.display())]
    Exists {
        /// The prefix.
        prefix: PathBuf,
    },
    /// What is to be replaced is something that cannot have been made here.
    #[error("`{}` is neither an empty directory nor an environment: it has no `pyvenv.cfg`", prefix.display())]
    NoEnvironment {
        /// The prefix.
        prefix: PathBuf,
    },
    /// A symbolic link is there, and a directory cannot be renamed to one.
    #[error("`{}` is a symbolic link", prefix.display())]
    Link {
        /// The prefix.
        prefix: PathBuf,
    },
    /// It cannot be found out what is there.
    #[error("cannot look at `{}`", prefix.display())]
    Look {
        /// The prefix.
        prefix: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new environment could not be put in its place, nor the old one back into it.
    #[error(
        "`{}` is not there any more: what was in it is in `{}`, from where it could not be moved back \
         ({back})",
        prefix.display(), kept.display()
    )]
    Stranded {
        /// The prefix.
        prefix: PathBuf,
        /// Where its old content is.
        kept: PathBuf,
        /// Why it could not be moved back.
        back: io::Error,
        /// Why the new one could not be put in its place.
        source: io::Error,
    },
    /// The prefix cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it is to consist of cannot be.
    #[error(transparent)]
    Unfit(#[from] UnfitEnvironment),
}

/// Makes the environment at `prefix` and installs `wheels` into it, in whose order they claim their
/// paths; `on_wheel` hears of each wheel that is in place.
///
/// # Errors
/// [`PrefixError`]; whatever was at `prefix` before is then still there.
pub fn install(
    prefix: &Prefix,
    interpreter: &Interpreter,
    wheels: &[Installation<'_>],
    on_wheel: &(dyn Fn(&str) + Sync),
) -> Result<Installed, PrefixError> {
    prefix.check()?;
    let Prefix { path: prefix, existing, visible } = prefix;
    let parent = prefix.parent().unwrap_or(Path::new("/"));
    let write_failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PrefixError::Write { path, source }
    };
    fs::create_dir_all(parent).map_err(write_failed(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".loci-install-")
        .tempdir_in(parent)
        .map_err(write_failed(parent))?;
    let root = staging.path().join("root");
    fs::create_dir(&root).map_err(write_failed(&root))?;
    // Whoever is to use an environment must get into it, whatever the umask of who makes it.
    fs::set_permissions(&root, Permissions::from_mode(0o755)).map_err(write_failed(&root))?;

    let planned = PlannedEnvironment::plan(prefix, interpreter, Basis::New(*visible), wheels)?;
    write(&planned, &root, on_wheel)?;
    let files = planned.files();

    if *existing == Existing::Replace {
        replace(prefix, &root, staging, |from, to| fs::rename(from, to))?;
    } else {
        // An empty directory gives way to a rename; anything else that came up meanwhile does not.
        fs::rename(&root, prefix).map_err(write_failed(prefix))?;
    }
    Ok(Installed { files, collisions: planned.collisions })
}

/// Puts `wheels` into the environment that is `present` at `prefix`, in whose order they claim their paths. What they
/// have in common with it stays as it is.
///
/// # Errors
/// [`PrefixError`]; some wheels may be there then.
pub fn extend(
    prefix: &Path,
    present: &Present,
    interpreter: &Interpreter,
    wheels: &[Installation<'_>],
    on_wheel: &(dyn Fn(&str) + Sync),
) -> Result<Installed, PrefixError> {
    let basis = Basis::Present(present);
    let planned = PlannedEnvironment::plan(prefix, interpreter, basis, wheels)?;
    write(&planned, prefix, on_wheel)?;
    Ok(Installed { files: planned.files(), collisions: planned.collisions })
}

fn write(
    planned: &PlannedEnvironment,
    root: &Path,
    on_wheel: &(dyn Fn(&str) + Sync),
) -> Result<(), PrefixError> {
    let failed = |source| PrefixError::Write { path: root.to_owned(), source };
    if let Some(own) = &planned.own {
        own.emit(&mut DirectorySink::new(root).map_err(failed)?).map_err(failed)?;
    }
    planned.wheels.par_iter().try_for_each(|wheel| {
        let file = wheel.file.as_str();
        let mut sink = DirectorySink::new(root).map_err(failed)?;
        wheel
            .tree
            .emit(&mut sink)
            .map_err(|source| UnfitWheel { file: file.into(), source: source.into() })
            .map_err(UnfitEnvironment::from)?;
        on_wheel(file);
        Ok(())
    })
}

/// Puts `root` in the place of `prefix`, whose content goes with `staging` at the end. The renames are
/// handed in, for a test can make none fail.
fn replace(
    prefix: &Path,
    root: &Path,
    staging: TempDir,
    mut rename: impl FnMut(&Path, &Path) -> io::Result<()>,
) -> Result<(), PrefixError> {
    let failed = |source| PrefixError::Write { path: prefix.to_owned(), source };
    let old = staging.path().join("old");
    let had_one = match rename(prefix, &old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        other => other.map(|()| true).map_err(failed)?,
    };
    let Err(source) = rename(root, prefix) else { return Ok(()) };
    if !had_one {
        return Err(failed(source));
    }
    match rename(&old, prefix) {
        Ok(()) => Err(failed(source)),
        Err(back) => {
            let kept = staging.keep().join("old");
            Err(PrefixError::Stranded { prefix: prefix.to_owned(), kept, back, source })
        }
    }
}

/// What is at the place of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// An empty directory.
    Vacant,
    /// A directory that says it is an environment (PEP 405).
    Environment,
    Link,
    Other,
}

impl Found {
    // Not `fs-err`: its errors repeat the path, which ours name already.
    fn at(prefix: &Path) -> io::Result<Self> {
        let metadata = match std::fs::symlink_metadata(prefix) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            other => other?,
        };
        Ok(match metadata.file_type() {
            kind if kind.is_symlink() => Self::Link,
            kind if !kind.is_dir() => Self::Other,
            _ if std::fs::read_dir(prefix)?.next().is_none() => Self::Vacant,
            _ if prefix.join("pyvenv.cfg").is_file() => Self::Environment,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_an_environment_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path();
        std::fs::create_dir_all(here.join("vacant")).unwrap();
        std::fs::create_dir_all(here.join("home/work")).unwrap();
        std::fs::create_dir_all(here.join("venv")).unwrap();
        std::fs::write(here.join("venv/pyvenv.cfg"), "").unwrap();
        std::fs::write(here.join("file"), "").unwrap();
        std::os::unix::fs::symlink("vacant", here.join("link")).unwrap();
        let mut said = String::new();
        for existing in [Existing::Keep, Existing::Replace] {
            for name in ["missing", "vacant", "venv", "home", "file", "link", "file/p"] {
                let path = here.join(name);
                let prefix = Prefix { path, existing, visible: Visible::Own };
                let answer = match prefix.check() {
                    Ok(()) => "good".to_owned(),
                    Err(error) => error.to_string().replace(here.to_str().unwrap(), "HERE"),
                };
                said.push_str(&format!("{existing:?} {name}: {answer}\n"));
            }
        }
        insta::assert_snapshot!(said, @r#"
        Keep missing: good
        Keep vacant: good
        Keep venv: `HERE/venv` exists and is not an empty directory
        Keep home: `HERE/home` exists and is not an empty directory
        Keep file: `HERE/file` exists and is not an empty directory
        Keep link: `HERE/link` is a symbolic link
        Keep file/p: cannot look at `HERE/file/p`
        Replace missing: good
        Replace vacant: good
        Replace venv: good
        Replace home: `HERE/home` is neither an empty directory nor an environment: it has no `pyvenv.cfg`
        Replace file: `HERE/file` is neither an empty directory nor an environment: it has no `pyvenv.cfg`
        Replace link: `HERE/link` is a symbolic link
        Replace file/p: cannot look at `HERE/file/p`
        "#);
    }

    /// Replaces `p` where the renames whose numbers are in `failing` fail, and says what is left.
    fn replaced(failing: &[usize]) -> (Result<(), PrefixError>, BTreeSet<String>, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("p");
        std::fs::create_dir(&prefix).unwrap();
        std::fs::write(prefix.join("old.txt"), "").unwrap();
        let staging = tempfile::Builder::new().prefix("staging-").tempdir_in(&dir).unwrap();
        let root = staging.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("new.txt"), "").unwrap();
        let mut count = 0;
        let outcome = replace(&prefix, &root, staging, |from, to| {
            count += 1;
            match failing.contains(&count) {
                true => Err(io::ErrorKind::Other.into()),
                false => std::fs::rename(from, to),
            }
        });
        let names = |path: &Path| {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let left = names(dir.path()).into_iter().flat_map(|name| {
            let name = if name == "p" { "p" } else { "staging" };
            let inner = if name == "p" { names(&prefix) } else { Vec::new() };
            std::iter::once(name.to_owned()).chain(inner)
        });
        let left = left.collect();
        (outcome, left, dir)
    }

    #[test]
    fn the_old_environment_is_never_lost() {
        for (failing, left) in [
            (&[][..], &["new.txt", "p"][..]),
            (&[1], &["old.txt", "p"]),
            (&[2], &["old.txt", "p"]),
            (&[2, 3], &["staging"]),
        ] {
            let (outcome, found, _dir) = replaced(failing);
            assert!(found.iter().eq(left), "{failing:?}: {found:?}");
            match outcome {
                Ok(()) => assert!(failing.is_empty()),
                Err(PrefixError::Stranded { kept, .. }) => {
                    assert!(failing.len() == 2 && kept.join("old.txt").exists());
                }
                Err(error) => assert!(matches!(error, PrefixError::Write { .. }), "{error}"),
            }
        }
    }
}
