//! Images in registries (OCI distribution specification 1.1): what they are called, who we are to the
//! registries that have them, and how blobs and manifests come and go.

pub mod name;
pub mod tag;
mod grammar;
pub mod name_error;
pub mod login;
pub mod docker_config;
mod login_file;
mod helper;
pub mod challenge;
pub mod scope;
pub mod token;
mod host;
pub(super) mod repository;
pub(super) mod upload;
pub(super) mod referrers;
pub mod error;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::client::Client;

pub use host::Protocol;

use docker_config::{DockerConfig, LoginPlaces};
use error::RegistryError;
use host::Host;
use name::ImageName;
use repository::Repository;

#[cfg(test)]
mod tests;

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// What makes the requests.
    pub client: Client,
    /// Where it says who we are to which registry; looked at when the first one is spoken to.
    pub logins: LoginPlaces,
    /// By https or http.
    pub protocol: Protocol,
    /// A blob of at most so many bytes is uploaded in one request; of a larger one, as many in each.
    pub chunk: u64,
    /// Directories with certificates for single registries: `DIR/HOST/*.crt` (Docker's `certs.d`).
    pub certificates: Vec<PathBuf>,
}

/// What a broken connection may cost, and what proxies let through, is not much more than so many bytes.
pub const CHUNK: u64 = 64 << 20;

/// All registries of a run. Clones share their connections and tokens.
#[derive(Debug, Clone)]
pub struct Registries {
    settings: Arc<RegistrySettings>,
    logins: Arc<Mutex<Option<DockerConfig>>>,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
}

impl Registries {
    /// Registries that are spoken to in this way.
    #[must_use]
    pub fn new(settings: RegistrySettings) -> Self {
        Self { settings: Arc::new(settings), logins: Arc::default(), hosts: Arc::default() }
    }

    /// The repository that `name` is in.
    ///
    /// # Errors
    /// [`RegistryError::Http`] when the registry's own certificates cannot be read, [`RegistryError::Login`]
    /// when the logins cannot.
    pub(super) fn repository(&self, name: &ImageName) -> Result<Repository, RegistryError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = match hosts.get(name.host()) {
            Some(host) => Arc::clone(host),
            None => {
                let host = Arc::new(self.host(name)?);
                hosts.insert(name.host().to_owned(), Arc::clone(&host));
                host
            }
        };
        Ok(Repository { host, name: name.clone(), chunk: self.settings.chunk })
    }

    fn host(&self, name: &ImageName) -> Result<Host, RegistryError> {
        let settings = &self.settings;
        let mut roots = Vec::new();
        for dir in &settings.certificates {
            // One that cannot be listed has nothing for us.
            let entries = std::fs::read_dir(dir.join(name.host())).into_iter().flatten().flatten();
            let files = entries.map(|entry| entry.path());
            roots.extend(files.filter(|path| path.extension().is_some_and(|end| end == "crt")));
        }
        roots.sort();
        let client = match roots[..] {
            [] => settings.client.clone(),
            _ => settings.client.trusting(roots)?,
        };
        let logins = {
            let mut known = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
            match &*known {
                Some(logins) => logins.clone(),
                None => known.insert(DockerConfig::read(&settings.logins)?).clone(),
            }
        };
        let (host, api) = (name.host().to_owned(), name.api_host().to_owned());
        Ok(Host::new(host, api, settings.protocol, client, logins))
    }
}
