//! [`Indexes`]: all places that files come from, asked once a run for each project.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;
use reqwest::StatusCode;
use tokio::sync::OnceCell;
use url::Url;

use super::error::IndexError;
use super::find_links::{FindLinks, Links};
use super::format_control::FormatControl;
use super::html;
use super::json;
use super::listing::Listing;
use super::no_fit::NoFit;
use super::page::ProjectPage;
use super::page_cache::{CachedPage, PageCache, now};
use super::select::{Choice, Wanted, select};
use crate::http::client::{Client, Text, Validators};
use crate::http::error::{HttpError, Shown};
use crate::store::Store;
use crate::vocab::requirement::PackageName;
use crate::vocab::target::Target;

/// The index that is asked when nobody names one.
const DEFAULT_INDEX: &str = "https://pypi.org/simple/";

/// JSON is wanted most: it is smaller to read and tells sizes (PEP 691, "Version + Format Selection").
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                      application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// Where files come from, and what may be believed without asking.
#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// The index (PEP 503): project pages are below it.
    pub index_url: Url,
    /// Further indexes, which are asked just as well.
    pub extra_index_urls: Vec<Url>,
    /// Directories and pages with files of any project.
    pub find_links: Vec<FindLinks>,
    /// Asks no index: only find-links.
    pub no_index: bool,
    /// Asks anew for every page, however fresh the cached one is.
    pub refresh: bool,
    /// Uses no network: pages come from the cache, however old, and files from the store.
    pub offline: bool,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            index_url: Url::parse(DEFAULT_INDEX).expect("the constant is a URL"),
            extra_index_urls: Vec::new(),
            find_links: Vec::new(),
            no_index: false,
            refresh: false,
            offline: false,
        }
    }
}

/// All places that files come from. Share it: each page is read once, also when asked for by many.
#[derive(Debug)]
pub struct Indexes {
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) offline: bool,
    refresh: bool,
    indexes: Vec<Url>,
    find_links: Vec<(FindLinks, OnceCell<Links>)>,
    cache: PageCache,
    /// Pages read after this moment were read in this run.
    started: u64,
    pages: Mutex<HashMap<PackageName, Arc<OnceCell<Arc<ProjectPage>>>>>,
}

impl Indexes {
    /// Takes the places; nothing is asked yet. Pages are cached in the store's `loci/http`, and files
    /// go into the store.
    #[must_use]
    pub fn new(client: Client, settings: IndexSettings, store: Store) -> Self {
        let urls = std::iter::once(settings.index_url).chain(settings.extra_index_urls);
        let mut indexes: Vec<Url> = Vec::new();
        for url in urls.take_while(|_| !settings.no_index) {
            let mut url = client.strip(&url);
            // Pages are below the address, whether or not it was written with a slash at its end.
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            if !indexes.contains(&url) {
                indexes.push(url);
            }
        }
        Self {
            cache: PageCache::new(store.http_dir().join("pages"), store.tmp_dir()),
            started: now(),
            client,
            store,
            offline: settings.offline,
            refresh: settings.refresh,
            indexes,
            find_links: settings.find_links.into_iter().map(|l| (l, OnceCell::new())).collect(),
            pages: Mutex::default(),
        }
    }

    /// Whether nothing may be asked of anybody else.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        self.offline
    }

    /// All that is offered of a project; nothing at all is an empty page.
    ///
    /// # Errors
    /// [`IndexError`] when one index gives no answer, or one that is no page: what it might offer is
    /// not known then, so the others' offers don't stand in for it.
    pub async fn page(&self, name: &PackageName) -> Result<Arc<ProjectPage>, IndexError> {
        let cell = {
            let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pages.entry(name.clone()).or_default())
        };
        cell.get_or_try_init(|| self.read(name, self.refresh)).await.cloned()
    }

    /// The best file of a release. When the cached page has none, the indexes are asked once more
    /// before that is believed: it may have been published since.
    ///
    /// The page is not held in memory any longer: who chooses a file seldom comes back, and a thousand
    /// pages are a hundred megabytes.
    ///
    /// # Errors
    /// [`IndexError`] when there is no page, the inner [`NoFit`] when it has no file that fits.
    pub async fn choose(
        &self,
        name: &PackageName,
        wanted: &Wanted<'_>,
        target: &Target,
        formats: &FormatControl,
    ) -> Result<Result<Choice, NoFit>, IndexError> {
        let page = self.page(name).await?;
        let choice = select(&page, wanted, target, formats);
        let choice = if choice.is_err() && page.is_cached() && !self.offline {
            select(&*self.read(name, true).await?, wanted, target, formats)
        } else {
            choice
        };
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(choice)
    }

    async fn read(
        &self,
        name: &PackageName,
        refresh: bool,
    ) -> Result<Arc<ProjectPage>, IndexError> {
        let mut sources = Vec::with_capacity(self.find_links.len() + self.indexes.len());
        for (find_links, links) in &self.find_links {
            let links = links.get_or_try_init(|| find_links.load(&self.client)).await?;
            sources.push(Arc::new(links.listing(name)));
        }
        let mut cached = false;
        let pages = self.indexes.iter().map(|index| self.listing(index, name, refresh));
        for (listing, from_cache) in try_join_all(pages).await? {
            cached |= from_cache;
            sources.push(Arc::new(listing));
        }
        Ok(Arc::new(ProjectPage::new(name.clone(), sources, cached)))
    }

    /// What one index offers, and whether it was believed without asking.
    async fn listing(
        &self,
        index: &Url,
        name: &PackageName,
        refresh: bool,
    ) -> Result<(Listing, bool), IndexError> {
        let url = index
            .join(&format!("{name}/"))
            .map_err(|_| HttpError::Scheme { url: Shown::new(index) })?;
        let is_local = url.scheme() == "file";
        let cached = if is_local { None } else { self.cache.get(&url, name) };
        match cached {
            Some(page) if page.is_newer_than(self.started) => return Ok((page.listing, false)),
            Some(page) if self.offline || (page.is_fresh() && !refresh) => {
                return Ok((page.listing, true));
            }
            None if self.offline && !is_local => {
                return Err(IndexError::Offline { url: Shown::new(&url) });
            }
            _ => {}
        }
        let validators = cached.as_ref().map(CachedPage::validators).unwrap_or_default();
        let text = self.client.text_if(&url, ACCEPT, &validators).await?;
        let (listing, validators) = match (text.status, cached) {
            (StatusCode::NOT_MODIFIED, Some(page)) => (page.listing, validators),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                (Listing::empty(name), Validators::default())
            }
            (status, _) if status.is_success() => {
                (parse(name, &url, &text)?, text.validators.clone())
            }
            (status, _) => return Err(HttpError::Status { url: Shown::new(&url), status }.into()),
        };
        if !is_local {
            self.cache.put(&url, &listing, &validators, text.max_age);
        }
        Ok((listing, false))
    }
}

/// Reads a page by what its server says it is, or, when that says nothing, by its first character.
fn parse(name: &PackageName, url: &Url, text: &Text) -> Result<Listing, IndexError> {
    let is_json = match text.content_type.as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => true,
        "application/vnd.pypi.simple.v1+html" | "text/html" | "application/xhtml+xml" => false,
        "" | "text/plain" | "application/octet-stream" => {
            match text.text.trim_start().chars().next() {
                Some('{') => true,
                Some('<') => false,
                _ => return Err(not_a_page(url, text)),
            }
        }
        _ => return Err(not_a_page(url, text)),
    };
    if is_json {
        json::listing(name, &text.url, &text.text)
            .map_err(|fault| IndexError::Page { url: Shown::new(url), source: fault.into() })
    } else {
        Ok(html::listing(name, &text.url, &text.text))
    }
}

fn not_a_page(url: &Url, text: &Text) -> IndexError {
    let content_type = match text.content_type.as_str() {
        "" => "unknown".to_owned(),
        content_type => content_type.to_owned(),
    };
    IndexError::NotAPage { url: Shown::new(url), content_type }
}
