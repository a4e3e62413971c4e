//! Serves a set in the store as a package index (PEP 503, 658, 691, 700, 714), read-only, and as
//! pages for people.
//!
//! [`site::Site`] is what is served: the set as it was when the site was opened, its pages made once.
//! It answers requests as values and touches no socket; only a wheel's bytes are left where they are.
//! [`server::Server`] has the sockets, sends answers and knows when to stop. Nothing here changes the
//! store or asks any other server.

pub mod site;
pub mod server;
mod answer;
mod route;
mod accept;
mod conditions;
mod range;
mod catalog;
mod page;
mod simple;
mod people;
mod markup;
mod body;
mod connection;
pub mod error;

#[cfg(test)]
mod tests;
