//! `Backend`: the hooks of a PEP 517 backend, each called in a fresh Python of the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::process::{End, Task, run};
use super::system::BuildSystem;

const DRIVER: &str = include_str!("driver.py");

/// One backend for one tree, ready to be called.
pub(super) struct Backend<'a> {
    pub(super) system: &'a BuildSystem,
    pub(super) python: PathBuf,
    pub(super) tree: &'a Path,
    /// Where the driver, its requests and its answers are written.
    pub(super) scratch: &'a Path,
    pub(super) variables: BTreeMap<OsString, OsString>,
    pub(super) config_settings: &'a BTreeMap<String, String>,
    pub(super) timeout: Option<Duration>,
    pub(super) log: &'a File,
}

/// What a hook gave.
pub(super) struct Given<T> {
    pub(super) value: T,
    /// The most memory of one process, in bytes.
    pub(super) peak: Option<u64>,
}

impl Backend<'_> {
    /// What the backend needs beyond `build-system.requires`; nothing when it has no such hook.
    pub(super) async fn requires_for_wheel(&self) -> Result<Vec<String>, HookError> {
        let hook = "get_requires_for_build_wheel";
        let arguments = json!([self.settings()]);
        Ok(self.call::<Vec<String>>(hook, arguments).await?.map_or_else(Vec::new, |g| g.value))
    }

    /// Makes the `.dist-info` directory below `into` and gives its name; none when the backend has no
    /// such hook.
    pub(super) async fn prepare_metadata(&self, into: &Path) -> Result<Option<String>, HookError> {
        let hook = "prepare_metadata_for_build_wheel";
        let given = self.call::<String>(hook, json!([into, self.settings()])).await?;
        given.map(|given| plain(given.value, hook)).transpose()
    }

    /// Builds the wheel into `into`, with the `.dist-info` that was prepared, if one was, and gives its
    /// file name.
    pub(super) async fn build_wheel(
        &self,
        into: &Path,
        metadata: Option<&Path>,
    ) -> Result<Given<String>, HookError> {
        let hook = "build_wheel";
        let given = self.call::<String>(hook, json!([into, self.settings(), metadata])).await?;
        let given = given.ok_or(HookError::Missing { hook })?;
        Ok(Given { value: plain(given.value, hook)?, peak: given.peak })
    }

    fn settings(&self) -> Value {
        if self.config_settings.is_empty() { Value::Null } else { json!(self.config_settings) }
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        hook: &'static str,
        arguments: Value,
    ) -> Result<Option<Given<T>>, HookError> {
        let at = |name: &str| self.scratch.join(name);
        let (driver, request, answer) = (at("driver.py"), at("request.json"), at("answer.json"));
        let failed = |source| HookError::Io { hook, source };
        let body = Request {
            backend: self.system.backend(),
            backend_path: self.system.backend_path(),
            hook,
            arguments,
        };
        fs::write(&driver, DRIVER).map_err(failed)?;
        fs::write(&request, json!(body).to_string()).map_err(failed)?;
        match fs::remove_file(&answer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let task = Task {
            program: &self.python,
            arguments: &[&driver, &request, &answer],
            directory: self.tree,
            variables: &self.variables,
            timeout: self.timeout,
        };
        match run(&task, self.log).await.map_err(failed)? {
            End::Exited(status) if status.success() => {}
            End::Exited(status) => return Err(HookError::Exited { hook, status }),
            End::TimedOut(after) => return Err(HookError::TimedOut { hook, after }),
        }
        // A backend that ends the process itself (`sys.exit(0)` in a setup.py) leaves no answer, and
        // one that returns other things than PEP 517 says leaves an unreadable one.
        let bytes = fs::read(&answer).unwrap_or_default();
        let answer: Answer<T> =
            serde_json::from_slice(&bytes).map_err(|_| HookError::NoAnswer { hook })?;
        Ok(match answer {
            Answer { missing: Some(_), .. } => None,
            Answer { value: Some(value), peak, .. } => Some(Given { value, peak }),
            Answer { .. } => return Err(HookError::NoAnswer { hook }),
        })
    }
}

/// A name that is one component: a backend's answer leads nowhere else.
fn plain(name: String, hook: &'static str) -> Result<String, HookError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(HookError::NoAnswer { hook });
    }
    Ok(name)
}

#[derive(Serialize)]
struct Request<'a> {
    backend: &'a str,
    backend_path: &'a [String],
    hook: &'static str,
    arguments: Value,
}

#[derive(Deserialize)]
struct Answer<T> {
    missing: Option<String>,
    value: Option<T>,
    peak: Option<u64>,
}

/// A hook that did not do its work; what the backend printed is in the log.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Python could not be started, or its request not written.
    #[error("cannot run `{hook}`")]
    Io {
        /// The hook.
        hook: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("`{hook}` failed ({status})")]
    Exited {
        /// The hook.
        hook: &'static str,
        /// How the process ended.
        status: ExitStatus,
    },
    /// It took too long and was killed with all it started.
    #[error("`{hook}` was stopped after {} s", after.as_secs())]
    TimedOut {
        /// The hook.
        hook: &'static str,
        /// The limit.
        after: Duration,
    },
    /// It ended well and gave nothing of use.
    #[error("`{hook}` ended without a usable answer")]
    NoAnswer {
        /// The hook.
        hook: &'static str,
    },
    /// The backend is none of PEP 517.
    #[error("the build backend has no `{hook}`")]
    Missing {
        /// The hook.
        hook: &'static str,
    },
}
