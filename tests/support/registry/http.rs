//! HTTP/1.1 as a registry's clients speak it: a [`Request`] is read, an [`Answer`] is written. What
//! they mean is not known here.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

/// What was asked for, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    /// By their names in lowercase; several of one name are joined by commas.
    pub headers: BTreeMap<String, String>,
    /// Whether it was made at the other origin, where redirects may lead.
    pub elsewhere: bool,
    /// The bytes of its body that came.
    pub received: u64,
    /// None when the connection ended without an answer.
    pub status: Option<u16>,
    /// The bytes of the answer's body that went out, of which the client may not have read all.
    pub sent: u64,
}

impl Request {
    /// The path without its query.
    pub fn place(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// Every value of a query's parameter.
    pub fn queries(&self, key: &str) -> Vec<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        values(query.as_bytes(), key)
    }

    /// The first value of a query's parameter.
    pub fn query(&self, key: &str) -> Option<String> {
        self.queries(key).into_iter().next()
    }

    /// A header by its name in lowercase.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Whether `pattern` is its method and what its path begins with, such as
    /// `PUT /v2/a/manifests/`. A pattern without a method means any.
    pub fn is(&self, pattern: &str) -> bool {
        let (method, path) = pattern.split_once(' ').unwrap_or((&self.method, pattern));
        method == self.method && self.path.starts_with(path)
    }
}

/// Every value of a form's field.
pub fn values(form: &[u8], key: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(form);
    pairs.filter(|(name, _)| name == key).map(|(_, value)| value.into_owned()).collect()
}

/// Reads a request up to its body; None at the end of the connection.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    match reader.fill_buf()?.first() {
        None => return Ok(None),
        Some(first) if first.is_ascii_alphabetic() => {}
        // Another protocol, TLS perhaps, whose client would wait for the end of its line for ever.
        Some(_) => return Err(io::ErrorKind::InvalidData.into()),
    }
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut next = || words.next().map(str::to_owned).ok_or(io::ErrorKind::InvalidData);
    let mut request = Request { method: next()?, path: next()?, ..Request::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(request));
        };
        let header = request.headers.entry(name.to_lowercase()).or_default();
        if !header.is_empty() {
            header.push_str(", ");
        }
        header.push_str(value.trim());
    }
}

/// A request's body, or the beginning of it.
pub struct Body {
    pub bytes: Vec<u8>,
    /// False when it was cut, by the client or by a limit.
    pub whole: bool,
}

/// Reads a request's body, of which nothing beyond `limit` is looked at.
pub fn read_body(reader: &mut impl BufRead, request: &Request, limit: usize) -> Body {
    let mut bytes = Vec::new();
    let read = if request.header("transfer-encoding") == Some("chunked") {
        read_chunks(reader, limit, &mut bytes)
    } else {
        let length = declared_length(request).unwrap_or(0);
        let read = reader.by_ref().take(length.min(limit) as u64).read_to_end(&mut bytes);
        read.map(|read| read == length)
    };
    Body { bytes, whole: read.unwrap_or(false) }
}

/// The length of a request's body, where it is told.
pub fn declared_length(request: &Request) -> Option<usize> {
    request.header("content-length")?.parse().ok()
}

/// Whether all of the body's chunks were read.
fn read_chunks(reader: &mut impl BufRead, limit: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let wanted = size.min(limit - bytes.len());
        let read = reader.by_ref().take(wanted as u64).read_to_end(bytes)?;
        if read < size {
            return Ok(false);
        }
        // After a chunk a line ends; after the last one, which is empty, so do the trailers.
        let mut rest = String::new();
        while reader.read_line(&mut rest)? > 0 && size == 0 && !rest.trim().is_empty() {
            rest.clear();
        }
        if size == 0 {
            return Ok(true);
        }
    }
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// After so many bytes of the body, the connection ends.
    pub cut: Option<usize>,
}

impl Answer {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// What goes out of its body in answer to `method`.
    pub fn outgoing(&self, method: &str) -> &[u8] {
        let end = if method == "HEAD" { 0 } else { self.cut.unwrap_or(self.body.len()) };
        &self.body[..end]
    }

    /// Writes it in answer to `method`.
    pub fn write(&self, stream: &mut impl Write, method: &str) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Fixture\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(self.outgoing(method))
    }
}
