//! loci turns constraints into wheels, and wheels into services.
//!
//! Read the modules from the words up:
//!
//! - [`vocab`]: the words of the specifications.
//! - [`input`]: the files people write, read strictly.
//! - [`wheel`]: reads a wheel and says what its installation consists of.
//! - [`store`]: the content-addressed store of all that was obtained.
//! - [`http`]: requests with retries, for indexes and registries.
//! - [`index`]: package indexes: pages, choice of files, fetching.
//! - [`resolve`]: finds versions that go together, explains when none do, and locks them.
//! - [`build`]: source archives become wheels (PEP 517).
//! - [`image`]: writes a set of wheels out and reads it back: directories, tarballs, OCI layouts.
//! - [`serve`]: serves a set as a package index, for pip and uv, and as pages for people.
//! - [`service`]: composes a service out of wheels.
//! - [`pipeline`]: joins the stages and schedules them.
//! - [`report`]: draws what the pipeline says, for people.
//! - [`cli`]: the command line.

pub mod vocab;
pub mod input;
pub mod wheel;
pub mod store;
pub mod http;
pub mod index;
pub mod resolve;
pub mod build;
pub mod image;
pub mod serve;
pub mod service;
pub mod pipeline;
pub mod report;
pub mod cli;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
pub(crate) mod support;
