//! Commands in private roots, with the host's own programs in them.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use loci::service::root::error::RootError;
use loci::service::root::first;
use loci::service::root::run::{CommandLine, Output, Root};

/// Where programs are; all but one may be links.
const PROGRAMS: [&str; 5] = ["usr", "bin", "lib", "lib64", "sbin"];

/// Whether private roots can be made here, which is said when not. Their first process is the program that is tested.
pub fn are_there() -> bool {
    first::use_program(Path::new(env!("CARGO_BIN_EXE_loci")));
    let outcome = Root::check_private();
    if let Err(error) = &outcome {
        println!("skipped: {error}");
    }
    outcome.is_ok()
}

/// A root in `dir` with the host's programs, if private roots can be made here.
fn root(dir: &Path) -> Option<Root> {
    if !are_there() {
        return None;
    }
    for name in PROGRAMS {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            symlink(target, dir.join(name)).unwrap();
        }
    }
    Some(with_programs(dir))
}

fn with_programs(dir: &Path) -> Root {
    PROGRAMS.iter().fold(Root::private(dir).unwrap(), |root, name| {
        let from = Path::new("/").join(name);
        let is_bound = from.is_dir() && !from.is_symlink();
        if is_bound { root.with_bind(&from, &from).unwrap() } else { root }
    })
}

fn shell(root: &Root, script: &str) -> (Result<Output, RootError>, Vec<String>) {
    let mut lines = Vec::new();
    let command = CommandLine::new("sh", ["-c", script]);
    let output = root.run(&command, &mut |line| lines.push(line.to_owned()));
    (output, lines)
}

/// What is mounted below `dir`, as this process sees it.
fn mounts(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_below = |line: &&str| line.contains(dir.to_str().unwrap());
    text.lines().filter(is_below).map(str::to_owned).collect()
}

#[test]
fn a_command_sees_its_root_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    fs::write(shared.path().join("list"), "bound\n").unwrap();
    let Some(root) = root(dir.path()) else { return };
    let root = root.with_bind(&shared.path().join("list"), Path::new("/etc/apt/list")).unwrap();
    let root = root.with_epoch(7);
    let (output, lines) = shell(
        &root,
        "echo one; echo two >&2; cat; cat /etc/apt/list; echo $SOURCE_DATE_EPOCH $HOME \"$USER\"
         echo kept >/kept; echo gone >/dev/shm/x
         echo no >/etc/apt/list; echo x >/dev/null; umask; cat /proc/1/comm
         printf '10%%\\r100%%\\n'; echo https://u:p@h/; exit 7",
    );
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(7));
    let refused = lines.iter().position(|line| line.contains("Read-only file system")).unwrap();
    let mut others = lines.clone();
    others.remove(refused);
    assert_eq!(
        others,
        ["one", "two", "bound", "7 /root", "0022", "loci", "100%", "https://****@h/"]
    );
    assert_eq!(output.tail, lines);
    assert_eq!(fs::read(shared.path().join("list")).unwrap(), b"bound\n");
    assert_eq!(mounts(dir.path()), [""; 0]);
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !PROGRAMS.contains(&name.as_str()))
        .collect();
    left.sort();
    assert_eq!(left, ["kept"]);
}

#[test]
fn links_of_a_root_lead_to_places_in_it() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("root");
    fs::create_dir(&dir).unwrap();
    let Some(root) = root(&dir) else { return };
    symlink("../../elsewhere", dir.join("dev")).unwrap();
    symlink("../../..", dir.join("etc")).unwrap();
    symlink("/run/resolve/stub.conf", dir.join("resolv.conf")).unwrap();
    let (output, lines) =
        shell(&root, "echo x >/dev/null; test -s /run/resolve/stub.conf; echo $?");
    assert!(output.unwrap().status.success());
    if Path::new("/etc/resolv.conf").exists() {
        assert_eq!(lines, ["0"]);
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(!dir.join("elsewhere").exists() && !dir.join("hosts").exists());
}

#[test]
fn what_cannot_run_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = root(dir.path()) else { return };
    let output = root.run(&CommandLine::new("no-such-program", ["x"]), &mut |_| {}).unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(output.tail.join(" ").contains("no-such-program"), "{:?}", output.tail);
    let (output, _) = shell(&root, "kill -9 $$");
    assert_eq!(output.unwrap().status.code(), Some(128 + 9));
    // What is still running at the end does not keep it from ending.
    let (output, lines) = shell(&root, "sleep 1000 & echo done");
    assert!(output.unwrap().status.success() && lines == ["done"]);

    let live = Root::live();
    let (output, lines) = shell(&live, "echo $DEBIAN_FRONTEND; exit 3");
    assert_eq!((output.unwrap().status.code(), lines), (Some(3), vec!["noninteractive".into()]));
    let nothing = CommandLine::new("no-such-program", [""; 0]);
    let error = live.run(&nothing, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `no-such-program`");
}

#[test]
fn programs_are_found_through_the_links_of_a_root() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("opt/bin")).unwrap();
    fs::write(dir.path().join("opt/bin/mine"), "").unwrap();
    fs::create_dir(dir.path().join("usr")).unwrap();
    symlink("/opt/bin", dir.path().join("usr/bin")).unwrap();
    let root = Root::private(dir.path()).unwrap();
    assert!(root.has_program("mine") && !root.has_program("sh"));
    assert!(Root::live().has_program("sh"));
}

#[test]
fn nothing_of_the_host_is_to_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    let Some(root) = root(dir.path()) else { return };
    fs::write(dir.path().join("mine"), "").unwrap();
    // What whoever started loci has left open.
    let host = tempfile::Builder::new().prefix("host").tempfile().unwrap();
    rustix::io::fcntl_setfd(&host, rustix::io::FdFlags::empty()).unwrap();
    let (output, lines) = shell(
        &root,
        "ls -d /mine /proc/1/root/mine /proc/1/cwd/mine; ls /proc/1/root/../../../../mine
         cut -d' ' -f5 /proc/self/mountinfo | sort | tr '\\n' ' '; echo
         grep CapBnd /proc/self/status; mount -t tmpfs none /dev/shm 2>/dev/null || echo not mounted
         mknod /dev/disk b 8 0 2>/dev/null || echo no device
         (: 3>>/proc/sys/kernel/core_pattern) 2>/dev/null || echo not set
         (: 3</dev/tty) 2>/dev/null || echo no terminal
         readlink /proc/self/fd/* | grep -c host",
    );
    output.unwrap();
    let programs = PROGRAMS.map(|name| format!("/{name}"));
    let mounts = lines[4].split(' ').filter(|at| !programs.iter().any(|name| name == at));
    // Which of `/proc` there is to protect is the kernel's matter.
    let mounts = mounts.filter(|at| !at.is_empty() && !at.starts_with("/proc/"));
    let mounts: Vec<_> = mounts.collect();
    let mounts = mounts.join(" ");
    insta::assert_snapshot!(mounts, @"/ /dev /dev/full /dev/null /dev/random /dev/tty /dev/urandom /dev/zero /etc/hosts /etc/resolv.conf /proc");
    insta::assert_snapshot!([&lines[..4], &lines[5..]].concat().join("\n"), @r"
    ls: cannot access '/proc/1/root/mine': Permission denied
    ls: cannot access '/proc/1/cwd/mine': Permission denied
    /mine
    ls: cannot access '/proc/1/root/../../../../mine': Permission denied
    CapBnd:	00000000a00405fb
    not mounted
    no device
    not set
    no terminal
    0
    ");
}

const KILLED: &str = "LOCI_TEST_ROOT_THAT_IS_KILLED";

/// Not a test of its own: the process that the next one kills.
#[test]
fn a_process_that_is_killed() {
    let Some(dir) = std::env::var_os(KILLED) else { return };
    first::use_program(Path::new(env!("CARGO_BIN_EXE_loci")));
    // It is known by its directory.
    let script = format!("exec 2>&-; (sleep 1000 & wait) & echo running; wait # {}", dir.display());
    let command = CommandLine::new("sh", ["-c".to_owned(), script]);
    let root = with_programs(Path::new(&dir));
    root.run(&command, &mut |line| println!("it is {line}")).unwrap();
}

#[test]
fn nothing_is_left_of_a_root_whose_loci_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    if root(dir.path()).is_none() {
        return;
    }
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "private_root::a_process_that_is_killed"])
        .env(KILLED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(helper.stdout.take().unwrap());
    let started = output.lines().any(|line| line.unwrap().contains("it is running"));
    assert!(started, "the helper ended before");
    // What is in the root, and what brought it there: `unshare` and the first process.
    let running = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let is_ours = |entry: &fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(dir.path().to_str().unwrap())
        };
        entries.filter(is_ours).count()
    };
    assert!(running() >= 3, "{}", running());
    helper.kill().unwrap();
    helper.wait().unwrap();
    for _ in 0..1_000_000 {
        if running() == 0 {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(running(), 0);
    assert_eq!(mounts(dir.path()), [""; 0]);
}
