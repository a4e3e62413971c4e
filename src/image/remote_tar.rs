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
    let key = memo_key(&url, version.as_ref());
    let size = size.filter(|_| answer == Answer::Part);
    let mut bytes = Vec::new();
    let Some(size) = size else {
        // No parts, or of an unknown whole: all of it comes.
        start.extend(TO_THE_END);
        return import(start, &bytes, key, &origin, access, progress).await;
    };
    start.shorten(size);
    while let Some(piece) = start.next().await? {
        bytes.extend_from_slice(&piece);
    }
    let file = Arc::new(RemoteFile::Url {
        client: access.client.clone(),
        url: url.clone(),
        size: Some(size),
        etag: version,
    });
    let Some(needed) = head_length(&bytes, size) else {
        let rest = Download::new(&file, bytes.len() as u64..size);
        return import(rest, &bytes, key, &origin, access, progress).await;
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
        kept: None,
    };
    some_wheels(source, &origin)
}

/// Under what the contents of `url` are remembered: its address and version, where there is one.
fn memo_key(url: &Url, version: Option<&HeaderValue>) -> Option<Digest> {
    let version = version?;
    Some(Digest::of(&[url.as_str().as_bytes(), b"\n", version.as_bytes()].concat()))
}

/// All of it: `before`, which has come, and what `rest` brings.
async fn import(
    rest: Download<'_>,
    before: &[u8],
    key: Option<Digest>,
    origin: &str,
    access: &Access,
    progress: &Progress,
) -> Result<Source, ImageError> {
    let memo = access.store.memo("contents");
    let known = key.as_ref().and_then(|key| memo.get(key));
    let contents = match known.and_then(|known| Contents::recall(known, &access.store)) {
        Some(contents) => contents,
        None => {
            let (contents, _) = import_stream(rest, before, origin, access, progress).await?;
            if let (Some(key), Some(remembered)) = (key, contents.remembered()) {
                memo.put(&key, &remembered)?;
            }
            contents
        }
    };
    from_contents(contents, origin, true)
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
