//! Which versions go together, and the lock that writes them down.
//!
//! Pure: what packages there are is asked of a trait, and nothing here opens a file or a socket. Read
//! the problem first, then how the solver sees it, then what is said when there is no solution.

pub mod problem;
pub mod resolution;
mod ranges;
mod provider;
pub mod conflict;
pub mod lock;
pub mod pylock;
