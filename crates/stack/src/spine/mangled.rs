//! A whole conversation whose frames come in odd but lawful dress, and one whose frames are broken on the way.
use std::vec::Vec;

use bytes::Bytes;
use heptad_wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_wire::{EtherType, EthernetHeader, VlanTag, checksum};
use proptest::prelude::*;

use super::hosts::*;
use crate::{Counter, DropReason, SocketError, SocketId, SocketKind};

const IP: usize = 14;

/// What is done to each frame on its way.
type Dress<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

fn bytes_of(frame: &heptad_wire::PacketBuf) -> Vec<u8> {
    let mut out = Vec::new();
    frame.write_to(&mut out);
    out
}
/// Rubbish behind the packet, as a cable pads short frames.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    let len = frame.len().max(56) + 8;
    frame.resize(len, 0xaa);
    frame
}
/// A tag that says nothing but a priority.
fn tagged(frame: Vec<u8>) -> Vec<u8> {
    let mut header = EthernetHeader::parse(&frame).unwrap();
    let tag = VlanTag {
        priority: 7,
        drop_eligible: true,
        id: 0,
        ethertype: header.ethertype,
    };
    header.ethertype = EtherType::VLAN;
    let mut out = std::vec![0; 18];
    header.emit(&mut out);
    tag.emit(&mut out[14..]);
    out.extend_from_slice(&frame[IP..]);
    out
}
/// IPv4 options that a host ignores: a router alert, one that nobody knows, and padding.
fn with_options(frame: Vec<u8>) -> Vec<u8> {
    let Ok(mut header) = Ipv4Header::parse(&frame[IP..]) else {
        return frame;
    };
    let options = [148, 4, 0, 0, 30, 6, 1, 2, 3, 4, 1, 0];
    header.options = Options::new(&options).unwrap();
    header.total_len += options.len() as u16;
    let mut out = frame[..IP].to_vec();
    out.resize(IP + header.len(), 0);
    header.emit(&mut out[IP..]);
    out.extend_from_slice(&frame[IP + 20..]);
    out
}

/// Alice and Bob, a listener of Bob's, Alice on her way to it.
fn calling() -> (Host, Host, SocketId, SocketId) {
    let (mut alice, mut bob) = alice_and_bob();
    let listener = bob.cx(|stack, cx| {
        let listener = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
        stack
            .bind(listener, "0.0.0.0:80".parse().unwrap(), cx)
            .unwrap();
        stack.listen(listener, 5, cx).unwrap();
        listener
    });
    let client = alice.cx(|stack, cx| {
        let client = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
        let begun = stack.connect(client, "10.0.1.20:80".parse().unwrap(), cx);
        assert_eq!(begun, Err(SocketError::InProgress));
        client
    });
    (alice, bob, client, listener)
}
/// Carries frames both ways in this dress until both are silent.
fn carry(alice: &mut Host, bob: &mut Host, dress: Dress<'_>) {
    loop {
        let (to_bob, to_alice) = (alice.drain(ETH0), bob.drain(ETH0));
        if to_bob.is_empty() && to_alice.is_empty() {
            return;
        }
        for frame in to_bob {
            assert_eq!(bob.receive_bytes(ETH0, dress(bytes_of(&frame))), Ok(()));
        }
        for frame in to_alice {
            assert_eq!(alice.receive_bytes(ETH0, dress(bytes_of(&frame))), Ok(()));
        }
    }
}
fn read(host: &mut Host, socket: SocketId) -> Vec<u8> {
    let mut out = std::vec![0; 65_536];
    let n = host.cx(|stack, cx| stack.recv(socket, &mut out, cx));
    out.truncate(n.unwrap_or(0));
    out
}

#[test]
fn padding_priority_tags_and_ip_options_change_no_byte_of_a_stream() {
    let plain = |frame| frame;
    let all = |frame| padded(tagged(with_options(frame)));
    let dresses: [(&str, Dress<'_>); 5] = [
        ("plain", &plain),
        ("padded", &padded),
        ("tagged", &tagged),
        ("with options", &with_options),
        ("all of it", &all),
    ];
    for (what, dress) in dresses {
        let (mut alice, mut bob, client, listener) = calling();
        carry(&mut alice, &mut bob, dress);
        let (server, _) = bob.cx(|stack, cx| stack.accept(listener, cx)).unwrap();
        let (mut heard, mut answered) = (Vec::new(), Vec::new());
        for len in [1, 5, 3000, 2] {
            let (question, answer) = (pattern(len), pattern(len + 1));
            alice
                .cx(|stack, cx| stack.send(client, &question, cx))
                .unwrap();
            carry(&mut alice, &mut bob, dress);
            heard.extend(read(&mut bob, server));
            bob.cx(|stack, cx| stack.send(server, &answer, cx)).unwrap();
            carry(&mut alice, &mut bob, dress);
            answered.extend(read(&mut alice, client));
        }
        let joined = |more: usize| -> Vec<u8> {
            [1, 5, 3000, 2]
                .iter()
                .flat_map(|len| pattern(len + more))
                .collect()
        };
        assert_eq!((heard, answered), (joined(0), joined(1)), "{what}");
        assert_eq!(
            (alice.drops(), bob.drops()),
            (Vec::new(), Vec::new()),
            "{what}"
        );
        assert_eq!(alice.get(Counter::TcpRetransSegs), 0, "{what}");
    }
}

#[test]
fn a_broadcast_ping_is_ignored_and_one_with_an_error_inside_is_not_answered() {
    let (_, mut bob) = alice_and_bob();
    for dst in ["10.0.1.255", "255.255.255.255", "224.0.0.1"] {
        let request = echo_request(8);
        let packet = header("10.0.1.10", dst, protocol::ICMP, request.len());
        let frame = frame_to(heptad_wire::MacAddr::BROADCAST, &packet, &request);
        assert_eq!(
            bob.receive_bytes(ETH0, frame),
            Err(DropReason::IcmpIgnored),
            "{dst}"
        );
    }
    // "Port unreachable" about our own "port unreachable": no socket sent that, and nobody is told.
    let mut inner = std::vec![0; 20];
    header("10.0.1.20", "10.0.1.10", protocol::ICMP, 36).emit(&mut inner);
    inner.extend([3, 3, 0, 0, 0, 0, 0, 0]);
    let mut message = std::vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend(inner);
    checksum::fill(&mut message, 2, 0);
    let packet = header("10.0.1.10", "10.0.1.20", protocol::ICMP, message.len());
    assert_eq!(
        bob.receive_bytes(ETH0, frame_to(mac_of(2), &packet, &message)),
        Err(DropReason::IcmpNoFlow)
    );
    assert_eq!(bob.drain(ETH0).len(), 0);
    assert_eq!(bob.get(Counter::IcmpOutMsgs), 0);
}

#[test]
fn whoever_claims_our_address_is_no_neighbour_and_we_go_on_answering() {
    use heptad_wire::MacAddr;
    use heptad_wire::arp::{ArpPacket, Operation};
    let (_, mut bob) = alice_and_bob();
    let mut say = |operation, sender: &str, target: &str| {
        let mut out = std::vec![0; 42];
        let ethernet = EthernetHeader {
            dst: MacAddr::BROADCAST,
            src: mac_of(66),
            ethertype: EtherType::ARP,
        };
        ethernet.emit(&mut out);
        let claim = ArpPacket {
            operation,
            sender_mac: mac_of(66),
            sender_ip: v4(sender),
            target_mac: MacAddr::default(),
            target_ip: v4(target),
        };
        claim.emit(&mut out[14..]);
        let verdict = match sender {
            "10.0.1.20" => Err(DropReason::ArpConflict),
            _ => Ok(()),
        };
        assert_eq!(bob.receive_bytes(ETH0, out), verdict);
        (bob.drain(ETH0).len(), bob.stack.neighbours().len())
    };
    let ours = "10.0.1.20";
    assert_eq!(
        say(Operation::Request, ours, ours),
        (1, 0),
        "a claim is answered"
    );
    assert_eq!(say(Operation::Reply, ours, ours), (0, 0));
    assert_eq!(
        say(Operation::Request, "0.0.0.0", ours),
        (1, 0),
        "a probe (RFC 5227)"
    );
    assert_eq!(say(Operation::Request, "10.0.1.10", "10.0.1.30"), (0, 0));
    assert_eq!(say(Operation::Request, "10.0.1.10", ours), (1, 1));
}

#[test]
fn when_every_port_to_one_place_is_taken_a_connect_says_so_and_goes_on_once_one_is_free() {
    let (mut alice, _) = alice_and_bob();
    let to = "10.0.1.20:80".parse().unwrap();
    let call = |alice: &mut Host| {
        alice.cx(|stack, cx| {
            let socket = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
            (socket, stack.connect(socket, to, cx))
        })
    };
    let mut last = None;
    for n in 0..28_232 {
        let (socket, begun) = call(&mut alice);
        assert_eq!(begun, Err(SocketError::InProgress), "{n}");
        last = Some(socket);
    }
    let (refused, begun) = call(&mut alice);
    assert_eq!(begun, Err(SocketError::AddressNotAvailable));
    alice.cx(|stack, cx| stack.close(last.unwrap(), cx));
    let again = alice.cx(|stack, cx| stack.connect(refused, to, cx));
    assert_eq!(again, Err(SocketError::InProgress));
    // All of them ask for one neighbour: what waits for him is bounded.
    alice.drain(ETH0);
    let waiting = 28_232 - alice.counters.drops(DropReason::NeighbourQueueFull);
    assert!(waiting <= 101, "{waiting}");
}

/// How a frame is broken on the way.
#[derive(Clone, Debug)]
struct Damage {
    set: Vec<(prop::sample::Index, u8)>,
    len: Option<prop::sample::Index>,
    /// Make the checksums of IPv4 and TCP hold again.
    mend: bool,
    copies: usize,
}
fn damage() -> impl Strategy<Value = Damage> {
    let set = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let len = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (set, len, prop::bool::weighted(0.8), 0usize..3).prop_map(|(set, len, mend, copies)| Damage {
        set,
        len,
        mend,
        copies,
    })
}
impl Damage {
    fn apply(&self, mut frame: Vec<u8>) -> Vec<u8> {
        // Most of it to what is interesting: the headers.
        let reach = frame.len().min(80);
        for (at, to) in &self.set {
            frame[at.index(reach)] = *to;
        }
        if let Some(len) = self.len {
            frame.truncate(len.index(frame.len()));
        }
        if self.mend {
            mend(&mut frame);
        }
        frame
    }
}
/// Corrects the checksums of a frame as far as its lengths allow.
fn mend(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(IP..).filter(|p| p.len() >= 40) else {
        return;
    };
    let header_len = usize::from(packet[0] & 15) * 4;
    if header_len < 20 || header_len + 20 > packet.len() {
        return;
    }
    packet[10..12].fill(0);
    let sum = !checksum::sum(&packet[..header_len]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]])).min(packet.len());
    let address = |at: usize| v4_at(packet, at);
    let (src, dst) = (address(12), address(16));
    let Some(segment) = packet.get_mut(header_len..total).filter(|s| s.len() >= 20) else {
        return;
    };
    let pseudo = checksum::pseudo_header(src, dst, protocol::TCP, segment.len() as u32);
    checksum::fill(segment, 16, pseudo);
}
fn v4_at(packet: &[u8], at: usize) -> core::net::IpAddr {
    let bytes: [u8; 4] = packet[at..at + 4].try_into().unwrap();
    core::net::Ipv4Addr::from(bytes).into()
}

proptest! {
    #[test]
    fn broken_frames_of_a_conversation_never_panic_and_leave_no_host_stuck(
        damages in prop::collection::vec(damage(), 1..60),
        together in any::<bool>(),
        sends in prop::collection::vec(0usize..4000, 1..6),
    ) {
        let (mut alice, mut bob, client, listener) = calling();
        carry(&mut alice, &mut bob, &|frame| frame);
        let (server, _) = bob.cx(|stack, cx| stack.accept(listener, cx)).unwrap();
        let mut damages = damages.iter().cycle();
        let mut sends = sends.iter();
        for round in 0..12 {
            if let Some(len) = sends.next() {
                let _ = alice.cx(|stack, cx| stack.send(client, &pattern(*len), cx));
                let _ = bob.cx(|stack, cx| stack.send(server, &pattern(len / 2), cx));
            } else if round == 8 {
                alice.cx(|stack, cx| stack.close(client, cx));
            }
            let (to_bob, to_alice) = (alice.drain(ETH0), bob.drain(ETH0));
            for (host, frames) in [(&mut bob, to_bob), (&mut alice, to_alice)] {
                let mut batch = Vec::new();
                for frame in frames {
                    let good = bytes_of(&frame);
                    let damage = damages.next().unwrap();
                    batch.extend((0..damage.copies).map(|_| damage.apply(good.clone())));
                    if damage.copies != 1 {
                        batch.push(good);
                    }
                }
                let count = batch.len();
                let mut frames: Vec<_> = batch
                    .into_iter()
                    .map(|bytes| host.pool.from_bytes(Bytes::from(bytes)))
                    .collect();
                let mut verdicts = Vec::new();
                if together {
                    host.cx(|stack, cx| stack.receive_batch(ETH0, &mut frames, &mut verdicts, cx));
                } else {
                    verdicts.extend(frames.into_iter().map(|frame| host.receive(ETH0, frame)));
                }
                prop_assert_eq!(verdicts.len(), count);
            }
            read(&mut bob, server);
            read(&mut alice, client);
            let next = [&alice, &bob].map(|host| host.stack.poll_at());
            if let Some(at) = next.into_iter().flatten().min() {
                let at = at.max(alice.now);
                alice.advance(at);
                bob.advance(at);
            }
        }
        // Left alone, both come to rest: nothing is due again and again.
        for host in [&mut alice, &mut bob] {
            let mut events = 0;
            while let Some(at) = host.stack.poll_at() {
                host.drain(ETH0);
                host.advance(at.max(host.now));
                events += 1;
                prop_assert!(events < 2000, "still busy at {:?}", host.now);
            }
        }
    }
}
