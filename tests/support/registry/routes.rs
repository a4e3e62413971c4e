//! What a registry answers, by the OCI distribution specification 1.1: [`State::answer`]. Faults and
//! sockets are the server's.

use serde_json::{Value, json};

use super::auth::{Gate, Need};
use super::faults::Faults;
use super::http::{Answer, Body, Request};
use super::store::{Manifest, Repository, Store, Upload, digest};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Where a GET of a blob is sent on to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// Another path of the same server.
    Here,
    /// Another origin, which refuses credentials.
    Elsewhere,
}

/// What a registry may do in one way or another.
#[derive(Default)]
pub struct Knobs {
    pub absolute_locations: bool,
    pub refuse_mounts: bool,
    pub without_single_post: bool,
    pub lose_broken_uploads: bool,
    pub takes_no_chunks: bool,
    pub without_ranges: bool,
    pub without_referrers: bool,
    pub tags_a_page: Option<usize>,
    pub redirect: Option<Redirect>,
}

/// All that a server knows.
#[derive(Default)]
pub struct State {
    pub store: Store,
    pub gate: Gate,
    pub faults: Faults,
    pub knobs: Knobs,
    pub requests: Vec<Request>,
    /// The server's two origins.
    pub here: String,
    pub elsewhere: String,
}

/// What a path below `/v2/NAME/` means.
enum Route<'a> {
    Blob(&'a str),
    Uploads,
    Upload(&'a str),
    Manifest(&'a str),
    Tags,
    Referrers(&'a str),
}

/// An answer of the specification's error body.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    errors(status, &[json!({"code": code, "message": message})])
}

fn errors(status: u16, errors: &[Value]) -> Answer {
    Answer::new(status).json(&json!({"errors": errors}))
}

/// The repository and the meaning of a path.
fn route(place: &str) -> Option<(String, Route<'_>)> {
    let parts: Vec<&str> = place.strip_prefix("/v2/")?.split('/').collect();
    let (name, route) = match parts.as_slice() {
        [name @ .., "blobs", "uploads", ""] => (name, Route::Uploads),
        [name @ .., "blobs", "uploads", id] => (name, Route::Upload(id)),
        [name @ .., "blobs", digest] => (name, Route::Blob(digest)),
        [name @ .., "manifests", reference] => (name, Route::Manifest(reference)),
        [name @ .., "tags", "list"] => (name, Route::Tags),
        [name @ .., "referrers", digest] => (name, Route::Referrers(digest)),
        _ => return None,
    };
    (!name.is_empty()).then(|| (name.join("/"), route))
}

fn good_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    name.split('/').all(|part| !part.is_empty() && part.chars().all(good))
}

fn good_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = |c: char| word(c) || ".-".contains(c);
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(good)
}

impl State {
    /// Does what a request asks for. None when its body was cut, so that nobody awaits an answer.
    pub fn answer(&mut self, request: &Request, body: &Body) -> Option<Answer> {
        let place = request.place();
        if let Some(digest) = place.strip_prefix("/storage/") {
            // As stores of objects do, where the address is the right to it.
            if request.elsewhere && request.header("authorization").is_some() {
                return Some(Answer::new(400).body("text/plain", "two ways of authentication"));
            }
            let mut holders = self.store.repositories.values();
            let blob = holders.find_map(|holder| holder.blobs.get(digest));
            return Some(match blob {
                Some(blob) => self.content(digest, blob, request),
                None => Answer::new(404),
            });
        }
        if request.elsewhere {
            return Some(Answer::new(404));
        }
        if place == "/token" {
            return Some(self.gate.token(request, &body.bytes));
        }
        if place == "/v2/" {
            let welcome = || Answer::new(200).json(&json!({}));
            return Some(self.gate.refuses(request, &[]).unwrap_or_else(welcome));
        }
        let Some((name, route)) = route(place) else {
            return Some(error(404, "NOT_FOUND", "no such page"));
        };
        if !good_name(&name) {
            return Some(error(400, "NAME_INVALID", "invalid repository name"));
        }
        if let Some(refusal) = self.gate.refuses(request, &self.needs(request, &name)) {
            return Some(refusal);
        }
        match (request.method.as_str(), route) {
            (_, Route::Upload(id)) => self.upload(request, &name, id, body),
            (_, _) if !body.whole => None,
            ("GET" | "HEAD", Route::Blob(digest)) => Some(self.blob(request, &name, digest)),
            ("POST", Route::Uploads) => Some(self.begin(request, &name, &body.bytes)),
            ("GET" | "HEAD", Route::Manifest(reference)) => {
                Some(self.manifest(request, &name, reference))
            }
            ("PUT", Route::Manifest(reference)) => {
                Some(self.put_manifest(request, &name, reference, &body.bytes))
            }
            ("GET", Route::Tags) => Some(self.tags(request, &name)),
            ("GET", Route::Referrers(digest)) => Some(self.referrers(request, &name, digest)),
            _ => Some(error(405, "UNSUPPORTED", "the operation is unsupported")),
        }
    }

    fn needs(&self, request: &Request, name: &str) -> Vec<Need> {
        let mut needs = vec![(name.to_owned(), "pull")];
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            needs.push((name.to_owned(), "push"));
        }
        if request.method == "POST" && !self.knobs.refuse_mounts {
            needs.extend(request.query("from").map(|from| (from, "pull")));
        }
        needs
    }

    fn location(&self, path: &str) -> String {
        let origin = if self.knobs.absolute_locations { self.here.as_str() } else { "" };
        format!("{origin}{path}")
    }

    fn known(&self, name: &str) -> Option<&Repository> {
        self.store.repositories.get(name)
    }

    // Blobs

    fn blob(&self, request: &Request, name: &str, digest: &str) -> Answer {
        let Some(blob) = self.store.blob(name, digest) else {
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        match self.knobs.redirect {
            Some(to) if request.method == "GET" => {
                let origin = if to == Redirect::Elsewhere { &self.elsewhere } else { "" };
                let location = format!("{origin}/storage/{digest}?signature=good");
                Answer::new(307).header("location", location)
            }
            _ => self.content(digest, &blob, request),
        }
    }

    /// A blob, or the range of it that is asked for.
    fn content(&self, digest: &str, blob: &[u8], request: &Request) -> Answer {
        let etag = format!("\"{digest}\"");
        let current = request.header("if-range").is_none_or(|told| told == etag);
        let range = request.header("range").filter(|_| current && !self.knobs.without_ranges);
        let answer = match range.and_then(|range| span(range, blob.len())) {
            None => Answer::new(200).body("application/octet-stream", blob),
            Some((start, end)) if start < end => Answer::new(206)
                .body("application/octet-stream", &blob[start..end])
                .header("content-range", format!("bytes {start}-{}/{}", end - 1, blob.len())),
            Some(_) => Answer::new(416).header("content-range", format!("bytes */{}", blob.len())),
        };
        let answer = answer.header("etag", etag).header("docker-content-digest", digest);
        let ranges = if self.knobs.without_ranges { "none" } else { "bytes" };
        answer.header("accept-ranges", ranges)
    }

    fn created_blob(&self, name: &str, digest: &str) -> Answer {
        Answer::new(201)
            .header("location", self.location(&format!("/v2/{name}/blobs/{digest}")))
            .header("docker-content-digest", digest)
    }

    // Uploads

    fn begin(&mut self, request: &Request, name: &str, body: &[u8]) -> Answer {
        if let (Some(mounted), Some(from)) = (request.query("mount"), request.query("from"))
            && !self.knobs.refuse_mounts
            && self.store.mount(&mounted, &from, name)
        {
            return self.created_blob(name, &mounted);
        }
        if let Some(told) = request.query("digest")
            && !self.knobs.without_single_post
        {
            if told != digest(body) {
                return wrong_digest();
            }
            self.store.put_blob(name, body.to_vec());
            return self.created_blob(name, &told);
        }
        let id = self.store.begin_upload(name);
        self.progress(202, &id)
    }

    /// How far an upload has come. Its address changes with that, as many registries' does.
    fn progress(&self, status: u16, id: &str) -> Answer {
        let Upload { repository, bytes } = &self.store.uploads[id];
        let path = format!("/v2/{repository}/blobs/uploads/{id}?_state={}", bytes.len());
        // Nothing yet is told as one byte is.
        Answer::new(status)
            .header("location", self.location(&path))
            .header("range", format!("0-{}", bytes.len().saturating_sub(1)))
            .header("docker-upload-uuid", id)
    }

    fn upload(&mut self, request: &Request, name: &str, id: &str, body: &Body) -> Option<Answer> {
        let upload = self.store.uploads.get_mut(id).filter(|upload| upload.repository == name);
        let Some(upload) = upload else {
            return Some(error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"));
        };
        if request.query("_state").is_none() {
            return Some(error(400, "BLOB_UPLOAD_INVALID", "not the location that was told"));
        }
        match request.method.as_str() {
            "GET" => return Some(self.progress(204, id)),
            "DELETE" => {
                self.store.uploads.remove(id);
                return Some(Answer::new(204));
            }
            "PATCH" if self.knobs.takes_no_chunks => return Some(self.progress(202, id)),
            "PATCH" | "PUT" => {}
            _ => return Some(error(405, "UNSUPPORTED", "the operation is unsupported")),
        }
        let told = request.header("content-range").map(|range| range.split_once('-'));
        if let Some(told) = told {
            let number = |text: &str| text.parse::<usize>().ok();
            let told = told.and_then(|(start, end)| Some((number(start)?, number(end)?)));
            if told.is_none_or(|(start, _)| start != upload.bytes.len()) {
                return Some(self.progress(416, id));
            }
            if body.whole && told.is_some_and(|(start, end)| end + 1 - start != body.bytes.len()) {
                return Some(error(400, "SIZE_INVALID", "not as long as the range that was told"));
            }
        }
        upload.bytes.extend_from_slice(&body.bytes);
        if !body.whole {
            if self.knobs.lose_broken_uploads {
                self.store.uploads.remove(id);
            }
            return None;
        }
        if request.method == "PATCH" {
            return Some(self.progress(202, id));
        }
        let Some(told) = request.query("digest") else {
            return Some(error(400, "DIGEST_INVALID", "no digest was told"));
        };
        // Good or not, the upload is over.
        let bytes = self.store.uploads.remove(id).map(|upload| upload.bytes).unwrap_or_default();
        if told != digest(&bytes) {
            return Some(wrong_digest());
        }
        self.store.put_blob(name, bytes);
        Some(self.created_blob(name, &told))
    }

    // Manifests, tags and referrers

    fn manifest(&self, request: &Request, name: &str, reference: &str) -> Answer {
        let Some(repository) = self.known(name) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let Some((digest, manifest)) = repository.manifest(reference) else {
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let accept = request.header("accept").unwrap_or("*/*");
        if !accept.contains(&manifest.media_type) && !accept.contains("*/*") {
            return error(404, "MANIFEST_UNKNOWN", "the manifest is of a kind not accepted");
        }
        Answer::new(200)
            .body(&manifest.media_type, manifest.bytes.clone())
            .header("docker-content-digest", digest)
            .header("etag", format!("\"{digest}\""))
    }

    fn put_manifest(
        &mut self,
        request: &Request,
        name: &str,
        reference: &str,
        bytes: &[u8],
    ) -> Answer {
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        let manifest = Manifest { media_type, bytes: bytes.to_vec() };
        let value = manifest.value();
        let told_type = value["mediaType"].as_str().unwrap_or(&manifest.media_type);
        if value["schemaVersion"] != 2 || told_type != manifest.media_type {
            return error(400, "MANIFEST_INVALID", "manifest invalid");
        }
        if reference.contains(':') && reference != digest(bytes) {
            return wrong_digest();
        }
        if !reference.contains(':') && !good_tag(reference) {
            return error(400, "MANIFEST_INVALID", "invalid tag");
        }
        let unknown = |digest: String| {
            let message = "blob unknown to registry, or of another size";
            json!({"code": "MANIFEST_BLOB_UNKNOWN", "message": message, "detail": {"digest": digest}})
        };
        let lacking = self.store.repository(name).lacks(&value);
        if !lacking.is_empty() {
            return errors(404, &lacking.into_iter().map(unknown).collect::<Vec<_>>());
        }
        let digest = self.store.put_manifest(name, reference, manifest);
        let answer = Answer::new(201)
            .header("location", self.location(&format!("/v2/{name}/manifests/{digest}")))
            .header("docker-content-digest", digest);
        match value["subject"]["digest"].as_str() {
            Some(subject) if !self.knobs.without_referrers => answer.header("oci-subject", subject),
            _ => answer,
        }
    }

    fn tags(&self, request: &Request, name: &str) -> Answer {
        let Some(repository) = self.known(name) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let last = request.query("last").unwrap_or_default();
        let asked = request.query("n").and_then(|n| n.parse::<usize>().ok());
        let most = asked.into_iter().chain(self.knobs.tags_a_page).min().unwrap_or(usize::MAX);
        let mut left = repository.tags.keys().filter(|tag| **tag > last);
        let page: Vec<&String> = left.by_ref().take(most).collect();
        let answer = Answer::new(200).json(&json!({"name": name, "tags": page}));
        match (page.last(), left.next()) {
            (Some(last), Some(_)) => {
                let path = format!("/v2/{name}/tags/list?n={most}&last={last}");
                answer.header("link", format!("<{}>; rel=\"next\"", self.location(&path)))
            }
            _ => answer,
        }
    }

    fn referrers(&self, request: &Request, name: &str, digest: &str) -> Answer {
        if self.knobs.without_referrers {
            return Answer::new(404).body("text/plain", "404 page not found\n");
        }
        let wanted = request.query("artifactType");
        let manifests = self.known(name).map(|repository| &repository.manifests);
        let found: Vec<Value> = manifests
            .into_iter()
            .flatten()
            .filter_map(|(own, manifest)| referrer(own, manifest, digest))
            .filter(|found| wanted.as_ref().is_none_or(|wanted| found["artifactType"] == **wanted))
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found});
        let answer = Answer::new(200).body(INDEX, index.to_string());
        match wanted {
            Some(_) => answer.header("oci-filters-applied", "artifactType"),
            None => answer,
        }
    }
}

/// A manifest's descriptor, if it refers to `subject`.
fn referrer(own: &str, manifest: &Manifest, subject: &str) -> Option<Value> {
    let value = manifest.value();
    if value["subject"]["digest"] != subject {
        return None;
    }
    let kind = value.get("artifactType").unwrap_or(&value["config"]["mediaType"]);
    let mut found = json!({
        "mediaType": manifest.media_type,
        "digest": own,
        "size": manifest.bytes.len(),
        "artifactType": kind,
    });
    if let Some(annotations) = value.get("annotations") {
        found["annotations"] = annotations.clone();
    }
    Some(found)
}

fn wrong_digest() -> Answer {
    error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
}

/// A range of one part; None for what is no such range, to be answered with the whole. It is empty
/// when the range cannot be satisfied.
fn span(range: &str, size: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok();
    match (start, end) {
        ("", last) => Some((size.saturating_sub(number(last)?), size)),
        (start, "") => Some((number(start)?, size)),
        (start, end) => Some((number(start)?, number(end)?.saturating_add(1).min(size))),
    }
}
