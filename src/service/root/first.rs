//! [`FirstProcess`]: the first process of a private root. It is this program, started anew in namespaces of its own by
//! `unshare(1)`, where all that it mounts is gone with it.
//!
//! It mounts what commands expect of a system, makes the directory the root of all its namespace (`pivot_root(2)`) and
//! lets go of the host's, so that nothing of that can be reached from within, keeps a container's capabilities
//! (`capabilities(7)`) and no more, and runs one command. When its input ends, which it does when loci is gone,
//! however that came, it ends, and the kernel ends all others in the namespace.

use std::ffi::{CStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::pivot_root;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::error::{RootError, io_error};

/// The first argument of this program when it is to be such a process.
const WORD: &str = "first-process-of-a-private-root";
/// What it says when all is mounted.
pub(super) const READY: &str = "loci: the root is ready";
/// What ends the places in its arguments.
const END: &str = "--";
/// How it ends when loci is gone.
const GONE: i32 = 128 + 15;
/// How it ends when there is no such command, as a shell does.
const NOT_FOUND: i32 = 127;
/// Devices that programs rely on.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What of `/proc` is of the machine and not of processes.
const OF_THE_MACHINE: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];
/// What of root's power is left to commands: they own all files of their root, and are nobody outside of it. Without
/// `DAC_READ_SEARCH` no file of the host can be opened by a handle (`open_by_handle_at(2)`).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// A program that can be such a process, where this one cannot.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// A file or directory of the host that is seen in a private root, and cannot be changed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) from: PathBuf,
    /// A path in the root.
    pub(super) to: PathBuf,
}

/// What such a process is told. All places but where something is bound from are below the root, with no link left
/// in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstProcess {
    /// The root.
    pub(super) root: PathBuf,
    /// Where `/proc` and `/dev` are.
    pub(super) mounts: [PathBuf; 2],
    /// What is bound, and where.
    pub(super) binds: Vec<Bind>,
    /// The program and its arguments.
    pub(super) command: Vec<OsString>,
}

/// Says which program is the first process of private roots: a `loci`, for this one is none.
pub fn use_program(path: &Path) {
    // The first word holds, and all say the same.
    let _ = PROGRAM.set(path.to_owned());
}

impl FirstProcess {
    /// What this program's arguments, its name before them, tell it to be; none when that is none of this.
    #[must_use]
    pub fn asked(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        if arguments.nth(1)? != WORD {
            return None;
        }
        let mut place = || arguments.next().map(PathBuf::from);
        let (root, mounts) = (place()?, [place()?, place()?]);
        let mut binds = Vec::new();
        while let Some(from) = arguments.next().filter(|word| word != END) {
            binds.push(Bind { from: from.into(), to: arguments.next()?.into() });
        }
        Some(Self { root, mounts, binds, command: arguments.collect() })
    }

    /// What `unshare` is given to start it.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        // By its number it is found even if the file has been replaced since.
        let program = PROGRAM.get().cloned();
        let program = program.unwrap_or_else(|| format!("/proc/{}/exe", std::process::id()).into());
        let ways = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"];
        let mut line: Vec<OsString> = ways.map(OsString::from).to_vec();
        line.extend([program.into(), WORD.into(), self.root.clone().into()]);
        line.extend(self.mounts.iter().map(OsString::from));
        for Bind { from, to } in &self.binds {
            line.extend([from.into(), to.into()]);
        }
        line.push(END.into());
        line.extend(self.command.iter().cloned());
        line
    }

    /// Is it: the exit code of the command, or of what a shell would say of it. On `out` it says when the root is ready,
    /// and what is wrong; the command's own output goes to this process'.
    ///
    /// # Errors
    /// [`RootError::Io`] when the root cannot be made private.
    pub fn run(&self, out: &mut dyn Write) -> Result<i32, RootError> {
        close_others().map_err(io_error("close what is open for", &self.root))?;
        std::thread::spawn(|| {
            let mut stdin = io::stdin().lock();
            while stdin.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            std::process::exit(GONE);
        });
        // Nobody in the root gets at the terminal that loci was started from. The first in a namespace leads no group,
        // so that it may.
        rustix::process::setsid().map_err(failed("leave the terminal for", &self.root))?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        // Packages put it into what they make. Where it may not be changed, it stays.
        let _ = rustix::system::sethostname(b"localhost");
        self.mount()?;
        self.enter()?;
        lose_power().map_err(failed("give up capabilities for", &self.root))?;
        let said = |error| io_error("write to", Path::new("stdout"))(error);
        writeln!(out, "{READY}").and_then(|()| out.flush()).map_err(said)?;

        let Some((program, arguments)) = self.command.split_first() else { return Ok(NOT_FOUND) };
        let command = Command::new(program).args(arguments).stdin(Stdio::null()).status();
        match command {
            Ok(status) => Ok(status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap_or(NOT_FOUND)),
            Err(error) => {
                writeln!(out, "{}: {error}", program.display()).map_err(said)?;
                Ok(NOT_FOUND)
            }
        }
    }

    fn mount(&self) -> Result<(), RootError> {
        let [proc, dev] = &self.mounts;
        // The root of a namespace is something that is mounted. No device in it is one.
        mount_bind(&self.root, &self.root).map_err(failed("mount", &self.root))?;
        restrict(&self.root, MountFlags::NODEV);
        let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", proc, "proc", quiet, None::<&CStr>).map_err(failed("mount", proc))?;
        // What is set there is set for the whole machine, and asks for no capability.
        for name in OF_THE_MACHINE {
            let place = proc.join(name);
            if place.exists() {
                mount_bind(&place, &place).map_err(failed("mount", &place))?;
                mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY | quiet, "")
                    .map_err(failed("protect", &place))?;
            }
        }

        mount("tmpfs", dev, "tmpfs", MountFlags::NOSUID, c"mode=755")
            .map_err(failed("mount", dev))?;
        for name in DEVICES {
            let (device, place) = (Path::new("/dev").join(name), dev.join(name));
            if device.exists() {
                bind(&device, &place)?;
            }
        }
        make_directory(&dev.join("shm"), 0o1777)?;
        for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
            let place = dev.join(name);
            symlink(format!("/proc/self/fd{target}"), &place).map_err(io_error("link", &place))?;
        }
        for Bind { from, to } in &self.binds {
            bind(from, to)?;
            // A user namespace may not let go of other flags, and then keeps this one from being set.
            restrict(to, MountFlags::RDONLY);
        }
        Ok(())
    }

    /// Makes the root that of this namespace, and lets go of the one before, which is stacked upon it for a moment
    /// (`pivot_root(2)`, "`pivot_root(".", ".")`").
    fn enter(&self) -> Result<(), RootError> {
        let root = &self.root;
        std::env::set_current_dir(root).map_err(io_error("enter", root))?;
        pivot_root(".", ".").map_err(|error| match error {
            Errno::INVAL => RootError::Stuck,
            _ => failed("enter", root)(error),
        })?;
        unmount(".", UnmountFlags::DETACH).map_err(failed("leave the host for", root))?;
        std::env::set_current_dir("/").map_err(io_error("enter", root))
    }
}

/// Makes `from` seen at `to`, which is made when it is in what was mounted just now.
fn bind(from: &Path, to: &Path) -> Result<(), RootError> {
    let made = if from.is_dir() {
        fs::create_dir_all(to)
    } else if to.exists() {
        Ok(())
    } else {
        fs::create_dir_all(to.parent().unwrap_or(to)).and_then(|()| fs::write(to, ""))
    };
    made.map_err(io_error("create", to))?;
    mount_bind(from, to).map_err(failed("mount", to))
}

/// Adds flags to a mount, where that is allowed.
fn restrict(place: &Path, flags: MountFlags) {
    let _ = mount_remount(place, MountFlags::BIND | flags, "");
}

fn make_directory(path: &Path, mode: u32) -> Result<(), RootError> {
    fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
        })
        .map_err(io_error("create", path))
}

/// Closes what whoever started loci has left open beside its input and output: the host could be reached through it.
fn close_others() -> io::Result<()> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let others: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    // The one that they were listed by is among them, and closed already.
    for number in others {
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Takes from all commands that this process starts what root can do beside [`KEPT`].
fn lose_power() -> rustix::io::Result<()> {
    // What is inherited goes before the bounds.
    clear_ambient_capability_set()?;
    let own = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..own })?;
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            // The kernel does not know all of them.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(Errno) -> RootError {
    let failed = io_error(act, path);
    move |error| failed(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_told_is_what_it_hears() {
        let told = FirstProcess {
            root: "/r".into(),
            mounts: ["/r/proc", "/r/dev"].map(PathBuf::from),
            binds: vec![Bind { from: "/etc/hosts".into(), to: "/r/etc/hosts".into() }],
            command: ["sh", "-c", "--", "x"].map(OsString::from).to_vec(),
        };
        let line = told.arguments();
        let own = line.iter().position(|word| word == END).unwrap() + 1;
        assert_eq!(FirstProcess::asked(line[own..].iter().cloned()), Some(told));
        for other in ["", "loci", "loci build", "loci first-process-of-a-private-root /r"] {
            assert_eq!(FirstProcess::asked(other.split(' ').map(OsString::from)), None, "{other}");
        }
    }
}
