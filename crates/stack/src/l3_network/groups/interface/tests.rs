//! The machine in virtual time, for both families from one source.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;

/// Names of one family for the same story.
#[derive(Clone, Copy)]
struct Family {
    group: IpAddr,
    other: IpAddr,
    nobody: IpAddr,
    sources: [IpAddr; 3],
}
fn families() -> [Family; 2] {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    [
        Family {
            group: ip("239.1.2.3"),
            other: ip("239.1.2.4"),
            nobody: ip("0.0.0.0"),
            sources: [ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")],
        },
        Family {
            group: ip("ff15::3"),
            other: ip("ff15::4"),
            nobody: ip("::"),
            sources: [ip("fd00::1"), ip("fd00::2"), ip("fd00::3")],
        },
    ]
}

struct Host {
    family: Family,
    interface: Interface,
    rng: Rng,
    now: Instant,
}
impl Host {
    fn new(family: Family) -> Self {
        Self {
            family,
            interface: Interface::default(),
            rng: Rng::from_seed([7; 32]),
            now: Instant::from_nanos(1_000_000_000),
        }
    }
    fn filter(&self, mode: Mode, sources: &[usize]) -> Filter {
        Filter {
            mode,
            sources: sources.iter().map(|n| self.family.sources[*n]).collect(),
        }
    }
    fn change(&mut self, before: Option<(Mode, &[usize])>, after: Option<(Mode, &[usize])>) {
        let of = |change: Option<(Mode, &[usize])>| change.map(|(m, s)| self.filter(m, s));
        let (before, after) = (of(before), of(after));
        let group = self.family.group;
        let changed = self
            .interface
            .change(group, before.as_ref(), after.as_ref(), true);
        assert!(changed);
    }
    fn join(&mut self) {
        self.change(None, Some((Mode::Exclude, &[])));
    }
    fn leave(&mut self) {
        self.change(Some((Mode::Exclude, &[])), None);
    }
    fn query(&mut self, version: Version, max_response: u32, group: IpAddr, sources: &[usize]) {
        let query = Query {
            version,
            max_response,
            group,
            suppress: false,
            robustness: 0,
            interval: 0,
            sources: sources.iter().map(|n| self.family.sources[*n]).collect(),
        };
        self.interface.hear_query(&query, self.now, &mut self.rng);
    }
    /// All that is said within so many milliseconds.
    fn run(&mut self, millis: u64) -> Vec<String> {
        let end = self.now + Duration::from_millis(millis);
        let mut said = Vec::new();
        while let Some(due) = self.interface.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let messages = self.interface.serve(self.now, &mut self.rng);
            said.extend(messages.iter().map(|message| self.text(message)));
        }
        self.now = end;
        said
    }
    fn name(&self, ip: IpAddr) -> String {
        let source = self.family.sources.iter().position(|source| *source == ip);
        match source {
            Some(n) => format!("{n}"),
            None if ip == self.family.group => "group".into(),
            None => "other".into(),
        }
    }
    fn text(&self, message: &Message) -> String {
        let record = |record: &Record| {
            let sources: Vec<_> = record.sources.iter().map(|s| self.name(*s)).collect();
            format!(
                "{:?} {} [{}]",
                record.kind,
                self.name(record.group),
                sources.join(" ")
            )
        };
        match message {
            Message::Records(records) => records.iter().map(record).collect::<Vec<_>>().join(", "),
            Message::Report { version, group } => format!("{version:?} {}", self.name(*group)),
            Message::Leave { group } => format!("leave {}", self.name(*group)),
            Message::Query(_) => panic!("a host asks nothing"),
        }
    }
}

/// A story told by a host of either family.
fn each(story: impl Fn(&mut Host)) {
    for family in families() {
        story(&mut Host::new(family));
    }
}

use Mode::{Exclude, Include};

#[test]
fn a_change_is_told_at_once_and_once_more_within_a_second() {
    type Filters<'a> = Option<(Mode, &'a [usize])>;
    // RFC 9776 5.1: the filter before and after, and what is told twice.
    let rows: [(Filters<'_>, Filters<'_>, &str); 9] = [
        (None, Some((Exclude, &[])), "ToExclude group []"),
        (None, Some((Exclude, &[0])), "ToExclude group [0]"),
        (None, Some((Include, &[0, 1])), "Allow group [0 1]"),
        (Some((Exclude, &[])), None, "ToInclude group []"),
        (Some((Include, &[0, 1])), None, "Block group [0 1]"),
        (
            Some((Include, &[0, 1])),
            Some((Include, &[1, 2])),
            "Allow group [2], Block group [0]",
        ),
        (
            Some((Exclude, &[0, 1])),
            Some((Exclude, &[1, 2])),
            "Allow group [0], Block group [2]",
        ),
        (
            Some((Include, &[0])),
            Some((Exclude, &[1])),
            "ToExclude group [1]",
        ),
        (
            Some((Exclude, &[1])),
            Some((Include, &[0])),
            "ToInclude group [0]",
        ),
    ];
    for (before, after, told) in rows {
        each(|host| {
            if before.is_some() {
                host.change(None, before);
                host.run(3_000);
            }
            host.change(before, after);
            assert_eq!(host.run(0), [told], "{before:?} {after:?}");
            assert_eq!(host.run(1_000), [told], "{before:?} {after:?}");
            assert_eq!(host.run(100_000), [""; 0]);
            assert_eq!(host.interface.rows().count() > 0, after.is_some());
        });
    }
}

#[test]
fn sockets_change_only_what_all_of_them_want_together() {
    each(|host| {
        host.join();
        host.run(3_000);
        // A second one for any source, one that includes: nothing changes.
        host.join();
        host.change(None, Some((Include, &[0])));
        host.leave();
        assert_eq!(host.run(3_000), [""; 0]);
        host.leave();
        let told = ["ToInclude group [0]"; 2];
        assert_eq!(host.run(3_000), told);
    });
}

#[test]
fn a_change_before_the_last_one_is_told_again_is_told_with_it() {
    each(|host| {
        host.join();
        assert_eq!(host.run(0), ["ToExclude group []"]);
        host.change(Some((Exclude, &[])), Some((Exclude, &[1])));
        // The mode is told once more, then the source as often as is left of it.
        let told = ["ToExclude group [1]", "Block group [1]"];
        assert_eq!(host.run(3_000), told);
        host.leave_with(&[1]);
        assert_eq!(host.run(0), ["ToInclude group []"]);
        host.join();
        assert_eq!(host.run(3_000), ["ToExclude group []"; 2]);
    });
}
impl Host {
    fn leave_with(&mut self, sources: &[usize]) {
        self.change(Some((Exclude, sources)), None);
    }
}

#[test]
fn questions_are_answered_once_and_in_time() {
    each(|host| {
        let Family {
            group,
            other,
            nobody,
            ..
        } = host.family;
        host.change(None, Some((Include, &[0, 1])));
        host.run(3_000);
        let v3 = Version::V3;
        let is = ["IsInclude group [0 1]"];
        host.query(v3, 1_000, nobody, &[]);
        assert_eq!(host.run(1_000), is);
        // Twice asked, once answered.
        host.query(v3, 1_000, group, &[]);
        host.query(v3, 1_000, group, &[1]);
        assert_eq!(host.run(1_000), is);
        // Of the sources that were asked for, those that are wanted.
        host.query(v3, 1_000, group, &[1]);
        host.query(v3, 1_000, group, &[2]);
        assert_eq!(host.run(1_000), ["IsInclude group [1]"]);
        host.query(v3, 1_000, group, &[2]);
        host.query(v3, 1_000, other, &[]);
        assert_eq!(host.run(100_000), [""; 0]);
    });
}

#[test]
fn of_an_excluding_filter_the_sources_that_are_wanted_are_told() {
    each(|host| {
        host.change(None, Some((Exclude, &[0])));
        host.run(3_000);
        host.query(Version::V3, 100, host.family.group, &[0, 1]);
        assert_eq!(host.run(100), ["IsInclude group [1]"]);
        host.query(Version::V3, 100, host.family.nobody, &[]);
        assert_eq!(host.run(100), ["IsExclude group [0]"]);
    });
}

#[test]
fn an_older_querier_hears_reports_of_its_version() {
    each(|host| {
        let Family { group, nobody, .. } = host.family;
        host.query(Version::V2, 1_000, nobody, &[]);
        host.join();
        assert_eq!(host.run(0), ["V2 group"]);
        assert_eq!(host.run(10_000), ["V2 group"]);
        host.query(Version::V2, 1_000, group, &[]);
        assert_eq!(host.run(1_000), ["V2 group"]);
        host.leave();
        assert_eq!(host.run(0), ["leave group"]);
        // Another member was the last to report: it will answer the next question.
        host.join();
        host.run(20_000);
        host.query(Version::V2, 1_000, nobody, &[]);
        host.interface.hear_report(group, host.now);
        assert_eq!(host.run(1_000), [""; 0]);
        host.leave();
        assert_eq!(host.run(20_000), [""; 0]);
        // It is gone: 2 x 125 s and its 1 s after its last question the new version is spoken again.
        host.run(251_000);
        host.query(Version::V3, 1_000, nobody, &[]);
        assert_eq!(host.run(1_000), [""; 0]);
        host.join();
        assert_eq!(host.run(3_000), ["ToExclude group []"; 2]);
    });
}

#[test]
fn a_querier_of_version_1_hears_no_leaves() {
    let mut host = Host::new(families()[0]);
    host.query(Version::V1, 10_000, host.family.nobody, &[]);
    host.join();
    assert_eq!(host.run(20_000), ["V1 group"; 2]);
    // One of version 3 beside it does not change that: all groups answer it.
    host.query(Version::V3, 1_000, host.family.other, &[]);
    assert_eq!(host.run(10_000), ["V1 group"]);
    host.leave();
    assert_eq!(host.run(20_000), [""; 0]);
}

#[test]
fn what_waited_for_one_version_is_not_told_in_another() {
    each(|host| {
        host.join();
        assert_eq!(host.run(0), ["ToExclude group []"]);
        host.query(Version::V2, 1_000, host.family.group, &[]);
        assert_eq!(host.run(10_000), ["V2 group"]);
    });
}

#[test]
fn a_robust_querier_hears_changes_more_often() {
    each(|host| {
        let query = Query {
            robustness: 4,
            ..Query {
                version: Version::V3,
                max_response: 100,
                group: host.family.nobody,
                suppress: false,
                robustness: 0,
                interval: 10,
                sources: Vec::new(),
            }
        };
        host.interface.hear_query(&query, host.now, &mut host.rng);
        host.run(100);
        host.join();
        assert_eq!(host.run(10_000), ["ToExclude group []"; 4]);
    });
}

#[test]
fn groups_that_everybody_is_in_are_not_spoken_of() {
    for text in ["224.0.0.1", "ff02::1", "ff01::5", "ff10::5"] {
        let group: IpAddr = text.parse().unwrap();
        let mut interface = Interface::default();
        assert!(interface.change(group, None, Some(&Filter::EVERYTHING), true));
        interface.announce();
        let said = interface.serve(Instant::ZERO, &mut Rng::from_seed([1; 32]));
        assert_eq!((said, interface.due()), (Vec::new(), None), "{text}");
        assert_eq!(interface.rows().count(), 1);
    }
}

#[test]
fn memberships_are_told_again_when_there_is_an_address_to_come_from() {
    each(|host| {
        host.join();
        host.run(3_000);
        host.interface.announce();
        assert_eq!(host.run(3_000), ["ToExclude group []"; 2]);
    });
}

#[test]
fn an_interface_is_in_a_bounded_number_of_groups() {
    let mut interface = Interface::default();
    let everything = Some(&Filter::EVERYTHING);
    for n in 0..MOST_GROUPS as u16 {
        let [a, b] = n.to_be_bytes();
        assert!(interface.change([239, 0, a, b].into(), None, everything, true));
    }
    assert!(!interface.change([239, 9, 9, 9].into(), None, everything, true));
    let known = [239, 0, 0, 1].into();
    assert!(interface.change(known, None, everything, true));
    assert_eq!(interface.rows().count(), MOST_GROUPS);
}

#[test]
fn a_change_beyond_the_bounds_leaves_nothing_and_a_full_group_can_be_left_bit_by_bit() {
    let source = |n: usize| IpAddr::from([10, 1, (n >> 8) as u8, n as u8]);
    let filter = |sources: core::ops::Range<usize>| Filter {
        mode: Mode::Include,
        sources: sources.map(source).collect(),
    };
    let [Family { group, .. }, _] = families();
    let mut interface = Interface::default();
    let too_many = filter(0..MOST_SOURCES + 1);
    assert!(!interface.change(group, None, Some(&too_many), true));
    assert!(interface.groups.is_empty() && interface.due().is_none());
    let (full, fewer) = (filter(0..MOST_SOURCES), filter(1..MOST_SOURCES));
    assert!(interface.change(group, None, Some(&full), true));
    let one_more = filter(MOST_SOURCES..MOST_SOURCES + 1);
    assert!(!interface.change(group, None, Some(&one_more), true));
    assert!(interface.change(group, Some(&full), Some(&fewer), true));
    assert!(interface.change(group, None, Some(&one_more), true));
    assert_eq!(interface.rows().collect::<Vec<_>>(), [(group, 2)]);
}
