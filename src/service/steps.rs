//! [`StepPlan`]: which steps of a project apply to an image, and what exactly they consist of.
//!
//! Planning looks at nothing but what it is given. What a plan asks for is fetched and run by others;
//! `act.rs` puts it into a root.

use std::collections::BTreeMap;

use url::Url;

use crate::input::error::InputError;
use crate::input::project::ProjectSource;
use crate::input::steps::{Action, Destination, Owner, ProjectSteps, Step};
use crate::input::template::Template;
use crate::vocab::account::{AccountName, AccountWordError};
use crate::vocab::digest::Digest;
use crate::vocab::redact::redact;
use crate::vocab::requirement::Requirement;
use crate::vocab::safe_path::{SafePath, SafePathError};
use crate::wheel::scheme::Scheme;

use super::account::{AccountError, AccountFiles, Group, Ids, Other, User};
use super::node::{Node, NodeKind};

/// Files that engines put into each container, and that nobody can replace in a RUN.
const OF_CONTAINERS: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// What an image is like, for its steps.
pub struct Circumstances<'a> {
    /// The project's name.
    pub project: &'a AccountName,
    /// The numbers of its user and group.
    pub ids: Ids,
    /// Where its Python environment is.
    pub scheme: &'a Scheme,
    /// Whether a profile, or a platform as bindep names it, is active.
    pub is_active: &'a dyn Fn(&str) -> bool,
    /// The value of a variable that the user sets.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The steps that apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlan {
    accounts: Vec<AccountStep>,
    packages: Vec<Requirement>,
    installs: Vec<Download>,
    acts: Vec<PlannedStep>,
}

/// A user or group that a step adds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AccountStep {
    User(User),
    Group(Group, Vec<AccountName>),
}

/// A step that is done in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// What it is for.
    pub name: String,
    /// What it does.
    pub act: Act,
}

/// What a [`PlannedStep`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Makes a file, directory or link.
    Write(Node),
    /// Puts the files of a repository below a directory.
    Tree {
        /// The repository.
        git: Git,
        /// The directory.
        to: SafePath,
    },
    /// Makes a file of what is fetched.
    File {
        /// What is fetched.
        download: Download,
        /// The file, without its content.
        node: Node,
    },
    /// Copies files of the root.
    Copy(CopyStep),
    /// Runs a command in the root.
    Run(RunStep),
}

/// A repository at a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Git {
    /// What git clones, as in [`ProjectSource::Git`].
    pub url: String,
    /// The branch, tag, commit or other reference.
    pub reference: Option<String>,
}

/// A file that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Download {
    /// Its address.
    pub url: Url,
    /// Its digest.
    pub digest: Digest,
}

impl Download {
    /// Its file's name, as the address has it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap_or_default()
    }

    /// Whether a package manager takes its file for a package: they go by the ending.
    fn is_package(&self) -> bool {
        [".deb", ".rpm"].iter().any(|ending| {
            self.file_name().strip_suffix(ending).is_some_and(|name| !name.is_empty())
        })
    }
}

/// Something that has to be fetched before a plan can be acted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fetch {
    /// The tree of a repository.
    Git(Git),
    /// A file.
    Download(Download),
}

/// Files of a root that are copied into a directory of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStep {
    /// Patterns of the files, below the root.
    pub from: Vec<String>,
    /// Patterns of those of them that are left out.
    pub except: Vec<String>,
    /// The directory.
    pub to: SafePath,
}

/// A command that is run in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// The step's name.
    pub step: String,
    /// The program and its arguments; there is at least one.
    pub command: Vec<String>,
    /// All of its environment.
    pub env: BTreeMap<String, String>,
    /// Where in the root it runs, absolute.
    pub directory: String,
    /// Who runs it.
    pub ids: Ids,
}

/// A step that cannot be planned with the values it has.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A path is none.
    #[error("the step `{step}` needs an absolute path in the image")]
    Path {
        /// The step.
        step: String,
        /// What is wrong.
        source: SafePathError,
    },
    /// A path is of each container, where an engine puts a file of its own there, and so of no image.
    #[error(
        "the step `{step}` puts something at `/{path}`, where every container has a file of its own"
    )]
    OfContainers {
        /// The step.
        step: String,
        /// The path.
        path: SafePath,
    },
    /// A user or group cannot be as the step says.
    #[error("the step `{step}` cannot add its user or group")]
    Account {
        /// The step.
        step: String,
        /// What is wrong.
        source: AccountWordError,
    },
    /// A repository is none.
    #[error("the step `{step}` has no repository")]
    Git {
        /// The step.
        step: String,
        /// What is wrong.
        source: InputError,
    },
    /// An address is none that can be fetched from.
    #[error("the step `{step}` cannot fetch from `{url}`")]
    Url {
        /// The step.
        step: String,
        /// The address, without credentials.
        url: String,
    },
    /// What is fetched to be installed is not called as a package is.
    #[error(
        "the step `{step}` installs `{url}`, which is not called as a package: `.deb` or `.rpm` is at its end"
    )]
    Package {
        /// The step.
        step: String,
        /// The address, without credentials.
        url: String,
    },
    /// What is fetched could be anything.
    #[error("the step `{step}` needs the SHA-256 of what it fetches, not `{found}`")]
    Digest {
        /// The step.
        step: String,
        /// What it has instead.
        found: String,
    },
}

impl StepPlan {
    /// The steps of `steps` that apply under `circumstances`.
    ///
    /// # Errors
    /// [`PlanError`] for the first step that cannot be done with the values it has.
    pub fn new(steps: &ProjectSteps, circumstances: &Circumstances<'_>) -> Result<Self, PlanError> {
        let words = Words { steps, circumstances };
        let mut plan = Self::default();
        for step in steps.steps() {
            if words.applies(step) {
                plan.add(step, &words)?;
            }
        }
        Ok(plan)
    }

    /// Python packages that are installed with the project.
    #[must_use]
    pub fn packages(&self) -> &[Requirement] {
        &self.packages
    }

    /// Distribution packages that are fetched, and installed with the others.
    #[must_use]
    pub fn installs(&self) -> &[Download] {
        &self.installs
    }

    /// What is done in its turn.
    #[must_use]
    pub fn acts(&self) -> &[PlannedStep] {
        &self.acts
    }

    /// Whether something is to be run or copied in a root, so that it needs one.
    #[must_use]
    pub fn needs_root(&self) -> bool {
        self.acts.iter().any(|step| matches!(step.act, Act::Run(_) | Act::Copy(_)))
    }

    /// What has to be fetched before this is acted on, without [`StepPlan::installs`].
    #[must_use]
    pub fn fetches(&self) -> Vec<Fetch> {
        let fetches = self.acts.iter().filter_map(|step| match &step.act {
            Act::Tree { git, .. } => Some(Fetch::Git(git.clone())),
            Act::File { download, .. } => Some(Fetch::Download(download.clone())),
            Act::Write(_) | Act::Copy(_) | Act::Run(_) => None,
        });
        fetches.collect()
    }

    /// Adds the users and groups of steps to `files`, in which the project's own are already. Who is
    /// there stays as it is: a distribution's package made it.
    ///
    /// # Errors
    /// [`AccountError`] when a number is somebody else's, or a member is nobody.
    pub fn add_accounts(&self, files: &mut AccountFiles) -> Result<(), AccountError> {
        for step in &self.accounts {
            match step {
                AccountStep::Group(group, _) => files.add_group(group)?,
                AccountStep::User(user) => files.add_user(user)?,
            }
        }
        // At the end, for a member may come after the group.
        for step in &self.accounts {
            let AccountStep::Group(group, members) = step else { continue };
            members.iter().try_for_each(|member| files.add_member(&group.name, member))?;
        }
        Ok(())
    }

    fn add(&mut self, step: &Step, words: &Words<'_>) -> Result<(), PlanError> {
        let fill = |template: &Template| words.fill(template);
        let path = |template: &Template| {
            let text = fill(template);
            let relative = text.strip_prefix('/').unwrap_or(&text);
            let name = || step.name.clone();
            let path: SafePath =
                relative.parse().map_err(|source| PlanError::Path { step: name(), source })?;
            match OF_CONTAINERS.contains(&path.as_str()) {
                true => Err(PlanError::OfContainers { step: name(), path }),
                false => Ok(path),
            }
        };
        let word_failed = |source| PlanError::Account { step: step.name.clone(), source };
        let ids = |owner: Owner| match owner {
            Owner::Root => Ids { uid: 0, gid: 0 },
            Owner::Project => words.circumstances.ids,
        };
        let node = |path, kind, mode, owner| {
            let Ids { uid, gid } = ids(owner);
            Node { path, kind, mode, uid, gid }
        };
        let act = match &step.action {
            Action::Write { path: at, text, mode, owner } => {
                let kind = NodeKind::File(fill(text).into_bytes());
                Act::Write(node(path(at)?, kind, *mode, *owner))
            }
            Action::Directory { path: at, mode, owner } => {
                Act::Write(node(path(at)?, NodeKind::Directory, *mode, *owner))
            }
            Action::Symlink { path: at, target } => {
                Act::Write(Node::symlink(path(at)?, fill(target)))
            }
            Action::Copy { from, except, to } => {
                let patterns = |templates: &[Template]| templates.iter().map(fill).collect();
                Act::Copy(CopyStep {
                    from: patterns(from),
                    except: patterns(except),
                    to: path(to)?,
                })
            }
            Action::Git { url, reference, to } => {
                let git = git(&step.name, &fill(url), &fill(reference))?;
                Act::Tree { git, to: path(to)? }
            }
            Action::Download { url, sha256, into } => {
                let download = download(&step.name, &fill(url), &fill(sha256))?;
                match into {
                    Destination::Installed => {
                        if !download.is_package() {
                            let url = redact(download.url.as_str()).into_owned();
                            return Err(PlanError::Package { step: step.name.clone(), url });
                        }
                        self.installs.push(download);
                        return Ok(());
                    }
                    Destination::File { path: at, mode } => {
                        let kind = NodeKind::File(Vec::new());
                        Act::File { download, node: node(path(at)?, kind, *mode, Owner::Root) }
                    }
                }
            }
            Action::Run { command, env, directory, user } => {
                let mut all = words.environment(*user);
                all.extend(env.iter().map(|(name, value)| (name.clone(), fill(value))));
                let directory = match directory {
                    Some(directory) => format!("/{}", path(directory)?),
                    None => "/".to_owned(),
                };
                Act::Run(RunStep {
                    step: step.name.clone(),
                    command: command.iter().map(fill).collect(),
                    env: all,
                    directory,
                    ids: ids(*user),
                })
            }
            Action::User { name, uid, group, home, shell } => {
                self.accounts.push(AccountStep::User(User {
                    name: fill(name).parse().map_err(word_failed)?,
                    uid: fill(uid).parse().map_err(word_failed)?,
                    group: fill(group).parse().map_err(word_failed)?,
                    home: fill(home).parse().map_err(word_failed)?,
                    shell: fill(shell).parse().map_err(word_failed)?,
                    other: Other::Keep,
                }));
                return Ok(());
            }
            Action::Group { name, gid, members } => {
                let group = Group {
                    name: fill(name).parse().map_err(word_failed)?,
                    gid: fill(gid).parse().map_err(word_failed)?,
                    other: Other::Keep,
                };
                let members = members.iter().map(|member| fill(member).parse());
                let members = members.collect::<Result<_, _>>().map_err(word_failed)?;
                self.accounts.push(AccountStep::Group(group, members));
                return Ok(());
            }
            Action::Packages(packages) => {
                self.packages.extend(packages.iter().cloned());
                return Ok(());
            }
        };
        self.acts.push(PlannedStep { name: step.name.clone(), act });
        Ok(())
    }
}

fn git(step: &str, url: &str, reference: &str) -> Result<Git, PlanError> {
    let failed = |source| PlanError::Git { step: step.to_owned(), source };
    match ProjectSource::parse(url, Some(reference)).map_err(failed)? {
        ProjectSource::Git { url, reference } => Ok(Git { url, reference }),
        _ => Err(PlanError::Url { step: step.to_owned(), url: redact(url).into_owned() }),
    }
}

fn download(step: &str, url: &str, sha256: &str) -> Result<Download, PlanError> {
    let shown = || redact(url).into_owned();
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = parsed.ok_or_else(|| PlanError::Url { step: step.to_owned(), url: shown() })?;
    let digest = Digest::from_hex(sha256.trim_start_matches("sha256:"))
        .map_err(|_| PlanError::Digest { step: step.to_owned(), found: sha256.to_owned() })?;
    Ok(Download { url, digest })
}

/// What the words of a file mean.
struct Words<'a> {
    steps: &'a ProjectSteps,
    circumstances: &'a Circumstances<'a>,
}

impl Words<'_> {
    fn applies(&self, step: &Step) -> bool {
        let mut used = step.needs.iter().map(String::as_str).chain(step.action.words());
        step.when.holds(self.circumstances.is_active)
            && used.all(|word| !self.value(word).is_empty())
    }

    fn fill(&self, template: &Template) -> String {
        template.fill(&|word| self.value(word))
    }

    fn value(&self, word: &str) -> String {
        let Circumstances { project, scheme, variable, .. } = self.circumstances;
        match word {
            "project" => project.to_string(),
            "prefix" => self.prefix(),
            "python" => format!("3.{}", scheme.minor()),
            "site-packages" => format!("{}/{}", self.prefix(), scheme.site_packages()),
            _ => match (variable(word), self.steps.variables().get(word)) {
                (Some(value), _) => value,
                (None, Some(usual)) => usual.clone(),
                (None, None) => String::new(),
            },
        }
    }

    fn prefix(&self) -> String {
        self.circumstances.scheme.prefix().to_string_lossy().into_owned()
    }

    /// The environment that every command has: the same on every machine.
    fn environment(&self, user: Owner) -> BTreeMap<String, String> {
        let home = match user {
            Owner::Root => "/root".to_owned(),
            Owner::Project => format!("/var/lib/{}", self.circumstances.project),
        };
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        [
            ("HOME", home),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("PATH", format!("{}/bin:{path}", self.prefix())),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONHASHSEED", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
