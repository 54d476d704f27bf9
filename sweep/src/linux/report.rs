//! What the comparison came to.
use std::fmt;

use crate::cell::Path;
use crate::page::megabits;

/// The table's first line.
pub const HEADING: &str = "loss, round trip, rate        ours    Linux  ratio  kept";
/// What ours has to bring of Linux in each cell.
const GOAL: f64 = 0.95;

/// What a seed came to, bits a second.
#[derive(Clone, Copy)]
pub enum Goodput {
    Kept(f64),
    /// The cable was late each time: it says something, but proves nothing.
    Late(f64),
}
impl Goodput {
    fn kept(self) -> Option<f64> {
        match self {
            Self::Kept(bits) => Some(bits),
            Self::Late(_) => None,
        }
    }
    fn any(self) -> f64 {
        match self {
            Self::Kept(bits) | Self::Late(bits) => bits,
        }
    }
}

/// The runs of one seed.
pub struct Pair {
    pub linux: Goodput,
    pub ours: Goodput,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, linux] = [self.ours, self.linux].map(|one| megabits(one.any()));
        let late = match (self.ours, self.linux) {
            (Goodput::Kept(_), Goodput::Kept(_)) => "",
            _ => "  late",
        };
        write!(f, "{ours:>6} {linux:>8}{late}")
    }
}

/// A cell, over the seeds of which both runs were kept; if there is none, over all.
pub struct Row {
    path: Path,
    ours: f64,
    linux: f64,
    kept: usize,
    seeds: usize,
}
impl Row {
    /// Means over the seeds.
    pub fn of(path: Path, pairs: &[Pair]) -> Self {
        let both = |pair: &Pair| Some((pair.ours.kept()?, pair.linux.kept()?));
        let kept: Vec<(f64, f64)> = pairs.iter().filter_map(both).collect();
        let all = pairs.iter().map(|pair| (pair.ours.any(), pair.linux.any()));
        let counted = match kept.is_empty() {
            true => all.collect(),
            false => kept.clone(),
        };
        let mean = |which: fn(&(f64, f64)) -> f64| {
            counted.iter().map(which).sum::<f64>() / counted.len().max(1) as f64
        };
        Self {
            path,
            ours: mean(|pair| pair.0),
            linux: mean(|pair| pair.1),
            kept: kept.len(),
            seeds: pairs.len(),
        }
    }
    fn ratio(&self) -> f64 {
        self.ours / self.linux
    }
    /// Something was kept, and ours reaches the goal.
    pub fn holds(&self) -> bool {
        self.kept > 0 && self.ratio() >= GOAL
    }
}
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            ours,
            linux,
            kept,
            seeds,
        } = self;
        let path = path.to_string();
        let (ours, linux) = (megabits(*ours), megabits(*linux));
        let mark = match kept {
            0 => "  the cable was late in each run",
            _ if self.holds() => "",
            _ => "  NO",
        };
        write!(
            f,
            "{path:25} {ours:>8} {linux:>8} {:>6.2} {kept:>2}/{seeds}{mark}",
            self.ratio()
        )
    }
}

/// All cells together.
pub struct Verdict {
    holds: usize,
    more: usize,
    all: usize,
}
impl Verdict {
    /// Of these rows.
    pub fn of(rows: &[Row]) -> Self {
        let count = |which: fn(&Row) -> bool| rows.iter().filter(|row| which(row)).count();
        Self {
            holds: count(Row::holds),
            more: count(|row| row.kept > 0 && row.ratio() > 1.0),
            all: rows.len(),
        }
    }
}
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holds, more, all } = self;
        write!(
            f,
            "at least {GOAL} of Linux in {holds} of {all} cells, more than Linux in {more}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn row(pairs: &[(Option<f64>, Option<f64>)]) -> Row {
        let path = Path {
            loss: 0.01,
            rtt: Duration::from_millis(20),
            rate: 100_000_000,
        };
        let goodput = |kept: Option<f64>| kept.map_or(Goodput::Late(2e6), Goodput::Kept);
        let pair = |&(ours, linux): &(Option<f64>, Option<f64>)| Pair {
            ours: goodput(ours),
            linux: goodput(linux),
        };
        let pairs: Vec<Pair> = pairs.iter().map(pair).collect();
        Row::of(path, &pairs)
    }

    #[test]
    fn only_seeds_that_both_kept_count() {
        let row = row(&[
            (Some(10e6), Some(10e6)),
            (Some(90e6), None),
            (Some(20e6), Some(10e6)),
        ]);
        assert_eq!((row.ours, row.linux, row.kept), (15e6, 10e6, 2));
        assert_eq!(
            row.to_string(),
            "1 %, 20 ms, 100 Mbit/s        15.0     10.0   1.50  2/3"
        );
    }

    #[test]
    fn a_cell_without_a_run_does_not_hold() {
        let none = row(&[(None, Some(1e6))]);
        let less = row(&[(Some(94.0), Some(100.0))]);
        let more = row(&[(Some(101.0), Some(100.0))]);
        assert_eq!([&none, &less, &more].map(Row::holds), [false, false, true]);
        let told = "1 %, 20 ms, 100 Mbit/s        2.00     1.00   2.00  0/1  the cable was late in each run";
        assert_eq!(none.to_string(), told);
        let verdict = Verdict::of(&[none, less, more]).to_string();
        assert_eq!(
            verdict,
            "at least 0.95 of Linux in 1 of 3 cells, more than Linux in 1"
        );
    }
}
