//! `netstat -s`: the MIB in the words of net-tools.

use super::print_answers;
use crate::args::Netstat;
use crate::control::client::Client;
use crate::control::{Answer, Ask, NodeCounters};
use crate::failure::Failure;

/// Group, name in the MIB, the line with `{}` for the value, and whether it is shown at zero.
const LINES: &[(&str, &str, &str, bool)] = &[
    ("Ip", "InReceives", "{} total packets received", true),
    ("Ip", "InHdrErrors", "{} with invalid headers", false),
    ("Ip", "InAddrErrors", "{} with invalid addresses", false),
    ("Ip", "ForwDatagrams", "{} forwarded", true),
    ("Ip", "InUnknownProtos", "{} with unknown protocol", false),
    ("Ip", "InDiscards", "{} incoming packets discarded", true),
    ("Ip", "InDelivers", "{} incoming packets delivered", true),
    ("Ip", "OutRequests", "{} requests sent out", true),
    ("Ip", "OutDiscards", "{} outgoing packets dropped", false),
    (
        "Ip",
        "OutNoRoutes",
        "{} dropped because of missing route",
        false,
    ),
    (
        "Ip",
        "ReasmTimeout",
        "{} fragments dropped after timeout",
        false,
    ),
    ("Ip", "ReasmReqds", "{} reassemblies required", false),
    ("Ip", "ReasmOKs", "{} packets reassembled ok", false),
    ("Ip", "ReasmFails", "{} packet reassemblies failed", false),
    ("Ip", "FragOKs", "{} fragments received ok", false),
    ("Ip", "FragFails", "{} fragments failed", false),
    ("Ip", "FragCreates", "{} fragments created", false),
    ("Ip", "OutTransmits", "OutTransmits: {}", false),
    ("Icmp", "InMsgs", "{} ICMP messages received", true),
    ("Icmp", "InErrors", "{} input ICMP message failed", true),
    ("Icmp", "InCsumErrors", "InCsumErrors: {}", false),
    ("Icmp", "", "ICMP input histogram:", true),
    (
        "Icmp",
        "InDestUnreachs",
        "    destination unreachable: {}",
        false,
    ),
    ("Icmp", "InTimeExcds", "    timeout in transit: {}", false),
    ("Icmp", "InParmProbs", "    wrong parameters: {}", false),
    ("Icmp", "InEchos", "    echo requests: {}", false),
    ("Icmp", "InEchoReps", "    echo replies: {}", false),
    ("Icmp", "OutMsgs", "{} ICMP messages sent", true),
    ("Icmp", "OutErrors", "{} ICMP messages failed", true),
    ("Icmp", "OutRateLimitHost", "OutRateLimitHost: {}", false),
    ("Icmp", "", "ICMP output histogram:", true),
    (
        "Icmp",
        "OutDestUnreachs",
        "    destination unreachable: {}",
        false,
    ),
    ("Icmp", "OutTimeExcds", "    time exceeded: {}", false),
    ("Icmp", "OutParmProbs", "    wrong parameters: {}", false),
    ("Icmp", "OutEchos", "    echo requests: {}", false),
    ("Icmp", "OutEchoReps", "    echo replies: {}", false),
    ("Ip6", "InReceives", "{} total packets received", true),
    ("Ip6", "InHdrErrors", "{} with invalid headers", false),
    ("Ip6", "InTooBigErrors", "{} with packets too big", false),
    (
        "Ip6",
        "InNoRoutes",
        "{} incoming packets with no route",
        false,
    ),
    ("Ip6", "InAddrErrors", "{} with invalid addresses", false),
    ("Ip6", "InUnknownProtos", "{} with unknown protocol", false),
    ("Ip6", "InTruncatedPkts", "{} with truncated packets", false),
    ("Ip6", "InDiscards", "{} incoming packets discarded", true),
    ("Ip6", "InDelivers", "{} incoming packets delivered", true),
    ("Ip6", "OutForwDatagrams", "{} forwarded", true),
    ("Ip6", "OutRequests", "{} requests sent out", true),
    ("Ip6", "OutDiscards", "{} outgoing packets dropped", false),
    (
        "Ip6",
        "OutNoRoutes",
        "{} dropped because of missing route",
        false,
    ),
    (
        "Ip6",
        "ReasmTimeout",
        "{} fragments dropped after timeout",
        false,
    ),
    ("Ip6", "ReasmReqds", "{} reassemblies required", false),
    ("Ip6", "ReasmOKs", "{} packets reassembled ok", false),
    ("Ip6", "ReasmFails", "{} packet reassemblies failed", false),
    ("Ip6", "FragOKs", "{} outgoing packets fragmented ok", false),
    (
        "Ip6",
        "FragFails",
        "{} outgoing packets failed fragmentation",
        false,
    ),
    ("Ip6", "FragCreates", "{} fragments created", false),
    ("Ip6", "InMcastPkts", "{} incoming multicast packets", false),
    (
        "Ip6",
        "OutMcastPkts",
        "{} outgoing multicast packets",
        false,
    ),
    ("Ip6", "InOctets", "Ip6InOctets: {}", false),
    ("Ip6", "OutOctets", "Ip6OutOctets: {}", false),
    ("Ip6", "OutTransmits", "Ip6OutTransmits: {}", false),
    ("Icmp6", "InMsgs", "{} ICMP messages received", true),
    ("Icmp6", "InErrors", "{} input ICMP message failed", true),
    ("Icmp6", "OutMsgs", "{} ICMP messages sent", true),
    ("Icmp6", "InCsumErrors", "InCsumErrors: {}", false),
    ("Icmp6", "", "ICMP input histogram:", true),
    (
        "Icmp6",
        "InDestUnreachs",
        "    destination unreachable: {}",
        false,
    ),
    ("Icmp6", "InPktTooBigs", "    packets too big: {}", false),
    (
        "Icmp6",
        "InTimeExcds",
        "    received ICMPv6 time exceeded: {}",
        false,
    ),
    (
        "Icmp6",
        "InParmProblems",
        "    parameter problem: {}",
        false,
    ),
    ("Icmp6", "InEchos", "    echo requests: {}", false),
    ("Icmp6", "InEchoReplies", "    echo replies: {}", false),
    (
        "Icmp6",
        "InGroupMembQueries",
        "    group member queries: {}",
        false,
    ),
    (
        "Icmp6",
        "InGroupMembResponses",
        "    group member responses: {}",
        false,
    ),
    (
        "Icmp6",
        "InGroupMembReductions",
        "    group member reductions: {}",
        false,
    ),
    (
        "Icmp6",
        "InRouterSolicits",
        "    router solicits: {}",
        false,
    ),
    (
        "Icmp6",
        "InRouterAdvertisements",
        "    router advertisement: {}",
        false,
    ),
    (
        "Icmp6",
        "InNeighborSolicits",
        "    neighbour solicits: {}",
        false,
    ),
    (
        "Icmp6",
        "InNeighborAdvertisements",
        "    neighbour advertisement: {}",
        false,
    ),
    ("Icmp6", "InRedirects", "    redirects: {}", false),
    ("Icmp6", "", "    ICMP output histogram:", true),
    (
        "Icmp6",
        "OutDestUnreachs",
        "    destination unreachable: {}",
        false,
    ),
    ("Icmp6", "OutPktTooBigs", "    packets too big: {}", false),
    (
        "Icmp6",
        "OutTimeExcds",
        "    sent ICMPv6 time exceeded: {}",
        false,
    ),
    (
        "Icmp6",
        "OutParmProblems",
        "    parameter problem: {}",
        false,
    ),
    ("Icmp6", "OutEchos", "    echo requests: {}", false),
    ("Icmp6", "OutEchoReplies", "    echo replies: {}", false),
    (
        "Icmp6",
        "OutGroupMembResponses",
        "    group member responses: {}",
        false,
    ),
    (
        "Icmp6",
        "OutGroupMembReductions",
        "    group member reductions: {}",
        false,
    ),
    (
        "Icmp6",
        "OutRouterSolicits",
        "    router solicits: {}",
        false,
    ),
    (
        "Icmp6",
        "OutRouterAdvertisements",
        "    Icmp6OutRouterAdvertisements: {}",
        false,
    ),
    (
        "Icmp6",
        "OutNeighborSolicits",
        "    neighbor solicits: {}",
        false,
    ),
    (
        "Icmp6",
        "OutNeighborAdvertisements",
        "    neighbor advertisements: {}",
        false,
    ),
    ("Tcp", "ActiveOpens", "{} active connection openings", true),
    (
        "Tcp",
        "PassiveOpens",
        "{} passive connection openings",
        true,
    ),
    ("Tcp", "AttemptFails", "{} failed connection attempts", true),
    ("Tcp", "EstabResets", "{} connection resets received", true),
    ("Tcp", "CurrEstab", "{} connections established", true),
    ("Tcp", "InSegs", "{} segments received", true),
    ("Tcp", "OutSegs", "{} segments sent out", true),
    ("Tcp", "RetransSegs", "{} segments retransmitted", true),
    ("Tcp", "InErrs", "{} bad segments received", true),
    ("Tcp", "OutRsts", "{} resets sent", true),
    ("Tcp", "InCsumErrors", "InCsumErrors: {}", false),
    ("Udp", "InDatagrams", "{} packets received", true),
    (
        "Udp",
        "NoPorts",
        "{} packets to unknown port received",
        true,
    ),
    ("Udp", "InErrors", "{} packet receive errors", true),
    ("Udp", "OutDatagrams", "{} packets sent", true),
    ("Udp", "RcvbufErrors", "{} receive buffer errors", true),
    ("Udp", "SndbufErrors", "{} send buffer errors", true),
    ("Udp", "InCsumErrors", "InCsumErrors: {}", false),
    (
        "TcpExt",
        "ListenOverflows",
        "{} times the listen queue of a socket overflowed",
        false,
    ),
    (
        "TcpExt",
        "ListenDrops",
        "{} SYNs to LISTEN sockets dropped",
        false,
    ),
    (
        "TcpExt",
        "EmbryonicRsts",
        "{} resets received for embryonic SYN_RECV sockets",
        false,
    ),
    (
        "TcpExt",
        "OutOfWindowIcmps",
        "{} ICMP packets dropped because they were out-of-window",
        false,
    ),
    (
        "TcpExt",
        "TW",
        "{} TCP sockets finished time wait in fast timer",
        false,
    ),
    (
        "TcpExt",
        "PAWSEstab",
        "{} packetes rejected in established connections because of timestamp",
        false,
    ),
    ("TcpExt", "DelayedACKs", "{} delayed acks sent", false),
    (
        "TcpExt",
        "TCPPureAcks",
        "{} acknowledgments not containing data payload received",
        false,
    ),
    (
        "TcpExt",
        "TCPRenoRecovery",
        "{} times recovered from packet loss due to fast retransmit",
        false,
    ),
    (
        "TcpExt",
        "TCPSackRecovery",
        "{} times recovered from packet loss by selective acknowledgements",
        false,
    ),
    ("TcpExt", "TCPFastRetrans", "{} fast retransmits", false),
    (
        "TcpExt",
        "TCPSlowStartRetrans",
        "{} retransmits in slow start",
        false,
    ),
    ("TcpExt", "TCPTimeouts", "TCPTimeouts: {}", false),
    (
        "TcpExt",
        "TCPAbortOnData",
        "{} connections reset due to unexpected data",
        false,
    ),
    (
        "TcpExt",
        "TCPAbortOnClose",
        "{} connections reset due to early user close",
        false,
    ),
    (
        "TcpExt",
        "TCPAbortOnTimeout",
        "{} connections aborted due to timeout",
        false,
    ),
];

/// Prints the statistics of one node or of all.
pub fn print(client: &Client, netstat: &Netstat, json: bool) -> Result<u8, Failure> {
    let node = netstat.node.clone();
    let one = node.is_some();
    let Answer::Counters { nodes } = client.ask(&Ask::Counters { node })? else {
        return Err(Failure::odd_answer());
    };
    let v6 = netstat.inet6 && !netstat.inet;
    print_answers(&nodes, (json, one), |node| {
        (node.node.as_str(), text(node, v6))
    })
}

/// Which groups are shown, in net-tools' order. What net-tools tells of IPv6 only when asked (-6) is told anyway, if there
/// is anything to tell.
fn groups(node: &NodeCounters, v6: bool) -> Vec<&'static str> {
    // Of an interface of this machine only what was discarded is known.
    if node.counters.is_empty() {
        return Vec::new();
    }
    if v6 {
        return vec!["Ip6", "Icmp6", "Tcp"];
    }
    let counts = |group: &&str| {
        let mut counters = node.counters.iter();
        counters.any(|(of, _, value)| of == group && *value > 0)
    };
    let always = ["Ip", "Icmp", "Tcp", "Udp", "TcpExt", "IpExt"].into_iter();
    always
        .chain(
            ["UdpLite", "Igmp", "Ip6", "Icmp6"]
                .into_iter()
                .filter(counts),
        )
        .collect()
}

/// The groups, then our drop reasons.
fn text(node: &NodeCounters, v6: bool) -> String {
    let mut text = String::new();
    for group in groups(node, v6) {
        text += &format!("{group}:\n");
        if group == "Ip" {
            text += &format!("    Forwarding: {}\n", if node.forwarding { 1 } else { 2 });
        }
        for (_, name, line, always) in LINES.iter().filter(|(g, ..)| *g == group) {
            let value = value(node, group, name);
            if *always || value > 0 {
                text += &format!("    {}\n", line.replace("{}", &value.to_string()));
            }
        }
        let named = |name: &str| LINES.iter().any(|(g, n, ..)| *g == group && *n == name);
        for (_, name, value) in node
            .counters
            .iter()
            .filter(|(g, name, value)| g == group && *value > 0 && !named(name))
        {
            text += &format!("    {name}: {value}\n");
        }
    }
    if !node.drops.is_empty() {
        text += "Discarded:\n";
        for (reason, n) in &node.drops {
            text += &format!("    {n} {reason}\n");
        }
    }
    text
}

fn value(node: &NodeCounters, group: &str, name: &str) -> u64 {
    node.counters
        .iter()
        .find(|(g, n, _)| g == group && n == name)
        .map_or(0, |(_, _, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_counters_show_only_where_net_tools_shows_them() {
        let counters = vec![
            ("Tcp".into(), "InSegs".into(), 7),
            ("TcpExt".into(), "TCPTimeouts".into(), 0),
            ("TcpExt".into(), "TCPOFOQueue".into(), 2),
        ];
        let node = NodeCounters {
            node: "a".into(),
            forwarding: false,
            counters,
            drops: vec![("no route".into(), 3)],
        };
        let text = text(&node, false);
        for (line, there) in [
            ("    7 segments received\n", true),
            ("    0 resets sent\n", true),
            ("TCPTimeouts", false),
            ("    TCPOFOQueue: 2\n", true),
            ("    3 no route\n", true),
        ] {
            assert_eq!(text.contains(line), there, "{line}");
        }
        assert!(!text.contains("Ip6:"), "{text}");
    }

    #[test]
    fn ipv6_is_told_in_the_words_of_net_tools_if_there_was_any() {
        let counter = |group: &str, name: &str, value| (group.into(), name.into(), value);
        let node = NodeCounters {
            node: "a".into(),
            forwarding: false,
            counters: vec![
                counter("Ip6", "InReceives", 17),
                counter("Ip6", "OutTransmits", 17),
                counter("Icmp6", "InEchoReplies", 3),
                counter("Icmp6", "OutRouterSolicits", 2),
                counter("Icmp6", "OutNeighborSolicits", 4),
            ],
            drops: Vec::new(),
        };
        let expected = "\
Ip6:
    17 total packets received
    0 incoming packets discarded
    0 incoming packets delivered
    0 forwarded
    0 requests sent out
    Ip6OutTransmits: 17
Icmp6:
    0 ICMP messages received
    0 input ICMP message failed
    0 ICMP messages sent
    ICMP input histogram:
        echo replies: 3
        ICMP output histogram:
        router solicits: 2
        neighbor solicits: 4
";
        assert!(text(&node, false).ends_with(expected));
        assert!(text(&node, true).starts_with(expected));
        assert!(text(&node, true).contains("Tcp:\n"));
    }
}
