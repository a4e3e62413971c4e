//! What an image or a set is, in words: an overview, and lists of all that is in it.

use std::fmt::Write as _;

use super::table::Side::{Left, Right};
use super::table::table;
use super::words::{self, Paint};
use crate::image::files::{FileKind, ImageFile};
use crate::image::inspect::{ImageInfo, LayerInfo, WheelInfo};
use crate::pipeline::look::{Kind, System, View};
use crate::store::set::Origin;
use crate::vocab::civil::Civil;

/// What it is, in short.
#[must_use]
pub fn overview(view: &View, paint: Paint) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, text: String| rows.push([name.to_owned(), text]);
    if let Some(image) = &view.image {
        of_image(image, &mut row);
    }
    match &view.kind {
        Kind::Unread {} => {}
        Kind::Wheels { wheels } => {
            let bytes = words::bytes(wheels.iter().map(|wheel| wheel.size).sum());
            row("wheels", format!("{}, {bytes}", wheels.len()));
        }
        Kind::System(system) => of_system(system, &mut row),
    }
    let what = match &view.kind {
        Kind::Unread {} => "",
        Kind::Wheels { .. } if view.image.is_some() => ": an image of wheels",
        Kind::Wheels { .. } => ": a set of wheels",
        Kind::System(_) => ": an image with a root file system",
    };
    format!(
        "{}\n{}",
        paint.strong(words::one_line(&format!("{}{what}", view.reference))),
        table("  ", [Left, Left], &rows)
    )
}

fn of_image(image: &ImageInfo, row: &mut impl FnMut(&str, String)) {
    row("digest", image.digest.to_string());
    row("platform", image.platform.clone());
    if let Some(created) = &image.created {
        row("created", created.clone());
    }
    let layers = words::count(image.layers.len(), "layer");
    row("size", format!("{} in {layers}", words::bytes(image.size)));
    let config = &image.config;
    for (name, text) in [("user", &config.user), ("directory", &config.working_dir)] {
        if let Some(text) = text {
            row(name, text.clone());
        }
    }
    for (name, words) in [("entrypoint", &config.entrypoint), ("command", &config.cmd)] {
        if !words.is_empty() {
            row(name, command(words));
        }
    }
    for (name, texts) in
        [("variable", &config.env), ("port", &config.ports), ("volume", &config.volumes)]
    {
        for text in texts {
            row(name, text.clone());
        }
    }
    for (name, pairs) in [("label", &config.labels), ("annotation", &image.annotations)] {
        for (key, value) in pairs {
            row(name, format!("{key}={value}"));
        }
    }
}

fn of_system(system: &System, row: &mut impl FnMut(&str, String)) {
    let packages = &system.packages;
    if let Some(system) = &packages.system {
        row("distribution", system.name.clone());
    }
    let count =
        |number, bytes| format!("{}, {}", words::count(number, "package"), words::bytes(bytes));
    if !packages.distribution.is_empty() {
        let bytes = packages.distribution.iter().fold(0, |sum: u64, p| sum.saturating_add(p.bytes));
        row("packages", count(packages.distribution.len(), bytes));
    }
    if let Some(path) = &packages.unread {
        row("packages", unread(path));
    }
    if !packages.python.is_empty() {
        let bytes = packages.python.iter().filter_map(|p| p.bytes).fold(0, u64::saturating_add);
        row("python", count(packages.python.len(), bytes));
    }
    let totals = system.totals;
    row("files", format!("{}, {}", totals.count, words::bytes(totals.bytes)));
}

/// A list of packages that is there and of no use here.
pub(super) fn unread(path: &str) -> String {
    format!("listed in `{path}`, which cannot be read here")
}

/// A command as a shell would take it, as far as people have to see where its words end.
fn command(words: &[String]) -> String {
    let plain = |word: &String| {
        !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '\'')
    };
    let words = words.iter().map(|word| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The wheels, a line each.
#[must_use]
pub fn wheels(wheels: &[WheelInfo]) -> String {
    let rows: Vec<_> = wheels
        .iter()
        .map(|wheel| {
            [
                wheel.name.clone(),
                wheel.version.clone(),
                words::bytes(wheel.size),
                wheel.sha256.short(),
                wheel.file.clone(),
                wheel.origin.as_ref().map(origin).unwrap_or_default(),
            ]
        })
        .collect();
    table("", [Left, Left, Right, Left, Left, Left], &rows)
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Fetched { url } => url.clone(),
        Origin::Built { key } => format!("built ({})", key.short()),
        Origin::Imported { from } => format!("from {from}"),
    }
}

/// The packages, a line each: Python's, then the distribution's.
#[must_use]
pub fn packages(view: &View, paint: Paint) -> String {
    let mut out = String::new();
    match &view.kind {
        Kind::Unread {} => {}
        Kind::Wheels { wheels } => {
            let rows: Vec<_> = wheels
                .iter()
                .map(|w| [w.name.clone(), w.version.clone(), words::bytes(w.size)])
                .collect();
            out.push_str(&table("", [Left, Left, Right], &rows));
        }
        Kind::System(system) => {
            let packages = &system.packages;
            let rows: Vec<_> = packages
                .python
                .iter()
                .map(|p| {
                    let bytes = p.bytes.map(words::bytes).unwrap_or_else(|| "-".into());
                    [p.name.clone(), p.version.clone(), bytes, format!("/{}", p.path)]
                })
                .collect();
            let _ = writeln!(out, "{}", paint.strong(format!("Python: {}", rows.len())));
            out.push_str(&table("", [Left, Left, Right, Left], &rows));
            let rows: Vec<_> = packages
                .distribution
                .iter()
                .map(|p| {
                    let bytes = words::bytes(p.bytes);
                    [p.name.clone(), p.version.clone(), bytes, p.architecture.clone()]
                })
                .collect();
            let name = packages.system.as_ref().map_or("distribution", |system| &system.name);
            let many = match &packages.unread {
                Some(path) => unread(path),
                None => rows.len().to_string(),
            };
            let head = words::one_line(&format!("{name}: {many}"));
            let _ = writeln!(out, "{}", paint.strong(head));
            out.push_str(&table("", [Left, Left, Right, Left], &rows));
        }
    }
    out
}

/// The layers, a line each, the lowest first.
#[must_use]
pub fn layers(layers: &[LayerInfo]) -> String {
    let rows: Vec<_> = layers
        .iter()
        .map(|layer| {
            let made = layer.created_by.as_deref().unwrap_or_default();
            [
                layer.digest.to_string(),
                words::bytes(layer.size),
                packing(&layer.media_type).to_owned(),
                made.to_owned(),
            ]
        })
        .collect();
    table("", [Left, Right, Left, Left], &rows)
}

/// What a media type says that two layers of one kind may differ in.
fn packing(media_type: &str) -> &str {
    let end = |end: &str| media_type.ends_with(end);
    match () {
        () if end("+gzip") || end(".gzip") => "gzip",
        () if end("+zstd") || end(".zstd") => "zstd",
        () if end(".tar") => "tar",
        () => media_type,
    }
}

/// The files, a line each, as `tar tv` shows them.
#[must_use]
pub fn files(system: &System) -> String {
    let rows: Vec<_> = system
        .files
        .iter()
        .map(|(path, file)| {
            [
                mode(file),
                format!("{}/{}", file.uid, file.gid),
                file.size.to_string(),
                Civil::of(file.modified).to_string(),
                path_of(path, file),
            ]
        })
        .collect();
    table("", [Left, Left, Right, Left, Left], &rows)
}

fn path_of(path: &str, file: &ImageFile) -> String {
    match (file.kind, &file.target) {
        (FileKind::Directory, _) => format!("{path}/"),
        (FileKind::Symlink, Some(target)) => format!("{path} -> {target}"),
        (FileKind::HardLink, Some(target)) => format!("{path} link to {target}"),
        _ => path.to_owned(),
    }
}

/// `-rwxr-xr-x`, as `ls` writes it.
fn mode(file: &ImageFile) -> String {
    let kind = match file.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::HardLink => 'h',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = file.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, file.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        #[track_caller]
        fn case(kind: FileKind, bits: u32, expected: &str) {
            let file = ImageFile {
                kind,
                size: 0,
                mode: bits,
                uid: 0,
                gid: 0,
                modified: 0,
                target: None,
                layer: 0,
                sha256: None,
            };
            assert_eq!(mode(&file), expected);
        }
        case(FileKind::File, 0o644, "-rw-r--r--");
        case(FileKind::Directory, 0o1777, "drwxrwxrwt");
        case(FileKind::File, 0o4755, "-rwsr-xr-x");
        case(FileKind::File, 0o2640, "-rw-r-S---");
    }

    #[test]
    fn commands_show_where_their_words_end() {
        let words = ["sh", "-c", "it's", ""].map(str::to_owned);
        assert_eq!(command(&words), r"sh -c 'it'\''s' ''");
    }
}
