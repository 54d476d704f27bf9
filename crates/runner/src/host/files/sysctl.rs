//! `/proc/sys/net`: how a host is set up, where it has such a setting (the kernel's Documentation/networking/ip-sysctl.rst).

use heptad_runtime::stack::l4_transport::ports::{EPHEMERAL_FIRST, EPHEMERAL_LAST};
use heptad_runtime::stack::l4_transport::tcp::{self, Congestion, FastOpenModes};
use heptad_runtime::stack::l5_session::{BUFFER_MAX, DATAGRAM_BUFFER};

use crate::host::tables::{Settings, Tables};

/// Bytes of the smallest buffer of a stream, and what one for sending has before it is connected.
const LEAST_BUFFER: u32 = 4096;
const SEND_BUFFER: u32 = 16_384;
/// The largest number of a group (`GID_T_MAX`): sockets of ICMP are everybody's.
const LAST_GROUP: u32 = 0x7fff_ffff;
/// Bytes of a page.
const PAGE: usize = 4096;

/// What the file of this name below `/proc/sys/net` says; `None` for what a node does not have.
pub fn text(name: &str, settings: &Settings, tables: &Tables) -> Option<String> {
    let value = match name.split('/').collect::<Vec<_>>()[..] {
        ["core", name] => of_core(name, &settings.tcp)?,
        ["ipv4", name] => match name.strip_prefix("tcp_") {
            Some(name) => of_tcp(name, &settings.tcp)?,
            None => of_ipv4(name, settings)?,
        },
        ["ipv4", "conf", port, "forwarding"] if has(tables, port) => flag(settings.forwarding),
        ["ipv6", "bindv6only" | "ip_nonlocal_bind"] => flag(false),
        ["ipv6", "conf", port, name] if has(tables, port) => match name {
            "disable_ipv6" => flag(false),
            "forwarding" => flag(settings.forwarding),
            "hop_limit" => tcp::Options::default().hops.to_string(),
            "mtu" => mtu(tables, port)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(value + "\n")
}

fn flag(on: bool) -> String {
    u8::from(on).to_string()
}

/// As Linux writes several numbers.
fn row(numbers: &[u32]) -> String {
    let words: Vec<_> = numbers.iter().map(u32::to_string).collect();
    words.join("\t")
}

/// Whether there is such an interface, or the name stands for all or for later ones.
fn has(tables: &Tables, port: &str) -> bool {
    let mut known = tables.ports.iter().map(|(port, _)| &*port.name);
    ["all", "default"].contains(&port) || known.any(|name| name == port)
}

fn mtu(tables: &Tables, port: &str) -> Option<String> {
    let mut ports = tables.ports.iter();
    let (found, _) = ports.find(|(config, _)| &*config.name == port)?;
    Some(found.mtu.to_string())
}

fn of_core(name: &str, tcp: &tcp::Config) -> Option<String> {
    let number = match name {
        "somaxconn" => tcp.somaxconn,
        "rmem_default" | "wmem_default" => DATAGRAM_BUFFER,
        "rmem_max" | "wmem_max" => BUFFER_MAX,
        _ => return None,
    };
    Some(number.to_string())
}

fn of_ipv4(name: &str, settings: &Settings) -> Option<String> {
    Some(match name {
        "ip_default_ttl" => tcp::Options::default().ttl.to_string(),
        "ip_forward" => flag(settings.forwarding),
        "ip_local_port_range" => row(&[EPHEMERAL_FIRST.into(), EPHEMERAL_LAST.into()]),
        "ip_local_reserved_ports" => String::new(),
        "ip_no_pmtu_disc" | "ip_nonlocal_bind" => flag(false),
        // A node belongs to the user who started it.
        "ip_unprivileged_port_start" => row(&[0]),
        "ping_group_range" => row(&[0, LAST_GROUP]),
        _ => return None,
    })
}

fn of_tcp(name: &str, config: &tcp::Config) -> Option<String> {
    let tcp::Config {
        timestamps,
        window_scaling,
        sack,
        syn_retries,
        synack_retries,
        retries2,
        // Shown below `core`.
        somaxconn: _,
        syn_cookies,
        ecn,
        fast_open,
        // A secret.
        fast_open_key: _,
        fin_timeout,
        max_time_wait,
        max_orphans,
        rmem,
        wmem,
        moderate_rcvbuf,
        notsent_lowat,
        congestion,
        slow_start_after_idle,
        mtu_probing,
        base_mss,
        frto,
        // Linux has no setting for it.
        least_burst: _,
        memory,
    } = config;
    let begin = tcp::Options::default();
    let all = || Congestion::ALL.map(|(name, _)| name).join(" ");
    Some(match name {
        "timestamps" => flag(*timestamps),
        "window_scaling" => flag(*window_scaling),
        "sack" => flag(*sack),
        "syn_retries" => syn_retries.to_string(),
        "synack_retries" => synack_retries.to_string(),
        "retries2" => retries2.to_string(),
        "syncookies" => (*syn_cookies as u8).to_string(),
        "ecn" => (*ecn as u8).to_string(),
        "fastopen" => fast_open_bits(*fast_open).to_string(),
        "fin_timeout" => fin_timeout.as_secs().to_string(),
        "max_tw_buckets" => max_time_wait.to_string(),
        "max_orphans" => max_orphans.to_string(),
        "rmem" => row(&[LEAST_BUFFER, rmem.0, rmem.1]),
        "wmem" => row(&[LEAST_BUFFER, SEND_BUFFER, wmem.1]),
        // One bound, where Linux has two before it.
        "mem" => row(&[u32::try_from(memory / PAGE).unwrap_or(u32::MAX); 3]),
        "moderate_rcvbuf" => flag(*moderate_rcvbuf),
        "notsent_lowat" => notsent_lowat.to_string(),
        "congestion_control" => congestion.name().to_owned(),
        "available_congestion_control" | "allowed_congestion_control" => all(),
        "slow_start_after_idle" => flag(*slow_start_after_idle),
        "mtu_probing" => (*mtu_probing as u8).to_string(),
        "base_mss" => base_mss.to_string(),
        "frto" => (2 * u8::from(*frto)).to_string(),
        "keepalive_time" => begin.keepidle.as_secs().to_string(),
        "keepalive_intvl" => begin.keepintvl.as_secs().to_string(),
        "keepalive_probes" => begin.keepcnt.to_string(),
        _ => return None,
    })
}

/// As [`FastOpenModes::of`] takes them.
fn fast_open_bits(modes: FastOpenModes) -> u32 {
    let FastOpenModes {
        client,
        server,
        client_without_cookie,
        server_without_cookie,
        all_listeners,
    } = modes;
    let bits = [
        (client, 1),
        (server, 2),
        (client_without_cookie, 4),
        (server_without_cookie, 0x200),
        (all_listeners, 0x400),
    ];
    bits.into_iter()
        .filter_map(|(on, bit)| on.then_some(bit))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, forwarding: bool) -> Option<String> {
        let settings = Settings {
            forwarding,
            tcp: tcp::Config::default(),
        };
        text(name, &settings, &Tables::default())
    }

    #[test]
    fn settings_are_those_of_the_node_as_linux_writes_them() {
        let rows = [
            ("core/somaxconn", "4096\n"),
            ("core/rmem_max", "4194304\n"),
            ("core/wmem_default", "212992\n"),
            ("ipv4/ip_local_port_range", "32768\t60999\n"),
            ("ipv4/ip_local_reserved_ports", "\n"),
            ("ipv4/ip_default_ttl", "64\n"),
            ("ipv4/ip_forward", "0\n"),
            ("ipv4/ping_group_range", "0\t2147483647\n"),
            ("ipv4/tcp_rmem", "4096\t131072\t33554432\n"),
            ("ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
            ("ipv4/tcp_mem", "262144\t262144\t262144\n"),
            ("ipv4/tcp_congestion_control", "cubic\n"),
            ("ipv4/tcp_available_congestion_control", "reno cubic bbr\n"),
            ("ipv4/tcp_ecn", "2\n"),
            ("ipv4/tcp_syncookies", "1\n"),
            ("ipv4/tcp_fastopen", "1\n"),
            ("ipv4/tcp_frto", "2\n"),
            ("ipv4/tcp_notsent_lowat", "4294967295\n"),
            ("ipv4/tcp_keepalive_time", "7200\n"),
            ("ipv4/conf/all/forwarding", "0\n"),
            ("ipv6/conf/all/disable_ipv6", "0\n"),
            ("ipv6/conf/default/hop_limit", "64\n"),
            ("ipv6/bindv6only", "0\n"),
        ];
        for (name, expected) in rows {
            assert_eq!(shown(name, false).as_deref(), Some(expected), "{name}");
        }
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            assert_eq!(shown(name, true).as_deref(), Some("1\n"), "{name}");
        }
        for name in [
            "",
            "core",
            "core/nothing",
            "ipv4/conf/eth7/forwarding",
            "unix/max_dgram_qlen",
        ] {
            assert_eq!(shown(name, false), None, "{name}");
        }
    }

    #[test]
    fn modes_of_fast_open_come_back_from_their_bits() {
        for bits in [0, 1, 2, 4, 0x200, 0x400, 0x607] {
            assert_eq!(fast_open_bits(FastOpenModes::of(bits)), bits);
        }
    }
}
