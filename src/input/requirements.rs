//! [`Requirements`]: the lines of a requirements file such as OpenStack's
//! `global-requirements.txt`, and the words of `PIP_PACKAGES`.
//!
//! They say what is admissible or wanted; which version is chosen is decided elsewhere.

use crate::vocab::requirement::Requirement;
use crate::vocab::target::Target;

use super::document::{Document, Place};
use super::entry::Entry;
use super::error::InputError;
use super::lines::logical_lines;

/// The requirements of one file, in order, each with its line.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    entries: Vec<Entry>,
}

impl Requirements {
    /// Reads the lines of `document`.
    ///
    /// # Errors
    /// [`InputError::Html`], or [`InputError::Faults`] with every line that cannot be read; options
    /// such as `-r` are among these.
    pub fn parse(document: &Document) -> Result<Self, InputError> {
        let entries = Entry::parse_all(logical_lines(document)?)
            .map_err(|faults| InputError::Faults { faults })?;
        Ok(Self { entries })
    }

    /// All of them, whatever their markers say.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Requirement, &Place)> {
        self.entries.iter().map(|entry| (&entry.requirement, &entry.place))
    }

    /// Those whose markers hold for `target`.
    pub fn applicable(&self, target: &Target) -> impl Iterator<Item = (&Requirement, &Place)> {
        self.iter().filter(|(requirement, _)| requirement.evaluate_markers(target.markers(), &[]))
    }
}

/// Reads requirements that are separated by white space, as LOCI's `PIP_PACKAGES` has them; `origin`
/// is the name of the option or variable, for messages. None of them can contain white space.
///
/// # Errors
/// [`InputError::Faults`] with every word that is no requirement.
pub fn parse_packages(text: &str, origin: &str) -> Result<Vec<Requirement>, InputError> {
    let document = Document::new(origin, text);
    let words = document
        .text()
        .lines()
        .enumerate()
        .flat_map(|(index, line)| line.split_whitespace().map(move |word| (index + 1, word)))
        .map(|(line, word)| document.place(line, word))
        .collect();
    let entries = Entry::parse_all(words).map_err(|faults| InputError::Faults { faults })?;
    Ok(entries.into_iter().map(|entry| entry.requirement).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::testing::shared_document;
    use crate::vocab::target::tests::debian;

    /// The requirements of a shared file, and how many of them apply on a Python.
    #[track_caller]
    fn file(name: &str, python: &str, all: usize, applicable: usize) {
        let Some(document) = shared_document(name) else { return };
        let requirements = Requirements::parse(&document).unwrap();
        assert_eq!(requirements.iter().len(), all, "{name}");
        assert_eq!(requirements.applicable(&debian(python)).count(), applicable, "{name}");
    }

    #[test]
    fn the_branches_of_openstack() {
        file("master.global-requirements.txt", "3.11.7", 412, 412);
        file("2025.2.global-requirements.txt", "3.11.7", 419, 419);
        file("yoga.global-requirements.txt", "3.10.12", 457, 445);
        file("master.denylist.txt", "3.11.7", 75, 75);
    }

    #[test]
    fn words_are_requirements() {
        let found = parse_packages(
            " uwsgi  enum-compat>=0.0.3\nfoo[bar]==1;os_name=='posix'\n",
            "PIP_PACKAGES",
        )
        .unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["uwsgi", "enum-compat>=0.0.3", "foo[bar]==1 ; os_name == 'posix'"]);
        assert!(parse_packages("", "PIP_PACKAGES").unwrap().is_empty());
        let error = parse_packages("six --pre\n>=1 uwsgi", "PIP_PACKAGES").unwrap_err();
        insta::assert_snapshot!(error, @r"
        PIP_PACKAGES:1: the option `--pre` is not supported in this place: --pre
        PIP_PACKAGES:2: expected package name starting with an alphanumeric character, found `>`: >=1
        ");
    }
}
