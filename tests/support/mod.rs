//! Fixtures made in code: wheels, source distributions, a loopback index and a loopback registry, in
//! milliseconds and without a network. Unit tests of the library and the integration tests share
//! them, so nothing here may use loci itself.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::must_use_candidate)]

pub mod index;
pub mod registry;
pub mod sdist;
pub mod tar;
mod valve;
pub mod wheel;
