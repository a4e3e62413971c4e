//! [`Ignored`]: what package managers, and commands of a project's steps, leave behind that belongs into no image.
//!
//! Caches, logs, backups, locks and what is true for one machine only. Most of it differs from run to run;
//! all of it is either worthless in an image or made anew where it is wanted.

use std::ffi::OsStr;
use std::path::Path;

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

/// What any command may leave behind. The first rule that fits a path decides.
const OF_COMMANDS: &[(&str, What)] = &[
    ("dev", What::Below),
    ("proc", What::Below),
    ("sys", What::Below),
    ("run", What::Below),
    ("tmp", What::Below),
    ("var/tmp", What::Below),
    // What is true for one machine.
    ("etc/hostname", What::All),
    ("etc/hosts", What::All),
    ("etc/mtab", What::All),
    ("etc/resolv.conf", What::All),
    // What programs leave in the home of who runs them.
    ("root/.bash_history", What::All),
    ("root/.cache", What::All),
    ("root/.dbus", What::All),
    ("root/.gnupg", What::All),
    ("root/.local/share/gnupg", What::All),
    ("root/.wget-hsts", What::All),
];

/// What package managers leave behind beside that.
const OF_PACKAGES: &[(&str, What)] = &[
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
    ("var/lib/systemd/random-seed", What::All),
    // What is put there while packages are installed, so that none starts a service.
    ("usr/sbin/policy-rc.d", What::All),
];

/// Which paths in a root are neither changes nor removals, whatever happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// What apt, dnf and zypper leave behind: caches and logs are theirs.
    OfPackages,
    /// What commands of a project's steps leave behind: a cache or a log may be what they are for.
    OfSteps,
}

impl Ignored {
    pub(super) fn has(self, path: &Path, is_directory: bool) -> bool {
        if is_identity(path) {
            return true;
        }
        let rules: &[&[(&str, What)]] = match self {
            Self::OfPackages => &[OF_COMMANDS, OF_PACKAGES],
            Self::OfSteps => &[OF_COMMANDS],
        };
        let rule =
            rules.iter().flat_map(|rules| rules.iter()).find(|(rule, _)| path.starts_with(rule));
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
        // Whether package managers and steps leave it behind.
        for (path, of_packages, of_steps) in [
            ("etc", false, false),
            ("etc/passwd", false, false),
            ("etc/passwd-", true, false),
            ("etc/machine-id", true, true),
            ("etc/resolv.conf", true, true),
            ("etc/ssh/sshd_config", false, false),
            ("etc/ssh/ssh_host_rsa_key.pub", true, true),
            ("root/.cache/x", true, true),
            ("tmp", false, false),
            ("tmp/x/y", true, true),
            ("tmpfiles", false, false),
            ("var/log/apache2/", false, false),
            ("var/log/apache2/access.log", true, false),
            ("var/cache/apache2/", false, false),
            ("var/cache/apache2/x", true, false),
            ("var/cache/apt/pkgcache.bin", true, false),
            ("var/cache/debconf/config.dat", false, false),
            ("var/cache/debconf/config.dat-old", true, false),
            ("var/cache/dnf/x/", true, false),
            ("var/lib/apt/lists/", false, false),
            ("var/lib/apt/lists/partial/", true, false),
            ("var/lib/apt/lists/a_Packages", true, false),
            ("var/lib/dpkg/status", false, false),
            ("var/lib/dpkg/status-old", true, false),
        ] {
            let found = [Ignored::OfPackages, Ignored::OfSteps]
                .map(|ignored| ignored.has(Path::new(path), path.ends_with('/')));
            assert_eq!(found, [of_packages, of_steps], "{path}");
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
