//! `cargo xtask semantics`: random sequences of socket calls under `heptad run`, line by line beside the kernel's.
//!
//! The program is `sequences.py` of the runner's foreign tests. Both run in the suites' room, the kernel's with its `lo`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::programs;
use crate::suites::{
    self,
    room::{PYTHON, Room},
};

/// What `cargo xtask semantics --help` ends with.
pub const EXAMPLES: &str = "Examples:
  cargo xtask semantics                       300 sequences of sixteen calls: half a minute
  cargo xtask semantics --first 4711 --count 1
                                              one of them, with what differs
  cargo xtask semantics --json                one line of JSON

Exit codes: 0 at least 97 % of the lines are the kernel's, 1 fewer are.";

const PROGRAM: &str = "crates/runner/tests/foreign/sequences.py";
/// Of a hundred lines so many must be the kernel's.
const ENOUGH: usize = 97;
/// Sequences whose first difference is printed.
const SHOWN: usize = 40;

/// Which sequences are run.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// The number of the first sequence; each is drawn from its own.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u32,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Print one line of JSON instead of what differs.
    #[arg(long)]
    json: bool,
    /// Run this heptad instead of building one.
    #[arg(long, value_name = "FILE")]
    heptad: Option<PathBuf>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            first: 0,
            count: 300,
            json: false,
            heptad: None,
        }
    }
}

/// Runs them both ways and compares.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    let missing = programs::make_sure_of(&programs::SUITES);
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    ensure!(names.is_empty(), "the sequences need {}", names.join(", "));
    let room = Room::new(root, &suites::heptad(root, choice.heptad.as_deref())?)?;
    room.control()?;
    let program = room.bring(&root.join(PROGRAM))?;
    let python = Path::new(PYTHON);
    let kernel = said_by(room.under_the_kernel(python), &program, choice)?;
    let ours = said_by(room.under_heptad(python), &program, choice)?;
    let compared = Compared::of(&kernel, &ours);
    match choice.json {
        true => println!("{}", compared.json()),
        false => print!("{}", compared.text()),
    }
    Ok(match compared.is_enough() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn said_by(mut command: Command, program: &Path, choice: &Choice) -> Result<String> {
    let words = [choice.first, choice.count].map(|word| word.to_string());
    let output = command.arg(program).args(words).output();
    let output = output.context("cannot start setpriv")?;
    ensure!(
        output.status.success(),
        "sequences.py ends with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// How alike two runs are.
struct Compared {
    lines: usize,
    same_lines: usize,
    sequences: usize,
    /// The first line that differs of each sequence that has one: the kernel's, and ours.
    different: Vec<(String, String)>,
}

impl Compared {
    fn of(kernel: &str, ours: &str) -> Self {
        let number = |line: &str| line.split('.').next().unwrap_or_default().to_owned();
        let mut compared = Self {
            lines: 0,
            same_lines: 0,
            sequences: 0,
            different: Vec::new(),
        };
        let mut ours = ours.lines();
        let mut current = None;
        let mut is_known = false;
        for theirs in kernel.lines() {
            let here = ours.next().unwrap_or("(nothing)");
            if current.as_ref() != Some(&number(theirs)) {
                current = Some(number(theirs));
                compared.sequences += 1;
                is_known = false;
            }
            compared.lines += 1;
            if theirs == here {
                compared.same_lines += 1;
            } else if !std::mem::replace(&mut is_known, true) {
                let pair = (theirs.to_owned(), here.to_owned());
                compared.different.push(pair);
            }
        }
        compared
    }

    fn is_enough(&self) -> bool {
        self.lines > 0 && self.same_lines * 100 >= self.lines * ENOUGH
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (kernel, ours) in self.different.iter().take(SHOWN) {
            text += &format!("kernel  {kernel}\nheptad  {ours}\n\n");
        }
        if self.different.len() > SHOWN {
            let more = self.different.len() - SHOWN;
            text += &format!("… and {more} sequences more\n\n");
        }
        let percent = 100.0 * self.same_lines as f64 / self.lines.max(1) as f64;
        let whole = self.sequences - self.different.len();
        text += &format!(
            "the same: {} of {} lines ({percent:.1} %), {whole} of {} sequences to the last\n",
            self.same_lines, self.lines, self.sequences
        );
        text
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "v": 1,
            "lines": self.lines,
            "same_lines": self.same_lines,
            "sequences": self.sequences,
            "same_sequences": self.sequences - self.different.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_sequences_that_are_the_same_are_counted() {
        let kernel = "7.0 a: ok\n7.1 b: ok\n8.0 a: ok\n8.1 b: EPIPE\n8.2 c: ok\n";
        let ours = "7.0 a: ok\n7.1 b: ok\n8.0 a: ok\n8.1 b: ok\n8.2 c: EBADF\n";
        let compared = Compared::of(kernel, ours);
        assert_eq!((compared.lines, compared.same_lines), (5, 3));
        assert_eq!((compared.sequences, compared.different.len()), (2, 1));
        assert_eq!(compared.different[0].1, "8.1 b: ok");
        assert!(!compared.is_enough());
        assert!(
            compared
                .text()
                .ends_with("the same: 3 of 5 lines (60.0 %), 1 of 2 sequences to the last\n")
        );
    }

    #[test]
    fn what_ends_early_differs_and_nothing_is_not_enough() {
        assert_eq!(
            Compared::of("1.0 a: ok\n1.1 b: ok\n", "1.0 a: ok\n").same_lines,
            1
        );
        assert!(!Compared::of("", "").is_enough());
        assert!(Compared::of("1.0 a: ok\n", "1.0 a: ok\n").is_enough());
    }
}
