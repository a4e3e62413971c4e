//! [`Cause`]: what the log of a failed build says, where it is known.
//!
//! Only signs that leave no doubt are read; what is not known stays unknown, and the log is there.

use std::fmt;

/// Why a build failed, as its log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A C header is not installed.
    Header {
        /// As it is included, for example `krb5.h`.
        header: String,
        /// The Debian package that has it, when known.
        package: Option<&'static str>,
    },
    /// A library is not installed for linking.
    Library {
        /// As after `-l`, or its pkg-config name.
        library: String,
        /// The Debian package that has it, when known.
        package: Option<&'static str>,
    },
    /// A program is not installed.
    Tool {
        /// Its name.
        tool: String,
        /// The Debian package that has it, when known.
        package: Option<&'static str>,
    },
    /// A Python module is not in the build environment.
    Module {
        /// Its name.
        module: String,
    },
    /// Something wanted to fetch a distribution by itself (`setup_requires`).
    Escape {
        /// The requirement.
        requirement: String,
    },
    /// `pbr` or `setuptools_scm` found neither PKG-INFO nor git tags.
    Version,
    /// The disk is full.
    Disk,
    /// There was not enough memory.
    Memory,
    /// The compiler refused the source.
    Compile {
        /// Its first error.
        line: String,
    },
    /// This setuptools no longer takes what the project does.
    Setuptools {
        /// What it said.
        line: String,
    },
    /// Some other Python exception.
    Exception {
        /// Its last line.
        line: String,
    },
}

impl Cause {
    /// Reads the end of a log, after a hook that ended with `signal` if it was killed.
    #[must_use]
    pub fn of(log: &str, signal: Option<i32>) -> Option<Self> {
        let find = |sign: fn(&str) -> Option<Self>| log.lines().map(str::trim).find_map(sign);
        // What lies deepest first: a full disk or a missing header shows itself as many things.
        find(resources)
            .or_else(|| (signal == Some(9)).then_some(Self::Memory))
            .or_else(|| find(header))
            .or_else(|| find(tool))
            .or_else(|| find(library))
            .or_else(|| find(compile))
            .or_else(|| find(version))
            .or_else(|| find(escape))
            .or_else(|| log.lines().rev().find_map(|line| module(line.trim())))
            .or_else(|| log.lines().rev().find_map(|line| setuptools(line.trim())))
            .or_else(|| log.lines().rev().find_map(exception))
    }

    /// Whether an older setuptools may well do what this one did not.
    #[must_use]
    pub fn wants_older_setuptools(&self) -> bool {
        match self {
            Self::Setuptools { .. } => true,
            Self::Module { module } => ["pkg_resources", "distutils", "setuptools"]
                .iter()
                .any(|name| module.split('.').next() == Some(name)),
            _ => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = match self {
            Self::Header { header, package } => {
                write!(f, "the header `{header}` is not installed")?;
                *package
            }
            Self::Library { library, package } => {
                write!(f, "the library `{library}` is not installed for linking")?;
                *package
            }
            Self::Tool { tool, package } => {
                write!(f, "the program `{tool}` is not installed")?;
                *package
            }
            Self::Module { module } if module == "pkg_resources" => {
                return f.write_str("it needs `pkg_resources`, which setuptools 82 left out");
            }
            Self::Module { module } if module.split('.').next() == Some("distutils") => {
                return f.write_str("it needs `distutils`, which Python 3.12 left out");
            }
            Self::Module { module } => {
                return write!(
                    f,
                    "the module `{module}` is not in the build environment, and the project does not \
                     ask for it"
                );
            }
            Self::Escape { requirement } => {
                return write!(
                    f,
                    "it tried to fetch `{requirement}` by itself (`setup_requires`), which builds may \
                     not"
                );
            }
            Self::Version => {
                return f.write_str(
                    "its version is not to be found: there is neither PKG-INFO nor a git tag",
                );
            }
            Self::Disk => return f.write_str("the disk is full"),
            Self::Memory => return f.write_str("it ran out of memory"),
            Self::Compile { line } | Self::Setuptools { line } | Self::Exception { line } => {
                return f.write_str(line);
            }
        };
        match package {
            Some(package) => write!(f, "; Debian has it in `{package}`"),
            None => Ok(()),
        }
    }
}

/// Headers by how their path ends, and the Debian packages that have them.
const HEADERS: [(&str, &str); 38] = [
    ("Python.h", "python3-dev"),
    ("cblas.h", "libblas-dev"),
    ("curl.h", "libcurl4-openssl-dev"),
    ("erasurecode.h", "liberasurecode-dev"),
    ("erasurecode_backend.h", "liberasurecode-dev"),
    ("ffi.h", "libffi-dev"),
    ("freetype.h", "libfreetype-dev"),
    ("gssapi.h", "libkrb5-dev"),
    ("gssapi_ext.h", "libkrb5-dev"),
    ("gssapi_krb5.h", "libkrb5-dev"),
    ("jpeglib.h", "libjpeg-dev"),
    ("krb5.h", "libkrb5-dev"),
    ("lapacke.h", "liblapacke-dev"),
    ("lber.h", "libldap2-dev"),
    ("ldap.h", "libldap2-dev"),
    ("libpq-fe.h", "libpq-dev"),
    ("librados.h", "librados-dev"),
    ("librbd.h", "librbd-dev"),
    ("libvirt.h", "libvirt-dev"),
    ("lzma.h", "liblzma-dev"),
    ("mysql.h", "libmariadb-dev"),
    ("nspr.h", "libnspr4-dev"),
    ("nss.h", "libnss3-dev"),
    ("pcre.h", "libpcre3-dev"),
    ("pcre2.h", "libpcre2-dev"),
    ("rdkafka.h", "librdkafka-dev"),
    ("sasl.h", "libsasl2-dev"),
    ("sd-daemon.h", "libsystemd-dev"),
    ("sd-journal.h", "libsystemd-dev"),
    ("snappy-c.h", "libsnappy-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlite3.h", "libsqlite3-dev"),
    ("virterror.h", "libvirt-dev"),
    ("xmlversion.h", "libxml2-dev"),
    ("xslt.h", "libxslt1-dev"),
    ("xsltconfig.h", "libxslt1-dev"),
    ("yaml.h", "libyaml-dev"),
    ("zlib.h", "zlib1g-dev"),
];

/// Headers by the directory they are included from.
const HEADER_FOLDERS: [(&str, &str); 4] = [
    ("libxml/", "libxml2-dev"),
    ("libxslt/", "libxslt1-dev"),
    ("openssl/", "libssl-dev"),
    ("systemd/", "libsystemd-dev"),
];

/// Libraries as after `-l`, and pkg-config modules.
const LIBRARIES: [(&str, &str); 28] = [
    ("blas", "libblas-dev"),
    ("crypto", "libssl-dev"),
    ("erasurecode", "liberasurecode-dev"),
    ("gssapi_krb5", "libkrb5-dev"),
    ("jpeg", "libjpeg-dev"),
    ("krb5", "libkrb5-dev"),
    ("lapack", "liblapack-dev"),
    ("lber", "libldap2-dev"),
    ("ldap", "libldap2-dev"),
    ("libmariadb", "libmariadb-dev"),
    ("libpq", "libpq-dev"),
    ("libsystemd", "libsystemd-dev"),
    ("libvirt", "libvirt-dev"),
    ("libxml-2.0", "libxml2-dev"),
    ("libxslt", "libxslt1-dev"),
    ("mariadb", "libmariadb-dev"),
    ("mysqlclient", "libmariadb-dev"),
    ("openblas", "libopenblas-dev"),
    ("pcre", "libpcre3-dev"),
    ("pq", "libpq-dev"),
    ("rdkafka", "librdkafka-dev"),
    ("sasl2", "libsasl2-dev"),
    ("ssl", "libssl-dev"),
    ("systemd", "libsystemd-dev"),
    ("virt", "libvirt-dev"),
    ("xml2", "libxml2-dev"),
    ("yaml", "libyaml-dev"),
    ("z", "zlib1g-dev"),
];

/// Programs that builds start.
const TOOLS: [(&str, &str); 22] = [
    ("c++", "g++"),
    ("cargo", "cargo"),
    ("cc", "gcc"),
    ("cmake", "cmake"),
    ("g++", "g++"),
    ("gcc", "gcc"),
    ("gfortran", "gfortran"),
    ("git", "git"),
    ("krb5-config", "libkrb5-dev"),
    ("ld", "binutils"),
    ("make", "make"),
    ("mariadb_config", "libmariadb-dev"),
    ("mysql_config", "libmariadb-dev"),
    ("ninja", "ninja-build"),
    ("pg_config", "libpq-dev"),
    ("pkg-config", "pkg-config"),
    ("rustc", "rustc"),
    ("swig", "swig"),
    ("x86_64-linux-gnu-g++", "g++"),
    ("x86_64-linux-gnu-gcc", "gcc"),
    ("xml2-config", "libxml2-dev"),
    ("xslt-config", "libxslt1-dev"),
];

fn package(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, package)| *package)
}

/// What stands in `line` between `before` and `after`.
fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    (!found.is_empty()).then_some(found)
}

fn resources(line: &str) -> Option<Cause> {
    if line.contains("No space left on device") {
        return Some(Cause::Disk);
    }
    let memory =
        ["Killed signal terminated program", "virtual memory exhausted", "Cannot allocate memory"];
    (memory.iter().any(|sign| line.contains(sign)) || line == "MemoryError")
        .then_some(Cause::Memory)
}

fn header(line: &str) -> Option<Cause> {
    let header = between(line, "fatal error: ", ": No such file or directory")
        .or_else(|| between(line, "fatal error: '", "' file not found"))
        .filter(|header| !header.contains(' '))?;
    let package = HEADER_FOLDERS
        .iter()
        .find(|(folder, _)| header.starts_with(folder))
        .map(|(_, package)| *package)
        .or_else(|| package(&HEADERS, header.rsplit('/').next().unwrap_or(header)));
    Some(Cause::Header { header: header.into(), package })
}

fn tool(line: &str) -> Option<Cause> {
    let name = between(line, "No such file or directory: '", "'")
        .or_else(|| between(line, "error: command '", "' failed: No such file or directory"))
        .or_else(|| between(line, "unable to execute '", "': No such file or directory"))
        .or_else(|| between(line, "Unknown compiler(s): [['", "'"))
        .or_else(|| line.strip_suffix(": not found").and_then(|rest| rest.rsplit(' ').next()))
        .or_else(|| {
            line.strip_suffix(": command not found").and_then(|rest| rest.rsplit(' ').next())
        })
        .or_else(|| line.contains("pg_config executable not found").then_some("pg_config"))
        .or_else(|| line.contains("mysql_config not found").then_some("mysql_config"))
        .or_else(|| line.contains("can't find Rust compiler").then_some("rustc"))?;
    // Only known programs: any file may be missing for any reason.
    let name = name.rsplit('/').next().unwrap_or(name);
    let package = package(&TOOLS, name)?;
    Some(Cause::Tool { tool: name.into(), package: Some(package) })
}

fn library(line: &str) -> Option<Cause> {
    let name = line
        .split_once("cannot find -l")
        .and_then(|(_, rest)| rest.split([':', ' ']).next())
        .or_else(|| between(line, "No package '", "' found"))
        .or_else(|| between(line, "Package ", " was not found in the pkg-config search path"))?;
    let name = name.trim_matches(['\'', '"', '`']);
    Some(Cause::Library { library: name.into(), package: package(&LIBRARIES, name) })
}

fn compile(line: &str) -> Option<Cause> {
    let (place, message) = line.split_once(": error: ")?;
    // `file.c:12:5: error: ...`, not any line with the word in it.
    let numbered = place.rsplit(':').next().is_some_and(|n| n.parse::<u32>().is_ok());
    numbered.then(|| Cause::Compile { line: format!("{place}: {message}") })
}

fn version(line: &str) -> Option<Cause> {
    let signs = [
        "Versioning for this project requires either an sdist",
        "setuptools-scm was unable to detect version",
        "setuptools_scm was unable to detect version",
    ];
    signs.iter().any(|sign| line.contains(sign)).then_some(Cause::Version)
}

fn escape(line: &str) -> Option<Cause> {
    let (_, rest) = line.split_once("Could not find a version that satisfies the requirement ")?;
    let requirement = rest.split(" (from").next().unwrap_or(rest).trim();
    Some(Cause::Escape { requirement: requirement.into() })
}

fn module(line: &str) -> Option<Cause> {
    let module = between(line, "No module named '", "'").or_else(|| {
        between(line, "The '", "' distribution was not found and is required by the application")
    })?;
    Some(Cause::Module { module: module.into() })
}

fn setuptools(line: &str) -> Option<Cause> {
    let signs = [
        "AttributeError: module 'setuptools",
        "AttributeError: module 'pkg_resources",
        "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'",
        "AttributeError: install_layout",
        "AttributeError: type object 'Distribution'",
        "InvalidConfigError:",
        "TypeError: canonicalize_version()",
        "OptionError:",
        "setuptools.extern",
        "use_2to3 is invalid",
        "from 'pkg_resources",
        "from 'setuptools",
    ];
    let complaint = signs.iter().any(|sign| line.contains(sign))
        || (line.starts_with("error in ") && line.contains("setup command:"));
    complaint.then(|| Cause::Setuptools { line: line.into() })
}

fn exception(line: &str) -> Option<Cause> {
    let name = line.split(':').next()?;
    let class = name.rsplit('.').next()?;
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let ends = ["Error", "Exception", "Exit", "Failed", "Failure", "Interrupt", "NotFound"];
    (plain && ends.iter().any(|end| class.ends_with(end)))
        .then(|| Cause::Exception { line: line.trim().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(log: &str, cause: &str) {
        let found = Cause::of(log, None).map_or_else(|| "-".to_owned(), |cause| cause.to_string());
        assert_eq!(found, cause);
    }

    #[test]
    fn known_signs_are_named() {
        case(
            "  src/krb5.c:5:10: fatal error: krb5.h: No such file or directory\ncompilation terminated.\nerror: command '/usr/bin/gcc' failed with exit code 1",
            "the header `krb5.h` is not installed; Debian has it in `libkrb5-dev`",
        );
        case(
            "x.c:1:10: fatal error: 'openssl/ssl.h' file not found",
            "the header `openssl/ssl.h` is not installed; Debian has it in `libssl-dev`",
        );
        case(
            "x.c:1:10: fatal error: own.h: No such file or directory",
            "the header `own.h` is not installed",
        );
        case(
            "Error: pg_config executable not found.\nValueError: x",
            "the program `pg_config` is not installed; Debian has it in `libpq-dev`",
        );
        case(
            "/bin/sh: 1: mysql_config: not found",
            "the program `mysql_config` is not installed; Debian has it in `libmariadb-dev`",
        );
        case(
            "FileNotFoundError: [Errno 2] No such file or directory: 'krb5-config'",
            "the program `krb5-config` is not installed; Debian has it in `libkrb5-dev`",
        );
        case(
            "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
            "the program `x86_64-linux-gnu-gcc` is not installed; Debian has it in `gcc`",
        );
        case(
            "/usr/bin/ld: cannot find -lssl: No such file or directory",
            "the library `ssl` is not installed for linking; Debian has it in `libssl-dev`",
        );
        case(
            "No package 'libvirt' found",
            "the library `libvirt` is not installed for linking; Debian has it in `libvirt-dev`",
        );
        case("OSError: [Errno 28] No space left on device", "the disk is full");
        case("x.c:3:1: error: unknown type name 'x'", "x.c:3:1: unknown type name 'x'");
        case("x.c:1: note\nKeyError: 'a'\n", "KeyError: 'a'");
        case(
            "ModuleNotFoundError: No module named 'numpy'",
            "the module `numpy` is not in the build environment, and the project does not ask for it",
        );
        case(
            "ERROR: Could not find a version that satisfies the requirement pbr>=2 (from versions: none)",
            "it tried to fetch `pbr>=2` by itself (`setup_requires`), which builds may not",
        );
        case("all was well", "-");
        assert_eq!(Cause::of("", Some(9)), Some(Cause::Memory));
    }

    #[test]
    fn some_ask_for_an_older_setuptools() {
        for log in [
            "ModuleNotFoundError: No module named 'pkg_resources'",
            "ModuleNotFoundError: No module named 'distutils.msvccompiler'",
            "error in suds setup command: use_2to3 is invalid.",
            "ImportError: cannot import name 'Feature' from 'setuptools' (/x/__init__.py)",
            "setuptools.errors.InvalidConfigError: Invalid dash-separated key 'a-b' in 'metadata'",
        ] {
            assert!(Cause::of(log, None).unwrap().wants_older_setuptools(), "{log}");
        }
        assert!(!Cause::of("KeyError: 'x'", None).unwrap().wants_older_setuptools());
    }
}
