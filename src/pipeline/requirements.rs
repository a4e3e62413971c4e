//! The main job: constraints in, every wheel obtained, the set named in the store and written out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::complete;
use super::error::PipelineError;
use super::events::Stage;
use super::obtain::{Obtained, Obtainer};
use super::services::{Service, ServiceName, services, subsets};
use super::summary::{FailureReport, OmissionReport, Summary, WheelReport};
use super::want::Want;
use super::workshop::Workshop;
use super::write;
use crate::image::reference::Reference;
use crate::image::{Earlier, WriteOptions};
use crate::input::constraints::Constraints;
use crate::input::document::Document;
use crate::input::lint;
use crate::input::pins::Pins;
use crate::input::requirements::Requirements;
use crate::store::names::Tag;
use crate::store::set::{SetWheel, WheelSet};
use crate::vocab::requirement::{PackageName, Requirement, allows, specifiers};

/// What the main job is to do.
pub struct RequirementsJob {
    /// The pins.
    pub constraints: Vec<Document>,
    /// Ranges that the pins should keep to.
    pub global_requirements: Option<Document>,
    /// More projects whose wheels are wanted.
    pub packages: Vec<Requirement>,
    /// Services whose parts of the set have images of their own.
    pub services: Vec<ServiceName>,
    /// What build requirements must keep to.
    pub build_constraints: Vec<Requirement>,
    /// Whether what the wheels need beyond the pins is obtained too.
    pub scope: Scope,
    /// Where the set is written.
    pub destinations: Vec<Reference>,
    /// How it is written.
    pub options: WriteOptions,
    /// The name of the set in the store.
    pub tag: Tag,
}

/// Which projects the set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The pins, the extra wheels, and what these need although nothing pins it.
    Complete,
    /// The pins and the extra wheels.
    Pinned,
}

/// Does the main job.
///
/// Single wheels may fail: the summary lists them, and all the others are kept.
///
/// # Errors
/// When the input makes no sense, or the store or a destination cannot be written.
pub async fn requirements(
    workshop: Arc<Workshop>,
    job: &RequirementsJob,
) -> Result<Summary, PipelineError> {
    let begun = Instant::now();
    let target = workshop.target().clone();
    let constraints =
        job.constraints.iter().map(Constraints::parse).collect::<Result<Constraints, _>>()?;
    let (pins, omitted) = leave_out(&workshop, constraints.pins(&target)?);
    let mut warnings = warnings_of(&pins, job, &workshop)?;
    for warning in &warnings {
        workshop.events.warn(warning.clone());
    }
    let pins = Arc::new(pins);
    let obtainer =
        Obtainer::new(Arc::clone(&workshop), Arc::clone(&pins), job.build_constraints.clone());

    let services = services(&obtainer, &job.services).await?;
    let mut packages = job.packages.clone();
    let asked = services.iter().flat_map(Service::requirements);
    // What a pin decides needs no wish.
    packages.extend(asked.filter(|asked| pins.get(&asked.name).is_none()).cloned());
    let mut wanted: Vec<Want> =
        pins.urls().iter().map(Want::Url).chain(pins.iter().map(Want::Pin)).collect();
    wanted.extend(unpinned(&workshop, &packages, &pins)?);
    workshop.events.stage(Stage::Obtain, Some(wanted.len()));
    let mut harvest = Harvest::default();
    obtain_all(&obtainer, &wanted, &mut harvest).await;
    if job.scope == Scope::Complete {
        let more = complete::missing(&obtainer, &harvest.wheels, &packages).await;
        warnings.extend(more.warnings.iter().cloned());
        for warning in more.warnings {
            workshop.events.warn(warning);
        }
        let wanted: Vec<Want> = more.releases.iter().map(Want::Release).collect();
        obtain_all(&obtainer, &wanted, &mut harvest).await;
    }

    let set = WheelSet {
        wheels: harvest.wheels.values().map(|obtained| set_wheel(obtained)).collect(),
        constraints: constraints_text(&pins, &harvest),
        global_requirements: job
            .global_requirements
            .as_ref()
            .map_or_else(String::new, |document| document.text().to_owned()),
    };
    let written = if set.wheels.is_empty() && !harvest.failures.is_empty() {
        let warning = "nothing was obtained: what was written before is left as it is";
        workshop.events.warn(warning.to_owned());
        warnings.push(warning.to_owned());
        Vec::new()
    } else {
        let (tag, earlier) = if harvest.failures.is_empty() {
            (job.tag.clone(), Earlier::Remove)
        } else {
            (tag_of_part(&workshop, &job.tag, &mut warnings)?, Earlier::Keep)
        };
        let subsets = match subsets(&obtainer, services, &set).await {
            Ok(subsets) => subsets,
            // What failed is what they lack, and is told as such.
            Err(error) if earlier == Earlier::Keep => {
                let warning = format!("no service has an image of its own: {}", error.explain());
                workshop.events.warn(warning.clone());
                warnings.push(warning);
                Vec::new()
            }
            Err(error) => {
                // The wheels are kept all the same, and the next run has them.
                workshop.store.save_set(&tag, &set)?;
                return Err(error);
            }
        };
        let options = Arc::new(WriteOptions { earlier, subsets, ..job.options.clone() });
        let destinations = match earlier {
            Earlier::Remove => job.destinations.clone(),
            Earlier::Keep => of_part(&workshop, &job.destinations, &mut warnings),
        };
        write::write(&workshop, &Arc::new(set), &tag, &destinations, &options).await?
    };
    let mut failures = harvest.failures;
    failures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Summary {
        target: target.to_string(),
        wheels: harvest.wheels.values().map(|obtained| wheel_report(obtained)).collect(),
        failures,
        omitted,
        warnings,
        written,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What a set that lacks something is called: a whole one keeps its name, so that what only it holds
/// is not collected.
fn tag_of_part(
    workshop: &Workshop,
    tag: &Tag,
    warnings: &mut Vec<String>,
) -> Result<Tag, PipelineError> {
    let taken =
        workshop.store.tags()?.iter().any(|named| named.tag.as_deref() == Some(tag.as_str()));
    let part = format!("{tag}-partial");
    match part.parse::<Tag>() {
        Ok(part) if taken => {
            let warning = format!(
                "in the store the set is called `{part}`, for something failed; `{tag}` stays as it was"
            );
            workshop.events.warn(warning.clone());
            warnings.push(warning);
            Ok(part)
        }
        // Nothing is lost, or the name is too long to be made longer.
        _ => Ok(tag.clone()),
    }
}

/// Where a set goes that lacks something: what a registry calls so is used by others, who are not to
/// get less than they had.
fn of_part(
    workshop: &Workshop,
    destinations: &[Reference],
    warnings: &mut Vec<String>,
) -> Vec<Reference> {
    let of_one = |destination: &Reference| {
        let Reference::Registry(name) = destination else { return destination.clone() };
        let tag = name.tag().map_or_else(|| "latest".to_owned(), ToString::to_string);
        let Ok(part) = format!("{tag}-partial").parse() else { return destination.clone() };
        let part = Reference::Registry(name.with_tag(part));
        let warning = format!(
            "the image is called `{part}`, for something failed; `{destination}` stays as it was"
        );
        workshop.events.warn(warning.clone());
        warnings.push(warning);
        part
    };
    destinations.iter().map(of_one).collect()
}

/// What was obtained so far.
#[derive(Default)]
struct Harvest {
    wheels: BTreeMap<PackageName, Arc<Obtained>>,
    failures: Vec<FailureReport>,
}

/// Obtains everything wanted side by side; what fails is noted and stops nothing else.
async fn obtain_all(obtainer: &Arc<Obtainer>, wanted: &[Want<'_>], harvest: &mut Harvest) {
    let mut running: FuturesUnordered<_> = wanted
        .iter()
        .enumerate()
        .map(|(at, want)| async move { (at, want.obtain(obtainer).await) })
        .collect();
    while let Some((at, outcome)) = running.next().await {
        let want = &wanted[at];
        match outcome {
            Ok(obtained) => {
                harvest.wheels.insert(want.name().clone(), obtained);
            }
            Err(error) => harvest.failures.push(want.failure(&error)),
        }
    }
}

/// The projects that are wanted although nothing pins them, each with all that is asked of it.
fn unpinned<'a>(
    workshop: &'a Workshop,
    packages: &'a [Requirement],
    pins: &Pins,
) -> Result<Vec<Want<'a>>, PipelineError> {
    let markers = workshop.target().markers();
    let mut asked: BTreeMap<&PackageName, Vec<&Requirement>> = BTreeMap::new();
    let extra = workshop.rules.extra().iter().map(|extra| &extra.requirement);
    for requirement in packages.iter().chain(extra) {
        if !requirement.evaluate_markers(markers, &[])
            || pins.urls().iter().any(|pin| pin.name == requirement.name)
        {
            continue;
        }
        match pins.get(&requirement.name) {
            None => asked.entry(&requirement.name).or_default().push(requirement),
            Some(pin) if allows(&specifiers(requirement), &pin.version) => {}
            // The release has decided on what is only an extra of ours.
            Some(_) if !packages.contains(requirement) => {}
            Some(pin) => {
                return Err(PipelineError::AgainstPin {
                    requirement: Box::new(requirement.clone()),
                    pin: Box::new(pin.place.clone()),
                });
            }
        }
    }
    Ok(asked.into_iter().map(|(name, requirements)| Want::Extra(name, requirements)).collect())
}

/// Leaves out the pins that the package rules drop, and says why.
fn leave_out(workshop: &Workshop, mut pins: Pins) -> (Pins, Vec<OmissionReport>) {
    let mut omitted = Vec::new();
    for pin in pins.clone().iter() {
        if let Some(reason) = workshop.omission(&pin.name) {
            omitted.push(OmissionReport { name: pin.display_name.clone(), reason });
            pins = pins.without(&pin.name);
        }
    }
    (pins, omitted)
}

fn warnings_of(
    pins: &Pins,
    job: &RequirementsJob,
    workshop: &Workshop,
) -> Result<Vec<String>, PipelineError> {
    let mut warnings = Vec::new();
    if !pins.holes().is_empty() {
        let names: Vec<String> = pins.holes().iter().map(|hole| hole.name.to_string()).collect();
        warnings.push(format!("no line holds for {} for: {}", workshop.target(), names.join(", ")));
    }
    if let Some(document) = &job.global_requirements {
        let requirements = Requirements::parse(document)?;
        for contradiction in lint::contradictions(pins, &requirements, workshop.target()) {
            warnings.push(contradiction.to_string());
        }
    }
    Ok(warnings)
}

/// The constraints that the set stands for: every pin, and the versions of what was added.
fn constraints_text(pins: &Pins, harvest: &Harvest) -> String {
    let mut lines: BTreeMap<&PackageName, String> = pins
        .iter()
        .map(|pin| (&pin.name, format!("{}==={}\n", pin.display_name, pin.written)))
        .collect();
    for (name, obtained) in &harvest.wheels {
        lines.entry(name).or_insert_with(|| format!("{name}==={}\n", obtained.filename.version()));
    }
    lines.into_values().collect()
}

fn set_wheel(obtained: &Obtained) -> SetWheel {
    SetWheel {
        filename: obtained.filename.clone(),
        digest: obtained.digest,
        size: obtained.size,
        origin: obtained.origin.clone(),
    }
}

fn wheel_report(obtained: &Obtained) -> WheelReport {
    WheelReport {
        name: obtained.filename.name().to_string(),
        version: obtained.filename.version().to_string(),
        file: obtained.filename.to_string(),
        digest: obtained.digest,
        size: obtained.size,
        how: obtained.how,
        seconds: obtained.seconds,
    }
}
