//! The constraints and ranges of a release, out of the tree that has them. What they say is not read
//! here.

use std::path::{Path, PathBuf};

use super::checkout::{checkout, listed, reachable, shallow};
use super::error::PipelineError;
use super::events::Activity;
use super::workshop::Workshop;
use crate::input::document::Document;
use crate::input::release_source::ReleaseSource;
use crate::vocab::redact::redact;

/// The pins, as every tree of requirements has them.
const CONSTRAINTS: &str = "upper-constraints.txt";
/// The ranges beside them.
const GLOBAL_REQUIREMENTS: &str = "global-requirements.txt";

/// What a release says.
pub struct ReleaseTexts {
    /// The pins.
    pub constraints: Document,
    /// Ranges that the pins should keep to, where the tree has any.
    pub global_requirements: Option<Document>,
}

/// Reads what the release at `source` says; of a repository only the commit that is wanted is fetched.
///
/// # Errors
/// When there is no such tree or reference, or it has no constraints.
pub async fn release_texts(
    workshop: &Workshop,
    source: &ReleaseSource,
) -> Result<ReleaseTexts, PipelineError> {
    match source {
        ReleaseSource::Directory(tree) => texts(tree, &source.to_string()),
        ReleaseSource::Git { url, references } => {
            reachable(workshop, url)?;
            let task =
                workshop.events.start(Activity::Fetch { file: source.to_string(), size: None });
            task.run(|_| async {
                let tree = tempfile::Builder::new()
                    .prefix("checkout-")
                    .tempdir_in(workshop.store.tmp_dir())?;
                let reference = fetch(url, references, tree.path()).await?;
                texts(tree.path(), &format!("{} at {reference}", redact(url)))
            })
            .await
        }
    }
}

/// Reads the texts in `tree`, which is called `place` in messages.
fn texts(tree: &Path, place: &str) -> Result<ReleaseTexts, PipelineError> {
    let text = |name: &str| {
        let path: PathBuf = tree.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let document = Document::read(&path)?;
        Ok::<_, PipelineError>(Some(Document::new(format!("{name} of {place}"), document.text())))
    };
    let no_constraints =
        || PipelineError::NoConstraints { file: CONSTRAINTS, place: place.to_owned() };
    Ok(ReleaseTexts {
        constraints: text(CONSTRAINTS)?.ok_or_else(no_constraints)?,
        global_requirements: text(GLOBAL_REQUIREMENTS)?,
    })
}

/// Has in `tree` what the first of `references` is that `url` has, and says which one that was.
async fn fetch(url: &str, references: &[String], tree: &Path) -> Result<String, PipelineError> {
    let listed = listed(url, tree).await?;
    let Some(full) = chosen(&listed, references) else {
        // A commit is in no list, and only whoever has them all knows it by a part of its name.
        if let [commit] = references
            && is_commit(commit)
        {
            checkout(url, Some(commit), tree).await?;
            return Ok(commit.clone());
        }
        return Err(PipelineError::NoReference {
            repository: redact(url).into_owned(),
            wanted: references.to_vec(),
            branches: branches(&listed),
        });
    };
    shallow(url, &full, tree).await?;
    Ok(short(&full).to_owned())
}

/// The full name of the first of `references` among what `git ls-remote` `listed`: a branch goes before
/// a tag, and a name that is full already is that very reference. Without any it is HEAD.
pub(super) fn chosen(listed: &str, references: &[String]) -> Option<String> {
    if references.is_empty() {
        return Some("HEAD".to_owned());
    }
    references.iter().find_map(|reference| {
        let full = ["", "refs/heads/", "refs/tags/"].map(|prefix| format!("{prefix}{reference}"));
        full.into_iter().find(|full| names(listed).any(|name| name == full))
    })
}

fn names(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| line.split_once('\t')).map(|(_, name)| name)
}

fn branches(listed: &str) -> Vec<String> {
    names(listed).filter_map(|name| name.strip_prefix("refs/heads/")).map(str::to_owned).collect()
}

fn short(full: &str) -> &str {
    let of = |prefix| full.strip_prefix(prefix);
    of("refs/heads/").or_else(|| of("refs/tags/")).unwrap_or(full)
}

fn is_commit(reference: &str) -> bool {
    (7..=64).contains(&reference.len()) && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reference_that_is_there_is_taken() {
        let listed = "1\tHEAD\n1\trefs/heads/master\n2\trefs/heads/stable/2025.2\n\
                      3\trefs/heads/unmaintained/yoga\n4\trefs/tags/v1\n4\trefs/tags/master\n\
                      5\trefs/changes/67/418167/1";
        #[track_caller]
        fn case(listed: &str, references: &[&str], full: Option<&str>) {
            let references: Vec<String> = references.iter().map(ToString::to_string).collect();
            assert_eq!(chosen(listed, &references).as_deref(), full, "{references:?}");
        }
        case(listed, &[], Some("HEAD"));
        case(listed, &["master"], Some("refs/heads/master"));
        case(listed, &["v1"], Some("refs/tags/v1"));
        case(listed, &["stable/yoga", "unmaintained/yoga"], Some("refs/heads/unmaintained/yoga"));
        case(listed, &["stable/2025.2", "unmaintained/2025.2"], Some("refs/heads/stable/2025.2"));
        case(listed, &["refs/changes/67/418167/1"], Some("refs/changes/67/418167/1"));
        case(listed, &["refs/tags/master"], Some("refs/tags/master"));
        case(listed, &["2025.2"], None);
        case(listed, &[""], None);
        assert_eq!(branches(listed), ["master", "stable/2025.2", "unmaintained/yoga"]);
        assert_eq!(short("refs/heads/stable/2025.2"), "stable/2025.2");
        assert_eq!(short("refs/changes/67/418167/1"), "refs/changes/67/418167/1");
        assert!(is_commit("0123abc") && !is_commit("0123ab") && !is_commit("master1"));
    }
}
