//! [`Reference`]: where a set is or goes, as skopeo and podman write it (containers-transports(5)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::store::names::{Tag, TagError};
use crate::vocab::redact::{publishable, redact};

use super::registry::name::ImageName;
use super::registry::name_error::ImageNameError;

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
    /// `docker://NAME`, `[HOST/]NAMESPACE/NAME[:TAG]` as LOCI has it, or `NAME:TAG`: an image in a registry.
    Registry(ImageName),
    /// `oci-archive:FILE[:TAG]`: an image in a tar of an OCI image layout.
    OciArchive {
        /// The tar.
        file: PathBuf,
        /// The image's name in it.
        tag: Option<Tag>,
    },
    /// `docker-archive:FILE[:NAME]`: an image in a tar as `docker save` writes it.
    DockerArchive {
        /// The tar.
        file: PathBuf,
        /// What a Docker Engine is to call the image.
        name: Option<ImageName>,
    },
    /// `store:[TAG]`: a set in the store.
    Store {
        /// The set's name.
        tag: Tag,
    },
    /// `http://...` or `https://...`: a tar of wheels.
    Url(Url),
}

/// What the kinds of places are called, those that are refused as well.
const TRANSPORTS: [&str; 11] = [
    "dir",
    "tar",
    "oci",
    "store",
    "http",
    "https",
    "docker",
    "oci-archive",
    "docker-archive",
    "docker-daemon",
    "containers-storage",
];

impl Reference {
    /// Whether it is not on this machine.
    #[must_use]
    pub const fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Url(_))
    }

    /// Whether `text` does not begin with what says the kind of a place.
    #[must_use]
    pub fn is_bare(text: &str) -> bool {
        !text.split_once(':').is_some_and(|(transport, _)| TRANSPORTS.contains(&transport))
    }

    /// Whether it is the place of an image: of manifests and layers, not only of wheels.
    #[must_use]
    pub const fn is_image(&self) -> bool {
        match self {
            Self::Oci { .. }
            | Self::OciArchive { .. }
            | Self::DockerArchive { .. }
            | Self::Registry(_) => true,
            Self::Directory(_) | Self::Tar(_) | Self::Store { .. } | Self::Url(_) => false,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((transport, rest)) = text.split_once(':') else { return bare(text) };
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
            "docker" => match rest.strip_prefix("//") {
                Some(name) => Ok(Self::Registry(name.parse()?)),
                None => Err(ReferenceError::NoSlashes { text: text.into() }),
            },
            "oci-archive" => {
                let (file, tag) = match rest.split_once(':') {
                    Some((file, tag)) => (file, Some(tag.parse()?)),
                    None => (rest, None),
                };
                Ok(Self::OciArchive { file: path(file)?, tag })
            }
            "docker-archive" => {
                let (file, name) = match rest.split_once(':') {
                    Some((file, name)) => (file, Some(name.parse()?)),
                    None => (rest, None),
                };
                Ok(Self::DockerArchive { file: path(file)?, name })
            }
            "docker-daemon" | "containers-storage" => {
                Err(ReferenceError::NotSupported { transport: transport.into() })
            }
            _ => bare(text),
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
            Self::OciArchive { file, tag: None } => write!(f, "oci-archive:{}", file.display()),
            Self::OciArchive { file, tag: Some(tag) } => {
                write!(f, "oci-archive:{}:{tag}", file.display())
            }
            Self::DockerArchive { file, name: None } => {
                write!(f, "docker-archive:{}", file.display())
            }
            Self::DockerArchive { file, name: Some(name) } => {
                write!(f, "docker-archive:{}:{name}", file.display())
            }
            Self::Registry(name) => write!(f, "docker://{name}"),
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
    #[error(
        "`{transport}:` is not supported; `docker://`, `oci:`, `oci-archive:`, `docker-archive:`, \
         `tar:`, `dir:` and `store:` are"
    )]
    NotSupported {
        /// The kind.
        transport: String,
    },
    /// It says `docker:` without the slashes.
    #[error("`{}` is not an image in a registry: `docker:` is followed by `//`", redact(text))]
    NoSlashes {
        /// The text.
        text: String,
    },
    /// The name in the layout or store is none.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The name in the registry is none.
    #[error(transparent)]
    Name(#[from] ImageNameError),
    /// It begins as a URL and is none.
    #[error("`{}` is not a URL", redact(text))]
    Url {
        /// The text.
        text: String,
    },
}

/// A text that says no transport: an image in a registry, when it has a namespace as LOCI's names do, or a tag.
fn bare(text: &str) -> Result<Reference, ReferenceError> {
    let is_path = text.starts_with(['/', '.', '~']) || !text.contains(['/', ':']);
    let is_tar = [".tar", ".tar.gz", ".tgz"].iter().any(|end| text.ends_with(end));
    if is_path || is_tar {
        return Err(ReferenceError::NoTransport { text: text.into(), hint: hint(text, is_tar) });
    }
    Ok(Reference::Registry(text.parse()?))
}

/// What a text without a transport might mean.
fn hint(text: &str, is_tar: bool) -> String {
    if is_tar {
        format!(
            "write `tar:{text}` for a tar of wheels, and `oci-archive:{text}` or `docker-archive:{text}` for \
             an image"
        )
    } else {
        let text = if text.is_empty() { "DIR" } else { text };
        format!("write `dir:{text}` for a directory of wheels or `oci:{text}` for an image layout")
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
            "oci-archive:x.tar",
            "oci-archive:x.tar:2025.1",
            "docker-archive:x.tar",
            "docker-archive:x.tar:docker.io/loci/requirements:master",
            "docker://registry:5000/loci/requirements:master",
            "docker://docker.io/loci/requirements",
            "store:master",
            "https://host/wheels.tar",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let url: Reference = "https://user:secret@host/wheels.tar".parse().unwrap();
        assert_eq!(url.to_string(), "https://host/wheels.tar");
        assert_eq!("store:".parse(), Ok(Reference::Store { tag: Tag::default() }));
        for (text, name) in [
            (
                "loci/requirements:master-ubuntu",
                "docker://docker.io/loci/requirements:master-ubuntu",
            ),
            ("requirements:master", "docker://docker.io/library/requirements:master"),
            ("172.17.0.1:5000/ns/requirements", "docker://172.17.0.1:5000/ns/requirements"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), name);
        }
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
            "`wheels.tar` does not say what it is: write `tar:wheels.tar` for a tar of wheels, and \
             `oci-archive:wheels.tar` or `docker-archive:wheels.tar` for an image",
        );
        case(
            "docker:loci/requirements",
            "`docker:loci/requirements` is not an image in a registry: `docker:` is followed by `//`",
        );
        case(
            "containers-storage:x",
            "`containers-storage:` is not supported; `docker://`, `oci:`, `oci-archive:`, \
             `docker-archive:`, `tar:`, `dir:` and `store:` are",
        );
        case("oci:", "`oci:` needs a path after the colon");
        case("oci::x", "`oci:` needs a path after the colon");
        case("oci:dir:", "`` is not a tag: letters, digits and `-._:@/+` are allowed");
        case("https://", "`https://` is not a URL");
        case("https://u:secret@h:abc/?t=secret", "`https://****@h:abc/?****` is not a URL");
    }
}
