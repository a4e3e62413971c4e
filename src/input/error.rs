//! [`InputError`]: what can be wrong with what people write.

use std::fmt::Display;
use std::io;

use crate::vocab::requirement::PackageName;

use super::document::{Fault, Place};

/// Input that cannot be used. All faults of a text are in one error, and all are displayed.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file cannot be read.
    #[error("cannot read `{origin}`")]
    Read {
        /// The path.
        origin: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not text.
    #[error("`{origin}` is not text in UTF-8")]
    Encoding {
        /// The path.
        origin: String,
    },
    /// A proxy's or a git server's page stands where a list of requirements is expected.
    #[error("`{origin}` is an HTML page, not a list of requirements")]
    Html {
        /// The path or URL.
        origin: String,
    },
    /// Some lines cannot be read; displayed one a line.
    #[error("{}", one_a_line(faults))]
    Faults {
        /// The lines, in the order of the text; at least one.
        faults: Vec<Fault>,
    },
    /// Some lines contradict each other for the target; displayed one pair a line.
    #[error("{}", one_a_line(conflicts))]
    Conflicts {
        /// The contradictions by name; at least one.
        conflicts: Vec<Conflict>,
    },
    /// A text says nowhere where a project's source is.
    #[error("`{text}` is not the source of a project: {reason}")]
    Source {
        /// The text, without credentials.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text is no project's name.
    #[error("`{text}` is not the name of a project")]
    Project {
        /// The text.
        text: String,
    },
}

/// Two constraints on one name that hold for the target and that nothing satisfies both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` has two constraints that contradict each other: {first}, and {second}")]
pub struct Conflict {
    /// The name.
    pub name: PackageName,
    /// The line that stands first.
    pub first: Place,
    /// The line that contradicts it.
    pub second: Place,
}

/// The displays of `items`, one a line.
fn one_a_line(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
