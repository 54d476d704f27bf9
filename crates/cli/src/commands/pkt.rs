//! `heptad pkt`
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use heptad_lab::pkt::{self, Packets, Passed, PktError};
use serde::Serialize;

use super::{print_json, print_text};
use crate::args::Pkt;
use crate::failure::{FAILED, Failure, USAGE};
use crate::paint::Paint;

/// Fewer scripts than this are over before a bar could be read.
const LONG: usize = 50;

/// Runs each script; 0 only when all pass.
pub fn pkt(args: &Pkt, json: bool, paint: Paint) -> Result<u8, Failure> {
    let files = files(&args.files)?;
    let began = Instant::now();
    let bar = match files.len() {
        many if many >= LONG => indicatif::ProgressBar::new(many as u64), // draws on a terminal only
        _ => indicatif::ProgressBar::hidden(),
    };
    let mut played = Vec::with_capacity(files.len());
    for file in files {
        let script = play(file)?;
        if !json && (!args.quiet || script.outcome.is_err()) {
            bar.suspend(|| print_text(&script.text(paint)))?;
        }
        played.push(script);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sum = Sum::of(&played, began.elapsed());
    match json {
        true => print_json(&sum)?,
        false => print_text(&sum.text())?,
    }
    Ok(code(&played))
}

/// What failed comes before what is not understood: it tells more.
fn code(played: &[Played]) -> u8 {
    let errors = || {
        played
            .iter()
            .filter_map(|script| script.outcome.as_ref().err())
    };
    if errors().any(|error| matches!(error, PktError::Differs { .. })) {
        FAILED
    } else if errors().next().is_some() {
        USAGE
    } else {
        0
    }
}

// ── which scripts ────────────────────────────────────────────────────────────────────────────────────────────────────

/// Files as they are given, folders by what is in them.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in given {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        below(path, &mut all).map_err(|error| unreadable(path, &error))?;
        if all.len() == before {
            let folder = path.display();
            return Err(Failure::usage(format!(
                "no script ends in .pkt below {folder}"
            )));
        }
    }
    Ok(all)
}
/// All scripts below a folder, in the order of their names.
fn below(folder: &Path, all: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            below(&path, all)?;
        } else if path.extension().is_some_and(|ending| ending == "pkt") {
            all.push(path);
        }
    }
    Ok(())
}
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

// ── one script ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// A script, and what became of it.
struct Played {
    file: PathBuf,
    outcome: Result<Passed, PktError>,
}

fn play(file: PathBuf) -> Result<Played, Failure> {
    let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
    let outcome = pkt::parse(&text).and_then(|script| pkt::run(&script));
    Ok(Played { file, outcome })
}

fn did(passed: &Passed) -> String {
    let Passed {
        events,
        unsaid,
        time,
    } = passed;
    let mut text = format!("{events} events, {:.3} s", time.as_secs_f64());
    for packet in unsaid {
        text += &format!("\n      unsaid    {packet}");
    }
    text
}

impl Played {
    fn text(&self, paint: Paint) -> String {
        let file = self.file.display();
        let error = match &self.outcome {
            Ok(passed) => {
                let (good, did) = (paint.good("ok"), paint.dim(&did(passed)));
                return format!("{good}    {file}  {did}\n");
            }
            Err(error) => error,
        };
        let place = paint.bold(&format!("{file}:{}", error.line()));
        let when = match error {
            PktError::Differs { at, .. } => format!("at {:.6} s: ", at.as_secs_f64()),
            _ => String::new(),
        };
        let mut text = format!("{}  {place}: {when}{}\n", paint.bad("FAIL"), error.what());
        if let Some(Packets { expected, sent }) = error.packets() {
            text += &format!("      expected  {expected}\n");
            text += &match sent {
                Some(sent) => format!("      sent      {sent}\n"),
                None => "      sent      nothing\n".to_string(),
            };
        }
        text
    }
    fn told(&self) -> Told {
        let (passed, error) = (self.outcome.as_ref().ok(), self.outcome.as_ref().err());
        let packets = error.and_then(PktError::packets);
        let line = |timed: &pkt::Timed| TimedPacket {
            time: timed.time.clone(),
            packet: timed.packet.clone(),
        };
        Told {
            file: self.file.display().to_string(),
            ok: error.is_none(),
            events: passed.map(|passed| passed.events),
            unsaid: passed.map(|passed| passed.unsaid.iter().map(line).collect()),
            seconds: match &self.outcome {
                Ok(passed) => Some(passed.time.as_secs_f64()),
                Err(PktError::Differs { at, .. }) => Some(at.as_secs_f64()),
                Err(_) => None,
            },
            kind: error.map(|error| match error {
                PktError::Syntax { .. } => "syntax",
                PktError::Unknown { .. } => "unknown",
                PktError::Differs { .. } => "differs",
            }),
            line: error.map(PktError::line),
            what: error.map(|error| error.what().to_string()),
            expected: packets.map(|packets| line(&packets.expected)),
            sent: packets.and_then(|packets| packets.sent.as_ref()).map(line),
        }
    }
}

// ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────────

/// A script as JSON tells it; `seconds` are virtual: its length, or when it failed.
#[derive(Serialize)]
struct Told {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsaid: Option<Vec<TimedPacket>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<TimedPacket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<TimedPacket>,
}
#[derive(Serialize)]
struct TimedPacket {
    time: String,
    packet: String,
}

#[derive(Serialize)]
struct Sum {
    passed: usize,
    failed: usize,
    /// Of the wall clock.
    took: f64,
    /// Of the scripts that passed.
    virtual_seconds: f64,
    scripts: Vec<Told>,
}
impl Sum {
    fn of(played: &[Played], took: Duration) -> Self {
        let passed = || {
            played
                .iter()
                .filter_map(|script| script.outcome.as_ref().ok())
        };
        Self {
            passed: passed().count(),
            failed: played.len() - passed().count(),
            took: took.as_secs_f64(),
            virtual_seconds: passed()
                .map(|passed| passed.time)
                .sum::<Duration>()
                .as_secs_f64(),
            scripts: played.iter().map(Played::told).collect(),
        }
    }
    fn text(&self) -> String {
        let Self {
            passed,
            failed,
            took,
            virtual_seconds,
            ..
        } = self;
        format!(
            "{passed} passed, {failed} failed; {virtual_seconds:.1} s of virtual time in {took:.2} s\n"
        )
    }
}
