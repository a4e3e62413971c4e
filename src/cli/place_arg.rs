//! The places of images and sets as people type them: a [`Reference`], and where the text does not say what kind
//! of place it is, what stands there on this machine decides what is said of it.

use std::fs::File;
use std::path::Path;

use super::exit::CliError;
use crate::image::reference::{Reference, ReferenceError};

/// How many entries of a tar are looked at before its name has to do.
const LOOKED_AT: usize = 10_000;

/// The place of an image or a set.
pub(super) fn any(text: &str) -> Result<Reference, CliError> {
    if let Some(path) = forgotten(text) {
        let hint = found(text, path, false);
        return Err(ReferenceError::NoTransport { text: text.into(), hint }.into());
    }
    Ok(text.parse()?)
}

/// The place of an image that is there, given as `option`. A word alone is what Docker calls an image as well.
pub(super) fn image(option: &'static str, text: &str) -> Result<Reference, CliError> {
    let reference = match text.parse() {
        _ if forgotten(text).is_some() => {
            let hint = found(text, text, true);
            return Err(ReferenceError::NoTransport { text: text.into(), hint }.into());
        }
        Err(ReferenceError::NoTransport { .. }) => match text.parse() {
            // With a dot it is rather a file's.
            Ok(name) if !text.contains('.') => Reference::Registry(name),
            _ => {
                let hint = format!("{} says where an image is", kinds(text));
                return Err(ReferenceError::NoTransport { text: text.into(), hint }.into());
            }
        },
        other => other?,
    };
    an_image(option, reference)
}

/// The place that something is written to, given as `option`. What Docker calls `keystone:master` is on Docker Hub
/// a repository that is nobody's to write to, so that something else was meant.
pub(super) fn destination(option: &'static str, text: &str) -> Result<Reference, CliError> {
    let reference = any(text)?;
    let is_elsewhere = text.contains('/') || !Reference::is_bare(text);
    match reference {
        Reference::Registry(name) if !is_elsewhere => Err(CliError::Value {
            option,
            text: text.into(),
            reason: format!(
                "names no registry: write `docker://HOST/{text}` for an image in one, or `oci:DIR:{}` for \
                 one in a layout",
                name.tag().map_or("latest", |tag| tag.as_str())
            ),
        }),
        reference => Ok(reference),
    }
}

/// The place that an image is written to, given as `option`.
pub(super) fn image_destination(option: &'static str, text: &str) -> Result<Reference, CliError> {
    an_image(option, destination(option, text)?)
}

fn an_image(option: &'static str, reference: Reference) -> Result<Reference, CliError> {
    if reference.is_image() {
        return Ok(reference);
    }
    Err(CliError::Value {
        option,
        text: reference.to_string(),
        reason:
            "is no place for an image: `docker://`, `oci:`, `oci-archive:` and `docker-archive:` are"
                .into(),
    })
}

/// The path of something on this machine, where a text is one and does not say what is there. What looks like an
/// image in a namespace is one, whatever else has that name.
fn forgotten(text: &str) -> Option<&str> {
    let is_name = text.contains('/') && text.parse::<Reference>().is_ok();
    let is_path = Reference::is_bare(text) && !is_name && !text.is_empty();
    (is_path && Path::new(text).exists()).then_some(text)
}

/// What to write for the path `path`, which is there.
fn found(text: &str, path: &str, only_images: bool) -> String {
    let kind = kind(Path::new(path));
    match kind {
        "dir" | "tar" if only_images => {
            let what = if kind == "dir" { "a directory" } else { "a file" };
            format!(
                "there is {what} of this name, and no image in it; {} says where one is",
                kinds("NAME")
            )
        }
        _ => format!("write `{kind}:{text}` for what is there on this machine"),
    }
}

fn kinds(name: &str) -> String {
    let name = if name.is_empty() { "NAME" } else { name };
    let is_tar = name.ends_with(".tar");
    match is_tar {
        true => format!("`oci-archive:{name}` or `docker-archive:{name}`"),
        false => {
            "`docker://NAME`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`".to_owned()
        }
    }
}

/// The transport of what is at `path`: a layout by its mark, a tar by what is in it.
pub(super) fn kind(path: &Path) -> &'static str {
    if path.is_dir() {
        return if path.join("oci-layout").exists() { "oci" } else { "dir" };
    }
    let mut is_layout = false;
    // One that is compressed, or no tar at all, tells nothing.
    let archive = File::open(path).map(tar::Archive::new);
    let Ok(mut archive) = archive else { return "tar" };
    let Ok(entries) = archive.entries_with_seek() else { return "tar" };
    for entry in entries.take(LOOKED_AT) {
        let Ok(entry) = entry else { break };
        match entry.path_bytes().strip_prefix(b"./").unwrap_or(&entry.path_bytes()) {
            // What newer engines save is a layout as well, and has names for both.
            b"manifest.json" => return "docker-archive",
            b"oci-layout" => is_layout = true,
            _ => {}
        }
    }
    if is_layout { "oci-archive" } else { "tar" }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&str) -> Result<Reference, CliError>;

    fn image_of(text: &str) -> Result<Reference, CliError> {
        image("--from", text)
    }

    fn to(text: &str) -> Result<Reference, CliError> {
        destination("--output", text)
    }

    fn image_to(text: &str) -> Result<Reference, CliError> {
        image_destination("--output", text)
    }

    #[track_caller]
    fn case(read: Read, text: &str, expected: &str) {
        let said = read(text).map_or_else(|error| error.to_string(), |place| place.to_string());
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn names_of_images_need_no_transport() {
        for read in [any as Read, image_of] {
            case(read, "debian:bookworm", "docker://docker.io/library/debian:bookworm");
            case(read, "registry:5000/x:tag", "docker://registry:5000/x:tag");
            case(read, "loci/base", "docker://docker.io/loci/base");
            case(read, "oci:dir:tag", "oci:dir:tag");
        }
        case(image_of, "debian", "docker://docker.io/library/debian");
        case(image_to, "registry:5000/x:tag", "docker://registry:5000/x:tag");
        case(image_to, "loci/keystone:master", "docker://docker.io/loci/keystone:master");
        case(to, "docker://keystone:master", "docker://docker.io/library/keystone:master");
        // A set is more often a directory than an image that is Docker's own.
        let wheels = any("wheels").unwrap_err().to_string();
        assert!(wheels.contains("`dir:wheels`") && wheels.contains("`oci:wheels`"), "{wheels}");
    }

    #[test]
    fn what_is_no_place_is_told() {
        case(
            to,
            "keystone:master",
            "`keystone:master`, given as `--output`, names no registry: write \
             `docker://HOST/keystone:master` for an image in one, or `oci:DIR:master` for one in a layout",
        );
        case(
            image_of,
            "none.tar",
            "`none.tar` does not say what it is: `oci-archive:none.tar` or `docker-archive:none.tar` says \
             where an image is",
        );
        case(
            image_of,
            "./none",
            "`./none` does not say what it is: `docker://NAME`, `oci:DIR`, `oci-archive:FILE` or \
             `docker-archive:FILE` says where an image is",
        );
        for text in ["tar:x.tar", "dir:x", "store:x", "https://host/x.tar"] {
            for (read, option) in [(image_of as Read, "--from"), (image_to, "--output")] {
                case(
                    read,
                    text,
                    &format!(
                        "`{text}`, given as `{option}`, is no place for an image: `docker://`, `oci:`, \
                         `oci-archive:` and `docker-archive:` are"
                    ),
                );
            }
        }
    }

    #[test]
    fn what_is_there_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let archive = |name: &str, members: &[&str]| {
            let mut tar = tar::Builder::new(File::create(path(name)).unwrap());
            for member in members {
                let mut header = tar::Header::new_gnu();
                header.set_size(1);
                tar.append_data(&mut header, member, &b"x"[..]).unwrap();
            }
            tar.finish().unwrap();
        };
        std::fs::create_dir_all(path("layout")).unwrap();
        std::fs::write(path("layout/oci-layout"), "{}").unwrap();
        std::fs::create_dir_all(path("wheels")).unwrap();
        archive("layout.tar", &["blobs/x", "oci-layout", "index.json"]);
        archive("saved.tar", &["layer.tar", "manifest.json"]);
        archive("both.tar", &["oci-layout", "./manifest.json"]);
        archive("wheels.tar", &["./six-1.0-py3-none-any.whl"]);
        std::fs::write(path("junk.tar"), "junk").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        for (name, expected) in [
            ("layout", "oci"),
            ("wheels", "dir"),
            ("layout.tar", "oci-archive"),
            ("saved.tar", "docker-archive"),
            ("both.tar", "docker-archive"),
            ("wheels.tar", "tar"),
            ("junk.tar", "tar"),
            ("empty", "tar"),
        ] {
            assert_eq!(kind(&path(name)), expected, "{name}");
            let text = path(name).display().to_string();
            let said = |read: Read| read(&text).unwrap_err().to_string().replace(&text, "X");
            let write = format!(
                "`X` does not say what it is: write `{expected}:X` for what is there on this machine"
            );
            assert_eq!(said(any), write, "{name}");
            assert_eq!(said(to), write, "{name}");
            match expected {
                "dir" | "tar" => assert!(said(image_of).contains("and no image in it"), "{name}"),
                _ => assert_eq!(said(image_of), write, "{name}"),
            }
        }
    }
}
