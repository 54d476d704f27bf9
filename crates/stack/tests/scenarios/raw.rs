//! Raw sockets: packets of one protocol as they are, beside whoever else handles them.
use heptad_stack::l4_transport::raw::IcmpFilter;
use heptad_stack::stack::{Link, Membership, SocketOption};
use heptad_stack::wire::checksum;
use heptad_stack::wire::ipv4::Ipv4Header;
use heptad_stack::{DropReason, Family, SocketError, SocketId, SocketKind};

use crate::rig::*;

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// A protocol for experiments (RFC 3692).
const OURS: u8 = 253;

impl World {
    fn raw(&mut self, host: usize, family: Family, protocol: u8) -> SocketId {
        self.socket(host, family, SocketKind::Raw(protocol))
    }
    fn all(&mut self, host: usize, s: SocketId) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.recv(host, s).ok()).collect()
    }
    fn try_set(
        &mut self,
        host: usize,
        s: SocketId,
        option: SocketOption,
    ) -> Result<(), SocketError> {
        self.with(host, |stack, cx| stack.set(s, option, cx))
    }
    fn ask(
        &mut self,
        host: usize,
        s: SocketId,
        group: &str,
        asked: Membership,
    ) -> Result<(), SocketError> {
        let group = (Link::Any, ip(group));
        self.with(host, |stack, cx| {
            stack.change_membership(s, group, asked, cx)
        })
    }
}
/// An echo request of 12 bytes.
fn request() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4];
    checksum::fill(&mut message, 2, 0);
    message
}

#[test]
fn a_protocol_that_nobody_handles_crosses_between_raw_sockets() {
    for (family, to, header) in [(Family::V4, "10.0.0.2", 20), (Family::V6, "fd00:1::20", 0)] {
        let mut world = World::pair();
        for (host, address) in [(ALICE, "fd00:1::10"), (BOB, "fd00:1::20")] {
            let port = heptad_stack::PortId(1);
            let stack = &mut world.hosts[host].stack;
            stack
                .add_address(port, address.parse().unwrap(), 64)
                .unwrap();
        }
        let to = if family == Family::V4 {
            format!("{to}:0")
        } else {
            format!("[{to}]:0")
        };
        let (a, b) = (world.raw(ALICE, family, OURS), world.raw(BOB, family, OURS));
        let twin = world.raw(BOB, family, OURS);
        assert_eq!(world.send_to(ALICE, a, b"payload", &to), Ok(7));
        world.run_for(100 * MS);
        for socket in [b, twin] {
            let heard = world.all(BOB, socket);
            assert_eq!(heard.len(), 1);
            assert_eq!(heard[0].len(), header + 7);
            assert_eq!(&heard[0][header..], b"payload");
        }
        // Somebody takes it, so nobody is told that nobody does.
        world.only_drops(NOTHING);
        world.close(BOB, b);
        world.close(BOB, twin);
        world.send_to(ALICE, a, b"payload", &to).unwrap();
        world.run_for(100 * MS);
        assert_eq!(
            world.hosts[BOB].counters.drops(DropReason::UnknownProtocol),
            1
        );
    }
}

#[test]
fn what_others_handle_is_seen_as_it_came_and_they_handle_it_still() {
    let mut world = World::pair();
    let watcher = world.raw(BOB, Family::V4, UDP);
    let server = world.datagram(BOB);
    world.bind(BOB, server, "10.0.0.2:7").unwrap();
    let client = world.datagram(ALICE);
    world
        .send_to(ALICE, client, b"hello", "10.0.0.2:7")
        .unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.recv(BOB, server).unwrap(), b"hello");
    let seen = world.recv(BOB, watcher).unwrap();
    let header = Ipv4Header::parse(&seen).unwrap();
    assert_eq!(
        (header.src.to_string(), header.protocol),
        ("10.0.0.1".into(), UDP)
    );
    assert_eq!(usize::from(header.total_len), seen.len());
    assert_eq!(&seen[28..], b"hello");
    // Fragments are seen once they are whole.
    world
        .send_to(ALICE, client, &[7; 4000], "10.0.0.2:7")
        .unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.recv(BOB, watcher).unwrap().len(), 4028);
    world.only_drops(NOTHING);
}

#[test]
fn pings_are_made_and_heard_by_hand() {
    let mut world = World::pair();
    let (a, b) = (
        world.raw(ALICE, Family::V4, ICMP),
        world.raw(BOB, Family::V4, ICMP),
    );
    assert_eq!(world.send_to(ALICE, a, &request(), "10.0.0.2:0"), Ok(12));
    world.run_for(50 * MS);
    // bob's host answers by itself; his socket sees the question, hers the answer.
    let question = world.recv(BOB, b).unwrap();
    assert_eq!(&question[20..], request());
    let answer = world.recv(ALICE, a).unwrap();
    assert_eq!((answer[20], &answer[24..]), (0, &request()[4..]));
    assert_eq!(checksum::sum(&answer[20..]), 0xffff);
    // Only answers, as ping has it.
    let replies = IcmpFilter::BLOCK_ALL.passing(0);
    world.set(BOB, b, SocketOption::IcmpFilter(replies));
    world.send_to(ALICE, a, &request(), "10.0.0.2:0").unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.recv(BOB, b), Err(SocketError::WouldBlock));
    let got = world.with(BOB, |stack, _| {
        stack.get(b, SocketOption::IcmpFilter(IcmpFilter::default()))
    });
    assert_eq!(got, Ok(SocketOption::IcmpFilter(replies)));
    let allowed = [DropReason::EchoNoSocket];
    world.only_drops(&allowed);
}

#[test]
fn a_header_of_the_programs_own_leaves_as_it_is_but_for_what_linux_fills_in() {
    let mut world = World::pair();
    let (a, b) = (
        world.raw(ALICE, Family::V4, 255),
        world.raw(BOB, Family::V4, OURS),
    );
    // Of IPPROTO_RAW the header is included, said or not; length, checksum, source and number are left out.
    let mut packet = vec![
        0x45, 0x10, 0, 0, 0, 0, 0, 0, 9, OURS, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];
    packet.extend(b"data");
    world.send_to(ALICE, a, &packet, "10.0.0.2:0").unwrap();
    world.run_for(50 * MS);
    let seen = world.recv(BOB, b).unwrap();
    let header = Ipv4Header::parse(&seen).expect("its checksum holds");
    assert_eq!((header.ttl, header.tos, header.total_len), (9, 0x10, 24));
    assert_eq!(header.src.to_string(), "10.0.0.1");
    // A sender that is not ours goes out too: it is the program's word.
    packet[12..16].copy_from_slice(&[10, 0, 0, 77]);
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    let c = world.raw(ALICE, Family::V4, OURS);
    world.set(ALICE, c, SocketOption::HeaderIncluded(true));
    world.send_to(ALICE, c, &packet, "10.0.0.2:0").unwrap();
    world.run_for(50 * MS);
    let seen = world.recv(BOB, b).unwrap();
    let header = Ipv4Header::parse(&seen).unwrap();
    assert_eq!(
        (header.src.to_string(), header.id),
        ("10.0.0.77".into(), 0x1234)
    );
    // Headers that are none, and packets that the way does not carry whole.
    for bad in [&[][..], &[0x45; 10], &[0x44; 20], &[0x4f; 30]] {
        let refused = world.send_to(ALICE, a, bad, "10.0.0.2:0");
        assert_eq!(refused, Err(SocketError::Invalid), "{bad:?}");
    }
    packet.resize(1501, 0);
    let long = world.send_to(ALICE, a, &packet, "10.0.0.2:0");
    assert_eq!(long, Err(SocketError::MessageTooLong));
    world.only_drops(NOTHING);
}

#[test]
fn a_checksum_of_ipv6_is_made_and_checked_where_it_is_wanted() {
    let mut world = World::pair();
    for (host, address) in [(ALICE, "fd00:1::10"), (BOB, "fd00:1::20")] {
        let stack = &mut world.hosts[host].stack;
        stack
            .add_address(heptad_stack::PortId(1), address.parse().unwrap(), 64)
            .unwrap();
    }
    let to = "[fd00:1::20]:0";
    let (a, b) = (
        world.raw(ALICE, Family::V6, OURS),
        world.raw(BOB, Family::V6, OURS),
    );
    world.set(BOB, b, SocketOption::Checksum(Some(2)));
    // Wrong as it was sent, right where it was filled in.
    world.send_to(ALICE, a, &[1; 8], to).unwrap();
    world.set(ALICE, a, SocketOption::Checksum(Some(2)));
    world.send_to(ALICE, a, &[2; 8], to).unwrap();
    world.run_for(100 * MS);
    let heard = world.all(BOB, b);
    assert_eq!(heard.len(), 1);
    assert_eq!((&heard[0][..2], &heard[0][4..]), (&[2; 2][..], &[2; 4][..]));
    assert_eq!(world.hosts[BOB].counters.drops(DropReason::RawChecksum), 1);
    assert_eq!(
        world.send_to(ALICE, a, &[2; 3], to),
        Err(SocketError::Invalid)
    );
    // That of ICMPv6 is never the program's.
    let ping = world.raw(ALICE, Family::V6, ICMPV6);
    let answers = IcmpFilter::BLOCK_ALL.passing(129);
    world.set(ALICE, ping, SocketOption::IcmpFilter(answers));
    world
        .send_to(ALICE, ping, &[128, 0, 0, 0, 0, 7, 0, 1], to)
        .unwrap();
    world.run_for(100 * MS);
    let heard = world.all(ALICE, ping);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((heard[0][0], &heard[0][4..]), (129, &[0, 7, 0, 1][..]));
}

#[test]
fn a_raw_socket_hears_what_is_for_its_address_and_from_its_peer() {
    let mut world = World::pair();
    let stack = &mut world.hosts[BOB].stack;
    let port = heptad_stack::PortId(1);
    stack.add_address(port, ip("10.0.0.21"), 24).unwrap();
    let a = world.raw(ALICE, Family::V4, OURS);
    let (first, peer, other) = (
        world.raw(BOB, Family::V4, OURS),
        world.raw(BOB, Family::V4, OURS),
        world.raw(BOB, Family::V4, OURS),
    );
    world.bind(BOB, first, "10.0.0.2:0").unwrap();
    world.connect(BOB, peer, "10.0.0.1:0").unwrap();
    world.connect(BOB, other, "10.0.0.99:0").unwrap();
    let stranger = world.bind(BOB, a, "10.0.0.99:0");
    assert!(stranger.is_err());
    for to in ["10.0.0.2:0", "10.0.0.21:0"] {
        world.send_to(ALICE, a, b"x", to).unwrap();
    }
    world.run_for(50 * MS);
    let heard = [first, peer, other].map(|socket| world.all(BOB, socket).len());
    // connect chose the first address to speak from, and only what is for that is heard then.
    assert_eq!(heard, [1, 1, 0]);
    let named = world.with(BOB, |stack, _| {
        (stack.local_addr(first), stack.peer_addr(peer))
    });
    assert_eq!(named, (Ok(addr("10.0.0.2:253")), Ok(addr("10.0.0.1:0"))));
    // And the other way, to the peer.
    assert_eq!(world.send(BOB, peer, b"back"), Ok(4));
    assert_eq!(
        world.send(BOB, first, b"?"),
        Err(SocketError::DestinationRequired)
    );
    world.run_for(50 * MS);
    assert_eq!(world.all(ALICE, a).len(), 1);
    world
        .with(BOB, |stack, cx| stack.disconnect(other, cx))
        .unwrap();
    world.send_to(ALICE, a, b"x", "10.0.0.21:0").unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.all(BOB, other).len(), 1);
    let rows = world.hosts[BOB].stack.rows();
    let kinds: Vec<_> = rows
        .iter()
        .map(|row| (row.kind, row.local.port()))
        .collect();
    assert_eq!(kinds, [(SocketKind::Raw(OURS), 253); 3]);
}

#[test]
fn the_queue_of_a_raw_socket_is_bounded_and_so_is_what_it_sends() {
    let mut world = World::pair();
    let (a, b) = (
        world.raw(ALICE, Family::V4, OURS),
        world.raw(BOB, Family::V4, OURS),
    );
    world.set(BOB, b, SocketOption::ReceiveBuffer(8192));
    for _ in 0..100 {
        world.send_to(ALICE, a, &[0; 1000], "10.0.0.2:0").unwrap();
        world.run_for(MS);
    }
    world.run_for(50 * MS);
    let full = world.hosts[BOB].counters.drops(DropReason::RawBufferFull);
    let heard = world.all(BOB, b).len() as u64;
    assert_eq!(heard + full, 100);
    assert!((14..20).contains(&heard), "{heard}");
    let sent = (0..2000).map(|_| {
        world.with(ALICE, |stack, cx| {
            stack.send_to(a, &[0; 100], "10.0.0.2:0".parse().unwrap(), cx)
        })
    });
    let refused = sent
        .filter(|sent| *sent == Err(SocketError::NoBuffers))
        .count();
    assert_eq!(refused, 1000);
}

#[test]
fn options_of_raw_sockets_are_theirs_alone() {
    let mut world = World::pair();
    let none = Err(SocketError::NoProtocolOption);
    let header = SocketOption::HeaderIncluded(true);
    let filter = SocketOption::IcmpFilter(IcmpFilter::BLOCK_ALL);
    let checksum = SocketOption::Checksum(Some(2));
    // Kind, family; what becomes of each option.
    let rows = [
        (SocketKind::Datagram, Family::V4, [none, none, none]),
        (SocketKind::Stream, Family::V6, [none, none, none]),
        (SocketKind::Raw(OURS), Family::V4, [Ok(()), none, none]),
        (SocketKind::Raw(ICMP), Family::V4, [Ok(()), Ok(()), none]),
        (SocketKind::Raw(OURS), Family::V6, [none, none, Ok(())]),
        (SocketKind::Raw(ICMPV6), Family::V6, [none, Ok(()), none]),
    ];
    for (kind, family, expected) in rows {
        let socket = world.socket(ALICE, family, kind);
        let done = [header, filter, checksum].map(|option| world.try_set(ALICE, socket, option));
        assert_eq!(done, expected, "{kind:?} {family:?}");
        let nothing = world.listen(ALICE, socket, 1);
        assert_eq!(nothing.is_ok(), kind == SocketKind::Stream);
    }
    let socket = world.raw(ALICE, Family::V6, OURS);
    let odd = world.try_set(ALICE, socket, SocketOption::Checksum(Some(3)));
    assert_eq!(odd, Err(SocketError::Invalid));
    let mapped = world.send_to(ALICE, socket, b"x", "[::ffff:10.0.0.2]:0");
    assert_eq!(mapped, Err(SocketError::NetworkUnreachable));
}

#[test]
fn a_raw_socket_hears_the_groups_and_sources_that_it_joined() {
    let mut world = World::pair();
    let group = "224.0.1.5";
    let a = world.raw(ALICE, Family::V4, OURS);
    let sockets: [SocketId; 3] = core::array::from_fn(|_| world.raw(BOB, Family::V4, OURS));
    let [member, picky, stranger] = sockets;
    let asked = [
        (member, Membership::Join),
        (picky, Membership::JoinSource(ip("10.0.0.99"))),
    ];
    for (socket, asked) in asked {
        world.ask(BOB, socket, group, asked).unwrap();
    }
    world.set(BOB, stranger, SocketOption::MulticastAll(false));
    let say = |world: &mut World| {
        world.send_to(ALICE, a, b"x", "224.0.1.5:0").unwrap();
        world.run_for(50 * MS);
        sockets.map(|socket| world.all(BOB, socket).len())
    };
    assert_eq!(say(&mut world), [1, 0, 0]);
    world.set(BOB, stranger, SocketOption::MulticastAll(true));
    assert_eq!(say(&mut world), [1, 0, 1], "as a member of the host hears");
    // The last member goes, and with it the host's interest.
    world.close(BOB, picky);
    world.ask(BOB, member, group, Membership::Leave).unwrap();
    assert_eq!(say(&mut world), [0, 0, 0]);
}
