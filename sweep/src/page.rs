//! The snapshot: tables in a page that people review.
use anyhow::{Context, Result};

use crate::cell::percent;
use heptad_lab::stack::l4_transport::tcp::Congestion;

use crate::goodput::{Figure, LOSSES, RATES, RTTS};

/// Where the tables stand, between two lines.
const BEGIN: &str = "<!-- `cargo xtask sweep --update` writes from here … -->\n";
const END: &str = "<!-- … to here -->\n";

/// The tables, one for each rate; megabits a second.
pub fn tables(figures: &[Figure]) -> String {
    let per_rate = figures.len() / RATES.len();
    let blocks = RATES.into_iter().zip(figures.chunks(per_rate.max(1)));
    blocks
        .map(|(rate, figures)| format!("### {rate} Mbit/s\n\n{}", table(figures)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn table(figures: &[Figure]) -> String {
    let head: String = RTTS.iter().map(|rtt| format!(" {rtt} ms |")).collect();
    let mut text = format!(
        "| loss | |{head}\n|---|---|{}\n",
        "---:|".repeat(RTTS.len())
    );
    let rows = LOSSES
        .into_iter()
        .flat_map(|loss| Congestion::ALL.map(|(name, _)| (loss, name)));
    for ((loss, name), row) in rows.zip(figures.chunks(RTTS.len())) {
        let cells: String = row
            .iter()
            .map(|figure| format!(" {} |", megabits(figure.goodput)))
            .collect();
        text += &format!("| {} | {name} |{cells}\n", percent(loss));
    }
    text
}

/// Three digits that count.
pub fn megabits(bits: f64) -> String {
    let megabits = bits / 1e6;
    match megabits {
        m if m >= 100.0 => format!("{m:.0}"),
        m if m >= 10.0 => format!("{m:.1}"),
        m => format!("{m:.2}"),
    }
}

/// The page with these tables in place of its own.
pub fn with_tables(page: &str, tables: &str) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.context("the page has no place for tables")?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::cells;

    #[test]
    fn three_digits_count() {
        for (bits, shown) in [
            (0.0, "0.00"),
            (9.5e6, "9.50"),
            (94.91e6, "94.9"),
            (949.2e6, "949"),
        ] {
            assert_eq!(megabits(bits), shown);
        }
    }

    #[test]
    fn each_rate_has_a_table_and_each_cell_its_place() {
        let figures: Vec<_> = cells()
            .into_iter()
            .map(|cell| Figure {
                cell,
                goodput: cell.path.rate as f64 * cell.path.loss,
            })
            .collect();
        let text = tables(&figures);
        assert_eq!(text.matches("### ").count(), RATES.len());
        assert!(
            text.contains("| 10 % | cubic | 1.00 | 1.00 | 1.00 | 1.00 |"),
            "{text}"
        );
        assert!(
            text.contains("| 3 % | reno | 30.0 | 30.0 | 30.0 | 30.0 |"),
            "{text}"
        );
    }

    #[test]
    fn tables_take_the_place_of_those_before_and_nothing_else() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let fresh = with_tables(&page, "new\n").unwrap();
        assert_eq!(fresh, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(with_tables(&fresh, "new\n").unwrap(), fresh);
        assert!(with_tables("", "new\n").is_err());
    }
}
