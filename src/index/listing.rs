//! [`Listing`]: what one index offers of one project, in a compact text that is also its form on disk.
//!
//! Pages hold thousands of files of which a run wants one or two, so a file stays a line of text
//! until it is asked for; only versions are parsed beforehand, to find those lines. A listing knows
//! nothing of where its page came from, nor for how long it may be believed (see `page_cache`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;

use pep440_rs::Version;
use url::Url;

use crate::vocab::digest::Digest;
use crate::vocab::dist_file::{DistFile, DistFilename, MetadataFile};
use crate::vocab::requirement::{PackageName, parse_specifiers_lenient};

/// The first line; another number is another format, which counts as not being there.
const HEADER: &str = "loci listing 1";

/// One file as a page tells of it, not judged yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer<'a> {
    /// The file's name; what is no wheel or source archive of the project is passed over.
    pub(super) filename: &'a str,
    /// Where it is, perhaps relative to the page.
    pub(super) url: &'a str,
    /// Hex digits.
    pub(super) sha256: Option<&'a str>,
    /// In bytes.
    pub(super) size: Option<u64>,
    /// As published.
    pub(super) requires_python: Option<&'a str>,
    /// The reason, perhaps empty, when it was yanked.
    pub(super) yanked: Option<&'a str>,
    /// Whether METADATA is served beside it; the hex digits when told.
    pub(super) metadata: Option<Option<&'a str>>,
}

/// What one index offers of one project; releases newest first, files in the page's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    name: PackageName,
    text: String,
    releases: Vec<(Version, Range<usize>)>,
}

impl Listing {
    /// A listing of nothing: the index has no such project.
    pub(super) fn empty(name: &PackageName) -> Self {
        Self::new(name, None, std::iter::empty())
    }

    /// Takes the offers of a page that was read from `base`.
    pub(super) fn new<'a>(
        name: &PackageName,
        base: Option<&Url>,
        offers: impl Iterator<Item = Offer<'a>>,
    ) -> Self {
        let mut blocks: BTreeMap<Version, String> = BTreeMap::new();
        for offer in offers {
            let Some(filename) = DistFilename::parse(offer.filename, name) else { continue };
            let url = match base {
                Some(base) => base.join(offer.url),
                None => Url::parse(offer.url),
            };
            let Ok(mut url) = url else { continue };
            url.set_fragment(None);
            write_line(blocks.entry(filename.version().clone()).or_default(), &offer, &url);
        }
        let mut text = format!("{HEADER} {}\n", blocks.len());
        for (version, block) in blocks.iter().rev() {
            push(&mut text, format_args!("{version}\t{}\n", block.len()));
        }
        let mut releases = Vec::with_capacity(blocks.len());
        for (version, block) in blocks.into_iter().rev() {
            releases.push((version, text.len()..text.len() + block.len()));
            text.push_str(&block);
        }
        Self { name: name.clone(), text, releases }
    }

    /// Reads back what [`Listing::as_text`] gave; none when it is not whole.
    pub(super) fn from_text(name: &PackageName, text: String) -> Option<Self> {
        let mut lines = text.split_inclusive('\n');
        let header = lines.next()?;
        let count: usize = header.strip_prefix(HEADER)?.trim().parse().ok()?;
        let mut lengths = Vec::new();
        let mut start = header.len();
        for _ in 0..count {
            let line = lines.next()?;
            start += line.len();
            let (version, length) = line.trim_end().split_once('\t')?;
            lengths.push((Version::from_str(version).ok()?, length.parse::<usize>().ok()?));
        }
        let mut releases = Vec::with_capacity(count);
        for (version, length) in lengths {
            let end = start.checked_add(length)?;
            text.get(start..end)?;
            releases.push((version, start..end));
            start = end;
        }
        (start == text.len()).then(|| Self { name: name.clone(), text, releases })
    }

    /// The text, which holds everything.
    pub(super) fn as_text(&self) -> &str {
        &self.text
    }

    /// The versions, newest first.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.releases.iter().map(|(version, _)| version)
    }

    /// The files of `version`, in the page's order; versions compare as PEP 440 has it.
    pub(super) fn files_of(&self, version: &Version) -> impl Iterator<Item = DistFile> + '_ {
        let block = match self.releases.binary_search_by(|(v, _)| version.cmp(v)) {
            Ok(found) => &self.text[self.releases[found].1.clone()],
            Err(_) => "",
        };
        block.lines().filter_map(|line| read_line(&self.name, line))
    }
}

/// Adds to a text; that cannot fail.
fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes all that is written to it");
}

fn write_line(block: &mut String, offer: &Offer<'_>, url: &Url) {
    // Most addresses end in the file's name, which the line has already.
    let url = match url.as_str().strip_suffix(offer.filename) {
        Some(before) if url.query().is_none() => format!("{before}*"),
        _ => url.to_string(),
    };
    push(block, format_args!("{}\t{url}\t", offer.filename));
    if let Some(digest) = offer.sha256.and_then(|hex| Digest::from_hex(hex).ok()) {
        block.push_str(&digest.hex());
    }
    block.push('\t');
    if let Some(size) = offer.size {
        push(block, format_args!("{size}"));
    }
    block.push('\t');
    block.push_str(&one_line(offer.requires_python.unwrap_or_default()));
    block.push('\t');
    if let Some(reason) = offer.yanked {
        push(block, format_args!("!{}", one_line(reason)));
    }
    block.push('\t');
    match offer.metadata {
        Some(Some(hex)) => match Digest::from_hex(hex) {
            Ok(digest) => block.push_str(&digest.hex()),
            Err(_) => block.push('?'),
        },
        Some(None) => block.push('?'),
        None => {}
    }
    block.push('\n');
}

/// The text without the characters that part a listing's fields and lines.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn read_line(name: &PackageName, line: &str) -> Option<DistFile> {
    let mut fields = line.split('\t');
    let mut field = || fields.next();
    let filename = field()?;
    let url = match field()? {
        url if url.ends_with('*') => Url::parse(&format!("{}{filename}", &url[..url.len() - 1])),
        url => Url::parse(url),
    };
    Some(DistFile {
        filename: DistFilename::parse(filename, name)?,
        url: url.ok()?,
        sha256: Digest::from_hex(field()?).ok(),
        size: field()?.parse().ok(),
        requires_python: match field()? {
            "" => None,
            text => parse_specifiers_lenient(text).ok(),
        },
        yanked: field()?.strip_prefix('!').map(str::to_owned),
        metadata: match field()? {
            "" => MetadataFile::Absent,
            text => MetadataFile::Present(Digest::from_hex(text).ok()),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn six() -> PackageName {
        PackageName::new("six".into()).unwrap()
    }

    #[test]
    fn keeps_what_a_page_tells() {
        let hex = Digest::of(b"six").hex().to_uppercase();
        let base = Url::parse("https://index.test/simple/six/").unwrap();
        let offers = [
            Offer {
                filename: "six-1.16.0-py2.py3-none-any.whl",
                url: "../../files/six-1.16.0-py2.py3-none-any.whl#sha256=x",
                sha256: Some(&hex),
                size: Some(7),
                requires_python: Some(">= 2.7"),
                yanked: Some("bad\tday"),
                metadata: Some(Some(&hex)),
            },
            Offer {
                filename: "six-1.9.tar.gz",
                url: "/a/download?f=six-1.9.tar.gz",
                ..Offer::default()
            },
            Offer {
                filename: "six-1.16.tar.gz",
                url: "six-1.16.tar.gz",
                metadata: Some(None),
                ..Offer::default()
            },
            Offer { filename: "six-1.16.0.exe", url: "six-1.16.0.exe", ..Offer::default() },
            Offer { filename: "seven-1.tar.gz", url: "seven-1.tar.gz", ..Offer::default() },
        ];
        let listing = Listing::new(&six(), Some(&base), offers.into_iter());
        assert_eq!(Listing::from_text(&six(), listing.as_text().to_owned()), Some(listing.clone()));
        let versions: Vec<String> = listing.versions().map(ToString::to_string).collect();
        assert_eq!(versions, ["1.16.0", "1.9"]);
        let files: Vec<DistFile> = listing.files_of(&"1.16".parse().unwrap()).collect();
        assert_eq!(files.len(), 2, "1.16 and 1.16.0 are one version");
        assert_eq!(
            files[0].url.as_str(),
            "https://index.test/files/six-1.16.0-py2.py3-none-any.whl"
        );
        assert_eq!(files[0].sha256, Some(Digest::of(b"six")));
        assert_eq!(files[0].size, Some(7));
        assert_eq!(files[0].requires_python.as_ref().unwrap().to_string(), ">=2.7");
        assert_eq!(files[0].yanked.as_deref(), Some("bad day"));
        assert_eq!(files[0].metadata, MetadataFile::Present(Some(Digest::of(b"six"))));
        assert_eq!(files[1].metadata, MetadataFile::Present(None));
        assert_eq!(files[1].yanked, None);
        let old: Vec<DistFile> = listing.files_of(&"1.9".parse().unwrap()).collect();
        assert_eq!(old[0].url.as_str(), "https://index.test/a/download?f=six-1.9.tar.gz");
        assert_eq!(listing.files_of(&"2".parse().unwrap()).count(), 0);
    }

    #[test]
    fn what_is_not_whole_is_not_there() {
        let offer =
            Offer { filename: "six-1.tar.gz", url: "https://h/six-1.tar.gz", ..Offer::default() };
        let text = Listing::new(&six(), None, std::iter::once(offer)).as_text().to_owned();
        for cut in 0..text.len() {
            assert_eq!(Listing::from_text(&six(), text[..cut].to_owned()), None, "{cut}");
        }
        assert_eq!(Listing::from_text(&six(), format!("{text}x")), None);
        assert_eq!(Listing::from_text(&six(), text.replace("listing 1", "listing 2")), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(loci listing 1 [0-9]{1,20}\n)?(\\PC|\t|\n)*") {
            if let Some(listing) = Listing::from_text(&six(), text) {
                let versions: Vec<Version> = listing.versions().cloned().collect();
                for version in versions {
                    let _ = listing.files_of(&version).count();
                }
            }
        }
    }
}
