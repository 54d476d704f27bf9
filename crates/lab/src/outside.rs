//! Machines outside of the lab, behind an interface of the kernel: where a real cable ends.
//!
//! ```text
//!   the kernel's frame ─▶ inject ─▶ [Ethernet, for a TUN] ─▶ cable
//!   cable ─▶ [ARP answered, Ethernet off, for a TUN] ─▶ bounded queue ─▶ poll_outside ─▶ the kernel
//! ```
//!
//! A TUN has no link layer, the lab's cables have. So its end of the cable is one station with an address of its own. It answers
//! ARP for every address that no station on its cable has, as a proxy (RFC 1027), and it knows the stations and their
//! addresses from the topology: what the kernel sends goes to the station of that address, else to the first router
//! on the cable.
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, VecDeque};

use heptad_stack::wire::arp::{self, ArpPacket, Operation};
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_stack::wire::{EtherType, MacAddr, PacketBuf, PacketId, Pool, ipv4};
use heptad_stack::{Caps, Counters, DropReason, Instant};

use crate::fabric::Arrived;
use crate::machine::{Body, Machine};
use crate::topology::NodeKind;
use crate::{Lab, MachineId};

/// Most frames, once cut, that wait for the kernel's interface: the largest windows that Linux offers, and some.
const QUEUE_BOUND: u32 = 16_384;

/// A link's end outside of the lab, for whoever opens the kernel's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealCable {
    /// The machine behind it.
    pub machine: MachineId,
    /// The interface's name.
    pub interface: String,
    /// [`NodeKind::Tap`] or [`NodeKind::Tun`].
    pub kind: NodeKind,
    /// The cable's MTU, bytes of an IP packet.
    pub mtu: u32,
}

/// The end of a real cable.
pub(crate) struct Outside {
    pub counters: Counters,
    pool: Pool,
    queue: VecDeque<PacketBuf>,
    /// Frames in `queue`, once cut.
    queued: u32,
    /// A TUN's.
    layer: Option<LinkLayer>,
}
impl Outside {
    /// `origin` is the machine's number.
    pub fn new(origin: u32, layer: Option<LinkLayer>) -> Self {
        Self {
            counters: Counters::default(),
            pool: Pool::new(origin),
            queue: VecDeque::new(),
            queued: 0,
            layer,
        }
    }
    /// A frame came by the cable; perhaps with an answer. `caps` is what the cable carries: one that carries frames only
    /// carries them as a wire does, filled.
    fn receive(
        &mut self,
        mut frame: PacketBuf,
        caps: Caps,
    ) -> Result<Option<PacketBuf>, DropReason> {
        if let Some(layer) = &self.layer {
            match layer.strip(&mut frame, &mut self.pool)? {
                Stripped::Packet => {}
                Stripped::Arp(answer) => return Ok(answer),
            }
        }
        let frames = frame.frames();
        if self.queued > 0 && self.queued.saturating_add(frames) > QUEUE_BOUND {
            return Err(DropReason::DeviceQueueFull);
        }
        if !caps.super_segments {
            frame.fill();
        }
        self.queued = self.queued.saturating_add(frames);
        self.queue.push_back(frame);
        Ok(None)
    }
    fn take(&mut self) -> Option<PacketBuf> {
        let frame = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.frames());
        Some(frame)
    }
}

/// What came with an Ethernet header that is off now.
enum Stripped {
    /// An IP packet.
    Packet,
    /// ARP, and the answer if it asked for us.
    Arp(Option<PacketBuf>),
}

/// A TUN's end of the cable: a station that stands for everybody outside.
pub(crate) struct LinkLayer {
    mac: MacAddr,
    stations: BTreeMap<Ipv4Addr, MacAddr>,
    router: Option<MacAddr>,
}
impl LinkLayer {
    /// A station with this address, alone on its cable.
    pub fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            stations: BTreeMap::new(),
            router: None,
        }
    }
    /// Another station on the cable, in the order of names.
    pub fn add(&mut self, mac: MacAddr, addresses: impl Iterator<Item = IpAddr>, forwards: bool) {
        for address in addresses {
            if let IpAddr::V4(address) = address {
                self.stations.insert(address, mac);
            }
        }
        if forwards && self.router.is_none() {
            self.router = Some(mac);
        }
    }
    /// Takes the Ethernet header off.
    fn strip(&self, frame: &mut PacketBuf, pool: &mut Pool) -> Result<Stripped, DropReason> {
        let header = frame
            .peek(HEADER_LEN)
            .and_then(EthernetHeader::parse)
            .map_err(|_| DropReason::LinkHeader)?;
        if header.dst != self.mac && !header.dst.is_multicast() {
            return Err(DropReason::OtherHost);
        }
        match header.ethertype {
            EtherType::IPV4 => {
                frame.pull(HEADER_LEN).map_err(|_| DropReason::LinkHeader)?;
                Ok(Stripped::Packet)
            }
            EtherType::ARP => {
                let bytes = frame.peek(HEADER_LEN + arp::LEN).unwrap_or_default();
                let bytes = bytes.get(HEADER_LEN..).unwrap_or_default();
                let asked = ArpPacket::parse(bytes).map_err(|_| DropReason::ArpMalformed)?;
                Ok(Stripped::Arp(self.answer(&asked, pool)))
            }
            _ => Err(DropReason::UnknownEtherType),
        }
    }
    /// A station that asks for its own address only makes sure that nobody else has it.
    fn answer(&self, asked: &ArpPacket, pool: &mut Pool) -> Option<PacketBuf> {
        let is_request = asked.operation == Operation::Request;
        let is_probe = asked.sender_ip == asked.target_ip || asked.sender_ip.is_unspecified();
        if !is_request || is_probe || self.stations.contains_key(&asked.target_ip) {
            return None;
        }
        let mut frame = pool.packet();
        let reply = ArpPacket {
            operation: Operation::Reply,
            sender_mac: self.mac,
            sender_ip: asked.target_ip,
            target_mac: asked.sender_mac,
            target_ip: asked.sender_ip,
        };
        reply.emit(frame.push(arp::LEN));
        self.push_header(&mut frame, asked.sender_mac, EtherType::ARP);
        Some(frame)
    }
    /// Puts the Ethernet header in front of an IP packet.
    fn dress(&self, packet: &mut PacketBuf) -> Result<(), DropReason> {
        let header = packet.peek(ipv4::MIN_HEADER_LEN).ok();
        let header = header.and_then(|header| header.first_chunk::<{ ipv4::MIN_HEADER_LEN }>());
        let &[first, .., a, b, c, d] = header.ok_or(DropReason::IpHeader)?;
        if first >> 4 != 4 {
            return Err(DropReason::UnknownEtherType);
        }
        let dst = Ipv4Addr::new(a, b, c, d);
        let station = if dst.is_broadcast() {
            MacAddr::BROADCAST
        } else if dst.is_multicast() {
            // RFC 1112 6.4
            let [_, b, c, d] = dst.octets();
            MacAddr([1, 0, 0x5e, b & 0x7f, c, d])
        } else {
            let known = self.stations.get(&dst).copied().or(self.router);
            known.ok_or(DropReason::NoRoute)?
        };
        self.push_header(packet, station, EtherType::IPV4);
        Ok(())
    }
    fn push_header(&self, frame: &mut PacketBuf, dst: MacAddr, ethertype: EtherType) {
        let src = self.mac;
        EthernetHeader {
            dst,
            src,
            ethertype,
        }
        .emit(frame.push(HEADER_LEN));
    }
}

impl Lab {
    /// The ends of links outside of the lab, in order of names.
    pub fn real_cables(&self) -> Vec<RealCable> {
        let all = (0..).map(MachineId).zip(&self.machines);
        let outside = all.filter(|(_, machine)| machine.kind.is_outside());
        outside
            .filter_map(|(id, machine)| {
                let port = machine.ports.first()?;
                Some(RealCable {
                    machine: id,
                    interface: port.name.clone(),
                    kind: machine.kind,
                    mtu: self.fabric.cables[port.link].mtu,
                })
            })
            .collect()
    }
    /// What the cable of a machine outside carries at present: where it cuts, the kernel is to cut as well.
    pub fn real_caps(&self, outside: MachineId) -> Caps {
        let machine = self.machines.get(outside.0 as usize);
        let port = machine.and_then(|machine| machine.ports.first());
        port.map_or(Caps::FRAMES, |port| self.fabric.cables[port.link].caps())
    }
    /// A frame of the kernel's enters the cable at `at`, or now if that is past. It gets an id of the machine outside. Panics
    /// if the machine is not outside.
    pub fn inject(&mut self, outside: MachineId, at: Instant, mut frame: PacketBuf) {
        let at = at.max(self.now);
        let (ports, end) = outside_of(&mut self.machines, outside);
        let Some(port) = ports.first() else { return };
        let id = end.pool.next_id();
        frame.set_id(id);
        let dressed = end.layer.as_ref().map(|layer| layer.dress(&mut frame));
        if let Some(Err(reason)) = dressed {
            return self.refuse(outside, id, reason);
        }
        self.fabric.transmit(at, port, frame, &mut end.pool);
    }
    /// The next frame for the kernel's interface, in the order of arrival. Panics if the machine is not outside.
    pub fn poll_outside(&mut self, outside: MachineId) -> Option<PacketBuf> {
        outside_of(&mut self.machines, outside).1.take()
    }
    /// Whether a frame waits for the kernel's interface.
    pub fn is_outside_due(&self, outside: MachineId) -> bool {
        let machine = self.machines.get(outside.0 as usize);
        machine.is_some_and(|machine| match &machine.body {
            Body::Outside(end) => !end.queue.is_empty(),
            _ => false,
        })
    }
    /// A packet goes no further at a machine outside: counted and recorded. Panics if the machine is not outside.
    pub fn refuse(&mut self, outside: MachineId, id: PacketId, reason: DropReason) {
        let (ports, end) = outside_of(&mut self.machines, outside);
        end.counters.dropped(reason);
        if self.fabric.observation.is_recording() {
            self.fabric.dropped_later(self.now, ports, id, reason);
        }
    }
    /// A frame reaches a machine outside.
    pub(crate) fn receive_outside(&mut self, id: MachineId, arrived: Arrived) {
        let now = self.now;
        let caps = self.real_caps(id);
        let (ports, end) = outside_of(&mut self.machines, id);
        let Arrived { port, frame, mark } = arrived;
        let copies = self.fabric.observation.copy(&frame);
        let taken = match mark.corrupted {
            Some(_) => Err(DropReason::FrameCheck),
            None => end.receive(frame, caps),
        };
        let verdict = taken.as_ref().map(|_| ()).map_err(|reason| *reason);
        if let Err(reason) = verdict {
            end.counters.dropped(reason);
        }
        let by = &ports[port];
        self.fabric.received(now, by, verdict, mark, copies);
        if let Ok(Some(answer)) = taken {
            self.fabric.transmit(now, by, answer, &mut end.pool);
        }
        self.rearm(id);
    }
}

fn outside_of(
    machines: &mut [Machine],
    id: MachineId,
) -> (&[crate::machine::Socketed], &mut Outside) {
    let Machine { ports, body, .. } = &mut machines[id.0 as usize];
    match body {
        Body::Outside(end) => (ports, end),
        _ => panic!("a frame of the kernel's at a machine inside of the lab"),
    }
}

#[cfg(test)]
mod tests;
