//! The lock of a set: which files it is, for every installer that reads `pylock.toml` (PEP 751).
//!
//! It stands in `.loci/` of a written set, and its paths lead to the wheels beside that, so whoever installs by it
//! needs nothing else.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::MarkerTree;

use crate::resolve::lock::{FilePlace, Lock, LockedFile, LockedPackage};
use crate::store::set::WheelSet;

/// The text of the lock of `set`.
#[must_use]
pub fn text(set: &WheelSet) -> String {
    let mut packages = BTreeMap::new();
    for wheel in &set.wheels {
        let (name, version) = (wheel.filename.name().clone(), wheel.filename.version().clone());
        let package =
            packages.entry((name.clone(), version.clone())).or_insert_with(|| LockedPackage {
                name,
                version,
                marker: MarkerTree::TRUE,
                requires_python: None,
                dependencies: BTreeSet::new(),
                index: None,
                wheels: Vec::new(),
                sdist: None,
            });
        package.wheels.push(LockedFile {
            place: FilePlace::Path(format!("../{}", wheel.filename)),
            filename: wheel.filename.clone(),
            size: Some(wheel.size),
            sha256: wheel.digest,
        });
    }
    Lock { packages: packages.into_values().collect(), ..Lock::default() }.to_pylock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::set::{Origin, SetWheel};
    use crate::vocab::digest::Digest;

    #[test]
    fn a_set_is_locked_by_its_wheels() {
        let wheel = |filename: &str| SetWheel {
            filename: filename.parse().unwrap(),
            digest: Digest::of(b"x"),
            size: 7,
            origin: Origin::Imported { from: "test".into() },
        };
        let set = WheelSet {
            wheels: vec![
                wheel("six-1.16.0-py3-none-any.whl"),
                wheel("Foo_Bar-1-cp311-cp311-linux_x86_64.whl"),
                wheel("Foo_Bar-1-cp312-cp312-linux_x86_64.whl"),
            ],
            ..WheelSet::default()
        };
        insta::assert_snapshot!(text(&set).replace(&Digest::of(b"x").hex(), "X"), @r#"
        lock-version = "1.0"
        created-by = "loci"

        [[packages]]
        name = "foo-bar"
        version = "1"
        wheels = [
            { name = "Foo_Bar-1-cp311-cp311-linux_x86_64.whl", path = "../Foo_Bar-1-cp311-cp311-linux_x86_64.whl", size = 7, hashes = { sha256 = "X" } },
            { name = "Foo_Bar-1-cp312-cp312-linux_x86_64.whl", path = "../Foo_Bar-1-cp312-cp312-linux_x86_64.whl", size = 7, hashes = { sha256 = "X" } },
        ]

        [[packages]]
        name = "six"
        version = "1.16.0"
        wheels = [
            { name = "six-1.16.0-py3-none-any.whl", path = "../six-1.16.0-py3-none-any.whl", size = 7, hashes = { sha256 = "X" } },
        ]
        "#);
        let lock = Lock::from_pylock("pylock.toml", &text(&set)).unwrap();
        assert_eq!(lock.packages.len(), 2);
    }
}
