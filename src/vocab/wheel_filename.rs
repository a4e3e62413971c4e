//! [`WheelFilename`]: what the name of a `.whl` file says (PEP 427, "File name convention").

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use serde::{Deserialize, Serialize};

use super::requirement::{PackageName, package_name};
use super::tags::TagSet;

/// The parsed name of a wheel; displays as the very text it was parsed from.
///
/// Names in upper case and with dots, as old wheels have them, are accepted: the file on the index
/// is called so, and nothing else names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WheelFilename {
    name: PackageName,
    version: Version,
    build: Option<BuildTag>,
    tags: TagSet,
    text: String,
}

impl WheelFilename {
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

    /// The build tag, which breaks ties between wheels of one version and tag.
    #[must_use]
    pub const fn build(&self) -> Option<&BuildTag> {
        self.build.as_ref()
    }

    /// The compressed tag set.
    #[must_use]
    pub const fn tags(&self) -> &TagSet {
        &self.tags
    }

    /// The file name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the wheel runs anywhere: every tag is of no ABI and any platform.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.tags.is_pure()
    }
}

impl FromStr for WheelFilename {
    type Err = WheelFilenameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |fault| WheelFilenameError { text: text.into(), fault };
        if text.contains(['/', '\\', '\0']) {
            return Err(refuse("is a path"));
        }
        // Names come from pages and archives of strangers, and go into lists, paths and messages.
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(refuse("holds white space, a control character or no ASCII"));
        }
        let stem = text.strip_suffix(".whl").ok_or_else(|| refuse("does not end in `.whl`"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts[..] {
            [name, version, python, abi, platform] => {
                (name, version, None, [python, abi, platform])
            }
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return Err(refuse("does not have five or six parts between hyphens")),
        };
        Ok(Self {
            name: package_name(name).ok_or_else(|| refuse("has no valid name"))?,
            version: Version::from_str(version).map_err(|_| refuse("has no PEP 440 version"))?,
            build: build
                .map(|build| build.parse().map_err(|()| refuse("has a build tag without a number")))
                .transpose()?,
            tags: TagSet::from_parts(tags).ok_or_else(|| refuse("has an empty tag"))?,
            text: text.into(),
        })
    }
}

impl fmt::Display for WheelFilename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for WheelFilename {
    type Error = WheelFilenameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WheelFilename> for String {
    fn from(filename: WheelFilename) -> Self {
        filename.text
    }
}

/// A build tag: a number, then any letters; compared number first (PEP 427).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildTag(u64, String);

impl FromStr for BuildTag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number = text[..digits].parse().map_err(|_| ())?;
        Ok(Self(number, text[digits..].into()))
    }
}

/// A text that is not the name of a wheel, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the wheel name `{}` {fault}", text.escape_debug())]
pub struct WheelFilenameError {
    text: String,
    fault: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_part() {
        let name: WheelFilename =
            "Foo.Bar-1.0.post1-2b-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
                .parse()
                .unwrap();
        assert_eq!(name.name().as_ref(), "foo-bar");
        assert_eq!(name.version().to_string(), "1.0.post1");
        assert_eq!(name.build(), Some(&BuildTag(2, "b".into())));
        assert_eq!(name.tags().iter().count(), 2);
        assert!(!name.is_pure());
        assert!("six-1.16.0-py2.py3-none-any.whl".parse::<WheelFilename>().unwrap().is_pure());
    }

    #[test]
    fn refuses_what_is_no_wheel() {
        for text in [
            "six-1.16.0.tar.gz",
            "six-1.16.0-py3-none.whl",
            "six-one-py3-none-any.whl",
            "six-1-x-py3-none-any.whl",
            "../six-1-py3-none-any.whl",
            "six-1--none-any.whl",
            "a-1-2-3-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "six-1-py3-none-any\n.whl",
            "six-1-py3-none-a\tny.whl",
            "six-1-1\x1b[2J-py3-none-any.whl",
            "six- 1 -py3-none-any.whl",
        ] {
            assert!(text.parse::<WheelFilename>().is_err(), "{text}");
        }
    }

    #[test]
    fn build_tags_compare_by_number() {
        let build = |text: &str| text.parse::<BuildTag>().unwrap();
        assert!(build("10") > build("9"));
        assert!(build("1b") > build("1a"));
    }
}
