//! Asked and applied faults: what is reported at the end.

/// One impairment of one direction of a cable: what was asked and what was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRow {
    /// The cable's name.
    pub link: String,
    /// `alice → r1`
    pub direction: String,
    /// `loss`, `duplicate`, `corrupt`, `reorder`, `queue`, `down`, …
    pub kind: &'static str,
    /// As asked, for people: `5.0 %`, `every 10th`, `100 frames`.
    pub asked: String,
    /// The asked probability, 0 to 1, where it is one.
    pub probability: Option<f64>,
    /// Frames it was applied to.
    pub applied: u64,
    /// Frames that it could have been applied to.
    pub n: u64,
}
