//! [`sdist_requires`]: what the build of a source archive needs, as its own files say, without a build.

use std::io;
use std::path::Path;

use super::source::unpack::unpack;
use super::source::{Limits, SourceError};
use super::system::{BuildSystem, SystemError};
use crate::vocab::requirement::Requirement;
use crate::vocab::sdist_filename::SdistFormat;

/// Why what a build needs cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum RequiresError {
    /// The archive cannot be unpacked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What it says makes no sense.
    #[error(transparent)]
    System(#[from] SystemError),
    /// There is no place to unpack it.
    #[error("cannot unpack a source archive")]
    Io(#[from] io::Error),
}

/// The `requires` of the archive's `[build-system]` (PEP 518), or what stands for them where there is
/// none. A backend may ask for more when it is run. The archive is unpacked in `tmp` for the time being.
///
/// # Errors
/// [`RequiresError`].
pub fn sdist_requires(
    archive: &Path,
    format: SdistFormat,
    tmp: &Path,
) -> Result<Vec<Requirement>, RequiresError> {
    let into = tempfile::Builder::new().prefix("requires-").tempdir_in(tmp)?;
    let tree = unpack(archive, format, into.path(), Limits::default())?;
    Ok(BuildSystem::read(&tree)?.requires().to_vec())
}
