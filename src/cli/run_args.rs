//! The options every verb takes, and the run they describe: store, progress, runtime, interruption.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::CliError;
use crate::report::words::Paint;
use crate::report::{self, Display, Output, Progress};
use crate::store::Store;

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct GlobalArgs {
    /// Keep wheels, builds and caches in this directory [default: ~/.cache/loci]
    #[arg(long, env = "LOCI_STORE", value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    /// How to show progress on standard error: auto is bars on a terminal, lines elsewhere
    #[arg(
        long,
        env = "LOCI_PROGRESS",
        value_name = "HOW",
        value_enum,
        default_value_t,
        global = true
    )]
    progress: ProgressArg,
    /// Say nothing but errors and results
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more of what happens inside; twice for the finest detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print results as JSON on standard output
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ProgressArg {
    #[default]
    Auto,
    Bars,
    Lines,
    None,
}

impl GlobalArgs {
    /// Opens the store that was asked for, which must be there, or the user's.
    pub(super) fn open_named_store(&self) -> Result<Store, CliError> {
        match &self.store {
            Some(root) if !Store::is_at(root) => Err(CliError::NotAStore { root: root.clone() }),
            _ => self.open_store(),
        }
    }

    /// Opens the store that was asked for, or the user's, making it when there is none.
    pub(super) fn open_store(&self) -> Result<Store, CliError> {
        let root = match &self.store {
            Some(root) => root.clone(),
            None => {
                let variable = |name| std::env::var_os(name);
                let (cache, home) = (variable("XDG_CACHE_HOME"), variable("HOME"));
                Store::default_root(None, cache.as_deref(), home.as_deref())
                    .ok_or(CliError::NoStore)?
            }
        };
        // Builds run in directories of their own, from where a relative path leads elsewhere.
        let root = std::path::absolute(&root)
            .map_err(|source| CliError::Output { to: root.display().to_string(), source })?;
        Ok(Store::open(&root)?)
    }

    /// The same options, with a store that goes away at the end where none was asked for.
    pub(super) fn with_scratch_store(&self) -> Result<(Self, Option<TempDir>), CliError> {
        if self.store.is_some() {
            return Ok((self.clone(), None));
        }
        let scratch = tempfile::tempdir().map_err(|source| CliError::Output {
            to: format!("`{}`", std::env::temp_dir().display()),
            source,
        })?;
        let store = Some(scratch.path().join("store"));
        Ok((Self { store, ..self.clone() }, Some(scratch)))
    }

    /// Progress on standard error, drawn as the user asked.
    pub(super) fn display(&self) -> Display {
        report::display(self.progress(), Output::stderr(env))
    }

    /// The same without bars, for a command that has nothing to draw but what goes wrong.
    pub(super) fn plain_display(&self) -> Display {
        let progress = match self.progress() {
            Progress::None => Progress::None,
            Progress::Auto | Progress::Bars | Progress::Lines => Progress::Lines,
        };
        report::display(progress, Output::stderr(env))
    }

    fn progress(&self) -> Progress {
        match self.progress {
            _ if self.quiet => Progress::None,
            ProgressArg::Auto => Progress::Auto,
            ProgressArg::Bars => Progress::Bars,
            ProgressArg::Lines => Progress::Lines,
            ProgressArg::None => Progress::None,
        }
    }

    /// Says `text`, for people, on standard error, unless they want silence.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            // Where standard error is gone there is nobody left to tell.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

/// How text on standard error is coloured.
pub(super) fn paint() -> Paint {
    Paint::chosen(env, io::stderr().is_terminal())
}

/// How results on standard output are coloured.
pub(super) fn paint_results() -> Paint {
    Paint::chosen(env, io::stdout().is_terminal())
}

/// What `SOURCE_DATE_EPOCH` says, in seconds since 1970; 0 when it is not set.
pub(super) fn source_date_epoch() -> Result<u64, CliError> {
    match env("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| CliError::Value {
            option: "SOURCE_DATE_EPOCH",
            text,
            reason: "is not a number of seconds since 1970".into(),
        }),
    }
}

/// An environment variable; none when unset or not Unicode.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Sends `tracing` to standard error: warnings, or as much as `-v` or `LOCI_LOG` ask for.
pub(super) fn start_logging(global: &GlobalArgs) {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "loci=error",
        (false, 0) => "loci=warn",
        (false, 1) => "loci=debug",
        (false, _) => "loci=trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOCI_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A second call, as in tests, keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .without_time()
        .try_init();
}

/// Runs `work` to its end on a new runtime, or until the user interrupts it. What runs is dropped
/// then: child processes are killed with it and temporary files go.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    on_runtime(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            outcome = work => outcome,
            () = signals.next() => Err(CliError::Interrupted),
        }
    })
}

/// Runs `work` to its end on a new runtime; what signals mean is the work's own matter.
pub(super) fn on_runtime<T>(
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Runtime { source })?;
    let outcome = runtime.block_on(work);
    // Tasks are dropped now, and their child processes and temporary files go with them. A thread may
    // be waiting for a network that never answers, so there is an end to it.
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// The signals by which a user or a supervisor ends a command.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens for them from now on, in place of dying of them. Needs a runtime.
    pub(super) fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|source| CliError::Runtime { source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
