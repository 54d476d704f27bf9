//! Neighbour discovery (RFC 4861) and duplicate address detection (RFC 4862 5.4, 4429, 7527). The neighbour cache is
//! layer 2's: what is learnt goes up as a value.
use core::net::{IpAddr, Ipv6Addr};

use heptad_wire::ipv6::next_header;
use heptad_wire::ndp::{Ndp, Options};
use heptad_wire::{Chunk, MacAddr, checksum};

use super::super::zone::{self, zoned};
use super::super::{Arrival, Departure, Heading, Network, Outlet, Up};
use super::address::{AddressState, Probe, solicited_node};
use super::interface::ALL_NODES;
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Counter, Cx, DropReason, Event, EventMask};

/// How long others have to say that they have an address already (RFC 4861 10: RETRANS_TIMER).
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// The hop limit that nobody beyond the link can reach us with (RFC 4861 3.1).
const HOP_LIMIT: u8 = 255;

/// What a message leads to.
pub struct Discovered {
    /// It came in by this port.
    pub port: PortId,
    /// For the neighbour cache.
    pub learnt: Option<Learnt>,
    /// The answer.
    pub reply: Option<Departure>,
}
/// What a message says of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It asks us, and says where it is.
    Asked {
        /// Who.
        ip: Ipv6Addr,
        /// Where.
        mac: MacAddr,
    },
    /// It says where it is (RFC 4861 7.2.5).
    Told {
        /// Who.
        ip: Ipv6Addr,
        /// Where; `None`: where it was.
        mac: Option<MacAddr>,
        /// It answers us.
        solicited: bool,
        /// What was known gives way.
        overrides: bool,
    },
}

/// A message that passed the checks which all have in common.
pub(super) struct Heard {
    pub(super) port: PortId,
    pub(super) src: Ipv6Addr,
    dst: Ipv6Addr,
}

impl Network {
    /// A message of neighbour discovery: `arrival` begins with its ICMPv6 header.
    pub(super) fn discover(
        &mut self,
        kind: u8,
        code: u8,
        mut arrival: Arrival,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let read = read(kind, code, &mut arrival);
        let Arrival {
            port,
            src,
            dst,
            packet,
            ..
        } = arrival;
        cx.pool.recycle(packet);
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) else {
            return Up::Drop(DropReason::NdpMalformed, None);
        };
        let port = zone::zone_of(dst).unwrap_or(port);
        let heard = Heard { port, src, dst };
        match read.and_then(|message| self.hear(&heard, message, cx)) {
            Ok(found) => Up::Next(Heading::Discovered(found)),
            Err(reason) => {
                if reason == DropReason::NdpMalformed {
                    cx.count(Counter::Icmp6InErrors);
                }
                Up::Drop(reason, None)
            }
        }
    }

    fn hear(
        &mut self,
        heard: &Heard,
        message: Ndp,
        cx: &mut Cx<'_>,
    ) -> Result<Discovered, DropReason> {
        let (learnt, reply) = match message {
            Ndp::NeighbourSolicit { target, options } => {
                self.hear_question(heard, zoned(target, heard.port), &options, cx)?
            }
            Ndp::NeighbourAdvert {
                target,
                solicited,
                overrides,
                options,
                ..
            } => {
                let answers = (solicited, overrides);
                let target = zoned(target, heard.port);
                (
                    self.hear_answer(heard, target, answers, &options, cx)?,
                    None,
                )
            }
            Ndp::RouterSolicit { options } => (self.hear_router_wanted(heard, &options, cx)?, None),
            Ndp::RouterAdvert { router, options } => (
                self.hear_router(heard.port, heard.src, router, &options, cx)?,
                None,
            ),
            // RFC 6105's reasons hold for redirects as well: anybody on the link could send one.
            Ndp::Redirect { .. } => return Err(DropReason::RedirectRefused),
        };
        Ok(Discovered {
            port: heard.port,
            learnt,
            reply,
        })
    }

    /// RFC 4861 7.1.1, 7.2.3, RFC 4862 5.4.3.
    fn hear_question(
        &mut self,
        heard: &Heard,
        target: Ipv6Addr,
        options: &Options,
        cx: &mut Cx<'_>,
    ) -> Result<(Option<Learnt>, Option<Departure>), DropReason> {
        let Heard { port, src, dst } = *heard;
        let checks_duplicate = src.is_unspecified();
        let to_its_group = dst == solicited_node(target, port);
        if target.is_multicast()
            || (checks_duplicate && (!to_its_group || options.source.is_some()))
        {
            return Err(DropReason::NdpMalformed);
        }
        if self.v6.addresses.port_of(target) != Some(port) {
            return Err(DropReason::NotForUs);
        }
        let state = self.v6.addresses.get(target).map(|address| address.state);
        if checks_duplicate && state == Some(AddressState::Optimistic) {
            let ours = self.is_own_question(target, options);
            if !ours {
                self.lose_address(target, cx);
            }
            return Err(DropReason::NdpDuplicateAddress);
        }
        if state == Some(AddressState::Duplicate) {
            return Err(DropReason::NotForUs);
        }
        let learnt = options
            .source
            .filter(|mac| !mac.is_multicast())
            .map(|mac| Learnt::Asked { ip: src, mac });
        // RFC 4429 3.3: while others are still asked, nobody's knowledge is overridden.
        let sure = state != Some(AddressState::Optimistic);
        // One who is not sure of its own address yet does not say where it is (RFC 4429 3.3). If neither of two is sure, each
        // would wait for the other's answer before it gives its own: so all hear it.
        let all = checks_duplicate || (learnt.is_none() && dst.is_multicast());
        let reply = match all {
            true => self.advertisement(port, target, zoned(ALL_NODES, port), (false, sure), cx),
            false => self.advertisement(port, target, src, (true, sure), cx),
        };
        Ok((learnt, Some(reply)))
    }

    /// RFC 4861 7.1.2, 7.2.5, RFC 4862 5.4.4.
    fn hear_answer(
        &mut self,
        heard: &Heard,
        target: Ipv6Addr,
        (solicited, overrides): (bool, bool),
        options: &Options,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Learnt>, DropReason> {
        let bad_mac = options.target.is_some_and(MacAddr::is_multicast);
        if target.is_multicast() || (heard.dst.is_multicast() && solicited) || bad_mac {
            return Err(DropReason::NdpMalformed);
        }
        if self.v6.addresses.port_of(target).is_some() {
            self.hear_rival(target, cx);
            return Err(DropReason::NdpDuplicateAddress);
        }
        Ok(Some(Learnt::Told {
            ip: target,
            mac: options.target,
            solicited,
            overrides,
        }))
    }

    /// Somebody says that an address of ours is theirs. Until it is surely ours it is theirs; after that it is told.
    fn hear_rival(&mut self, target: Ipv6Addr, cx: &mut Cx<'_>) {
        let state = self.v6.addresses.get(target).map(|address| address.state);
        match state {
            Some(AddressState::Optimistic) => self.lose_address(target, cx),
            _ => duplicate(target, cx),
        }
    }
    fn lose_address(&mut self, ip: Ipv6Addr, cx: &mut Cx<'_>) {
        self.v6.addresses.give_up(ip);
        self.v6.reschedule();
        duplicate(ip, cx);
        self.replace_duplicate(ip);
    }
    fn is_own_question(&self, target: Ipv6Addr, options: &Options) -> bool {
        let probe = self.v6.addresses.get(target).and_then(|a| a.probe);
        probe.is_some_and(|probe| options.nonce == Some(probe.nonce))
    }

    /// The question for an address: to its group, or to the one who had it.
    pub fn solicitation(
        &mut self,
        port: PortId,
        target: Ipv6Addr,
        probe: bool,
        cx: &mut Cx<'_>,
    ) -> Option<Departure> {
        let src = self.v6.addresses.select(port, target)?;
        let sure = self.v6.addresses.get(src).map(|a| a.state) != Some(AddressState::Optimistic);
        let options = Options {
            source: self.v6.interface(port)?.mac.filter(|_| sure),
            ..Options::default()
        };
        let message = Ndp::NeighbourSolicit {
            target: zone::bare(target),
            options,
        };
        let dst = match probe {
            true => target,
            false => solicited_node(target, port),
        };
        Some(self.message(&message, src, dst, cx))
    }
    fn advertisement(
        &mut self,
        port: PortId,
        target: Ipv6Addr,
        dst: Ipv6Addr,
        (solicited, overrides): (bool, bool),
        cx: &mut Cx<'_>,
    ) -> Departure {
        let message = Ndp::NeighbourAdvert {
            target: zone::bare(target),
            router: self.forwarding,
            solicited,
            overrides,
            options: Options {
                target: self.v6.interface(port).and_then(|i| i.mac),
                ..Options::default()
            },
        };
        self.message(&message, target, dst, cx)
    }
    /// RFC 4862 5.4.2: the question whether somebody has an address that we want.
    fn duplicate_question(&mut self, port: PortId, ip: Ipv6Addr, nonce: [u8; 6], cx: &mut Cx<'_>) {
        let message = Ndp::NeighbourSolicit {
            target: zone::bare(ip),
            options: Options {
                nonce: Some(nonce),
                ..Options::default()
            },
        };
        let dst = solicited_node(ip, port);
        let question = self.message(&message, Ipv6Addr::UNSPECIFIED, dst, cx);
        self.v6.send(question);
    }
    /// A message of neighbour discovery on its way.
    pub(super) fn message(
        &mut self,
        message: &Ndp,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        cx: &mut Cx<'_>,
    ) -> Departure {
        let mut bytes = message.to_bytes();
        let len = bytes.len() as u32;
        let pseudo = zone::pseudo_header(src.into(), dst.into(), next_header::ICMPV6, len);
        checksum::fill(&mut bytes, 2, pseudo);
        if let Ok(header) = heptad_wire::icmpv6::Icmpv6::parse(&bytes) {
            super::icmpv6::count_out(&header, cx);
        }
        let mut packet = cx.pool.packet();
        packet.append(Chunk::copy_from(&bytes));
        packet.set_sum(heptad_wire::Sum::Verified);
        Departure {
            src: src.into(),
            dst: dst.into(),
            protocol: next_header::ICMPV6,
            ttl: HOP_LIMIT,
            tos: 0,
            dont_fragment: false,
            outlet: Outlet::default(),
            segment: None,
            packet,
        }
    }

    /// What is due with one of our addresses: the next question whether somebody has it, the end of that, or of its life.
    pub(super) fn serve_address(&mut self, port: PortId, ip: Ipv6Addr, cx: &mut Cx<'_>) {
        let now = cx.now;
        let Some(address) = self.v6.addresses.get_mut(ip) else {
            return;
        };
        if address.valid_until.is_some_and(|until| until <= now) {
            self.disown_v6(ip);
            return;
        }
        if let Some(probe) = address.probe.filter(|probe| probe.at <= now) {
            if probe.left > 0 {
                let [a, b, c, d, e, f, ..] = cx.rng.next_u64().to_be_bytes();
                let nonce = [a, b, c, d, e, f];
                address.probe = Some(Probe {
                    at: now + RETRANS_TIMER,
                    left: probe.left - 1,
                    nonce,
                });
                return self.duplicate_question(port, ip, nonce, cx);
            }
            address.probe = None;
            address.state = AddressState::Preferred;
            if ip.is_unicast_link_local() {
                self.groups.announce_v6(port);
            }
        }
        let Some(address) = self.v6.addresses.get_mut(ip) else {
            return;
        };
        if address.preferred_until.is_some_and(|until| until <= now)
            && address.state == AddressState::Preferred
        {
            address.state = AddressState::Deprecated;
        }
    }
}

fn duplicate(ip: Ipv6Addr, cx: &mut Cx<'_>) {
    cx.events
        .emit(cx.now, EventMask::NEIGHBOUR, || Event::Duplicate {
            ip: zone::bare(ip).into(),
        });
}

/// What all messages have in common (RFC 4861 6.1, 7.1).
fn read(kind: u8, code: u8, arrival: &mut Arrival) -> Result<Ndp, DropReason> {
    if arrival.ttl != HOP_LIMIT {
        return Err(DropReason::NdpHopLimit);
    }
    if code != 0 {
        return Err(DropReason::NdpMalformed);
    }
    let mut bytes = alloc::vec::Vec::new();
    arrival.packet.write_to(&mut bytes);
    let body = bytes.get(4..).unwrap_or_default();
    Ndp::parse(kind, body).map_err(|_| DropReason::NdpMalformed)
}
