//! [`Ignored`]: what a package manager leaves behind that belongs into no image.
//!
//! Caches, logs, backups, locks and what is true for one machine only. Most of it differs from run to run;
//! all of it is either worthless in an image or made anew where it is wanted.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It is not ignored after all.
    Kept,
    /// It and everything below it.
    All,
    /// Everything below it.
    Below,
    /// All below it but directories: those have owners that services rely on.
    Files,
}

/// The first that fits a path decides.
const RULES: [(&str, What); 46] = [
    ("dev", What::Below),
    ("proc", What::Below),
    ("sys", What::Below),
    ("run", What::Below),
    ("tmp", What::Below),
    ("var/tmp", What::Below),
    // debconf keeps answers where others have caches; apt in a child image needs them.
    ("var/cache/debconf/config.dat", What::Kept),
    ("var/cache/debconf/passwords.dat", What::Kept),
    ("var/cache/debconf/templates.dat", What::Kept),
    ("var/cache/apt", What::Below),
    ("var/cache/dnf", What::Below),
    ("var/cache/libdnf5", What::Below),
    ("var/cache/yum", What::Below),
    ("var/cache/zypp", What::Below),
    ("var/cache", What::Files),
    ("var/log", What::Files),
    ("var/lib/apt/lists", What::Below),
    ("var/lib/apt/periodic", What::Files),
    // Locks.
    ("etc/.pwd.lock", What::All),
    ("usr/lib/sysimage/rpm/.rpm.lock", What::All),
    ("var/lib/dpkg/lock", What::All),
    ("var/lib/dpkg/lock-frontend", What::All),
    ("var/lib/dpkg/triggers/Lock", What::All),
    ("var/lib/rpm/.rpm.lock", What::All),
    // What was before the last change.
    ("etc/group-", What::All),
    ("etc/gshadow-", What::All),
    ("etc/passwd-", What::All),
    ("etc/shadow-", What::All),
    ("etc/subgid-", What::All),
    ("etc/subuid-", What::All),
    ("var/lib/dpkg/available-old", What::All),
    ("var/lib/dpkg/diversions-old", What::All),
    ("var/lib/dpkg/statoverride-old", What::All),
    ("var/lib/dpkg/status-old", What::All),
    // What is true for one machine.
    ("etc/hostname", What::All),
    ("etc/hosts", What::All),
    ("etc/mtab", What::All),
    ("etc/resolv.conf", What::All),
    ("var/lib/systemd/random-seed", What::All),
    // What is put there while packages are installed, so that none starts a service.
    ("usr/sbin/policy-rc.d", What::All),
    // What programs leave in the home of who runs them.
    ("root/.bash_history", What::All),
    ("root/.cache", What::All),
    ("root/.dbus", What::All),
    ("root/.gnupg", What::All),
    ("root/.local/share/gnupg", What::All),
    ("root/.wget-hsts", What::All),
];

/// Paths in a root that are neither changes nor removals, whatever happens to them.
#[derive(Debug, Clone, Default)]
pub struct Ignored {
    more: Vec<PathBuf>,
}

impl Ignored {
    /// What apt, dnf and zypper leave behind.
    #[must_use]
    pub fn leftovers() -> Self {
        Self::default()
    }

    /// These, and `path` in the root with all that is below it.
    #[must_use]
    pub fn and(mut self, path: &Path) -> Self {
        self.more.push(path.strip_prefix("/").unwrap_or(path).to_owned());
        self
    }

    pub(super) fn has(&self, path: &Path, is_directory: bool) -> bool {
        if is_identity(path) || self.more.iter().any(|more| path.starts_with(more)) {
            return true;
        }
        let rule = RULES.iter().find(|(rule, _)| path.starts_with(rule));
        rule.is_some_and(|(rule, what)| match what {
            What::Kept => false,
            What::All => true,
            What::Below => path != Path::new(rule),
            What::Files => !is_directory,
        })
    }
}

/// Whether Python made it out of a module, which it does again when it needs to. Distributions compile all
/// modules at installation, with the time of that in the result.
pub(in crate::service) fn is_bytecode(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("pyc"))
        || path.components().any(|part| part.as_os_str() == "__pycache__")
}

/// Whether it tells one machine from all others, and so must not be the same in all containers of an image. sshd wants
/// its keys made where it runs (`ssh-keygen -A`).
pub(in crate::service) fn is_identity(path: &Path) -> bool {
    let is_key = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with("ssh_host_"))
    };
    path == Path::new("etc/machine-id")
        || path == Path::new("var/lib/dbus/machine-id")
        || (path.parent() == Some(Path::new("etc/ssh")) && is_key(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_ignored_and_what_services_need_is_not() {
        let ignored = Ignored::leftovers().and(Path::new("/etc/apt/mine.list"));
        for (path, expected) in [
            ("etc", false),
            ("etc/passwd", false),
            ("etc/passwd-", true),
            ("etc/apt/mine.list", true),
            ("etc/apt/mine.listing", false),
            ("etc/machine-id", true),
            ("etc/ssh/sshd_config", false),
            ("etc/ssh/ssh_host_rsa_key.pub", true),
            ("tmp", false),
            ("tmp/x/y", true),
            ("tmpfiles", false),
            ("var/log/apache2/", false),
            ("var/log/apache2/access.log", true),
            ("var/cache/apache2/", false),
            ("var/cache/apt/pkgcache.bin", true),
            ("var/cache/debconf/config.dat", false),
            ("var/cache/debconf/config.dat-old", true),
            ("var/cache/dnf/x/", true),
            ("var/lib/apt/lists/", false),
            ("var/lib/apt/lists/partial/", true),
            ("var/lib/apt/lists/a_Packages", true),
            ("var/lib/dpkg/status", false),
            ("var/lib/dpkg/status-old", true),
        ] {
            let found = ignored.has(Path::new(path), path.ends_with('/'));
            assert_eq!(found, expected, "{path}");
        }
        for (path, expected) in [
            ("usr/lib/python3/dist-packages/a/__pycache__", true),
            ("a/__pycache__/b.cpython-311.pyc", true),
            ("a/b.pyc", true),
            ("a/b.py", false),
            ("pyc", false),
        ] {
            assert_eq!(is_bytecode(Path::new(path)), expected, "{path}");
        }
    }
}
