//! `heptad netstat`: the words and columns of net-tools 2.10.
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{print_json, print_text};
use crate::args::Netstat;
use crate::control::client::Client;
use crate::control::{Answer, Ask, Info, NodeSockets, Socket};
use crate::failure::Failure;

mod groups;
mod ports;
mod routes;
mod routes6;
mod statistics;

/// Prints sockets or statistics of one node, or of all, each under its name.
pub fn netstat(netstat: &Netstat, json: bool) -> Result<u8, Failure> {
    let client = Client::find(netstat.lab.as_deref())?;
    if netstat.statistics {
        return statistics::print(&client, netstat, json);
    }
    if netstat.interfaces {
        return ports::print(&client, netstat.node.clone(), json);
    }
    if netstat.groups {
        return groups::print(&client, netstat.node.clone(), json);
    }
    if netstat.route {
        return routes::print(&client, netstat, json);
    }
    let Answer::Sockets { mut nodes } = client.ask(&Ask::Sockets {
        node: netstat.node.clone(),
    })?
    else {
        return Err(Failure::odd_answer());
    };
    let names = if netstat.numeric {
        Names::default()
    } else {
        Names::of(&client)?
    };
    for node in &mut nodes {
        node.sockets.retain(|socket| shown(netstat, socket));
    }
    print_answers(&nodes, (json, netstat.node.is_some()), |node| {
        (node.node.as_str(), sockets_text(netstat, node, &names))
    })
}

/// What nodes answered: as JSON, or a table of each.
fn print_answers<N: serde::Serialize>(
    nodes: &[N],
    (json, only_one): (bool, bool),
    table: impl Fn(&N) -> (&str, String),
) -> Result<u8, Failure> {
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    print_nodes(nodes.iter().map(table), only_one)?;
    Ok(0)
}

/// The table of each node under its name, or of the one that was asked for.
pub fn print_nodes<'n>(
    tables: impl Iterator<Item = (&'n str, String)>,
    only_one: bool,
) -> Result<(), Failure> {
    let mut text = String::new();
    for (i, (node, table)) in tables.enumerate() {
        if !only_one {
            text += &format!("{}{node}:\n", if i > 0 { "\n" } else { "" });
        }
        text += &table;
    }
    print_text(&text)
}

fn shown(netstat: &Netstat, socket: &Socket) -> bool {
    let protocol = match socket.proto.trim_end_matches('6') {
        _ if !netstat.tcp && !netstat.udp => true,
        "tcp" => netstat.tcp,
        "udp" => netstat.udp,
        _ => false,
    };
    let family = match (netstat.inet, netstat.inet6) {
        (false, false) => true,
        (inet, inet6) => [inet, inet6][usize::from(is_ipv6(socket))],
    };
    let is_tcp = socket.proto.starts_with("tcp");
    let listening = socket.state == "LISTEN" || (!is_tcp && socket.foreign.is_none());
    protocol && family && (netstat.all || netstat.listening == listening)
}

fn is_ipv6(socket: &Socket) -> bool {
    socket.proto.ends_with('6')
}

/// The table of one node, byte for byte as net-tools prints it.
pub fn sockets_text(netstat: &Netstat, node: &NodeSockets, names: &Names) -> String {
    let scope = match (netstat.all, netstat.listening) {
        (true, _) => "servers and established",
        (false, true) => "only servers",
        (false, false) => "w/o servers",
    };
    let program_head = if netstat.programs {
        " PID/Program name    "
    } else {
        ""
    };
    let mut text = format!("Active Internet connections ({scope})\n");
    let head = [
        "Proto",
        "Recv-Q",
        "Send-Q",
        "Local Address",
        "Foreign Address",
        "State",
    ];
    text += &row(head, program_head);
    for socket in &node.sockets {
        let program = match (netstat.programs, socket.pid) {
            (false, _) => String::new(),
            (true, None) => format!(" {:<20}", "-"),
            (true, Some(pid)) => format!(
                " {:<20}",
                format!("{pid}/{}", socket.program.as_deref().unwrap_or(""))
            ),
        };
        let nobody = if is_ipv6(socket) {
            "[::]:*"
        } else {
            "0.0.0.0:*"
        };
        let foreign = names.shown(socket.foreign.as_deref().unwrap_or(nobody));
        let local = names.shown(&socket.local);
        let (recv_q, send_q) = (socket.recv_q.to_string(), socket.send_q.to_string());
        let cells = [
            &socket.proto,
            &recv_q,
            &send_q,
            &local,
            &foreign,
            &socket.state,
        ];
        text += &row(cells.map(String::as_str), &program);
    }
    text
}

/// Characters of the columns for addresses.
const END_WIDTH: usize = 23;

/// The six columns that are always there, and the one of -p.
fn row([proto, recv_q, send_q, local, foreign, state]: [&str; 6], program: &str) -> String {
    format!("{proto:<5} {recv_q:>6} {send_q:>6} {local:<23} {foreign:<23} {state:<11}{program}\n")
}

/// Names of addresses, for output without -n.
#[derive(Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    pub fn of(client: &Client) -> Result<Self, Failure> {
        let Answer::Info(Info { nodes, .. }) = client.ask(&Ask::Info)? else {
            return Err(Failure::odd_answer());
        };
        let known = [
            ("127.0.0.1", "localhost"),
            ("::1", "localhost"),
            ("::", "[::]"),
        ];
        let known = known.map(|(ip, name)| (ip.to_string(), name.to_string()));
        let mut names = BTreeMap::from(known);
        for node in nodes {
            for address in &node.addresses {
                let ip = address.split('/').next().unwrap_or(address);
                names.insert(ip.to_string(), node.name.clone());
            }
        }
        Ok(Self(names))
    }

    /// The name of an address, if a node has it.
    pub fn name(&self, address: &IpAddr) -> Option<&str> {
        self.0.get(&address.to_string()).map(String::as_str)
    }

    /// An end as net-tools writes it: IPv6 without brackets and scope, and cut where the column ends.
    fn shown(&self, end: &str) -> String {
        let Some((address, port)) = end.rsplit_once(':') else {
            return end.to_string();
        };
        let address = address.trim_matches(['[', ']']);
        let (ip, _scope) = address.split_once('%').unwrap_or((address, ""));
        let name = self.0.get(ip).map_or(ip, String::as_str);
        let room = END_WIDTH.saturating_sub(1 + port.len());
        let cut: String = name.chars().take(room).collect();
        format!("{cut}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn flags(words: &str) -> Netstat {
        match Cli::try_parse_from(
            ["heptad", "netstat"]
                .into_iter()
                .chain(words.split_whitespace()),
        )
        .map(|cli| cli.command)
        {
            Ok(Some(Command::Netstat(netstat))) => netstat,
            _ => panic!("{words} does not parse"),
        }
    }

    fn socket(local: &str, foreign: Option<&str>, state: &str) -> Socket {
        let (local, foreign) = (local.into(), foreign.map(str::to_string));
        Socket {
            proto: "tcp".into(),
            recv_q: 0,
            send_q: 0,
            local,
            foreign,
            state: state.into(),
            pid: Some(7),
            program: Some("python3".into()),
        }
    }

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let sockets = vec![
            socket("0.0.0.0:8080", None, "LISTEN"),
            socket("198.51.100.20:8080", Some("192.0.2.10:43900"), "CLOSE_WAIT"),
        ];
        let node = NodeSockets {
            node: "bob".into(),
            sockets,
        };
        let expected = "\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State      \n\
tcp        0      0 0.0.0.0:8080            0.0.0.0:*               LISTEN     \n\
tcp        0      0 198.51.100.20:8080      192.0.2.10:43900        CLOSE_WAIT \n";
        assert_eq!(
            sockets_text(&flags("-ant"), &node, &Names::default()),
            expected
        );
    }

    #[test]
    fn rows_of_ipv6_are_those_of_net_tools_byte_for_byte() {
        let row = |proto: &str, local, foreign, state| Socket {
            proto: proto.into(),
            ..socket(local, foreign, state)
        };
        let long = "[fd00:1:2:3:4:5:6:7]";
        let node = NodeSockets {
            node: "bob".into(),
            sockets: vec![
                row("tcp6", "[::]:8080", None, "LISTEN"),
                row(
                    "tcp6",
                    "127.0.0.1:8080",
                    Some("127.0.0.1:57290"),
                    "ESTABLISHED",
                ),
                row("udp6", &format!("{long}:9001"), None, ""),
                row(
                    "udp6",
                    &format!("{long}:60485"),
                    Some("[fe80::1%2]:53"),
                    "ESTABLISHED",
                ),
            ],
        };
        let expected = "\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State      \n\
tcp6       0      0 :::8080                 :::*                    LISTEN     \n\
tcp6       0      0 127.0.0.1:8080          127.0.0.1:57290         ESTABLISHED\n\
udp6       0      0 fd00:1:2:3:4:5:6:7:9001 :::*                               \n\
udp6       0      0 fd00:1:2:3:4:5:6::60485 fe80::1:53              ESTABLISHED\n";
        assert_eq!(
            sockets_text(&flags("-antu"), &node, &Names::default()),
            expected
        );
    }

    #[test]
    fn the_program_column_is_that_of_net_tools() {
        let node = NodeSockets {
            node: "bob".into(),
            sockets: vec![socket("0.0.0.0:8080", None, "LISTEN")],
        };
        let text = sockets_text(&flags("-ltnp"), &node, &Names::default());
        let expected = "\
Active Internet connections (only servers)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    \n\
tcp        0      0 0.0.0.0:8080            0.0.0.0:*               LISTEN      7/python3           \n";
        assert_eq!(text, expected);
    }

    #[test]
    fn flags_choose_the_rows() {
        let of_ipv6 = |row: Socket| Socket {
            proto: format!("{}6", row.proto),
            ..row
        };
        let rows = [
            socket("0.0.0.0:80", None, "LISTEN"),
            socket("1.2.3.4:5", Some("1.2.3.5:6"), "ESTABLISHED"),
            of_ipv6(socket("[::]:80", None, "LISTEN")),
        ];
        for (words, expected) in [
            ("-ant", [true, true, true]),
            ("-nt", [false, true, false]),
            ("-lnt", [true, false, true]),
            ("-anu", [false, false, false]),
            ("-ant4", [true, true, false]),
            ("-ant6", [false, false, true]),
            ("-ant46", [true, true, true]),
        ] {
            let got = [0, 1, 2].map(|n| shown(&flags(words), &rows[n]));
            assert_eq!(got, expected, "{words}");
        }
    }
}
