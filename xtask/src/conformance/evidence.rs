//! What rows may name: functions and types of the sources, tests, scripts of packets.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::rows::{Paper, Row};
use crate::lexer::{Kind, Token, lex};
use crate::source::{SourceFile, Violation, rust_files};
use crate::test_code::group_len;

/// Where scripts lie.
const SCRIPTS: &str = "scripts/pkt";
/// The macro that makes two tests of each story that it lists.
const STORIES: &str = "over_both_families";

/// All that can be named.
#[derive(Default)]
pub struct Evidence {
    /// Of each Rust file the names that it defines.
    names: BTreeMap<String, Vec<String>>,
    /// Of each test the files that have one of this name.
    tests: BTreeMap<String, Vec<String>>,
    /// Paths below [`SCRIPTS`].
    scripts: Vec<String>,
}

impl Evidence {
    /// Reads the tree.
    pub fn gather(root: &Path) -> Result<Self> {
        let mut evidence = Self::of(&rust_files(root)?);
        let folder = root.join(SCRIPTS);
        for topic in std::fs::read_dir(&folder).with_context(|| format!("cannot list {SCRIPTS}"))? {
            let topic = topic?;
            for script in std::fs::read_dir(topic.path())? {
                let (topic, script) = (topic.file_name(), script?.file_name());
                let path = format!("{}/{}", topic.to_string_lossy(), script.to_string_lossy());
                evidence.scripts.push(path);
            }
        }
        Ok(evidence)
    }

    /// What Rust files have to offer.
    fn of(files: &[SourceFile]) -> Self {
        let mut evidence = Self::default();
        for file in files {
            let tokens = lex(&file.text);
            for test in tests(&tokens) {
                let places = evidence.tests.entry(test.to_owned()).or_default();
                places.push(file.path.clone());
            }
            let names = definitions(&tokens).map(str::to_owned).collect();
            evidence.names.insert(file.path.clone(), names);
        }
        evidence
    }

    /// What a paper names and is not there.
    pub fn check(&self, paper: &Paper, file: &SourceFile) -> Vec<Violation> {
        let faults = |row: &Row| {
            let places = row.at.iter().filter_map(|at| self.place(at).err());
            let tests = row.tests.iter().filter_map(|test| self.test(test).err());
            places.chain(tests).collect::<Vec<_>>()
        };
        let rows = paper.rows.iter();
        rows.flat_map(|row| {
            let of_row = |fault| file.violation(row.line, format!("{}: {fault}", row.id));
            faults(row).into_iter().map(of_row)
        })
        .collect()
    }

    /// The file and the name of `tcp/rtt.rs#sample`.
    pub fn place<'a>(&self, at: &'a str) -> Result<(&str, &'a str), String> {
        let (end, name) = at.split_once('#').ok_or(format!("{at}: file#name"))?;
        let path = self.file(end)?;
        // The last part of `Type::method` is what a file defines.
        let last = name.rsplit("::").next().unwrap_or(name);
        match self.names.get(path) {
            Some(names) if names.iter().any(|one| one == last) => Ok((path, name)),
            _ => Err(format!("{path} defines no {last}")),
        }
    }

    /// The one Rust file whose path ends so.
    fn file(&self, end: &str) -> Result<&str, String> {
        let whole = format!("/{end}");
        let mut fitting = self.names.keys().filter(|path| path.ends_with(&whole));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one),
            (Some(one), Some(other)) => Err(format!("{end} may be {one} or {other}")),
            (None, _) => Err(format!("there is no file {end}")),
        }
    }

    /// The file of a script or of a Rust test. `tests.rs#name` tells tests of one name apart.
    pub fn test(&self, test: &str) -> Result<String, String> {
        if test.ends_with(".pkt") {
            return match self.scripts.iter().any(|script| script == test) {
                true => Ok(format!("{SCRIPTS}/{test}")),
                false => Err(format!("there is no script {SCRIPTS}/{test}")),
            };
        }
        let (end, name) = test.split_once('#').unwrap_or(("", test));
        let places = self.tests.get(name).map_or(&[][..], Vec::as_slice);
        let fitting: Vec<&String> = places.iter().filter(|path| path.ends_with(end)).collect();
        match fitting.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(format!("there is no test {test}")),
            several => Err(format!("{} tests are named {test}", several.len())),
        }
    }
}

/// The names of functions, types, constants and modules: all that stands behind such a keyword.
fn definitions<'a>(tokens: &[Token<'a>]) -> impl Iterator<Item = &'a str> {
    const KEYWORDS: [&str; 8] = [
        "fn", "struct", "enum", "trait", "const", "static", "type", "mod",
    ];
    tokens.windows(2).filter_map(|pair| {
        let [before, name] = pair else { return None };
        let defines = KEYWORDS.iter().any(|keyword| before.is(keyword));
        (defines && name.kind == Kind::Ident).then_some(name.text)
    })
}

/// The names of tests: functions marked as such, and stories that are told over both families.
fn tests<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if is_test_attribute(rest) {
            found.extend(marked_function(&rest[group_len(&rest[1..]) + 1..]));
        } else if let [name, bang, ..] = rest
            && name.is(STORIES)
            && bang.is("!")
        {
            let listed = &rest[2..2 + group_len(&rest[2..])];
            let listed = listed.iter().filter(|token| token.kind == Kind::Ident);
            found.extend(listed.map(|token| token.text));
        }
        at += 1;
    }
    found
}

/// `#[test]`, `#[tokio::test(...)]`.
fn is_test_attribute(tokens: &[Token<'_>]) -> bool {
    let [sign, open, ..] = tokens else {
        return false;
    };
    if !(sign.is("#") && open.is("[")) {
        return false;
    }
    let inside = &tokens[2..group_len(&tokens[1..])];
    let path = inside.iter().take_while(|token| !token.is("("));
    path.last().is_some_and(|token| token.is("test"))
}

/// The function that stands here, behind more attributes and what else may stand in front of `fn`.
fn marked_function<'a>(mut tokens: &[Token<'a>]) -> Option<&'a str> {
    loop {
        match tokens {
            [sign, open, ..] if sign.is("#") && open.is("[") => {
                tokens = &tokens[1 + group_len(&tokens[1..])..];
            }
            [keyword, name, ..] if keyword.is("fn") => return Some(name.text),
            [word, rest @ ..] if word.is("pub") || word.is("async") => tokens = rest,
            _ => return None,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A tree of one file and one script.
    pub fn evidence() -> Evidence {
        let text = "
            /// #[test] fn in_a_comment() {}
            const LIMIT: u32 = 1;
            struct Rtt; impl Rtt { fn sample() {} }
            over_both_families! { a_story, another_story, }
            #[test]
            #[should_panic]
            fn plain() {}
            #[tokio::test(flavor = \"x\")]
            async fn task() {}
            #[test_not] fn none() {}
        ";
        let file = |path: &str, text: &str| SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let mut evidence = Evidence::of(&[
            file("crates/stack/src/tcp/rtt.rs", text),
            file("crates/lab/src/lib.rs", "#[test] fn plain() {}"),
        ]);
        evidence.scripts.push("acks/one.pkt".into());
        evidence
    }

    #[test]
    fn tests_and_scripts_are_found_and_nothing_else() {
        let evidence = evidence();
        for there in ["a_story", "another_story", "task", "rtt.rs#plain"] {
            let place = evidence.test(there);
            assert_eq!(place.as_deref(), Ok("crates/stack/src/tcp/rtt.rs"));
        }
        let script = evidence.test("acks/one.pkt");
        assert_eq!(script.as_deref(), Ok("scripts/pkt/acks/one.pkt"));
        for missing in ["none", "in_a_comment", "sample", "acks/two.pkt", "plain"] {
            assert!(evidence.test(missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn places_are_files_and_what_they_define() {
        let evidence = evidence();
        let file = "crates/stack/src/tcp/rtt.rs";
        for (at, name) in [
            ("tcp/rtt.rs#sample", "sample"),
            ("rtt.rs#Rtt::sample", "Rtt::sample"),
            ("rtt.rs#LIMIT", "LIMIT"),
        ] {
            assert_eq!(evidence.place(at), Ok((file, name)));
        }
        for missing in ["rtt.rs", "rtt.rs#rto", "tt.rs#sample", "cubic.rs#sample"] {
            assert!(evidence.place(missing).is_err(), "{missing}");
        }
    }
}
