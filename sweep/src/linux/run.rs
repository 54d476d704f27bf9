//! One run: three processes, what they say to each other, and their end.
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::ends::Side;
use super::{Cable, End, Stack};
use crate::cell::Cell;

/// What it came to.
pub struct Run {
    /// Bits a second at the receiver.
    pub goodput: f64,
    /// How late the cable was at worst.
    pub worst_lag: Duration,
}

/// A stream of one stack over the cell's cable.
pub fn run(cell: &Cell, stack: Stack, seed: u64, time: Duration) -> Result<Run> {
    let word = cell.congestion.name();
    let end = |side| {
        let flags = End::flags(stack, side, word, time)?;
        let mut end = Process::start("end", &flags, &beside_the_cable())?;
        end.expect_ready()?;
        anyhow::Ok(end)
    };
    let (mut receiver, mut sender) = (end(Side::Receiver)?, end(Side::Sender)?);
    let flags = Cable::flags(&cell.path, seed, &[sender.id(), receiver.id()]);
    let mut cable = Process::start("cable", &flags, &for_the_cable())?;
    cable.expect_ready()?;
    receiver.say("go")?;
    receiver.expect_ready()?;
    sender.say("go")?;
    let goodput = receiver.figure()?;
    drop(sender);
    cable.end_input();
    let micros = cable.figure()?;
    Ok(Run {
        goodput,
        worst_lag: Duration::from_micros(micros),
    })
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
/// A processor of its own, before all others on it: a cable that is late is another cable.
pub fn for_the_cable() -> Vec<String> {
    let words: &[&str] = match processors() {
        1 => &["nice", "--adjustment=-20"],
        _ => &["taskset", "--cpu-list", "1", "nice", "--adjustment=-20"],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}
/// The ends of both share what is left.
pub fn beside_the_cable() -> Vec<String> {
    let list = match processors() {
        1 => return Vec::new(),
        2 => "0".to_owned(),
        all => format!("0,2-{}", all - 1),
    };
    ["taskset".to_owned(), "--cpu-list".to_owned(), list].into()
}

/// This program again, in a network namespace of its own; ended with the run.
pub struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}
impl Process {
    /// `before`: words of commands that start it.
    pub fn start(role: &str, flags: &[String], before: &[String]) -> Result<Self> {
        let this = std::env::current_exe()?;
        let before = before.iter().map(String::as_str);
        let mut words = before.chain(["unshare", "--net", "--"]);
        let mut command = Command::new(words.next().context("no program")?);
        command
            .args(words)
            .arg(this)
            .args(["inside", role])
            .args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let said = child.stdout.take().context("no pipe")?;
        Ok(Self {
            child,
            said: BufReader::new(said),
        })
    }
    /// `taskset`, `nice` and `unshare` become what they start: it is the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    pub fn say(&mut self, word: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no pipe")?;
        Ok(writeln!(stdin, "{word}")?)
    }
    /// No more is said to it.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }
    /// A number that it says.
    pub fn figure<T: FromStr>(&mut self) -> Result<T> {
        let line = self.line()?;
        let figure = line.parse().ok();
        figure.with_context(|| format!("`{line}` is no figure"))
    }
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a process of the run ended early");
        Ok(line.trim_end().to_owned())
    }
    pub fn expect_ready(&mut self) -> Result<()> {
        let line = self.line()?;
        ensure!(line == "ready", "a process of the run said `{line}`");
        Ok(())
    }
}
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // gone already
        let _ = self.child.wait();
    }
}
