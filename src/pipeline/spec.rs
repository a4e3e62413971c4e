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
use crate::service::steps::{Circumstances, Download, StepPlan};
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
    /// Its packages that are needed.
    pub packages: SystemPackages,
    /// What the environment consists of.
    pub wants: Wants,
    /// What rules are judged by.
    pub active: Active,
}

/// What a service needs of its distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemPackages {
    /// Packages by name, sorted.
    pub names: Vec<String>,
    /// Packages that its steps fetch, in their order.
    pub files: Vec<Download>,
}

impl SystemPackages {
    /// How many they are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.names.len() + self.files.len()
    }

    /// All of them, by the names that are known.
    #[must_use]
    pub fn listed(&self) -> Vec<String> {
        let files = self.files.iter().map(|file| file.file_name().to_owned());
        self.names.iter().cloned().chain(files).collect()
    }
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
            packages: SystemPackages { names: packages.into_iter().collect(), files: Vec::new() },
            wants: self.wants.clone(),
            active,
        };
        // Which packages of Python there are depends on the release as well.
        let profiles = self.profiles.iter().chain(&self.release).map(String::as_str);
        let active = Active::of_project(self.name.as_str(), profiles, &site.distro);
        site.wants.packages.extend(self.pydep.requirements(&active)?);
        // Which packages a step asks for depends on no Python, and on no user.
        let plan = self.plan(&site, &scheme(0), Ids { uid: 0, gid: 0 })?;
        site.wants.packages.extend(plan.packages().iter().cloned());
        site.packages.files = plan.installs().to_vec();
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
        let steps = self.steps.iter().flat_map(ProjectSteps::steps);
        let steps = steps.flat_map(|step| step.when.profiles()).map(str::to_owned);
        let mut known: BTreeSet<String> =
            own.chain(steps.filter(|profile| !profile.starts_with("platform:"))).collect();
        let meant = known.union(&lists::profiles()).cloned().collect();
        let unknown: Vec<_> =
            lists::unknown(self.profiles.iter().map(String::as_str), &meant).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::input::document::Document;
    use crate::input::lists::Kind;
    use crate::input::steps::StepFiles;
    use crate::pipeline::compose::SourcedProject;
    use crate::pipeline::events::{Event, Reporter};

    /// Keeps the warnings.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Reporter for Heard {
        fn event(&self, event: &Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    fn spec(project: &str) -> ServiceSpec {
        let list = |kind| {
            lists::of_project(project, kind).unwrap_or_else(|| lists::of_every_service(kind))
        };
        let name: AccountName = project.parse().unwrap();
        let requirement = project.parse().unwrap();
        ServiceSpec {
            wants: Wants {
                project: SourcedProject { requirement, source: None },
                extra: Vec::new(),
                packages: Vec::new(),
                build_constraints: Vec::new(),
            },
            profiles: Vec::new(),
            bindep: list(Kind::Distribution),
            pydep: list(Kind::Python),
            dist_packages: Vec::new(),
            account: Some(ProjectAccount::new(name.clone())),
            distro: None,
            release: None,
            steps: StepFiles::builtin().get(&name).cloned(),
            variables: BTreeMap::new(),
            name,
        }
    }

    fn debian() -> Distro {
        Distro::named("debian-12").unwrap()
    }

    /// What a service with these profiles is on Debian 12, and what was warned of.
    fn on(spec: &ServiceSpec) -> (Site, Vec<String>) {
        let heard = Arc::new(Heard::default());
        let site = spec.on(&debian(), &Events::to(heard.clone())).unwrap();
        let heard = heard.0.lock().unwrap().clone();
        (site, heard)
    }

    fn chosen(project: &str, profiles: &str) -> ServiceSpec {
        let profiles = profiles.split_whitespace().map(str::to_owned).collect();
        ServiceSpec { profiles, ..spec(project) }
    }

    /// What `profiles` add to the packages of the distribution and to those of Python.
    #[track_caller]
    fn case(project: &str, profiles: &str, distribution: &str, python: &str) {
        let (plain, _) = on(&spec(project));
        let (site, warnings) = on(&chosen(project, profiles));
        assert_eq!(warnings, [""; 0]);
        let names = |site: &Site| -> BTreeSet<String> {
            site.wants.packages.iter().map(|package| package.name.to_string()).collect()
        };
        let added: Vec<_> = site
            .packages
            .names
            .iter()
            .filter(|name| !plain.packages.names.contains(name))
            .cloned()
            .collect();
        let more: Vec<_> = names(&site).difference(&names(&plain)).cloned().collect();
        assert_eq!((added.join(" ").as_str(), more.join(" ").as_str()), (distribution, python));
    }

    #[test]
    fn profiles_choose_packages_of_both_kinds() {
        case("keystone", "", "", "");
        case("keystone", "ldap", "libldap-2.5-0", "ldappool python-ldap");
        case("keystone", "apache", "apache2 libapache2-mod-wsgi-py3", "");
        case(
            "keystone",
            "apache mellon",
            "apache2 libapache2-mod-auth-mellon libapache2-mod-wsgi-py3",
            "",
        );
        case("glance", "ceph qemu", "ceph-common python3-rados python3-rbd qemu-utils", "");
        // Those of another project's are asked for by nobody here, and are no mistake.
        case("keystone", "ceph", "", "");
        case("unheard-of", "apache", "apache2 libapache2-mod-wsgi-py3", "");
    }

    #[test]
    fn packages_are_sorted_and_each_is_there_once() {
        let more = ["zsh", "sudo", "acl", "zsh"].map(str::to_owned).to_vec();
        let (site, _) = on(&ServiceSpec { dist_packages: more, ..spec("keystone") });
        let mut sorted = site.packages.names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(site.packages.names, sorted);
        for name in ["acl", "python3", "sudo", "zsh"] {
            assert!(site.packages.names.iter().any(|package| package == name), "{name}");
        }
    }

    #[test]
    fn a_distribution_that_is_named_goes_before_the_one_that_is_found() {
        let named = |text: &str| {
            let distro = Some(Distro::named(text).unwrap());
            on(&ServiceSpec { distro, ..spec("keystone") }).0
        };
        assert!(named("centos-stream9").packages.names.contains(&"python3.12".to_owned()));
        assert!(named("ubuntu-noble").packages.names.contains(&"libpython3.12t64".to_owned()));
        assert_eq!(named("debian").packages, on(&spec("keystone")).0.packages);
    }

    #[test]
    fn what_nobody_asks_for_is_warned_of() {
        let mut said = Vec::new();
        for (project, profiles) in [
            ("keystone", "ldpa apache"),
            ("keystone", "mod_oauth2 default platform:dpkg keystone python3"),
            ("unheard-of", "mine"),
            ("requirements", "x y"),
        ] {
            let (_, warnings) = on(&chosen(project, profiles));
            said.push(format!("{project} {profiles}:"));
            said.extend(warnings);
        }
        insta::assert_snapshot!(said.join("\n"), @r"
        keystone ldpa apache:
        nothing asks for the profile `ldpa`; those of `keystone` are apache, fluent, ldap, mellon, mod_oauth2, nginx, oauth, openidc
        keystone mod_oauth2 default platform:dpkg keystone python3:
        unheard-of mine:
        nothing asks for the profile `mine`; those of `unheard-of` are apache, fluent, nginx
        requirements x y:
        nothing asks for the profile `x`; `requirements` has none
        nothing asks for the profile `y`; `requirements` has none
        ");
    }

    #[test]
    fn what_only_a_step_asks_for_is_known() {
        let text = "[[step]]\nname = \"x\"\nprofiles = [\"mine !platform:rpm\"]\n\
                    packages = [\"step-package\"]\n";
        let steps = ProjectSteps::parse(&Document::new("keystone.toml", text)).unwrap();
        let spec = ServiceSpec { steps: Some(steps), ..chosen("keystone", "mine ours") };
        let (site, warnings) = on(&spec);
        let is_there = |package: &Site| {
            package.wants.packages.iter().any(|package| package.name.as_ref() == "step-package")
        };
        assert!(is_there(&site) && !is_there(&on(&ServiceSpec { profiles: Vec::new(), ..spec }).0));
        insta::assert_snapshot!(warnings.join("\n"), @"nothing asks for the profile `ours`; those of `keystone` are apache, fluent, ldap, mellon, mine, nginx, oauth, openidc");
    }
}
