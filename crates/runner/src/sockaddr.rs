//! `struct sockaddr` of the kernel to [`SocketAddr`] and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of a `struct sockaddr_in`.
const IPV4_LENGTH: usize = 16;
/// Bytes of a `struct sockaddr_in6`.
const IPV6_LENGTH: usize = 28;
/// What Linux accepts for one: without the scope (RFC 2133).
const IPV6_SHORT: usize = 24;
/// Bytes of a `struct sockaddr_storage`: nothing longer is taken.
pub const LONGEST: usize = 128;

/// What a program gave as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// An address of the internet families.
    Address(SocketAddr),
    /// `AF_UNSPEC`: take back what was set. Carries the address that stands where an IPv4 one would.
    Unspecified(Option<SocketAddr>),
    /// Another family.
    Other(u16),
}

/// Reads a `struct sockaddr`.
///
/// # Errors
/// `EINVAL` when it is shorter than its family needs or longer than any.
pub fn decode(bytes: &[u8]) -> Result<Given, i32> {
    if bytes.len() > LONGEST {
        return Err(libc::EINVAL);
    }
    let family = u16::from_ne_bytes(take(bytes, 0)?);
    match i32::from(family) {
        libc::AF_INET => Ok(Given::Address(ipv4(bytes)?)),
        libc::AF_INET6 => Ok(Given::Address(ipv6(bytes)?)),
        libc::AF_UNSPEC => Ok(Given::Unspecified(ipv4(bytes).ok())),
        _ => Ok(Given::Other(family)),
    }
}

fn ipv4(bytes: &[u8]) -> Result<SocketAddr, i32> {
    if bytes.len() < IPV4_LENGTH {
        return Err(libc::EINVAL);
    }
    let port = u16::from_be_bytes(take(bytes, 2)?);
    Ok(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::from(take::<4>(bytes, 4)?)),
        port,
    ))
}

fn ipv6(bytes: &[u8]) -> Result<SocketAddr, i32> {
    if bytes.len() < IPV6_SHORT {
        return Err(libc::EINVAL);
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
        .ok_or(libc::EINVAL)
}

/// Writes a `struct sockaddr`: 16 bytes for IPv4, 28 for IPv6.
pub fn encode(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(IPV6_LENGTH);
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes.extend_from_slice(&v4.port().to_be_bytes());
            bytes.extend_from_slice(&v4.ip().octets());
            bytes.resize(IPV4_LENGTH, 0);
        }
        SocketAddr::V6(v6) => {
            bytes.extend_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
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

    #[test]
    fn an_address_survives_the_way_there_and_back() {
        for text in [
            "10.0.1.10:8080",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[2001:db8::7]:443",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(
                decode(&encode(address)),
                Ok(Given::Address(address)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_short_or_endless_address_is_invalid_and_a_foreign_one_is_named() {
        let whole = encode("10.0.1.10:8080".parse().unwrap());
        for length in 2..whole.len() {
            assert_eq!(
                decode(&whole[..length]),
                Err(libc::EINVAL),
                "{length} bytes"
            );
        }
        assert_eq!(decode(&[]), Err(libc::EINVAL));
        assert_eq!(decode(&[1]), Err(libc::EINVAL));
        assert_eq!(decode(&[0; LONGEST + 1]), Err(libc::EINVAL));
        assert_eq!(decode(&[1, 0, b'/', b'x']), Ok(Given::Other(1)));
        assert_eq!(decode(&[0, 0]), Ok(Given::Unspecified(None)));
    }
}
