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
    /// Of the packets that a numbered loss names: those that never came.
    pub missing: u64,
    /// Frames that entered this direction, whatever happened to them.
    pub passed: u64,
}
impl FaultRow {
    /// What was asked and could not be applied, for people; `None` when all is well. A direction that no frame entered is well: there
    /// was nothing to do it to.
    pub fn unapplied(&self) -> Option<String> {
        let Self {
            link,
            direction,
            kind,
            asked,
            applied,
            n,
            missing,
            passed,
            probability,
        } = self;
        let at = format!("{link}, {direction}");
        if *passed == 0 || asked.is_empty() {
            return None;
        }
        if *missing > 0 {
            return Some(format!(
                "{at}: {kind} asked for {asked}, but only {n} came by: {missing} never did"
            ));
        }
        let is_chance = !matches!(*kind, "down" | "queue");
        if is_chance && *n == 0 {
            return Some(format!("{at}: {kind} {asked} fits none of {passed} frames"));
        }
        // Less likely than 1 in 10^9 if the dice are fair.
        let expected = probability.unwrap_or(0.0) * *n as f64;
        (*applied == 0 && expected > 21.0)
            .then(|| format!("{at}: {kind} asked {asked}, applied 0 of {n}"))
    }
}
