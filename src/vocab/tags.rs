//! Compatibility tags (PEP 425) and the order in which an interpreter prefers them (PEP 600, 656).

use std::collections::HashMap;
use std::fmt;

use super::target::{Libc, Platform};

/// One tag: a Python, an ABI and a platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// For example `cp311` or `py3`.
    pub python: String,
    /// For example `cp311`, `abi3` or `none`.
    pub abi: String,
    /// For example `manylinux_2_17_x86_64` or `any`.
    pub platform: String,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// The compressed tag set of a file name (PEP 425, "Compressed Tag Sets").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagSet {
    pythons: Vec<String>,
    abis: Vec<String>,
    platforms: Vec<String>,
}

impl TagSet {
    /// Takes the three dotted parts (`py2.py3`, `none`, `any`); none when one is empty.
    #[must_use]
    pub fn from_parts(parts: [&str; 3]) -> Option<Self> {
        let [pythons, abis, platforms] =
            parts.map(|part| part.split('.').map(str::to_ascii_lowercase).collect::<Vec<String>>());
        let whole = [&pythons, &abis, &platforms]
            .into_iter()
            .all(|part| part.iter().all(|piece| !piece.is_empty()));
        whole.then_some(Self { pythons, abis, platforms })
    }

    /// Every tag of the set.
    pub fn iter(&self) -> impl Iterator<Item = Tag> + '_ {
        self.pythons.iter().flat_map(move |python| {
            self.abis.iter().flat_map(move |abi| {
                self.platforms.iter().map(move |platform| Tag {
                    python: python.clone(),
                    abi: abi.clone(),
                    platform: platform.clone(),
                })
            })
        })
    }

    /// Whether every tag is of no ABI and any platform.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.abis.iter().all(|abi| abi == "none") && self.platforms.iter().all(|p| p == "any")
    }
}

impl fmt::Display for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pythons.join("."), self.abis.join("."), self.platforms.join("."))
    }
}

/// The tags an interpreter takes, most wanted first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    ranks: HashMap<Tag, usize>,
    ordered: Vec<Tag>,
}

/// How much an interpreter wants a wheel: greater is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagPriority(usize);

impl Tags {
    /// The tags of CPython `3.minor` on `platform`, in the order of `packaging.tags.sys_tags`.
    #[must_use]
    pub fn cpython(minor: u8, platform: &Platform) -> Self {
        let platforms = platform_tags(platform);
        let mut tags = Vec::new();
        let mut push = |python: &str, abi: &str, platform: &str| {
            tags.push(Tag { python: python.into(), abi: abi.into(), platform: platform.into() });
        };
        let this = format!("cp3{minor}");
        for abi in [this.as_str(), "abi3", "none"] {
            for platform in &platforms {
                push(&this, abi, platform);
            }
        }
        // An abi3 wheel of an older Python is compatible from 3.2 on, where PEP 384 begins.
        for older in (2..minor).rev() {
            for platform in &platforms {
                push(&format!("cp3{older}"), "abi3", platform);
            }
        }
        let generic: Vec<String> = [format!("py3{minor}"), "py3".into()]
            .into_iter()
            .chain((0..minor).rev().map(|older| format!("py3{older}")))
            .collect();
        for python in &generic {
            for platform in &platforms {
                push(python, "none", platform);
            }
        }
        push(&this, "none", "any");
        for python in &generic {
            push(python, "none", "any");
        }
        Self::from_ordered(tags)
    }

    /// Takes a list of tags, most wanted first.
    fn from_ordered(ordered: Vec<Tag>) -> Self {
        let mut ranks = HashMap::with_capacity(ordered.len());
        for (rank, tag) in ordered.iter().enumerate() {
            ranks.entry(tag.clone()).or_insert(rank);
        }
        Self { ranks, ordered }
    }

    /// How much a file with these tags is wanted; none when no tag fits.
    #[must_use]
    pub fn priority(&self, tags: &TagSet) -> Option<TagPriority> {
        let rank = tags.iter().filter_map(|tag| self.ranks.get(&tag)).min()?;
        Some(TagPriority(self.ordered.len() - rank))
    }

    /// The tags, most wanted first.
    #[must_use]
    pub fn ordered(&self) -> &[Tag] {
        &self.ordered
    }
}

/// The platform tags of `platform`, most wanted first: every manylinux down to 2.5 with the legacy
/// aliases after the version they stand for (PEP 600), or every musllinux (PEP 656); then `linux`.
fn platform_tags(platform: &Platform) -> Vec<String> {
    let arch = platform.arch();
    let mut tags = Vec::new();
    match platform.libc() {
        Libc::Glibc { major: 2, minor } => {
            // Only the two oldest architectures have wheels built before glibc 2.17.
            let oldest = if matches!(arch, "x86_64" | "i686") { 5 } else { 17 };
            for minor in (oldest..=minor).rev() {
                tags.push(format!("manylinux_2_{minor}_{arch}"));
                match minor {
                    17 => tags.push(format!("manylinux2014_{arch}")),
                    12 => tags.push(format!("manylinux2010_{arch}")),
                    5 => tags.push(format!("manylinux1_{arch}")),
                    _ => {}
                }
            }
        }
        Libc::Glibc { major, minor } => tags.push(format!("manylinux_{major}_{minor}_{arch}")),
        Libc::Musl { major, minor } => {
            for minor in (0..=minor).rev() {
                tags.push(format!("musllinux_{major}_{minor}_{arch}"));
            }
        }
    }
    tags.push(format!("linux_{arch}"));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Platform {
        Platform::new(Libc::Glibc { major: 2, minor: 36 }, "x86_64")
    }

    #[track_caller]
    fn set(parts: [&str; 3]) -> TagSet {
        TagSet::from_parts(parts).unwrap()
    }

    #[test]
    fn order_is_that_of_packaging() {
        let tags = Tags::cpython(11, &debian());
        let ordered: Vec<String> = tags.ordered().iter().map(ToString::to_string).collect();
        assert_eq!(ordered[0], "cp311-cp311-manylinux_2_36_x86_64");
        let at =
            |tag: &str| ordered.iter().position(|t| t == tag).unwrap_or_else(|| panic!("{tag}"));
        for pair in [
            ["cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"],
            ["cp311-cp311-manylinux2014_x86_64", "cp311-cp311-manylinux_2_16_x86_64"],
            ["cp311-cp311-linux_x86_64", "cp311-abi3-manylinux_2_36_x86_64"],
            ["cp311-none-linux_x86_64", "cp310-abi3-manylinux_2_36_x86_64"],
            ["cp32-abi3-linux_x86_64", "py311-none-manylinux_2_36_x86_64"],
            ["py311-none-linux_x86_64", "py3-none-manylinux_2_36_x86_64"],
            ["py30-none-linux_x86_64", "cp311-none-any"],
            ["cp311-none-any", "py311-none-any"],
            ["py311-none-any", "py3-none-any"],
            ["py3-none-any", "py310-none-any"],
        ] {
            assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn a_set_is_as_wanted_as_its_best_tag() {
        let tags = Tags::cpython(11, &debian());
        let best =
            tags.priority(&set(["cp311", "cp311", "manylinux_2_5_x86_64.manylinux_2_36_x86_64"]));
        assert_eq!(best, tags.priority(&set(["cp311", "cp311", "manylinux_2_36_x86_64"])));
        assert!(best > tags.priority(&set(["py2.py3", "none", "any"])));
        assert_eq!(tags.priority(&set(["cp312", "cp312", "manylinux_2_17_x86_64"])), None);
        assert_eq!(tags.priority(&set(["cp311", "cp311", "manylinux_2_38_x86_64"])), None);
        assert!(tags.priority(&set(["cp37", "abi3", "manylinux2014_x86_64"])).is_some());
    }

    #[test]
    fn musl_and_arm_have_their_own() {
        let tags = Tags::cpython(12, &Platform::new(Libc::Musl { major: 1, minor: 2 }, "aarch64"));
        assert!(tags.priority(&set(["cp312", "cp312", "musllinux_1_1_aarch64"])).is_some());
        assert!(tags.priority(&set(["cp312", "cp312", "manylinux2014_aarch64"])).is_none());
        let tags =
            Tags::cpython(12, &Platform::new(Libc::Glibc { major: 2, minor: 36 }, "aarch64"));
        assert!(tags.priority(&set(["cp312", "cp312", "manylinux2014_aarch64"])).is_some());
        assert!(tags.priority(&set(["cp312", "cp312", "manylinux1_aarch64"])).is_none());
    }
}
