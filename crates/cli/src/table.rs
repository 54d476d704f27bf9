//! Plain columns, as wide as their content.
use unicode_width::UnicodeWidthStr;

use crate::paint::pad;

/// Lays rows out in columns, two blanks between; no trailing blanks.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| pad(cell, width))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Breaks a text between words into lines of at most so many columns; a longer word has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("a bc def ghij", 4), ["a bc", "def", "ghij"]);
        assert_eq!(wrapped("한글 abc", 4), ["한글", "abc"]);
        assert!(wrapped("", 4).is_empty());
    }

    #[test]
    fn columns_follow_the_widest_cell() {
        let rows = [
            vec!["a".into(), "b".into()],
            vec!["한글".into(), "c".into()],
        ];
        assert_eq!(columns(&rows), "a     b\n한글  c\n");
    }
}
