//! Scope zones (RFC 4007): `fe80::1` means somebody only together with its link.
//!
//! Inside a host the zone stands in the address itself: the bytes 2 and 3 of such an address, zero on every cable, hold the
//! port's number and one. So tables that know addresses know zones, and only the border to the cable and the one to the
//! programs translate.
use core::net::{IpAddr, Ipv6Addr};

use heptad_wire::checksum;

use crate::l1_physical::PortId;

/// Whether an address means something on one link only: link-local ones, and groups of interface-local or link-local scope.
pub fn needs_zone(ip: Ipv6Addr) -> bool {
    match ip.octets() {
        [0xff, scope, ..] => matches!(scope & 0x0f, 1 | 2),
        _ => ip.is_unicast_link_local(),
    }
}
/// Whether what is sent to a group with this TTL or hop limit leaves the host.
pub fn leaves(group: IpAddr, ttl: u8) -> bool {
    let stays = |group: Ipv6Addr| group.octets()[1] & 0x0f <= 1;
    ttl > 0 && !matches!(group, IpAddr::V6(group) if stays(group))
}
/// The address on the link of this port; others stay as they are.
pub fn zoned(ip: Ipv6Addr, port: PortId) -> Ipv6Addr {
    match needs_zone(ip) {
        true => with_zone(ip, port.0.wrapping_add(1)),
        false => ip,
    }
}
/// The address as it stands on a cable.
pub fn bare(ip: Ipv6Addr) -> Ipv6Addr {
    match needs_zone(ip) {
        true => with_zone(ip, 0),
        false => ip,
    }
}
/// The port whose link an address belongs to; `None`: any, or none was told.
pub fn zone_of(ip: Ipv6Addr) -> Option<PortId> {
    if !needs_zone(ip) {
        return None;
    }
    let [_, _, high, low, ..] = ip.octets();
    u16::from_be_bytes([high, low]).checked_sub(1).map(PortId)
}
/// The address on the link of this port, of either family.
pub fn zoned_ip(ip: IpAddr, port: PortId) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => zoned(ip, port).into(),
        IpAddr::V4(_) => ip,
    }
}
/// As it stands on a cable, of either family.
pub fn bare_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => bare(ip).into(),
        IpAddr::V4(_) => ip,
    }
}
/// The sum of the pseudo-header over the addresses as they stand on a cable.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> u16 {
    checksum::pseudo_header(bare_ip(src), bare_ip(dst), protocol, len)
}

fn with_zone(ip: Ipv6Addr, zone: u16) -> Ipv6Addr {
    let mut octets = ip.octets();
    octets[2..4].copy_from_slice(&zone.to_be_bytes());
    Ipv6Addr::from_octets(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_and_groups_have_a_zone_and_others_none() {
        let port = PortId(2);
        for (bare_text, zoned_text) in [
            ("fe80::1", "fe80:3::1"),
            ("febf::1", "febf:3::1"),
            ("ff02::1", "ff02:3::1"),
            ("ff11::7", "ff11:3::7"),
        ] {
            let ip: Ipv6Addr = bare_text.parse().unwrap();
            let inside = zoned(ip, port);
            assert_eq!(inside, zoned_text.parse::<Ipv6Addr>().unwrap());
            assert_eq!((bare(inside), zone_of(inside)), (ip, Some(port)));
            assert_eq!(zone_of(ip), None);
        }
        for text in ["::1", "fd00::1", "2001:db8::1", "ff05::1", "ff0e::1"] {
            let ip: Ipv6Addr = text.parse().unwrap();
            assert_eq!((zoned(ip, port), zone_of(ip)), (ip, None), "{text}");
        }
    }
}
