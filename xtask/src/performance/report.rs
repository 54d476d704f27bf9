//! The figures: a table, JSON, and the page of the docs.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{JOBS, Measured};
use crate::table_in_page::Page;

/// Where the table stands, between two lines.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- `cargo xtask performance --update` writes from here … -->\n";

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// The table for people.
pub fn table(measured: &[Measured]) -> String {
    let mut text = format!(
        "{:<36}{:>10}{:>10} {:<8}{:>6}\n",
        "work", "kernel", "heptad", "unit", "ratio"
    );
    for row in measured {
        text += &format!(
            "{:<36}{:>10}{:>10} {:<8}{:>6.2}\n",
            row.figure.work,
            short(row.kernel),
            short(row.heptad),
            row.figure.unit,
            row.ratio()
        );
    }
    text
}

/// The same for programs.
pub fn json(measured: &[Measured]) -> Value {
    let row = |row: &Measured| {
        json!({
            "figure": row.figure.name,
            "unit": row.figure.unit,
            "kernel": row.kernel,
            "heptad": row.heptad,
            "ratio": row.ratio(),
        })
    };
    json!({"v": 1, "figures": measured.iter().map(row).collect::<Vec<_>>()})
}

/// Writes the page anew.
pub fn update(root: &Path, measured: &[Measured]) -> Result<()> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).context(PAGE)?;
    std::fs::write(&path, refreshed(&page, measured)?).context(PAGE)
}

/// The page with these figures; those that were not measured stay.
fn refreshed(page: &str, measured: &[Measured]) -> Result<String> {
    let page = Page::cut(page, BEGIN).context(PAGE)?;
    let mut fresh =
        String::from("| work | the kernel | heptad | unit | ratio |\n|---|---:|---:|---|---:|\n");
    for figure in JOBS.iter().flat_map(|job| job.figures) {
        let start = format!("| {} |", figure.work);
        let now = measured.iter().find(|row| row.figure.name == figure.name);
        let now = now.map(|row| {
            let (kernel, heptad) = (short(row.kernel), short(row.heptad));
            format!(
                "{start} {kernel} | {heptad} | {} | {:.2} |",
                figure.unit,
                row.ratio()
            )
        });
        let kept = page.table.lines().find(|line| line.starts_with(&start));
        if let Some(row) = now.or(kept.map(str::to_owned)) {
            fresh += &format!("{row}\n");
        }
    }
    Ok(page.with(&fresh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_in_page::END;

    fn row(job: usize, kernel: f64, heptad: f64) -> Measured {
        Measured {
            figure: &JOBS[job].figures[0],
            kernel,
            heptad,
        }
    }

    #[test]
    fn a_table_and_json_say_the_same() {
        let rows = [row(0, 25.0, 50.0), row(1, 20_000.0, 5_000.0)];
        let text = "\
work                                    kernel    heptad unit     ratio
one byte there and back                   25.0      50.0 µs        0.50
iperf3, one stream                       20000      5000 Mbit/s    0.25
";
        assert_eq!(table(&rows), text);
        let json = json(&rows);
        assert_eq!(json["figures"][1]["ratio"], json!(0.25));
        assert_eq!(json["figures"][0]["figure"], json!("one-byte"));
    }

    #[test]
    fn figures_take_the_place_of_those_before_and_others_stay() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let page = refreshed(&page, &[row(0, 25.0, 50.0), row(1, 2.0, 1.0)]).unwrap();
        assert!(
            page.starts_with(&format!("before\n{BEGIN}| work |")),
            "{page}"
        );
        assert!(page.ends_with(&format!("{END}after\n")), "{page}");
        let page = refreshed(&page, &[row(1, 2.0, 2.0)]).unwrap();
        let rows = "\n| one byte there and back | 25.0 | 50.0 | µs | 0.50 |\n| iperf3, one stream | 2.0 | 2.0 | Mbit/s | 1.00 |\n";
        assert!(page.contains(rows), "{page}");
        assert!(refreshed("", &[]).is_err());
    }
}
