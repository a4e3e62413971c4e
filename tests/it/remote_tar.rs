//! Sets as tars at URLs: which bytes come, from servers of every kind.

use crate::foreign_image::{Packing, tar_of};
use crate::harbour::{Harbour, KEYSTONE, NOVA, noise, side_by_side, weight, wheels};
use crate::support::index::{Fault, IndexServer};
use crate::support::registry::Registry;
use crate::support::wheel::WheelMaker;

const PATH: &str = "/sets/wheels.tar";
/// What the first request asks for, at most.
const FIRST: u64 = 1 << 20;

/// A set as loci writes it into a tar.
fn set_tar(harbour: &Harbour) -> Vec<u8> {
    harbour.loci("copy store: tar:set.tar").good();
    harbour.world.bytes("set.tar")
}

/// A tarball as LOCI makes it: compressed, wheels anywhere, no index.
fn tarball() -> Vec<u8> {
    let wheels = wheels();
    let names = ["./", "packages/", ""].into_iter().cycle();
    let named: Vec<_> = names
        .zip(&wheels)
        .map(|(folder, (name, bytes))| (format!("{folder}{name}"), bytes.as_slice()))
        .collect();
    Packing::Gzip.pack(&tar_of(named.iter().map(|(name, bytes)| (name.as_str(), *bytes))))
}

#[test]
fn only_what_is_needed_comes() {
    let harbour = Harbour::with(Registry::new());
    let registry = &harbour.registry;
    // What registries send people on to is a fine server of files, and counts its bytes.
    let digest = registry.put_blob("files", set_tar(&harbour));
    let url = registry.at(&format!("/storage/{digest}"));
    for (project, own) in [("keystone", weight(&KEYSTONE)), ("nova", weight(&NOVA)), ("nova", 0)] {
        registry.forget_requests();
        harbour.assert_installs("machine", project, &url);
        let sent = registry.downloaded();
        assert!((own..own + FIRST + 16_000).contains(&sent), "{project}: {sent} for {own}");
    }
    harbour.on("machine", "store verify").good();
    // What copies take goes through the store as well.
    harbour.on("machine", &format!("copy {url} docker://REGISTRY/from/tar")).good();
    harbour.assert_installs("machine-2", "nova", "docker://REGISTRY/from/tar");
}

#[test]
fn a_server_without_parts_sends_it_once() {
    for tar in [set_tar(&Harbour::new()), tarball()] {
        let harbour = Harbour::new();
        let server = IndexServer::new().without_ranges().with_validators();
        server.put(PATH, "application/x-tar", tar.clone());
        let url = server.at(PATH);
        harbour.assert_installs("machine", "keystone", &url);
        // Now nothing but the head of an answer is to be had.
        server.fault(PATH, Fault::Truncate { after: 1, times: 1000 });
        harbour.assert_installs("machine", "nova", &url);
        assert_eq!(server.hits(PATH), 2);
        harbour.on("machine", "store verify").good();

        // Where nobody says which version it is, it has to come again.
        let server = IndexServer::new().without_ranges();
        server.put(PATH, "application/x-tar", tar);
        let url = server.at(PATH);
        harbour.assert_installs("machine", "keystone", &url);
        server.put(PATH, "application/x-tar", "not the same any more");
        harbour.on("machine", &format!("install nova --wheels {url} --prefix new")).ends(1);
    }
}

#[test]
fn a_tarball_of_locis_comes_whole() {
    for server in [IndexServer::new(), IndexServer::new().with_validators()] {
        let harbour = Harbour::new();
        server.put(PATH, "application/gzip", tarball());
        harbour.assert_installs("machine", "keystone", &server.at(PATH));
        harbour.assert_installs("machine", "nova", &server.at(PATH));
    }
}

#[test]
fn what_breaks_on_the_way_comes_again() {
    let tar = set_tar(&Harbour::new());
    let servers = [
        IndexServer::new().with_validators(),
        IndexServer::new().with_validators().without_ranges(),
    ];
    side_by_side(servers, |server| {
        for fault in [
            Fault::Drop { times: 2 },
            Fault::Status { status: 503, times: 2, retry_after: Some("0".into()) },
            Fault::Truncate { after: 2_000_000, times: 1 },
            Fault::Truncate { after: 700, times: 2 },
        ] {
            let harbour = Harbour::new();
            server.put(PATH, "application/x-tar", tar.clone());
            server.fault(PATH, fault);
            harbour.assert_installs("machine", "nova", &server.at(PATH));
        }
    });
}

#[test]
fn logins_come_from_the_url_or_from_netrc() {
    let tar = set_tar(&Harbour::new());
    // me:secret
    let server = IndexServer::new().with_validators().login("Basic bWU6c2VjcmV0");
    server.put(PATH, "application/x-tar", tar);
    let harbour = Harbour::new();
    let host = server.at("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let run =
        harbour.on("machine", &format!("install nova --wheels {} --prefix env", server.at(PATH)));
    let said = run.ends(1).err.replace(&host, "SERVER");
    insta::assert_snapshot!(said, @r#"
    error: `http://SERVER/sets/wheels.tar` answers 401 Unauthorized
      hint: put a login for it into `~/.netrc`, or into the URL
    "#);
    harbour.assert_installs("machine", "nova", &format!("http://me:secret@{host}{PATH}"));
    let port_less = host.split(':').next().unwrap();
    harbour.world.write("home/.netrc", format!("machine {port_less} login me password secret\n"));
    harbour.assert_installs("machine-2", "nova", &server.at(PATH));
    let wrong = format!("http://me:wrong@{host}{PATH}");
    let run = harbour.on("machine-3", &format!("install nova --wheels {wrong} --prefix new"));
    assert!(!run.ends(1).err.contains("wrong"));
}

/// What is said of a tar that is another one after so many requests.
fn changed(server: &IndexServer, after: usize) -> String {
    let harbour = Harbour::new();
    server.put(PATH, "application/x-tar", set_tar(&harbour));
    server.hold_after(after);
    let install = format!("install nova --wheels {} --prefix env", server.at(PATH));
    let mut child = harbour.command_on("machine", &install);
    let child = child.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    server.wait_until_held(|| child.try_wait().unwrap().is_some());
    harbour.offer();
    let driver = WheelMaker::new("driver", "1.1").file("noise.bin", noise("other", 2600 << 10));
    harbour.world.index.wheel(&driver);
    let constraints = harbour.world.read("c.txt").replace("driver===1.0", "driver===1.1");
    harbour.world.write("c.txt", constraints);
    harbour.loci("build requirements -c c.txt -o tar:other.tar").good();
    server.put(PATH, "application/x-tar", harbour.world.bytes("other.tar"));
    server.let_go();
    let run = harbour.world.told(child.wait_with_output().unwrap());
    assert!(!harbour.world.path("env").exists());
    harbour.on("machine", "store verify").good();
    // The next run takes the new one.
    harbour.assert_installs("machine", "nova", &server.at(PATH));
    run.ends(1).err.replace(server.at("").trim_end_matches('/'), "http://SERVER")
}

#[test]
fn a_tar_that_changes_is_not_mixed_with_the_other() {
    insta::assert_snapshot!(changed(&IndexServer::new().with_validators(), 1), @"error: `http://SERVER/sets/wheels.tar` became another file while it was read");
    insta::assert_snapshot!(changed(&IndexServer::new(), 1), @"error: `nova-1.0-py3-none-any.whl` in `http://SERVER/sets/wheels.tar` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
}

/// What is said of these bytes, by a server with parts or without, and with or without versions.
#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let mut said = Vec::new();
    for server in [
        IndexServer::new(),
        IndexServer::new().with_validators(),
        IndexServer::new().with_validators().without_ranges(),
    ] {
        let harbour = Harbour::new();
        server.put(PATH, "application/x-tar", bytes);
        let install = format!("install nova --wheels {} --prefix env", server.at(PATH));
        // Once more, for nothing wrong may be remembered.
        for _ in 0..2 {
            let run = harbour.on("machine", &install).ends(1);
            said.push(run.err.replace(server.at("").trim_end_matches('/'), "http://SERVER"));
        }
        assert!(!harbour.world.path("env").exists());
        assert_eq!(harbour.world.names("machine/loci/tmp"), [""; 0]);
        harbour.on("machine", "store verify").good();
    }
    said.dedup();
    said.join("or\n")
}

#[test]
fn what_is_no_set_is_refused() {
    insta::assert_snapshot!(refused(b"<html>502 Bad Gateway</html>"), @r#"
    error: `http://SERVER/sets/wheels.tar` is not a whole tar archive
      because: failed to read entire block
    "#);
    insta::assert_snapshot!(refused(b""), @r#"
    error: `http://SERVER/sets/wheels.tar` ended after 0 bytes, also when asked for the rest
    or
    error: `http://SERVER/sets/wheels.tar` has no wheels in it
    "#);
    insta::assert_snapshot!(refused(&tar_of([("readme", &b"nothing"[..])])), @"error: `http://SERVER/sets/wheels.tar` has no wheels in it");
    insta::assert_snapshot!(refused(&tarball()[..2_000_000]), @r#"
    error: `http://SERVER/sets/wheels.tar` is not a whole tar archive
      because: incomplete deflate stream
    "#);
    let set = set_tar(&Harbour::new());
    insta::assert_snapshot!(refused(&set[..3_000_000]), @r#"
    error: `http://SERVER/sets/wheels.tar` lacks the wheel `large-1.0-py3-none-any.whl` its index names
    or
    error: `http://SERVER/sets/wheels.tar` is not a whole tar archive
      because: it ends within `large-1.0-py3-none-any.whl`
    "#);
    insta::assert_snapshot!(refused(&set[..2000]), @r#"
    error: `http://SERVER/sets/wheels.tar`: `.loci/index.json` cannot be read
      because: EOF while parsing a string at line 7 column 185
    or
    error: `http://SERVER/sets/wheels.tar` is not a whole tar archive
      because: unexpected EOF during skip
    "#);
    // The last wheel's noise: no tar knows of it, but the index does.
    let mut flipped = set.clone();
    let at = flipped.len() - 10_000;
    flipped[at] ^= 1;
    insta::assert_snapshot!(refused(&flipped), @"error: `oslo_config-1.0-py3-none-any.whl` in `http://SERVER/sets/wheels.tar` is not what its index says: expected sha256:DIGEST, found sha256:DIGEST");
    let server = IndexServer::new();
    let run =
        Harbour::new().loci(&format!("install nova --wheels {} --prefix env", server.at(PATH)));
    let said = run.ends(1).err.replace(server.at("").trim_end_matches('/'), "http://SERVER");
    insta::assert_snapshot!(said, @"error: `http://SERVER/sets/wheels.tar` answers 404 Not Found");
}
