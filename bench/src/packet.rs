//! What the operations of a packet buffer cost, nanoseconds each.
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use heptad_stack::wire::ipv4::Ipv4Header;
use heptad_stack::wire::ipv6::Ipv6Header;
use heptad_stack::wire::packet::{Cut, Merging};
use heptad_stack::wire::tcp::{Flags, TcpHeader, TcpOptions};
use heptad_stack::wire::{
    Chunk, EtherType, EthernetHeader, MacAddr, PacketBuf, Pool, Sum, checksum, ipv4,
};

use crate::meter::Stopwatch;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// Payload of a frame and frames of a super-segment.
const SEGMENT: usize = 1460;
const FRAMES: usize = 44;

/// What carries TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Ipv4,
    Ipv6,
}

fn each(count: u64, mut work: impl FnMut()) -> f64 {
    let watch = Stopwatch::start();
    for _ in 0..count {
        work();
    }
    watch.seconds() * 1e9 / count as f64
}

/// Taking an empty packet from the pool and giving it back.
pub fn new(count: u64) -> Result<f64> {
    let mut pool = Pool::new(1);
    Ok(each(count, || {
        let packet = black_box(pool.packet());
        pool.recycle(packet);
    }))
}

/// Pushing three headers of 20, 20 and 14 bytes and pulling them again.
pub fn push_pull(count: u64) -> Result<f64> {
    let mut packet = Pool::new(1).packet();
    let mut sound = true;
    let ns = each(count, || {
        for n in [20, 20, 14] {
            black_box(packet.push(black_box(n)));
        }
        for n in [14, 20, 20] {
            sound &= black_box(packet.pull(black_box(n))).is_ok();
        }
    });
    ensure!(sound && packet.is_empty(), "a header did not come back");
    Ok(ns)
}

/// A second packet with the same payload.
pub fn duplicate(count: u64) -> Result<f64> {
    let packet = segment(Over::Ipv4, &mut Pool::new(1), SEGMENT);
    Ok(each(count, || {
        black_box(packet.duplicate());
    }))
}

/// Filling the TCP checksum of a frame of 1514 bytes.
pub fn fill(count: u64) -> Result<f64> {
    let mut packet = segment(Over::Ipv4, &mut Pool::new(1), SEGMENT);
    let to_fill = packet.sum();
    let ns = each(count, || {
        packet.set_sum(black_box(to_fill));
        packet.fill();
    });
    ensure!(packet.sum() == Sum::Verified, "not filled");
    Ok(ns)
}

/// The same work by smoltcp.
pub fn fill_by_peer(count: u64) -> Result<f64> {
    use smoltcp::wire::{IpAddress, TcpPacket};
    let mut bytes = Vec::new();
    segment(Over::Ipv4, &mut Pool::new(1), SEGMENT).write_to(&mut bytes);
    let (src, dst) = (IpAddress::Ipv4(CLIENT), IpAddress::Ipv4(SERVER));
    let mut packet = TcpPacket::new_checked(&mut bytes[34..])?;
    let ns = each(count, || packet.fill_checksum(&black_box(src), &dst));
    ensure!(packet.verify_checksum(&src, &dst), "not filled");
    Ok(ns)
}

/// Cutting a super-segment of 44 frames: a frame's share.
pub fn cut(over: Over, count: u64) -> Result<f64> {
    let mut pool = Pool::new(1);
    let packet = segment(over, &mut pool, FRAMES * SEGMENT);
    let mut frames = 0;
    let ns = each(count.div_ceil(FRAMES as u64), || {
        for frame in packet.duplicate().cut(&mut pool) {
            frames += 1;
            pool.recycle(black_box(frame));
        }
    });
    ensure!(frames % FRAMES == 0, "{frames} frames");
    Ok(ns / FRAMES as f64)
}

/// Verifying the checksums of 44 frames and merging them into one: a frame's share.
pub fn merge(over: Over, count: u64) -> Result<f64> {
    let mut pool = Pool::new(1);
    let mut frames: Vec<PacketBuf> = segment(over, &mut pool, FRAMES * SEGMENT)
        .cut(&mut pool)
        .collect();
    for frame in &mut frames {
        frame.fill();
        frame.set_sum(Sum::Unverified);
    }
    let mut merged = true;
    let ns = each(count.div_ceil(FRAMES as u64), || {
        let mut copies = frames.iter().map(PacketBuf::duplicate);
        let mut whole = copies.next().expect("a super-segment is cut into frames");
        let mut merging = Merging::default();
        for frame in copies {
            match merging.add(&mut whole, frame) {
                Ok(emptied) => pool.recycle(emptied),
                Err(_) => merged = false,
            }
        }
        merging.finish(&mut whole);
        merged &= whole.frames() as usize == FRAMES;
        pool.recycle(black_box(whole));
    });
    ensure!(merged, "frames of one segment were not merged");
    Ok(ns / FRAMES as f64)
}

/// A TCP segment in an Ethernet frame, cut later if it is longer than a frame; `ToFill`.
fn segment(over: Over, pool: &mut Pool, len: usize) -> PacketBuf {
    let mut packet = pool.packet();
    packet.append(Chunk::copy_from(&vec![0xa5; len]));
    push_tcp(over, &mut packet);
    let l4 = packet.head_start();
    packet.set_sum(Sum::ToFill {
        start: l4,
        offset: l4 + 16,
    });
    let ethertype = push_ip(over, &mut packet);
    if len > SEGMENT {
        packet.set_cut(Some(Cut {
            segment: SEGMENT as u16,
            l3: packet.head_start(),
            l4,
        }));
    }
    let ethernet = EthernetHeader {
        dst: MacAddr([2, 0, 0, 0, 0, 2]),
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        ethertype,
    };
    ethernet.emit(packet.push(14));
    packet
}

fn push_tcp(over: Over, packet: &mut PacketBuf) {
    let (src, dst) = match over {
        Over::Ipv4 => (CLIENT.into(), SERVER.into()),
        Over::Ipv6 => (CLIENT_V6.into(), SERVER_V6.into()),
    };
    let len = (packet.len() + 20) as u32;
    let tcp = TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: 1,
        ack: 1,
        reserved: 0,
        flags: Flags::ACK,
        window: 1000,
        checksum: checksum::pseudo_header(src, dst, ipv4::protocol::TCP, len),
        urgent: 0,
        options: TcpOptions::NONE,
    };
    tcp.emit(packet.push(tcp.len()));
}

fn push_ip(over: Over, packet: &mut PacketBuf) -> EtherType {
    if over == Over::Ipv6 {
        let ip = Ipv6Header {
            flow_label: 1,
            ..Ipv6Header::plain((CLIENT_V6, SERVER_V6), ipv4::protocol::TCP, packet.len())
        };
        ip.emit(packet.push(40));
        return EtherType::IPV6;
    }
    let ip = Ipv4Header {
        id: 1,
        ..Ipv4Header::plain((CLIENT, SERVER), ipv4::protocol::TCP, packet.len())
    };
    ip.emit(packet.push(ip.len()));
    EtherType::IPV4
}
