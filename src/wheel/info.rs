//! [`WheelInfo`]: the WHEEL file, in which a wheel describes itself (PEP 427).

use super::error::Fault;
use crate::vocab::tags::{Tag, TagSet};

/// What the WHEEL file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelInfo {
    /// Whether the archive's root is `purelib`; on Linux environments both are one directory.
    pub root_is_purelib: bool,
    /// `Tag` lines, expanded, in order; lines that are no tags are left out.
    pub tags: Vec<Tag>,
    /// What made the wheel, if it says so.
    pub generator: Option<String>,
    /// The build number, as written.
    pub build: Option<String>,
}

impl WheelInfo {
    /// Reads the text of a WHEEL file.
    ///
    /// # Errors
    /// When `Wheel-Version` is absent or of another major version than 1: such a wheel must not be
    /// installed by who does not know its format.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let refuse = |reason: String| Fault::Info { reason };
        let (headers, _) =
            mailparse::parse_headers(bytes).map_err(|error| refuse(error.to_string()))?;
        let all = |field: &'static str| {
            headers
                .iter()
                .filter(move |header| header.get_key_ref().eq_ignore_ascii_case(field))
                .map(|header| String::from_utf8_lossy(header.get_value_raw()).trim().to_owned())
        };
        let version = all("Wheel-Version")
            .next()
            .ok_or_else(|| refuse("it has no `Wheel-Version`".into()))?;
        if version.split('.').next().and_then(|major| major.parse().ok()) != Some(1_u32) {
            return Err(refuse(format!("its `Wheel-Version` is not of 1.x: {version}")));
        }
        Ok(Self {
            root_is_purelib: all("Root-Is-Purelib")
                .next()
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            tags: all("Tag").filter_map(|tag| expand(&tag)).flatten().collect(),
            generator: all("Generator").next(),
            build: all("Build").next(),
        })
    }
}

fn expand(text: &str) -> Option<Vec<Tag>> {
    let mut parts = text.split('-');
    let set = [parts.next()?, parts.next()?, parts.next()?];
    if parts.next().is_some() {
        return None;
    }
    Some(TagSet::from_parts(set)?.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers() {
        let info = WheelInfo::parse(
            b"Wheel-Version: 1.0\nGenerator: x (1.2)\nRoot-Is-Purelib: True\nTag: py2.py3-none-any\nTag: odd\nBuild: 2b\n",
        )
        .unwrap();
        assert!(info.root_is_purelib);
        let tags: Vec<String> = info.tags.iter().map(ToString::to_string).collect();
        assert_eq!(tags, ["py2-none-any", "py3-none-any"]);
        assert_eq!(info.generator.as_deref(), Some("x (1.2)"));
        assert_eq!(info.build.as_deref(), Some("2b"));
    }

    #[test]
    fn refuses_other_formats() {
        let error = |text: &[u8]| WheelInfo::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(error(b"Wheel-Version: 2.0\n"), @"its WHEEL file cannot be used: its `Wheel-Version` is not of 1.x: 2.0");
        insta::assert_snapshot!(error(b"Tag: a\n"), @"its WHEEL file cannot be used: it has no `Wheel-Version`");
    }
}
