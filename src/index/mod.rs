//! Package indexes: what files there are of a project, which one fits, and how to get it.
//!
//! [`indexes::Indexes`] is what others use. It reads pages (PEP 503 in HTML, PEP 691 in JSON) and
//! find-links, caches them in the store, joins them as pip does, reads metadata without fetching
//! wheels, and fetches files into the store. [`select`] is pure: it judges a page for a target.
//! Nothing here decides on versions: that is `resolve`.

pub mod indexes;
pub mod page;
pub mod select;
pub mod format_control;
pub mod no_fit;
mod fetch;
mod metadata;
mod zip_tail;
pub mod find_links;
mod html;
mod json;
mod listing;
mod page_cache;
pub mod error;

pub use fetch::Fetched;

#[cfg(test)]
mod tests;
