//! Images in registries (OCI distribution specification): what they are called, and who we are to
//! the registries that have them.

pub mod name;
pub mod tag;
mod grammar;
pub mod name_error;
pub mod login;
pub mod docker_config;
mod login_file;
mod helper;
pub mod challenge;
pub mod scope;
pub mod token;
