//! Names a set in the store and writes it to its destinations.

use std::sync::Arc;

use futures::future::join_all;

use super::blocking;
use super::error::PipelineError;
use super::events::{Activity, Stage};
use super::summary::WrittenReport;
use super::workshop::Workshop;
use crate::image::reference::Reference;
use crate::image::{self, Packing, WriteOptions};
use crate::store::names::Tag;
use crate::store::set::WheelSet;

/// Names `set` in the store as `tag` and writes it to each destination, all of them side by side.
/// Reports are in the order of the destinations.
///
/// # Errors
/// When the store or a destination cannot be written; the set is named before the first destination, and
/// one that fails stops no other.
pub async fn write(
    workshop: &Arc<Workshop>,
    set: &Arc<WheelSet>,
    tag: &Tag,
    destinations: &[Reference],
    options: &Arc<WriteOptions>,
) -> Result<Vec<WrittenReport>, PipelineError> {
    if !destinations.is_empty() {
        workshop.events.stage(Stage::Write, Some(destinations.len()));
    }
    {
        let (workshop, set, tag) = (Arc::clone(workshop), Arc::clone(set), tag.clone());
        blocking(move || Ok(workshop.store.save_set(&tag, &set)?)).await?;
    }
    let packing = Packing::default();
    let written = destinations.iter().map(|to| write_one(workshop, set, to, options, &packing));
    join_all(written).await.into_iter().collect()
}

async fn write_one(
    workshop: &Workshop,
    set: &Arc<WheelSet>,
    destination: &Reference,
    options: &Arc<WriteOptions>,
    packing: &Packing,
) -> Result<WrittenReport, PipelineError> {
    let name = destination.to_string();
    let task = workshop.events.start(Activity::Write { destination: name.clone() });
    let access = workshop.access();
    let write = |told| async move {
        image::write(set, destination, options, packing, &access, &told).await
    };
    let written = task.run(write).await?;
    if !written.strangers.is_empty() {
        workshop.events.warn(format!(
            "`{name}` also holds wheels of another origin: {}",
            written.strangers.join(", ")
        ));
    }
    Ok(WrittenReport::of(name, &written))
}
