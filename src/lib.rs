//! loci turns constraints into wheels, and wheels into services.
//!
//! Read the modules from the words up:
//!
//! - [`vocab`]: the words of the specifications.

pub mod vocab;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
pub(crate) mod support;
