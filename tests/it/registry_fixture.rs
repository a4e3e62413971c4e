//! The loopback registry answers as real ones do: asked byte by byte, and by skopeo where that is
//! installed. Loci has no part in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::registry::{Chaos, Fault, Redirect, Registry, digest};
use crate::world::World;

/// What came back: the status, 0 for none; the head; the body, as far as it came.
#[derive(Debug, Default)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// A header by its name in lowercase.
    fn header(&self, name: &str) -> Option<&str> {
        let told = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        told.map(str::trim)
    }

    fn location(&self) -> String {
        let location = self.header("location").unwrap();
        location.find("/v2/").map_or(location, |at| &location[at..]).to_owned()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Makes one request on a connection of its own; `ask` is its method, its path, and its headers
/// after `|`.
#[track_caller]
fn ask(origin: &str, ask: &str, body: &[u8]) -> Reply {
    let mut lines = ask.split('|');
    let mut request = format!("{} HTTP/1.1\r\nhost: {origin}\r\n", lines.next().unwrap());
    lines.for_each(|line| request.push_str(&format!("{line}\r\n")));
    if !ask.contains("chunked") && !ask.contains("content-length") {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let mut stream = TcpStream::connect(origin).unwrap();
    let sent = [format!("{request}\r\n").as_bytes(), body].concat();
    stream.write_all(&sent).unwrap();
    // The server may have ended the connection already.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let Some(end) = reply.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Reply::default();
    };
    let body = reply.split_off(end + 4);
    let head = String::from_utf8(reply).unwrap();
    Reply { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
}

/// Begins an upload, and tells its location.
fn begin(registry: &Registry) -> String {
    let reply = ask(&registry.host(), "POST /v2/a/b/blobs/uploads/", b"");
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-0")));
    reply.location()
}

const MANIFEST: &str = "content-type: application/vnd.oci.image.manifest.v1+json";

#[test]
fn an_upload_goes_on_from_where_it_is() {
    let registry = Registry::new();
    let host = registry.host();
    let sha = digest(b"one two three");
    let reply = ask(&host, &format!("PATCH {}|content-range: 0-3", begin(&registry)), b"one ");
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-3")));
    // Not where it is: told where that is.
    let at = reply.location();
    let reply = ask(&host, &format!("PATCH {at}|content-range: 3-5"), b"two");
    assert_eq!((reply.status, reply.header("range")), (416, Some("0-3")));
    let reply = ask(&host, &format!("PATCH {at}|content-range: 4-9"), b"two");
    assert_eq!(reply.status, 400, "{}", reply.text());
    // Without a range, and in chunks, it goes on at the end.
    let chunks = b"2\r\ntw\r\n2;note\r\no \r\n0\r\ntrailer: x\r\n\r\n";
    let reply = ask(&host, &format!("PATCH {at}|transfer-encoding: chunked"), chunks);
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-7")));
    let reply = ask(&host, &format!("GET {at}"), b"");
    assert_eq!((reply.status, reply.header("range")), (204, Some("0-7")));
    let reply = ask(&host, &format!("PUT {at}&digest={sha}"), b"three");
    assert_eq!((reply.status, reply.header("docker-content-digest")), (201, Some(sha.as_str())));
    assert_eq!(registry.blob("a/b", &sha).unwrap(), b"one two three");
    assert_eq!((registry.open_uploads(), registry.uploaded()), (0, 3 + 3 + 4 + 4 + 5));

    // What cannot be: another digest, an upload that is over or given up, a location made up.
    let at = begin(&registry);
    let reply = ask(&host, &format!("PUT {at}&digest={sha}"), b"three");
    assert!(reply.status == 400 && reply.text().contains("DIGEST_INVALID"), "{reply:?}");
    assert_eq!(ask(&host, &format!("PATCH {at}"), b"three").status, 404);
    let at = begin(&registry);
    let bare = at.split('?').next().unwrap();
    assert_eq!(ask(&host, &format!("PATCH {bare}"), b"three").status, 400);
    assert_eq!(ask(&host, &format!("DELETE {at}"), b"").status, 204);
    assert_eq!(ask(&host, &format!("GET {at}"), b"").status, 404);
}

#[test]
fn a_broken_upload_keeps_what_came() {
    for (lose, status) in [(false, 204), (true, 404)] {
        let registry = Registry::new();
        let registry = if lose { registry.lose_broken_uploads() } else { registry };
        let host = registry.host();
        let at = begin(&registry);
        registry.fault("PATCH /v2/a/b/", 1, Fault::Cut { after: 5 });
        assert_eq!(ask(&host, &format!("PATCH {at}"), b"one two").status, 0);
        let reply = ask(&host, &format!("GET {at}"), b"");
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("range"), (!lose).then_some("0-4"));
        // And so it is when the client goes away.
        let at = begin(&registry);
        assert_eq!(ask(&host, &format!("PATCH {at}|content-length: 9"), b"one").status, 0);
        assert_eq!(ask(&host, &format!("GET {at}"), b"").status, status);
    }
}

#[test]
fn blobs_belong_to_repositories() {
    let registry = Registry::new();
    let host = registry.host();
    let sha = registry.put_blob("one", *b"blob");
    assert_eq!(ask(&host, &format!("HEAD /v2/two/blobs/{sha}"), b"").status, 404);
    let mount = format!("POST /v2/two/blobs/uploads/?mount={sha}&from=one");
    assert_eq!(ask(&host, &mount, b"").status, 201);
    let reply = ask(&host, &format!("HEAD /v2/two/blobs/{sha}"), b"");
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("4")));
    assert!(reply.body.is_empty());
    let nowhere = format!("POST /v2/two/blobs/uploads/?mount={sha}&from=three");
    assert_eq!(ask(&host, &nowhere, b"").status, 202);
    assert_eq!(registry.open_uploads(), 1);
    let whole = format!("POST /v2/three/blobs/uploads/?digest={sha}");
    assert_eq!(ask(&host, &whole, b"blot").status, 400);
    assert_eq!(ask(&host, &whole, b"blob").status, 201);
    assert_eq!(registry.repositories(), ["one", "three", "two"]);

    let registry = Registry::new().refuse_mounts().without_single_post().absolute_locations();
    registry.put_blob("one", *b"blob");
    let reply = ask(&registry.host(), &mount, b"");
    assert!(reply.header("location").unwrap().starts_with(&registry.at("/v2/two/")), "{reply:?}");
    assert_eq!((reply.status, ask(&registry.host(), &whole, b"blob").status), (202, 202));
}

#[test]
fn ranges() {
    #[track_caller]
    fn case(registry: &Registry, header: &str, status: u16, range: Option<&str>, body: &str) {
        let sha = registry.put_blob("a", *b"0123456789");
        let reply = ask(&registry.host(), &format!("GET /v2/a/blobs/{sha}|{header}"), b"");
        let told = (reply.status, reply.header("content-range"), reply.text());
        assert_eq!(told, (status, range, body.into()), "{header}");
        assert_eq!(reply.header("etag").unwrap(), format!("\"{sha}\""));
    }
    let registry = Registry::new();
    case(&registry, "range: bytes=2-4", 206, Some("bytes 2-4/10"), "234");
    case(&registry, "range: bytes=8-99", 206, Some("bytes 8-9/10"), "89");
    case(&registry, "range: bytes=7-", 206, Some("bytes 7-9/10"), "789");
    case(&registry, "range: bytes=-1", 206, Some("bytes 9-9/10"), "9");
    case(&registry, "range: bytes=10-", 416, Some("bytes */10"), "");
    case(&registry, "range: bytes=0-1,4-5", 200, None, "0123456789");
    case(&registry, "range: bytes=2-4|if-range: \"other\"", 200, None, "0123456789");
    registry.fault("GET /v2/a/blobs/", 1, Fault::Whole);
    case(&registry, "range: bytes=2-4", 200, None, "0123456789");
    case(&registry, "range: bytes=2-4", 206, Some("bytes 2-4/10"), "234");
    case(&Registry::new().without_ranges(), "range: bytes=2-4", 200, None, "0123456789");
}

#[test]
fn manifests_tags_and_referrers() {
    let registry = Registry::new();
    let host = registry.host();
    let image = registry.put_image("a", "one", &[b"layer"]);
    let bytes = registry.manifest("a", "one").unwrap().bytes;
    // It may go only where its blobs are.
    let reply = ask(&host, &format!("PUT /v2/b/manifests/one|{MANIFEST}"), &bytes);
    assert!(reply.status == 404 && reply.text().contains("MANIFEST_BLOB_UNKNOWN"), "{reply:?}");
    let reply = ask(&host, &format!("PUT /v2/a/manifests/two|{MANIFEST}"), &bytes);
    assert_eq!((reply.status, reply.header("docker-content-digest")), (201, Some(image.as_str())));
    for (put, body) in [
        (format!("PUT /v2/a/manifests/two|{MANIFEST}"), &b"{}"[..]),
        ("PUT /v2/a/manifests/two|content-type: text/plain".into(), &bytes),
        (format!("PUT /v2/a/manifests/.two|{MANIFEST}"), &bytes),
        (format!("PUT /v2/a/manifests/{}|{MANIFEST}", digest(b"")), &bytes),
    ] {
        assert_eq!(ask(&host, &put, body).status, 400, "{put}");
    }
    let get = |what: &str| ask(&host, &format!("GET /v2/a/manifests/{what}"), b"");
    assert_eq!((get("two").body, get(&image).body), (bytes.clone(), bytes));
    assert!(get("three").text().contains("MANIFEST_UNKNOWN"));
    let reply = get("two|accept: application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(reply.status, 404, "only what is accepted is told");

    // The pages of a list of tags.
    registry.put_image("a", "three", &[]);
    let reply = ask(&host, "GET /v2/a/tags/list?n=2", b"");
    assert_eq!(reply.text(), r#"{"name":"a","tags":["one","three"]}"#);
    assert_eq!(reply.header("link"), Some("</v2/a/tags/list?n=2&last=three>; rel=\"next\""));
    let reply = ask(&host, "GET /v2/a/tags/list?n=2&last=three", b"");
    assert_eq!(
        (reply.text().as_str(), reply.header("link")),
        (r#"{"name":"a","tags":["two"]}"#, None)
    );
    assert_eq!(ask(&host, "GET /v2/none/tags/list", b"").status, 404);

    // Referrers, by their kind.
    let config = registry.put_blob("a", *b"{}");
    let note = format!(
        r#"{{"schemaVersion":2,"artifactType":"x/note","config":{{"mediaType":"x/empty","digest":"{config}","size":2}},"layers":[],"subject":{{"digest":"{image}","size":1}},"annotations":{{"k":"v"}}}}"#
    );
    let put = format!("PUT /v2/a/manifests/{}|{MANIFEST}", digest(note.as_bytes()));
    assert_eq!(ask(&host, &put, note.as_bytes()).header("oci-subject"), Some(image.as_str()));
    let list = |query: &str| ask(&host, &format!("GET /v2/a/referrers/{image}{query}"), b"");
    assert!(list("").text().contains(r#""annotations":{"k":"v"},"artifactType":"x/note""#));
    assert_eq!(list("?artifactType=x/note").header("oci-filters-applied"), Some("artifactType"));
    assert!(list("?artifactType=x/other").text().contains(r#""manifests":[]"#));

    let registry = Registry::new().without_referrers();
    registry.put_blob("a", *b"{}");
    let reply = ask(&registry.host(), &put, note.as_bytes());
    assert_eq!((reply.status, reply.header("oci-subject")), (201, None));
    let list = format!("GET /v2/a/referrers/{image}");
    assert_eq!(ask(&registry.host(), &list, b"").status, 404);
}

#[test]
fn basic_credentials() {
    let registry = Registry::new().basic("me", "secret").denied("closed");
    let host = registry.host();
    let good = format!("|authorization: Basic {}", STANDARD.encode("me:secret"));
    let bad = format!("|authorization: Basic {}", STANDARD.encode("me:public"));
    for (path, login, status) in [
        ("/v2/", "", 401),
        ("/v2/", &bad, 401),
        ("/v2/", &good, 200),
        ("/v2/a/tags/list", "", 401),
        ("/v2/a/tags/list", &good, 404),
        ("/v2/closed/tags/list", &good, 403),
    ] {
        let reply = ask(&host, &format!("GET {path}{login}"), b"");
        assert_eq!(reply.status, status, "{path}{login}");
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
}

#[test]
fn tokens() {
    let registry = Registry::new().bearer("me", "secret").identity_token("mine").anonymous_pull();
    let host = registry.host();
    let sha = registry.put_blob("a", *b"blob");
    let push = "POST /v2/b/blobs/uploads/";
    let challenge = |ask: Reply| {
        assert_eq!(ask.status, 401);
        let told = ask.header("www-authenticate").unwrap();
        let start = format!("Bearer realm=\"{}\",service=\"fixture\"", registry.at("/token"));
        told.strip_prefix(&start).unwrap().to_owned()
    };
    let token = |ask: Reply| {
        let value: serde_json::Value = serde_json::from_slice(&ask.body).unwrap();
        let token = value.get("token").unwrap_or(&value["access_token"]).as_str().unwrap();
        format!("|authorization: Bearer {token}")
    };
    assert_eq!(challenge(ask(&host, "GET /v2/", b"")), "");
    assert_eq!(challenge(ask(&host, push, b"")), ",scope=\"repository:b:pull,push\"");
    // A mount needs its source too.
    let mount = format!("{push}?mount={sha}&from=a");
    let both = ",scope=\"repository:b:pull,push repository:a:pull\"";
    assert_eq!(challenge(ask(&host, &mount, b"")), both);
    let login = format!("|authorization: Basic {}", STANDARD.encode("me:secret"));
    let get = "GET /token?service=fixture&scope=repository:b:pull,push";
    let narrow = token(ask(&host, &format!("{get}{login}"), b""));
    let too_little = format!("{both},error=\"insufficient_scope\"");
    assert_eq!(challenge(ask(&host, &format!("{mount}{narrow}"), b"")), too_little);
    let wide = token(ask(&host, &format!("{get}&scope=repository:a:pull{login}"), b""));
    assert_eq!(ask(&host, &format!("{mount}{wide}"), b"").status, 201);

    // Those without credentials may only pull.
    let nobody = token(ask(&host, get, b""));
    assert_eq!(ask(&host, &format!("GET /v2/b/blobs/{sha}{nobody}"), b"").status, 200);
    challenge(ask(&host, &format!("{push}{nobody}"), b""));
    let wrong = format!("|authorization: Basic {}", STANDARD.encode("me:public"));
    assert_eq!(ask(&host, &format!("{get}{wrong}"), b"").status, 401);

    // An identity token is as good, and tokens wear out.
    registry.token_uses(2);
    let form = b"grant_type=refresh_token&refresh_token=mine&scope=repository%3Ab%3Apull%2Cpush+repository%3Aa%3Apull";
    let short = token(ask(&host, "POST /token", form));
    assert_eq!(ask(&host, &format!("{push}{short}"), b"").status, 202);
    assert_eq!(ask(&host, &format!("GET /v2/a/blobs/{sha}{short}"), b"").status, 200);
    let over = challenge(ask(&host, &format!("{push}{short}"), b""));
    assert!(over.ends_with(",error=\"invalid_token\""), "{over}");
    assert_eq!(ask(&host, "POST /token", b"grant_type=refresh_token&refresh_token=x").status, 401);
}

#[test]
fn faults_are_met_as_planned() {
    let registry = Registry::new();
    let host = registry.host();
    let sha = registry.put_blob("a", *b"0123");
    let get = format!("GET /v2/a/blobs/{sha}");
    registry.fault(&get, 1, Fault::Status { status: 429, retry_after: Some("7".into()) });
    registry.fault("GET /v2/a/", 1, Fault::Drop);
    registry.fault("/v2/a/blobs/", 1, Fault::Truncate { after: 3 });
    registry.fault("/v2/a/blobs/", 1, Fault::Flip { at: 2 });
    let reply = ask(&host, &get, b"");
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    assert_eq!(ask(&host, &get, b"").status, 0);
    let reply = ask(&host, &get, b"");
    assert_eq!((reply.header("content-length"), reply.text().as_str()), (Some("4"), "012"));
    assert_eq!(ask(&host, &get, b"").text(), "0133");
    assert_eq!(ask(&host, &get, b"").text(), "0123");
    let statuses: Vec<_> = registry.requests().iter().map(|r| (r.status, r.sent)).collect();
    assert_eq!(statuses[1..], [(None, 0), (Some(200), 3), (Some(200), 4), (Some(200), 4)]);
    // Done without an answer.
    registry.fault("POST /v2/a/", 1, Fault::Mute);
    let post = format!("POST /v2/a/blobs/uploads/?digest={}", digest(b"new"));
    assert_eq!(ask(&host, &post, b"new").status, 0);
    assert_eq!(registry.blobs("a").len(), 2);
    registry.forget_requests();
    assert_eq!((registry.hits("GET /v2/"), registry.downloaded()), (0, 0));
}

#[test]
fn chaos_depends_on_its_seed_alone() {
    let run = |seed, others: bool| -> Vec<(u16, String)> {
        let registry = Registry::new();
        registry.chaos(Chaos::rough(seed));
        let sha = registry.put_blob("a", *b"0123456789");
        let get = format!("GET /v2/a/blobs/{sha}|range: bytes=0-4");
        let replies = (0..60).map(|_| {
            if others {
                ask(&registry.host(), "GET /v2/", b"");
            }
            let reply = ask(&registry.host(), &get, b"");
            (reply.status, reply.text())
        });
        replies.collect()
    };
    let once = run(1, false);
    assert_eq!(once, run(1, true));
    assert_ne!(once, run(2, false));
    let good = (206, "01234".to_owned());
    assert!(once.windows(3).all(|three| three.contains(&good)), "{once:?}");
    for status in [0, 200, 206, 429, 503] {
        assert!(once.iter().any(|(met, _)| *met == status), "{status}: {once:?}");
    }
    assert!(once.iter().any(|(status, body)| *status == 206 && body.len() == 5 && body != "01234"));
    assert!(once.iter().any(|(status, body)| *status == 206 && body.len() < 5));
}

#[test]
fn redirects_tell_credentials_apart() {
    let at = |reply: &Reply| {
        let location = reply.header("location").unwrap();
        let rest = location.strip_prefix("http://");
        let (host, path) = rest.and_then(|rest| rest.split_once('/')).unwrap_or(("", location));
        (host.to_owned(), format!("/{}", path.trim_start_matches('/')))
    };
    let registry = Registry::new().redirect(Redirect::Elsewhere);
    let sha = registry.put_blob("a", *b"0123");
    let reply = ask(&registry.host(), &format!("GET /v2/a/blobs/{sha}"), b"");
    let (host, path) = at(&reply);
    assert_eq!((reply.status, host != registry.host()), (307, true));
    let reply = ask(&host, &format!("GET {path}|range: bytes=1-2"), b"");
    assert_eq!((reply.status, reply.text().as_str(), registry.leaks().len()), (206, "12", 0));
    let reply = ask(&host, &format!("GET {path}|authorization: Basic eA=="), b"");
    assert_eq!((reply.status, registry.leaks().len()), (400, 1));

    let registry = Registry::new().redirect(Redirect::Here);
    registry.put_blob("a", *b"0123");
    let (host, path) = at(&ask(&registry.host(), &format!("GET /v2/a/blobs/{sha}"), b""));
    assert_eq!(host, "");
    assert_eq!(ask(&registry.host(), &format!("GET {path}"), b"").text(), "0123");
}

#[test]
fn what_is_held_may_be_answered_or_not() {
    let registry = Registry::new();
    registry.put_image("a", "one", &[b"layer"]);
    let host = registry.host();
    for (answered, status) in [(true, 200), (false, 0)] {
        registry.hold_on("GET /v2/a/manifests/", 1);
        assert_eq!(ask(&host, "GET /v2/a/manifests/one", b"").status, 200);
        std::thread::scope(|scope| {
            let held = scope.spawn(|| ask(&host, "GET /v2/a/manifests/one", b"").status);
            registry.wait_until_held(|| false);
            assert_eq!(ask(&host, "GET /v2/a/tags/list", b"").status, 200);
            if answered {
                registry.resume();
            } else {
                registry.let_go();
            }
            assert_eq!(held.join().unwrap(), status);
        });
    }
}

#[test]
fn another_protocol_ends_at_once() {
    let mut stream = TcpStream::connect(Registry::new().host()).unwrap();
    // As TLS begins; nothing more comes, and no line ends.
    stream.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(reply.is_empty());
}

#[test]
fn skopeo_pushes_and_pulls() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("skipped: `skopeo` is not installed");
        return;
    }
    let world = World::bare();
    let source = Registry::new();
    let layer: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let image = source.put_image("a", "one", &[&layer, b"small"]);
    let skopeo = |arguments: &[&str]| {
        let mut command = Command::new("skopeo");
        world.surround(&mut command);
        // Skopeo would compress the layers otherwise.
        command.args(["copy", "--insecure-policy", "--preserve-digests"]);
        command.args(["--src-tls-verify=false", "--dest-tls-verify=false"]).args(arguments);
        world.run(&mut command).good();
    };
    for (name, registry) in [
        ("open", Registry::new()),
        ("basic", Registry::new().basic("me", "secret").absolute_locations()),
        ("bearer", Registry::new().bearer("me", "secret").redirect(Redirect::Elsewhere)),
    ] {
        let there = format!("docker://{}/ours/image:two", registry.host());
        let from = format!("docker://{}/a:one", source.host());
        skopeo(&["--dest-creds=me:secret", &from, &there]);
        assert_eq!(registry.tags("ours/image")["two"], image);
        skopeo(&["--src-creds=me:secret", &there, &format!("oci:{name}:three")]);
        let index = world.read(&format!("{name}/index.json"));
        assert!(index.contains(&image), "{index}");
        assert_eq!((registry.open_uploads(), registry.leaks().len()), (0, 0), "{name}");
        let kinds: Vec<_> = registry.requests().into_iter().map(|r| (r.method, r.status)).collect();
        assert!(kinds.contains(&("PATCH".into(), Some(202))), "{kinds:?}");
    }
}
