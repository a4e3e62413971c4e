//! Composes a service out of wheels: for now as an environment below a prefix.

pub mod prefix;
