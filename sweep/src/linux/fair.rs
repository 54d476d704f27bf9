//! Two streams share a link in real time: one of ours and one of Linux, and two of Linux, which show what the link itself does.
//!
//! ```text
//!   kernel ─────────── TAP ─┐                          ┌─ TAP ─────────── kernel
//!                           ├─ switch ══ link ══ switch┤
//!   our host ─ bridge ─ TAP ┘                          └ TAP ─ bridge ─ our host
//! ```
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::ProgressBar;

use super::cable::Cable;
use super::ends::{End, Side};
use super::run::{Process, beside_the_cable, for_the_cable};
use super::{RATE, Stack, missing};
use crate::cell::Path;
use crate::page::megabits;

/// Jain's index that is asked for.
const GOAL: f64 = 0.9;
/// How long one runs before the other begins.
const LEAD: Duration = Duration::from_secs(5);
/// Who begins, who follows, and when.
const ROWS: [(Stack, Stack, Duration); 5] = [
    (Stack::Ours, Stack::Linux, Duration::ZERO),
    (Stack::Ours, Stack::Linux, LEAD),
    (Stack::Linux, Stack::Ours, LEAD),
    (Stack::Linux, Stack::Linux, Duration::ZERO),
    (Stack::Linux, Stack::Linux, LEAD),
];

/// How long.
#[derive(Args)]
pub struct Fairness {
    /// How long both run before they are counted, seconds.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    settle: u64,
    /// How long they are counted, seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    seconds: u64,
    /// Round trip, milliseconds.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    rtt: u64,
}

/// The table; ends with 1 where the index of ours and Linux is below the goal.
pub fn share(choice: &Fairness) -> Result<ExitCode> {
    if let Some(why) = missing() {
        bail!("no sharing with Linux here: {why}");
    }
    println!("first         second        after   Jain   the link was late by at most");
    let bar = ProgressBar::new(ROWS.len() as u64).with_message("sharing");
    let mut holds = true;
    for (first, second, lead) in ROWS {
        let (figures, late) = choice.run([first, second], lead)?;
        let index = jain(figures);
        let missed = index <= GOAL && first != second;
        holds &= !missed;
        let [one, other] = figures.map(megabits);
        let line = format!(
            "{:5} {one:>6}  {:5} {other:>6}  {:4} s  {index:.3}   {late:?}{}",
            first.name(),
            second.name(),
            lead.as_secs(),
            if missed { "  NO" } else { "" }
        );
        bar.suspend(|| println!("{line}"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Fairness {
    /// Bits a second of both, and the link's worst lag.
    fn run(&self, stacks: [Stack; 2], lead: Duration) -> Result<([f64; 2], Duration)> {
        let path = Path {
            loss: 0.0,
            rtt: Duration::from_millis(self.rtt),
            rate: RATE,
        };
        let settle = Duration::from_secs(self.settle);
        let mut first = Both::start(stacks[0], 0, settle + lead, self.seconds)?;
        let mut second = Both::start(stacks[1], 1, settle, self.seconds)?;
        let ends = [first.ids(), second.ids()].concat();
        let flags = Cable::flags(&path, 1, &ends);
        let mut cable = Process::start("cable", &flags, &for_the_cable())?;
        cable.expect_ready()?;
        first.listen()?;
        second.listen()?;
        first.sender.say("go")?;
        thread::sleep(lead);
        second.sender.say("go")?;
        let figures = [first.receiver.figure()?, second.receiver.figure()?];
        drop((first, second));
        cable.end_input();
        Ok((figures, Duration::from_micros(cable.figure()?)))
    }
}

/// The ends of a stream.
struct Both {
    sender: Process,
    receiver: Process,
}
impl Both {
    fn start(stack: Stack, pair: u8, skip: Duration, seconds: u64) -> Result<Self> {
        let end = |side| {
            let mut flags = End::flags(stack, side, "cubic", Duration::from_secs(seconds))?;
            flags.push(format!("--skip-millis={}", skip.as_millis()));
            flags.push(format!("--pair={pair}"));
            let mut end = Process::start("end", &flags, &beside_the_cable())?;
            end.expect_ready()?;
            anyhow::Ok(end)
        };
        Ok(Self {
            receiver: end(Side::Receiver)?,
            sender: end(Side::Sender)?,
        })
    }
    fn ids(&self) -> [u32; 2] {
        [self.sender.id(), self.receiver.id()]
    }
    fn listen(&mut self) -> Result<()> {
        self.receiver.say("go")?;
        self.receiver.expect_ready()
    }
}

/// 1 if both have the same, 0.5 if one has all.
fn jain([one, other]: [f64; 2]) -> f64 {
    (one + other).powi(2) / (2.0 * (one * one + other * other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_equals_and_a_half_where_one_has_all() {
        for (one, other, index) in [(5.0, 5.0, 1.0), (5.0, 0.0, 0.5), (2.0, 1.0, 0.9)] {
            assert!((jain([one, other]) - index).abs() < 1e-9, "{one}, {other}");
        }
    }
}
