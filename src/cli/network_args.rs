//! The options that say how servers are spoken to, indexes and registries alike: pip's and LOCI's names
//! and variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::exit::CliError;
use super::words_arg::{self, Words};
use crate::http::client::{Client, ClientSettings};
use crate::image::registry::docker_config::LoginPlaces;
use crate::image::registry::{CHUNK, Protocol, Registries, RegistrySettings};

/// How servers are spoken to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(super) struct NetworkArgs {
    /// Accept this host's certificate, whatever it is, repeatable
    #[arg(long, env = "PIP_TRUSTED_HOST", value_name = "HOST")]
    trusted_host: Vec<Words>,
    /// Certificate authorities to trust instead of the system's, as PEM
    #[arg(long, env = "PIP_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The proxy for every request [default: what `http_proxy`, `https_proxy` and `no_proxy` say]
    #[arg(long, env = "PIP_PROXY", value_name = "URL")]
    proxy: Option<String>,
    /// How often a failed request is made again
    #[arg(long, env = "PIP_RETRIES", value_name = "N", default_value_t = 5)]
    retries: u32,
    /// How many seconds a server may stay silent
    #[arg(long, env = "PIP_DEFAULT_TIMEOUT", value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// How registries are spoken to: detect is https, or http where nobody speaks https
    #[arg(
        long,
        env = "REGISTRY_PROTOCOL",
        value_name = "PROTOCOL",
        value_enum,
        ignore_case = true,
        default_value_t
    )]
    registry_protocol: ProtocolArg,
    /// Accept any certificate of a registry
    #[arg(
        long,
        env = "REGISTRY_INSECURE",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true
    )]
    registry_insecure: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ProtocolArg {
    #[default]
    Detect,
    Https,
    Http,
}

impl NetworkArgs {
    /// How requests are made.
    pub(super) fn client(&self) -> ClientSettings {
        ClientSettings {
            timeout: Duration::from_secs(self.timeout.max(1)),
            retries: self.retries,
            ca_bundle: self.cert.clone(),
            trusted_hosts: words_arg::all(&self.trusted_host).map(str::to_owned).collect(),
            proxy: self.proxy.clone(),
            netrc: path_in("NETRC"),
            default_netrc: path_in("HOME").map(|home| home.join(".netrc")),
            ..ClientSettings::default()
        }
    }

    /// How registries are reached, whose requests `client` makes.
    pub(super) fn registries(&self, client: &Client) -> Result<Registries, CliError> {
        let client = match self.registry_insecure {
            true => {
                let trusted_hosts = vec!["*".to_owned()];
                Client::new(ClientSettings { trusted_hosts, ..self.client() })?
            }
            false => client.clone(),
        };
        let home = path_in("HOME");
        let logins = LoginPlaces {
            registry_auth_file: path_in("REGISTRY_AUTH_FILE"),
            docker_config: path_in("DOCKER_CONFIG"),
            home: home.clone(),
            runtime_dir: path_in("XDG_RUNTIME_DIR"),
            path: None,
        };
        let protocol = match self.registry_protocol {
            ProtocolArg::Detect => Protocol::Detect,
            ProtocolArg::Https => Protocol::Https,
            ProtocolArg::Http => Protocol::Http,
        };
        let user = home.map(|home| home.join(".config/containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        let certificates = user.into_iter().chain(system).collect();
        Ok(Registries::new(RegistrySettings {
            client,
            logins,
            protocol,
            chunk: CHUNK,
            certificates,
        }))
    }
}

/// The path in a variable; none when it is unset or empty.
fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
