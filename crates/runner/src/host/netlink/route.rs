//! Routes, rules and neighbours (rtnetlink(7): RTM_GETROUTE, RTM_GETRULE, RTM_GETNEIGH).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::stack::{Neighbour, RouteOrigin, RouteRow};
use heptad_runtime::stack::{PortId, SocketError};

use super::link::{SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK, index};
use super::message::{Answer, Message, Reply, attribute, word};
use crate::host::tables::Tables;

const NEWROUTE: u16 = 24;
const NEWNEIGH: u16 = 28;
const NEWRULE: u16 = 32;
/// Bytes of a `struct rtmsg` and of a `struct ndmsg`.
const MESSAGE: usize = 12;

/// `RT_TABLE_…`.
const TABLE_DEFAULT: u8 = 253;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
/// `RTN_…`: what a route is for.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;
/// `RTPROT_…`: where it came from.
const UNSPECIFIED: u8 = 0;
const KERNEL: u8 = 2;
const STATIC: u8 = 4;
const ROUTER: u8 = 9;
/// `RTM_F_CLONED`: the answer to a question about one destination.
const CLONED: u32 = 0x200;
/// `RTCF_LOCAL`: the destination is this host.
const ONE_OF_OURS: u32 = 0x8000_0000;
/// Ticks of a second in what Linux tells programs (`USER_HZ`).
const TICKS: u64 = 100;

/// A route, as a message has it.
struct Shown {
    to: (IpAddr, u8),
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
    /// It says that any source is meant.
    from_any: bool,
    port: PortId,
    via: Option<IpAddr>,
    source: Option<IpAddr>,
    priority: Option<u32>,
    /// Seconds.
    expires: Option<u64>,
}

impl Shown {
    fn reply(&self) -> Reply {
        let (to, len) = self.to;
        let start = [
            family(to),
            len,
            if self.from_any { 128 } else { 0 },
            0,
            self.table,
            self.protocol,
            self.scope,
            self.kind,
        ];
        let [via, source] = [self.via, self.source].map(|ip| ip.map(octets));
        let priority = self.priority.map(u32::to_ne_bytes);
        let reply = Reply::new(NEWROUTE, &[&start, &self.flags.to_ne_bytes()])
            .with_word(15, self.table.into())
            .with_some(1, (len > 0).then(|| octets(to)).as_deref())
            .with_some(6, priority.as_ref().map(|word| &word[..]))
            .with_some(7, source.as_deref())
            .with_some(5, via.as_deref())
            .with_word(4, index(self.port));
        match to {
            IpAddr::V4(_) => reply,
            // `struct rta_cacheinfo`, whose third word is the time left; and the preference, medium.
            IpAddr::V6(_) => {
                let ticks = self.expires.map_or(0, |left| left.saturating_mul(TICKS));
                let ticks = u32::try_from(ticks).unwrap_or(0);
                let words = [0, 0, ticks, 0, 0, 0, 0, 0].map(u32::to_ne_bytes);
                let from = self.from_any.then_some(&[0; 16][..]);
                let reply = reply.with_some(2, from);
                reply.with(12, &words.concat()).with(20, &[0])
            }
        }
    }
}

fn family(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// All routes of a family, of both without one: the main table, then the one for what is this host's own.
pub fn routes(tables: &Tables, request: &Message<'_>, strict: bool) -> Answer {
    let asked = request.body.first().copied().unwrap_or(0);
    // Who asks for what was learned of single destinations hears nothing.
    if word(request.body, 8).unwrap_or(0) & CLONED != 0 {
        return Answer::Dump(Vec::new());
    }
    let table = request.body.get(4).copied();
    let table = table.filter(|table| strict && *table != 0);
    let mut shown: Vec<Shown> = main_table(tables);
    shown.extend(local_table(tables));
    shown.retain(|route| [0, family(route.to.0)].contains(&asked));
    shown.retain(|route| table.is_none_or(|table| table == route.table));
    shown.sort_by_key(|route| route.to.0.is_ipv6());
    Answer::Dump(shown.iter().map(Shown::reply).collect())
}

/// In the order in which Linux tells them: by prefix, the shorter one first; the default of IPv6 at the end.
fn main_table(tables: &Tables) -> Vec<Shown> {
    let rows = tables.routes.iter();
    let mut rows: Vec<_> = rows
        .filter(|row| row.route.port != PortId::LOOPBACK)
        .collect();
    rows.sort_by_key(|row| {
        let (prefix, len) = (row.route.prefix, row.route.len);
        (prefix.is_ipv6() && len == 0, prefix, len)
    });
    rows.into_iter().map(|row| main(row, tables)).collect()
}

fn main(row: &RouteRow, tables: &Tables) -> Shown {
    let route = row.route;
    let v6 = route.prefix.is_ipv6();
    let (protocol, priority) = match row.origin {
        RouteOrigin::Address => (KERNEL, 256),
        RouteOrigin::Router => (ROUTER, 1024),
        RouteOrigin::Manual => (STATIC, 1024),
    };
    Shown {
        to: (route.prefix, route.len),
        table: TABLE_MAIN,
        protocol,
        scope: match (v6, route.via) {
            (false, None) => SCOPE_LINK,
            _ => SCOPE_GLOBAL,
        },
        kind: UNICAST,
        flags: 0,
        from_any: false,
        port: route.port,
        via: route.via.map(zone::bare_ip),
        source: source(row, tables),
        priority: v6.then_some(priority),
        expires: row.until.map(|until| until.since(tables.now).as_secs()),
    }
}

/// The address that brought a route of IPv4 along.
fn source(row: &RouteRow, tables: &Tables) -> Option<IpAddr> {
    let is_it = |prefix: Ipv4Addr| {
        tables.addresses.iter().find(|own| {
            let same = network(own.ip, own.len) == prefix;
            (own.port, own.len) == (row.route.port, row.route.len) && same
        })
    };
    match (row.origin, row.route.prefix) {
        (RouteOrigin::Address, IpAddr::V4(prefix)) => is_it(prefix).map(|own| own.ip.into()),
        _ => None,
    }
}

fn network(ip: Ipv4Addr, len: u8) -> Ipv4Addr {
    Ipv4Addr::from(ip.to_bits() & !host_bits(len))
}

fn host_bits(len: u8) -> u32 {
    u32::MAX.checked_shr(len.into()).unwrap_or(0)
}

/// This host's own addresses, and those of everybody on a cable.
fn local_table(tables: &Tables) -> Vec<Shown> {
    let mut shown = Vec::new();
    for row in &tables.addresses {
        let source = Some(IpAddr::from(row.ip));
        let mut add = |to: Ipv4Addr, len, kind, scope| {
            shown.push(Shown {
                to: (to.into(), len),
                source,
                ..own(to.into(), (row.port, kind, scope))
            });
        };
        if row.port == PortId::LOOPBACK {
            add(network(row.ip, row.len), row.len, LOCAL, SCOPE_HOST);
        }
        add(row.ip, 32, LOCAL, SCOPE_HOST);
        if row.len < 31 {
            let all = Ipv4Addr::from(row.ip.to_bits() | host_bits(row.len));
            add(all, 32, BROADCAST, SCOPE_LINK);
        }
    }
    let mut ports: Vec<PortId> = Vec::new();
    for (port, row) in &tables.addresses_v6 {
        let to = zone::bare(row.ip).into();
        shown.push(own(to, (*port, LOCAL, SCOPE_GLOBAL)));
        ports.push(*port);
    }
    ports.dedup();
    ports.retain(|port| *port != PortId::LOOPBACK);
    let groups = IpAddr::from(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0));
    let of_groups = |port| Shown {
        to: (groups, 8),
        priority: Some(256),
        ..own(groups, (port, MULTICAST, SCOPE_GLOBAL))
    };
    shown.extend(ports.into_iter().map(of_groups));
    shown
}

/// A route to one address, in the table for what is this host's own.
fn own(to: IpAddr, (port, kind, scope): (PortId, u8, u8)) -> Shown {
    Shown {
        to: (to, if to.is_ipv4() { 32 } else { 128 }),
        table: TABLE_LOCAL,
        protocol: KERNEL,
        scope,
        kind,
        flags: 0,
        from_any: false,
        port,
        via: None,
        source: None,
        priority: to.is_ipv6().then_some(0),
        expires: None,
    }
}

/// Which way a destination goes (`ip route get`). `speak_from`: the address that this host uses towards another.
///
/// # Errors
/// `EINVAL` for a question without a destination, and what says that there is no way.
pub fn one_route(
    tables: &Tables,
    request: &Message<'_>,
    speak_from: impl FnOnce(SocketAddr) -> Result<IpAddr, SocketError>,
) -> Result<Answer, i32> {
    let attributes = request.body.get(MESSAGE..).ok_or(libc::EINVAL)?;
    let to = attribute(attributes, 1).and_then(ip).ok_or(libc::EINVAL)?;
    // A link-local destination needs the interface (RTA_OIF).
    let out = attribute(attributes, 4).and_then(|value| word(value, 0));
    let zone = out.map_or(0, |out| out);
    let remote = match to {
        IpAddr::V6(to) if zone::needs_zone(to) => {
            std::net::SocketAddrV6::new(to, 9, 0, zone).into()
        }
        to => SocketAddr::new(to, 9),
    };
    let source = speak_from(remote).map_err(SocketError::errno)?;
    let is_own = tables
        .addresses
        .iter()
        .any(|own| IpAddr::from(own.ip) == to)
        || tables
            .addresses_v6
            .iter()
            .any(|(_, own)| IpAddr::from(zone::bare(own.ip)) == to);
    let best = tables.routes.iter().filter(|row| {
        covers(row.route.prefix, row.route.len, to)
            && out.is_none_or(|out| out == index(row.route.port))
    });
    // Of equal ones the first, as the stack does.
    let best = best.rev().max_by_key(|row| row.route.len);
    let way = match best {
        _ if is_own => own(to, (PortId::LOOPBACK, LOCAL, SCOPE_HOST)),
        Some(row) => main(row, tables),
        None => return Err(libc::ENETUNREACH),
    };
    // As Linux: of IPv4 it says neither table nor origin, of IPv6 that any source is meant.
    let local = if is_own { ONE_OF_OURS } else { 0 };
    let (whole, table, protocol, flags) = match to {
        IpAddr::V4(_) => (32, TABLE_MAIN, UNSPECIFIED, CLONED | local),
        IpAddr::V6(_) => (128, way.table, way.protocol, 0),
    };
    let shown = Shown {
        to: (to, whole),
        table,
        protocol,
        scope: SCOPE_GLOBAL,
        flags,
        from_any: to.is_ipv6(),
        source: Some(zone::bare_ip(source)),
        ..way
    };
    Ok(Answer::One(shown.reply()))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || bytes.try_into().ok().map(Ipv4Addr::from_octets);
    let v6 = || bytes.try_into().ok().map(Ipv6Addr::from_octets);
    v4().map(IpAddr::V4).or_else(|| v6().map(IpAddr::V6))
}

fn covers(prefix: IpAddr, len: u8, ip: IpAddr) -> bool {
    match (prefix, ip) {
        (IpAddr::V4(prefix), IpAddr::V4(ip)) => network(ip, len) == prefix,
        (IpAddr::V6(prefix), IpAddr::V6(ip)) => {
            let host = u128::MAX.checked_shr(len.into()).unwrap_or(0);
            ip.to_bits() & !host == zone::bare(prefix).to_bits()
        }
        _ => false,
    }
}

/// The rules of a family, of both without one: those that every Linux begins with.
pub fn rules(request: &Message<'_>) -> Answer {
    let asked = request.body.first().copied().map_or(0, i32::from);
    let all = [
        (libc::AF_INET, TABLE_LOCAL, 0_u32),
        (libc::AF_INET, TABLE_MAIN, 32_766),
        (libc::AF_INET, TABLE_DEFAULT, 32_767),
        (libc::AF_INET6, TABLE_LOCAL, 0),
        (libc::AF_INET6, TABLE_MAIN, 32_766),
    ];
    let wanted = all
        .into_iter()
        .filter(|(family, ..)| [0, *family].contains(&asked));
    // Family, lengths, TOS, table, two unused, FR_ACT_TO_TBL.
    let rule = |(family, table, priority): (i32, u8, u32)| {
        Reply::new(
            NEWRULE,
            &[&[family as u8, 0, 0, 0, table, 0, 0, 1], &[0; 4]],
        )
        .with_word(15, table.into())
        .with_word(14, u32::MAX)
        .with_some(6, (priority > 0).then_some(&priority.to_ne_bytes()[..]))
        .with(21, &[KERNEL])
    };
    Answer::Dump(wanted.map(rule).collect())
}

/// The neighbours of a family, of both without one, IPv4 first.
pub fn neighbours(tables: &Tables, request: &Message<'_>) -> Answer {
    let asked = request.body.first().copied().unwrap_or(0);
    // `NTF_PROXY`: for whom this host answers, which is nobody.
    let proxies = request.body.get(10).is_some_and(|flags| flags & 0x8 != 0);
    let wanted = |row: &&Neighbour| !proxies && [0, family(row.ip)].contains(&asked);
    let mut rows: Vec<&Neighbour> = tables.neighbours.iter().filter(wanted).collect();
    rows.sort_by_key(|row| (row.ip.is_ipv6(), row.port, row.ip));
    Answer::Dump(rows.into_iter().map(neighbour).collect())
}

/// One neighbour, by its address and interface.
///
/// # Errors
/// `ENOENT` when it is not known, `EINVAL` when nothing says which.
pub fn one_neighbour(tables: &Tables, request: &Message<'_>) -> Result<Answer, i32> {
    let attributes = request.body.get(MESSAGE..).ok_or(libc::EINVAL)?;
    let wanted = attribute(attributes, 1).and_then(ip).ok_or(libc::EINVAL)?;
    let out = word(request.body, 4)
        .filter(|out| *out != 0)
        .ok_or(libc::EINVAL)?;
    let is_it = |row: &&Neighbour| zone::bare_ip(row.ip) == wanted && index(row.port) == out;
    let found = tables.neighbours.iter().find(is_it).ok_or(libc::ENOENT)?;
    Ok(Answer::One(neighbour(found)))
}

fn neighbour(row: &Neighbour) -> Reply {
    let state: u16 = match row.state {
        "INCOMPLETE" => 0x1,
        "REACHABLE" => 0x2,
        "STALE" => 0x4,
        "DELAY" => 0x8,
        "PROBE" => 0x10,
        _ => 0x20,
    };
    let fixed: [&[u8]; 4] = [
        &[family(row.ip), 0, 0, 0],
        &index(row.port).to_ne_bytes(),
        &state.to_ne_bytes(),
        &[0, UNICAST],
    ];
    Reply::new(NEWNEIGH, &fixed)
        .with(1, &octets(zone::bare_ip(row.ip)))
        .with_some(2, row.mac.as_ref().map(|mac| &mac.0[..]))
}
