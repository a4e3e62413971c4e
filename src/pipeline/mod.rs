//! The only place that schedules: it joins the stages, runs them side by side and says what happens.
//!
//! A job is a function from a description to a value: [`requirements`] (the main job), [`lock`],
//! [`install`], [`copy`], [`look`] and [`diff`]. All of them work with one [`workshop`]. The runtime's tasks do what waits (sockets,
//! child processes); what computes or blocks runs on threads beside it, and never the other way round.

pub mod events;
pub mod summary;
pub mod limits;
pub mod bench;
pub mod workshop;
pub mod requirements;
pub mod release_tree;
mod want;
pub mod release;
pub mod obtain;
mod source_build;
mod url_pin;
pub mod services;
mod checkout;
pub mod provision;
pub mod index_source;
pub mod set_source;
pub mod complete;
pub mod set_lock;
pub mod write;
pub mod copy;
pub mod look;
pub mod difference;
pub mod diff;
pub mod lock;
pub mod compose;
pub mod spec;
mod kept_tree;
mod step_sources;
mod tools;
pub mod foundation;
mod service_files;
mod assembled;
pub mod service_images;
pub mod service_root;
pub mod install;
pub mod project;
pub mod error;

use error::PipelineError;

/// Runs `work` on a thread where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PipelineError> + Send + 'static,
) -> Result<T, PipelineError> {
    tokio::task::spawn_blocking(work).await.map_err(PipelineError::Task)?
}
