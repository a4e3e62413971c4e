//! What people write: constraints, requirements, the rules of single packages, project sources and
//! steps, and which packages of a distribution a project wants.
//!
//! Everything is parsed here, at the edge, strictly, with every fault of a text named by file, line
//! and text, all at once. Nothing here asks an index, runs a command or opens a socket: a text that
//! comes from a URL is fetched elsewhere and handed in as a [`document::Document`].

pub mod document;
pub mod error;
mod lines;
mod entry;
pub mod constraints;
pub mod pins;
pub mod requirements;
pub mod lint;
pub mod rules;
pub mod project;
pub mod release_source;
pub mod bindep;
pub mod lists;
pub mod template;
mod steps_written;
pub mod steps;

#[cfg(test)]
pub(crate) mod testing {
    //! Real inputs for tests, read where they lie.

    use std::path::Path;

    use super::document::Document;

    /// A file of the shared constraints; none, with a word about it, where they are not at hand.
    pub(crate) fn shared_document(name: &str) -> Option<Document> {
        shared_file(&format!("constraints/{name}"))
    }

    /// Any file of the shared data, in the same way.
    pub(crate) fn shared_file(name: &str) -> Option<Document> {
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        if !shared.is_dir() {
            println!("skipped: {name} needs ../shared/data");
            return None;
        }
        Some(Document::read(&shared.join(name)).unwrap())
    }
}
