//! The tables as they are written by hand: one file for each RFC, one row for each demand.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::source::{SourceFile, Violation};

/// One RFC.
#[derive(Debug)]
pub struct Paper {
    /// `9293`, from the file's name.
    pub number: String,
    pub title: String,
    /// What a reader should know first; Markdown.
    pub about: String,
    /// Ids that the RFC numbers itself, and how many there are of each: each has exactly one row.
    numbered: BTreeMap<String, usize>,
    pub rows: Vec<Row>,
}

/// One demand.
#[derive(Debug)]
pub struct Row {
    /// `MUST-12` where the RFC numbers its demands; elsewhere `MUST 2.1 a`, the section and a letter of our own.
    pub id: String,
    pub section: String,
    /// In our own words.
    pub says: String,
    pub status: Status,
    /// `tcp/rtt.rs#sample`: the end of a file's path, and a name in it.
    pub at: Vec<String>,
    /// Names of Rust tests, or paths below `scripts/pkt`.
    pub tests: Vec<String>,
    /// What is to be said; the reason of whatever is not met, or not shown.
    pub why: String,
    pub line: usize,
}

/// What we make of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Met,
    /// Some of it.
    Partly,
    NotMet,
    /// A choice that we do not use.
    NotTaken,
    /// It speaks to others than a host's TCP: to programs, to other papers.
    Others,
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Met,
        Self::Partly,
        Self::NotMet,
        Self::NotTaken,
        Self::Others,
    ];

    /// As it is written, and as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Partly => "partly",
            Self::NotMet => "not met",
            Self::NotTaken => "not taken",
            Self::Others => "for others",
        }
    }
}

impl Row {
    /// `MUST` of `MUST-12` and of `MUST 2.1`.
    pub fn level(&self) -> &str {
        self.id.split(['-', ' ']).next().unwrap_or(&self.id)
    }

    /// What is missing in the row itself.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let id = &self.id;
        if !LEVELS.contains(&self.level()) {
            faults.push(format!("{id} begins with none of {}", LEVELS.join(", ")));
        }
        if self.tests.is_empty() && self.why.is_empty() {
            faults.push(format!("{id} has neither a test nor a reason"));
        }
        match self.status {
            Status::Met | Status::Partly if self.at.is_empty() => {
                faults.push(format!("{id} is {}: where?", self.status.name()));
            }
            Status::Met => {}
            _ if self.why.is_empty() => {
                faults.push(format!("{id} is {}: why?", self.status.name()));
            }
            Status::NotTaken if !["MAY", "SHOULD", "SHLD"].contains(&self.level()) => {
                faults.push(format!("{id} is no choice: it is met or not"));
            }
            _ => {}
        }
        faults
    }
}

/// What an id may begin with: RFC 2119's words and RFC 9293's short ones, and `RULE` for a step of an algorithm that has none of
/// them. `NOT` belongs to the demand, not to its weight.
pub const LEVELS: [&str; 6] = ["MUST", "SHOULD", "SHLD", "MAY", "REC", "RULE"];

impl Paper {
    /// Reads one file.
    pub fn read(file: &SourceFile) -> Result<Self, Violation> {
        let fault = |line, message: String| file.violation(line, message);
        let table: Table = file
            .text
            .parse()
            .map_err(|error: toml::de::Error| fault(1, error.to_string()))?;
        let lines: Vec<usize> = (1..)
            .zip(file.text.lines())
            .filter(|(_, text)| text.trim() == "[[row]]")
            .map(|(line, _)| line)
            .collect();
        let mut fields = Fields { table };
        let rows = match fields.table.remove("row") {
            Some(Value::Array(rows)) => rows,
            _ => return Err(fault(1, "no [[row]]".into())),
        };
        let rows = rows.into_iter().zip(lines).map(|(row, line)| {
            let Value::Table(table) = row else {
                return Err(fault(line, "a row is a table".into()));
            };
            Row::read(Fields { table }, line).map_err(|message| fault(line, message))
        });
        let rows = rows.collect::<Result<_, _>>()?;
        let paper = || -> Result<Self, String> {
            let numbered = match fields.table.remove("numbered") {
                None => BTreeMap::new(),
                Some(counts) => counts.try_into().map_err(|error| error.to_string())?,
            };
            let paper = Self {
                number: number(&file.path),
                title: fields.text("title")?,
                about: fields.optional("about")?,
                numbered,
                rows,
            };
            fields.end().map(|()| paper)
        };
        paper().map_err(|message| fault(1, message))
    }

    /// What is wrong with the rows themselves.
    pub fn check(&self, file: &SourceFile) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut seen = BTreeSet::new();
        for row in &self.rows {
            let mut faults = row.faults();
            if !seen.insert(row.id.as_str()) {
                faults.push(format!("{} has a row already", row.id));
            }
            let faults = faults.into_iter();
            violations.extend(faults.map(|fault| file.violation(row.line, fault)));
        }
        let expected: BTreeSet<String> = self
            .numbered
            .iter()
            .flat_map(|(level, count)| (1..=*count).map(move |n| format!("{level}-{n}")))
            .collect();
        let missing = expected.iter().filter(|id| !seen.contains(id.as_str()));
        violations.extend(missing.map(|id| file.violation(1, format!("{id} has no row"))));
        for row in &self.rows {
            if !expected.is_empty() && !expected.contains(&row.id) {
                let message = format!("the RFC has no {}", row.id);
                violations.push(file.violation(row.line, message));
            }
        }
        violations
    }
}

impl Row {
    fn read(mut fields: Fields, line: usize) -> Result<Self, String> {
        let status = fields.text("status")?;
        let status = Status::ALL.into_iter().find(|one| one.name() == status);
        let row = Self {
            id: fields.text("id")?,
            section: fields.text("section")?,
            says: fields.text("says")?,
            status: status.ok_or("no such status")?,
            at: fields.list("at")?,
            tests: fields.list("tests")?,
            why: fields.optional("why")?,
            line,
        };
        fields.end().map(|()| row)
    }
}

/// `9293` of `docs/conformance/rfc9293.toml`.
fn number(path: &str) -> String {
    path.chars()
        .rev()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect()
}

/// A table whose keys are taken one by one, so that none is left over unseen.
struct Fields {
    table: Table,
}

impl Fields {
    fn text(&mut self, key: &str) -> Result<String, String> {
        match self.table.remove(key) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("{key} is a text")),
            None => Err(format!("{key} is missing")),
        }
    }

    fn optional(&mut self, key: &str) -> Result<String, String> {
        match self.table.contains_key(key) {
            true => self.text(key),
            false => Ok(String::new()),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<String>, String> {
        match self.table.remove(key) {
            None => Ok(Vec::new()),
            Some(list) => list
                .try_into()
                .map_err(|_| format!("{key} is a list of texts")),
        }
    }

    fn end(self) -> Result<(), String> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{key} is not known")),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A paper as the file `docs/conformance/rfc1.toml` would hold it.
    pub fn paper(rows: &str) -> (SourceFile, Result<Paper, Violation>) {
        let file = SourceFile {
            path: "docs/conformance/rfc1.toml".into(),
            text: format!("title = 'One'\n{rows}"),
        };
        let paper = Paper::read(&file);
        (file, paper)
    }

    fn faults(rows: &str) -> Vec<String> {
        let (file, paper) = paper(rows);
        match paper {
            Ok(paper) => paper
                .check(&file)
                .iter()
                .map(|violation| format!("{}: {}", violation.line, violation.message))
                .collect(),
            Err(violation) => vec![format!("{}: {}", violation.line, violation.message)],
        }
    }

    #[test]
    fn a_row_needs_a_test_or_a_reason_and_what_is_met_a_place() {
        let row = "[[row]]\nid = 'MUST 1'\nsection = '1'\nsays = 'x'\n";
        let cases: [(&str, &[&str]); 8] = [
            (
                "status = 'met'\nat = ['a.rs#b']\ntests = ['a/b.pkt']\n",
                &[],
            ),
            ("status = 'met'\nat = ['a.rs#b']\nwhy = 'y'\n", &[]),
            (
                "status = 'met'\nat = ['a.rs#b']\n",
                &["2: MUST 1 has neither a test nor a reason"],
            ),
            (
                "status = 'met'\ntests = ['a']\n",
                &["2: MUST 1 is met: where?"],
            ),
            (
                "status = 'not met'\ntests = ['a']\n",
                &["2: MUST 1 is not met: why?"],
            ),
            (
                "status = 'not taken'\nwhy = 'y'\n",
                &["2: MUST 1 is no choice: it is met or not"],
            ),
            ("status = 'perhaps'\n", &["2: no such status"]),
            (
                "status = 'for others'\nwhy = 'y'\nwhere = 'z'\n",
                &["2: where is not known"],
            ),
        ];
        for (rest, expected) in cases {
            assert_eq!(faults(&format!("{row}{rest}")), expected, "{rest}");
        }
    }

    #[test]
    fn each_numbered_demand_has_exactly_one_row() {
        let row = |id: &str| {
            format!(
                "[[row]]\nid = '{id}'\nsection = '1'\nsays = 'x'\nstatus = 'not met'\nwhy = 'y'\n"
            )
        };
        let numbered = "[numbered]\nMUST = 2\nMAY = 1\n";
        let whole = [row("MAY-1"), row("MUST-2"), row("MUST-1")].concat();
        assert_eq!(faults(&format!("{numbered}{whole}")), [""; 0]);
        let broken = [row("MUST-1"), row("MUST-1"), row("MUST-3")].concat();
        assert_eq!(
            faults(&format!("{numbered}{broken}")),
            [
                "11: MUST-1 has a row already",
                "1: MAY-1 has no row",
                "1: MUST-2 has no row",
                "17: the RFC has no MUST-3",
            ]
        );
    }
}
