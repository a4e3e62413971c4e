//! [`ReleaseSource`]: where the constraints of a release are, as `PROJECT_RELEASE`, `PROJECT_REPO` and
//! `PROJECT_REF` have it of the requirements.
//!
//! This is their reading only: nothing is fetched, and no path is looked at.

use std::fmt;
use std::path::PathBuf;

use super::document::shown;
use super::error::InputError;
use super::project::ProjectSource;
use crate::vocab::redact::redact;

/// The project whose tree has the constraints of every release.
const PROJECT: &str = "requirements";

/// Where the constraints of a release are. Displays without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseSource {
    /// A directory that has them.
    Directory(PathBuf),
    /// A git repository.
    Git {
        /// What git is to fetch from: a URL, `user@host:path`, or a path. Never begins with a hyphen.
        url: String,
        /// The references to try, the first that is there is taken; HEAD where there are none.
        references: Vec<String>,
    },
}

impl ReleaseSource {
    /// Reads where the constraints are: none when nothing is said of it. `repo` is a directory or a git
    /// repository, OpenStack's own where only the others are said; `reference` goes before `release`.
    ///
    /// # Errors
    /// [`InputError::Source`] when one of them is none.
    pub fn read(
        repo: Option<&str>,
        reference: Option<&str>,
        release: Option<&str>,
    ) -> Result<Option<Self>, InputError> {
        if repo.is_none() && reference.is_none() && release.is_none() {
            return Ok(None);
        }
        let references = match (reference, release) {
            (Some(reference), _) => vec![reference.to_owned()],
            (None, Some(release)) => branches(release),
            (None, None) => Vec::new(),
        };
        let text = repo.unwrap_or(PROJECT);
        match ProjectSource::parse(text, references.first().map(String::as_str))? {
            ProjectSource::Directory(path) => Ok(Some(Self::Directory(path))),
            // One that the URL itself has.
            ProjectSource::Git { url, reference: Some(reference) } if references.is_empty() => {
                Ok(Some(Self::Git { url, references: vec![reference] }))
            }
            ProjectSource::Git { url, .. } => Ok(Some(Self::Git { url, references })),
            ProjectSource::Archive(_) | ProjectSource::Index { .. } => Err(InputError::Source {
                text: shown(text),
                reason: "constraints are read from a directory or a git repository",
            }),
        }
    }
}

impl fmt::Display for ReleaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Git { url, references } => match references.first() {
                Some(first) => write!(f, "{} at {}", redact(url), shown(first)),
                None => f.write_str(&redact(url)),
            },
        }
    }
}

/// The branches that a release may have: it begins as a stable one, and those who keep it alive
/// afterwards move it (OpenStack's "Phase 4: Unmaintained").
fn branches(release: &str) -> Vec<String> {
    let name = match release.split_once('/') {
        Some(("stable", name)) => name,
        Some(_) => return vec![release.to_owned()],
        None if matches!(release, "master" | "main" | "HEAD") => return vec![release.to_owned()],
        None => release,
    };
    vec![format!("stable/{name}"), format!("unmaintained/{name}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_branch_of_the_requirements() {
        #[track_caller]
        fn case(repo: &str, reference: &str, release: &str, expected: &str) {
            let given = |text: &'static str| (!text.is_empty()).then_some(text);
            let [repo, reference, release] =
                [repo, reference, release].map(|text| given(Box::leak(text.into())));
            let said = match ReleaseSource::read(repo, reference, release) {
                Ok(None) => "nothing".to_owned(),
                Ok(Some(ReleaseSource::Directory(path))) => format!("in {}", path.display()),
                Ok(Some(ReleaseSource::Git { url, references })) => {
                    format!("{url}: {}", references.join(", "))
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(said, expected);
        }
        let opendev = "https://opendev.org/openstack/requirements: ";
        case("", "", "", "nothing");
        for (release, branches) in [
            ("master", "master"),
            ("2025.2", "stable/2025.2, unmaintained/2025.2"),
            ("stable/yoga", "stable/yoga, unmaintained/yoga"),
            ("unmaintained/yoga", "unmaintained/yoga"),
            ("feature/x", "feature/x"),
        ] {
            case("", "", release, &format!("{opendev}{branches}"));
        }
        case("", "refs/changes/1/1/1", "2025.2", &format!("{opendev}refs/changes/1/1/1"));
        case("requirements", "", "", opendev);
        case("./r", "", "", "in ./r");
        case("./r", "v1", "", "./r: v1");
        case("./r", "", "2025.2", "./r: stable/2025.2, unmaintained/2025.2");
        case("https://h/r", "", "", "https://h/r: ");
        case("git+https://h/r@x", "", "", "https://h/r: x");
        case("git+https://h/r@x", "", "master", "https://h/r: master");
        let no_tree = "constraints are read from a directory or a git repository";
        case("pypi", "", "", &format!("`pypi` is not the source of a project: {no_tree}"));
        case("r.tar.gz", "", "", &format!("`r.tar.gz` is not the source of a project: {no_tree}"));
        case(
            "",
            "--upload-pack=x",
            "",
            "`requirements` is not the source of a project: neither it nor its reference may begin \
             with a hyphen",
        );
    }

    #[test]
    fn no_login_is_shown() {
        let source = ReleaseSource::read(Some("https://u:secret@h/r"), None, Some("2025.2"));
        assert_eq!(source.unwrap().unwrap().to_string(), "https://****@h/r at stable/2025.2");
    }
}
