//! Distribution packages in a root: installed, removed and listed by the distribution's own manager, whose
//! scripts make users and settings that no unpacking would.

pub mod name;
pub mod plan;
pub mod trouble;
mod policy;

use std::cell::Cell;
use std::collections::BTreeMap;

use self::name::PackageName;
use self::plan::{installed, resolved};
use self::policy::Policy;
use self::trouble::{Trouble, Watch};
use super::root::difference::Difference;
use super::root::error::RootError;
use super::root::leftovers::Leftovers;
use super::root::run::{CommandLine, Root};
use super::root::snapshot::Snapshot;
use crate::vocab::distro::PackageManager;

/// zypper's ways to say that it is done, but something should be restarted (`zypper(8)`, "Exit codes").
const RESTART: [i32; 2] = [102, 103];

/// The packages of a root.
#[derive(Debug)]
pub struct Packages<'a> {
    root: &'a Root,
    manager: PackageManager,
    program: &'static str,
    distribution: String,
    /// Whether the manager knows what there is.
    fresh: Cell<bool>,
}

/// What has become different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Packages that were not there, with their versions.
    pub added: BTreeMap<String, String>,
    /// Packages that were there in another version, with those they have now.
    pub updated: BTreeMap<String, String>,
    /// Packages that are not there any more, with the versions they had.
    pub removed: BTreeMap<String, String>,
}

/// Packages that could not be installed, removed or listed.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The root has no program of the package manager.
    #[error("{distribution} is said to have `{program}`, and this root has not")]
    Manager {
        /// The distribution, as people call it.
        distribution: String,
        /// The program.
        program: &'static str,
    },
    /// The manager failed, for a reason it told.
    #[error("{}", worded(trouble, distribution))]
    Trouble {
        /// The distribution, as people call it.
        distribution: String,
        /// Why.
        trouble: Trouble,
        /// The last lines it said.
        log: Vec<String>,
    },
    /// The manager failed.
    #[error("`{command}` failed in {distribution} ({code}){}", said(log))]
    Failed {
        /// The distribution, as people call it.
        distribution: String,
        /// The program and what it was to do.
        command: String,
        /// How it ended.
        code: std::process::ExitStatus,
        /// The last lines it said.
        log: Vec<String>,
    },
    /// The root itself.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl<'a> Packages<'a> {
    /// The packages of `root`, which is one of `distribution`, as people call it.
    ///
    /// # Errors
    /// [`PackagesError::Manager`] when the root has no program of this manager.
    pub fn new(
        root: &'a Root,
        manager: PackageManager,
        distribution: &str,
    ) -> Result<Self, PackagesError> {
        let programs = manager.programs();
        let program = programs.iter().find(|program| root.has_program(program));
        match program {
            Some(program) => {
                let fresh = Cell::new(false);
                Ok(Self { root, manager, program, distribution: distribution.into(), fresh })
            }
            None => Err(PackagesError::Manager {
                distribution: distribution.into(),
                program: programs[0],
            }),
        }
    }

    /// The installed packages and their versions, by name.
    ///
    /// # Errors
    /// [`PackagesError::Failed`], [`PackagesError::Root`].
    pub fn installed(&self) -> Result<BTreeMap<String, String>, PackagesError> {
        let mut lines = Vec::new();
        self.run(&self.manager.list(), &mut |line| lines.push(line.to_owned()))?;
        Ok(installed(lines.iter().map(String::as_str)))
    }

    /// The packages that [`Packages::install`] would install or upgrade, with their versions; none when the manager
    /// does not say. What it fetches to know that stays.
    ///
    /// # Errors
    /// [`PackagesError`].
    pub fn resolve(
        &self,
        names: &[PackageName],
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Option<BTreeMap<String, String>>, PackagesError> {
        let (_, missing) = Self::split(names, &self.installed()?);
        if missing.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let Some(command) = self.manager.resolve(self.program, &missing) else { return Ok(None) };
        self.refresh(on_line)?;
        let mut lines = Vec::new();
        self.run(&command, &mut |line| {
            lines.push(line.to_owned());
            on_line(line);
        })?;
        Ok(Some(resolved(lines.iter().map(String::as_str))))
    }

    /// Installs those of `names` that are not installed, with what they depend on and nothing they only recommend,
    /// and removes what the manager leaves behind. No service is started. `on_line` hears what is said.
    ///
    /// # Errors
    /// [`PackagesError`]; some may be installed then.
    pub fn install(
        &self,
        names: &[PackageName],
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Changed, PackagesError> {
        let before = self.installed()?;
        let (_, missing) = Self::split(names, &before);
        if missing.is_empty() {
            return Ok(Changed::default());
        }
        self.tidily(|| {
            self.refresh(on_line)?;
            self.change(&before, &self.manager.install(self.program, &missing), on_line)
        })
    }

    /// Removes those of `names` that are installed, with their settings, and nothing else but what needs one of them.
    ///
    /// # Errors
    /// [`PackagesError`]; some may be removed then.
    pub fn remove(
        &self,
        names: &[PackageName],
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Changed, PackagesError> {
        let before = self.installed()?;
        let (there, _) = Self::split(names, &before);
        if there.is_empty() {
            return Ok(Changed::default());
        }
        let plan = self.manager.remove(self.program, &there);
        self.tidily(|| self.change(&before, &plan, on_line))
    }

    /// Those that are installed, and those that are not.
    fn split(
        names: &[PackageName],
        installed: &BTreeMap<String, String>,
    ) -> (Vec<PackageName>, Vec<PackageName>) {
        let is_there =
            |name: &PackageName| installed.iter().any(|(found, version)| name.is(found, version));
        names.iter().cloned().partition(is_there)
    }

    fn refresh(&self, on_line: &mut dyn FnMut(&str)) -> Result<(), PackagesError> {
        if !self.fresh.get() {
            for command in self.manager.refresh(self.program) {
                self.run(&command, on_line)?;
            }
            self.fresh.set(true);
        }
        Ok(())
    }

    /// Does it, and removes what the manager then leaves behind.
    fn tidily(
        &self,
        change: impl FnOnce() -> Result<Changed, PackagesError>,
    ) -> Result<Changed, PackagesError> {
        let dir = self.root.dir();
        let snapshot = Snapshot::of(dir)?;
        let changed = change()?;
        Difference::settle(&snapshot, dir, &Leftovers::of_packages())?;
        self.fresh.set(false);
        Ok(changed)
    }

    fn change(
        &self,
        before: &BTreeMap<String, String>,
        plan: &[CommandLine],
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Changed, PackagesError> {
        let policy = match self.manager {
            PackageManager::Apt => Some(Policy::deny(self.root.dir())?),
            PackageManager::Dnf | PackageManager::Zypper => None,
        };
        for command in plan {
            self.run(command, on_line)?;
        }
        drop(policy);
        let after = self.installed()?;
        Ok(Changed::between(before, &after))
    }

    /// Runs a command that must not fail.
    fn run(
        &self,
        command: &CommandLine,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<(), PackagesError> {
        let mut watch = Watch::default();
        let output = self.root.run(command, &mut |line| {
            watch.line(line);
            on_line(line);
        })?;
        let is_done = output.status.success()
            || (self.manager == PackageManager::Zypper
                && output.status.code().is_some_and(|code| RESTART.contains(&code)));
        if is_done {
            return Ok(());
        }
        let distribution = self.distribution.clone();
        let log = output.tail;
        Err(match watch.trouble() {
            Some(trouble) => PackagesError::Trouble { distribution, trouble, log },
            None => {
                let is_verb = |word: &&String| word.bytes().all(|byte| byte.is_ascii_lowercase());
                let verb = command.arguments.iter().find(is_verb).cloned().unwrap_or_default();
                let command = format!("{} {verb}", command.program).trim_end().to_owned();
                PackagesError::Failed { distribution, command, code: output.status, log }
            }
        })
    }
}

fn said(log: &[String]) -> String {
    if log.is_empty() { String::new() } else { format!(":\n  {}", log.join("\n  ")) }
}

fn worded(trouble: &Trouble, distribution: &str) -> String {
    match trouble {
        Trouble::Missing { .. } => format!("{trouble} in {distribution}"),
        _ => format!("cannot change the packages of {distribution}: {trouble}"),
    }
}

impl Changed {
    fn between(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Self {
        let own = |(name, version): (&String, &String)| (name.clone(), version.clone());
        let is_other = |(n, v): &(&String, &String)| before.get(*n).is_some_and(|old| old != *v);
        Self {
            added: after.iter().filter(|(n, _)| !before.contains_key(*n)).map(own).collect(),
            updated: after.iter().filter(is_other).map(own).collect(),
            removed: before.iter().filter(|(n, _)| !after.contains_key(*n)).map(own).collect(),
        }
    }
}
