//! Planning an installation: where each entry goes, and what is added (PEP 427, "Installing a wheel").

use std::collections::BTreeMap;

use super::archive::{ArchiveEntry, WheelArchive, child};
use super::entry_points::EntryPoints;
use super::error::{Fault, WheelError};
use super::record::{Record, RecordHash, Rows};
use super::scheme::Scheme;
use super::scripts::{PLACEHOLDER, launcher, with_interpreter};
use super::tree::{Content, Facts, InstallOptions, TreeEntry};
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;

/// What installers write into `.dist-info`; a wheel that brings them along is not believed.
const INSTALLERS_OWN: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];

pub(super) fn plan(
    archive: &WheelArchive,
    scheme: &Scheme,
    options: &InstallOptions<'_>,
) -> Result<Vec<(TreeEntry, Facts)>, WheelError> {
    let fail = |fault: Fault| fault.of(archive.filename());
    archive.check_format()?;
    let record = Record::parse(&archive.record_bytes()?).map_err(fail)?;
    let points = archive
        .read_info("entry_points.txt")?
        .map(|bytes| EntryPoints::parse(&bytes))
        .transpose()
        .map_err(fail)?
        .unwrap_or_default();
    let mut planner = Planner { archive, scheme, record, points, placed: BTreeMap::new() };
    planner.place_archive()?;
    planner.place_launchers().map_err(fail)?;
    planner.place_installers_own(options).map_err(fail)?;
    planner.finish().map_err(fail)
}

struct Planner<'a> {
    archive: &'a WheelArchive,
    scheme: &'a Scheme,
    record: Record,
    points: EntryPoints,
    placed: BTreeMap<SafePath, Placed>,
}

struct Placed {
    /// What it is in the wheel, for errors.
    origin: String,
    mode: u32,
    content: Content,
    facts: Facts,
}

/// Where an entry of the archive goes.
struct Destination {
    path: SafePath,
    is_script: bool,
}

impl Planner<'_> {
    fn place_archive(&mut self) -> Result<(), WheelError> {
        let fail = |fault: Fault| fault.of(self.archive.filename());
        let archive = self.archive;
        let mut project = None;
        for (index, entry) in archive.entries().iter().enumerate() {
            let Some(destination) = self.destination(entry, &mut project)? else { continue };
            let name = entry.path.to_string();
            let placed = if destination.is_script && self.asks_for_python(entry)? {
                let bytes = archive.read(entry)?;
                self.facts_of(entry, &bytes).map_err(fail)?;
                let script = with_interpreter(&bytes, &self.scheme.interpreter()).unwrap_or(bytes);
                Placed::bytes(name, 0o755, script)
            } else {
                let executable = entry.executable || destination.is_script;
                let facts = match self.record.get(&entry.path) {
                    Some(RecordHash::Sha256(digest)) => Facts { digest: *digest, size: entry.size },
                    _ => self.facts_of(entry, &archive.read(entry)?).map_err(fail)?,
                };
                let mode = if executable { 0o755 } else { 0o644 };
                Placed { origin: name, mode, content: Content::Archive(index), facts }
            };
            self.place(destination.path, placed).map_err(fail)?;
        }
        Ok(())
    }

    /// What is known of the content `bytes`, which must be what RECORD says if it says anything.
    fn facts_of(&self, entry: &ArchiveEntry, bytes: &[u8]) -> Result<Facts, Fault> {
        let size = bytes.len() as u64;
        let Some(hash) = self.record.get(&entry.path) else {
            return Ok(Facts { digest: Digest::of(bytes), size });
        };
        match hash.check(bytes) {
            Ok(digest) => Ok(Facts { digest, size }),
            Err(found) => Err(Fault::RecordHash {
                name: entry.path.to_string(),
                recorded: hash.text(),
                found,
            }),
        }
    }

    fn asks_for_python(&self, entry: &ArchiveEntry) -> Result<bool, WheelError> {
        // Scripts may be large binaries: only the first bytes are inflated to know.
        Ok(self.archive.read_start(entry, PLACEHOLDER.len() as u64)? == PLACEHOLDER)
    }

    /// Where `entry` goes; none when it is not installed. `project` is the name headers are kept
    /// under, read when the first header needs it.
    fn destination(
        &self,
        entry: &ArchiveEntry,
        project: &mut Option<SafePath>,
    ) -> Result<Option<Destination>, WheelError> {
        let fail = |fault: Fault| fault.of(self.archive.filename());
        let site_packages = self.scheme.site_packages();
        if let Some(file) = entry.path.strip_prefix(self.archive.dist_info().as_str())
            && INSTALLERS_OWN.contains(&file.as_str())
        {
            return Ok(None);
        }
        let spread = entry.path.as_str().split_once('/').filter(|(top, _)| top.ends_with(".data"));
        let Some((_, below)) = spread else {
            let path = site_packages.join(&entry.path);
            return Ok(Some(Destination { path, is_script: false }));
        };
        let no_place = || fail(Fault::Data { name: entry.path.to_string() });
        let (key, rest) = below.split_once('/').ok_or_else(no_place)?;
        let rest: SafePath = rest.parse().map_err(|source| fail(Fault::Path { source }))?;
        let path = match key {
            "purelib" | "platlib" => site_packages.join(&rest),
            "scripts" if self.points.replaces(rest.file_name()) => return Ok(None),
            "scripts" => self.scheme.scripts().join(&rest),
            "data" => rest,
            "headers" => {
                if project.is_none() {
                    let name = self.archive.metadata()?.display_name;
                    *project = Some(name.parse().map_err(|source| fail(Fault::Path { source }))?);
                }
                let project = project.as_ref().expect("the lines above have set it");
                self.scheme.headers().join(project).join(&rest)
            }
            _ => return Err(no_place()),
        };
        Ok(Some(Destination { path, is_script: key == "scripts" }))
    }

    fn place_launchers(&mut self) -> Result<(), Fault> {
        let interpreter = self.scheme.interpreter();
        for (name, reference) in self.points.commands(self.scheme.minor()) {
            let path = child(&self.scheme.scripts(), &name);
            let script = launcher(&interpreter, &reference);
            self.place(path, Placed::bytes(format!("entry point {name}"), 0o755, script))?;
        }
        Ok(())
    }

    fn place_installers_own(&mut self, options: &InstallOptions<'_>) -> Result<(), Fault> {
        let mut own = vec![("INSTALLER", format!("{}\n", options.installer))];
        if options.requested {
            own.push(("REQUESTED", String::new()));
        }
        if let Some(direct_url) = &options.direct_url {
            own.push(("direct_url.json", direct_url.to_json()));
        }
        for (name, text) in own {
            let path = child(&self.dist_info(), name);
            self.place(path, Placed::bytes(name.into(), 0o644, text.into_bytes()))?;
        }
        Ok(())
    }

    /// The installed `.dist-info` directory.
    fn dist_info(&self) -> SafePath {
        self.scheme.site_packages().join(self.archive.dist_info())
    }

    fn place(&mut self, path: SafePath, placed: Placed) -> Result<(), Fault> {
        // An environment's `lib64` is a link to `lib`; nothing is written through a link.
        let path = match path.strip_prefix("lib64") {
            Some(below) => child_of_lib(&below),
            None => path,
        };
        if is_reserved(&path) {
            return Err(Fault::Reserved { name: placed.origin, path: path.to_string() });
        }
        if let Some(first) = self.placed.get(&path) {
            let (first, second) = (first.origin.clone(), placed.origin);
            return Err(Fault::Collision { path: path.to_string(), first, second });
        }
        self.placed.insert(path, placed);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(TreeEntry, Facts)>, Fault> {
        self.refuse_files_as_directories()?;
        let site_packages = self.scheme.site_packages();
        let record_path = child(&self.dist_info(), "RECORD");
        if let Some(first) = self.placed.get(&record_path) {
            let (first, second) = (first.origin.clone(), "RECORD".into());
            return Err(Fault::Collision { path: record_path.to_string(), first, second });
        }
        let mut rows = Rows::default();
        for (path, placed) in &self.placed {
            rows.push(relative(path, &site_packages), &placed.facts.digest, placed.facts.size);
        }
        let record = rows.installed(&relative(&record_path, &site_packages));
        let last = (record_path, Placed::bytes("RECORD".into(), 0o644, record));
        let placed = std::mem::take(&mut self.placed);
        Ok(placed
            .into_iter()
            .chain([last])
            .map(|(path, Placed { mode, content, facts, .. })| {
                (TreeEntry { path, mode, content }, facts)
            })
            .collect())
    }

    fn refuse_files_as_directories(&self) -> Result<(), Fault> {
        for (path, placed) in &self.placed {
            let mut parent = path.parent();
            while let Some(directory) = parent {
                if let Some(file) = self.placed.get(&directory) {
                    return Err(Fault::Collision {
                        path: directory.to_string(),
                        first: file.origin.clone(),
                        second: placed.origin.clone(),
                    });
                }
                parent = directory.parent();
            }
        }
        Ok(())
    }
}

impl Placed {
    fn bytes(origin: String, mode: u32, bytes: Vec<u8>) -> Self {
        let facts = Facts { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        Self { origin, mode, content: Content::Bytes(bytes), facts }
    }
}

fn child_of_lib(below: &SafePath) -> SafePath {
    let lib: SafePath = "lib".parse().expect("`lib` is a safe path");
    lib.join(below)
}

/// Whether `path` is a part of the environment itself. Commands such as
/// `python-argcomplete-check-easy-install-script` or `activate-global-python-argcomplete` are not.
fn is_reserved(path: &SafePath) -> bool {
    match path.as_str() {
        "pyvenv.cfg" | "bin" | "lib" | "lib64" => true,
        text => text.strip_prefix("bin/").is_some_and(|command| {
            let interpreter = command
                .strip_prefix("python")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
            let lower = command.to_ascii_lowercase();
            interpreter || lower == "activate" || lower.starts_with("activate.")
        }),
    }
}

/// `path` as RECORD writes it: relative to the directory that holds `.dist-info`.
fn relative(path: &SafePath, from: &SafePath) -> String {
    let common = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().count() - common;
    let down: Vec<&str> = path.components().skip(common).collect();
    format!("{}{}", "../".repeat(up), down.join("/"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::support::wheel::WheelMaker;
    use crate::wheel::direct_url::DirectUrl;
    use crate::wheel::fixture::{Kept, chain, install, open, open_bytes};
    use crate::wheel::tree::InstallTree;

    const SITE: &str = "lib/python3.11/site-packages";

    fn maker() -> WheelMaker {
        WheelMaker::new("foo", "1.0")
    }

    #[test]
    fn every_part_has_its_place() {
        let wheel = maker()
            .file_with_mode("foo/tool.sh", "x", 0o775)
            .file("foo-1.0.data/purelib/pure.py", "p")
            .file("foo-1.0.data/platlib/plat.so", "s")
            .file("foo-1.0.data/scripts/run", "#!python\nrun")
            .file("foo-1.0.data/scripts/plain", "#!/bin/sh\n")
            .file("foo-1.0.data/scripts/foo-cmd", "an old wrapper")
            .file("foo-1.0.data/data/etc/foo/foo.conf", "c")
            .file("foo-1.0.data/data/lib64/foo.txt", "6")
            .file("foo-1.0.data/headers/foo.h", "h")
            .file("foo-1.0.dist-info/INSTALLER", "someone else")
            .entry_points("[console_scripts]\nfoo-cmd = foo:main\n");
        let kept = install(&wheel).unwrap();
        let listing: Vec<String> =
            kept.0.iter().map(|(path, (mode, _))| format!("{mode:o} {path}")).collect();
        insta::assert_snapshot!(listing.join("\n"), @r"
        755 bin/foo-cmd
        755 bin/plain
        755 bin/run
        644 etc/foo/foo.conf
        644 include/site/python3.11/foo/foo.h
        644 lib/foo.txt
        644 lib/python3.11/site-packages/foo-1.0.dist-info/INSTALLER
        644 lib/python3.11/site-packages/foo-1.0.dist-info/METADATA
        644 lib/python3.11/site-packages/foo-1.0.dist-info/RECORD
        644 lib/python3.11/site-packages/foo-1.0.dist-info/WHEEL
        644 lib/python3.11/site-packages/foo-1.0.dist-info/entry_points.txt
        644 lib/python3.11/site-packages/foo.py
        755 lib/python3.11/site-packages/foo/tool.sh
        644 lib/python3.11/site-packages/plat.so
        644 lib/python3.11/site-packages/pure.py
        ");
        assert_eq!(kept.text("bin/run"), "#!/env/bin/python\nrun");
        insta::assert_snapshot!(kept.text(&format!("{SITE}/foo-1.0.dist-info/RECORD")).replace('\r', ""), @r"
        ../../../bin/foo-cmd,sha256=FZe6E_4ew097a8AUq_HJPJH9CM6y_-lgqtQdNzxkTL0,201
        ../../../bin/plain,sha256=qAdtPSjSHgIBKyDq99v3VAmmJ3E0Q5Al8oLjaOMwWr8,10
        ../../../bin/run,sha256=ivmJ_u2HF2WnK2ls0_fe2FEMRAGNb4SGJkaur-c6y8g,21
        ../../../etc/foo/foo.conf,sha256=Ln0sA6lQeuJl7PW1NWiFpTOTogKdJBOUmXJloaJa78Y,1
        ../../../include/site/python3.11/foo/foo.h,sha256=qqlAJmTxpB9A67xSyZk-tmrrNmYClY_fqig7ceZNsSM,1
        ../../foo.txt,sha256=5_bAEXdujbfNMwtUF0_Xb30CFrYSOHpf_PuB5vCRloM,1
        foo-1.0.dist-info/INSTALLER,sha256=0BcGEse2DdX-5cFgBRIqkL-9sD-TUVncDSNhE6oevrU,5
        foo-1.0.dist-info/METADATA,sha256=C3oe-VREfT1pzhgykVjrc6HzanP2BK3hPoD4n4Gy5DI,45
        foo-1.0.dist-info/RECORD,,
        foo-1.0.dist-info/WHEEL,sha256=dt6HpiaLQ-rwp2XUF5t1N01V0XjZTujOin7KG737c1g,78
        foo-1.0.dist-info/entry_points.txt,sha256=Xor0OicaNaLWTKjEpqu-3YqX_IpFJqe8fUpslJ8vHKs,37
        foo.py,sha256=kM55qqhSrc4b-StNTuN03Srg0kwfg1G4BckCKhUytaE,20
        foo/tool.sh,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1
        plat.so,sha256=BDpxh3TFcr2KJa2-sb_NXAJWrhHOz5-cP5JdDlK-r4k,1
        pure.py,sha256=FI3pxaekTRnlbNmuGlVL9nhHr7DFj24S-imsfd_KmUA,1
        ");
    }

    #[test]
    fn the_installer_says_what_it_knows() {
        let options = InstallOptions {
            requested: true,
            direct_url: Some(DirectUrl::Directory { url: "file:///src".into() }),
            installer: "loci",
        };
        let scheme = Scheme::for_python(12, Path::new("/env"));
        let tree = InstallTree::plan(&open(&maker()).unwrap(), &scheme, &options).unwrap();
        let mut kept = Kept::default();
        tree.emit(&mut kept).unwrap();
        let info = "lib/python3.12/site-packages/foo-1.0.dist-info";
        assert_eq!(kept.text(&format!("{info}/INSTALLER")), "loci\n");
        assert_eq!(kept.text(&format!("{info}/REQUESTED")), "");
        assert!(kept.text(&format!("{info}/direct_url.json")).contains("file:///src"));
        assert_eq!(tree.entries().last().unwrap().path.file_name(), "RECORD");
        for (entry, facts) in tree.contents() {
            let bytes = &kept.0[entry.path.as_str()].1;
            assert_eq!(facts, Facts { digest: Digest::of(bytes), size: bytes.len() as u64 });
        }
    }

    #[test]
    fn what_belongs_to_the_environment_stays() {
        let refused = |path: &str| {
            install(&maker().file(&format!("foo-1.0.data/{path}"), "#!python\n"))
                .err()
                .map(|error| chain(&error))
        };
        insta::assert_snapshot!(refused("scripts/python").unwrap(), @"the wheel `foo-1.0-py3-none-any.whl` cannot be used: the entry `foo-1.0.data/scripts/python` would overwrite `bin/python`, which belongs to the environment");
        for path in [
            "scripts/python3",
            "scripts/python3.11",
            "scripts/activate",
            "scripts/activate.fish",
            "scripts/Activate.ps1",
            "data/pyvenv.cfg",
            "data/bin/python",
            "data/lib64",
            "data/lib",
        ] {
            assert!(refused(path).is_some(), "{path}");
        }
        for path in
            ["scripts/python-argcomplete-check", "scripts/activate-global-python-argcomplete"]
        {
            assert_eq!(refused(path), None);
        }
        let entry_point = maker().entry_points("[console_scripts]\npython3 = foo:main\n");
        assert!(install(&entry_point).is_err());
    }

    #[test]
    fn entries_without_a_place_or_with_the_same_are_refused() {
        let refused = |path: &str| chain(&install(&maker().file(path, "")).err().unwrap().fault);
        insta::assert_snapshot!(refused("foo-1.0.data/else/x"), @"the entry `foo-1.0.data/else/x` is not below `scripts`, `data`, `headers`, `purelib` or `platlib`");
        insta::assert_snapshot!(refused("foo-1.0.data/x"), @"the entry `foo-1.0.data/x` is not below `scripts`, `data`, `headers`, `purelib` or `platlib`");
        insta::assert_snapshot!(refused("foo-1.0.data/purelib/foo.py"), @"the entries `foo.py` and `foo-1.0.data/purelib/foo.py` would both be installed at `lib/python3.11/site-packages/foo.py`");
        insta::assert_snapshot!(refused("foo-1.0.data/purelib/foo-1.0.dist-info/RECORD"), @"the entries `foo-1.0.data/purelib/foo-1.0.dist-info/RECORD` and `RECORD` would both be installed at `lib/python3.11/site-packages/foo-1.0.dist-info/RECORD`");
        insta::assert_snapshot!(refused("foo-1.0.data/purelib/foo.py/x"), @"the entries `foo.py` and `foo-1.0.data/purelib/foo.py/x` would both be installed at `lib/python3.11/site-packages/foo.py`");
    }

    #[test]
    fn record_is_held_against_the_content() {
        // The content is stored by then, so the fault is seen when the entry is inflated.
        let wheel = maker().file("foo/a.txt", "x");
        let text = "sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE";
        let error = |bytes: &[u8]| {
            let archive = open_bytes(bytes, &wheel.filename()).unwrap();
            let options = InstallOptions { requested: false, direct_url: None, installer: "loci" };
            let scheme = Scheme::for_python(11, Path::new("/env"));
            InstallTree::plan(&archive, &scheme, &options)
                .and_then(|tree| tree.emit(&mut Kept::default()))
                .map_err(|error| chain(&error))
        };
        let record = format!("foo/a.txt,{text},1\n");
        let wrong = record.replace("LXEW", "LXEX");
        let with_record = |record: &str| {
            wheel.clone().without_record().file("foo-1.0.dist-info/RECORD", record).bytes()
        };
        assert_eq!(error(&with_record(&record)), Ok(()));
        assert_eq!(error(&with_record("")), Ok(()));
        insta::assert_snapshot!(error(&with_record(&wrong)).unwrap_err(), @"the wheel `foo-1.0-py3-none-any.whl` cannot be used: the entry `foo/a.txt` has the hash `sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE`, and RECORD says `sha256=LXEXQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE`");
        let strong = "foo/a.txt,sha512=AAAA,1\n";
        assert!(error(&with_record(strong)).is_err());
    }

    #[test]
    fn paths_are_relative_to_site_packages() {
        let from: SafePath = SITE.parse().unwrap();
        for (path, found) in [
            ("lib/python3.11/site-packages/a/b", "a/b"),
            ("lib/python3.11/other", "../other"),
            ("bin/x", "../../../bin/x"),
            ("lib/x", "../../x"),
        ] {
            assert_eq!(relative(&path.parse().unwrap(), &from), found);
        }
    }
}
