//! Real packages in private roots of real bases: what they leave in the layer, and that it is the same every
//! time.
//!
//! Needs root, a network, and plain tars of Debian bases in the folder that `LOCI_TEST_BASES` names
//! (`bookworm.tar`, ...), as `debootstrap --variant=minbase` and `tar -C BASE -c .` make them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use loci::service::packages::{Packages, PackagesError};
use loci::service::root::difference::{Change, Difference, How};
use loci::service::root::leftovers::Leftovers;
use loci::service::root::run::Root;
use loci::service::root::snapshot::Snapshot;
use loci::service::root::unpack::unpack;
use loci::vocab::distro::PackageManager;

use crate::private_root;

const EPOCH: u64 = 1_700_000_000;

/// The bases that are here, and none, with the reason said, when they are of no use.
fn bases() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("LOCI_TEST_BASES") else {
        println!("skipped: `LOCI_TEST_BASES` names no folder with bases");
        return Vec::new();
    };
    if !private_root::are_there() {
        return Vec::new();
    }
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut bases: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "tar")).collect();
    bases.sort();
    bases
}

/// What installing `names` makes of a base: the difference and its layer.
fn installed(base: &Path, names: &[&str]) -> (Difference, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    unpack([BufReader::new(File::open(base).unwrap())], dir.path()).unwrap();
    let snapshot = Snapshot::of(dir.path()).unwrap();
    let root = Root::private(dir.path()).unwrap().with_epoch(EPOCH);
    let packages = Packages::new(&root, PackageManager::Apt, "Debian").unwrap();
    let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
    let resolved = packages.resolve(&names, &mut |_| {}).unwrap();
    let changed = packages.install(&names, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    assert!(names.iter().all(|name| changed.added.contains_key(name.as_str())), "{changed:?}");
    assert_eq!(resolved, Some(changed.added));
    assert_eq!(packages.resolve(&names, &mut |_| {}).unwrap(), Some(BTreeMap::new()));
    let difference = Difference::settle(&snapshot, dir.path(), &Leftovers::of_packages()).unwrap();
    let mut layer = Vec::new();
    difference.write_layer(dir.path(), EPOCH, &mut layer).unwrap();
    (difference, layer)
}

#[test]
fn the_same_packages_make_the_same_layer() {
    for base in bases() {
        let (difference, layer) = installed(&base, &["lvm2", "apache2"]);
        let is_removed = |change: &&Change| change.how() == How::Removed;
        let (removed, there): (Vec<_>, Vec<_>) = difference.changes().iter().partition(is_removed);
        // Logs and the like, which would have other lines now.
        let is_left = |path: &Path| {
            let text = path.to_str().unwrap();
            ["var/log/", "var/cache/"].iter().any(|start| text.starts_with(start))
                || ["-", "-old"].iter().any(|end| text.ends_with(end))
        };
        let odd = removed.iter().map(|change| change.path()).find(|path| !is_left(path));
        assert_eq!(odd, None);
        let paths: Vec<_> = there.iter().map(|change| change.path()).collect();
        for must in
            ["usr/sbin/lvm", "etc/apache2/apache2.conf", "var/log/apache2", "var/lib/dpkg/status"]
        {
            assert!(paths.contains(&Path::new(must)), "{must}");
        }
        let odd = [
            "var/cache/apt",
            "var/lib/apt/lists",
            "var/log/apt",
            "tmp",
            "run",
            "dev",
            "usr/sbin/policy-rc.d",
        ];
        // Of a directory of theirs that was there the owner may be another.
        let added = there.iter().filter(|change| change.how() == How::Added);
        let mut added = added.map(|change| change.path());
        assert_eq!(added.find(|path| odd.iter().any(|odd| path.starts_with(odd))), None);
        let (_, again) = installed(&base, &["lvm2", "apache2"]);
        assert!(again == layer, "{}: the two layers differ", base.display());
    }
}

#[test]
fn what_is_no_package_is_named() {
    for base in bases() {
        let dir = tempfile::tempdir().unwrap();
        unpack([BufReader::new(File::open(&base).unwrap())], dir.path()).unwrap();
        let root = Root::private(dir.path()).unwrap();
        let packages = Packages::new(&root, PackageManager::Apt, "Debian 12").unwrap();
        let names = ["lvm2", "no-such-package", "nor+this"].map(|name| name.parse().unwrap());
        let error = packages.install(&names, &mut |_| {}).unwrap_err();
        assert!(matches!(error, PackagesError::Trouble { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "packages `no-such-package`, `nor+this` do not exist in Debian 12"
        );
        assert!(!dir.path().join("usr/sbin/policy-rc.d").exists());
    }
}
