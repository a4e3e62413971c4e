//! [`Site`]: a set with all its pages, and what it answers to a request.
//!
//! A site is made once and does not change: what the set's name means later is the next one's matter.
//! It counts on the set's blobs, so whoever opens it holds the store's lease.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use rayon::prelude::*;

use super::answer::{Answer, Asked, File, Keep, Source, TEXT};
use super::body::{BlobFault, open_blob};
use super::catalog::{Catalog, ServedBuild, ServedWheel};
use super::error::ServeError;
use super::page::Page;
use super::people;
use super::route::Route;
use super::simple::SimplePage;
use crate::store::Store;
use crate::store::names::Tag;
use crate::vocab::digest::Digest;
use crate::vocab::requirement::package_name;

/// So much of a log's end is shown on its page, in bytes.
const SHOWN: u64 = 1 << 20;

/// A set as it is served.
pub struct Site {
    store: Store,
    catalog: Catalog,
    front: Page,
    index: SimplePage,
    projects: HashMap<String, SimplePage>,
    files: HashMap<String, usize>,
    builds: HashMap<Digest, usize>,
    constraints: Text,
    global_requirements: Text,
}

/// A text of the set, with its digest.
struct Text {
    bytes: Bytes,
    digest: Digest,
}

/// What is found for a request.
pub(super) enum Found {
    /// The answer.
    Answer(Answer),
    /// The page of a build, whose log has to be read first: [`Site::log`].
    Log {
        /// The build key.
        key: Digest,
        /// What its log is called, for people.
        name: String,
    },
}

impl Site {
    /// Reads the set called `tag` and makes its pages, on all of rayon's threads. `url` is where the
    /// site will be, with a slash at its end.
    ///
    /// # Errors
    /// [`ServeError::Store`] when there is no such set; [`ServeError::Lacks`] and [`ServeError::Wheel`]
    /// when its wheels are not what they should be.
    pub fn open(store: &Store, tag: &Tag, url: &str) -> Result<Self, ServeError> {
        let catalog = Catalog::read(store, tag)?;
        let projects: Vec<_> = catalog.projects().collect();
        let index = SimplePage::index(projects.iter().map(|(name, _)| *name));
        let projects = projects
            .into_par_iter()
            .map(|(name, wheels)| (name.to_string(), SimplePage::project(name, wheels)))
            .collect();
        let wheels = || catalog.wheels.iter().enumerate();
        let files = wheels().map(|(at, wheel)| (wheel.filename.to_string(), at)).collect();
        let builds =
            wheels().filter_map(|(at, wheel)| Some((wheel.build.as_ref()?.key, at))).collect();
        Ok(Self {
            store: store.clone(),
            front: people::front(&catalog, url),
            index,
            projects,
            files,
            builds,
            constraints: Text::of(&catalog.constraints),
            global_requirements: Text::of(&catalog.global_requirements),
            catalog,
        })
    }

    /// The set's name.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.catalog.tag
    }

    /// The number of wheels.
    #[must_use]
    pub fn wheels(&self) -> usize {
        self.catalog.wheels.len()
    }

    /// The store the wheels are in.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What is found for a request.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Found {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return Found::Answer(Answer::not_allowed(asked));
        }
        Found::Answer(match Route::of(asked.path) {
            Route::Front => Answer::page(asked, &self.front, "accept-encoding"),
            Route::Index => self.simple(asked, &self.index),
            Route::BareIndex => Answer::redirect("simple/"),
            Route::Project { name, slash } => self.project(asked, &name, slash),
            Route::Wheel { digest, filename } => match self.wheel(&digest, &filename) {
                Some(wheel) => Answer::file(asked, wheel_file(wheel)),
                None => not_found(asked, "there is no such wheel"),
            },
            Route::Metadata { digest, filename } => match self.wheel(&digest, &filename) {
                Some(wheel) => Answer::file(asked, metadata_file(wheel)),
                None => not_found(asked, "there is no such wheel"),
            },
            Route::Log(key) => match self.build(&key) {
                Some(build) => return Found::Log { key, name: log_name(build) },
                None => not_found(asked, "there is no log of such a build"),
            },
            Route::LogText(key) => match self.build(&key) {
                Some(build) => Answer::file(asked, log_file(build)),
                None => not_found(asked, "there is no log of such a build"),
            },
            Route::Constraints => Answer::file(asked, self.constraints.file()),
            Route::GlobalRequirements => Answer::file(asked, self.global_requirements.file()),
            Route::Unknown => not_found(asked, "there is nothing here"),
        })
    }

    fn simple(&self, asked: &Asked<'_>, page: &SimplePage) -> Answer {
        match asked.form() {
            Some(form) => Answer::page(asked, page.form(form), "accept, accept-encoding"),
            None => Answer::error(
                asked,
                StatusCode::NOT_ACCEPTABLE,
                "a page of the index is `application/vnd.pypi.simple.v1+json`, \
                 `application/vnd.pypi.simple.v1+html` or `text/html`",
            ),
        }
    }

    /// A project's page. Names are normalised by redirection (PEP 503).
    fn project(&self, asked: &Asked<'_>, written: &str, slash: bool) -> Answer {
        let name = package_name(written);
        let found = name.as_ref().and_then(|name| {
            let page = self.projects.get(name.as_ref())?;
            Some((name, page))
        });
        match found {
            None => not_found(asked, &format!("the set has no wheel of `{written}`")),
            Some((name, page)) if slash && name.as_ref() == written => self.simple(asked, page),
            Some((name, _)) if slash => Answer::redirect(&format!("../{name}/")),
            Some((name, _)) => Answer::redirect(&format!("{name}/")),
        }
    }

    fn wheel(&self, digest: &Digest, filename: &str) -> Option<&ServedWheel> {
        let wheel = &self.catalog.wheels[*self.files.get(filename)?];
        (wheel.digest == *digest).then_some(wheel)
    }

    fn build(&self, key: &Digest) -> Option<&ServedBuild> {
        self.catalog.wheels[*self.builds.get(key)?].build.as_ref()
    }

    /// The page of the build with this key. Reads its log, and so may block.
    pub(super) fn log(&self, key: &Digest) -> Result<Page, BlobFault> {
        let build = self.build(key).ok_or(BlobFault::Missing)?;
        let shown = build.log_size.min(SHOWN);
        let file = open_blob(&self.store.path(&build.record.log), build.log_size)?;
        let mut text = vec![0; usize::try_from(shown).expect("what is shown is small")];
        file.read_exact_at(&mut text, build.log_size - shown).map_err(BlobFault::Read)?;
        Ok(people::log(build, &text))
    }
}

impl Text {
    fn of(text: &str) -> Self {
        Self { bytes: Bytes::copy_from_slice(text.as_bytes()), digest: Digest::of(text.as_bytes()) }
    }

    fn file(&self) -> File<'_> {
        File {
            content_type: TEXT,
            digest: self.digest,
            source: Source::Memory(&self.bytes),
            keep: Keep::Asking,
        }
    }
}

fn wheel_file(wheel: &ServedWheel) -> File<'_> {
    File {
        content_type: "application/octet-stream",
        digest: wheel.digest,
        source: Source::Blob { size: wheel.size, name: format!("`{}`", wheel.filename) },
        keep: Keep::Always,
    }
}

fn metadata_file(wheel: &ServedWheel) -> File<'_> {
    File {
        content_type: TEXT,
        digest: wheel.metadata_digest,
        source: Source::Memory(&wheel.metadata),
        keep: Keep::Always,
    }
}

fn log_file(build: &ServedBuild) -> File<'_> {
    File {
        content_type: TEXT,
        digest: build.record.log,
        source: Source::Blob { size: build.log_size, name: log_name(build) },
        keep: Keep::Asking,
    }
}

fn log_name(build: &ServedBuild) -> String {
    format!("the log of `{}`", build.record.wheel)
}

fn not_found(asked: &Asked<'_>, message: &str) -> Answer {
    Answer::error(asked, StatusCode::NOT_FOUND, message)
}
