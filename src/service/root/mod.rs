//! A root file system: made of a base image's layers, worked in, and the difference written as one layer
//! more.

pub mod inside;
pub mod unpack;
pub mod run;
pub mod rootless;
pub mod snapshot;
pub mod leftovers;
pub mod difference;
pub mod first;
mod private;
mod layer;
mod entry;
mod attributes;
pub mod error;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod unpack_tests;
#[cfg(test)]
mod difference_tests;
