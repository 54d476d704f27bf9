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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_the_widest_cell() {
        let rows = [
            vec!["a".into(), "b".into()],
            vec!["한글".into(), "c".into()],
        ];
        assert_eq!(columns(&rows), "a     b\n한글  c\n");
    }
}
