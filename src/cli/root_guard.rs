//! Whether a whole service may be put into this root: only by root, and not into the system that somebody
//! works on; and what holds for all that is then done there.

use std::os::unix::fs::MetadataExt;

use super::exit::CliError;

/// What the first process of a system that was booted is called.
const INITS: [&str; 3] = ["systemd", "init", "launchd"];

/// Refuses what nobody means to do.
pub(super) fn check() -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::NotRoot);
    }
    if is_running_machine() {
        return Err(CliError::RunningMachine);
    }
    Ok(())
}

/// Makes what scripts of packages and steps leave in the root readable for everybody, as it is in a private root,
/// whatever umask this process was given.
pub(super) fn open_up() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
}

/// Whether this is the root of a system that was booted: its first process is an init, and has the same root.
/// In a container, and where a builder only changes the root, one of the two does not hold.
fn is_running_machine() -> bool {
    let name = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let place = |path: &str| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    INITS.contains(&name.trim())
        && place("/proc/1/root/").is_some_and(|root| Some(root) == place("/"))
}
