//! One run: three processes, what they say to each other, and their end.
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
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
        let mut end = Process::start("end", &flags, &[])?;
        end.expect_ready()?;
        anyhow::Ok(end)
    };
    let (mut receiver, mut sender) = (end(Side::Receiver)?, end(Side::Sender)?);
    let flags = Cable::flags(&cell.path, seed, sender.id(), receiver.id());
    // Before all others on the processors: a cable that is late is another cable.
    let mut cable = Process::start("cable", &flags, &["chrt", "--fifo", "20"])?;
    cable.expect_ready()?;
    receiver.say("go")?;
    receiver.expect_ready()?;
    sender.say("go")?;
    let goodput = receiver.line()?.parse().context("no figure")?;
    drop(sender);
    drop(cable.child.stdin.take());
    let micros = cable.line()?.parse().context("no lag")?;
    Ok(Run {
        goodput,
        worst_lag: Duration::from_micros(micros),
    })
}

/// This program again, in a network namespace of its own; ended with the run.
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}
impl Process {
    fn start(role: &str, flags: &[String], before: &[&str]) -> Result<Self> {
        let this = std::env::current_exe()?;
        let words = before.iter().chain(&["unshare", "--net", "--"]);
        let mut words = words.copied();
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
    /// `chrt` and `unshare` become what they start: it is the program's own.
    fn id(&self) -> u32 {
        self.child.id()
    }
    fn say(&mut self, word: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no pipe")?;
        Ok(writeln!(stdin, "{word}")?)
    }
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a process of the run ended early");
        Ok(line.trim_end().to_owned())
    }
    fn expect_ready(&mut self) -> Result<()> {
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
