//! What to do next: one hint for an error where there is something to do.

use std::error::Error;

use super::exit::CliError;
use crate::http::error::NetworkFault;
use crate::image::error::ImageError;
use crate::image::registry::error::RegistryError;
use crate::pipeline::error::PipelineError;
use crate::resolve::conflict::Fact;
use crate::resolve::resolution::ResolveError;
use crate::serve::error::ServeError;
use crate::service::prefix::PrefixError;
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
    if let CliError::Pipeline(PipelineError::Image(ImageError::Registry(RegistryError::Denied {
        host,
        ..
    }))) = error
    {
        return Some(format!(
            "log in with `docker login {host}` or `podman login {host}`; a login in another file is \
             found by `DOCKER_CONFIG`"
        ));
    }
    if is_certificate(error) {
        let hint = "name the certificate authority with `--cert`, or accept any certificate of this \
                    host with `--trusted-host`";
        return Some(hint.into());
    }
    if let CliError::Store(StoreError::Unclear { name, .. }) = error {
        return Some(format!(
            "run its job again, which writes it anew, or take the name away with `loci store untag {name}`"
        ));
    }
    let hint = match error {
        CliError::NoStore => "give a directory with `--store`",
        CliError::Damaged { .. } => {
            "damaged blobs were set aside; run the job again and what is missing is obtained again"
        }
        CliError::Interrupted => "run the same command again: it goes on with what is missing",
        CliError::Interpreter(_) => "name the Python that wheels are for with `--python`",
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

/// Whether a server's certificate was refused.
fn is_certificate(error: &CliError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(NetworkFault::is_certificate) {
            return true;
        }
        cause = error.source();
    }
    false
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
