//! [`Tool`]: a program that fetches sources. It is no part of an image: a root that lacks it has it only for a while.

use super::compose::Wants;
use crate::input::project::ProjectSource;
use crate::service::steps::{Fetch, StepPlan};
use crate::vocab::distro::PackageManager;

/// A program that fetches sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    /// What clones repositories.
    Git,
    /// What git asks for those that are behind a login.
    Ssh,
}

impl Tool {
    /// What it is called.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Ssh => "ssh",
        }
    }

    /// The package that has it.
    pub(super) const fn package(self, manager: PackageManager) -> &'static str {
        match (self, manager) {
            (Self::Git, _) => "git",
            (Self::Ssh, PackageManager::Apt) => "openssh-client",
            (Self::Ssh, PackageManager::Dnf | PackageManager::Zypper) => "openssh-clients",
        }
    }
}

/// What fetches the sources of `wants` and of a service's steps, as they are planned.
pub(super) fn tools(wants: &Wants, plan: &StepPlan) -> Vec<Tool> {
    let projects = wants.sources().filter_map(|source| match source {
        ProjectSource::Git { url, .. } => Some(url.clone()),
        _ => None,
    });
    let steps = plan.fetches().into_iter().filter_map(|fetch| match fetch {
        Fetch::Git(git) => Some(git.url),
        Fetch::Download(_) => None,
    });
    let mut tools: Vec<_> =
        projects.chain(steps).flat_map(|url| tools_for(&url)).copied().collect();
    tools.sort();
    tools.dedup();
    tools
}

/// What clones the repository at `url`, which is one, a path, or `user@host:path`.
fn tools_for(url: &str) -> &'static [Tool] {
    let is_ssh = match url.split_once("://") {
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("ssh"),
        None => {
            url.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'))
        }
    };
    if is_ssh { &[Tool::Git, Tool::Ssh] } else { &[Tool::Git] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_behind_a_login_needs_ssh() {
        for (url, count) in [
            ("https://opendev.org/openstack/nova", 1),
            ("file:///srv/nova", 1),
            ("./nova@x:y", 1),
            ("/srv/nova", 1),
            ("ssh://review@review.opendev.org:29418/openstack/nova", 2),
            ("git@github.com:openstack/nova", 2),
        ] {
            assert_eq!(tools_for(url).len(), count, "{url}");
        }
        assert_eq!(Tool::Ssh.package(PackageManager::Dnf), "openssh-clients");
    }
}
