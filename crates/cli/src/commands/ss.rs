//! `heptad ss`: the columns and words of iproute2's ss, for the nodes of a running lab.
use super::netstat::print_nodes;
use super::print_json;
use crate::args::Ss;
use crate::control::client::Client;
use crate::control::sockets::Inside;
use crate::control::{Answer, Ask};
use crate::failure::Failure;

mod words;

/// Prints the sockets of one node, or of all, each under its name.
pub fn ss(ss: &Ss, json: bool) -> Result<u8, Failure> {
    let client = Client::find(ss.lab.as_deref())?;
    let ask = Ask::Insides {
        node: ss.node.clone(),
    };
    let Answer::Insides { mut nodes } = client.ask(&ask)? else {
        return Err(Failure::odd_answer());
    };
    for node in &mut nodes {
        node.sockets.retain(|socket| shown(ss, socket));
    }
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    let texts = nodes
        .iter()
        .map(|node| (node.node.as_str(), table(ss, &node.sockets)));
    print_nodes(texts, ss.node.is_some())?;
    Ok(0)
}

/// As ss chooses: without -a and -l what is neither waiting for others nor over.
fn shown(ss: &Ss, socket: &Inside) -> bool {
    let protocol = match socket.netid.as_str() {
        _ if !ss.tcp && !ss.udp && !ss.raw => true,
        "tcp" => ss.tcp,
        "udp" => ss.udp,
        _ => ss.raw,
    };
    let family = match (ss.ipv4, ss.ipv6) {
        (false, false) => true,
        (ipv4, ipv6) => [ipv4, ipv6][usize::from(socket.ipv6)],
    };
    let waits = ["LISTEN", "UNCONN"].contains(&socket.state.as_str());
    let over = ["TIME-WAIT", "SYN-RECV"].contains(&socket.state.as_str());
    let state = ss.all || if ss.listening { waits } else { !waits && !over };
    protocol && family && state
}

/// Columns as wide as what stands in them; ends of lines without blanks.
fn table(ss: &Ss, sockets: &[Inside]) -> String {
    let one_protocol = [ss.tcp, ss.udp, ss.raw].iter().filter(|on| **on).count() == 1;
    let head = [
        "Netid",
        "State",
        "Recv-Q",
        "Send-Q",
        "Local Address:",
        "Port",
        "Peer Address:",
        "Port",
        "Process",
    ];
    let mut rows: Vec<[String; 9]> = Vec::new();
    if !ss.no_header {
        rows.push(head.map(str::to_string));
    }
    let first_socket = rows.len();
    rows.extend(sockets.iter().map(|socket| cells(ss, socket)));
    let mut widths: [usize; 9] = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    if one_protocol {
        widths[0] = 0;
    }
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        text += line(row, &widths, one_protocol).trim_end();
        text.push('\n');
        if let Some(socket) = n.checked_sub(first_socket).and_then(|n| sockets.get(n))
            && (ss.info || ss.memory)
        {
            text += format!("\t {}", words::inside(ss, socket)).trim_end();
            text.push('\n');
        }
    }
    text
}

fn line(row: &[String; 9], widths: &[usize; 9], without_netid: bool) -> String {
    let mut text = String::new();
    for (n, (cell, &width)) in row.iter().zip(widths).enumerate() {
        if n == 0 && without_netid {
            continue;
        }
        let gap = match n {
            2 | 3 | 4 | 6 => " ",
            1 if !without_netid => " ",
            _ => "",
        };
        text += gap;
        text += &match n {
            4 | 6 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        };
    }
    text
}

fn cells(ss: &Ss, socket: &Inside) -> [String; 9] {
    let (local, local_port) = end(&socket.local);
    let (peer, peer_port) = end(&socket.peer);
    [
        socket.netid.clone(),
        socket.state.clone(),
        socket.recv_q.to_string(),
        socket.send_q.to_string(),
        local,
        local_port,
        peer,
        peer_port,
        words::process(ss, socket),
    ]
}

/// An address with its colon, and a port.
fn end(end: &str) -> (String, String) {
    match end.rsplit_once(':') {
        Some((address, port)) => (format!("{address}:"), port.to_string()),
        None => (end.to_string(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::control::sockets::SsTimer;

    fn flags(words: &str) -> Ss {
        let words = ["heptad", "ss"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Some(Command::Ss(ss))) => ss,
            _ => panic!("it does not parse"),
        }
    }
    fn socket(state: &str, local: &str, peer: &str) -> Inside {
        Inside {
            netid: "tcp".into(),
            state: state.into(),
            local: local.into(),
            peer: peer.into(),
            pid: Some(7),
            program: Some("python3".into()),
            ino: Some(3),
            ..Inside::default()
        }
    }
    fn some() -> Vec<Inside> {
        let mut waiting = socket("TIME-WAIT", "127.0.0.1:48712", "127.0.0.1:34567");
        (waiting.pid, waiting.program, waiting.ino) = (None, None, None);
        waiting.timer = Some(SsTimer {
            kind: "timewait".into(),
            millis: 59_500,
            times: 0,
        });
        vec![
            socket("LISTEN", "127.0.0.1:34567", "0.0.0.0:*"),
            socket("ESTAB", "127.0.0.1:48704", "127.0.0.1:34567"),
            waiting,
        ]
    }

    // The columns are those that iproute2-6.1.0 printed for the same sockets, but for blanks at the ends of lines and `fd=`.
    #[test]
    fn the_columns_are_those_of_iproute2() {
        let expected = "\
State     Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
LISTEN    0      0          127.0.0.1:34567      0.0.0.0:*
ESTAB     0      0          127.0.0.1:48704    127.0.0.1:34567
TIME-WAIT 0      0          127.0.0.1:48712    127.0.0.1:34567
";
        assert_eq!(table(&flags("-tan"), &some()), expected);
    }

    #[test]
    fn processes_timers_and_numbers_stand_behind() {
        let text = table(&flags("-Htanpoe"), &some());
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].ends_with("users:((\"python3\",pid=7)) ino:3 sk:3 <->"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("timer:(timewait,59sec,0) ino:0 sk:0"),
            "{text}"
        );
    }

    #[test]
    fn flags_choose_the_rows() {
        let rows = some();
        for (words, expected) in [
            ("-tn", [false, true, false]),
            ("-tan", [true, true, true]),
            ("-ltn", [true, false, false]),
            ("-uan", [false, false, false]),
            ("-an4", [true, true, true]),
            ("-an6", [false, false, false]),
        ] {
            let got = [0, 1, 2].map(|n| shown(&flags(words), &rows[n]));
            assert_eq!(got, expected, "{words}");
        }
    }
}
