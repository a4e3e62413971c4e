//! Rust source as these tests look at it: its files, and its text without comments, literals and
//! unit tests. It knows no grammar beyond that.

use std::path::{Path, PathBuf};

/// What a folder holds, sorted.
#[track_caller]
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every Rust file below a folder, sorted.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files
}

/// `text` with comments and the insides of literals blanked; lines stay where they are.
pub fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` when none begins there.
fn skipped(chars: &[char], at: usize) -> usize {
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts(at, "//") {
        return (at..chars.len()).find(|&n| chars[n] == '\n').unwrap_or(chars.len());
    }
    if starts(at, "/*") {
        let (mut depth, mut n) = (0, at);
        while n < chars.len() {
            if starts(n, "/*") {
                depth += 1;
                n += 2;
            } else if starts(n, "*/") {
                depth -= 1;
                n += 2;
                if depth == 0 {
                    break;
                }
            } else {
                n += 1;
            }
        }
        return n.min(chars.len());
    }
    if !in_word
        && (starts(at, "r\"") || starts(at, "r#") || starts(at, "br\"") || starts(at, "br#"))
    {
        let hashes_from = at + if chars[at] == 'b' { 2 } else { 1 };
        let hashes = chars[hashes_from..].iter().take_while(|&&c| c == '#').count();
        // `r#type` is a name, not a literal.
        if chars.get(hashes_from + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = hashes_from + hashes + 1;
            let end = (from..chars.len()).find(|&n| starts(n, &close));
            return end.map_or(chars.len(), |n| n + 1 + hashes);
        }
    }
    match chars[at] {
        '"' => end_of_quoted(chars, at, '"'),
        // A lifetime has no closing quote behind its first character.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            end_of_quoted(chars, at, '\'')
        }
        _ => at,
    }
}

fn end_of_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut n = at + 1;
    while n < chars.len() && chars[n] != quote {
        n += if chars[n] == '\\' { 2 } else { 1 };
    }
    (n + 1).min(chars.len())
}

/// Code (see [`code`]) with each block under `#[cfg(test)]` blanked.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(from) = out.find("#[cfg(test)]") {
        let rest = &out[from..];
        // A block, or an item that ends by a semicolon first (`mod support;`).
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                end_of_block(rest, open)
            }
            (_, Some(semicolon)) => semicolon + 1,
            (_, None) => rest.len(),
        };
        let blank: String =
            rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(from..from + end, &blank);
    }
    out
}

fn end_of_block(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// The line, counted from one, on which the byte `at` stands.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The bytes at which `word` stands as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part)
    })
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("crate::cli \" x", 'y', '\'')"#, r#"f(                 ,    ,     )"#),
        ("f(r#\"a\"b\"#, r#type, 'a: 'b')", "f(        , r#type, 'a:    )"),
        ("let s: &'static str = \"//\";", "let s: &'static str =     ;"),
    ] {
        assert_eq!(code(text).trim_end(), expected.trim_end(), "{text}");
    }
}

#[test]
fn unit_tests_are_blanked() {
    let code =
        "a();\n#[cfg(test)]\nmod tests { fn f() { b(); } }\nc();\n#[cfg(test)]\nmod d;\ne();";
    let left = without_tests(code);
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["a();", "c();", "e();"]);
    assert_eq!(left.lines().count(), code.lines().count());
}
