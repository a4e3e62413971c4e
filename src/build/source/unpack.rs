//! [`unpack`]: a source archive becomes a tree.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

use super::tree::TreeWriter;
use super::{Limits, SourceError};
use crate::vocab::sdist_filename::SdistFormat;

/// Unpacks `archive` below `into`, an empty directory, and returns the project's directory: the
/// archive's top folder, or `into` when there is not exactly one.
///
/// # Errors
/// [`SourceError`], naming the entry at fault; what was unpacked before it stays in `into`.
pub(crate) fn unpack(
    archive: &Path,
    format: SdistFormat,
    into: &Path,
    limits: Limits,
) -> Result<PathBuf, SourceError> {
    let broken = |source| SourceError::Archive { archive: archive.into(), source };
    let file = File::open(archive).map_err(broken)?;
    let mut tree = TreeWriter::new(into, limits);
    match format {
        SdistFormat::TarGz => tar(MultiGzDecoder::new(BufReader::new(file)), &mut tree, &broken),
        SdistFormat::TarBz2 => tar(MultiBzDecoder::new(BufReader::new(file)), &mut tree, &broken),
        SdistFormat::Tar => tar(BufReader::new(file), &mut tree, &broken),
        SdistFormat::Zip => zip(archive, file, &mut tree),
    }?;
    tree.finish()
}

fn tar(
    reader: impl Read,
    tree: &mut TreeWriter<'_>,
    broken: &dyn Fn(io::Error) -> SourceError,
) -> Result<(), SourceError> {
    use tar::EntryType;

    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        // Old archives have names in any encoding; files so named are only ever test data.
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(path) = tree.name(&name)? else { continue };
        let link = entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned());
        match kind {
            EntryType::Directory => tree.directory(&path)?,
            EntryType::Symlink => tree.symlink(path, link.unwrap_or_default())?,
            EntryType::Link => tree.hard_link(&path, &link.unwrap_or_default())?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(SourceError::Kind { entry: name });
            }
            // Tars before POSIX mark a directory only by the slash at the end of its name.
            EntryType::Regular if name.ends_with('/') => tree.directory(&path)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode().map_err(broken)? & 0o111 != 0;
                let modified = entry
                    .header()
                    .mtime()
                    .ok()
                    .and_then(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)));
                tree.file(&path, executable, modified, &mut entry, broken)?;
            }
            _ => return Err(SourceError::Kind { entry: name }),
        }
    }
    Ok(())
}

fn zip(archive: &Path, file: File, tree: &mut TreeWriter<'_>) -> Result<(), SourceError> {
    let broken = |source| SourceError::Zip { archive: archive.into(), source };
    let unreadable = |source| SourceError::Archive { archive: archive.into(), source };
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(path) = tree.name(&name)? else { continue };
        if entry.is_symlink() {
            // A link's content is its target; no target is longer than a path may be.
            let mut target = String::new();
            (&mut entry).take(4096).read_to_string(&mut target).map_err(unreadable)?;
            tree.symlink(path, target)?;
        } else if entry.is_dir() {
            tree.directory(&path)?;
        } else {
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            tree.file(&path, executable, None, &mut entry, unreadable)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::os::unix::fs::PermissionsExt;

    use tar::{EntryType, Header};
    use tempfile::TempDir;

    use super::*;
    use crate::support::sdist::SdistMaker;

    /// Entries as (name, kind, mode, content or link target), written however bad they are.
    fn tarball(entries: &[(&str, EntryType, u32, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, mode, content) in entries {
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_mtime(1_000_000_000);
            let body = match kind {
                EntryType::Symlink | EntryType::Link => {
                    header.set_link_name_literal(content).unwrap();
                    ""
                }
                _ => content,
            };
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn run(bytes: &[u8], format: SdistFormat, limits: Limits) -> Result<TempDir, SourceError> {
        let dir = TempDir::new().unwrap();
        let archive = dir.path().join("archive");
        std::fs::write(&archive, bytes).unwrap();
        let into = dir.path().join("into");
        std::fs::create_dir(&into).unwrap();
        unpack(&archive, format, &into, limits).map(|_| dir)
    }

    fn root(dir: &TempDir) -> PathBuf {
        dir.path().join("into")
    }

    #[test]
    fn files_modes_times_and_links_are_kept() {
        let dir = run(
            &tarball(&[
                ("./a-1/", EntryType::Directory, 0o700, ""),
                ("./a-1/run.sh", EntryType::Regular, 0o4711, "#!/bin/sh\n"),
                ("a-1//doc", EntryType::Regular, 0o600, "old"),
                ("a-1/doc", EntryType::Regular, 0o600, "new"),
                ("a-1/link", EntryType::Symlink, 0o777, "sub/../doc"),
                ("a-1/hard", EntryType::Link, 0o644, "a-1/run.sh"),
                ("a-1/sub", EntryType::Directory, 0o755, ""),
                ("a-1/nowhere", EntryType::Symlink, 0o777, "missing"),
            ]),
            SdistFormat::Tar,
            Limits::default(),
        )
        .unwrap();
        let at = |name: &str| root(&dir).join("a-1").join(name);
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("run.sh"), mode("doc"), mode("hard")), (0o755, 0o644, 0o755));
        assert_eq!(std::fs::read_to_string(at("link")).unwrap(), "new");
        let modified = std::fs::metadata(at("doc")).unwrap().modified().unwrap();
        assert_eq!(
            modified.duration_since(SystemTime::UNIX_EPOCH).unwrap(),
            Duration::from_secs(1_000_000_000)
        );
    }

    #[test]
    fn the_project_is_the_one_top_folder_or_the_root() {
        for (names, project) in [
            (vec!["a-1/setup.py", "a-1/a.py"], "a-1"),
            (vec!["setup.py", "a.py"], ""),
            (vec!["setup.py"], ""),
            (vec!["a-1/setup.py", "b/x"], ""),
        ] {
            let entries: Vec<_> =
                names.iter().map(|name| (*name, EntryType::Regular, 0o644, "")).collect();
            let dir = TempDir::new().unwrap();
            let archive = dir.path().join("archive");
            std::fs::write(&archive, tarball(&entries)).unwrap();
            let into = dir.path().join("into");
            std::fs::create_dir(&into).unwrap();
            let found = unpack(&archive, SdistFormat::Tar, &into, Limits::default()).unwrap();
            assert_eq!(found, into.join(project), "{names:?}");
        }
    }

    #[track_caller]
    fn refused(entries: &[(&str, EntryType, u32, &str)]) -> String {
        let error = run(&tarball(entries), SdistFormat::Tar, Limits::default()).unwrap_err();
        std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }

    #[test]
    fn what_would_leave_the_tree_is_refused_by_name() {
        use EntryType::{Block, Fifo, Link, Regular, Symlink};
        insta::assert_snapshot!(refused(&[("a/../../x", Regular, 0o644, "")]),
            @"the entry `a/../../x` is refused: the path `a/../../x` climbs out with `..`");
        insta::assert_snapshot!(refused(&[("/etc/passwd", Regular, 0o644, "")]),
            @"the entry `/etc/passwd` is refused: the path `/etc/passwd` is absolute");
        insta::assert_snapshot!(refused(&[("a/l", Symlink, 0o777, "/etc")]),
            @"the entry `a/l` links to `/etc`, outside of the tree");
        insta::assert_snapshot!(refused(&[("a/l", Symlink, 0o777, "../../x")]),
            @"the entry `a/l` links to `../../x`, outside of the tree");
        // Each is inside by its text; together they lead out.
        insta::assert_snapshot!(refused(&[("a/b/l", Symlink, 0o777, "../.."), ("m", Symlink, 0o777, "a/b/l/..")]),
            @"the entry `m` links to `a/b/l/..`, outside of the tree");
        insta::assert_snapshot!(refused(&[("l", Symlink, 0o777, "."), ("l/x", Regular, 0o644, "")]),
            @"the entry `l` is both a file and a directory");
        insta::assert_snapshot!(refused(&[("a/h", Link, 0o644, "../x")]),
            @"the entry `../x` is refused: the path `../x` climbs out with `..`");
        insta::assert_snapshot!(refused(&[("a/h", Link, 0o644, "a/x")]),
            @"the entry `a/h` is a hard link to `a/x`, which is no file before it");
        insta::assert_snapshot!(refused(&[("a/f", Fifo, 0o644, "")]),
            @"the entry `a/f` is neither a file, a directory nor a link");
        insta::assert_snapshot!(refused(&[("a/d", Block, 0o644, "")]),
            @"the entry `a/d` is neither a file, a directory nor a link");
        insta::assert_snapshot!(refused(&[("a", Regular, 0o644, ""), ("a/b", Regular, 0o644, "")]),
            @"the entry `a` is both a file and a directory");
    }

    #[test]
    fn no_link_is_made_through_another() {
        // The first would lead out of the tree, and the second be made where it leads.
        let bytes = tarball(&[
            ("a-1/setup.py", EntryType::Regular, 0o644, ""),
            ("a-1/out", EntryType::Symlink, 0o777, "../../beside"),
            ("a-1/out/evil", EntryType::Symlink, 0o777, "target"),
        ]);
        let dir = TempDir::new().unwrap();
        let [into, beside] = ["into", "beside"].map(|name| dir.path().join(name));
        std::fs::create_dir(&into).unwrap();
        std::fs::create_dir(&beside).unwrap();
        let archive = dir.path().join("archive");
        std::fs::write(&archive, bytes).unwrap();
        let error = unpack(&archive, SdistFormat::Tar, &into, Limits::default()).unwrap_err();
        assert_eq!(std::fs::read_dir(&beside).unwrap().count(), 0);
        assert_eq!(error.to_string(), "the entry `a-1/out` is both a file and a directory");
    }

    #[test]
    fn limits_hold_while_unpacking() {
        let bytes = tarball(&[
            ("a/x", EntryType::Regular, 0o644, "12345"),
            ("a/y", EntryType::Regular, 0o644, "67890"),
        ]);
        let error = |entries, bytes_| {
            let limits = Limits { entries, bytes: bytes_ };
            run(&bytes, SdistFormat::Tar, limits).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(error(2, 10), Ok(()));
        insta::assert_snapshot!(error(1, 10).unwrap_err(), @"the source archive holds more than 1 entries");
        insta::assert_snapshot!(error(2, 9).unwrap_err(), @"the source archive unpacks to more than 9 bytes, at the entry `a/y`");
    }

    #[test]
    fn every_format_is_read_and_a_cut_one_is_an_error() {
        let gz = SdistMaker::new("demo", "1.0").bytes();
        let dir = run(&gz, SdistFormat::TarGz, Limits::default()).unwrap();
        assert!(root(&dir).join("demo-1.0/PKG-INFO").is_file());
        for end in [0, 10, gz.len() / 2] {
            assert!(run(&gz[..end], SdistFormat::TarGz, Limits::default()).is_err(), "{end}");
        }

        let tar = tarball(&[("a/x", EntryType::Regular, 0o644, "x")]);
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz.write_all(&tar).unwrap();
        let dir = run(&bz.finish().unwrap(), SdistFormat::TarBz2, Limits::default()).unwrap();
        assert!(root(&dir).join("a/x").is_file());

        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.add_directory("a/", options).unwrap();
        zip.start_file("a/x.sh", options.unix_permissions(0o755)).unwrap();
        zip.write_all(b"x").unwrap();
        zip.add_symlink("a/l", "x.sh", options).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        let dir = run(&zip, SdistFormat::Zip, Limits::default()).unwrap();
        assert_eq!(std::fs::read(root(&dir).join("a/l")).unwrap(), b"x");
        assert!(run(&zip[..zip.len() / 2], SdistFormat::Zip, Limits::default()).is_err());
        assert!(run(b"<html>", SdistFormat::Tar, Limits::default()).is_err());
    }
}
