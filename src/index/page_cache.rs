//! [`PageCache`]: listings on disk, with what it takes to ask whether they still hold.
//!
//! It is only a cache: a file that is not there, not whole or of another format is a miss, and a
//! write that fails is no failure of the run.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use url::Url;

use super::listing::Listing;
use crate::http::client::Validators;
use crate::store::file::replace;
use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::PackageName;

/// How long a page is believed when its server does not say: what the largest index says of its own.
const DEFAULT_FRESH: u64 = 600;

/// Listings by the address of their page.
#[derive(Debug)]
pub(super) struct PageCache {
    dir: PathBuf,
    tmp: PathBuf,
}

/// A listing from an earlier run, or from this one.
#[derive(Debug)]
pub(super) struct CachedPage {
    pub(super) listing: Listing,
    stamp: Stamp,
}

/// The first line of a cached page, in JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stamp {
    /// When it was read or found unchanged, in nanoseconds since 1970.
    read: u64,
    /// For how many seconds it is believed from then on.
    fresh: u64,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl CachedPage {
    pub(super) fn is_fresh(&self) -> bool {
        // A page from the future tells that a clock was wrong: it is not believed.
        let age = now().checked_sub(self.stamp.read).map(Duration::from_nanos);
        age.is_some_and(|age| age < Duration::from_secs(self.stamp.fresh))
    }

    /// Whether it was read after `moment`, as [`now`] told it.
    pub(super) const fn is_newer_than(&self, moment: u64) -> bool {
        self.stamp.read > moment
    }

    pub(super) fn validators(&self) -> Validators {
        Validators {
            etag: self.stamp.etag.clone(),
            last_modified: self.stamp.last_modified.clone(),
        }
    }
}

impl PageCache {
    /// A cache in `dir`, which is made when it is first written to; `tmp` is for temporary files.
    pub(super) const fn new(dir: PathBuf, tmp: PathBuf) -> Self {
        Self { dir, tmp }
    }

    pub(super) fn get(&self, url: &Url, name: &PackageName) -> Option<CachedPage> {
        let mut text = fs_err::read_to_string(self.path(url)).ok()?;
        let end = text.find('\n')?;
        let stamp = serde_json::from_str(&text[..end]).ok()?;
        text.drain(..=end);
        Some(CachedPage { listing: Listing::from_text(name, text)?, stamp })
    }

    pub(super) fn put(
        &self,
        url: &Url,
        listing: &Listing,
        validators: &Validators,
        max_age: Option<u64>,
    ) {
        let stamp = Stamp {
            read: now(),
            fresh: max_age.unwrap_or(DEFAULT_FRESH),
            etag: validators.etag.clone(),
            last_modified: validators.last_modified.clone(),
        };
        let path = self.path(url);
        if let Err(error) = replace(&self.tmp, &path, &bytes(&stamp, listing)) {
            tracing::debug!(%error, path = %path.display(), "an index page is not cached");
        }
    }

    fn path(&self, url: &Url) -> PathBuf {
        self.dir.join(Digest::of(url.as_str().as_bytes()).hex())
    }
}

fn bytes(stamp: &Stamp, listing: &Listing) -> Vec<u8> {
    let mut bytes = canonical_json(stamp);
    bytes.push(b'\n');
    bytes.extend_from_slice(listing.as_text().as_bytes());
    bytes
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
