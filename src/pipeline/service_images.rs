//! Service images without a container engine: a base, what its distribution adds, and the services'
//! environments, assembled from wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::assembled::{Assembled, Assembly};
use super::compose::OpenSet;
use super::error::PipelineError;
use super::events::{Activity, Stage};
use super::foundation::{Foundation, Ground, Refresh};
use super::spec::{ServiceSpec, Site, SystemPackages};
use super::summary::WrittenReport;
use super::workshop::Workshop;
use crate::image::appended::{AddedContent, Addition, Shipment};
use crate::image::base::Base;
use crate::image::reference::Reference;
use crate::image::tree_layer::TreeLayer;
use crate::input::document::Document;
use crate::service::project_account::ENVIRONMENT;
use crate::vocab::digest::Digest;

/// How many sets of the distribution's packages are installed side by side: apt is busy with the disk and the
/// network as much as with the processor.
const GROUNDWORK: usize = 2;

/// The variable by which a base names the Python that services in it are for.
pub const BASE_PYTHON: &str = "LOCI_BASE_PYTHON";

/// Images to be made upon one base.
pub struct ImagesJob {
    /// The base.
    pub base: Reference,
    /// The Python of the base that environments are for: a path, or a name to be found there. Where none is
    /// named, the base may name one itself.
    pub python: Option<PathBuf>,
    /// The set of wheels.
    pub wheels: Reference,
    /// Pins to keep to, in place of those that the set brings.
    pub constraints: Vec<Document>,
    /// The services.
    pub services: Vec<ServiceImage>,
    /// What every image says of itself, by key.
    pub annotations: BTreeMap<String, String>,
    /// The time everything in the images is given, in seconds since 1970.
    pub epoch: u64,
    /// Whether the distribution is asked for newer packages.
    pub refresh: Refresh,
}

/// An image to be made.
pub struct ServiceImage {
    /// The service.
    pub spec: ServiceSpec,
    /// Where it is to go.
    pub destinations: Vec<Reference>,
}

/// The images that were made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ImagesSummary {
    /// The base's digest.
    pub base: Digest,
    /// The images, in the order in which they were asked for.
    pub images: Vec<ImageReport>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// An image that was made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ImageReport {
    /// The service.
    pub project: String,
    /// Every Python package, `name==version`, by name.
    pub packages: Vec<String>,
    /// The distribution's packages that were asked for.
    pub distribution: Vec<String>,
    /// The number of layers that were put upon the base.
    pub layers: usize,
    /// Where it was written.
    pub written: Vec<WrittenReport>,
}

/// Makes the images.
///
/// # Errors
/// When the base or the set cannot be read, the distribution or the set lacks something, a step fails, or
/// a destination cannot be written; what a destination named before is then as it was.
pub async fn service_images(
    workshop: Arc<Workshop>,
    job: ImagesJob,
) -> Result<ImagesSummary, PipelineError> {
    let begun = Instant::now();
    workshop.events.stage(Stage::Resolve, None);
    let base = Base::open(&job.base, std::env::consts::ARCH, &workshop.access()).await?;
    let named = job.services.iter().find_map(|service| service.spec.distro.as_ref());
    let own =
        || base.variable(BASE_PYTHON).filter(|python| !python.is_empty()).unwrap_or("python3");
    let python = job.python.clone().unwrap_or_else(|| own().into());
    let ground =
        Ground::find(&workshop, base.clone(), &python, job.epoch, job.refresh, named).await?;
    let sites =
        job.services.iter().map(|service| service.spec.on(&ground.distro, &workshop.events));
    let sites = sites.collect::<Result<Vec<Site>, _>>()?;
    let foundations = foundations(&ground, &sites).await?;
    let sets = sets(&workshop, &job, &foundations).await?;
    let assembled = job.services.iter().zip(&sites).zip(foundations.iter().zip(&sets)).map(
        |((service, site), (foundation, set))| {
            let assembly = Assembly {
                workshop: &workshop,
                base: &base,
                foundation,
                set,
                spec: &service.spec,
                site,
                annotations: &job.annotations,
                epoch: job.epoch,
            };
            async move { assembly.run().await }
        },
    );
    let assembled = try_join_all(assembled).await?;

    let shipment = Arc::new(Shipment::new(workshop.access()));
    let destinations: Vec<Reference> =
        job.services.iter().flat_map(|service| service.destinations.clone()).collect();
    workshop.events.stage(Stage::Write, Some(destinations.len() + 1));
    make(&workshop, &shipment, &assembled, &destinations).await?;
    let mut images = Vec::with_capacity(assembled.len());
    for ((service, site), assembled) in job.services.iter().zip(sites).zip(assembled) {
        images.push(ImageReport {
            project: service.spec.name.to_string(),
            packages: assembled.composed.freeze(),
            distribution: site.packages.listed(),
            layers: assembled.layers.len(),
            written: send(&workshop, &shipment, &base, assembled, service, job.epoch).await?,
        });
    }
    Ok(ImagesSummary { base: base.digest(), images, seconds: begun.elapsed().as_secs_f64() })
}

/// What stands below each site; one for all that have the same packages.
async fn foundations(
    ground: &Ground,
    sites: &[Site],
) -> Result<Vec<Arc<Foundation>>, PipelineError> {
    let different: BTreeMap<&SystemPackages, &Site> =
        sites.iter().map(|site| (&site.packages, site)).collect();
    let made: BTreeMap<&SystemPackages, Arc<Foundation>> = stream::iter(different)
        .map(|(packages, site)| async move {
            let foundation = ground.with(&site.distro, packages).await?;
            Ok::<_, PipelineError>((packages, Arc::new(foundation)))
        })
        .buffer_unordered(GROUNDWORK)
        .try_collect()
        .await?;
    Ok(sites.iter().map(|site| Arc::clone(&made[&site.packages])).collect())
}

/// The set as each foundation's Python sees it; opened once for all that have the same.
async fn sets(
    workshop: &Workshop,
    job: &ImagesJob,
    foundations: &[Arc<Foundation>],
) -> Result<Vec<Arc<OpenSet>>, PipelineError> {
    let mut opened: Vec<(String, Arc<OpenSet>)> = Vec::new();
    let mut sets = Vec::with_capacity(foundations.len());
    for foundation in foundations {
        let target = foundation.interpreter.target();
        let name = target.to_string();
        let set = match opened.iter().find(|(known, _)| *known == name) {
            Some((_, set)) => Arc::clone(set),
            None => {
                let set = OpenSet::open(workshop, &job.wheels, &job.constraints, target).await?;
                let set = Arc::new(set);
                opened.push((name, Arc::clone(&set)));
                set
            }
        };
        sets.push(set);
    }
    Ok(sets)
}

/// Makes the layers of all images, each once.
async fn make(
    workshop: &Workshop,
    shipment: &Arc<Shipment>,
    images: &[Assembled],
    destinations: &[Reference],
) -> Result<(), PipelineError> {
    let mut seen = BTreeSet::new();
    let trees: Vec<Arc<TreeLayer>> = images
        .iter()
        .flat_map(|image| &image.layers)
        .filter_map(|layer| match &layer.content {
            AddedContent::Tree(tree) => Some(tree),
            AddedContent::Blob { .. } => None,
        })
        .filter(|tree| seen.insert(tree.recipe()))
        .cloned()
        .collect();
    let name = format!("{} layers", trees.len());
    let task = workshop.events.start(Activity::Write { destination: name });
    let make = |told| async move { shipment.make(trees, destinations, &told).await };
    Ok(task.run(make).await?)
}

/// Puts an image to each of its destinations.
async fn send(
    workshop: &Workshop,
    shipment: &Arc<Shipment>,
    base: &Base,
    assembled: Assembled,
    service: &ServiceImage,
    epoch: u64,
) -> Result<Vec<WrittenReport>, PipelineError> {
    let addition = Addition {
        layers: assembled.layers,
        path: vec![format!("/{ENVIRONMENT}/bin")],
        labels: assembled.annotations.clone(),
        annotations: assembled.annotations,
        bill: Some(assembled.bill.into()),
        epoch,
    };
    let mut written = Vec::with_capacity(service.destinations.len());
    for destination in &service.destinations {
        let name = destination.to_string();
        let task = workshop.events.start(Activity::Write { destination: name.clone() });
        let addition = addition.clone();
        let send = |told| async move { shipment.send(base, addition, destination, &told).await };
        written.push(WrittenReport::of(name, &task.run(send).await?));
    }
    Ok(written)
}
