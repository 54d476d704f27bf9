//! The kernel's sockets, and what it says of the network of this machine.
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use heptad_stack::stack::Refusal;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use super::nameservers;

/// A documentation address (RFC 3849): whether there is a way to it tells whether there is one to IPv6 at all.
const SOMEWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Where an address is to be looked for on this machine; not on its loopback, but for its name servers.
pub(super) fn directions(to: SocketAddr) -> Option<SocketAddr> {
    if let Some(server) = nameservers::for_question(to) {
        return Some(server);
    }
    let ip = to.ip().to_canonical();
    let own = ip.is_loopback() || ip.is_unspecified();
    (!own && !ip.is_multicast()).then_some(SocketAddr::new(ip, to.port()))
}

/// Whether a route leads to IPv6 elsewhere. Nothing is sent.
pub(super) fn machine_speaks_ipv6() -> bool {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.is_ok_and(|socket| socket.connect((SOMEWHERE, 9)).is_ok())
}

/// A stream on its way to its peer.
pub(super) fn stream_to(to: SocketAddr) -> Result<TcpStream, Errno> {
    let socket = open(to.ip(), SocketType::STREAM, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error),
    }
}

/// A socket of datagrams with this peer.
pub(super) fn datagrams_to(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = open(to.ip(), SocketType::DGRAM, None)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket)
}

/// A socket for echo requests to somebody (icmp(7)), where `net.ipv4.ping_group_range` lets this user have one.
pub(super) fn echoes_to(to: IpAddr) -> Result<OwnedFd, Errno> {
    let protocol = match to {
        IpAddr::V4(_) => ipproto::ICMP,
        IpAddr::V6(_) => ipproto::ICMPV6,
    };
    let socket = open(to, SocketType::DGRAM, Some(protocol))?;
    rustix::net::connect(&socket, &SocketAddr::new(to, 0))?;
    Ok(socket)
}

fn open(
    to: IpAddr,
    kind: SocketType,
    protocol: Option<rustix::net::Protocol>,
) -> Result<OwnedFd, Errno> {
    let family = match to {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, kind, flags, protocol)
}

/// How the kernel's word is passed on; `None`: in silence, and the sender tries again.
pub(super) fn refusal(error: Errno) -> Option<Refusal> {
    match error {
        Errno::CONNREFUSED | Errno::CONNRESET => Some(Refusal::Port),
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Some(Refusal::Host),
        Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => {
            Some(Refusal::Network)
        }
        Errno::ACCESS | Errno::PERM => Some(Refusal::Prohibited),
        _ => None,
    }
}
