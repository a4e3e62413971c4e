//! [`Claims`]: which wheel writes which path of an environment.
//!
//! Wheels do share paths: `xstatic/__init__.py` is in every wheel of that family, and some bring a README to
//! the top of `site-packages`. Claims are made on plans, before anything is written, so that the
//! outcome does not depend on which wheel is written first, and so that what cannot be, a file of one wheel
//! where another has a directory, is refused while nothing is there yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tree::InstallTree;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

/// The paths that wheels have claimed so far.
#[derive(Debug, Default)]
pub struct Claims {
    files: HashMap<SafePath, Claim>,
    /// The directories that these are in, each with who was the first in it.
    directories: HashMap<String, Option<String>>,
}

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

/// A path that cannot be what two wheels want it to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is a file in `{file}` and a directory in `{directory}`")]
pub struct Obstructed {
    /// The path, relative to the prefix.
    pub path: SafePath,
    /// The wheel that has a file there.
    pub file: String,
    /// The wheel that has something below it.
    pub directory: String,
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
        let mut claims = Self::new();
        for (path, content) in files {
            let above = std::iter::successors(path.parent(), SafePath::parent);
            claims.directories.extend(above.map(|above| (above.as_str().to_owned(), None)));
            claims.files.insert(path.clone(), Claim { wheel: None, content });
        }
        claims
    }

    /// Claims the paths of `tree` for `wheel`. What an earlier wheel has claimed is left out of the
    /// tree and returned, sorted by path.
    ///
    /// pip lets the wheel installed last win. Claim in the reverse of its order to get the same.
    ///
    /// # Errors
    /// [`Obstructed`] for the first path where one wheel has a file and the other a directory; these claims
    /// are of no use then.
    pub fn claim(
        &mut self,
        tree: &mut InstallTree,
        wheel: &str,
    ) -> Result<Vec<SharedPath>, Obstructed> {
        for entry in tree.entries() {
            self.enter(&entry.path, wheel)?;
        }
        let mut shared = Vec::new();
        tree.retain(|entry, facts| match self.files.entry(entry.path.clone()) {
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
        Ok(shared)
    }

    /// Claims the directories that the file at `path` is in.
    fn enter(&mut self, path: &SafePath, wheel: &str) -> Result<(), Obstructed> {
        if let Some(theirs) = self.directories.get(path.as_str()) {
            let (file, directory) = (wheel.into(), named(theirs));
            return Err(Obstructed { path: path.clone(), file, directory });
        }
        let mut parent = path.parent();
        // What a known directory is in is known too.
        while let Some(path) = parent.filter(|path| !self.directories.contains_key(path.as_str())) {
            if let Some(theirs) = self.files.get(&path) {
                let (file, directory) = (named(&theirs.wheel), wheel.into());
                return Err(Obstructed { path, file, directory });
            }
            self.directories.insert(path.as_str().into(), Some(wheel.into()));
            parent = path.parent();
        }
        Ok(())
    }
}

/// A wheel, or what was there before any.
fn named(wheel: &Option<String>) -> String {
    wheel.clone().unwrap_or_else(|| "the environment".into())
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
        assert_eq!(claims.claim(&mut one, "one"), Ok(Vec::new()));
        let shared = claims.claim(&mut two, "two").unwrap();
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
        let shared = claims.claim(&mut two, "two").unwrap();
        let told = shared.iter().map(|s| (s.path.file_name(), s.first.is_none(), s.identical));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [("README", true, false), ("__init__.py", true, true)]
        );
    }

    #[test]
    fn a_file_where_another_wheel_has_a_directory_is_refused() {
        #[track_caller]
        fn case(one: &[&str], two: &[&str], said: &str) {
            let wheel = |name: &str, files: &[&str]| {
                let maker = WheelMaker::new(name, "1");
                plan(&files.iter().fold(maker, |maker, file| maker.file(file, ""))).unwrap()
            };
            let mut claims = Claims::new();
            claims.claim(&mut wheel("one", one), "one").unwrap();
            let claimed = claims.claim(&mut wheel("two", two), "two");
            let found = claimed.map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(found.replace("lib/python3.11/site-packages/", ""), said);
        }
        case(&["a"], &["a/b"], "`a` is a file in `one` and a directory in `two`");
        case(&["a/b"], &["a"], "`a` is a file in `two` and a directory in `one`");
        case(&["a/b/c", "z"], &["0", "a/b"], "`a/b` is a file in `two` and a directory in `one`");
        case(&["a/b"], &["a/b/c/d/e"], "`a/b` is a file in `one` and a directory in `two`");
        case(&["a/b", "ab"], &["a/b", "a/bc", "a.b/c"], "");
        case(
            &["one-1.data/data/x"],
            &["two-1.data/data/x/y"],
            "`x` is a file in `one` and a directory in `two`",
        );
    }
}
