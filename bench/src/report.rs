//! What a row came to: measured, compared with its goal, printed.
use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::meter::median;
use crate::rows::{Goal, Row, Size};

/// The table's first line; 80 columns.
pub const HEADING: &str = "work                 ours unit  peer          theirs   ratio  goal";

/// One row of the table; as JSON, one line.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The row's name.
    pub work: &'static str,
    /// Our figure: the median of the runs.
    pub ours: f64,
    /// What both figures count.
    pub unit: &'static str,
    /// Who did the same work.
    pub peer: Option<&'static str>,
    /// The peer's figure: the median of the runs.
    pub peer_figure: Option<f64>,
    /// How many times better ours is.
    pub ratio: Option<f64>,
    /// What should be reached, in words.
    pub goal: Option<String>,
    /// Whether it is.
    pub holds: Option<bool>,
}

impl Report {
    /// Runs a row so many times, ours and the peer in turn, so that a slow minute of the machine hits both.
    pub fn of(row: &Row, size: Size, runs: u32) -> Result<Self> {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            ours.push((row.ours)(size).with_context(|| format!("{}: our stack", row.name))?);
            if let Some(peer) = row.peer {
                let figure = (peer.run)(size);
                peers.push(figure.with_context(|| format!("{}: {}", row.name, peer.name))?);
            }
        }
        let sound = |figure: &f64| figure.is_finite() && *figure > 0.0;
        ensure!(
            ours.iter().chain(&peers).all(sound),
            "{}: no figure",
            row.name
        );
        let ours = median(ours).context("no run")?;
        Ok(Self::judge(row, ours, median(peers)))
    }

    fn judge(row: &Row, ours: f64, peer_figure: Option<f64>) -> Self {
        let ratio = peer_figure.map(|peer| match row.more_is_better {
            true => ours / peer,
            false => peer / ours,
        });
        Self {
            work: row.name,
            ours,
            unit: row.unit,
            peer: row.peer.map(|peer| peer.name),
            peer_figure,
            ratio,
            goal: row.goal.map(|goal| goal.to_string()),
            holds: row.goal.map(|goal| match goal {
                Goal::AtLeast(least) => ours >= least,
                Goal::AtMost(most) => ours <= most,
                Goal::Ratio(least) => ratio.is_some_and(|ratio| ratio >= least),
            }),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::Ratio(least) => write!(f, "ratio >= {least}"),
        }
    }
}

/// A line of the table: at most 80 columns.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_string();
        let peer_figure = self.peer_figure.map_or_else(dash, short);
        let ratio = self.ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let goal = match (&self.goal, self.holds) {
            (Some(goal), Some(true)) => format!("{goal} ok"),
            (Some(goal), _) => format!("{goal} NO"),
            (None, _) => dash(),
        };
        write!(
            f,
            "{:<17}{:>8} {:>4}  {:<12}{:>8} {:>7}  {goal}",
            self.work,
            short(self.ours),
            self.unit,
            self.peer.unwrap_or("-"),
            peer_figure,
            ratio,
        )
    }
}

/// Three digits behind the point for what is small, none for what is large.
fn short(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => format!("{f:.0}"),
        f => format!("{f:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Peer, ROWS};

    fn row(more_is_better: bool, goal: Goal) -> Row {
        Row {
            name: "bulk-64k-unsummed",
            unit: "MB/s",
            more_is_better,
            goal: Some(goal),
            ours: |_| Ok(1.0),
            peer: Some(Peer {
                name: "smoltcp 0.14",
                run: |_| Ok(1.0),
            }),
            note: "nothing",
        }
    }

    #[test]
    fn a_goal_is_held_or_missed_in_its_own_direction() {
        let rows = [
            (true, Goal::AtLeast(300.0), 300.0, 1.0, true),
            (true, Goal::AtLeast(300.0), 299.0, 1.0, false),
            (false, Goal::AtMost(1200.0), 1200.0, 1.0, true),
            (false, Goal::AtMost(1200.0), 1201.0, 9999.0, false),
            (true, Goal::Ratio(1.0), 10.0, 10.0, true),
            (true, Goal::Ratio(1.0), 10.0, 11.0, false),
            (false, Goal::Ratio(1.0), 10.0, 11.0, true),
            (false, Goal::Ratio(1.0), 11.0, 10.0, false),
        ];
        for (more_is_better, goal, ours, peer, holds) in rows {
            let report = Report::judge(&row(more_is_better, goal), ours, Some(peer));
            assert_eq!(report.holds, Some(holds), "{goal:?} {ours} {peer}");
        }
    }

    #[test]
    fn a_line_fits_into_80_columns() {
        let report = Report::judge(
            &row(true, Goal::AtLeast(300_000.0)),
            1_234_567.0,
            Some(1_234_567.0),
        );
        assert!(HEADING.len() <= 80, "{HEADING}");
        assert!(report.to_string().len() <= 80, "{report}");
    }

    #[test]
    fn every_row_comes_to_a_figure_with_all_bytes_whole() {
        // Those that are left out start this very program again, which is the command's own test.
        for row in ROWS.iter().filter(|row| !row.is_real()) {
            let report = Report::of(row, Size::Tiny, 1).unwrap();
            assert_eq!(
                report.peer.is_some(),
                report.ratio.is_some(),
                "{}",
                row.name
            );
            assert!(report.to_string().len() <= 80, "{report}");
        }
    }
}
