//! Index pages in HTML (PEP 503, 592, 658) and find-links pages: the anchors of a document.
//!
//! Only `<a>` and `<base>` matter, so the document is scanned, not parsed to a tree: it may be as
//! broken as real pages are, and what is not understood is passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use url::Url;

use super::listing::{Listing, Offer};
use crate::vocab::requirement::PackageName;

/// Reads the page of `name` that was found at `at`.
pub(super) fn listing(name: &PackageName, at: &Url, text: &str) -> Listing {
    let (base, anchors) = scan(text);
    let base = base.and_then(|href| at.join(&href).ok()).unwrap_or_else(|| at.clone());
    Listing::new(name, Some(&base), anchors.iter().map(Anchor::offer))
}

/// The files that a find-links page names, as absolute URLs with the hash still in their fragments.
pub(super) fn links(at: &Url, text: &str) -> (Url, Vec<Anchor>) {
    let (base, anchors) = scan(text);
    let base = base.and_then(|href| at.join(&href).ok()).unwrap_or_else(|| at.clone());
    (base, anchors)
}

/// One `<a href>`, its entities resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Anchor {
    href: String,
    filename: String,
    sha256: Option<String>,
    requires_python: Option<String>,
    yanked: Option<String>,
    metadata: Option<Option<String>>,
}

impl Anchor {
    fn new(mut attributes: BTreeMap<String, String>) -> Option<Self> {
        let href = attributes.remove("href")?;
        let (path, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let path = path.split('?').next().unwrap_or(path);
        // The href names the file, not the anchor's text: indexes shorten or decorate that.
        let last = path.rsplit('/').next().unwrap_or(path);
        let filename = percent_decode_str(last).decode_utf8_lossy().into_owned();
        let sha256 = fragment.split('&').find_map(|part| part.strip_prefix("sha256="));
        let sha256 = sha256.map(str::to_owned);
        // PEP 714 renamed the attribute; the old name counts where the new one is absent.
        let metadata = attributes
            .remove("data-core-metadata")
            .or_else(|| attributes.remove("data-dist-info-metadata"))
            .filter(|value| value != "false")
            .map(|value| value.strip_prefix("sha256=").map(str::to_owned));
        Some(Self {
            filename,
            sha256,
            requires_python: attributes.remove("data-requires-python"),
            yanked: attributes.remove("data-yanked"),
            metadata,
            href,
        })
    }

    /// The file's name.
    pub(super) fn filename(&self) -> &str {
        &self.filename
    }

    /// What the anchor says of the file.
    pub(super) fn offer(&self) -> Offer<'_> {
        Offer {
            filename: &self.filename,
            url: self.href.trim(),
            sha256: self.sha256.as_deref(),
            size: None,
            requires_python: self.requires_python.as_deref(),
            yanked: self.yanked.as_deref(),
            metadata: self.metadata.as_ref().map(Option::as_deref),
        }
    }
}

/// The first `<base href>` and every `<a href>`.
fn scan(text: &str) -> (Option<String>, Vec<Anchor>) {
    let mut base = None;
    let mut anchors = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest[..name_end].to_ascii_lowercase();
        rest = &rest[name_end..];
        match name.as_str() {
            "a" => {
                let (attributes, after) = attributes(rest);
                rest = after;
                anchors.extend(Anchor::new(attributes));
            }
            "base" => {
                let (mut attributes, after) = attributes(rest);
                rest = after;
                base = base.or_else(|| attributes.remove("href"));
            }
            // What looks like a tag in these is text.
            "script" | "style" => {
                let closing = format!("</{name}");
                let end = rest.match_indices("</").map(|(at, _)| at).find(|at| {
                    let tag = rest.as_bytes().get(*at..*at + closing.len());
                    tag.is_some_and(|tag| tag.eq_ignore_ascii_case(closing.as_bytes()))
                });
                rest = end.map_or("", |end| &rest[end..]);
            }
            _ => {}
        }
    }
    (base, anchors)
}

/// Reads attributes up to the `>`; the first of two with one name counts (HTML, "Tokenization").
fn attributes(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut found = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        // The first character is part of the name, whatever it is: each turn takes at least one.
        let Some(first) = rest.chars().next() else { return (found, rest) };
        let end = rest[first.len_utf8()..]
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .map_or(rest.len(), |end| end + first.len_utf8());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let after = &after[1..];
                    after.split_once(quote).unwrap_or((after, ""))
                }
                _ => {
                    let is_end = |c: char| c.is_ascii_whitespace() || c == '>';
                    after.split_at(after.find(is_end).unwrap_or(after.len()))
                }
            };
        }
        found.entry(name).or_insert_with(|| unescape(value).into_owned());
    }
}

/// Resolves the character references that indexes use: the five of XML, and numbers.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // Up to the next one at most, so that no text is gone through more than once.
        let end = rest[1..].find([';', '&']).map_or(rest.len(), |end| end + 1);
        let reference = rest[end..].strip_prefix(';').and_then(|after| {
            let c = match &rest[1..end] {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                "nbsp" => ' ',
                name => {
                    let number = name.strip_prefix('#')?;
                    let number = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16),
                        None => number.parse(),
                    };
                    char::from_u32(number.ok()?)?
                }
            };
            Some((c, after))
        });
        match reference {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vocab::digest::Digest;
    use crate::vocab::dist_file::{DistFile, MetadataFile};

    fn files(page: &str) -> Vec<DistFile> {
        let name = PackageName::new("foo-bar".into()).unwrap();
        let at = Url::parse("https://index.test/simple/foo-bar/").unwrap();
        let listing = listing(&name, &at, page);
        let versions: Vec<_> = listing.versions().cloned().collect();
        versions.iter().flat_map(|version| listing.files_of(version).collect::<Vec<_>>()).collect()
    }

    #[track_caller]
    fn url(anchor: &str, expected: &str) {
        let files = files(anchor);
        assert_eq!(files.len(), 1, "{anchor}");
        assert_eq!(files[0].url.as_str(), expected, "{anchor}");
    }

    #[test]
    fn finds_files_however_their_anchors_are_written() {
        let file = "https://index.test/simple/foo-bar/foo_bar-1.tar.gz";
        url("<a href='foo_bar-1.tar.gz'>x</a>", file);
        url("<a href=foo_bar-1.tar.gz>x", file);
        url("<A\r\n\tclass=x HREF = \"foo_bar-1.tar.gz\"\n>x</A>", file);
        url("<a href=\"foo_bar-1.tar.gz#egg=x&amp;md5=1\">x</a>", file);
        url("<!-- <a href='foo_bar-2.tar.gz'> --><a href='foo_bar-1.tar.gz'>", file);
        url("<script>'<a href=foo_bar-2.zip>'</SCRIPT ><a href='foo_bar-1.tar.gz'>", file);
        url("<a name=top><abbr href='foo_bar-3.zip'><a href=foo_bar-1.tar.gz>", file);
        url("<a href='../../f/Foo.Bar-1.zip'>", "https://index.test/f/Foo.Bar-1.zip");
        url("<base href=/else/><a href=foo_bar-1.zip>", "https://index.test/else/foo_bar-1.zip");
        url("<a href='//cdn.test/foo_bar-1.zip'>", "https://cdn.test/foo_bar-1.zip");
        url(
            "<a href='foo_bar-1%2Blocal.zip'>",
            "https://index.test/simple/foo-bar/foo_bar-1%2Blocal.zip",
        );
        url(
            "<a href='foo_bar-1.zip?a=1&amp;b=2'>",
            "https://index.test/simple/foo-bar/foo_bar-1.zip?a=1&b=2",
        );
        assert!(files("<a href='foo_bar-1.zip").is_empty() || files("<a").is_empty());
    }

    #[test]
    fn reads_what_the_attributes_tell() {
        let digest = Digest::of(b"x");
        let hex = digest.hex();
        let files = files(&format!(
            "<a href='foo_bar-3-py3-none-any.whl#sha256={hex}' data-requires-python='&gt;=3.6,&#60;4'\
             data-yanked data-core-metadata='sha256={hex}'>x</a>\
             <a href='foo_bar-2.zip' data-yanked='broken &quot;badly&quot;' data-dist-info-metadata=true>\
             <a href='foo_bar-1.zip' data-core-metadata=false>"
        ));
        assert_eq!(files[0].sha256, Some(digest));
        assert_eq!(files[0].requires_python.as_ref().unwrap().to_string(), ">=3.6, <4");
        assert_eq!(files[0].yanked.as_deref(), Some(""));
        assert_eq!(files[0].metadata, MetadataFile::Present(Some(digest)));
        assert_eq!(files[1].yanked.as_deref(), Some("broken \"badly\""));
        assert_eq!(files[1].metadata, MetadataFile::Present(None));
        assert_eq!((files[2].yanked.as_deref(), files[2].metadata), (None, MetadataFile::Absent));
    }

    #[test]
    fn entities_that_are_none_stay() {
        assert_eq!(unescape("a&b;&lt&#xffffffff;&#65;"), "a&b;&lt&#xffffffff;A");
    }

    proptest! {
        #[test]
        fn any_document_is_scanned(text in "(<|a |href|=|'|\"|>|&|;|#|-|!|/|base|script|\\PC)*") {
            let _ = files(&text);
        }
    }
}
