//! What a site answers, without a socket: pages, files, conditions and what is not there.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use tempfile::TempDir;

use super::answer::{Answer, Asked, BlobPart};
use super::site::{Found, Site};
use crate::store::Store;
use crate::store::builds::BuildRecord;
use crate::store::names::Tag;
use crate::store::set::{Origin, SetWheel, WheelSet};
use crate::support::wheel::WheelMaker;
use crate::vocab::digest::Digest;

const JSON: (&str, &str) = ("accept", "application/vnd.pypi.simple.v1+json");
const LOG: &str = "loci: build_wheel\n<b>cc</b> \u{1b}[1mfoo.c\r\n";

/// A site of four wheels: two of one project, one of them for a strange platform; one built here, and
/// one of a project with another spelling that came with another set.
struct Scene {
    site: Site,
    store: Store,
    set: WheelSet,
    _dir: TempDir,
}

fn key() -> Digest {
    Digest::of(b"key")
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let keep = |maker: &WheelMaker, origin| {
            let bytes = maker.bytes();
            let digest = store.put(&bytes).unwrap();
            let filename = maker.filename().parse().unwrap();
            SetWheel { filename, digest, size: bytes.len() as u64, origin }
        };
        let odd = WheelMaker::new("alpha", "1.10+x.1").tag("py3-none-odd<b>\"&'#?%x");
        let alpha = WheelMaker::new("alpha", "1.9").header("Requires-Python: >=3.8,<4");
        let built = WheelMaker::new("Beta.Two", "2.0");
        let imported = WheelMaker::new("gamma", "3!1.0").header("Requires-Python: nonsense");
        let fetched = |url: &str| Origin::Fetched { url: url.into() };
        let set = WheelSet {
            wheels: vec![
                keep(&odd, fetched("file:///wheels/<x>/alpha.whl")),
                keep(&alpha, fetched("https://files.test/a/\"alpha\".whl")),
                keep(&built, Origin::Built { key: key() }),
                keep(&imported, Origin::Imported { from: "https://u:secret@h/<set>".into() }),
            ],
            constraints: "alpha===1.9\n".into(),
            global_requirements: String::new(),
        };
        store.save_set(&Tag::default(), &set).unwrap();
        let record = BuildRecord {
            name: "beta-two".parse().unwrap(),
            version: "2.0".parse().unwrap(),
            wheel: set.wheels[2].filename.clone(),
            digest: set.wheels[2].digest,
            log: store.put(LOG.as_bytes()).unwrap(),
            seconds: 12.6,
            peak_memory: Some(80 << 20),
            requires: vec!["setuptools-80.0-py3-none-any.whl".into(), "<wheel>".into()],
        };
        store.builds().put(&key(), &record).unwrap();
        let site = Site::open(&store, &Tag::default(), "http://127.0.0.1:8080/").unwrap();
        Self { site, store, set, _dir: dir }
    }

    fn ask(&self, method: &Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        match self.site.find(&Asked { method, path, headers: &headers }) {
            Found::Answer(answer) => answer,
            Found::Log { .. } => panic!("`{path}` is a log"),
        }
    }

    fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(&Method::GET, path, fields)
    }

    /// The text of a page, with the digests of wheels and metadata left out.
    fn page(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.get(path, fields);
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.field("content-length"), answer.bytes.len().to_string());
        self.settled(&answer.text())
    }

    fn settled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for wheel in &self.set.wheels {
            let bytes = self.store.read(&wheel.digest).unwrap();
            text = text.replace(&wheel.digest.hex(), "WHEEL");
            text = text.replace(&format!("{} B", bytes.len()), "SIZE B");
            text = text.replace(&format!("\"size\":{}", bytes.len()), "\"size\":SIZE");
        }
        let mut out = String::new();
        // Every digest that is left is one of METADATA.
        for part in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
            match part.trim_end_matches(|c: char| !c.is_ascii_hexdigit()) {
                hex if hex.len() == 64 && hex != key().hex() => {
                    out.push_str(&part.replace(hex, "META"));
                }
                _ => out.push_str(part),
            }
        }
        out.replace(&key().hex(), "KEY")
    }

    /// Where the wheel at this place of the set is.
    fn path(&self, at: usize) -> String {
        let wheel = &self.set.wheels[at];
        format!("/files/{}/{}", wheel.digest.hex(), wheel.filename)
    }
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).unwrap()
    }
}

#[test]
fn installers_read_html_and_json() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.page("/simple/", &[]), @r#"
    <!DOCTYPE html>
    <html>
    <head>
    <meta charset="utf-8">
    <meta name="pypi:repository-version" content="1.1">
    <title>Simple index</title>
    </head>
    <body>
    <h1>Simple index</h1>
    <a href="alpha/">alpha</a><br>
    <a href="beta-two/">beta-two</a><br>
    <a href="gamma/">gamma</a><br>
    </body>
    </html>
    "#);
    insta::assert_snapshot!(scene.page("/simple/", &[JSON]), @r#"{"meta":{"api-version":"1.1"},"projects":[{"name":"alpha"},{"name":"beta-two"},{"name":"gamma"}]}"#);
    insta::assert_snapshot!(scene.page("/simple/alpha/", &[]), @r#"
    <!DOCTYPE html>
    <html>
    <head>
    <meta charset="utf-8">
    <meta name="pypi:repository-version" content="1.1">
    <title>Links for alpha</title>
    </head>
    <body>
    <h1>Links for alpha</h1>
    <a href="../../files/WHEEL/alpha-1.9-py3-none-any.whl#sha256=WHEEL" data-core-metadata="sha256=META" data-requires-python="&gt;=3.8, &lt;4">alpha-1.9-py3-none-any.whl</a><br>
    <a href="../../files/WHEEL/alpha-1.10%2Bx.1-py3-none-odd%3Cb%3E%22%26%27%23%3F%25x.whl#sha256=WHEEL" data-core-metadata="sha256=META">alpha-1.10+x.1-py3-none-odd&lt;b&gt;&quot;&amp;&#39;#?%x.whl</a><br>
    </body>
    </html>
    "#);
    insta::assert_snapshot!(scene.page("/simple/alpha/", &[JSON]), @r#"{"meta":{"api-version":"1.1"},"name":"alpha","versions":["1.9","1.10+x.1"],"files":[{"filename":"alpha-1.9-py3-none-any.whl","url":"../../files/WHEEL/alpha-1.9-py3-none-any.whl","hashes":{"sha256":"WHEEL"},"size":SIZE,"requires-python":">=3.8, <4","core-metadata":{"sha256":"META"}},{"filename":"alpha-1.10+x.1-py3-none-odd<b>\"&'#?%x.whl","url":"../../files/WHEEL/alpha-1.10%2Bx.1-py3-none-odd%3Cb%3E%22%26%27%23%3F%25x.whl","hashes":{"sha256":"WHEEL"},"size":SIZE,"core-metadata":{"sha256":"META"}}]}"#);
    insta::assert_snapshot!(scene.page("/simple/gamma/", &[JSON]), @r#"{"meta":{"api-version":"1.1"},"name":"gamma","versions":["3!1.0"],"files":[{"filename":"gamma-3!1.0-py3-none-any.whl","url":"../../files/WHEEL/gamma-3!1.0-py3-none-any.whl","hashes":{"sha256":"WHEEL"},"size":SIZE,"core-metadata":{"sha256":"META"}}]}"#);
    assert_eq!(scene.page("/upper-constraints.txt", &[]), "alpha===1.9\n");
    assert_eq!(scene.page("/global-requirements.txt", &[]), "");
}

#[test]
fn each_form_has_its_type_and_tag() {
    let scene = Scene::new();
    let mut tags = Vec::new();
    for (accept, content_type) in [
        ("*/*", "text/html; charset=utf-8"),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html"),
        ("application/vnd.pypi.simple.latest+json", "application/vnd.pypi.simple.v1+json"),
    ] {
        for encoding in ["identity", "gzip"] {
            let fields = [("accept", accept), ("accept-encoding", encoding)];
            let answer = scene.get("/simple/alpha/", &fields);
            assert_eq!(answer.field("content-type"), content_type);
            assert_eq!(answer.field("vary"), "accept, accept-encoding");
            assert_eq!(answer.field("cache-control"), "no-cache");
            assert_eq!(
                answer.field("content-encoding"),
                if encoding == "gzip" { encoding } else { "" }
            );
            let etag = answer.field("etag").to_owned();
            let again = [fields[0], fields[1], ("if-none-match", &etag)];
            let unchanged = scene.get("/simple/alpha/", &again);
            assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
            assert_eq!((unchanged.field("etag"), unchanged.bytes.len()), (etag.as_str(), 0));
            tags.push(etag);
        }
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 6);
}

#[test]
fn names_are_normalised_by_redirection() {
    let scene = Scene::new();
    #[track_caller]
    fn case(scene: &Scene, path: &str, location: &str) {
        let answer = scene.get(path, &[]);
        assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY, "{path}");
        assert_eq!(answer.field("location"), location, "{path}");
    }
    case(&scene, "/simple", "simple/");
    case(&scene, "/simple/alpha", "alpha/");
    case(&scene, "/simple/Alpha/", "../alpha/");
    case(&scene, "/simple/Beta.Two", "beta-two/");
    case(&scene, "/simple/beta%5f_two/", "../beta-two/");
    assert_eq!(scene.get("/simple/beta-two/", &[]).status, StatusCode::OK);
}

#[test]
fn people_see_what_is_there() {
    let scene = Scene::new();
    let page = scene.page("/", &[]);
    let from = page.find("<h1>").unwrap();
    let to = page.find("<script>").unwrap();
    insta::assert_snapshot!(&page[from..to], @r#"
    <h1>latest <small>4 wheels of 3 projects, 3.4 KiB, 1 built</small></h1>
    <pre>pip install --index-url <span class="url">http://127.0.0.1:8080/simple/</span><span class="trust"></span> NAME
    uv pip install --index-url <span class="url">http://127.0.0.1:8080/simple/</span> NAME</pre>
    <p>For programs: <a href="simple/">the index</a>, <a href="upper-constraints.txt">upper-constraints.txt</a></p>
    <input type="search" placeholder="Filter: a name, a version, built" aria-label="Filter" hidden>
    <table>
    <thead><tr><th>Package</th><th>Version</th><th class="size">Size</th><th>Comes from</th><th class="wheel">Wheel</th></tr></thead>
    <tbody>
    <tr><th><a href="simple/alpha/">alpha</a></th><td>1.9</td><td class="size">SIZE B</td><td class="from">fetched from <a href="https://files.test/a/&quot;alpha&quot;.whl" rel="noreferrer">files.test</a></td><td class="wheel"><a href="files/WHEEL/alpha-1.9-py3-none-any.whl">alpha-1.9-py3-none-any.whl</a></td></tr>
    <tr><th><a href="simple/alpha/">alpha</a></th><td>1.10+x.1</td><td class="size">SIZE B</td><td class="from">fetched from file:///wheels/&lt;x&gt;/alpha.whl</td><td class="wheel"><a href="files/WHEEL/alpha-1.10%2Bx.1-py3-none-odd%3Cb%3E%22%26%27%23%3F%25x.whl">alpha-1.10+x.1-py3-none-odd&lt;b&gt;&quot;&amp;&#39;#?%x.whl</a></td></tr>
    <tr><th><a href="simple/beta-two/">beta-two</a></th><td>2.0</td><td class="size">SIZE B</td><td class="from"><span class="built">built</span> in 13 s, <a href="log/KEY">log</a></td><td class="wheel"><a href="files/WHEEL/Beta_Two-2.0-py3-none-any.whl">Beta_Two-2.0-py3-none-any.whl</a></td></tr>
    <tr><th><a href="simple/gamma/">gamma</a></th><td>3!1.0</td><td class="size">SIZE B</td><td class="from">came with https://****@h/&lt;set&gt;</td><td class="wheel"><a href="files/WHEEL/gamma-3!1.0-py3-none-any.whl">gamma-3!1.0-py3-none-any.whl</a></td></tr>
    </tbody>
    </table>
    "#);
    let policy = scene.get("/", &[]).field("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let log = scene.site.log(&key()).unwrap();
    let log = String::from_utf8(log.plain().bytes.to_vec()).unwrap();
    insta::assert_snapshot!(scene.settled(&log[log.find("<h1>").unwrap()..]), @r#"
    <h1>beta-two 2.0 <small>how it was built</small></h1>
    <dl>
    <dt>Wheel</dt><dd>Beta_Two-2.0-py3-none-any.whl</dd>
    <dt>Build key</dt><dd>KEY</dd>
    <dt>Took</dt><dd>13 s</dd>
    <dt>Peak memory</dt><dd>80.0 MiB</dd>
    <dt>Built with</dt><dd>setuptools-80.0-py3-none-any.whl, &lt;wheel&gt;</dd>
    </dl>
    <p><a href="../">All wheels</a>, <a href="KEY.txt">the log as a text</a></p>
    <pre class="log">loci: build_wheel
    &lt;b&gt;cc&lt;/b&gt; [1mfoo.c
    </pre>
    </body>
    </html>
    "#);
    let answer = scene.get(&format!("/log/{}.txt", key().hex()), &[]);
    assert_eq!(answer.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.blob.unwrap().length, LOG.len() as u64);
}

#[test]
fn a_wheel_is_a_part_of_a_blob() {
    let scene = Scene::new();
    let SetWheel { digest, size, filename, .. } = scene.set.wheels[1].clone();
    let etag = format!("\"{}\"", digest.hex());
    let case = |fields: &[(&str, &str)], status: u16, first: u64, length: u64| {
        let answer = scene.get(&scene.path(1), fields);
        assert_eq!(answer.status, status, "{fields:?}");
        assert_eq!(answer.field("content-length"), length.to_string(), "{fields:?}");
        assert_eq!(answer.field("etag"), etag);
        assert_eq!(answer.field("accept-ranges"), "bytes");
        assert_eq!(answer.field("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.field("content-encoding"), "");
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        assert_eq!(answer.field("content-range"), if status == 206 { range.as_str() } else { "" });
        let name = format!("`{filename}`");
        assert_eq!(answer.blob, Some(BlobPart { digest, size, first, length, name }));
    };
    case(&[], 200, 0, size);
    case(&[("accept-encoding", "gzip")], 200, 0, size);
    case(&[("range", "bytes=10-19")], 206, 10, 10);
    case(&[("range", "bytes=-7")], 206, size - 7, 7);
    case(&[("range", "bytes=5-"), ("if-range", &etag)], 206, 5, size - 5);
    case(&[("range", "bytes=5-"), ("if-range", "\"other\"")], 200, 0, size);
    case(&[("range", "bytes=0-1,3-4")], 200, 0, size);

    let beyond = scene.get(&scene.path(1), &[("range", "bytes=999999-")]);
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.field("content-range"), format!("bytes */{size}"));
    assert_eq!((beyond.field("etag"), beyond.blob.is_none()), ("", true));
    // A range is of GET alone.
    let head = scene.ask(&Method::HEAD, &scene.path(1), &[("range", "bytes=1-2")]);
    assert_eq!((head.status.as_u16(), head.field("content-length")), (200, &*size.to_string()));
    for (field, status) in [("if-none-match", 304), ("if-match", 200)] {
        assert_eq!(scene.get(&scene.path(1), &[(field, &etag)]).status, status);
        assert_eq!(scene.get(&scene.path(1), &[(field, "*")]).status, status);
    }
    assert_eq!(scene.get(&scene.path(1), &[("if-match", "\"other\"")]).status, 412);
}

#[test]
fn metadata_stands_beside_its_wheel() {
    let scene = Scene::new();
    let text = WheelMaker::new("alpha", "1.9").header("Requires-Python: >=3.8,<4").metadata_text();
    let path = scene.path(1) + ".metadata";
    let answer = scene.get(&path, &[]);
    assert_eq!((answer.status.as_u16(), answer.text()), (200, text.clone()));
    assert_eq!(answer.field("etag"), format!("\"{}\"", Digest::of(text.as_bytes()).hex()));
    let part = scene.get(&path, &[("range", "bytes=2-5")]);
    assert_eq!((part.status.as_u16(), part.text()), (206, text[2..6].to_owned()));
    // The link to the strange one leads back to it.
    let page = scene.get("/simple/alpha/", &[JSON]).text();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let url = page["files"][1]["url"].as_str().unwrap();
    let url = url::Url::parse("http://h/simple/alpha/").unwrap().join(url).unwrap();
    let blob = scene.get(url.path(), &[]).blob.unwrap();
    assert_eq!(blob.digest, scene.set.wheels[0].digest);
}

#[test]
fn what_is_not_there_is_said_in_the_form_asked_for() {
    let scene = Scene::new();
    let wheel = &scene.set.wheels[0];
    for path in [
        "/nothing",
        "/simple/<delta>/",
        "/simple/..%2f..%2fetc/",
        "/simple/alpha/x",
        &format!("/files/{}/alpha-1.9-py3-none-any.whl", wheel.digest.hex()),
        &format!("/files/{}/{}", key().hex(), wheel.filename),
        &format!("/log/{}", wheel.digest.hex()),
        &format!("/log/{}.txt", wheel.digest.hex()),
    ] {
        assert_eq!(scene.get(path, &[]).status, StatusCode::NOT_FOUND, "{path}");
    }
    let page = scene.get("/simple/%3Cdelta%3E/", &[("accept", "text/html")]);
    assert!(
        page.text().contains("<p>the set has no wheel of `&lt;delta&gt;`</p>"),
        "{}",
        page.text()
    );
    let json = scene.get("/simple/delta/", &[JSON]);
    assert_eq!(json.field("content-type"), "application/json");
    assert_eq!(json.text(), "{\"message\":\"the set has no wheel of `delta`\"}\n");
    let text = scene.get("/simple/delta/", &[("accept", "image/png")]);
    assert_eq!(
        (text.status.as_u16(), text.text()),
        (404, "the set has no wheel of `delta`\n".into())
    );
    let refused = scene.get("/simple/alpha/", &[("accept", "image/png")]);
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = scene.ask(&method, "/simple/alpha/", &[]);
        assert_eq!((answer.status.as_u16(), answer.field("allow")), (405, "GET, HEAD"));
    }
}

#[test]
fn a_set_that_is_not_whole_is_not_served() {
    let scene = Scene::new();
    let open = || Site::open(&scene.store, &Tag::default(), "http://h/").map(drop).unwrap_err();
    let wheel = &scene.set.wheels[1];
    fs_err::write(scene.store.path(&wheel.digest), vec![0; wheel.size as usize]).unwrap();
    assert!(open().to_string().contains("`alpha-1.9-py3-none-any.whl` cannot be used"));
    fs_err::remove_file(scene.store.path(&wheel.digest)).unwrap();
    assert_eq!(open().to_string(), "`store:latest` lacks `alpha-1.9-py3-none-any.whl`");
    let unknown = Site::open(&scene.store, &"x".parse().unwrap(), "http://h/").map(drop);
    assert!(unknown.unwrap_err().to_string().ends_with("names there: `latest`"));
}
