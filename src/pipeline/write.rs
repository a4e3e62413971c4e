//! Names a set in the store and writes it to its destinations.

use std::sync::Arc;

use super::blocking;
use super::error::PipelineError;
use super::events::{Activity, Ending, Stage, Task};
use super::workshop::Workshop;
use crate::image::reference::Reference;
use crate::image::{self, Earlier, WriteOptions};
use crate::store::names::Tag;
use crate::store::set::WheelSet;

/// What is written, and whether it is all that was wanted.
pub struct Outcome {
    /// The set.
    pub set: WheelSet,
    /// What becomes of the wheels of an earlier set: a set that lacks what failed removes none.
    pub earlier: Earlier,
}

/// Names the set in the store as `tag` and writes it to each destination, in order; everything
/// written is dated `epoch` seconds after 1970. Returns the destinations as the user wrote them.
///
/// # Errors
/// When the store or a destination cannot be written; the set is named before the first destination.
pub async fn write(
    workshop: &Arc<Workshop>,
    outcome: &Arc<Outcome>,
    tag: &Tag,
    destinations: &[Reference],
    epoch: u64,
) -> Result<Vec<String>, PipelineError> {
    if !destinations.is_empty() {
        workshop.events.stage(Stage::Write, Some(destinations.len()));
    }
    let mut written = Vec::new();
    {
        let (workshop, outcome, tag) = (Arc::clone(workshop), Arc::clone(outcome), tag.clone());
        blocking(move || Ok(workshop.store.save_set(&tag, &outcome.set)?)).await?;
    }
    for destination in destinations {
        let name = destination.to_string();
        let task = Arc::new(workshop.events.start(Activity::Write { destination: name.clone() }));
        let ended = {
            let (workshop, outcome) = (Arc::clone(workshop), Arc::clone(outcome));
            let (destination, task) = (destination.clone(), Arc::clone(&task));
            blocking(move || write_one(&workshop, &outcome, &destination, epoch, &task)).await
        };
        let task = Arc::into_inner(task).expect("the closure that shared it has ended");
        match ended {
            Ok(()) => task.end(Ending::Done),
            Err(error) => {
                task.end(Ending::Failed { cause: error.explain(), log: None });
                return Err(error);
            }
        }
        written.push(name);
    }
    Ok(written)
}

fn write_one(
    workshop: &Workshop,
    outcome: &Outcome,
    destination: &Reference,
    epoch: u64,
    task: &Task,
) -> Result<(), PipelineError> {
    if let Reference::Store { tag } = destination {
        workshop.store.save_set(tag, &outcome.set)?;
        return Ok(());
    }
    let options = WriteOptions {
        epoch,
        earlier: outcome.earlier,
        machine: workshop.target().platform().arch(),
        progress: &|bytes| task.advance(bytes),
    };
    let written = image::write(&outcome.set, &workshop.store, destination, &options)?;
    if !written.strangers.is_empty() {
        workshop.events.warn(format!(
            "`{destination}` also holds wheels of another origin: {}",
            written.strangers.join(", ")
        ));
    }
    Ok(())
}
