//! What a run was: faults asked and applied, the hash, the capture.
use heptad_lab::FaultRow;
use heptad_runtime::Summary;
use serde::{Deserialize, Serialize};

use crate::failure::{FAILED, OURS};
use crate::table;

/// The end of a lab, as it is told.
#[derive(Serialize, Deserialize, Debug, Default, Clone)]
pub struct Report {
    pub lab: String,
    pub seed: u64,
    /// Seconds of lab time.
    pub lab_time: f64,
    pub faults: Vec<Fault>,
    /// SHA-256 over every frame, hexadecimal.
    pub event_hash: Option<String>,
    /// Faults that were asked and could not be applied, for people.
    pub unapplied: Vec<String>,
    pub capture: Option<String>,
    /// Why the capture is not whole.
    pub capture_error: Option<String>,
    /// Why a real cable failed while the lab ran.
    #[serde(default)]
    pub cable_error: Option<String>,
    /// Milliseconds that the lab ran behind the wall clock at worst (real clock).
    pub worst_lag_ms: f64,
}

/// One impairment of one direction.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Fault {
    pub link: String,
    pub direction: String,
    pub kind: String,
    pub asked: String,
    pub applied: u64,
    pub n: u64,
}

impl From<&FaultRow> for Fault {
    fn from(row: &FaultRow) -> Self {
        Self {
            link: row.link.clone(),
            direction: row.direction.clone(),
            kind: row.kind.to_string(),
            asked: row.asked.clone(),
            applied: row.applied,
            n: row.n,
        }
    }
}

impl Report {
    /// From the run's summary.
    pub fn new(lab: &str, seed: u64, capture: Option<String>, summary: &Summary) -> Self {
        Self {
            lab: lab.to_string(),
            seed,
            lab_time: summary.ended.as_nanos() as f64 / 1e9,
            faults: summary.faults.iter().map(Fault::from).collect(),
            event_hash: summary.event_hash.map(|hash| hash.to_string()),
            unapplied: summary
                .faults
                .iter()
                .filter_map(FaultRow::unapplied)
                .collect(),
            capture,
            capture_error: summary.sink_error.clone(),
            cable_error: summary.cable_error.clone(),
            worst_lag_ms: summary.worst_lag.as_secs_f64() * 1e3,
        }
    }

    /// 125 if the capture is not whole or a real cable failed, 1 if a fault could not be applied, else 0.
    pub fn code(&self) -> u8 {
        if self.capture_error.is_some() || self.cable_error.is_some() {
            OURS
        } else if self.unapplied.is_empty() {
            0
        } else {
            FAILED
        }
    }

    /// For a person, line by line.
    pub fn text(&self) -> String {
        let mut text = fault_table(&self.faults);
        for unapplied in &self.unapplied {
            text += &format!("not applied: {unapplied}\n");
        }
        if let Some(capture) = &self.capture {
            text += &format!("capture {capture}\n");
        }
        if let Some(error) = &self.capture_error {
            text += &format!("the capture is not whole: {error}\n");
        }
        if let Some(error) = &self.cable_error {
            text += &format!("a real cable failed: {error}\n");
        }
        text
    }
}

/// `loss asked 5.0 %, applied 4.9 %, n = 1042`, a row an impairment.
pub fn fault_table(faults: &[Fault]) -> String {
    let rows: Vec<Vec<String>> = faults
        .iter()
        .map(|fault| {
            let share = if fault.n == 0 {
                0.0
            } else {
                100.0 * fault.applied as f64 / fault.n as f64
            };
            vec![
                fault.direction.clone(),
                fault.kind.clone(),
                format!("asked {}", fault.asked),
                format!(
                    "applied {share:.1} % ({} of n = {})",
                    fault.applied, fault.n
                ),
            ]
        })
        .collect();
    table::columns(&rows)
}
