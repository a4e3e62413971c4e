//! Whole builds with a real interpreter, with backends and wheels made in code.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;

use super::builder::{BuildPhase, BuildRequest, BuildSource, Builder, Built, Manner, Provision};
use super::cause::Cause;
use super::environment::EnvWheel;
use super::error::{BuildError, BuildFailure, ProvisionError};
use super::interpreter::Interpreter;
use super::key::SystemFingerprint;
use super::surroundings::Surroundings;
use crate::input::rules::PackageRule;
use crate::store::Store;
use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::{PackageName, Requirement, allows, specifiers};
use crate::vocab::sdist_filename::{SdistFilename, SdistFormat};
use crate::wheel::archive::WheelArchive;
use crate::wheel::file::WheelFile;

/// A directory of wheels, the newest that fits first; and what was asked of it.
struct Shelf {
    dir: PathBuf,
    asked: Mutex<Vec<String>>,
}

impl Shelf {
    fn find(&self, requirement: &Requirement, constraints: &[Requirement]) -> Option<EnvWheel> {
        let fits = |wheel: &EnvWheel| {
            constraints
                .iter()
                .filter(|constraint| constraint.name == requirement.name)
                .chain([requirement])
                .all(|r| allows(&specifiers(r), wheel.filename.version()))
        };
        let mut found: Vec<_> = fs_err::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter_map(|path| {
                let filename: crate::vocab::wheel_filename::WheelFilename =
                    path.file_name()?.to_str()?.parse().ok()?;
                let file = WheelFile::open(&path).unwrap();
                let digest = file.digest().unwrap();
                (*filename.name() == requirement.name).then_some(EnvWheel {
                    filename,
                    file,
                    digest,
                })
            })
            .filter(fits)
            .collect();
        found.sort_by(|a, b| a.filename.version().cmp(b.filename.version()));
        found.pop()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Provision for Shelf {
    fn provide<'a>(
        &'a self,
        requirements: &'a [Requirement],
        constraints: &'a [Requirement],
    ) -> BoxFuture<'a, Result<Vec<EnvWheel>, ProvisionError>> {
        async move {
            let mut wheels: Vec<EnvWheel> = Vec::new();
            let mut queue = requirements.to_vec();
            while let Some(requirement) = queue.pop() {
                self.asked.lock().unwrap().push(requirement.to_string());
                if wheels.iter().any(|wheel| *wheel.filename.name() == requirement.name) {
                    continue;
                }
                let wheel = self
                    .find(&requirement, constraints)
                    .ok_or_else(|| format!("no wheel of `{requirement}`"))?;
                let archive = WheelArchive::open(wheel.file.clone(), &wheel.filename)?;
                let target = crate::vocab::target::tests::debian("3.11.7");
                queue.extend(
                    archive
                        .metadata()?
                        .requires_dist
                        .into_iter()
                        .filter(|r| r.evaluate_markers(target.markers(), &[])),
                );
                wheels.push(wheel);
            }
            Ok(wheels)
        }
        .boxed()
    }
}

/// A store, a shelf and a builder.
struct House {
    dir: TempDir,
    store: Store,
    builder: Builder,
    shelf: Shelf,
    rule: PackageRule,
    timeout: Option<Duration>,
    phases: Mutex<Vec<BuildPhase>>,
}

impl House {
    fn new() -> Self {
        Self::with_shelf(None)
    }

    fn with_shelf(shelf: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let shelf = shelf.unwrap_or_else(|| dir.path().join("shelf"));
        fs_err::create_dir_all(&shelf).unwrap();
        let builder = Builder::new(
            Interpreter::probe(Path::new("python3")).unwrap(),
            store.clone(),
            Surroundings::of(std::env::vars_os()),
            SystemFingerprint::read(None),
        );
        Self {
            dir,
            store,
            builder,
            shelf: Shelf { dir: shelf, asked: Mutex::default() },
            rule: PackageRule::default(),
            timeout: None,
            phases: Mutex::default(),
        }
    }

    fn shelve(&self, wheel: &WheelMaker) {
        fs_err::write(self.shelf.dir.join(wheel.filename()), wheel.bytes()).unwrap();
    }

    fn sdist(&self, sdist: &SdistMaker) -> BuildSource {
        let path = self.dir.path().join(sdist.filename());
        let bytes = sdist.bytes();
        fs_err::write(&path, &bytes).unwrap();
        BuildSource::Sdist { path, format: SdistFormat::TarGz, digest: Digest::of(&bytes) }
    }

    async fn build(
        &self,
        name: &str,
        version: &str,
        source: BuildSource,
    ) -> Result<Built, Box<BuildFailure>> {
        let name: PackageName = name.parse().unwrap();
        self.phases.lock().unwrap().clear();
        let on_phase = |phase| self.phases.lock().unwrap().push(phase);
        let request = BuildRequest {
            name: &name,
            version: Some(&version.parse().unwrap()),
            source,
            manner: Manner::Direct,
            rule: &self.rule,
            jobs: 2,
            keep_failed: false,
            timeout: self.timeout,
            on_phase: &on_phase,
        };
        self.builder.build(&request, &self.shelf).await
    }

    fn phases(&self) -> Vec<&'static str> {
        self.phases.lock().unwrap().iter().map(|phase| phase.as_str()).collect()
    }

    fn leftovers(&self) -> usize {
        fs_err::read_dir(self.store.tmp_dir()).unwrap().count()
    }
}

fn text(failure: &BuildFailure) -> String {
    std::iter::successors(Some(failure as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// An in-tree backend of these lines, in a tree that is otherwise the fixture's.
fn backend(lines: &str) -> SdistMaker {
    let fixture = SdistMaker::new("demo", "1.0");
    let original = fixture.tree().into_iter().find(|(path, _)| path == "backend.py").unwrap().1;
    let text = format!("{}\n{lines}\n", String::from_utf8(original).unwrap());
    fixture.file("backend.py", text)
}

#[tokio::test]
async fn a_wheel_is_built_once() {
    let house = House::new();
    let sdist = SdistMaker::new("demo", "1.0");
    let built = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert_eq!(built.filename.as_str(), "demo-1.0-py3-none-any.whl");
    assert!(!built.reused && built.peak_memory.unwrap() > 1 << 20);
    assert_eq!(
        house.phases(),
        [
            "unpacking",
            "making the environment",
            "asking for requirements",
            "making the environment",
            "building",
            "checking the wheel"
        ]
    );
    assert_eq!(house.leftovers(), 0);

    let again = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert_eq!((again.digest, again.reused), (built.digest, true));
    assert_eq!(house.phases(), [""; 0]);

    // Another store, another time, another directory: the same bytes.
    let other = House::new();
    let same = other.build("demo", "1.0", other.sdist(&sdist)).await.unwrap();
    assert_eq!(same.digest, built.digest);
}

#[tokio::test]
async fn requirements_are_provided_twice_and_seen() {
    let house = House::new();
    house.shelve(&WheelMaker::new("helper", "1.0"));
    house.shelve(&WheelMaker::new("more", "2.0").requires("most"));
    house.shelve(&WheelMaker::new("most", "3.0"));
    let sdist = backend(
        "import helper\ndef get_requires_for_build_wheel(config_settings=None):\n    return ['more>1']\n\
         build = build_wheel\ndef build_wheel(*arguments):\n    import more, most\n    return build(*arguments)",
    )
    .build_requires("helper")
    .build_requires("never; python_version < '3'");
    let built = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert_eq!(
        built.requires,
        ["helper-1.0-py3-none-any.whl", "more-2.0-py3-none-any.whl", "most-3.0-py3-none-any.whl"]
    );
    // A newer wheel of the environment is another key.
    house.shelve(&WheelMaker::new("most", "3.1"));
    let other = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert!(!other.reused && other.key != built.key);
}

#[tokio::test]
async fn an_older_setuptools_is_tried_and_remembered() {
    let house = House::new();
    let setuptools = |version: &str, module: &str| {
        let wheel = WheelMaker::new("setuptools", version);
        house.shelve(&if module.is_empty() { wheel } else { wheel.file(module, "") });
    };
    setuptools("82.0.1", "");
    setuptools("80.9.0", "");
    setuptools("71.0", "pkg_resources/__init__.py");
    let sdist = backend("import pkg_resources").build_requires("setuptools");
    let built = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert_eq!(built.requires, ["setuptools-71.0-py3-none-any.whl"]);
    // 82 and none, `<82` and `<81` (the same wheel), `<72`.
    assert_eq!(house.shelf.asked(), 4);
    let log = String::from_utf8(house.store.read(&built.log).unwrap()).unwrap();
    assert!(log.contains("trying again with setuptools-71.0-py3-none-any.whl"), "{log}");

    let again = house.build("demo", "1.0", house.sdist(&sdist)).await.unwrap();
    assert!(again.reused);
    assert_eq!(house.shelf.asked(), 5);

    let never = backend("import distutils.nothing").build_requires("setuptools");
    let failure = house.build("demo", "1.0", house.sdist(&never)).await.unwrap_err();
    assert_eq!(failure.tried, ["setuptools", "setuptools<82", "setuptools<72"]);
    assert!(matches!(failure.cause(), Some(Cause::Module { .. })));
}

#[tokio::test]
async fn failures_say_why_and_keep_their_log() {
    let mut house = House::new();
    let hook = |body: &str| {
        backend(&format!("def build_wheel(*arguments):\n    import os, sys, time\n    {body}"))
    };
    for (body, expected) in [
        (
            "sys.stdout.buffer.write(b'\\xff\\n'); raise KeyError('x')",
            "KeyError: 'x': `build_wheel` failed (exit status: 1)",
        ),
        (
            "os.kill(os.getpid(), 11)",
            "it cannot be built: `build_wheel` failed (signal: 11 (SIGSEGV) (core dumped))",
        ),
        ("sys.exit(0)", "it cannot be built: `build_wheel` ended without a usable answer"),
        ("return '../x.whl'", "it cannot be built: `build_wheel` ended without a usable answer"),
        ("return 3", "it cannot be built: `build_wheel` ended without a usable answer"),
        (
            "return 'x.tar.gz'",
            "it cannot be built: the backend made a file with a bad name: the wheel name `x.tar.gz` does not end in `.whl`",
        ),
        (
            "return 'demo-2.0-py3-none-any.whl'",
            "it cannot be built: the backend made `demo-2.0-py3-none-any.whl`, which is not demo 1.0",
        ),
        (
            "return 'demo-1.0-cp27-cp27m-win32.whl'",
            "it cannot be built: the backend made `demo-1.0-cp27-cp27m-win32.whl`, which does not fit TARGET",
        ),
    ] {
        let failure = house.build("demo", "1.0", house.sdist(&hook(body))).await.unwrap_err();
        let target = house.builder.interpreter().target().to_string();
        let found = text(&failure).replace(&target, "TARGET").replace(" (core dumped)", "");
        assert_eq!(found, expected.replace(" (core dumped)", ""), "{body}");
        assert!(failure.log_path.as_ref().unwrap().is_file(), "{body}");
        assert_eq!(house.leftovers(), 0);
    }

    house.timeout = Some(Duration::from_secs(1));
    let failure =
        house.build("demo", "1.0", house.sdist(&hook("time.sleep(1000)"))).await.unwrap_err();
    assert_eq!(text(&failure), "it cannot be built: `build_wheel` was stopped after 1 s");

    house.timeout = None;
    house.rule.platform_wheel = true;
    let failure =
        house.build("demo", "1.0", house.sdist(&SdistMaker::new("demo", "1.0"))).await.unwrap_err();
    assert!(matches!(failure.error, BuildError::Pure { .. }));

    let bare = SdistMaker::new("demo", "1.0").build_requires("nowhere");
    let failure = house.build("demo", "1.0", house.sdist(&bare)).await.unwrap_err();
    assert_eq!(
        text(&failure),
        "it cannot be built: its build requirements cannot be provided: no wheel of `nowhere`"
    );
    assert_eq!(failure.log, None);
}

#[tokio::test]
async fn metadata_comes_the_cheapest_way() {
    let house = House::new();
    let name: PackageName = "demo".parse().unwrap();
    let ask = async |sdist: &SdistMaker| {
        house.phases.lock().unwrap().clear();
        let on_phase = |phase| house.phases.lock().unwrap().push(phase);
        let request = BuildRequest {
            name: &name,
            version: None,
            source: house.sdist(sdist),
            manner: Manner::Direct,
            rule: &house.rule,
            jobs: 1,
            keep_failed: false,
            timeout: None,
            on_phase: &on_phase,
        };
        let metadata = house.builder.metadata(&request, &house.shelf).await.unwrap();
        (metadata.requires_dist.len(), house.phases().contains(&"building"))
    };
    // Metadata-Version 2.1 promises nothing, and the fixture has no hook: it is built.
    let sdist = SdistMaker::new("demo", "1.0").header("Requires-Dist: six");
    assert_eq!(ask(&sdist).await, (1, true));
    let info =
        "Metadata-Version: 2.2\nName: demo\nVersion: 1.0\nRequires-Dist: a\nRequires-Dist: b\n";
    assert_eq!(ask(&SdistMaker::new("demo", "1.0").file("PKG-INFO", info)).await, (2, false));
    let hook = "def prepare_metadata_for_build_wheel(into, config_settings=None):\n    \
        os.mkdir(into + '/d.dist-info')\n    \
        open(into + '/d.dist-info/METADATA', 'w').write('Name: demo\\nVersion: 1.0\\n')\n    \
        return 'd.dist-info'\n";
    assert_eq!(ask(&backend(hook)).await, (0, false));
    assert_eq!(ask(&backend(hook)).await, (0, false));
    assert_eq!(house.phases(), [""; 0]);
}

/// Builds every archive in one directory with the wheels in another.
#[tokio::test]
#[ignore = "needs LOCI_REAL_SDISTS and LOCI_REAL_WHEELS, directories of files from an index"]
async fn real_sdists_build() {
    let [sdists, wheels] = ["LOCI_REAL_SDISTS", "LOCI_REAL_WHEELS"]
        .map(|name| PathBuf::from(std::env::var_os(name).unwrap()));
    let house = House::with_shelf(Some(wheels));
    let mut failed = 0;
    for round in ["first", "second"] {
        for entry in fs_err::read_dir(&sdists).unwrap() {
            let path = entry.unwrap().path();
            let filename = path.file_name().unwrap().to_str().unwrap();
            let (format, stem) = SdistFormat::of(filename).unwrap();
            let name: PackageName = stem.rsplit_once('-').unwrap().0.parse().unwrap();
            let sdist = SdistFilename::parse(filename, &name).unwrap();
            let bytes = fs_err::read(&path).unwrap();
            let source =
                BuildSource::Sdist { path: path.clone(), format, digest: Digest::of(&bytes) };
            let begin = std::time::Instant::now();
            let result = house.build(name.as_ref(), &sdist.version().to_string(), source).await;
            let seconds = begin.elapsed().as_secs_f64();
            match result {
                Ok(built) => println!(
                    "{round} {seconds:.2} s: {} reused={} {} MiB {:?} {}",
                    built.filename,
                    built.reused,
                    built.peak_memory.unwrap_or(0) >> 20,
                    built.requires,
                    built.digest
                ),
                Err(failure) => {
                    failed += 1;
                    println!("{round} {seconds:.2} s: {filename}: {}", text(&failure));
                    if let Some(log) = &failure.log_path {
                        println!("{}", String::from_utf8_lossy(&fs_err::read(log).unwrap()));
                    }
                }
            }
        }
    }
    assert_eq!((failed, house.leftovers()), (0, 0));
}
