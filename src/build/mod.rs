//! Building wheels from source: PEP 517 in environments that loci makes itself.
//!
//! An [`interpreter`] says what wheels are for; a `source` tree is unpacked or copied and says
//! by which `system` it is built. The backend's hooks run in an [`environment`] of wheels with few of
//! the user's [`surroundings`]. A [`key`] names all that a build sees; a [`cause`] is what a failed
//! build's log tells. [`builder`] puts these together.

pub mod interpreter;
mod source;
mod system;
pub mod surroundings;
pub mod environment;
mod backend;
mod process;
pub mod key;
pub mod cause;
mod log;
mod workspace;
mod attempt;
pub mod builder;
pub mod requires;
pub mod error;

#[cfg(test)]
mod tests;
