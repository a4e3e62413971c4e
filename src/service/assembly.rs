//! [`layers`]: an environment as layers of an image, written directly: nothing is installed anywhere.
//!
//! Registries and engines keep equal layers once. So the environment's own files are a layer, which is
//! the same for every service with this Python; the larger wheels are a layer each, the same bytes in
//! every service and release that has them at this path; the small ones share layers by the hash of their
//! names, so that one which changes takes few along; and what was asked for by name, the service itself, comes
//! last.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::image::tree_layer::TreeLayer;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;
use crate::wheel::tree::InstallTree;

use super::environment::{PlannedEnvironment, PlannedWheel};
use super::facts::RootFacts;

/// A wheel of so many bytes, installed, and more has a layer of its own, if it is among the largest.
const LARGE: u64 = 256 << 10;
/// How many layers small wheels share.
const SHARED: usize = 6;
/// How many layers there may be beside those of large wheels: the environment's own, the shared ones, and
/// what stands above and below the environment.
const OTHERS: usize = SHARED + 8;
/// No image may have more layers: engines stop at 125 and 127.
const MOST: usize = 120;
/// So many large wheels at most have a layer each, whatever the base has.
const MOST_ALONE: usize = 56;

/// A layer of an environment.
#[derive(Debug, Clone)]
pub struct EnvironmentLayer {
    /// What history says of it.
    pub comment: String,
    /// What is in it.
    pub tree: Arc<TreeLayer>,
}

/// The layers of `environment` at `prefix` in the image's root, upon an image of `depth` layers of which `facts` are
/// known, with the directories `there`, all of the time `epoch` in seconds since 1970. The lowest comes first.
#[must_use]
pub fn layers(
    environment: &PlannedEnvironment,
    prefix: &SafePath,
    facts: &RootFacts,
    there: &BTreeSet<SafePath>,
    depth: usize,
    epoch: u64,
) -> Vec<EnvironmentLayer> {
    let mut layers = Vec::new();
    if let Some(environment) = &environment.own {
        let mut own = TreeLayer::new(epoch);
        own.extend(prefix, environment.entries());
        layers.push(("a Python environment".to_owned(), own));
    }
    let alone = MOST.saturating_sub(depth + OTHERS).min(MOST_ALONE);
    let mut large: Vec<&PlannedWheel> = environment.wheels.iter().collect();
    large.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.file.cmp(&b.file)));
    let count = large.iter().take(alone).take_while(|wheel| size(wheel) >= LARGE).count();
    let small = large.split_off(count);
    large.sort_by(|a, b| a.file.cmp(&b.file));
    let (services, large): (Vec<_>, Vec<_>) = large.into_iter().partition(|wheel| wheel.requested);
    // Alone a wheel is what it would be in any other company.
    let by_itself = |wheel: &PlannedWheel| {
        let tree = wheel.whole.as_ref().unwrap_or(&wheel.tree);
        (wheel.file.clone(), layer(&[tree], prefix, epoch))
    };
    layers.extend(large.into_iter().map(by_itself));
    let mut shared = vec![Vec::new(); SHARED];
    for wheel in small {
        shared[bucket(&wheel.file)].push(&wheel.tree);
    }
    for trees in shared.into_iter().filter(|trees| !trees.is_empty()) {
        let comment = match trees.len() {
            1 => "1 small wheel".to_owned(),
            count => format!("{count} small wheels"),
        };
        layers.push((comment, layer(&trees, prefix, epoch)));
    }
    layers.extend(services.into_iter().map(by_itself));
    layers
        .into_iter()
        .map(|(comment, mut tree)| {
            facts.keep_directories(&mut tree);
            tree.complete(there);
            EnvironmentLayer { comment, tree: Arc::new(tree) }
        })
        .collect()
}

fn layer(trees: &[&InstallTree], prefix: &SafePath, epoch: u64) -> TreeLayer {
    let mut layer = TreeLayer::new(epoch);
    for tree in trees {
        layer.install(prefix, &Arc::new((*tree).clone()));
    }
    layer
}

/// The bytes of a wheel, installed.
fn size(wheel: &PlannedWheel) -> u64 {
    let tree = wheel.whole.as_ref().unwrap_or(&wheel.tree);
    tree.contents().map(|(_, facts)| facts.size).sum()
}

/// Which of the shared layers a wheel is in: by its name, over all versions.
fn bucket(file: &str) -> usize {
    let name = file.split('-').next().unwrap_or(file);
    usize::from(Digest::of(name.as_bytes()).as_bytes()[0]) % SHARED
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
