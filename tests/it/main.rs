//! The one integration binary: a second one would link the whole library again. Its modules are
//! the files beside this one; [`every_test_file_is_in_the_binary`] sees to it that none is forgotten.
// A test may fail by a panic, in its helpers too, and nothing here is seen from outside.
// What a machine cannot do is said on standard output.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::must_use_candidate, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod bad_images;
mod bad_input;
mod base_image;
mod bindep;
mod build_service;
mod distribution;
mod foreign_image;
mod harbour;
mod imports;
mod command_line;
mod container;
mod diff;
mod gc;
mod install;
mod install_root;
mod killed;
mod leftovers;
mod lock;
mod look;
mod options;
mod private_root;
mod readers;
mod registry_fixture;
mod registry_faults;
mod registry_killed;
mod registry_login;
mod registry_protocol;
mod registry_pull;
mod registry_push;
mod remembered;
mod remote_tar;
mod requirements;
mod serve;
mod service_faults;
mod source;
mod together;
mod waiting;
mod world;

use std::path::Path;

/// A file in `tests/it` that no `mod` line names would never be compiled, and its tests would pass
/// by not being run.
#[test]
fn every_test_file_is_in_the_binary() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let declared: Vec<_> = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut forgotten = Vec::new();
    for path in source::entries(&tests.join("it")) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_module = path.is_dir() || path.extension().is_some_and(|ext| ext == "rs");
        if is_module && stem != "main" && !declared.contains(&stem) {
            forgotten.push(path);
        }
    }
    for path in source::entries(&tests) {
        if path.extension().is_some_and(|ext| ext == "rs") {
            // Cargo would make a binary of its own of it.
            forgotten.push(path);
        }
    }
    assert!(forgotten.is_empty(), "not in tests/it/main.rs: {forgotten:?}");
}
