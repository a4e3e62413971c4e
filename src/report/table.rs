//! [`table()`]: rows of text whose columns stand below each other.

use super::words;

/// Which side of its column a text stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// As words do.
    Left,
    /// As figures do.
    Right,
}

/// `rows` in lines that begin with `indent`, two blanks between columns; `sides` are those of the columns. Texts
/// come from outside, and are made fit for a terminal.
pub(super) fn table<const N: usize>(
    indent: &str,
    sides: [Side; N],
    rows: &[[String; N]],
) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|text| words::one_line(text))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).zip(sides).map(|((text, width), side)| match side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(format!("{indent}{line}").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows =
            [["a", "1", ""], ["längere", "100", "x\u{1b}"]].map(|row| row.map(str::to_owned));
        insta::assert_snapshot!(table("  ", [Side::Left, Side::Right, Side::Left], &rows), @r"
          a          1
          längere  100  x
        ");
    }
}
