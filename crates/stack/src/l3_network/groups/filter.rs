//! Which sources of a group somebody wants to hear, and what all together want (RFC 9776 2, 3.2).
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

/// Whether the sources of a filter are those that are wanted, or those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only these.
    Include,
    /// All but these.
    Exclude,
}

/// Which sources of a group are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// How the sources are meant.
    pub mode: Mode,
    /// The sources.
    pub sources: BTreeSet<IpAddr>,
}
impl Filter {
    /// No source: the same as no membership.
    pub const NOTHING: Self = Self {
        mode: Mode::Include,
        sources: BTreeSet::new(),
    };
    /// Any source.
    pub const EVERYTHING: Self = Self {
        mode: Mode::Exclude,
        sources: BTreeSet::new(),
    };
    /// Whether what comes from a source is wanted.
    pub fn passes(&self, source: IpAddr) -> bool {
        self.sources.contains(&source) == (self.mode == Mode::Include)
    }
}

/// What the filters of one group on one interface want together. Counted, not listed: a change costs the same with one
/// socket or a hundred thousand.
#[derive(Default)]
pub struct Tally {
    includes: u32,
    excludes: u32,
    /// By source: how many filters include and how many exclude it.
    sources: BTreeMap<IpAddr, (u32, u32)>,
}
impl Tally {
    /// One more filter.
    pub fn add(&mut self, filter: &Filter) {
        *self.filters(filter.mode) += 1;
        for source in &filter.sources {
            let counts = self.sources.entry(*source).or_default();
            *of(counts, filter.mode) += 1;
        }
    }
    /// One that was added is gone.
    pub fn remove(&mut self, filter: &Filter) {
        *self.filters(filter.mode) -= 1;
        for source in &filter.sources {
            if let Some(counts) = self.sources.get_mut(source) {
                *of(counts, filter.mode) -= 1;
                if *counts == (0, 0) {
                    self.sources.remove(source);
                }
            }
        }
    }
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.includes + self.excludes
    }
    /// How many sources they name.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }
    /// Whether what comes from a source is wanted by any.
    pub fn passes(&self, source: IpAddr) -> bool {
        let counts = self.sources.get(&source).copied().unwrap_or_default();
        self.passes_counted(counts)
    }
    /// RFC 9776 3.2: if anyone excludes, all but what all of those exclude and nobody includes; else what anyone includes.
    pub fn filter(&self) -> Filter {
        let mode = match self.excludes {
            0 => Mode::Include,
            _ => Mode::Exclude,
        };
        let listed = |counts: (u32, u32)| self.passes_counted(counts) == (mode == Mode::Include);
        let sources = self.sources.iter().filter(|(_, counts)| listed(**counts));
        let sources = sources.map(|(source, _)| *source).collect();
        Filter { mode, sources }
    }
    fn passes_counted(&self, (includes, excludes): (u32, u32)) -> bool {
        includes > 0 || excludes < self.excludes
    }
    fn filters(&mut self, mode: Mode) -> &mut u32 {
        match mode {
            Mode::Include => &mut self.includes,
            Mode::Exclude => &mut self.excludes,
        }
    }
}

fn of(counts: &mut (u32, u32), mode: Mode) -> &mut u32 {
    match mode {
        Mode::Include => &mut counts.0,
        Mode::Exclude => &mut counts.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn filter(mode: Mode, sources: &[u8]) -> Filter {
        Filter {
            mode,
            sources: sources
                .iter()
                .map(|n| IpAddr::from([10, 0, 0, *n]))
                .collect(),
        }
    }
    use Mode::{Exclude, Include};

    #[test]
    fn the_examples_of_rfc_9776_merge_as_it_says() {
        // RFC 9776 3.2: from the last but one on, its own examples with a, b, c, d as 1, 2, 3, 4.
        let rows: [(&[Filter], Filter); 7] = [
            (&[], filter(Include, &[])),
            (&[filter(Include, &[1])], filter(Include, &[1])),
            (&[filter(Exclude, &[])], filter(Exclude, &[])),
            (
                &[filter(Include, &[1]), filter(Include, &[2])],
                filter(Include, &[1, 2]),
            ),
            (
                &[filter(Exclude, &[1, 2]), filter(Include, &[1])],
                filter(Exclude, &[2]),
            ),
            (
                &[
                    filter(Exclude, &[1, 2, 3, 4]),
                    filter(Exclude, &[2, 3, 4, 5]),
                    filter(Include, &[4, 5, 6]),
                ],
                filter(Exclude, &[2, 3]),
            ),
            (
                &[
                    filter(Include, &[1, 2, 3]),
                    filter(Include, &[2, 3, 4]),
                    filter(Include, &[5, 6]),
                ],
                filter(Include, &[1, 2, 3, 4, 5, 6]),
            ),
        ];
        for (filters, merged) in rows {
            let mut tally = Tally::default();
            filters.iter().for_each(|filter| tally.add(filter));
            assert_eq!(tally.filter(), merged, "{filters:?}");
        }
    }

    /// What all want, by the definition: somebody wants it.
    fn passes(filters: &[Filter], source: IpAddr) -> bool {
        filters.iter().any(|filter| filter.passes(source))
    }

    proptest! {
        #[test]
        fn a_tally_passes_what_any_of_its_filters_passes(
            all in prop::collection::vec((any::<bool>(), prop::collection::btree_set(0u8..6, 0..5)), 0..6),
            gone in 0usize..6,
        ) {
            let all: Vec<_> = all.iter().map(|(exclude, sources)| {
                let sources: Vec<_> = sources.iter().copied().collect();
                filter(if *exclude { Exclude } else { Include }, &sources)
            }).collect();
            let mut tally = Tally::default();
            all.iter().for_each(|filter| tally.add(filter));
            let gone = gone.min(all.len());
            all[..gone].iter().for_each(|filter| tally.remove(filter));
            let left = &all[gone..];
            prop_assert_eq!(tally.len() as usize, left.len());
            for n in 0..8 {
                let source = IpAddr::from([10, 0, 0, n]);
                let expected = passes(left, source);
                prop_assert_eq!(tally.passes(source), expected);
                prop_assert_eq!(tally.filter().passes(source), expected);
            }
        }
    }
}
