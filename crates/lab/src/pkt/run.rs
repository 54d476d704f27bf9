//! A script is run: each event at its time, and the first thing that is not as it says ends it.
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use heptad_stack::Instant;
use heptad_stack::wire::tcp::Flags;

use super::assertion::{self, Scalar};
use super::calls::{Calls, Fault, Opened, Outcome, Progress};
use super::compare::{self, Joined};
use super::flow::Flow;
use super::info;
use super::script::{
    Call, Carried, Event, IcmpSpec, PacketSpec, Quoted, Script, TcpSpec, What, When,
};
use super::segment::{self, Seen, SeenPayload};
use super::settings::{PEER_PORTS, Settings};
use super::verdict::{self, Packets, Timed};
use super::{Passed, PktError, words};
use crate::solo::Solo;

/// How long a packet that the script expects is waited for beyond its time, to tell when it came instead.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a whole script.
pub fn run(script: &Script) -> Result<Passed, PktError> {
    let settings = settings(script)?;
    let mut run = Run::new(settings)?;
    let mut events = script.events.iter();
    let played = events
        .try_for_each(|event| run.event(event))
        .and_then(|()| run.finish_call());
    played.map_err(|error| error.noticed_at(run.host.now().since(run.start)))?;
    Ok(Passed {
        events: script.events.len(),
        unsaid: run.unsaid(),
        time: run.host.now().since(run.start),
    })
}

/// What is said before the first event that happens.
fn settings(script: &Script) -> Result<Settings, PktError> {
    let mut settings = Settings::default();
    for (name, value) in &script.options {
        let done = settings.option(name, value.as_deref());
        done.map_err(|what| PktError::Unknown { line: 1, what })?;
    }
    for event in &script.events {
        let What::Command(text) = &event.what else {
            break;
        };
        let done = settings.commands(text);
        done.map_err(|what| unknown(event, what))?;
    }
    Ok(settings)
}
fn unknown(event: &Event, what: impl Into<String>) -> PktError {
    PktError::Unknown {
        line: event.line,
        what: what.into(),
    }
}
fn differs(line: u32, what: impl Into<String>) -> PktError {
    PktError::Differs {
        line,
        at: Duration::ZERO, // told when the script ends
        what: what.into(),
        packets: None,
    }
}

/// Which connection the next packet of the script belongs to.
enum Focus {
    Nothing,
    /// A listener at this address: the next packet of the peer begins a connection.
    Listening(SocketAddr),
    /// A socket that connects to this address: its first packet tells the port.
    Connecting(SocketAddr),
    Flow(usize),
}

/// When an event may be.
#[derive(Clone, Copy)]
struct Window {
    /// What a relative time counts from.
    base: Instant,
    from: Instant,
    to: Instant,
    tolerance: Duration,
    any: bool,
}
impl Window {
    fn holds(&self, at: Instant) -> bool {
        self.any || (at + self.tolerance >= self.from && at <= self.to + self.tolerance)
    }
}

/// A call that has not returned.
struct Pending {
    line: u32,
    call: Call,
    end: Instant,
    progress: Progress,
}

struct Run {
    settings: Settings,
    host: Solo,
    start: Instant,
    flows: Vec<Flow>,
    focus: Focus,
    calls: Calls,
    pending: Option<Pending>,
    names: BTreeMap<String, Scalar>,
    /// The peer's packet before, if one was: the next counts from it.
    anchor: Option<Instant>,
}

impl Run {
    fn new(settings: Settings) -> Result<Self, PktError> {
        let host = Solo::new(&settings.host);
        let host = host.map_err(|what| PktError::Unknown { line: 1, what })?;
        let constants = words::all().map(|(name, n)| (name.into(), Scalar::Int(n.into())));
        Ok(Self {
            start: host.now(),
            host,
            flows: Vec::new(),
            focus: Focus::Nothing,
            calls: Calls::default(),
            pending: None,
            names: constants.collect(),
            anchor: None,
            settings,
        })
    }

    fn event(&mut self, event: &Event) -> Result<(), PktError> {
        let window = self.window(event);
        let inbound = matches!(event.what, What::Inbound(_));
        match &event.what {
            What::Outbound(packet) => self.outbound(event, packet, window)?,
            What::Call(call) if call.end.is_none() || self.pending.is_some() => {
                self.finish_call()?;
                self.wait(event, window)?;
                self.call(event, call, window)?;
            }
            what => {
                self.wait(event, window)?;
                match what {
                    What::Inbound(packet) => self.inbound(event, packet)?,
                    What::Call(call) => self.call(event, call, window)?,
                    What::Code(block) => self.code(event, block)?,
                    What::Command(text) => {
                        let known = self.settings.clone().commands(text);
                        known.map_err(|what| unknown(event, what))?;
                    }
                    What::Outbound(_) => {}
                }
            }
        }
        self.anchor = inbound.then_some(window.from);
        self.serve_call()
    }

    /// The event's time. Packets of the peer in a row count from each other, all else from now.
    fn window(&self, event: &Event) -> Window {
        let now = self.host.now();
        let base = match (&event.what, self.anchor) {
            (What::Inbound(_), Some(anchor)) => anchor,
            _ => now,
        };
        let (from, to) = match event.at {
            When::Absolute(at) => (self.start + at, self.start + at),
            When::AbsoluteRange(from, to) => (self.start + from, self.start + to),
            When::Relative(after) => (base + after, base + after),
            When::RelativeRange(from, to) => (base + from, base + to),
            When::Any => (now, now),
        };
        let share = from.since(now) / 100 * self.settings.tolerance_percent;
        Window {
            base,
            from,
            to,
            tolerance: self.settings.tolerance.max(share),
            any: event.at == When::Any,
        }
    }
    /// Seconds since the start, as scripts write times.
    fn shown(&self, at: Instant) -> String {
        verdict::seconds(at.since(self.start))
    }
    /// Lets time pass until an event is due.
    fn wait(&mut self, event: &Event, window: Window) -> Result<(), PktError> {
        self.advance(window.from)?;
        match window.holds(self.host.now()) {
            true => Ok(()),
            false => Err(differs(
                event.line,
                format!(
                    "this is to happen at {} s, and it is {} s already",
                    self.shown(window.from),
                    self.shown(self.host.now())
                ),
            )),
        }
    }
    /// When something is due next: of the host, or the end of a call that waits.
    fn due(&self) -> Option<Instant> {
        let pending = self.pending.as_ref();
        let until = pending.and_then(|call| call.progress.until);
        let until = until.filter(|until| *until > self.host.now());
        self.host.due().into_iter().chain(until).min()
    }
    /// Steps from one thing that is due to the next, and looks after a call that waits.
    fn advance(&mut self, to: Instant) -> Result<(), PktError> {
        while let Some(at) = self.due().filter(|at| *at <= to) {
            self.host.advance(at.max(self.host.now()));
            self.serve_call()?;
        }
        self.host.advance(to);
        self.serve_call()
    }

    // ── the peer's packets ───────────────────────────────────────────────────────────────────────────────────────

    fn inbound(&mut self, event: &Event, packet: &PacketSpec) -> Result<(), PktError> {
        if let Focus::Listening(local) = self.focus {
            let port = PEER_PORTS + self.flows.len() as u16;
            let remote = SocketAddr::new(self.settings.remote, port);
            self.flows.push(Flow::new(local, remote));
            self.focus = Focus::Flow(self.flows.len() - 1);
        }
        let Focus::Flow(index) = self.focus else {
            return Err(unknown(
                event,
                "no connection stands that this packet could belong to",
            ));
        };
        let Some(flow) = self.flows.get(index) else {
            return Ok(());
        };
        let bytes = match &packet.carries {
            Carried::Tcp(tcp) => {
                let header = flow.header(tcp, packet.ports);
                let header = header.map_err(|what| unknown(event, what))?;
                segment::segment(packet.ip, flow.remote, flow.local, &header, tcp.len)
            }
            Carried::Udp(len) => segment::datagram(packet.ip, flow.remote, flow.local, *len),
            Carried::Icmp(icmp) => {
                icmp_error(flow, packet, icmp).map_err(|what| unknown(event, what))?
            }
        };
        self.host.receive(&bytes);
        Ok(())
    }

    // ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────

    fn outbound(
        &mut self,
        event: &Event,
        packet: &PacketSpec,
        window: Window,
    ) -> Result<(), PktError> {
        let (at, seen) = self.next_sent(event, packet, window)?;
        let (seen, joined) = match (&packet.carries, &seen.carries) {
            (Carried::Tcp(spec), SeenPayload::Tcp(..)) => {
                let (seen, joined) = self.joined(spec, seen);
                (seen, Some(joined))
            }
            _ => (seen, None),
        };
        let told = match &joined {
            Some(joined) => compare::line(joined),
            None => compare::other_line(&seen),
        };
        let verdict = match (&packet.carries, &joined) {
            (Carried::Tcp(spec), Some(joined)) => compare::tcp(joined, spec, &self.settings),
            _ => other(packet, &seen),
        };
        let verdict = verdict
            .and_then(|()| compare::ip(&seen, packet))
            .and_then(|()| self.flow_label(packet, &seen))
            .and_then(|()| match window.holds(at) {
                true => Ok(()),
                false => Err(format!("time: {} was expected", self.time_of(window))),
            });
        verdict.map_err(|what| self.other_packet(event, packet, window, what, Some((at, told))))
    }
    /// An error that shows what the script expects beside what was sent.
    fn other_packet(
        &self,
        event: &Event,
        packet: &PacketSpec,
        window: Window,
        what: impl Into<String>,
        sent: Option<(Instant, String)>,
    ) -> PktError {
        let expected = Timed {
            time: self.time_of(window),
            packet: compare::expected_line(packet),
        };
        let at = sent.as_ref().map_or(window.to, |(at, _)| *at);
        let sent = sent.map(|(at, packet)| Timed {
            time: self.shown(at),
            packet,
        });
        PktError::Differs {
            line: event.line,
            at: at.since(self.start),
            what: what.into(),
            packets: Some(Box::new(Packets { expected, sent })),
        }
    }
    fn time_of(&self, window: Window) -> String {
        match window {
            Window { any: true, .. } => "*".into(),
            Window { from, to, .. } if from == to => self.shown(from),
            Window { from, to, .. } => format!("{}~{}", self.shown(from), self.shown(to)),
        }
    }
    /// The next packet of the script's connection.
    fn next_sent(
        &mut self,
        event: &Event,
        packet: &PacketSpec,
        window: Window,
    ) -> Result<(Instant, Seen), PktError> {
        let limit = window.to.max(self.host.now()) + PATIENCE;
        loop {
            while let Some(sent) = self.host.sent.pop_front() {
                let seen = Seen::parse(&sent.bytes);
                if let Some(seen) = seen.filter(|seen| self.is_ours(seen)) {
                    return Ok((sent.at, seen));
                }
            }
            match self.host.due().filter(|at| *at <= limit) {
                Some(at) => self.advance(at.max(self.host.now()))?,
                None => {
                    return Err(self.other_packet(event, packet, window, "nothing was sent", None));
                }
            }
        }
    }
    /// What the script says nothing of at its end.
    fn unsaid(&mut self) -> Vec<Timed> {
        let mut unsaid = Vec::new();
        while let Some(sent) = self.host.sent.pop_front() {
            let Some(seen) = Seen::parse(&sent.bytes).filter(|seen| self.is_ours(seen)) else {
                continue;
            };
            let packet = match (&seen.carries, &self.focus) {
                (SeenPayload::Tcp(header, len), Focus::Flow(index)) => compare::line(&Joined {
                    header: self.flows[*index].in_script(header),
                    len: *len,
                }),
                _ => compare::other_line(&seen),
            };
            let time = self.shown(sent.at);
            unsaid.push(Timed { time, packet });
        }
        unsaid
    }
    /// Whether it belongs to the connection at hand; the first packet of one that connects makes it one.
    fn is_ours(&mut self, seen: &Seen) -> bool {
        let ends = |port: u16, peer: u16| {
            (
                SocketAddr::new(seen.src, port),
                SocketAddr::new(seen.dst, peer),
            )
        };
        match (&self.focus, seen.ports()) {
            (Focus::Connecting(remote), Some((port, peer))) => {
                let (local, to) = ends(port, peer);
                let is = to == *remote;
                if is {
                    self.flows.push(Flow::new(local, to));
                    self.focus = Focus::Flow(self.flows.len() - 1);
                }
                is
            }
            (Focus::Flow(index), Some((port, peer))) => {
                let flow = self.flows.get(*index);
                flow.is_some_and(|flow| (flow.local, flow.remote) == ends(port, peer))
            }
            (Focus::Flow(index), None) => {
                let flow = self.flows.get(*index);
                flow.is_some_and(|flow| flow.remote.ip() == seen.dst)
            }
            _ => false,
        }
    }
    /// Joins segments that left one behind the other, until they are as long as the script's: into how many pieces a burst is cut
    /// is not what scripts are about, unless they say so.
    fn joined(&mut self, spec: &TcpSpec, mut seen: Seen) -> (Seen, Joined) {
        let mut joined = self.translated(spec, &seen);
        while joined.len < spec.len && !self.settings.strict_segments {
            let Some(next) = self.host.sent.front() else {
                break;
            };
            let Some(next) = Seen::parse(&next.bytes) else {
                break;
            };
            if !self.is_ours(&next) {
                self.host.sent.pop_front();
                continue;
            }
            let piece = self.translated(spec, &next);
            let follows = piece.len > 0
                && piece.header.seq == joined.header.seq.wrapping_add(joined.len)
                && piece.header.ack == joined.header.ack
                && !piece.header.flags.contains(Flags::SYN)
                && !piece.header.flags.contains(Flags::RST);
            if !follows {
                break;
            }
            joined.len += piece.len;
            let late = piece.header.flags.0 & (Flags::PSH | Flags::FIN).0;
            joined.header.flags =
                Flags(joined.header.flags.0 & !(Flags::PSH | Flags::FIN).0 | late);
            self.host.sent.pop_front();
            seen = next;
        }
        (seen, joined)
    }
    fn translated(&mut self, spec: &TcpSpec, seen: &Seen) -> Joined {
        let (SeenPayload::Tcp(header, len), Focus::Flow(index)) = (&seen.carries, &self.focus)
        else {
            unreachable!("a segment of the connection at hand");
        };
        let flow = &mut self.flows[*index];
        flow.learn(header, spec);
        Joined {
            header: flow.in_script(header),
            len: *len,
        }
    }
    /// The first flow label of a connection stands for the script's; then they change together.
    fn flow_label(&mut self, packet: &PacketSpec, seen: &Seen) -> Result<(), String> {
        let (Some(script), Focus::Flow(index)) = (
            packet.ip.flow_label.filter(|label| *label != 0),
            &self.focus,
        ) else {
            return Ok(());
        };
        let known = &mut self.flows[*index].flow_label;
        let ours = seen.flow_label;
        match *known {
            Some((before, label)) if (before == script) != (label == ours) => Err(format!(
                "flow label: it was {label:#x}, and {ours:#x} was sent"
            )),
            _ if ours == 0 => Err("flow label: none was sent".into()),
            _ => {
                *known = Some((script, ours));
                Ok(())
            }
        }
    }

    // ── the program's calls ──────────────────────────────────────────────────────────────────────────────────────

    fn call(&mut self, event: &Event, call: &Call, window: Window) -> Result<(), PktError> {
        let mut progress = Progress::new(self.host.now());
        let outcome = self.perform(event.line, call, &mut progress)?;
        let end = match (call.end, event.at) {
            (None, _) => None,
            (Some(end), When::Absolute(_) | When::AbsoluteRange(..)) => Some(self.start + end),
            (Some(end), _) => Some(window.base + end),
        };
        match (outcome, end) {
            (Outcome::Blocks, Some(end)) => {
                self.pending = Some(Pending {
                    line: event.line,
                    call: call.clone(),
                    end,
                    progress,
                });
                Ok(())
            }
            (Outcome::Blocks, None) => Err(differs(
                event.line,
                format!(
                    "{} blocks, and the script gives it no time to: +0...1 would",
                    call.name
                ),
            )),
            (outcome, end) => self.returned(event.line, call, outcome, end),
        }
    }
    fn perform(
        &mut self,
        line: u32,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Outcome, PktError> {
        let outcome = self
            .calls
            .perform(&mut self.host, &self.settings, call, progress);
        let outcome = outcome.map_err(|fault| match fault {
            Fault::Unknown(what) => PktError::Unknown { line, what },
            Fault::Differs(what) => differs(line, what),
        })?;
        match progress.opened.take() {
            Some(Opened::Socket) => self.focus = Focus::Nothing,
            Some(Opened::Listener(local)) => self.focus = Focus::Listening(local),
            Some(Opened::Connection(remote)) => self.focus = Focus::Connecting(remote),
            None => {}
        }
        Ok(outcome)
    }
    /// Tries a call that waits once more.
    fn serve_call(&mut self) -> Result<(), PktError> {
        let Some(mut pending) = self.pending.take() else {
            return Ok(());
        };
        match self.perform(pending.line, &pending.call, &mut pending.progress)? {
            Outcome::Blocks if self.host.now() > pending.end + self.settings.tolerance => {
                let end = self.shown(pending.end);
                Err(differs(
                    pending.line,
                    format!("{} was to return at {end} s and has not", pending.call.name),
                ))
            }
            Outcome::Blocks => {
                self.pending = Some(pending);
                Ok(())
            }
            outcome => {
                let Pending {
                    line, call, end, ..
                } = pending;
                self.returned(line, &call, outcome, Some(end))
            }
        }
    }
    /// Waits for a call to return.
    fn finish_call(&mut self) -> Result<(), PktError> {
        while let Some(pending) = &self.pending {
            let over = pending.end + self.settings.tolerance + Duration::from_micros(1);
            let next = self.due().unwrap_or(Instant::MAX).min(over);
            self.advance(next.max(self.host.now()))?;
        }
        Ok(())
    }
    fn returned(
        &mut self,
        line: u32,
        call: &Call,
        outcome: Outcome,
        end: Option<Instant>,
    ) -> Result<(), PktError> {
        let expected = match &call.errno {
            Some(errno) => format!("-1 {errno}"),
            None => match words::int(&call.result) {
                Some(n) => n.to_string(),
                None => "...".into(),
            },
        };
        let told = match outcome {
            Outcome::Returned(n) => n.to_string(),
            Outcome::Failed(errno) => format!("-1 {errno}"),
            Outcome::Blocks => unreachable!("one that blocks has not returned"),
        };
        if told != expected && expected != "..." {
            let what = format!(
                "{} was to return {expected}, and returned {told}",
                call.name
            );
            return Err(differs(line, what));
        }
        let now = self.host.now();
        let tolerance = self.settings.tolerance;
        match end {
            Some(end) if now + tolerance < end || now > end + tolerance => Err(differs(
                line,
                format!(
                    "{} was to return at {} s, and returned at {} s",
                    call.name,
                    self.shown(end),
                    self.shown(now)
                ),
            )),
            _ => Ok(()),
        }
    }

    // ── assertions ───────────────────────────────────────────────────────────────────────────────────────────────

    fn code(&mut self, event: &Event, block: &str) -> Result<(), PktError> {
        let ends = match &self.focus {
            Focus::Flow(index) => self.flows.get(*index).map(|flow| (flow.local, flow.remote)),
            _ => None,
        };
        let fields = info::fields(self.calls.info(&self.host, ends));
        self.names.extend(fields);
        assertion::check(block, &mut self.names).map_err(|trouble| match trouble {
            assertion::Trouble::Mistake(what) => unknown(event, what),
            assertion::Trouble::False { .. } => differs(event.line, trouble.to_string()),
        })
    }
}

/// What of a packet that is no segment differs.
fn other(packet: &PacketSpec, seen: &Seen) -> Result<(), String> {
    let wrong = || Err("another packet was expected".to_string());
    match (&packet.carries, &seen.carries) {
        (Carried::Udp(len), SeenPayload::Udp(udp)) => {
            match usize::from(udp.len) == usize::from(*len) + 8 {
                true => Ok(()),
                false => wrong(),
            }
        }
        (Carried::Icmp(icmp), SeenPayload::Icmp { kind, code }) => {
            match icmp_kind(icmp, seen.src.is_ipv4())? == (*kind, *code) {
                true => Ok(()),
                false => wrong(),
            }
        }
        _ => wrong(),
    }
}

/// A message that quotes a packet of ours.
fn icmp_error(flow: &Flow, packet: &PacketSpec, icmp: &IcmpSpec) -> Result<Vec<u8>, String> {
    let is_v4 = flow.local.is_ipv4();
    let kind = icmp_kind(icmp, is_v4)?;
    let quoted = match icmp.quoted {
        Quoted::Tcp(seq, _) => {
            let mut start = [0; 20];
            start[..2].copy_from_slice(&flow.local.port().to_be_bytes());
            start[2..4].copy_from_slice(&flow.remote.port().to_be_bytes());
            start[4..8].copy_from_slice(&flow.ours(seq).to_be_bytes());
            start[12] = 5 << 4;
            (6, start.to_vec())
        }
        Quoted::Udp(len) => {
            let mut start = [0; 8];
            start[..2].copy_from_slice(&flow.local.port().to_be_bytes());
            start[2..4].copy_from_slice(&flow.remote.port().to_be_bytes());
            let whole = u16::try_from(len + 8).map_err(|_| format!("udp ({len}) is too long"))?;
            start[4..6].copy_from_slice(&whole.to_be_bytes());
            (17, start.to_vec())
        }
        Quoted::Raw(len) => (255, vec![0; len as usize]),
    };
    let quoted = segment::packet(
        Default::default(),
        flow.local.ip(),
        flow.remote.ip(),
        quoted.0,
        quoted.1,
        None,
    );
    let mtu = icmp.mtu.unwrap_or(0).to_be_bytes();
    let rest = match (is_v4, kind) {
        (true, (3, 4)) => [0, 0, mtu[2], mtu[3]],
        (false, (2, _)) => mtu,
        _ => [0, icmp.id.to_be_bytes()[0], icmp.id.to_be_bytes()[1], 0],
    };
    let ends = (flow.remote.ip(), flow.local.ip());
    Ok(segment::icmp(packet.ip, ends, kind, rest, &quoted))
}

/// Type and code by the script's names.
fn icmp_kind(icmp: &IcmpSpec, is_v4: bool) -> Result<(u8, u8), String> {
    let code = icmp.code.as_deref();
    let unknown = || {
        let code = code.unwrap_or("");
        Err(format!("`icmp {} {code}` is not known here", icmp.kind))
    };
    Ok(match (is_v4, icmp.kind.as_str(), code) {
        (true, "unreachable", Some(code)) => {
            match UNREACHABLE.iter().position(|name| *name == code) {
                Some(code) => (3, code as u8),
                None => return unknown(),
            }
        }
        (true, "source_quench", None) => (4, 0),
        (true, "echo_reply", None) => (0, 0),
        (true, "echo_request", None) => (8, 0),
        (true, "time_exceeded", _) => (11, 0),
        (true, "parameter_problem", _) => (12, 0),
        (false, "packet_too_big", None) => (2, 0),
        (false, "unreachable", Some("no_route")) => (1, 0),
        (false, "unreachable", Some("admin_prohibited")) => (1, 1),
        (false, "unreachable", Some("address_unreachable" | "host_unreachable")) => (1, 3),
        (false, "unreachable", Some("port_unreachable")) => (1, 4),
        (false, "time_exceeded", _) => (3, 0),
        (false, "parameter_problem", _) => (4, 0),
        (false, "echo_request", None) => (128, 0),
        (false, "echo_reply", None) => (129, 0),
        _ => return unknown(),
    })
}
/// By their codes (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
const UNREACHABLE: [&str; 16] = [
    "net_unreachable",
    "host_unreachable",
    "protocol_unreachable",
    "port_unreachable",
    "frag_needed",
    "source_route_failed",
    "net_unknown",
    "host_unknown",
    "source_host_isolated",
    "net_prohibited",
    "host_prohibited",
    "net_unreachable_for_tos",
    "host_unreachable_for_tos",
    "packet_filtered",
    "precedence_violation",
    "precedence_cutoff",
];
