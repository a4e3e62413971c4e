//! [`Reference`]: where a set is or goes, as skopeo and podman write it (containers-transports(5)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::store::names::{Tag, TagError};
use crate::vocab::redact::{publishable, redact};

use super::source::Location;

/// Where a set is or goes. Displays as it is written, but for a URL's user, password and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `dir:DIR`: a directory of wheels.
    Directory(PathBuf),
    /// `tar:FILE`: a tar of wheels.
    Tar(PathBuf),
    /// `oci:DIR[:TAG]`: an image in an OCI image layout.
    Oci {
        /// The layout.
        dir: PathBuf,
        /// The image's name in it.
        tag: Option<Tag>,
    },
    /// `store:[TAG]`: a set in the store.
    Store {
        /// The set's name.
        tag: Tag,
    },
    /// `http://...` or `https://...`: a tar of wheels, to be fetched first.
    Url(Url),
}

impl Reference {
    /// Where to read it on this machine; none for a URL.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        match self.clone() {
            Self::Directory(dir) => Some(Location::Directory(dir)),
            Self::Tar(file) => Some(Location::Tar(file)),
            Self::Oci { dir, tag } => Some(Location::OciLayout { dir, tag }),
            Self::Store { tag } => Some(Location::Store { tag }),
            Self::Url(_) => None,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((transport, rest)) = text.split_once(':') else {
            return Err(ReferenceError::NoTransport { text: text.into(), hint: hint(text) });
        };
        let path = |rest: &str| {
            if rest.is_empty() {
                return Err(ReferenceError::Empty { transport: transport.into() });
            }
            Ok(PathBuf::from(rest))
        };
        match transport {
            "dir" => Ok(Self::Directory(path(rest)?)),
            "tar" => Ok(Self::Tar(path(rest)?)),
            "oci" => {
                // As skopeo does: the directory ends at the first colon.
                let (dir, tag) = match rest.split_once(':') {
                    Some((dir, tag)) => (dir, Some(tag.parse()?)),
                    None => (rest, None),
                };
                Ok(Self::Oci { dir: path(dir)?, tag })
            }
            "store" if rest.is_empty() => Ok(Self::Store { tag: Tag::default() }),
            "store" => Ok(Self::Store { tag: rest.parse()? }),
            "http" | "https" => match Url::parse(text) {
                Ok(url) if url.has_host() => Ok(Self::Url(url)),
                _ => Err(ReferenceError::Url { text: text.into() }),
            },
            "docker" | "oci-archive" | "docker-archive" | "docker-daemon"
            | "containers-storage" => {
                Err(ReferenceError::NotSupported { transport: transport.into() })
            }
            _ => Err(ReferenceError::NoTransport { text: text.into(), hint: hint(text) }),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Tar(path) => write!(f, "tar:{}", path.display()),
            Self::Oci { dir, tag: None } => write!(f, "oci:{}", dir.display()),
            Self::Oci { dir, tag: Some(tag) } => write!(f, "oci:{}:{tag}", dir.display()),
            Self::Store { tag } => write!(f, "store:{tag}"),
            Self::Url(url) => f.write_str(publishable(url).as_str()),
        }
    }
}

/// A text that says no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not say what kind of place it is.
    #[error("`{}` does not say what it is: {}", redact(text), redact(hint))]
    NoTransport {
        /// The text.
        text: String,
        /// What it might mean.
        hint: String,
    },
    /// It says a kind of place and then nothing.
    #[error("`{transport}:` needs a path after the colon")]
    Empty {
        /// The kind.
        transport: String,
    },
    /// It says a kind of place that loci does not know yet.
    #[error("`{transport}:` is not supported yet; `dir:`, `tar:`, `oci:` and `store:` are")]
    NotSupported {
        /// The kind.
        transport: String,
    },
    /// The name in the layout or store is none.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It begins as a URL and is none.
    #[error("`{}` is not a URL", redact(text))]
    Url {
        /// The text.
        text: String,
    },
}

/// What a text without a transport might mean.
fn hint(text: &str) -> String {
    let is_tar = [".tar", ".tar.gz", ".tgz"].iter().any(|end| text.ends_with(end));
    if is_tar {
        format!("write `tar:{text}` for a tar file")
    } else if text.starts_with(['/', '.', '~']) || text.is_empty() || !text.contains(['/', ':']) {
        let text = if text.is_empty() { "DIR" } else { text };
        format!("write `dir:{text}` for a directory of wheels or `oci:{text}` for an image layout")
    } else {
        format!("write `dir:{text}` for a directory; images in registries are not supported yet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip() {
        for text in [
            "dir:wheels",
            "dir:/a:b",
            "tar:out/wheels.tar",
            "oci:image",
            "oci:image:2025.1",
            "oci:image:loci/requirements:master",
            "store:master",
            "https://host/wheels.tar",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let url: Reference = "https://user:secret@host/wheels.tar".parse().unwrap();
        assert_eq!(url.to_string(), "https://host/wheels.tar");
        assert_eq!("store:".parse(), Ok(Reference::Store { tag: Tag::default() }));
    }

    #[test]
    fn what_is_no_reference_is_explained() {
        #[track_caller]
        fn case(text: &str, error: &str) {
            assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), error);
        }
        case(
            "./wheels",
            "`./wheels` does not say what it is: write `dir:./wheels` for a directory of wheels or \
             `oci:./wheels` for an image layout",
        );
        case(
            "wheels.tar",
            "`wheels.tar` does not say what it is: write `tar:wheels.tar` for a tar file",
        );
        case(
            "registry:5000/loci/requirements",
            "`registry:5000/loci/requirements` does not say what it is: write \
             `dir:registry:5000/loci/requirements` for a directory; images in registries are not \
             supported yet",
        );
        case(
            "docker://loci/requirements",
            "`docker:` is not supported yet; `dir:`, `tar:`, `oci:` and `store:` are",
        );
        case("oci:", "`oci:` needs a path after the colon");
        case("oci::x", "`oci:` needs a path after the colon");
        case("oci:dir:", "`` is not a tag: letters, digits and `-._:@/+` are allowed");
        case("https://", "`https://` is not a URL");
        case("https://u:secret@h:abc/?t=secret", "`https://****@h:abc/?****` is not a URL");
    }
}
