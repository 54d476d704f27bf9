//! Layer 4: TCP and UDP, and who gets what (demultiplexing, port allocation).
pub mod readiness;
pub mod tcp;

use crate::Cx;
use crate::Instant;
use crate::l1_physical::PortId;
use crate::l3_network::{Arrival, Departure, Flow, NetError, Up};

/// The transport protocols of one host.
pub struct Transport {
    /// TCP.
    pub tcp: tcp::Tcp,
}
impl Transport {
    /// Without sockets. Secrets are drawn from `cx.rng`.
    pub fn new(config: tcp::Config, cx: &mut Cx<'_>) -> Self {
        let _ = (config, cx);
        Self { tcp: tcp::Tcp {} }
    }
    /// A datagram for this host. `route` finds the way back to an address.
    pub fn receive(
        &mut self,
        arrival: Arrival,
        route: &dyn Fn(core::net::IpAddr) -> Option<crate::l3_network::Path>,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        todo!()
    }
    /// The network said no to something we sent.
    pub fn unreachable(&mut self, flow: Flow, error: NetError, cx: &mut Cx<'_>) {
        todo!()
    }
    /// A smaller MTU on the way (RFC 1191).
    pub fn path_mtu(&mut self, flow: Flow, mtu: u32, cx: &mut Cx<'_>) {
        todo!()
    }
    /// Timers that are due.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        todo!()
    }
    /// When the next timer is due. O(1).
    pub fn poll_at(&self) -> Option<Instant> {
        todo!()
    }
    /// The next packet that a connection or socket wants to send by this port.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<Departure> {
        todo!()
    }
    /// Whether `poll_transmit` has something for this port. O(1).
    pub fn wants_transmit(&self, port: PortId) -> bool {
        todo!()
    }
}
