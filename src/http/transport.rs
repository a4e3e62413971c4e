//! [`ClientSettings`] and what is made of them: connections, trust and proxies.
//!
//! Nothing here sends a request: that is the client's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use super::error::{HttpError, Shown};

/// How to speak to servers.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The longest silence between two parts of an answer.
    pub timeout: Duration,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// How often a request is repeated after the first try.
    pub retries: u32,
    /// The wait before the first repetition; it doubles each time.
    pub first_wait: Duration,
    /// Certificates in PEM to trust instead of the system's (which obey `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`).
    pub ca_bundle: Option<PathBuf>,
    /// More such files, whose certificates are trusted beside those.
    pub extra_roots: Vec<PathBuf>,
    /// Hosts (`name` or `name:port`) whose certificates are not checked; `*` is every host.
    pub trusted_hosts: Vec<String>,
    /// A proxy for everything that `no_proxy` does not except; without it, `http_proxy` and the like.
    pub proxy: Option<String>,
    /// A netrc file that the user named; it need not exist.
    pub netrc: Option<PathBuf>,
    /// The netrc file when none was named; one that cannot be read is passed over, with a warning.
    pub default_netrc: Option<PathBuf>,
    /// The User-Agent.
    pub user_agent: String,
}

impl Default for ClientSettings {
    /// The values pip has, where pip has them.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(10),
            retries: 5,
            first_wait: Duration::from_millis(250),
            ca_bundle: None,
            extra_roots: Vec::new(),
            trusted_hosts: Vec::new(),
            proxy: None,
            netrc: None,
            default_netrc: None,
            user_agent: concat!("loci/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Texts may be compressed on the way; files are hashed as they are, so they may not.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) texts: reqwest::Client,
    pub(super) files: reqwest::Client,
    /// For bodies of ours: the server has nothing to say until it has all of them.
    pub(super) uploads: reqwest::Client,
}

impl Pair {
    /// Without roots, no certificate is checked.
    pub(super) fn new(
        settings: &ClientSettings,
        roots: Option<&Arc<rustls::RootCertStore>>,
    ) -> Result<Self, HttpError> {
        Ok(Self {
            texts: builder(settings, roots)?
                .read_timeout(settings.timeout)
                .build()
                .map_err(HttpError::Setup)?,
            files: builder(settings, roots)?
                .read_timeout(settings.timeout)
                .no_gzip()
                .build()
                .map_err(HttpError::Setup)?,
            uploads: builder(settings, roots)?.no_gzip().build().map_err(HttpError::Setup)?,
        })
    }
}

fn builder(
    settings: &ClientSettings,
    roots: Option<&Arc<rustls::RootCertStore>>,
) -> Result<reqwest::ClientBuilder, HttpError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.connect_timeout)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true);
    // One process-wide provider serves what reqwest itself sets up; losing the race is fine.
    let provider = rustls::crypto::ring::default_provider();
    let _ = provider.install_default();
    builder = match roots {
        Some(roots) => {
            let mut tls = rustls::ClientConfig::builder()
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth();
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            builder.tls_backend_preconfigured(tls)
        }
        None => builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true),
    };
    if let Some(proxy) = &settings.proxy {
        let with_scheme =
            if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") };
        let refuse = || HttpError::Proxy {
            proxy: match Url::parse(&with_scheme) {
                Ok(url) => Shown::new(&url).to_string(),
                Err(_) => "****".into(),
            },
        };
        let all = reqwest::Proxy::all(&with_scheme).map_err(|_| refuse())?;
        builder = builder.proxy(all.no_proxy(reqwest::NoProxy::from_env()));
    }
    Ok(builder)
}

/// Windows of HTTP/2: what may be on its way to us unread, in bytes. Indexes serve wheels over one
/// connection, and the protocol's own 64 KiB would make each wait for the last part's receipt.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// The certificates to trust.
pub(super) fn roots(settings: &ClientSettings) -> Result<rustls::RootCertStore, HttpError> {
    let mut roots = rustls::RootCertStore::empty();
    let mut certificates = match &settings.ca_bundle {
        Some(path) => certificates_in(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    for path in &settings.extra_roots {
        certificates.extend(certificates_in(path)?);
    }
    // Systems carry certificates that rustls has no use for; the others are enough.
    let (taken, _) = roots.add_parsable_certificates(certificates);
    match (&settings.ca_bundle, taken) {
        (Some(path), 0) => Err(HttpError::Certificates {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate"),
        }),
        // A network without TLS needs no roots; a server with it will be refused by its certificate.
        _ => Ok(roots),
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let fail = |source| HttpError::Certificates { path: path.to_owned(), source };
    let pem = fs_err::read(path).map_err(fail)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidData, error.to_string())))
}
