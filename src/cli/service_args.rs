//! The options that say what a service is: the build arguments of LOCI, by the same names.

use std::path::Path;

use clap::Args;
use url::Url;

use super::exit::{CliError, bare};
use super::project_arg;
use super::words_arg::{self, Words};
use crate::input::bindep::BindepFile;
use crate::input::document::Document;
use crate::input::lists::{self, Kind};
use crate::input::project::ProjectSource;
use crate::input::requirements::parse_packages;
use crate::input::steps::{ProjectSteps, StepFiles};
use crate::pipeline::compose::{SourcedProject, Wants};
use crate::pipeline::spec::ServiceSpec;
use crate::service::project_account::{DEFAULT_ID, ProjectAccount};
use crate::vocab::account::AccountName;
use crate::vocab::distro::Distro;
use crate::vocab::requirement::ExtraName;

/// What a service consists of.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service options")]
pub(super) struct ServiceArgs {
    /// The project's source: a directory, an archive, a git URL, or `pypi` for the index
    #[arg(long, env = "PROJECT_REPO", value_name = "PATH|URL|pypi")]
    pub(super) project_repo: Option<String>,
    /// The branch, tag, commit or ref to check out; with `pypi`, the version
    #[arg(long, env = "PROJECT_REF", value_name = "REF")]
    project_ref: Option<String>,
    /// Extras of the project, separated by commas or spaces
    #[arg(
        long,
        env = "PROJECT_PIP_EXTRAS",
        value_name = "EXTRAS",
        default_value = "",
        hide_default_value = true
    )]
    extras: String,
    /// More projects to install, repeatable: NAME from the set, or NAME=SOURCE with a source as for
    /// `--project-repo`
    #[arg(long, env = "EXTRA_PROJECTS", value_name = "NAME[=SOURCE]")]
    extra_projects: Vec<Words>,
    /// More projects to install from the set, separated by spaces
    #[arg(
        long,
        env = "PIP_PACKAGES",
        value_name = "REQUIREMENTS",
        default_value = "",
        hide_default_value = true
    )]
    pip_packages: String,
}

/// What a service has beside its Python environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image options")]
pub(super) struct SystemArgs {
    /// What is wanted of what the project's lists offer, separated by spaces: `apache`, `ceph`, `lvm` ...
    #[arg(
        long,
        env = "PROFILES",
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    profiles: String,
    /// More packages of the distribution, separated by spaces
    #[arg(
        long,
        env = "DIST_PACKAGES",
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    dist_packages: String,
    /// A further list of packages of the distribution, by profile, repeatable
    #[arg(long, env = "EXTRA_BINDEP", value_name = "FILE")]
    extra_bindep: Vec<Words>,
    /// A further list of Python packages, by profile, repeatable
    #[arg(long, env = "EXTRA_PYDEP", value_name = "FILE")]
    extra_pydep: Vec<Words>,
    /// The number of the project's user
    #[arg(long, env = "UID", value_name = "N", default_value = "42424")]
    uid: String,
    /// The number of the project's group
    #[arg(long, env = "GID", value_name = "N", default_value = "42424")]
    gid: String,
    /// `no` for a service, which gets a user, a group and directories; all else is a plugin upon one
    #[arg(long, env = "PLUGIN", value_name = "no|yes", default_value = "no")]
    plugin: String,
    /// The release that the wheels are of, such as `2025.2`: one more profile that rules may ask for
    #[arg(long, env = "PROJECT_RELEASE", value_name = "RELEASE")]
    project_release: Option<String>,
    /// A file with steps of a project, or a directory of such files, repeatable: they go before loci's own
    #[arg(long, env = "LOCI_STEPS", value_name = "FILE|DIR")]
    steps: Vec<Words>,
    /// The distribution, where it is not found out rightly: `debian-12`, `ubuntu-noble`, `centos` ...
    #[arg(long, env = "DISTRO", value_name = "NAME")]
    distro: Option<String>,
}

impl ServiceArgs {
    /// What `project` is to consist of, and its name as LOCI has it.
    pub(super) fn wants(&self, project: &str) -> Result<(String, Wants), CliError> {
        let mut requirement = project_arg::parse(project)?;
        if requirement.version_or_url.is_some() {
            return Err(CliError::Value {
                option: "PROJECT",
                text: project.to_owned(),
                reason: "asks for a version, which `--project-repo` or the set decides".into(),
            });
        }
        for text in self.extras.split([',', ' ']).filter(|text| !text.is_empty()) {
            let extra = ExtraName::new(text.to_owned()).map_err(|_| CliError::Value {
                option: "--extras",
                text: text.into(),
                reason: "is not the name of an extra".into(),
            })?;
            requirement.extras.push(extra);
        }
        let name = project.split('[').next().unwrap_or_default().trim().to_lowercase();
        // A build argument that nobody gives is often an empty variable.
        let reference = given(self.project_ref.as_deref());
        let source = match (given(self.project_repo.as_deref()), reference) {
            (Some(text), _) => Some(source(text, reference)?),
            // A reference alone is one of the project's own repository.
            (None, Some(_)) => Some(source(&name, reference)?),
            (None, None) => None,
        };
        let extra =
            words_arg::all(&self.extra_projects).map(extra_project).collect::<Result<_, _>>()?;
        let wants = Wants {
            project: SourcedProject { requirement, source },
            extra,
            packages: parse_packages(&self.pip_packages, "--pip-packages")?,
            build_constraints: Vec::new(),
        };
        Ok((name, wants))
    }
}

impl SystemArgs {
    /// The service `name`, which is to consist of `wants`.
    pub(super) fn spec(&self, name: &str, wants: Wants) -> Result<ServiceSpec, CliError> {
        let account_name: AccountName = name.parse().map_err(|error| CliError::Value {
            option: "PROJECT",
            text: name.to_owned(),
            reason: format!("cannot be the name of a user: {error}"),
        })?;
        let account = match self.plugin.as_str() {
            "no" | "" => Some(ProjectAccount {
                uid: number("--uid", &self.uid)?,
                gid: number("--gid", &self.gid)?,
                ..ProjectAccount::new(account_name.clone())
            }),
            _ => None,
        };
        let distro =
            given(self.distro.as_deref()).map(Distro::named).transpose().map_err(|error| {
                CliError::Value {
                    option: "--distro",
                    text: self.distro.clone().unwrap_or_default(),
                    reason: error.to_string(),
                }
            })?;
        let list = |kind, more: &[Words]| {
            let mut rules =
                lists::of_project(name, kind).unwrap_or_else(|| lists::of_every_service(kind));
            for file in words_arg::all(more) {
                rules.join(BindepFile::parse(&Document::read(Path::new(file))?)?);
            }
            Ok::<_, CliError>(rules)
        };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let mut steps = StepFiles::builtin();
        for path in words_arg::all(&self.steps) {
            steps.add_from(Path::new(path))?;
        }
        let steps = steps.get(&account_name).cloned();
        let variables = steps.iter().flat_map(|steps| steps.variables().keys());
        let variables =
            variables.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
        let account = account.map(|account| match steps.as_ref().and_then(ProjectSteps::shell) {
            Some(shell) => ProjectAccount { shell: shell.clone(), ..account },
            None => account,
        });
        Ok(ServiceSpec {
            name: account_name,
            wants,
            profiles: words(&self.profiles),
            bindep: list(Kind::Distribution, &self.extra_bindep)?,
            pydep: list(Kind::Python, &self.extra_pydep)?,
            dist_packages: words(&self.dist_packages),
            account,
            distro,
            release: given(self.project_release.as_deref()).map(str::to_owned),
            steps,
            variables,
        })
    }
}

/// What was given, if anything was.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(
    option: &'static str,
    text: &str,
) -> Result<T, CliError> {
    given(Some(text)).unwrap_or(DEFAULT_ID).parse().map_err(|error: T::Err| CliError::Value {
        option,
        text: text.to_owned(),
        reason: bare(text, &error.to_string()),
    })
}

/// A project that goes with the service: `heat-dashboard`, or `heat-dashboard=./heat-dashboard`.
fn extra_project(text: &str) -> Result<SourcedProject, CliError> {
    let (name, place) = match text.split_once('=') {
        Some((name, place)) if !place.starts_with('=') => (name, Some(place)),
        _ => (text, None),
    };
    let requirement = project_arg::parse(name)?;
    let source = place.map(|place| source(place, None)).transpose()?;
    Ok(SourcedProject { requirement, source })
}

/// Reads where a source is. Paths are the user's, of the directory the command runs in; git runs in another,
/// and what is installed says where it came from, by a URL (PEP 610).
fn source(text: &str, reference: Option<&str>) -> Result<ProjectSource, CliError> {
    let here = |path: &Path| {
        std::path::absolute(path)
            .map_err(|source| CliError::Output { to: path.display().to_string(), source })
    };
    Ok(match ProjectSource::parse(text, reference)? {
        ProjectSource::Directory(path) => ProjectSource::Directory(here(&path)?),
        ProjectSource::Archive(path) => ProjectSource::Archive(here(&path)?),
        ProjectSource::Git { url, reference } if !url.contains(':') => {
            let path = here(Path::new(&url))?;
            let url = Url::from_file_path(path).map_or(url, Into::into);
            ProjectSource::Git { url, reference }
        }
        other => other,
    })
}
