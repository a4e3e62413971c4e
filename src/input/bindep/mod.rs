//! [`BindepFile`]: which packages which profiles want, in the language of PyPI's `bindep` 2.14.
//!
//! The names may be those of a distribution's packages or, as in LOCI's `pydep.txt`, those of Python
//! packages: the language is the same. Nothing here knows what is installed.

pub mod rule;
pub mod condition;
pub mod active;

use std::collections::BTreeSet;

use super::document::{Document, Fault, Place};
use super::error::InputError;
use crate::vocab::requirement::{Requirement, parse_strict};

use active::Active;
use condition::Condition;
use rule::Rule;

/// Where a profile's name begins that stands for the platform.
const PLATFORM: &str = "platform:";

/// The rules of one file, or of several one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindepFile {
    rules: Vec<(Rule, Place)>,
}

/// A package that is wanted. Several rules that want the same package make one request of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    /// Its name.
    pub name: String,
    /// What its version must satisfy, all of it.
    pub conditions: Vec<Condition>,
    /// The line that wants it; the first one.
    pub place: Place,
}

/// The profiles that rules ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    /// Those that somebody chooses.
    pub user: BTreeSet<String>,
    /// Those that the platform decides, with their `platform:`.
    pub platform: BTreeSet<String>,
}

impl BindepFile {
    /// Reads the rules of `document`. The text is read as strictly as `bindep` does, so that a file
    /// that is good here is good there.
    ///
    /// # Errors
    /// [`InputError::Faults`] with every line that is neither a rule, nor a comment, nor blank.
    pub fn parse(document: &Document) -> Result<Self, InputError> {
        let mut rules = Vec::new();
        let mut faults = Vec::new();
        for (index, line) in document.text().lines().enumerate() {
            let place = || document.place(index + 1, line.trim_end());
            match Rule::read(line) {
                Ok(Some(rule)) => rules.push((rule, place())),
                Ok(None) => {}
                Err(reason) => faults.push(Fault { place: place(), reason }),
            }
        }
        if faults.is_empty() { Ok(Self { rules }) } else { Err(InputError::Faults { faults }) }
    }

    /// Adds the rules of another file behind those of this one.
    pub fn join(&mut self, other: Self) {
        self.rules.extend(other.rules);
    }

    /// The rules, in the order of the text.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// All profiles that a rule asks for, negated ones too.
    #[must_use]
    pub fn profiles(&self) -> Profiles {
        let mut profiles = Profiles::default();
        for profile in self.rules().flat_map(Rule::profiles) {
            let name = profile.name().to_owned();
            if name.starts_with(PLATFORM) {
                profiles.platform.insert(name);
            } else {
                profiles.user.insert(name);
            }
        }
        profiles
    }

    /// What the active profiles want, in the order of the rules.
    #[must_use]
    pub fn packages(&self, active: &Active) -> Vec<PackageRequest> {
        let mut requests: Vec<PackageRequest> = Vec::new();
        for (rule, place) in self.rules.iter().filter(|(rule, _)| rule.applies(active)) {
            let conditions = rule.conditions();
            match requests.iter_mut().find(|request| request.name == rule.name()) {
                Some(request) => request.conditions.extend_from_slice(conditions),
                None => requests.push(PackageRequest {
                    name: rule.name().to_owned(),
                    conditions: conditions.to_vec(),
                    place: place.clone(),
                }),
            }
        }
        requests
    }

    /// The same as requirements on Python packages.
    ///
    /// # Errors
    /// [`InputError::Faults`] with every rule whose name or conditions are none of a Python package.
    pub fn requirements(&self, active: &Active) -> Result<Vec<Requirement>, InputError> {
        let mut requirements = Vec::new();
        let mut faults = Vec::new();
        for PackageRequest { name, conditions, place } in self.packages(active) {
            let conditions: Vec<_> = conditions.iter().map(ToString::to_string).collect();
            match parse_strict(&format!("{name}{}", conditions.join(","))) {
                Ok(requirement) => requirements.push(requirement),
                Err(error) => faults.push(Fault { place, reason: error.to_string() }),
            }
        }
        if faults.is_empty() { Ok(requirements) } else { Err(InputError::Faults { faults }) }
    }
}

#[cfg(test)]
mod tests;
