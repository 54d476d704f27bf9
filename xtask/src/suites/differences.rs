//! The list of tests that the kernel passes and heptad does not, each with its reason. It only shrinks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

use super::{Outcome, Verdict};

/// A test that does not pass, or several by a pattern in which `*` stands for anything.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub test: String,
    pub why: String,
    /// It hangs on what comes first: it passes at times, which counts as not passing.
    pub sometimes: bool,
}

/// The whole list, by suite.
#[derive(Debug, Default)]
pub struct Differences(BTreeMap<String, Vec<Difference>>);

impl Differences {
    /// Reads the list; its suites are among these.
    pub fn read(path: &Path, suites: &[&str]) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let parsed = text
            .map_err(Into::into)
            .and_then(|text| Self::parse(&text, suites));
        parsed.with_context(|| path.display().to_string())
    }

    fn parse(text: &str, suites: &[&str]) -> Result<Self> {
        let mut differences = Self::default();
        for (suite, entries) in text.parse::<Table>()? {
            ensure!(
                suites.contains(&suite.as_str()),
                "there is no suite {suite}"
            );
            let entries = entries.as_array().context("entries are [[SUITE]]")?;
            let entries: Result<_> = entries.iter().map(Difference::parse).collect();
            differences.0.insert(suite, entries?);
        }
        Ok(differences)
    }

    /// Those of a suite.
    pub fn of(&self, suite: &str) -> &[Difference] {
        self.0.get(suite).map_or(&[], Vec::as_slice)
    }
}

impl Difference {
    fn parse(entry: &Value) -> Result<Self> {
        let entry = entry.as_table().context("an entry is a table")?;
        if let Some(key) = entry
            .keys()
            .find(|key| !matches!(key.as_str(), "test" | "why" | "sometimes"))
        {
            bail!("an entry has no {key}");
        }
        let word = |key: &str| {
            let word = entry.get(key).and_then(Value::as_str).unwrap_or_default();
            ensure!(!word.trim().is_empty(), "an entry needs {key}: {entry}");
            Ok(word.to_owned())
        };
        let sometimes = match entry.get("sometimes") {
            None => false,
            Some(value) => value.as_bool().context("sometimes is true or false")?,
        };
        Ok(Self {
            test: word("test")?,
            why: word("why")?,
            sometimes,
        })
    }
}

fn word(seen: Option<&Verdict>) -> &'static str {
    match seen {
        Some(Verdict::Passed) => "passed",
        Some(Verdict::Skipped) => "skipped",
        Some(Verdict::Failed) => "failed",
        None => "not seen",
    }
}

fn matches(pattern: &str, test: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == test;
    };
    let Some(tail) = test.strip_prefix(head) else {
        return false;
    };
    let mut tails = tail.char_indices().map(|(at, _)| &tail[at..]).chain([""]);
    tails.any(|tail| matches(rest, tail))
}

/// A suite beside the kernel and the list.
#[derive(Debug)]
pub struct Comparison<'a> {
    pub suite: &'static str,
    /// How many tests the kernel passes.
    pub kernel: usize,
    /// How many of those pass under heptad, and not only sometimes.
    pub heptad: usize,
    /// The entries of the list.
    pub listed: &'a [Difference],
    /// Tests that did not pass and are not in the list, with what was seen of them.
    pub new: Vec<(String, &'static str)>,
    /// What the list has without need: tests that passed, and patterns without a test.
    pub gone: Vec<String>,
}

impl<'a> Comparison<'a> {
    /// What a suite came to beside its entries of the list.
    pub fn of(suite: &'static str, outcome: &Outcome, listed: &'a [Difference]) -> Self {
        let entry = |test: &String| listed.iter().find(|entry| matches(&entry.test, test));
        let (mut heptad, mut new, mut gone) = (0, Vec::new(), Vec::new());
        for test in &outcome.kernel {
            match (outcome.heptad.get(test), entry(test)) {
                (Some(Verdict::Passed), None) => heptad += 1,
                (Some(Verdict::Passed), Some(entry)) if !entry.sometimes => {
                    heptad += 1;
                    gone.push(test.clone());
                }
                (seen, None) => new.push((test.clone(), word(seen))),
                (_, Some(_)) => {}
            }
        }
        for Difference { test: pattern, .. } in listed {
            if !outcome.kernel.iter().any(|test| matches(pattern, test)) {
                gone.push(pattern.clone());
            }
        }
        Self {
            suite,
            kernel: outcome.kernel.len(),
            heptad,
            listed,
            new,
            gone,
        }
    }

    /// Whether everything is as the list says.
    pub fn holds(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }

    /// What is not as the list says, in sentences.
    pub fn against(&self) -> impl Iterator<Item = String> {
        let suite = self.suite;
        let new = self.new.iter().map(move |(test, seen)| {
            format!("{suite}: {test}: {seen}, and the list of differences does not have it")
        });
        let gone = self.gone.iter().map(move |test| {
            format!(
                "{suite}: {test}: passes or is no test, and the list of differences still has it"
            )
        });
        new.chain(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
[[go]]
test = "net.TestIPConn*"
why = "raw sockets"

[[go]]
test = "net.TestUDP"
why = "a reason"
"#;

    fn compared(kernel: &[&str], heptad: &[(&str, Verdict)]) -> (Vec<String>, Vec<String>) {
        let list = Differences::parse(LIST, &["go"]).unwrap();
        let outcome = Outcome {
            kernel: kernel.iter().map(|test| test.to_string()).collect(),
            heptad: heptad
                .iter()
                .map(|(test, verdict)| (test.to_string(), *verdict))
                .collect(),
        };
        let comparison = Comparison::of("go", &outcome, list.of("go"));
        let new = comparison
            .new
            .iter()
            .map(|(test, seen)| format!("{test} {seen}"))
            .collect();
        assert_eq!(comparison.holds(), comparison.against().next().is_none());
        (new, comparison.gone)
    }

    #[test]
    fn a_test_that_did_not_pass_must_be_listed_and_a_listed_one_must_not_pass() {
        let (passed, failed) = (Verdict::Passed, Verdict::Failed);
        let kernel = [
            "net.TestIPConnName",
            "net.TestIPConnAddr",
            "net.TestTCP",
            "net.TestUDP",
        ];
        let all = |verdicts: [Verdict; 4]| kernel.into_iter().zip(verdicts).collect::<Vec<_>>();
        let none: Vec<String> = Vec::new();

        let as_listed = compared(&kernel, &all([failed, Verdict::Skipped, passed, failed]));
        assert_eq!(as_listed, (none.clone(), none.clone()));

        let broken = compared(&kernel, &all([failed, failed, failed, failed]));
        assert_eq!(
            broken,
            (vec!["net.TestTCP failed".to_owned()], none.clone())
        );
        let skipped = compared(&kernel, &all([failed, failed, Verdict::Skipped, failed]));
        assert_eq!(skipped.0, ["net.TestTCP skipped"]);
        let unseen = compared(&kernel, &all([failed, failed, passed, failed])[..2]);
        assert_eq!(
            unseen,
            (vec!["net.TestTCP not seen".to_owned()], none.clone())
        );

        let mended = compared(&kernel, &all([failed, failed, passed, passed]));
        assert_eq!(mended, (none.clone(), vec!["net.TestUDP".to_owned()]));
        let one_of_a_pattern = compared(&kernel, &all([passed, failed, passed, failed]));
        assert_eq!(
            one_of_a_pattern,
            (none.clone(), vec!["net.TestIPConnName".to_owned()])
        );
        let no_test = compared(&kernel[2..], &all([failed, failed, passed, failed]));
        assert_eq!(no_test, (none, vec!["net.TestIPConn*".to_owned()]));
    }

    #[test]
    fn a_test_that_passes_sometimes_may_do_either_and_never_counts_as_passing() {
        let list = "[[go]]\ntest = 'net.TestA'\nwhy = 'a race'\nsometimes = true";
        let list = Differences::parse(list, &["go"]).unwrap();
        for verdict in [Verdict::Passed, Verdict::Failed] {
            let outcome = Outcome {
                kernel: ["net.TestA", "net.TestB"].map(str::to_owned).into(),
                heptad: [("net.TestA", verdict), ("net.TestB", Verdict::Passed)]
                    .map(|(test, verdict)| (test.to_owned(), verdict))
                    .into(),
            };
            let comparison = Comparison::of("go", &outcome, list.of("go"));
            assert!(comparison.holds());
            assert_eq!((comparison.kernel, comparison.heptad), (2, 1));
        }
    }

    #[test]
    fn what_the_kernel_does_not_pass_counts_nothing() {
        let heptad = [
            ("net.TestUDP", Verdict::Failed),
            ("net.TestIPConnA", Verdict::Failed),
            ("net.TestOther", Verdict::Failed),
        ];
        let (new, gone) = compared(&["net.TestUDP", "net.TestIPConnA"], &heptad);
        assert!(new.is_empty() && gone.is_empty());
    }

    #[test]
    fn an_entry_has_a_test_and_a_reason_and_a_suite_that_is_there() {
        for broken in [
            "[[go]]\ntest = 'a'",
            "[[go]]\ntest = 'a'\nwhy = ' '",
            "[[go]]\nwhy = 'a'",
            "[[go]]\ntest = 'a'\nwhy = 'b'\nsince = 'c'",
            "[[go]]\ntest = 'a'\nwhy = 'b'\nsometimes = 1",
            "[go]\ntest = 'a'\nwhy = 'b'",
            "[[rust]]\ntest = 'a'\nwhy = 'b'",
        ] {
            assert!(Differences::parse(broken, &["go"]).is_err(), "{broken}");
        }
        assert!(Differences::parse("", &["go"]).unwrap().of("go").is_empty());
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, test, is) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.", true),
            ("a.*", "b.a.", false),
            ("*LITE*Test.test*", "test_socket.UDPLITE6Test.testA", true),
            ("*LITE*Test.test*", "test_socket.UDP6Test.testA", false),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
        ] {
            assert_eq!(matches(pattern, test), is, "{pattern} {test}");
        }
    }
}
