//! `struct sockaddr` of Linux to [`SocketAddr`] and back. Errors are Linux's errno.
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const AF_UNSPEC: i32 = 0;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const EINVAL: i32 = 22;
const EAFNOSUPPORT: i32 = 97;

/// Bytes of a `struct sockaddr_in`.
const IPV4_LENGTH: usize = 16;
/// Bytes of a `struct sockaddr_in6`.
const IPV6_LENGTH: usize = 28;
/// What Linux accepts for one: without the scope (RFC 2133).
const IPV6_SHORT: usize = 24;
/// Bytes of a `struct sockaddr_storage`: nothing longer is taken.
pub const LONGEST: usize = 128;

/// What a program gives an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `bind(2)`.
    Bind,
    /// `connect(2)`.
    Connect,
    /// `sendto(2)` and its like.
    Send,
}

/// A socket, as far as it matters to the addresses that are given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `AF_INET` or `AF_INET6`.
    pub family: i32,
    /// `SOCK_STREAM`.
    pub stream: bool,
}

/// Reads a `struct sockaddr`. `None`: `AF_UNSPEC` where that takes a peer back, or leaves it to the one that is set.
///
/// # Errors
/// As Linux, and in its order: `EINVAL` when it is too short for the socket's family or longer than any, `EAFNOSUPPORT` for
/// another family. A datagram socket of IPv6 may be connected and sent by an address of IPv4.
pub fn decode(bytes: &[u8], socket: Kind, purpose: Purpose) -> Result<Option<SocketAddr>, i32> {
    if bytes.len() > LONGEST {
        return Err(EINVAL);
    }
    let family = i32::from(u16::from_ne_bytes(take(bytes, 0)?));
    if (family, purpose) == (AF_UNSPEC, Purpose::Connect) {
        return Ok(None);
    }
    match socket.family {
        AF_INET => decode_ipv4(bytes, family, purpose).map(Some),
        _ => decode_ipv6(bytes, family, socket.stream, purpose),
    }
}

fn decode_ipv4(bytes: &[u8], family: i32, purpose: Purpose) -> Result<SocketAddr, i32> {
    let address = ipv4(bytes)?;
    let stands_for_ipv4 = purpose == Purpose::Send || address.ip().is_unspecified();
    match family {
        AF_INET => Ok(address),
        AF_UNSPEC if stands_for_ipv4 => Ok(address),
        _ => Err(EAFNOSUPPORT),
    }
}

fn decode_ipv6(
    bytes: &[u8],
    family: i32,
    stream: bool,
    purpose: Purpose,
) -> Result<Option<SocketAddr>, i32> {
    match family {
        AF_INET6 => ipv6(bytes).map(Some),
        AF_INET if !stream && purpose != Purpose::Bind => ipv4(bytes).map(Some),
        AF_UNSPEC if purpose == Purpose::Send => Ok(None),
        _ if purpose == Purpose::Send || bytes.len() < IPV6_SHORT => Err(EINVAL),
        _ => Err(EAFNOSUPPORT),
    }
}

fn ipv4(bytes: &[u8]) -> Result<SocketAddr, i32> {
    if bytes.len() < IPV4_LENGTH {
        return Err(EINVAL);
    }
    let port = u16::from_be_bytes(take(bytes, 2)?);
    Ok(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::from(take::<4>(bytes, 4)?)),
        port,
    ))
}

fn ipv6(bytes: &[u8]) -> Result<SocketAddr, i32> {
    if bytes.len() < IPV6_SHORT {
        return Err(EINVAL);
    }
    let port = u16::from_be_bytes(take(bytes, 2)?);
    let flow = u32::from_be_bytes(take(bytes, 4)?);
    let address = Ipv6Addr::from(take::<16>(bytes, 8)?);
    let scope = if bytes.len() >= IPV6_LENGTH {
        u32::from_ne_bytes(take(bytes, 24)?)
    } else {
        0
    };
    Ok(SocketAddr::V6(SocketAddrV6::new(
        address, port, flow, scope,
    )))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], i32> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or(EINVAL)
}

/// Writes a `struct sockaddr`: 16 bytes for IPv4, 28 for IPv6.
pub fn encode(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(IPV6_LENGTH);
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend_from_slice(&(AF_INET as u16).to_ne_bytes());
            bytes.extend_from_slice(&v4.port().to_be_bytes());
            bytes.extend_from_slice(&v4.ip().octets());
            bytes.resize(IPV4_LENGTH, 0);
        }
        SocketAddr::V6(v6) => {
            bytes.extend_from_slice(&(AF_INET6 as u16).to_ne_bytes());
            bytes.extend_from_slice(&v6.port().to_be_bytes());
            bytes.extend_from_slice(&v6.flowinfo().to_be_bytes());
            bytes.extend_from_slice(&v6.ip().octets());
            bytes.extend_from_slice(&v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [i32; 2] = [AF_INET, AF_INET6];

    fn kind(family: i32, stream: bool) -> Kind {
        Kind { family, stream }
    }

    #[test]
    fn an_address_survives_the_way_there_and_back() {
        for text in [
            "10.0.1.10:8080",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[2001:db8::7]:443",
            "[fe80::7%3]:443",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let socket = kind(FAMILIES[usize::from(address.is_ipv6())], true);
            let got = decode(&encode(address), socket, Purpose::Bind);
            assert_eq!(got, Ok(Some(address)), "{text}");
        }
    }

    /// As Linux 6.18 answers: `bind`, `connect`, `sendto`, given an address of IPv4 and one of IPv6 of so many bytes.
    #[test]
    fn what_is_too_short_or_of_another_family_is_refused_as_linux_does() {
        const OK: i32 = 0;
        const INVAL: i32 = EINVAL;
        const FAMILY: i32 = EAFNOSUPPORT;
        let (v4, v6) = (AF_INET, AF_INET6);
        let rows = [
            (
                kind(v4, true),
                15,
                [INVAL, INVAL, INVAL],
                [INVAL, INVAL, INVAL],
            ),
            (kind(v4, true), 16, [OK, OK, OK], [FAMILY, FAMILY, FAMILY]),
            (kind(v4, false), 28, [OK, OK, OK], [FAMILY, FAMILY, FAMILY]),
            (
                kind(v6, true),
                16,
                [INVAL, INVAL, INVAL],
                [INVAL, INVAL, INVAL],
            ),
            (kind(v6, true), 24, [FAMILY, FAMILY, INVAL], [OK, OK, OK]),
            (
                kind(v6, false),
                15,
                [INVAL, INVAL, INVAL],
                [INVAL, INVAL, INVAL],
            ),
            (kind(v6, false), 16, [INVAL, OK, OK], [INVAL, INVAL, INVAL]),
            (kind(v6, false), 28, [FAMILY, OK, OK], [OK, OK, OK]),
        ];
        for (socket, length, given_v4, given_v6) in rows {
            for (text, expected) in [("10.0.1.10:80", given_v4), ("[::1]:80", given_v6)] {
                let mut bytes = encode(text.parse().unwrap());
                bytes.resize(IPV6_LENGTH, 0);
                let purposes = [Purpose::Bind, Purpose::Connect, Purpose::Send];
                let got = purposes.map(|purpose| {
                    let read = decode(&bytes[..length], socket, purpose);
                    read.map_or_else(|errno| errno, |_| OK)
                });
                assert_eq!(got, expected, "{socket:?} {length} bytes of {text}");
            }
        }
    }

    #[test]
    fn no_family_takes_a_peer_back_or_stands_for_ipv4() {
        let none = [0; IPV6_LENGTH];
        let read = |family, stream, purpose| decode(&none, kind(family, stream), purpose);
        let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
        for family in FAMILIES {
            assert_eq!(read(family, true, Purpose::Connect), Ok(None));
        }
        assert_eq!(read(AF_INET, true, Purpose::Bind), Ok(Some(any)));
        assert_eq!(read(AF_INET, false, Purpose::Send), Ok(Some(any)));
        assert_eq!(read(AF_INET6, false, Purpose::Send), Ok(None));
        let refused = read(AF_INET6, true, Purpose::Bind);
        assert_eq!(refused, Err(EAFNOSUPPORT));
    }

    #[test]
    fn an_endless_or_empty_address_is_invalid() {
        for family in FAMILIES {
            for bytes in [&[][..], &[1], &[0; LONGEST + 1]] {
                let got = decode(bytes, kind(family, true), Purpose::Connect);
                assert_eq!(got, Err(EINVAL));
            }
        }
    }
}
