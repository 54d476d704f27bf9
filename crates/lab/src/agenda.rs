//! Who is due next: a tournament. Each stands in it once; equal times go to the lower index.
//!
//! One is over the machines, whose indices are the order of their names; each machine has one over its ports, for what arrives.
use heptad_stack::Instant;

/// For each index, when it is due. Setting costs O(log n), asking O(1).
pub(crate) struct Agenda {
    at: Vec<Instant>,
    /// A binary tree in an array: node `i` holds the winner of `2i` and `2i + 1`; leaves are the indices.
    winners: Vec<u32>,
    leaves: usize,
}
impl Agenda {
    /// Nobody is due.
    pub fn new(count: usize) -> Self {
        let leaves = count.max(1).next_power_of_two();
        let mut agenda = Self {
            at: vec![Instant::MAX; leaves],
            winners: vec![0; leaves * 2],
            leaves,
        };
        for leaf in 0..leaves {
            agenda.winners[leaves + leaf] = u32::try_from(leaf).unwrap_or(u32::MAX);
        }
        for node in (1..leaves).rev() {
            agenda.play(node);
        }
        agenda
    }
    /// When an index is due; `None`: never.
    pub fn set(&mut self, index: usize, at: Option<Instant>) {
        let at = at.unwrap_or(Instant::MAX);
        if self.at[index] == at {
            return;
        }
        self.at[index] = at;
        let mut node = (self.leaves + index) / 2;
        while node >= 1 {
            self.play(node);
            node /= 2;
        }
    }
    /// As [`Self::set`], unless it is due earlier already.
    pub fn hurry(&mut self, index: usize, at: Instant) {
        if at < self.at[index] {
            self.set(index, Some(at));
        }
    }
    /// The index that is due first.
    pub fn first(&self) -> Option<(Instant, usize)> {
        let winner = self.winners[1] as usize;
        let at = self.at[winner];
        (at != Instant::MAX).then_some((at, winner))
    }
    fn play(&mut self, node: usize) {
        let (left, right) = (self.winners[node * 2], self.winners[node * 2 + 1]);
        let right_wins = self.at[right as usize] < self.at[left as usize];
        self.winners[node] = if right_wins { right } else { left };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_times_go_to_the_first_name() {
        let mut agenda = Agenda::new(5);
        assert_eq!(agenda.first(), None);
        let at = Instant::from_nanos(7);
        for machine in [4, 2, 3] {
            agenda.set(machine, Some(at));
        }
        assert_eq!(agenda.first(), Some((at, 2)));
        agenda.set(2, None);
        assert_eq!(agenda.first(), Some((at, 3)));
    }

    #[test]
    fn a_lab_of_one_machine_has_an_agenda_too() {
        let mut agenda = Agenda::new(1);
        assert_eq!(agenda.first(), None);
        agenda.set(0, Some(Instant::ZERO));
        assert_eq!(agenda.first(), Some((Instant::ZERO, 0)));
    }

    proptest! {
        #[test]
        fn the_first_is_what_a_search_through_all_finds(
            machines in 1usize..20,
            sets in prop::collection::vec((0usize..20, prop::option::of(0u64..50)), 0..200),
        ) {
            let mut agenda = Agenda::new(machines);
            let mut model = vec![None; machines];
            for (machine, at) in sets {
                let machine = machine % machines;
                let at = at.map(Instant::from_nanos);
                model[machine] = at;
                agenda.set(machine, at);
                let first = model.iter().enumerate().filter_map(|(m, at)| Some((at.as_ref()?, m))).min();
                prop_assert_eq!(agenda.first(), first.map(|(at, m)| (*at, m)));
            }
        }
    }
}
