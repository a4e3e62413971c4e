//! [`Root`]: where commands of a distribution run, and what they see of the host.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::error::{RootError, io_error};
use super::first::{Bind, READY};
use super::inside::follow;
use super::private::Prepared;
use crate::vocab::redact::redact;

/// The lines that are kept of what a command says.
const TAIL: usize = 30;
/// No line is longer, in bytes; what is, is several.
const LINE: u64 = 16 * 1024;
/// Where the programs of a distribution are, of the host's and of any root's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What of the host's environment a command sees, in both cases people write it.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// A root file system in which commands run.
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
    /// None in the root that this process is in itself.
    binds: Option<Vec<Bind>>,
    epoch: Option<u64>,
}

/// A program in a root with its arguments: no shell sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Its name or path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// Its status.
    pub status: ExitStatus,
    /// The last lines it said, on either output, without secrets in addresses.
    pub tail: Vec<String>,
}

impl CommandLine {
    /// This program with these arguments.
    pub fn new<A: Into<String>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

impl Root {
    /// The root this process is in.
    #[must_use]
    pub fn live() -> Self {
        Self { dir: "/".into(), binds: None, epoch: None }
    }

    /// The root in the directory `dir`, which only commands run here see as theirs. They see the host's
    /// `/etc/resolv.conf` and `/etc/hosts`, with which names are looked up.
    ///
    /// # Errors
    /// [`RootError::Io`] when there is no such directory.
    pub fn private(dir: &Path) -> Result<Self, RootError> {
        let dir = std::fs::canonicalize(dir).map_err(io_error("find", dir))?;
        let binds = ["/etc/resolv.conf", "/etc/hosts"].map(Path::new);
        let binds = binds.into_iter().filter(|path| path.is_file());
        let binds = binds.map(|path| Bind { from: path.into(), to: path.into() }).collect();
        Ok(Self { dir, binds: Some(binds), epoch: None })
    }

    /// This root, in which commands see the host's file or directory `from` at `to`. They cannot change it, and
    /// it is no part of the root. In a live root nothing is different.
    ///
    /// # Errors
    /// [`RootError::Io`] when `from` is not there.
    pub fn with_bind(mut self, from: &Path, to: &Path) -> Result<Self, RootError> {
        if let Some(binds) = &mut self.binds {
            let from = std::fs::canonicalize(from).map_err(io_error("find", from))?;
            binds.retain(|bind| bind.to != to);
            binds.push(Bind { from, to: to.to_owned() });
        }
        Ok(self)
    }

    /// This root, in which commands hear of a time, in seconds since 1970, to put into what they make
    /// (`SOURCE_DATE_EPOCH`).
    #[must_use]
    pub fn with_epoch(self, epoch: u64) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// The time that commands hear of.
    #[must_use]
    pub const fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Where `path` leads to in it, as a path of this process.
    ///
    /// # Errors
    /// When links lead in a circle or something cannot be looked at.
    pub fn locate(&self, path: &Path) -> io::Result<PathBuf> {
        follow(&self.dir, path)
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it is the one this process is in.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.binds.is_none()
    }

    /// Whether commands in it find this program.
    #[must_use]
    pub fn has_program(&self, name: &str) -> bool {
        let found = |folder: &str| follow(&self.dir, &Path::new(folder).join(name));
        PATH.split(':').any(|folder| found(folder).is_ok_and(|path| path.is_file()))
    }

    /// Runs a command to its end, with no input and few variables; `on_line` hears each line it says.
    ///
    /// # Errors
    /// [`RootError::Start`] when a program of the host is missing, [`RootError::Private`] when the root cannot
    /// be made private, [`RootError::Io`] when its output cannot be read. A command that fails is none of
    /// them: its [`Output`] says so.
    pub fn run(
        &self,
        command: &CommandLine,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Output, RootError> {
        let prepared = match &self.binds {
            None => None,
            Some(binds) => Some(Prepared::new(&self.dir, binds)?),
        };
        let (program, arguments) = match &prepared {
            None => (&*command.program, command.arguments.iter().map(OsString::from).collect()),
            Some(prepared) => ("unshare", prepared.arguments(&command.program, &command.arguments)),
        };
        let unread = |source| RootError::Output { program: command.program.clone(), source };
        let (reader, writer) = io::pipe().map_err(unread)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment(self.epoch))
            .current_dir("/")
            .stdin(if prepared.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(writer.try_clone().map_err(unread)?)
            .stderr(writer)
            .spawn()
            .map_err(|source| RootError::Start { program: program.into(), source })?;
        // A private root ends when this is closed, and `wait` would close it.
        let lifeline = child.stdin.take();

        let mut is_ready = prepared.is_none();
        let mut tail = VecDeque::new();
        let read = each_line(reader, &mut |line| {
            if !is_ready && line == READY {
                is_ready = true;
                tail.clear();
                return;
            }
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
            if is_ready {
                on_line(line);
            }
        });
        if let Err(source) = read {
            // One that nobody listens to would be stuck.
            drop(lifeline);
            let _ = child.kill();
            let _ = child.wait();
            return Err(unread(source));
        }
        let status = child.wait().map_err(unread)?;
        drop(lifeline);
        let tail = Vec::from(tail);
        if is_ready { Ok(Output { status, tail }) } else { Err(RootError::Private { said: tail }) }
    }

    /// Whether commands can run in private roots here: what [`Root::run`] would fail for, before there is a
    /// root.
    ///
    /// # Errors
    /// As for [`Root::run`].
    pub fn check_private() -> Result<(), RootError> {
        let scratch = tempfile::tempdir();
        let scratch = scratch.map_err(io_error("create a directory in", &std::env::temp_dir()))?;
        // There is nothing in it to run; that one came so far is what was to be seen.
        let nothing = CommandLine::new("/none", [""; 0]);
        Self::private(scratch.path())?.run(&nothing, &mut |_| {}).map(drop)
    }
}

/// What commands of a distribution know of the outside.
fn environment(epoch: Option<u64>) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = [
        ("PATH", PATH),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec();
    if let Some(epoch) = epoch {
        variables.push(("SOURCE_DATE_EPOCH".into(), epoch.to_string().into()));
    }
    for name in PROXIES.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]) {
        if let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) {
            variables.push((name.into(), value));
        }
    }
    variables
}

/// Hands on each line of an output, without its end, and without what people may not see.
fn each_line(reader: impl Read, on_line: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        // Progress is drawn over and over in one line; only how it came out is news.
        let text = text.trim_end();
        let text = text.rsplit('\r').next().unwrap_or(text);
        on_line(&redact(text));
    }
}
