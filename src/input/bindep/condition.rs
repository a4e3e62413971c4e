//! [`Condition`]: what a rule says of a package's version, such as `>=2.4,!=2.5` in parts; and the
//! order of versions (deb-version(7)), which holds for rpm's versions as well.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// One comparison with a version. Displays as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    relation: Relation,
    version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Unlike,
    Same,
    AtLeast,
    Greater,
}

/// The relations as they are written; the longer ones first.
const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("!=", Relation::Unlike),
    ("==", Relation::Same),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

impl Condition {
    /// Whether the version of an installed package satisfies it. As with `bindep`, `==` and `!=` compare
    /// the texts, and the others the order.
    #[must_use]
    pub fn admits(&self, installed: &str) -> bool {
        let order = || compare(installed, &self.version);
        match self.relation {
            Relation::Less => order().is_lt(),
            Relation::AtMost => order().is_le(),
            Relation::Unlike => installed != self.version,
            Relation::Same => installed == self.version,
            Relation::AtLeast => order().is_ge(),
            Relation::Greater => order().is_gt(),
        }
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let error = || ConditionError { text: text.to_owned() };
        let (relation, version) = RELATIONS
            .iter()
            .find_map(|(written, relation)| Some((*relation, text.strip_prefix(written)?)))
            .ok_or_else(error)?;
        let (epoch, rest) = parts(version);
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        let all = |text: &str, more: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let is_version = upstream.starts_with(|c: char| c.is_ascii_digit())
            && all(epoch, "")
            && all(upstream, ".+~:-")
            && !revision.is_empty()
            && all(revision, ".+~");
        if !is_version {
            return Err(error());
        }
        Ok(Self { relation, version: version.to_owned() })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = RELATIONS.iter().find(|(_, relation)| *relation == self.relation);
        write!(f, "{}{}", written.map_or("", |(written, _)| written), self.version)
    }
}

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a relation and a version, such as `>=1:2.4-1`")]
pub struct ConditionError {
    /// The text.
    pub text: String,
}

/// The epoch of a version, `0` when it has none, and the rest.
fn parts(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
            (epoch, rest)
        }
        _ => ("0", version),
    }
}

/// The order of two versions: epoch, upstream's version, revision (deb-version(7), "Sorting algorithm").
fn compare(left: &str, right: &str) -> Ordering {
    let ((left_epoch, left), (right_epoch, right)) = (parts(left), parts(right));
    let (left, left_revision) = left.rsplit_once('-').unwrap_or((left, ""));
    let (right, right_revision) = right.rsplit_once('-').unwrap_or((right, ""));
    numbers(left_epoch, right_epoch)
        .then_with(|| segments(left, right))
        .then_with(|| segments(left_revision, right_revision))
}

/// Compares runs of other characters and runs of digits by turns.
fn segments(mut left: &str, mut right: &str) -> Ordering {
    while !(left.is_empty() && right.is_empty()) {
        let order = words(take(&mut left, false), take(&mut right, false))
            .then_with(|| numbers(take(&mut left, true), take(&mut right, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the digits at the front, or what is before the first of them.
fn take<'a>(text: &mut &'a str, digits: bool) -> &'a str {
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

/// Compares numbers of any length.
fn numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Compares words: a tilde comes before the end, the end before letters, and these before the rest.
fn words(left: &str, right: &str) -> Ordering {
    fn rank(c: Option<char>) -> (u8, u32) {
        match c {
            Some('~') => (0, 0),
            None => (1, 0),
            Some(c) if c.is_ascii_alphabetic() => (2, u32::from(c)),
            Some(c) => (3, u32::from(c)),
        }
    }
    let (mut left, mut right) = (left.chars(), right.chars());
    loop {
        let (l, r) = (left.next(), right.next());
        match rank(l).cmp(&rank(r)) {
            Ordering::Equal if l.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            order => return order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_has_it() {
        for (left, order, right) in [
            ("1.0", Ordering::Equal, "1.0"),
            ("1.0", Ordering::Equal, "0:1.00"),
            ("1.10", Ordering::Greater, "1.9"),
            ("1:0.1", Ordering::Greater, "9.9"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0a", Ordering::Greater, "1.0"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.0-1", Ordering::Greater, "1.0"),
            ("1.0-0", Ordering::Equal, "1.0"),
            ("1.0-1", Ordering::Less, "1.0-1+b1"),
            ("1.0-1-2", Ordering::Greater, "1.0-1"),
            ("99999999999999999999999", Ordering::Less, "99999999999999999999999999"),
            ("3.9.18-3.el9", Ordering::Greater, "3.9.18-3.el8"),
        ] {
            assert_eq!(compare(left, right), order, "{left} {right}");
            assert_eq!(compare(right, left), order.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn conditions_are_judged() {
        for (condition, installed, holds) in [
            (">=1.2", "1.10-3", true),
            (">1.2", "1.2", false),
            ("<=1.2", "1.2~rc1", true),
            ("<2", "1:1", false),
            ("==1.0", "1.0", true),
            ("==1.0", "1.00", false),
            ("!=1.0", "1.00", true),
        ] {
            let parsed: Condition = condition.parse().unwrap();
            assert_eq!(parsed.admits(installed), holds, "{condition} {installed}");
            assert_eq!(parsed.to_string(), condition);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "1", "=1", ">=", ">=a", ">=1:a", ">=1_0", ">=1-", "~=1", ">=1:2:é"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        for text in [">=1:2:3", "<1-2-3", "<1-2.~+", "!=0"] {
            assert!(text.parse::<Condition>().is_ok(), "{text}");
        }
    }
}
