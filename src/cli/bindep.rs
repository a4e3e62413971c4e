//! `loci bindep`: the packages that a project and its profiles want, as PyPI's `bindep` says them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::distro_arg;
use super::exit::CliError;
use super::output;
use super::run_args::{GlobalArgs, paint};
use super::words_arg::{self, Words};
use crate::input::bindep::active::Active;
use crate::input::bindep::{BindepFile, PackageRequest};
use crate::input::document::Document;
use crate::input::error::InputError;
use crate::input::lists::{self, Kind};
use crate::service::installed::{Unfit, Unmet};
use crate::vocab::distro::Distro;

#[derive(Debug, Args)]
#[command(after_help = "\
Says which of them this machine lacks, and ends with 1 when it lacks any; with `-l` it says all of
them, and asks nothing. The lists are loci's own; with `-f` it is PyPI's `bindep`, and what would
be the project is a profile as well.

Examples:
  loci bindep keystone apache ldap
  loci bindep -b nova ceph qemu
  loci bindep -l newline neutron openvswitch --distro ubuntu-24.04
  loci bindep -l newline --pydep keystone ldap
  loci bindep -f bindep.txt -l csv test
  loci bindep keystone --profiles")]
pub(super) struct BindepArgs {
    /// The project
    #[arg(env = "PROJECT", value_name = "PROJECT")]
    project: Option<String>,
    /// Profiles to match
    #[arg(value_name = "PROFILE")]
    profile: Vec<String>,
    /// More of them, separated by spaces; without any, all that there are are listed
    #[arg(long, env = "PROFILES", value_name = "PROFILES", num_args = 0..=1)]
    profiles: Option<Option<String>>,
    /// Rules to read in place of loci's own, repeatable; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Rules to read beside loci's own, repeatable
    #[arg(long, env = "EXTRA_BINDEP", value_name = "FILE")]
    extra_bindep: Vec<Words>,
    /// The same for `--pydep`
    #[arg(long, env = "EXTRA_PYDEP", value_name = "FILE")]
    extra_pydep: Vec<Words>,
    /// List the Python packages instead, which come from the set of wheels
    #[arg(long)]
    pydep: bool,
    /// Say only the names of packages that are missing, one a line
    #[arg(short, long)]
    brief: bool,
    /// List all packages that are wanted, missing or not
    #[arg(short, long, aliases = ["list_all", "list"], value_name = "FORMAT", value_enum)]
    list_all: Option<Format>,
    /// The distribution, such as `debian-12`, or an os-release file [default: this machine's]
    #[arg(long, env = "DISTRO", value_name = "NAME|FILE")]
    distro: Option<String>,
    /// The branch of the project, which is a profile of `--pydep`, as in LOCI
    #[arg(long, env = "PROJECT_RELEASE", value_name = "BRANCH")]
    project_release: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Newline,
    Csv,
}

/// Runs `loci bindep`.
pub(super) fn run(global: &GlobalArgs, args: &BindepArgs) -> Result<ExitCode, CliError> {
    let distro = distro_arg::distro(args.distro.as_deref())?;
    let wants_profiles = args.profiles == Some(None);
    let rules = args.rules(wants_profiles)?;
    if wants_profiles {
        return print_profiles(global, &rules, &distro);
    }
    args.warn_of_unknown(global, &rules);
    let active = args.active(&distro);
    let packages = rules.packages(&active);
    if args.pydep {
        // A name that is none is a fault here, and not of whoever reads the list.
        rules.requirements(&active)?;
    }
    match args.list_all {
        None if !args.pydep => print_unmet(global, args.brief, &packages, &distro),
        format => print_list(global, format.unwrap_or(Format::Newline), &packages),
    }
}

impl BindepArgs {
    fn kind(&self) -> Kind {
        if self.pydep { Kind::Python } else { Kind::Distribution }
    }

    /// The rules that were asked for, one file after the other. Of no project in particular there are
    /// those of all, where only profiles are asked for.
    fn rules(&self, of_any: bool) -> Result<BindepFile, CliError> {
        if !self.file.is_empty() {
            return joined(BindepFile::default(), self.file.iter().map(PathBuf::as_path));
        }
        let extra = if self.pydep { &self.extra_pydep } else { &self.extra_bindep };
        let extra: Vec<_> = words_arg::all(extra).map(Path::new).collect();
        let own = match &self.project {
            Some(project) => match lists::of_project(project, self.kind()) {
                Some(own) => own,
                None if !extra.is_empty() => lists::of_every_service(self.kind()),
                None => return Err(CliError::UnknownProject { project: project.clone() }),
            },
            None if of_any => lists::projects()
                .filter_map(|project| lists::of_project(project, self.kind()))
                .fold(BindepFile::default(), |mut all, own| {
                    all.join(own);
                    all
                }),
            None => return Err(CliError::NoProject),
        };
        joined(own, extra.into_iter())
    }

    /// The profiles that were chosen, in any of the ways.
    fn chosen(&self) -> impl Iterator<Item = &str> {
        let more = self.profiles.iter().flatten().flat_map(|text| text.split_whitespace());
        self.profile.iter().map(String::as_str).chain(more)
    }

    fn active(&self, distro: &Distro) -> Active {
        let release = self.project_release.as_deref().filter(|_| self.pydep);
        let chosen = self.chosen().chain(release);
        match &self.project {
            Some(project) if self.file.is_empty() => Active::of_project(project, chosen, distro),
            project => Active::new(project.as_deref().into_iter().chain(chosen), distro),
        }
    }

    /// Warns of profiles that nothing asks for: most of them are misspelt.
    fn warn_of_unknown(&self, global: &GlobalArgs, rules: &BindepFile) {
        let mut known = rules.profiles().user;
        if self.file.is_empty() {
            known.extend(lists::profiles());
        }
        let unknown: Vec<_> = lists::unknown(self.chosen(), &known).collect();
        let names = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for profile in unknown {
            let known = if names.is_empty() { "there are none" } else { "known are " };
            let warning = paint().odd("warning:");
            global.say(&format!("{warning} profile `{profile}` is in no rule; {known}{names}\n"));
        }
    }
}

/// `rules`, and behind them those of `files`.
fn joined<'a>(
    mut rules: BindepFile,
    files: impl Iterator<Item = &'a Path>,
) -> Result<BindepFile, CliError> {
    for file in files {
        rules.join(BindepFile::parse(&read(file)?)?);
    }
    Ok(rules)
}

fn read(file: &Path) -> Result<Document, CliError> {
    if file != Path::new("-") {
        return Ok(Document::read(file)?);
    }
    let mut text = String::new();
    let origin = "standard input".to_owned();
    match std::io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(Document::new(origin, text)),
        Err(source) => Err(InputError::Read { origin, source }.into()),
    }
}

fn print_profiles(
    global: &GlobalArgs,
    rules: &BindepFile,
    distro: &Distro,
) -> Result<ExitCode, CliError> {
    let (platform, user) = (distro.platform_profiles(), rules.profiles().user);
    if global.json {
        let distro = distro.to_string();
        let profiles = json!({ "distro": distro, "platform": platform, "configuration": user });
        output::print_json(&profiles)?;
    } else {
        let mut text = String::from("Platform profiles:\n");
        text.extend(platform.iter().map(|profile| format!("{profile}\n")));
        text.push_str("\nConfiguration profiles:\n");
        text.extend(user.iter().map(|profile| format!("{profile}\n")));
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(
    global: &GlobalArgs,
    format: Format,
    packages: &[PackageRequest],
) -> Result<ExitCode, CliError> {
    if global.json {
        let packages: Vec<_> = packages
            .iter()
            .map(|PackageRequest { name, conditions, .. }| {
                let conditions: Vec<_> = conditions.iter().map(ToString::to_string).collect();
                json!({ "name": name, "conditions": conditions })
            })
            .collect();
        output::print_json(&packages)?;
        return Ok(ExitCode::SUCCESS);
    }
    let separator = match format {
        Format::Newline => "\n",
        Format::Csv => ",",
    };
    let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    // No name is no line: an empty one would be read as a package without a name.
    let end = if names.is_empty() { "" } else { "\n" };
    output::print(&format!("{}{end}", names.join(separator)))?;
    Ok(ExitCode::SUCCESS)
}

fn print_unmet(
    global: &GlobalArgs,
    brief: bool,
    packages: &[PackageRequest],
    distro: &Distro,
) -> Result<ExitCode, CliError> {
    let packaging =
        distro.packaging().ok_or_else(|| CliError::NoPackaging { distro: distro.to_string() })?;
    let unmet = Unmet::of(packages, packaging)?;
    if global.json {
        let unfit: Vec<_> = unmet
            .unfit
            .iter()
            .map(|Unfit { name, condition, installed }| {
                json!({ "name": name, "condition": condition.to_string(), "installed": installed })
            })
            .collect();
        output::print_json(&json!({ "missing": unmet.missing, "unfit": unfit }))?;
    } else {
        output::print(&words(&unmet, brief))?;
    }
    Ok(ExitCode::from(u8::from(!unmet.is_empty())))
}

/// What is not there, in the words of PyPI's `bindep`.
fn words(unmet: &Unmet, brief: bool) -> String {
    let missing: Vec<_> = unmet.missing.iter().map(String::as_str).collect();
    let mut text = String::new();
    match (brief, missing.is_empty()) {
        (_, true) => {}
        (true, _) => text.push_str(&format!("{}\n", missing.join("\n"))),
        (false, _) => text.push_str(&format!("Missing packages:\n    {}\n", missing.join(" "))),
    }
    if !brief && !unmet.unfit.is_empty() {
        text.push_str("Bad versions of installed packages:\n");
        for Unfit { name, condition, installed } in &unmet.unfit {
            text.push_str(&format!("    {name} version {installed} does not match {condition}\n"));
        }
    }
    text
}
