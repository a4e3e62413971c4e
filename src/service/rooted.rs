//! Paths as a process in a root sees them: symbolic links are followed, and never out of the root.
//!
//! The root may be a directory or the layers of an image: who asks says what is a link, so that both
//! lead to the same places. Nothing is written here.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use crate::vocab::safe_path::SafePath;

/// The most links that one path may lead through, as in Linux (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Says where the symbolic link at a path leads to; none when there is no link at that path.
pub type ReadLink<'a> = &'a mut dyn FnMut(&SafePath) -> io::Result<Option<String>>;

/// Where `path` leads to when the links in all but its last component are followed, as for
/// something that is made or replaced.
///
/// # Errors
/// Those of `read_link`; when the links go round, or lead to a name that is no text.
pub fn resolve_parent(path: &SafePath, read_link: ReadLink<'_>) -> io::Result<SafePath> {
    let followed = follow(path, false, read_link)?;
    followed.join("/").parse().map_err(io::Error::other)
}

/// Where `path` leads to when all its links are followed; none when that is the root itself.
///
/// # Errors
/// Those of [`resolve_parent`].
pub fn resolve(path: &SafePath, read_link: ReadLink<'_>) -> io::Result<Option<SafePath>> {
    let followed = follow(path, true, read_link)?;
    if followed.is_empty() {
        return Ok(None);
    }
    followed.join("/").parse().map(Some).map_err(io::Error::other)
}

/// Reads the links of the directory `root`, for [`resolve`].
pub fn links_below(root: &Path) -> impl FnMut(&SafePath) -> io::Result<Option<String>> {
    move |path| match std::fs::read_link(path.under(root)) {
        Ok(target) => match target.into_os_string().into_string() {
            Ok(target) => Ok(Some(target)),
            Err(_) => Err(io::Error::other("a symbolic link leads to a name that is not UTF-8")),
        },
        Err(error) => match error.kind() {
            // EINVAL: there is something, which is no link.
            io::ErrorKind::NotFound
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

fn follow(path: &SafePath, last_too: bool, read_link: ReadLink<'_>) -> io::Result<Vec<String>> {
    let mut rest: VecDeque<String> = path.components().map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(component) = rest.pop_front() {
        match component.as_str() {
            "" | "." => continue,
            // In a root, the parent of `/` is `/`.
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(component),
        }
        if rest.is_empty() && !last_too {
            break;
        }
        let here: SafePath = done.join("/").parse().map_err(io::Error::other)?;
        let Some(target) = read_link(&here)? else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::other("too many levels of symbolic links"));
        }
        done.pop();
        if target.starts_with('/') {
            done.clear();
        }
        for component in target.rsplit('/') {
            rest.push_front(component.to_owned());
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: [(&str, &str); 8] = [
        ("lib", "usr/lib"),
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
        ("out", "../../.././etc"),
        ("self", "/"),
        ("round", "about"),
        ("about", "/round"),
        ("trail", "usr//lib/"),
    ];

    #[track_caller]
    fn case(path: &str, parent: &str, whole: &str) {
        let path: SafePath = path.parse().unwrap();
        let mut read_link = |path: &SafePath| {
            let link = LINKS.iter().find(|(link, _)| *link == path.as_str());
            Ok(link.map(|(_, target)| (*target).to_owned()))
        };
        let said = |outcome: io::Result<Option<SafePath>>| match outcome {
            Ok(Some(path)) => path.to_string(),
            Ok(None) => "/".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(resolve_parent(&path, &mut read_link).map(Some)), parent, "{path}");
        assert_eq!(said(resolve(&path, &mut read_link)), whole, "{path}");
    }

    #[test]
    fn links_lead_where_they_lead_in_a_root() {
        case("etc/passwd", "etc/passwd", "etc/passwd");
        case("lib/x/y", "usr/lib/x/y", "usr/lib/x/y");
        case("lib", "lib", "usr/lib");
        case("var/run/x", "run/x", "run/x");
        case("var/run", "var/run", "run");
        case("out/passwd", "etc/passwd", "etc/passwd");
        case("self", "self", "/");
        case("self/self/lib/x", "usr/lib/x", "usr/lib/x");
        case("trail/x", "usr/lib/x", "usr/lib/x");
        let round = "too many levels of symbolic links";
        case("round", "round", round);
        case("round/x", round, round);
    }

    #[test]
    fn a_directory_has_links() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr/lib", dir.path().join("lib")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut links = links_below(dir.path());
        for (path, target) in
            [("lib", Some("/usr/lib")), ("file", None), ("file/x", None), ("none", None)]
        {
            assert_eq!(links(&path.parse().unwrap()).unwrap().as_deref(), target, "{path}");
        }
    }
}
