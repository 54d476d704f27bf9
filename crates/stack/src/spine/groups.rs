//! Groups: who joins, what routers hear of it, and who hears what was sent. Told for both families.
use std::format;
use std::string::String;
use std::vec::Vec;

use core::net::{IpAddr, SocketAddr};

use heptad_wire::group::{Message, Query, Version};
use heptad_wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_wire::ipv6::{Ipv6Header, next_header};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, checksum, igmp, mld};

use super::hosts::*;
use crate::l2_link::ethernet::multicast_mac;
use crate::stack::{Filter, Link, Membership, Mode, SocketOption};
use crate::time::Duration;
use crate::{Counter, DropReason, SocketError, SocketId, SocketKind};

/// The same cable with addresses of one family.
#[derive(Clone, Copy)]
struct Cable {
    alice: &'static str,
    bob: &'static str,
    len: u8,
    group: &'static str,
    any: &'static str,
    all: &'static str,
}
const CABLES: [Cable; 2] = [
    Cable {
        alice: "10.0.1.10",
        bob: "10.0.1.20",
        len: 24,
        group: "239.1.2.3",
        any: "0.0.0.0",
        all: "224.0.0.1",
    },
    Cable {
        alice: "fd00:1::10",
        bob: "fd00:1::20",
        len: 64,
        group: "ff15::3",
        any: "::",
        all: "ff02::1",
    },
];
impl Cable {
    /// Two hosts whose addresses are surely theirs, and who have told of the groups that they are in for themselves.
    fn hosts(&self) -> (Host, Host) {
        let mut alice = Host::new(1, false).with_port(1, self.alice, self.len, 1500);
        let mut bob = Host::new(2, false).with_port(2, self.bob, self.len, 1500);
        pass(&mut alice, &mut bob, 10);
        alice.counters = crate::Counters::default();
        bob.counters = crate::Counters::default();
        (alice, bob)
    }
    fn at_group(&self) -> SocketAddr {
        SocketAddr::new(ip(self.group), 5000)
    }
}

/// So many seconds with a cable between two hosts.
fn pass(alice: &mut Host, bob: &mut Host, seconds: u64) {
    let end = alice.now + Duration::from_secs(seconds);
    loop {
        settle((alice, ETH0), (bob, ETH0));
        let due = [alice.stack.poll_at(), bob.stack.poll_at()];
        let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= end) else {
            break;
        };
        let due = due.max(alice.now);
        alice.advance(due);
        bob.advance(due);
    }
    alice.now = end;
    bob.now = end;
}

impl Host {
    fn udp(&mut self, at: SocketAddr) -> SocketId {
        let socket = self.stack.socket(at.ip(), SocketKind::Datagram).unwrap();
        self.set(socket, SocketOption::ReuseAddress(true));
        self.cx(|stack, cx| stack.bind(socket, at, cx)).unwrap();
        socket
    }
    fn set(&mut self, socket: SocketId, option: SocketOption) {
        self.cx(|stack, cx| stack.set(socket, option, cx)).unwrap();
    }
    fn change(
        &mut self,
        socket: SocketId,
        group: &str,
        asked: Membership,
    ) -> Result<(), SocketError> {
        let group = (Link::Any, ip(group));
        self.cx(|stack, cx| stack.change_membership(socket, group, asked, cx))
    }
    fn say(&mut self, socket: SocketId, to: SocketAddr) {
        self.cx(|stack, cx| stack.send_to(socket, b"hello", to, cx))
            .unwrap();
    }
    fn heard(&mut self, socket: SocketId) -> usize {
        let mut out = [0; 100];
        self.cx(|stack, cx| {
            let heard = core::iter::from_fn(|| stack.recv_from(socket, &mut out, cx).ok());
            heard.count()
        })
    }
    /// What it tells about its memberships within so many seconds.
    fn told(&mut self, seconds: u64) -> Vec<String> {
        let end = self.now + Duration::from_secs(seconds);
        let mut told = Vec::new();
        loop {
            let frames = self.drain(ETH0);
            let bytes = frames.iter().map(|frame| {
                let mut bytes = Vec::new();
                frame.write_to(&mut bytes);
                bytes
            });
            told.extend(bytes.filter_map(|bytes| report(&bytes)));
            let Some(due) = self.stack.poll_at().filter(|due| *due <= end) else {
                break;
            };
            self.advance(due.max(self.now));
        }
        self.now = end;
        told
    }
}

/// A frame that tells of memberships: from whom, to whom, what. Checks all that a router checks of it.
fn report(frame: &[u8]) -> Option<String> {
    let link = EthernetHeader::parse(frame).unwrap();
    let packet = &frame[14..];
    let (src, dst, message): (IpAddr, IpAddr, _) = match link.ethertype {
        EtherType::IPV4 => {
            let header = Ipv4Header::parse(packet).unwrap();
            if header.protocol != protocol::IGMP {
                return None;
            }
            assert!(header.options.has_router_alert());
            assert_eq!((header.ttl, header.tos), (1, 0xc0));
            let message = igmp::parse(&packet[header.len()..]).unwrap();
            (header.src.into(), header.dst.into(), message)
        }
        EtherType::IPV6 => {
            let header = Ipv6Header::parse(packet).unwrap();
            let (before, message) = packet[40..].split_at_checked(8)?;
            if header.next_header != next_header::HOP_BY_HOP {
                return None;
            }
            assert_eq!((before, header.hop_limit), (&mld::HOP_BY_HOP[..], 1));
            let (src, dst) = (header.src.into(), header.dst.into());
            let len = message.len() as u32;
            let pseudo = checksum::pseudo_header(src, dst, next_header::ICMPV6, len);
            assert_eq!(checksum::add(pseudo, checksum::sum(message)), 0xffff);
            (src, dst, mld::parse(message[0], &message[4..]).unwrap())
        }
        _ => return None,
    };
    assert_eq!(link.dst, multicast_mac(dst));
    let text = match message {
        Message::Records(records) => {
            let records = records.iter().map(|record| {
                let sources = record.sources.len();
                format!("{:?} {} {sources}", record.kind, record.group)
            });
            records.collect::<Vec<_>>().join(", ")
        }
        Message::Report { group, .. } => format!("report {group}"),
        Message::Leave { group } => format!("leave {group}"),
        Message::Query(_) => panic!("a host asks nothing"),
    };
    Some(format!("{src} > {dst}: {text}"))
}

/// A router's question about a group, as it stands on the cable.
fn question(cable: &Cable, group: &str, ttl: u8, alert: bool) -> Vec<u8> {
    let query = Message::Query(Query {
        version: Version::V3,
        max_response: 1_000,
        group: ip(group),
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: Vec::new(),
    });
    let dst = if group == cable.any { cable.all } else { group };
    match ip(dst) {
        IpAddr::V4(to) => {
            let message = igmp::to_bytes(&query);
            let mut header = header("10.0.1.1", dst, protocol::IGMP, message.len());
            if alert {
                header.options = Options::ROUTER_ALERT;
                header.total_len += 4;
            }
            header.ttl = ttl;
            frame_to(multicast_mac(to.into()), &header, &message)
        }
        IpAddr::V6(to) => mld_frame("fe80::1", to.into(), &query, ttl, alert),
    }
}
fn mld_frame(src: &str, dst: IpAddr, message: &Message, hop_limit: u8, alert: bool) -> Vec<u8> {
    let (IpAddr::V6(src), IpAddr::V6(to)) = (ip(src), dst) else {
        panic!("not of IPv6");
    };
    let mut bytes = mld::to_bytes(message);
    let len = bytes.len() as u32;
    let pseudo = checksum::pseudo_header(src.into(), dst, next_header::ICMPV6, len);
    checksum::fill(&mut bytes, 2, pseudo);
    let before: &[u8] = if alert { &mld::HOP_BY_HOP } else { &[] };
    let next = match alert {
        true => next_header::HOP_BY_HOP,
        false => next_header::ICMPV6,
    };
    let header = Ipv6Header {
        hop_limit,
        ..Ipv6Header::plain((src, to), next, before.len() + bytes.len())
    };
    let mut out = std::vec![0; 54];
    EthernetHeader {
        dst: multicast_mac(dst),
        src: MacAddr([2, 0, 0, 0, 0, 99]),
        ethertype: EtherType::IPV6,
    }
    .emit(&mut out);
    header.emit(&mut out[14..]);
    [&out, before, &bytes].concat()
}

#[test]
fn a_member_says_so_answers_the_router_and_says_when_it_leaves() {
    for cable in CABLES {
        let (_, mut bob) = cable.hosts();
        let socket = bob.udp(SocketAddr::new(ip(cable.any), 5000));
        bob.change(socket, cable.group, Membership::Join).unwrap();
        let said = |kind: &str| match cable.group {
            "239.1.2.3" => format!("10.0.1.20 > 224.0.0.22: {kind} 239.1.2.3 0"),
            _ => format!("fe80::ff:fe00:2 > ff02::16: {kind} ff15::3 0"),
        };
        assert_eq!(bob.told(10), [said("ToExclude"), said("ToExclude")]);
        let asked = question(&cable, cable.group, 1, true);
        assert_eq!(bob.receive_bytes(ETH0, asked), Ok(()));
        assert_eq!(bob.told(1), [said("IsExclude")]);
        bob.cx(|stack, cx| stack.close(socket, cx));
        assert_eq!(bob.told(10), [said("ToInclude"), said("ToInclude")]);
        assert_eq!(bob.drops(), []);
    }
}

#[test]
fn questions_that_may_come_from_beyond_the_link_are_not_answered() {
    for cable in CABLES {
        let (_, mut bob) = cable.hosts();
        for (ttl, alert, reason) in [
            (2, true, DropReason::GroupHopLimit),
            (1, false, DropReason::GroupNoAlert),
        ] {
            let asked = question(&cable, cable.any, ttl, alert);
            assert_eq!(bob.receive_bytes(ETH0, asked), Err(reason));
        }
        let mut asked = question(&cable, cable.any, 1, true);
        asked.pop();
        assert!(bob.receive_bytes(ETH0, asked).is_err());
        assert_eq!(bob.told(10), [""; 0]);
    }
    let (_, mut bob) = CABLES[1].hosts();
    let leave = Message::Leave {
        group: ip("ff15::3"),
    };
    let from_afar = mld_frame("fd00::1", ip("ff02::1"), &leave, 1, true);
    let heard = bob.receive_bytes(ETH0, from_afar);
    assert_eq!(heard, Err(DropReason::GroupSource));
    let for_routers = mld_frame("fe80::1", ip("ff02::1"), &leave, 1, true);
    let heard = bob.receive_bytes(ETH0, for_routers);
    assert_eq!(heard, Err(DropReason::GroupIgnored));
}

#[test]
fn broken_messages_of_igmp_have_their_reasons() {
    let (_, mut bob) = CABLES[0].hosts();
    let mut igmp = |message: &[u8]| {
        let mut header = header("10.0.1.1", "224.0.0.1", protocol::IGMP, message.len());
        header.options = Options::ROUTER_ALERT;
        header.total_len += 4;
        header.ttl = 1;
        let mac = multicast_mac(ip("224.0.0.1"));
        bob.receive_bytes(ETH0, frame_to(mac, &header, message))
    };
    let rows: [(&[u8], DropReason); 4] = [
        (
            &[0x11, 100, 0x11, 0x11, 0, 0, 0, 0],
            DropReason::GroupChecksum,
        ),
        (&[0x11, 100, 0xee], DropReason::GroupMalformed),
        // A query of nine bytes; an unknown type.
        (
            &[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0, 0],
            DropReason::GroupMalformed,
        ),
        (&[0x30, 0, 0xcf, 0xff, 0, 0, 0, 0], DropReason::GroupIgnored),
    ];
    for (message, reason) in rows {
        assert_eq!(igmp(message), Err(reason), "{message:x?}");
    }
    assert_eq!(bob.get(Counter::IgmpInErrors), 3);
}

#[test]
fn a_datagram_to_a_group_reaches_every_socket_that_joined_and_no_other_host() {
    for cable in CABLES {
        let (mut alice, mut bob) = cable.hosts();
        let any = SocketAddr::new(ip(cable.any), 5000);
        let sender = alice.udp(SocketAddr::new(ip(cable.any), 0));
        let (one, two) = (bob.udp(any), bob.udp(cable.at_group()));
        let stranger = bob.udp(SocketAddr::new(ip(cable.any), 5001));
        // Nobody is in the group: the interface keeps it away.
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        assert_eq!(bob.drops(), [(DropReason::NotOurGroup, 1)]);
        bob.change(one, cable.group, Membership::Join).unwrap();
        bob.change(two, cable.group, Membership::Join).unwrap();
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        let heard = [one, two, stranger].map(|socket| bob.heard(socket));
        assert_eq!(heard, [1, 1, 0]);
        let rows = bob.stack.groups();
        assert!(rows.contains(&(ETH0, ip(cable.group), 2)), "{rows:?}");
        bob.change(one, cable.group, Membership::Leave).unwrap();
        bob.change(two, cable.group, Membership::Leave).unwrap();
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 3);
        assert_eq!(bob.heard(one), 0);
        let is_there = |host: &Host| {
            host.stack
                .groups()
                .iter()
                .any(|row| row.1 == ip(cable.group))
        };
        assert!(!is_there(&bob));
    }
}

#[test]
fn a_socket_hears_the_sources_that_it_wants() {
    for cable in CABLES {
        let (mut alice, mut bob) = cable.hosts();
        let any = SocketAddr::new(ip(cable.any), 5000);
        let sender = alice.udp(SocketAddr::new(ip(cable.any), 0));
        let [wants, blocks, other, all] = [(); 4].map(|()| bob.udp(any));
        for (socket, asked) in [
            (wants, Membership::JoinSource(ip(cable.alice))),
            (other, Membership::JoinSource(ip(cable.bob))),
            (blocks, Membership::Join),
            (blocks, Membership::Block(ip(cable.alice))),
        ] {
            bob.change(socket, cable.group, asked).unwrap();
        }
        let sides = |bob: &mut Host| [wants, blocks, other, all].map(|socket| bob.heard(socket));
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        // One that joined nothing hears what the host hears, as on Linux.
        assert_eq!(sides(&mut bob), [1, 0, 0, 1]);
        let only_own = match cable.len {
            24 => SocketOption::MulticastAll(false),
            _ => SocketOption::MulticastAllV6(false),
        };
        let unblock = Membership::Unblock(ip(cable.alice));
        bob.change(blocks, cable.group, unblock).unwrap();
        if cable.len == 64 {
            bob.set(all, only_own);
        }
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        assert_eq!(
            sides(&mut bob),
            [1, 1, 0, u64::from(cable.len == 24) as usize]
        );
        // Nobody on this host wants what alice says any more.
        let leave = Membership::LeaveSource(ip(cable.alice));
        bob.change(wants, cable.group, leave).unwrap();
        bob.change(blocks, cable.group, Membership::Leave).unwrap();
        alice.say(sender, cable.at_group());
        pass(&mut alice, &mut bob, 3);
        assert_eq!(sides(&mut bob), [0; 4]);
        assert_eq!(bob.drops(), [(DropReason::SourceFiltered, 1)]);
        let filter = Filter {
            mode: Mode::Include,
            sources: [ip(cable.bob)].into(),
        };
        let group = ip(cable.group);
        assert_eq!(bob.stack.membership(other, Link::Any, group), Ok(filter));
    }
}

#[test]
fn the_sender_hears_itself_unless_it_does_not_want_to() {
    for cable in CABLES {
        let (mut alice, mut bob) = cable.hosts();
        let socket = alice.udp(SocketAddr::new(ip(cable.any), 5000));
        alice.say(socket, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        assert_eq!(alice.heard(socket), 0, "not a member");
        alice.change(socket, cable.group, Membership::Join).unwrap();
        alice.say(socket, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        assert_eq!(alice.heard(socket), 1);
        alice.set(socket, SocketOption::MulticastLoop(false));
        if cable.len == 64 {
            alice.set(socket, SocketOption::MulticastLoopV6(false));
        }
        alice.say(socket, cable.at_group());
        pass(&mut alice, &mut bob, 1);
        assert_eq!(alice.heard(socket), 0);
        assert_eq!(alice.drops(), []);
        // Three datagrams and two reports.
        assert_eq!(bob.drops(), [(DropReason::NotOurGroup, 5)]);
    }
}

#[test]
fn what_goes_to_a_group_goes_one_hop_unless_its_sender_wants_more() {
    for cable in CABLES {
        let (mut alice, _) = cable.hosts();
        let socket = alice.udp(SocketAddr::new(ip(cable.any), 5000));
        let hops = |host: &mut Host| {
            host.say(socket, cable.at_group());
            let frames = host.drain(ETH0);
            let at = if cable.len == 24 { 14 + 8 } else { 14 + 7 };
            frames
                .iter()
                .map(|frame| frame.head()[at])
                .collect::<Vec<_>>()
        };
        assert_eq!(hops(&mut alice), [1]);
        for (ttl, seen) in [(7, &[7][..]), (0, &[])] {
            alice.set(socket, SocketOption::MulticastTtl(ttl));
            if cable.len == 64 {
                alice.set(socket, SocketOption::MulticastHops(ttl));
            }
            assert_eq!(hops(&mut alice), seen);
        }
        // It did not leave, and nobody here wanted it.
        assert_eq!(alice.drops(), [(DropReason::TtlExceeded, 1)]);
    }
}

#[test]
fn a_host_with_two_cables_speaks_and_listens_on_the_one_that_is_chosen() {
    let mut host = Host::new(1, false)
        .with_port(1, "10.0.1.10", 24, 1500)
        .with_port(2, "10.0.2.10", 24, 1500);
    let socket = host.udp("0.0.0.0:5000".parse().unwrap());
    let to: SocketAddr = "239.1.2.3:5000".parse().unwrap();
    let sides = |host: &mut Host| [host.drain(ETH0).len(), host.drain(ETH1).len()];
    host.say(socket, to);
    assert_eq!(sides(&mut host), [1, 0]);
    for link in [Link::Address(v4("10.0.2.10")), Link::Port(ETH1)] {
        host.set(socket, SocketOption::MulticastLink(link));
        host.say(socket, to);
        assert_eq!(sides(&mut host), [0, 1]);
    }
    let by = |link| (link, ip("239.1.2.3"));
    let join = |host: &mut Host, link| {
        host.cx(|stack, cx| stack.change_membership(socket, by(link), Membership::Join, cx))
    };
    assert_eq!(join(&mut host, Link::Address(v4("10.0.2.10"))), Ok(()));
    let again = join(&mut host, Link::Port(ETH1));
    assert_eq!(again, Err(SocketError::AddressInUse));
    assert_eq!(join(&mut host, Link::Any), Ok(()));
    let nowhere = join(&mut host, Link::Address(v4("10.0.9.9")));
    assert_eq!(nowhere, Err(SocketError::NoDevice));
}

#[test]
fn errors_of_memberships_are_those_of_linux() {
    let (mut alice, _) = CABLES[0].hosts();
    let socket = alice.udp("0.0.0.0:5000".parse().unwrap());
    let stream = alice
        .stack
        .socket(ip("0.0.0.0"), SocketKind::Stream)
        .unwrap();
    for (socket, group, asked, error) in [
        (socket, "10.0.0.1", Membership::Join, SocketError::Invalid),
        (
            socket,
            "ff15::1",
            Membership::Join,
            SocketError::NoProtocolOption,
        ),
        (stream, "239.1.2.3", Membership::Join, SocketError::Protocol),
        (
            socket,
            "239.1.2.3",
            Membership::Leave,
            SocketError::AddressNotAvailable,
        ),
        (
            socket,
            "239.1.2.3",
            Membership::Block(ip("10.0.0.1")),
            SocketError::Invalid,
        ),
    ] {
        assert_eq!(alice.change(socket, group, asked), Err(error));
    }
    for n in 0..20 {
        let group = format!("239.1.0.{n}");
        assert_eq!(alice.change(socket, &group, Membership::Join), Ok(()));
    }
    let one_more = alice.change(socket, "239.1.0.20", Membership::Join);
    assert_eq!(one_more, Err(SocketError::NoBuffers));
}

#[test]
fn a_host_of_ipv4_that_joins_nothing_sends_nothing() {
    let mut alice = Host::new(1, false).with_port(1, "10.0.1.10", 24, 1500);
    assert_eq!(alice.told(1_000), [""; 0]);
    assert_eq!(alice.stack.poll_at(), None);
}

#[test]
fn a_host_of_ipv6_reports_before_it_has_an_address_and_again_when_it_has_one() {
    let mut alice = Host::new(1, false).with_port(1, "fd00:1::10", 64, 1500);
    let groups = "ToExclude ff02::1:ff00:1 0, ToExclude ff02::1:ff00:10 0";
    let told = alice.told(10);
    let from = |src: &str| format!("{src} > ff02::16: {groups}");
    assert_eq!(told.first(), Some(&from("::")), "{told:?}");
    let own = from("fe80::ff:fe00:1");
    assert!(
        told.iter().filter(|text| **text == own).count() == 2,
        "{told:?}"
    );
    assert_eq!(alice.get(Counter::Icmp6OutMldv2Reports), told.len() as u64);
}
