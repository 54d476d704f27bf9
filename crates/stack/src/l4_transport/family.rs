//! The family of a socket, and the addresses that it speaks of.
//!
//! Below the verbs of sockets an IPv4 address is an IPv4 address, whatever socket it belongs to. A program with a socket of IPv6
//! writes and reads it as `::ffff:a.b.c.d` (RFC 4291 2.5.5.2, RFC 3493 3.7): [`Family::canonical`] on the way in, [`Family::shown`]
//! on the way out. An address of a link says by its scope which link it is meant on (RFC 4007 6): the port's number and one, as
//! Linux counts interfaces; inside it is in the address itself.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;

use super::readiness::SocketError;
use crate::l1_physical::PortId;
use crate::l3_network::zone;

/// Which addresses a socket's program speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Family {
    /// AF_INET.
    #[default]
    V4,
    /// AF_INET6; IPv4 too, unless IPV6_V6ONLY is set.
    V6,
}
impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
impl Family {
    /// Its unspecified address.
    pub fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
    /// The protocol number of its ICMP.
    pub fn icmp(self) -> u8 {
        match self {
            Self::V4 => protocol::ICMP,
            Self::V6 => next_header::ICMPV6,
        }
    }
    /// An address as a program gave it, as the stack has it. `FamilyNotSupported` for one of the other family.
    pub fn canonical(self, given: SocketAddr) -> Result<SocketAddr, SocketError> {
        match (self, given) {
            (Self::V4, SocketAddr::V4(_)) => Ok(given),
            (Self::V6, SocketAddr::V6(given)) => Ok(canonical(given)),
            _ => Err(SocketError::FamilyNotSupported),
        }
    }
    /// An address of the stack, as the program sees it.
    pub fn shown(self, address: SocketAddr) -> SocketAddr {
        match (self, address) {
            (Self::V6, SocketAddr::V4(v4)) => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            _ => with_scope(address),
        }
    }
}

/// An address of the stack with its zone where a reader looks for it.
pub fn with_scope(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => {
            let scope = zone::zone_of(*v6.ip()).map_or(0, |port| u32::from(port.0) + 1);
            SocketAddrV6::new(zone::bare(*v6.ip()), v6.port(), 0, scope).into()
        }
        SocketAddr::V4(_) => address,
    }
}

/// Flow labels name no place, nor does the scope of what is not an address of a link.
fn canonical(given: SocketAddrV6) -> SocketAddr {
    if let Some(v4) = given.ip().to_ipv4_mapped() {
        return SocketAddr::new(v4.into(), given.port());
    }
    let ip = zone::bare(*given.ip());
    let ip = match given.scope_id() {
        0 => ip,
        scope => zone::zoned(ip, port_of(scope)),
    };
    SocketAddr::new(ip.into(), given.port())
}

/// The port that a scope names; one that no host has for a number beyond them.
fn port_of(scope: u32) -> PortId {
    PortId(u16::try_from(scope - 1).unwrap_or(u16::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_cross_the_border_of_a_socket_and_back() {
        use Family::{V4, V6};
        let rows = [
            // family, given, in the stack, shown again
            (V4, "10.0.1.10:80", "10.0.1.10:80", "10.0.1.10:80"),
            (
                V6,
                "[2001:db8::1]:80",
                "[2001:db8::1]:80",
                "[2001:db8::1]:80",
            ),
            (
                V6,
                "[::ffff:10.0.1.10]:80",
                "10.0.1.10:80",
                "[::ffff:10.0.1.10]:80",
            ),
            (V6, "[::ffff:0.0.0.0]:0", "0.0.0.0:0", "[::ffff:0.0.0.0]:0"),
            (V6, "[::]:80", "[::]:80", "[::]:80"),
            // Not mapped: RFC 4291 2.5.5.1 took the compatible addresses back.
            (
                V6,
                "[::10.0.1.10]:80",
                "[::10.0.1.10]:80",
                "[::10.0.1.10]:80",
            ),
            (
                V6,
                "[2001:db8::1%3]:80",
                "[2001:db8::1]:80",
                "[2001:db8::1]:80",
            ),
            (V6, "[fe80::1%3]:80", "[fe80:3::1]:80", "[fe80::1%3]:80"),
            (V6, "[ff02::1%3]:80", "[ff02:3::1]:80", "[ff02::1%3]:80"),
            (V6, "[fe80:9::1]:80", "[fe80::1]:80", "[fe80::1]:80"),
            (V6, "[ff0e::1%3]:80", "[ff0e::1]:80", "[ff0e::1]:80"),
        ];
        for (family, given, inside, shown) in rows {
            let canonical = family.canonical(addr(given));
            assert_eq!(canonical, Ok(addr(inside)), "{given}");
            assert_eq!(family.shown(addr(inside)), addr(shown), "{given}");
        }
        let labelled = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, 0).into();
        assert_eq!(V6.canonical(labelled), Ok(addr("[::1]:80")));
    }

    #[test]
    fn an_address_of_the_other_family_is_none() {
        let other = Err(SocketError::FamilyNotSupported);
        assert_eq!(Family::V4.canonical(addr("[::1]:80")), other);
        assert_eq!(Family::V4.canonical(addr("[::ffff:10.0.1.10]:80")), other);
        assert_eq!(Family::V6.canonical(addr("10.0.1.10:80")), other);
    }
}
