//! [`Surroundings`]: the environment variables of builds: little of the user's, all of ours.
//!
//! A build sees what it needs to compile and to go through a proxy, and nothing that would make its
//! result depend on who runs it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::wheel::repack::SourceDateEpoch;

/// The user's variables that choose compilers and flags: they change results, so they are part of
/// the build key.
const SHAPING: [&str; 25] = [
    "AR",
    "ARCHFLAGS",
    "CC",
    "CFLAGS",
    "CPATH",
    "CPP",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "FC",
    "FFLAGS",
    "LD",
    "LDFLAGS",
    "LDSHARED",
    "LIBRARY_PATH",
    "NM",
    "PKG_CONFIG",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
    "PKG_CONFIG_SYSROOT_DIR",
    "RANLIB",
    "RUSTFLAGS",
    "STRIP",
];

/// The user's variables that only say how to get there.
const PASSED: [&str; 20] = [
    "ALL_PROXY",
    "CARGO_HOME",
    "CURL_CA_BUNDLE",
    "FTP_PROXY",
    "GIT_SSL_CAINFO",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "NO_PROXY",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What builds see of the environment loci runs in.
#[derive(Debug, Clone)]
pub struct Surroundings {
    variables: BTreeMap<OsString, OsString>,
    epoch: SourceDateEpoch,
}

impl Surroundings {
    /// Takes what builds may see out of `variables`, the process's own (`std::env::vars_os`).
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut kept = BTreeMap::new();
        let (mut epoch, mut home) = (SourceDateEpoch::default(), None);
        for (name, value) in variables {
            match name.to_str() {
                Some("SOURCE_DATE_EPOCH") => {
                    epoch = value.to_str().and_then(|v| v.parse().ok()).unwrap_or_default();
                }
                Some("HOME") => home = Some(value),
                Some(text) if SHAPING.contains(&text) || PASSED.contains(&text) => {
                    kept.insert(name, value);
                }
                _ => {}
            }
        }
        // HOME is another one in a build, and Rust's tools are found below it.
        if let Some(home) = home {
            for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                let path = Path::new(&home).join(folder);
                if path.is_dir() {
                    kept.entry(name.into()).or_insert_with(|| path.into());
                }
            }
        }
        Self { variables: kept, epoch }
    }

    /// `SOURCE_DATE_EPOCH`; 1980-01-01 when the user set none.
    #[must_use]
    pub const fn epoch(&self) -> SourceDateEpoch {
        self.epoch
    }

    /// The user's value of a variable that builds see.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The variables that change what a build makes, for its key.
    pub fn shaping(&self) -> impl Iterator<Item = (String, String)> {
        SHAPING.into_iter().filter_map(|name| {
            let value = self.get(name)?.to_string_lossy().into_owned();
            Some((name.to_owned(), value))
        })
    }

    /// The whole environment of a build.
    pub(super) fn variables(&self, place: &Place<'_>) -> BTreeMap<OsString, OsString> {
        let mut all = self.variables.clone();
        let mut set = |name: &str, value: OsString| {
            all.insert(name.into(), value);
        };
        let jobs = place.jobs.max(1).to_string();
        let mut path = place.environment.join("bin").into_os_string();
        path.push(":");
        path.push(self.get("PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin")));
        set("PATH", path);
        set("VIRTUAL_ENV", place.environment.into());
        set("HOME", place.home.into());
        set("TMPDIR", place.temporary.into());
        set("LANG", "C.UTF-8".into());
        set("LC_ALL", "C.UTF-8".into());
        set("TZ", "UTC".into());
        set("PYTHONHASHSEED", "0".into());
        set("PYTHONNOUSERSITE", "1".into());
        set("PYTHONUNBUFFERED", "1".into());
        set("SOURCE_DATE_EPOCH", self.epoch.seconds().to_string().into());
        // `setup_requires` runs pip or easy_install by itself: there is no index for either.
        set("PIP_NO_INDEX", "1".into());
        set("PIP_CONFIG_FILE", "/dev/null".into());
        set("PIP_DISABLE_PIP_VERSION_CHECK", "1".into());
        // CPPFLAGS, not CFLAGS: configure scripts leave out their own `-O2` when CFLAGS is set.
        let mut flags = self.get("CPPFLAGS").map(OsStr::to_owned).unwrap_or_default();
        if !flags.is_empty() {
            flags.push(" ");
        }
        flags.push("-ffile-prefix-map=");
        flags.push(place.tree);
        flags.push("=.");
        set("CPPFLAGS", flags);
        set("CMAKE_BUILD_PARALLEL_LEVEL", jobs.clone().into());
        set("CARGO_BUILD_JOBS", jobs.clone().into());
        set("NPY_NUM_BUILD_JOBS", jobs.clone().into());
        set("CPUCOUNT", jobs.clone().into());
        if let Some(extra) = place.distutils {
            set("DIST_EXTRA_CONFIG", extra.into());
        }
        if self.get("MAKEFLAGS").is_none() {
            set("MAKEFLAGS", format!("-j{jobs}").into());
        }
        for (name, value) in place.overrides {
            set(name, value.into());
        }
        all
    }
}

/// Where one build takes place.
pub(super) struct Place<'a> {
    pub(super) environment: &'a Path,
    pub(super) tree: &'a Path,
    pub(super) home: &'a Path,
    pub(super) temporary: &'a Path,
    /// The file that `DIST_EXTRA_CONFIG` names.
    pub(super) distutils: Option<&'a Path>,
    pub(super) jobs: u32,
    /// The rule's variables for this package: they win.
    pub(super) overrides: &'a BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_the_user_is_seen() {
        let surroundings = Surroundings::of(
            [
                ("PATH", "/usr/bin"),
                ("HOME", "/nonexistent"),
                ("PYTHONPATH", "/evil"),
                ("CFLAGS", "-O3"),
                ("CPPFLAGS", "-DX"),
                ("SOURCE_DATE_EPOCH", "1000000000"),
                ("PIP_FIND_LINKS", "/x"),
                ("https_proxy", "http://proxy"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        let overrides = BTreeMap::from([("CPUCOUNT".to_owned(), "8".to_owned())]);
        let variables = surroundings.variables(&Place {
            environment: Path::new("/env"),
            tree: Path::new("/tree"),
            home: Path::new("/home"),
            temporary: Path::new("/tmp"),
            distutils: None,
            jobs: 2,
            overrides: &overrides,
        });
        let get = |name: &str| variables.get(OsStr::new(name)).map(|v| v.to_str().unwrap());
        assert_eq!(get("PATH"), Some("/env/bin:/usr/bin"));
        assert_eq!(get("HOME"), Some("/home"));
        assert_eq!(get("PYTHONPATH"), None);
        assert_eq!(get("PIP_FIND_LINKS"), None);
        assert_eq!(get("https_proxy"), Some("http://proxy"));
        assert_eq!(get("CPPFLAGS"), Some("-DX -ffile-prefix-map=/tree=."));
        assert_eq!(get("SOURCE_DATE_EPOCH"), Some("1000000000"));
        assert_eq!(get("MAKEFLAGS"), Some("-j2"));
        assert_eq!(get("CPUCOUNT"), Some("8"));
        let shaping: Vec<_> = surroundings.shaping().map(|(name, _)| name).collect();
        assert_eq!(shaping, ["CFLAGS", "CPPFLAGS"]);
    }
}
