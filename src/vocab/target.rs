//! [`Target`]: the Python and the platform that wheels are for.
//!
//! A target is a value: it can be asked of an interpreter (see `build::interpreter`) or written down
//! in a lock. Every question of "does this fit?" is asked of the target, never of this machine.

use std::fmt;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::MarkerEnvironment;

use super::tags::Tags;

/// The C library a platform's binaries are linked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Libc {
    /// The GNU C library, for manylinux (PEP 600).
    Glibc {
        /// First number of its version.
        major: u16,
        /// Second number of its version.
        minor: u16,
    },
    /// musl, for musllinux (PEP 656).
    Musl {
        /// First number of its version.
        major: u16,
        /// Second number of its version.
        minor: u16,
    },
}

/// An operating system's wheel-relevant part: its C library and its processor. Linux only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    libc: Libc,
    arch: String,
}

impl Platform {
    /// `arch` as `platform.machine()` gives it, for example `x86_64` or `aarch64`.
    #[must_use]
    pub fn new(libc: Libc, arch: impl Into<String>) -> Self {
        Self { libc, arch: arch.into() }
    }

    /// The C library.
    #[must_use]
    pub const fn libc(&self) -> Libc {
        self.libc
    }

    /// The processor, as in wheel tags.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.libc {
            Libc::Glibc { major, minor } => {
                write!(f, "linux {} (glibc {major}.{minor})", self.arch)
            }
            Libc::Musl { major, minor } => write!(f, "linux {} (musl {major}.{minor})", self.arch),
        }
    }
}

/// A CPython on a platform: what markers, tags and Requires-Python are judged by.
#[derive(Debug, Clone)]
pub struct Target {
    python: Version,
    minor: u8,
    platform: Platform,
    markers: MarkerEnvironment,
    tags: Tags,
}

impl Target {
    /// Joins what an interpreter says of itself.
    ///
    /// # Errors
    /// [`TargetError`] when it is not CPython 3 or its version is no PEP 440 version.
    pub fn new(markers: MarkerEnvironment, platform: Platform) -> Result<Self, TargetError> {
        if markers.implementation_name() != "cpython" {
            let implementation = markers.implementation_name().to_owned();
            return Err(TargetError::Implementation { implementation });
        }
        // A distribution may mark a patched build with `+`; PEP 440 has no such ending.
        let text = markers.python_full_version().string.trim_end_matches('+').to_owned();
        let python =
            Version::from_str(&text).map_err(|_| TargetError::Version { text: text.clone() })?;
        let minor = match python.release() {
            [3, minor, ..] => u8::try_from(*minor).ok(),
            _ => None,
        }
        .ok_or(TargetError::Version { text })?;
        let tags = Tags::cpython(minor, &platform);
        Ok(Self { python, minor, platform, markers, tags })
    }

    /// The full version of the Python, for example `3.11.7`.
    #[must_use]
    pub const fn python(&self) -> &Version {
        &self.python
    }

    /// The Python's minor version: `11` of `3.11.7`.
    #[must_use]
    pub const fn minor(&self) -> u8 {
        self.minor
    }

    /// The platform.
    #[must_use]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What environment markers are evaluated against (PEP 508).
    #[must_use]
    pub const fn markers(&self) -> &MarkerEnvironment {
        &self.markers
    }

    /// The wheel tags it takes, in order.
    #[must_use]
    pub const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Whether a Requires-Python admits this Python, upper bounds included.
    ///
    /// A pre-release of Python counts as its release, as pip and uv have it.
    #[must_use]
    pub fn satisfies(&self, requires_python: &VersionSpecifiers) -> bool {
        requires_python.contains(&self.python.only_release())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpython {} on {}", self.python, self.platform)
    }
}

/// An interpreter that loci cannot make wheels for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is not CPython.
    #[error("the interpreter is `{implementation}`, and only cpython is supported")]
    Implementation {
        /// `sys.implementation.name`.
        implementation: String,
    },
    /// It is not a Python 3 with a PEP 440 version.
    #[error("`{text}` is not a version of Python 3")]
    Version {
        /// `platform.python_version()`.
        text: String,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use pep508_rs::MarkerEnvironmentBuilder;

    use super::*;

    /// A target for tests: CPython of that version on Debian 12 on a 64-bit PC.
    pub(crate) fn debian(full_version: &str) -> Target {
        let minor: Vec<&str> = full_version.splitn(3, '.').collect();
        let markers = MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: full_version,
            os_name: "posix",
            platform_machine: "x86_64",
            platform_python_implementation: "CPython",
            platform_release: "6.1.0",
            platform_system: "Linux",
            platform_version: "#1 SMP",
            python_full_version: full_version,
            python_version: &minor[..2].join("."),
            sys_platform: "linux",
        })
        .unwrap();
        Target::new(markers, Platform::new(Libc::Glibc { major: 2, minor: 36 }, "x86_64")).unwrap()
    }

    #[test]
    fn requires_python_is_judged_for_the_target() {
        let target = debian("3.11.7");
        for (specifiers, holds) in [
            (">=3.11", true),
            (">=3.12", false),
            (">=3.6,<3.11", false),
            (">=2.7,!=3.11.*", false),
            ("", true),
        ] {
            assert_eq!(target.satisfies(&specifiers.parse().unwrap()), holds, "{specifiers}");
        }
        assert_eq!(target.to_string(), "cpython 3.11.7 on linux x86_64 (glibc 2.36)");
    }
}
