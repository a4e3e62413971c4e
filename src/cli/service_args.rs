//! The options that say what a service is: the build arguments of LOCI, by the same names.

use std::path::Path;

use clap::Args;
use url::Url;

use super::distro_arg;
use super::exit::{CliError, bare};
use super::project_arg;
use super::words_arg::{self, Words};
use crate::input::bindep::BindepFile;
use crate::input::bindep::active::Active;
use crate::input::document::Document;
use crate::input::lists::{self, Kind};
use crate::input::project::ProjectSource;
use crate::input::requirements::parse_packages;
use crate::input::steps::{ProjectSteps, StepFiles};
use crate::pipeline::compose::{SourcedProject, Wants};
use crate::pipeline::spec::ServiceSpec;
use crate::service::packages::name::PackageName;
use crate::service::project_account::{DEFAULT_ID, ProjectAccount};
use crate::vocab::account::{AccountName, AccountWordError};
use crate::vocab::distro::Distro;
use crate::vocab::requirement::{ExtraName, Requirement};

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

/// Python packages that profiles and lists add to an environment.
#[derive(Debug, Default)]
pub(super) struct PythonPackages {
    /// What is to be installed.
    pub(super) requirements: Vec<Requirement>,
    /// The profiles that nothing asks for.
    pub(super) unknown: Vec<String>,
}

impl SystemArgs {
    /// What the profiles and further lists add to the Python environment of the project `name`: what its list has
    /// for every service is for images.
    pub(super) fn python_packages(&self, name: &str) -> Result<PythonPackages, CliError> {
        let profiles: Vec<&str> = self.profiles.split_whitespace().collect();
        let files: Vec<&str> = words_arg::all(&self.extra_pydep).collect();
        if profiles.is_empty() && files.is_empty() {
            return Ok(PythonPackages::default());
        }
        let distro = distro_arg::distro(given(self.distro.as_deref()))?;
        let own = lists::of_project(name, Kind::Python)
            .unwrap_or_else(|| lists::of_every_service(Kind::Python));
        let mut more = BindepFile::default();
        for file in files {
            more.join(BindepFile::parse(&Document::read(Path::new(file))?)?);
        }
        let release = given(self.project_release.as_deref());
        let none = Active::of_project(name, release, &distro);
        let all = Active::of_project(name, profiles.iter().copied().chain(release), &distro);
        let always = own.requirements(&none)?;
        let mut requirements = own.requirements(&all)?;
        requirements.retain(|requirement| !always.contains(requirement));
        requirements.extend(more.requirements(&all)?);
        // What is meant for the distribution's packages is meant for something, too.
        let mut known = lists::profiles();
        known.extend(own.profiles().user);
        known.extend(more.profiles().user);
        let unknown = lists::unknown(profiles.into_iter(), &known).map(str::to_owned).collect();
        Ok(PythonPackages { requirements, unknown })
    }

    /// The service `name`, which is to consist of `wants`.
    pub(super) fn spec(&self, name: &str, wants: Wants) -> Result<ServiceSpec, CliError> {
        let account_name: AccountName =
            name.parse().map_err(|error: AccountWordError| CliError::Value {
                option: "PROJECT",
                text: name.to_owned(),
                reason: bare(name, &error.to_string()),
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
                    reason: bare(self.distro.as_deref().unwrap_or_default(), &error.to_string()),
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
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let dist_packages = words(&self.dist_packages);
        for text in &dist_packages {
            text.parse::<PackageName>().map_err(|error| CliError::Value {
                option: "--dist-packages",
                text: text.clone(),
                reason: bare(text, &error.to_string()),
            })?;
        }
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
            dist_packages,
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        project: String,
        #[command(flatten)]
        service: ServiceArgs,
        #[command(flatten)]
        system: SystemArgs,
    }

    /// What a command line comes to; words are separated by `|`. Variables of these tests are none of it.
    fn spec(words: &str) -> Result<ServiceSpec, CliError> {
        let line = Line::try_parse_from(std::iter::once("loci").chain(words.split('|'))).unwrap();
        let (name, wants) = line.service.wants(&line.project)?;
        line.system.spec(&name, wants)
    }

    fn projects(spec: &ServiceSpec) -> String {
        let here = std::env::current_dir().unwrap();
        let projects = std::iter::once(&spec.wants.project).chain(&spec.wants.extra);
        let shown = projects.map(|SourcedProject { requirement, source }| match source {
            None => requirement.to_string(),
            Some(source) => format!("{requirement} from {source}"),
        });
        let shown = shown.chain(spec.wants.packages.iter().map(|package| format!("+{package}")));
        shown.collect::<Vec<_>>().join("; ").replace(here.to_str().unwrap(), "HERE")
    }

    #[track_caller]
    fn case(words: &str, expected: &str) {
        let outcome = match spec(words) {
            Ok(spec) => projects(&spec),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(outcome, expected, "{words}");
    }

    #[test]
    fn what_is_wanted() {
        case("keystone", "keystone");
        case("heat", "openstack-heat");
        case("Keystone[ldap]", "keystone[ldap]");
        case("keystone[ldap]|--extras|a,b c", "keystone[ldap,a,b,c]");
        case("nova|--project-repo|pypi", "nova from the package index");
        case(
            "nova|--project-repo|pypi|--project-ref|30.0.0",
            "nova from 30.0.0 on the package index",
        );
        case("nova|--project-repo|./nova", "nova from HERE/nova");
        case("nova|--project-repo|./nova|--project-ref|x", "nova from file://HERE/nova at x");
        case("nova|--project-repo|nova-1.0.tar.gz", "nova from HERE/nova-1.0.tar.gz");
        case(
            "nova|--project-repo|https://h/nova|--project-ref|refs/changes/67/418167/1",
            "nova from https://h/nova at refs/changes/67/418167/1",
        );
        // A reference alone is one of the project's own repository.
        case("nova|--project-ref|master", "nova from https://opendev.org/openstack/nova at master");
        case(
            "heat|--project-ref|master",
            "openstack-heat from https://opendev.org/openstack/heat at master",
        );
        // A build argument that nobody gives is often an empty variable.
        for empty in ["", " "] {
            let options = ["project-repo", "project-ref", "extras", "pip-packages"];
            let options = options.map(|option| format!("|--{option}={empty}")).concat();
            case(&format!("nova{options}|--extra-projects="), "nova");
        }
        case("nova|--pip-packages|rpdb  six>=1", "nova; +rpdb; +six>=1");
    }

    #[test]
    fn projects_that_go_along() {
        case("horizon|--extra-projects|heat-dashboard", "horizon; heat-dashboard");
        case("horizon|--extra-projects|a|--extra-projects|b", "horizon; a; b");
        case("horizon|--extra-projects|a=./a", "horizon; a from HERE/a");
        case(
            "horizon|--extra-projects|a[x]=git+https://h/a@b",
            "horizon; a[x] from https://h/a at b",
        );
        case("horizon|--extra-projects|a=pypi", "horizon; a from the package index");
        case("horizon|--extra-projects|a==1.0", "horizon; a==1.0");
        case(
            "horizon|--extra-projects|a=",
            "error: `` is not the source of a project: it is empty",
        );
        case("horizon|--extra-projects|=./a", "error: `` is not the name of a project");
        case("horizon|--extra-projects|./a", "error: `./a` is not the name of a project");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for words in [
            "nova>=30",
            "nova @ https://h/x.whl",
            "../nova",
            "nova|--extras|a!",
            "nova|--project-repo|ext::sh",
            "nova|--project-repo|pypi|--project-ref|master",
            "nova|--pip-packages|./x",
            "nova|--uid|x",
            "nova|--gid|0",
            "nova|--uid|4294967295",
            "nova|--distro|plan9",
            "1nova",
            "nova|--dist-packages|vim -y",
            "nova|--dist-packages|vim*",
            "nova|--dist-packages|@core",
            "nova|--extra-bindep|/none/bindep.txt",
            "nova|--steps|/none",
        ] {
            let error = spec(words).expect_err(words);
            case(words, &format!("error: {error}"));
        }
        let said = |words: &str| spec(words).unwrap_err().to_string();
        insta::assert_snapshot!(said("nova>=30"), @"`nova>=30`, given as `PROJECT`, asks for a version, which `--project-repo` or the set decides");
        insta::assert_snapshot!(said("nova|--extras|a!"), @"`a!`, given as `--extras`, is not the name of an extra");
        insta::assert_snapshot!(said("nova|--uid|x"), @"`x`, given as `--uid`, is not the number of a user or group");
        insta::assert_snapshot!(said("nova|--gid|0"), @"`0`, given as `--gid`, is the number of root");
        insta::assert_snapshot!(said("nova|--distro|plan9"), @"`plan9`, given as `--distro`, is no distribution that is known; known are `debian`, `ubuntu`, `centos`, `rhel`, `rocky`, `almalinux`, `ol`, `oracle`, `fedora`, `openeuler`, `opensuse`, `opensuse-leap`, `opensuse-tumbleweed`, `sles`");
        insta::assert_snapshot!(said("nova|--dist-packages|vim -y"), @"`-y`, given as `--dist-packages`, is no name of a distribution's package");
        insta::assert_snapshot!(said("nova|--dist-packages|vim*"), @"`vim*`, given as `--dist-packages`, is a pattern, which may mean any number of packages: each has to be named");
        insta::assert_snapshot!(said("nova|--dist-packages|@core"), @"`@core`, given as `--dist-packages`, is a group of packages: those that are wanted of it have to be named");
        insta::assert_snapshot!(said("1nova"), @"`1nova`, given as `PROJECT`, cannot be the name of a user or group");
        insta::assert_snapshot!(said("nova|--extra-bindep|/none/bindep.txt"), @"cannot read `/none/bindep.txt`");
        insta::assert_snapshot!(said("nova|--steps|/none"), @"cannot read `/none`");
    }

    #[test]
    fn users_and_plugins() {
        let account = |words: &str| spec(words).unwrap().account;
        for (words, ids) in [
            ("keystone", (42424, 42424)),
            ("keystone|--uid=|--gid= ", (42424, 42424)),
            ("keystone|--uid|7|--gid|8", (7, 8)),
            ("keystone|--plugin=|--uid|7", (7, 42424)),
            ("keystone|--plugin|no", (42424, 42424)),
        ] {
            let account = account(words).unwrap();
            assert_eq!((account.uid.number(), account.gid.number()), ids, "{words}");
            assert_eq!(account.shell.as_str(), "/usr/sbin/nologin");
        }
        for words in ["keystone|--plugin|yes", "keystone|--plugin|True", "keystone|--plugin|1"] {
            assert_eq!(account(words), None, "{words}");
        }
        assert_eq!(account("nova").unwrap().shell.as_str(), "/bin/bash");
        // LOCI names user and directories by the project, however it is written.
        for (words, name) in [("Nova[x]", "nova"), (" nova ", "nova"), ("heat", "heat")] {
            assert_eq!(account(words).unwrap().project.as_str(), name);
        }
    }

    #[test]
    fn profiles_add_python_packages() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("more.txt");
        std::fs::write(&list, "mine [special]\nalways\nother [nowhere]\n").unwrap();
        let extra = format!("--extra-pydep|{}", list.display());
        let packages = |words: &str| {
            let words = format!("x|--distro|debian-12|{words}");
            let words = words.trim_end_matches('|').split('|');
            let line = Line::try_parse_from(std::iter::once("loci").chain(words)).unwrap();
            let found = line.system.python_packages("keystone").unwrap();
            let names: Vec<_> = found.requirements.iter().map(ToString::to_string).collect();
            (names.join(" "), found.unknown.join(" "))
        };
        for (words, expected, unknown) in [
            ("", "", ""),
            ("--profiles|apache", "", ""),
            ("--profiles|fluent ldap", "fluent-logger ldappool python-ldap", ""),
            ("--profiles|nonesuch", "", "nonesuch"),
            (&extra, "always", ""),
            (&format!("--profiles|special|{extra}"), "mine always", ""),
        ] {
            let (names, found) = packages(words);
            assert_eq!((names.as_str(), found.as_str()), (expected, unknown), "{words}");
        }
    }

    #[test]
    fn lists_and_words() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("more.txt");
        std::fs::write(&list, "mine [special]\nmine2\n").unwrap();
        let words = format!(
            "keystone|--profiles| special  apache |--dist-packages|vim  less |--extra-bindep|{}|\
             --extra-pydep|{}|--distro| debian-12 ",
            list.display(),
            list.display()
        );
        let spec = spec(&words).unwrap();
        assert_eq!(spec.profiles, ["special", "apache"]);
        assert_eq!(spec.dist_packages, ["vim", "less"]);
        assert_eq!(
            spec.distro.unwrap().to_string(),
            Distro::named("debian-12").unwrap().to_string()
        );
        for rules in [spec.bindep, spec.pydep] {
            assert!(rules.profiles().user.contains("special"));
        }
    }
}
