//! [`ServeError`]: why a set is not served.

use std::io;

use crate::store::error::StoreError;
use crate::wheel::error::WheelError;

/// Why a set is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be read, or has no such set.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A wheel of the set cannot be used.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// Wheels of the set are not in the store, or not of their size.
    #[error("`store:{tag}` lacks {}", lacking(wheels))]
    Lacks {
        /// The set's name.
        tag: String,
        /// The file names of the wheels, sorted.
        wheels: Vec<String>,
    },
    /// A text does not say where to listen.
    #[error("`{text}` is not an address with a port, such as `127.0.0.1:8080`")]
    NoAddress {
        /// The text.
        text: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The first few by name, the others by number.
fn lacking(wheels: &[String]) -> String {
    const NAMED: usize = 3;
    let named = wheels.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>();
    match wheels.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more wheels", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named_up_to_a_point() {
        for (count, said) in [
            (1, "`store:latest` lacks `0`"),
            (5, "`store:latest` lacks `0`, `1`, `2` and 2 more wheels"),
        ] {
            let wheels = (0..count).map(|n| n.to_string()).collect();
            assert_eq!(ServeError::Lacks { tag: "latest".into(), wheels }.to_string(), said);
        }
    }
}
