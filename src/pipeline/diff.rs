//! The job of `loci diff`: two images, sets or locks are read and compared.

use oci_spec::image::Arch;

use super::difference::{Difference, Release, Releases, Side};
use super::error::PipelineError;
use super::events::Events;
use super::look::{LookJob, look_with};
use super::workshop::read_document;
use crate::image::Access;
use crate::image::inspect::{Depth, Seen};
use crate::image::reference::Reference;
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::resolve::lock::Lock;
use crate::vocab::digest::Hasher;

/// What is to be compared.
pub struct DiffJob {
    /// What it was.
    pub before: Thing,
    /// What it is.
    pub after: Thing,
    /// Of images for several platforms, those for Linux on this; none for this machine's.
    pub platform: Option<Arch>,
}

/// What can be compared with its like.
pub enum Thing {
    /// An image or a set.
    Place(Reference),
    /// A `pylock.toml` or constraints, by path or URL.
    Text(String),
}

/// Compares. Layers that both have are read once.
///
/// # Errors
/// When one of the two cannot be read, or they have nothing in common that could be compared.
pub async fn diff(
    access: &Access,
    events: &Events,
    job: DiffJob,
) -> Result<Difference, PipelineError> {
    let mut seen = Seen::default();
    let DiffJob { before, after, platform } = job;
    let before = side(access, events, before, platform.clone(), &mut seen).await?;
    let after = side(access, events, after, platform, &mut seen).await?;
    Difference::of(&before, &after).ok_or_else(|| {
        let named = |side: &Side| (side.reference().to_owned(), side.kind());
        PipelineError::OtherKind { sides: Box::new([named(&before), named(&after)]) }
    })
}

async fn side(
    access: &Access,
    events: &Events,
    thing: Thing,
    platform: Option<Arch>,
    seen: &mut Seen,
) -> Result<Side, PipelineError> {
    match thing {
        Thing::Place(place) => {
            let job = LookJob { place, platform, depth: Depth::Contents };
            Ok(Side::View(Box::new(look_with(access, events, &job, seen).await?)))
        }
        Thing::Text(location) => {
            let document = read_document(&access.client, &location).await?;
            Ok(Side::Releases(releases(&document)?))
        }
    }
}

/// What a lock or constraints name.
fn releases(document: &Document) -> Result<Releases, PipelineError> {
    let mut releases =
        Releases { reference: document.origin().to_owned(), packages: Default::default() };
    let mut add = |name: String, release| releases.packages.entry(name).or_default().push(release);
    if document.origin().ends_with(".toml") {
        for package in Lock::from_pylock(document.origin(), document.text())?.packages {
            let mut digests: Vec<_> = package.wheels.iter().map(|wheel| wheel.sha256).collect();
            digests.extend(package.sdist.iter().map(|sdist| sdist.sha256));
            digests.sort();
            let mut content = Hasher::new();
            digests.iter().for_each(|digest| content.update(digest.as_bytes()));
            let release = Release {
                version: package.version.to_string(),
                only: package.marker.try_to_string(),
                bytes: None,
                content: Some(content.finish().0),
            };
            add(package.name.to_string(), release);
        }
    } else {
        for (name, version, marker) in Constraints::parse(document)?.iter() {
            let only = marker.try_to_string();
            add(name.to_string(), Release { version, only, bytes: None, content: None });
        }
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(origin: &str, text: &str) -> Vec<String> {
        let releases = releases(&Document::new(origin, text)).unwrap();
        let line = |name: &String, release: &Release| {
            format!("{name} {} {}", release.version, release.only.as_deref().unwrap_or("-"))
        };
        let lines = releases.packages.iter();
        lines
            .flat_map(|(name, all)| {
                all.iter().map(|release| line(name, release)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn texts_name_releases() {
        let constraints = "Six===1.16.00\nnumpy===1.0;python_version<'3.9'\nnumpy===2.0\n\
                           a<3\nb @ https://me:secret@host.invalid/b.zip\n";
        assert_eq!(
            names("upper-constraints.txt", constraints),
            [
                "a <3 -",
                "b https://host.invalid/b.zip -",
                "numpy 1.0 python_full_version < '3.9'",
                "numpy 2.0 -",
                "six 1.16.00 -",
            ]
        );
        let lock = "lock-version = \"1.0\"\ncreated-by = \"x\"\n[[packages]]\nname = \"six\"\n\
                    version = \"1.16.0\"\n[[packages.wheels]]\nname = \"six-1.16.0-py3-none-any.whl\"\n\
                    path = \"x\"\nhashes = { sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\" }\n";
        assert_eq!(names("pylock.toml", lock), ["six 1.16.0 -"]);
    }
}
