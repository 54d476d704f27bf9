//! `heptad traceroute`: the words and columns of Linux's traceroute 2.1.
use std::net::IpAddr;

use super::lines::Lines;
use super::netstat::Names;
use super::{print_json, print_text};
use crate::args::Traceroute;
use crate::control::client::Client;
use crate::control::{Ask, IpVersion, TraceLine, TraceWords};
use crate::failure::{FAILED, Failure};

/// The shell's code for what Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;
/// Bytes of data in a probe, and of its header of UDP or ICMP.
const PROBE: usize = 32 + 8;

/// Traces; 0 even if the destination is not reached.
pub fn traceroute(traceroute: &Traceroute, json: bool) -> Result<u8, Failure> {
    let client = Client::find(traceroute.lab.as_deref())?;
    let ask = Ask::Traceroute {
        node: traceroute.node.clone(),
        to: traceroute.host.clone(),
        version: IpVersion::asked(traceroute.v4, traceroute.v6),
        options: TraceWords {
            icmp: traceroute.icmp,
            max_hops: traceroute.max_hops,
            queries: traceroute.queries,
            wait: traceroute.wait,
        },
    };
    let mut lines = Lines::<TraceLine>::ask(&client, &ask, traceroute.node.is_some())?;
    let names = match traceroute.numeric || json {
        true => None,
        false => Some(Names::of(&client)?),
    };
    if !json {
        print_text(&head(&traceroute.host, lines.to, traceroute.max_hops))?;
    }
    let mut hops = Hops::default();
    while let Some(line) = lines.next()? {
        if let TraceLine::Failed { message } = line {
            if !json {
                print_text("\n")?;
            }
            return Err(Failure::new(FAILED, message));
        }
        match json {
            true => print_json(&line)?,
            false => print_text(&hops.text(&line, names.as_ref()))?,
        }
    }
    if !json {
        print_text("\n")?;
    }
    Ok(if lines.was_stopped() { INTERRUPTED } else { 0 })
}

/// The first line; each hop begins with the end of the line before.
fn head(host: &str, to: IpAddr, max_hops: u8) -> String {
    let bytes = match to {
        IpAddr::V4(_) => 20 + PROBE,
        IpAddr::V6(_) => 40 + PROBE,
    };
    format!("traceroute to {host} ({to}), {max_hops} hops max, {bytes} byte packets")
}

/// What was printed of the present hop.
#[derive(Default)]
struct Hops {
    /// Who answered last.
    shown: Option<IpAddr>,
}
impl Hops {
    /// A probe: the address only where it differs from the one before.
    fn text(&mut self, line: &TraceLine, names: Option<&Names>) -> String {
        let TraceLine::Probe {
            hop,
            query,
            from,
            rtt,
            sign,
        } = line
        else {
            return String::new();
        };
        let mut text = String::new();
        if *query == 1 {
            text += &format!("\n{hop:2} ");
            self.shown = None;
        }
        let Some(from) = from else {
            return text + " *";
        };
        if self.shown.replace(*from) != Some(*from) {
            text += &match names {
                Some(names) => match names.name(from) {
                    Some(name) => format!(" {name} ({from})"),
                    None => format!(" {from} ({from})"),
                },
                None => format!(" {from}"),
            };
        }
        if let Some(rtt) = rtt {
            text += &format!("  {rtt:.3} ms");
        }
        if let Some(sign) = sign {
            text += &format!(" {sign}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(hop: u8, query: u8, answer: Option<(&str, f64)>, sign: Option<&str>) -> TraceLine {
        TraceLine::Probe {
            hop,
            query,
            from: answer.map(|(from, _)| from.parse().expect("an address")),
            rtt: answer.map(|(_, rtt)| rtt),
            sign: sign.map(str::to_owned),
        }
    }

    #[test]
    fn lines_are_those_of_traceroute_byte_for_byte() {
        let to = "198.51.100.20";
        let mut text = head(to, to.parse().expect("an address"), 30);
        let (router, host) = ("192.0.2.1", "198.51.100.20");
        let mut hops = Hops::default();
        for line in [
            probe(1, 1, Some((router, 0.407)), None),
            probe(1, 2, Some((router, 0.354)), None),
            probe(1, 3, Some((router, 0.333)), None),
            probe(2, 1, None, None),
            probe(2, 2, Some((router, 1.5)), None),
            probe(2, 3, Some((host, 12.25)), None),
            probe(3, 1, Some((router, 3_061.272)), Some("!H")),
            probe(3, 2, None, None),
            probe(3, 3, Some((router, 0.5)), Some("!F-1400")),
        ] {
            text += &hops.text(&line, None);
        }
        let expected = "\
traceroute to 198.51.100.20 (198.51.100.20), 30 hops max, 60 byte packets
 1  192.0.2.1  0.407 ms  0.354 ms  0.333 ms
 2  * 192.0.2.1  1.500 ms 198.51.100.20  12.250 ms
 3  192.0.2.1  3061.272 ms !H *  0.500 ms !F-1400";
        assert_eq!(text, expected);
        let v6 = "fd00::1".parse().expect("an address");
        assert!(head("bob", v6, 5).ends_with("(fd00::1), 5 hops max, 80 byte packets"));
    }
}
