//! What the suites came to: a table, JSON, and the page of the docs.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::NAMES;
use super::differences::{Comparison, Differences};
use crate::table_in_page::Page;

/// Where the table stands, between two lines.
const PAGE: &str = "docs/suites.md";
const BEGIN: &str = "<!-- `cargo xtask suites --update` writes from here … -->\n";

/// Per cent with one digit, rounded down: 100.0 is all of them.
fn share(comparison: &Comparison) -> String {
    let tenths = comparison.heptad * 1000 / comparison.kernel.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The table for people.
pub fn table(compared: &[Comparison]) -> String {
    let mut text = format!(
        "{:<10}{:>14}{:>14}{:>8}{:>8}{:>6}{:>6}\n",
        "suite", "kernel passes", "heptad passes", "%", "listed", "new", "gone"
    );
    for comparison in compared {
        let Comparison {
            suite,
            kernel,
            heptad,
            listed,
            new,
            gone,
        } = comparison;
        text += &format!(
            "{suite:<10}{kernel:>14}{heptad:>14}{:>8}{:>8}{:>6}{:>6}\n",
            share(comparison),
            listed.len(),
            new.len(),
            gone.len()
        );
    }
    text
}

/// The same for programs.
pub fn json(compared: &[Comparison]) -> Value {
    let suite = |comparison: &Comparison| {
        let Comparison {
            suite,
            kernel,
            heptad,
            listed,
            new,
            gone,
        } = comparison;
        let listed: Vec<Value> = listed
            .iter()
            .map(
                |entry| json!({"test": entry.test, "why": entry.why, "sometimes": entry.sometimes}),
            )
            .collect();
        let new: Vec<Value> = new
            .iter()
            .map(|(test, seen)| json!({"test": test, "seen": seen}))
            .collect();
        json!({
            "suite": suite,
            "kernel_passes": kernel,
            "heptad_passes": heptad,
            "listed": listed,
            "new": new,
            "gone": gone,
        })
    };
    let suites: Vec<Value> = compared.iter().map(suite).collect();
    json!({"v": 1, "suites": suites})
}

/// Writes the page anew, or says whether it is as it would be written.
pub fn page(
    root: &Path,
    compared: &[Comparison],
    differences: &Differences,
    update: bool,
) -> Result<bool> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).context(PAGE)?;
    let fresh = refreshed(&page, compared, differences)?;
    if update {
        std::fs::write(&path, fresh)?;
    } else if page != fresh {
        eprintln!(
            "suites: {PAGE} says otherwise: look at `cargo xtask suites --update` and `git diff`"
        );
        return Ok(false);
    }
    Ok(true)
}

/// The page with these figures; suites that were not run keep theirs.
fn refreshed(page: &str, compared: &[Comparison], differences: &Differences) -> Result<String> {
    let page = Page::cut(page, BEGIN).context(PAGE)?;
    let mut fresh =
        String::from("| suite | the kernel passes | heptad passes | % |\n|---|---:|---:|---:|\n");
    for suite in NAMES {
        let start = format!("| {suite} |");
        let now = compared
            .iter()
            .find(|comparison| comparison.suite == suite)
            .map(|comparison| {
                let (kernel, heptad) = (comparison.kernel, comparison.heptad);
                format!("{start} {kernel} | {heptad} | {} |", share(comparison))
            });
        let kept = page
            .table
            .lines()
            .find(|line| line.starts_with(&start) && line.matches('|').count() == 5);
        if let Some(row) = now.or(kept.map(str::to_owned)) {
            fresh += &format!("{row}\n");
        }
    }
    fresh += "\n| suite | what differs | why |\n|---|---|---|\n";
    for suite in NAMES {
        for entry in differences.of(suite) {
            let sometimes = if entry.sometimes { " (sometimes)" } else { "" };
            fresh += &format!(
                "| {suite} | `{}`{sometimes} | {} |\n",
                entry.test, entry.why
            );
        }
    }
    Ok(page.with(&fresh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_in_page::END;

    fn row(suite: &'static str, kernel: usize, heptad: usize) -> Comparison<'static> {
        Comparison {
            suite,
            kernel,
            heptad,
            listed: &[],
            new: vec![("net.TestA".to_owned(), "failed")],
            gone: Vec::new(),
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_suite_and_json_says_the_same() {
        let rows = [row("cpython", 1136, 1135), row("go", 220, 220)];
        let text = "\
suite      kernel passes heptad passes       %  listed   new  gone
cpython             1136          1135    99.9       0     1     0
go                   220           220   100.0       0     1     0
";
        assert_eq!(table(&rows), text);
        let go = json!({"suite": "go", "kernel_passes": 220, "heptad_passes": 220, "listed": [],
            "new": [{"test": "net.TestA", "seen": "failed"}], "gone": []});
        let json = json(&rows);
        assert_eq!((&json["v"], &json["suites"][1]), (&json!(1), &go));
    }

    #[test]
    fn figures_take_the_place_of_those_before_and_a_suite_that_was_not_run_keeps_its_own() {
        let none = Differences::default();
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let both = [row("cpython", 10, 9), row("go", 220, 219)];
        let page = refreshed(&page, &both, &none).unwrap();
        assert!(
            page.starts_with(&format!("before\n{BEGIN}| suite |")),
            "{page}"
        );
        assert!(page.ends_with(&format!("{END}after\n")), "{page}");
        let page = refreshed(&page, &[row("cpython", 10, 10)], &none).unwrap();
        assert!(
            page.contains("\n| cpython | 10 | 10 | 100.0 |\n| go | 220 | 219 | 99.5 |\n"),
            "{page}"
        );
        assert_eq!(refreshed(&page, &[], &none).unwrap(), page);
        assert!(refreshed("", &both, &none).is_err());
    }
}
