//! [`Pins`]: what constraints say for one target: at most one version a name.

use std::fmt::Write as _;

use pep440_rs::Version;
use pep508_rs::MarkerTree;
use url::Url;

use crate::vocab::requirement::{PackageName, Requirement};

use super::document::Place;

/// How a pin's version is compared (PEP 440, "Version matching" and "Arbitrary equality").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Equality {
    /// `===`: as texts, so that `1.0` is neither `1.0.0` nor `1.0+local`.
    Arbitrary,
    /// `==`: as versions, so that `1.0` is `1.0.0` and `1.0+local` too.
    Version,
}

impl Equality {
    /// The operator.
    #[must_use]
    pub const fn operator(self) -> &'static str {
        match self {
            Self::Arbitrary => "===",
            Self::Version => "==",
        }
    }
}

/// A name, the one version of it that is wanted, and the line that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The name, normalised.
    pub name: PackageName,
    /// The name as it was written.
    pub display_name: String,
    /// The version.
    pub version: Version,
    /// The version as it was written after the operator.
    pub written: String,
    /// How a release's version is compared with it.
    pub equality: Equality,
    /// The line.
    pub place: Place,
}

impl Pin {
    /// Whether one release can satisfy both.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        match (self.equality, other.equality) {
            (Equality::Arbitrary, Equality::Arbitrary) => self.written == other.written,
            _ => self.version == other.version,
        }
    }

    /// The line that says the same, for this target only.
    fn line(&self) -> String {
        format!("{}{}{}", self.display_name, self.equality.operator(), self.written)
    }
}

/// A name that is to come from a URL: its version is known once that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPin {
    /// The name, normalised.
    pub name: PackageName,
    /// The name as it was written.
    pub display_name: String,
    /// Where it comes from, with its fragment.
    pub url: Url,
    /// The line.
    pub place: Place,
}

/// A name that is pinned, but not for this target: none of its lines holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The name.
    pub name: PackageName,
    /// Its lines; at least one.
    pub places: Vec<Place>,
}

/// The constraints that hold for one target, each list sorted by normalised name.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    pub(super) pins: Vec<Pin>,
    pub(super) urls: Vec<UrlPin>,
    pub(super) holes: Vec<Hole>,
    pub(super) bounds: Vec<Requirement>,
}

impl Pins {
    /// The pins by name.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Pin> {
        self.pins.iter()
    }

    /// The pin of `name`.
    #[must_use]
    pub fn get(&self, name: &PackageName) -> Option<&Pin> {
        let index = self.pins.binary_search_by(|pin| pin.name.cmp(name)).ok()?;
        self.pins.get(index)
    }

    /// The number of pins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pins.len()
    }

    /// Whether there is no pin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// The names that no line pins for this target, although lines do for others.
    #[must_use]
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// The lines that hold and that pin nothing, such as `setuptools<81`.
    #[must_use]
    pub fn bounds(&self) -> &[Requirement] {
        &self.bounds
    }

    /// The names that come from URLs.
    #[must_use]
    pub fn urls(&self) -> &[UrlPin] {
        &self.urls
    }

    /// The same without any constraint on `name`: what a project is installed with that its own
    /// release pins.
    #[must_use]
    pub fn without(&self, name: &PackageName) -> Self {
        let mut rest = self.clone();
        rest.pins.retain(|pin| pin.name != *name);
        rest.urls.retain(|url| url.name != *name);
        rest.holes.retain(|hole| hole.name != *name);
        rest.bounds.retain(|bound| bound.name != *name);
        rest
    }

    /// The same with `pin` in the place of whatever pinned its name before: what was built from a
    /// URL, or from a checkout, is pinned to the version that it turned out to have.
    #[must_use]
    pub fn with(&self, pin: Pin) -> Self {
        let mut rest = self.without(&pin.name);
        let index = rest.pins.partition_point(|other| other.name < pin.name);
        rest.pins.insert(index, pin);
        rest
    }

    /// A constraints file for this target alone: pins and bounds without markers, one a line, by
    /// normalised name. URLs are not in it: they are pinned once they are built.
    #[must_use]
    pub fn to_constraints_text(&self) -> String {
        let mut lines: Vec<(&PackageName, String)> =
            self.pins.iter().map(|pin| (&pin.name, pin.line())).collect();
        lines.extend(self.bounds.iter().map(|bound| {
            // The marker holds here, or the bound would not be among these.
            let bare = Requirement { marker: MarkerTree::TRUE, ..bound.clone() };
            (&bound.name, bare.to_string())
        }));
        lines.sort_by_key(|(name, _)| *name);
        let mut text = String::new();
        for (_, line) in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::constraints::Constraints;
    use crate::input::document::Document;
    use crate::vocab::requirement::package_name;
    use crate::vocab::target::tests::debian;

    fn pins(text: &str) -> Pins {
        let document = Document::new("uc.txt", text);
        Constraints::parse(&document).unwrap().pins(&debian("3.11.7")).unwrap()
    }

    #[test]
    fn a_file_is_written_by_normalised_name() {
        let found = pins(
            "Zope.Interface===7.0\nzoneinfo==1.0 # x\nsetuptools<81;python_version>'3'\n\
             Babel===2.0 ; os_name=='posix'\ngit+https://h/x#egg=x\n",
        );
        assert_eq!(
            found.to_constraints_text(),
            "Babel===2.0\nsetuptools<81\nzoneinfo==1.0\nZope.Interface===7.0\n"
        );
    }

    #[test]
    fn one_name_gives_way() {
        let found = pins("horizon===25\nsix===1\nhorizon<26\ngit+https://h/x#egg=x\n");
        let horizon = package_name("horizon").unwrap();
        let without = found.without(&horizon);
        assert_eq!(without.to_constraints_text(), "six===1\n");
        assert!(found.get(&horizon).is_some() && without.get(&horizon).is_none());
        assert!(found.without(&package_name("x").unwrap()).urls().is_empty());
    }

    #[test]
    fn a_url_is_pinned_once_it_is_built() {
        let found = pins("b===1\nd===1\ngit+https://h/c#egg=C\n");
        let mut pin = pins("C===2.dev3").iter().next().unwrap().clone();
        let found = found.with(pin.clone());
        assert_eq!(found.to_constraints_text(), "b===1\nC===2.dev3\nd===1\n");
        assert!(found.urls().is_empty());
        pin.written = "3".into();
        assert_eq!(found.with(pin).to_constraints_text(), "b===1\nC===3\nd===1\n");
    }
}
