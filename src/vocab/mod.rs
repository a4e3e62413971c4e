//! The words every stage speaks: digests, file names, tags, targets, metadata, safe paths,
//! distributions, moments, and what of an address is secret.
//!
//! Each file holds one concept of a specification, parsed at the edge into a type that cannot be
//! wrong afterwards. Nothing here opens a file or a socket.

pub mod account;
pub mod civil;
pub mod core_metadata;
pub mod digest;
pub mod dist_file;
pub mod distro;
mod distro_names;
pub mod os_release;
pub mod redact;
pub mod requirement;
pub mod safe_path;
pub mod sdist_filename;
pub mod size;
pub mod tags;
pub mod target;
pub mod wheel_filename;
