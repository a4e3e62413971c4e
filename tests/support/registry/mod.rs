//! [`Registry`]: a registry of images on the loopback, by the OCI distribution specification 1.1, with
//! faults on demand. It holds everything in memory, speaks plain HTTP only, deletes nothing but
//! uploads, and lists no catalogue.
//!
//! Requests are named by patterns, such as `PUT /v2/a/manifests/`: a method, or none for any, and
//! what the path begins with.

mod auth;
mod faults;
mod http;
mod routes;
mod server;
mod store;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use serde_json::json;

use auth::Scheme;
use routes::State;
use server::Shared;
use store::Repository;

pub use faults::{Chaos, Fault};
pub use http::Request;
pub use routes::Redirect;
pub use store::{Manifest, digest};

/// A server that lives as long as this value.
pub struct Registry {
    address: SocketAddr,
    elsewhere: SocketAddr,
    shared: Arc<Shared>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry that asks for no credentials and can do all there is.
    pub fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let address = server::listen(&shared, false);
        let elsewhere = server::listen(&shared, true);
        let registry = Self { address, elsewhere, shared };
        let mut state = registry.state();
        state.here = format!("http://{address}");
        state.elsewhere = format!("http://{elsewhere}");
        state.gate.realm = registry.at("/token");
        drop(state);
        registry
    }

    /// Asks for this name and password (Basic).
    pub fn basic(self, name: &str, password: &str) -> Self {
        self.scheme(Scheme::Basic, name, password)
    }

    /// Asks for tokens (Bearer), which `/token` gives for this name and password.
    pub fn bearer(self, name: &str, password: &str) -> Self {
        self.scheme(Scheme::Bearer, name, password)
    }

    fn scheme(self, scheme: Scheme, name: &str, password: &str) -> Self {
        let mut state = self.state();
        state.gate.scheme = scheme;
        state.gate.set_login(name, password);
        drop(state);
        self
    }

    /// Gives tokens for this identity token too.
    pub fn identity_token(self, token: &str) -> Self {
        self.state().gate.identity_token = Some(token.into());
        self
    }

    /// Whoever shows no credentials may pull.
    pub fn anonymous_pull(self) -> Self {
        self.state().gate.anonymous_pull = true;
        self
    }

    /// Nobody may pull from or push to this repository, be the credentials ever so good.
    pub fn denied(self, repository: &str) -> Self {
        self.state().gate.denied.insert(repository.into());
        self
    }

    /// Tells locations with the origin, and not as paths alone.
    pub fn absolute_locations(self) -> Self {
        self.state().knobs.absolute_locations = true;
        self
    }

    /// Answers a mount by opening an upload.
    pub fn refuse_mounts(self) -> Self {
        self.state().knobs.refuse_mounts = true;
        self
    }

    /// Answers a POST of a whole blob by opening an upload, as docker-registry does.
    pub fn without_single_post(self) -> Self {
        self.state().knobs.without_single_post = true;
        self
    }

    /// Knows nothing more of an upload whose connection ended within a body.
    pub fn lose_broken_uploads(self) -> Self {
        self.state().knobs.lose_broken_uploads = true;
        self
    }

    /// Takes no byte of a PATCH, and says so as if all were well.
    pub fn takes_no_chunks(self) -> Self {
        self.state().knobs.takes_no_chunks = true;
        self
    }

    /// Answers ranges with the whole.
    pub fn without_ranges(self) -> Self {
        self.state().knobs.without_ranges = true;
        self
    }

    /// Has no API for referrers, as docker-registry 2.8.
    pub fn without_referrers(self) -> Self {
        self.state().knobs.without_referrers = true;
        self
    }

    /// Lists at most so many tags at once, whatever is asked.
    pub fn tags_a_page(self, most: usize) -> Self {
        self.state().knobs.tags_a_page = Some(most);
        self
    }

    /// Sends those who GET a blob on to `/storage/DIGEST`.
    pub fn redirect(self, to: Redirect) -> Self {
        self.state().knobs.redirect = Some(to);
        self
    }

    /// Tokens given from now on are good for so many requests.
    pub fn token_uses(&self, uses: usize) -> &Self {
        self.state().gate.token_uses = Some(uses);
        self
    }

    /// Makes something go wrong with the next `times` requests of a pattern. Of several faults for
    /// one request, the first that was asked for is met first.
    pub fn fault(&self, pattern: &str, times: usize, fault: Fault) -> &Self {
        self.state().faults.plan(pattern, times, fault);
        self
    }

    /// Makes things go wrong at random from now on.
    pub fn chaos(&self, chaos: Chaos) -> &Self {
        self.state().faults.chaos = Some(chaos);
        self
    }

    /// Ends all trouble.
    pub fn calm(&self) -> &Self {
        self.state().faults = faults::Faults::default();
        self
    }

    /// Puts a blob, and tells its digest.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.state().store.put_blob(repository, bytes.into())
    }

    /// Puts a manifest under a tag, or under its digest only for `reference` with a colon, and tells
    /// its digest. Nothing is checked.
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> String {
        let manifest = Manifest { media_type: media_type.into(), bytes: bytes.into() };
        self.state().store.put_manifest(repository, reference, manifest)
    }

    /// Puts an OCI image of uncompressed layers for linux on amd64, and tells its digest.
    pub fn put_image(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> String {
        let blob = |kind: &str, bytes: &[u8]| {
            let digest = self.put_blob(repository, bytes);
            let media_type = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": blob("config.v1+json", config.to_string().as_bytes()),
            "layers": layers.iter().map(|layer| blob("layer.v1.tar", layer)).collect::<Vec<_>>(),
        });
        self.put_manifest(repository, tag, media_type, manifest.to_string())
    }

    /// Answers so many more requests; those after them wait for [`Registry::let_go`] or
    /// [`Registry::resume`].
    pub fn hold_after(&self, requests: usize) {
        self.hold_on("", requests);
    }

    /// Answers so many more requests of a pattern; those of them that come after wait, before
    /// anything of their bodies is read, and all others are answered meanwhile.
    pub fn hold_on(&self, pattern: &str, requests: usize) {
        *self.shared.held.lock().unwrap() = pattern.into();
        self.shared.valve.hold_after(requests);
    }

    /// Waits until a request is held, or the client is `gone` without having made so many.
    pub fn wait_until_held(&self, gone: impl FnMut() -> bool) {
        self.shared.valve.wait_until_held(gone);
    }

    /// Ends the connections of the requests that are held, which count as never made; answers all
    /// that come from now on.
    pub fn let_go(&self) {
        self.shared.valve.open(false);
    }

    /// Answers the requests that are held, and all that come from now on.
    pub fn resume(&self) {
        self.shared.valve.open(true);
    }

    /// The host and port, as a reference's domain.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request that was answered or whose connection was ended, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How many requests of a pattern there were.
    pub fn hits(&self, pattern: &str) -> usize {
        self.state().requests.iter().filter(|request| request.is(pattern)).count()
    }

    /// The bytes that came in bodies.
    pub fn uploaded(&self) -> u64 {
        self.state().requests.iter().map(|request| request.received).sum()
    }

    /// The bytes that went out in bodies.
    pub fn downloaded(&self) -> u64 {
        self.state().requests.iter().map(|request| request.sent).sum()
    }

    /// Counts requests and bytes from here.
    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    /// Requests that took credentials to the other origin, where none may.
    pub fn leaks(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.elsewhere && request.header("authorization").is_some());
        requests
    }

    /// The names of all repositories, sorted.
    pub fn repositories(&self) -> Vec<String> {
        self.state().store.repositories.keys().cloned().collect()
    }

    /// The digests of a repository's blobs, sorted.
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        self.look(repository, |found| found.blobs.keys().cloned().collect())
    }

    /// A blob's bytes.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.state().store.blob(repository, digest).map(|blob| blob.to_vec())
    }

    /// A repository's manifests by their digests.
    pub fn manifests(&self, repository: &str) -> BTreeMap<String, Manifest> {
        self.look(repository, |found| found.manifests.clone())
    }

    /// A manifest by its tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        self.look(repository, |found| found.manifest(reference).map(|(_, found)| found.clone()))
    }

    /// A repository's tags, and the digests of what they name.
    pub fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        self.look(repository, |found| found.tags.clone())
    }

    /// What `look` finds in a repository; nothing where there is none.
    fn look<T: Default>(&self, repository: &str, look: impl Fn(&Repository) -> T) -> T {
        self.state().store.repositories.get(repository).map(look).unwrap_or_default()
    }

    /// How many uploads were begun, and neither ended nor given up.
    pub fn open_uploads(&self) -> usize {
        self.state().store.uploads.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.let_go();
        self.shared.stop.store(true, Ordering::Relaxed);
        // One more connection wakes each thread that accepts them.
        for address in [self.address, self.elsewhere] {
            let _ = TcpStream::connect(address);
        }
    }
}
