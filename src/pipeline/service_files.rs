//! What the image of a service says of itself, in files: LOCI's lists, the lock (PEP 751) and the bill of
//! materials (`CycloneDX`), all in `/etc/image_info`.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::MarkerTree;
use rayon::prelude::*;

use super::compose::Composed;
use super::error::PipelineError;
use crate::image::packages::{DistributionPackage, System};
use crate::image::sbom::{BaseImage, Earlier, ListedWheel, Sbom, Subject};
use crate::resolve::lock::{FilePlace, Lock, LockedFile, LockedPackage};
use crate::service::image_info::{BILL, ImageInfo, LOCK};
use crate::service::node::Node;
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;
use crate::vocab::distro::{Distro, Packaging};
use crate::vocab::requirement::PackageName;
use crate::wheel::archive::WheelArchive;
use crate::wheel::direct_url::DirectUrl;

/// What a service stands on.
pub(super) struct Footing<'a> {
    /// The distribution.
    pub(super) distro: &'a Distro,
    /// Its packages and their versions.
    pub(super) packages: &'a BTreeMap<String, String>,
    /// The base image, where it is known.
    pub(super) base: Option<BaseImage>,
    /// When the image is said to have been made, in seconds since 1970.
    pub(super) epoch: u64,
}

/// The files, and the bill by itself.
pub(super) fn service_files(
    (name, release): (&str, Option<&str>),
    composed: &Composed,
    footing: &Footing<'_>,
) -> Result<(Vec<Node>, Vec<u8>), PipelineError> {
    let wheels = composed
        .wheels
        .par_iter()
        .map(|wheel| {
            let sha256 = match wheel.sha256 {
                Some(digest) => digest,
                None => wheel.file.digest()?,
            };
            let archive = WheelArchive::open(wheel.file.clone(), &wheel.filename)?;
            let license = archive.metadata()?.license;
            let filename = wheel.filename.clone();
            Ok(ListedWheel { filename, sha256, license, origin: None })
        })
        .collect::<Result<Vec<_>, PipelineError>>()?;
    let bill = bill(name, composed, &wheels, footing).to_bytes();
    let info =
        ImageInfo { release: release.map(str::to_owned), ..info(name, composed, footing.packages) };
    let mut nodes = info.nodes();
    nodes.push(file(LOCK, lock(composed, &wheels)?.into_bytes()));
    nodes.push(file(BILL, bill.clone()));
    Ok((nodes, bill))
}

fn file(path: &str, content: Vec<u8>) -> Node {
    Node::file(path.parse().expect("a fixed path"), content)
}

fn version(composed: &Composed, name: &PackageName) -> String {
    let package = composed.resolution.packages.get(name);
    package.map(|package| package.version.to_string()).unwrap_or_default()
}

fn info(name: &str, composed: &Composed, distribution: &BTreeMap<String, String>) -> ImageInfo {
    let mut info = ImageInfo {
        project: name.to_owned(),
        version: version(composed, &composed.project),
        python: composed.packages().into_iter().map(|(n, v)| (n.to_string(), v)).collect(),
        distribution: distribution.clone().into_iter().collect(),
        ..ImageInfo::default()
    };
    if let Some(DirectUrl::Git { url, requested_revision, commit_id }) =
        composed.direct_urls.get(&composed.project)
    {
        info.repository = Some(url.clone());
        info.reference.clone_from(requested_revision);
        info.commit = Some(commit_id.clone());
    }
    info
}

fn bill(name: &str, composed: &Composed, wheels: &[ListedWheel], footing: &Footing<'_>) -> Sbom {
    let subject = Subject {
        name: name.to_owned(),
        version: Some(version(composed, &composed.project)),
        created: Some(Civil::of(footing.epoch).to_string()),
    };
    let system = System {
        id: footing.distro.id().to_owned(),
        version: footing.distro.version().unwrap_or_default().to_owned(),
        name: footing.distro.to_string(),
    };
    let packages: Vec<DistributionPackage> = footing
        .packages
        .iter()
        .map(|(name, version)| DistributionPackage {
            name: name.clone(),
            version: version.clone(),
            architecture: String::new(),
            bytes: 0,
        })
        .collect();
    let bill = composed.present().and_then(|present| present.bill.as_deref()).and_then(Sbom::parse);
    let earlier = Earlier { packages: composed.kept().into_iter().collect(), bill };
    // Packages that nobody knows how to list are none.
    let packaging = footing.distro.packaging().unwrap_or(Packaging::Dpkg);
    let distribution = (Some(&system), packaging, &packages[..]);
    Sbom::of_service(&subject, wheels, &earlier, distribution, footing.base.as_ref())
}

/// Which wheels are installed; an installer finds them in the set by their names. Of packages that were there before,
/// those are told that the lock of the image which had them tells of.
fn lock(composed: &Composed, wheels: &[ListedWheel]) -> Result<String, PipelineError> {
    let digests: BTreeMap<&str, Digest> =
        wheels.iter().map(|wheel| (wheel.filename.as_str(), wheel.sha256)).collect();
    let mut packages: Vec<LockedPackage> = composed
        .wheels
        .iter()
        .map(|wheel| LockedPackage {
            name: wheel.filename.name().clone(),
            version: wheel.filename.version().clone(),
            marker: MarkerTree::TRUE,
            requires_python: None,
            dependencies: BTreeSet::new(),
            index: None,
            wheels: vec![LockedFile {
                place: FilePlace::Path(wheel.filename.to_string()),
                filename: wheel.filename.clone(),
                size: Some(wheel.file.len()),
                sha256: digests[wheel.filename.as_str()],
            }],
            sdist: None,
        })
        .collect();
    if let Some(text) = composed.present().and_then(|present| present.lock.as_deref()) {
        let (earlier, kept) = (Lock::from_pylock(&format!("/{LOCK}"), text)?, composed.kept());
        packages.extend(earlier.packages.into_iter().filter(|package| {
            kept.get(&package.name).is_some_and(|version| *version == package.version.to_string())
        }));
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Lock { packages, ..Lock::default() }.to_pylock())
}
