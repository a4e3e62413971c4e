//! [`Policy`]: a word to maintainer scripts that no service is to be started (`policy-rc.d`), as long as packages
//! are installed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::service::root::error::RootError;
use crate::service::root::inside::follow;

/// Debian Policy, 9.3.3.1: 101 is "forbidden by policy". What loci left when it was killed is known by the comment.
const SCRIPT: &str = "#!/bin/sh\n# Here as long as loci installs packages.\nexit 101\n";
/// Where one that was there before waits for its place.
const ASIDE: &str = ".before-loci";

/// The script in its place. What was there before is there again when this is dropped.
pub(super) struct Policy {
    path: PathBuf,
    aside: Option<PathBuf>,
}

impl Policy {
    /// Puts it into `root`.
    pub(super) fn deny(root: &Path) -> Result<Self, RootError> {
        let path = Path::new("usr/sbin/policy-rc.d");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RootError::Io { act: "write", path, source }
        };
        let folder = follow(root, Path::new("usr/sbin")).map_err(failed(&root.join(path)))?;
        let path = folder.join("policy-rc.d");
        let mut aside: OsString = path.clone().into();
        aside.push(ASIDE);
        let aside = PathBuf::from(aside);
        if !is_ours(&path) {
            match fs::rename(&path, &aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path)(error));
                }
                _ => {}
            }
        }
        // Also when it was put there by a run that was killed.
        let has_aside = fs::symlink_metadata(&aside).is_ok();
        let policy = Self { path, aside: has_aside.then_some(aside) };
        policy.write().map_err(failed(&policy.path))?;
        Ok(policy)
    }

    fn write(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&self.path)?
            .write_all(SCRIPT.as_bytes())
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // A package may have put its own there meanwhile, which then stays if nothing was there before.
        let is_ours = is_ours(&self.path);
        let _ = match &self.aside {
            Some(aside) => fs::rename(aside, &self.path),
            None if is_ours => fs::remove_file(&self.path),
            None => Ok(()),
        };
    }
}

fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|text| text == SCRIPT.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_was_there_before_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        symlink("bin", dir.path().join("usr/sbin")).unwrap();
        let path = dir.path().join("usr/bin/policy-rc.d");
        let text = || fs::read_to_string(&path).ok();
        for before in [None, Some("mine")] {
            before.inspect(|before| fs::write(&path, before).unwrap());
            let policy = Policy::deny(dir.path()).unwrap();
            assert_eq!(text().as_deref(), Some(SCRIPT));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
            drop(policy);
            assert_eq!(text().as_deref(), before);
        }
        // One that was killed leaves it to the next.
        std::mem::forget(Policy::deny(dir.path()).unwrap());
        drop(Policy::deny(dir.path()).unwrap());
        assert_eq!(text().as_deref(), Some("mine"));
        assert_eq!(fs::read_dir(dir.path().join("usr/bin")).unwrap().count(), 1);
    }

    #[test]
    fn one_that_was_killed_is_not_taken_for_the_roots_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/sbin")).unwrap();
        std::mem::forget(Policy::deny(dir.path()).unwrap());
        drop(Policy::deny(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("usr/sbin")).unwrap().count(), 0);
    }
}
