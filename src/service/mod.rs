//! Composes a service out of wheels: as an environment below a prefix, or as layers of an image.
//! Composes a service out of wheels: for now as an environment below a prefix; and says which
//! packages of the distribution a machine lacks.
//! Composes a service out of wheels: an environment below a prefix, and what its image has beside it.

pub mod environment;
pub mod prefix;
pub mod assembly;
pub mod rooted;
pub mod node;
mod account_line;
pub mod account;
pub mod project_account;
pub mod root;
pub mod installed;
pub mod steps;
mod tree;
mod copied;
pub mod act;
pub mod image_info;
pub mod packages;
