//! Wheels: what is in one, and what installing it means (the binary distribution format, PEP 427).
//!
//! A [`file::WheelFile`] is bytes, an [`archive::WheelArchive`] is those bytes after every check that
//! needs no inflating, and a [`tree::InstallTree`] is the stream of entries its installation consists
//! of, the same for every [`tree::Sink`]. Nothing here knows an index, a store or an image.

pub mod error;
pub mod file;
pub mod archive;
mod info;
mod record;
mod entry_points;
mod scripts;
pub mod direct_url;
pub mod scheme;
mod plan;
pub mod tree;
pub mod claims;
pub mod directory;
pub mod environment;
pub mod repack;

mod central;

#[cfg(test)]
mod fixture;
