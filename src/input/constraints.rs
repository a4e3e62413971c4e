//! [`Constraints`]: the lines of constraints files, for every target at once.
//!
//! OpenStack's `upper-constraints.txt` is the model: hundreds of `===` pins, some of them twice under
//! markers. Which of them hold is asked with [`Constraints::pins`], for one target.

use std::collections::BTreeMap;

use pep440_rs::{Operator, VersionSpecifier};
use pep508_rs::{MarkerTree, VersionOrUrl};

use crate::vocab::redact::without_login;
use crate::vocab::requirement::{PackageName, Requirement, allows};
use crate::vocab::target::Target;

use super::document::{Document, Fault};
use super::entry::Entry;
use super::error::{Conflict, InputError};
use super::lines::logical_lines;
use super::pins::{Equality, Hole, Pin, Pins, UrlPin};

/// The lines of one or more constraints files, in order.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    lines: Vec<Line>,
}

/// One line: what it says and, as far as that is special, what it is.
#[derive(Debug, Clone)]
struct Line {
    entry: Entry,
    kind: Kind,
}

/// What a line constrains its name to.
#[derive(Debug, Clone)]
enum Kind {
    /// One version: `===1.0`, or `==1.0` alone and without a wildcard.
    Pin(Pin),
    /// One source: `name @ url`, or a bare URL with `#egg=name`.
    Url(UrlPin),
    /// A range of versions: `<81`.
    Bound,
}

impl Constraints {
    /// Reads the lines of `document`. Neither extras nor options are constraints.
    ///
    /// # Errors
    /// [`InputError::Html`], or [`InputError::Faults`] with every line that cannot be read.
    pub fn parse(document: &Document) -> Result<Self, InputError> {
        let places = logical_lines(document)?;
        let mut lines = Vec::with_capacity(places.len());
        let mut faults = Vec::new();
        for place in places {
            match Entry::parse(place).and_then(Line::new) {
                Ok(line) => lines.push(line),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self { lines }) } else { Err(InputError::Faults { faults }) }
    }

    /// Every line, in order: its name, what it constrains that to (a version, a range, or a URL without its
    /// login), and when it holds.
    pub fn iter(&self) -> impl Iterator<Item = (&PackageName, String, &MarkerTree)> {
        self.lines.iter().map(|line| {
            let requirement = &line.entry.requirement;
            let text = match (&line.kind, &requirement.version_or_url) {
                (Kind::Pin(pin), _) => pin.written.clone(),
                (Kind::Url(pin), _) => without_login(&pin.url).to_string(),
                (Kind::Bound, Some(VersionOrUrl::VersionSpecifier(range))) => range.to_string(),
                (Kind::Bound, _) => String::new(),
            };
            (&requirement.name, text, &requirement.marker)
        })
    }

    /// What holds for `target`: at most one pin a name.
    ///
    /// The same version twice is fine. A name whose pins all have markers that do not hold is a
    /// [`Hole`], unless a URL stands for it.
    ///
    /// # Errors
    /// [`InputError::Conflicts`] with every two lines on one name that hold and that nothing
    /// satisfies both: two versions, two URLs, a version and a URL, a version outside of a bound.
    pub fn pins(&self, target: &Target) -> Result<Pins, InputError> {
        let mut names: BTreeMap<&PackageName, Vec<&Line>> = BTreeMap::new();
        for line in &self.lines {
            names.entry(&line.entry.requirement.name).or_default().push(line);
        }
        let mut found = Pins::default();
        let mut conflicts = Vec::new();
        for (name, lines) in names {
            let (holding, absent): (Vec<&Line>, Vec<&Line>) = lines
                .into_iter()
                .partition(|line| line.entry.requirement.evaluate_markers(target.markers(), &[]));
            match choose(&holding) {
                Ok(Some(Chosen::Pin(pin))) => found.pins.push(pin.clone()),
                Ok(Some(Chosen::Url(url))) => found.urls.push(url.clone()),
                Ok(None) => {
                    let places: Vec<_> = absent
                        .iter()
                        .filter(|line| matches!(line.kind, Kind::Pin(_)))
                        .map(|line| line.entry.place.clone())
                        .collect();
                    if !places.is_empty() {
                        found.holes.push(Hole { name: name.clone(), places });
                    }
                }
                Err(conflict) => conflicts.push(conflict),
            }
            found.bounds.extend(
                holding
                    .iter()
                    .filter(|line| matches!(line.kind, Kind::Bound))
                    .map(|line| line.entry.requirement.clone()),
            );
        }
        if conflicts.is_empty() { Ok(found) } else { Err(InputError::Conflicts { conflicts }) }
    }
}

/// Several files constrain together, as with several `-c` of pip.
impl FromIterator<Constraints> for Constraints {
    fn from_iter<I: IntoIterator<Item = Self>>(files: I) -> Self {
        Self { lines: files.into_iter().flat_map(|file| file.lines).collect() }
    }
}

impl Line {
    fn new(entry: Entry) -> Result<Self, Fault> {
        if !entry.requirement.extras.is_empty() {
            let reason = "a constraint cannot have extras".to_owned();
            return Err(Fault { place: entry.place, reason });
        }
        let kind = match &entry.requirement.version_or_url {
            Some(VersionOrUrl::Url(url)) => Kind::Url(UrlPin {
                name: entry.requirement.name.clone(),
                display_name: entry.display_name.clone(),
                url: url.clone(),
                place: entry.place.clone(),
            }),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => match pin(&entry, specifiers) {
                Some(pin) => Kind::Pin(pin),
                None => Kind::Bound,
            },
            // A bare name constrains nothing, and is allowed, as by pip.
            None => Kind::Bound,
        };
        Ok(Self { entry, kind })
    }

    /// Whether a `version` that another line pins is none that this one admits.
    fn refuses(&self, pin: &Pin) -> bool {
        match &self.kind {
            Kind::Pin(other) => !pin.agrees_with(other),
            Kind::Url(_) => true,
            Kind::Bound => !admits(&self.entry.requirement, pin),
        }
    }
}

/// Whether `requirement`'s specifiers, if any, admit the version of `pin`.
pub(super) fn admits(requirement: &Requirement, pin: &Pin) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => allows(specifiers, &pin.version),
        Some(VersionOrUrl::Url(_)) | None => true,
    }
}

/// The pin that `entry` is when its only specifier names one version.
fn pin(entry: &Entry, specifiers: &[VersionSpecifier]) -> Option<Pin> {
    let [specifier] = specifiers else { return None };
    let (equality, operator) = match specifier.operator() {
        Operator::ExactEqual => (Equality::Arbitrary, "==="),
        Operator::Equal => (Equality::Version, "=="),
        _ => return None,
    };
    // The text counts and not the parsed version, which displays `2024.01` as `2024.1`: an
    // arbitrary equality compares texts (PEP 440, "Arbitrary equality").
    let (dependency, _) = entry.place.text.split_once(';').unwrap_or((&entry.place.text, ""));
    let (_, written) = dependency.split_once(operator)?;
    Some(Pin {
        name: entry.requirement.name.clone(),
        display_name: entry.display_name.clone(),
        version: specifier.version().clone(),
        written: written.trim_matches([' ', '\t', ')', '(']).to_owned(),
        equality,
        place: entry.place.clone(),
    })
}

/// What the lines on one name that hold come down to.
enum Chosen<'a> {
    Pin(&'a Pin),
    Url(&'a UrlPin),
}

/// The pin or URL among the lines that hold for one name.
fn choose<'a>(holding: &[&'a Line]) -> Result<Option<Chosen<'a>>, Conflict> {
    let conflict = |a: &Line, b: &Line| {
        Err(Conflict {
            name: a.entry.requirement.name.clone(),
            first: a.entry.place.clone(),
            second: b.entry.place.clone(),
        })
    };
    for (index, line) in holding.iter().enumerate() {
        for other in &holding[index + 1..] {
            let apart = match (&line.kind, &other.kind) {
                (Kind::Pin(pin), _) => other.refuses(pin),
                (_, Kind::Pin(pin)) => line.refuses(pin),
                (Kind::Url(url), Kind::Url(other)) => url.url != other.url,
                (Kind::Bound, _) | (_, Kind::Bound) => false,
            };
            if apart {
                return conflict(line, other);
            }
        }
    }
    // Of several that agree, the one that compares texts says most.
    let pins = || {
        holding.iter().filter_map(|line| match &line.kind {
            Kind::Pin(pin) => Some(pin),
            Kind::Url(_) | Kind::Bound => None,
        })
    };
    let urls = holding.iter().find_map(|line| match &line.kind {
        Kind::Url(url) => Some(Chosen::Url(url)),
        Kind::Pin(_) | Kind::Bound => None,
    });
    let arbitrary = pins().find(|pin| pin.equality == Equality::Arbitrary);
    Ok(arbitrary.or_else(|| pins().next()).map(Chosen::Pin).or(urls))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::testing::shared_document;
    use crate::vocab::requirement::package_name;
    use crate::vocab::target::tests::debian;

    fn parse(text: &str) -> Result<Constraints, InputError> {
        Constraints::parse(&Document::new("uc.txt", text))
    }

    fn pins(text: &str) -> Result<Pins, InputError> {
        parse(text).unwrap().pins(&debian("3.11.7"))
    }

    /// The pins and the holes of one of OpenStack's branches on one Python; counted by hand with
    /// `packaging` too.
    #[track_caller]
    fn branch(branch: &str, python: &str, pins: usize, holes: usize) {
        let Some(document) = shared_document(&format!("{branch}.upper-constraints.txt")) else {
            return;
        };
        let found = Constraints::parse(&document).unwrap().pins(&debian(python)).unwrap();
        assert_eq!((found.len(), found.holes().len()), (pins, holes), "{branch} on {python}");
        assert!(found.bounds().is_empty() && found.urls().is_empty());
        // What is written out again says the same.
        let text = found.to_constraints_text();
        let again = parse(&text).unwrap().pins(&debian(python)).unwrap();
        assert_eq!(again.to_constraints_text(), text);
        assert_eq!(again.len(), pins);
    }

    #[test]
    fn the_branches_of_openstack() {
        branch("master", "3.11.7", 575, 0);
        branch("master", "3.13.1", 575, 0);
        branch("2025.2", "3.9.2", 572, 0);
        branch("2025.2", "3.10.12", 572, 0);
        branch("2025.2", "3.11.7", 569, 3);
        branch("2025.2", "3.12.3", 569, 3);
        branch("yoga", "3.6.8", 606, 0);
        branch("yoga", "3.8.10", 601, 5);
        branch("yoga", "3.9.2", 565, 41);
        branch("yoga", "3.10.12", 564, 42);
    }

    #[test]
    fn markers_choose_among_lines() {
        let found = pins(
            "alabaster===0.7.16;python_version=='3.9'\nAlabaster===1.0.0;python_version>='3.10'\n\
             tomli===2.2.1;python_version=='3.9'\ntomli===2.2.1;python_version=='3.10'\n",
        )
        .unwrap();
        let pin = found.get(&package_name("alabaster").unwrap()).unwrap();
        assert_eq!((pin.display_name.as_str(), pin.written.as_str()), ("Alabaster", "1.0.0"));
        assert_eq!(pin.place.to_string(), "uc.txt:2: Alabaster===1.0.0;python_version>='3.10'");
        assert_eq!(found.holes()[0].name.as_ref(), "tomli");
        assert_eq!(found.holes()[0].places.len(), 2);
    }

    #[test]
    fn the_text_of_a_version_is_kept() {
        for (line, written, equality) in [
            ("certifi===2024.01.02", "2024.01.02", Equality::Arbitrary),
            ("a === 1.0-1 ; os_name == 'posix'", "1.0-1", Equality::Arbitrary),
            ("a==1.0", "1.0", Equality::Version),
            ("a (==1.0)", "1.0", Equality::Version),
            ("a===6.0.0.post1", "6.0.0.post1", Equality::Arbitrary),
        ] {
            let found = pins(line).unwrap();
            let pin = found.iter().next().unwrap();
            assert_eq!((pin.written.as_str(), pin.equality), (written, equality), "{line}");
        }
    }

    #[test]
    fn what_is_no_pin_is_kept_apart() {
        let found = pins(
            "setuptools<81\nfoo==1.*\nfoo!=1.2\nwin>1;os_name=='nt'\n\
             git+https://h/bar@main#egg=Bar\nbaz @ https://h/baz.zip\nbar===1;os_name=='nt'\n",
        )
        .unwrap();
        let bounds: Vec<_> = found.bounds().iter().map(ToString::to_string).collect();
        assert_eq!(bounds, ["foo==1.*", "foo!=1.2", "setuptools<81"]);
        let urls: Vec<_> = found.urls().iter().map(|url| url.display_name.as_str()).collect();
        assert_eq!(urls, ["Bar", "baz"]);
        assert_eq!((found.len(), found.holes().len()), (0, 0));
    }

    #[test]
    fn agreeing_lines_are_one() {
        for text in ["a===1.0\na===1.0", "a==1.0\na===1.0.0", "a===1.0\na<2\na>=1", "a==1\nA==1.0"]
        {
            assert_eq!(pins(text).unwrap().len(), 1, "{text}");
        }
        let found = pins("a==1.0\na===1.0.0").unwrap();
        assert_eq!(found.iter().next().unwrap().written, "1.0.0");
    }

    #[test]
    fn contradicting_lines_are_named() {
        let error = pins(
            "a===1.0\nA===1.0.0\nb===1\nb===2;python_version>='3.10'\nb===3;python_version<'3.10'\n\
             c===3\nc<3\nd===1\ngit+https://h/d#egg=d\ne @ https://h/e\ne @ https://h/f\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @r"
        `a` has two constraints that contradict each other: uc.txt:1: a===1.0, and uc.txt:2: A===1.0.0
        `b` has two constraints that contradict each other: uc.txt:3: b===1, and uc.txt:4: b===2;python_version>='3.10'
        `c` has two constraints that contradict each other: uc.txt:6: c===3, and uc.txt:7: c<3
        `d` has two constraints that contradict each other: uc.txt:8: d===1, and uc.txt:9: git+https://h/d#egg=d
        `e` has two constraints that contradict each other: uc.txt:10: e @ https://h/e, and uc.txt:11: e @ https://h/f
        ");
    }

    #[test]
    fn every_fault_is_named() {
        let error = parse(
            "# comment\ncoverage===4.0;python_version>='3.9',<=3.10\nsix===1.16.0\n-r other.txt\n\
             foo[bar]===1.0\nbare\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @r"
        uc.txt:2: unexpected character ',', expected 'and', 'or' or end of input: coverage===4.0;python_version>='3.9',<=3.10
        uc.txt:4: the option `-r` is not supported in this place: -r other.txt
        uc.txt:5: a constraint cannot have extras: foo[bar]===1.0
        ");
    }

    #[test]
    fn several_files_constrain_together() {
        let both: Constraints =
            [parse("a===1").unwrap(), parse("b===1\na<2").unwrap()].into_iter().collect();
        let found = both.pins(&debian("3.11.7")).unwrap();
        assert_eq!((found.len(), found.bounds().len()), (2, 1));
    }

    proptest! {
        #[test]
        fn pins_round_trip(
            written in proptest::collection::btree_map("[a-z][a-z0-9]{0,4}", "[0-9]{1,3}(\\.[0-9]{1,2}){0,3}(a1|\\.post2)?", 0..20)
        ) {
            let text: String =
                written.iter().map(|(name, version)| format!("{name}==={version}\n")).collect();
            let found = pins(&text).unwrap();
            prop_assert_eq!(found.to_constraints_text(), text);
        }
    }
}
