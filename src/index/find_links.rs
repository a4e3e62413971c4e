//! [`FindLinks`]: a directory or a page that names files of any project (pip's `--find-links`).
//!
//! What is there is read once a run and never cached beyond it: a file that was made anew under its
//! old name must be noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

use super::error::IndexError;
use super::html::{self, Anchor};
use super::listing::{Listing, Offer};
use crate::http::client::Client;
use crate::http::error::{HttpError, Shown};
use crate::vocab::redact::redact;
use crate::vocab::requirement::{PackageName, package_name};
use crate::vocab::sdist_filename::SdistFormat;
use crate::vocab::wheel_filename::WheelFilename;

/// Where files of any project are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindLinks {
    /// The files of a directory, not of those below it.
    Directory(PathBuf),
    /// The anchors of an HTML page.
    Page(Url),
}

impl FindLinks {
    /// Reads what pip takes: a directory, an HTML file, or the URL of either (`file:` for the former).
    /// Relative paths are below `current`.
    ///
    /// # Errors
    /// [`HttpError::Local`] when a path leads nowhere, [`IndexError::Address`] when a URL is none.
    pub fn parse(text: &str, current: &Path) -> Result<Self, IndexError> {
        let path = match Url::parse(text) {
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| HttpError::Scheme { url: Shown::new(&url) })?
            }
            Ok(url) => return Ok(Self::Page(url)),
            Err(source) if text.contains("://") => {
                return Err(IndexError::Address { text: redact(text).into_owned(), source });
            }
            Err(_) => current.join(text),
        };
        let fail = |source| HttpError::Local { path: path.clone(), source };
        let whole = fs_err::canonicalize(&path).map_err(fail)?;
        if whole.is_dir() {
            return Ok(Self::Directory(whole));
        }
        let missing = || fail(std::io::ErrorKind::InvalidInput.into());
        Ok(Self::Page(Url::from_file_path(&whole).map_err(|()| missing())?))
    }

    /// Reads what is there.
    pub(super) async fn load(&self, client: &Client) -> Result<Links, IndexError> {
        match self {
            Self::Directory(dir) => Links::of_directory(dir),
            Self::Page(url) => {
                let text = client.text(&client.strip(url)).await?;
                let (base, anchors) = html::links(&text.url, &text.text);
                Ok(Links::of_anchors(base, anchors))
            }
        }
    }
}

/// The files that were found, by the projects they may belong to.
#[derive(Debug)]
pub(super) struct Links {
    base: Option<Url>,
    files: Vec<Found>,
    by_name: BTreeMap<PackageName, Vec<usize>>,
}

#[derive(Debug)]
enum Found {
    File { filename: String, url: Url, size: u64 },
    Anchor(Anchor),
}

impl Links {
    fn of_directory(dir: &Path) -> Result<Self, IndexError> {
        let fail = |source| HttpError::Local { path: dir.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs_err::read_dir(dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let (Some(filename), Ok(url)) =
                (path.file_name().and_then(|name| name.to_str()), Url::from_file_path(&path))
            else {
                continue;
            };
            // A link into nowhere is passed over, like everything that is no file.
            if let Ok(metadata) = fs_err::metadata(&path)
                && metadata.is_file()
            {
                let filename = filename.to_owned();
                files.push(Found::File { filename, url, size: metadata.len() });
            }
        }
        files.sort_by(|a, b| a.filename().cmp(b.filename()));
        Ok(Self::new(None, files))
    }

    fn of_anchors(base: Url, anchors: Vec<Anchor>) -> Self {
        Self::new(Some(base), anchors.into_iter().map(Found::Anchor).collect())
    }

    fn new(base: Option<Url>, files: Vec<Found>) -> Self {
        let mut by_name: BTreeMap<PackageName, Vec<usize>> = BTreeMap::new();
        for (at, file) in files.iter().enumerate() {
            for name in names(file.filename()) {
                by_name.entry(name).or_default().push(at);
            }
        }
        Self { base, files, by_name }
    }

    /// The files of one project.
    pub(super) fn listing(&self, name: &PackageName) -> Listing {
        let found = self.by_name.get(name).into_iter().flatten();
        Listing::new(name, self.base.as_ref(), found.map(|at| self.files[*at].offer()))
    }
}

impl Found {
    fn filename(&self) -> &str {
        match self {
            Self::File { filename, .. } => filename,
            Self::Anchor(anchor) => anchor.filename(),
        }
    }

    fn offer(&self) -> Offer<'_> {
        match self {
            Self::File { filename, url, size } => {
                Offer { filename, url: url.as_str(), size: Some(*size), ..Offer::default() }
            }
            Self::Anchor(anchor) => anchor.offer(),
        }
    }
}

/// The projects a file may belong to: of a source archive, every hyphen may end the name.
fn names(filename: &str) -> Vec<PackageName> {
    if let Ok(wheel) = filename.parse::<WheelFilename>() {
        return vec![wheel.name().clone()];
    }
    let Some((_, stem)) = SdistFormat::of(filename) else { return Vec::new() };
    let mut names: Vec<PackageName> =
        stem.match_indices('-').filter_map(|(at, _)| package_name(&stem[..at])).collect();
    names.dedup();
    names
}
