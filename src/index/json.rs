//! Index pages in JSON (PEP 691, 700, 714).

use std::borrow::Cow;

use serde::Deserialize;
use url::Url;

use super::listing::{Listing, Offer};
use crate::vocab::requirement::PackageName;

/// Why a JSON page cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonPageError {
    #[error("the page does not have the form of PEP 691")]
    Form(#[source] serde_json::Error),
    #[error("the page has version `{version}` of the API, and only 1 is known")]
    Version { version: String },
}

/// Reads the page of `name` that was found at `at`.
///
/// A major version other than 1 is refused, as PEP 629 asks of clients.
pub(super) fn listing(name: &PackageName, at: &Url, text: &str) -> Result<Listing, JsonPageError> {
    let page: Page<'_> = serde_json::from_str(text).map_err(JsonPageError::Form)?;
    if let Some(version) = page.meta.and_then(|meta| meta.api_version)
        && version.split('.').next() != Some("1")
    {
        return Err(JsonPageError::Version { version: version.into_owned() });
    }
    Ok(Listing::new(name, Some(at), page.files.iter().map(File::offer)))
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
    #[serde(borrow)]
    files: Vec<File<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    hashes: Hashes<'a>,
    size: Option<u64>,
    #[serde(borrow)]
    requires_python: Option<Cow<'a, str>>,
    #[serde(borrow)]
    yanked: Option<Yanked<'a>>,
    #[serde(borrow)]
    core_metadata: Option<Metadata<'a>>,
    // The name before PEP 714; it counts where the new one is absent.
    #[serde(borrow)]
    dist_info_metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize, Default)]
struct Hashes<'a> {
    #[serde(borrow)]
    sha256: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked<'a> {
    Flag(bool),
    #[serde(borrow)]
    Reason(Cow<'a, str>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Metadata<'a> {
    Flag(bool),
    #[serde(borrow)]
    Hashes(Hashes<'a>),
}

impl File<'_> {
    fn offer(&self) -> Offer<'_> {
        Offer {
            filename: &self.filename,
            url: &self.url,
            sha256: self.hashes.sha256.as_deref(),
            size: self.size,
            requires_python: self.requires_python.as_deref(),
            yanked: match &self.yanked {
                None | Some(Yanked::Flag(false)) => None,
                Some(Yanked::Flag(true)) => Some(""),
                Some(Yanked::Reason(reason)) => Some(reason),
            },
            metadata: match self.core_metadata.as_ref().or(self.dist_info_metadata.as_ref()) {
                None | Some(Metadata::Flag(false)) => None,
                Some(Metadata::Flag(true)) => Some(None),
                Some(Metadata::Hashes(hashes)) => Some(hashes.sha256.as_deref()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::digest::Digest;
    use crate::vocab::dist_file::{DistFile, MetadataFile};

    fn read(text: &str) -> Result<Vec<DistFile>, JsonPageError> {
        let name = PackageName::new("six".into()).unwrap();
        let at = Url::parse("https://index.test/simple/six/").unwrap();
        let listing = listing(&name, &at, text)?;
        let versions: Vec<_> = listing.versions().cloned().collect();
        Ok(versions.iter().flat_map(|v| listing.files_of(v).collect::<Vec<_>>()).collect())
    }

    #[test]
    fn reads_every_form_of_a_field() {
        let hex = Digest::of(b"x").hex();
        let files = read(&format!(
            r#"{{"meta": {{"api-version": "1.3", "_last-serial": 1}}, "name": "six", "versions": [],
            "files": [
            {{"filename": "six-4.tar.gz", "url": "../../f/six-4.tar.gz", "size": 4, "extra": [1],
              "hashes": {{"sha256": "{hex}", "md5": "x"}}, "requires-python": ">=3",
              "yanked": "a \"reason\"", "core-metadata": {{"sha256": "{hex}"}}}},
            {{"filename": "six-3.tar.gz", "url": "https://c.test/3", "hashes": {{}}, "yanked": true,
              "requires-python": null, "dist-info-metadata": true}},
            {{"filename": "six-2.tar.gz", "url": "https://c.test/2", "hashes": {{}}, "yanked": false,
              "core-metadata": false, "dist-info-metadata": true}},
            {{"filename": "six-1.exe", "url": "https://c.test/1", "hashes": {{}}}}]}}"#
        ))
        .unwrap();
        assert_eq!(files.len(), 3);
        assert_eq!(files[0].url.as_str(), "https://index.test/f/six-4.tar.gz");
        assert_eq!((files[0].size, files[0].sha256), (Some(4), Some(Digest::of(b"x"))));
        assert_eq!(files[0].yanked.as_deref(), Some("a \"reason\""));
        assert_eq!(files[0].metadata, MetadataFile::Present(Some(Digest::of(b"x"))));
        assert_eq!(
            (files[1].yanked.as_deref(), files[1].metadata),
            (Some(""), MetadataFile::Present(None))
        );
        assert_eq!((files[2].yanked.as_deref(), files[2].metadata), (None, MetadataFile::Absent));
    }

    #[test]
    fn refuses_what_is_no_page() {
        for text in ["", "{}", "[]", r#"{"message": "not found"}"#] {
            assert!(matches!(read(text), Err(JsonPageError::Form(_))), "{text}");
        }
        let error = read(r#"{"meta": {"api-version": "2.0"}, "files": []}"#).unwrap_err();
        assert_eq!(error.to_string(), "the page has version `2.0` of the API, and only 1 is known");
    }
}
