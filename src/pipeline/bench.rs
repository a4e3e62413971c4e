//! [`Bench`]: where wheels are built: a Python of this machine, and what builds with it.
//!
//! The Python is asked once, and only when somebody wants to know: where images are made of a set alone there
//! need be none here.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::build::builder::Builder;
use crate::build::interpreter::{Interpreter, InterpreterError};
use crate::build::key::SystemFingerprint;
use crate::build::surroundings::Surroundings;
use crate::store::Store;

/// Where wheels are built.
pub struct Bench {
    python: PathBuf,
    store: Store,
    made: OnceLock<Made>,
}

struct Made {
    interpreter: Interpreter,
    builder: Builder,
}

impl Bench {
    /// A bench with `python`, a path or a name on PATH, which is not asked yet.
    #[must_use]
    pub const fn new(python: PathBuf, store: Store) -> Self {
        Self { python, store, made: OnceLock::new() }
    }

    /// Asks the Python what it is, unless it was asked before. It runs a process, so it blocks.
    ///
    /// # Errors
    /// [`InterpreterError`] when there is no such Python, or none that wheels can be built for.
    pub fn ready(&self) -> Result<&Self, InterpreterError> {
        if self.made.get().is_none() {
            let interpreter = Interpreter::probe(&self.python)?;
            let surroundings = Surroundings::of(std::env::vars_os());
            let compiler = surroundings.get("CC").and_then(OsStr::to_str).map(str::to_owned);
            let builder = Builder::new(
                interpreter.clone(),
                self.store.clone(),
                surroundings,
                SystemFingerprint::read(compiler.as_deref()),
            );
            // Whoever asked at the same moment got the same answer.
            let _ = self.made.set(Made { interpreter, builder });
        }
        Ok(self)
    }

    /// The Python that wheels are for and that builds run in.
    #[must_use]
    pub fn interpreter(&self) -> &Interpreter {
        &self.made().interpreter
    }

    /// What builds wheels.
    #[must_use]
    pub fn builder(&self) -> &Builder {
        &self.made().builder
    }

    fn made(&self) -> &Made {
        self.made.get().expect("a job that works with this Python has made the bench ready")
    }
}
