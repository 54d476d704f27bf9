//! What layers 1 to 3 of a node have in their tables, at one moment: what `ip` shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_runtime::stack::l1_physical::PortCounters;
use heptad_runtime::stack::l4_transport::tcp::{self, TimerKind};
use heptad_runtime::stack::stack::{Address6, Neighbour, RouteRow, Standing};
use heptad_runtime::stack::{Instant, PortConfig, PortId, Stack};

/// An address of IPv4 of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address4 {
    /// Where.
    pub port: PortId,
    /// The address.
    pub ip: Ipv4Addr,
    /// Its on-link prefix, bits.
    pub len: u8,
    /// How it stands where the port detects conflicts.
    pub standing: Option<Standing>,
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// When they were looked at.
    pub now: Instant,
    /// Ports in order of their ids, `lo` first.
    pub ports: Vec<(PortConfig, PortCounters)>,
    /// Addresses of IPv4, by port.
    pub addresses: Vec<Address4>,
    /// Addresses of IPv6, with their zones, by port.
    pub addresses_v6: Vec<(PortId, Address6)>,
    /// Routes of both families.
    pub routes: Vec<RouteRow>,
    /// Neighbours of both families, with their zones.
    pub neighbours: Vec<Neighbour>,
    /// Name servers that routers told.
    pub resolvers: Vec<Ipv6Addr>,
}

impl Tables {
    /// Those of a host.
    pub fn of(stack: &Stack, now: Instant) -> Self {
        let addresses = stack.addresses().into_iter();
        let addresses = addresses.filter_map(|(port, ip, len)| match ip {
            IpAddr::V4(ip) => Some(Address4 {
                port,
                ip,
                len,
                standing: stack.standing(port, ip),
            }),
            IpAddr::V6(_) => None,
        });
        let ports = stack.ports();
        let ids = (0..).map(PortId).zip(&ports);
        let resolvers = ids.flat_map(|(port, _)| stack.resolvers(port));
        Self {
            now,
            resolvers: resolvers.collect(),
            ports,
            addresses: addresses.collect(),
            addresses_v6: stack.ipv6_addresses(),
            routes: stack.route_table(),
            neighbours: stack.neighbours(),
        }
    }
}

/// How a host is set up: what `sysctl` shows.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// It is a router.
    pub forwarding: bool,
    /// TCP's.
    pub tcp: tcp::Config,
}

impl Settings {
    /// Those of a host.
    pub fn of(stack: &Stack) -> Self {
        Self {
            forwarding: stack.is_forwarding(),
            tcp: stack.tcp_config().clone(),
        }
    }
}

/// Which timer of a connection runs, as `/proc/net/tcp` and sock_diag(7) number them.
pub fn number_of(timer: TimerKind) -> u8 {
    match timer {
        TimerKind::Retransmission => 1,
        TimerKind::Keepalive => 2,
        TimerKind::TimeWait => 3,
        TimerKind::Persist => 4,
    }
}
