//! What to do next: one hint for an error where there is something to do.

use std::path::Path;

use super::exit::CliError;
use super::place_arg;
use crate::http::error::{HttpError, TlsFault};
use crate::image::error::ImageError;
use crate::image::registry::error::RegistryError;
use crate::image::registry::name::ImageName;
use crate::input::error::InputError;
use crate::pipeline::error::PipelineError;
use crate::resolve::conflict::Fact;
use crate::resolve::resolution::ResolveError;
use crate::serve::error::ServeError;
use crate::service::account::AccountError;
use crate::service::prefix::PrefixError;
use crate::service::root::error::RootError;
use crate::store::error::StoreError;
use crate::vocab::requirement::PackageName;

/// The hint for `error`, as a sentence without a full stop.
pub(super) fn hint(error: &CliError) -> Option<String> {
    if let CliError::Unmet(error) = error {
        let names: Vec<String> = lacking(error).iter().map(|name| format!("`{name}`")).collect();
        return (!names.is_empty()).then(|| {
            let names = names.join(" nor of ");
            format!(
                "the set has no wheel of {names}: add it with `loci build requirements --pip-packages`"
            )
        });
    }
    if let Some(hint) = image_hint(error) {
        return Some(hint);
    }
    if let CliError::Store(StoreError::Unclear { name, .. }) = error {
        return Some(format!(
            "run its job again, which writes it anew, or take the name away with `loci store untag {name}`"
        ));
    }
    let hint = match error {
        CliError::UnknownProject { .. } => {
            "give a list of your own with `--file`, or one beside those of every service with \
             `--extra-bindep`"
        }
        CliError::NoProject => "name one first, or give a list of your own with `--file`",
        CliError::OsRelease { .. } | CliError::Pipeline(PipelineError::UnknownDistro { .. }) => {
            "name the distribution with `--distro`"
        }
        CliError::Input(InputError::Read { origin, .. }) if origin.ends_with("/os-release") => {
            "name the distribution with `--distro`"
        }
        CliError::NoPackaging { .. } | CliError::Installed(_) => {
            "list all that is wanted, installed or not, with `-l newline`"
        }
        CliError::NoWheels | CliError::NoWheelsIn { .. } => {
            "name the set with `--wheels`, or WHEELS in the environment; loci's Dockerfile takes WHEELS, or \
             WHEELS_IMAGE for an image that the engine has, as a build argument"
        }
        CliError::NotRoot | CliError::RunningMachine => {
            "with `--prefix` only its Python environment is made; `loci build` makes an image of it all"
        }
        CliError::Rootless { reason, .. } => {
            return Some(format!(
                "without root it needs a user namespace, but {reason}; what the store remembers of the \
                 distribution's packages needs none"
            ));
        }
        CliError::Pipeline(PipelineError::Root(RootError::Private { .. })) => {
            "a container must be allowed to mount and to make namespaces (`--privileged`, or \
             `--security-opt seccomp=unconfined --cap-add SYS_ADMIN`); what the store remembers of the \
             distribution's packages needs neither"
        }
        CliError::Pipeline(
            PipelineError::OtherThere { name, .. } | PipelineError::SourcedThere { name, .. },
        ) => {
            return Some(format!("choose a base that has no `{name}` yet"));
        }
        CliError::Pipeline(PipelineError::StepSource { .. }) => {
            "name another repository by its variable, or leave the step out by setting that to nothing: \
             nova's are NOVNC_REPO and SPICE_REPO"
        }
        CliError::Pipeline(PipelineError::Account(
            AccountError::InUse { .. } | AccountError::OtherId { .. },
        )) => "choose other numbers with `--uid` and `--gid` (UID and GID)",
        CliError::NoStore => "give a directory with `--store`",
        CliError::Damaged { .. } => {
            "damaged blobs were set aside; run the job again and what is missing is obtained again"
        }
        CliError::Interrupted => "run the same command again: it goes on with what is missing",
        CliError::Interpreter(_) => "name the Python that wheels are for with `--python`",
        CliError::Pipeline(PipelineError::NoPython { .. }) => {
            "name another of the image's with `--python` (LOCI_PYTHON), install one with `--dist-packages` \
             (`python3`; on CentOS Stream and Rocky `python3.12`), or take another base"
        }
        CliError::Pipeline(PipelineError::NoBench(_)) => {
            "name one with `--build-python`, or leave out `--project-repo` and `--project-ref`: the set has \
             the project, too"
        }
        CliError::Pipeline(PipelineError::Unfit { .. }) => {
            "name a Python of this machine that is like the image's with `--build-python`"
        }
        CliError::Store(StoreError::Busy { .. })
        | CliError::Pipeline(PipelineError::Store(StoreError::Busy { .. })) => {
            "wait for it to end: it does the same work"
        }
        CliError::Serve(ServeError::Lacks { .. }) => {
            "run the job that made the set again, and what is missing is obtained again"
        }
        CliError::Serve(ServeError::Listen { source, .. }) => match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                "choose another address with `--listen`; `127.0.0.1:0` takes any port that is free"
            }
            _ => "choose another address with `--listen`",
        },
        CliError::Pipeline(PipelineError::Prefix(PrefixError::Exists { .. })) => {
            "choose another `--prefix`, or replace this one with `--clear`"
        }
        CliError::Pipeline(PipelineError::Prefix(PrefixError::NoEnvironment { .. })) => {
            "choose another `--prefix`, or remove what is there yourself"
        }
        CliError::Pipeline(PipelineError::Prefix(PrefixError::Link { .. })) => {
            "name the directory that it leads to with `--prefix`"
        }
        CliError::Pipeline(PipelineError::NoGit { .. }) => {
            "install git, or give a directory or an archive with `--project-repo`"
        }
        CliError::Pipeline(PipelineError::Resolve(error))
            if matches!(
                error.as_ref(),
                ResolveError::Versions { source: PipelineError::Unfit { .. }, .. }
            ) =>
        {
            "name the Python that the set was made for with `--python`"
        }
        _ => return None,
    };
    Some(hint.into())
}

/// The hint for an error of an image, a registry or a server.
fn image_hint(error: &CliError) -> Option<String> {
    let (image, http) = match error {
        CliError::Pipeline(PipelineError::Image(error)) => (Some(error), None),
        CliError::Pipeline(PipelineError::Http(error)) => (None, Some(error)),
        _ => return None,
    };
    let registry = match image {
        Some(ImageError::Registry(error)) => Some(error),
        Some(ImageError::NoImage { origin, .. }) => return path_of(origin),
        Some(ImageError::Store(StoreError::Damaged { .. })) => {
            return Some("set it aside with `loci store verify`, and run the job again".into());
        }
        _ => None,
    };
    match registry {
        Some(RegistryError::NoLogin { host, repository, .. }) => {
            let log_in = || format!("log in with `docker login {host}` or `podman login {host}`");
            return path_of(&format!("{host}/{repository}")).or_else(|| Some(log_in()));
        }
        Some(RegistryError::WrongLogin { host, .. }) => {
            return Some(format!(
                "log in anew with `docker login {host}` or `podman login {host}`"
            ));
        }
        Some(RegistryError::Denied { host, .. }) => {
            return Some(format!(
                "ask for leave there, or log in as somebody who has it with `docker login {host}`"
            ));
        }
        Some(RegistryError::OpenLogin { .. }) => {
            let hint = "say `--registry-protocol http` where everybody on the way may read it";
            return Some(hint.into());
        }
        _ => {}
    }
    let (http, is_registry) = match (registry, image, http) {
        (Some(RegistryError::Http(error)), ..) => (error, true),
        (_, Some(ImageError::Http(error)), _) | (_, _, Some(error)) => (error, false),
        _ => return None,
    };
    let source = match http {
        HttpError::Network { source, .. } => source,
        HttpError::Status { status, .. } if status.as_u16() == 401 => {
            return Some("put a login for it into `~/.netrc`, or into the URL".into());
        }
        _ => return None,
    };
    let hint = match (source.tls()?, is_registry) {
        (TlsFault::Certificate, true) => {
            "name who vouches for it with `--cert`, or accept any certificate with \
             `--registry-insecure`"
        }
        (TlsFault::Certificate, false) => {
            "name who vouches for it with `--cert`, or accept its certificate with `--trusted-host`"
        }
        (TlsFault::NotTls, true) => "where it speaks http, say `--registry-protocol http`",
        (TlsFault::NotTls, false) => "where it speaks http, write `http://`",
    };
    Some(hint.into())
}

/// When the name of an image is the path of something on this machine as well: how that is written.
fn path_of(name: &str) -> Option<String> {
    let name = name.parse::<ImageName>().ok()?;
    let (host, repository) = (name.host(), name.repository());
    let repository = repository.strip_prefix("library/").unwrap_or(repository);
    let tag = name.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let bases = [format!("{host}/{repository}"), repository.to_owned()];
    // Only Docker Hub's host can be left out.
    let bases = &bases[..if host == "docker.io" { 2 } else { 1 }];
    let written = bases.iter().flat_map(|base| [format!("{base}{tag}"), base.clone()]);
    let path = written.into_iter().find(|path| Path::new(path).exists())?;
    let kind = place_arg::kind(Path::new(&path));
    Some(format!("for what is at `{path}` on this machine, write `{kind}:{path}`"))
}

/// The projects that no solution was found without, and that the set has no wheel of.
fn lacking(error: &PipelineError) -> Vec<&PackageName> {
    let PipelineError::Resolve(error) = error else { return Vec::new() };
    let ResolveError::Conflict(conflict) = error.as_ref() else { return Vec::new() };
    let known = conflict.facts().iter().filter_map(|fact| match fact {
        Fact::Known { name, known, .. } if known.is_empty() => Some(name),
        _ => None,
    });
    known.collect()
}
