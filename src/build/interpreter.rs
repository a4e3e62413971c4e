//! [`Interpreter`]: a Python on this machine, and what it says of itself.
//!
//! One child process is asked once; everything later is decided from the answer. An interpreter of
//! a virtual environment stands for the base interpreter it was made from: what is installed in the
//! environment must not be seen by builds.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::vocab::digest::{Digest, Hasher};
use crate::vocab::target::{Libc, Platform, Target, TargetError};

const PROBE: &str = include_str!("probe.py");
/// How long it may take to answer: seconds at most, on the slowest of machines.
const LIMIT: Duration = Duration::from_secs(60);

/// A CPython that can be run here.
#[derive(Debug, Clone)]
pub struct Interpreter {
    target: Target,
    executable: PathBuf,
    identity: String,
    record: Arc<Record>,
}

/// What a Python said of itself, to be kept: that of an image's is not here to be asked again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    answer: Answer,
    /// The digest of its executable.
    executable: Digest,
}

impl Interpreter {
    /// Runs `python`, a path or a name to be found on PATH, and takes down its answers.
    ///
    /// # Errors
    /// [`InterpreterError`] when it cannot be run, fails, does not answer within a minute, is no CPython 3 or is for no platform that
    /// wheels exist for.
    pub fn probe(python: &Path) -> Result<Self, InterpreterError> {
        Self::probe_within(python, LIMIT)
    }

    fn probe_within(python: &Path, limit: Duration) -> Result<Self, InterpreterError> {
        let fail = |source| InterpreterError::Run { python: python.into(), source };
        let child = Command::new(python)
            .args(Self::question())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let id = Pid::from_child(&child);
        let (sender, answer) = mpsc::channel();
        // Its thread ends when the child's pipes do; nobody waits for it any longer than that.
        thread::spawn(move || sender.send(child.wait_with_output()));
        let output = match answer.recv_timeout(limit) {
            Ok(output) => output.map_err(fail)?,
            Err(_) => {
                // It may have ended this very moment, which is no fault.
                let _ = kill_process(id, Signal::KILL);
                return Err(InterpreterError::Silent { python: python.into(), limit });
            }
        };
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let reason = stderr.trim().lines().last().unwrap_or("it said nothing").to_owned();
            return Err(InterpreterError::Failed { python: python.into(), reason });
        }
        Self::answered(python, &String::from_utf8_lossy(&output.stdout), &|path| Ok(path.into()))
    }

    /// The arguments by which a Python that cannot be run here is asked.
    #[must_use]
    pub const fn question() -> [&'static str; 4] {
        ["-I", "-B", "-c", PROBE]
    }

    /// The Python `python`, which said `stdout`. It speaks of paths in the root file system that it is in; `locate`
    /// says where one is here.
    ///
    /// # Errors
    /// [`InterpreterError`] as for [`Interpreter::probe`].
    pub fn answered(
        python: &Path,
        stdout: &str,
        locate: &dyn Fn(&Path) -> io::Result<PathBuf>,
    ) -> Result<Self, InterpreterError> {
        // A `sitecustomize` may print before us: the answer is the last line.
        let line = stdout.trim_end().lines().last().unwrap_or_default();
        let answer: Answer = serde_json::from_str(line)
            .map_err(|source| InterpreterError::Answer { python: python.into(), source })?;
        let (executable, _) = locate(Path::new(&answer.executable))
            .and_then(fs_err::File::open)
            .and_then(Digest::of_reader)
            .map_err(|source| InterpreterError::Run { python: python.into(), source })?;
        Self::recorded(python, Record { answer, executable })
    }

    /// The Python that `record` is of, called `python` in errors.
    ///
    /// # Errors
    /// [`InterpreterError`] when it is no CPython 3 or is for no platform that wheels exist for.
    pub fn recorded(python: &Path, record: Record) -> Result<Self, InterpreterError> {
        let answer = &record.answer;
        let target = answer.target(python)?;
        let mut hasher = Hasher::new();
        for part in [&record.executable.hex(), &answer.build, &answer.ext_suffix]
            .into_iter()
            .chain(&answer.compiler)
        {
            hasher.update(part.as_bytes());
            hasher.update(b"\0");
        }
        let identity = format!("cpython-{}-{}", target.python(), hasher.finish().0.short());
        let executable = PathBuf::from(&answer.executable);
        Ok(Self { target, executable, identity, record: Arc::new(record) })
    }

    /// What it said of itself.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The Python and platform that its wheels are for.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The absolute path of the base interpreter: never one of a virtual environment.
    #[must_use]
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// A text that changes when another Python would build with other results: version, build
    /// string, compiler flags and the bytes of the executable. It holds no path.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// What `probe.py` prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    implementation_name: String,
    implementation_version: String,
    os_name: String,
    platform_machine: String,
    platform_python_implementation: String,
    platform_release: String,
    platform_system: String,
    platform_version: String,
    python_full_version: String,
    python_version: String,
    sys_platform: String,
    libc: (String, String),
    machine: String,
    executable: String,
    build: String,
    ext_suffix: String,
    compiler: Vec<String>,
}

impl Answer {
    fn target(&self, python: &Path) -> Result<Target, InterpreterError> {
        // A distribution may mark a patched build with `+`; PEP 440 has no such ending.
        let markers = MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: &self.implementation_name,
            implementation_version: self.implementation_version.trim_end_matches('+'),
            os_name: &self.os_name,
            platform_machine: &self.platform_machine,
            platform_python_implementation: &self.platform_python_implementation,
            platform_release: &self.platform_release,
            platform_system: &self.platform_system,
            platform_version: &self.platform_version,
            python_full_version: self.python_full_version.trim_end_matches('+'),
            python_version: &self.python_version,
            sys_platform: &self.sys_platform,
        })
        .map_err(|_| {
            InterpreterError::Target(TargetError::Version {
                text: self.python_full_version.clone(),
            })
        })?;
        let unknown = || InterpreterError::Platform {
            python: python.into(),
            system: self.platform_system.clone(),
            libc: format!("{} {}", self.libc.0, self.libc.1).trim().to_owned(),
        };
        if self.sys_platform != "linux" {
            return Err(unknown());
        }
        let (major, minor) = version_pair(&self.libc.1).ok_or_else(unknown)?;
        let libc = match self.libc.0.as_str() {
            "glibc" => Libc::Glibc { major, minor },
            "musl" => Libc::Musl { major, minor },
            _ => return Err(unknown()),
        };
        Ok(Target::new(markers, Platform::new(libc, &self.machine))?)
    }
}

/// The first two numbers of a libc's version; vendors add to the second (`2.20-2014.11`).
fn version_pair(text: &str) -> Option<(u16, u16)> {
    let (major, rest) = text.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

/// A Python that loci cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    /// It could not be started.
    #[error("cannot run the interpreter `{}`", python.display())]
    Run {
        /// As it was asked for.
        python: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("the interpreter `{}` failed to describe itself: {reason}", python.display())]
    Failed {
        /// As it was asked for.
        python: PathBuf,
        /// The last line it wrote to standard error.
        reason: String,
    },
    /// It did not answer in time, and was ended.
    #[error("the interpreter `{}` did not describe itself within {} s", python.display(), limit.as_secs())]
    Silent {
        /// As it was asked for.
        python: PathBuf,
        /// How long it had.
        limit: Duration,
    },
    /// It answered with something else: probably it is no Python.
    #[error("`{}` does not answer as a Python does", python.display())]
    Answer {
        /// As it was asked for.
        python: PathBuf,
        /// What is wrong with the answer.
        #[source]
        source: serde_json::Error,
    },
    /// It runs on a system without wheel tags known here.
    #[error("`{}` runs on {system} with libc `{libc}`, and wheels are made for linux with glibc or musl only", python.display())]
    Platform {
        /// As it was asked for.
        python: PathBuf,
        /// `platform.system()`.
        system: String,
        /// The C library's name and version.
        libc: String,
    },
    /// It is not CPython 3.
    #[error(transparent)]
    Target(#[from] TargetError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_interpreter_answers() {
        let interpreter = Interpreter::probe(Path::new("python3")).unwrap();
        assert!(interpreter.executable().is_absolute());
        assert!(interpreter.identity().starts_with("cpython-3."));
        let again = Interpreter::probe(interpreter.executable()).unwrap();
        assert_eq!(again.identity(), interpreter.identity());
        assert_eq!(again.target().to_string(), interpreter.target().to_string());
    }

    #[test]
    fn what_is_no_python_is_named() {
        let error = Interpreter::probe(Path::new("/nonexistent/python")).unwrap_err();
        insta::assert_snapshot!(error, @"cannot run the interpreter `/nonexistent/python`");
        let error = Interpreter::probe(Path::new("true")).unwrap_err();
        insta::assert_snapshot!(error, @"`true` does not answer as a Python does");
        let error = Interpreter::probe(Path::new("false")).unwrap_err();
        insta::assert_snapshot!(error, @"the interpreter `false` failed to describe itself: it said nothing");
    }

    #[test]
    fn a_silent_python_is_not_waited_for() {
        let error = Interpreter::probe_within(Path::new("python3"), Duration::ZERO).unwrap_err();
        insta::assert_snapshot!(error, @"the interpreter `python3` did not describe itself within 0 s");
    }

    #[test]
    fn libc_versions_are_read_leniently() {
        for (text, pair) in [
            ("2.36", Some((2, 36))),
            ("2.20-2014.11", Some((2, 20))),
            ("1.2.4", Some((1, 2))),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(version_pair(text), pair, "{text}");
        }
    }
}
