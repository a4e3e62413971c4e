//! [`ServiceSpec`]: a service as it is asked for, in whichever way it is made; [`Site`]: what that comes to
//! on a distribution.

use std::collections::BTreeSet;

use super::compose::Wants;
use super::error::PipelineError;
use super::events::Events;
use crate::input::bindep::BindepFile;
use crate::input::bindep::active::Active;
use crate::input::lists;
use crate::service::project_account::ProjectAccount;
use crate::vocab::account::AccountName;
use crate::vocab::distro::Distro;

/// A service as it is asked for.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Its name, as LOCI calls it: that of its user and its directories, too.
    pub name: AccountName,
    /// What its environment is to consist of, but for what its list of Python packages asks for.
    pub wants: Wants,
    /// What is chosen of what its lists offer.
    pub profiles: Vec<String>,
    /// Which packages of the distribution it needs, by profile.
    pub bindep: BindepFile,
    /// Which Python packages it needs beside what its own metadata says, by profile.
    pub pydep: BindepFile,
    /// Further packages of the distribution.
    pub dist_packages: Vec<String>,
    /// Its user and group; none for a plugin, which goes into the image of a service that has them.
    pub account: Option<ProjectAccount>,
    /// The distribution, where that is not to be found out.
    pub distro: Option<Distro>,
}

/// What a service comes to on a distribution.
#[derive(Debug, Clone)]
pub struct Site {
    /// The distribution.
    pub distro: Distro,
    /// Its packages that are needed, sorted.
    pub packages: Vec<String>,
    /// What the environment consists of.
    pub wants: Wants,
    /// What rules are judged by.
    pub active: Active,
}

impl ServiceSpec {
    /// What this is on `found`, or on the distribution that it names itself. Profiles that nobody knows are
    /// warned of.
    ///
    /// # Errors
    /// When a list of Python packages names what can be none.
    pub fn on(&self, found: &Distro, events: &Events) -> Result<Site, PipelineError> {
        let distro = self.distro.as_ref().map_or_else(|| found.clone(), |d| d.clone().on(found));
        self.warn_of_profiles(events);
        let profiles = self.profiles.iter().map(String::as_str);
        let active = Active::of_project(self.name.as_str(), profiles, &distro);
        let packages: BTreeSet<String> = self
            .bindep
            .packages(&active)
            .into_iter()
            .map(|request| request.name)
            .chain(self.dist_packages.iter().cloned())
            .collect();
        let mut wants = self.wants.clone();
        wants.packages.extend(self.pydep.requirements(&active)?);
        Ok(Site { distro, packages: packages.into_iter().collect(), wants, active })
    }

    fn warn_of_profiles(&self, events: &Events) {
        let own = self.bindep.profiles().user.into_iter().chain(self.pydep.profiles().user);
        let mut known: BTreeSet<String> = own.collect();
        let anybodys = lists::profiles();
        let unknown = self.profiles.iter().filter(|profile| !known.contains(*profile));
        let unknown: Vec<_> = unknown.filter(|profile| !anybodys.contains(*profile)).collect();
        let projects: Vec<&str> = lists::projects().collect();
        known.retain(|profile| !projects.contains(&profile.as_str()));
        for profile in unknown {
            let there = match known.is_empty() {
                true => format!("`{}` has none", self.name),
                false => {
                    let names: Vec<_> = known.iter().map(String::as_str).collect();
                    format!("those of `{}` are {}", self.name, names.join(", "))
                }
            };
            events.warn(format!("nothing asks for the profile `{profile}`; {there}"));
        }
    }
}
