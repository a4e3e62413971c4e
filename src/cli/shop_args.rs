//! The options that describe the workshop: the Python, the builds and what they must keep to.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::CliError;
use super::index_args::IndexArgs;
use super::run_args::GlobalArgs;
use super::words_arg::{self, Words};
use crate::build::builder::Builder;
use crate::build::interpreter::Interpreter;
use crate::build::key::SystemFingerprint;
use crate::build::surroundings::Surroundings;
use crate::http::client::Client;
use crate::index::indexes::Indexes;
use crate::input::requirements::Requirements;
use crate::input::rules::PackageRules;
use crate::pipeline::events::Events;
use crate::pipeline::limits::Limits;
use crate::pipeline::workshop::{MetadataMemo, Workshop};
use crate::vocab::requirement::Requirement;

/// The Python that wheels are for, and how wheels are built.
#[derive(Debug, Args)]
#[command(next_help_heading = "Python and build options")]
pub(super) struct ShopArgs {
    /// The Python that wheels are for: a path or a name on PATH
    #[arg(long, env = "LOCI_PYTHON", value_name = "PATH", default_value = "python3")]
    python: PathBuf,
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
    /// The Python, as it was asked for.
    pub(super) fn python(&self) -> &Path {
        &self.python
    }

    /// Opens the store, asks the Python, and makes ready what every job works with.
    pub(super) fn open(
        &self,
        global: &GlobalArgs,
        index: &IndexArgs,
        events: Events,
    ) -> Result<Arc<Workshop>, CliError> {
        let store = global.open_store()?;
        let interpreter = Interpreter::probe(&self.python)?;
        let client = Client::new(index.network.client())?;
        let registries = index.network.registries(&client)?;
        let indexes = Indexes::new(client.clone(), index.indexes()?, store.clone());
        let jobs = self.jobs.unwrap_or_else(processors);
        let surroundings = Surroundings::of(std::env::vars_os());
        let compiler = surroundings.get("CC").and_then(OsStr::to_str).map(str::to_owned);
        let builder = Builder::new(
            interpreter.clone(),
            store.clone(),
            surroundings,
            SystemFingerprint::read(compiler.as_deref()),
        );
        Ok(Arc::new(Workshop {
            store,
            client,
            registries,
            indexes,
            interpreter,
            builder,
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
