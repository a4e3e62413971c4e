//! [`Leftovers`]: what package managers, and commands of a project's steps, leave behind that belongs into no image.
//!
//! Caches, logs, backups, locks and what is true for one machine only. Most of it differs from run to run;
//! all of it is either worthless in an image or made anew where it is wanted.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::snapshot::{Kind, Seen};

/// How much of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nothing: it is none after all.
    None,
    /// It and everything below it.
    All,
    /// Everything below it.
    Below,
    /// All below it but directories: those have owners that services rely on.
    Files,
}

/// What is of the machine that commands run on. In a Dockerfile's RUN it is mounted.
const OF_MACHINES: &[(&str, Reach)] = &[
    ("dev", Reach::Below),
    ("proc", Reach::Below),
    ("sys", Reach::Below),
    ("etc/hostname", Reach::All),
    ("etc/hosts", Reach::All),
    ("etc/resolv.conf", Reach::All),
];

/// Files of package managers that say something by being there. What a base has of them stays, touched or not.
const MARKS: [&str; 7] = [
    "etc/.pwd.lock",
    "usr/lib/sysimage/rpm/.rpm.lock",
    // Put aside, and back, while packages are installed, so that none starts a service.
    "usr/sbin/policy-rc.d",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/rpm/.rpm.lock",
];

/// What any command may leave behind. The first rule that fits a path decides.
const OF_COMMANDS: &[(&str, Reach)] = &[
    ("run", Reach::Below),
    ("tmp", Reach::Below),
    ("var/tmp", Reach::Below),
    // What programs leave in the home of who runs them.
    ("root/.bash_history", Reach::All),
    ("root/.cache", Reach::All),
    ("root/.dbus", Reach::All),
    ("root/.gnupg", Reach::All),
    ("root/.local/share/gnupg", Reach::All),
    ("root/.wget-hsts", Reach::All),
];

/// What package managers leave behind beside that.
const OF_PACKAGES: &[(&str, Reach)] = &[
    // debconf keeps answers where others have caches; apt in a child image needs them.
    ("var/cache/debconf/config.dat", Reach::None),
    ("var/cache/debconf/passwords.dat", Reach::None),
    ("var/cache/debconf/templates.dat", Reach::None),
    ("var/cache/apt", Reach::Below),
    ("var/cache/dnf", Reach::Below),
    ("var/cache/libdnf5", Reach::Below),
    ("var/cache/yum", Reach::Below),
    ("var/cache/zypp", Reach::Below),
    ("var/cache", Reach::Files),
    ("var/log", Reach::Files),
    ("var/lib/apt/lists", Reach::Below),
    ("var/lib/apt/periodic", Reach::Files),
    // What was before the last change.
    ("etc/group-", Reach::All),
    ("etc/gshadow-", Reach::All),
    ("etc/passwd-", Reach::All),
    ("etc/shadow-", Reach::All),
    ("etc/subgid-", Reach::All),
    ("etc/subuid-", Reach::All),
    ("var/lib/dpkg/available-old", Reach::All),
    ("var/lib/dpkg/diversions-old", Reach::All),
    ("var/lib/dpkg/statoverride-old", Reach::All),
    ("var/lib/dpkg/status-old", Reach::All),
    ("var/lib/systemd/random-seed", Reach::All),
];

/// What is done with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is one of the image's.
    Kept,
    /// It is passed over.
    Ignored,
    /// The file goes, or the directory if nothing is in it.
    Removed,
    /// The file stays, with nothing in it.
    Emptied,
}

/// Which changes of a root belong into no image.
#[derive(Debug, Clone)]
pub struct Leftovers {
    rules: &'static [&'static [(&'static str, Reach)]],
    marks: &'static [&'static str],
    named: BTreeSet<PathBuf>,
}

impl Leftovers {
    /// What apt, dnf and zypper leave behind: caches and logs are theirs.
    #[must_use]
    pub fn of_packages() -> Self {
        Self { rules: &[OF_COMMANDS, OF_PACKAGES], marks: &MARKS, named: BTreeSet::new() }
    }

    /// What commands of a project's steps leave behind: a cache or a log may be what they are for. `named` are the
    /// paths, no link in them but at their ends, that steps themselves say are to be there; so they stay.
    #[must_use]
    pub fn of_commands(named: BTreeSet<PathBuf>) -> Self {
        Self { rules: &[OF_COMMANDS], marks: &[], named }
    }

    /// What building projects leaves behind: Python writes the bytecode of its own modules down, where it may.
    #[must_use]
    pub fn of_builds() -> Self {
        Self { rules: &[], marks: &[], named: BTreeSet::new() }
    }

    /// What is done with `path`, which was `earlier` and is something else `now`.
    pub(super) fn fate(&self, path: &Path, earlier: Option<&Seen>, now: Option<&Seen>) -> Fate {
        if self.named.contains(path) {
            return Fate::Kept;
        }
        let is_directory = now.or(earlier).is_some_and(|seen| seen.kind == Kind::Directory);
        if has(OF_MACHINES, path, is_directory) {
            return Fate::Ignored;
        }
        let Some(now) = now else { return Fate::Kept };
        let is_mark = self.marks.iter().any(|mark| path == Path::new(mark));
        let is_left = is_bytecode(path)
            || is_identity(path)
            // No layer has one.
            || now.kind == Kind::Other
            || self.rules.iter().find_map(|rules| rule(rules, path, is_directory)) == Some(true);
        match earlier {
            None if is_left || is_mark => Fate::Removed,
            Some(_) if is_mark => Fate::Ignored,
            // Somebody else may use it now.
            Some(earlier) if is_directory && earlier.kind == Kind::Directory => Fate::Kept,
            // An empty one is bound over where nothing can be written (machine-id(5)).
            Some(_) if path == Path::new(MACHINE_ID) && now.kind == Kind::File => Fate::Emptied,
            Some(_) if is_left => Fate::Removed,
            _ => Fate::Kept,
        }
    }
}

/// Whether the first rule that fits has this path.
fn rule(rules: &[(&str, Reach)], path: &Path, is_directory: bool) -> Option<bool> {
    let (rule, reach) = rules.iter().find(|(rule, _)| path.starts_with(rule))?;
    Some(match reach {
        Reach::None => false,
        Reach::All => true,
        Reach::Below => path != Path::new(rule),
        Reach::Files => !is_directory,
    })
}

fn has(rules: &[(&str, Reach)], path: &Path, is_directory: bool) -> bool {
    rule(rules, path, is_directory) == Some(true)
}

/// The name of a machine.
const MACHINE_ID: &str = "etc/machine-id";

/// Whether Python made it out of a module, which it does again when it needs to. Distributions compile all
/// modules at installation, with the time of that in the result.
fn is_bytecode(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("pyc"))
        || path.components().any(|part| part.as_os_str() == "__pycache__")
}

/// Whether it tells one machine from all others, and so must not be the same in all containers of an image. sshd wants
/// its keys made where it runs (`ssh-keygen -A`).
fn is_identity(path: &Path) -> bool {
    let is_key = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with("ssh_host_"))
    };
    path == Path::new(MACHINE_ID)
        || path == Path::new("var/lib/dbus/machine-id")
        || (path.parent() == Some(Path::new("etc/ssh")) && is_key(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a path that was not there, and of one that was another.
    fn fates(leftovers: &Leftovers, path: &str) -> [Fate; 2] {
        let kind = if path.ends_with('/') { Kind::Directory } else { Kind::File };
        let seen = Seen::some(kind);
        [None, Some(&seen)].map(|earlier| leftovers.fate(Path::new(path), earlier, Some(&seen)))
    }

    #[test]
    fn leftovers_go_and_what_services_need_stays() {
        use Fate::{Emptied, Ignored, Kept, Removed};
        let (kept, removed) = ([Kept; 2], [Removed; 2]);
        let own = [Removed, Kept];
        for (path, of_packages, of_commands) in [
            ("etc", kept, kept),
            ("etc/passwd", kept, kept),
            ("etc/passwd-", removed, kept),
            ("etc/.pwd.lock", [Removed, Ignored], kept),
            ("etc/machine-id", [Removed, Emptied], [Removed, Emptied]),
            ("etc/resolv.conf", [Ignored; 2], [Ignored; 2]),
            ("etc/mtab", kept, kept),
            ("etc/ssh/sshd_config", kept, kept),
            ("etc/ssh/ssh_host_rsa_key.pub", removed, removed),
            ("dev/null", [Ignored; 2], [Ignored; 2]),
            ("root/.cache/x", removed, removed),
            ("root/.cache/", own, own),
            ("tmp", kept, kept),
            ("tmp/x/y", removed, removed),
            ("tmpfiles", kept, kept),
            ("var/log/apache2/", kept, kept),
            ("var/log/apache2/access.log", removed, kept),
            ("var/cache/apache2/", kept, kept),
            ("var/cache/apache2/x", removed, kept),
            ("var/cache/apt/pkgcache.bin", removed, kept),
            ("var/cache/debconf/config.dat", kept, kept),
            ("var/cache/debconf/config.dat-old", removed, kept),
            ("var/cache/dnf/x/", own, kept),
            ("var/lib/apt/lists/", kept, kept),
            ("var/lib/apt/lists/partial/", own, kept),
            ("var/lib/apt/lists/a_Packages", removed, kept),
            ("var/lib/dpkg/lock", [Removed, Ignored], kept),
            ("var/lib/dpkg/status", kept, kept),
            ("var/lib/dpkg/status-old", removed, kept),
            ("usr/lib/python3/dist-packages/a/__pycache__/", own, own),
            ("a/__pycache__/b.cpython-311.pyc", removed, removed),
            ("a/b.pyc", removed, removed),
            ("a/b.py", kept, kept),
            ("pyc", kept, kept),
        ] {
            assert_eq!(fates(&Leftovers::of_packages(), path), of_packages, "{path}");
            assert_eq!(
                fates(&Leftovers::of_commands(BTreeSet::new()), path),
                of_commands,
                "{path}"
            );
        }
        let named = ["run/lock/x", "etc/hosts", "a/b.pyc"];
        let leftovers = Leftovers::of_commands(named.map(PathBuf::from).into());
        for path in named {
            assert_eq!(fates(&leftovers, path), kept, "{path}");
        }
        assert_eq!(fates(&leftovers, "run/lock/y"), removed);
    }
}
