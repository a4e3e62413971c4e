//! A difference and its layer, held against the trees they are about.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use proptest::prelude::*;

use super::difference::{Difference, How};
use super::error::RootError;
use super::fixture::{LayerMaker, tree};
use super::leftovers::Leftovers;
use super::snapshot::Snapshot;
use super::unpack::unpack;

const EPOCH: u64 = 1_700_000_000;

fn base() -> LayerMaker {
    LayerMaker::new()
        .directory("usr", 0o755)
        .directory("usr/lib", 0o755)
        .file("usr/lib/a.so", 0o644, "a")
        .file("usr/lib/b.so", 0o644, "b")
        .symlink("lib", "usr/lib")
        .directory("etc", 0o755)
        .file("etc/conf", 0o640, "conf")
        .directory("etc/dir", 0o700)
        .file("etc/dir/x", 0o644, "x")
        .file("etc/dir/y", 0o644, "y")
        .directory("etc/gone", 0o755)
        .file("etc/gone/z", 0o644, "z")
        .directory("py/__pycache__", 0o755)
        .file("py/m.py", 0o644, "m")
        .file("py/__pycache__/m.pyc", 0o644, "m")
        .file("py/__pycache__/n.pyc", 0o644, "n")
}

/// What `change` makes different in a base: the difference in words, and its layer, with which the base
/// becomes the same tree elsewhere.
fn changed(base: &LayerMaker, change: impl FnOnce(&Path)) -> (Vec<String>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let base = base.bytes();
    unpack([&base[..]], root).unwrap();
    let snapshot = Snapshot::of(root).unwrap();
    change(root);
    let difference = Difference::settle(&snapshot, root, &Leftovers::of_packages()).unwrap();
    let mut layer = Vec::new();
    difference.write_layer(root, EPOCH, &mut layer).unwrap();

    let again = tempfile::tempdir().unwrap();
    unpack([&base[..], &layer[..]], again.path()).unwrap();
    assert_eq!(tree(again.path()), tree(root));

    let words = difference.changes().iter().map(|change| {
        let how = match change.how() {
            How::Added => '+',
            How::Changed => '*',
            How::Removed => '-',
        };
        format!("{how} {}", change.path().display())
    });
    (words.collect(), layer)
}

#[track_caller]
fn case(expected: &[&str], change: impl FnOnce(&Path)) {
    assert_eq!(changed(&base(), change).0, expected);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn what_changed_is_listed_and_nothing_else() {
    case(&[], |_| {});
    // Not the directories in which something changed.
    case(&["+ usr/lib/c.so"], |root| fs::write(root.join("lib/c.so"), "c").unwrap());
    case(&["* usr/lib/a.so"], |root| fs::write(root.join("lib/a.so"), "A").unwrap());
    // The same size and time as before, as far as programs can set it.
    case(&["* usr/lib/a.so"], |root| {
        let path = root.join("usr/lib/a.so");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "A").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    });
    case(&["+ new", "+ new/deep", "+ new/deep/x"], |root| {
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep/x"), "").unwrap();
    });
    case(&["* etc/dir"], |root| set_mode(&root.join("etc/dir"), 0o2755));
    case(&["- etc/gone"], |root| fs::remove_dir_all(root.join("etc/gone")).unwrap());
    case(&["- etc/dir/y", "+ etc/dir/a"], |root| {
        fs::rename(root.join("etc/dir/y"), root.join("etc/dir/a")).unwrap();
    });
    case(&["- etc/dir", "+ etc/dir-2", "+ etc/dir-2/x", "+ etc/dir-2/y"], |root| {
        fs::rename(root.join("etc/dir"), root.join("etc/dir-2")).unwrap();
    });
    // Directories and others in each other's place.
    case(&["* etc/conf", "+ etc/conf/x", "* etc/gone"], |root| {
        fs::remove_file(root.join("etc/conf")).unwrap();
        fs::create_dir(root.join("etc/conf")).unwrap();
        fs::write(root.join("etc/conf/x"), "").unwrap();
        fs::remove_dir_all(root.join("etc/gone")).unwrap();
        symlink("conf", root.join("etc/gone")).unwrap();
    });
    // Made anew with less in it: no more than that went.
    case(&["- etc/dir/y", "* etc/dir/x"], |root| {
        fs::remove_dir_all(root.join("etc/dir")).unwrap();
        fs::create_dir(root.join("etc/dir")).unwrap();
        set_mode(&root.join("etc/dir"), 0o700);
        fs::write(root.join("etc/dir/x"), "new").unwrap();
    });
}

#[test]
fn leftovers_sockets_and_bytecode_are_left_out() {
    case(&["+ tmp", "+ var", "+ var/log", "+ var/log/svc"], |root| {
        fs::create_dir_all(root.join("var/log/svc")).unwrap();
        fs::create_dir_all(root.join("tmp/build")).unwrap();
        fs::write(root.join("var/log/svc/log"), "").unwrap();
        UnixListener::bind(root.join("socket")).unwrap();
    });
    // What is made anew would not fit the module's new time; what was not touched stays.
    case(&["- py/__pycache__/m.pyc", "* py/m.py", "+ usr/lib/new.py"], |root| {
        fs::write(root.join("py/m.py"), "new").unwrap();
        fs::write(root.join("py/__pycache__/m.pyc"), "new").unwrap();
        fs::write(root.join("py/__pycache__/o.pyc"), "o").unwrap();
        fs::write(root.join("usr/lib/new.py"), "").unwrap();
        fs::create_dir(root.join("usr/lib/__pycache__")).unwrap();
        fs::write(root.join("usr/lib/__pycache__/new.pyc"), "").unwrap();
    });
}

#[test]
fn of_a_build_only_bytecode_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    unpack([&base().bytes()[..]], root).unwrap();
    let snapshot = Snapshot::of(root).unwrap();
    for folder in ["tmp/store", "usr/lib/__pycache__"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["tmp/store/blob", "usr/lib/__pycache__/new.pyc", "py/__pycache__/m.pyc"] {
        fs::write(root.join(file), "new").unwrap();
    }
    Difference::settle(&snapshot, root, &Leftovers::of_builds()).unwrap();
    let is_there = |path: &str| root.join(path).exists();
    assert!(is_there("tmp/store/blob") && is_there("py/__pycache__/n.pyc"));
    assert!(!is_there("usr/lib/__pycache__") && !is_there("py/__pycache__/m.pyc"));
}

/// The entries of a layer: name, kind, mode, owner, time, link, records' names.
fn entries(layer: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(layer);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!(header.mtime().unwrap(), EPOCH);
        assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let records = entry.pax_extensions().unwrap().into_iter().flatten();
        let keys: Vec<_> =
            records.map(|record| record.unwrap().key().unwrap().to_owned()).collect();
        format!(
            "{name} {:?} {:o} {}{}",
            header.entry_type(),
            header.mode().unwrap(),
            link.unwrap_or_default(),
            keys.join(" ")
        )
    });
    entries.collect()
}

#[test]
fn the_layer_is_a_function_of_the_files() {
    let long = "n".repeat(120);
    let change = |root: &Path| {
        fs::write(root.join("etc/one"), "shared").unwrap();
        set_mode(&root.join("etc/one"), 0o4711);
        fs::hard_link(root.join("etc/one"), root.join("etc/a-name")).unwrap();
        fs::hard_link(root.join("etc/one"), root.join(&long)).unwrap();
        symlink(&long, root.join("etc/link")).unwrap();
        fs::write(root.join("é"), "").unwrap();
        fs::remove_file(root.join("usr/lib/a.so")).unwrap();
    };
    let (_, layer) = changed(&base(), change);
    let cut = |line: String| line.replace(&long, "LONG");
    let found: Vec<_> = entries(&layer).into_iter().map(cut).collect();
    assert_eq!(
        found,
        [
            "etc/ Directory 755 ",
            "etc/a-name Regular 4711 ",
            "etc/link Symlink 777 LONGlinkpath",
            "etc/one Link 4711 etc/a-name",
            "LONG Link 4711 etc/a-namepath",
            "usr/ Directory 755 ",
            "usr/lib/ Directory 755 ",
            "usr/lib/.wh.a.so Regular 644 ",
            "é Regular 644 path",
        ]
    );
    assert_eq!(changed(&base(), change).1, layer);
    assert_eq!(layer.len() % 512, 0);
}

#[test]
fn owners_are_kept_when_root() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: owners can be set by root only");
        return;
    }
    let huge = 3_000_000;
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Snapshot::of(dir.path()).unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "f").unwrap();
    std::os::unix::fs::chown(&path, Some(42424), Some(huge)).unwrap();
    set_mode(&path, 0o2755);
    let difference = Difference::settle(&snapshot, dir.path(), &Leftovers::of_packages()).unwrap();
    let mut layer = Vec::new();
    difference.write_layer(dir.path(), EPOCH, &mut layer).unwrap();
    let again = tempfile::tempdir().unwrap();
    unpack([&layer[..]], again.path()).unwrap();
    let found = fs::metadata(again.path().join("f")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode()), (42424, huge, 0o10_2755));
}

#[test]
fn a_file_named_as_a_whiteout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Snapshot::of(dir.path()).unwrap();
    fs::write(dir.path().join(".wh.x"), "").unwrap();
    let difference = Difference::settle(&snapshot, dir.path(), &Leftovers::of_packages()).unwrap();
    let error = difference.write_layer(dir.path(), EPOCH, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, RootError::Name { .. }), "{error}");
}

/// A change of a tree, of paths that are few so that they meet.
#[derive(Debug, Clone)]
enum Act {
    Write(String, u8),
    Directory(String),
    Link(String, String),
    Hard(String, String),
    Rename(String, String),
    Remove(String),
    Mode(String, u32),
}

impl Act {
    /// Does it, if it can be done.
    fn on(&self, root: &Path) {
        let remove = |path: &Path| match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            _ => fs::remove_file(path),
        };
        let at = |path: &String| root.join(path);
        let _ = match self {
            Self::Write(path, byte) => fs::write(at(path), [*byte]),
            Self::Directory(path) => fs::create_dir_all(at(path)),
            Self::Link(path, target) => symlink(target, at(path)),
            Self::Hard(path, from) => fs::hard_link(at(from), at(path)),
            Self::Rename(from, to) => fs::rename(at(from), at(to)),
            Self::Remove(path) => remove(&at(path)),
            Self::Mode(path, mode) => match fs::symlink_metadata(at(path)) {
                Ok(found) if !found.is_symlink() => {
                    set_mode(&at(path), *mode);
                    Ok(())
                }
                _ => Ok(()),
            },
        };
    }
}

fn act() -> impl Strategy<Value = Act> {
    let path = || "[ab](/[ab-]){0,3}";
    prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(path, byte)| Act::Write(path, byte)),
        4 => path().prop_map(Act::Directory),
        1 => (path(), "[ab]").prop_map(|(path, target)| Act::Link(path, target)),
        1 => (path(), path()).prop_map(|(path, from)| Act::Hard(path, from)),
        2 => (path(), path()).prop_map(|(from, to)| Act::Rename(from, to)),
        2 => path().prop_map(Act::Remove),
        1 => (path(), prop_oneof![Just(0o750), Just(0o4755)]).prop_map(|(path, mode)| Act::Mode(path, mode)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn base_and_layer_are_the_changed_tree(
        first in prop::collection::vec(act(), 0..30),
        then in prop::collection::vec(act(), 0..20),
    ) {
        let empty = tempfile::tempdir().unwrap();
        let nothing = Snapshot::of(empty.path()).unwrap();
        for act in &first {
            act.on(empty.path());
        }
        let mut base = Vec::new();
        let all = Difference::settle(&nothing, empty.path(), &Leftovers::of_packages()).unwrap();
        all.write_layer(empty.path(), EPOCH, &mut base).unwrap();

        let root = tempfile::tempdir().unwrap();
        unpack([&base[..]], root.path()).unwrap();
        prop_assert_eq!(tree(root.path()), tree(empty.path()));
        let snapshot = Snapshot::of(root.path()).unwrap();
        for act in &then {
            act.on(root.path());
        }
        let mut layer = Vec::new();
        let difference = Difference::settle(&snapshot, root.path(), &Leftovers::of_packages()).unwrap();
        difference.write_layer(root.path(), EPOCH, &mut layer).unwrap();
        let again = tempfile::tempdir().unwrap();
        unpack([&base[..], &layer[..]], again.path()).unwrap();
        prop_assert_eq!(tree(again.path()), tree(root.path()));
    }
}
