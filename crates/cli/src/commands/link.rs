//! `heptad link`
use unicode_width::UnicodeWidthStr;

use super::{print_json, print_text};
use crate::args::Link;
use crate::control::client::Client;
use crate::control::{Answer, Ask, LinkState};
use crate::failure::Failure;
use crate::report::fault_table;
use crate::table;

/// Shows cables, or changes one and shows it.
pub fn link(link: &Link, json: bool) -> Result<u8, Failure> {
    let client = Client::find(link.lab.as_deref())?;
    let ask = Ask::Links {
        link: link.link.clone(),
        settings: link.settings.clone(),
    };
    let Answer::Links { links } = client.ask(&ask)? else {
        return Err(Failure::odd_answer());
    };
    if json {
        print_json(&serde_json::json!({ "links": links }))?;
        return Ok(0);
    }
    let mut text = links_text(&links);
    if let ([one], true) = (links.as_slice(), link.link.is_some()) {
        text += &fault_table(&one.faults);
    }
    print_text(&text)?;
    Ok(0)
}

/// Widest line: a terminal's.
const WIDTH: usize = 80;

/// A row for each direction; the name stands in the first. What it does is broken into lines that fit.
fn links_text(links: &[LinkState]) -> String {
    let directions = links.iter().flat_map(|link| {
        let [a, b] = &link.ends;
        let first = [
            link.name.clone(),
            format!("{a} → {b}"),
            link.mtu.to_string(),
        ];
        let second = [String::new(), format!("{b} → {a}"), String::new()];
        [(first, &link.forward), (second, &link.backward)]
    });
    let directions: Vec<_> = directions.collect();
    let head = ["LINK", "DIRECTION", "MTU"].map(str::to_owned);
    let cells = |i: usize| {
        directions
            .iter()
            .map(move |(cells, _)| &cells[i])
            .chain([&head[i]])
    };
    let used: usize = (0..3)
        .map(|i| cells(i).map(|cell| cell.width()).max().unwrap_or(0) + 2)
        .sum();
    let mut rows = vec![[head.as_slice(), &["WHAT IT DOES".to_owned()]].concat()];
    for (cells, does) in &directions {
        let mut cells = cells.clone();
        for line in broken(does, WIDTH.saturating_sub(used).max(20)) {
            rows.push([cells.as_slice(), &[line]].concat());
            cells = Default::default();
        }
    }
    table::columns(&rows)
}

/// Breaks behind commas; nothing is a dash.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(", ").filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.width() + 2 + word.width() < width => {
                *line += ", ";
                *line += word;
            }
            last => {
                if let Some(line) = last {
                    line.push(',');
                }
                lines.push(word.to_owned());
            }
        }
    }
    if lines.is_empty() {
        lines.push("-".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_a_row() {
        let link = LinkState {
            name: "alice-r1".into(),
            ends: ["alice:eth0".into(), "r1:eth0".into()],
            forward: "20ms ± 5ms, loss 5.0 %".into(),
            backward: String::new(),
            mtu: 1500,
            faults: Vec::new(),
        };
        let expected = "\
LINK      DIRECTION             MTU   WHAT IT DOES
alice-r1  alice:eth0 → r1:eth0  1500  20ms ± 5ms, loss 5.0 %
          r1:eth0 → alice:eth0        -
";
        assert_eq!(links_text(&[link]), expected);
    }

    #[test]
    fn a_bad_cable_fits_into_80_columns() {
        let bad = "20ms ± 5ms, loss 5.0 %, duplicate 1.0 %, corrupt 1.0 %, reorder 2.0 %";
        let link = LinkState {
            name: "bad".into(),
            ends: ["gate:eth1".into(), "far:eth0".into()],
            forward: bad.into(),
            backward: bad.into(),
            mtu: 1500,
            faults: Vec::new(),
        };
        let expected = "\
LINK  DIRECTION             MTU   WHAT IT DOES
bad   gate:eth1 → far:eth0  1500  20ms ± 5ms, loss 5.0 %, duplicate 1.0 %,
                                  corrupt 1.0 %, reorder 2.0 %
      far:eth0 → gate:eth1        20ms ± 5ms, loss 5.0 %, duplicate 1.0 %,
                                  corrupt 1.0 %, reorder 2.0 %
";
        assert_eq!(links_text(&[link]), expected);
    }
}
