//! What goes with a datagram beside its bytes: which control messages a program asked for, what they say, and what it may
//! choose for a datagram by them (ip(7), ipv6(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::l4_transport::udp::{Choices, Reported, Way};
use heptad_runtime::stack::{Family, PortId};

use super::sockets::Sockets;
use super::stamps::Stamps;
use crate::control;
use heptad_runtime::stack::l5_session::sockaddr;

/// `struct in_pktinfo`, `struct in6_pktinfo`.
const PKTINFO: usize = 12;
const PKTINFO_V6: usize = 20;
/// Who says what an error is (`linux/errqueue.h`).
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Which control messages the program asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pktinfo: bool,
    ttl: bool,
    tos: bool,
    pktinfo_v6: bool,
    hops: bool,
    class: bool,
    /// Times of arrival.
    pub stamps: Stamps,
}
impl Wanted {
    /// The switch of an option; `None` for other options.
    pub fn option(&mut self, name: (i32, i32)) -> Option<&mut bool> {
        Some(match name {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => &mut self.pktinfo,
            (libc::IPPROTO_IP, libc::IP_RECVTTL) => &mut self.ttl,
            (libc::IPPROTO_IP, libc::IP_RECVTOS) => &mut self.tos,
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) => &mut self.pktinfo_v6,
            (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT) => &mut self.hops,
            (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS) => &mut self.class,
            _ => return None,
        })
    }

    /// The messages for a datagram that came so, in Linux's order.
    pub fn messages(&self, network: &impl Sockets, machine: MachineId, way: &Way) -> Vec<u8> {
        let index = u32::from(way.port.0) + 1;
        let mut out = Vec::new();
        if self.pktinfo_v6 {
            let address = match way.to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            let info = [&address.octets()[..], &index.to_ne_bytes()].concat();
            control::push(&mut out, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), &info);
        }
        match way.to {
            IpAddr::V4(to) => self.messages_v4(&mut out, to, (index, way), || {
                let interfaces = network.interfaces(machine);
                interfaces.into_iter().find(|i| i.index == index)?.address
            }),
            IpAddr::V6(_) => self.messages_v6(&mut out, way),
        }
        out
    }

    fn messages_v4(
        &self,
        out: &mut Vec<u8>,
        to: Ipv4Addr,
        (index, way): (u32, &Way),
        address: impl FnOnce() -> Option<(IpAddr, u8)>,
    ) {
        if self.pktinfo {
            // ipi_spec_dst: the address that an answer speaks from.
            let ours = match address() {
                Some((IpAddr::V4(ours), len)) if is_group(to, ours, len) => ours,
                _ => to,
            };
            let info = [&index.to_ne_bytes()[..], &ours.octets(), &to.octets()].concat();
            control::push(out, (libc::IPPROTO_IP, libc::IP_PKTINFO), &info);
        }
        if self.ttl {
            let ttl = i32::from(way.hops).to_ne_bytes();
            control::push(out, (libc::IPPROTO_IP, libc::IP_TTL), &ttl);
        }
        if self.tos {
            control::push(out, (libc::IPPROTO_IP, libc::IP_TOS), &[way.class]);
        }
    }

    fn messages_v6(&self, out: &mut Vec<u8>, way: &Way) {
        let rows = [
            (self.hops, libc::IPV6_HOPLIMIT, way.hops),
            (self.class, libc::IPV6_TCLASS, way.class),
        ];
        for (_, name, value) in rows.into_iter().filter(|row| row.0) {
            let value = i32::from(value).to_ne_bytes();
            control::push(out, (libc::IPPROTO_IPV6, name), &value);
        }
    }
}

/// Whether an address is a group's or a broadcast on the cable of ours.
fn is_group(to: Ipv4Addr, ours: Ipv4Addr, len: u8) -> bool {
    let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    to.is_multicast() || to.is_broadcast() || to.to_bits() == ours.to_bits() | hosts
}

/// What a program chooses for a datagram to `remote`.
///
/// # Errors
/// `EINVAL` for what cannot be or is not known, `ENODEV` for an interface that is not there; as Linux.
pub fn choices(
    control: &[u8],
    (family, remote): (Family, SocketAddr),
    interfaces: impl FnOnce() -> usize,
) -> Result<Choices, i32> {
    let mut choices = Choices::default();
    let mut index = 0;
    let speaks_v4 = remote.ip().to_canonical().is_ipv4();
    for (name, data) in control::messages(control)? {
        match name {
            (libc::IPPROTO_IP, name) if speaks_v4 => v4(&mut choices, &mut index, name, data)?,
            (libc::IPPROTO_IPV6, name) if !speaks_v4 => v6(&mut choices, &mut index, name, data)?,
            // A socket of IPv6 that speaks IPv4 may say so in either way.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if family == Family::V6 => {
                v6(&mut choices, &mut index, libc::IPV6_PKTINFO, data)?;
            }
            // Other levels are not for us; Linux skips them too.
            _ => {}
        }
    }
    if index == 0 {
        return Ok(choices);
    }
    let port = index - 1;
    if port as usize >= interfaces() {
        return Err(libc::ENODEV);
    }
    choices.port = u16::try_from(port).ok().map(PortId);
    Ok(choices)
}

fn v4(choices: &mut Choices, index: &mut u32, name: i32, data: &[u8]) -> Result<(), i32> {
    match name {
        libc::IP_PKTINFO => {
            let info = data.first_chunk::<PKTINFO>().ok_or(libc::EINVAL)?;
            let [a, b, c, d, e, f, g, h, ..] = *info;
            *index = u32::from_ne_bytes([a, b, c, d]);
            choices.src = Some(Ipv4Addr::new(e, f, g, h).into());
        }
        libc::IP_TTL => choices.hops = Some(byte(int(data)?, 1)?),
        libc::IP_TOS => {
            choices.class = Some(match data {
                [tos] => *tos,
                _ => byte(int(data)?, 0)?,
            });
        }
        _ => return Err(libc::EINVAL),
    }
    Ok(())
}

fn v6(choices: &mut Choices, index: &mut u32, name: i32, data: &[u8]) -> Result<(), i32> {
    // -1 stands for what the socket says.
    let of_socket = |number: i32| match number {
        -1 => Ok(None),
        _ => byte(number, 0).map(Some),
    };
    match name {
        libc::IPV6_PKTINFO => {
            let info = data.first_chunk::<PKTINFO_V6>().ok_or(libc::EINVAL)?;
            let (address, interface) = info.split_at(16);
            let address: [u8; 16] = address.try_into().map_err(|_| libc::EINVAL)?;
            let interface = interface.try_into().map_err(|_| libc::EINVAL)?;
            *index = u32::from_ne_bytes(interface);
            choices.src = Some(Ipv6Addr::from(address).to_canonical());
        }
        libc::IPV6_HOPLIMIT => choices.hops = of_socket(int(data)?)?,
        libc::IPV6_TCLASS => choices.class = of_socket(int(data)?)?,
        _ => return Err(libc::EINVAL),
    }
    Ok(())
}

fn int(data: &[u8]) -> Result<i32, i32> {
    let bytes: [u8; 4] = data.try_into().map_err(|_| libc::EINVAL)?;
    Ok(i32::from_ne_bytes(bytes))
}
fn byte(number: i32, least: u8) -> Result<u8, i32> {
    let byte = u8::try_from(number).map_err(|_| libc::EINVAL)?;
    if byte < least {
        return Err(libc::EINVAL);
    }
    Ok(byte)
}

/// The message that tells of an error in the queue of errors: `struct sock_extended_err`, then who said it.
pub fn extended_error(reported: &Reported, family: Family) -> Vec<u8> {
    let (origin, kind, offender) = match &reported.told {
        None => (ORIGIN_LOCAL, (0, 0), None),
        Some(told) => {
            let origin = match told.from {
                IpAddr::V4(_) => ORIGIN_ICMP,
                IpAddr::V6(_) => ORIGIN_ICMP6,
            };
            let offender = family.shown(SocketAddr::new(told.from, 0));
            (origin, told.message.kind(), Some(offender))
        }
    };
    let mut bytes = reported.error.errno().to_ne_bytes().to_vec();
    bytes.extend([origin, kind.0, kind.1, 0]);
    bytes.extend(reported.mtu.unwrap_or(0).to_ne_bytes());
    bytes.extend([0; 4]);
    let name = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let unknown = SocketAddr::new(family.any(), 0);
    let mut address = sockaddr::encode(offender.unwrap_or(unknown));
    if offender.is_none() {
        address.fill(0);
    }
    bytes.extend(address);
    let mut out = Vec::new();
    control::push(&mut out, name, &bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(messages: &[(i32, i32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (level, name, data) in messages {
            control::push(&mut out, (*level, *name), data);
        }
        out
    }
    fn read(control: &[u8], family: Family, remote: &str) -> Result<Choices, i32> {
        choices(control, (family, remote.parse().unwrap()), || 2)
    }

    /// Level, name and data of one message, to whom; what becomes of it.
    type Row<'a> = (i32, i32, &'a [u8], &'a str, Result<Choices, i32>);

    #[test]
    fn what_a_program_chooses_is_checked_as_linux_checks_it() {
        let (v4, v6) = ("10.0.0.2:9", "[fd00::2]:9");
        let int = |n: i32| n.to_ne_bytes();
        let (ip, ipv6) = (libc::IPPROTO_IP, libc::IPPROTO_IPV6);
        let hops = |hops| Choices {
            hops: Some(hops),
            ..Choices::default()
        };
        let class = |class| Choices {
            class: Some(class),
            ..Choices::default()
        };
        let nothing = Ok(Choices::default());
        let table: [Row<'_>; 17] = [
            (ip, libc::IP_TTL, &int(7), v4, Ok(hops(7))),
            (ip, libc::IP_TTL, &int(0), v4, Err(libc::EINVAL)),
            (ip, libc::IP_TTL, &int(256), v4, Err(libc::EINVAL)),
            (ip, libc::IP_TTL, &[7], v4, Err(libc::EINVAL)),
            (ip, libc::IP_TOS, &int(0x10), v4, Ok(class(0x10))),
            (ip, libc::IP_TOS, &[0x10], v4, Ok(class(0x10))),
            (ip, libc::IP_TOS, &int(-1), v4, Err(libc::EINVAL)),
            (ip, libc::IP_PKTINFO, &[0; 11], v4, Err(libc::EINVAL)),
            (ip, 99, &[], v4, Err(libc::EINVAL)),
            (ip, libc::IP_TTL, &int(0), v6, nothing),
            (ipv6, libc::IPV6_HOPLIMIT, &int(9), v6, Ok(hops(9))),
            (ipv6, libc::IPV6_HOPLIMIT, &int(-1), v6, nothing),
            (ipv6, libc::IPV6_HOPLIMIT, &int(-2), v6, Err(libc::EINVAL)),
            (ipv6, libc::IPV6_TCLASS, &int(3), v6, Ok(class(3))),
            (ipv6, libc::IPV6_TCLASS, &[3], v6, Err(libc::EINVAL)),
            (ipv6, libc::IPV6_PKTINFO, &[0; 19], v6, Err(libc::EINVAL)),
            (libc::SOL_SOCKET, 99, &[], v4, nothing),
        ];
        for (level, name, data, remote, expected) in table {
            let read = read(&said(&[(level, name, data)]), Family::V4, remote);
            assert_eq!(read, expected, "{level} {name} {data:?} to {remote}");
        }
    }

    #[test]
    fn a_source_and_an_interface_are_chosen_together() {
        let mut info = vec![2, 0, 0, 0, 10, 0, 0, 7];
        info.extend([0; 4]);
        let control = said(&[(libc::IPPROTO_IP, libc::IP_PKTINFO, &info)]);
        let chosen = Choices {
            src: Some([10, 0, 0, 7].into()),
            port: Some(PortId(1)),
            ..Choices::default()
        };
        assert_eq!(read(&control, Family::V4, "10.0.0.2:9"), Ok(chosen));
        info[0] = 3;
        let control = said(&[(libc::IPPROTO_IP, libc::IP_PKTINFO, &info)]);
        assert_eq!(read(&control, Family::V4, "10.0.0.2:9"), Err(libc::ENODEV));
        // A socket of IPv6 names an address of IPv4 in its own way.
        let mapped = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().octets();
        let info = [&mapped[..], &2_u32.to_ne_bytes()].concat();
        let control = said(&[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)]);
        let read = read(&control, Family::V6, "[::ffff:10.0.0.2]:9");
        assert_eq!(read, Ok(chosen));
    }
}
