//! [`Scheme`]: where the parts of a wheel go below a prefix (Python's `venv` scheme in `sysconfig`).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::vocab::safe_path::SafePath;

/// The directories of an environment for one Python, and the absolute prefix scripts will find their
/// interpreter in. `purelib` and `platlib` are one directory on Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    minor: u8,
    prefix: PathBuf,
}

impl Scheme {
    /// The scheme of Python 3.`minor` in an environment that will stand at `prefix`, which must be
    /// absolute to be of use in scripts. Nothing is looked up there.
    #[must_use]
    pub fn for_python(minor: u8, prefix: &Path) -> Self {
        Self { minor, prefix: prefix.to_owned() }
    }

    /// Python's minor version.
    #[must_use]
    pub const fn minor(&self) -> u8 {
        self.minor
    }

    /// The absolute prefix.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// `lib/python3.X/site-packages`.
    #[must_use]
    pub fn site_packages(&self) -> SafePath {
        fixed(&format!("lib/python3.{}/site-packages", self.minor))
    }

    /// `bin`.
    #[must_use]
    pub fn scripts(&self) -> SafePath {
        fixed("bin")
    }

    /// `include/site/python3.X`, below which each project has a directory, as pip has it.
    #[must_use]
    pub fn headers(&self) -> SafePath {
        fixed(&format!("include/site/python3.{}", self.minor))
    }

    /// The interpreter scripts start, as bytes of a path.
    #[must_use]
    pub fn interpreter(&self) -> Vec<u8> {
        self.prefix.join("bin/python").as_os_str().as_bytes().to_vec()
    }
}

fn fixed(path: &str) -> SafePath {
    path.parse().expect("these paths are made of fixed words and a number")
}
