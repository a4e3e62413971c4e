//! [`Claims`]: which wheel writes which path of an environment.
//!
//! Wheels do share paths: `xstatic/__init__.py` is in every wheel of that family, and some bring a README to
//! the top of `site-packages`. Claims are made on plans, before anything is written, so that the
//! outcome does not depend on which wheel is written first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tree::{Facts, InstallTree};
use crate::vocab::safe_path::SafePath;

/// The paths that wheels have claimed so far.
#[derive(Debug, Default)]
pub struct Claims(HashMap<SafePath, (String, Facts)>);

/// A path that two wheels write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPath {
    /// The path, relative to the prefix.
    pub path: SafePath,
    /// The wheel whose file stays.
    pub first: String,
    /// The wheel whose file is left out.
    pub second: String,
    /// Whether both have the same bytes, so that nothing is lost.
    pub identical: bool,
}

impl Claims {
    /// No claims.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Claims the paths of `tree` for `wheel`. What an earlier wheel has claimed is left out of the
    /// tree and returned, sorted by path.
    ///
    /// pip lets the wheel installed last win. Claim in the reverse of its order to get the same.
    pub fn claim(&mut self, tree: &mut InstallTree, wheel: &str) -> Vec<SharedPath> {
        let mut shared = Vec::new();
        tree.retain(|entry, facts| match self.0.entry(entry.path.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert((wheel.into(), facts));
                true
            }
            Entry::Occupied(occupied) => {
                let (first, theirs) = occupied.get();
                shared.push(SharedPath {
                    path: entry.path.clone(),
                    first: first.clone(),
                    second: wheel.into(),
                    identical: *theirs == facts,
                });
                false
            }
        });
        shared.sort_by(|a, b| a.path.cmp(&b.path));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::wheel::WheelMaker;
    use crate::wheel::fixture::plan;

    #[test]
    fn the_first_claim_stays_and_both_are_named() {
        let wheel = |name: &str, readme: &str| {
            WheelMaker::new(name, "1").file("shared/__init__.py", "").file("README", readme)
        };
        let mut claims = Claims::new();
        let mut one = plan(&wheel("one", "1")).unwrap();
        let mut two = plan(&wheel("two", "2")).unwrap();
        let before = two.entries().len();
        assert_eq!(claims.claim(&mut one, "one"), []);
        let shared = claims.claim(&mut two, "two");
        let told: Vec<String> = shared
            .iter()
            .map(|s| format!("{} {} {} {}", s.path.file_name(), s.first, s.second, s.identical))
            .collect();
        assert_eq!(told, ["README one two false", "__init__.py one two true"]);
        assert_eq!(two.entries().len(), before - 2);
        assert!(two.entries().iter().all(|entry| entry.path.file_name() != "README"));
    }
}
