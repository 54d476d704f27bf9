//! Packets through a transparent host to addresses of others: held until somebody outside was asked about them.
use alloc::boxed::Box;
use core::net::SocketAddr;

use heptad_wire::PacketId;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;

use super::Verdict;
use crate::l3_network::{Arrival, Complaint, Quote, Up};
use crate::l4_transport::strangers::{Refusal, Stranger};
use crate::stack::Stack;
use crate::{Cx, DropReason};

impl Stack {
    /// Somebody who speaks to an address that is not this host's (see [`crate::StackConfig::transparent`]); the oldest that
    /// nobody has looked at. It is to be admitted, refused, or dropped, and then comes again as its sender likes.
    pub fn poll_stranger(&mut self) -> Option<Stranger> {
        self.transport.strangers.pop()
    }
    /// Whether there is one. O(1).
    pub fn has_strangers(&self) -> bool {
        !self.transport.strangers.is_empty()
    }
    /// Goes on with its packet as if the address were ours: a listener there is to take a connection, a socket with both ends a
    /// datagram; an echo request is answered. Once only.
    pub fn admit(&mut self, stranger: &mut Stranger, cx: &mut Cx<'_>) {
        let Some(arrival) = stranger.arrival.take() else {
            return;
        };
        let id = arrival.packet.id();
        // The verdict has been counted; nobody else waits for it.
        let _ = match arrival.protocol {
            protocol::ICMP | next_header::ICMPV6 => {
                let up = self.network.echo(arrival, cx);
                self.settle(id, up, None, cx).map(|_| ())
            }
            _ => {
                let way_back = |by, ip| self.network.route_out(by, ip, None).ok();
                let up = self.transport.receive(arrival, &way_back, cx);
                self.settle(id, up, None, cx).map(|_| ())
            }
        };
    }
    /// Tells it that there is no way; one that was admitted already, too, but for connections, which are reset.
    pub fn refuse(&mut self, stranger: &mut Stranger, refusal: Refusal, cx: &mut Cx<'_>) {
        let arrival = stranger.arrival.take();
        let is_stream = stranger.quote.protocol == protocol::TCP;
        let complaint = match refusal {
            Refusal::Port if is_stream => return self.reset_stranger(arrival, cx),
            Refusal::Port => Complaint::Port,
            Refusal::Host => Complaint::Host,
            Refusal::Network => Complaint::Network,
            Refusal::Prohibited => Complaint::Prohibited,
        };
        if let Some(arrival) = arrival {
            cx.discard(arrival.packet, DropReason::StrangerRefused);
        }
        if let Some(error) = self.network.complain(&stranger.quote, complaint, cx) {
            self.transmit(error, cx);
        }
    }

    fn reset_stranger(&mut self, arrival: Option<Arrival>, cx: &mut Cx<'_>) {
        if let Some(arrival) = arrival {
            let id = arrival.packet.id();
            let up: Up<()> = self.transport.tcp.refuse(arrival, cx);
            let _ = self.settle(id, up, None, cx);
        }
    }

    /// Holds what is for an address of somebody else and nothing here knows; all else goes on.
    pub(super) fn hold_stranger(
        &mut self,
        id: PacketId,
        (mut arrival, quote): (Arrival, Option<Box<Quote>>),
        cx: &mut Cx<'_>,
    ) -> Result<(Arrival, Option<Box<Quote>>), Verdict> {
        if arrival.group || !self.network.is_foreign(arrival.dst) {
            return Ok((arrival, quote));
        }
        // Of TCP and ICMP, only what begins something has a quote.
        let wish = match quote.is_some() {
            true => self.transport.wish(&mut arrival),
            false => None,
        };
        let (wish, [from, to], quote) = match (wish, quote) {
            (Some((wish, ports)), Some(quote)) => (wish, ports, quote),
            (_, quote) => return Ok((arrival, quote)),
        };
        let strangers = &mut self.transport.strangers;
        if !strangers.has_room(arrival.packet.len()) {
            cx.pool.recycle(arrival.packet);
            return Err(Err(cx.lost(id, DropReason::StrangersFull)));
        }
        strangers.push(Stranger {
            wish,
            to: SocketAddr::new(arrival.dst, to),
            from: SocketAddr::new(arrival.src, from),
            arrival: Some(arrival),
            quote,
        });
        Err(Ok(()))
    }
}
