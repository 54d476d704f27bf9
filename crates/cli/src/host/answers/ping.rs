//! A ping on its way: what happens, line by line, by a thread of its own.
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use heptad_runtime::Node;
use heptad_runtime::ping::{PingEvent, PingOptions, PingStatistics};
use heptad_stack::l3_network::IcmpError;
use heptad_stack::wire::icmpv4::{Icmpv4, Unreachable};
use heptad_stack::wire::icmpv6::Icmpv6;

use super::Answers;
use super::probes::{Channel, Probing, reason};
use crate::control::{Answer, PingLine, PingWords};

impl Answers {
    pub(super) fn ping(
        &self,
        probing: &Probing<'_>,
        words: &PingWords,
        channel: Option<OwnedFd>,
    ) -> Result<Answer, String> {
        let options = PingOptions {
            count: words.count,
            interval: Duration::try_from_secs_f64(words.interval).map_err(|e| e.to_string())?,
            size: words.size,
            ttl: words.ttl,
            wait: Duration::try_from_secs_f64(words.wait).map_err(|e| e.to_string())?,
        };
        self.probe(probing, channel, move |from, to, channel| {
            run(from, to, options, &channel);
        })
    }
}

fn run(from: &Node, to: IpAddr, options: PingOptions, channel: &Channel) {
    let ended = from.ping(to, options, |event| match event {
        Some(event) => channel.write(&line_of(event)),
        None => channel.is_wanted(),
    });
    channel.write(&match ended {
        Ok(statistics) => last_line(&statistics),
        Err(error) => PingLine::Failed {
            message: reason(&error),
        },
    });
}

fn line_of(event: PingEvent) -> PingLine {
    match event {
        PingEvent::Reply {
            from,
            seq,
            len,
            ttl,
            rtt,
            duplicate,
        } => PingLine::Reply {
            from,
            seq,
            bytes: len,
            ttl,
            rtt: rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            duplicate,
        },
        PingEvent::Error { from, seq, message } => PingLine::Error {
            from,
            seq,
            message: words(message),
        },
    }
}

fn last_line(statistics: &PingStatistics) -> PingLine {
    PingLine::Statistics {
        transmitted: statistics.transmitted,
        received: statistics.received,
        duplicates: statistics.duplicates,
        errors: statistics.errors,
        time: u64::try_from(statistics.time.as_millis()).unwrap_or(u64::MAX),
        rtt: statistics
            .rtt
            .map(|rtt| [rtt.min, rtt.avg, rtt.max, rtt.mdev].map(|seconds| seconds * 1e3)),
    }
}

/// As iputils words them.
fn words(message: IcmpError) -> String {
    match message {
        IcmpError::V4(message) => words_v4(message),
        IcmpError::V6(message) => words_v6(message),
    }
}

fn words_v6(message: Icmpv6) -> String {
    match message {
        Icmpv6::PacketTooBig { mtu } => format!("Packet too big: mtu={mtu}"),
        message => match message.kind() {
            (1, 0) => "Destination unreachable: No route".into(),
            (1, 1) => "Destination unreachable: Administratively prohibited".into(),
            (1, 2) => "Destination unreachable: Beyond scope of source address".into(),
            (1, 3) => "Destination unreachable: Address unreachable".into(),
            (1, 4) => "Destination unreachable: Port unreachable".into(),
            (1, code) => format!("Destination unreachable: Unknown code {code}"),
            (3, 0) => "Time exceeded: Hop limit".into(),
            (3, 1) => "Time exceeded: Defragmentation failure".into(),
            (3, code) => format!("Time exceeded: code {code}"),
            (4, 0) => "Parameter problem: Wrong header field".into(),
            (4, 1) => "Parameter problem: Unknown header".into(),
            (4, 2) => "Parameter problem: Unknown option".into(),
            (kind, code) => format!("Bad ICMP type: {kind}, code {code}"),
        },
    }
}

fn words_v4(message: Icmpv4) -> String {
    match message {
        Icmpv4::Unreachable(Unreachable::FragmentationNeeded { mtu }) => {
            format!("Frag needed and DF set (mtu = {mtu})")
        }
        message => match message.kind() {
            (3, 0) => "Destination Net Unreachable".into(),
            (3, 1) => "Destination Host Unreachable".into(),
            (3, 2) => "Destination Protocol Unreachable".into(),
            (3, 3) => "Destination Port Unreachable".into(),
            (3, 5) => "Source Route Failed".into(),
            (3, 6) => "Destination Net Unknown".into(),
            (3, 7) => "Destination Host Unknown".into(),
            (3, 9) => "Destination Net Prohibited".into(),
            (3, 10) => "Destination Host Prohibited".into(),
            (3, 13) => "Packet filtered".into(),
            (3, code) => format!("Dest Unreachable, Bad Code: {code}"),
            (11, 0) => "Time to live exceeded".into(),
            (11, 1) => "Frag reassembly time exceeded".into(),
            (11, code) => format!("Time exceeded, Bad Code: {code}"),
            (12, _) => "Parameter problem".into(),
            (kind, code) => format!("Bad ICMP type: {kind}, code {code}"),
        },
    }
}
