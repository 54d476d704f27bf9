//! One stream of ours and one of Linux share a link in real time.
//!
//! ```text
//!   kernel ── TAP ─┐                          ┌─ TAP ── kernel
//!                  ├─ switch ══ link ══ switch┤
//!   our host ──────┘                          └───── our host
//! ```
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::cable::{BEGIN, COUNT, Cable};
use super::ends::{End, Side};
use super::run::{Process, beside_the_cable, for_the_cable};
use super::{RATE, Stack, missing};
use crate::cell::Path;
use crate::page::megabits;

/// Jain's index that is asked for.
const GOAL: f64 = 0.9;
/// How long one runs before the other begins.
const LEAD: Duration = Duration::from_secs(5);

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

/// Who begins.
#[derive(Clone, Copy)]
enum First {
    Both,
    Ours,
    Linux,
}

/// The table; ends with 1 where the index is below the goal.
pub fn share(choice: &Fairness) -> Result<ExitCode> {
    if let Some(why) = missing() {
        bail!("no sharing with Linux here: {why}");
    }
    println!("begins       ours    Linux   Jain   the link was late by at most");
    let mut holds = true;
    for (first, name) in [
        (First::Both, "both"),
        (First::Ours, "ours"),
        (First::Linux, "Linux"),
    ] {
        let (ours, linux, late) = choice.run(first)?;
        let index = jain(ours, linux);
        let mark = if index > GOAL { "" } else { "  NO" };
        holds &= index > GOAL;
        let (ours, linux) = (megabits(ours), megabits(linux));
        println!("{name:8} {ours:>8} {linux:>8}  {index:.3}   {late:?}{mark}");
    }
    Ok(match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Fairness {
    /// Bits a second of ours and of Linux, and the link's worst lag.
    fn run(&self, first: First) -> Result<(f64, f64, Duration)> {
        let path = Path {
            loss: 0.0,
            rtt: Duration::from_millis(self.rtt),
            rate: RATE,
        };
        let settle = Duration::from_secs(self.settle);
        let end = |side| {
            let time = Duration::from_secs(self.seconds);
            let mut flags = End::flags(Stack::Linux, side, "cubic", time)?;
            flags.push(format!("--skip-millis={}", settle.as_millis()));
            let mut end = Process::start("end", &flags, &beside_the_cable())?;
            end.expect_ready()?;
            anyhow::Ok(end)
        };
        let (mut receiver, mut sender) = (end(Side::Receiver)?, end(Side::Sender)?);
        let mut flags = Cable::flags(&path, 1, sender.id(), receiver.id());
        flags.push("--shared".to_owned());
        let mut cable = Process::start("cable", &flags, &for_the_cable())?;
        cable.expect_ready()?;
        receiver.say("go")?;
        receiver.expect_ready()?;
        match first {
            First::Linux => {
                sender.say("go")?;
                thread::sleep(LEAD);
                cable.say(BEGIN)?;
            }
            First::Both | First::Ours => {
                cable.say(BEGIN)?;
                if matches!(first, First::Ours) {
                    thread::sleep(LEAD);
                }
                sender.say("go")?;
            }
        }
        let left = match first {
            First::Linux => settle.saturating_sub(LEAD),
            First::Both | First::Ours => settle,
        };
        thread::sleep(left);
        cable.say(COUNT)?;
        let linux = receiver.figure()?;
        drop(sender);
        cable.end_input();
        let late = Duration::from_micros(cable.figure::<u64>()?);
        Ok((cable.figure()?, linux, late))
    }
}

/// 1 if both have the same, 0.5 if one has all.
fn jain(one: f64, other: f64) -> f64 {
    (one + other).powi(2) / (2.0 * (one * one + other * other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_equals_and_a_half_where_one_has_all() {
        for (one, other, index) in [(5.0, 5.0, 1.0), (5.0, 0.0, 0.5), (2.0, 1.0, 0.9)] {
            assert!((jain(one, other) - index).abs() < 1e-9, "{one}, {other}");
        }
    }
}
