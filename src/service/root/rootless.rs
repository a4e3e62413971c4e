//! Being root without being root: a user namespace in which a user's own ids, and the range that
//! `/etc/subuid` gives them, are those of a whole system.
//!
//! A process becomes one by starting itself again in it ([`enter`]): from then on it owns what it unpacks, and
//! everything else here works as it does for root. Nothing is gained outside of the namespace.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The ids a distribution expects to have: `nobody` is 65534.
const IDS: u64 = 65_535;
/// What makes the kernel forbid user namespaces, and the value by which it does.
const SETTINGS: [(&str, &str); 3] = [
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
    ("kernel.unprivileged_userns_clone", "0"),
    ("user.max_user_namespaces", "0"),
];

/// The variable with the words by which git calls ssh.
const GIT_SSH_COMMAND: &str = "GIT_SSH_COMMAND";
/// What keys are called that ssh takes by itself (`ssh(1)`, "-i").
const SSH_KEYS: [&str; 5] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Why this user cannot be root in a user namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rootless {
    /// A program is missing.
    #[error("`{program}` is not installed; Debian and Ubuntu have it in `{package}`")]
    Program {
        /// Its name.
        program: &'static str,
        /// Where it is to be had.
        package: &'static str,
    },
    /// `unshare` cannot map ranges of ids.
    #[error("`unshare` is too old: it knows `--map-auto` from util-linux 2.38 on")]
    Old,
    /// The kernel forbids user namespaces.
    #[error("user namespaces are forbidden: `{setting}` is {value}")]
    Setting {
        /// The setting, as `sysctl` has it.
        setting: &'static str,
        /// Its value.
        value: &'static str,
    },
    /// The user has too few ids to give to a system.
    #[error("`{file}` gives `{user}` no range of {IDS} ids, as in `{user}:100000:65536`")]
    Range {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user's name, or number.
        user: String,
    },
    /// Something else, such as a container's rules.
    #[error("cannot make a user namespace: {said}")]
    Refused {
        /// What was said about it.
        said: String,
    },
    /// Something could not be tried.
    #[error("cannot run `{program}`: {error}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        error: String,
    },
}

/// Makes this process, with the arguments it has, root of a user namespace, by starting this program anew in its place.
/// It comes back when there is nothing to do, for it is root already, or, with the reason, when it cannot be.
#[must_use]
pub fn enter() -> Option<Rootless> {
    match again(std::env::args_os().skip(1)) {
        Ok(None) => None,
        Ok(Some(mut command)) => {
            let program = command.get_program().to_string_lossy().into_owned();
            let error = command.exec().to_string();
            Some(Rootless::Run { program, error })
        }
        Err(reason) => Some(reason),
    }
}

/// The command that runs this program anew with `arguments`, as root of a user namespace; none when this
/// process is root already, in a namespace or not. It is meant to replace this process.
///
/// # Errors
/// [`Rootless`] when it would fail, which is tried.
fn again(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Command>, Rootless> {
    if rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let mut trial = namespace();
    let output = trial.arg("true").stdin(Stdio::null()).output();
    match &output {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(Facts::here(&output.stderr).reason()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Rootless::Program { program: "unshare", package: "util-linux" });
        }
        Err(error) => {
            return Err(Rootless::Run { program: "unshare".into(), error: error.to_string() });
        }
    }
    let this = std::env::current_exe().map_err(|error| Rootless::Run {
        program: "/proc/self/exe".into(),
        error: error.to_string(),
    })?;
    let mut command = namespace();
    command.arg(this).args(arguments);
    let home = std::env::home_dir().unwrap_or_default();
    let is_set = [GIT_SSH_COMMAND, "GIT_SSH"].iter().any(|name| std::env::var_os(name).is_some())
        || says_in_git("core.sshCommand");
    if !is_set && let Some(ssh) = ssh_of(&home) {
        command.env(GIT_SSH_COMMAND, ssh);
    }
    Ok(Some(command))
}

/// `unshare` up to the program it is to run.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--map-auto", "--"]);
    command
}

/// Whether git's own settings have this one.
fn says_in_git(setting: &str) -> bool {
    let asked = Command::new("git").args(["config", "--get", setting]).output();
    asked.is_ok_and(|output| output.status.success())
}

/// How git is to call ssh in a namespace, so that it has the keys, the known hosts and the settings of who has this
/// `home`: ssh looks for them where the home of its user is, and that is root there. None when there are none, or the
/// home is called so that ssh could not be told.
fn ssh_of(home: &Path) -> Option<String> {
    let folder = home.join(".ssh");
    let path = folder.to_str().filter(|path| !path.contains(['\'', '"', '%', '\\', ' ']))?;
    let has = |name: &&str| folder.join(name).is_file();
    let mut line = "ssh".to_owned();
    if has(&"config") {
        line.push_str(&format!(" -F '{path}/config'"));
    }
    for name in SSH_KEYS.iter().filter(|name| has(name)) {
        line.push_str(&format!(" -o IdentityFile='{path}/{name}'"));
    }
    let known: Vec<_> = ["known_hosts", "known_hosts2"].map(|name| format!("{path}/{name}")).into();
    line.push_str(&format!(" -o 'UserKnownHostsFile={}'", known.join(" ")));
    folder.is_dir().then_some(line)
}

/// What there is to know when a namespace could not be made.
#[derive(Debug, Default)]
struct Facts {
    /// What `unshare` said.
    said: String,
    /// Which of `newuidmap` and `newgidmap` are installed.
    mappers: [bool; 2],
    /// The forbidding values among [`SETTINGS`].
    settings: [bool; 3],
    /// The user's name, if it has one, and number.
    user: (Option<String>, u32),
    /// `/etc/subuid` and `/etc/subgid`.
    ranges: [String; 2],
}

impl Facts {
    fn here(said: &[u8]) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uid = rustix::process::getuid().as_raw();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &str| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        Self {
            said: String::from_utf8_lossy(said).trim().to_owned(),
            mappers: MAPPERS.map(is_there),
            settings: SETTINGS.map(|(setting, value)| {
                let path = Path::new("/proc/sys").join(setting.replace('.', "/"));
                fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
            }),
            user: (user_name(&read("/etc/passwd"), uid), uid),
            ranges: RANGES.map(read),
        }
    }

    /// The first thing that is in the way.
    fn reason(&self) -> Rootless {
        for ((setting, value), forbids) in SETTINGS.into_iter().zip(self.settings) {
            if forbids {
                return Rootless::Setting { setting, value };
            }
        }
        if self.said.contains("unrecognized option") {
            return Rootless::Old;
        }
        for (program, is_there) in MAPPERS.into_iter().zip(self.mappers) {
            if !is_there {
                return Rootless::Program { program, package: "uidmap" };
            }
        }
        let (name, uid) = &self.user;
        for (file, text) in RANGES.into_iter().zip(&self.ranges) {
            if !has_range(text, name.as_deref(), *uid) {
                let user = name.clone().unwrap_or_else(|| uid.to_string());
                return Rootless::Range { file, user };
            }
        }
        let said = self.said.lines().last().unwrap_or("`unshare` says nothing");
        Rootless::Refused { said: said.into() }
    }
}

const MAPPERS: [&str; 2] = ["newuidmap", "newgidmap"];
const RANGES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// The name of a user (`passwd(5)`).
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Whether the user has a range that is large enough (`subuid(5)`).
fn has_range(text: &str, name: Option<&str>, uid: u32) -> bool {
    text.lines().any(|line| {
        let mut fields = line.split(':');
        let owner = fields.next().unwrap_or_default();
        let count = fields.nth(1).and_then(|count| count.trim().parse::<u64>().ok());
        (Some(owner) == name || owner.parse() == Ok(uid)) && count.is_some_and(|count| count >= IDS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            said: "unshare: unshare failed: Operation not permitted".into(),
            mappers: [true; 2],
            settings: [false; 3],
            user: (Some("ann".into()), 1000),
            ranges: ["ann:100000:65536\n".into(), "# x\n1000:1:65536".into()],
        }
    }

    #[track_caller]
    fn case(change: impl FnOnce(&mut Facts), expected: &str) {
        let mut facts = facts();
        change(&mut facts);
        assert_eq!(facts.reason().to_string(), expected);
    }

    #[test]
    fn the_reason_says_what_is_missing() {
        case(
            |_| {},
            "cannot make a user namespace: unshare: unshare failed: Operation not permitted",
        );
        case(
            |facts| facts.mappers[1] = false,
            "`newgidmap` is not installed; Debian and Ubuntu have it in `uidmap`",
        );
        case(
            |facts| facts.settings[0] = true,
            "user namespaces are forbidden: `kernel.apparmor_restrict_unprivileged_userns` is 1",
        );
        case(
            |facts| {
                facts.said =
                    "unshare: unrecognized option '--map-auto'\nTry 'unshare --help'".into();
            },
            "`unshare` is too old: it knows `--map-auto` from util-linux 2.38 on",
        );
        case(
            |facts| facts.ranges[0] = "ann:100000:1000\nbob:1:65536".into(),
            "`/etc/subuid` gives `ann` no range of 65535 ids, as in `ann:100000:65536`",
        );
        case(
            |facts| {
                facts.user.0 = None;
                facts.ranges[1].clear();
                facts.ranges[0] = "1000:1:65536".into();
            },
            "`/etc/subgid` gives `1000` no range of 65535 ids, as in `1000:100000:65536`",
        );
    }

    #[test]
    fn users_have_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }

    #[test]
    fn ssh_has_the_settings_of_who_calls() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(ssh_of(home.path()), None);
        let folder = home.path().join(".ssh");
        fs::create_dir(&folder).unwrap();
        for name in ["id_ed25519", "id_ed25519.pub"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let said = |home: &Path| Some(ssh_of(home)?.replace(home.to_str()?, "~"));
        insta::assert_snapshot!(said(home.path()).unwrap(), @"ssh -o IdentityFile='~/.ssh/id_ed25519' -o 'UserKnownHostsFile=~/.ssh/known_hosts ~/.ssh/known_hosts2'");
        fs::write(folder.join("config"), "").unwrap();
        insta::assert_snapshot!(said(home.path()).unwrap(), @"ssh -F '~/.ssh/config' -o IdentityFile='~/.ssh/id_ed25519' -o 'UserKnownHostsFile=~/.ssh/known_hosts ~/.ssh/known_hosts2'");
        let odd = home.path().join("it's mine");
        fs::create_dir_all(odd.join(".ssh")).unwrap();
        assert_eq!(ssh_of(&odd), None);
    }
}
