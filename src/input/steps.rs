//! [`ProjectSteps`]: what a project's image needs beside packages, a user and its directories, as data.
//!
//! The steps that come with loci are the files in `steps/`, where `README.md` describes the format.
//! They only say; which of them apply, and acting on them, is for `service`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::vocab::account::{AccountName, AccountPath};
use crate::vocab::requirement::Requirement;

use super::document::{Document, Fault, Place};
use super::error::InputError;
use super::steps_written;
use super::template::Template;

/// The words that every step knows, beside the variables of its file.
pub const WORDS: [&str; 4] = ["project", "prefix", "python", "site-packages"];

/// The steps that come with loci.
const BUILTIN: [(&str, &str); 3] = [
    ("horizon.toml", include_str!("../../steps/horizon.toml")),
    ("keystone.toml", include_str!("../../steps/keystone.toml")),
    ("nova.toml", include_str!("../../steps/nova.toml")),
];

/// The steps of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSteps {
    pub(super) project: AccountName,
    pub(super) extends: bool,
    pub(super) shell: Option<AccountPath>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is for, for people.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// When it applies.
    pub when: Condition,
    /// The variables without a value of which it is left out, beside those that it uses.
    pub needs: Vec<String>,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Writes a file.
    Write {
        /// Where.
        path: Template,
        /// Its content.
        text: Template,
        /// Its permission bits.
        mode: u32,
        /// Whose it is.
        owner: Owner,
    },
    /// Makes a directory.
    Directory {
        /// Where.
        path: Template,
        /// Its permission bits.
        mode: u32,
        /// Whose it is.
        owner: Owner,
    },
    /// Makes a symbolic link.
    Symlink {
        /// Where.
        path: Template,
        /// Where it leads to.
        target: Template,
    },
    /// Copies files of the image into a directory of it.
    Copy {
        /// Patterns of the files.
        from: Vec<Template>,
        /// Patterns of those of them that are left out.
        except: Vec<Template>,
        /// The directory.
        to: Template,
    },
    /// Puts the files of a git repository into a directory.
    Git {
        /// What is cloned.
        url: Template,
        /// The branch, tag, commit or other reference.
        reference: Template,
        /// The directory.
        to: Template,
    },
    /// Fetches a file.
    Download {
        /// From where.
        url: Template,
        /// Its SHA-256.
        sha256: Template,
        /// What becomes of it.
        into: Destination,
    },
    /// Runs a command in the image.
    Run {
        /// The program and its arguments.
        command: Vec<Template>,
        /// Its environment variables, beside those that all commands have.
        env: BTreeMap<String, Template>,
        /// Where it runs; in `/` when that is not said.
        directory: Option<Template>,
        /// Who runs it.
        user: Owner,
    },
    /// Adds a user.
    User {
        /// Its name.
        name: Template,
        /// Its number.
        uid: Template,
        /// Its own group.
        group: Template,
        /// Its home.
        home: Template,
        /// Its shell.
        shell: Template,
    },
    /// Adds a group.
    Group {
        /// Its name.
        name: Template,
        /// Its number.
        gid: Template,
        /// The users that are members, beside those whose own group it is.
        members: Vec<Template>,
    },
    /// Installs Python packages from the wheels that the project is installed from.
    Packages(Vec<Requirement>),
}

/// What becomes of a file that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// It is a package of the distribution and is installed.
    Installed,
    /// It is a file of the image.
    File {
        /// Where.
        path: Template,
        /// Its permission bits.
        mode: u32,
    },
}

/// Whose something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Root's.
    #[default]
    Root,
    /// That of the project's user and group.
    Project,
}

/// When a step applies: when all words of one of the lists hold, a word being a profile, or one with
/// `!` before it that is not active; always when there is no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(pub(super) Vec<Vec<Profile>>);

/// A word of a [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) is_active: bool,
}

/// The steps of all projects that have some.
#[derive(Debug, Clone, Default)]
pub struct StepFiles(BTreeMap<AccountName, ProjectSteps>);

impl Action {
    /// The words without whose value the step is left out: all that it uses, but for a SHA-256, whose
    /// absence must not go unnoticed.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        let templates: Vec<&Template> = match self {
            Self::Write { path, text, .. } => vec![path, text],
            Self::Directory { path, .. } => vec![path],
            Self::Symlink { path, target } => vec![path, target],
            Self::Copy { from, except, to } => from.iter().chain(except).chain([to]).collect(),
            Self::Git { url, reference, to } => vec![url, reference, to],
            Self::Download { url, into: Destination::Installed, .. } => vec![url],
            Self::Download { url, into: Destination::File { path, .. }, .. } => vec![url, path],
            Self::Run { command, env, directory, .. } => {
                command.iter().chain(env.values()).chain(directory).collect()
            }
            Self::User { name, uid, group, home, shell } => vec![name, uid, group, home, shell],
            Self::Group { name, gid, members } => members.iter().chain([name, gid]).collect(),
            Self::Packages(_) => Vec::new(),
        };
        templates.into_iter().flat_map(Template::words).collect()
    }
}

impl Condition {
    /// Whether it holds where `is_active` says of each profile whether it is active.
    #[must_use]
    pub fn holds(&self, is_active: &dyn Fn(&str) -> bool) -> bool {
        let all =
            |words: &Vec<Profile>| words.iter().all(|word| is_active(&word.name) == word.is_active);
        self.0.is_empty() || self.0.iter().any(all)
    }

    /// The profiles it asks about.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(|word| word.name.as_str())
    }
}

impl ProjectSteps {
    /// Reads the TOML of `document`, whose project is that of its file's name unless it says another.
    ///
    /// # Errors
    /// [`InputError::Faults`]: the first place that is not TOML or not of this format; or, where all
    /// is, everything that cannot be meant.
    pub fn parse(document: &Document) -> Result<Self, InputError> {
        steps_written::read(document)
    }

    /// The project.
    #[must_use]
    pub const fn project(&self) -> &AccountName {
        &self.project
    }

    /// The shell of the project's user, when it needs one.
    #[must_use]
    pub const fn shell(&self) -> Option<&AccountPath> {
        self.shell.as_ref()
    }

    /// The variables with the values they have when nothing else is asked for.
    #[must_use]
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The steps in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// These steps behind those of `base`, of the same project.
    fn behind(mut self, base: &Self) -> Self {
        self.shell = self.shell.or_else(|| base.shell.clone());
        for (name, value) in &base.variables {
            self.variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.steps.splice(0..0, base.steps.iter().cloned());
        self
    }
}

impl StepFiles {
    /// The steps that come with loci.
    #[must_use]
    pub fn builtin() -> Self {
        let mut files = Self::default();
        for (name, text) in BUILTIN {
            let steps = ProjectSteps::parse(&Document::new(name, text));
            files.add(
                steps.expect("a test reads the very same texts, which are part of the program"),
            );
        }
        files
    }

    /// Puts `steps` into the place of those of the same project, or behind them when they say so.
    pub fn add(&mut self, steps: ProjectSteps) {
        let steps = match self.0.get(&steps.project) {
            Some(base) if steps.extends => steps.behind(base),
            _ => steps,
        };
        self.0.insert(steps.project.clone(), steps);
    }

    /// Adds the file at `path`, or every `*.toml` in the directory at `path`, by name.
    ///
    /// # Errors
    /// [`InputError`] when one of them cannot be read, or two are of one project and the second does
    /// not extend the first: which of them is meant cannot be known.
    pub fn add_from(&mut self, path: &Path) -> Result<(), InputError> {
        let mut seen = BTreeSet::new();
        for file in toml_files(path)? {
            let document = Document::read(&file)?;
            let steps = ProjectSteps::parse(&document)?;
            if !seen.insert(steps.project.clone()) && !steps.extends {
                let place = document.place(1, document.text().lines().next().unwrap_or_default());
                let reason = format!("a file beside it is of project `{}` too", steps.project);
                return Err(InputError::Faults { faults: vec![Fault { place, reason }] });
            }
            self.add(steps);
        }
        Ok(())
    }

    /// The steps of `project`, when it has some.
    #[must_use]
    pub fn get(&self, project: &AccountName) -> Option<&ProjectSteps> {
        self.0.get(project)
    }
}

fn toml_files(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| InputError::Read { origin: path.display().to_string(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
