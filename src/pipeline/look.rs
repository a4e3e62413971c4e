//! The job of `loci image ls`: what an image or a set is, and what is in it, as a value.

use std::sync::Arc;

use oci_spec::image::Arch;
use serde::Serialize;

use super::blocking;
use super::error::PipelineError;
use super::events::{Activity, Events};
use crate::image::files::{ImageFile, ImageFiles};
use crate::image::inspect::{Contents, Depth, ImageInfo, Inspected, Seen, WheelInfo, inspect};
use crate::image::packages::Packages;
use crate::image::reference::Reference;
use crate::image::{Access, Progress};

/// What is to be looked at.
pub struct LookJob {
    /// The place.
    pub place: Reference,
    /// Of an image for several platforms, the one for Linux on this; none for this machine's.
    pub platform: Option<Arch>,
    /// How far it is looked.
    pub depth: Depth,
}

/// What an image or a set is.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// Where it is, as it was named.
    pub reference: String,
    /// The image; none for a set that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInfo>,
    /// What is in it.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What is in an image or a set.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// It was not looked.
    Unread {},
    /// Wheels.
    Wheels {
        /// All of them, sorted by name.
        wheels: Vec<WheelInfo>,
    },
    /// A root file system.
    System(Box<System>),
}

/// A root file system.
#[derive(Debug, Clone, Serialize)]
pub struct System {
    /// What is installed in it.
    #[serde(flatten)]
    pub packages: Packages,
    /// How much is in it.
    #[serde(rename = "files")]
    pub totals: Totals,
    /// The files.
    #[serde(skip)]
    pub files: ImageFiles,
}

/// A number of files and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// How many there are, directories not counted.
    pub count: usize,
    /// Their bytes, each file's once.
    pub bytes: u64,
}

/// A file with its path, as JSON has it.
#[derive(Debug, Clone, Serialize)]
pub struct FileEntry<'a> {
    /// Its path, without a `/` at its beginning.
    pub path: &'a str,
    /// What is there.
    #[serde(flatten)]
    pub file: &'a ImageFile,
}

impl System {
    /// Its files, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = FileEntry<'_>> {
        self.files.iter().map(|(path, file)| FileEntry { path, file })
    }
}

/// Looks at one place.
///
/// # Errors
/// When nothing is there, or what is there cannot be read or is damaged.
pub async fn look(access: &Access, events: &Events, job: &LookJob) -> Result<View, PipelineError> {
    look_with(access, events, job, &mut Seen::default()).await
}

/// The same; layers that were `seen` are not read again.
pub(super) async fn look_with(
    access: &Access,
    events: &Events,
    job: &LookJob,
    seen: &mut Seen,
) -> Result<View, PipelineError> {
    let reference = job.place.to_string();
    // However it ends, there is nothing to say of it here: the view or the error says it.
    let task = events.start(Activity::Metadata { release: reference.clone() });
    let told: Progress = Arc::new(move |bytes| task.advance(bytes));
    let platform = (job.platform.as_ref(), std::env::consts::ARCH);
    let Inspected { image, contents } =
        inspect(&job.place, platform, job.depth, access, seen, &told).await?;
    let kind = match contents {
        Contents::Unread => Kind::Unread {},
        Contents::Wheels(wheels) => Kind::Wheels { wheels },
        Contents::Files(files) => {
            blocking(move || {
                let totals = Totals { count: files.count(), bytes: files.bytes() };
                let packages = Packages::of(&files);
                Ok(Kind::System(Box::new(System { packages, totals, files })))
            })
            .await?
        }
    };
    Ok(View { reference, image, kind })
}
