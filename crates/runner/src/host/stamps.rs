//! Times of arrival: `SO_TIMESTAMP`, `SO_TIMESTAMPNS`, and of `SO_TIMESTAMPING` what software says of what comes in (socket(7), and
//! the kernel's Documentation/networking/timestamping.rst). The time is the one at which the lab has a datagram for the
//! program, by this machine's clock.

use std::time::{Duration, SystemTime};

use crate::control;
use crate::numbers::{
    SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW, SOF_TIMESTAMPING_RX_SOFTWARE,
    SOF_TIMESTAMPING_SOFTWARE,
};

/// A moment, since the beginning of 1970.
pub type Stamp = Duration;

/// The times that a socket asks for. As Linux: one choice of numbers, old or new, for both, the one that was made last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    on: bool,
    nanoseconds: bool,
    new: bool,
    /// `SOF_TIMESTAMPING_...`.
    flags: i32,
}

impl Stamps {
    /// Takes an option of `SOL_SOCKET` over; `false` for others.
    pub fn set(&mut self, name: i32, value: i32) -> bool {
        let on = value != 0;
        match name {
            libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
                self.nanoseconds = on && [libc::SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW].contains(&name);
                self.on = on;
                // What is switched off keeps its numbers.
                if on {
                    self.new = [SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW].contains(&name);
                }
            }
            libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
                self.flags = value;
                self.new = name == SO_TIMESTAMPING_NEW;
            }
            _ => return false,
        }
        true
    }

    /// The time now, if it will be told.
    pub fn of_arrival(&self) -> Option<Stamp> {
        self.wants_any().then(now)
    }

    /// The messages for what arrived then; without a time, which nobody wanted at that moment, as Linux: now.
    pub fn messages(&self, arrival: Option<Stamp>) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.wants_any() {
            return out;
        }
        let time = arrival.unwrap_or_else(now);
        let seconds = time.as_secs().to_ne_bytes();
        let of = |fraction: u32| [seconds, u64::from(fraction).to_ne_bytes()].concat();
        let mut say = |name, data: &[u8]| control::push(&mut out, (libc::SOL_SOCKET, name), data);
        if self.on {
            let (name, fraction) = match (self.nanoseconds, self.new) {
                (false, false) => (libc::SCM_TIMESTAMP, time.subsec_micros()),
                (false, true) => (SO_TIMESTAMP_NEW, time.subsec_micros()),
                (true, false) => (libc::SCM_TIMESTAMPNS, time.subsec_nanos()),
                (true, true) => (SO_TIMESTAMPNS_NEW, time.subsec_nanos()),
            };
            say(name, &of(fraction));
        }
        if self.wants_software() {
            // Of three times the two of a network card are none.
            let mut times = of(time.subsec_nanos());
            times.resize(3 * times.len(), 0);
            let name = match self.new {
                false => libc::SCM_TIMESTAMPING,
                true => SO_TIMESTAMPING_NEW,
            };
            say(name, &times);
        }
        out
    }

    fn wants_any(&self) -> bool {
        self.on || self.wants_software()
    }

    fn wants_software(&self) -> bool {
        let taken = self.on || self.flags & SOF_TIMESTAMPING_RX_SOFTWARE != 0;
        taken && self.flags & SOF_TIMESTAMPING_SOFTWARE != 0
    }
}

fn now() -> Stamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Stamp = Duration::new(1_000, 7_654_321);

    /// Options that are set one after the other; the messages' names, with what stands behind the seconds.
    type Row<'a> = (&'a [(i32, i32)], &'a [(i32, u64)]);

    #[test]
    fn times_are_told_as_the_options_ask_for_them() {
        const BOTH: i32 = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE;
        let rows: [Row<'_>; 12] = [
            (&[], &[]),
            (&[(29, 1)], &[(29, 7_654)]),
            (&[(35, 1)], &[(35, 7_654_321)]),
            (&[(63, 1)], &[(63, 7_654)]),
            (&[(64, 1)], &[(64, 7_654_321)]),
            (&[(35, 1), (29, 1)], &[(29, 7_654)]),
            (&[(64, 1), (29, 0)], &[]),
            (&[(37, BOTH)], &[(37, 7_654_321)]),
            (&[(37, SOF_TIMESTAMPING_SOFTWARE)], &[]),
            (&[(37, SOF_TIMESTAMPING_RX_SOFTWARE)], &[]),
            (&[(29, 1), (65, BOTH)], &[(63, 7_654), (65, 7_654_321)]),
            (&[(65, BOTH), (35, 1)], &[(35, 7_654_321), (37, 7_654_321)]),
        ];
        for (options, expected) in rows {
            let mut stamps = Stamps::default();
            for (name, value) in options {
                assert!(stamps.set(*name, *value));
            }
            let bytes = stamps.messages(Some(ARRIVAL));
            let told = control::messages(&bytes).unwrap();
            let word =
                |data: &[u8], at: usize| u64::from_ne_bytes(*data[at..].first_chunk().unwrap());
            let told: Vec<_> = told
                .iter()
                .inspect(|(_, data)| assert_eq!(word(data, 0), 1_000))
                .map(|((level, name), data)| ((*level, *name), word(data, 8)))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, fraction)| ((libc::SOL_SOCKET, *name), *fraction))
                .collect();
            assert_eq!(told, expected, "{options:?}");
        }
        assert!(!Stamps::default().set(libc::SO_BROADCAST, 1));
    }

    #[test]
    fn a_time_is_taken_only_for_who_asked() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.of_arrival(), None);
        stamps.set(libc::SO_TIMESTAMP, 1);
        let before = now();
        let taken = stamps.of_arrival().unwrap();
        assert!(before <= taken && taken <= now());
    }
}
