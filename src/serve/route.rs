//! [`Route`]: which thing a path names. Whether the thing is there is not asked here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS};
use crate::vocab::digest::Digest;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The page for people.
    Front,
    /// The list of projects.
    Index,
    /// The list of projects, without the slash that its links need.
    BareIndex,
    /// The page of a project.
    Project {
        /// The name as it was written.
        name: Cow<'a, str>,
        /// Whether there is the slash at the end that its links need.
        slash: bool,
    },
    /// A wheel.
    Wheel {
        /// Its blob.
        digest: Digest,
        /// Its file name.
        filename: Cow<'a, str>,
    },
    /// The METADATA of a wheel.
    Metadata {
        /// The wheel's blob.
        digest: Digest,
        /// The wheel's file name.
        filename: Cow<'a, str>,
    },
    /// The log of a build, as a page.
    Log(Digest),
    /// The log of a build, as it is.
    LogText(Digest),
    /// `upper-constraints.txt`.
    Constraints,
    /// `global-requirements.txt`.
    GlobalRequirements,
    /// Nothing that there ever is.
    Unknown,
}

impl<'a> Route<'a> {
    /// What the path of a request names.
    pub(super) fn of(path: &'a str) -> Self {
        Self::parse(path).unwrap_or(Self::Unknown)
    }

    fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let text = |part: &'a str| percent_decode_str(part).decode_utf8().ok();
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        Some(match (first, rest) {
            ("", None) => Self::Front,
            ("simple", None) => Self::BareIndex,
            ("simple", Some("")) => Self::Index,
            ("simple", Some(rest)) => {
                let (name, slash) = match rest.strip_suffix('/') {
                    Some(name) => (name, true),
                    None => (rest, false),
                };
                Self::Project { name: text(name)?, slash }
            }
            ("files", Some(rest)) => {
                let (digest, name) = rest.split_once('/')?;
                let (digest, filename) = (hex(digest)?, text(name)?);
                match filename.strip_suffix(".metadata") {
                    Some(wheel) => Self::Metadata { digest, filename: wheel.to_owned().into() },
                    None => Self::Wheel { digest, filename },
                }
            }
            ("log", Some(rest)) => match rest.strip_suffix(".txt") {
                Some(key) => Self::LogText(hex(key)?),
                None => Self::Log(hex(rest)?),
            },
            (CONSTRAINTS, None) => Self::Constraints,
            (GLOBAL_REQUIREMENTS, None) => Self::GlobalRequirements,
            _ => return None,
        })
    }
}

/// A digest in the one spelling that is linked to: an address is as good as the bytes it leads to
/// only if there are not two of it.
fn hex(text: &str) -> Option<Digest> {
    Digest::from_hex(text).ok().filter(|digest| digest.hex() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_things() {
        #[track_caller]
        fn case(path: &str, expected: &Route<'_>) {
            assert_eq!(Route::of(path), *expected, "{path}");
        }
        let digest = Digest::of(b"");
        let hex = digest.hex();
        let filename = Cow::from("a-1+x-py3-none-any.whl");
        let project = |name: &'static str, slash| Route::Project { name: name.into(), slash };
        case("/", &Route::Front);
        case("/simple", &Route::BareIndex);
        case("/simple/", &Route::Index);
        case("/simple/six/", &project("six", true));
        case("/simple/six", &project("six", false));
        case("/simple/Zope%2EInterface/", &project("Zope.Interface", true));
        case("/simple/a/b/", &project("a/b", true));
        case("/simple/..%2f/", &project("../", true));
        case("/simple/%ff/", &Route::Unknown);
        let wheel = Route::Wheel { digest, filename: filename.clone() };
        case(&format!("/files/{hex}/a-1+x-py3-none-any.whl"), &wheel);
        case(&format!("/files/{hex}/a-1%2Bx-py3-none-any.whl"), &wheel);
        let metadata = Route::Metadata { digest, filename };
        case(&format!("/files/{hex}/a-1%2Bx-py3-none-any.whl.metadata"), &metadata);
        case(&format!("/log/{hex}"), &Route::Log(digest));
        case(&format!("/log/{hex}.txt"), &Route::LogText(digest));
        case("/upper-constraints.txt", &Route::Constraints);
        case("/global-requirements.txt", &Route::GlobalRequirements);
        for path in
            ["", "*", "//", "/files", "/files/", "/files/x/a.whl", "/log", "/log/", "/log/x"]
        {
            case(path, &Route::Unknown);
        }
        for path in ["/index.html", "/Simple/", "/upper-constraints.txt/", "/simple.json"] {
            case(path, &Route::Unknown);
        }
        case(&format!("/files/{hex}"), &Route::Unknown);
        case(&format!("/files/{}/a.whl", hex.to_uppercase()), &Route::Unknown);
    }
}
