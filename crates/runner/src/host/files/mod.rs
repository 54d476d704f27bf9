//! Files that say what the network is, written for a node at the moment when a program opens one.

mod mib;
mod proc_net;
mod sockets;
mod sysctl;

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::{Family, SocketId, SocketKind};
use heptad_runtime::uplink::NAMESERVER;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

use super::entry::Inodes;
use super::server::Server;
use super::sockets::Sockets;
use super::tables::Tables;
use crate::protocol::{Answer, Outcome};

/// The number of a socket's end in the program's descriptors; 0: none.
type Inode<'a> = &'a dyn Fn(Option<SocketId>) -> u32;

impl<S: Sockets> Server<S> {
    /// `open(2)` of such a file. One that is not here is the kernel's.
    pub(super) fn file(
        &mut self,
        (channel, id): (u64, u64),
        path: &str,
    ) -> Result<Option<Outcome>, i32> {
        self.let_go_of_closed();
        let node = self.channels.get(&channel).ok_or(libc::EPIPE)?.node;
        let inodes = Inodes::of(&self.entries, node);
        let inode = |socket: Option<SocketId>| socket.map_or(0, |socket| inodes.get(socket));
        let Some(file) = text(&self.network, node, path, &inode)
            .and_then(|text| to_be_read(text.as_bytes()).ok())
        else {
            return Ok(Some(Outcome::Native));
        };
        let result = Ok(Outcome::File);
        self.send(channel, &Answer::Done { id, result }, vec![file]);
        Ok(None)
    }
}

/// What a file says.
fn text(network: &impl Sockets, node: MachineId, path: &str, inode: Inode<'_>) -> Option<String> {
    let tables = || network.tables(node);
    let details = || network.details(node);
    let sockets = |kind, family| sockets::shown(&details(), (kind, family), inode);
    let counters = || network.counters(node);
    let raw = SocketKind::Raw(0);
    if let Some(name) = path.strip_prefix("/proc/sys/net/") {
        return sysctl::text(name, &network.settings(node), &tables());
    }
    Some(match path {
        "/etc/hosts" => hosts(network, node),
        "/etc/resolv.conf" => resolvers(&tables()),
        "/proc/net/arp" => proc_net::arp(&tables()),
        "/proc/net/dev" => proc_net::dev(&tables()),
        "/proc/net/if_inet6" => proc_net::if_inet6(&tables()),
        "/proc/net/ipv6_route" => proc_net::ipv6_route(&tables()),
        "/proc/net/route" => proc_net::route(&tables()),
        "/proc/net/icmp" => sockets(SocketKind::Echo, Family::V4),
        "/proc/net/icmp6" => sockets(SocketKind::Echo, Family::V6),
        "/proc/net/netstat" => mib::netstat(&counters()),
        "/proc/net/raw" => sockets(raw, Family::V4),
        "/proc/net/raw6" => sockets(raw, Family::V6),
        "/proc/net/snmp" => {
            let forwards = network.settings(node).forwarding;
            mib::snmp(&counters(), forwards, &details())
        }
        "/proc/net/snmp6" => mib::snmp6(&counters()),
        "/proc/net/sockstat" => mib::sockstat(&details()),
        "/proc/net/sockstat6" => mib::sockstat6(&details()),
        "/proc/net/tcp" => sockets(SocketKind::Stream, Family::V4),
        "/proc/net/tcp6" => sockets(SocketKind::Stream, Family::V6),
        "/proc/net/udp" => sockets(SocketKind::Datagram, Family::V4),
        "/proc/net/udp6" => sockets(SocketKind::Datagram, Family::V6),
        "/proc/net/udplite" => sockets(SocketKind::Lite, Family::V4),
        "/proc/net/udplite6" => sockets(SocketKind::Lite, Family::V6),
        _ => return None,
    })
}

/// hosts(5): every node. What this machine calls itself is another name of the program's own node.
pub(crate) fn hosts(network: &impl Sockets, node: MachineId) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_str().unwrap_or_default();
    let names = network.names();
    let has_address =
        |(id, _, addresses): &(MachineId, _, Vec<_>)| *id == node && !addresses.is_empty();
    if !machine.is_empty() && !names.iter().any(has_address) {
        // As Debian does it for a host without a network.
        let _ = writeln!(text, "127.0.1.1\t{machine}");
    }
    for (id, name, addresses) in names {
        let other = (id == node && name != machine && !machine.is_empty()).then_some(machine);
        let space = if other.is_some() { " " } else { "" };
        let names = format!("{name}{space}{}", other.unwrap_or_default());
        for address in addresses {
            // A String takes everything.
            let _ = writeln!(text, "{address}\t{names}");
        }
    }
    text
}

/// resolv.conf(5): those that routers told, then an address that nobody has: the lab answers, or an uplink.
fn resolvers(tables: &Tables) -> String {
    let told = tables.resolvers.iter().copied().map(IpAddr::from);
    let all = told.chain([NAMESERVER.into()]);
    all.map(|address| format!("nameserver {address}\n"))
        .collect()
}

/// A file of this text, at its beginning and for reading only.
pub(crate) fn to_be_read(text: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("heptad", flags)?;
    let mut rest = text;
    while !rest.is_empty() {
        let count = rustix::io::write(&file, rest)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
    )?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_file_is_read_from_its_beginning_and_not_written() {
        let text = "x".repeat(200_000);
        let mut file = std::fs::File::from(to_be_read(text.as_bytes()).unwrap());
        let mut got = String::new();
        file.read_to_string(&mut got).unwrap();
        assert_eq!(got, text);
        assert!(file.write(b"y").is_err());
    }

    #[test]
    fn resolvers_are_those_of_routers_and_the_lab() {
        let mut tables = Tables::default();
        assert_eq!(resolvers(&tables), "nameserver 192.0.2.53\n");
        tables.resolvers.push("fd00::53".parse().unwrap());
        assert_eq!(
            resolvers(&tables),
            "nameserver fd00::53\nnameserver 192.0.2.53\n"
        );
    }
}
