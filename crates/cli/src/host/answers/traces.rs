//! Traces on their way: what becomes of each probe, line by line, by a thread of its own.
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use heptad_runtime::Node;
use heptad_runtime::tracepath::{PathAnswer, PathEvent};
use heptad_runtime::traceroute::{Method, ProbeResult, TraceOptions};
use heptad_stack::SocketError;
use heptad_stack::l3_network::IcmpError;

use super::Answers;
use super::probes::{Channel, Probing, reason};
use crate::control::{Answer, PathLine, TraceLine, TraceWords};

/// Linux's ENETUNREACH.
const NETWORK_UNREACHABLE: i32 = SocketError::NetworkUnreachable.errno();

impl Answers {
    pub(super) fn traceroute(
        &self,
        probing: &Probing<'_>,
        words: &TraceWords,
        channel: Option<OwnedFd>,
    ) -> Result<Answer, String> {
        let options = TraceOptions {
            method: if words.icmp {
                Method::Icmp
            } else {
                Method::Udp
            },
            max_hops: words.max_hops,
            queries: words.queries,
            wait: Duration::try_from_secs_f64(words.wait).map_err(|e| e.to_string())?,
            ..TraceOptions::default()
        };
        self.probe(probing, channel, move |from, to, channel| {
            let ended = from.traceroute(to, options, |result| match result {
                Some(result) => channel.write(&trace_line(&result)),
                None => channel.is_wanted(),
            });
            if let Err(error) = ended {
                let message = format!("connect: {}", reason(&error));
                channel.write(&TraceLine::Failed { message });
            }
        })
    }

    pub(super) fn tracepath(
        &self,
        probing: &Probing<'_>,
        max_hops: u8,
        channel: Option<OwnedFd>,
    ) -> Result<Answer, String> {
        self.probe(probing, channel, move |from, to, channel| {
            trace_path(from, to, max_hops, &channel);
        })
    }
}

fn trace_path(from: &Node, to: IpAddr, max_hops: u8, channel: &Channel) {
    let mut hop = 1;
    let mut pmtu = 65_535;
    let ended = from.tracepath(to, max_hops, |event| {
        let Some(event) = event else {
            return channel.is_wanted();
        };
        let line = path_line(&event);
        match line {
            PathLine::Local { pmtu: told, .. } => pmtu = told,
            PathLine::Hop { hop: asked, .. } | PathLine::NoReply { hop: asked } => hop = asked,
            _ => {}
        }
        channel.write(&line)
    });
    if let Err(error) = ended {
        for line in cannot_go_on(&error, hop, pmtu) {
            channel.write(&line);
        }
    }
}

/// As iputils: without a way nothing is sent, and that is all that there is to resume.
fn cannot_go_on(error: &io::Error, hop: u8, pmtu: u32) -> Vec<PathLine> {
    let (hops, back) = (None, None);
    match error.raw_os_error() {
        Some(NETWORK_UNREACHABLE) => vec![
            PathLine::SendFailed { hop },
            PathLine::Resume { pmtu, hops, back },
        ],
        _ => vec![PathLine::Failed {
            message: reason(error),
        }],
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn trace_line(result: &ProbeResult) -> TraceLine {
    let answer = result.answer;
    TraceLine::Probe {
        hop: result.hop,
        query: result.query + 1,
        from: answer.map(|answer| answer.from),
        rtt: answer.map(|answer| millis(answer.rtt)),
        sign: answer.and_then(|answer| answer.message.and_then(|message| sign(&message))),
    }
}

/// traceroute's signs. A TTL that ran out and a port where nobody is are what a trace wants to hear.
fn sign(message: &IcmpError) -> Option<String> {
    if let Some(mtu) = message.mtu() {
        return Some(format!("!F-{mtu}"));
    }
    let (kind, code) = message.kind();
    let unreachable = match message {
        IcmpError::V4(_) => 3,
        IcmpError::V6(_) => 1,
    };
    let known = match (message, kind, code) {
        (IcmpError::V4(_), 11, 0) | (IcmpError::V4(_), 3, 3) => return None,
        (IcmpError::V6(_), 3, 0) | (IcmpError::V6(_), 1, 4) => return None,
        (IcmpError::V4(_), 3, 0 | 6 | 8 | 11) => "!N",
        (IcmpError::V4(_), 3, 1 | 7 | 12) => "!H",
        (IcmpError::V4(_), 3, 9 | 10 | 13) => "!X",
        (IcmpError::V4(_), 3, 2) => "!P",
        (IcmpError::V4(_), 3, 5) => "!S",
        (IcmpError::V4(_), 3, 14) => "!V",
        (IcmpError::V4(_), 3, 15) => "!C",
        (IcmpError::V6(_), 1, 0) => "!N",
        (IcmpError::V6(_), 1, 2 | 3) => "!H",
        (IcmpError::V6(_), 1, 1) => "!X",
        _ if kind == unreachable => return Some(format!("!<{code}>")),
        _ => return Some(format!("!<{kind}-{code}>")),
    };
    Some(known.to_owned())
}

fn path_line(event: &PathEvent) -> PathLine {
    match *event {
        PathEvent::Local { hop, mtu } => PathLine::Local { hop, pmtu: mtu },
        PathEvent::Hop {
            hop,
            from,
            rtt,
            what,
        } => PathLine::Hop {
            hop,
            from,
            rtt: millis(rtt),
            pmtu: match what {
                PathAnswer::Narrow(mtu) => Some(mtu),
                _ => None,
            },
            asymmetric: match what {
                PathAnswer::Router { asymmetric } => asymmetric,
                _ => None,
            },
            reached: what == PathAnswer::Reached,
            sign: match what {
                PathAnswer::Unreachable(error) => Some(path_sign(error).to_owned()),
                _ => None,
            },
        },
        PathEvent::Silence { hop } => PathLine::NoReply { hop },
        PathEvent::Reply { hop } => PathLine::Reply { hop },
        PathEvent::TooManyHops { mtu } => PathLine::TooManyHops { pmtu: mtu },
        PathEvent::Resume { mtu, hops, back } => PathLine::Resume {
            pmtu: mtu,
            hops,
            back,
        },
    }
}

/// tracepath's signs.
fn path_sign(error: SocketError) -> &'static str {
    match error {
        SocketError::NetworkUnreachable => "!N",
        SocketError::AccessDenied => "!A",
        SocketError::Protocol | SocketError::NoProtocolOption => "!P",
        _ => "!H",
    }
}

#[cfg(test)]
mod tests {
    use heptad_stack::wire::icmpv4::Icmpv4;
    use heptad_stack::wire::icmpv6::Icmpv6;

    use super::*;

    #[test]
    fn signs_are_those_of_traceroute() {
        for (kind, code, last, expected) in [
            (11, 0, 0, None),
            (3, 3, 0, None),
            (3, 0, 0, Some("!N")),
            (3, 1, 0, Some("!H")),
            (3, 2, 0, Some("!P")),
            (3, 13, 0, Some("!X")),
            (3, 4, 200, Some("!F-200")),
            (3, 77, 0, Some("!<77>")),
            (11, 1, 0, Some("!<11-1>")),
        ] {
            let message = Icmpv4::parse(&[kind, code, 0, 0, 0, 0, 0, last]).expect("a header");
            let sign = sign(&IcmpError::V4(message));
            assert_eq!(sign.as_deref(), expected, "{kind} {code}");
        }
        for (kind, code, last, expected) in [
            (3, 0, 0, None),
            (1, 4, 0, None),
            (1, 0, 0, Some("!N")),
            (1, 3, 0, Some("!H")),
            (1, 1, 0, Some("!X")),
            (2, 0, 200, Some("!F-200")),
            (4, 1, 0, Some("!<4-1>")),
        ] {
            let message = Icmpv6::parse(&[kind, code, 0, 0, 0, 0, 0, last]).expect("a header");
            let sign = sign(&IcmpError::V6(message));
            assert_eq!(sign.as_deref(), expected, "{kind} {code}");
        }
    }
}
