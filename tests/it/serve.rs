//! `loci serve` as it is run: over a socket, to pip and uv, and until it is told to stop.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use loci::vocab::digest::Digest;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World, python};

const JSON: &str = "Accept: application/vnd.pypi.simple.v1+json";

/// A set with a wheel that needs another, one that was built, and one of some megabytes.
fn world() -> World {
    let world = World::new();
    world.index.wheel(&WheelMaker::new("alpha", "1.0").requires("Beta_Two"));
    world.index.wheel(&WheelMaker::new("Beta.Two", "2.0"));
    world.index.wheel(&WheelMaker::new("big", "1.0").file("big.bin", noise(16 << 20)));
    world.index.sdist(&SdistMaker::new("made", "1.0"));
    world.write("c.txt", "alpha===1.0\nBeta.Two===2.0\nbig===1.0\nmade===1.0\n");
    world.loci("build requirements -c c.txt").good();
    world
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A server that runs, on a port of its own; it ends with its test, however that ends.
struct Serving {
    child: Option<Child>,
    address: String,
}

impl Serving {
    #[track_caller]
    fn start(world: &World, arguments: &str) -> Self {
        let mut command = world
            .command(&format!("serve --json --progress lines --listen 127.0.0.1:0 {arguments}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["url"].as_str().unwrap().strip_prefix("http://").unwrap();
        let address = address.strip_suffix("/simple/").unwrap().to_owned();
        Self { child: Some(child), address }
    }

    fn index(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// One request on a connection of its own.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, fields: &[&str]) -> Reply {
        let mut stream = self.connect();
        send(&mut stream, method, path, &[fields, &["Connection: close"]].concat());
        Reply::read(&mut stream)
    }

    #[track_caller]
    fn get(&self, path: &str, fields: &[&str]) -> Reply {
        self.ask("GET", path, fields)
    }

    /// Where the one wheel of a project is.
    #[track_caller]
    fn wheel(&self, project: &str) -> String {
        let page = self.get(&format!("/simple/{project}/"), &[JSON]).json();
        page["files"][0]["url"].as_str().unwrap().strip_prefix("../..").unwrap().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for its end and says how that was.
    #[track_caller]
    fn end(mut self, world: &World) -> Run {
        world.told(self.child.take().unwrap().wait_with_output().unwrap())
    }

    #[track_caller]
    fn stop(self, world: &World) -> Run {
        self.signal(Signal::TERM);
        self.end(world)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn send(stream: &mut TcpStream, method: &str, path: &str, fields: &[&str]) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    for field in fields {
        head.push_str(&format!("{field}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

/// A response.
#[derive(Debug)]
struct Reply {
    status: u16,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    /// Reads a response to its end, which is that of the connection.
    fn read(stream: &mut TcpStream) -> Self {
        let mut reply = Self::head(stream);
        // A connection that breaks ends it as well.
        let _ = stream.read_to_end(&mut reply.body);
        reply
    }

    /// Reads a response up to its body.
    fn head(stream: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { status, fields, body: Vec::new() }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn length(&self) -> usize {
        self.field("content-length").parse().unwrap()
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[test]
fn pip_and_uv_install_from_it() {
    let world = world();
    let serving = Serving::start(&world, "");
    let index = serving.index();
    let run = |command: &mut Command, arguments: &[&str]| {
        world.surround(command);
        let output = command.args(arguments).output();
        output.ok().map(|output| world.told(output))
    };
    let pip = &python().executable;
    let known = run(&mut Command::new(pip), &["-m", "pip", "--version"]);
    if known.is_some_and(|run| run.code == 0) {
        let arguments = ["-m", "pip", "install", "--index-url", &index, "--target", "by-pip"];
        let more = ["--no-cache-dir", "--no-compile", "alpha", "made"];
        run(&mut Command::new(pip), &[&arguments[..], &more].concat()).unwrap().good();
        for file in ["alpha.py", "beta_two.py", "made.py"] {
            assert!(world.path("by-pip").join(file).exists(), "{file}");
        }
    } else {
        println!("skipped: python3 has no pip");
    }
    let known = run(&mut Command::new("uv"), &["--version"]);
    if known.is_some_and(|run| run.code == 0) {
        let arguments =
            ["pip", "install", "--index-url", &index, "--target", "by-uv", "--no-cache"];
        let python = ["--python", pip.to_str().unwrap(), "alpha", "made"];
        run(&mut Command::new("uv"), &[&arguments[..], &python].concat()).unwrap().good();
        for file in ["alpha.py", "beta_two.py", "made.py"] {
            assert!(world.path("by-uv").join(file).exists(), "{file}");
        }
    } else {
        println!("skipped: `uv` is not installed");
    }
    // What loci itself reads of it is what it wrote.
    let mut lock = world.command("lock alpha --format constraints -o lock.txt");
    world.run(lock.env("PIP_INDEX_URL", &index)).good();
    let lock = world.read("lock.txt");
    assert!(lock.contains("alpha===1.0") && lock.contains("2.0"), "{lock}");
    serving.stop(&world).good();
}

#[test]
fn files_and_parts_of_them_are_sent() {
    let world = world();
    let serving = Serving::start(&world, "store:latest");
    for project in ["alpha", "big"] {
        let path = serving.wheel(project);
        let whole = serving.get(&path, &[]);
        assert_eq!((whole.status, whole.body.len()), (200, whole.length()));
        let hex = path.split('/').nth(2).unwrap();
        assert_eq!(Digest::of(&whole.body).hex(), hex);
        let etag = whole.field("etag").to_owned();
        for (range, expected) in [
            ("bytes=0-9", &whole.body[..10]),
            ("bytes=-99", &whole.body[whole.body.len() - 99..]),
            ("bytes=200-", &whole.body[200..]),
        ] {
            let fields = [&format!("Range: {range}")[..], &format!("If-Range: {etag}")];
            let part = serving.get(&path, &fields);
            assert_eq!(part.status, 206, "{range}");
            assert!(part.body == expected, "{range}");
        }
        let beyond = serving.get(&path, &["Range: bytes=99999999-"]);
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.field("content-range"), format!("bytes */{}", whole.body.len()));
        let unchanged = serving.get(&path, &[&format!("If-None-Match: {etag}")]);
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        let head = serving.ask("HEAD", &path, &[]);
        assert_eq!((head.status, head.length(), head.body.len()), (200, whole.length(), 0));
    }
    serving.stop(&world).good();
}

#[test]
fn one_connection_serves_many_requests() {
    let world = world();
    let serving = Serving::start(&world, "");
    let mut stream = serving.connect();
    for path in ["/", "/simple/", "/simple/alpha/", "/nothing", "/simple/Alpha"] {
        send(&mut stream, "HEAD", path, &[]);
        let head = Reply::head(&mut stream);
        send(&mut stream, "GET", path, &[]);
        let reply = Reply::head(&mut stream);
        assert_eq!((head.status, head.length()), (reply.status, reply.length()), "{path}");
        stream.read_exact(&mut vec![0; reply.length()]).unwrap();
    }
    drop(stream);
    let packed = serving.get("/", &["Accept-Encoding: gzip"]);
    let mut page = String::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut page).unwrap();
    assert_eq!(page, serving.get("/", &[]).text());
    let log = page.split("href=\"").find(|link| link.starts_with("log/")).unwrap();
    let log = format!("/{}", log.split('"').next().unwrap());
    assert!(serving.get(&log, &[]).text().contains("loci: build_wheel"), "{log}");
    assert!(serving.get(&format!("{log}.txt"), &[]).text().starts_with("loci: "), "{log}");
    let refused = serving.ask("POST", "/simple/alpha/", &["Content-Length: 3"]);
    assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD"));
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(serving.get("/", &[&long]).status, 431);
    serving.stop(&world).good();
}

/// The set in the store may be another one by then, and what it had swept away by `store gc`.
#[test]
fn what_is_served_stays() {
    let world = world();
    let serving = Serving::start(&world, "");
    let path = serving.wheel("alpha");
    world.write("c.txt", "big===1.0\n");
    world.loci("build requirements -c c.txt").good();
    world.loci("store gc");
    assert_eq!(serving.get(&path, &[]).status, 200);
    serving.stop(&world).good();
    world.loci("store gc").good();
    let serving = Serving::start(&world, "latest");
    assert_eq!(serving.get(&path, &[]).status, 404);
    serving.stop(&world).good();
}

#[test]
fn a_blob_that_is_damaged_is_not_served() {
    let world = world();
    let serving = Serving::start(&world, "");
    let blob = |path: &str| world.path("store/blobs/sha256").join(path.split('/').nth(2).unwrap());
    let [alpha, beta, big] = ["alpha", "beta-two", "big"].map(|name| serving.wheel(name));
    fs::remove_file(blob(&alpha)).unwrap();
    fs::write(blob(&beta), "short").unwrap();
    let missing = serving.get(&alpha, &[JSON]);
    assert_eq!(missing.status, 404);
    insta::assert_snapshot!(missing.text(), @r#"{"message":"`alpha-1.0-py3-none-any.whl` cannot be served: it is not in the store any more"}"#);
    let damaged = serving.ask("GET", &beta, &["Accept: text/plain", "Range: bytes=0-1"]);
    assert_eq!((damaged.status, damaged.field("cache-control")), (500, "no-store"));
    assert_eq!(serving.ask("HEAD", &beta, &[]).status, 500);
    // What is damaged while it is sent does not come to the end that was announced.
    let mut stream = serving.connect();
    send(&mut stream, "GET", &big, &[]);
    let mut half = Reply::head(&mut stream);
    fs::write(blob(&big), "short").unwrap();
    let _ = stream.read_to_end(&mut half.body);
    assert!(half.body.len() < half.length(), "{}", half.body.len());
    // METADATA was read before.
    assert_eq!(serving.get(&format!("{alpha}.metadata"), &[]).status, 200);
    let run = serving.stop(&world).good();
    let warnings: Vec<_> = run.err.lines().filter(|line| line.contains("warning: ")).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    warning: `alpha-1.0-py3-none-any.whl` cannot be served: it is not in the store any more
    warning: `Beta_Two-2.0-py3-none-any.whl` cannot be served: it has 5 bytes in the store, and should have 867
    warning: `Beta_Two-2.0-py3-none-any.whl` cannot be served: it has 5 bytes in the store, and should have 867
    warning: `big-1.0-py3-none-any.whl` could not be sent to its end: it has become shorter
    "#);
}

#[test]
fn it_stops_when_it_is_told_to() {
    let world = world();
    for signal in [Signal::TERM, Signal::INT] {
        let serving = Serving::start(&world, "");
        let _idle = serving.connect();
        let path = serving.wheel("big");
        let mut stream = serving.connect();
        send(&mut stream, "GET", &path, &[]);
        let mut reply = Reply::head(&mut stream);
        serving.signal(signal);
        // What is under way comes to its end.
        let _ = stream.read_to_end(&mut reply.body);
        assert_eq!(reply.body.len(), reply.length());
        let address = serving.address.clone();
        let run = serving.end(&world).good();
        assert!(run.err.ends_with("stopping\n"), "{}", run.err);
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let world = world();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let mut said = String::new();
    for arguments in [
        "unknown",
        "store:unknown",
        "oci:image",
        "dir:wheels",
        "-- -x",
        &format!("--listen {taken}"),
        "--listen 8080",
        "--listen :8080",
        "--listen 127.0.0.1:99999",
        "--listen http://127.0.0.1:8080",
        "--listen 203.0.113.1:0",
        "--store nowhere",
    ] {
        let run = world.loci(&format!("serve {arguments}"));
        said.push_str(&format!("{arguments}: {}\n{}", run.code, run.err));
    }
    insta::assert_snapshot!(said.replace(&taken, "TAKEN"), @r#"
    unknown: 1
    error: nothing is named `unknown` in `HERE/store`; names there: `latest`
    store:unknown: 1
    error: nothing is named `unknown` in `HERE/store`; names there: `latest`
    oci:image: 2
    error: `oci:image`, given as `SET`, is not in the store; `store:TAG` is, or the tag alone
    dir:wheels: 2
    error: `dir:wheels`, given as `SET`, is not in the store; `store:TAG` is, or the tag alone
    -- -x: 2
    error: `-x`, given as `SET`, is not a tag: letters, digits and `-._:@/+` are allowed
    --listen TAKEN: 1
    error: cannot listen on `TAKEN`
      because: Address already in use (os error 98)
      hint: choose another address with `--listen`; `127.0.0.1:0` takes any port that is free
    --listen 8080: 2
    error: `8080` is not an address with a port, such as `127.0.0.1:8080`
    --listen :8080: 2
    error: `:8080` is not an address with a port, such as `127.0.0.1:8080`
    --listen 127.0.0.1:99999: 2
    error: `127.0.0.1:99999` is not an address with a port, such as `127.0.0.1:8080`
    --listen http://127.0.0.1:8080: 2
    error: `http://127.0.0.1:8080` is not an address with a port, such as `127.0.0.1:8080`
    --listen 203.0.113.1:0: 1
    error: cannot listen on `203.0.113.1:0`
      because: Cannot assign requested address (os error 99)
      hint: choose another address with `--listen`
    --store nowhere: 2
    error: there is no store at `nowhere`
    "#);
    assert!(!world.path("nowhere").exists());
}
