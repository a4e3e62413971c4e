//! [`Active`]: the profiles that rules are judged by.

use std::collections::BTreeSet;

use crate::vocab::distro::Distro;

/// What is active when nobody says what is.
const DEFAULT: &str = "default";

/// The profiles that are active: those that were chosen, and those of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    profiles: BTreeSet<String>,
}

impl Active {
    /// Those `chosen`, or `default` when there is none, on a distribution, as `bindep` has it.
    #[must_use]
    pub fn new<S: Into<String>>(chosen: impl IntoIterator<Item = S>, distro: &Distro) -> Self {
        let mut profiles: BTreeSet<_> = chosen.into_iter().map(Into::into).collect();
        if profiles.is_empty() {
            profiles.insert(DEFAULT.to_owned());
        }
        profiles.extend(distro.platform_profiles());
        Self { profiles }
    }

    /// Those of a service's installation as LOCI has it: the project is a profile, and so is the
    /// codename of the distribution, such as `jammy`, which LOCI's own rules ask for.
    #[must_use]
    pub fn of_project<'a>(
        project: &'a str,
        chosen: impl IntoIterator<Item = &'a str>,
        distro: &Distro,
    ) -> Self {
        let mut active = Self::new(chosen.into_iter().chain([project]), distro);
        active.profiles.extend(distro.codename().map(str::to_lowercase));
        // LOCI's word for it, which no rule could have: there is no `_` in the language.
        if active.contains("mod_oauth2") {
            active.profiles.insert("oauth".to_owned());
        }
        active
    }

    /// Whether a profile is active.
    #[must_use]
    pub fn contains(&self, profile: &str) -> bool {
        self.profiles.contains(profile)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(String::as_str)
    }
}
