//! `netstat -s`: the MIB in the words of net-tools.
use std::io::Write as _;

use crate::commands::print_json;
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
pub fn print(client: &Client, node: Option<String>, json: bool) -> Result<u8, Failure> {
    let one = node.is_some();
    let Answer::Counters { nodes } = client.ask(&Ask::Counters { node })? else {
        return Err(Failure::ours("the lab answered something else"));
    };
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    let mut out = std::io::stdout();
    for (i, node) in nodes.iter().enumerate() {
        if !one {
            writeln!(out, "{}{}:", if i > 0 { "\n" } else { "" }, node.node)?;
        }
        write!(out, "{}", text(node))?;
    }
    Ok(0)
}

/// The groups in net-tools' order, then our drop reasons.
fn text(node: &NodeCounters) -> String {
    let mut text = String::new();
    // Of an interface of this machine only what was discarded is known.
    let groups: &[&str] = match node.counters.is_empty() {
        true => &[],
        false => &["Ip", "Icmp", "Tcp", "Udp", "TcpExt", "IpExt"],
    };
    for &group in groups {
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
        let text = text(&node);
        for (line, there) in [
            ("    7 segments received\n", true),
            ("    0 resets sent\n", true),
            ("TCPTimeouts", false),
            ("    TCPOFOQueue: 2\n", true),
            ("    3 no route\n", true),
        ] {
            assert_eq!(text.contains(line), there, "{line}");
        }
    }
}
