//! HTTP, for indexes and registries alike: connections, trust, proxies, logins and retries.
//!
//! [`client::Client`] sends requests. What is asked for, and what an answer means, is for the rooms
//! above to know.

pub mod client;
pub mod retry;
mod transport;
mod credentials;
pub mod range;
pub mod error;
