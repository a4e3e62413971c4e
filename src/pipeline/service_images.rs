//! Service images without a container engine: a base, what its distribution adds, and the services'
//! environments, assembled from wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use rayon::prelude::*;

use super::blocking;
use super::compose::{Composed, OpenSet, Wants};
use super::error::PipelineError;
use super::events::{Activity, Stage};
use super::foundation::Foundation;
use super::install::warn_of_collisions;
use super::summary::WrittenReport;
use super::workshop::Workshop;
use crate::image::appended::{AddedContent, AddedLayer, Addition, Shipment};
use crate::image::base::Base;
use crate::image::reference::Reference;
use crate::image::tree_layer::TreeLayer;
use crate::input::document::Document;
use crate::service::assembly;
use crate::service::environment::{PlannedEnvironment, Visible};
use crate::service::prefix::PrefixError;
use crate::vocab::safe_path::SafePath;

/// Where the environment of a service image is.
pub const PREFIX: &str = "/var/lib/openstack";

/// Images to be made upon one base.
pub struct ImagesJob {
    /// The base.
    pub base: Reference,
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
}

/// An image to be made.
pub struct ServiceImage {
    /// The service's name, as LOCI calls it.
    pub name: String,
    /// What it is to consist of.
    pub wants: Wants,
    /// Where it is to go.
    pub destinations: Vec<Reference>,
}

/// The images that were made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ImagesSummary {
    /// The base's digest.
    pub base: String,
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
    /// The number of layers that were put upon the base.
    pub layers: usize,
    /// Where it was written.
    pub written: Vec<WrittenReport>,
}

/// A service with all that its image consists of.
struct Assembled {
    composed: Composed,
    layers: Vec<AddedLayer>,
}

/// Makes the images.
///
/// # Errors
/// When the base or the set cannot be read, the set lacks something, or a destination cannot be
/// written; what a destination named before is then as it was.
pub async fn service_images(
    workshop: Arc<Workshop>,
    job: ImagesJob,
) -> Result<ImagesSummary, PipelineError> {
    let begun = Instant::now();
    workshop.events.stage(Stage::Resolve, None);
    let machine = workshop.builder.interpreter().target().platform().arch();
    let base = Base::open(&job.base, machine, &workshop.access()).await?;
    let foundation = Arc::new(Foundation {
        layers: Vec::new(),
        interpreter: workshop.interpreter.clone(),
        there: ["var", "var/lib"].iter().map(|p| p.parse().expect("fixed")).collect(),
    });
    let target = foundation.interpreter.target();
    let set = OpenSet::open(&workshop, &job.wheels, &job.constraints, target).await?;
    let composed = job.services.iter().map(|service| set.compose(&workshop, &service.wants));
    let composed = try_join_all(composed).await?;
    let assembled = {
        let (workshop, base) = (Arc::clone(&workshop), base.clone());
        let foundation = Arc::clone(&foundation);
        blocking(move || {
            let assemble = |composed| assemble(composed, &base, &foundation, job.epoch, &workshop);
            composed.into_par_iter().map(assemble).collect::<Result<Vec<_>, _>>()
        })
        .await?
    };
    let shipment = Arc::new(Shipment::new(workshop.access()));
    let destinations: Vec<Reference> =
        job.services.iter().flat_map(|service| service.destinations.clone()).collect();
    workshop.events.stage(Stage::Write, Some(destinations.len() + 1));
    make(&workshop, &shipment, &assembled, &destinations).await?;
    let mut images = Vec::with_capacity(assembled.len());
    for (service, assembled) in job.services.iter().zip(assembled) {
        let layers = assembled.layers.len();
        let addition = Addition {
            layers: assembled.layers,
            path: vec![format!("{PREFIX}/bin")],
            labels: job.annotations.clone(),
            annotations: job.annotations.clone(),
            epoch: job.epoch,
        };
        let mut written = Vec::with_capacity(service.destinations.len());
        for destination in &service.destinations {
            let name = destination.to_string();
            let task = workshop.events.start(Activity::Write { destination: name.clone() });
            let (shipment, base, addition) = (&shipment, &base, addition.clone());
            let send =
                |told| async move { shipment.send(base, addition, destination, &told).await };
            written.push(WrittenReport::of(name, &task.run(send).await?));
        }
        images.push(ImageReport {
            project: service.name.clone(),
            packages: assembled.composed.freeze(),
            layers,
            written,
        });
    }
    Ok(ImagesSummary {
        base: base.digest().to_string(),
        images,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Plans a service's environment, and cuts it into layers.
fn assemble(
    composed: Composed,
    base: &Base,
    foundation: &Foundation,
    epoch: u64,
    workshop: &Workshop,
) -> Result<Assembled, PipelineError> {
    let prefix: SafePath = PREFIX[1..].parse().expect("a fixed path");
    let installations = composed.installations()?;
    let planned = PlannedEnvironment::plan(
        PREFIX.as_ref(),
        &foundation.interpreter,
        Visible::System,
        &installations,
    )
    .map_err(PrefixError::from)?;
    warn_of_collisions(&planned.collisions, &workshop.events);
    let depth = base.depth() + foundation.layers.len();
    let layers = assembly::layers(&planned, &prefix, &foundation.there, depth, epoch);
    let layers = layers.into_iter().map(|layer| AddedLayer {
        comment: layer.comment,
        content: AddedContent::Tree(layer.tree),
    });
    let layers = foundation.layers.iter().cloned().chain(layers).collect();
    Ok(Assembled { composed, layers })
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
