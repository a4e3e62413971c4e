//! [`ProjectSource`]: where the source of a project is; [`distribution_of`]: what it is called there.
//!
//! This is the reading of `PROJECT`, `PROJECT_REPO` and `PROJECT_REF` only: nothing is cloned, and no
//! path is looked at.

use std::fmt;
use std::path::PathBuf;

use pep440_rs::Version;
use url::Url;

use crate::vocab::redact::redact;
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::sdist_filename::SdistFormat;

use super::document::shown;
use super::error::InputError;

/// Where projects live whose source is not said, each under its name.
const DEFAULT_HOST: &str = "https://opendev.org/openstack/";

/// Projects whose distribution is not called as their repository is. Those of LOCI's
/// `python-custom-name-mapping.txt` and the services that took another name on the index.
const DISTRIBUTIONS: [(&str, &str); 10] = [
    ("adjutant", "python-adjutant"),
    ("cyborg", "openstack-cyborg"),
    ("heat", "openstack-heat"),
    ("keystoneauth", "keystoneauth1"),
    ("placement", "openstack-placement"),
    ("python-amqp", "amqp"),
    ("python-aodhclient", "aodhclient"),
    ("python-gnocchiclient", "gnocchiclient"),
    ("python-pymysql", "pymysql"),
    ("watcher", "python-watcher"),
];

/// The schemes of the URLs that git may be asked to clone. Others, such as `ext::`, run commands.
const GIT_SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// Where the source of a project is. Displays without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectSource {
    /// A source tree.
    Directory(PathBuf),
    /// A source distribution or another archive of a source tree.
    Archive(PathBuf),
    /// A git repository.
    Git {
        /// What git is to clone: a URL, `user@host:path`, or a path. Never begins with a hyphen.
        url: String,
        /// The branch, tag, commit or other reference; the repository's HEAD when there is none.
        reference: Option<String>,
    },
    /// The package index.
    Index {
        /// The version; the newest when there is none.
        version: Option<Version>,
    },
}

impl ProjectSource {
    /// Reads where a source is: `pypi`, a path to a tree or an archive, a git URL (with or without
    /// `git+`, with or without `@REFERENCE` in the former case), or the name of an OpenStack project.
    /// A `file:` URL is a repository unless it is an archive's, and a path with a reference is one
    /// too. `reference` goes before one in the URL.
    ///
    /// # Errors
    /// [`InputError::Source`] when the text is none of these, or when it or the reference could be
    /// taken for an option by git, or when the reference is for what has none.
    pub fn parse(text: &str, reference: Option<&str>) -> Result<Self, InputError> {
        let text = text.trim();
        read(text, reference.map(str::trim).filter(|reference| !reference.is_empty()))
            .map_err(|reason| InputError::Source { text: shown(text), reason })
    }
}

impl fmt::Display for ProjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) | Self::Archive(path) => write!(f, "{}", path.display()),
            Self::Git { url, reference: None } => f.write_str(&redact(url)),
            Self::Git { url, reference: Some(reference) } => {
                write!(f, "{} at {reference}", redact(url))
            }
            Self::Index { version: None } => f.write_str("the package index"),
            Self::Index { version: Some(version) } => write!(f, "{version} on the package index"),
        }
    }
}

fn read(text: &str, reference: Option<&str>) -> Result<ProjectSource, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.starts_with('-') || reference.is_some_and(|reference| reference.starts_with('-')) {
        return Err("neither it nor its reference may begin with a hyphen");
    }
    if text.contains(char::is_control) {
        return Err("it contains a control character");
    }
    let git = |url: String, reference: Option<&str>| {
        Ok(ProjectSource::Git { url, reference: reference.map(str::to_owned) })
    };
    if text == "pypi" {
        return match reference {
            None => Ok(ProjectSource::Index { version: None }),
            Some(text) => match text.parse() {
                Ok(version) => Ok(ProjectSource::Index { version: Some(version) }),
                Err(_) => Err("its reference is the version to take, and this is none"),
            },
        };
    }
    if text.contains("://") {
        return read_url(text, reference);
    }
    if text.contains("::") {
        return Err("git would run a command for it");
    }
    if is_archive(text) {
        return archive(PathBuf::from(text), reference);
    }
    // `user@host:path`, as git and ssh write it, has no slash before its colon.
    if let Some((host, _)) = text.split_once(':')
        && host.contains('@')
        && !host.contains('/')
    {
        return git(text.to_owned(), reference);
    }
    let is_path = text.contains('/') || text == "." || text == "..";
    match (is_path, reference) {
        (true, None) => Ok(ProjectSource::Directory(PathBuf::from(text))),
        (true, Some(_)) => git(text.to_owned(), reference),
        (false, _) if package_name(text).is_some() => {
            git(format!("{DEFAULT_HOST}{text}"), reference)
        }
        (false, _) => Err("it is neither a path, nor a URL, nor the name of a project"),
    }
}

fn read_url(text: &str, reference: Option<&str>) -> Result<ProjectSource, &'static str> {
    let pip_style = text.strip_prefix("git+");
    let mut url = Url::parse(pip_style.unwrap_or(text)).map_err(|_| "the URL cannot be read")?;
    if !GIT_SCHEMES.contains(&url.scheme()) {
        return Err("git is not used with URLs of this scheme");
    }
    // `ssh://-oProxyCommand=…` reached ssh as an option once (CVE-2017-1000117).
    if url.host_str().is_some_and(|host| host.starts_with('-')) || url.username().starts_with('-') {
        return Err("neither its host nor its user may begin with a hyphen");
    }
    if is_archive(url.path()) && pip_style.is_none() {
        return match url.to_file_path() {
            Ok(path) => archive(path, reference),
            Err(()) => Err("archives are read from paths, not from the network"),
        };
    }
    let mut reference = reference.map(str::to_owned);
    if pip_style.is_some() {
        url.set_fragment(None);
        let path = url.path().to_owned();
        if let Some((path, at)) = path.rsplit_once('@') {
            if at.starts_with('-') {
                return Err("neither it nor its reference may begin with a hyphen");
            }
            url.set_path(path);
            reference = reference.or_else(|| Some(at.to_owned()).filter(|at| !at.is_empty()));
        }
    }
    Ok(ProjectSource::Git { url: url.into(), reference })
}

fn archive(path: PathBuf, reference: Option<&str>) -> Result<ProjectSource, &'static str> {
    match reference {
        None => Ok(ProjectSource::Archive(path)),
        Some(_) => Err("a reference means nothing to an archive"),
    }
}

/// Whether the name is that of a packed source tree.
fn is_archive(path: &str) -> bool {
    SdistFormat::of(path).is_some()
}

/// The name of the distribution that `project` makes: what it is called on an index, in constraints
/// and in its metadata. Most are called as their repository is; `heat` is `openstack-heat`.
///
/// # Errors
/// [`InputError::Project`] when `project` is not a valid name.
pub fn distribution_of(project: &str) -> Result<PackageName, InputError> {
    let refused = || InputError::Project { text: shown(project) };
    let name = package_name(project).ok_or_else(refused)?;
    let found = DISTRIBUTIONS.iter().find(|(repository, _)| *repository == name.as_ref());
    match found {
        Some((_, distribution)) => package_name(distribution).ok_or_else(refused),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let shown: Vec<String> = [
            ("keystone", None),
            ("keystone", Some("stable/2025.2")),
            ("pypi", None),
            (".", None),
            ("/src/keystone", None),
            ("/src/keystone", Some("refs/changes/67/418167/1")),
            ("../dist/keystone-1.0.tar.gz", None),
            ("keystone-1.0.zip", None),
            ("file:///src/keystone-1.0.tar.gz", None),
            ("file:///src/keystone", Some("main")),
            ("https://me:secret@host/keystone.git", None),
            ("git+https://host/keystone.git@v1/x#egg=keystone", None),
            ("git+ssh://git@host:22/keystone@v1", Some("v2")),
            ("git@host:keystone.git", Some("")),
        ]
        .into_iter()
        .map(|(text, reference)| {
            let source = ProjectSource::parse(text, reference).unwrap();
            let kind = match &source {
                ProjectSource::Directory(_) => "directory",
                ProjectSource::Archive(_) => "archive",
                ProjectSource::Git { .. } => "git",
                ProjectSource::Index { .. } => "index",
            };
            format!("{text} -> {kind}: {source}")
        })
        .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        keystone -> git: https://opendev.org/openstack/keystone
        keystone -> git: https://opendev.org/openstack/keystone at stable/2025.2
        pypi -> index: the package index
        . -> directory: .
        /src/keystone -> directory: /src/keystone
        /src/keystone -> git: /src/keystone at refs/changes/67/418167/1
        ../dist/keystone-1.0.tar.gz -> archive: ../dist/keystone-1.0.tar.gz
        keystone-1.0.zip -> archive: keystone-1.0.zip
        file:///src/keystone-1.0.tar.gz -> archive: /src/keystone-1.0.tar.gz
        file:///src/keystone -> git: file:///src/keystone at main
        https://me:secret@host/keystone.git -> git: https://****@host/keystone.git
        git+https://host/keystone.git@v1/x#egg=keystone -> git: https://host/keystone.git at v1/x
        git+ssh://git@host:22/keystone@v1 -> git: ssh://****@host:22/keystone at v2
        git@host:keystone.git -> git: git@host:keystone.git
        ");
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let refused: Vec<String> = [
            ("", None),
            ("--upload-pack=x", None),
            ("keystone", Some("--upload-pack=x")),
            ("git+https://h/x@-x", None),
            ("ext::sh -c x", None),
            ("ext://x", None),
            ("ssh://-oProxyCommand=x/y", None),
            ("https://u:p@h/x-1.tar.gz", None),
            ("https://", None),
            ("key stone", None),
            ("a.tar.gz", Some("main")),
            ("pypi", Some("main")),
            ("a\nb", None),
        ]
        .into_iter()
        .map(|(text, reference)| ProjectSource::parse(text, reference).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(refused.join("\n"), @r"
        `` is not the source of a project: it is empty
        `--upload-pack=x` is not the source of a project: neither it nor its reference may begin with a hyphen
        `keystone` is not the source of a project: neither it nor its reference may begin with a hyphen
        `git+https://h/x@-x` is not the source of a project: neither it nor its reference may begin with a hyphen
        `ext::sh -c x` is not the source of a project: git would run a command for it
        `ext://x` is not the source of a project: git is not used with URLs of this scheme
        `ssh://-oProxyCommand=x/y` is not the source of a project: neither its host nor its user may begin with a hyphen
        `https://****@h/x-1.tar.gz` is not the source of a project: archives are read from paths, not from the network
        `https://` is not the source of a project: the URL cannot be read
        `key stone` is not the source of a project: it is neither a path, nor a URL, nor the name of a project
        `a.tar.gz` is not the source of a project: a reference means nothing to an archive
        `pypi` is not the source of a project: its reference is the version to take, and this is none
        `a\nb` is not the source of a project: it contains a control character
        ");
    }

    #[test]
    fn distributions_have_their_own_names() {
        for (project, distribution) in [
            ("heat", "openstack-heat"),
            ("Python_PyMySQL", "pymysql"),
            ("nova", "nova"),
            ("oslo.config", "oslo-config"),
        ] {
            assert_eq!(distribution_of(project).unwrap().as_ref(), distribution);
        }
        let error = distribution_of("../nova").unwrap_err();
        insta::assert_snapshot!(error, @"`../nova` is not the name of a project");
        for (_, distribution) in DISTRIBUTIONS {
            assert!(package_name(distribution).is_some());
        }
    }

    proptest! {
        #[test]
        fn git_never_sees_an_option(text in "[-+:@/.a#]{0,3}(git|https://|ssh://|-|@|::|a|/){0,6}") {
            if let Ok(ProjectSource::Git { url, reference }) = ProjectSource::parse(&text, None) {
                prop_assert!(!url.starts_with('-'));
                prop_assert!(!reference.is_some_and(|reference| reference.starts_with('-')));
            }
        }
    }
}
