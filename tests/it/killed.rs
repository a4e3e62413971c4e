//! The main job killed at any point, and started again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use loci::vocab::digest::Digest;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::sdist::SdistMaker;
use crate::support::wheel::WheelMaker;
use crate::world::World;

const JOB: &str = "build requirements -c upper-constraints.txt -o dir:wheels -o oci:image";

/// What every complete run obtains.
const ALL: [&str; 11] = [
    "alpha",
    "beta",
    "certifi",
    "delta",
    "epsilon",
    "gamma",
    "pip",
    "setuptools",
    "tool",
    "uwsgi",
    "wheel",
];

struct Scene {
    world: World,
    /// The wheels of the index by the path they are asked for.
    wheels: BTreeMap<String, Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { world: World::new(), wheels: BTreeMap::new() };
        for wheel in [
            WheelMaker::new("alpha", "1.0"),
            WheelMaker::new("beta", "1.0").requires("delta"),
            WheelMaker::new("delta", "1.0"),
            WheelMaker::new("tool", "1.0"),
        ] {
            scene.world.index.wheel(&wheel);
            scene.wheels.insert(format!("/files/{}", wheel.filename()), wheel.bytes());
        }
        for name in ["gamma", "epsilon"] {
            scene.world.index.sdist(&scene.world.noted(name, "1.0").build_requires("tool"));
        }
        scene.world.write(
            "upper-constraints.txt",
            "alpha===1.0\nbeta===1.0\ngamma===1.0\nepsilon===1.0\ntool===1.0\n",
        );
        scene
    }

    fn start(&self) -> Child {
        self.world.command(JOB).process_group(0).spawn().unwrap()
    }

    /// Whose builds are in the store.
    fn recorded(&self) -> Vec<String> {
        let files = self.world.files("store/loci/builds").into_iter();
        let record = |(_, bytes): (String, Vec<u8>)| -> serde_json::Value {
            serde_json::from_slice(&bytes).unwrap()
        };
        files.map(|file| record(file)["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything that must hold after a kill, and after the next run.
    fn assert_recovery(&self, at: &str) {
        let world = &self.world;
        for (name, bytes) in world.files("wheels").iter().filter(|(name, _)| name.ends_with(".whl"))
        {
            let whole = self.wheels.get(&format!("/files/{name}"));
            assert!(whole.is_none_or(|whole| whole == bytes), "{at}: `{name}` is half-written");
        }
        let store =
            |bytes: &[u8]| world.path("store/blobs/sha256").join(Digest::of(bytes).hex()).exists();
        let kept: Vec<&String> =
            self.wheels.iter().filter(|(_, bytes)| store(bytes)).map(|(path, _)| path).collect();
        let recorded = self.recorded();
        let (hits, built) = (world.index.requests().len(), world.built().len());

        let run = world.loci(JOB).good();
        let asked = world.index.requests().split_off(hits);
        for path in kept {
            assert!(asked.iter().all(|r| r.path != *path), "{at}: `{path}` was fetched again");
        }
        for name in recorded {
            assert!(!world.built()[built..].contains(&name), "{at}: `{name}` was built again");
        }
        assert_eq!(world.wheels("wheels"), ALL, "{at}: {}", run.err);
        world.loci("store verify").good();
        // What a killed run leaves in the store's own corner goes when it is swept.
        world.loci("store gc").good();
        for path in ["wheels", "image", "store/loci/tmp"] {
            let names = world.names(path);
            let left = names.iter().find(|name| name.contains("tmp") || name.contains(".loci-"));
            assert_eq!(left, None, "{at}: left in {path}");
        }
        world
            .loci(&JOB.replace("dir:wheels", "dir:anew").replace("oci:image", "oci:new-image"))
            .good();
        assert_eq!(world.files("anew"), world.files("wheels"), "{at}");
        assert_eq!(world.files("new-image"), world.files("image"), "{at}");
    }
}

fn kill(mut child: Child) {
    // It may have ended by itself.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    child.wait().unwrap();
}

#[test]
fn killed_between_two_requests_it_goes_on_where_it_was() {
    let whole = Scene::new();
    whole.world.loci(JOB).good();
    let requests = whole.world.index.requests().len();
    for at in [0, 3, requests / 3, requests / 2, requests * 2 / 3, requests - 3, requests - 1] {
        let scene = Scene::new();
        scene.world.index.hold_after(at);
        let mut child = scene.start();
        scene.world.index.wait_until_held(|| child.try_wait().unwrap().is_some());
        kill(child);
        scene.world.index.let_go();
        scene.assert_recovery(&format!("after {at} of {requests} requests"));
    }
}

#[test]
fn killed_during_a_build_it_takes_the_backend_along() {
    let scene = Scene::new();
    let world = &scene.world;
    let (alive, never) = (world.path("alive"), world.path("never"));
    assert!(Command::new("mkfifo").args([&alive, &never]).status().unwrap().success());
    // The test reads from one pipe for as long as the backend lives, which waits at the other.
    let slow = SdistMaker::new("gamma", "1.0").build_requires("tool").backend(&format!(
        "import subprocess\n\
         _make = build_wheel\n\
         def build_wheel(*arguments):\n    \
             if not os.path.exists({:?}):\n        \
                 alive = open({alive:?}, 'w')\n        \
                 alive.write('x'); alive.flush()\n        \
                 subprocess.run(['cat', {never:?}], pass_fds=[alive.fileno()])\n    \
             return _make(*arguments)",
        world.path("go")
    ));
    world.index.sdist(&slow);
    let child = scene.start();
    let mut pipe = File::open(&alive).unwrap();
    pipe.read_exact(&mut [0]).unwrap();
    kill(child);
    // The end comes when nobody has the other side open: the backend and its child are dead.
    let (died, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || died.send(pipe.read_to_end(&mut Vec::new()).unwrap()));
    let limit = std::time::Duration::from_secs(30);
    assert_eq!(heard.recv_timeout(limit), Ok(0), "the backend goes on without loci");
    world.write("go", "");
    scene.assert_recovery("during a build");
}

#[test]
fn killed_while_it_writes_it_leaves_no_half_file() {
    for seen in ["wheels", "image/blobs/sha256"] {
        let mut scene = Scene::new();
        let big = WheelMaker::new("alpha", "1.0").file("alpha.bin", vec![7; 20_000_000]);
        scene.world.index.wheel(&big);
        scene.wheels.insert(format!("/files/{}", big.filename()), big.bytes());
        let mut child = scene.start();
        let folder = scene.world.path(seen);
        let begun = || fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        while !begun() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        kill(child);
        scene.assert_recovery(seen);
    }
}
