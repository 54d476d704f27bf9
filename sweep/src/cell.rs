//! One point of the sweep: a path, and who sends over it.
use std::fmt;
use std::time::Duration;

use heptad_lab::Topology;
use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::topology::{Impairments, Loss};

/// Bytes that a full frame takes of a cable's rate: an IP packet of 1,500, Ethernet's header and what surrounds it.
const FRAME: u64 = 1500 + 14 + 24;
/// Fewest frames that a queue holds, however short the path is.
const LEAST_QUEUE: u64 = 64;

/// What lies between two hosts: one cable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Share of the frames that are lost on the way to the receiver.
    pub loss: f64,
    /// Round trip without a queue.
    pub rtt: Duration,
    /// Bits a second.
    pub rate: u64,
}

/// A path and a congestion control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The path.
    pub path: Path,
    /// Who decides how much is under way.
    pub congestion: Congestion,
}

impl Path {
    /// The cable towards the receiver: a queue of what one round trip holds, chance that loses.
    pub fn there(&self) -> Impairments {
        let loss = match self.loss > 0.0 {
            true => Loss::Random(self.loss),
            false => Loss::None,
        };
        Impairments {
            loss,
            ..self.back()
        }
    }
    /// The cable back: nothing is lost.
    pub fn back(&self) -> Impairments {
        Impairments {
            delay: self.rtt / 2,
            rate: Some(self.rate),
            queue: u32::try_from(self.queue()).unwrap_or(u32::MAX),
            ..Impairments::default()
        }
    }
    fn queue(&self) -> u64 {
        let bits = u128::from(self.rate) * self.rtt.as_micros() / 1_000_000;
        let frames = u64::try_from(bits / 8).unwrap_or(u64::MAX) / FRAME;
        frames.max(LEAST_QUEUE)
    }
    /// Two hosts, `a` and `b`, on this path.
    pub fn topology(&self) -> Topology {
        let mut topology = Topology::pair(self.there());
        topology.links[0].backward = self.back();
        topology
    }
}

/// `1 %, 20 ms, 100 Mbit/s`
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loss, rtt, rate) = (
            percent(self.loss),
            self.rtt.as_millis(),
            self.rate / 1_000_000,
        );
        write!(f, "{loss}, {rtt} ms, {rate} Mbit/s")
    }
}

/// `0.1 %`
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_a_round_trip_and_never_less_than_a_few_frames() {
        for (rtt, rate, frames) in [(1, 10, 64), (100, 100, 812), (300, 1000, 24_382)] {
            let path = Path {
                loss: 0.0,
                rtt: Duration::from_millis(rtt),
                rate: rate * 1_000_000,
            };
            assert_eq!(path.queue(), frames, "{path}");
        }
    }

    #[test]
    fn a_path_is_named_as_people_say_it() {
        let path = Path {
            loss: 0.001,
            rtt: Duration::from_millis(20),
            rate: 10_000_000,
        };
        assert_eq!(path.to_string(), "0.1 %, 20 ms, 10 Mbit/s");
        assert_eq!(percent(0.1), "10 %");
    }
}
