//! Groups of a UDP socket: none of these verbs waits.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::io;

use heptad_stack::stack::{Link, Membership};

use super::datagram::UdpSocket;

impl UdpSocket {
    /// Joins a group of IPv4 on the port that has this address; unspecified: as routing picks.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.inner().join_multicast_v4(&group, &interface)
    }
    /// Leaves a group that was joined so.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.inner().leave_multicast_v4(&group, &interface)
    }
    /// Joins a group of IPv6 on the port of this number, of which `lo` is 1; 0: as routing picks.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner().join_multicast_v6(group, interface)
    }
    /// Leaves a group that was joined so.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner().leave_multicast_v6(group, interface)
    }
    /// All that can be asked of a group, sources too.
    pub fn change_membership(
        &self,
        link: Link,
        group: impl Into<IpAddr>,
        asked: Membership,
    ) -> io::Result<()> {
        self.inner().change_membership(link, group, asked)
    }
    /// The TTL of what it sends to groups of IPv4; 1 unless set.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.inner().multicast_ttl_v4()
    }
    /// Sets it.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.inner().set_multicast_ttl_v4(ttl)
    }
    /// Whether members on this node hear what it sends to groups of IPv4.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.inner().multicast_loop_v4()
    }
    /// Sets it.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.inner().set_multicast_loop_v4(on)
    }
    /// The same for groups of IPv6.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.inner().multicast_loop_v6()
    }
    /// Sets it.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.inner().set_multicast_loop_v6(on)
    }
}
