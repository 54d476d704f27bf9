//! Requests about interfaces (netdevice(7)): `struct ifreq`, a name of 16 bytes and a union of 24.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::sockets::Interface;
use crate::exec::calls::IFREQ;
use heptad_runtime::stack::l5_session::sockaddr;

const NAME: usize = 16;

const UP: u16 = 0x1;
const BROADCAST: u16 = 0x2;
const LOOPBACK: u16 = 0x8;
const RUNNING: u16 = 0x40;
const MULTICAST: u16 = 0x1000;

/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK`.
const HARDWARE: [u16; 2] = [1, 772];

/// The argument of a request, filled in.
///
/// # Errors
/// `ENODEV` for an interface that is not there, `EADDRNOTAVAIL` for one without an address, `EPERM` for changes,
/// `EINVAL` for what is not here.
pub fn answer(
    interfaces: &[Interface],
    request: u32,
    mut argument: Vec<u8>,
) -> Result<Vec<u8>, i32> {
    if libc::Ioctl::from(request) == libc::SIOCGIFCONF {
        return Ok(list(interfaces));
    }
    argument.resize(IFREQ, 0);
    let found = find(interfaces, request, &argument)?;
    let value: Vec<u8> = match libc::Ioctl::from(request) {
        libc::SIOCGIFNAME => {
            let mut name = found.name.clone().into_bytes();
            name.resize(NAME, 0);
            argument.splice(..NAME, name);
            return Ok(argument);
        }
        libc::SIOCGIFINDEX => found.index.to_ne_bytes().to_vec(),
        libc::SIOCGIFMTU => found.mtu.to_ne_bytes().to_vec(),
        libc::SIOCGIFMETRIC => vec![0; 4],
        libc::SIOCGIFFLAGS => flags(found).to_ne_bytes().to_vec(),
        libc::SIOCGIFHWADDR => {
            let kind = HARDWARE[usize::from(found.loopback)];
            [&kind.to_ne_bytes(), found.mac.as_slice()].concat()
        }
        libc::SIOCGIFADDR => address(found.address.ok_or(libc::EADDRNOTAVAIL)?.0),
        libc::SIOCGIFNETMASK => address(mask(found.address.ok_or(libc::EADDRNOTAVAIL)?.1).into()),
        libc::SIOCGIFBRDADDR => {
            address(broadcast(found.address.ok_or(libc::EADDRNOTAVAIL)?).into())
        }
        _ => return Err(libc::EINVAL),
    };
    let end = NAME + value.len();
    argument.splice(NAME..end, value);
    argument.truncate(IFREQ);
    Ok(argument)
}

/// One for each address.
fn list(interfaces: &[Interface]) -> Vec<u8> {
    let one = |interface: &Interface| {
        let mut bytes = interface.name.clone().into_bytes();
        bytes.resize(NAME, 0);
        bytes.extend(address(interface.address?.0));
        bytes.resize(IFREQ, 0);
        Some(bytes)
    };
    interfaces
        .iter()
        .filter_map(one)
        .collect::<Vec<_>>()
        .concat()
}

fn find<'a>(
    interfaces: &'a [Interface],
    request: u32,
    argument: &[u8],
) -> Result<&'a Interface, i32> {
    let found = if libc::Ioctl::from(request) == libc::SIOCGIFNAME {
        let index = argument
            .get(NAME..)
            .and_then(|rest| rest.first_chunk::<4>())
            .copied();
        let index = index.map(u32::from_ne_bytes).ok_or(libc::EINVAL)?;
        interfaces.iter().find(|interface| interface.index == index)
    } else {
        let name = argument.get(..NAME).unwrap_or(&[]);
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        interfaces
            .iter()
            .find(|interface| interface.name.as_bytes() == name)
    };
    found.ok_or(libc::ENODEV)
}

fn flags(interface: &Interface) -> u16 {
    let kind = if interface.loopback {
        LOOPBACK
    } else {
        BROADCAST | MULTICAST
    };
    UP | RUNNING | kind
}

fn address(ip: IpAddr) -> Vec<u8> {
    sockaddr::encode(SocketAddr::new(ip, 0))
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(
        u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(0),
    )
}

fn broadcast((ip, prefix): (IpAddr, u8)) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) | !u32::from(mask(prefix))),
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Vec<Interface> {
        let interface = |name: &str, index, address: &str, loopback| Interface {
            name: name.into(),
            index,
            address: Some((address.parse().unwrap(), if loopback { 8 } else { 24 })),
            mtu: if loopback { 65_536 } else { 1500 },
            mac: [2, 0, 0, 0, 0, index as u8],
            loopback,
        };
        vec![
            interface("lo", 1, "127.0.0.1", true),
            interface("eth0", 2, "10.0.1.10", false),
        ]
    }

    fn ask(request: libc::Ioctl, name: &str) -> Result<Vec<u8>, i32> {
        let mut argument = name.as_bytes().to_vec();
        argument.resize(IFREQ, 0xee);
        if let Some(end) = argument.get_mut(name.len()) {
            *end = 0;
        }
        answer(&interfaces(), request as u32, argument).map(|bytes| bytes[NAME..].to_vec())
    }

    #[test]
    fn an_interface_tells_its_address_mask_mtu_index_and_flags() {
        assert_eq!(
            ask(libc::SIOCGIFADDR, "eth0").unwrap()[4..8],
            [10, 0, 1, 10]
        );
        assert_eq!(
            ask(libc::SIOCGIFNETMASK, "eth0").unwrap()[4..8],
            [255, 255, 255, 0]
        );
        assert_eq!(
            ask(libc::SIOCGIFBRDADDR, "eth0").unwrap()[4..8],
            [10, 0, 1, 255]
        );
        assert_eq!(
            ask(libc::SIOCGIFMTU, "eth0").unwrap()[..4],
            1500_u32.to_ne_bytes()
        );
        assert_eq!(
            ask(libc::SIOCGIFINDEX, "eth0").unwrap()[..4],
            2_u32.to_ne_bytes()
        );
        assert_eq!(
            ask(libc::SIOCGIFFLAGS, "lo").unwrap()[..2],
            0x49_u16.to_ne_bytes()
        );
        assert_eq!(
            ask(libc::SIOCGIFHWADDR, "eth0").unwrap()[..8],
            [1, 0, 2, 0, 0, 0, 0, 2]
        );
        let all = answer(&interfaces(), libc::SIOCGIFCONF as u32, Vec::new()).unwrap();
        assert_eq!(all.len(), 2 * IFREQ);
        assert_eq!(all[IFREQ..IFREQ + 5], *b"eth0\0");
        assert_eq!(all[IFREQ + NAME + 4..][..4], [10, 0, 1, 10]);
        assert_eq!(ask(libc::SIOCGIFADDR, "nope"), Err(libc::ENODEV));
        assert_eq!(ask(libc::SIOCSIFFLAGS, "eth0"), Err(libc::EINVAL));
    }
}
