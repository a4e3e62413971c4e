//! [`Foundation`]: what stands below the environments of an image: its base and the distribution's packages.

use std::collections::BTreeSet;

use crate::build::interpreter::Interpreter;
use crate::image::appended::AddedLayer;
use crate::vocab::safe_path::SafePath;

/// What stands below an environment.
pub struct Foundation {
    /// What the distribution adds to the base.
    pub layers: Vec<AddedLayer>,
    /// Its Python.
    pub interpreter: Interpreter,
    /// Directories that are there.
    pub there: BTreeSet<SafePath>,
}
