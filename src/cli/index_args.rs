//! The options that say where wheels and sdists come from: pip's names, pip's variables.

use clap::Args;
use clap::builder::BoolishValueParser;
use url::Url;

use super::exit::CliError;
use super::format_args::FormatArgs;
use super::network_args::NetworkArgs;
use super::words_arg::{self, Words};
use crate::index::find_links::FindLinks;
use crate::index::format_control::FormatControl;
use crate::index::indexes::IndexSettings;
use crate::resolve::problem::Prereleases;
use crate::vocab::redact::redact;

/// Where wheels and sdists come from, and how they are asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Index options")]
pub(super) struct IndexArgs {
    /// Base URL of the package index (PEP 503 or 691) [default: PyPI]
    #[arg(short, long, env = "PIP_INDEX_URL", value_name = "URL")]
    index_url: Option<String>,
    /// A further index, repeatable
    #[arg(long, env = "PIP_EXTRA_INDEX_URL", value_name = "URL")]
    extra_index_url: Vec<Words>,
    /// A directory or page with wheels and sdists, repeatable
    #[arg(short, long, env = "PIP_FIND_LINKS", value_name = "DIR|URL")]
    find_links: Vec<Words>,
    /// Ask no index, only `--find-links`
    #[arg(long, env = "PIP_NO_INDEX", value_parser = BoolishValueParser::new())]
    no_index: bool,
    /// Ask the index again although its cached pages are fresh
    #[arg(long)]
    refresh: bool,
    /// Use no network at all: only what is cached
    #[arg(long, env = "LOCI_OFFLINE", value_parser = BoolishValueParser::new(), conflicts_with = "refresh")]
    offline: bool,
    #[command(flatten)]
    formats: FormatArgs,
    /// Choose pre-releases as well where nothing pins a version
    #[arg(long, env = "PIP_PRE", value_parser = BoolishValueParser::new())]
    pre: bool,
    // Taken apart before the arguments are read: `pip_args`.
    /// Options of pip, as a shell would read them; one that is given to loci itself goes before them
    #[arg(long, env = "PIP_ARGS", value_name = "OPTIONS", allow_hyphen_values = true)]
    pip_args: Option<String>,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

impl IndexArgs {
    /// Which indexes are asked.
    pub(super) fn indexes(&self) -> Result<IndexSettings, CliError> {
        let mut settings = IndexSettings::default();
        if let Some(text) = &self.index_url {
            settings.index_url = parse_url("--index-url", text)?;
        }
        settings.extra_index_urls = words_arg::all(&self.extra_index_url)
            .map(|text| parse_url("--extra-index-url", text))
            .collect::<Result<_, _>>()?;
        let current = std::env::current_dir()
            .map_err(|source| CliError::Output { to: "the current directory".into(), source })?;
        settings.find_links = words_arg::all(&self.find_links)
            .map(|text| FindLinks::parse(text, &current))
            .collect::<Result<_, _>>()?;
        settings.no_index = self.no_index;
        settings.refresh = self.refresh;
        settings.offline = self.offline;
        Ok(settings)
    }

    /// Which formats may be used for which project.
    pub(super) fn formats(&self) -> Result<FormatControl, CliError> {
        self.formats.control()
    }

    /// When pre-releases may be chosen.
    pub(super) fn prereleases(&self) -> Prereleases {
        if self.pre { Prereleases::Allowed } else { Prereleases::AsNeeded }
    }
}

fn parse_url(option: &'static str, text: &str) -> Result<Url, CliError> {
    Url::parse(text).map_err(|source| CliError::Url {
        option,
        text: redact(text).into_owned(),
        source,
    })
}
