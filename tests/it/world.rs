//! [`World`]: a loopback index, a store and a place to work in, all of one test alone; and what a
//! run of the real binary in it said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::index::IndexServer;
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;

/// One test's surroundings. Runs start in [`World::path`], so that a test names files without a
/// directory, and messages do too.
pub struct World {
    dir: TempDir,
    pub index: IndexServer,
}

impl World {
    /// An index with the wheels that every main job wants, and nothing else.
    pub fn new() -> Self {
        let world = Self::bare();
        for (name, version) in [
            ("uwsgi", "2.0.30"),
            ("setuptools", "80.9.0"),
            ("wheel", "0.45.1"),
            ("pip", "25.1"),
            ("certifi", "2025.1"),
        ] {
            world.index.wheel(&WheelMaker::new(name, version));
        }
        world
    }

    /// An empty index.
    pub fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("loci-it-").tempdir().unwrap();
        Self { dir, index: IndexServer::new() }
    }

    /// A file or directory of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a source tree.
    pub fn tree(&self, name: &str, sdist: &SdistMaker) {
        for (path, bytes) in sdist.tree() {
            self.write(&format!("{name}/{path}"), bytes);
        }
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// Reads a file.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Every file below a directory, with its bytes, sorted by its path there.
    pub fn files(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.path(name);
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    found.push((name, fs::read(&path).unwrap_or_default()));
                }
            }
        }
        found.sort();
        found
    }

    /// The names of every file below a directory.
    pub fn names(&self, name: &str) -> Vec<String> {
        self.files(name).into_iter().map(|(name, _)| name).collect()
    }

    /// The project's name of every wheel in a directory.
    pub fn wheels(&self, name: &str) -> Vec<String> {
        let names = self.names(name).into_iter();
        names
            .filter(|name| name.ends_with(".whl"))
            .map(|name| name.split('-').next().unwrap().to_owned())
            .collect()
    }

    /// A sdist whose backend notes each wheel it makes: [`World::built`].
    pub fn noted(&self, name: &str, version: &str) -> SdistMaker {
        SdistMaker::new(name, version).backend(&format!(
            "_make = build_wheel\n\
             def build_wheel(*arguments):\n    \
                 with open({:?}, 'a') as notes:\n        \
                     notes.write('{name}\\n')\n    \
                 return _make(*arguments)",
            self.path("notes")
        ))
    }

    /// Whose wheels were made by their backends, in order.
    pub fn built(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.path("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// The program with this world's store and index, and with nothing of the user's environment.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loci"));
        self.surround(&mut command);
        command.args(arguments.split_whitespace());
        command
    }

    /// What git says when it is run in the directory `dir`, as somebody.
    #[track_caller]
    pub fn git(&self, dir: &str, words: &[&str]) -> String {
        let mut command = Command::new("git");
        self.surround(&mut command);
        command.current_dir(self.path(dir));
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Gives a command this world's store and index, and nothing of the user's environment.
    pub fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("LOCI_STORE", self.path("store"))
            .env("LOCI_PYTHON", &python().executable)
            .env("LOCI_PROGRESS", "none")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PIP_INDEX_URL", self.index.url())
            .env("PIP_RETRIES", "0")
            .stdin(Stdio::null());
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn loci(&self, arguments: &str) -> Run {
        self.run(&mut self.command(arguments))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, command: &mut Command) -> Run {
        self.told(command.output().unwrap())
    }

    /// What a run said, in the words of [`World::settled`].
    pub fn told(&self, output: Output) -> Run {
        let text = |bytes| self.settled(&String::from_utf8(bytes).unwrap());
        Run {
            // A shell's way to tell of a signal.
            code: output.status.code().unwrap_or(128),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// `text` without what changes from run to run: places, times and digests.
    pub fn settled(&self, text: &str) -> String {
        let text = text
            .replace(self.dir.path().to_str().unwrap(), "HERE")
            .replace(self.index.at("").trim_end_matches('/'), "http://INDEX")
            .replace(&python().target, "TARGET");
        let mut out = String::new();
        let mut slowest = false;
        for line in text.split_inclusive('\n') {
            // Which wheels took longest is another matter each time.
            slowest = line == "Slowest:\n" || (slowest && line.starts_with("  "));
            if !slowest {
                out.push_str(&without_digests(&without_times(line)));
            }
        }
        out
    }
}

/// `line` with 0 seconds in place of each time.
fn without_times(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let unit = words[at].trim_end_matches([',', '\n']);
        if ["s", "ms"].contains(&unit) && words[at - 1].parse::<f64>().is_ok() {
            words[at - 1] = "0";
            words[at] = words[at].strip_prefix('m').unwrap_or(words[at]);
        }
    }
    words.join(" ")
}

fn without_digests(word: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain([' ']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() == 64 { "DIGEST" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// What a run of the program said, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// This run, which must have gone well.
    #[track_caller]
    pub fn good(self) -> Self {
        self.ends(0)
    }

    /// This run, which must have ended with `code`.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.err, self.out);
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The figure in the summary's line that begins with `word`.
    #[track_caller]
    pub fn figure(&self, word: &str) -> usize {
        let line = self.err.lines().find_map(|line| line.trim_start().strip_prefix(word));
        let line = line.unwrap_or_else(|| panic!("no line of `{word}` in {}", self.err));
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The figures of wheels fetched, built and reused.
    #[track_caller]
    pub fn figures(&self) -> [usize; 3] {
        ["fetched", "built", "reused"].map(|word| self.figure(&format!("{word} ")))
    }
}

/// The Python of these tests.
pub struct Python {
    /// Its executable itself: what is on PATH may be a slow script that looks for one.
    pub executable: PathBuf,
    /// Its major and minor version with a point.
    pub version: String,
    /// As loci names it, with its platform.
    target: String,
}

/// The Python of these tests, asked once.
pub fn python() -> &'static Python {
    static PYTHON: OnceLock<Python> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')";
        let output = Command::new("python3").args(["-c", script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (executable, version) = text.trim().split_once('\n').unwrap();
        let executable = PathBuf::from(executable);
        let interpreter = loci::build::interpreter::Interpreter::probe(Path::new(&executable));
        let target = interpreter.unwrap().target().to_string();
        Python { executable, version: version.into(), target }
    })
}
