//! [`KeptTree`]: the files of a repository at one commit, without its history.
//!
//! Steps copy the same few trees into image after image. Each is fetched once: the store keeps it as a tar, by
//! repository and commit (kind `trees`), and which commit a branch or tag was (kind `references`). So a commit that is
//! named in full needs no network the second time. Whatever can move is asked for each time, and is what it was
//! when nobody answers, with a warning. Sources of projects are no such trees: their versions are in their history.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::blocking;
use super::checkout::{checkout, listed, reachable, shallow};
use super::error::PipelineError;
use super::release_tree::chosen;
use super::workshop::Workshop;
use crate::image::tree_layer::{Body, Node as LayerNode, TreeLayer};
use crate::service::node::NodeKind;
use crate::service::root::unpack::unpack;
use crate::service::steps::Git;
use crate::service::tree::nodes_of;
use crate::store::Store;
use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;
use crate::vocab::redact::redact;
use crate::vocab::safe_path::SafePath;

/// Part of what a tree is kept by: changes whenever the same commit would be another tar.
const FORMAT: u32 = 1;
/// The directory that the tree is in a tar.
const FOLDER: &str = "tree";

/// The files of a repository at one commit, in a directory that goes with this.
#[derive(Debug)]
pub(super) struct KeptTree {
    /// Where they are.
    pub(super) path: PathBuf,
    /// The commit.
    pub(super) commit: String,
    _dir: TempDir,
}

impl KeptTree {
    /// The files that `source` names: out of the store, or fetched.
    ///
    /// # Errors
    /// When there is no such repository or reference, or nobody answers and it was never fetched.
    pub(super) async fn of(workshop: &Workshop, source: &Git) -> Result<Self, PipelineError> {
        let repository = repository(&source.url);
        let reference = source.reference.as_deref().unwrap_or("HEAD");
        let references = workshop.store.kept("references");
        let trees = workshop.store.kept("trees");
        let by_name = key(&repository, reference);
        let (wanted, commit) = match full_commit(reference) {
            // An annotated tag has a name like a commit's, and is one commit for ever.
            Some(name) => {
                let commit = references.get::<String>(&by_name).unwrap_or_else(|| name.clone());
                (name, Some(commit))
            }
            None => match resolve(workshop, source).await {
                Ok(Some((name, commit))) => (name, Some(commit)),
                // What no list has, such as a part of a commit's name, only the whole history can tell.
                Ok(None) => (reference.to_owned(), None),
                Err(error) => {
                    let Some(commit) = references.get::<String>(&by_name) else {
                        return Err(error);
                    };
                    workshop.events.warn(format!(
                        "{error}, so `{reference}` of `{}` is the commit that it was last time: {commit}",
                        redact(&source.url)
                    ));
                    (commit.clone(), Some(commit))
                }
            },
        };
        let known = commit.as_deref().and_then(|commit| {
            Some((commit.to_owned(), trees.get::<Digest>(&key(&repository, commit))?))
        });
        let (tree, blob) = match known {
            Some((commit, blob)) => (unpacked(workshop, commit, &blob).await?, blob),
            None => {
                let tree = fetched(workshop, source, &wanted, commit.is_some()).await?;
                let blob = pack(&workshop.store, &tree.path).await?;
                trees.put(&key(&repository, &tree.commit), &blob, &[blob])?;
                (tree, blob)
            }
        };
        if reference != tree.commit {
            references.put(&by_name, &tree.commit, &[blob])?;
        }
        Ok(tree)
    }
}

/// What a tree of `repository` is kept by.
fn key(repository: &str, commit: &str) -> Digest {
    Digest::of(&canonical_json(&json!([FORMAT, repository, commit])))
}

/// What a repository is known by: without passwords, and wherever somebody stands. It need not be there any more.
fn repository(url: &str) -> String {
    if url.contains(':') {
        return redact(url).into_owned();
    }
    let path = std::path::absolute(url);
    path.map_or_else(|_| url.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// The reference as a commit's name, if it is one in full, by SHA-1 or SHA-256.
fn full_commit(reference: &str) -> Option<String> {
    let is_full = matches!(reference.len(), 40 | 64);
    let is_hex = reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_full && is_hex).then(|| reference.to_ascii_lowercase())
}

/// The full name of the reference and its commit, as the repository has it now; none where it lists no such one.
async fn resolve(
    workshop: &Workshop,
    source: &Git,
) -> Result<Option<(String, String)>, PipelineError> {
    reachable(workshop, &source.url)?;
    let listed = listed(&source.url, &workshop.store.tmp_dir()).await?;
    let references: Vec<String> = source.reference.iter().cloned().collect();
    Ok(chosen(&listed, &references).and_then(|name| {
        let commit = commit_of(&listed, &name)?.to_owned();
        Some((name, commit))
    }))
}

/// The commit of the reference `name` in what `git ls-remote` `listed`: where an annotated tag is an object of its
/// own, a second line says what it is of.
fn commit_of<'a>(listed: &'a str, name: &str) -> Option<&'a str> {
    let of = |wanted: &str| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, name)| *name == wanted).map(|(commit, _)| commit)
    };
    of(&format!("{name}^{{}}")).or_else(|| of(name))
}

/// Fetches `wanted`, alone where the server lets that be and it `is_listed` or a whole commit.
async fn fetched(
    workshop: &Workshop,
    source: &Git,
    wanted: &str,
    is_listed: bool,
) -> Result<KeptTree, PipelineError> {
    reachable(workshop, &source.url)?;
    if is_listed {
        let dir = directory(&workshop.store)?;
        match shallow(&source.url, wanted, dir.path()).await {
            Ok(commit) => return Ok(KeptTree { path: dir.path().to_owned(), commit, _dir: dir }),
            Err(error) => tracing::debug!(%error, wanted, "not to be had by itself"),
        }
    }
    let dir = directory(&workshop.store)?;
    let commit = checkout(&source.url, Some(wanted), dir.path()).await?;
    Ok(KeptTree { path: dir.path().to_owned(), commit, _dir: dir })
}

async fn unpacked(
    workshop: &Workshop,
    commit: String,
    blob: &Digest,
) -> Result<KeptTree, PipelineError> {
    let (dir, tar) = (directory(&workshop.store)?, workshop.store.path(blob));
    blocking(move || {
        unpack([std::fs::File::open(tar)?], dir.path())?;
        Ok(KeptTree { path: dir.path().join(FOLDER), commit, _dir: dir })
    })
    .await
}

/// Puts the tree at `path` into the store, as a tar that depends on nothing but its files.
async fn pack(store: &Store, path: &Path) -> Result<Digest, PipelineError> {
    let (store, path) = (store.clone(), path.to_owned());
    blocking(move || {
        let folder: SafePath = FOLDER.parse().expect("a fixed path");
        let mut layer = TreeLayer::new(0);
        for node in nodes_of(&path, &folder)? {
            let body = match node.kind {
                NodeKind::Directory => Body::Directory,
                NodeKind::File(bytes) => Body::Bytes(bytes),
                NodeKind::Symlink(target) => Body::Symlink(target),
            };
            let owner = (node.uid, node.gid);
            layer.insert(node.path, LayerNode { mode: node.mode, owner, body });
        }
        let mut writer = store.writer()?;
        let layer = Arc::new(layer);
        let written = std::io::copy(&mut layer.reader()?, &mut writer)?;
        if written != layer.size() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(writer.commit()?.0)
    })
    .await
}

fn directory(store: &Store) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("checkout-").tempdir_in(store.tmp_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_named_in_full_need_nobody() {
        let sha1 = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(full_commit(sha1), Some(sha1.to_ascii_lowercase()));
        assert_eq!(full_commit(&"a".repeat(64)), Some("a".repeat(64)));
        for other in ["v1.0.0", "0123456", &"a".repeat(41), &"g".repeat(40), "HEAD", ""] {
            assert_eq!(full_commit(other), None, "{other}");
        }
    }

    #[test]
    fn an_annotated_tag_is_its_commit() {
        let listed =
            "1\tHEAD\n1\trefs/heads/main\n2\trefs/tags/v1\n3\trefs/tags/v1^{}\n4\trefs/tags/v2";
        for (name, commit) in [
            ("HEAD", Some("1")),
            ("refs/heads/main", Some("1")),
            ("refs/tags/v1", Some("3")),
            ("refs/tags/v2", Some("4")),
            ("refs/tags/v3", None),
        ] {
            assert_eq!(commit_of(listed, name), commit, "{name}");
        }
    }

    #[test]
    fn a_repository_is_known_without_passwords_and_from_anywhere() {
        assert_eq!(repository("https://u:secret@h/r"), repository("https://u:other@h/r"));
        assert!(!repository("https://u:secret@h/r").contains("secret"));
        assert_eq!(repository("git@h:r"), "git@h:r");
        assert!(repository("./r").starts_with('/'));
        assert_eq!(repository("/there/r"), "/there/r");
    }
}
