//! The one way a file gets its name: written beside it under a temporary one, then renamed.
//!
//! A reader sees the whole file or none of it. What must outlive a power cut is synced first
//! ([`keep`]); what is only remembered is not ([`replace`]).

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::{StoreError, io_error};

/// Temporary files begin so, in stores, layouts and directories; whoever finds one that nobody
/// writes any more may delete it.
pub(crate) const TMP_PREFIX: &str = ".loci-";

/// A temporary file in `dir` whose name begins with `prefix`.
///
/// It is for everyone to read, as far as the umask allows; `tempfile` alone would give 0600, and an
/// image written so could not be served by another user.
pub(crate) fn temporary_in(dir: &Path, prefix: &str) -> Result<NamedTempFile, StoreError> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(io_error("create a file in", dir))
}

/// Syncs `file` and calls it `path`, in place of what was called so. The name itself is durable once
/// its directory is synced.
pub(crate) fn keep(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    sync(&file, path)?;
    rename(file, path)
}

/// Syncs `file`, which is to be called `path`.
pub(super) fn sync(file: &NamedTempFile, path: &Path) -> Result<(), StoreError> {
    file.as_file().sync_data().map_err(io_error("sync", path))
}

/// Writes `bytes` to `path`, whose directory is made if need be, by way of a file in `tmp`. It is not
/// synced: what a power cut leaves is found out when it is read.
pub(crate) fn replace(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    }
    let mut file = temporary_in(tmp, TMP_PREFIX)?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    rename(file, path)
}

/// Calls `file` `path`, in place of what was called so.
pub(super) fn rename(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    file.persist(path).map(drop).map_err(|error| io_error("write", path)(error.error))
}
