//! Groups of a UDP socket: as `std::net::UdpSocket` has them, and what socket2 adds to that.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::io;

use heptad_stack::stack::{Link, Membership, SocketOption};
use heptad_stack::{PortId, SocketError};

use super::datagram::UdpSocket;
use super::handle::unexpected;
use super::io_error;

impl UdpSocket {
    /// Joins a group of IPv4 on the port that has this address; unspecified: as routing picks.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.change_membership(link_at(interface), *group, Membership::Join)
    }
    /// Leaves a group that was joined so.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.change_membership(link_at(interface), *group, Membership::Leave)
    }
    /// Joins a group of IPv6 on the port of this number, of which `lo` is 1; 0: as routing picks.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.change_membership(link_of(interface), *group, Membership::Join)
    }
    /// Leaves a group that was joined so.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.change_membership(link_of(interface), *group, Membership::Leave)
    }
    /// Joins a group of IPv4 for what this source sends to it; again for further sources.
    pub fn join_ssm_v4(
        &self,
        source: &Ipv4Addr,
        group: &Ipv4Addr,
        interface: &Ipv4Addr,
    ) -> io::Result<()> {
        let asked = Membership::JoinSource((*source).into());
        self.change_membership(link_at(interface), *group, asked)
    }
    /// No longer hears this source of a group; without the last one the group is left.
    pub fn leave_ssm_v4(
        &self,
        source: &Ipv4Addr,
        group: &Ipv4Addr,
        interface: &Ipv4Addr,
    ) -> io::Result<()> {
        let asked = Membership::LeaveSource((*source).into());
        self.change_membership(link_at(interface), *group, asked)
    }
    /// All that can be asked of a group of either family, by the link that is meant. The errors are Linux's.
    pub fn change_membership(
        &self,
        link: Link,
        group: impl Into<IpAddr>,
        asked: Membership,
    ) -> io::Result<()> {
        let group = (link, group.into());
        self.handle()
            .with(|stack, socket, cx| stack.change_membership(socket, group, asked, cx))
    }

    /// The TTL of what it sends to groups of IPv4; 1 unless set.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        match self.handle().get(SocketOption::MulticastTtl(0))? {
            SocketOption::MulticastTtl(ttl) => Ok(ttl.into()),
            other => Err(unexpected(other)),
        }
    }
    /// Sets it; 0: nothing leaves this node.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.handle().set(SocketOption::MulticastTtl(byte(ttl)?))
    }
    /// The hop limit of what it sends to groups of IPv6; 1 unless set.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        match self.handle().get(SocketOption::MulticastHops(0))? {
            SocketOption::MulticastHops(hops) => Ok(hops.into()),
            other => Err(unexpected(other)),
        }
    }
    /// Sets it.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.handle().set(SocketOption::MulticastHops(byte(hops)?))
    }
    /// Whether members on this node hear what it sends to groups of IPv4; they do unless that was changed.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        match self.handle().get(SocketOption::MulticastLoop(false))? {
            SocketOption::MulticastLoop(on) => Ok(on),
            other => Err(unexpected(other)),
        }
    }
    /// Sets it.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.handle().set(SocketOption::MulticastLoop(on))
    }
    /// The same for groups of IPv6.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        match self.handle().get(SocketOption::MulticastLoopV6(false))? {
            SocketOption::MulticastLoopV6(on) => Ok(on),
            other => Err(unexpected(other)),
        }
    }
    /// Sets it.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.handle().set(SocketOption::MulticastLoopV6(on))
    }
    /// By the port of which address it speaks to groups of IPv4; unspecified: as routing picks.
    pub fn set_multicast_if_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        let link = link_at(interface);
        self.handle().set(SocketOption::MulticastLink(link))
    }
    /// By the port of which number it speaks to groups of IPv6; 0: as routing picks.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        let port = match link_of(interface) {
            Link::Port(port) => Some(port),
            _ => None,
        };
        self.handle().set(SocketOption::MulticastPortV6(port))
    }
}

fn link_at(interface: &Ipv4Addr) -> Link {
    match *interface {
        Ipv4Addr::UNSPECIFIED => Link::Any,
        address => Link::Address(address),
    }
}
/// A number that no port has names one that is not there.
fn link_of(interface: u32) -> Link {
    match interface.checked_sub(1) {
        None => Link::Any,
        Some(index) => Link::Port(PortId(u16::try_from(index).unwrap_or(u16::MAX - 1))),
    }
}
fn byte(number: u32) -> io::Result<u8> {
    u8::try_from(number).map_err(|_| io_error(SocketError::Invalid))
}
