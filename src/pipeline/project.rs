//! The wheel of a project itself: built from its source tree with what the set holds, or taken from
//! the index.

use std::sync::Arc;

use pep440_rs::VersionSpecifier;
use pep508_rs::{MarkerTree, VersionOrUrl};
use url::Url;

use super::checkout::{checkout, commit_source, reachable};
use super::error::PipelineError;
use super::events::{Activity, Ending};
use super::obtain::Obtainer;
use super::provision::SetProvision;
use super::release::Lineage;
use super::source_build::failed;
use super::want::newest;
use super::workshop::Workshop;
use crate::build::builder::{BuildPhase, BuildRequest, BuildSource, Manner};
use crate::image::offered::LocatedWheel;
use crate::input::project::ProjectSource;
use crate::vocab::redact::without_login;
use crate::vocab::requirement::{PackageName, Requirement};
use crate::vocab::sdist_filename::SdistFormat;
use crate::wheel::direct_url::DirectUrl;
use crate::wheel::file::WheelFile;

/// A project's wheel, and what its installation says of where it came from.
pub struct ProjectWheel {
    /// The wheel.
    pub wheel: LocatedWheel,
    /// None when it came from an index (PEP 610).
    pub direct_url: Option<DirectUrl>,
}

/// Makes the wheel of `project` from `source`; build requirements come from `provision` alone.
///
/// # Errors
/// When the source cannot be had, is no project or another one, or does not build.
pub async fn project_wheel(
    workshop: &Arc<Workshop>,
    project: &PackageName,
    source: &ProjectSource,
    provision: &SetProvision,
) -> Result<ProjectWheel, PipelineError> {
    let made = make(workshop, project, source, provision).await;
    made.map_err(|error| match error {
        PipelineError::Obtain(error) => PipelineError::Project {
            project: project.clone(),
            place: source.to_string(),
            source: error,
        },
        other => other,
    })
}

async fn make(
    workshop: &Arc<Workshop>,
    project: &PackageName,
    source: &ProjectSource,
    provision: &SetProvision,
) -> Result<ProjectWheel, PipelineError> {
    match source {
        ProjectSource::Index { version } => {
            let version = version.clone().map(VersionSpecifier::equals_version);
            let requirement = Requirement {
                name: project.clone(),
                extras: Vec::new(),
                version_or_url: version.map(|v| VersionOrUrl::VersionSpecifier(v.into())),
                marker: MarkerTree::default(),
                origin: None,
            };
            from_index(workshop, &requirement, provision.constraints()).await
        }
        ProjectSource::Directory(path) | ProjectSource::Archive(path) if !path.exists() => {
            Err(PipelineError::NoSource { project: project.clone(), path: path.clone() })
        }
        ProjectSource::Directory(tree) => {
            let built = build(
                workshop,
                project,
                BuildSource::Tree { path: tree.clone(), identity: None },
                provision,
            )
            .await?;
            let tree = std::path::absolute(tree)?;
            let url = Url::from_directory_path(tree).ok();
            // pip names a directory without the slash at its end.
            let url = url.map(|url| url.as_str().trim_end_matches('/').to_owned());
            Ok(ProjectWheel {
                wheel: built,
                direct_url: url.map(|url| DirectUrl::Directory { url }),
            })
        }
        ProjectSource::Archive(archive) => {
            let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let (format, _) = SdistFormat::of(name)
                .ok_or_else(|| PipelineError::NoArchive { path: archive.clone() })?;
            let digest = workshop.store.put_file(archive)?;
            let path = workshop.store.path(&digest);
            let source = BuildSource::Sdist { path, format, digest };
            let built = build(workshop, project, source, provision).await?;
            let url = Url::from_file_path(std::path::absolute(archive)?).ok();
            let direct_url =
                url.map(|url| DirectUrl::Archive { url: url.into(), digest: Some(digest) });
            Ok(ProjectWheel { wheel: built, direct_url })
        }
        ProjectSource::Git { url, reference } => {
            reachable(workshop, url)?;
            let tree = tempfile::Builder::new()
                .prefix("checkout-")
                .tempdir_in(workshop.store.tmp_dir())?;
            let commit = checkout(url, reference.as_deref(), tree.path()).await?;
            let source = commit_source(tree.path(), &commit);
            let built = build(workshop, project, source, provision).await?;
            let direct_url = DirectUrl::Git {
                url: recorded(url),
                requested_revision: reference.clone(),
                commit_id: commit,
            };
            Ok(ProjectWheel { wheel: built, direct_url: Some(direct_url) })
        }
    }
}

/// A repository's address as PEP 610 records it: without user and password, but for the `git@` that
/// ssh asks for.
fn recorded(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if parsed.username() == "git" && parsed.password().is_none() => url.to_owned(),
        Ok(parsed) => without_login(&parsed).into(),
        // `git@host:path` and paths name no password.
        Err(_) => url.to_owned(),
    }
}

async fn build(
    workshop: &Arc<Workshop>,
    project: &PackageName,
    source: BuildSource,
    provision: &SetProvision,
) -> Result<LocatedWheel, PipelineError> {
    let task = workshop.events.start(Activity::Build { release: project.to_string() });
    let on_phase = |phase: BuildPhase| task.phase(phase.as_str());
    let request = BuildRequest {
        manner: Manner::Prepared,
        ..workshop.build_request(project, None, source, &on_phase)
    };
    match workshop.bench.builder().build(&request, provision).await {
        Ok(built) => {
            task.end(if built.reused { Ending::Reused } else { Ending::Done });
            Ok(LocatedWheel {
                filename: built.filename,
                file: WheelFile::open(&workshop.store.path(&built.digest))?,
                sha256: Some(built.digest),
            })
        }
        Err(failure) => Err(Arc::new(failed(task, failure)).into()),
    }
}

async fn from_index(
    workshop: &Arc<Workshop>,
    requirement: &Requirement,
    build_constraints: &[Requirement],
) -> Result<ProjectWheel, PipelineError> {
    let release = newest(workshop, &requirement.name, &[requirement]).await.map_err(Arc::new)?;
    let obtainer = Obtainer::new(Arc::clone(workshop), Arc::default(), build_constraints.to_vec());
    let obtained = obtainer.obtain(release, Lineage::default()).await?;
    Ok(ProjectWheel {
        wheel: LocatedWheel {
            filename: obtained.filename.clone(),
            file: WheelFile::open(&workshop.store.path(&obtained.digest))?,
            sha256: Some(obtained.digest),
        },
        direct_url: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_recorded_without_secrets() {
        for (given, kept) in [
            ("https://u:secret@example.org/x.git", "https://example.org/x.git"),
            ("https://token@example.org/x.git", "https://example.org/x.git"),
            ("ssh://git@example.org/x.git", "ssh://git@example.org/x.git"),
            ("git@example.org:x.git", "git@example.org:x.git"),
            ("/srv/x.git", "/srv/x.git"),
        ] {
            assert_eq!(recorded(given), kept);
        }
    }
}
