//! The `loci` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    loci::cli::run(std::env::args_os())
}
