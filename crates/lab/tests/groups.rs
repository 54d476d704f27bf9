//! Switches and groups: who is sent what, in whole labs. First the stations are outside of the lab, and what they say is
//! made here; then they are hosts.
mod story;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use heptad_lab::frames::Moment;
use heptad_lab::stack::l2_link::ethernet::{encapsulate, ethertype_of, multicast_mac};
use heptad_lab::stack::stack::{Link, Membership};
use heptad_lab::stack::time::Duration;
use heptad_lab::stack::wire::group::{Message, Query, Record, RecordKind, Version};
use heptad_lab::stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_lab::stack::wire::ipv6::{Ipv6Header, next_header};
use heptad_lab::stack::wire::{Chunk, MacAddr, PacketBuf, Pool, checksum, igmp, ipv6, mld};
use heptad_lab::stack::{DropReason, Family, Instant, SocketError, SocketKind};
use heptad_lab::{Cable, Lab, LabBuilder, Outcome};
use story::{millis, options, seconds};

const GROUPS: [&str; 2] = ["239.1.2.3", "ff15::1234"];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A frame to a group, of something in it.
fn frame(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> PacketBuf {
    let mut packet = Pool::new(0).packet();
    packet.append(Chunk::copy_from(payload));
    match (from, to) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                ttl: 1,
                ..Ipv4Header::plain((src, dst), protocol, payload.len())
            };
            header.emit(packet.push(20));
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header {
                hop_limit: 1,
                ..Ipv6Header::plain((src, dst), protocol, payload.len())
            };
            header.emit(packet.push(ipv6::HEADER_LEN));
        }
        _ => panic!("{from} to {to}"),
    }
    let ethertype = ethertype_of(&packet);
    let station = MacAddr([6, 0, 0, 0, 0, 9]);
    encapsulate(&mut packet, station, multicast_mac(to), ethertype);
    packet
}
/// A host's report or leave, a router's query.
fn said(from: &str, message: &Message) -> PacketBuf {
    let from = ip(from);
    let v6 = from.is_ipv6();
    let to = match message {
        Message::Query(_) if v6 => ip("ff02::1"),
        Message::Query(_) => ip("224.0.0.1"),
        Message::Records(_) if v6 => ip("ff02::16"),
        Message::Records(_) => ip("224.0.0.22"),
        Message::Report { group, .. } | Message::Leave { group } => *group,
    };
    if !v6 {
        return frame(from, to, protocol::IGMP, &igmp::to_bytes(message));
    }
    let mut payload = mld::to_bytes(message);
    let len = u32::try_from(payload.len()).unwrap();
    let pseudo = checksum::pseudo_header(from, to, next_header::ICMPV6, len);
    checksum::fill(&mut payload, 2, pseudo);
    let all = [&mld::HOP_BY_HOP[..], &payload].concat();
    frame(from, to, next_header::HOP_BY_HOP, &all)
}
fn change(kind: RecordKind, group: &str) -> Message {
    Message::Records(vec![Record {
        kind,
        group: ip(group),
        sources: vec![],
    }])
}
fn query(v6: bool) -> Message {
    Message::Query(Query {
        version: Version::V3,
        max_response: 10_000,
        group: if v6 { ip("::") } else { ip("0.0.0.0") },
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: vec![],
    })
}

struct Groups {
    lab: Lab,
}
impl Groups {
    fn new(builder: &LabBuilder) -> Self {
        let topology = builder.topology().expect("a lab");
        let lab = Lab::new(&topology, options(1)).expect("a lab");
        Self { lab }
    }
    /// Whoever is behind an interface sends a frame.
    fn send(&mut self, interface: &str, frame: PacketBuf) {
        let outside = self.lab.machine(interface).expect("an interface");
        let now = self.lab.now();
        self.lab.inject(outside, now, frame);
    }
    fn says(&mut self, interface: &str, from: &str, message: &Message) {
        self.send(interface, said(from, message));
    }
    /// A member of a group tells of itself, or goes.
    fn tells(&mut self, interface: &str, group: &str, kind: RecordKind) {
        let from = if ip(group).is_ipv6() {
            "fe80::9"
        } else {
            "10.0.0.9"
        };
        self.says(interface, from, &change(kind, group));
    }
    fn run_to(&mut self, at: Instant) {
        let outcome = self.lab.run_until(at, false, u64::MAX);
        assert!(
            matches!(outcome, Outcome::Idle | Outcome::Reached),
            "{outcome:?}"
        );
        assert_eq!(self.lab.now(), at);
    }
    fn run_for(&mut self, time: Duration) {
        let at = self.lab.now() + time;
        self.run_to(at);
    }
    /// Sends to a group from behind an interface: the ends outside that it reaches, and the cables that carry it.
    fn reach(&mut self, from: &str, group: &str) -> (Vec<String>, usize) {
        let sender = if ip(group).is_ipv6() {
            ip("fe80::7")
        } else {
            ip("10.0.0.7")
        };
        self.run_for(millis(10));
        self.lab.take_frames();
        self.send(
            from,
            frame(
                sender,
                ip(group),
                17,
                b"something for everybody who wants it",
            ),
        );
        self.run_for(millis(10));
        let mut reached = Vec::new();
        let mut cables = 0;
        let interfaces = self.lab.interfaces().to_vec();
        for record in self.lab.take_frames() {
            if record.moment != Moment::Received(Ok(())) || !record.bytes.ends_with(b"wants it") {
                continue;
            }
            cables += 1;
            let name = &interfaces[record.interface as usize].name;
            reached.extend(name.strip_prefix("tap:").map(str::to_owned));
        }
        reached.sort();
        (reached, cables)
    }
    fn reached(&mut self, from: &str, group: &str) -> Vec<String> {
        self.reach(from, group).0
    }
    fn ask_of(&self, switch: &str) -> Vec<(IpAddr, bool)> {
        let switch = self.lab.machine(switch).expect("a switch");
        let known = self.lab.switch_groups(switch).expect("it snoops");
        let askers = known.queriers.iter();
        askers.map(|asker| (asker.address, asker.own)).collect()
    }
}
fn star(of: impl Fn(LabBuilder) -> LabBuilder) -> LabBuilder {
    let mut lab = of(Lab::builder().switch("s"));
    for n in 1..=4 {
        lab = lab.link("s", &format!("tap:t{n}"), Cable::new());
    }
    lab
}
/// Two switches: `t1` and `t2` at one, `t3` and `t4` at the other.
fn two(of: impl Fn(LabBuilder) -> LabBuilder) -> LabBuilder {
    of(Lab::builder().switch("s1").switch("s2"))
        .link("s1", "s2", Cable::new().delay("1ms"))
        .link("s1", "tap:t1", Cable::new())
        .link("s1", "tap:t2", Cable::new())
        .link("s2", "tap:t3", Cable::new())
        .link("s2", "tap:t4", Cable::new())
}

#[test]
fn a_group_reaches_its_listeners_only_and_no_other_cable_carries_it() {
    for group in GROUPS {
        let mut groups = Groups::new(&star(|lab| lab.querier("s", None)));
        assert_eq!(
            groups.reached("tap:t1", group),
            ["t2", "t3", "t4"],
            "nobody had time to answer"
        );
        groups.run_to(seconds(11));
        assert_eq!(groups.reach("tap:t1", group), (vec![], 1));
        groups.tells("tap:t3", group, RecordKind::ToExclude);
        assert_eq!(groups.reach("tap:t1", group), (vec!["t3".to_owned()], 2));
        groups.tells("tap:t3", group, RecordKind::ToInclude);
        groups.run_for(millis(1900));
        assert_eq!(
            groups.reached("tap:t1", group),
            ["t3"],
            "it is asked whether it is alone"
        );
        groups.run_for(millis(200));
        assert_eq!(groups.reach("tap:t1", group), (vec![], 1));
    }
}

#[test]
fn a_switch_that_does_not_snoop_sends_every_group_everywhere() {
    for group in GROUPS {
        let mut groups = Groups::new(&star(|lab| lab.without_snooping("s")));
        let v6 = ip(group).is_ipv6();
        groups.says(
            "tap:t4",
            if v6 { "fe80::1" } else { "10.0.0.1" },
            &query(v6),
        );
        groups.run_to(seconds(20));
        groups.tells("tap:t3", group, RecordKind::ToExclude);
        assert_eq!(groups.reached("tap:t1", group), ["t2", "t3", "t4"]);
        let s = groups.lab.machine("s").unwrap();
        assert_eq!(groups.lab.switch_groups(s), None);
        assert!(groups.lab.next_work().is_none());
    }
}

#[test]
fn a_listener_that_does_not_answer_is_forgotten_after_260_seconds() {
    for group in GROUPS {
        let mut groups = Groups::new(&star(|lab| lab.querier("s", None)));
        groups.run_to(seconds(20));
        groups.tells("tap:t3", group, RecordKind::IsExclude);
        groups.run_to(seconds(279));
        assert_eq!(groups.reached("tap:t1", group), ["t3"]);
        groups.run_to(seconds(281));
        assert_eq!(groups.reached("tap:t1", group), [""; 0]);
    }
}

#[test]
fn a_router_gets_every_group_and_alone_hears_reports() {
    for group in GROUPS {
        let v6 = ip(group).is_ipv6();
        let router = if v6 { "fe80::1" } else { "10.0.0.1" };
        let mut groups = Groups::new(&star(|lab| lab));
        groups.says("tap:t4", router, &query(v6));
        groups.run_to(seconds(11));
        groups.lab.take_frames();
        groups.tells("tap:t3", group, RecordKind::ToExclude);
        groups.run_for(millis(1));
        let interfaces = groups.lab.interfaces().to_vec();
        let records = groups.lab.take_frames().into_iter();
        let arrived = records.filter(|record| record.moment == Moment::Received(Ok(())));
        let at: Vec<&str> = arrived
            .map(|r| &*interfaces[r.interface as usize].name)
            .collect();
        assert_eq!(at, ["s/eth2", "tap:t4"]);
        assert_eq!(groups.reached("tap:t1", group), ["t3", "t4"]);
        assert_eq!(groups.reached("tap:t2", "224.0.0.251"), ["t1", "t3", "t4"]);
        assert_eq!(groups.reached("tap:t2", "ff02::1"), ["t1", "t3", "t4"]);
    }
}

#[test]
fn of_two_switches_that_would_ask_one_does() {
    let both = |lab: LabBuilder| {
        lab.querier("s1", Some("10.0.0.251"))
            .querier("s2", Some("10.0.0.250"))
    };
    let mut groups = Groups::new(&two(both));
    groups.run_to(seconds(11));
    // In IPv6 the address follows from the link address, and that from the place in the order of names.
    let [of_s1, of_s2] = ["s1", "s2"].map(|switch| groups.ask_of(switch));
    assert_eq!(of_s1[0], (Ipv4Addr::new(10, 0, 0, 250).into(), false));
    assert_eq!(of_s2[0], (Ipv4Addr::new(10, 0, 0, 250).into(), true));
    assert_eq!((of_s1[1].0, of_s1[1].1), (of_s2[1].0, true));
    assert!(!of_s2[1].1);
    for group in GROUPS {
        for (listener, sender) in [("tap:t3", "tap:t1"), ("tap:t1", "tap:t4")] {
            assert_eq!(groups.reached(sender, group), [""; 0], "{group}");
            groups.tells(listener, group, RecordKind::ToExclude);
            groups.run_for(millis(10));
            assert_eq!(groups.reached(sender, group), [&listener[4..]], "{group}");
            groups.tells(listener, group, RecordKind::ToInclude);
            groups.run_for(millis(2100));
        }
    }
    // The one that asks falls silent: the other one takes over.
    let pulled = Cable::new().down(true);
    let mut groups = Groups::new(&two(both).at("40s", "s1-s2", pulled));
    groups.run_to(seconds(286));
    assert!(!groups.ask_of("s1")[0].1);
    groups.run_to(seconds(287));
    assert!(groups.ask_of("s1")[0].1);
}

#[test]
fn a_switch_without_an_address_asks_for_those_that_snoop_behind_it() {
    let mut groups = Groups::new(&two(|lab| lab.querier("s1", None)));
    groups.run_to(seconds(11));
    for group in GROUPS {
        groups.tells("tap:t3", group, RecordKind::ToExclude);
        groups.run_for(millis(10));
        assert_eq!(groups.reached("tap:t1", group), ["t3"]);
        assert_eq!(groups.reached("tap:t4", group), ["t3"]);
        groups.tells("tap:t3", group, RecordKind::ToInclude);
        groups.run_for(millis(2100));
        assert_eq!(groups.reached("tap:t1", group), [""; 0]);
        assert_eq!(groups.reached("tap:t4", group), [""; 0]);
    }
}

#[test]
fn stations_behind_a_tun_tell_nothing_and_get_everything() {
    let lab = Lab::builder()
        .switch("s1")
        .switch("s2")
        .querier("s1", None)
        .host("a", "10.0.0.1/24")
        .link("s1", "s2", Cable::new())
        .link("s1", "tap:t1", Cable::new())
        .link("s2", "tun:u", Cable::new())
        .link("s2", "a", Cable::new());
    let mut groups = Groups::new(&lab);
    groups.run_to(seconds(11));
    groups.lab.take_frames();
    let outside = groups.lab.machine("tun:u").unwrap();
    while groups.lab.poll_outside(outside).is_some() {}
    groups.reach("tap:t1", GROUPS[0]);
    assert!(groups.lab.is_outside_due(outside));
}

#[test]
fn what_a_switch_refuses_is_counted() {
    let mut groups = Groups::new(&star(|lab| lab));
    let mut bytes = igmp::to_bytes(&change(RecordKind::ToExclude, GROUPS[0]));
    bytes[2] ^= 1;
    let damaged = frame(ip("10.0.0.9"), ip("224.0.0.22"), protocol::IGMP, &bytes);
    groups.send("tap:t1", damaged);
    groups.run_for(millis(1));
    let s = groups.lab.machine("s").unwrap();
    let counters = groups.lab.counters(s).unwrap();
    assert_eq!(counters.drops(DropReason::GroupChecksum), 1);
    let refused = Moment::Received(Err(DropReason::GroupChecksum));
    assert!(groups.lab.take_frames().iter().any(|r| r.moment == refused));
}

#[test]
fn a_switch_that_asks_for_ever_keeps_nobody_waiting() {
    let mut groups = Groups::new(&two(|lab| lab.querier("s1", None)));
    let outcome = groups.lab.run_until(Instant::MAX, false, u64::MAX);
    assert_eq!(outcome, Outcome::Idle);
    assert!(groups.lab.now() < seconds(1), "{:?}", groups.lab.now());
    // A family that nobody has an address of is not asked in.
    let lab = Lab::builder()
        .host("a", "10.0.0.1/24")
        .host("b", "10.0.0.2/24")
        .switch("s")
        .querier("s", None)
        .link("a", "s", Cable::new())
        .link("b", "s", Cable::new());
    let mut only_v4 = Groups::new(&lab);
    only_v4.run_to(seconds(40));
    let asked = only_v4.lab.take_frames();
    let is_v6 = |bytes: &[u8]| bytes[12..14] == [0x86, 0xdd];
    assert!(!asked.is_empty() && !asked.iter().any(|frame| is_v6(&frame.bytes)));
    assert_eq!(only_v4.ask_of("s"), [(ip("0.0.0.0"), true)]);
}

/// Three hosts of both families at a switch that asks.
fn hosts() -> story::Story {
    let mut lab = Lab::builder().switch("s").querier("s", None);
    for (n, host) in (1..).zip(["a", "b", "c"]) {
        lab = lab
            .host(host, &format!("10.0.0.{n}/24"))
            .address(host, "eth0", &format!("fd00::{n}/64"))
            .link(host, "s", Cable::new().delay("1ms"));
    }
    let topology = lab.topology().expect("a lab");
    story::Story::new(&topology, options(1))
}
/// A socket of a family that is bound to a port.
fn udp(story: &mut story::Story, node: &str, v6: bool) -> story::End {
    let machine = story.lab.machine(node).expect("a node");
    let (family, any) = match v6 {
        false => (Family::V4, ip("0.0.0.0")),
        true => (Family::V6, ip("::")),
    };
    let socket = story.lab.with(machine, |stack, cx| {
        let socket = stack.socket(family, SocketKind::Datagram)?;
        stack.bind(socket, SocketAddr::new(any, 5000), cx)?;
        Ok::<_, SocketError>(socket)
    });
    (machine, socket.expect("a free port"))
}
fn change_of(story: &mut story::Story, end: story::End, group: &str, asked: Membership) {
    let (machine, socket) = end;
    let changed = story.lab.with(machine, |stack, cx| {
        stack.change_membership(socket, (Link::Any, ip(group)), asked, cx)
    });
    assert_eq!(changed, Ok(()));
}
/// The ends of cables at hosts that saw a frame which ends so.
fn seen(story: &mut story::Story, end_of_frame: &[u8]) -> Vec<String> {
    let interfaces = story.lab.interfaces().to_vec();
    let records = story.lab.take_frames().into_iter();
    let arrived = records
        .filter(|r| matches!(r.moment, Moment::Received(_)) && r.bytes.ends_with(end_of_frame));
    let name = |interface: u32| interfaces[interface as usize].name.clone();
    let mut names: Vec<String> = arrived.map(|record| name(record.interface)).collect();
    names.retain(|name| !name.starts_with("s/"));
    names.sort();
    names
}

#[test]
fn hosts_hear_what_they_joined_and_the_others_cables_are_silent() {
    for (v6, group) in [(false, GROUPS[0]), (true, GROUPS[1])] {
        let mut story = hosts();
        let to = SocketAddr::new(ip(group), 5000).to_string();
        let [a, b, c] = ["a", "b", "c"].map(|node| udp(&mut story, node, v6));
        story.run_for(Duration::from_secs(30));
        story.lab.take_frames();
        story.send_to(c, b"to nobody", &to);
        story.run_for(millis(10));
        assert_eq!(seen(&mut story, b"to nobody"), [""; 0], "{group}");
        change_of(&mut story, a, group, Membership::Join);
        story.run_for(millis(10));
        story.send_to(c, b"to one", &to);
        story.run_for(millis(10));
        assert_eq!(seen(&mut story, b"to one"), ["a/eth0"]);
        assert!(story.receive(a).is_some() && story.receive(b).is_none());
        // Its questions are answered: the listener is there long after a silent one were forgotten.
        story.run_for(Duration::from_secs(600));
        story.lab.take_frames();
        story.send_to(c, b"still there", &to);
        story.run_for(millis(10));
        assert_eq!(seen(&mut story, b"still there"), ["a/eth0"]);
        change_of(&mut story, b, group, Membership::Join);
        change_of(&mut story, a, group, Membership::Leave);
        story.run_for(Duration::from_secs(3));
        story.lab.take_frames();
        story.send_to(c, b"to the other", &to);
        story.run_for(millis(10));
        assert_eq!(seen(&mut story, b"to the other"), ["b/eth0"]);
    }
}

#[test]
fn a_neighbour_is_asked_for_on_its_own_cable_only() {
    let mut story = hosts();
    let [a, b] = ["a", "b"].map(|node| udp(&mut story, node, true));
    story.run_for(Duration::from_secs(30));
    story.lab.take_frames();
    story.send_to(a, b"hello", "[fd00::2]:5000");
    story.run_for(millis(20));
    assert!(story.receive(b).is_some());
    let interfaces = story.lab.interfaces().to_vec();
    let c = story.lab.machine("c");
    for record in story.lab.take_frames() {
        let interface = &interfaces[record.interface as usize];
        let is_sent = record.moment == Moment::Sent;
        assert!(is_sent || Some(interface.machine) != c, "{record:?}");
    }
}
