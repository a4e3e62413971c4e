//! [`OfferedWheel`]: a wheel that can be had, wherever its bytes are; [`LocatedWheel`]: one that is here.

use std::sync::Arc;

use crate::store::set::Origin;
use crate::vocab::core_metadata::CoreMetadata;
use crate::vocab::digest::Digest;
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::file::WheelFile;

use super::remote_file::RemoteFile;

/// A wheel that is on this machine.
#[derive(Debug, Clone)]
pub struct LocatedWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub file: WheelFile,
    /// The digest they should have, as far as the source says; they are not checked against it here.
    pub sha256: Option<Digest>,
}

/// A wheel that can be had.
#[derive(Debug, Clone)]
pub struct OfferedWheel {
    /// The file name.
    pub filename: WheelFilename,
    /// Its size in bytes.
    pub size: u64,
    /// The digest its bytes should have, as far as the source says.
    pub sha256: Option<Digest>,
    /// What the source's index says it needs; none where it has none, and the wheel is asked.
    pub metadata: Option<Arc<CoreMetadata>>,
    /// Where it came from in the first place, as far as the source says.
    pub origin: Option<Origin>,
    /// Where its bytes are.
    pub(super) place: WheelPlace,
}

/// Where the bytes of a wheel are.
#[derive(Debug, Clone)]
pub(super) enum WheelPlace {
    /// On this machine.
    Here(WheelFile),
    /// In a file that is elsewhere, from this byte on.
    Span(Arc<RemoteFile>, u64),
    /// Somewhere in a compressed layer that is elsewhere.
    Layer(Arc<RemoteFile>),
}

impl OfferedWheel {
    /// The wheel's bytes, when they are on this machine.
    #[must_use]
    pub fn file(&self) -> Option<&WheelFile> {
        match &self.place {
            WheelPlace::Here(file) => Some(file),
            WheelPlace::Span(..) | WheelPlace::Layer(_) => None,
        }
    }
}

impl From<LocatedWheel> for OfferedWheel {
    fn from(wheel: LocatedWheel) -> Self {
        Self {
            filename: wheel.filename,
            size: wheel.file.len(),
            sha256: wheel.sha256,
            metadata: None,
            origin: None,
            place: WheelPlace::Here(wheel.file),
        }
    }
}
