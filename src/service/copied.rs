//! Files of a root that patterns name, as nodes of the directory they are copied to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use crate::vocab::safe_path::SafePath;

use super::node::{self, Node, NodeError};
use super::rooted::{links_below, resolve};
use super::steps::CopyStep;

/// What cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A pattern is none, with the values that its words have.
    #[error("`{text}` is not a pattern of paths")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A directory cannot be read.
    #[error("cannot look into `{directory}`")]
    Look {
        /// The directory in the root.
        directory: String,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot copy a file")]
    Read {
        /// Why.
        source: NodeError,
    },
    /// Two files would be one.
    #[error("`/{first}` and `/{second}` would both be `/{path}`, and differ")]
    Collision {
        /// The copy.
        path: SafePath,
        /// One file.
        first: SafePath,
        /// The other.
        second: SafePath,
    },
}

/// A pattern of paths, one part for each component.
struct Parts(Vec<Pattern>);

impl Parts {
    fn parse(text: &str) -> Result<Self, CopyError> {
        let parts = text.split('/').filter(|part| !part.is_empty()).map(Pattern::new);
        let parts: Result<_, _> = parts.collect();
        parts.map(Self).map_err(|source| CopyError::Pattern { text: text.to_owned(), source })
    }

    fn matches(&self, path: &SafePath) -> bool {
        let components: Vec<_> = path.components().collect();
        components.len() == self.0.len()
            && self.0.iter().zip(components).all(|(part, name)| matches(part, name))
    }
}

fn matches(part: &Pattern, name: &str) -> bool {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        // As in a shell: hidden files are not meant by `*`.
        require_literal_leading_dot: true,
    };
    part.matches_with(name, options)
}

/// The copies that `step` makes in `root`, by name. Files that no pattern names are no fault: plugins
/// need not be there.
///
/// # Errors
/// [`CopyError`].
pub(super) fn nodes_of(root: &Path, step: &CopyStep) -> Result<Vec<Node>, CopyError> {
    let except =
        step.except.iter().map(|text| Parts::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut copies: BTreeMap<SafePath, (SafePath, Node)> = BTreeMap::new();
    for text in &step.from {
        for path in found(root, &Parts::parse(text)?)? {
            if except.iter().any(|parts| parts.matches(&path)) {
                continue;
            }
            let read = node::read(root, &path).map_err(|source| CopyError::Read { source })?;
            let Some(Node { kind, mode, .. }) = read else { continue };
            let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
            let name = path.file_name().parse().expect("a component is a path");
            let copy = Node { path: step.to.join(&name), kind, mode, uid: 0, gid: 0 };
            match copies.get(&copy.path) {
                Some((first, there)) if there.kind != copy.kind => {
                    let (first, second) = (first.clone(), path);
                    return Err(CopyError::Collision { path: copy.path, first, second });
                }
                Some(_) => {}
                None => {
                    copies.insert(copy.path.clone(), (path, copy));
                }
            }
        }
    }
    Ok(copies.into_values().map(|(_, node)| node).collect())
}

/// The regular files of `root` that `parts` names, in order.
fn found(root: &Path, parts: &Parts) -> Result<Vec<SafePath>, CopyError> {
    let mut paths: Vec<Option<SafePath>> = vec![None];
    for part in &parts.0 {
        let mut below = Vec::new();
        for path in &paths {
            for name in names(root, path.as_ref())? {
                if matches(part, name.as_str()) {
                    below.push(Some(match path {
                        Some(path) => path.join(&name),
                        None => name,
                    }));
                }
            }
        }
        paths = below;
    }
    Ok(paths.into_iter().flatten().filter(|path| is_file(root, path)).collect())
}

fn is_file(root: &Path, path: &SafePath) -> bool {
    let real = resolve(path, &mut links_below(root));
    let Ok(Some(real)) = real else { return false };
    std::fs::symlink_metadata(real.under(root)).is_ok_and(|metadata| metadata.is_file())
}

/// The names in a directory of `root`, sorted; none when it is no directory. Names that are no text
/// are not meant by any pattern.
fn names(root: &Path, directory: Option<&SafePath>) -> Result<Vec<SafePath>, CopyError> {
    let failed = |source| {
        let directory = directory.map_or_else(|| "/".to_owned(), |path| format!("/{path}"));
        CopyError::Look { directory, source }
    };
    let real = match directory {
        Some(directory) => resolve(directory, &mut links_below(root)).map_err(failed)?,
        None => None,
    };
    let place = real.map_or_else(|| root.to_owned(), |real| real.under(root));
    let entries = match std::fs::read_dir(place) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(|name| name.parse::<SafePath>().ok()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::service::node::NodeKind;

    /// A root with two plugins, and what is copied of it.
    #[track_caller]
    fn case(from: &[&str], except: &[&str], copied: &str) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for (path, text) in [
            ("usr/lib/a/enabled/_1.py", "a"),
            ("usr/lib/a/enabled/__init__.py", ""),
            ("usr/lib/a/enabled/.hidden.py", ""),
            ("usr/lib/b/local/enabled/_2.py", "b"),
            ("usr/lib/b/enabled/_1.py", "a"),
            ("usr/lib/c/enabled/_1.py", "other"),
            ("usr/lib/own/enabled/_3.py", "own"),
            ("usr/lib/d", "a file"),
        ] {
            let place = root.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        symlink("/usr/lib", root.join("lib")).unwrap();
        symlink("/none", root.join("usr/lib/own/enabled/_9.py")).unwrap();
        symlink("../../a/enabled/_1.py", root.join("usr/lib/own/enabled/_8.py")).unwrap();
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let step =
            CopyStep { from: strings(from), except: strings(except), to: "to".parse().unwrap() };
        let said = match nodes_of(root, &step) {
            Ok(nodes) => nodes
                .into_iter()
                .map(|node| {
                    let NodeKind::File(content) = node.kind else { unreachable!() };
                    format!("{} {}", node.path, String::from_utf8(content).unwrap())
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, copied, "{from:?}");
    }

    #[test]
    fn patterns_name_files() {
        case(&["/usr/lib/a/enabled/_[0-9]*.py"], &[], "to/_1.py a");
        case(&["/lib/[ab]/enabled/_[0-9]*.py"], &[], "to/_1.py a");
        case(
            &["/usr/lib/*/enabled/_[0-9]*.py", "/usr/lib/*/local/enabled/_*.py"],
            &["/usr/lib/c/enabled/*"],
            "to/_1.py a, to/_2.py b, to/_3.py own, to/_8.py a",
        );
        case(&["/usr/lib/none/*.py", "/usr/*", "/usr/lib/d/*"], &[], "");
        case(&["/usr/lib/a/enabled/*"], &[], "to/_1.py a, to/__init__.py ");
        case(
            &["/usr/lib/*/enabled/_1.py"],
            &[],
            "`/usr/lib/a/enabled/_1.py` and `/usr/lib/c/enabled/_1.py` would both be `/to/_1.py`, \
             and differ",
        );
        case(&["/a/["], &[], "`/a/[` is not a pattern of paths");
    }
}
