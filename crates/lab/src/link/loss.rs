//! Which frames a cable loses.
use heptad_stack::Rng;

use crate::topology::Loss;

/// A loss model in motion.
pub(crate) struct LossState {
    model: Loss,
    /// Frames met since the model was set.
    met: u64,
    /// Gilbert-Elliott's bad state.
    bad: bool,
}
/// Why a frame was lost, for a capture's comment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LossCause {
    Draw {
        draw: f64,
        probability: f64,
        state: &'static str,
    },
    Nth(u64),
    Every {
        number: u64,
        every: u64,
    },
}
impl core::fmt::Display for LossCause {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Draw {
                draw,
                probability,
                state,
            } => write!(f, "loss{state}: draw {draw:.3} < {probability}"),
            Self::Nth(number) => write!(f, "loss: packet {number} was asked for"),
            Self::Every { number, every } => write!(f, "loss: packet {number}, one in {every}"),
        }
    }
}
impl LossState {
    pub fn new(model: Loss) -> Self {
        Self {
            model,
            met: 0,
            bad: false,
        }
    }
    /// Whether frames can be lost at all.
    pub fn is_on(&self) -> bool {
        self.model != Loss::None
    }
    /// Of the numbered packets, those that did not come yet.
    pub fn missing(&self) -> u64 {
        match &self.model {
            Loss::Nth(numbers) => {
                numbers.iter().filter(|number| **number > self.met).count() as u64
            }
            _ => 0,
        }
    }
    /// A frame passes; two numbers are drawn whatever the model is.
    pub fn next(&mut self, rng: &mut Rng) -> Option<LossCause> {
        let (turn, draw) = (rng.unit(), rng.unit());
        self.met += 1;
        let number = self.met;
        let (probability, state) = match &self.model {
            Loss::None => return None,
            Loss::Random(probability) => (*probability, ""),
            Loss::GilbertElliott { p, r, good, bad } => {
                self.bad = if self.bad { turn >= *r } else { turn < *p };
                if self.bad {
                    (*bad, " in the bad state")
                } else {
                    (*good, " in the good state")
                }
            }
            Loss::Nth(numbers) => {
                return numbers
                    .binary_search(&number)
                    .is_ok()
                    .then_some(LossCause::Nth(number));
            }
            Loss::Every(every) => {
                let due = number.checked_rem(*every) == Some(0);
                return due.then_some(LossCause::Every {
                    number,
                    every: *every,
                });
            }
        };
        (draw < probability).then_some(LossCause::Draw {
            draw,
            probability,
            state,
        })
    }
}
impl Loss {
    /// The probability over a long time, where it is one.
    pub(crate) fn probability(&self) -> Option<f64> {
        match self {
            Self::None | Self::Nth(_) => None,
            Self::Random(p) => Some(*p),
            Self::Every(n) => Some(1.0 / *n as f64),
            Self::GilbertElliott { p, r, good, bad } => {
                // The chain's share of time in the bad state; without a way back, or out, where it stays.
                let in_bad = if p + r > 0.0 { p / (p + r) } else { 0.0 };
                Some(in_bad * bad + (1.0 - in_bad) * good)
            }
        }
    }
    /// As asked, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Random(p) => super::percent(*p),
            Self::Every(n) => format!("one in {n}"),
            Self::Nth(numbers) => {
                let list: Vec<_> = numbers.iter().take(8).map(u64::to_string).collect();
                let more = if numbers.len() > 8 { ", …" } else { "" };
                format!("packets {}{more}", list.join(", "))
            }
            Self::GilbertElliott { p, r, good, bad } => {
                let percent = |what, p: f64| format!("{what} {}", super::percent(p));
                let usual = (*good, *bad) == (0.0, 1.0);
                let states = [("p", *p), ("r", *r), ("good", *good), ("bad", *bad)];
                let told = states.into_iter().take(if usual { 2 } else { 4 });
                let told: Vec<_> = told.map(|(what, p)| percent(what, p)).collect();
                format!("bursts {}", told.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_told_in_the_words_of_the_lab_file() {
        let bursts = |good, bad| Loss::GilbertElliott {
            p: 0.01,
            r: 0.2,
            good,
            bad,
        };
        assert_eq!(bursts(0.0, 1.0).text(), "bursts p 1.0 %, r 20.0 %");
        assert_eq!(
            bursts(0.0, 0.5).text(),
            "bursts p 1.0 %, r 20.0 %, good 0.0 %, bad 50.0 %"
        );
    }

    fn lost(model: Loss, frames: u64) -> Vec<u64> {
        let mut state = LossState::new(model);
        let mut rng = crate::seed::stream(7, "x", "loss");
        (1..=frames)
            .filter(|_| state.next(&mut rng).is_some())
            .collect()
    }

    #[test]
    fn the_named_and_the_periodic_packets_are_lost_and_no_others() {
        assert_eq!(lost(Loss::Nth(vec![3, 7]), 10), [3, 7]);
        assert_eq!(lost(Loss::Every(4), 12), [4, 8, 12]);
        assert_eq!(lost(Loss::None, 10), []);
        assert_eq!(lost(Loss::Random(1.0), 3), [1, 2, 3]);
        assert_eq!(lost(Loss::Random(0.0), 1000), []);
    }

    #[test]
    fn random_loss_applies_what_was_asked() {
        let n = lost(Loss::Random(0.05), 100_000).len();
        assert!((4_700..5_300).contains(&n), "{n}");
    }

    #[test]
    fn gilbert_elliott_loses_in_bursts_at_its_steady_rate() {
        let model = Loss::GilbertElliott {
            p: 0.01,
            r: 0.2,
            good: 0.0,
            bad: 1.0,
        };
        let asked = model.probability().unwrap();
        let lost = lost(model, 100_000);
        let applied = lost.len() as f64 / 100_000.0;
        assert!(
            (applied - asked).abs() < 0.008,
            "asked {asked}, applied {applied}"
        );
        let bursts = 1 + lost.windows(2).filter(|w| w[1] != w[0] + 1).count();
        let mean = lost.len() as f64 / bursts as f64;
        assert!(
            (4.0..6.0).contains(&mean),
            "a burst lasts 1/r = 5 frames, here {mean}"
        );
    }
}
