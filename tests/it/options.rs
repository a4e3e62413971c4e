//! What options and variables are taken for, and what is never shown of them.

use std::fs;

use crate::support::wheel::WheelMaker;
use crate::world::World;

const HTML: &str = "<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n";

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let world = World::bare();
    std::fs::create_dir(world.path("empty")).unwrap();
    for verb in ["ls", "verify", "gc", "gc --dry-run"] {
        for place in ["typo", "empty"] {
            let run = world.loci(&format!("store {verb} --store {place}")).ends(2);
            assert_eq!(run.err, format!("error: there is no store at `{place}`\n"));
        }
    }
    assert!(!world.path("typo").exists());
    assert_eq!(world.names("empty"), [""; 0]);
}

#[test]
fn no_secret_is_shown() {
    let world = World::new();
    world.index.put("/page?t=SECRET", "text/html", HTML);
    world.index.put("/c.txt?t=SECRET", "text/plain", "a==\n");
    let at = |path: &str| world.index.at(path);
    let mut said = String::new();
    for arguments in [
        "lock six -i https://u:SECRET@h:abc/".to_owned(),
        "lock six -i https://u:SEC/SECRET@h/".to_owned(),
        "lock six --extra-index-url https://h:abc/?t=SECRET".to_owned(),
        "lock six -f https://u:SECRET@h:abc/".to_owned(),
        "lock six -c http://u:SECRET@:99999/".to_owned(),
        "lock six -c ftp://u:SECRET@h/c.txt".to_owned(),
        format!("lock six -c {}", at("/c.txt?t=SECRET")),
        format!("lock six -c {}", at("/page?t=SECRET")),
        format!("lock six -c {}", at("/missing?t=SECRET")),
        "build requirements -o https://u:SECRET@h:abc/".to_owned(),
        "build requirements -o https://u:SECRET@h/?t=SECRET".to_owned(),
        "install a --prefix p --wheels ftp://u:SECRET@h/?t=SECRET".to_owned(),
        format!("install a --prefix p --wheels {}", at("/missing?t=SECRET")),
    ] {
        let run = world.loci(&arguments);
        assert!(run.code == 2 || run.code == 1, "{arguments}");
        assert!(!format!("{run:?}").contains("SEC"), "{arguments}: {}", run.err);
        said.push_str(run.err.lines().next().unwrap());
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
    error: `https://****@h:abc/`, given as `--index-url`, is not a URL
    error: `https://****@h/`, given as `--index-url`, is not a URL
    error: `https://h:abc/?****`, given as `--extra-index-url`, is not a URL
    error: `https://****@h:abc/` is not a URL
    error: `http://****@:99999/` is not a URL
    error: cannot read `ftp://****@h/c.txt`
    error: http://INDEX/c.txt?****:1: unexpected end of version specifier, expected version: a==
    error: `http://INDEX/page?****` is an HTML page, not a list of requirements
    error: `http://INDEX/missing?****` answers 404 Not Found
    error: `https://****@h:abc/` is not a URL
    error: `https://h/`, given as `--output`, cannot be written to; a registry (`docker://`), `oci:`, `tar:` and `dir:` can
    error: `ftp://****@h/?****` is not an image name: write it without `ftp://`
    error: `http://INDEX/missing?****` answers 404 Not Found
    "#);
}

#[test]
fn only_a_netrc_that_was_named_must_be_readable() {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("six", "1.0"));
    // A file that even root cannot read.
    fs::create_dir_all(world.path("home/.netrc")).unwrap();
    let run = world.loci("lock six").good();
    assert!(run.err.contains("the file of logins is not used"), "{}", run.err);
    assert_eq!(world.loci("lock six -q").good().err, "");
    let run = world.run(world.command("lock six").env("NETRC", world.path("home/.netrc"))).ends(2);
    insta::assert_snapshot!(run.err, @r#"
    error: `HERE/home/.netrc` cannot be read
      because: failed to read from file `HERE/home/.netrc`: Is a directory (os error 21)
    "#);
}

/// pip splits its variables, and takes what was typed as it is.
#[test]
fn only_variables_are_split_at_spaces() {
    let world = World::bare();
    let wheel = WheelMaker::new("six", "1.0");
    world.write(&format!("my links/{}", wheel.filename()), wheel.bytes());
    let lock = || world.command("lock six --no-index");
    world.run(lock().args(["-f", "my links"])).good();
    let run = world.run(lock().env("PIP_FIND_LINKS", "my links")).ends(2);
    assert!(run.err.starts_with("error: `HERE/my` cannot be read\n"), "{}", run.err);
    fs::rename(world.path("my links"), world.path("mine")).unwrap();
    world.run(lock().env("PIP_FIND_LINKS", " mine\t mine\n")).good();
}
