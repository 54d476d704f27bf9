//! `heptad link`
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
        return Err(Failure::ours("the lab answered something else"));
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

/// A row for each direction; the name stands in the first.
fn links_text(links: &[LinkState]) -> String {
    let head = ["LINK", "DIRECTION", "MTU", "WHAT IT DOES"].map(str::to_owned);
    let rows = links.iter().flat_map(|link| {
        let [a, b] = &link.ends;
        let does = |what: &str| match what {
            "" => "-".to_owned(),
            what => what.to_owned(),
        };
        [
            vec![
                link.name.clone(),
                format!("{a} → {b}"),
                link.mtu.to_string(),
                does(&link.forward),
            ],
            vec![
                String::new(),
                format!("{b} → {a}"),
                String::new(),
                does(&link.backward),
            ],
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(rows).collect();
    table::columns(&rows)
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
}
