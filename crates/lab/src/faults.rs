//! Asked and applied faults: what is reported at the end.

/// One impairment of one direction of a cable: what was asked and what was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRow {
    /// The cable's name.
    pub link: String,
    /// `alice → r1`; `alice ↔ r1` for the timeline
    pub direction: String,
    /// `loss`, `duplicate`, `corrupt`, `reorder`, `queue`, `down`, `timeline`, …
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
    /// Frames that entered this direction while it was asked, whatever happened to them.
    pub passed: u64,
}
impl FaultRow {
    /// How many changes of a cable's timeline were made, of how many.
    pub(crate) fn timeline(link: &str, direction: String, made: u64, all: u64) -> Self {
        let plural = if all == 1 { "" } else { "s" };
        Self {
            link: link.to_owned(),
            direction,
            kind: "timeline",
            asked: format!("{all} change{plural}"),
            probability: None,
            applied: made,
            n: all,
            missing: 0,
            passed: 0,
        }
    }
    /// What was asked and could not be applied, for people; `None` when all is well. A direction that no frame entered meanwhile is well:
    /// there was nothing to do it to.
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
        if *kind == "timeline" {
            let late = n.saturating_sub(*applied);
            return (late > 0).then(|| format!("{at}: the run ended before {late} of {asked}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_applied_is_told() {
        let row = |kind, (probability, applied, n): (Option<f64>, u64, u64), missing, passed| {
            let row = FaultRow {
                link: "a-b".into(),
                direction: "a → b".into(),
                kind,
                asked: "x".into(),
                probability,
                applied,
                n,
                missing,
                passed,
            };
            row.unapplied().is_some()
        };
        for (kind, counts, missing, passed, expected) in [
            ("loss", (Some(0.05), 5, 100), 0, 100, false),
            ("loss", (Some(0.05), 0, 100), 0, 100, false),
            ("loss", (Some(0.05), 0, 1000), 0, 1000, true),
            ("loss", (None, 1, 5), 1, 5, true),
            ("loss", (None, 0, 0), 1, 0, false),
            ("corrupt_undetected", (None, 0, 0), 0, 7, true),
            ("corrupt_undetected", (None, 0, 0), 0, 0, false),
            ("down", (None, 0, 0), 0, 7, false),
            ("queue", (None, 0, 0), 0, 7, false),
            ("timeline", (None, 1, 2), 0, 0, true),
            ("timeline", (None, 2, 2), 0, 0, false),
        ] {
            let told = row(kind, counts, missing, passed);
            assert_eq!(told, expected, "{kind} {counts:?} {missing} {passed}");
        }
    }
}
