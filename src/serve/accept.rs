//! What a client accepts: which [`Form`] of a page of the index (PEP 691, RFC 9110 section 12.5.1), and
//! whether compressed (section 12.5.3).

/// A form in which pages of the index are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `text/html`, as browsers and older installers ask for it.
    Html,
    /// The same under PEP 691's name.
    SimpleHtml,
    /// PEP 691's JSON.
    SimpleJson,
}

impl Form {
    const ALL: [Self; 3] = [Self::Html, Self::SimpleJson, Self::SimpleHtml];

    /// The media types that mean it. What is asked for as the latest version is answered as the one
    /// there is.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Html => &["text/html"],
            Self::SimpleHtml => {
                &["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html"]
            }
            Self::SimpleJson => {
                &["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"]
            }
        }
    }

    /// The form an `Accept` field asks for; none when it excludes them all. Without the field it is
    /// HTML, as PEP 691 recommends for clients that do not know it. Where two are liked equally, it is
    /// JSON if that was named, and HTML if there are only wildcards.
    pub(super) fn accepted(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
            return Some(Self::Html);
        };
        let ranges: Vec<Range<'_>> = Range::list(accept).collect();
        // What is said of a type counts more than what is said of all types.
        let liking = |form: Self| {
            let said = |name: &&'static str| {
                let name = *name;
                ranges.iter().filter_map(move |range| Some((range.precision(name)?, range.quality)))
            };
            let (precision, quality) = form.names().iter().flat_map(said).max()?;
            let preference = match (precision, form) {
                (Precision::Exact, Self::SimpleJson) => 2,
                (Precision::Exact, Self::SimpleHtml) => 1,
                (Precision::Exact, Self::Html) => 0,
                (_, Self::Html) => 2,
                (_, Self::SimpleJson) => 1,
                (_, Self::SimpleHtml) => 0,
            };
            (quality > 0).then_some((quality, precision, preference))
        };
        let liked = Self::ALL.into_iter().filter_map(|form| Some((liking(form)?, form)));
        liked.max_by_key(|(liking, _)| *liking).map(|(_, form)| form)
    }
}

/// Whether an `Accept-Encoding` field asks for gzip, and not for less rather than for more.
pub(super) fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let Some(field) = accept_encoding else { return false };
    let quality = |names: &[&str]| {
        let mut codings = Range::list(field);
        codings.find(|coding| names.iter().any(|name| coding.is(name))).map(|coding| coding.quality)
    };
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).unwrap_or(0);
    gzip > 0 && gzip >= quality(&["identity"]).unwrap_or(0)
}

/// How closely a range names a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Any,
    Type,
    Exact,
}

/// One element of either field: what is named, and its quality in thousandths. Parameters other than
/// `q` are passed over: no form here differs by them.
struct Range<'a> {
    name: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    fn list(field: &'a str) -> impl Iterator<Item = Self> {
        field.split(',').filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let quality = parts
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .map_or(Some(1000), |(_, value)| thousandths(value.trim()))?;
            Some(Self { name, quality })
        })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn precision(&self, name: &str) -> Option<Precision> {
        if self.is(name) {
            return Some(Precision::Exact);
        }
        let of_type = self.name.strip_suffix("/*").is_some_and(|kind| {
            name.split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(kind))
        });
        match self.name {
            "*/*" => Some(Precision::Any),
            _ if of_type => Some(Precision::Type),
            _ => None,
        }
    }
}

/// A quality value: 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_is_chosen() {
        #[track_caller]
        fn case(accept: &str, form: Option<Form>) {
            assert_eq!(Form::accepted(Some(accept)), form, "{accept}");
        }
        const JSON: &str = "application/vnd.pypi.simple.v1+json";
        const HTML: &str = "application/vnd.pypi.simple.v1+html";
        let html = Some(Form::Html);
        let json = Some(Form::SimpleJson);
        let simple_html = Some(Form::SimpleHtml);
        assert_eq!(Form::accepted(None), html);
        case("", html);
        case("*/*", html);
        case("text/html", html);
        case("text/*", html);
        case("TEXT/HTML", html);
        case("application/*", json);
        case(JSON, json);
        case(HTML, simple_html);
        case("application/vnd.pypi.simple.latest+json", json);
        case("application/vnd.pypi.simple.latest+html; charset=utf-8", simple_html);
        // pip, uv, and a browser.
        case(&format!("{JSON}, {HTML}; q=0.1, text/html; q=0.01"), json);
        case(&format!("{JSON}, {HTML};q=0.2, text/html;q=0.01"), json);
        case("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", html);
        case(&format!("{JSON};q=0.5, {HTML};q=0.6, text/html;q=0.55"), simple_html);
        case(&format!("text/html, {JSON}"), json);
        case(&format!("text/html, {HTML}"), simple_html);
        case(&format!("{JSON};q=0, */*;q=0.1"), html);
        case(&format!("*/*;q=0.5, text/html;q=0, {HTML};q=0"), json);
        case("text/html;q=0, */*;q=0.3", json);
        case("application/*;q=0.9, text/html;q=0.8", json);
        case(&format!("{JSON};Q=0.4, text/html;q=0.3"), json);
        case("application/json", None);
        case("text/html;q=0", None);
        case("image/png, application/vnd.pypi.simple.v2+json", None);
        // A quality that is none makes its element one that is not there.
        case(&format!("{JSON};q=2, text/html;q=0.1"), html);
        case(&format!("{JSON};q=x"), None);
    }

    #[test]
    fn gzip_is_taken_when_it_is_wanted() {
        for (field, wanted) in [
            ("gzip", true),
            ("gzip, deflate", true),
            ("deflate, GZIP;q=0.1", true),
            ("x-gzip", true),
            ("*", true),
            ("br, *;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("deflate, br, zstd", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(Some(field)), wanted, "{field}");
        }
        assert!(!accepts_gzip(None));
    }

    #[test]
    fn qualities_are_in_thousandths() {
        for (text, value) in [
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.001", Some(1)),
            ("0.0001", None),
            ("1.1", None),
            ("-1", None),
            (".5", None),
            ("0.+5", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text), value, "{text}");
        }
    }
}
