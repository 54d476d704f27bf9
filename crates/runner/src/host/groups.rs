//! Memberships by the structures of Linux (ip(7), ipv6(7), RFC 3678).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_runtime::stack::stack::{Filter, Link, Membership, Mode, SocketOption as Set};
use heptad_runtime::stack::{PortId, SocketError};

use super::options::int;
use super::sockets::{At, Sockets};
use crate::numbers::{
    IP_MSFILTER, MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_GROUP,
    MCAST_LEAVE_SOURCE_GROUP, MCAST_MSFILTER, MCAST_UNBLOCK_SOURCE,
};

/// Bytes of a `struct sockaddr_storage`.
const STORAGE: usize = 128;
/// Where the group begins in a `struct group_req`: behind the interface and padding.
const GROUP_AT: usize = 8;

/// What a call wants of which group.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    link: Link,
    group: IpAddr,
    asked: Membership,
}

/// Does what an option asks of a group; `None` if it is no option about groups.
pub(super) fn set(
    network: &impl Sockets,
    at: At,
    (level, name): (i32, i32),
    value: &[u8],
) -> Option<Result<(), i32>> {
    if let (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) = (level, name) {
        let option = outlet(value).map(Set::MulticastLink);
        return Some(option.and_then(|set| network.set(at, set).map_err(SocketError::errno)));
    }
    if let (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF) = (level, name) {
        let port = int(value).map(port_of).map(Set::MulticastPortV6);
        return Some(port.and_then(|set| network.set(at, set).map_err(SocketError::errno)));
    }
    let change = change(level, name, value)?;
    Some(change.and_then(|Change { link, group, asked }| {
        let changed = network.change_membership(at, (link, group), asked);
        changed.map_err(SocketError::errno)
    }))
}

/// The value of an option about where groups are spoken to; `None` if it is none of those.
pub(super) fn get(
    network: &impl Sockets,
    at: At,
    (level, name): (i32, i32),
) -> Option<Result<Vec<u8>, i32>> {
    let which = match (level, name) {
        (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) => Set::MulticastLink(Link::Any),
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF) => Set::MulticastPortV6(None),
        _ => return None,
    };
    let value = network.get(at, which).map_err(SocketError::errno);
    Some(value.map(|option| match option {
        Set::MulticastLink(Link::Address(address)) => address.octets().to_vec(),
        Set::MulticastPortV6(port) => {
            let index = port.map_or(0, |port| i32::from(port.0) + 1);
            index.to_ne_bytes().to_vec()
        }
        // An interface without an address: as Linux, which tells the address.
        _ => Ipv4Addr::UNSPECIFIED.octets().to_vec(),
    }))
}

fn change(level: i32, name: i32, value: &[u8]) -> Option<Result<Change, i32>> {
    let join = || Ok(Membership::Join);
    let leave = || Ok(Membership::Leave);
    Some(match (level, name) {
        (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP) => mreq(value, Membership::Join),
        (libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP) => mreq(value, Membership::Leave),
        (libc::IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP) => {
            mreq_source(value, Membership::JoinSource)
        }
        (libc::IPPROTO_IP, libc::IP_DROP_SOURCE_MEMBERSHIP) => {
            mreq_source(value, Membership::LeaveSource)
        }
        (libc::IPPROTO_IP, libc::IP_BLOCK_SOURCE) => mreq_source(value, Membership::Block),
        (libc::IPPROTO_IP, libc::IP_UNBLOCK_SOURCE) => mreq_source(value, Membership::Unblock),
        (libc::IPPROTO_IP, IP_MSFILTER) => msfilter(value),
        (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP) => ipv6_mreq(value, Membership::Join),
        (libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP) => ipv6_mreq(value, Membership::Leave),
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6, name) => {
            let source = || storage(value, GROUP_AT + STORAGE);
            let asked = match name {
                MCAST_JOIN_GROUP => join(),
                MCAST_LEAVE_GROUP => leave(),
                MCAST_BLOCK_SOURCE => source().map(Membership::Block),
                MCAST_UNBLOCK_SOURCE => source().map(Membership::Unblock),
                MCAST_JOIN_SOURCE_GROUP => source().map(Membership::JoinSource),
                MCAST_LEAVE_SOURCE_GROUP => source().map(Membership::LeaveSource),
                MCAST_MSFILTER => group_filter(value),
                _ => return None,
            };
            asked.and_then(|asked| group_req(level, value, asked))
        }
        _ => return None,
    })
}

/// `struct in_addr`, `ip_mreq` or `ip_mreqn`: by which link groups are spoken to.
fn outlet(value: &[u8]) -> Result<Link, i32> {
    match value.len() {
        0..4 => Err(libc::EINVAL),
        4..8 => Ok(link(0, ipv4(value, 0)?)),
        8..12 => Ok(link(0, ipv4(value, 4)?)),
        _ => Ok(link(number(value, 8)?, ipv4(value, 4)?)),
    }
}
/// `struct ip_mreq` or `ip_mreqn`.
fn mreq(value: &[u8], asked: Membership) -> Result<Change, i32> {
    let (group, address) = (ipv4(value, 0)?, ipv4(value, 4)?);
    Ok(Change {
        link: link(number(value, 8).unwrap_or(0), address),
        group: group.into(),
        asked,
    })
}
/// `struct ip_mreq_source`.
fn mreq_source(value: &[u8], asked: fn(IpAddr) -> Membership) -> Result<Change, i32> {
    if value.len() != 12 {
        return Err(libc::EINVAL);
    }
    Ok(Change {
        link: link(0, ipv4(value, 4)?),
        group: ipv4(value, 0)?.into(),
        asked: asked(ipv4(value, 8)?.into()),
    })
}
/// `struct ip_msfilter`.
fn msfilter(value: &[u8]) -> Result<Change, i32> {
    let source = |n: usize| ipv4(value, 16 + 4 * n).map(IpAddr::V4);
    Ok(Change {
        link: link(0, ipv4(value, 4)?),
        group: ipv4(value, 0)?.into(),
        asked: filter(number(value, 8)?, number(value, 12)?, source)?,
    })
}
/// `struct ipv6_mreq`.
fn ipv6_mreq(value: &[u8], asked: Membership) -> Result<Change, i32> {
    let group = Ipv6Addr::from_octets(bytes(value, 0)?);
    Ok(Change {
        link: link(number(value, 16)?, Ipv4Addr::UNSPECIFIED),
        group: group.into(),
        asked,
    })
}
/// `struct group_req`, and the beginning of `group_source_req` and `group_filter`.
fn group_req(level: i32, value: &[u8], asked: Membership) -> Result<Change, i32> {
    let group = storage(value, GROUP_AT)?;
    if group.is_ipv4() != (level == libc::IPPROTO_IP) {
        return Err(libc::EINVAL);
    }
    Ok(Change {
        link: link(number(value, 0)?, Ipv4Addr::UNSPECIFIED),
        group,
        asked,
    })
}
/// The rest of a `struct group_filter`.
fn group_filter(value: &[u8]) -> Result<Membership, i32> {
    let at = GROUP_AT + STORAGE;
    let source = |n: usize| storage(value, at + 8 + STORAGE * n);
    filter(number(value, at)?, number(value, at + 4)?, source)
}

/// As Linux numbers modes: MCAST_EXCLUDE is 0, MCAST_INCLUDE 1.
fn filter(
    mode: i32,
    count: i32,
    source: impl Fn(usize) -> Result<IpAddr, i32>,
) -> Result<Membership, i32> {
    let mode = match mode {
        0 => Mode::Exclude,
        1 => Mode::Include,
        _ => return Err(libc::EINVAL),
    };
    let count = usize::try_from(count).map_err(|_| libc::ENOBUFS)?;
    let sources = (0..count).map(source).collect::<Result<_, _>>()?;
    Ok(Membership::Replace(Filter { mode, sources }))
}

/// An interface's number goes before its address; neither: as routing picks.
fn link(index: i32, address: Ipv4Addr) -> Link {
    match (port_of(index), address) {
        (Some(port), _) => Link::Port(port),
        (None, Ipv4Addr::UNSPECIFIED) => Link::Any,
        (None, address) => Link::Address(address),
    }
}
/// A number that no interface has stands for a port that is not there.
fn port_of(index: i32) -> Option<PortId> {
    let none = PortId(u16::MAX - 1);
    (index != 0).then(|| u16::try_from(index - 1).map_or(none, PortId))
}
fn bytes<const N: usize>(value: &[u8], at: usize) -> Result<[u8; N], i32> {
    let found = value.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(libc::EINVAL)
}
fn number(value: &[u8], at: usize) -> Result<i32, i32> {
    bytes(value, at).map(i32::from_ne_bytes)
}
fn ipv4(value: &[u8], at: usize) -> Result<Ipv4Addr, i32> {
    bytes(value, at).map(Ipv4Addr::from_octets)
}
/// The address in a `struct sockaddr_storage`.
fn storage(value: &[u8], at: usize) -> Result<IpAddr, i32> {
    let whole: [u8; STORAGE] = bytes(value, at)?;
    let [f0, f1, ..] = whole;
    match i32::from(u16::from_ne_bytes([f0, f1])) {
        libc::AF_INET => ipv4(&whole, 4).map(IpAddr::V4),
        libc::AF_INET6 => Ok(Ipv6Addr::from_octets(bytes(&whole, 8)?).into()),
        _ => Err(libc::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{IPPROTO_IP, IPPROTO_IPV6};

    fn pieces(pieces: &[&[u8]]) -> Vec<u8> {
        pieces.concat()
    }
    fn sockaddr(ip: &str) -> Vec<u8> {
        let mut out = match ip.parse().unwrap() {
            IpAddr::V4(v4) => pieces(&[&2u16.to_ne_bytes(), &[0; 2], &v4.octets()]),
            IpAddr::V6(v6) => pieces(&[&10u16.to_ne_bytes(), &[0; 6], &v6.octets()]),
        };
        out.resize(STORAGE, 0);
        out
    }
    fn change_of(link: Link, group: &str, asked: Membership) -> Option<Result<Change, i32>> {
        let group = group.parse().unwrap();
        Some(Ok(Change { link, group, asked }))
    }

    #[test]
    fn the_structures_of_linux_are_read() {
        let four = 4_i32.to_ne_bytes();
        let address = Link::Address([10, 0, 1, 10].into());
        let by_number = Link::Port(PortId(3));
        let group = [239, 1, 2, 3];
        let source = IpAddr::from([10, 0, 1, 20]);
        let v6 = "ff15::1234".parse::<Ipv6Addr>().unwrap().octets();
        let (join, leave) = (Membership::Join, Membership::Leave);
        let replace = Membership::Replace(Filter {
            mode: Mode::Include,
            sources: [source].into(),
        });
        let one = 1_i32.to_ne_bytes();
        let rows = [
            (
                (IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
                pieces(&[&group, &[10, 0, 1, 10]]),
                change_of(address, "239.1.2.3", join.clone()),
            ),
            (
                (IPPROTO_IP, libc::IP_DROP_MEMBERSHIP),
                pieces(&[&group, &[0; 4], &four]),
                change_of(by_number, "239.1.2.3", leave),
            ),
            (
                (IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP),
                pieces(&[&group, &[0; 4], &[10, 0, 1, 20]]),
                change_of(Link::Any, "239.1.2.3", Membership::JoinSource(source)),
            ),
            (
                (IPPROTO_IP, IP_MSFILTER),
                pieces(&[&group, &[0; 4], &one, &one, &[10, 0, 1, 20]]),
                change_of(Link::Any, "239.1.2.3", replace.clone()),
            ),
            (
                (IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP),
                pieces(&[&v6, &four]),
                change_of(by_number, "ff15::1234", join.clone()),
            ),
            (
                (IPPROTO_IPV6, MCAST_JOIN_GROUP),
                pieces(&[&four, &[0; 4], &sockaddr("ff15::1234")]),
                change_of(by_number, "ff15::1234", join),
            ),
            (
                (IPPROTO_IP, MCAST_BLOCK_SOURCE),
                pieces(&[&[0; 8], &sockaddr("239.1.2.3"), &sockaddr("10.0.1.20")]),
                change_of(Link::Any, "239.1.2.3", Membership::Block(source)),
            ),
            (
                (IPPROTO_IP, MCAST_MSFILTER),
                pieces(&[
                    &[0; 8],
                    &sockaddr("239.1.2.3"),
                    &one,
                    &one,
                    &sockaddr("10.0.1.20"),
                ]),
                change_of(Link::Any, "239.1.2.3", replace),
            ),
        ];
        for ((level, name), value, expected) in rows {
            assert_eq!(change(level, name, &value), expected, "{name}");
        }
    }

    #[test]
    fn what_is_too_short_or_of_the_other_family_is_refused() {
        let (one, four) = (1_i32.to_ne_bytes(), 4_i32.to_ne_bytes());
        let group: [u8; 4] = [239, 1, 2, 3];
        let rows = [
            // Too short, of the other family, and no option about groups.
            (
                (IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
                group.to_vec(),
                Some(Err(libc::EINVAL)),
            ),
            (
                (IPPROTO_IPV6, MCAST_JOIN_GROUP),
                pieces(&[&four, &[0; 4], &sockaddr("239.1.2.3")]),
                Some(Err(libc::EINVAL)),
            ),
            (
                (IPPROTO_IP, IP_MSFILTER),
                pieces(&[&group, &[0; 4], &one, &four, &[10, 0, 1, 20]]),
                Some(Err(libc::EINVAL)),
            ),
            ((IPPROTO_IP, libc::IP_TTL), four.to_vec(), None),
        ];
        for ((level, name), value, expected) in rows {
            assert_eq!(change(level, name, &value), expected, "{name}");
        }
    }

    #[test]
    fn the_link_to_speak_by_is_told_in_three_ways() {
        let four = 4_i32.to_ne_bytes();
        for (value, expected) in [
            (vec![0; 4], Ok(Link::Any)),
            (vec![10, 0, 1, 10], Ok(Link::Address([10, 0, 1, 10].into()))),
            (
                pieces(&[&[0; 4], &[10, 0, 1, 10]]),
                Ok(Link::Address([10, 0, 1, 10].into())),
            ),
            (pieces(&[&[0; 8], &four]), Ok(Link::Port(PortId(3)))),
            (vec![0; 3], Err(libc::EINVAL)),
        ] {
            assert_eq!(outlet(&value), expected);
        }
    }
}
