use super::*;
use crate::switch::groups::GROUP_BOUND;
use crate::switch::{Switch, query};
use heptad_stack::time::Duration;
use heptad_stack::wire::Chunk;
use heptad_stack::wire::group::Version;
use proptest::prelude::*;

const PORTS: usize = 4;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}
fn station(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}
fn asker(address: &str, n: u8) -> Asker {
    Asker::new(ip(address), station(n))
}
fn general(address: &str) -> Query {
    Query {
        version: Version::V3,
        max_response: 10_000,
        group: match ip(address) {
            IpAddr::V4(_) => ip("0.0.0.0"),
            IpAddr::V6(_) => ip("::"),
        },
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: vec![],
    }
}
fn specific(group: &str) -> Query {
    Query {
        max_response: 1000,
        group: ip(group),
        ..general(group)
    }
}
fn report(version: Version, group: &str) -> Message {
    let group = ip(group);
    Message::Report { version, group }
}
fn record(kind: RecordKind, group: &str, sources: &[&str]) -> Message {
    Message::Records(vec![Record {
        kind,
        group: ip(group),
        sources: sources.iter().map(|source| ip(source)).collect(),
    }])
}
/// A message as a frame, to the group that its kind is sent to.
fn frame(from: &Asker, message: &Message) -> PacketBuf {
    let v6 = from.address.is_ipv6();
    let by_family = |v4: &str, of_v6: &str| if v6 { ip(of_v6) } else { ip(v4) };
    let to = match message {
        Message::Query(query) if !query.group.is_unspecified() => query.group,
        Message::Query(_) => by_family("224.0.0.1", "ff02::1"),
        Message::Report { group, .. } => *group,
        Message::Leave { .. } => by_family("224.0.0.2", "ff02::2"),
        Message::Records(_) => by_family("224.0.0.22", "ff02::16"),
    };
    query::frame(from, to, message, &mut Pool::new(1))
}

/// A switch of four ports, of which host N is behind port N.
struct Story {
    switch: Switch,
    now: Instant,
}
impl Story {
    fn new(own: [Option<Asker>; 2]) -> Self {
        let snooping = Snooping::new(own, BTreeSet::new());
        let now = at(0);
        let switch = Switch::new(0, Some(snooping));
        Self { switch, now }
    }
    /// A router behind port 0 that asks; members had time to answer.
    fn with_router() -> Self {
        let mut story = Self::new([None, None]);
        story.ask_everybody();
        story.pass(10_000);
        story
    }
    fn ask_everybody(&mut self) {
        for address in ["10.0.0.254", "fe80::254"] {
            let query = Message::Query(general(address));
            assert_eq!(self.says(0, address, &query), Forward::Flood);
        }
    }
    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }
    fn says(&mut self, port: usize, from: &str, message: &Message) -> Forward {
        let mut frame = frame(&asker(from, port as u8), message);
        let forward = self.switch.receive(port, &mut frame, self.now);
        forward.expect("a sound frame")
    }
    /// Host N says something of its own groups.
    fn host_says(&mut self, port: usize, message: &Message) -> Forward {
        let group = match message {
            Message::Report { group, .. } | Message::Leave { group } => Some(*group),
            Message::Records(records) => records.first().map(|record| record.group),
            Message::Query(_) => None,
        };
        let v6 = group.is_some_and(|group| group.is_ipv6());
        let from = if v6 {
            format!("fe80::{port}")
        } else {
            format!("10.0.0.{port}")
        };
        self.says(port, &from, message)
    }
    /// Where a frame of a group goes that comes in by a port.
    fn way(&mut self, from: usize, group: &str) -> Vec<usize> {
        let now = self.now;
        let forward = self.snooping().way(ip(group), from, now);
        ports(&forward, from)
    }
    fn snooping(&mut self) -> &mut Snooping {
        self.switch.snooping.as_mut().expect("it snoops")
    }
    /// What the switch itself sends up to a time: when, where, and what.
    fn sent_until(&mut self, millis: u64) -> Vec<(u64, Vec<usize>, Message)> {
        let mut sent = Vec::new();
        while let Some(due) = self.switch.poll_at().filter(|due| *due <= at(millis)) {
            self.now = self.now.max(due);
            self.switch.on_timeout(self.now);
            while let Some((forward, mut frame)) = self.switch.poll_transmit() {
                let ethertype = match frame.peek(14).expect("a header")[12..] {
                    [8, 0] => EtherType::IPV4,
                    _ => EtherType::IPV6,
                };
                let heard = message::read(&mut frame, ethertype);
                let Ok(Heard::Message { message, .. }) = heard else {
                    panic!("{heard:?}");
                };
                let ports = ports(&forward, PORTS);
                sent.push((self.now.as_millis(), ports, message));
            }
        }
        self.now = at(millis);
        sent
    }
}
fn ports(forward: &Forward, from: usize) -> Vec<usize> {
    match forward {
        Forward::To(port) => vec![*port],
        Forward::Ports(ports) => ports.clone(),
        Forward::Flood => (0..PORTS).filter(|port| *port != from).collect(),
        Forward::Stay => vec![],
    }
}
const GROUPS: [&str; 2] = ["239.1.2.3", "ff15::1234"];

#[test]
fn without_somebody_who_asks_every_frame_goes_everywhere() {
    for group in GROUPS {
        let mut story = Story::new([None, None]);
        assert_eq!(
            story.host_says(1, &report(Version::V2, group)),
            Forward::Flood
        );
        story.pass(60_000);
        assert_eq!(story.way(2, group), [0, 1, 3]);
    }
}

#[test]
fn a_groups_frames_go_to_members_and_routers_only() {
    for group in GROUPS {
        let mut story = Story::with_router();
        assert_eq!(story.way(2, group), [0], "nobody wants it");
        let told = story.host_says(1, &record(RecordKind::ToExclude, group, &[]));
        assert_eq!(told, Forward::Ports(vec![0]), "members do not hear reports");
        assert_eq!(story.way(2, group), [0, 1]);
        assert_eq!(story.way(1, group), [0]);
        assert_eq!(story.way(0, group), [1]);
        assert_eq!(
            story.host_says(3, &report(Version::V2, group)),
            Forward::Ports(vec![0])
        );
        assert_eq!(story.way(0, group), [1, 3]);
    }
}

#[test]
fn members_have_time_to_answer_before_they_are_relied_upon() {
    for (group, router) in [(GROUPS[0], "10.0.0.254"), (GROUPS[1], "fe80::254")] {
        let mut story = Story::new([None, None]);
        story.says(0, router, &Message::Query(general(router)));
        story.pass(9_999);
        assert_eq!(story.way(2, group), [0, 1, 3]);
        story.pass(1);
        assert_eq!(story.way(2, group), [0]);
        // It falls silent: Other Querier Present Interval of 255 s.
        story.pass(244_999);
        assert_eq!(story.way(2, group), [0]);
        story.pass(1);
        assert_eq!(story.way(2, group), [0, 1, 3]);
    }
}

#[test]
fn what_everybody_hears_without_a_word_goes_everywhere() {
    let mut story = Story::with_router();
    for group in ["224.0.0.1", "224.0.0.251", "ff02::1", "ff01::1"] {
        let v4 = ip(group).is_ipv4();
        let from = if v4 { "10.0.0.1" } else { "fe80::1" };
        story.says(1, from, &report(Version::V2, group));
        assert_eq!(story.way(2, group), [0, 1, 3], "{group}");
    }
    assert_eq!(story.snooping().groups.all(at(0)).count(), 0);
    // Of IPv6 all others are told of, those of single hosts as well.
    let solicited = "ff02::1:ff00:1";
    assert_eq!(story.way(2, solicited), [0]);
    story.says(1, "::", &record(RecordKind::IsExclude, solicited, &[]));
    assert_eq!(
        story.way(2, solicited),
        [0, 1],
        "told before it had an address"
    );
}

#[test]
fn every_kind_of_report_is_understood() {
    use RecordKind::*;
    let source = |v6: bool| if v6 { "fd00::9" } else { "10.0.0.9" };
    for group in GROUPS {
        let one = [source(ip(group).is_ipv6())];
        let rows = [
            (report(Version::V2, group), true),
            (record(IsExclude, group, &[]), true),
            (record(IsExclude, group, &one), true),
            (record(ToExclude, group, &one), true),
            (record(IsInclude, group, &one), true),
            (record(ToInclude, group, &one), true),
            (record(Allow, group, &one), true),
            (record(IsInclude, group, &[]), false),
            (record(ToInclude, group, &[]), false),
            (record(Allow, group, &[]), false),
            (record(Block, group, &one), false),
            (record(Block, group, &[]), false),
        ];
        for (message, joins) in rows {
            let mut story = Story::with_router();
            story.host_says(1, &message);
            let expected = if joins { vec![0, 1] } else { vec![0] };
            assert_eq!(story.way(2, group), expected, "{message:?}");
        }
    }
}

#[test]
fn a_member_that_falls_silent_is_forgotten() {
    for group in GROUPS {
        let mut story = Story::with_router();
        story.host_says(1, &report(Version::V2, group));
        // Group Membership Interval: 2 × 125 s + 10 s. The router asks on.
        story.pass(200_000);
        story.ask_everybody();
        story.pass(59_999);
        assert_eq!(story.way(2, group), [0, 1]);
        story.pass(1);
        assert_eq!(story.way(2, group), [0]);
    }
}

#[test]
fn who_asks_says_how_long_members_are_remembered() {
    let mut story = Story::new([None, None]);
    let query = Query {
        robustness: 3,
        interval: 20,
        max_response: 5000,
        ..general("10.0.0.254")
    };
    story.says(0, "10.0.0.254", &Message::Query(query));
    story.pass(5000);
    story.host_says(1, &report(Version::V2, GROUPS[0]));
    // 3 × 20 s + 5 s for members, 3 × 20 s + 2.5 s for the router.
    story.pass(57_000);
    let query = general("10.0.0.254");
    story.says(0, "10.0.0.254", &Message::Query(query));
    story.pass(7_999);
    assert_eq!(story.way(2, GROUPS[0]), [0, 1]);
    story.pass(1);
    assert_eq!(story.way(2, GROUPS[0]), [0]);
}

#[test]
fn the_routers_question_for_one_group_shortens_the_wait() {
    for (group, router) in [(GROUPS[0], "10.0.0.254"), (GROUPS[1], "fe80::254")] {
        let mut story = Story::with_router();
        for port in [1, 3] {
            story.host_says(port, &report(Version::V2, group));
        }
        let left = story.host_says(1, &Message::Leave { group: ip(group) });
        assert_eq!(left, Forward::Ports(vec![0]));
        story.pass(5_000);
        assert_eq!(
            story.way(2, group),
            [0, 1, 3],
            "leaving alone changes nothing"
        );
        let asked = story.says(0, router, &Message::Query(specific(group)));
        assert_eq!(asked, Forward::Flood);
        story.host_says(3, &report(Version::V2, group));
        story.pass(1_999);
        assert_eq!(story.way(2, group), [0, 1, 3]);
        story.pass(1);
        assert_eq!(story.way(2, group), [0, 3]);
        for spared in [
            Query {
                suppress: true,
                ..specific(group)
            },
            Query {
                sources: vec![ip(router)],
                ..specific(group)
            },
        ] {
            story.says(0, router, &Message::Query(spared));
            story.pass(10_000);
            assert_eq!(story.way(2, group), [0, 3]);
        }
    }
}

#[test]
fn who_asks_itself_asks_everybody_twice_and_then_from_time_to_time() {
    for own in ["10.0.0.250", "0.0.0.0", "fe80::250"] {
        let side = asker(own, 9);
        let mut story = Story::new(match side.address {
            IpAddr::V4(_) => [Some(side), None],
            IpAddr::V6(_) => [None, Some(side)],
        });
        let sent = story.sent_until(300_000);
        let times: Vec<u64> = sent.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [0, 31_250, 156_250, 281_250], "{own}");
        for (_, to, message) in sent {
            assert_eq!(to, [0, 1, 2, 3]);
            let Message::Query(query) = message else {
                panic!("{message:?}")
            };
            assert_eq!(query, general(own));
        }
    }
}

#[test]
fn who_asks_itself_makes_sure_before_it_forgets_a_member() {
    for (group, own) in [(GROUPS[0], "0.0.0.0"), (GROUPS[1], "fe80::250")] {
        let side = asker(own, 9);
        let mut story = Story::new(match side.address {
            IpAddr::V4(_) => [Some(side), None],
            IpAddr::V6(_) => [None, Some(side)],
        });
        story.sent_until(40_000);
        for port in [1, 3] {
            let told = story.host_says(port, &report(Version::V2, group));
            assert_eq!(told, Forward::Ports(vec![]), "there is no router");
        }
        story.host_says(1, &Message::Leave { group: ip(group) });
        let asked = (vec![1], Message::Query(specific(group)));
        let sent = story.sent_until(41_999);
        let expected = [40_000, 41_000].map(|at| (at, asked.0.clone(), asked.1.clone()));
        assert_eq!(sent, expected);
        assert_eq!(story.way(2, group), [1, 3]);
        story.pass(1);
        assert_eq!(story.way(2, group), [3]);
        // Somebody else behind the port is there still: it is asked once, and no more.
        story.host_says(3, &record(RecordKind::ToInclude, group, &[]));
        assert_eq!(story.sent_until(42_500).len(), 1);
        story.host_says(3, &record(RecordKind::IsExclude, group, &[]));
        assert_eq!(story.sent_until(60_000), []);
        assert_eq!(story.way(2, group), [3]);
        story.host_says(2, &Message::Leave { group: ip(group) });
        assert_eq!(story.sent_until(70_000), [], "there was no member");
    }
}

#[test]
fn behind_a_port_with_a_member_of_igmpv1_nobodys_leaving_counts() {
    let group = GROUPS[0];
    let mut story = Story::new([Some(asker("0.0.0.0", 9)), None]);
    story.sent_until(40_000);
    story.host_says(1, &report(Version::V1, group));
    story.host_says(1, &Message::Leave { group: ip(group) });
    assert_eq!(story.sent_until(50_000), []);
    assert_eq!(story.way(2, group), [1]);
}

#[test]
fn the_lowest_address_asks_and_when_it_falls_silent_the_next() {
    for (own, lower, higher) in [
        ("10.0.0.100", "10.0.0.99", "10.0.0.101"),
        ("0.0.0.0", "10.0.0.99", "0.0.0.0"),
        ("fe80::100", "fe80::99", "fe80::101"),
    ] {
        let side = asker(own, 2);
        let v6 = usize::from(side.address.is_ipv6());
        let mut story = Story::new([None, None]);
        story.snooping().sides[v6] = Side::new(Some(side));
        story.sent_until(40_000);
        story.says(3, higher, &Message::Query(general(higher)));
        assert!(
            story.snooping().sides[v6]
                .querier
                .asks(at(40_000))
                .is_some(),
            "{higher}"
        );
        story.says(1, lower, &Message::Query(general(lower)));
        assert_eq!(story.sent_until(294_999), [], "255 s of silence are none");
        let sent = story.sent_until(421_000);
        let times: Vec<u64> = sent.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [295_000, 420_000], "{own}");
    }
}

#[test]
fn who_has_no_address_asks_only_if_nobody_else_does() {
    let mut story = Story::new([None, None]);
    story.says(1, "0.0.0.0", &Message::Query(general("0.0.0.0")));
    assert_eq!(
        story.snooping().sides[0].querier.asker(at(0)),
        Some(asker("0.0.0.0", 1))
    );
    story.says(2, "10.0.0.200", &Message::Query(general("10.0.0.200")));
    story.says(1, "0.0.0.0", &Message::Query(general("0.0.0.0")));
    let asks = story.snooping().sides[0].querier.asker(at(0));
    assert_eq!(asks, Some(asker("10.0.0.200", 2)));
    story.pass(20_000);
    assert_eq!(
        story.host_says(3, &report(Version::V2, GROUPS[0])),
        Forward::Ports(vec![1, 2])
    );
}

#[test]
fn of_more_groups_than_it_remembers_the_others_go_everywhere() {
    let group = |n: u32| IpAddr::V4((0xef01_0000 + n).into());
    let mut story = Story::with_router();
    let bound = u32::try_from(GROUP_BOUND).unwrap();
    for n in 0..=bound {
        story.host_says(1, &report(Version::V2, &group(n).to_string()));
    }
    let now = story.now;
    assert_eq!(story.snooping().groups.all(now).count(), GROUP_BOUND);
    assert_eq!(story.snooping().groups.refused(), 1);
    assert_eq!(story.way(2, "239.1.0.0"), [0, 1]);
    assert_eq!(story.way(2, &group(bound).to_string()), [0, 1, 3]);
    assert_eq!(story.way(2, "239.9.9.9"), [0, 1, 3]);
    story.host_says(3, &report(Version::V2, "239.1.0.0"));
    assert_eq!(
        story.way(2, "239.1.0.0"),
        [0, 1, 3],
        "a known group has room"
    );
    // The silent make room.
    story.pass(200_000);
    story.ask_everybody();
    story.pass(60_000);
    story.host_says(1, &report(Version::V2, &group(bound).to_string()));
    let now = story.now;
    assert_eq!(story.snooping().groups.all(now).count(), 1);
    assert_eq!(story.way(2, "239.9.9.9"), [0]);
}

#[test]
fn a_port_whose_stations_tell_nothing_gets_everything() {
    let silent = BTreeSet::from([3]);
    let mut story = Story::with_router();
    story.snooping().silent = silent;
    for group in GROUPS {
        assert_eq!(story.way(2, group), [0, 3]);
        assert_eq!(
            story.host_says(1, &report(Version::V2, group)),
            Forward::Ports(vec![0, 3])
        );
    }
}

/// What a change of one byte makes of a frame.
type Row = (&'static str, usize, u8, Result<Forward, DropReason>);

#[test]
fn what_is_damaged_is_neither_believed_nor_passed_on() {
    // Bytes 14 on are the IP header, 38 on IGMP; of IPv6 54 on the options, 62 on MLD.
    let rows: [Row; 9] = [
        ("10.0.0.1", 24, 0xff, Err(DropReason::IpChecksum)),
        ("10.0.0.1", 41, 0xff, Err(DropReason::GroupChecksum)),
        ("10.0.0.1", 22, 7, Err(DropReason::IpChecksum)),
        ("10.0.0.1", 14, 0x66, Ok(Forward::Flood)),
        ("fe80::1", 65, 0xff, Err(DropReason::IcmpChecksum)),
        ("fe80::1", 21, 2, Err(DropReason::GroupHopLimit)),
        ("fe80::1", 56, 0x1e, Err(DropReason::GroupNoAlert)),
        ("fe80::1", 18, 1, Err(DropReason::IpTruncated)),
        ("fe80::1", 14, 0x40, Ok(Forward::Flood)),
    ];
    for (from, byte, value, expected) in rows {
        let mut story = Story::with_router();
        let group = if from.contains(':') {
            GROUPS[1]
        } else {
            GROUPS[0]
        };
        let sound = frame(&asker(from, 1), &report(Version::V2, group));
        let mut bytes = Vec::new();
        sound.write_to(&mut bytes);
        bytes[byte] = value;
        let mut damaged = Pool::new(0).from_chunk(Chunk::copy_from(&bytes));
        let now = story.now;
        let got = story.switch.receive(1, &mut damaged, now);
        assert_eq!(got, expected, "{from} byte {byte}");
        assert_eq!(
            story.snooping().groups.all(now).count(),
            0,
            "{from} byte {byte}"
        );
    }
    // A question to everybody that goes to one group, one from beyond the link.
    let mut story = Story::with_router();
    for (from, to, reason) in [
        ("10.0.0.1", GROUPS[0], DropReason::GroupMalformed),
        ("fe80::1", GROUPS[1], DropReason::GroupMalformed),
        ("fd00::1", "ff02::1", DropReason::GroupSource),
        ("::", "ff02::1", DropReason::GroupSource),
    ] {
        let message = Message::Query(general(from));
        let mut frame = query::frame(&asker(from, 1), ip(to), &message, &mut Pool::new(1));
        let got = story.switch.receive(1, &mut frame, at(10_000));
        assert_eq!(got, Err(reason), "{from} {to}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Join(usize, usize),
    Leave(usize, usize),
    Specific(usize),
    General,
}
fn step() -> impl Strategy<Value = Step> {
    let (port, group) = (1..PORTS, 0..3usize);
    prop_oneof![
        (0u64..90_000).prop_map(Step::Pass),
        (port.clone(), group.clone()).prop_map(|(p, g)| Step::Join(p, g)),
        (port, group.clone()).prop_map(|(p, g)| Step::Leave(p, g)),
        group.prop_map(Step::Specific),
        Just(Step::General),
    ]
}
/// The ports that want a group at a time, from all that was ever said: slow, and obvious.
fn model(said: &[(u64, Step)], group: usize, now: u64) -> Vec<usize> {
    let wants = |port: &usize| {
        let mut until = 0;
        for (at, step) in said {
            match *step {
                Step::Join(p, g) if (p, g) == (*port, group) => until = at + 260_000,
                Step::Specific(g) if g == group && until > *at => until = until.min(at + 2000),
                _ => {}
            }
        }
        until > now
    };
    (1..PORTS).filter(wants).collect()
}
/// Whether the one who asks is believed to be there: it asked at time 0, and again.
fn is_asked(said: &[(u64, Step)], now: u64) -> bool {
    let (mut until, mut settled) = (255_000, 10_000);
    for (at, step) in said {
        if matches!(step, Step::General) {
            if *at >= until {
                settled = at + 10_000;
            }
            until = at + 255_000;
        }
    }
    now < until && now >= settled
}

proptest! {
    #[test]
    fn the_ports_of_a_group_are_those_of_a_slow_model(
        steps in prop::collection::vec(step(), 0..60),
        v6 in any::<bool>(),
    ) {
        let groups = match v6 {
            false => ["239.0.0.1", "239.128.0.1", "232.1.1.1"],
            true => ["ff02::1:ff00:1", "ff05::7", "ff3e::1"],
        };
        let router = if v6 { "fe80::254" } else { "10.0.0.254" };
        let mut story = Story::new([None, None]);
        story.says(0, router, &Message::Query(general(router)));
        let (mut said, mut now) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Pass(millis) => {
                    now += millis;
                    story.pass(millis);
                }
                Step::Join(port, g) => {
                    let told = report(Version::V2, groups[g]);
                    story.host_says(port, &told);
                }
                Step::Leave(port, g) => {
                    let group = ip(groups[g]);
                    story.host_says(port, &Message::Leave { group });
                }
                Step::Specific(g) => {
                    let query = Message::Query(specific(groups[g]));
                    story.says(0, router, &query);
                }
                Step::General => {
                    story.says(0, router, &Message::Query(general(router)));
                }
            }
            said.push((now, step));
            for (g, group) in groups.iter().enumerate() {
                let expected = match is_asked(&said, now) {
                    false => (0..PORTS).filter(|port| *port != 2).collect(),
                    true => {
                        let mut ports = model(&said, g, now);
                        ports.retain(|port| *port != 2);
                        ports.insert(0, 0);
                        ports
                    }
                };
                let way = story.way(2, group);
                let is_flood = !is_asked(&said, now);
                prop_assert_eq!(way, expected, "{} at {} flood {}", group, now, is_flood);
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0usize..6,
        flips in prop::collection::vec((0usize..200, any::<u8>()), 0..4),
        cut in 0usize..200,
    ) {
        let messages = [
            Message::Query(general("10.0.0.254")),
            Message::Query(general("fe80::254")),
            record(RecordKind::IsInclude, GROUPS[0], &["10.0.0.1", "10.0.0.2"]),
            record(RecordKind::IsInclude, GROUPS[1], &["fd00::1", "fd00::2"]),
            report(Version::V1, GROUPS[0]),
            Message::Leave { group: ip(GROUPS[1]) },
        ];
        let from = ["10.0.0.254", "fe80::254", "10.0.0.1", "fe80::1", "10.0.0.1", "fe80::1"];
        let mut mangled = Vec::new();
        frame(&asker(from[kind], 1), &messages[kind]).write_to(&mut mangled);
        for (at, value) in flips {
            if let Some(byte) = mangled.get_mut(at) {
                *byte ^= value;
            }
        }
        mangled.truncate(cut.max(20));
        for bytes in [bytes, mangled] {
            let own = [Some(asker("10.0.0.1", 9)), Some(asker("fe80::1", 9))];
            let mut story = Story::new(own);
            let mut frame = Pool::new(0).from_chunk(Chunk::copy_from(&bytes));
            let _ = story.switch.receive(1, &mut frame, at(0));
            story.sent_until(5_000);
        }
    }
}
