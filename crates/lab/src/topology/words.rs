//! What a direction of a cable does, for people.
use core::fmt;

use heptad_stack::time::Duration;

use super::{Impairments, Link, Loss};
use crate::link::percent;

/// `20ms ± 5ms, loss 5.0 %, 10 Mbit, queue 100`; nothing for a cable without delay or fault.
impl fmt::Display for Impairments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::default();
        let mut words = Vec::new();
        if self.down {
            words.push("down".to_owned());
        }
        if !self.jitter.is_zero() {
            words.push(format!("{} ± {}", time(self.delay), time(self.jitter)));
        } else if !self.delay.is_zero() {
            words.push(time(self.delay));
        }
        if self.loss != Loss::None {
            words.push(format!("loss {}", self.loss.text()));
        }
        for (what, p) in [
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("corrupt_undetected", self.corrupt_undetected),
            ("reorder", self.reorder),
        ] {
            if p > 0.0 {
                words.push(format!("{what} {}", percent(p)));
            }
        }
        if let Some(bits) = self.rate {
            words.push(rate(bits));
            if self.queue != usual.queue {
                words.push(format!("queue {}", self.queue));
            }
            if let Some(waiting) = self.mark {
                words.push(format!("mark {waiting}"));
            }
        }
        f.write_str(&words.join(", "))
    }
}

impl Link {
    /// What it does: each direction, a line each where they differ, and an MTU other than 1500.
    pub fn words(&self) -> Vec<String> {
        let (forward, backward) = (self.forward.to_string(), self.backward.to_string());
        let perfect = |text: String| {
            if text.is_empty() {
                "perfect".to_owned()
            } else {
                text
            }
        };
        let mut words = Vec::new();
        if forward != backward {
            words.push(format!("→ {}", perfect(forward)));
            words.push(format!("← {}", perfect(backward)));
        } else if !forward.is_empty() {
            words.push(forward);
        }
        if self.mtu != 1500 {
            words.push(format!("mtu {}", self.mtu));
        }
        words
    }
}

/// In the largest unit that keeps it whole.
fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let whole = units
        .into_iter()
        .find(|(_, unit)| nanos.is_multiple_of(*unit));
    let (unit, length) = whole.unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / length)
}

/// In the largest unit that keeps it whole.
fn rate(bits: u64) -> String {
    let units = [
        ("Gbit", 1_000_000_000),
        ("Mbit", 1_000_000),
        ("kbit", 1_000),
    ];
    let whole = units
        .into_iter()
        .find(|(_, unit)| bits.is_multiple_of(*unit));
    let (unit, size) = whole.unwrap_or(("bit", 1));
    format!("{} {unit}", bits / size)
}

#[cfg(test)]
mod tests {
    use crate::{Cable, Lab};

    fn words(cable: Cable) -> Vec<String> {
        let lab = Lab::builder()
            .host("a", "10.0.0.1/24")
            .host("b", "10.0.0.2/24")
            .link("a", "b", cable);
        lab.topology().expect("a lab").links[0].words()
    }

    #[test]
    fn a_cable_is_told_in_the_words_of_the_lab_file() {
        let none: [&str; 0] = [];
        assert_eq!(words(Cable::new()), none);
        let usual = Cable::new().delay("20ms").jitter("500us").loss("5%");
        assert_eq!(words(usual), ["20ms ± 500us, loss 5.0 %"]);
        let slow = Cable::new().rate("1500 kbit").queue(10).mtu(1400);
        assert_eq!(words(slow), ["1500 kbit, queue 10", "mtu 1400"]);
        let marking = Cable::new().rate("10 Mbit").mark(20);
        assert_eq!(words(marking), ["10 Mbit, mark 20"]);
        let unlike = Cable::new().forward(Cable::new().down(true).reorder("0.1%"));
        assert_eq!(words(unlike), ["→ down, reorder 0.1 %", "← perfect"]);
    }
}
