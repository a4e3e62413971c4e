//! The lines of `/etc/passwd` and its like: found, added, and never otherwise touched.
//!
//! The texts are bytes, since names of people in them may be in any encoding. As in glibc, a line that
//! begins with `#` says nothing, and one that begins with `+` or `-` asks NIS (`nsswitch.conf(5)`).

/// A line that may be somebody's, as its fields.
pub(super) struct Line<'a>(Vec<&'a [u8]>);

impl Line<'_> {
    /// The number in field `index`.
    pub(super) fn number(&self, index: usize) -> Option<u32> {
        std::str::from_utf8(self.0.get(index)?).ok()?.parse().ok()
    }

    fn is_named(&self, name: &str) -> bool {
        self.0[0] == name.as_bytes()
    }
}

fn is_entry(line: &[u8]) -> bool {
    !matches!(line.first(), None | Some(b'#' | b'+' | b'-'))
}

/// The lines of `text` that may be somebody's.
fn entries_of(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| is_entry(line));
    lines.map(|line| Line(line.split(|byte| *byte == b':').collect()))
}

/// The first line of `name`.
pub(super) fn named<'a>(text: &'a [u8], name: &str) -> Option<Line<'a>> {
    entries_of(text).find(|line| line.is_named(name))
}

/// Who has the number `id` in the third field.
pub(super) fn numbered(text: &[u8], id: u32) -> Option<String> {
    let line = entries_of(text).find(|line| line.number(2) == Some(id))?;
    Some(String::from_utf8_lossy(line.0[0]).into_owned())
}

/// Adds `line` at the end of `text`, but before the lines that ask NIS, which stand for all its accounts
/// and would hide one of the same name that follows.
pub(super) fn insert(text: &mut Vec<u8>, line: &str) {
    let mut at = 0;
    for existing in text.split_inclusive(|byte| *byte == b'\n') {
        if matches!(existing.first(), Some(b'+' | b'-')) {
            break;
        }
        at += existing.len();
    }
    let mut added = Vec::with_capacity(line.len() + 2);
    if at > 0 && text[at - 1] != b'\n' {
        added.push(b'\n');
    }
    added.extend_from_slice(line.as_bytes());
    added.push(b'\n');
    text.splice(at..at, added);
}

/// `text` with `member` in the list that is the fourth field of the first line of `group`; none when
/// that line has no such field.
pub(super) fn with_member(text: &[u8], group: &str, member: &str) -> Option<Vec<u8>> {
    let mut changed = Vec::with_capacity(text.len() + member.len() + 1);
    let mut is_done = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (body, end) = match line.strip_suffix(b"\n") {
            Some(body) => (body, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        changed.extend_from_slice(body);
        let fields: Vec<_> = body.split(|byte| *byte == b':').collect();
        if !is_done && is_entry(body) && fields[0] == group.as_bytes() {
            is_done = true;
            let [_, _, _, members] = fields[..] else { return None };
            if !members.split(|byte| *byte == b',').any(|one| one == member.as_bytes()) {
                if !members.is_empty() {
                    changed.push(b',');
                }
                changed.extend_from_slice(member.as_bytes());
            }
        }
        changed.extend_from_slice(end);
    }
    is_done.then_some(changed)
}
