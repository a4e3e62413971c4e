//! [`ImageInfo`]: what an image is made of, as its own files in `/etc/image_info` say it.
//!
//! The files are LOCI's, and are read by people and scripts: `project.txt` has lines that a shell can
//! read, `pip.txt` those of `pip freeze`, `packages.txt` the distribution's packages.

use url::Url;

use crate::vocab::redact::{publishable, redact};
use crate::vocab::requirement::package_name;
use crate::vocab::safe_path::SafePath;

use super::node::Node;

/// Where the files are, below the root.
const DIRECTORY: &str = "etc/image_info";
/// Where the lock is (PEP 751), below the root.
pub const LOCK: &str = "etc/image_info/pylock.toml";
/// Where the bill of materials is (`CycloneDX`), below the root.
pub const BILL: &str = "etc/image_info/sbom.cdx.json";

/// What an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// The project.
    pub project: String,
    /// Its version.
    pub version: String,
    /// Where its source is (`PROJECT_REPO`).
    pub repository: Option<String>,
    /// What was asked for there (`PROJECT_REF`).
    pub reference: Option<String>,
    /// The commit that this was.
    pub commit: Option<String>,
    /// The release of the constraints (`PROJECT_RELEASE`).
    pub release: Option<String>,
    /// The Python packages, each with its version, in any order.
    pub python: Vec<(String, String)>,
    /// The distribution's packages, each with its version, in any order.
    pub distribution: Vec<(String, String)>,
}

impl ImageInfo {
    /// The files and their directory. There is no `packages.txt` when no package is known.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        let file = |name: &str, text: String| {
            let path = format!("{DIRECTORY}/{name}");
            Node::file(fixed(&path), text.into_bytes())
        };
        let mut nodes = vec![Node::directory(fixed(DIRECTORY))];
        if !self.distribution.is_empty() {
            nodes.push(file("packages.txt", lines(&self.distribution, " ", str::to_owned)));
        }
        nodes.push(file("pip.txt", lines(&self.python, "==", normal)));
        nodes.push(file("project.txt", self.project_lines()));
        nodes
    }

    fn project_lines(&self) -> String {
        let repository = self.repository.as_deref().map(public);
        let lines = [
            ("PROJECT", Some(self.project.as_str())),
            ("PROJECT_REPO", repository.as_deref()),
            ("PROJECT_REF", self.reference.as_deref()),
            ("PROJECT_RELEASE", self.release.as_deref()),
            ("PROJECT_COMMIT", self.commit.as_deref()),
            ("PROJECT_VERSION", Some(self.version.as_str())),
        ];
        let lines = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
        lines.map(|(name, value)| format!("{name}={}\n", quoted(value))).collect()
    }
}

/// A line for each package, sorted by what `key` makes of its name, as `pip freeze` sorts.
fn lines(packages: &[(String, String)], between: &str, key: impl Fn(&str) -> String) -> String {
    let mut packages: Vec<_> = packages.iter().collect();
    packages.sort_by_cached_key(|(name, version)| (key(name), name, version));
    packages.dedup();
    packages.iter().map(|(name, version)| format!("{name}{between}{version}\n")).collect()
}

/// A project's name in the form in which names are compared (PEP 503).
fn normal(name: &str) -> String {
    package_name(name).map_or_else(|| name.to_owned(), |name| name.to_string())
}

/// An address without what may be secret in it; this file is published.
fn public(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) if url.has_host() => publishable(&url).to_string(),
        _ => redact(address).into_owned(),
    }
}

/// A value as one word of a shell, in quotes only when it needs them.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+=,%^".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    let one_line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", one_line.replace('\'', r"'\''"))
}

fn fixed(path: &str) -> SafePath {
    path.parse().expect("these paths are words of this file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::node::NodeKind;

    fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn shown(info: &ImageInfo) -> String {
        let files = info.nodes().into_iter().map(|node| match node.kind {
            NodeKind::File(text) => {
                format!("/{}\n{}", node.path, String::from_utf8(text).unwrap())
            }
            _ => format!("/{}/\n", node.path),
        });
        files.collect()
    }

    #[test]
    fn an_image_says_what_it_is_made_of() {
        let info = ImageInfo {
            project: "keystone".into(),
            version: "29.0.0".into(),
            repository: Some("https://me:secret@example.org/openstack/keystone?token=1".into()),
            reference: Some("refs/changes/67/418167/1".into()),
            commit: Some("0123456789abcdef".into()),
            release: Some("master".into()),
            python: pairs(&[
                ("zope.interface", "1"),
                ("PyMySQL", "2"),
                ("Babel", "3"),
                ("pbr", "4"),
            ]),
            distribution: pairs(&[("libc6", "2.36-9+deb12u9"), ("apache2", "2.4.62-1")]),
        };
        insta::assert_snapshot!(shown(&info), @r"
        /etc/image_info/
        /etc/image_info/packages.txt
        apache2 2.4.62-1
        libc6 2.36-9+deb12u9
        /etc/image_info/pip.txt
        Babel==3
        pbr==4
        PyMySQL==2
        zope.interface==1
        /etc/image_info/project.txt
        PROJECT=keystone
        PROJECT_REPO=https://example.org/openstack/keystone
        PROJECT_REF=refs/changes/67/418167/1
        PROJECT_RELEASE=master
        PROJECT_COMMIT=0123456789abcdef
        PROJECT_VERSION=29.0.0
        ");
        let mut other = info.clone();
        other.python.reverse();
        other.python.push(("pbr".into(), "4".into()));
        assert_eq!(other.nodes(), info.nodes());
    }

    #[test]
    fn a_shell_reads_every_value() {
        for (value, word) in [
            ("master", "master"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git"),
            ("/src/a b", "'/src/a b'"),
            ("it's $(x)", r"'it'\''s $(x)'"),
            ("a\nPROJECT=b", "'a PROJECT=b'"),
            ("", ""),
        ] {
            assert_eq!(quoted(value), word);
        }
        assert_eq!(public("git@example.org:a/b.git"), "git@example.org:a/b.git");
        assert_eq!(public("ssh://me@example.org/a"), "ssh://example.org/a");
        assert_eq!(public("/src/keystone"), "/src/keystone");
    }
}
