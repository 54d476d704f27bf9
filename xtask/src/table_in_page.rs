//! A page of the docs with a table that a command writes, between two lines.

use anyhow::{Context, Result};

/// Ends every such table.
pub const END: &str = "<!-- … to here -->\n";

/// A page, cut at the lines round its table.
pub struct Page<'a> {
    before: &'a str,
    /// The table as it stands there.
    pub table: &'a str,
    after: &'a str,
    begin: &'a str,
}

impl<'a> Page<'a> {
    /// Cuts a page whose table stands between `begin` and [`END`].
    pub fn cut(text: &'a str, begin: &'a str) -> Result<Self> {
        let parts = text.split_once(begin).and_then(|(before, rest)| {
            let (table, after) = rest.split_once(END)?;
            Some((before, table, after))
        });
        let (before, table, after) = parts.context("it has no place for a table")?;
        Ok(Self {
            before,
            table,
            after,
            begin,
        })
    }

    /// The page with another table.
    pub fn with(&self, table: &str) -> String {
        let Self {
            before,
            after,
            begin,
            ..
        } = self;
        format!("{before}{begin}{table}{END}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before_and_a_page_without_a_place_is_refused() {
        let text = format!("before\nbegin\nold\n{END}after\n");
        let page = Page::cut(&text, "begin\n").unwrap();
        assert_eq!(page.table, "old\n");
        assert_eq!(page.with("new\n"), text.replace("old", "new"));
        for broken in ["", "begin\n", END, &format!("{END}begin\n")] {
            assert!(Page::cut(broken, "begin\n").is_err(), "{broken:?}");
        }
    }
}
