//! Interfaces and their addresses (rtnetlink(7): RTM_GETLINK, RTM_GETADDR), as Linux would have them.

use std::net::{IpAddr, Ipv6Addr};

use heptad_runtime::stack::l1_physical::PortCounters;
use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::stack::{Address6, AddressState, Origin, Standing};
use heptad_runtime::stack::{Instant, Medium, PortConfig, PortId};

use super::message::{Answer, Message, Reply, attribute, word};
use crate::host::tables::{Address4, Tables};

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
/// Bytes of a `struct ifinfomsg`.
const INFO: usize = 16;
/// `IFLA_IFNAME` and `IFLA_ALT_IFNAME`.
const NAMES: [u16; 2] = [3, 53];

/// Flags of an interface (`linux/if.h`): up and running, with a carrier.
const RUNS: u32 = 0x1_0041;
const BROADCAST: u32 = 0x2;
const LOOPBACK: u32 = 0x8;
const POINT_TO_POINT: u32 = 0x10;
const NO_ARP: u32 = 0x80;
const MULTICAST: u32 = 0x1000;

/// How far something means something (`RT_SCOPE_…`).
pub const SCOPE_GLOBAL: u8 = 0;
pub const SCOPE_LINK: u8 = 253;
pub const SCOPE_HOST: u8 = 254;

/// What Linux knows of an interface of this kind.
struct Device {
    flags: u32,
    /// `ARPHRD_…`.
    hardware: u16,
    /// `IF_OPER_UNKNOWN` or `IF_OPER_UP`.
    state: u8,
    queue_length: u32,
    /// Its link address and that of everybody.
    addresses: Option<[[u8; 6]; 2]>,
}

impl Device {
    fn of(port: PortId, config: &PortConfig) -> Self {
        match config.medium {
            _ if port == PortId::LOOPBACK => Self {
                flags: RUNS | LOOPBACK,
                hardware: 772,
                state: 0,
                queue_length: 1000,
                addresses: Some([[0; 6]; 2]),
            },
            Medium::Ethernet(mac) => Self {
                flags: RUNS | BROADCAST | MULTICAST,
                hardware: 1,
                state: 6,
                queue_length: 1000,
                addresses: Some([mac.0, [0xff; 6]]),
            },
            Medium::Ip => Self {
                flags: RUNS | POINT_TO_POINT | NO_ARP | MULTICAST,
                hardware: 65_534,
                state: 0,
                queue_length: 500,
                addresses: None,
            },
        }
    }
}

/// The number that programs know a port by.
pub fn index(port: PortId) -> u32 {
    u32::from(port.0) + 1
}

/// The ports with their ids.
fn ports(tables: &Tables) -> impl Iterator<Item = (PortId, &(PortConfig, PortCounters))> {
    (0..).map(PortId).zip(&tables.ports)
}

/// All interfaces. Those of a bridge, as a dump of that family asks for, are none.
pub fn links(tables: &Tables, request: &Message<'_>) -> Answer {
    let family = request.body.first().copied().map_or(0, i32::from);
    let shown = ports(tables).filter(|_| family != libc::AF_BRIDGE);
    Answer::Dump(shown.map(|(port, row)| link(port, row, family)).collect())
}

/// The interface of an index or a name.
///
/// # Errors
/// `ENODEV` when there is none, `EINVAL` when nothing says which.
pub fn one_link(tables: &Tables, request: &Message<'_>) -> Result<Answer, i32> {
    let wanted = word(request.body, 4).unwrap_or(0);
    let attributes = request.body.get(INFO..).ok_or(libc::EINVAL)?;
    let mut names = NAMES.iter().filter_map(|kind| attribute(attributes, *kind));
    let name = names
        .next()
        .map(|name| name.strip_suffix(&[0]).unwrap_or(name));
    if wanted == 0 && name.is_none() {
        return Err(libc::EINVAL);
    }
    let is_it = |(port, (config, _)): &(PortId, &(PortConfig, PortCounters))| match wanted {
        0 => name == Some(config.name.as_bytes()),
        wanted => wanted == index(*port),
    };
    let (port, row) = ports(tables).find(is_it).ok_or(libc::ENODEV)?;
    Ok(Answer::One(link(port, row, 0)))
}

/// Of IPv6 alone Linux tells less.
fn link(port: PortId, (config, counters): &(PortConfig, PortCounters), family: i32) -> Reply {
    let device = Device::of(port, config);
    let v6 = family == libc::AF_INET6;
    let family = if v6 { libc::AF_INET6 as u8 } else { 0 };
    let fixed: [&[u8]; 5] = [
        &[family, 0],
        &device.hardware.to_ne_bytes(),
        &index(port).to_ne_bytes(),
        &device.flags.to_ne_bytes(),
        &[0; 4],
    ];
    let [own, everybody] = match &device.addresses {
        Some([own, everybody]) => [Some(&own[..]), Some(&everybody[..])],
        None => [None; 2],
    };
    let reply = Reply::new(NEWLINK, &fixed)
        .with_text(3, &config.name)
        .with_word(13, device.queue_length)
        .with(16, &[device.state])
        .with_word(4, config.mtu)
        .with_some(1, own);
    if v6 {
        return reply;
    }
    let [wide, narrow] = statistics(counters);
    reply
        .with(17, &[0])
        .with_word(50, 68)
        .with_word(51, 65_535)
        .with_word(27, 0)
        .with_word(30, 0)
        .with_word(31, 1)
        .with_word(32, 1)
        .with_word(40, 65_535)
        .with_word(41, 65_536)
        .with(33, &[1])
        .with_text(6, "noqueue")
        .with_some(2, everybody)
        .with(23, &wide)
        .with(7, &narrow)
}

/// `struct rtnl_link_stats64` and `struct rtnl_link_stats`: what a port counts, and zeros for the rest.
fn statistics(counters: &PortCounters) -> [Vec<u8>; 2] {
    let mut all = [0_u64; 25];
    let known = [
        counters.rx_ok,
        counters.tx_ok,
        counters.rx_bytes,
        counters.tx_bytes,
        counters.rx_err,
        counters.tx_err,
        counters.rx_drop,
        counters.tx_drop,
    ];
    for (slot, value) in all.iter_mut().zip(known) {
        *slot = value;
    }
    let wide = all.iter().flat_map(|count| count.to_ne_bytes());
    // The older one has 24 of them, which turn over.
    let narrow = all.iter().take(24);
    let narrow = narrow.flat_map(|count| (*count as u32).to_ne_bytes());
    [wide.collect(), narrow.collect()]
}

/// The addresses of a family, of both without one: IPv4; then IPv6, of each port the youngest first, the link's own last.
pub fn addresses(tables: &Tables, request: &Message<'_>, strict: bool) -> Answer {
    let family = request.body.first().copied().map_or(0, i32::from);
    let only = word(request.body, 4).filter(|wanted| strict && *wanted != 0);
    let wanted = |port: PortId| only.is_none_or(|only| only == index(port));
    let mut replies = Vec::new();
    if family != libc::AF_INET6 {
        let rows = tables.addresses.iter().filter(|row| wanted(row.port));
        replies.extend(rows.map(|row| address_v4(row, tables)));
    }
    if family != libc::AF_INET {
        let mut rows: Vec<_> = tables.addresses_v6.iter().rev().collect();
        rows.sort_by_key(|(port, row)| (*port, row.ip.is_unicast_link_local()));
        let rows = rows.into_iter().filter(|(port, _)| wanted(*port));
        replies.extend(rows.map(|(port, row)| address_v6(*port, row, tables)));
    }
    Answer::Dump(replies)
}

const TEMPORARY: u32 = 0x1;
const OPTIMISTIC: u32 = 0x4;
const DAD_FAILED: u32 = 0x8;
const DEPRECATED: u32 = 0x20;
const TENTATIVE: u32 = 0x40;
const PERMANENT: u32 = 0x80;
const MANAGES_TEMPORARY: u32 = 0x100;
const STABLE_PRIVACY: u32 = 0x800;
/// A life without an end.
const FOR_EVER: u32 = u32::MAX;

/// The fixed part, and the flags as an attribute, where all of them have room.
fn address(ip: IpAddr, len: u8, port: PortId, flags: u32) -> Reply {
    let family = match ip {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    let start = [family as u8, len, flags as u8, scope(ip)];
    Reply::new(NEWADDR, &[&start, &index(port).to_ne_bytes()])
}

fn address_v4(row: &Address4, tables: &Tables) -> Reply {
    let standing = match row.standing {
        Some(Standing::Tentative) => TENTATIVE,
        Some(Standing::Lost) => TENTATIVE | DAD_FAILED,
        Some(Standing::Held) | None => 0,
    };
    let flags = PERMANENT | standing;
    let ip = row.ip.octets();
    let name = tables.ports.get(usize::from(row.port.0));
    let name = name.map_or("", |(config, _)| &config.name);
    address(row.ip.into(), row.len, row.port, flags)
        .with(1, &ip)
        .with(2, &ip)
        .with_text(3, name)
        .with_word(8, flags)
        .with(6, &lives([FOR_EVER; 2]))
}

fn address_v6(port: PortId, row: &Address6, tables: &Tables) -> Reply {
    let ip = zone::bare(row.ip);
    let flags = flags_v6(row, tables);
    let preferred = match row.state {
        AddressState::Deprecated => 0,
        _ => left(row.preferred_until, tables.now),
    };
    let valid = left(row.valid_until, tables.now);
    address(ip.into(), row.len, port, flags)
        .with(1, &ip.octets())
        .with(6, &lives([preferred, valid]))
        .with_word(8, flags)
}

fn flags_v6(row: &Address6, tables: &Tables) -> u32 {
    let prefix = |ip: Ipv6Addr| ip.to_bits() >> 64;
    let has_temporary = || {
        tables.addresses_v6.iter().any(|(_, other)| {
            other.origin == Origin::Temporary && prefix(other.ip) == prefix(row.ip)
        })
    };
    let stable = row.origin == Origin::Stable;
    let duplicate = row.state == AddressState::Duplicate;
    let flags = [
        (TEMPORARY, row.origin == Origin::Temporary),
        (OPTIMISTIC, row.state == AddressState::Optimistic),
        (DAD_FAILED | TENTATIVE, duplicate),
        (DEPRECATED, row.state == AddressState::Deprecated),
        (PERMANENT, row.valid_until.is_none()),
        (MANAGES_TEMPORARY, stable && has_temporary()),
        (STABLE_PRIVACY, stable),
    ];
    let set = flags.into_iter().filter(|(_, is_set)| *is_set);
    set.fold(0, |flags, (flag, _)| flags | flag)
}

/// `struct ifa_cacheinfo`: how long it is preferred and valid, seconds.
fn lives([preferred, valid]: [u32; 2]) -> Vec<u8> {
    [preferred, valid, 0, 0].map(u32::to_ne_bytes).concat()
}

/// Whole seconds until then.
fn left(until: Option<Instant>, now: Instant) -> u32 {
    until.map_or(FOR_EVER, |until| {
        u32::try_from(until.since(now).as_secs()).unwrap_or(FOR_EVER - 1)
    })
}

/// How far an address means something.
pub fn scope(ip: IpAddr) -> u8 {
    let on_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    match ip.is_loopback() {
        true => SCOPE_HOST,
        false if on_link => SCOPE_LINK,
        false => SCOPE_GLOBAL,
    }
}
