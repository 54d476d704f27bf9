//! `heptad tracepath`: the words and columns of iputils.
use std::net::IpAddr;

use super::lines::Lines;
use super::netstat::Names;
use super::traceroute::INTERRUPTED;
use super::{print_json, print_text};
use crate::args::Tracepath;
use crate::control::client::Client;
use crate::control::{Ask, IpVersion, PathLine};
use crate::failure::{FAILED, Failure};

/// How wide a host's name is at least.
const HOST: usize = 52;

/// Traces; 0 even if the destination is not reached.
pub fn tracepath(tracepath: &Tracepath, json: bool) -> Result<u8, Failure> {
    let client = Client::find(tracepath.lab.as_deref())?;
    let ask = Ask::Tracepath {
        node: tracepath.node.clone(),
        to: tracepath.host.clone(),
        version: IpVersion::asked(tracepath.v4, tracepath.v6),
        max_hops: tracepath.max_hops,
    };
    let lines = Lines::<PathLine>::ask(&client, &ask, tracepath.node.is_some());
    // A host that is not there is 1 with iputils.
    let mut lines = lines.map_err(|failure| Failure::new(FAILED, failure.message()))?;
    let names = match tracepath.numeric || json {
        true => None,
        false => Some(Names::of(&client)?),
    };
    while let Some(line) = lines.next()? {
        if let PathLine::Failed { message } = line {
            let host = &tracepath.host;
            return Err(Failure::new(
                FAILED,
                format!("tracepath: {host}: {message}"),
            ));
        }
        match json {
            true => print_json(&line)?,
            false => print_text(&text(&line, lines.to, names.as_ref()))?,
        }
    }
    Ok(if lines.was_stopped() { INTERRUPTED } else { 0 })
}

fn text(line: &PathLine, to: IpAddr, names: Option<&Names>) -> String {
    match line {
        PathLine::Local { hop, pmtu } => {
            // With IPv6 the kernel tells which datagram it refused, so iputils knows how long that took.
            let time = if to.is_ipv6() {
                took(0.0)
            } else {
                String::new()
            };
            format!("{hop:2}?: {:<32} {time}pmtu {pmtu}\n", "[LOCALHOST]")
        }
        PathLine::Hop { hop, .. } => format!("{hop:2}:  {}\n", answer(line, names)),
        PathLine::NoReply { hop } => format!("{hop:2}:  no reply\n"),
        PathLine::Reply { hop } => format!("{hop:2}?: reply received 8)\n"),
        PathLine::SendFailed { hop } => format!("{hop:2}:  send failed\n"),
        PathLine::TooManyHops { pmtu } => format!("     Too many hops: pmtu {pmtu}\n"),
        PathLine::Resume { pmtu, hops, back } => {
            let hops = hops.map_or(String::new(), |hops| format!("hops {hops} "));
            let back = back.map_or(String::new(), |back| format!("back {back} "));
            format!("     Resume: pmtu {pmtu} {hops}{back}\n")
        }
        PathLine::Failed { message } => format!("{message}\n"),
    }
}

/// Who answered, when, and what it means.
fn answer(line: &PathLine, names: Option<&Names>) -> String {
    let PathLine::Hop {
        from,
        rtt,
        pmtu,
        asymmetric,
        reached,
        sign,
        ..
    } = line
    else {
        return String::new();
    };
    let name = names.and_then(|names| names.name(from));
    let host = name.map_or_else(|| from.to_string(), str::to_owned);
    // A long name is followed by one blank.
    let host = format!("{host:<width$} ", width = HOST - 1);
    let meaning = match (pmtu, asymmetric, sign) {
        (Some(pmtu), ..) => format!("pmtu {pmtu}"),
        (_, Some(hops), _) => format!("asymm {hops:2} "),
        (_, _, Some(sign)) => sign.clone(),
        _ if *reached => "reached".to_owned(),
        _ => String::new(),
    };
    format!("{host}{}{meaning}", took(*rtt))
}

/// Milliseconds.
fn took(rtt: f64) -> String {
    format!("{rtt:>7.3}ms ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(hop: u8, rtt: f64) -> PathLine {
        PathLine::Hop {
            hop,
            from: "192.0.2.1".parse().expect("an address"),
            rtt,
            pmtu: None,
            asymmetric: None,
            reached: false,
            sign: None,
        }
    }
    #[track_caller]
    fn check(line: &PathLine, to: &str, expected: &str) {
        let to = to.parse().expect("an address");
        assert_eq!(text(line, to, None), expected);
    }

    #[test]
    fn lines_are_those_of_iputils_byte_for_byte() {
        let local = PathLine::Local {
            hop: 1,
            pmtu: 1_500,
        };
        let resume = |hops, back| PathLine::Resume {
            pmtu: 1_500,
            hops,
            back,
        };
        let v4 = "192.0.2.1";
        for (line, to, expected) in [
            (
                local.clone(),
                v4,
                " 1?: [LOCALHOST]                      pmtu 1500\n",
            ),
            (
                local,
                "fd00::1",
                " 1?: [LOCALHOST]                        0.000ms pmtu 1500\n",
            ),
            (
                hop(2, 0.5),
                v4,
                " 2:  192.0.2.1                                             0.500ms \n",
            ),
            (PathLine::NoReply { hop: 4 }, v4, " 4:  no reply\n"),
            (PathLine::SendFailed { hop: 1 }, v4, " 1:  send failed\n"),
            (
                PathLine::TooManyHops { pmtu: 1_500 },
                v4,
                "     Too many hops: pmtu 1500\n",
            ),
            (
                resume(Some(1), Some(1)),
                v4,
                "     Resume: pmtu 1500 hops 1 back 1 \n",
            ),
            (resume(None, None), v4, "     Resume: pmtu 1500 \n"),
        ] {
            check(&line, to, expected);
        }
    }

    #[test]
    fn what_an_answer_means_stands_behind_its_time() {
        for (rtt, change, expected) in [
            (
                0.055,
                ("reached", true.into()),
                " 1:  192.0.2.1                                             0.055ms reached\n",
            ),
            (
                3_061.272,
                ("sign", "!H".into()),
                " 1:  192.0.2.1                                           3061.272ms !H\n",
            ),
            (
                20.5,
                ("asymmetric", 4.into()),
                " 1:  192.0.2.1                                            20.500ms asymm  4 \n",
            ),
            (
                10.0,
                ("pmtu", serde_json::Value::from(1_400)),
                " 1:  192.0.2.1                                            10.000ms pmtu 1400\n",
            ),
        ] {
            let mut line = serde_json::to_value(hop(1, rtt)).expect("a line");
            line[change.0] = change.1;
            let line = serde_json::from_value(line).expect("a line");
            check(&line, "192.0.2.1", expected);
        }
    }
}
