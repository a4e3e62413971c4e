//! [`PackageRules`]: what single packages need beyond what their metadata says, as data.
//!
//! The rules that come with loci are in `constraints/packages.toml`, which describes the format. They
//! only say; dropping, building and checking are done by those who ask.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::vocab::requirement::{PackageName, Requirement, package_name};

use super::document::{Document, Fault, Place};
use super::entry::Entry;
use super::error::InputError;

/// The rules of all packages, and the wheels that are wanted beside the pins.
#[derive(Debug, Clone, Default)]
pub struct PackageRules {
    rules: BTreeMap<PackageName, PackageRule>,
    extra: Vec<ExtraWheel>,
    none: PackageRule,
}

/// What one package needs; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageRule {
    /// Why its pin is left out, if it is.
    pub drop: Option<String>,
    /// The processors, as in wheel tags, on which its pin is left out.
    pub skip_arch: Vec<String>,
    /// Whether only a wheel will do.
    pub never_build: bool,
    /// The environment variables of its build.
    pub env: BTreeMap<String, String>,
    /// The settings for its build backend (PEP 517, "Config settings").
    pub config_settings: BTreeMap<String, String>,
    /// What constrains its build requirements.
    pub build_constraints: Vec<Requirement>,
    /// What its build needs beyond its backend's own requirements.
    pub build_requires: Vec<Requirement>,
    /// Whether a pure wheel means that its extension failed to compile.
    pub platform_wheel: bool,
    /// About how many seconds its build takes on one processor: long ones begin early.
    pub expected_seconds: Option<u32>,
}

/// A wheel that is wanted although no constraint pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraWheel {
    /// What is wanted.
    pub requirement: Requirement,
    /// Why, for people.
    pub reason: String,
}

impl PackageRules {
    /// The rules that come with loci.
    #[must_use]
    pub fn builtin() -> Self {
        let text = include_str!("../../constraints/packages.toml");
        Self::parse(&Document::new("packages.toml", text))
            .expect("a test reads the very same text, which is part of the program")
    }

    /// Reads the TOML of `document`.
    ///
    /// # Errors
    /// [`InputError::Faults`]: the first place that is not TOML or not of this format; or, where all
    /// is, every name and requirement that cannot be read.
    pub fn parse(document: &Document) -> Result<Self, InputError> {
        let written: Written = toml::from_str(document.text()).map_err(|error| {
            let fault = Fault {
                place: place(document, error.span().unwrap_or(0..0)),
                reason: error.message().lines().collect::<Vec<_>>().join(", "),
            };
            InputError::Faults { faults: vec![fault] }
        })?;
        let mut reader = Reader { document, faults: Vec::new() };
        let mut rules = BTreeMap::new();
        let mut packages: Vec<_> = written.package.into_iter().collect();
        packages.sort_by_key(|(key, _)| key.span().start);
        for (key, rule) in packages {
            let span = key.span();
            let rule = reader.rule(rule);
            match package_name(key.get_ref()) {
                None => reader.fault(span, "this is not a valid project name"),
                Some(name) => {
                    if rules.insert(name, rule).is_some() {
                        reader.fault(span, "the same package has a rule already");
                    }
                }
            }
        }
        let mut extra = Vec::with_capacity(written.extra.len());
        for WrittenExtra { requirement, reason } in written.extra {
            let requirement = reader.requirement(&requirement);
            extra.extend(requirement.map(|requirement| ExtraWheel { requirement, reason }));
        }
        let mut faults = reader.faults;
        if faults.is_empty() {
            Ok(Self { rules, extra, none: PackageRule::default() })
        } else {
            faults.sort_by(|a, b| a.place.cmp(&b.place));
            Err(InputError::Faults { faults })
        }
    }

    /// The rule of `name`: nothing special when there is none.
    #[must_use]
    pub fn get(&self, name: &PackageName) -> &PackageRule {
        self.rules.get(name).unwrap_or(&self.none)
    }

    /// The wheels that are wanted although nothing pins them, in the order of the file.
    #[must_use]
    pub fn extra(&self) -> &[ExtraWheel] {
        &self.extra
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    package: BTreeMap<Spanned<String>, WrittenRule>,
    #[serde(default)]
    extra: Vec<WrittenExtra>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenRule {
    drop: Option<String>,
    #[serde(default)]
    skip_arch: Vec<String>,
    #[serde(default)]
    never_build: bool,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    config_settings: BTreeMap<String, String>,
    #[serde(default)]
    build_constraints: Vec<Spanned<String>>,
    #[serde(default)]
    build_requires: Vec<Spanned<String>>,
    #[serde(default)]
    platform_wheel: bool,
    expected_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenExtra {
    requirement: Spanned<String>,
    reason: String,
}

/// Turns what is written into what is meant, and collects what cannot be.
struct Reader<'a> {
    document: &'a Document,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn rule(&mut self, written: WrittenRule) -> PackageRule {
        PackageRule {
            drop: written.drop,
            skip_arch: written.skip_arch,
            never_build: written.never_build,
            env: written.env,
            config_settings: written.config_settings,
            build_constraints: self.requirements(&written.build_constraints),
            build_requires: self.requirements(&written.build_requires),
            platform_wheel: written.platform_wheel,
            expected_seconds: written.expected_seconds,
        }
    }

    fn requirements(&mut self, written: &[Spanned<String>]) -> Vec<Requirement> {
        written.iter().filter_map(|text| self.requirement(text)).collect()
    }

    fn requirement(&mut self, written: &Spanned<String>) -> Option<Requirement> {
        let line = place(self.document, written.span()).line;
        match Entry::parse(self.document.place(line, written.get_ref())) {
            Ok(entry) => Some(entry.requirement),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn fault(&mut self, span: Range<usize>, reason: &str) {
        let place = place(self.document, span);
        self.faults.push(Fault { place, reason: reason.to_owned() });
    }
}

/// The line in which `span`, of bytes, begins.
pub(super) fn place(document: &Document, span: Range<usize>) -> Place {
    let text = document.text();
    let start = text.floor_char_boundary(span.start);
    let line = text[..start].matches('\n').count();
    document.place(line + 1, text.lines().nth(line).unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<PackageRules, InputError> {
        PackageRules::parse(&Document::new("rules.toml", text))
    }

    fn named(name: &str) -> PackageName {
        package_name(name).unwrap()
    }

    #[test]
    fn the_rules_of_loci_are_read() {
        let rules = PackageRules::builtin();
        assert!(rules.get(&named("ceilometer")).drop.is_some());
        assert_eq!(rules.get(&named("confluent_kafka")).skip_arch, ["aarch64"]);
        assert!(rules.get(&named("scipy")).never_build);
        assert!(rules.get(&named("markupsafe")).platform_wheel);
        assert_eq!(rules.get(&named("uwsgi")).env["UWSGI_PROFILE_OVERRIDE"], "ssl=true");
        let old = &rules.get(&named("xstatic-angular-schema-form")).build_constraints;
        assert_eq!(old[0].to_string(), "setuptools<82");
        assert_eq!(*rules.get(&named("six")), PackageRule::default());
        let extra: Vec<_> =
            rules.extra().iter().map(|extra| extra.requirement.to_string()).collect();
        assert_eq!(extra, ["uwsgi", "setuptools<81", "wheel", "pip", "certifi"]);
    }

    #[test]
    fn faults_are_named_with_their_lines() {
        let faults: Vec<String> = [
            "[package.six]\nnever-built = true\n",
            "[package.six]\nnever-build = \"yes\"\n",
            "[package.six\n",
            "\n[[extra]]\nrequirement = \"uwsgi\"\n",
            "[package.six]\nbuild-constraints = [\n  \"a\",\n  \"b c\",\n]\n[package.\"-\"]\n\
             [package.SIX]\n[[extra]]\nrequirement = \"-r x\"\nreason = \"\"\n",
        ]
        .into_iter()
        .map(|text| parse(text).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(faults.join("\n--\n"), @r#"
        rules.toml:2: unknown field `never-built`, expected one of `drop`, `skip-arch`, `never-build`, `env`, `config-settings`, `build-constraints`, `build-requires`, `platform-wheel`, `expected-seconds`: never-built = true
        --
        rules.toml:2: invalid type: string "yes", expected a boolean: never-build = "yes"
        --
        rules.toml:1: unclosed table, expected `]`: [package.six
        --
        rules.toml:2: missing field `reason`: [[extra]]
        --
        rules.toml:4: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `c`: b c
        rules.toml:6: this is not a valid project name: [package."-"]
        rules.toml:7: the same package has a rule already: [package.SIX]
        rules.toml:9: the option `-r` is not supported in this place: -r x
        "#);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\[|\\]|package|extra|\\.|=|\"|a|é|\n| |true|drop|env|[{]|[}]){0,16}") {
            let _ = parse(&text).map_err(|error| error.to_string());
        }
    }
}
