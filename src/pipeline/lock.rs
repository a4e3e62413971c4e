//! Resolving only: projects in, a lock out.

use std::collections::BTreeSet;
use std::sync::Arc;

use pep508_rs::MarkerTree;

use super::blocking;
use super::error::PipelineError;
use super::events::Stage;
use super::index_source::IndexSource;
use super::obtain::Obtainer;
use super::release::Lineage;
use super::workshop::Workshop;
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::resolve::lock::{FilePlace, Lock, LockedFile, LockedPackage};
use crate::resolve::problem::{PinForce, Problem};
use crate::resolve::resolution::{Resolution, resolve};
use crate::vocab::dist_file::DistFilename;
use crate::vocab::requirement::{PackageName, Requirement};

/// What is to be locked.
pub struct LockJob {
    /// The projects, as requirements.
    pub roots: Vec<Requirement>,
    /// Pins that hold for all but the roots themselves.
    pub constraints: Vec<Document>,
    /// What build requirements must keep to, where an sdist's metadata needs a build.
    pub build_constraints: Vec<Requirement>,
}

/// Resolves the projects and their dependencies, and notes the files of each release.
///
/// # Errors
/// When the input makes no sense, the projects contradict each other or the pins, or an index
/// cannot be asked.
pub async fn lock(workshop: Arc<Workshop>, job: LockJob) -> Result<Lock, PipelineError> {
    let constraints =
        job.constraints.iter().map(Constraints::parse).collect::<Result<Constraints, _>>()?;
    let pins = Arc::new(constraints.pins(workshop.target())?);
    workshop.events.stage(Stage::Resolve, None);
    let obtainer = Obtainer::new(Arc::clone(&workshop), Arc::clone(&pins), job.build_constraints);
    let source = IndexSource::new(obtainer, Lineage::default());
    let resolution = {
        let (pins, workshop) = (Arc::clone(&pins), Arc::clone(&workshop));
        let exempt: BTreeSet<PackageName> = job.roots.iter().map(|r| r.name.clone()).collect();
        blocking(move || {
            let problem = Problem {
                roots: job.roots,
                pins: &pins,
                force: PinForce::Hard,
                bounds: Vec::new(),
                exempt,
                prereleases: workshop.prereleases,
                target: workshop.target(),
            };
            Ok(resolve(&problem, &source)?)
        })
        .await?
    };
    to_lock(&workshop, resolution).await
}

/// Notes, for each release of `resolution`, every wheel that fits the target and the sdist.
async fn to_lock(workshop: &Workshop, resolution: Resolution) -> Result<Lock, PipelineError> {
    let target = workshop.target();
    let mut packages = Vec::with_capacity(resolution.packages.len());
    for (name, resolved) in resolution.packages {
        let page = workshop.page(&name).await?;
        let mut package = LockedPackage {
            name,
            version: resolved.version,
            marker: MarkerTree::default(),
            requires_python: None,
            dependencies: resolved.dependencies,
            index: None,
            wheels: Vec::new(),
            sdist: None,
        };
        for file in page.files_of(&package.version) {
            let Some(sha256) = file.sha256 else {
                let name = file.filename.as_str();
                workshop.events.warn(format!(
                    "`{name}` is not in the lock: its index does not tell its SHA-256"
                ));
                continue;
            };
            package.requires_python = package.requires_python.or(file.requires_python);
            match file.filename {
                DistFilename::Wheel(filename) => {
                    if target.tags().priority(filename.tags()).is_some() {
                        let place = FilePlace::Url(file.url);
                        package.wheels.push(LockedFile {
                            filename,
                            place,
                            size: file.size,
                            sha256,
                        });
                    }
                }
                DistFilename::Sdist(filename) => {
                    let place = FilePlace::Url(file.url);
                    package.sdist = Some(LockedFile { filename, place, size: file.size, sha256 });
                }
            }
        }
        packages.push(package);
    }
    Ok(Lock { packages, ..Lock::default() })
}
