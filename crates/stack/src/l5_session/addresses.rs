//! Which addresses a socket may name: its family, IPV6_V6ONLY, links, and what the unspecified address means. Checked in
//! Linux's order.
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::table::Socket;
use super::{Family, SocketError, SocketKind};
use crate::l3_network::Network;
use crate::l3_network::zone::{needs_zone, zone_of, zoned};

impl Socket {
    /// An address to be bound to. `AddressNotAvailable`: not ours. `Invalid`: bound already; an address of a link that does not
    /// say of which; IPv4 where IPV6_V6ONLY is set. `NoDevice`: a link that is not there.
    pub(super) fn own_address(
        &self,
        given: SocketAddr,
        network: &Network,
    ) -> Result<SocketAddr, SocketError> {
        let local = self.on_its_device(self.family().canonical(given)?);
        let is_multicast = local.ip().is_multicast() && self.kind == SocketKind::Stream;
        let is_other = local.is_ipv4() && self.is_v6_only();
        if self.family() == Family::V6 && (!self.is_fresh() || is_multicast || is_other) {
            return Err(SocketError::Invalid);
        }
        if !self.may_be_at(local, network)? {
            return Err(SocketError::AddressNotAvailable);
        }
        match self.is_fresh() {
            true => Ok(local),
            false => Err(SocketError::Invalid),
        }
    }

    fn may_be_at(&self, local: SocketAddr, network: &Network) -> Result<bool, SocketError> {
        let ip = local.ip();
        Ok(match ip {
            _ if ip.is_unspecified() => true,
            IpAddr::V6(v6) if needs_zone(v6) => is_on_its_link(v6, network)?,
            IpAddr::V6(v6) if v6.is_multicast() => true,
            IpAddr::V4(v4) if matches!(self.kind, SocketKind::Datagram | SocketKind::Lite) => {
                v4.is_multicast() || network.is_broadcast(ip) || network.speaks_from(ip)
            }
            _ => network.speaks_from(ip),
        })
    }

    /// As on Linux, a socket at one address of IPv6 is of IPv6 alone from then on.
    pub(super) fn settle_family(&mut self) {
        let ip = self.local.ip();
        if ip.is_ipv6() && !ip.is_unspecified() {
            Arc::make_mut(&mut self.options).tcp.v6_only = true;
        }
    }

    /// Whom a stream is to be connected to. `NetworkUnreachable`: nobody, or IPv4 where IPV6_V6ONLY is set.
    pub(super) fn stream_peer(
        &self,
        given: SocketAddr,
        network: &Network,
    ) -> Result<SocketAddr, SocketError> {
        let remote = self.destination(self.family().canonical(given)?);
        let ip = remote.ip();
        if ip.is_multicast() || network.is_broadcast(ip) {
            return Err(SocketError::NetworkUnreachable);
        }
        self.reachable(with_scope(remote)?)
    }

    /// Whom a datagram socket is to have as its peer. A socket of IPv6 takes IPv4's own form of an address too, as on Linux.
    pub(super) fn datagram_peer(&self, given: SocketAddr) -> Result<SocketAddr, SocketError> {
        if given.is_ipv4() && self.is_v6_only() {
            return Err(SocketError::FamilyNotSupported);
        }
        let remote = self.destination(self.either_form(given)?);
        self.reachable(with_scope(remote)?)
    }

    /// Whom a datagram is to go to. Without a link named, routing picks one.
    pub(super) fn recipient(&self, given: SocketAddr) -> Result<SocketAddr, SocketError> {
        self.reachable(self.destination(self.either_form(given)?))
    }

    fn either_form(&self, given: SocketAddr) -> Result<SocketAddr, SocketError> {
        match (self.family(), given) {
            (Family::V6, SocketAddr::V4(_)) => Ok(given),
            (family, _) => family.canonical(given),
        }
    }

    fn reachable(&self, remote: SocketAddr) -> Result<SocketAddr, SocketError> {
        match remote.is_ipv4() && self.is_v6_only() {
            true => Err(SocketError::NetworkUnreachable),
            false => Ok(remote),
        }
    }

    fn is_v6_only(&self) -> bool {
        self.family() == Family::V6 && self.options.tcp.v6_only
    }

    /// An address of a link that does not say of which is one of the port that the socket is bound to, if it is to one.
    fn on_its_device(&self, mut address: SocketAddr) -> SocketAddr {
        if let (Some(port), IpAddr::V6(ip)) = (self.options.tcp.device, address.ip())
            && needs_zone(ip)
            && zone_of(ip).is_none()
        {
            address.set_ip(zoned(ip, port).into());
        }
        address
    }

    /// Where an address leads: the unspecified one means this host.
    fn destination(&self, remote: SocketAddr) -> SocketAddr {
        let remote = self.on_its_device(remote);
        if !remote.ip().is_unspecified() {
            return remote;
        }
        let bound = self.local.ip();
        let here = match (bound, remote.ip()) {
            (IpAddr::V4(ours), IpAddr::V4(_)) if !ours.is_unspecified() => bound,
            (IpAddr::V6(_), IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        SocketAddr::new(here, remote.port())
    }
}

/// An address of a link, if it is ours there.
fn is_on_its_link(local: Ipv6Addr, network: &Network) -> Result<bool, SocketError> {
    let port = zone_of(local).ok_or(SocketError::Invalid)?;
    if network.mtu(port) == 0 {
        return Err(SocketError::NoDevice);
    }
    Ok(local.is_multicast() || network.is_on(port, local.into()))
}

/// `Invalid` for an address of a link that does not say of which.
fn with_scope(address: SocketAddr) -> Result<SocketAddr, SocketError> {
    match address.ip() {
        IpAddr::V6(ip) if needs_zone(ip) && zone_of(ip).is_none() => Err(SocketError::Invalid),
        _ => Ok(address),
    }
}
