//! `heptad ping`: the words and columns of iputils.
use std::net::IpAddr;

use super::lines::Lines;
use super::{print_json, print_text};
use crate::args::Ping;
use crate::control::client::Client;
use crate::control::{Ask, IpVersion, PingLine, PingWords};
use crate::failure::{FAILED, Failure};

/// Header of IPv4, and of ICMP.
const HEADERS: u32 = 20 + 8;

/// Pings; 1 if no reply came.
pub fn ping(ping: &Ping, json: bool) -> Result<u8, Failure> {
    let client = Client::find(ping.lab.as_deref())?;
    let ask = Ask::Ping {
        node: ping.node.clone(),
        to: ping.destination.clone(),
        version: IpVersion::asked(ping.v4, ping.v6),
        options: PingWords {
            count: ping.count,
            interval: ping.interval,
            size: ping.size.into(),
            ttl: ping.ttl,
            wait: ping.wait,
        },
    };
    let mut lines = Lines::<PingLine>::ask(&client, &ask, ping.node.is_some())?;
    let name = &ping.destination;
    if !json {
        print_text(&head(name, lines.to, ping.size))?;
    }
    let mut code = FAILED;
    while let Some(line) = lines.next()? {
        if let PingLine::Statistics { received: 1.., .. } = line {
            code = 0;
        }
        if let PingLine::Failed { message } = line {
            return Err(Failure::usage(format!("ping: {name}: {message}")));
        }
        if ping.quiet && !matches!(line, PingLine::Statistics { .. }) {
            continue;
        }
        if json {
            print_json(&line)?;
        } else {
            print_text(&text(&line, name))?;
        }
    }
    Ok(code)
}

/// The first line.
fn head(name: &str, to: IpAddr, size: u16) -> String {
    let whole = u32::from(size) + HEADERS;
    match to {
        IpAddr::V4(_) => format!("PING {name} ({to}) {size}({whole}) bytes of data.\n"),
        IpAddr::V6(_) => format!("PING {name}({}) {size} data bytes\n", who(name, to)),
    }
}

/// A name with its address; an address alone.
fn who(name: &str, address: IpAddr) -> String {
    match name.parse() == Ok(address) {
        true => address.to_string(),
        false => format!("{name} ({address})"),
    }
}

fn text(line: &PingLine, name: &str) -> String {
    match line {
        PingLine::Reply {
            from,
            seq,
            bytes,
            ttl,
            rtt,
            duplicate,
        } => {
            let who = who(name, *from);
            let time = rtt.map_or(String::new(), |rtt| format!(" time={} ms", short(rtt)));
            let again = if *duplicate { " (DUP!)" } else { "" };
            format!("{bytes} bytes from {who}: icmp_seq={seq} ttl={ttl}{time}{again}\n")
        }
        PingLine::Error { from, seq, message } => {
            format!("From {from} icmp_seq={seq} {message}\n")
        }
        PingLine::Failed { message } => format!("{message}\n"),
        PingLine::Statistics { .. } => statistics(line, name),
    }
}

fn statistics(line: &PingLine, name: &str) -> String {
    let PingLine::Statistics {
        transmitted,
        received,
        duplicates,
        errors,
        time,
        rtt,
    } = line
    else {
        return String::new();
    };
    let mut text = format!("\n--- {name} ping statistics ---\n");
    text += &format!("{transmitted} packets transmitted, {received} received");
    for (count, what) in [(duplicates, "duplicates"), (errors, "errors")] {
        if *count > 0 {
            text += &format!(", +{count} {what}");
        }
    }
    if *transmitted > 0 {
        let lost = (transmitted - received) as f64 * 100.0 / *transmitted as f64;
        text += &format!(", {}% packet loss, time {time}ms", percent(lost));
    }
    text += "\n";
    text += &match rtt {
        Some([min, avg, max, mdev]) => {
            format!("rtt min/avg/max/mdev = {min:.3}/{avg:.3}/{max:.3}/{mdev:.3} ms\n")
        }
        None => "\n".to_owned(),
    };
    text
}

/// As printf's `%g` has it: at most six digits, no zeros at the end.
fn percent(lost: f64) -> String {
    let text = match lost {
        lost if lost >= 10.0 => format!("{lost:.4}"),
        lost => format!("{lost:.5}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three digits behind the point below a second's hundredth, then fewer.
fn short(millis: f64) -> String {
    match millis {
        millis if millis >= 99.95 => format!("{millis:.0}"),
        millis if millis >= 9.995 => format!("{millis:.1}"),
        millis if millis >= 0.9995 => format!("{millis:.2}"),
        millis => format!("{millis:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(rtt: f64, duplicate: bool) -> PingLine {
        PingLine::Reply {
            from: "198.51.100.20".parse().expect("an address"),
            seq: 1,
            bytes: 64,
            ttl: 63,
            rtt: Some(rtt),
            duplicate,
        }
    }

    #[test]
    fn lines_are_those_of_iputils() {
        for (line, name, expected) in [
            (
                reply(0.778, false),
                "198.51.100.20",
                "64 bytes from 198.51.100.20: icmp_seq=1 ttl=63 time=0.778 ms\n",
            ),
            (
                reply(40.24, true),
                "bob",
                "64 bytes from bob (198.51.100.20): icmp_seq=1 ttl=63 time=40.2 ms (DUP!)\n",
            ),
            (
                PingLine::Error {
                    from: "10.0.1.1".parse().expect("an address"),
                    seq: 2,
                    message: "Time to live exceeded".into(),
                },
                "bob",
                "From 10.0.1.1 icmp_seq=2 Time to live exceeded\n",
            ),
        ] {
            assert_eq!(text(&line, name), expected);
        }
        for (millis, expected) in [
            (0.05, "0.050"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1234"),
        ] {
            assert_eq!(short(millis), expected);
        }
    }

    #[test]
    fn the_first_line_is_that_of_iputils() {
        for (name, to, expected) in [
            (
                "198.51.100.20",
                "198.51.100.20",
                "PING 198.51.100.20 (198.51.100.20) 56(84) bytes of data.\n",
            ),
            (
                "fd00:1::10",
                "fd00:1::10",
                "PING fd00:1::10(fd00:1::10) 56 data bytes\n",
            ),
            (
                "bob",
                "fd00:1::20",
                "PING bob(bob (fd00:1::20)) 56 data bytes\n",
            ),
        ] {
            let to = to.parse().expect("an address");
            assert_eq!(head(name, to, 56), expected);
        }
    }

    #[test]
    fn statistics_are_those_of_iputils() {
        let line = |transmitted, received, errors, rtt| PingLine::Statistics {
            transmitted,
            received,
            duplicates: 0,
            errors,
            time: 2021,
            rtt,
        };
        let all = line(3, 3, 0, Some([0.069, 0.342, 0.778, 0.311]));
        assert_eq!(
            text(&all, "198.51.100.20"),
            "\n--- 198.51.100.20 ping statistics ---\n\
             3 packets transmitted, 3 received, 0% packet loss, time 2021ms\n\
             rtt min/avg/max/mdev = 0.069/0.342/0.778/0.311 ms\n"
        );
        let none = line(3, 0, 3, None);
        assert_eq!(
            text(&none, "bob"),
            "\n--- bob ping statistics ---\n\
             3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2021ms\n\n"
        );
        let some = line(3, 2, 0, None);
        assert!(text(&some, "bob").contains(" 33.3333% packet loss"));
    }
}
