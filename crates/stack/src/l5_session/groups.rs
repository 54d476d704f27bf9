//! Groups of a socket: which it joins, and by which link it speaks to one. Checked in Linux's order.
use core::net::{IpAddr, SocketAddr};

use super::options::GroupOptions;
use super::table::{Phase, Socket};
use super::{Below, Family, SocketError, SocketId, SocketKind, Sockets};
use crate::l1_physical::PortId;
use crate::l3_network::groups::{Filter, Link, Membership, MembershipError, Memberships};
use crate::l3_network::{Network, Path, zone};
use crate::l4_transport::{Transport, net_error};

impl Sockets {
    /// Joins, leaves or filters a group.
    pub fn change_membership(
        &mut self,
        id: SocketId,
        (link, group): (Link, IpAddr),
        asked: Membership,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket(id)?;
        let group = socket.group(group)?;
        let mut memberships = socket.memberships(below.transport).clone();
        let leaves = asked == Membership::Leave;
        let port = link_of(&memberships, link, group, leaves, below.network)?;
        let by_any = link == Link::Any && group.is_ipv6();
        if asked == Membership::Join && by_any && memberships.port_of(group).is_some() {
            // As Linux: joined by any link is joined.
            return Err(SocketError::AddressInUse);
        }
        below
            .network
            .change_membership(&mut memberships, port, group, asked)
            .map_err(membership_error)?;
        match socket.phase {
            Phase::Datagram(id) => {
                let udp = below.transport.udp_of_mut(id);
                udp.set_memberships(id, memberships);
            }
            Phase::Echo(echo) => below.transport.echo.set_memberships(echo, memberships),
            Phase::Raw(raw) => below.transport.raw.set_memberships(raw, memberships),
            Phase::Idle | Phase::Listening(_) | Phase::Connecting(_) | Phase::Connected(_) => {}
        }
        Ok(())
    }

    /// The sources that it hears of a group.
    pub fn membership(
        &self,
        id: SocketId,
        (link, group): (Link, IpAddr),
        network: &Network,
        transport: &Transport,
    ) -> Result<Filter, SocketError> {
        let socket = self.socket(id)?;
        let group = socket.group(group)?;
        let memberships = socket.memberships(transport);
        let port = link_of(memberships, link, group, false, network)?;
        let filter = memberships.filter(port, group);
        filter.cloned().ok_or(SocketError::AddressNotAvailable)
    }
}

impl Socket {
    /// A group that a socket like this may join, as tables of memberships have it.
    fn group(&self, group: IpAddr) -> Result<IpAddr, SocketError> {
        if self.family() == Family::V4 && group.is_ipv6() {
            return Err(SocketError::NoProtocolOption);
        }
        if self.kind == SocketKind::Stream {
            return Err(SocketError::Protocol);
        }
        match group.is_multicast() {
            true => Ok(zone::bare_ip(group)),
            false => Err(SocketError::Invalid),
        }
    }
    /// Layer 4 keeps them, where what comes is looked at; a stream has none.
    fn memberships<'a>(&self, transport: &'a Transport) -> &'a Memberships {
        const NONE: &Memberships = &Memberships::NONE;
        let found = match self.phase {
            Phase::Datagram(udp) => transport.udp_of(udp).memberships(udp),
            Phase::Echo(echo) => transport.echo.memberships(echo),
            Phase::Raw(raw) => transport.raw.memberships(raw),
            Phase::Idle | Phase::Listening(_) | Phase::Connecting(_) | Phase::Connected(_) => None,
        };
        found.unwrap_or(NONE)
    }
    /// It is closed: its groups lose a member.
    pub(super) fn leave_groups(&self, below: &mut Below<'_, '_>) {
        below.network.leave_all(self.memberships(below.transport));
    }

    /// The way to a group: by the link that the address names, that the program chose (IP_MULTICAST_IF), else by routing.
    pub(super) fn route_to_group(
        &self,
        remote: SocketAddr,
        own: Option<IpAddr>,
        below: &mut Below<'_, '_>,
    ) -> Result<Path, SocketError> {
        let GroupOptions { link, link_v6, .. } = self.options.groups;
        let (named, chosen) = match remote.ip() {
            IpAddr::V4(_) => (None, link),
            IpAddr::V6(ip) => (zone::zone_of(ip), link_v6.map_or(Link::Any, Link::Port)),
        };
        let bound = self.options.tcp.device;
        let chosen = named.or(bound).map_or(chosen, Link::Port);
        if chosen == Link::Any {
            return self.route(remote, own, below);
        }
        let own = own.or(match chosen {
            Link::Address(address) => Some(address.into()),
            _ => None,
        });
        let port = below.network.port_of_link(chosen, remote.ip());
        let port = port.ok_or(SocketError::NetworkUnreachable)?;
        let path = below.network.route_by(port, remote.ip(), own);
        path.map_err(net_error)
    }
}

/// The link on which a group is to be joined or left.
fn link_of(
    memberships: &Memberships,
    link: Link,
    group: IpAddr,
    leaves: bool,
    network: &Network,
) -> Result<PortId, SocketError> {
    // IPv6 leaves where it joined; IPv4 looks the link up again.
    if leaves && link == Link::Any && group.is_ipv6() {
        let joined = memberships.port_of(group);
        return joined.ok_or(SocketError::AddressNotAvailable);
    }
    let port = network.port_of_link(link, group);
    port.ok_or(SocketError::NoDevice)
}

/// Linux's answer.
fn membership_error(error: MembershipError) -> SocketError {
    match error {
        MembershipError::Already => SocketError::AddressInUse,
        MembershipError::Absent => SocketError::AddressNotAvailable,
        MembershipError::Invalid => SocketError::Invalid,
        MembershipError::Full => SocketError::NoBuffers,
    }
}
