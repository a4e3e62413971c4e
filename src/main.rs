//! The `loci` command.

fn main() {}
