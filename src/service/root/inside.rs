//! Paths inside a root file system, found as a process that is chrooted there would find them.
//!
//! Links are followed here and not by the kernel, which would follow them from the host's root: `/etc/x`
//! in a link means the root's own. Nobody else changes the root meanwhile, so that what was looked at is
//! what is there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows in one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Where `path` stands below `root`, as a path of the host: every link but one at its very end is
/// followed. What is not there need not be.
///
/// # Errors
/// When links lead in a circle or something cannot be looked at.
pub fn locate(root: &Path, path: &Path) -> io::Result<PathBuf> {
    walk(root, path, false)
}

/// As [`locate`], and a link at the end is followed too.
///
/// # Errors
/// As for [`locate`].
pub fn follow(root: &Path, path: &Path) -> io::Result<PathBuf> {
    walk(root, path, true)
}

fn walk(root: &Path, path: &Path, to_the_end: bool) -> io::Result<PathBuf> {
    let mut rest: VecDeque<Step> = steps(path).collect();
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        let name = match step {
            Step::Root => {
                at = PathBuf::new();
                continue;
            }
            Step::Up => {
                // There is nothing above the root, which is its own parent.
                at.pop();
                continue;
            }
            Step::Down(name) => name,
        };
        at.push(name);
        if rest.is_empty() && !to_the_end {
            break;
        }
        let here = root.join(&at);
        match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::other("too many symbolic links"));
                }
                let target = fs::read_link(&here)?;
                at.pop();
                for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(step);
                }
            }
            Ok(_) => {}
            // Below a file there is nothing either; whoever uses the path will hear it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if at.as_os_str().is_empty() { root.to_owned() } else { root.join(at) })
}

enum Step {
    Root,
    Up,
    Down(OsString),
}

fn steps(path: &Path) -> impl Iterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_in_a_chroot() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/file"), "").unwrap();
        for (target, link) in [
            ("usr/lib", "lib"),
            ("/etc/file", "usr/lib/absolute"),
            ("../../../../../../etc", "usr/climbs"),
            ("/", "all"),
            ("two", "one"),
            ("one", "two"),
            ("missing/x", "dangling"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for (path, located, followed) in [
            ("", "", ""),
            ("/", "", ""),
            ("lib", "lib", "usr/lib"),
            ("lib/x/y", "usr/lib/x/y", "usr/lib/x/y"),
            ("/lib/absolute", "usr/lib/absolute", "etc/file"),
            ("lib/absolute/x", "etc/file/x", "etc/file/x"),
            ("usr/climbs/file", "etc/file", "etc/file"),
            ("all/all/lib/x", "usr/lib/x", "usr/lib/x"),
            ("../../etc/../x", "x", "x"),
            ("dangling", "dangling", "missing/x"),
        ] {
            let below = |path: &str| if path.is_empty() { root.clone() } else { root.join(path) };
            assert_eq!(locate(&root, Path::new(path)).unwrap(), below(located), "{path}");
            assert_eq!(follow(&root, Path::new(path)).unwrap(), below(followed), "{path}");
        }
        assert_eq!(locate(&root, Path::new("one")).unwrap(), root.join("one"));
        for path in ["one/x", "two/../x"] {
            assert!(locate(&root, Path::new(path)).is_err(), "{path}");
        }
        assert!(follow(&root, Path::new("one")).is_err());
    }
}
