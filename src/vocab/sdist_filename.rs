//! [`SdistFilename`]: the name of a source distribution, read with the project's name known.
//!
//! Before PEP 625 a name may hold hyphens, dots and capitals (`a-1-1.zip` is version `1-1` of `a`),
//! so the split between name and version is only sure when the project is known.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;

use super::requirement::{PackageName, package_name};

/// How the files of a source distribution are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SdistFormat {
    /// `.tar.gz` or `.tgz`: what PEP 625 asks for, so it is preferred.
    TarGz,
    /// `.zip`.
    Zip,
    /// `.tar.bz2`.
    TarBz2,
    /// `.tar`.
    Tar,
}

impl SdistFormat {
    const SUFFIXES: [(&'static str, Self); 5] = [
        (".tar.gz", Self::TarGz),
        (".tgz", Self::TarGz),
        (".zip", Self::Zip),
        (".tar.bz2", Self::TarBz2),
        (".tar", Self::Tar),
    ];

    /// The format that the end of a file's name tells, and the name without that end.
    #[must_use]
    pub fn of(filename: &str) -> Option<(Self, &str)> {
        Self::SUFFIXES
            .iter()
            .find_map(|(suffix, format)| Some((*format, filename.strip_suffix(suffix)?)))
    }
}

/// The parsed name of a source distribution; displays as the very text it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SdistFilename {
    name: PackageName,
    version: Version,
    format: SdistFormat,
    text: String,
}

impl SdistFilename {
    /// Parses `text` as a source distribution of the project `name`.
    ///
    /// # Errors
    /// [`SdistFilenameError`] when the suffix is unknown, the name is another project's, or what is
    /// left is no PEP 440 version.
    pub fn parse(text: &str, name: &PackageName) -> Result<Self, SdistFilenameError> {
        let refuse = |fault| SdistFilenameError { text: text.into(), name: name.clone(), fault };
        if text.contains(['/', '\\', '\0']) {
            return Err(refuse("is a path"));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(refuse("holds white space, a control character or no ASCII"));
        }
        let (format, stem) =
            SdistFormat::of(text).ok_or_else(|| refuse("does not end as a source archive does"))?;
        // Every hyphen may be the one before the version; the right one leaves the known name.
        let version = stem
            .match_indices('-')
            .filter(|(i, _)| package_name(&stem[..*i]).is_some_and(|n| n == *name))
            .find_map(|(i, _)| Version::from_str(&stem[i + 1..]).ok())
            .ok_or_else(|| refuse("does not hold the project's name and a PEP 440 version"))?;
        Ok(Self { name: name.clone(), version, format, text: text.into() })
    }

    /// The normalised project name (PEP 503).
    #[must_use]
    pub const fn name(&self) -> &PackageName {
        &self.name
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// How the files are packed.
    #[must_use]
    pub const fn format(&self) -> SdistFormat {
        self.format
    }

    /// The file name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SdistFilename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is not the name of a source distribution of a project, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the source archive name `{}` of `{name}` {fault}", text.escape_debug())]
pub struct SdistFilenameError {
    text: String,
    name: PackageName,
    fault: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(text: &str, name: &str, version: &str, format: SdistFormat) {
        let name = PackageName::new(name.into()).unwrap();
        let sdist = SdistFilename::parse(text, &name).unwrap();
        assert_eq!((sdist.version().to_string().as_str(), sdist.format()), (version, format));
        assert_eq!(sdist.to_string(), text);
    }

    #[test]
    fn splits_with_the_known_name() {
        case("six-1.16.0.tar.gz", "six", "1.16.0", SdistFormat::TarGz);
        case("a-1-1.zip", "a", "1.post1", SdistFormat::Zip);
        case("a-1-1.zip", "a-1", "1", SdistFormat::Zip);
        case("oslo.config-9.6.0.tar.gz", "oslo-config", "9.6.0", SdistFormat::TarGz);
        case("Foo_Bar-2.0a1.tar.bz2", "foo-bar", "2.0a1", SdistFormat::TarBz2);
        case("python-mimeparse-1.6.0.tgz", "python-mimeparse", "1.6.0", SdistFormat::TarGz);
    }

    #[test]
    fn refuses_what_is_another_project_or_no_archive() {
        let name = PackageName::new("six".into()).unwrap();
        for text in [
            "seven-1.0.tar.gz",
            "six-1.0.exe",
            "six.tar.gz",
            "six-one.zip",
            "../six-1.zip",
            "six-1\n.zip",
            "six-\t1.zip",
        ] {
            assert!(SdistFilename::parse(text, &name).is_err(), "{text}");
        }
    }
}
