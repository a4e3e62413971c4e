//! [`Harbour`]: a world with a small set in its store, and a registry that sets go to and come from.
//! What is in the set, and how much of it a service needs, is known here.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::index::IndexFile;
use crate::support::registry::Registry;
use crate::support::wheel::WheelMaker;
use crate::world::{Run, World};

/// The repository most tests use.
pub const REPOSITORY: &str = "loci/requirements";

/// What `keystone` consists of, and what `nova` has beyond that.
pub const KEYSTONE: [&str; 3] = ["certifi", "keystone", "oslo.config"];
pub const NOVA: [&str; 2] = ["driver", "nova"];

type Files = Vec<(String, Vec<u8>)>;

pub struct Harbour {
    pub world: World,
    pub registry: Registry,
    /// What was asked of [`Harbour::layout`] and [`Harbour::installed`].
    expected: Mutex<BTreeMap<String, Files>>,
}

/// Wheels by their file names, beside those that every set has. Of the two large ones, each with a layer of
/// its own, nobody needs one; of the small ones nobody needs `lonely`.
static WHEELS: LazyLock<Files> = LazyLock::new(|| {
    let noisy = |name: &str, kib: usize| {
        let noise_file = format!("{}_noise.bin", name.replace('.', "_"));
        WheelMaker::new(name, "1.0").file(&noise_file, noise(name, kib << 10))
    };
    let wheels = [
        noisy("keystone", 40)
            .requires("oslo.config>=1")
            .requires("certifi")
            .entry_points("[console_scripts]\nkeystone-manage = keystone:main\n"),
        noisy("nova", 50).requires("keystone").requires("driver"),
        noisy("oslo.config", 100),
        noisy("driver", 2500),
        noisy("lonely", 300),
        noisy("large", 2200),
    ];
    wheels.iter().map(|wheel| (wheel.filename(), wheel.bytes())).collect()
});

/// The files of a store with the set, which was obtained once for all tests.
static STORE: LazyLock<Files> = LazyLock::new(|| {
    let harbour = Harbour::empty(Registry::new());
    harbour.offer();
    harbour.loci("build requirements -c c.txt").good();
    harbour.world.files("store")
});

/// Bytes in which no compressor finds anything.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let seed = Sha256::digest(seed);
    let mut state = u64::from_le_bytes(seed[..8].try_into().unwrap()) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Does all of this side by side, for most of it waits.
pub fn side_by_side<T: Send>(things: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        let work = &work;
        for thing in things {
            scope.spawn(move || work(thing));
        }
    });
}

impl Default for Harbour {
    fn default() -> Self {
        Self::new()
    }
}

impl Harbour {
    /// With a registry that has no whims.
    pub fn new() -> Self {
        Self::with(Registry::new())
    }

    /// With a set in the store, called `latest`.
    pub fn with(registry: Registry) -> Self {
        let harbour = Self::empty(registry);
        for (path, bytes) in STORE.iter() {
            harbour.world.write(&format!("store/{path}"), bytes);
        }
        harbour
    }

    /// With an empty store.
    pub fn empty(registry: Registry) -> Self {
        Self { world: World::new(), registry, expected: Mutex::default() }
    }

    /// Puts the set's wheels into the index, and their pins into `c.txt`.
    pub fn offer(&self) {
        let mut constraints = String::new();
        for (filename, bytes) in WHEELS.iter() {
            let name = filename.split('-').next().unwrap();
            self.world.index.file(name, IndexFile::new(filename, bytes.as_slice()));
            constraints.push_str(&format!("{name}===1.0\n"));
        }
        self.world.write("c.txt", constraints);
    }

    /// With the set in the registry as `latest`, where nothing was asked for yet. Where it wants to know,
    /// one is `me` with the password `secret`.
    pub fn loaded(registry: Registry) -> Self {
        let harbour = Self::with(registry);
        harbour.log_in("me", "secret");
        harbour.loci("copy store: docker://REGISTRY/loci/requirements").good();
        harbour.registry.forget_requests();
        harbour
    }

    /// Makes this what the user has for the registry, as `docker login` writes it.
    pub fn log_in(&self, name: &str, password: &str) {
        let auth = STANDARD.encode(format!("{name}:{password}"));
        self.log_in_with(&json!({"auth": auth}));
    }

    /// Makes this the entry of the registry among the user's logins.
    pub fn log_in_with(&self, login: &Value) {
        let file = json!({"auths": {self.registry.host(): login}});
        self.world.write("home/.docker/config.json", file.to_string());
    }

    /// The program with `arguments`, in which `REGISTRY` is the registry's host.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = self.world.command(&self.named(arguments));
        command.env("PIP_RETRIES", "6");
        command
    }

    /// The program with `arguments`, on another machine: one with a store called so.
    pub fn command_on(&self, machine: &str, arguments: &str) -> Command {
        let mut command = self.command(arguments);
        command.env("LOCI_STORE", self.world.path(machine));
        command
    }

    /// Runs the program, and says of the registry that it is `REGISTRY`.
    #[track_caller]
    pub fn loci(&self, arguments: &str) -> Run {
        self.run(&mut self.command(arguments))
    }

    /// Runs the program on another machine.
    #[track_caller]
    pub fn on(&self, machine: &str, arguments: &str) -> Run {
        self.run(&mut self.command_on(machine, arguments))
    }

    /// Runs a command.
    #[track_caller]
    pub fn run(&self, command: &mut Command) -> Run {
        self.told(self.world.run(command))
    }

    /// Starts the program with `arguments` on another machine.
    pub fn start_on(&self, machine: &str, arguments: &str) -> Child {
        self.command_on(machine, arguments).spawn().unwrap()
    }

    fn told(&self, run: Run) -> Run {
        let text = |text: String| text.replace(&self.registry.host(), "REGISTRY");
        Run { code: run.code, out: text(run.out), err: text(run.err) }
    }

    /// The registry's host in place of `REGISTRY`.
    pub fn named(&self, text: &str) -> String {
        text.replace("REGISTRY", &self.registry.host())
    }

    /// A layout of the set as it was in the store when this was asked first, by name and bytes.
    pub fn layout(&self) -> Files {
        self.expect("copy store: oci:as-it-should-be", "as-it-should-be")
    }

    /// What `project` installed from the set in the store when this was asked first.
    pub fn installed(&self, project: &str) -> Files {
        self.expect(&format!("install {project} --wheels store: --prefix env --clear"), "env")
    }

    /// The files that `arguments` put into a directory.
    fn expect(&self, arguments: &str, directory: &str) -> Files {
        let mut expected = self.expected.lock().unwrap();
        let files = expected.entry(arguments.to_owned()).or_insert_with(|| {
            self.loci(arguments).good();
            self.world.files(directory)
        });
        files.clone()
    }

    /// What `project` installs on another machine from `wheels`, which must be the same.
    #[track_caller]
    pub fn assert_installs(&self, machine: &str, project: &str, wheels: &str) -> Run {
        let expected = self.installed(project);
        let arguments = format!("install {project} --wheels {wheels} --prefix env --clear");
        let run = self.on(machine, &arguments).good();
        assert!(self.world.files("env") == expected, "{arguments}: other files");
        run
    }
}

/// Every wheel that a service of the set needs, and others, by file name.
pub fn wheels() -> Files {
    let certifi = WheelMaker::new("certifi", "2025.1");
    let mut wheels = WHEELS.clone();
    wheels.push((certifi.filename(), certifi.bytes()));
    wheels
}

/// The sizes of the wheels of these projects, in all.
pub fn weight(projects: &[&str]) -> u64 {
    let wheels = wheels();
    let size = |name: &&str| {
        let start = format!("{}-", name.replace('.', "_"));
        let found = wheels.iter().find(|(filename, _)| filename.starts_with(&start));
        found.unwrap().1.len() as u64
    };
    projects.iter().map(size).sum()
}

/// Ends a program at once.
pub fn kill(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().unwrap();
}
