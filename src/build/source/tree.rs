//! [`TreeWriter`]: writes the entries of an archive below a directory, and nowhere else.
//!
//! Symbolic links are made last, so that nothing is ever written through one, and are then followed
//! to see that they stay inside.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use super::{Limits, SourceError};
use crate::vocab::safe_path::SafePath;

/// What a path of the tree is, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

pub(super) struct TreeWriter<'a> {
    root: &'a Path,
    limits: Limits,
    entries: usize,
    bytes: u64,
    seen: BTreeMap<SafePath, Kind>,
    links: BTreeMap<SafePath, String>,
    top: BTreeSet<String>,
}

impl<'a> TreeWriter<'a> {
    /// Writes below `root`, an empty directory.
    pub(super) fn new(root: &'a Path, limits: Limits) -> Self {
        Self {
            root,
            limits,
            entries: 0,
            bytes: 0,
            seen: BTreeMap::new(),
            links: BTreeMap::new(),
            top: BTreeSet::new(),
        }
    }

    /// Checks an entry's name; none for the root itself. `./`, doubled and trailing slashes, as old
    /// archives have them, mean nothing and are left out.
    pub(super) fn name(&mut self, text: &str) -> Result<Option<SafePath>, SourceError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(SourceError::Entries { limit: self.limits.entries });
        }
        let refuse = |source| SourceError::Name { entry: text.into(), source };
        let root = if text.starts_with('/') { "/" } else { "" };
        let parts: Vec<&str> = text.split('/').filter(|p| !matches!(*p, "" | ".")).collect();
        if parts.is_empty() && root.is_empty() {
            return Ok(None);
        }
        let path: SafePath = format!("{root}{}", parts.join("/")).parse().map_err(refuse)?;
        self.top.extend(path.components().next().map(str::to_owned));
        Ok(Some(path))
    }

    pub(super) fn directory(&mut self, path: &SafePath) -> Result<(), SourceError> {
        self.claim(path, Kind::Directory)?;
        let path = path.under(self.root);
        fs::create_dir_all(&path).map_err(|source| SourceError::Write { path, source })
    }

    /// Writes a file. A later entry of the same name replaces an earlier one, as tar has it.
    /// Modes are 0644 or 0755; times are kept because makefiles compare them.
    pub(super) fn file(
        &mut self,
        path: &SafePath,
        executable: bool,
        modified: Option<SystemTime>,
        content: impl Read,
        broken: impl FnOnce(io::Error) -> SourceError,
    ) -> Result<(), SourceError> {
        if let Some(parent) = path.parent() {
            self.directory(&parent)?;
        }
        self.claim(path, Kind::File)?;
        let full = path.under(self.root);
        let failed = |source| SourceError::Write { path: full.clone(), source };
        match fs::remove_file(&full) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if executable { 0o755 } else { 0o644 })
            .open(&full)
            .map_err(failed)?;
        // Reading one byte more than is allowed tells a file that is too large from one that fits.
        let left = self.limits.bytes - self.bytes;
        let mut content = content.take(left + 1);
        let mut buffer = [0; 64 * 1024];
        let mut written = 0;
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(error)),
            };
            written += count as u64;
            if written > left {
                let limit = self.limits.bytes;
                return Err(SourceError::Bytes { entry: path.to_string(), limit });
            }
            file.write_all(&buffer[..count]).map_err(failed)?;
        }
        self.bytes += written;
        if let Some(modified) = modified {
            file.set_modified(modified).map_err(failed)?;
        }
        Ok(())
    }

    /// A second name of a file before it: a copy, so that a build changing one leaves the other.
    pub(super) fn hard_link(&mut self, path: &SafePath, target: &str) -> Result<(), SourceError> {
        let unknown =
            || SourceError::HardLink { entry: path.to_string(), target: target.to_owned() };
        let original = self.name(target)?.ok_or_else(unknown)?;
        if self.seen.get(&original) != Some(&Kind::File) || original == *path {
            return Err(unknown());
        }
        let original = original.under(self.root);
        let file = fs::File::open(&original)
            .map_err(|source| SourceError::Read { path: original.clone(), source })?;
        let metadata = file
            .metadata()
            .map_err(|source| SourceError::Read { path: original.clone(), source })?;
        let executable = {
            use std::os::unix::fs::PermissionsExt;
            metadata.permissions().mode() & 0o100 != 0
        };
        self.file(path, executable, metadata.modified().ok(), file, |source| SourceError::Read {
            path: original,
            source,
        })
    }

    /// Remembers a symbolic link, to be made at the end.
    pub(super) fn symlink(&mut self, path: SafePath, target: String) -> Result<(), SourceError> {
        if target.starts_with('/') || target.is_empty() || target.contains('\0') {
            return Err(SourceError::Link { entry: path.to_string(), target });
        }
        self.links.insert(path, target);
        Ok(())
    }

    /// Makes the links and returns the project's directory: the one top folder, else the root.
    pub(super) fn finish(mut self) -> Result<PathBuf, SourceError> {
        for (path, target) in &std::mem::take(&mut self.links) {
            if self.seen.contains_key(path) {
                return Err(SourceError::Clash { entry: path.to_string() });
            }
            // The links made so far are not followed to their ends yet: below one of them, this one
            // would be made wherever that leads. A link sorts after all that it lies below.
            let above = std::iter::successors(path.parent(), SafePath::parent);
            if let Some(link) = above.into_iter().find(|above| self.links.contains_key(above)) {
                return Err(SourceError::Clash { entry: link.to_string() });
            }
            if let Some(parent) = path.parent() {
                self.directory(&parent)?;
            }
            let full = path.under(self.root);
            symlink(target, &full)
                .map_err(|source| SourceError::Write { path: full.clone(), source })?;
            self.links.insert(path.clone(), target.clone());
        }
        let root = fs::canonicalize(self.root)
            .map_err(|source| SourceError::Read { path: self.root.into(), source })?;
        for (path, target) in &self.links {
            let refused = || SourceError::Link { entry: path.to_string(), target: target.clone() };
            // Followed by the kernel, for a link may pass through other links. What leads nowhere
            // (a loop, a missing file) is judged by its text.
            match std::fs::canonicalize(path.under(self.root)) {
                Ok(real) if real.starts_with(&root) => {}
                Ok(_) => return Err(refused()),
                Err(_) if stays_inside(path, target) => {}
                Err(_) => return Err(refused()),
            }
        }
        let single = match self.top.len() {
            1 => self.top.first().map(|name| self.root.join(name)).filter(|path| path.is_dir()),
            _ => None,
        };
        Ok(single.unwrap_or_else(|| self.root.into()))
    }

    fn claim(&mut self, path: &SafePath, kind: Kind) -> Result<(), SourceError> {
        if self.seen.get(path).is_some_and(|known| *known == kind) {
            return Ok(());
        }
        let mut parent = path.parent();
        while let Some(path) = parent {
            if self.seen.get(&path) == Some(&Kind::File) {
                return Err(SourceError::Clash { entry: path.to_string() });
            }
            parent = path.parent();
            self.seen.insert(path, Kind::Directory);
        }
        match self.seen.insert(path.clone(), kind) {
            Some(known) if known != kind => Err(SourceError::Clash { entry: path.to_string() }),
            _ => Ok(()),
        }
    }
}

/// Whether a relative link at `path` stays below the root when read component by component.
fn stays_inside(path: &SafePath, target: &str) -> bool {
    let mut depth = path.components().count() - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}
