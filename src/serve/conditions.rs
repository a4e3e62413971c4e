//! Conditional requests (RFC 9110, section 13): what a client has already, by its entity tag.
//!
//! Every tag given here is strong. Dates are not told, so conditions by date never hold.

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};

/// What the conditions of a request ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// The client has it: 304.
    Unchanged,
    /// The client wants another one: 412.
    Failed,
}

/// Judges the conditions in `headers` for what has the tag `etag`, in the order that section 13.2.2
/// says.
pub(super) fn judge(headers: &HeaderMap, etag: &str) -> Verdict {
    if !headers.contains_key(IF_MATCH) && !headers.contains_key(IF_NONE_MATCH) {
        return Verdict::Send;
    }
    let any = |name: HeaderName, same: fn(&str, &str) -> bool| {
        let fields = headers.get_all(name).into_iter().filter_map(|field| field.to_str().ok());
        let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || same(tag, etag))
    };
    if headers.contains_key(IF_MATCH) && !any(IF_MATCH, |tag, etag| tag == etag) {
        return Verdict::Failed;
    }
    let weakly = |tag: &str, etag: &str| tag.strip_prefix("W/").unwrap_or(tag) == etag;
    if any(IF_NONE_MATCH, weakly) { Verdict::Unchanged } else { Verdict::Send }
}

/// Whether a `Range` counts: it does not when `If-Range` names another tag, or a date.
pub(super) fn range_counts(headers: &HeaderMap, etag: &str) -> bool {
    headers.get(IF_RANGE).is_none_or(|field| field.as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn conditions_are_judged_by_the_tag() {
        #[track_caller]
        fn case(fields: &[(HeaderName, &str)], expected: Verdict) {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(judge(&headers, "\"a1\""), expected, "{fields:?}");
        }
        case(&[], Verdict::Send);
        case(&[(IF_NONE_MATCH, "\"a1\"")], Verdict::Unchanged);
        case(&[(IF_NONE_MATCH, "\"b\", W/\"a1\"")], Verdict::Unchanged);
        case(&[(IF_NONE_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a1\"")], Verdict::Unchanged);
        case(&[(IF_NONE_MATCH, "*")], Verdict::Unchanged);
        case(&[(IF_NONE_MATCH, "\"a\", \"a12\", a1, \"\"")], Verdict::Send);
        case(&[(IF_MATCH, "\"a1\"")], Verdict::Send);
        case(&[(IF_MATCH, "*")], Verdict::Send);
        case(&[(IF_MATCH, "W/\"a1\"")], Verdict::Failed);
        case(&[(IF_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a1\"")], Verdict::Failed);
        case(&[(IF_MATCH, "\"a1\""), (IF_NONE_MATCH, "\"a1\"")], Verdict::Unchanged);
    }

    #[test]
    fn a_range_counts_for_the_same_bytes_only() {
        let mut headers = HeaderMap::new();
        assert!(range_counts(&headers, "\"a1\""));
        for (value, counts) in [
            ("\"a1\"", true),
            ("W/\"a1\"", false),
            ("\"b\"", false),
            ("Wed, 21 Oct 2015 07:28:00 GMT", false),
        ] {
            headers.insert(IF_RANGE, HeaderValue::from_static(value));
            assert_eq!(range_counts(&headers, "\"a1\""), counts, "{value}");
        }
    }
}
