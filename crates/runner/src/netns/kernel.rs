//! What the process that makes a namespace asks of the kernel, but for netlink.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::Place;
use super::make::said;
use super::requests::Routes;
use crate::probe::forbidden_by;

/// Enters a new network namespace: in one of users of our own, with our own number in it, so that no root is needed. Where
/// those are not to be had, root makes it without. The namespace of users is returned.
pub(super) fn enter_new() -> Result<Option<OwnedFd>, String> {
    // SAFETY: plain calls without arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let both = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
    match unshare(both) {
        Ok(()) => {}
        Err(_) if uid == 0 && unshare_network().is_ok() => return Ok(None),
        Err(error) => return Err(forbidden_by("user namespaces", &error)),
    }
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| forbidden_by("naming users", &error))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("{uid} {uid} 1"))?;
    map("gid_map", format!("{gid} {gid} 1"))?;
    current("user")
        .map(Some)
        .map_err(said("/proc/self/ns/user"))
}

/// Gives the namespace its addresses and routes.
pub(super) fn set_up(place: &Place, routes: &Routes) -> Result<(), String> {
    let name = place.interface.as_str();
    let has_ipv6 = place.automatic || place.addresses.iter().any(|(ip, _)| ip.is_ipv6());
    let of = |family: &str, key: &str| format!("net/{family}/conf/{name}/{key}");
    if !has_ipv6 {
        // As a node of ours without an address of IPv6: it sends no frame of it.
        set(&of("ipv6", "disable_ipv6"), "1");
    }
    if !place.automatic {
        set(&of("ipv6", "accept_ra"), "0");
    }
    // The lab file's addresses are known to be free.
    set(&of("ipv6", "accept_dad"), "0");
    if place.loopback {
        // ::1 is never on a cable (RFC 4291 2.5.3): without it, localhost means the cable.
        set("net/ipv6/conf/all/disable_ipv6", "1");
        set("net/ipv6/conf/lo/disable_ipv6", "1");
    }
    routes.set_link("lo", None, 0).map_err(said("lo"))?;
    routes
        .set_link(name, Some(place.mac), place.mtu)
        .map_err(said("the interface"))?;
    for (address, len) in &place.addresses {
        routes
            .add_address(name, *address, *len)
            .map_err(|error| format!("{address}/{len}: {error}"))?;
    }
    for gateway in &place.gateways {
        routes
            .add_gateway(name, *gateway)
            .map_err(|error| format!("gateway {gateway}: {error}"))?;
    }
    match place.loopback {
        true => lead_loopback_out(place, routes),
        false => Ok(()),
    }
}

/// What is sent to 127.0.0.0/8 leaves by the cable, and is taken as the node's own when it comes back: the table of local
/// addresses is asked about what comes in before one that we fill, and about what goes out after it.
fn lead_loopback_out(place: &Place, routes: &Routes) -> Result<(), String> {
    let name = place.interface.as_str();
    for file in ["all/rp_filter", &format!("{name}/rp_filter")] {
        set(&format!("net/ipv4/conf/{file}"), "0");
    }
    for key in ["accept_local", "route_localnet"] {
        let file = format!("/proc/sys/net/ipv4/conf/{name}/{key}");
        fs::write(&file, "1").map_err(|error| format!("{file}: {error}"))?;
    }
    routes
        .lead_loopback_out(name, place.mac)
        .map_err(said("a cable for localhost"))
}

/// A setting that is good to have; in a container it may be read-only.
pub(super) fn set(file: &str, value: &str) {
    let _ = fs::write(format!("/proc/sys/{file}"), value);
}

/// A namespace of this process, held open.
pub(super) fn current(kind: &str) -> io::Result<OwnedFd> {
    Ok(fs::File::open(format!("/proc/self/ns/{kind}"))?.into())
}

/// A new network, in the namespace of users that there is.
pub(super) fn unshare_network() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: plain integers.
    checked(unsafe { libc::unshare(flags) })
}

/// Enters the network of a namespace.
pub(super) fn enter_network(namespace: &OwnedFd) -> io::Result<()> {
    // SAFETY: a descriptor that is open, and plain integers.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// `struct ethtool_value`: the command, and 0 for off.
#[repr(C)]
struct Off {
    command: u32,
    value: u32,
}

/// `ETHTOOL_STXCSUM`, `ETHTOOL_STSO`, `ETHTOOL_SGSO` of `linux/ethtool.h`.
const OFFLOADS: [u32; 3] = [0x17, 0x1f, 0x24];

/// Frames leave the interface as on a wire: cut, their checksums filled.
pub(super) fn cut_and_fill(interface: &str) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), 0))?;
    for command in OFFLOADS {
        let mut off = Off { command, value: 0 };
        // SAFETY: `ifreq` consists of integers and of a union of integers and pointers, for all of which zeros are a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let room = request.ifr_name.len() - 1; // the last one stays zero
        for (slot, byte) in request
            .ifr_name
            .iter_mut()
            .take(room)
            .zip(interface.bytes())
        {
            *slot = byte.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut off).cast();
        let number = libc::SIOCETHTOOL as libc::Ioctl;
        // SAFETY: SIOCETHTOOL takes an `ifreq` whose pointer is to an `ethtool_value`; both live through the call.
        checked(unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut request) })?;
    }
    Ok(())
}

pub(super) fn checked(result: i32) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
