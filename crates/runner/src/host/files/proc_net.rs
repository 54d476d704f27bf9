//! `/proc/net` of layers 1 to 3, column by column as Linux writes it: what net-tools and busybox read.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::stack::{AddressState, Origin, RouteOrigin};
use heptad_runtime::stack::{Medium, PortId};

use crate::host::tables::Tables;

/// Flags of routes (`linux/route.h`, `linux/ipv6_route.h`).
const UP: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const HOST: u32 = 0x4;
const REJECT: u32 = 0x200;
const DEFAULT: u32 = 0x1_0000;
const BY_ROUTER: u32 = 0x4_0000;
const NO_NEXT_HOP: u32 = 0x20_0000;
const EXPIRES: u32 = 0x40_0000;
const LOCAL: u32 = 0x8000_0000;

/// Columns of a line of `/proc/net/route`.
const WIDTH: usize = 127;

/// Adds a line. A String takes everything.
macro_rules! line {
    ($text:expr, $($format:tt)*) => {
        let _ = writeln!($text, $($format)*);
    };
}

fn name(tables: &Tables, port: PortId) -> &str {
    let port = tables.ports.get(usize::from(port.0));
    port.map_or("", |(config, _)| &config.name)
}

/// Frames and bytes of each port.
pub fn dev(tables: &Tables) -> String {
    let mut text =
        "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|\
        bytes    packets errs drop fifo colls carrier compressed\n"
            .to_owned();
    for (port, c) in &tables.ports {
        let none = 0;
        line!(
            text,
            "{:>6}: {:>7} {:>7} {:>4} {:>4} {none:>4} {none:>5} {none:>10} {none:>9} \
             {:>8} {:>7} {:>4} {:>4} {none:>4} {none:>5} {none:>7} {none:>10}",
            port.name,
            c.rx_bytes,
            c.rx_ok,
            c.rx_err,
            c.rx_drop,
            c.tx_bytes,
            c.tx_ok,
            c.tx_err,
            c.tx_drop
        );
    }
    text
}

/// Neighbours of IPv4.
pub fn arp(tables: &Tables) -> String {
    let mut text =
        "IP address       HW type     Flags       HW address            Mask     Device\n"
            .to_owned();
    for row in tables.neighbours.iter().filter(|row| row.ip.is_ipv4()) {
        let hardware = match tables.ports.get(usize::from(row.port.0)) {
            Some((port, _)) if matches!(port.medium, Medium::Ethernet(_)) => 1,
            _ => 65_534,
        };
        let mac = row
            .mac
            .map_or_else(|| "00:00:00:00:00:00".to_owned(), |mac| mac.to_string());
        let complete = if row.mac.is_some() { 2 } else { 0 };
        line!(
            text,
            "{:<16} 0x{hardware:<10x}0x{complete:<10x}{mac:<17}     *        {}",
            row.ip.to_string(),
            name(tables, row.port)
        );
    }
    text
}

/// Routes of IPv4.
pub fn route(tables: &Tables) -> String {
    let head =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut text = format!("{head:<WIDTH$}\n");
    let mut rows: Vec<_> = tables.routes.iter().map(|row| row.route).collect();
    rows.sort_by_key(|route| (route.prefix, route.len));
    for route in rows.iter().filter(|route| route.port != PortId::LOOPBACK) {
        let IpAddr::V4(prefix) = route.prefix else {
            continue;
        };
        // As the kernel has them in memory.
        let word = |octets: [u8; 4]| u32::from_ne_bytes(octets);
        let via = match route.via {
            Some(IpAddr::V4(via)) => Some(word(via.octets())),
            _ => None,
        };
        let host_bits = u32::MAX.checked_shr(route.len.into()).unwrap_or(0);
        let gateway = if via.is_some() { GATEWAY } else { 0 };
        let host = if route.len == 32 { HOST } else { 0 };
        let row = format!(
            "{}\t{:08X}\t{:08X}\t{:04X}\t0\t0\t0\t{:08X}\t0\t0\t0",
            name(tables, route.port),
            word(prefix.octets()),
            via.unwrap_or(0),
            UP | gateway | host,
            word((!host_bits).to_be_bytes()),
        );
        line!(text, "{row:<WIDTH$}");
    }
    text
}

/// Addresses of IPv6.
pub fn if_inet6(tables: &Tables) -> String {
    let mut text = String::new();
    for (port, row) in &tables.addresses_v6 {
        let scope = match row.ip {
            ip if ip.is_loopback() => 0x10,
            ip if ip.is_unicast_link_local() => 0x20,
            _ => 0,
        };
        let state = match row.state {
            AddressState::Optimistic => 0x4,
            AddressState::Deprecated => 0x20,
            AddressState::Duplicate => 0x48,
            AddressState::Preferred => 0,
        };
        let temporary = if row.origin == Origin::Temporary {
            1
        } else {
            0
        };
        let lasting = if row.valid_until.is_none() { 0x80 } else { 0 };
        line!(
            text,
            "{} {:02x} {:02x} {scope:02x} {:02x} {:>8}",
            hex(zone::bare(row.ip)),
            port.0 + 1,
            row.len,
            state | temporary | lasting,
            name(tables, *port)
        );
    }
    text
}

fn hex(ip: Ipv6Addr) -> String {
    format!("{:032x}", ip.to_bits())
}

/// Routes of IPv6, the default behind the others; then the host's own addresses and groups; at the end Linux's own refusal.
pub fn ipv6_route(tables: &Tables) -> String {
    let mut text = String::new();
    let mut row = |(to, len): (Ipv6Addr, u8), via, metric: u32, flags: u32, port| {
        let (to, via) = (hex(zone::bare(to)), hex(zone::bare(via)));
        let (nobody, port) = (hex(Ipv6Addr::UNSPECIFIED), name(tables, port));
        line!(
            text,
            "{to} {len:02x} {nobody} 00 {via} {metric:08x} 00000001 00000000 {flags:08x} {port:>8}"
        );
    };
    let nobody = Ipv6Addr::UNSPECIFIED;
    let mut routes: Vec<_> = tables.routes.iter().collect();
    routes.sort_by_key(|row| (row.route.len == 0, row.route.prefix, row.route.len));
    for entry in routes {
        let route = entry.route;
        let (IpAddr::V6(prefix), true) = (route.prefix, route.port != PortId::LOOPBACK) else {
            continue;
        };
        let via = match route.via {
            Some(IpAddr::V6(via)) => Some(via),
            _ => None,
        };
        let ends = entry.until.is_some();
        let by_router = entry.origin == RouteOrigin::Router;
        let told = by_router || (entry.origin == RouteOrigin::Address && ends);
        let flags = [
            (GATEWAY, via.is_some()),
            (HOST, route.len == 128),
            (DEFAULT, by_router && route.len == 0),
            (BY_ROUTER, told),
            (EXPIRES, ends),
        ];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
        let flags = flags.fold(UP, |flags, (flag, _)| flags | flag);
        let metric = match entry.origin {
            RouteOrigin::Address => 256,
            RouteOrigin::Router | RouteOrigin::Manual => 1024,
        };
        row(
            (prefix, route.len),
            via.unwrap_or(nobody),
            metric,
            flags,
            route.port,
        );
    }
    let mut own: Vec<_> = tables
        .addresses_v6
        .iter()
        .map(|(port, row)| (zone::bare(row.ip), *port))
        .collect();
    own.sort();
    for (ip, port) in &own {
        row((*ip, 128), nobody, 0, LOCAL | NO_NEXT_HOP | UP, *port);
    }
    let mut ports: Vec<PortId> = own.iter().map(|(_, port)| *port).collect();
    ports.sort();
    ports.dedup();
    let groups = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
    for port in ports.into_iter().filter(|port| *port != PortId::LOOPBACK) {
        row((groups, 8), nobody, 256, UP, port);
    }
    row(
        (nobody, 0),
        nobody,
        u32::MAX,
        REJECT | NO_NEXT_HOP,
        PortId::LOOPBACK,
    );
    text
}
