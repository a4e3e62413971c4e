//! The room as a whole against a server on the loopback: pages, caches, metadata, fetching, faults.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::error::IndexError;
use super::find_links::FindLinks;
use super::format_control::FormatControl;
use super::indexes::{IndexSettings, Indexes};
use super::select::{Choice, Wanted};
use crate::http::client::{Client, ClientSettings};
use crate::http::error::HttpError;
use crate::store::Store;
use crate::support::index::{Fault, IndexFile, IndexServer};
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::vocab::digest::Digest;
use crate::vocab::dist_file::DistFile;
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::target::tests::debian;

fn client() -> Client {
    Client::new(ClientSettings {
        retries: 2,
        first_wait: Duration::from_millis(1),
        timeout: Duration::from_secs(10),
        proxy: None,
        ..ClientSettings::default()
    })
    .unwrap()
}

fn settings(server: &IndexServer) -> IndexSettings {
    IndexSettings { index_url: server.url().parse().unwrap(), ..IndexSettings::default() }
}

fn indexes(settings: IndexSettings, root: &Path) -> Indexes {
    Indexes::new(client(), settings, Store::open(&root.join("store")).unwrap())
}

fn six() -> PackageName {
    package_name("six").unwrap()
}

fn wheel() -> WheelMaker {
    WheelMaker::new("six", "1.16.0").requires("foo>=1")
}

/// A wheel that no single small read covers.
fn large_wheel() -> WheelMaker {
    let noise: Vec<u8> =
        (0..6000u32).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).collect();
    wheel().file("six_data.bin", noise)
}

async fn first(indexes: &Indexes) -> DistFile {
    indexes.page(&six()).await.unwrap().files().next().unwrap()
}

/// The words of an error and of all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn blobs(dir: &TempDir) -> usize {
    Store::open(&dir.path().join("store")).unwrap().blobs().unwrap().len()
}

#[tokio::test]
async fn both_forms_of_a_page_tell_the_same() {
    let fill = |server: &IndexServer| {
        let file = IndexFile {
            requires_python: Some(">=3.6,<4".into()),
            yanked: Some("a <bad> \"day\"".into()),
            metadata: Some(wheel().metadata_text().into()),
            ..IndexFile::new(&wheel().filename(), wheel().bytes())
        };
        server.file("six", file).sdist(&SdistMaker::new("six", "1.15.0"));
    };
    let mut pages = Vec::new();
    for server in [IndexServer::new(), IndexServer::new().html()] {
        fill(&server);
        let dir = tempfile::tempdir().unwrap();
        let page = indexes(settings(&server), dir.path()).page(&six()).await.unwrap();
        let files: Vec<DistFile> = page
            .files()
            .map(|mut file| {
                assert_eq!(
                    file.url.as_str(),
                    server.at(&format!("/files/{}", file.filename.as_str()))
                );
                file.url = "http://same/".parse().unwrap();
                file.size = None;
                file
            })
            .collect();
        pages.push(files);
    }
    assert_eq!(pages[0].len(), 2);
    assert_eq!(pages[0], pages[1]);
}

#[tokio::test]
async fn a_page_is_read_once_a_run_and_believed_while_it_is_fresh() {
    let server = IndexServer::new();
    server.wheel(&wheel());
    let dir = tempfile::tempdir().unwrap();
    let run = indexes(settings(&server), dir.path());
    let name = six();
    let (a, b) = tokio::join!(run.page(&name), run.page(&name));
    assert!(!a.unwrap().is_cached() && !b.unwrap().is_cached());
    assert_eq!(server.hits("/simple/six/"), 1);

    let page = indexes(settings(&server), dir.path()).page(&six()).await.unwrap();
    assert!(page.is_cached() && page.files().count() == 1);
    assert_eq!(server.hits("/simple/six/"), 1);

    let refresh = IndexSettings { refresh: true, ..settings(&server) };
    indexes(refresh, dir.path()).page(&six()).await.unwrap();
    assert_eq!(server.hits("/simple/six/"), 2);
}

#[tokio::test]
async fn a_stale_page_is_asked_for_with_its_validators() {
    let server = IndexServer::new().with_validators().max_age(0);
    server.wheel(&wheel());
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(
            first(&indexes(settings(&server), dir.path())).await.filename.as_str(),
            wheel().filename()
        );
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn what_is_missing_in_a_cached_page_is_asked_for_again() {
    let server = IndexServer::new();
    server.wheel(&WheelMaker::new("six", "1.15.0"));
    let dir = tempfile::tempdir().unwrap();
    indexes(settings(&server), dir.path()).page(&six()).await.unwrap();
    server.wheel(&wheel());
    let version = "1.16.0".parse().unwrap();
    let wanted = Wanted::Exact { written: "1.16.0", version: &version };
    let run = indexes(settings(&server), dir.path());
    let (target, formats) = (debian("3.11.7"), FormatControl::default());
    let choice = run.choose(&six(), &wanted, &target, &formats).await.unwrap().unwrap();
    assert!(matches!(choice, Choice::Wheel(_)));
    // The page of the run is the newer one now.
    assert_eq!(run.page(&six()).await.unwrap().versions().len(), 2);
}

#[tokio::test]
async fn a_page_that_is_none_is_no_empty_page() {
    let server = IndexServer::new();
    let dir = tempfile::tempdir().unwrap();
    let ask = |name: &'static str| {
        let run = indexes(settings(&server), dir.path());
        async move { run.page(&package_name(name).unwrap()).await }
    };
    assert!(ask("absent").await.unwrap().is_empty());

    server.put("/simple/image/", "image/png", "x");
    server.put("/simple/odd/", "application/vnd.pypi.simple.v1+json", "{}");
    server.put("/simple/two/", "application/json", r#"{"meta":{"api-version":"2.0"},"files":[]}"#);
    server.fault("/simple/denied/", Fault::Status { status: 403, times: 9, retry_after: None });
    server.fault(
        "/simple/down/",
        Fault::Status { status: 503, times: 9, retry_after: Some("0".into()) },
    );
    let mut text = String::new();
    for name in ["image", "odd", "two", "denied", "down"] {
        text.push_str(&format!("{}\n", chain(&ask(name).await.unwrap_err())));
    }
    insta::assert_snapshot!(text.replace(&server.url(), "INDEX/"), @"
    `INDEX/image/` is not an index page: its content type is `image/png`
    `INDEX/odd/` is not an index page: the page does not have the form of PEP 691: missing field `files` at line 1 column 2
    `INDEX/two/` is not an index page: the page has version `2.0` of the API, and only 1 is known
    `INDEX/denied/` answers 403 Forbidden
    `INDEX/down/` answers 503 Service Unavailable
    ");
    assert_eq!(server.hits("/simple/down/"), 3);
    assert_eq!(server.hits("/simple/denied/"), 1);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let server = IndexServer::new();
    server.wheel(&wheel());
    let dir = tempfile::tempdir().unwrap();
    let page = "/simple/six/";
    for fault in [
        Fault::Status { status: 429, times: 2, retry_after: Some("0".into()) },
        Fault::Status { status: 500, times: 1, retry_after: None },
        Fault::Drop { times: 2 },
        Fault::Truncate { after: 20, times: 2 },
    ] {
        server.fault(page, fault);
        let refresh = IndexSettings { refresh: true, ..settings(&server) };
        assert_eq!(indexes(refresh, dir.path()).page(&six()).await.unwrap().files().count(), 1);
    }
}

#[tokio::test]
async fn no_message_shows_a_password() {
    let server = IndexServer::new().login("Basic bWU6czNjcmV0");
    server.wheel(&wheel());
    let dir = tempfile::tempdir().unwrap();
    let with = |login: &str| IndexSettings {
        index_url: server.url().replace("http://", &format!("http://{login}@")).parse().unwrap(),
        ..IndexSettings::default()
    };
    let run = indexes(with("me:s3cret"), dir.path());
    let file = first(&run).await;
    run.fetch(&file, &|_| {}).await.unwrap();
    assert!(!format!("{file:?}{run:?}").contains("s3cret"));

    let dir = tempfile::tempdir().unwrap();
    let error = indexes(with("me:wr0ng"), dir.path()).page(&six()).await.unwrap_err();
    assert!(!format!("{error:?} {}", chain(&error)).contains("wr0ng"), "{error:?}");
    let url = server.at("/x").replace("http://", "http://me:wr0ng@").parse().unwrap();
    let error = client().text(&url).await.unwrap_err();
    assert!(!format!("{error:?} {}", chain(&error)).contains("wr0ng"), "{error:?}");
    assert!(error.to_string().contains("****@"), "{error}");
}

#[tokio::test]
async fn an_index_that_is_down_is_no_missing_package() {
    let server = IndexServer::new();
    let dir = tempfile::tempdir().unwrap();
    let gone = settings(&server);
    drop(server);
    let error = indexes(gone, dir.path()).page(&six()).await.unwrap_err();
    assert!(matches!(error, IndexError::Http(HttpError::Network { .. })), "{error:?}");
    assert!(error.to_string().starts_with("the connection to"), "{error}");
}

#[tokio::test]
async fn offline_believes_the_cache_and_asks_nobody() {
    let server = IndexServer::new().max_age(0);
    server.wheel(&wheel());
    let dir = tempfile::tempdir().unwrap();
    let run = indexes(settings(&server), dir.path());
    let file = first(&run).await;
    let offline = || IndexSettings { offline: true, ..settings(&server) };
    let error = indexes(offline(), dir.path()).fetch(&file, &|_| {}).await.unwrap_err();
    assert!(matches!(error, IndexError::Offline { .. }));
    run.fetch(&file, &|_| {}).await.unwrap();
    let asked = server.requests().len();
    let run = indexes(offline(), dir.path());
    assert!(run.fetch(&first(&run).await, &|_| {}).await.unwrap().reused);
    assert!(matches!(
        run.page(&package_name("other").unwrap()).await.unwrap_err(),
        IndexError::Offline { .. }
    ));
    assert_eq!(server.requests().len(), asked);
}

#[tokio::test]
async fn metadata_comes_by_the_shortest_way() {
    let large = large_wheel();
    let text = large.metadata_text().into_bytes();
    let path = format!("/files/{}", large.filename());
    let plain = IndexFile::new(&large.filename(), large.bytes());
    let hashless = IndexFile { sha256: Some(String::new()), ..plain.clone() };
    let beside = IndexFile { metadata: Some(text.clone()), ..plain.clone() };
    // Server, file, and how often the wheel itself is asked for.
    for (server, file, asked) in [
        (IndexServer::new(), beside, 0),
        (IndexServer::new(), plain.clone(), 1),
        (IndexServer::new().html(), plain.clone(), 1),
        (IndexServer::new().html(), hashless, 1),
        // Once for the range that is not given, once for the whole.
        (IndexServer::new().without_ranges(), plain.clone(), 2),
    ] {
        server.file("six", file);
        let dir = tempfile::tempdir().unwrap();
        let run = indexes(settings(&server), dir.path());
        let file = first(&run).await;
        assert_eq!(run.metadata_bytes(&file).await.unwrap(), Some(text.clone()));
        assert_eq!(server.hits(&path), asked);
        if file.sha256.is_some() {
            let before = server.requests().len();
            let metadata = run.metadata(&file).await.unwrap().unwrap();
            assert_eq!(metadata.requires_dist.len(), 1);
            assert_eq!(server.requests().len(), before, "the cache has it");
        }
    }
}

#[tokio::test]
async fn served_metadata_in_another_encoding_is_read_from_the_wheel() {
    let (server, maker) = (IndexServer::new(), wheel());
    let latin = b"Name: six\nVersion: 1.16.0\nAuthor: Andr\xe9\n".to_vec();
    let plain = IndexFile::new(&maker.filename(), maker.bytes());
    server.file("six", IndexFile { metadata: Some(latin), ..plain });
    let dir = tempfile::tempdir().unwrap();
    let run = indexes(settings(&server), dir.path());
    let metadata = run.metadata(&first(&run).await).await.unwrap().unwrap();
    assert_eq!(metadata.requires_dist.len(), 1);
}

#[tokio::test]
async fn metadata_far_from_the_end_is_found() {
    // Many entries make a directory longer than the first read, and METADATA lies before it.
    let mut maker = wheel();
    for i in 0..900 {
        maker = maker.file(&format!("six/a_module_with_a_rather_long_name_{i}.py"), "");
    }
    let server = IndexServer::new();
    server.wheel(&maker);
    let dir = tempfile::tempdir().unwrap();
    let run = indexes(settings(&server), dir.path());
    let text = maker.metadata_text().into_bytes();
    assert_eq!(run.metadata_bytes(&first(&run).await).await.unwrap(), Some(text));
    assert_eq!(server.hits(&format!("/files/{}", maker.filename())), 3);
    assert_eq!(blobs(&dir), 0);
}

#[tokio::test]
async fn metadata_that_lies_is_refused() {
    let server = IndexServer::new();
    let file = IndexFile::new(&wheel().filename(), "no wheel");
    server.file("six", file).sdist(&SdistMaker::new("bar", "1"));
    let beside = IndexFile {
        metadata: Some("Name: foo\n".into()),
        ..IndexFile::new("foo-1-py3-none-any.whl", "x")
    };
    server.file("foo", beside);
    server.fault("/files/foo-1-py3-none-any.whl.metadata", Fault::Flip { at: 0 });
    let dir = tempfile::tempdir().unwrap();
    let run = indexes(settings(&server), dir.path());
    let error = run.metadata(&first(&run).await).await.unwrap_err();
    insta::assert_snapshot!(error, @"the metadata of `six-1.16.0-py3-none-any.whl` cannot be found: it is not a zip archive");
    let of = async |name: &str| {
        let page = run.page(&package_name(name).unwrap()).await.unwrap();
        run.metadata(&page.files().next().unwrap()).await
    };
    assert!(matches!(of("foo").await, Err(IndexError::Mismatch { .. })));
    assert_eq!(of("bar").await.unwrap(), None, "a build tells");
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_ended() {
    let large = large_wheel();
    let path = format!("/files/{}", large.filename());
    for (server, ranged) in [
        (IndexServer::new(), true),
        (IndexServer::new().with_validators(), true),
        (IndexServer::new().without_ranges(), false),
    ] {
        server.wheel(&large);
        server.fault(&path, Fault::Truncate { after: 50_000, times: 2 });
        let dir = tempfile::tempdir().unwrap();
        let run = indexes(settings(&server), dir.path());
        let file = first(&run).await;
        let last = std::sync::atomic::AtomicU64::new(0);
        let on_bytes = |n| last.store(n, std::sync::atomic::Ordering::Relaxed);
        let fetched = run.fetch(&file, &on_bytes).await.unwrap();
        assert_eq!((fetched.digest, fetched.reused), (Digest::of(&large.bytes()), false));
        assert_eq!(last.into_inner(), large.bytes().len() as u64);
        let requests: Vec<_> = server.requests().into_iter().filter(|r| r.path == path).collect();
        assert_eq!(requests.len(), 3);
        assert_eq!(
            requests[2].headers["range"],
            if ranged { "bytes=100000-" } else { "bytes=50000-" }
        );
        assert!(run.fetch(&file, &|_| {}).await.unwrap().reused);
        assert_eq!(server.hits(&path), 3);
    }
}

#[tokio::test]
async fn a_broken_download_begins_anew_where_nothing_would_tell_a_change() {
    let large = large_wheel();
    let path = format!("/files/{}", large.filename());
    let plain = IndexFile::new(&large.filename(), large.bytes());
    for (server, resumed) in
        [(IndexServer::new(), false), (IndexServer::new().with_validators(), true)]
    {
        server.file("six", IndexFile { sha256: Some(String::new()), ..plain.clone() });
        server.fault(&path, Fault::Truncate { after: 50_000, times: 1 });
        let dir = tempfile::tempdir().unwrap();
        let run = indexes(settings(&server), dir.path());
        let fetched = run.fetch(&first(&run).await, &|_| {}).await.unwrap();
        assert_eq!(fetched.digest, Digest::of(&large.bytes()));
        let requests: Vec<_> = server.requests().into_iter().filter(|r| r.path == path).collect();
        let ranges: Vec<_> = requests.iter().map(|r| r.headers.contains_key("range")).collect();
        assert_eq!(ranges, [false, resumed]);
    }
}

#[tokio::test]
async fn what_is_not_as_announced_is_not_kept() {
    let right = wheel();
    let path = format!("/files/{}", right.filename());
    let size = right.bytes().len() as u64;
    let file = IndexFile::new(&right.filename(), right.bytes());
    let short = IndexFile { size: Some(size - 1), ..file.clone() };
    let long = IndexFile { size: Some(size + 1), ..file.clone() };
    let other = IndexFile { sha256: Some("0".repeat(64)), ..file.clone() };
    let none = Fault::Truncate { after: 0, times: 0 };
    let mut words = String::new();
    for (file, fault) in [
        (other, none.clone()),
        (short, none.clone()),
        (long, none),
        (file.clone(), Fault::Flip { at: 40 }),
        (file.clone(), Fault::Truncate { after: 10, times: 99 }),
        (file, Fault::Status { status: 404, times: 9, retry_after: None }),
    ] {
        let server = IndexServer::new().without_ranges();
        server.file("six", file).fault(&path, fault);
        let dir = tempfile::tempdir().unwrap();
        let run = indexes(settings(&server), dir.path());
        let error = run.fetch(&first(&run).await, &|_| {}).await.unwrap_err();
        assert_eq!(blobs(&dir), 0, "{error}");
        words.push_str(&format!("{error}\n").replace(&server.at(""), "SERVER"));
    }
    insta::with_settings!({filters => vec![("sha256:[0-9a-f]{64}", "DIGEST"), (r"\d\d+ bytes", "N bytes"), (r"but \d+ or", "but N or")]}, {
        insta::assert_snapshot!(words, @"
        the bytes of `six-1.16.0-py3-none-any.whl` are not those the index announced: expected DIGEST, found DIGEST
        `six-1.16.0-py3-none-any.whl` is not N bytes long, as the index announced, but N or more
        `six-1.16.0-py3-none-any.whl` ended after N bytes, also when asked for the rest
        the bytes of `six-1.16.0-py3-none-any.whl` are not those the index announced: expected DIGEST, found DIGEST
        the connection to `SERVER/files/six-1.16.0-py3-none-any.whl` failed
        `SERVER/files/six-1.16.0-py3-none-any.whl` answers 404 Not Found
        ");
    });
}

#[tokio::test]
async fn find_links_are_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let links = dir.path().join("links");
    fs_err::create_dir(&links).unwrap();
    let put = |name: &str, bytes: Vec<u8>| fs_err::write(links.join(name), bytes).unwrap();
    put(&wheel().filename(), wheel().bytes());
    put("six-1.0-1.tar.gz", Vec::new());
    put("README", Vec::new());
    let server = IndexServer::new();
    server.wheel(&wheel());
    let both = || IndexSettings {
        find_links: vec![FindLinks::parse("links", dir.path()).unwrap()],
        ..settings(&server)
    };
    let run = indexes(both(), dir.path());
    let file = first(&run).await;
    assert_eq!(file.url.scheme(), "file", "find-links come first");
    assert!(run.metadata(&file).await.unwrap().is_some());
    let one = run.fetch(&file, &|_| {}).await.unwrap();
    assert_eq!(one.digest, Digest::of(&wheel().bytes()));
    // The same name, made anew.
    put(&wheel().filename(), large_wheel().bytes());
    let alone = IndexSettings { no_index: true, ..both() };
    let run = indexes(alone, dir.path());
    let other = run.fetch(&first(&run).await, &|_| {}).await.unwrap();
    assert_eq!(other.digest, Digest::of(&large_wheel().bytes()));
    assert_eq!(run.page(&six()).await.unwrap().versions().len(), 2);
    assert_eq!(server.requests().len(), 1);
    assert!(matches!(
        FindLinks::parse("nowhere", dir.path()),
        Err(IndexError::Http(HttpError::Local { .. }))
    ));
}

#[tokio::test]
async fn find_links_pages_and_local_indexes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let hex = Digest::of(&wheel().bytes()).hex();
    let name = wheel().filename();
    let server = IndexServer::new();
    server.put("/wheels/", "text/html", format!("<a href='{name}#sha256={hex}'>six</a>"));
    server.put(&format!("/wheels/{name}"), "application/zip", wheel().bytes());
    let local = dir.path().join("simple/six");
    fs_err::create_dir_all(&local).unwrap();
    fs_err::write(local.join("index.html"), "<a href='six-1.0.zip'>").unwrap();
    let index = url::Url::from_directory_path(dir.path().join("simple")).unwrap();
    let run = indexes(
        IndexSettings {
            index_url: index,
            find_links: vec![FindLinks::parse(&server.at("/wheels/"), dir.path()).unwrap()],
            ..IndexSettings::default()
        },
        dir.path(),
    );
    let page = run.page(&six()).await.unwrap();
    assert_eq!(page.versions().len(), 2);
    let file = page.files().next().unwrap();
    assert_eq!(run.fetch(&file, &|_| {}).await.unwrap().digest.hex(), hex);
    let old = page.files().nth(1).unwrap();
    assert_eq!(old.url.to_file_path().unwrap(), local.join("six-1.0.zip"));
    assert!(run.page(&package_name("none").unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_index_is_asked() {
    let (one, two) = (IndexServer::new(), IndexServer::new().html());
    one.wheel(&WheelMaker::new("six", "1.0"));
    two.wheel(&WheelMaker::new("six", "2.0"));
    let dir = tempfile::tempdir().unwrap();
    let both = IndexSettings {
        // Written without its slash, and twice.
        extra_index_urls: vec![
            two.url().trim_end_matches('/').parse().unwrap(),
            two.url().parse().unwrap(),
        ],
        ..settings(&one)
    };
    let page = indexes(both, dir.path()).page(&six()).await.unwrap();
    assert_eq!(page.versions().len(), 2);
    assert_eq!(two.requests().len(), 1);
}

#[tokio::test]
async fn texts_are_read_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upper-constraints.txt");
    fs_err::write(&path, "six===1.16.0\n").unwrap();
    let client = client();
    let file = url::Url::from_file_path(&path).unwrap();
    assert_eq!(client.text(&file).await.unwrap().text, "six===1.16.0\n");
    let error = client.text(&file.join("none.txt").unwrap()).await.unwrap_err();
    assert!(matches!(error, HttpError::Local { .. }), "{error:?}");
    let error = client.text(&"ftp://h/x".parse().unwrap()).await.unwrap_err();
    insta::assert_snapshot!(error, @"`ftp://h/x` is not an address of http, https or file");
    let server = IndexServer::new();
    server.put("/c.txt", "text/plain", b"\xff".to_vec());
    let error = client.text(&server.at("/c.txt").parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, HttpError::Encoding { .. }), "{error:?}");
}
