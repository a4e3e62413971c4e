//! [`GcRules`]: what a collection takes away beyond what nobody holds: names, by their order and age, and what is
//! remembered, when nobody has used it for long.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::vocab::digest::Digest;

/// A value that is remembered with blobs is kept for so long after its last use where nobody says otherwise: layers of
/// a distribution's packages are large, and take a minute to make again.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What [`Store::gc`](super::Store::gc) is asked for. By default no name is lost, and every blob goes
/// that no name leads to, no running command holds, and nothing counts on that was used in the last 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcRules {
    /// So many of the names, those written last, are kept; all others lose theirs.
    pub keep_last: Option<usize>,
    /// Names and blobs written not longer ago than this are kept, and what was used not longer ago.
    pub older_than: Option<Duration>,
    /// What locks name: kept although nothing in the store leads to it.
    pub locked: BTreeSet<Digest>,
}

impl GcRules {
    /// Which of the names are to go, given when each was written; `names` is in the order that decides
    /// between names of one moment. Alone, `keep_last` and `older_than` each decide; together, a name
    /// goes only when both say so.
    pub(super) fn leaving<T>(&self, names: Vec<(SystemTime, T)>, now: SystemTime) -> Vec<T> {
        if self.keep_last.is_none() && self.older_than.is_none() {
            return Vec::new();
        }
        let mut names = names;
        // The newest first; the sort is stable.
        names.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        names
            .into_iter()
            .skip(self.keep_last.unwrap_or(0))
            .filter(|(written, _)| self.is_old(*written, now))
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether what was written at `written` may go at `now`, as far as its age decides.
    pub(super) fn is_old(&self, written: SystemTime, now: SystemTime) -> bool {
        // What is of the future tells that a clock was wrong; it is not old.
        self.older_than
            .is_none_or(|age| now.duration_since(written).is_ok_and(|passed| passed > age))
    }

    /// Whether what was last used at `used` may go at `now`.
    pub(super) fn is_unused(&self, used: SystemTime, now: SystemTime) -> bool {
        let age = self.older_than.unwrap_or(UNUSED);
        now.duration_since(used).is_ok_and(|passed| passed > age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(keep_last: Option<usize>, older_than: Option<u64>, leaving: &str) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        // Each is named by its age in seconds; `y` and `z` are of one moment, `f` of the future.
        let ages = [("9", 9), ("1", 1), ("y", 5), ("z", 5), ("3", 3)];
        let mut names: Vec<_> =
            ages.iter().map(|(name, age)| (now - Duration::from_secs(*age), *name)).collect();
        names.push((now + Duration::from_secs(50), "f"));
        let older_than = older_than.map(Duration::from_secs);
        let rules = GcRules { keep_last, older_than, ..GcRules::default() };
        assert_eq!(rules.leaving(names, now).concat(), leaving, "{keep_last:?} {older_than:?}");
    }

    #[test]
    fn what_is_used_stays() {
        const DAY: u64 = 24 * 60 * 60;
        #[track_caller]
        fn case(older_than: Option<u64>, used: u64, unused: bool) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 * DAY);
            let older_than = older_than.map(|days| Duration::from_secs(days * DAY));
            let rules = GcRules { older_than, ..GcRules::default() };
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(used * DAY);
            assert_eq!(rules.is_unused(used, now), unused);
        }
        case(None, 99, false);
        case(None, 70, false);
        case(None, 69, true);
        case(Some(3), 97, false);
        case(Some(3), 96, true);
        case(Some(90), 20, false);
        case(Some(0), 101, false);
    }

    #[test]
    fn names_go_by_order_and_age() {
        case(None, None, "");
        case(Some(0), None, "f13yz9");
        case(Some(2), None, "3yz9");
        case(Some(4), None, "z9");
        case(Some(9), None, "");
        case(None, Some(0), "13yz9");
        case(None, Some(3), "yz9");
        case(None, Some(9), "");
        case(Some(4), Some(3), "z9");
        case(Some(1), Some(5), "9");
        case(Some(6), Some(0), "");
    }
}
