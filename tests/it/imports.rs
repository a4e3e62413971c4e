//! The house holds: who may use whom, who may talk to people, and how long a file may be.
//!
//! The source is read as text, so that a wrong import fails with a sentence and not as a cycle that
//! somebody untangles a year later. See ARCHITECTURE.md for the floors.

use std::path::{Path, PathBuf};

use crate::source::{code, entries, line_of, rust_files, without_tests, words};

/// The floors from the top. A room uses only rooms of floors below its own.
const FLOORS: [&[&str]; 7] = [
    &["cli"],
    &["report"],
    &["pipeline"],
    &["service"],
    &["resolve", "index", "build", "image", "serve"],
    &["store", "input", "wheel", "http"],
    &["vocab"],
];

/// Rooms that use less than their floor lets them.
const NARROW: [(&str, &[&str]); 2] =
    [("resolve", &["input", "vocab"]), ("serve", &["store", "wheel", "vocab"])];

/// Words that only these rooms may use (`main` is `main.rs`), outside of unit tests.
const KEPT: [(&[&str], &[&str], &str); 3] = [
    (&["clap"], &["cli"], "arguments are parsed in `cli` only"),
    (
        &["println", "print", "eprintln", "eprint", "dbg"],
        &["cli", "main"],
        "what people read goes through `report` or `cli`",
    ),
    (
        &["tokio", "reqwest", "hyper"],
        &["main", "cli", "pipeline", "index", "build", "image", "serve", "http"],
        "everything else is plain blocking code",
    ),
];

/// Words the pure rooms do not know, outside of unit tests.
const IMPURE: [&str; 6] = ["fs", "fs_err", "net", "process", "env", "SystemTime"];
const PURE: [&str; 2] = ["resolve", "vocab"];

/// No file is longer, in lines.
const WALL: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src/` with its path below it and its text.
fn house() -> Vec<(String, String)> {
    let src = root().join("src");
    rust_files(&src)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The room of a file, named by its path below `src/`.
fn room(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The names that follow `crate::` at a place in code: one, or those of a group.
fn named(code: &str) -> Vec<&str> {
    let first_word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let code = code.trim_start();
    let Some(group) = code.strip_prefix('{') else {
        return vec![&code[..first_word(code)]];
    };
    let (mut depth, mut names, mut from) = (0_usize, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let item = group[from..at].trim();
                names.push(&item[..first_word(item)]);
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The rooms a file uses, with the line; `siblings` are the modules of its own room, which
/// `super::` may mean.
fn used<'a>(code: &'a str, own: &str, siblings: &[String]) -> Vec<(usize, &'a str)> {
    let mut used = Vec::new();
    for head in ["crate", "loci", "super"] {
        for at in words(code, head) {
            let Some(rest) = code[at + head.len()..].trim_start().strip_prefix("::") else {
                continue;
            };
            for name in named(rest) {
                let means_room = head != "super" || !siblings.iter().any(|own| own == name);
                if name != own && means_room && (head != "super" || floor(name).is_some()) {
                    used.push((line_of(code, at), name));
                }
            }
        }
    }
    used
}

/// What is wrong with a file's imports.
fn wrong_imports(path: &str, text: &str, siblings: &[String]) -> Vec<String> {
    let own = room(path);
    let code = code(text);
    let mut wrong = Vec::new();
    for (line, name) in used(&code, own, siblings) {
        let reason = match (own, floor(own), floor(name)) {
            // The fixtures of unit tests, which `lib.rs` includes.
            (_, _, None) if name == "support" => continue,
            ("lib", ..) => continue,
            ("main", ..) if name == "cli" => continue,
            ("main", ..) => "`main` uses `cli` only".to_owned(),
            (_, None, _) => {
                format!("`{own}` stands on no floor; give it one here and in ARCHITECTURE.md")
            }
            (_, _, None) => format!("`{name}` stands on no floor"),
            (_, Some(from), Some(to)) if from == to => {
                format!("`{own}` and `{name}` are on one floor")
            }
            (_, Some(from), Some(to)) if from > to => format!("`{name}` is above `{own}`"),
            _ => match NARROW.iter().find(|(narrow, _)| *narrow == own) {
                Some((_, few)) if !few.contains(&name) => {
                    format!("`{own}` uses only {}", few.join(" and "))
                }
                _ => continue,
            },
        };
        wrong.push(format!("src/{path}:{line}: {reason}"));
    }
    wrong
}

/// What is wrong with the words a file uses; a file of unit tests may use any.
fn wrong_words(path: &str, text: &str) -> Vec<String> {
    if path.ends_with("tests.rs") {
        return Vec::new();
    }
    let own = room(path);
    let code = without_tests(&code(text));
    let mut wrong = Vec::new();
    for (kept, rooms, reason) in KEPT {
        for word in kept.iter().filter(|_| !rooms.contains(&own)) {
            for at in words(&code, word) {
                let after = code[at + word.len()..].trim_start();
                // As a path or a macro; a method or a variable may be called the same.
                let meant =
                    after.starts_with("::") || after.starts_with('!') && !after.starts_with("!=");
                if meant || code[..at].trim_end().ends_with("use") {
                    let line = line_of(&code, at);
                    wrong.push(format!("src/{path}:{line}: `{word}` in `{own}`: {reason}"));
                }
            }
        }
    }
    for word in IMPURE.iter().filter(|_| PURE.contains(&own)) {
        for at in words(&code, word) {
            let path_before = code[..at].ends_with("::");
            if path_before || code[at + word.len()..].starts_with("::") {
                let line = line_of(&code, at);
                wrong.push(format!("src/{path}:{line}: `{word}` in `{own}`, which does no I/O"));
            }
        }
    }
    wrong
}

/// Whether a file is a module of unit tests that is too long to stand at the end of another file.
fn is_unit_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// The modules of the room a file belongs to.
fn siblings(path: &str) -> Vec<String> {
    let Some((room, _)) = path.split_once('/') else { return Vec::new() };
    rust_files(&root().join("src").join(room))
        .iter()
        .flat_map(|file| [file.file_stem(), file.parent().and_then(Path::file_name)])
        .flatten()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != room)
        .collect()
}

#[test]
fn arrows_only_go_down() {
    let wrong: Vec<_> = house()
        .iter()
        .flat_map(|(path, text)| wrong_imports(path, text, &siblings(path)))
        .collect();
    assert!(wrong.is_empty(), "imports against the direction of the house:\n{}", wrong.join("\n"));
}

#[test]
fn each_room_keeps_to_its_words() {
    let wrong: Vec<_> = house()
        .iter()
        .filter(|(path, _)| !is_unit_tests(path))
        .flat_map(|(path, text)| wrong_words(path, text))
        .collect();
    assert!(wrong.is_empty(), "words out of place:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_stands_on_a_floor() {
    for path in entries(&root().join("src")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let known = ["lib", "main"].contains(&name) || floor(name).is_some();
        assert!(known, "src/{name} stands on no floor: add it to FLOORS and to ARCHITECTURE.md");
    }
}

#[test]
fn no_file_passes_the_wall() {
    let root = root();
    for folder in ["src", "tests", "benches"] {
        for path in rust_files(&root.join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            let name = path.strip_prefix(&root).unwrap().display();
            assert!(lines <= WALL, "{name} has {lines} lines of at most {WALL}: split it by noun");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in house() {
        assert!(text.starts_with("//! "), "src/{path} does not open with its noun (`//! …`)");
    }
}

#[track_caller]
fn case(path: &str, text: &str, expected: &[&str]) {
    let siblings = ["wheel", "tests"].map(str::to_owned);
    let mut wrong = wrong_imports(path, text, &siblings);
    wrong.extend(wrong_words(path, text));
    assert_eq!(wrong, expected, "{path}: {text}");
}

#[test]
fn what_the_checks_see() {
    case("store/blob.rs", "use crate::vocab::digest::Digest;\nuse crate::store::gc;", &[]);
    case("store/blob.rs", "//! See [`crate::pipeline`].\nlet a = \"crate::cli\";", &[]);
    case(
        "store/blob.rs",
        "\nuse crate::wheel::file::WheelFile;",
        &["src/store/blob.rs:2: `store` and `wheel` are on one floor"],
    );
    case(
        "vocab/tags.rs",
        "fn f() -> crate::store::Store { }",
        &["src/vocab/tags.rs:1: `store` is above `vocab`"],
    );
    case(
        "build/key.rs",
        "use crate::{vocab::{digest::Digest, tags}, index::Client,\n cli};",
        &[
            "src/build/key.rs:1: `build` and `index` are on one floor",
            "src/build/key.rs:1: `cli` is above `build`",
        ],
    );
    case(
        "resolve/lock.rs",
        "use crate::input::{Pins, Place};\nuse crate::store::Store;",
        &["src/resolve/lock.rs:2: `resolve` uses only input and vocab"],
    );
    case(
        "build/mod.rs",
        "use super::index::Client;\nuse super::wheel::Built;",
        &["src/build/mod.rs:1: `build` and `index` are on one floor"],
    );
    case("main.rs", "fn main() { loci::cli::main() }", &[]);
    case("main.rs", "use loci::store::Store;", &["src/main.rs:1: `main` uses `cli` only"]);
    case(
        "image/layer.rs",
        "#[cfg(test)]\nmod tests {\n use crate::support::wheel::WheelMaker;\n println!();\n}",
        &[],
    );
    case(
        "image/layer.rs",
        "println!(\"a\");",
        &[
            "src/image/layer.rs:1: `println` in `image`: what people read goes through `report` or `cli`",
        ],
    );
    case(
        "input/rules.rs",
        "use clap::Parser;",
        &["src/input/rules.rs:1: `clap` in `input`: arguments are parsed in `cli` only"],
    );
    case("input/rules.rs", "if print != 1 { self.print() }", &[]);
    case(
        "resolve/mod.rs",
        "use std::fs;",
        &["src/resolve/mod.rs:1: `fs` in `resolve`, which does no I/O"],
    );
    case(
        "wheel/tree.rs",
        "tokio::spawn(a);",
        &["src/wheel/tree.rs:1: `tokio` in `wheel`: everything else is plain blocking code"],
    );
    case(
        "attic/mod.rs",
        "use crate::vocab::tags;",
        &[
            "src/attic/mod.rs:1: `attic` stands on no floor; give it one here and in ARCHITECTURE.md",
        ],
    );
}
