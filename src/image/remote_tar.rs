//! The wheels of a tar at a URL.
//!
//! One that loci wrote begins with its index: the first bytes tell where each wheel stands, and the
//! others come when they are wanted. Any other tar, and any tar of a server that gives no parts, comes
//! by once, and its wheels are imported into the store as they pass.

use std::io::Read;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use url::Url;

use crate::http::range::ContentRange;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS};
use crate::vocab::digest::Digest;
use crate::vocab::redact::publishable;

use super::bring::import_stream;
use super::download::{Answer, Download, TO_THE_END};
use super::error::ImageError;
use super::remote_file::RemoteFile;
use super::remote_image::offer_all;
use super::source::{Source, from_contents, parse_index, some_wheels, text};
use super::tar_contents::Contents;
use super::{Access, INDEX, Progress};

/// The first request asks for so many bytes: most indexes are in them.
const FIRST: u64 = 1 << 20;
/// No index is larger, in bytes.
const MOST_INDEX: u64 = 64 << 20;

/// Opens the tar at `url`.
///
/// # Errors
/// Those of [`Source::open`].
pub(super) async fn open(
    url: &Url,
    access: &Access,
    progress: &Progress,
) -> Result<Source, ImageError> {
    // The login is the client's to remember; no message has to leave it out then.
    let url = access.client.strip(url);
    let origin = publishable(&url).to_string();
    let file =
        RemoteFile::Url { client: access.client.clone(), url: url.clone(), size: None, etag: None };
    let mut start = Download::new(&file, 0..FIRST);
    let answer = start.answer().await?;
    let response = start.response();
    let version = response.and_then(|response| file.version(response));
    let size = response.and_then(|response| ContentRange::of(response)?.whole);
    let whole = Whole { url: &url, version: version.as_ref(), origin: &origin, access, progress };
    let Some(size) = size.filter(|_| answer == Answer::Part) else {
        if answer == Answer::Part {
            // A part of nobody knows what: all of it comes, by a request of its own.
            return whole.import().await;
        }
        start.extend(TO_THE_END);
        return whole.import_from(start, &[]).await;
    };
    start.shorten(size);
    let mut bytes = Vec::new();
    while let Some(piece) = start.next().await? {
        bytes.extend_from_slice(&piece);
    }
    let file = Arc::new(RemoteFile::Url {
        client: access.client.clone(),
        url: url.clone(),
        size: Some(size),
        etag: version.clone(),
    });
    let Some(needed) = head_length(&bytes, size) else {
        // Two requests make one file only where a version says so.
        return match version {
            Some(_) => {
                let rest = Download::new(&file, bytes.len() as u64..size);
                whole.import_from(rest, &bytes).await
            }
            None => whole.import().await,
        };
    };
    if needed > bytes.len() as u64 {
        let mut rest = Download::new(&file, bytes.len() as u64..needed);
        while let Some(piece) = rest.next().await? {
            bytes.extend_from_slice(&piece);
        }
    }
    let head = Head::read(&bytes, &origin)?;
    let index = parse_index(&head.index, &origin)?;
    let beyond = index.wheels.iter().find(|wheel| {
        wheel.offset.and_then(|at| at.checked_add(wheel.size)).is_none_or(|end| end > size)
    });
    if let Some(wheel) = beyond {
        let wheel = wheel.filename.to_string();
        return Err(ImageError::Lacks { origin, wheel });
    }
    let source = Source {
        wheels: offer_all(&index, &file, &origin)?,
        constraints: head.constraints.map(text),
        global_requirements: head.global_requirements.map(text),
        lacking: Vec::new(),
        kept: None,
    };
    some_wheels(source, &origin)
}

/// A tar that comes as a whole.
struct Whole<'a> {
    url: &'a Url,
    /// Under it and the address the contents are remembered, where the server tells it.
    version: Option<&'a HeaderValue>,
    origin: &'a str,
    access: &'a Access,
    progress: &'a Progress,
}

impl Whole<'_> {
    /// What was remembered of it, or all of it by a request of its own.
    async fn import(&self) -> Result<Source, ImageError> {
        let (client, url) = (self.access.client.clone(), self.url.clone());
        let file = RemoteFile::Url { client, url, size: None, etag: None };
        self.import_from(Download::new(&file, 0..TO_THE_END), &[]).await
    }

    /// What was remembered of it, or `before`, which has come, and what `rest` brings.
    async fn import_from(&self, rest: Download<'_>, before: &[u8]) -> Result<Source, ImageError> {
        let Self { origin, access, progress, .. } = *self;
        let memo = access.store.memo("contents");
        let key = self.version.map(|version| {
            Digest::of(&[self.url.as_str().as_bytes(), b"\n", version.as_bytes()].concat())
        });
        let known = key.as_ref().and_then(|key| memo.get(key));
        if let Some(contents) = known.and_then(|known| Contents::recall(known, &access.store)) {
            return from_contents(contents, origin).and_then(|s| s.with_all_of_its_index(origin));
        }
        let (contents, _) = import_stream(rest, before, origin, access, progress).await?;
        let remembered = contents.remembered();
        let source = from_contents(contents, origin)?.with_all_of_its_index(origin)?;
        // What makes no sense is asked for again the next time.
        if let (Some(key), Some(remembered)) = (key, remembered) {
            memo.put(&key, &remembered)?;
        }
        Ok(source)
    }
}

/// How many bytes the index and the two texts behind it take, when the tar begins with an index;
/// headers are counted generously.
fn head_length(bytes: &[u8], size: u64) -> Option<u64> {
    let mut archive = tar::Archive::new(bytes);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let is_index = entry.path_bytes().as_ref() == INDEX.as_bytes();
    if !is_index || entry.size() > MOST_INDEX {
        return None;
    }
    // The texts are small beside it.
    Some((entry.raw_file_position() + entry.size() + (512 << 10)).min(size))
}

/// What a tar of loci's begins with.
#[derive(Default)]
struct Head {
    index: Vec<u8>,
    constraints: Option<Vec<u8>>,
    global_requirements: Option<Vec<u8>>,
}

impl Head {
    fn read(bytes: &[u8], origin: &str) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Tar { origin: origin.into(), source };
        let mut head = Self::default();
        let mut archive = tar::Archive::new(bytes);
        for (at, entry) in archive.entries().map_err(failed)?.enumerate() {
            // The bytes end somewhere, and what is cut there is none of the three.
            let Ok(mut entry) = entry else { break };
            let name = entry.path_bytes().into_owned();
            let mut text = Vec::new();
            let wanted = [INDEX, CONSTRAINTS, GLOBAL_REQUIREMENTS];
            let Some(name) = wanted.into_iter().find(|w| w.as_bytes() == name) else { break };
            match entry.read_to_end(&mut text) {
                Ok(_) => {}
                Err(source) if at == 0 => return Err(failed(source)),
                Err(_) => break,
            }
            match name {
                INDEX => head.index = text,
                CONSTRAINTS => head.constraints = Some(text),
                _ => head.global_requirements = Some(text),
            }
        }
        Ok(head)
    }
}
