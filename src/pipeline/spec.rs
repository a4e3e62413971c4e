//! [`ServiceSpec`]: a service as it is asked for, in whichever way it is made; [`Site`]: what that comes to
//! on a distribution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::compose::Wants;
use super::error::PipelineError;
use super::events::Events;
use crate::input::bindep::BindepFile;
use crate::input::bindep::active::Active;
use crate::input::lists;
use crate::input::steps::ProjectSteps;
use crate::service::account::Ids;
use crate::service::project_account::{ENVIRONMENT, ProjectAccount};
use crate::service::steps::{Circumstances, StepPlan};
use crate::vocab::account::AccountName;
use crate::vocab::distro::Distro;
use crate::wheel::scheme::Scheme;

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
    /// The release that the wheels are of.
    pub release: Option<String>,
    /// What its image needs beside packages, a user and directories.
    pub steps: Option<ProjectSteps>,
    /// The values of variables that steps may use.
    pub variables: BTreeMap<String, String>,
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

/// Where the parts of a service's environment are, for Python 3.`minor`.
#[must_use]
pub fn scheme(minor: u8) -> Scheme {
    Scheme::for_python(minor, &Path::new("/").join(ENVIRONMENT))
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
        let mut site = Site {
            distro,
            packages: packages.into_iter().collect(),
            wants: self.wants.clone(),
            active,
        };
        // Which packages of Python there are depends on the release as well.
        let profiles = self.profiles.iter().chain(&self.release).map(String::as_str);
        let active = Active::of_project(self.name.as_str(), profiles, &site.distro);
        site.wants.packages.extend(self.pydep.requirements(&active)?);
        // Which Python packages a step asks for depends on no Python, and on no user.
        let plan = self.plan(&site, &scheme(0), Ids { uid: 0, gid: 0 })?;
        site.wants.packages.extend(plan.packages().iter().cloned());
        Ok(site)
    }

    /// Its steps, in an image where its environment is as `scheme` says.
    ///
    /// # Errors
    /// When a step makes no sense with the values it has.
    pub fn plan(&self, site: &Site, scheme: &Scheme, ids: Ids) -> Result<StepPlan, PipelineError> {
        let Some(steps) = &self.steps else { return Ok(StepPlan::default()) };
        let circumstances = Circumstances {
            project: &self.name,
            ids,
            scheme,
            is_active: &|profile| site.active.contains(profile),
            variable: &|name| self.variables.get(name).cloned(),
        };
        Ok(StepPlan::new(steps, &circumstances)?)
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
