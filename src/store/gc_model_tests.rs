//! A store and its collections against a model: any steps of a few commands, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use super::{gc, names, put_wheel, set, tag};

/// One step of a command, in a store of few blobs and few names. Commands are told by a number.
#[derive(Debug, Clone)]
enum Step {
    Put(usize, u8),
    Look(usize, u8),
    Save(usize, u8, Vec<u8>),
    Load(usize, u8),
    Untag(u8),
    End(usize),
    Gc(Option<usize>, BTreeSet<u8>),
}

const COMMANDS: usize = 3;
const BLOBS: u8 = 6;
const NAMES: u8 = 3;

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::btree_set(0..BLOBS, 0..3);
    prop_oneof![
        (0..COMMANDS, 0..BLOBS).prop_map(|(command, blob)| Step::Put(command, blob)),
        (0..COMMANDS, 0..BLOBS).prop_map(|(command, blob)| Step::Look(command, blob)),
        (0..COMMANDS, 0..NAMES, some()).prop_map(|(command, name, blobs)| Step::Save(
            command,
            name,
            blobs.into_iter().collect()
        )),
        (0..COMMANDS, 0..NAMES).prop_map(|(command, name)| Step::Load(command, name)),
        (0..NAMES).prop_map(Step::Untag),
        (0..COMMANDS).prop_map(Step::End),
        (prop::option::of(0..4_usize), some()).prop_map(|(keep, locked)| Step::Gc(keep, locked)),
    ]
}

/// What a store must hold, found out slowly. Manifests are told by the wheels that they name.
#[derive(Default)]
struct Model {
    blobs: BTreeSet<u8>,
    manifests: BTreeSet<Vec<u8>>,
    /// The newest name last.
    names: Vec<(u8, Vec<u8>)>,
    held: [(BTreeSet<u8>, BTreeSet<Vec<u8>>); COMMANDS],
}

impl Model {
    fn gc(&mut self, keep_last: Option<usize>, locked: &BTreeSet<u8>) {
        let gone = keep_last.map_or(0, |keep| self.names.len().saturating_sub(keep));
        self.names.drain(..gone);
        let (names, held) = (&self.names, &self.held);
        self.blobs.retain(|blob| {
            locked.contains(blob)
                || names.iter().any(|(_, blobs)| blobs.contains(blob))
                || held.iter().any(|(blobs, _)| blobs.contains(blob))
        });
        self.manifests.retain(|manifest| {
            names.iter().any(|(_, blobs)| blobs == manifest)
                || held.iter().any(|(_, manifests)| manifests.contains(manifest))
        });
    }
}

/// One of the model's blobs as bytes.
fn bytes(blob: u8) -> String {
    format!("blob{blob}")
}

fn run_steps(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path()).unwrap();
    let mut stores = [(); COMMANDS].map(|()| open());
    let mut model = Model::default();
    let mut manifests: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Put(command, blob) => {
                stores[command].put(bytes(blob).as_bytes()).unwrap();
                model.blobs.insert(blob);
                model.held[command].0.insert(blob);
            }
            Step::Look(command, blob) => {
                let digest = Digest::of(bytes(blob).as_bytes());
                assert_eq!(stores[command].contains(&digest), model.blobs.contains(&blob));
                model.held[command].0.insert(blob);
            }
            Step::Save(command, name, blobs) => {
                let wheels = blobs.iter().map(|&blob| put_wheel(&stores[command], &bytes(blob)));
                let named = tag(&format!("t{name}"));
                let manifest = stores[command].save_set(&named, &set(wheels)).unwrap();
                manifests.insert(manifest, blobs.clone());
                model.blobs.extend(&blobs);
                model.held[command].0.extend(&blobs);
                model.held[command].1.insert(blobs.clone());
                model.manifests.insert(blobs.clone());
                model.names.retain(|(other, _)| *other != name);
                model.names.push((name, blobs));
            }
            Step::Load(command, name) => {
                let found = stores[command].load_set(&tag(&format!("t{name}")));
                match model.names.iter().find(|(other, _)| *other == name) {
                    None => assert!(matches!(found, Err(StoreError::NoSuchTag { .. }))),
                    Some((_, blobs)) => {
                        assert_eq!(found.unwrap().wheels.len(), blobs.len());
                        model.held[command].0.extend(blobs);
                        model.held[command].1.insert(blobs.clone());
                    }
                }
            }
            Step::Untag(name) => {
                let known = model.names.iter().any(|(other, _)| *other == name);
                assert_eq!(open().untag(&[format!("t{name}")]).is_ok(), known);
                model.names.retain(|(other, _)| *other != name);
            }
            Step::End(command) => {
                stores[command] = open();
                model.held[command] = Default::default();
            }
            Step::Gc(keep_last, locked) => {
                let digests = locked.iter().map(|&blob| Digest::of(bytes(blob).as_bytes()));
                let locked_digests = digests.collect();
                let rules = GcRules { keep_last, locked: locked_digests, ..GcRules::default() };
                gc(dir.path(), &rules);
                model.gc(keep_last, &locked);
            }
        }
        let there: BTreeSet<Digest> =
            open().blobs().unwrap().into_iter().map(|(digest, _)| digest).collect();
        for blob in 0..BLOBS {
            let digest = Digest::of(bytes(blob).as_bytes());
            assert_eq!(there.contains(&digest), model.blobs.contains(&blob), "blob {blob}");
        }
        for (digest, blobs) in &manifests {
            assert_eq!(there.contains(digest), model.manifests.contains(blobs), "{blobs:?}");
        }
        let mut known: Vec<_> = model.names.iter().map(|(name, _)| format!("t{name}")).collect();
        known.sort();
        assert_eq!(names(&open()), known);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_holds_what_the_model_says(steps in prop::collection::vec(step(), 1..24)) {
        run_steps(steps);
    }
}
