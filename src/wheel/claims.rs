//! [`Claims`]: which wheel writes which path of an environment.
//!
//! Wheels do share paths: `xstatic/__init__.py` is in every wheel of that family, and some bring a README to
//! the top of `site-packages`. Claims are made on plans, before anything is written, so that the
//! outcome does not depend on which wheel is written first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tree::InstallTree;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

/// The paths that wheels have claimed so far.
#[derive(Debug, Default)]
pub struct Claims(HashMap<SafePath, Claim>);

/// Who has a path: a wheel, or nobody but who made the environment; and the content it has, if that is known.
#[derive(Debug)]
struct Claim {
    wheel: Option<String>,
    content: Option<Digest>,
}

/// A path that two wheels write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPath {
    /// The path, relative to the prefix.
    pub path: SafePath,
    /// The wheel whose file stays; none when it was there before any.
    pub first: Option<String>,
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

    /// Those of an environment that is there already: its files, and the content that is known of them.
    #[must_use]
    pub fn of_environment<'a>(
        files: impl IntoIterator<Item = (&'a SafePath, Option<Digest>)>,
    ) -> Self {
        let files = files.into_iter();
        Self(files.map(|(path, content)| (path.clone(), Claim { wheel: None, content })).collect())
    }

    /// Claims the paths of `tree` for `wheel`. What an earlier wheel has claimed is left out of the
    /// tree and returned, sorted by path.
    ///
    /// pip lets the wheel installed last win. Claim in the reverse of its order to get the same.
    pub fn claim(&mut self, tree: &mut InstallTree, wheel: &str) -> Vec<SharedPath> {
        let mut shared = Vec::new();
        tree.retain(|entry, facts| match self.0.entry(entry.path.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Claim { wheel: Some(wheel.into()), content: Some(facts.digest) });
                true
            }
            Entry::Occupied(occupied) => {
                let first = occupied.get();
                shared.push(SharedPath {
                    path: entry.path.clone(),
                    first: first.wheel.clone(),
                    second: wheel.into(),
                    identical: first.content == Some(facts.digest),
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
            .map(|s| {
                let first = s.first.as_deref().unwrap_or("nobody");
                format!("{} {first} {} {}", s.path.file_name(), s.second, s.identical)
            })
            .collect();
        assert_eq!(told, ["README one two false", "__init__.py one two true"]);
        assert_eq!(two.entries().len(), before - 2);
        assert!(two.entries().iter().all(|entry| entry.path.file_name() != "README"));

        // What was there before is nobody's, and stays as well.
        let path = |name: &str| {
            one.entries().iter().map(|entry| entry.path.clone()).find(|p| p.file_name() == name)
        };
        let (readme, init) = (path("README").unwrap(), path("__init__.py").unwrap());
        let mut claims = Claims::of_environment([(&readme, None), (&init, Some(Digest::of(b"")))]);
        let mut two = plan(&wheel("two", "2")).unwrap();
        let shared = claims.claim(&mut two, "two");
        let told = shared.iter().map(|s| (s.path.file_name(), s.first.is_none(), s.identical));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [("README", true, false), ("__init__.py", true, true)]
        );
    }
}
