//! Groups of a socket: which it joins, and by which link it speaks to one. Checked in Linux's order.
use core::net::{IpAddr, SocketAddr};

use super::options::GroupOptions;
use super::table::{Phase, Socket};
use super::{Below, Family, SocketError, SocketId, SocketKind, Sockets};
use crate::l1_physical::PortId;
use crate::l3_network::groups::{Filter, Link, Membership, MembershipError, Memberships};
use crate::l3_network::{Network, Path, zone};
use crate::l4_transport::net_error;

impl Sockets {
    /// Joins, leaves or filters a group.
    pub fn change_membership(
        &mut self,
        id: SocketId,
        (link, group): (Link, IpAddr),
        asked: Membership,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        let group = socket.group(group)?;
        let leaves = asked == Membership::Leave;
        let port = socket.link_of(link, group, leaves, below.network)?;
        if asked == Membership::Join && link == Link::Any && group.is_ipv6() {
            // As Linux: joined by any link is joined.
            socket.joined_by_any(group)?;
        }
        let mut memberships = socket.memberships.take().unwrap_or_default();
        let changed = below
            .network
            .change_membership(&mut memberships, port, group, asked);
        if let (Ok(()), Phase::Datagram(endpoint)) = (changed, socket.phase) {
            let udp = &mut below.transport.udp;
            udp.set_memberships(endpoint, (*memberships).clone());
        }
        let is_empty = memberships.all().next().is_none();
        socket.memberships = (!is_empty).then_some(memberships);
        changed.map_err(membership_error)
    }

    /// The sources that it hears of a group.
    pub fn membership(
        &self,
        id: SocketId,
        link: Link,
        group: IpAddr,
        network: &Network,
    ) -> Result<Filter, SocketError> {
        let socket = self.socket(id)?;
        let group = socket.group(group)?;
        let port = socket.link_of(link, group, false, network)?;
        let memberships = socket.memberships.as_deref();
        let filter = memberships.and_then(|all| all.filter(port, group));
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
    fn link_of(
        &self,
        link: Link,
        group: IpAddr,
        leaves: bool,
        network: &Network,
    ) -> Result<PortId, SocketError> {
        let memberships = self.memberships.as_deref();
        let joined = memberships.and_then(|all: &Memberships| all.port_of(group));
        // IPv6 leaves where it joined; IPv4 looks the link up again.
        if leaves && link == Link::Any && group.is_ipv6() {
            return joined.ok_or(SocketError::AddressNotAvailable);
        }
        let port = network.port_of_link(link, group);
        port.ok_or(SocketError::NoDevice)
    }
    fn joined_by_any(&self, group: IpAddr) -> Result<(), SocketError> {
        let memberships = self.memberships.as_deref();
        match memberships.and_then(|all| all.port_of(group)) {
            Some(_) => Err(SocketError::AddressInUse),
            None => Ok(()),
        }
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
        let chosen = named.map_or(chosen, Link::Port);
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

/// Linux's answer.
fn membership_error(error: MembershipError) -> SocketError {
    match error {
        MembershipError::Already => SocketError::AddressInUse,
        MembershipError::Absent => SocketError::AddressNotAvailable,
        MembershipError::Invalid => SocketError::Invalid,
        MembershipError::Full => SocketError::NoBuffers,
    }
}
