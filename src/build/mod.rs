//! Building wheels from source: PEP 517 in environments that loci makes itself.
//!
//! An [`interpreter`] says what wheels are for; a [`source`] tree is unpacked or copied and says
//! by which [`system`] it is built.

pub mod interpreter;
pub mod source;
pub mod system;
