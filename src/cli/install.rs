//! `loci install`: a service from a set of wheels, without a network.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::exit::CliError;
use super::index_args::IndexArgs;
use super::output;
use super::place_arg;
use super::root_guard;
use super::run_args::{GlobalArgs, block_on, paint, source_date_epoch};
use super::service_args::{ServiceArgs, SystemArgs, given};
use super::shop_args::ShopArgs;
use crate::image::reference::Reference;
use crate::pipeline::compose::Wants;
use crate::pipeline::error::PipelineError;
use crate::pipeline::events::Events;
use crate::pipeline::install::{InstallJob, install_service};
use crate::pipeline::service_root::{PreparedRoot, REQUIREMENTS, RootJob, service_root};
use crate::report::summary;
use crate::resolve::resolution::ResolveError;
use crate::service::environment::Visible;
use crate::service::prefix::{Existing, Prefix};

/// The options that say what a service has beside its Python environment, by the names of their fields.
const ROOT_OPTIONS: [&str; 6] = ["dist_packages", "extra_bindep", "uid", "gid", "plugin", "steps"];

#[derive(Debug, Args)]
#[command(after_help = "\
The project is the set's own wheel of it, or is built from its source; all that it needs, to run and
to be built, comes from the set. The network is used only for a source, or a set, that is elsewhere.

With --prefix it is a Python environment, to which profiles add their Python packages. Without, in a Dockerfile's RUN and as root, it is the
whole service in this root file system: the distribution's packages, user and directories, the
environment at /var/lib/openstack, the project's steps, and what it is made of in
/etc/image_info. Nothing of what it was built with stays.

Examples:
  loci install keystone --wheels dir:wheels --prefix /var/lib/openstack
  RUN loci install keystone --wheels dir:/wheels --profiles 'apache ldap'
  loci install keystone --wheels loci/requirements:master-ubuntu --prefix /var/lib/openstack
  loci install nova --wheels oci:requirements:master --prefix /tmp/nova --project-repo ./nova
  loci install neutron --wheels store: --prefix /tmp/neutron \\
      --project-repo https://opendev.org/openstack/neutron --project-ref stable/2025.2")]
pub(super) struct InstallArgs {
    /// The project to install; `requirements` is what wheels are compiled with
    #[arg(env = "PROJECT", value_name = "PROJECT")]
    project: String,
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        long,
        env = "WHEELS",
        value_name = "SRC",
        help = "The set of wheels: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], \
                docker-archive:FILE[:NAME], tar:FILE, dir:DIR, store:[TAG] or the URL of a tarball",
        default_value = "",
        hide_default_value = true
    )]
    wheels: String,
    /// The directory to make the environment in, and nothing else; without it the service goes into this root
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Pins to keep to, instead of those the set brings, repeatable
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// Replace whatever is at the prefix
    #[arg(long, requires = "prefix")]
    clear: bool,
    /// Let the environment see its Python's own packages, such as python3-rbd
    #[arg(long, requires = "prefix")]
    system_site_packages: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
}

/// Runs `loci install`, as it was read from `matches`.
pub(super) fn run(
    global: &GlobalArgs,
    args: &InstallArgs,
    matches: &ArgMatches,
) -> Result<ExitCode, CliError> {
    match &args.prefix {
        Some(prefix) => {
            if let Some(option) = meant_for_a_root(matches) {
                return Err(CliError::NotWithPrefix { option });
            }
            into_prefix(global, args, prefix)
        }
        None => into_root(global, args),
    }
}

/// The first option that was typed and means nothing for an environment alone. Variables are those of a whole
/// Dockerfile, and are no fault.
fn meant_for_a_root(matches: &ArgMatches) -> Option<String> {
    let matches = matches.subcommand_matches("install")?;
    let is_typed = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    ROOT_OPTIONS.iter().find(is_typed).map(|id| format!("--{}", id.replace('_', "-")))
}

fn into_prefix(
    global: &GlobalArgs,
    args: &InstallArgs,
    prefix: &Path,
) -> Result<ExitCode, CliError> {
    let (name, mut wants) = args.service.wants(&args.project)?;
    let python_packages = args.system.python_packages(&name)?;
    wants.packages.extend(python_packages.requirements);
    let wheels = wheels(Some(&args.wheels))?;
    let prefix = Prefix {
        path: settled(prefix)
            .map_err(|source| CliError::Output { to: format!("`{}`", prefix.display()), source })?,
        existing: if args.clear { Existing::Replace } else { Existing::Keep },
        visible: if args.system_site_packages { Visible::System } else { Visible::Own },
    };
    let display = global.display();
    // It asks the Python and waits for its answer: a signal must not have to wait for that.
    let events = Events::to(display.reporter());
    for profile in python_packages.unknown {
        events.warn(format!(
            "nothing asks for the profile `{profile}` in the Python packages of `{name}`"
        ));
    }
    let workshop = args.shop.open(global, &args.index, events)?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let constraints = workshop.documents(&args.constraints).await?;
        let build_constraints = args.shop.build_constraints(&workshop).await?;
        let wants = Wants { build_constraints, ..wants };
        let job = InstallJob { wants, constraints, wheels, prefix };
        install_service(Arc::clone(&workshop), job).await.map_err(unmet)
    });
    drop(display);
    let installed = outcome?;
    global.say(&summary::installed(&installed, paint()));
    if global.json {
        output::print_json(&installed)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a Dockerfile's RUN does. Without a store that was asked for there is one only for a while: nothing of
/// it is to be in the image.
fn into_root(global: &GlobalArgs, args: &InstallArgs) -> Result<ExitCode, CliError> {
    root_guard::check()?;
    root_guard::open_up();
    let (name, wants) = args.service.wants(&args.project)?;
    let spec = args.system.spec(&name, wants)?;
    let epoch = source_date_epoch()?;
    let display = global.display();
    let events = Events::to(display.reporter());
    if name == REQUIREMENTS {
        let prepared = block_on(async { Ok(PreparedRoot::prepare(&spec, epoch, &events).await?) });
        drop(display);
        let site = prepared?.site;
        global.say(&summary::prepared(site.packages.count(), paint()));
        if global.json {
            output::print_json(&serde_json::json!({
                "project": name,
                "distribution": site.packages.listed(),
            }))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wheels = wheels(Some(&args.wheels))?;
    let (global, _scratch) = global.with_scratch_store()?;
    let ground = block_on(async { Ok(PreparedRoot::prepare(&spec, epoch, &events).await?) })?;
    let workshop = args.shop.open(&global, &args.index, events)?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let constraints = workshop.documents(&args.constraints).await?;
        let mut ground = ground;
        ground.site.wants.build_constraints = args.shop.build_constraints(&workshop).await?;
        let job = RootJob { spec, ground, wheels, constraints, epoch };
        service_root(Arc::clone(&workshop), job).await.map_err(unmet)
    });
    drop(display);
    let made = outcome?;
    global.say(&summary::in_root(&made, paint()));
    if global.json {
        output::print_json(&made)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The errors of a set that lacks something are told apart: nothing else was asked.
pub(in crate::cli) fn unmet(error: PipelineError) -> CliError {
    match &error {
        PipelineError::Resolve(cause) if matches!(**cause, ResolveError::Conflict(_)) => {
            CliError::Unmet(error)
        }
        _ => error.into(),
    }
}

/// The set that `text` names. Before anything is installed, a directory must have wheels in it: in a Dockerfile one
/// is mounted where there may be none.
pub(in crate::cli) fn wheels(text: Option<&str>) -> Result<Reference, CliError> {
    let reference = place_arg::any(given(text).ok_or(CliError::NoWheels)?)?;
    if let Reference::Directory(dir) = &reference
        && let Ok(entries) = std::fs::read_dir(dir)
    {
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if !names.any(|name| name.ends_with(".whl")) {
            return Err(CliError::NoWheelsIn { place: reference.to_string() });
        }
    }
    Ok(reference)
}

/// The path, absolute and without `..`, as scripts are to name it. Symbolic links stay as they are
/// written: people name stable places by them.
fn settled(path: &Path) -> io::Result<PathBuf> {
    let mut settled = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        if component == Component::ParentDir {
            // What is above a link's target is not what is above the link. Nothing links from where
            // there is nothing yet.
            settled = match std::fs::canonicalize(&settled) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => settled,
                other => other?,
            };
            settled.pop();
        } else {
            settled.push(component);
        }
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_for_a_root_is_no_option_of_a_prefix() {
        let command = crate::cli::testing::command();
        let read = |words: &str| {
            let words = ["loci", "install", "x"].into_iter().chain(words.split_whitespace());
            meant_for_a_root(&command.clone().try_get_matches_from(words).unwrap())
        };
        assert_eq!(
            read("--prefix p --profiles x --extra-pydep x --distro x --project-release x"),
            None
        );
        for id in ROOT_OPTIONS {
            let option = format!("--{}", id.replace('_', "-"));
            assert_eq!(read(&format!("--prefix p {option} 1")), Some(option));
        }
    }

    #[test]
    fn a_prefix_has_no_way_back_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(here.join("a/b")).unwrap();
        std::os::unix::fs::symlink(here.join("a/b"), here.join("link")).unwrap();
        for (text, path) in [
            ("p/", "p"),
            ("a/../p", "p"),
            ("a/./b/../../p/q", "p/q"),
            ("missing/../p", "p"),
            ("link/../p", "a/p"),
            ("link/p", "link/p"),
            ("link", "link"),
        ] {
            assert_eq!(settled(&here.join(text)).unwrap(), here.join(path), "{text}");
        }
        assert_eq!(settled(Path::new("/../../p")).unwrap(), Path::new("/p"));
    }
}
