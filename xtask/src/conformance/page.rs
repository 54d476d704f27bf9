//! The pages that follow from the tables, in Markdown.

use super::evidence::Evidence;
use super::rows::{LEVELS, Paper, Row, Status};

const NOTE: &str = "<!-- written by `cargo xtask conformance --update` -->\n";

/// The names of all pages, and what stands on them.
pub fn all(papers: &[Paper], evidence: &Evidence) -> Vec<(String, String)> {
    let pages = papers.iter().map(|paper| {
        let name = format!("rfc{}.md", paper.number);
        (name, one(paper, evidence))
    });
    pages.chain([("README.md".into(), index(papers))]).collect()
}

/// The page of one RFC.
fn one(paper: &Paper, evidence: &Evidence) -> String {
    let mut text = format!("{NOTE}# RFC {}: {}\n", paper.number, paper.title);
    if !paper.about.is_empty() {
        text += &format!("\n{}\n", paper.about.trim());
    }
    text += &format!("\n{}", summary(paper));
    text +=
        "\n| | section | what is asked | | where | what shows it |\n|---|---|---|---|---|---|\n";
    for row in &paper.rows {
        text += &line(row, evidence);
    }
    text
}

/// How many of each weight are met and how many are not.
fn summary(paper: &Paper) -> String {
    let mut text = String::from("|");
    for status in Status::ALL {
        text += &format!(" | {}", status.name());
    }
    text += &format!(" |\n{}|\n", "|---".repeat(Status::ALL.len() + 1));
    for level in LEVELS {
        let rows: Vec<&Row> = paper.rows.iter().filter(|r| r.level() == level).collect();
        if rows.is_empty() {
            continue;
        }
        text += &format!("| {level}");
        for status in Status::ALL {
            text += &format!(" | {}", count(rows.iter().copied(), status));
        }
        text += " |\n";
    }
    text
}

fn count<'a>(rows: impl Iterator<Item = &'a Row>, status: Status) -> usize {
    rows.filter(|row| row.status == status).count()
}

/// One row. What a row names has been looked for before: what is not there stands without a link.
fn line(row: &Row, evidence: &Evidence) -> String {
    let places = row.at.iter().map(|at| match evidence.place(at) {
        Ok((path, name)) => format!("`{name}` in {}", link(file_name(path), path)),
        Err(_) => at.clone(),
    });
    let tests = row.tests.iter().map(|test| match evidence.test(test) {
        Ok(path) if test.ends_with(".pkt") => link(test, &path),
        Ok(path) => link(&format!("`{}`", test_name(test)), &path),
        Err(_) => test.clone(),
    });
    let mut shown = tests.collect::<Vec<_>>().join(", ");
    if !row.why.is_empty() {
        let gap = if shown.is_empty() { "" } else { ". " };
        shown += &format!("{gap}{}", row.why.trim());
    }
    let status = match row.status {
        Status::NotMet | Status::Partly => format!("**{}**", row.status.name()),
        other => other.name().to_owned(),
    };
    let cells = [
        row.id.clone(),
        row.section.clone(),
        row.says.clone(),
        status,
        places.collect::<Vec<_>>().join(", "),
        shown,
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", cells.join(" | "))
}

/// A link from the folder of the pages to a file of the tree.
fn link(text: &str, path: &str) -> String {
    format!("[{text}](../../{path})")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `name` of `tests.rs#name`.
fn test_name(test: &str) -> &str {
    test.split_once('#').map_or(test, |(_, name)| name)
}

/// The page that leads to the others.
fn index(papers: &[Paper]) -> String {
    let mut text = format!(
        "{NOTE}# What the RFCs ask of TCP\n
Each page takes one RFC: each of its demands in our own words, where the code meets it, which test or script of packets shows that, or why it is not so.
A `RULE` is a step of an algorithm for which the RFC has no word such as MUST.
Where we differ on purpose, [../compliance.md](../compliance.md) says so in short. A page is written from the `.toml` beside it by
`cargo xtask conformance --update`; `cargo xtask ci` fails when a row names a test, a script or a function that is not there, or when it has neither a
test nor a reason.\n\n|"
    );
    for status in Status::ALL {
        text += &format!(" | {}", status.name());
    }
    text += &format!(" |\n{}|\n", "|---".repeat(Status::ALL.len() + 1));
    for paper in papers {
        let Paper { number, title, .. } = paper;
        text += &format!("| [RFC {number}](rfc{number}.md): {title}");
        for status in Status::ALL {
            text += &format!(" | {}", count(paper.rows.iter(), status));
        }
        text += " |\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::evidence;
    use super::super::rows::tests::paper;
    use super::*;

    #[test]
    fn a_page_counts_links_and_says_why() {
        let (_, paper) = paper(
            "
[[row]]
id = 'MUST 2.1'
section = '2.1'
says = 'a | b'
status = 'met'
at = ['rtt.rs#Rtt::sample']
tests = ['acks/one.pkt', 'rtt.rs#plain']
[[row]]
id = 'MAY 3'
section = '3'
says = 'c'
status = 'not taken'
why = 'Nobody asks.'
",
        );
        let papers = [paper.unwrap()];
        let pages = all(&papers, &evidence());
        let (name, text) = &pages[0];
        assert_eq!(name, "rfc1.md");
        let rows: Vec<&str> = text.lines().filter(|line| line.contains("| M")).collect();
        let rtt = "../../crates/stack/src/tcp/rtt.rs";
        assert_eq!(
            rows,
            [
                "| MUST | 1 | 0 | 0 | 0 | 0 |",
                "| MAY | 0 | 0 | 0 | 1 | 0 |",
                &format!(
                    "| MUST 2.1 | 2.1 | a \\| b | met | `Rtt::sample` in [rtt.rs]({rtt}) | \
                     [acks/one.pkt](../../scripts/pkt/acks/one.pkt), [`plain`]({rtt}) |"
                ),
                "| MAY 3 | 3 | c | not taken |  | Nobody asks. |",
            ]
        );
        let (name, index) = &pages[1];
        assert_eq!(name, "README.md");
        assert!(index.contains("| [RFC 1](rfc1.md): One | 1 | 0 | 0 | 1 | 0 |\n"));
    }
}
