//! The options that describe the workshop: the Python, the builds and what they must keep to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::CliError;
use super::index_args::IndexArgs;
use super::run_args::GlobalArgs;
use super::words_arg::{self, Words};
use crate::http::client::Client;
use crate::index::indexes::Indexes;
use crate::input::requirements::Requirements;
use crate::input::rules::PackageRules;
use crate::pipeline::bench::Bench;
use crate::pipeline::events::Events;
use crate::pipeline::limits::Limits;
use crate::pipeline::service_images::BASE_PYTHON;
use crate::pipeline::workshop::{MetadataMemo, Workshop};
use crate::vocab::requirement::Requirement;

/// The Python where none is named.
pub(super) const PYTHON: &str = "python3";

/// The Python that wheels are for, and how wheels are built.
#[derive(Debug, Args)]
#[command(next_help_heading = "Python and build options")]
pub(super) struct ShopArgs {
    /// The Python that wheels are for: a path, or a name on PATH; where an image is made upon a base, the
    /// base's own [default: python3]
    #[arg(long, env = "LOCI_PYTHON", value_name = "PATH")]
    python: Option<PathBuf>,
    /// What build requirements must keep to, repeatable
    #[arg(
        long = "build-constraint",
        alias = "build-constraints",
        env = "PIP_BUILD_CONSTRAINT",
        value_name = "FILE|URL"
    )]
    build_constraint: Vec<Words>,
    /// Processors that builds may use [default: all]
    #[arg(short, long, env = "LOCI_JOBS", value_name = "N")]
    jobs: Option<u32>,
    /// How long a single build may take
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    build_timeout: u64,
    /// Keep the source tree of a failed build, and say where it is
    #[arg(long)]
    keep_failed: bool,
}

impl ShopArgs {
    /// The Python, if one was asked for.
    pub(super) fn python(&self) -> Option<&Path> {
        self.python.as_deref()
    }

    /// Opens the store, asks the Python, and makes ready what every job works with.
    pub(super) fn open(
        &self,
        global: &GlobalArgs,
        index: &IndexArgs,
        events: Events,
    ) -> Result<Arc<Workshop>, CliError> {
        // In a base that names one.
        let base = std::env::var_os(BASE_PYTHON).filter(|python| !python.is_empty());
        let python = self.python().or(base.as_deref().map(Path::new));
        let workshop =
            self.open_with(python.unwrap_or(Path::new(PYTHON)), global, index, events)?;
        workshop.bench.ready()?;
        Ok(workshop)
    }

    /// The same for a job that builds with `python`, if it builds at all: only then that is asked.
    pub(super) fn open_with(
        &self,
        python: &Path,
        global: &GlobalArgs,
        index: &IndexArgs,
        events: Events,
    ) -> Result<Arc<Workshop>, CliError> {
        let store = global.open_store()?;
        let client = Client::new(index.network.client())?;
        let registries = index.network.registries(&client)?;
        let indexes = Indexes::new(client.clone(), index.indexes()?, store.clone());
        let jobs = self.jobs.unwrap_or_else(processors);
        Ok(Arc::new(Workshop {
            bench: Bench::new(python.to_owned(), store.clone()),
            store,
            client,
            registries,
            indexes,
            rules: PackageRules::builtin(),
            formats: index.formats()?,
            prereleases: index.prereleases(),
            keep_failed: self.keep_failed,
            build_timeout: Duration::from_secs(self.build_timeout.saturating_mul(60)),
            limits: Limits::for_jobs(jobs),
            events,
            metadata: MetadataMemo::default(),
        }))
    }

    /// Reads what build requirements must keep to.
    pub(super) async fn build_constraints(
        &self,
        workshop: &Workshop,
    ) -> Result<Vec<Requirement>, CliError> {
        let mut all = Vec::new();
        for location in words_arg::all(&self.build_constraint) {
            workshop.bench.ready()?;
            let document = workshop.document(location).await?;
            let requirements = Requirements::parse(&document)?;
            all.extend(
                requirements
                    .applicable(workshop.target())
                    .map(|(requirement, _)| requirement.clone()),
            );
        }
        Ok(all)
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}
