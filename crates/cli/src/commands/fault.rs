//! `heptad fault`: partitions and rules of a running lab.
use super::{print_json, print_text};
use crate::args::{Fault, FaultCommand, Parted};
use crate::control::client::Client;
use crate::control::{Answer, Ask, FaultAsk, FaultInForce};
use crate::failure::Failure;
use crate::host::Script;
use crate::table;

/// Shows what is in force, after what was asked for.
pub fn fault(fault: &Fault, json: bool) -> Result<u8, Failure> {
    let ask = match &fault.command {
        None => FaultAsk::Show,
        Some(FaultCommand::Partition(parted)) => division("partition", parted),
        Some(FaultCommand::Blackhole(parted)) => division("blackhole", parted),
        Some(FaultCommand::On { words }) => FaultAsk::Rule {
            words: words.clone(),
        },
        Some(FaultCommand::Script { file }) => match Script::read(Some(file))? {
            Some(script) => FaultAsk::Script { script },
            None => FaultAsk::Show,
        },
        Some(FaultCommand::Heal { name }) => FaultAsk::Heal { name: name.clone() },
    };
    let client = Client::find(fault.lab.as_deref())?;
    let Answer::Faults { in_force } = client.ask(&Ask::Faults { fault: ask })? else {
        return Err(Failure::odd_answer());
    };
    if json {
        print_json(&serde_json::json!({ "in_force": in_force }))?;
    } else if in_force.is_empty() {
        eprintln!("nothing is in force");
    } else {
        print_text(&rows(&in_force))?;
    }
    Ok(0)
}

/// `alice,r1 bob` as an entry of a timeline.
fn division(key: &str, parted: &Parted) -> FaultAsk {
    let sets: Vec<Vec<&str>> = parted
        .sets
        .iter()
        .map(|set| set.split(',').collect())
        .collect();
    // Lists and texts are written alike in JSON and in TOML.
    let mut text = format!(
        "[[at]]\ntime = \"0s\"\n{key} = {}\n",
        serde_json::json!(sets)
    );
    for (key, value) in [("name", &parted.name), ("for", &parted.lasts)] {
        if let Some(value) = value {
            text += &format!("{key} = {}\n", serde_json::json!(value));
        }
    }
    FaultAsk::Division { text }
}

fn rows(in_force: &[FaultInForce]) -> String {
    let head = ["NAME", "LINK", "WHAT IT DOES", "DONE"].map(str::to_owned);
    let row = |one: &FaultInForce| {
        let link = one.link.clone().unwrap_or_else(|| "-".to_owned());
        let done = match one.link {
            Some(_) => format!("{} of {}", one.applied, one.n),
            None => one.applied.to_string(),
        };
        vec![one.name.clone(), link, one.what.clone(), done]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec())
        .chain(in_force.iter().map(row))
        .collect();
    table::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_rules_stand_in_one_table() {
        let one = |name: &str, link: Option<&str>, what: &str, n| FaultInForce {
            name: name.into(),
            link: link.map(str::to_owned),
            what: what.into(),
            applied: 2,
            n,
        };
        let expected = "\
NAME    LINK  WHAT IT DOES     DONE
split   -     a ↔ b            2
rule 1  a-b   drop syn, nth 3  2 of 5
";
        let all = [
            one("split", None, "a ↔ b", 2),
            one("rule 1", Some("a-b"), "drop syn, nth 3", 5),
        ];
        assert_eq!(rows(&all), expected);
    }

    #[test]
    fn sets_are_written_as_a_lab_file_has_them() {
        let parted = Parted {
            sets: vec!["a,b".into(), "*".into()],
            name: Some("x\"y".into()),
            lasts: Some("5s".into()),
        };
        let FaultAsk::Division { text } = division("partition", &parted) else {
            panic!("a division");
        };
        let expected = "[[at]]\ntime = \"0s\"\npartition = [[\"a\",\"b\"],[\"*\"]]\n\
                        name = \"x\\\"y\"\nfor = \"5s\"\n";
        assert_eq!(text, expected);
    }
}
