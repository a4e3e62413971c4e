//! [`Present`]: the Python packages of an environment that is there already, into which others are put: a plugin's,
//! in the image of a service.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::vocab::requirement::{PackageName, package_name};

/// The packages of an environment, by what its `.dist-info` directories are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present(BTreeMap<PackageName, String>);

impl Present {
    /// Those that these names of entries of `site-packages` tell of.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().filter_map(release).collect())
    }

    /// Those of the directory `site_packages`; none when there is no such directory.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn in_directory(site_packages: &Path) -> io::Result<Option<Self>> {
        let entries = match std::fs::read_dir(site_packages) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(Some(Self::named(names.iter().map(String::as_str))))
    }

    /// The version of a package.
    #[must_use]
    pub fn version(&self, name: &PackageName) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&PackageName, &str)> {
        self.0.iter().map(|(name, version)| (name, version.as_str()))
    }
}

/// `oslo.config-10.7.0.dist-info` is of `oslo-config`, 10.7.0 (PEP 376; names have no hyphen there).
fn release(name: &str) -> Option<(PackageName, String)> {
    let (name, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
    Some((package_name(name)?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_by_their_directories() {
        let names = [
            "oslo.config-10.7.0.dist-info",
            "six.py",
            "X_y-1.dist-info",
            "-.dist-info",
            "a.dist-info",
        ];
        let present = Present::named(names);
        let all: Vec<_> =
            present.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(all, ["oslo-config 10.7.0", "x-y 1"]);
        assert_eq!(Present::in_directory(Path::new("/nonexistent/site-packages")).unwrap(), None);
    }
}
