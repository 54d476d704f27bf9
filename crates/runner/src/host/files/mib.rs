//! The counters of a host as `/proc/net/snmp`, `netstat` and `snmp6` show them, and `/proc/net/sockstat`: what `netstat -s`,
//! `nstat` and `ss -s` read. Programs look names up, so what a node does not count is left out where Linux itself differs
//! from version to version, and is 0 in the groups of the standards (RFC 1213, 4022, 4113, 4293).
//!
//! The stack counts datagrams of both families as one, and so they stand in `Udp` and `UdpLite`, and none in `Udp6`.

use std::fmt::Write;

use heptad_runtime::stack::l4_transport::tcp::{Options, State};
use heptad_runtime::stack::stack::{SocketDetail, SocketRow};
use heptad_runtime::stack::{Counter, Counters, Family, SocketKind};

const IP: &str = "InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards \
     InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails \
     FragOKs FragFails FragCreates OutTransmits";
const ICMP: &str = "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs \
     InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks \
     InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs \
     OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps \
     OutTimestampReps OutAddrMasks OutAddrMaskReps";
const TCP: &str = "ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs \
     RetransSegs InErrs OutRsts InCsumErrors";
const UDP: &str = "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors \
     InCsumErrors IgnoredMulti MemErrors";

/// What stands before the counters of `Tcp`: "other", milliseconds of the shortest and the longest timeout, no bound on connections.
const BEFORE_TCP: [(&str, i64); 4] = [
    ("RtoAlgorithm", 1),
    ("RtoMin", 200),
    ("RtoMax", 120_000),
    ("MaxConn", -1),
];

/// Bytes of a page, in which memory is told.
const PAGE: u64 = 4096;

/// Messages of ICMP by their types (RFC 792), with the names of their counters.
const ICMP_TYPES: [(u8, &str); 5] = [
    (0, "EchoReps"),
    (3, "DestUnreachs"),
    (8, "Echos"),
    (11, "TimeExcds"),
    (12, "ParmProbs"),
];
/// Those of ICMPv6 (RFC 4443, 4861, 2710, 3810).
const ICMP6_TYPES: [(u8, &str); 14] = [
    (1, "DestUnreachs"),
    (2, "PktTooBigs"),
    (3, "TimeExcds"),
    (4, "ParmProblems"),
    (128, "Echos"),
    (129, "EchoReplies"),
    (130, "GroupMembQueries"),
    (131, "GroupMembResponses"),
    (132, "GroupMembReductions"),
    (133, "RouterSolicits"),
    (134, "RouterAdvertisements"),
    (135, "NeighborSolicits"),
    (136, "NeighborAdvertisements"),
    (143, "MLDv2Reports"),
];

/// A counter by its group and its name; 0 for one that the stack does not have.
fn value(counters: &Counters, group: &str, name: &str) -> u64 {
    let mut all = Counter::ALL.iter();
    let found = all.find(|counter| counter.group() == group && counter.name() == name);
    found.map_or(0, |counter| counters.get(*counter))
}

/// Names and values of a group of the standards.
fn standard<'a>(counters: &Counters, group: &str, names: &'a str) -> Vec<(&'a str, u64)> {
    let names = names.split(' ');
    names
        .map(|name| (name, value(counters, group, name)))
        .collect()
}

/// What the stack counts of a group.
fn counted(counters: &Counters, group: &str) -> Vec<(&'static str, u64)> {
    let all = Counter::ALL
        .iter()
        .filter(|counter| counter.group() == group);
    all.map(|counter| (counter.name(), counters.get(*counter)))
        .collect()
}

/// Types of messages that came or went, as `InType3`.
fn types(counters: &Counters, group: &str, names: &[(u8, &str)]) -> Vec<(String, u64)> {
    let of = |way: &'static str| {
        names.iter().map(move |(number, name)| {
            let count = value(counters, group, &format!("{way}{name}"));
            (format!("{way}Type{number}"), count)
        })
    };
    of("In").chain(of("Out")).filter(|row| row.1 > 0).collect()
}

/// Two lines: names, then values.
fn push<N: AsRef<str>, V: ToString>(text: &mut String, group: &str, rows: &[(N, V)]) {
    let names: Vec<&str> = rows.iter().map(|row| row.0.as_ref()).collect();
    let values: Vec<String> = rows.iter().map(|row| row.1.to_string()).collect();
    // A String takes everything.
    let _ = writeln!(text, "{group}: {}", names.join(" "));
    let _ = writeln!(text, "{group}: {}", values.join(" "));
}

/// `/proc/net/snmp`.
pub fn snmp(counters: &Counters, forwarding: bool, sockets: &[SocketDetail]) -> String {
    let mut text = String::new();
    let mut ip = vec![
        ("Forwarding", if forwarding { 1 } else { 2 }),
        ("DefaultTTL", Options::default().ttl.into()),
    ];
    ip.extend(standard(counters, "Ip", IP));
    push(&mut text, "Ip", &ip);
    push(&mut text, "Icmp", &standard(counters, "Icmp", ICMP));
    let types = types(counters, "Icmp", &ICMP_TYPES);
    if !types.is_empty() {
        push(&mut text, "IcmpMsg", &types);
    }
    let stands = |socket: &&SocketDetail| socket.row.state.is_some_and(State::may_send);
    let established = sockets.iter().filter(stands).count() as u64;
    let tcp = standard(counters, "Tcp", TCP).into_iter();
    let tcp = tcp.map(|(name, count)| match name {
        // RFC 4022: the one gauge of the group.
        "CurrEstab" => (name, established.cast_signed()),
        _ => (name, count.cast_signed()),
    });
    let tcp: Vec<_> = BEFORE_TCP.into_iter().chain(tcp).collect();
    push(&mut text, "Tcp", &tcp);
    push(&mut text, "Udp", &standard(counters, "Udp", UDP));
    push(&mut text, "UdpLite", &standard(counters, "UdpLite", UDP));
    text
}

/// `/proc/net/netstat`.
pub fn netstat(counters: &Counters) -> String {
    let mut text = String::new();
    for group in ["TcpExt", "IpExt"] {
        push(&mut text, group, &counted(counters, group));
    }
    text
}

/// `/proc/net/snmp6`.
pub fn snmp6(counters: &Counters) -> String {
    let mut text = String::new();
    let mut line = |group: &str, name: &str, count: u64| {
        let name = format!("{group}{name}");
        // A String takes everything.
        let _ = writeln!(text, "{name:<32}\t{count}");
    };
    for group in ["Ip6", "Icmp6"] {
        for (name, count) in counted(counters, group) {
            line(group, name, count);
        }
    }
    for (name, count) in types(counters, "Icmp6", &ICMP6_TYPES) {
        line("Icmp6", &name, count);
    }
    text
}

/// Which sockets a line is about.
type IsOf = fn(SocketKind) -> bool;

/// Kinds of sockets, as the files about them name them.
const KINDS: [(&str, IsOf); 4] = [
    ("TCP", |kind| kind == SocketKind::Stream),
    ("UDP", |kind| kind == SocketKind::Datagram),
    ("UDPLITE", |kind| kind == SocketKind::Lite),
    ("RAW", |kind| matches!(kind, SocketKind::Raw(_))),
];

/// The sockets of a kind: what is in TIME-WAIT is none any more, what is in SYN-RECEIVED none yet.
fn of_kind(sockets: &[SocketDetail], kind: IsOf) -> impl Iterator<Item = &SocketRow> {
    let rows = sockets.iter().map(|socket| &socket.row);
    let passing = [Some(State::TimeWait), Some(State::SynReceived)];
    rows.filter(move |row| kind(row.kind) && !passing.contains(&row.state))
}

fn in_use(sockets: &[SocketDetail], kind: IsOf, family: Family) -> usize {
    let all = of_kind(sockets, kind);
    all.filter(|row| row.family == family).count()
}

/// Pages of what waits in the queues of a kind of socket.
fn pages(sockets: &[SocketDetail], kind: IsOf) -> u64 {
    // A listener's queues are of connections.
    let queues = of_kind(sockets, kind).filter(|row| row.state != Some(State::Listen));
    let bytes: u64 = queues
        .map(|row| u64::from(row.recv_q) + u64::from(row.send_q))
        .sum();
    bytes.div_ceil(PAGE)
}

/// `/proc/net/sockstat`. Connections and memory are counted for both families, as on Linux.
pub fn sockstat(sockets: &[SocketDetail]) -> String {
    use State::{Closing, FinWait1, FinWait2, LastAck, TimeWait};
    let held = sockets.iter().filter(|socket| socket.row.socket.is_some());
    let mut text = format!("sockets: used {}\n", held.count());
    let without_program = |states: &[State]| {
        let rows = sockets.iter().map(|socket| &socket.row);
        rows.filter(|row| {
            row.socket.is_none() && row.state.is_some_and(|own| states.contains(&own))
        })
        .count()
    };
    let orphans = without_program(&[FinWait1, FinWait2, Closing, LastAck]);
    let time_wait = without_program(&[TimeWait]);
    for (name, kind) in KINDS {
        let count = in_use(sockets, kind, Family::V4);
        let (all, mem) = (of_kind(sockets, kind).count(), pages(sockets, kind));
        let rest = match name {
            "TCP" => format!(" orphan {orphans} tw {time_wait} alloc {all} mem {mem}"),
            "UDP" => format!(" mem {mem}"),
            _ => String::new(),
        };
        // A String takes everything.
        let _ = writeln!(text, "{name}: inuse {count}{rest}");
    }
    text
}

/// `/proc/net/sockstat6`.
pub fn sockstat6(sockets: &[SocketDetail]) -> String {
    let line = |(name, kind)| format!("{name}6: inuse {}\n", in_use(sockets, kind, Family::V6));
    KINDS.map(line).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a group with their values.
    fn group(text: &str, group: &str) -> Vec<(String, String)> {
        let start = format!("{group}: ");
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&start))
            .collect();
        let [names, values] = lines[..] else {
            panic!("{group} has two lines in\n{text}");
        };
        assert_eq!(names.split(' ').count(), values.split(' ').count());
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        words(names).into_iter().zip(words(values)).collect()
    }

    fn names(text: &str, of: &str) -> Vec<String> {
        group(text, of).into_iter().map(|row| row.0).collect()
    }

    fn of_machine(file: &str) -> String {
        std::fs::read_to_string(format!("/proc/net/{file}")).unwrap()
    }

    #[test]
    fn counts_stand_where_programs_look_for_them() {
        let mut counters = Counters::default();
        for (counter, count) in [
            (Counter::IpInReceives, 3),
            (Counter::IcmpInDestUnreachs, 2),
            (Counter::IcmpOutEchos, 1),
            (Counter::TcpRetransSegs, 7),
            (Counter::TcpExtTcpLossProbes, 5),
            (Counter::UdpLiteNoPorts, 4),
            (Counter::Ip6InReceives, 6),
            (Counter::Icmp6OutNeighborSolicits, 8),
        ] {
            counters.add(counter, count);
        }
        let text = snmp(&counters, true, &[]);
        for (of, name, expected) in [
            ("Ip", "Forwarding", "1"),
            ("Ip", "DefaultTTL", "64"),
            ("Ip", "InReceives", "3"),
            ("Icmp", "InDestUnreachs", "2"),
            ("IcmpMsg", "InType3", "2"),
            ("IcmpMsg", "OutType8", "1"),
            ("Tcp", "MaxConn", "-1"),
            ("Tcp", "RetransSegs", "7"),
            ("UdpLite", "NoPorts", "4"),
        ] {
            let rows = group(&text, of);
            let found = rows.iter().find(|row| row.0 == name);
            assert_eq!(
                found.map(|row| row.1.as_str()),
                Some(expected),
                "{of} {name}"
            );
        }
        assert_eq!(names(&text, "IcmpMsg").len(), 2);
        assert!(!snmp(&Counters::default(), false, &[]).contains("IcmpMsg"));
        assert!(netstat(&counters).contains(" TCPLossProbes "));
        let text = snmp6(&counters);
        assert!(
            text.contains("Ip6InReceives                   \t6\n"),
            "{text}"
        );
        assert!(
            text.ends_with("Icmp6OutType135                 \t8\n"),
            "{text}"
        );
    }

    #[test]
    fn names_are_those_of_the_machines_own_files() {
        let (ours, theirs) = (snmp(&Counters::default(), false, &[]), of_machine("snmp"));
        for of in ["Ip", "Icmp", "Tcp", "Udp"] {
            for name in names(&ours, of) {
                assert!(names(&theirs, of).contains(&name), "{of} {name}");
            }
        }
        let (ours, theirs) = (netstat(&Counters::default()), of_machine("netstat"));
        for of in ["TcpExt", "IpExt"] {
            for name in names(&ours, of) {
                assert!(names(&theirs, of).contains(&name), "{of} {name}");
            }
        }
        let theirs = of_machine("snmp6");
        for line in snmp6(&Counters::default()).lines() {
            let name = line.split_whitespace().next().unwrap();
            let same = |other: &str| other.split_whitespace().next() == Some(name);
            assert!(theirs.lines().any(same), "{name}");
        }
    }

    #[test]
    fn each_type_of_message_is_counted_one_way_at_least() {
        for (group, types) in [("Icmp", &ICMP_TYPES[..]), ("Icmp6", &ICMP6_TYPES[..])] {
            for (number, name) in types {
                let known = Counter::ALL.iter().any(|counter| {
                    counter.group() == group
                        && counter
                            .name()
                            .trim_start_matches("In")
                            .trim_start_matches("Out")
                            == *name
                });
                assert!(known, "{group} {number}");
            }
        }
    }
}
