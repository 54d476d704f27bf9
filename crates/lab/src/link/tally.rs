//! What was asked of one direction of a cable, and what was applied.
use crate::faults::FaultRow;
use crate::topology::Impairments;

use super::percent;

/// Kinds of faults, in the order in which a frame meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TooLong,
    Down,
    Loss,
    Queue,
    Mark,
    InFlight,
    Corrupt,
    CorruptUndetected,
    Duplicate,
    Reorder,
}
impl Kind {
    const ALL: [Self; 10] = [
        Self::TooLong,
        Self::Down,
        Self::Loss,
        Self::Queue,
        Self::Mark,
        Self::InFlight,
        Self::Corrupt,
        Self::CorruptUndetected,
        Self::Duplicate,
        Self::Reorder,
    ];
    const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Down => "down",
            Self::Loss => "loss",
            Self::Queue => "queue",
            Self::Mark => "mark",
            Self::InFlight => "in_flight",
            Self::Corrupt => "corrupt",
            Self::CorruptUndetected => "corrupt_undetected",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
        }
    }
}

#[derive(Default)]
struct Tally {
    /// Every wording that was asked, in order of time (the last few).
    asked: Vec<String>,
    /// Sum of the asked probabilities over the frames that met them.
    expected: f64,
    /// Whether what was asked is a probability.
    is_probability: bool,
    applied: u64,
    n: u64,
    /// Frames that had entered when the fault that is asked now began to be asked.
    asked_since: Option<u64>,
    /// Frames that entered while it was asked, up to when it last ceased to be.
    passed: u64,
}
impl Tally {
    /// Frames that entered while the fault was asked; `entered` have so far.
    fn passed(&self, entered: u64) -> u64 {
        self.passed + self.asked_since.map_or(0, |since| entered - since)
    }
}
/// Most wordings kept of one kind.
const MOST_WORDINGS: usize = 8;

/// The counts of one direction.
#[derive(Default)]
pub(crate) struct Tallies {
    kinds: [Tally; 10],
    entered: u64,
}
impl Tallies {
    /// New values were set.
    pub fn ask(&mut self, asked: &Impairments) {
        let chance = |p: f64| (p > 0.0).then(|| percent(p));
        self.word(Kind::Down, asked.down.then(|| "down".to_owned()));
        let loss = (asked.loss != crate::topology::Loss::None).then(|| asked.loss.text());
        self.word(Kind::Loss, loss);
        self.kinds[Kind::Loss as usize].is_probability = asked.loss.probability().is_some();
        let queue = asked.rate.map(|_| format!("{} frames", asked.queue));
        self.word(Kind::Queue, queue);
        let mark = asked.rate.and(asked.mark);
        self.word(Kind::Mark, mark.map(|waiting| format!("from {waiting}")));
        for (kind, p) in [
            (Kind::Corrupt, asked.corrupt),
            (Kind::CorruptUndetected, asked.corrupt_undetected),
            (Kind::Duplicate, asked.duplicate),
            (Kind::Reorder, asked.reorder),
        ] {
            self.word(kind, chance(p));
            self.kinds[kind as usize].is_probability = true;
        }
    }
    fn word(&mut self, kind: Kind, wording: Option<String>) {
        let tally = &mut self.kinds[kind as usize];
        tally.passed = tally.passed(self.entered);
        tally.asked_since = wording.is_some().then_some(self.entered);
        let Some(wording) = wording else { return };
        let asked = &mut tally.asked;
        if asked.last() != Some(&wording) {
            if asked.len() >= MOST_WORDINGS {
                asked.remove(0);
            }
            asked.push(wording);
        }
    }
    /// A frame entered.
    pub fn entered(&mut self) {
        self.entered += 1;
    }
    /// A frame met a fault that was asked with this probability.
    pub fn met(&mut self, kind: Kind, probability: f64, applied: bool) {
        let tally = &mut self.kinds[kind as usize];
        tally.n += 1;
        tally.expected += probability;
        tally.applied += u64::from(applied);
    }
    /// Rows for what was asked or applied.
    pub fn rows(&self, link: &str, direction: &str, missing: u64) -> Vec<FaultRow> {
        let row = |kind: Kind| {
            let tally = &self.kinds[kind as usize];
            (!tally.asked.is_empty() || tally.applied > 0).then(|| FaultRow {
                link: link.to_owned(),
                direction: direction.to_owned(),
                kind: kind.name(),
                asked: tally.asked.join(", then "),
                probability: (tally.is_probability && tally.n > 0)
                    .then(|| tally.expected / tally.n as f64),
                applied: tally.applied,
                n: tally.n,
                missing: if kind == Kind::Loss { missing } else { 0 },
                passed: tally.passed(self.entered),
            })
        };
        Kind::ALL.into_iter().filter_map(row).collect()
    }
}
