//! Micro-benchmarks of what a run does hundreds or thousands of times, each stage by itself.
//!
//! Nothing here measures the network or a build. Input is made in code, so that figures of two days
//! can be compared; only the constraints are real, and are skipped with a word where they are absent.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::hint::black_box;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use loci::http::client::{Client, ClientSettings};
use loci::index::find_links::FindLinks;
use loci::index::format_control::FormatControl;
use loci::index::indexes::{IndexSettings, Indexes};
use loci::index::select::{Wanted, candidates, select};
use loci::input::constraints::Constraints;
use loci::input::document::Document;
use loci::input::pins::Pins;
use loci::resolve::problem::{Candidate, MetadataSource, PinForce, Prereleases, Problem};
use loci::resolve::resolution::resolve;
use loci::store::Store;
use loci::store::layout::Layout;
use loci::store::names::Tag;
use loci::store::set::{Origin, SetWheel, WheelSet};
use loci::vocab::core_metadata::CoreMetadata;
use loci::vocab::digest::Digest;
use loci::vocab::requirement::{PackageName, package_name, parse_strict};
use loci::vocab::target::{Libc, Platform, Target};
use loci::vocab::wheel_filename::WheelFilename;
use loci::wheel::archive::WheelArchive;
use loci::wheel::file::WheelFile;
use loci::wheel::repack::{SourceDateEpoch, repack};
use loci::wheel::scheme::Scheme;
use loci::wheel::tree::{InstallOptions, InstallTree, Sink, TreeEntry};
use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use support::WheelMaker;

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "it is a fixture of the tests"
)]
#[path = "../tests/support/wheel.rs"]
mod support;

/// CPython 3.11 on Debian 12 on a 64-bit PC.
fn target() -> Target {
    let markers = MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: "3.11.7",
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "6.1.0",
        platform_system: "Linux",
        platform_version: "#1 SMP",
        python_full_version: "3.11.7",
        python_version: "3.11",
        sys_platform: "linux",
    })
    .expect("these are versions");
    let platform = Platform::new(Libc::Glibc { major: 2, minor: 36 }, "x86_64");
    Target::new(markers, platform).expect("this is a CPython 3")
}

fn name(text: &str) -> PackageName {
    package_name(text).expect("a project's name")
}

/// Numbers that look like chance and are the same every time (a linear congruential generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// The constraints of OpenStack's master, from text to what holds for a target.
#[allow(clippy::print_stderr, reason = "what is skipped is said")]
fn constraints(c: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/constraints/master.upper-constraints.txt");
    let Ok(document) = Document::read(&path) else {
        eprintln!("skipped: constraints needs ../shared/data");
        return;
    };
    let target = target();
    let parsed = Constraints::parse(&document).expect("OpenStack's constraints can be read");
    let mut group = c.benchmark_group("constraints");
    group.throughput(Throughput::Bytes(document.text().len() as u64));
    group.bench_function("parse", |b| b.iter(|| Constraints::parse(black_box(&document))));
    group.bench_function("pin", |b| b.iter(|| black_box(&parsed).pins(&target)));
    group.finish();
}

/// A wheel of 500 modules of some 4 KB, which deflate about as source code does.
fn wheel() -> WheelMaker {
    let mut numbers = Numbers(1);
    (0..500).fold(WheelMaker::new("made", "1.0"), |wheel, i| {
        let lines: Vec<String> = (0..120)
            .map(|_| format!("    value_{} = call({})", numbers.below(40), numbers.below(1000)))
            .collect();
        wheel.file(&format!("made/part_{}/module_{i}.py", i % 20), lines.join("\n"))
    })
}

/// Counts what it is given.
#[derive(Default)]
struct Count {
    entries: usize,
    bytes: usize,
}

impl Sink for Count {
    fn entry(&mut self, _: &TreeEntry, bytes: &[u8]) -> io::Result<()> {
        self.entries += 1;
        self.bytes += bytes.len();
        Ok(())
    }
}

/// A wheel's installation, and its reproducible form.
fn wheels(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let maker = wheel();
    let filename: WheelFilename = maker.filename().parse().expect("a wheel's name");
    let path = dir.path().join(maker.filename());
    std::fs::write(&path, maker.bytes()).expect("a file");
    let file = WheelFile::open(&path).expect("the file is there");
    let scheme = Scheme::for_python(11, Path::new("/var/lib/openstack"));
    let options = InstallOptions { requested: false, direct_url: None, installer: "loci" };
    let open = || WheelArchive::open(file.clone(), &filename).expect("the wheel is fine");
    let archive = open();
    let plan = || InstallTree::plan(&archive, &scheme, &options).expect("the wheel is fine");
    let tree = plan();
    let emit = || {
        let mut count = Count::default();
        tree.emit(&mut count).expect("the wheel is fine");
        count
    };
    let Count { entries, bytes } = emit();
    assert!(entries > 500, "{entries} entries");

    let mut group = c.benchmark_group("wheel of 500 files");
    group.bench_function("open", |b| b.iter(open));
    group.bench_function("plan", |b| b.iter(plan));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("emit", |b| b.iter(emit));
    group.sample_size(20);
    group.bench_function("repack", |b| {
        b.iter(|| {
            let mut out = Cursor::new(Vec::new());
            repack(&file, &filename, &mut out, SourceDateEpoch::default()).map(|()| out)
        });
    });
    group.finish();
}

/// The choice of a file on a page of 2,000 files: 100 releases, each for many Pythons and platforms.
fn pages(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let links = dir.path().join("links");
    std::fs::create_dir(&links).expect("a directory");
    for release in 0..100 {
        let create = |file: String| std::fs::write(links.join(file), "").expect("a file");
        create(format!("made-1.{release}.0.tar.gz"));
        for python in 0..19 {
            let (minor, platform) = match python {
                0..10 => (python + 5, "manylinux_2_17_x86_64.manylinux2014_x86_64"),
                _ => (python - 5, "manylinux_2_17_aarch64.manylinux2014_aarch64"),
            };
            create(format!("made-1.{release}.0-cp3{minor}-cp3{minor}-{platform}.whl"));
        }
    }
    let client = Client::new(ClientSettings::default()).expect("a client");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    let settings = IndexSettings {
        find_links: vec![FindLinks::Directory(links)],
        no_index: true,
        ..IndexSettings::default()
    };
    let indexes = Indexes::new(client, settings, store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let page = runtime.block_on(indexes.page(&name("made"))).expect("a page");
    assert_eq!(page.files().count(), 2000);

    let (target, formats) = (target(), FormatControl::default());
    let version: Version = "1.50.0".parse().expect("a version");
    let wanted = Wanted::Exact { written: "1.50.0", version: &version };
    let mut group = c.benchmark_group("page of 2,000 files");
    group.bench_function("select", |b| b.iter(|| select(&page, &wanted, &target, &formats)));
    group.throughput(Throughput::Elements(2000));
    group.bench_function("candidates", |b| b.iter(|| candidates(&page, &target, &formats)));
    group.finish();
}

/// Projects in layers, each release of which needs some of the layer below within a range.
struct Universe(BTreeMap<PackageName, BTreeMap<Version, Arc<CoreMetadata>>>);

const LAYERS: u64 = 8;
const PROJECTS: u64 = 30;
const RELEASES: u64 = 20;

impl Universe {
    fn new() -> Self {
        let mut numbers = Numbers(7);
        let mut projects = BTreeMap::new();
        for layer in 0..LAYERS {
            for project in 0..PROJECTS {
                let project = format!("project-{layer}-{project}");
                let mut releases = BTreeMap::new();
                for release in 0..RELEASES {
                    let mut text = format!("Name: {project}\nVersion: {release}.0\n");
                    for _ in 0..if layer + 1 == LAYERS { 0 } else { 4 } {
                        let (below, needed) = (layer + 1, numbers.below(PROJECTS));
                        // The newest releases want too much of each other now and then.
                        let (from, to) = (numbers.below(10), 14 + numbers.below(8));
                        text.push_str(&format!(
                            "Requires-Dist: project-{below}-{needed}>={from},<{to}\n"
                        ));
                    }
                    let metadata = CoreMetadata::parse(text.as_bytes()).expect("metadata");
                    releases.insert(Version::new([release, 0]), Arc::new(metadata));
                }
                projects.insert(name(&project), releases);
            }
        }
        Self(projects)
    }
}

impl MetadataSource for Universe {
    type Error = Infallible;

    fn versions(&self, name: &PackageName) -> Result<Vec<Candidate>, Infallible> {
        let releases = self.0.get(name).into_iter().flat_map(BTreeMap::keys);
        Ok(releases.map(|v| Candidate { version: v.clone(), yanked: false }).collect())
    }

    fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<CoreMetadata>, Infallible> {
        Ok(Arc::clone(&self.0[name][version]))
    }
}

/// The versions of a hundred projects and more that go together.
fn resolution(c: &mut Criterion) {
    let (universe, target, pins) = (Universe::new(), target(), Pins::default());
    let problem = Problem {
        roots: (0..10)
            .map(|i| parse_strict(&format!("project-0-{i}")).expect("a requirement"))
            .collect(),
        pins: &pins,
        force: PinForce::Hard,
        bounds: Vec::new(),
        exempt: BTreeSet::new(),
        prereleases: Prereleases::AsNeeded,
        target: &target,
    };
    let found = resolve(&problem, &universe).expect("there is a solution").packages.len();
    assert!(found > 100, "{found} projects");
    c.bench_function("resolve a made universe", |b| b.iter(|| resolve(&problem, &universe)));
}

/// What it costs to count on blobs, and a set of some hundred wheels as the store remembers it.
fn store(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    let plain = Layout::create(&dir.path().join("plain")).expect("a layout");
    let wheels = (0..585_u32).map(|n| {
        let bytes = n.to_le_bytes();
        SetWheel {
            filename: format!("made_{n}-1.0-py3-none-any.whl").parse().expect("a wheel's name"),
            digest: store.put(&bytes).expect("a blob"),
            size: bytes.len() as u64,
            origin: Origin::Imported { from: "nowhere".into() },
        }
    });
    let set = WheelSet { wheels: wheels.collect(), ..WheelSet::default() };
    store.save_set(&Tag::default(), &set).expect("a set");
    let digest = plain.put(b"blob").expect("a blob");
    store.put(b"blob").expect("a blob");
    let mut numbers = 0..u64::MAX;
    let mut other = || Digest::of(&numbers.next().unwrap_or_default().to_le_bytes());
    let mut group = c.benchmark_group("store");
    group.bench_function("look, without a lease", |b| b.iter(|| plain.contains(&digest)));
    group.bench_function("look, held already", |b| b.iter(|| store.contains(&digest)));
    group.bench_function("look at another, without a lease", |b| {
        b.iter(|| plain.contains(&other()));
    });
    group.bench_function("look at another, held from now on", |b| {
        b.iter(|| store.contains(&other()));
    });
    group.bench_function("load a set", |b| {
        b.iter(|| store.load_set(&Tag::default()).expect("a set").wheels.len());
    });
    group.bench_function("open", |b| b.iter(|| Store::open(store.root()).expect("a store")));
    group.finish();
}

criterion_group!(benches, constraints, wheels, pages, resolution, store);
criterion_main!(benches);
