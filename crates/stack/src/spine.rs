//! A packet's whole way, up and down, layer by layer: the only file that names every layer.
//!
//! ```text
//!   receive ─▶ 1 port ─▶ 2 Ethernet ─▶ 3 IP ─▶ 4 TCP, UDP, echo ─▶ sockets
//!                            │ ARP       │ router: onward, down again
//!   cable   ◀─ 1 port ◀─ 2 neighbour ◀─ 3 route, fragments ◀─ 4 Departure
//! ```
//!
//! Each layer returns what it found out as a value ([`Up`]); `settle` is the one place that turns such a value into a
//! verdict, counts the drop and sends the answer.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use heptad_wire::ipv4::protocol;
use heptad_wire::packet::Merging;
use heptad_wire::{EtherType, MacAddr, PacketBuf, PacketId};

use crate::l1_physical::{Medium, PortId};
use crate::l2_link::arp::{self, Station};
use crate::l2_link::conflict::{Conflict, Response, Step};
use crate::l2_link::ethernet::{self, Payload};
use crate::l2_link::neighbour::{Due, Evidence, Resolution};
use crate::l3_network::ipv6::{Discovered, Learnt};
use crate::l3_network::network::Undeliverable;
use crate::l3_network::{
    Cast, Complaint, Departure, Flow, Heading, NetError, News, Outgoing, Path, Quote, Reply, Up,
    zone,
};
use crate::l4_transport::raw;
use crate::l4_transport::udp::{self, Way};
use crate::stack::Stack;
use crate::{Counter, Cx, DropReason, Event, EventMask};

/// What became of a frame.
pub(crate) type Verdict = Result<(), DropReason>;

/// A packet on its way up, once its link header is off.
struct Lifted {
    id: PacketId,
    payload: Payload,
}

// ── up ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

impl Stack {
    /// A frame's whole way up.
    pub(crate) fn ascend(&mut self, port: PortId, frame: PacketBuf, cx: &mut Cx<'_>) -> Verdict {
        let lifted = self.lift(port, frame, cx)?;
        self.climb(port, lifted, cx)
    }

    /// Layers 1 and 2: the port counts it, the link header comes off.
    fn lift(
        &mut self,
        port_id: PortId,
        frame: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<Lifted, DropReason> {
        let id = frame.id();
        let Some(port) = self.ports.get_mut(usize::from(port_id.0)) else {
            return Err(cx.discard(frame, DropReason::OtherHost));
        };
        port.receive(&frame);
        match ethernet::decapsulate(port.config().medium, frame) {
            Ok(payload) => Ok(Lifted { id, payload }),
            Err((frame, reason)) => {
                port.refuse(reason);
                Err(cx.discard(frame, reason))
            }
        }
    }

    /// Layers 3 and 4; ARP ends here.
    fn climb(&mut self, port: PortId, lifted: Lifted, cx: &mut Cx<'_>) -> Verdict {
        let Lifted { id, payload } = lifted;
        let Payload {
            ethertype,
            group,
            packet,
        } = payload;
        if self.transport.raw.is_open() || self.network.is_tapped() {
            self.network.tap(self.transport.raw.wanted());
        }
        let up = match ethertype {
            EtherType::IPV4 => self.network.receive_v4(port, packet, group, cx),
            EtherType::IPV6 => self.network.receive_v6(port, packet, group, cx),
            EtherType::ARP => return self.receive_arp(port, packet, cx),
            _ => {
                self.refuse_at(port, DropReason::UnknownEtherType);
                return Err(cx.discard(packet, DropReason::UnknownEtherType));
            }
        };
        let seen = self.show_raw(cx);
        let (arrival, quote) = match self.settle(id, up, None, cx)? {
            Some(Heading::Local(mut arrival, quote)) => {
                arrival.port = self.network.heard_by(port, arrival.dst);
                (arrival, quote)
            }
            Some(Heading::Onward(path, outgoing)) => {
                self.send_all(&path, outgoing, cx);
                return Ok(());
            }
            Some(Heading::News(news)) => {
                return self.tell(*news, cx).map_err(|reason| {
                    count_unheard(ethertype, reason, cx);
                    cx.lost(id, reason)
                });
            }
            Some(Heading::Discovered(found)) => {
                self.discovered(found, cx);
                return Ok(());
            }
            None => return Ok(()),
        };
        if seen && !self.transport.handles(arrival.dst, arrival.protocol) {
            cx.pool.recycle(arrival.packet);
            return Ok(());
        }
        let held = self.hold_stranger(id, (arrival, quote), cx);
        let (arrival, quote) = match held {
            Ok(goes_on) => goes_on,
            Err(verdict) => return verdict,
        };
        let Self {
            network, transport, ..
        } = self;
        let way_back = |by, ip| network.route_out(by, ip, None).ok();
        let up = transport.receive(arrival, &way_back, cx);
        self.settle(id, up, quote, cx).map(|_| ())
    }

    /// Raw sockets see what came beside all others; whether one wanted it.
    fn show_raw(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.network.is_tapped() {
            return false;
        }
        let copies = self.network.take_copies();
        let mut seen = false;
        for mut copy in copies {
            copy.port = self.network.heard_by(copy.port, copy.dst);
            seen |= self.transport.raw.receive(&copy, cx);
        }
        seen
    }

    /// The one place where a layer's answer becomes a verdict: a drop is counted once, a reply is sent.
    fn settle<T>(
        &mut self,
        id: PacketId,
        up: Up<T>,
        quote: Option<Box<Quote>>,
        cx: &mut Cx<'_>,
    ) -> Result<Option<T>, DropReason> {
        let (verdict, reply) = match up {
            Up::Next(found) => return Ok(Some(found)),
            Up::Done => (Ok(None), None),
            Up::Reply(reply) => (Ok(None), Some(reply)),
            Up::Drop(reason, reply) => (Err(cx.lost(id, reason)), reply),
        };
        if let Some(reply) = reply {
            self.answer(reply, quote, cx);
        }
        verdict
    }

    fn answer(&mut self, reply: Reply, quote: Option<Box<Quote>>, cx: &mut Cx<'_>) {
        let complaint = match reply {
            Reply::Transport(departure) => return self.transmit(departure, cx),
            Reply::PortUnreachable => Complaint::Port,
            Reply::ProtocolUnreachable => Complaint::Protocol,
        };
        let error = quote.and_then(|quote| self.network.complain(&quote, complaint, cx));
        if let Some(departure) = error {
            self.transmit(departure, cx);
        }
    }

    /// Tells a sender that nobody has the port to which it sent a datagram: one that layer 4 had taken already.
    pub(crate) fn complain_of_port(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        way: &Way,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) {
        cx.count(Counter::UdpNoPorts);
        let Some(bytes) = udp::rebuilt(from.port(), to.port(), data) else {
            return;
        };
        let ends = (from.ip(), to.ip());
        let port = match self.network.is_local(from.ip()) {
            true => PortId::LOOPBACK,
            false => way.port,
        };
        let carried = (protocol::UDP, bytes.as_slice());
        let quote = Quote::rebuilt(ends, (way.hops, way.class), carried, port);
        self.answer(Reply::PortUnreachable, quote.map(Box::new), cx);
    }

    /// Refused if it is about nothing that a socket here sent.
    fn tell(&mut self, news: News, cx: &mut Cx<'_>) -> Verdict {
        match news {
            News::Unreachable(flow, error, told) => {
                self.transport.unreachable(flow, error, Some(told), cx)
            }
            News::PathMtu(flow, mtu, told) => {
                let dst = flow.remote.ip();
                let heard = self.transport.path_mtu(flow, mtu, Some(told), cx);
                let is_ours = heard.is_ok() || heard == Err(DropReason::ErrorQueueFull);
                // Of other protocols nobody knows what was sent.
                let known = [protocol::TCP, protocol::UDP, protocol::UDP_LITE];
                if is_ours && known.contains(&flow.protocol) {
                    self.network.learn_path_mtu(dst, mtu, cx.now);
                }
                heard
            }
            News::Echo(error) => self.transport.echo_failed(error, cx),
        }
    }

    /// News of a neighbour of IPv6.
    fn discovered(&mut self, found: Discovered, cx: &mut Cx<'_>) {
        let Discovered {
            port,
            learnt,
            reply,
        } = found;
        let neighbours = &mut self.neighbours;
        let resolved = learnt.and_then(|learnt| match learnt {
            Learnt::Asked { ip, mac } => {
                let waited = neighbours.learn(port, ip.into(), mac, Evidence::Request, cx);
                Some((mac, waited))
            }
            Learnt::Told {
                ip,
                mac,
                solicited,
                overrides,
            } => neighbours.advertised(port, ip.into(), mac, (solicited, overrides), cx),
        });
        if let (Some((mac, waited)), Some(station)) = (resolved, self.station(port)) {
            for packet in waited {
                self.send_frame(port, &station, mac, packet, cx);
            }
        }
        if let Some(reply) = reply {
            self.transmit(reply, cx);
        }
    }

    fn receive_arp(&mut self, port: PortId, mut packet: PacketBuf, cx: &mut Cx<'_>) -> Verdict {
        let Some(station) = self.station(port) else {
            self.refuse_at(port, DropReason::UnknownEtherType);
            return Err(cx.discard(packet, DropReason::UnknownEtherType));
        };
        let Self {
            network,
            neighbours,
            claims,
            ..
        } = self;
        let is_ours = |ip| network.is_on(port, IpAddr::V4(ip));
        let learns = (neighbours, claims);
        let outcome = match arp::receive(learns, &station, &mut packet, is_ours, cx) {
            Ok(outcome) => outcome,
            Err(reason) => return Err(cx.discard(packet, reason)),
        };
        if let Some(reply) = outcome.reply {
            self.enqueue(port, reply, cx);
        }
        if let Some(conflict) = outcome.conflict {
            self.disputed(conflict, cx);
            return Err(cx.discard(packet, DropReason::ArpConflict));
        }
        cx.pool.recycle(packet);
        if let Some((mac, waited)) = outcome.resolved {
            for packet in waited {
                self.send_frame(port, &station, mac, packet, cx);
            }
        }
        Ok(())
    }
}

impl Stack {
    /// Somebody else claims an address of ours (RFC 5227 2.4).
    fn disputed(&mut self, conflict: Conflict, cx: &mut Cx<'_>) {
        let Conflict { ip, response } = conflict;
        if response == Response::GiveUp {
            self.network.set_usable(ip, false);
        }
        cx.events
            .emit(cx.now, EventMask::NEIGHBOUR, || Event::Duplicate {
                ip: ip.into(),
            });
    }

    /// What is due with an address that others are asked for.
    fn claim_step(&mut self, port: PortId, ip: Ipv4Addr, step: Step, cx: &mut Cx<'_>) {
        let Some(station) = self.station(port) else {
            return;
        };
        let said = match step {
            Step::Probe => arp::probe(&station, ip, cx.pool),
            Step::Announce => arp::announcement(&station, ip, cx.pool),
            Step::Take => {
                self.network.set_usable(ip, true);
                arp::announcement(&station, ip, cx.pool)
            }
        };
        self.enqueue(port, said, cx);
    }
}

// ── down ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

impl Stack {
    /// A packet's whole way down from layer 4, as far as a port's queue (or a neighbour's, until it answers).
    pub(crate) fn transmit(&mut self, departure: Departure, cx: &mut Cx<'_>) {
        let Departure {
            src,
            dst,
            ttl,
            outlet,
            ..
        } = departure;
        let path = match outlet.port {
            Some(port) if dst.is_multicast() => self.network.route_by(port, dst, Some(src)),
            by => self.network.route_out(by, dst, Some(src)),
        };
        let mut path = match path {
            Ok(path) => path,
            Err(error) => return self.no_route(departure, error, cx),
        };
        if outlet.of_link {
            path.mtu = self.network.link_mtu(path.port, dst);
        }
        let hears = outlet.loops && self.network.hears(path.port, dst, src);
        match self.network.encapsulate(departure, &path, cx) {
            Ok(outgoing) if dst.is_multicast() => {
                let leaves = zone::leaves(dst, ttl) || path.port == PortId::LOOPBACK;
                self.send_to_group(&path, outgoing, (hears, leaves), cx);
            }
            Ok(outgoing) => self.send_all(&path, outgoing, cx),
            Err(refusal) => {
                cx.discard(refusal.packet, refusal.reason);
                // It is our own link that is too narrow: nothing to remember of the way.
                if let Some((flow, mtu)) = refusal.too_long {
                    let _ = self.transport.path_mtu(flow, mtu, None, cx);
                }
            }
        }
    }

    fn no_route(&mut self, departure: Departure, error: NetError, cx: &mut Cx<'_>) {
        cx.count(match departure.dst {
            IpAddr::V4(_) => Counter::IpOutNoRoutes,
            IpAddr::V6(_) => Counter::Ip6OutNoRoutes,
        });
        if let Some(flow) = Flow::of_departure(&departure) {
            let _ = self.transport.unreachable(flow, error, None, cx);
        }
        cx.discard(departure.packet, DropReason::NoRoute);
    }

    fn send_all(&mut self, path: &Path, outgoing: Outgoing, cx: &mut Cx<'_>) {
        for packet in outgoing {
            self.send_packet(path.port, path.next_hop, packet, cx);
        }
    }

    /// To a group: members on this host hear it too, if they and the sender want that (RFC 1112 6.1).
    fn send_to_group(
        &mut self,
        path: &Path,
        outgoing: Outgoing,
        (hears, leaves): (bool, bool),
        cx: &mut Cx<'_>,
    ) {
        for packet in outgoing {
            cx.count(match path.next_hop {
                IpAddr::V4(_) => Counter::IpExtOutMcastPkts,
                IpAddr::V6(_) => Counter::Ip6OutMcastPkts,
            });
            if hears {
                self.hear_ourselves(&packet, cx);
            }
            match (leaves, hears) {
                (true, _) => self.send_packet(path.port, path.next_hop, packet, cx),
                (false, true) => cx.pool.recycle(packet),
                (false, false) => drop(cx.discard(packet, DropReason::TtlExceeded)),
            }
        }
    }

    /// One IP packet to a neighbour on a port's cable.
    fn send_packet(&mut self, port: PortId, next_hop: IpAddr, packet: PacketBuf, cx: &mut Cx<'_>) {
        count_out(&packet, next_hop, cx);
        let Some(station) = self.station(port) else {
            return self.enqueue(port, packet, cx);
        };
        let mac = match self.network.cast_to(port, next_hop) {
            Cast::Multicast => ethernet::multicast_mac(next_hop),
            Cast::Broadcast => {
                cx.count(Counter::IpExtOutBcastPkts);
                self.hear_ourselves(&packet, cx);
                MacAddr::BROADCAST
            }
            Cast::Unicast => return self.send_unicast(port, &station, next_hop, packet, cx),
        };
        self.send_frame(port, &station, mac, packet, cx);
    }

    /// A broadcast reaches every host on the cable, the sender too (RFC 919 7); what goes to a group may.
    fn hear_ourselves(&mut self, packet: &PacketBuf, cx: &mut Cx<'_>) {
        let mut copy = packet.duplicate();
        copy.set_id(cx.pool.next_id());
        self.enqueue(PortId::LOOPBACK, copy, cx);
    }

    fn send_unicast(
        &mut self,
        port: PortId,
        station: &Station,
        next_hop: IpAddr,
        packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) {
        match self.neighbours.resolve(port, next_hop, packet, cx) {
            Resolution::Known(mac, packet) => self.send_frame(port, station, mac, packet, cx),
            Resolution::Ask => self.ask(port, next_hop, None, cx),
            Resolution::Waits => {}
            Resolution::Refused(packet, reason) => {
                cx.count(Counter::IpOutDiscards);
                cx.discard(packet, reason);
            }
        }
    }

    fn send_frame(
        &mut self,
        port: PortId,
        station: &Station,
        dst: MacAddr,
        mut packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) {
        let ethertype = ethernet::ethertype_of(&packet);
        ethernet::encapsulate(&mut packet, station.mac, dst, ethertype);
        self.enqueue(port, packet, cx);
    }

    fn ask(&mut self, port: PortId, ip: IpAddr, to: Option<MacAddr>, cx: &mut Cx<'_>) {
        let target = match ip {
            IpAddr::V4(target) => target,
            IpAddr::V6(target) => {
                let question = self.network.solicitation(port, target, to.is_some(), cx);
                if let Some(question) = question {
                    self.transmit(question, cx);
                }
                return;
            }
        };
        let Some(station) = self.station(port) else {
            return;
        };
        let our_ip = match self.network.source(port, ip) {
            Some(IpAddr::V4(ours)) => ours,
            _ => core::net::Ipv4Addr::UNSPECIFIED,
        };
        let question = arp::request(&station, our_ip, target, to, cx.pool);
        self.enqueue(port, question, cx);
    }

    /// Layer 1: into the port's queue, or round by the loopback.
    fn enqueue(&mut self, port_id: PortId, frame: PacketBuf, cx: &mut Cx<'_>) {
        let Some(port) = self.ports.get_mut(usize::from(port_id.0)) else {
            cx.discard(frame, DropReason::NoRoute);
            return;
        };
        let sent = match port_id {
            PortId::LOOPBACK if !self.loopback.is_cabled() => {
                port.count_sent(&frame);
                self.loopback.send(frame, cx.now)
            }
            _ => port.enqueue(frame),
        };
        if let Err((frame, reason)) = sent {
            cx.count(Counter::IpOutDiscards);
            cx.discard(frame, reason);
        }
    }
}

// ── up, together ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// The first frame of a flow that came in a batch, with those that were merged into it.
struct Held {
    first: Lifted,
    merging: Merging,
    merged: Vec<PacketId>,
}
impl Held {
    fn add(&mut self, next: PacketBuf) -> Result<PacketBuf, PacketBuf> {
        self.merging.add(&mut self.first.payload.packet, next)
    }
}

impl Stack {
    /// Frames that came together: neighbours of one TCP flow climb as one. One verdict a frame, in order.
    pub(crate) fn ascend_together(
        &mut self,
        port: PortId,
        frames: &mut Vec<PacketBuf>,
        verdicts: &mut Vec<Verdict>,
        cx: &mut Cx<'_>,
    ) {
        let mut held: Option<Held> = None;
        let mut frames = frames.drain(..);
        while let Some(frame) = frames.next() {
            let mut next = match self.lift(port, frame, cx) {
                Ok(lifted) => lifted,
                Err(reason) => {
                    self.release(port, held.take(), verdicts, cx);
                    verdicts.push(Err(reason));
                    continue;
                }
            };
            if let Some(held) = &mut held
                && !held.first.payload.group
                && self.may_merge(port, &mut next)
            {
                match held.add(next.payload.packet) {
                    Ok(emptied) => {
                        if held.merged.is_empty() {
                            held.merged.reserve_exact(1 + frames.len());
                        }
                        held.merged.push(next.id);
                        cx.pool.recycle(emptied);
                        continue;
                    }
                    Err(packet) => next.payload.packet = packet,
                }
            }
            let next = Held {
                first: next,
                merging: Merging::default(),
                merged: Vec::new(),
            };
            self.release(port, held.replace(next), verdicts, cx);
        }
        self.release(port, held, verdicts, cx);
    }

    /// What was held climbs; its verdict is that of each frame in it.
    fn release(
        &mut self,
        port: PortId,
        held: Option<Held>,
        verdicts: &mut Vec<Verdict>,
        cx: &mut Cx<'_>,
    ) {
        let Some(Held {
            mut first,
            merging,
            merged,
        }) = held
        else {
            return;
        };
        merging.finish(&mut first.payload.packet);
        let verdict = self.climb(port, first, cx);
        verdicts.push(verdict);
        for id in merged {
            verdicts.push(verdict.map_err(|reason| cx.lost(id, reason)));
        }
    }

    fn may_merge(&self, port: PortId, lifted: &mut Lifted) -> bool {
        let Payload {
            ethertype,
            group,
            packet,
        } = &mut lifted.payload;
        let ip = matches!(*ethertype, EtherType::IPV4 | EtherType::IPV6);
        ip && !*group && self.network.may_merge(port, packet)
    }
}

// ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────────────

impl Stack {
    /// The next frame for a cable: what waits in the port's queue first, then what connections want to send.
    pub(crate) fn descend(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<PacketBuf> {
        if port == PortId::LOOPBACK && !self.loopback.is_cabled() {
            self.feed_loopback(cx);
            return None;
        }
        loop {
            let queue = self.ports.get_mut(usize::from(port.0))?;
            if let Some(frame) = queue.poll_transmit(cx) {
                return Some(frame);
            }
            if !self.transmit_next(port, cx) {
                return None;
            }
        }
    }

    /// What a socket wants to send by a port goes down; whether there was something.
    fn transmit_next(&mut self, port: PortId, cx: &mut Cx<'_>) -> bool {
        match self.transport.raw.poll_transmit(port) {
            Some(raw::Outgoing::Plain(departure)) => self.transmit(departure, cx),
            Some(raw::Outgoing::Whole(packet, next_hop)) => {
                self.send_packet(port, next_hop, packet, cx);
            }
            None => match self.transport.poll_transmit(port, cx) {
                Some(departure) => self.transmit(departure, cx),
                None => return false,
            },
        }
        true
    }

    /// Everything whose time has come, from the cable upwards.
    pub(crate) fn serve_timers(&mut self, cx: &mut Cx<'_>) {
        while let Some(packet) = self.loopback.arrived(cx.now) {
            // The verdict has been counted; nobody else waits for it.
            let _ = self.ascend(PortId::LOOPBACK, packet, cx);
        }
        while let Some(due) = self.neighbours.poll_due(cx) {
            match due {
                Due::Ask { port, ip, to } => self.ask(port, ip, to, cx),
                Due::Lost { port, pending, .. } => {
                    for packet in pending {
                        self.give_up(port, packet, cx);
                    }
                }
            }
        }
        while let Some((port, ip, step)) = self.claims.poll_due(cx) {
            self.claim_step(port, ip, step, cx);
        }
        while let Some(first) = self.network.poll_expired(cx) {
            let complaint = Complaint::Reassembly;
            let error = first.and_then(|quote| self.network.complain(&quote, complaint, cx));
            if let Some(departure) = error {
                self.transmit(departure, cx);
            }
        }
        self.network.forget_path_mtus(cx.now);
        // Before anything else of IPv6: who asks for an address is in its group already (RFC 4862 5.4.2).
        while let Some(departure) = self.network.poll_groups(cx) {
            self.transmit(departure, cx);
        }
        while let Some(departure) = self.network.poll_discovery(cx) {
            self.transmit(departure, cx);
        }
        self.transport.on_timeout(cx);
        self.feed_loopback(cx);
    }

    /// Connections to this host itself send as long as the loopback has room.
    fn feed_loopback(&mut self, cx: &mut Cx<'_>) {
        while self.loopback.has_room() && self.transmit_next(PortId::LOOPBACK, cx) {}
    }

    /// A packet waited for a neighbour that never answered.
    fn give_up(&mut self, port: PortId, mut packet: PacketBuf, cx: &mut Cx<'_>) {
        let whose = self.network.undeliverable(port, &mut packet, cx);
        cx.discard(packet, DropReason::NeighbourUnreachable);
        match whose {
            // The packet is lost for a reason of its own, whoever hears of it.
            Undeliverable::Ours(news) => drop(self.tell(news, cx)),
            Undeliverable::Theirs(departure) => self.transmit(departure, cx),
            Undeliverable::Nobody => {}
        }
    }

    pub(crate) fn station(&self, port: PortId) -> Option<Station> {
        match self.ports.get(usize::from(port.0))?.config().medium {
            Medium::Ethernet(mac) => Some(Station { port, mac }),
            Medium::Ip => None,
        }
    }
    pub(crate) fn refuse_at(&mut self, port: PortId, reason: DropReason) {
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.refuse(reason);
        }
    }
}

/// An ICMP error that names nothing of ours, as Linux counts it; TCP counts those out of its window itself.
fn count_unheard(ethertype: EtherType, reason: DropReason, cx: &mut Cx<'_>) {
    match (reason, ethertype) {
        (DropReason::IcmpNoFlow, EtherType::IPV6) => cx.count(Counter::Icmp6InErrors),
        (DropReason::IcmpNoFlow, _) => cx.count(Counter::IcmpInErrors),
        _ => {}
    }
}

/// What leaves for a cable, by family.
fn count_out(packet: &PacketBuf, next_hop: IpAddr, cx: &mut Cx<'_>) {
    let (transmits, octets) = match next_hop {
        IpAddr::V4(_) => (Counter::IpOutTransmits, Counter::IpExtOutOctets),
        IpAddr::V6(_) => (Counter::Ip6OutTransmits, Counter::Ip6OutOctets),
    };
    cx.counters.add(transmits, u64::from(packet.frames()));
    let bytes = crate::l1_physical::bytes_once_cut(packet);
    cx.counters.add(octets, bytes);
}

mod strangers;

#[cfg(test)]
mod errors;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod fields_v6;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod mangled;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod refusals_v6;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod standing_in;
