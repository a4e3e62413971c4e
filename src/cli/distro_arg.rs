//! The distribution that packages are for, as `DISTRO` has it: a name, an os-release file, or, where
//! nothing is said, this machine's.

use std::path::Path;

use super::exit::CliError;
use crate::input::document::Document;
use crate::input::error::InputError;
use crate::vocab::distro::Distro;

/// Where a system's os-release file is, the first one before the other (os-release(5)).
const PLACES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Reads what was given, if anything was: what has a slash is a file.
pub(super) fn distro(given: Option<&str>) -> Result<Distro, CliError> {
    match given {
        None => of_machine(),
        Some(path) if path.contains('/') => read(Path::new(path)),
        Some(name) => {
            let named = Distro::named(name)?;
            // A machine that does not say what it is may be why it was said.
            Ok(of_machine().map(|machine| named.clone().on(&machine)).unwrap_or(named))
        }
    }
}

fn of_machine() -> Result<Distro, CliError> {
    let [first, second] = PLACES.map(Path::new);
    match read(first) {
        Err(CliError::Input(InputError::Read { .. })) if second.exists() => read(second),
        read => read,
    }
}

fn read(path: &Path) -> Result<Distro, CliError> {
    let document = Document::read(path)?;
    Distro::from_os_release(document.text())
        .map_err(|source| CliError::OsRelease { path: path.to_owned(), source })
}
