//! One host without any I/O: frames go in as bytes and come out as bytes, and time is a number that you give it.
//!
//! This is how a stack is embedded in a VPN, a microVM or a test: bring frames to [`Stack::receive`], take frames from
//! [`Stack::poll_transmit`], call [`Stack::on_timeout`] at [`Stack::poll_at`].
//!
//! `cargo run -p heptad --example by_hand`
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use heptad::stack::{
    Caps, Counters, Cx, DropReason, EventLog, EventMask, Family, Medium, PortConfig, PortId, Rng,
    SocketError, SocketId, SocketKind, StackConfig,
};
use heptad::wire::arp::{self, ArpPacket, Operation};
use heptad::wire::ethernet;
use heptad::wire::icmpv4::{self, Icmpv4};
use heptad::wire::ipv4::{Ipv4Header, protocol};
use heptad::wire::udp::{self, UdpHeader};
use heptad::wire::{EtherType, EthernetHeader, MacAddr, Pool, checksum};
use heptad::{Instant, Stack};

const OURS: (MacAddr, Ipv4Addr) = (MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
const PEER: (MacAddr, Ipv4Addr) = (MacAddr([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 0, 0, 2));

fn main() -> Result<(), SocketError> {
    let mut host = Host::new()?;
    let question = "안녕".as_bytes();
    let frames = [
        ("who has 10.0.0.1?", arp_request()),
        ("echo request", echo_request(b"ping")),
        ("a datagram to port 7", datagram(7, question)),
        ("a datagram to port 9", datagram(9, question)),
        ("half a header", arp_request()[..20].to_vec()),
    ];
    for (what, frame) in frames {
        println!("in   {:>3} bytes  {what}", frame.len());
        if let Err(reason) = host.receive(&frame) {
            println!("     dropped: {reason:?}");
        }
        host.serve()?;
        for answer in host.transmit() {
            println!("out  {:>3} bytes", answer.len());
            for line in answer.chunks(16) {
                println!("     {}", hex(line));
            }
        }
    }
    println!("next timeout: {:?}", host.stack.poll_at());
    Ok(())
}

/// A stack with one Ethernet port, a UDP socket on port 7, and what it borrows for each call.
struct Host {
    stack: Stack,
    port: PortId,
    socket: SocketId,
    now: Instant,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
}

impl Host {
    fn new() -> Result<Self, SocketError> {
        let mut rng = Rng::from_seed([42; 32]);
        let mut pool = Pool::new(1);
        let mut events = EventLog::new(EventMask::NONE);
        let mut counters = Counters::default();
        let mut cx = Cx {
            now: Instant::ZERO,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        };
        let mut stack = Stack::new(StackConfig::default(), &mut cx);
        let port = stack.add_port(PortConfig {
            name: "eth0".into(),
            medium: Medium::Ethernet(OURS.0),
            mtu: 1_500,
            // Checksums are ours to fill: what comes out is bytes.
            caps: Caps {
                super_segments: false,
                unfilled_sums: false,
            },
            queue_limit: 1_000,
        });
        stack.add_address(port, OURS.1.into(), 24)?;
        let socket = stack.socket(Family::V4, SocketKind::Datagram)?;
        stack.bind(socket, SocketAddr::new(OURS.1.into(), 7), &mut cx)?;
        Ok(Self {
            stack,
            port,
            socket,
            now: Instant::ZERO,
            rng,
            pool,
            events,
            counters,
        })
    }

    /// One call of the stack with what it borrows.
    fn with<R>(&mut self, call: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        call(&mut self.stack, &mut cx)
    }

    /// A frame from the cable, a millisecond after the one before.
    fn receive(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        self.now += Duration::from_millis(1);
        let frame = self.pool.from_bytes(frame.to_vec().into());
        let port = self.port;
        self.with(|stack, cx| stack.receive(port, frame, cx))
    }

    /// Sends each datagram back to where it came from.
    fn serve(&mut self) -> Result<(), SocketError> {
        let socket = self.socket;
        while let Some((ready, _)) = self.stack.poll_ready() {
            assert_eq!(ready, socket, "there is no other");
            let mut buffer = [0; 1_500];
            match self.with(|stack, cx| stack.recv_from(socket, &mut buffer, cx)) {
                Ok((len, _, from)) => {
                    self.with(|stack, cx| stack.send_to(socket, &buffer[..len], from, cx))?;
                }
                Err(SocketError::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is due, and all frames that want to leave.
    fn transmit(&mut self) -> Vec<Vec<u8>> {
        let port = self.port;
        if self.stack.poll_at().is_some_and(|at| at <= self.now) {
            self.with(|stack, cx| stack.on_timeout(cx));
        }
        let mut frames = Vec::new();
        while let Some(frame) = self.with(|stack, cx| stack.poll_transmit(port, cx)) {
            let mut bytes = Vec::new();
            frame.write_to(&mut bytes);
            frames.push(bytes);
            self.pool.recycle(frame);
        }
        frames
    }
}

fn ethernet(dst: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    let header = EthernetHeader {
        dst,
        src: PEER.0,
        ethertype,
    };
    header.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// RFC 826: who has our address?
fn arp_request() -> Vec<u8> {
    let mut packet = [0; arp::LEN];
    let request = ArpPacket {
        operation: Operation::Request,
        sender_mac: PEER.0,
        sender_ip: PEER.1,
        target_mac: MacAddr([0; 6]),
        target_ip: OURS.1,
    };
    request.emit(&mut packet);
    ethernet(MacAddr([0xff; 6]), EtherType::ARP, &packet)
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Header::plain((PEER.1, OURS.1), protocol, payload.len());
    let mut packet = header.to_bytes();
    packet.extend_from_slice(payload);
    ethernet(OURS.0, EtherType::IPV4, &packet)
}

/// RFC 792: a ping.
fn echo_request(data: &[u8]) -> Vec<u8> {
    let echo = Icmpv4::EchoRequest { id: 7, seq: 1 };
    let mut message = vec![0; icmpv4::HEADER_LEN];
    echo.emit(0, &mut message);
    message.extend_from_slice(data);
    let sum = !checksum::sum(&message);
    echo.emit(sum, &mut message);
    ipv4(protocol::ICMP, &message)
}

/// RFC 768: from port 5000, without a checksum.
fn datagram(dst_port: u16, data: &[u8]) -> Vec<u8> {
    let header = UdpHeader {
        src_port: 5_000,
        dst_port,
        len: (udp::HEADER_LEN + data.len()) as u16,
        checksum: 0,
    };
    let mut message = vec![0; udp::HEADER_LEN];
    header.emit(&mut message);
    message.extend_from_slice(data);
    ipv4(protocol::UDP, &message)
}

fn hex(bytes: &[u8]) -> String {
    let octets: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    octets.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use heptad::wire::ipv4;

    fn answers(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut host = Host::new().unwrap();
        let mut answers = Vec::new();
        for frame in frames {
            host.receive(frame).unwrap();
            host.serve().unwrap();
            answers.extend(host.transmit());
        }
        answers
    }

    #[test]
    fn an_arp_request_is_answered_with_our_address() {
        let [reply] = <[_; 1]>::try_from(answers(&[arp_request()])).unwrap();
        let reply = ArpPacket::parse(&reply[ethernet::HEADER_LEN..]).unwrap();
        assert_eq!(reply.operation, Operation::Reply);
        assert_eq!((reply.sender_mac, reply.sender_ip), OURS);
        assert_eq!((reply.target_mac, reply.target_ip), PEER);
    }

    #[test]
    fn an_echo_request_comes_back_with_its_data() {
        let [_, reply] =
            <[_; 2]>::try_from(answers(&[arp_request(), echo_request(b"ping")])).unwrap();
        let message = &reply[ethernet::HEADER_LEN + ipv4::MIN_HEADER_LEN..];
        assert_eq!(checksum::sum(message), 0xffff);
        let header = Icmpv4::parse(message).unwrap();
        assert_eq!(header, Icmpv4::EchoReply { id: 7, seq: 1 });
        assert_eq!(&message[icmpv4::HEADER_LEN..], b"ping");
    }

    #[test]
    fn a_datagram_comes_back_from_the_port_that_it_went_to() {
        let text = "안녕".as_bytes();
        let [_, reply] = <[_; 2]>::try_from(answers(&[arp_request(), datagram(7, text)])).unwrap();
        let ip = Ipv4Header::parse(&reply[ethernet::HEADER_LEN..]).unwrap();
        assert_eq!((ip.src, ip.dst), (OURS.1, PEER.1));
        let message = &reply[ethernet::HEADER_LEN + ipv4::MIN_HEADER_LEN..];
        let header = UdpHeader::parse(message).unwrap();
        assert_eq!((header.src_port, header.dst_port), (7, 5_000));
        assert_eq!(&message[udp::HEADER_LEN..], text);
    }

    #[test]
    fn what_is_no_frame_is_dropped_with_a_reason() {
        let mut host = Host::new().unwrap();
        let cut = &arp_request()[..20];
        assert!(host.receive(cut).is_err());
        assert!(host.transmit().is_empty());
    }
}
