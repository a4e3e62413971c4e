//! What layers become, honest ones and others.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::attributes;
use super::error::RootError;
use super::fixture::{LayerMaker, tree};
use super::unpack::unpack;

fn unpacked(layers: &[&LayerMaker]) -> Result<tempfile::TempDir, RootError> {
    let dir = tempfile::tempdir().unwrap();
    let layers: Vec<_> = layers.iter().map(|layer| layer.bytes()).collect();
    unpack(layers.iter().map(|tar| &tar[..]), dir.path())?;
    Ok(dir)
}

#[track_caller]
fn case(layers: &[&LayerMaker], expected: &[&str]) {
    assert_eq!(tree(unpacked(layers).unwrap().path()), expected);
}

#[test]
fn later_layers_replace_merge_and_hide() {
    let base = LayerMaker::new()
        .directory("./", 0o755)
        .directory("a/", 0o750)
        .file("a/one", 0o644, "1")
        .file("a/two", 0o4755, "2")
        .directory("a/deep/", 0o755)
        .file("a/deep/three", 0o600, "3")
        .symlink("link", "a");
    let base_tree =
        ["a/ 750", "a/deep/ 755", "a/deep/three 600 3", "a/one 644 1", "a/two 4755 2", "link -> a"];
    let new = LayerMaker::new;
    case(&[&base], &base_tree);
    case(&[&new()], &[]);
    // A directory entry sets attributes and leaves what is in it.
    case(
        &[&base, &new().directory("a", 0o700)],
        &[
            "a/ 700",
            "a/deep/ 755",
            "a/deep/three 600 3",
            "a/one 644 1",
            "a/two 4755 2",
            "link -> a",
        ],
    );
    case(
        &[
            &base,
            &new().file("a/.wh.deep", 0, "").file("a/.wh.one", 0, "").file("a/.wh.none", 0, ""),
        ],
        &["a/ 750", "a/two 4755 2", "link -> a"],
    );
    // Whiteouts hide nothing of their own layer, wherever they stand in it.
    for opaque_first in [true, false] {
        let file = |layer: LayerMaker| layer.file("a/deep/four", 0o644, "4");
        let opaque = |layer: LayerMaker| layer.file("a/.wh..wh..opq", 0, "");
        let layer = if opaque_first { file(opaque(new())) } else { opaque(file(new())) };
        case(&[&base, &layer], &["a/ 750", "a/deep/ 755", "a/deep/four 644 4", "link -> a"]);
    }
    case(
        &[
            &base,
            &new().directory("a/deep", 0o755).file("a/.wh.deep", 0, "").file(
                "a/.wh..wh.plnk",
                0,
                "",
            ),
        ],
        &["a/ 750", "a/deep/ 755", "a/one 644 1", "a/two 4755 2", "link -> a"],
    );
    // Through a link of the base, as merged `/usr` has them; replaced where the entry is for the link.
    case(
        &[
            &base,
            &new().file("link/one", 0o644, "I").file("link/.wh.two", 0, "").file(
                "link/.wh.deep",
                0,
                "",
            ),
        ],
        &["a/ 750", "a/one 644 I", "link -> a"],
    );
    case(
        &[
            &base,
            &new().directory("link", 0o755).file("a", 0o644, "file").file("link/x", 0o644, ""),
        ],
        &["a 644 file", "link/ 755", "link/x 644 "],
    );
    case(
        &[
            &base,
            &new().directory("a/one/", 0o755).file("a/one/x", 0o644, "").file("a/.wh.deep", 0, ""),
        ],
        &["a/ 750", "a/one/ 755", "a/one/x 644 ", "a/two 4755 2", "link -> a"],
    );
    case(
        &[&new()
            .file("x/y/z", 0o644, "z")
            .hard_link("x/w", "x/y/z")
            .hard_link("x/w", "./x/w")
            .fifo("f")],
        &["x/ 755", "x/w 644 z", "x/y/ 755", "x/y/z 644 z"],
    );
}

#[test]
fn names_long_and_odd_are_kept() {
    let long = "n".repeat(140);
    let layer = LayerMaker::new()
        .file(&format!("{long}/{long}"), 0o644, "long")
        .file("with\\backslash and space", 0o644, "")
        .symlink("l", &format!("{long}/{long}"));
    case(
        &[&layer],
        &[
            &format!("l -> {long}/{long}"),
            &format!("{long}/ 755"),
            &format!("{long}/{long} 644 long"),
            "with\\backslash and space 644 ",
        ],
    );
}

#[test]
fn times_and_attributes_are_kept() {
    let layer = LayerMaker::new()
        .directory("d", 0o755)
        .records(&[
            ("mtime", "7.25"),
            ("SCHILY.xattr.user.loci", "value"),
            ("SCHILY.xattr.trusted.x", "no"),
        ])
        .file("d/f", 0o755, "");
    let dir = unpacked(&[&layer]).unwrap();
    let modified = |path: &str| {
        let modified = fs::metadata(dir.path().join(path)).unwrap().modified().unwrap();
        modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
    };
    assert_eq!((modified("d"), modified("d/f")), (1_000_000_000.0, 7.25));
    let found = attributes::of(&dir.path().join("d/f")).unwrap();
    // A file system may know none.
    if !found.is_empty() {
        assert_eq!(found, [("user.loci".to_owned(), b"value".to_vec())]);
    }
}

#[test]
fn owners_and_capabilities_are_kept_when_root() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: owners can be set by root only");
        return;
    }
    // cap_net_raw=ep, as `setcap` writes it.
    let capability = "\u{1}\0\0\u{2}\0\u{20}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = LayerMaker::new()
        .owner(42424, 7)
        .symlink("l", "f")
        .records(&[("SCHILY.xattr.security.capability", capability)])
        .file("f", 0o6755, "x");
    let dir = unpacked(&[&layer]).unwrap();
    for name in ["l", "f"] {
        let found = fs::symlink_metadata(dir.path().join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (42424, 7), "{name}");
    }
    assert_eq!(tree(dir.path()), ["f 6755 x", "l -> f"]);
    let found = attributes::of(&dir.path().join("f")).unwrap();
    assert_eq!(found, [("security.capability".to_owned(), capability.as_bytes().to_vec())]);
}

#[track_caller]
fn refused(layer: &LayerMaker, expected: &str) {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::create_dir(outside.path().join("kept")).unwrap();
    let error = unpack([&layer.bytes()[..]], &root).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let left = fs::read_dir(outside.path()).unwrap().count();
    assert_eq!((left, outside.path().join("kept").is_dir()), (2, true), "{expected}");
}

#[test]
fn what_would_leave_the_root_is_refused_by_name() {
    let new = LayerMaker::new;
    refused(
        &new().file("a/../../x", 0o644, ""),
        "the entry `a/../../x` of a layer is refused: its name has a `..`",
    );
    refused(
        &new().file(".wh...", 0o644, ""),
        "the entry `.wh...` of a layer is refused: it hides nothing that could be a file",
    );
    refused(
        &new().symlink("./", "x"),
        "the entry `./` of a layer is refused: the root can only be a directory",
    );
    refused(
        &new().hard_link("h", "../kept"),
        "the entry `h` of a layer is refused: its name has a `..`",
    );
    refused(
        &new().symlink("up", "../kept").hard_link("h", "up/x"),
        "the entry `h` of a layer is refused: it is a hard link to nothing before it",
    );
    refused(
        &new().directory("d", 0o755).hard_link("h", "d"),
        "the entry `h` of a layer is refused: it is a hard link to nothing before it",
    );
}

#[test]
fn absolute_names_and_links_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    fs::create_dir(&root).unwrap();
    let out = outside.path().to_str().unwrap();
    let layer = LayerMaker::new()
        .file("/etc/passwd", 0o644, "inside")
        .symlink("out", out)
        .symlink("up", "../..")
        .file("out/x", 0o644, "x")
        .file("up/y", 0o644, "y")
        .file("up/.wh.root", 0, "")
        .file("out/.wh..wh..opq", 0, "");
    unpack([&layer.bytes()[..]], &root).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(root.join("etc/passwd")).unwrap(), b"inside");
    assert_eq!(fs::read(root.join("y")).unwrap(), b"y");
    assert_eq!(fs::read(root.join(out.trim_start_matches('/')).join("x")).unwrap(), b"x");
}

#[test]
fn a_cut_layer_is_an_error_and_the_rest_of_a_whole_one_is_read() {
    let bytes = LayerMaker::new().file("a", 0o644, &"x".repeat(2000)).file("b", 0o644, "").bytes();
    for end in [100, 700, 2000] {
        let dir = tempfile::tempdir().unwrap();
        assert!(unpack([&bytes[..end]], dir.path()).is_err(), "{end}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut rest = &[&bytes[..], &[0; 9000]].concat()[..];
    unpack([&mut rest], dir.path()).unwrap();
    assert!(rest.is_empty());
}
