//! `loci install`: a service from a set of wheels, without a network.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use url::Url;

use super::exit::CliError;
use super::index_args::IndexArgs;
use super::output;
use super::project_arg;
use super::run_args::{GlobalArgs, block_on, paint};
use super::shop_args::ShopArgs;
use crate::image::reference::Reference;
use crate::input::project::ProjectSource;
use crate::input::requirements::parse_packages;
use crate::pipeline::compose::{SourcedProject, Wants};
use crate::pipeline::error::PipelineError;
use crate::pipeline::events::Events;
use crate::pipeline::install::{InstallJob, install_service};
use crate::report::summary;
use crate::resolve::resolution::ResolveError;
use crate::service::environment::Visible;
use crate::service::prefix::{Existing, Prefix};
use crate::vocab::requirement::{ExtraName, Requirement};

#[derive(Debug, Args)]
#[command(after_help = "\
The project is the set's own wheel of it, or is built from its source; all that it needs, to run and
to be built, comes from the set. The network is used only for a source, or a set, that is elsewhere.

Examples:
  loci install keystone --wheels dir:wheels --prefix /var/lib/openstack
  loci install keystone --wheels loci/requirements:master-ubuntu --prefix /var/lib/openstack
  loci install nova --wheels oci:requirements:master --prefix /tmp/nova --project-repo ./nova
  loci install neutron --wheels store: --prefix /tmp/neutron \\
      --project-repo https://opendev.org/openstack/neutron --project-ref stable/2025.2")]
pub(super) struct InstallArgs {
    /// The project to install
    #[arg(env = "PROJECT", value_name = "PROJECT")]
    project: String,
    // Its help is no documentation, in which this would have to be a link.
    #[arg(
        long,
        env = "WHEELS",
        value_name = "SRC",
        help = "The set of wheels: docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], \
                docker-archive:FILE[:NAME], tar:FILE, dir:DIR, store:[TAG] or the URL of a tarball"
    )]
    wheels: String,
    /// The directory to make the environment in
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// The project's source: a directory, an archive, a git URL, or `pypi` for the index
    #[arg(long, env = "PROJECT_REPO", value_name = "PATH|URL|pypi")]
    project_repo: Option<String>,
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
    /// More projects to install from the set, separated by spaces
    #[arg(
        long,
        env = "PIP_PACKAGES",
        value_name = "REQUIREMENTS",
        default_value = "",
        hide_default_value = true
    )]
    pip_packages: String,
    /// Pins to keep to, instead of those the set brings, repeatable
    #[arg(short, long = "constraints", alias = "constraint", value_name = "FILE|URL")]
    constraints: Vec<String>,
    /// Replace whatever is at the prefix
    #[arg(long)]
    clear: bool,
    /// Let the environment see its Python's own packages, such as python3-rbd
    #[arg(long)]
    system_site_packages: bool,
    #[command(flatten)]
    shop: ShopArgs,
    #[command(flatten)]
    index: IndexArgs,
}

/// Runs `loci install`.
pub(super) fn run(global: &GlobalArgs, args: &InstallArgs) -> Result<ExitCode, CliError> {
    let project = project(args)?;
    let wheels = args.wheels.parse::<Reference>()?;
    let packages = parse_packages(&args.pip_packages, "--pip-packages")?;
    let prefix = Prefix {
        path: settled(&args.prefix).map_err(|source| CliError::Output {
            to: format!("`{}`", args.prefix.display()),
            source,
        })?,
        existing: if args.clear { Existing::Replace } else { Existing::Keep },
        visible: if args.system_site_packages { Visible::System } else { Visible::Own },
    };
    let source = source(args, args.project.split('[').next().unwrap_or_default())?;
    let display = global.display();
    // It asks the Python and waits for its answer: a signal must not have to wait for that.
    let workshop = args.shop.open(global, &args.index, Events::to(display.reporter()))?;
    let outcome = block_on(async move {
        let _lease = workshop.store.lease()?;
        let constraints = workshop.documents(&args.constraints).await?;
        let build_constraints = args.shop.build_constraints(&workshop).await?;
        let job = InstallJob {
            wants: Wants {
                project: SourcedProject { requirement: project, source },
                extra: Vec::new(),
                packages,
                build_constraints,
            },
            constraints,
            wheels,
            prefix,
        };
        install_service(Arc::clone(&workshop), job).await.map_err(|error| match &error {
            PipelineError::Resolve(cause) if matches!(**cause, ResolveError::Conflict(_)) => {
                CliError::Unmet(error)
            }
            _ => error.into(),
        })
    });
    drop(display);
    let installed = outcome?;
    global.say(&summary::installed(&installed, paint()));
    if global.json {
        output::print_json(&installed)?;
    }
    Ok(ExitCode::SUCCESS)
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

/// The project, with the extras that are asked for in either way.
fn project(args: &InstallArgs) -> Result<Requirement, CliError> {
    let mut project = project_arg::parse(&args.project)?;
    if project.version_or_url.is_some() {
        return Err(CliError::Value {
            option: "PROJECT",
            text: args.project.clone(),
            reason: "asks for a version, which `--project-repo` or the set decides".into(),
        });
    }
    for text in args.extras.split([',', ' ']).filter(|text| !text.is_empty()) {
        let extra = ExtraName::new(text.to_owned()).map_err(|_| CliError::Value {
            option: "--extras",
            text: text.into(),
            reason: "is not the name of an extra".into(),
        })?;
        project.extras.push(extra);
    }
    Ok(project)
}

/// Where the project's source is: none to take its wheel from the set. A reference alone is one of the
/// project's own repository.
fn source(args: &InstallArgs, project: &str) -> Result<Option<ProjectSource>, CliError> {
    let reference = args.project_ref.as_deref();
    let text = match (&args.project_repo, reference) {
        (Some(text), _) => text,
        (None, Some(_)) => project,
        (None, None) => return Ok(None),
    };
    let here = |path: &Path| {
        std::path::absolute(path)
            .map_err(|source| CliError::Output { to: path.display().to_string(), source })
    };
    // Paths are the user's, of the directory the command runs in; git runs in another, and what is
    // installed says where it came from, by a URL (PEP 610).
    Ok(Some(match ProjectSource::parse(text, reference)? {
        ProjectSource::Directory(path) => ProjectSource::Directory(here(&path)?),
        ProjectSource::Archive(path) => ProjectSource::Archive(here(&path)?),
        ProjectSource::Git { url, reference } if !url.contains(':') => {
            let path = here(Path::new(&url))?;
            let url = Url::from_file_path(path).map_or(url, Into::into);
            ProjectSource::Git { url, reference }
        }
        other => other,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
