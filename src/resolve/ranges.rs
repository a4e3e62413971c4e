//! Version specifiers as sets of versions, for the solver (PEP 440, "Version specifiers").
//!
//! The sets say the same as [`allows`](crate::vocab::requirement::allows): a local version belongs
//! where its public version does, `<V` leaves out the pre-releases of `V` and `>V` its
//! post-releases. Whether a pre-release may be chosen at all is not judged here.

use pep440_rs::{Operator, Version, VersionSpecifier, VersionSpecifiers};
use version_ranges::Ranges;

/// A set of versions of one project.
pub(super) type VersionSet = Ranges<Version>;

/// The versions that satisfy all of `specifiers`.
pub(super) fn versions_of(specifiers: &VersionSpecifiers) -> VersionSet {
    specifiers.iter().fold(Ranges::full(), |set, one| set.intersection(&versions_of_one(one)))
}

/// The one version that `specifiers` name exactly (`==1.0`, `===1.0`), if they do.
pub(super) fn exact_version(specifiers: &VersionSpecifiers) -> Option<&Version> {
    specifiers.iter().find_map(|one| {
        matches!(one.operator(), Operator::Equal | Operator::ExactEqual).then(|| one.version())
    })
}

fn versions_of_one(specifier: &VersionSpecifier) -> VersionSet {
    let version = specifier.version();
    match specifier.operator() {
        Operator::ExactEqual => Ranges::singleton(version.clone()),
        Operator::Equal => equal(version),
        Operator::NotEqual => equal(version).complement(),
        Operator::EqualStar => series(version, version.release().len()),
        Operator::NotEqualStar => series(version, version.release().len()).complement(),
        // "approximately equivalent to the pair of comparison clauses: >= V.N, == V.*"
        Operator::TildeEqual => series(version, version.release().len().saturating_sub(1))
            .intersection(&Ranges::higher_than(version.clone())),
        Operator::GreaterThanEqual => Ranges::higher_than(version.clone()),
        Operator::LessThanEqual => Ranges::strictly_lower_than(after(version)),
        Operator::GreaterThan if version.is_dev() || version.is_post() => {
            Ranges::higher_than(after(version))
        }
        // There is no greatest post-release, so the crate's own "after all of them" is the bound. Those
        // of the final release are none of a pre-release's: `packaging` 26 takes 1.0.post1 for `>1.0a1`.
        Operator::GreaterThan => Ranges::strictly_higher_than(version.clone().with_max(Some(0))),
        Operator::LessThan if version.any_prerelease() => {
            Ranges::strictly_lower_than(version.clone())
        }
        Operator::LessThan => Ranges::strictly_lower_than(version.clone().with_dev(Some(0))),
    }
}

/// A version with all of its local versions; a version that is local itself, alone.
fn equal(version: &Version) -> VersionSet {
    let after = after(version);
    if version.is_local() || after <= *version {
        Ranges::singleton(version.clone())
    } else {
        Ranges::between(version.clone(), after)
    }
}

/// The lowest version above `version` that is not one of its local versions; `version` itself where
/// its numbers are at their limit.
fn after(version: &Version) -> Version {
    let version = version.clone();
    if let Some(dev) = version.dev() {
        version.with_dev(Some(dev.saturating_add(1)))
    } else if let Some(post) = version.post() {
        version.with_post(Some(post.saturating_add(1))).with_dev(Some(0))
    } else {
        version.with_post(Some(0)).with_dev(Some(0))
    }
}

/// All versions whose release begins with the first `length` numbers of `version`.
fn series(version: &Version, length: usize) -> VersionSet {
    let numbers = &version.release()[..length];
    let Some((last, rest)) = numbers.split_last() else {
        return Ranges::full();
    };
    let of = |last: u64| {
        Version::new(rest.iter().copied().chain([last]))
            .with_epoch(version.epoch())
            .with_dev(Some(0))
    };
    match last.checked_add(1) {
        Some(next) => Ranges::between(of(*last), of(next)),
        None => Ranges::higher_than(of(*last)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vocab::requirement::allows;

    fn version() -> impl Strategy<Value = String> {
        let suffix = prop_oneof![
            4 => Just(""),
            1 => Just("a1"),
            1 => Just("rc2"),
            1 => Just(".dev3"),
            1 => Just(".post1"),
            1 => Just(".post2"),
        ];
        // Four numbers at least, because `pep440_rs` finds `1` in `==1.1.*` for want of zeros.
        (proptest::collection::vec(0_u8..3, 4..6), suffix).prop_map(|(numbers, suffix)| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{}{suffix}", numbers.join("."))
        })
    }

    fn specifier() -> impl Strategy<Value = String> {
        let plain =
            prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">="),];
        let numbers = proptest::collection::vec(0_u8..3, 2..4).prop_map(|numbers| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
        });
        prop_oneof![
            4 => (plain, version()).prop_map(|(operator, version)| format!("{operator}{version}")),
            1 => numbers.clone().prop_map(|numbers| format!("~={numbers}")),
            1 => numbers.clone().prop_map(|numbers| format!("=={numbers}.*")),
            1 => numbers.prop_map(|numbers| format!("!={numbers}.*")),
        ]
    }

    proptest! {
        #[test]
        fn sets_say_what_specifiers_say(
            specifier in specifier(),
            version in version(),
            local in prop_oneof![Just(""), Just("+local.1")],
        ) {
            let specifiers: VersionSpecifiers = specifier.parse().unwrap();
            let version: Version = format!("{version}{local}").parse().unwrap();
            prop_assert_eq!(
                versions_of(&specifiers).contains(&version),
                allows(&specifiers, &version),
                "{} in {}", version, specifier
            );
        }
    }

    #[test]
    fn numbers_at_their_limit_do_no_harm() {
        let limit = u64::MAX;
        for text in [
            format!("==1.{limit}.*"),
            format!("~={limit}.1"),
            format!(">1.dev{limit}"),
            format!("<=1.post{limit}"),
        ] {
            if let Ok(specifiers) = text.parse() {
                let _ = versions_of(&specifiers);
            }
        }
    }

    #[test]
    fn exact_is_one_version() {
        for (specifiers, exact) in
            [("==1.0", Some("1.0")), ("===1.0", Some("1.0")), ("==1.*", None), (">=1", None)]
        {
            let specifiers: VersionSpecifiers = specifiers.parse().unwrap();
            assert_eq!(exact_version(&specifiers).map(ToString::to_string).as_deref(), exact);
        }
    }
}
