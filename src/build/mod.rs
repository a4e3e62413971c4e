//! Building wheels from source: PEP 517 in environments that loci makes itself.
//!
//! An [`interpreter`] says what wheels are for.

pub mod interpreter;
