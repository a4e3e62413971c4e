//! Composes a service out of wheels: an environment below a prefix or as layers of an image, and what the
//! service has beside it: the distribution's packages, users, directories and steps.

pub mod environment;
pub mod present;
pub mod prefix;
pub mod assembly;
pub mod rooted;
pub mod node;
pub mod node_layer;
pub mod root;
pub mod facts;
pub mod packages;
pub mod installed;
mod account_line;
pub mod account;
pub mod project_account;
pub mod skeleton;
pub mod steps;
pub(crate) mod tree;
mod copied;
pub mod act;
pub mod run_step;
pub mod image_info;
