//! [`ImageName`]: what an image in a registry is called, read as Docker reads it
//! (`[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, the grammar of distribution's `reference` package).
//!
//! Whether a text is a name at all or the path of a file is not asked here.

use std::fmt;
use std::str::FromStr;

use crate::vocab::digest::Digest;

use super::grammar::{REPOSITORY_LIMIT, check_host, check_path, is_host, parse_digest};
use super::name_error::{ImageNameError, NameFault};
use super::tag::ImageTag;

/// The host that a name without one means.
const DOCKER_HUB: &str = "docker.io";

/// What a repository on Docker Hub without a namespace stands in.
const OFFICIAL: &str = "library/";

/// What an image in a registry is called. Displays with its host, and with all that Docker
/// leaves unsaid but for the tag `latest`: `ubuntu` as `docker.io/library/ubuntu`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    host: String,
    repository: String,
    tag: Option<ImageTag>,
    digest: Option<Digest>,
}

impl ImageName {
    /// The registry's host, with its port when it was given one; `https://HOST/` is a URL.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host that answers for the registry: Docker Hub's is not called as its images are.
    #[must_use]
    pub fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }

    /// The repository, the path behind the host.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when there is one.
    #[must_use]
    pub const fn tag(&self) -> Option<&ImageTag> {
        self.tag.as_ref()
    }

    /// The manifest's digest, when it was given.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the repository's `manifests/` for: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".into(),
        }
    }

    /// The image called `tag` in the same repository. A digest is left out: it says which image this
    /// one is.
    #[must_use]
    pub fn with_tag(&self, tag: ImageTag) -> Self {
        Self { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The manifest or index with this digest in the same repository.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|fault| ImageNameError::new(text, fault))
    }
}

fn parse(text: &str) -> Result<ImageName, NameFault> {
    if text.is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(end) = text.find("://") {
        return Err(NameFault::Scheme { scheme: text[..end + 3].into() });
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(NameFault::Space);
    }
    let (text, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    if text.starts_with('/') {
        return Err(NameFault::NoPart { place: "precedes its first slash" });
    }
    // A name of this form is what Docker shows of an image that has no name.
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NameFault::Id);
    }
    let (host, path) = match text.split_once('/') {
        Some(("docker", rest)) if rest.starts_with('/') => {
            return Err(NameFault::NoColon { meant: format!("docker:/{rest}") });
        }
        Some(("index.docker.io", path)) => (DOCKER_HUB, path),
        Some((first, path)) if is_host(first) => (first, path),
        _ => (DOCKER_HUB, text),
    };
    check_host(host)?;
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    if path.is_empty() && tag.is_some() {
        return Err(NameFault::NoPart { place: "precedes its tag" });
    }
    check_path(path)?;
    let prefix = if host == DOCKER_HUB && !path.contains('/') { OFFICIAL } else { "" };
    let repository = format!("{prefix}{path}");
    if repository.len() > REPOSITORY_LIMIT {
        return Err(NameFault::Long { length: repository.len() });
    }
    let tag = match tag {
        Some("") => return Err(NameFault::NoTag),
        tag => tag.map(str::parse).transpose()?,
    };
    Ok(ImageName { host: host.into(), repository, tag, digest })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> ImageName {
        let name: ImageName = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let again = name.to_string().parse();
        assert_eq!(again.as_ref(), Ok(&name), "{text} is another name when it is shown");
        name
    }

    #[test]
    fn names_mean_what_docker_takes_them_for() {
        #[track_caller]
        fn case(text: &str, host: &str, repository: &str, reference: &str) {
            let name = parsed(text);
            let found = (name.host(), name.repository(), &*name.reference());
            assert_eq!(found, (host, repository, reference), "{text}");
        }
        let hex = "0a".repeat(32);
        let sha = format!("sha256:{hex}");
        case("ubuntu", "docker.io", "library/ubuntu", "latest");
        case("ubuntu:22.04", "docker.io", "library/ubuntu", "22.04");
        case("docker.io/ubuntu", "docker.io", "library/ubuntu", "latest");
        case("docker.io/a/ubuntu", "docker.io", "a/ubuntu", "latest");
        case("index.docker.io/ubuntu", "docker.io", "library/ubuntu", "latest");
        case("docker.io", "docker.io", "library/docker.io", "latest");
        case("localhost", "docker.io", "library/localhost", "latest");
        case("host:5000", "docker.io", "library/host", "5000");
        let master = "loci/requirements:master-centos";
        case(master, "docker.io", "loci/requirements", "master-centos");
        case("localhost/x", "localhost", "x", "latest");
        case("localhost:5000/x", "localhost:5000", "x", "latest");
        case("host:5000/img", "host:5000", "img", "latest");
        case("host:5000/img:5000", "host:5000", "img", "5000");
        case("[::1]:5000/x", "[::1]:5000", "x", "latest");
        case("[2001:db8::1]/a/b:c", "[2001:db8::1]", "a/b", "c");
        let keystone = "172.17.0.1:5000/ns/keystone:ubuntu";
        case(keystone, "172.17.0.1:5000", "ns/keystone", "ubuntu");
        case("quay.io/a/b/c/d", "quay.io", "a/b/c/d", "latest");
        case("Host/x", "Host", "x", "latest");
        case("a--b/c.d_e__f:_1.2-3", "docker.io", "a--b/c.d_e__f", "_1.2-3");
        case(&format!("x@{sha}"), "docker.io", "library/x", &sha);
        case(&format!("h:1/x:y@{sha}"), "h:1", "x", &sha);
        case(&format!("a/{hex}"), "docker.io", &format!("a/{hex}"), "latest");
        let long = format!("{}b", "a/".repeat(127));
        case(&format!("localhost/{long}"), "localhost", &long, "latest");
    }

    #[test]
    fn another_image_of_a_repository_is_named() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let name = parsed(&format!("loci/requirements:master@{one}"));
        let subset = name.with_tag("master-keystone".parse().unwrap());
        assert_eq!(subset.to_string(), "docker.io/loci/requirements:master-keystone");
        let platform = name.with_digest(two);
        assert_eq!(platform.to_string(), format!("docker.io/loci/requirements:master@{two}"));
        assert_eq!((platform.digest(), platform.tag()), (Some(&two), name.tag()));
        assert_eq!(name.api_host(), "registry-1.docker.io");
        assert_eq!(parsed("h:1/x").api_host(), "h:1");
    }

    #[test]
    fn what_is_no_name_is_said_why() {
        let case = |text: &str| text.parse::<ImageName>().unwrap_err().to_string();
        insta::assert_snapshot!(case(""), @"`` is not an image name: it is empty");
        insta::assert_snapshot!(case("Ubuntu"), @"`Ubuntu` is not an image name: write `Ubuntu` in lower case: `ubuntu`");
        insta::assert_snapshot!(case("quay.io/Loci/x"), @"`quay.io/Loci/x` is not an image name: write `Loci` in lower case: `loci`");
        insta::assert_snapshot!(case("docker//x:y"), @"`docker//x:y` is not an image name: is `docker://x:y` meant?");
        insta::assert_snapshot!(case("a//x"), @"`a//x` is not an image name: nothing stands between two of its slashes");
        insta::assert_snapshot!(case("/x"), @"`/x` is not an image name: nothing precedes its first slash");
        insta::assert_snapshot!(case("host:5000/"), @"`host:5000/` is not an image name: nothing follows its last slash");
        insta::assert_snapshot!(case("./x"), @"`./x` is not an image name: `.` is not a registry's host");
        insta::assert_snapshot!(case("host:port/x"), @"`host:port/x` is not an image name: the port in `host:port` is not a number up to 65535");
        insta::assert_snapshot!(case("host:/x"), @"`host:/x` is not an image name: the port in `host:` is not a number up to 65535");
        insta::assert_snapshot!(case("host:99999/x"), @"`host:99999/x` is not an image name: the port in `host:99999` is not a number up to 65535");
        insta::assert_snapshot!(case("my_host:5000/x"), @"`my_host:5000/x` is not an image name: `my_host:5000` is not a registry's host");
        insta::assert_snapshot!(case("[::1/x"), @"`[::1/x` is not an image name: `[::1` is not a registry's host");
        insta::assert_snapshot!(case("[::1]5000/x"), @"`[::1]5000/x` is not an image name: `[::1]5000` is not a registry's host");
        insta::assert_snapshot!(case("1.2.3.4.5/x"), @"`1.2.3.4.5/x` is not an image name: `1.2.3.4.5` is not a registry's host");
        insta::assert_snapshot!(case("a/-b"), @"`a/-b` is not an image name: `-b` must be lower-case letters and digits, with `.`, `_`, `__` or hyphens only between them");
        insta::assert_snapshot!(case("a/b._c"), @"`a/b._c` is not an image name: `b._c` must be lower-case letters and digits, with `.`, `_`, `__` or hyphens only between them");
        insta::assert_snapshot!(case("a/b:"), @"`a/b:` is not an image name: nothing follows its last colon");
        insta::assert_snapshot!(case(":b"), @"`:b` is not an image name: nothing precedes its tag");
        insta::assert_snapshot!(case("a:-b"), @"`a:-b` is not an image name: `-b` is not an image tag: tags are at most 128 letters, digits, `_`, `.` and `-`, the first neither `.` nor `-`");
        insta::assert_snapshot!(case("a b"), @"`a b` is not an image name: it has white space or a control character in it");
        insta::assert_snapshot!(case("a\u{1b}[2J"), @r"`a\u{1b}[2J` is not an image name: it has white space or a control character in it");
        insta::assert_snapshot!(case("\u{fc}"), @"`ü` is not an image name: `ü` must be lower-case letters and digits, with `.`, `_`, `__` or hyphens only between them");
        insta::assert_snapshot!(case("https://quay.io/x"), @"`https://quay.io/x` is not an image name: write it without `https://`");
        insta::assert_snapshot!(case("https://me:secret@quay.io/x"), @"`https://****@quay.io/x` is not an image name: write it without `https://`");
        insta::assert_snapshot!(case("me:se@cret@quay.io/x"), @"`****@quay.io/x` is not an image name: only a digest may follow `@`; a login belongs in Docker's `config.json`");
        insta::assert_snapshot!(case("ubuntu@22.04"), @"`****@22.04` is not an image name: only a digest may follow `@`; a login belongs in Docker's `config.json`");
        insta::assert_snapshot!(case("a@sha256:12"), @"`a@sha256:12` is not an image name: `sha256:12` is not `sha256:` and 64 hex digits");
        insta::assert_snapshot!(case("a@sha512:12"), @"`a@sha512:12` is not an image name: its digest is `sha512`, and only `sha256` is supported");
        insta::assert_snapshot!(case(&"a".repeat(64)), @"`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not an image name: 64 hex digits are an image's ID, which registries do not know");
        let long = format!("{}b", "a/".repeat(128)).parse::<ImageName>().unwrap_err();
        insta::assert_snapshot!(long.fault(), @"its repository has 257 characters, 255 are the most");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-zA-Z0-9:/@._\\[\\]\u{fc} -]{0,40}|.{0,40}") {
            if let Ok(name) = text.parse::<ImageName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
                let url = Url::parse(&format!("https://{}/v2/", name.api_host()));
                prop_assert!(url.is_ok());
            }
        }

        #[test]
        fn what_the_grammar_has_is_read(
            host in "(localhost|[a-z0-9]{1,5}\\.[a-z][a-z0-9]{0,5})(:[0-9]{1,4})?/",
            path in "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,3}){1,3}",
            tag in "(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?",
            digest in "(@sha256:[0-9a-f]{64})?",
        ) {
            let name: ImageName = format!("{host}{path}{tag}{digest}").parse()?;
            prop_assert_eq!(name.repository(), &path);
            let shown = name.to_string();
            prop_assert_eq!(&shown, &format!("{host}{path}{tag}{digest}"));
            prop_assert_eq!(shown.parse(), Ok(name));
        }
    }
}
