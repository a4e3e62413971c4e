//! [`IndexServer`]: a package index on the loopback, over files given in code, with faults on demand.
//!
//! It speaks just enough HTTP/1.1: GET, keep-alive, one range, entity tags. Addresses:
//! `/simple/NAME/` is a project's page, `/files/FILE` a file, and whatever [`IndexServer::put`] adds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};

use super::sdist::SdistMaker;
use super::valve::Valve;
use super::wheel::WheelMaker;

/// A server that lives as long as this value.
pub struct IndexServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    valve: Arc<Valve>,
    stop: Arc<AtomicBool>,
}

/// One file of a project, and what the page tells of it.
#[derive(Clone, Default)]
pub struct IndexFile {
    pub filename: String,
    pub bytes: Vec<u8>,
    /// Told instead of the true one; the empty text leaves it out.
    pub sha256: Option<String>,
    /// Told instead of the true one, in JSON.
    pub size: Option<u64>,
    pub requires_python: Option<String>,
    pub yanked: Option<String>,
    /// Served at the file's address and `.metadata` (PEP 658).
    pub metadata: Option<Vec<u8>>,
}

impl IndexFile {
    pub fn new(filename: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { filename: filename.into(), bytes: bytes.into(), ..Self::default() }
    }
}

/// What goes wrong with an address.
#[derive(Clone)]
pub enum Fault {
    /// This status for the next `times` requests, with a Retry-After when one is given.
    Status { status: u16, times: usize, retry_after: Option<String> },
    /// The body ends after so many bytes, and so does the connection, `times` times.
    Truncate { after: usize, times: usize },
    /// The byte there is another one.
    Flip { at: usize },
    /// The connection ends without an answer, `times` times.
    Drop { times: usize },
}

#[derive(Default)]
struct State {
    projects: BTreeMap<String, Vec<IndexFile>>,
    others: BTreeMap<String, (String, Vec<u8>)>,
    faults: BTreeMap<String, Fault>,
    requests: Vec<Request>,
    html: bool,
    no_ranges: bool,
    validators: bool,
    max_age: Option<u64>,
    login: Option<String>,
}

/// What was asked for.
#[derive(Clone)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Default for IndexServer {
    fn default() -> Self {
        Self::new()
    }
}

impl IndexServer {
    /// A server without any project, which tells JSON and serves ranges.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let stop = Arc::<AtomicBool>::default();
        let valve = Arc::<Valve>::default();
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let shared_valve = Arc::clone(&valve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&shared)) else { continue };
                let valve = Arc::clone(&shared_valve);
                std::thread::spawn(move || {
                    let _ = converse(stream, &state, &valve);
                });
            }
        });
        Self { address, state, valve, stop }
    }

    /// Pages in HTML (PEP 503).
    pub fn html(self) -> Self {
        self.state().html = true;
        self
    }

    /// Ranged requests are answered with the whole.
    pub fn without_ranges(self) -> Self {
        self.state().no_ranges = true;
        self
    }

    /// Everything has an entity tag, and If-None-Match is obeyed.
    pub fn with_validators(self) -> Self {
        self.state().validators = true;
        self
    }

    /// The Cache-Control of pages.
    pub fn max_age(self, seconds: u64) -> Self {
        self.state().max_age = Some(seconds);
        self
    }

    /// Answers 401 without this value of Authorization.
    pub fn login(self, authorization: &str) -> Self {
        self.state().login = Some(authorization.into());
        self
    }

    /// Adds or replaces a file of a project.
    pub fn file(&self, project: &str, file: IndexFile) -> &Self {
        let mut state = self.state();
        let files = state.projects.entry(normalise(project)).or_default();
        files.retain(|existing| existing.filename != file.filename);
        files.push(file);
        drop(state);
        self
    }

    /// Adds a wheel, its METADATA not served by itself.
    pub fn wheel(&self, wheel: &WheelMaker) -> &Self {
        let filename = wheel.filename();
        let project = filename.split('-').next().unwrap().to_owned();
        self.file(&project, IndexFile::new(&filename, wheel.bytes()))
    }

    /// Adds a source archive.
    pub fn sdist(&self, sdist: &SdistMaker) -> &Self {
        let filename = sdist.filename();
        let project = filename.rsplit_once('-').unwrap().0.to_owned();
        self.file(&project, IndexFile::new(&filename, sdist.bytes()))
    }

    /// Anything else at an address, such as a constraints file or an error page.
    pub fn put(&self, path: &str, content_type: &str, bytes: impl Into<Vec<u8>>) -> &Self {
        self.state().others.insert(path.into(), (content_type.into(), bytes.into()));
        self
    }

    /// Makes something go wrong with an address from now on.
    pub fn fault(&self, path: &str, fault: Fault) -> &Self {
        self.state().faults.insert(path.into(), fault);
        self
    }

    /// Answers so many more requests; those after them wait for [`IndexServer::let_go`].
    pub fn hold_after(&self, requests: usize) {
        self.valve.hold_after(requests);
    }

    /// Waits until a request is held, or the client is `gone` without having made so many.
    pub fn wait_until_held(&self, gone: impl FnMut() -> bool) {
        self.valve.wait_until_held(gone);
    }

    /// Ends the connections of the requests that are held, which count as never made; answers all
    /// that come from now on.
    pub fn let_go(&self) {
        self.valve.open(false);
    }

    /// The address of the index, for `--index-url`.
    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often an address was asked for.
    pub fn hits(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|request| request.path == path).count()
    }

    /// Every request, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for IndexServer {
    fn drop(&mut self) {
        self.let_go();
        self.stop.store(true, Ordering::Relaxed);
        // One more connection wakes the thread that accepts them.
        let _ = TcpStream::connect(self.address);
    }
}

/// PEP 503's normal form of a name.
pub fn normalise(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        let c = if matches!(c, '_' | '.') { '-' } else { c };
        if c != '-' || !out.ends_with('-') {
            out.push(c);
        }
    }
    out
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// After so many bytes of the body, the connection ends.
    cut: Option<usize>,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", content_type.into())], body, cut: None }
    }
}

fn converse(stream: TcpStream, state: &Mutex<State>, valve: &Valve) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_lowercase(), value.trim().to_owned());
                }
                None => break,
            }
        }
        let request = Request { path, headers };
        if !valve.admits() {
            return stream.shutdown(Shutdown::Both);
        }
        let Some(answer) = state.lock().unwrap().answer(&request) else {
            return stream.shutdown(Shutdown::Both);
        };
        let mut head = format!("HTTP/1.1 {} Fixture\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&answer.body[..answer.cut.unwrap_or(answer.body.len())]);
        stream.write_all(&bytes)?;
        if answer.cut.is_some() {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    /// None ends the connection.
    fn answer(&mut self, request: &Request) -> Option<Answer> {
        self.requests.push(request.clone());
        let path = &request.path;
        let text = |status, text: &str| Some(Answer::new(status, "text/plain", text.into()));
        if self.login.is_some() && self.login.as_ref() != request.headers.get("authorization") {
            return text(401, "who are you?");
        }
        let mut fault = self.faults.get_mut(path);
        match &mut fault {
            Some(Fault::Drop { times }) if *times > 0 => {
                *times -= 1;
                return None;
            }
            Some(Fault::Status { status, times, retry_after }) if *times > 0 => {
                *times -= 1;
                let mut answer = Answer::new(*status, "text/plain", b"a fault".to_vec());
                answer.headers.extend(retry_after.clone().map(|after| ("retry-after", after)));
                return Some(answer);
            }
            _ => {}
        }
        let fault = fault.cloned();
        let Some((content_type, mut body)) = self.find(path) else {
            return text(404, "not here");
        };
        if let Some(Fault::Flip { at }) = fault {
            body[at] ^= 1;
        }
        let etag = format!("\"{}\"", hex(&body));
        if self.validators && request.headers.get("if-none-match") == Some(&etag) {
            return Some(Answer::new(304, &content_type, Vec::new()));
        }
        let mut answer = match request.headers.get("range") {
            Some(range) if !self.no_ranges => ranged(&content_type, &body, range),
            _ => Answer::new(200, &content_type, body),
        };
        if self.validators {
            answer.headers.push(("etag", etag));
        }
        answer.headers.extend(self.max_age.map(|age| ("cache-control", format!("max-age={age}"))));
        if let Some(Fault::Truncate { after, times }) = self.faults.get_mut(path)
            && *times > 0
            && *after < answer.body.len()
        {
            *times -= 1;
            answer.cut = Some(*after);
        }
        Some(answer)
    }

    fn find(&self, path: &str) -> Option<(String, Vec<u8>)> {
        if let Some(other) = self.others.get(path) {
            return Some(other.clone());
        }
        if let Some(name) = path.strip_prefix("/simple/") {
            let files = self.projects.get(name.strip_suffix('/')?)?;
            return Some(if self.html { html_page(files) } else { json_page(name, files) });
        }
        let name = path.strip_prefix("/files/")?.replace("%2B", "+");
        let mut files = self.projects.values().flatten();
        if let Some(name) = name.strip_suffix(".metadata") {
            let file = files.find(|file| file.filename == name)?;
            return Some(("binary/octet-stream".into(), file.metadata.clone()?));
        }
        let file = files.find(|file| file.filename == name)?;
        Some(("application/octet-stream".into(), file.bytes.clone()))
    }
}

fn ranged(content_type: &str, body: &[u8], range: &str) -> Answer {
    let size = body.len();
    let span = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let span = span.and_then(|(start, end)| match (start, end) {
        ("", last) => Some((size.saturating_sub(last.parse().ok()?), size)),
        (start, "") => Some((start.parse().ok()?, size)),
        (start, end) => Some((start.parse().ok()?, (end.parse::<usize>().ok()? + 1).min(size))),
    });
    match span {
        Some((start, end)) if start < end => {
            let mut answer = Answer::new(206, content_type, body[start..end].to_vec());
            answer.headers.push(("content-range", format!("bytes {start}-{}/{size}", end - 1)));
            answer
        }
        _ => Answer::new(416, content_type, Vec::new()),
    }
}

fn json_page(name: &str, files: &[IndexFile]) -> (String, Vec<u8>) {
    let files: Vec<serde_json::Value> = files
        .iter()
        .map(|file| {
            let hashes: BTreeMap<&str, String> =
                told_hash(file).into_iter().map(|hex| ("sha256", hex)).collect();
            serde_json::json!({
                "filename": file.filename,
                "url": format!("/files/{}", file.filename.replace('+', "%2B")),
                "hashes": hashes,
                "size": file.size.unwrap_or(file.bytes.len() as u64),
                "requires-python": file.requires_python,
                "yanked": file.yanked.as_ref().map_or(serde_json::json!(false), |r| r.as_str().into()),
                "core-metadata": file.metadata.as_ref().map_or(serde_json::json!(false), |bytes| {
                    serde_json::json!({"sha256": hex(bytes)})
                }),
            })
        })
        .collect();
    let page = serde_json::json!({
        "meta": {"api-version": "1.1"}, "name": name.trim_end_matches('/'), "files": files,
    });
    ("application/vnd.pypi.simple.v1+json".into(), page.to_string().into_bytes())
}

fn html_page(files: &[IndexFile]) -> (String, Vec<u8>) {
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let mut page = "<!DOCTYPE html>\n<html><body>\n".to_owned();
    for file in files {
        let mut attributes = String::new();
        let mut add = |name: &str, value: &str| {
            attributes.push_str(&format!(" {name}=\"{}\"", escape(value)));
        };
        if let Some(specifiers) = &file.requires_python {
            add("data-requires-python", specifiers);
        }
        if let Some(reason) = &file.yanked {
            add("data-yanked", reason);
        }
        if let Some(bytes) = &file.metadata {
            add("data-core-metadata", &format!("sha256={}", hex(bytes)));
        }
        let hash = told_hash(file).map_or(String::new(), |hex| format!("#sha256={hex}"));
        let name = &file.filename;
        let path = name.replace('+', "%2B");
        page.push_str(&format!(
            "<a href=\"../../files/{path}{hash}\"{attributes}>{name}</a><br/>\n"
        ));
    }
    ("text/html; charset=utf-8".into(), page.into_bytes())
}

fn told_hash(file: &IndexFile) -> Option<String> {
    let told = file.sha256.clone().unwrap_or_else(|| hex(&file.bytes));
    (!told.is_empty()).then_some(told)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
