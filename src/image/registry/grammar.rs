//! What may stand in the parts of an [`ImageName`](super::name::ImageName), by the grammar of
//! distribution's `reference` package; which part is which is not asked here.

use std::net::Ipv6Addr;

use url::Url;

use crate::vocab::digest::Digest;

use super::name_error::NameFault;

/// The longest name of a repository, in bytes.
pub(super) const REPOSITORY_LIMIT: usize = 255;

/// Whether the first of several parts is a host and no namespace on Docker Hub.
pub(super) fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

/// Reads what stands behind an `@`.
pub(super) fn parse_digest(text: &str) -> Result<Digest, NameFault> {
    match text.split_once(':') {
        Some(("sha256", _)) => text.parse().map_err(|_| NameFault::Digest { text: text.into() }),
        Some((algorithm, _)) if algorithm.starts_with("sha") && !text.contains(['/', '@']) => {
            Err(NameFault::Algorithm { algorithm: algorithm.into() })
        }
        _ => Err(NameFault::Login),
    }
}

/// A host with or without a port, so that `https://HOST/` is a URL.
pub(super) fn check_host(host: &str) -> Result<(), NameFault> {
    let refuse = || NameFault::Host { host: host.into() };
    let (is_name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(refuse)?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => None,
                None => return Err(refuse()),
                port => port,
            };
            (address.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (name, port) = match host.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, None),
            };
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            (name.split('.').all(is_label), port)
        }
    };
    if !is_name {
        return Err(refuse());
    }
    if let Some(port) = port {
        let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if !is_port {
            return Err(NameFault::Port { host: host.into() });
        }
    }
    // Not every name of letters and digits is one to a URL: `1.2.3.4.5` is no address.
    Url::parse(&format!("https://{host}/")).map(drop).map_err(|_| refuse())
}

/// The repository as it was written.
pub(super) fn check_path(path: &str) -> Result<(), NameFault> {
    if path.is_empty() || path.ends_with('/') {
        return Err(NameFault::NoPart { place: "follows its last slash" });
    }
    if path.starts_with('/') || path.contains("//") {
        return Err(NameFault::NoPart { place: "stands between two of its slashes" });
    }
    for part in path.split('/') {
        if part.contains(|c: char| c.is_ascii_uppercase()) {
            return Err(NameFault::UpperCase { part: part.into(), lower: part.to_lowercase() });
        }
        if !is_part(part) {
            return Err(NameFault::Part { part: part.into() });
        }
    }
    Ok(())
}

/// Whether lower-case letters and digits stand at both ends, with a separator between any two runs.
fn is_part(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_plain)
        && part.ends_with(is_plain)
        && part.split(is_plain).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}
