//! A hand-driven peer. A story is lines of three kinds:
//!
//! ```text
//! +.1 < . 1:1001(1000) ack 1 win 257 <sack 1:2>    after 100 ms this segment arrives
//!   +0 > P. 1:1001(1000) ack 1                     now this segment leaves (4 ms of tolerance)
//!   +0 write 1000                                  the program calls; `= ERROR` where it fails
//! ```
//!
//! Sequence numbers count from each side's initial one. What leaves and is not expected fails the story, and so does a
//! reason to discard that no `drop REASON` line allows.
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use heptad_wire::tcp::{SackBlocks, TcpOption};

use super::*;

const TOLERANCE: Duration = Duration::from_millis(4);

pub struct Peer {
    pub host: Host,
    out: VecDeque<(Instant, Sent)>,
    listener: Option<ListenerId>,
    pub conn: Option<ConnId>,
    /// Our and the peer's initial sequence numbers.
    iss: Option<u32>,
    irs: u32,
    /// Our TSval minus the story's.
    ts_base: Option<u32>,
    last: Instant,
    read: u64,
    line: String,
    pub options: Options,
    drops: VecDeque<DropReason>,
    ports: (u16, u16),
    /// Bytes of the peer that were read and are right.
    pub written: u64,
}

/// Plays a story to a host of its own.
pub fn story(lines: &str) -> Peer {
    let mut peer = Peer::new(Config::default());
    peer.play(lines);
    peer
}

/// The default settings of the stories that come from Linux: a shift of 8.
pub fn play_with(config: Config, options: Options, lines: &str) -> Peer {
    let mut peer = Peer::new(config);
    peer.options = options;
    peer.play(lines);
    peer
}

/// Of the text in `P. 1:1001(1000) ack 1`.
fn length(segment: &str) -> usize {
    let len = segment
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    len.and_then(|(len, _)| len.parse().ok()).unwrap_or(0)
}

impl Peer {
    pub fn new(config: Config) -> Self {
        let mut host = Host::new(A, 7, config);
        host.now = Instant::from_nanos(1_000_000_000);
        Self {
            last: host.now,
            host,
            out: VecDeque::new(),
            listener: None,
            conn: None,
            iss: None,
            irs: 0xffff_f000,
            ts_base: None,
            read: 0,
            line: String::new(),
            options: Options::default(),
            drops: VecDeque::new(),
            ports: (8080, 40_000),
            written: 0,
        }
    }
    fn fail(&self, why: &str) -> ! {
        panic!("\n  {}\n  {why}", self.line);
    }
    pub fn play(&mut self, lines: &str) {
        for line in lines.lines() {
            let line = line.split("//").next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            self.line = line.to_string();
            self.play_line(line);
        }
        self.line = "the end".to_string();
        self.nothing_left();
        if let Some(reason) = self.drops.pop_front() {
            self.fail(&format!("not expected: discarded, {reason:?}"));
        }
    }
    fn play_line(&mut self, line: &str) {
        let (delay, rest) = match line.strip_prefix('+') {
            Some(rest) => {
                let (n, rest) = rest.split_once(' ').unwrap();
                (seconds(n), rest.trim())
            }
            None => (Duration::ZERO, line),
        };
        let due = self.last + delay;
        if let Some(expected) = rest.strip_prefix("> ") {
            self.expect(due, expected);
            return;
        }
        self.run_to(due);
        if !rest.starts_with("drop ") {
            self.nothing_left();
        }
        self.last = due;
        match rest.strip_prefix("< ") {
            Some(segment) => self.inject(segment),
            None => self.call(rest),
        }
        self.drain();
    }
    fn nothing_left(&mut self) {
        if let Some((at, sent)) = self.out.pop_front() {
            let text = self.describe(&sent);
            self.fail(&format!("not expected at {at:?}: > {text}"));
        }
    }
    fn drain(&mut self) {
        while let Some(departure) = self.host.transmit() {
            self.keep(departure);
        }
    }
    fn keep(&mut self, departure: Departure) {
        let sent = read(departure);
        self.out.push_back((self.host.now, sent));
    }
    /// Lets time pass, timers included.
    pub fn run_to(&mut self, due: Instant) {
        while let Some(next) = self.host.tcp.poll_at().filter(|at| *at <= due) {
            self.host.now = self.host.now.max(next);
            self.host.with(|t, cx| t.on_timeout(cx));
            self.drain();
        }
        self.host.now = self.host.now.max(due);
        self.drain();
    }

    fn expect(&mut self, due: Instant, expected: &str) {
        self.drain();
        let latest = due + TOLERANCE;
        while self.out.is_empty() {
            match self.host.tcp.poll_at().filter(|at| *at <= latest) {
                Some(next) => self.run_to(next),
                None => self.fail("nothing left"),
            }
        }
        let (at, mut sent) = self.out.pop_front().unwrap();
        self.join(&mut sent, length(expected));
        if at + TOLERANCE < due || at > latest {
            let text = self.describe(&sent);
            self.fail(&format!("at {at:?} instead of {due:?}: > {text}"));
        }
        self.last = at.max(self.last);
        let (ours, options) = match expected.split_once('<') {
            Some((ours, options)) => (ours.trim(), Some(options.trim_end_matches('>'))),
            None => (expected, None),
        };
        if sent.header.flags.contains(Flags::SYN) {
            self.iss.get_or_insert(sent.header.seq);
            self.ports.0 = sent.header.src_port;
        }
        let is = self.describe(&sent);
        let (is_ours, is_options) = is.split_once(" <").unwrap();
        let with_window = ours.contains(" win ");
        let is_ours = if with_window {
            format!("{is_ours} win {}", sent.header.window)
        } else {
            is_ours.to_string()
        };
        if is_ours != ours {
            self.fail(&format!("instead: > {is_ours} <{is_options}"));
        }
        let is_options = is_options.trim_end_matches('>');
        match options {
            None | Some("...") => {}
            Some(options) => self.compare_options(options, &sent, is_options),
        }
        for (i, byte) in sent.text.iter().enumerate() {
            let position = sent.header.seq.wrapping_sub(self.iss.unwrap()) as u64 - 1 + i as u64;
            assert_eq!(*byte, (position % 251) as u8, "text at {position}");
        }
    }
    /// A burst is told as one segment, into however many it was cut.
    fn join(&mut self, sent: &mut Sent, len: usize) {
        while sent.text.len() < len
            && let Some((_, next)) = self.out.front()
            && next.header.seq == sent.header.seq.wrapping_add(sent.text.len() as u32)
            && next.header.ack == sent.header.ack
            && !next.text.is_empty()
        {
            sent.header.flags = next.header.flags;
            sent.text.extend_from_slice(&next.text);
            self.out.pop_front();
        }
    }
    fn compare_options(&mut self, expected: &str, sent: &Sent, is: &str) {
        let mut wanted = String::new();
        for part in expected.split(',').map(str::trim) {
            if !wanted.is_empty() {
                wanted.push(',');
            }
            match part.strip_prefix("TS val ") {
                Some(ts) => {
                    let (val, ecr) = ts.split_once(" ecr ").unwrap();
                    let value = sent.options.timestamps.map_or(0, |t| t.0);
                    let val: u32 = val.parse().unwrap();
                    let base = *self.ts_base.get_or_insert(value.wrapping_sub(val));
                    let off = value.wrapping_sub(base).abs_diff(val);
                    if off > 4 {
                        self.fail(&format!("TSval is {}", value.wrapping_sub(base)));
                    }
                    wanted.push_str(&format!("TS {value} {ecr}"));
                }
                None => wanted.push_str(part),
            }
        }
        if wanted != is {
            self.fail(&format!("options instead: <{is}>"));
        }
    }
    fn describe(&self, sent: &Sent) -> String {
        let h = &sent.header;
        let iss = self.iss.unwrap_or(h.seq);
        let seq = h.seq.wrapping_sub(iss) as i32;
        let mut text = format!(
            "{} {seq}:{}({})",
            flag_text(h.flags),
            seq + sent.text.len() as i32,
            sent.text.len()
        );
        if h.flags.contains(Flags::ACK) {
            text.push_str(&format!(" ack {}", h.ack.wrapping_sub(self.irs) as i32));
        }
        text.push_str(" <");
        let parts: Vec<String> = h
            .options
            .iter()
            .filter_map(|o| match o.unwrap() {
                TcpOption::Nop => Some("nop".to_string()),
                TcpOption::Mss(m) => Some(format!("mss {m}")),
                TcpOption::WindowScale(s) => Some(format!("wscale {s}")),
                TcpOption::SackPermitted => Some("sackOK".to_string()),
                TcpOption::Timestamps { value, echo } => Some(format!("TS {value} {echo}")),
                TcpOption::Sack(blocks) => Some(format!(
                    "sack {}",
                    blocks
                        .as_slice()
                        .iter()
                        .map(|(l, r)| format!(
                            "{}:{}",
                            l.wrapping_sub(self.irs),
                            r.wrapping_sub(self.irs)
                        ))
                        .collect::<Vec<_>>()
                        .join(" ")
                )),
                _ => None,
            })
            .collect();
        text.push_str(&parts.join(","));
        text.push('>');
        text
    }

    fn inject(&mut self, segment: &str) {
        let mut header = blank_header();
        let (head, options) = match segment.split_once('<') {
            Some((head, options)) => (head, options.trim_end_matches('>')),
            None => (segment, ""),
        };
        let words: Vec<&str> = head.split_whitespace().collect();
        header.flags = flags(words[0]);
        let (from, rest) = words[1].split_once(':').unwrap();
        let (to, _) = rest.split_once('(').unwrap();
        let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
        header.seq = self.irs.wrapping_add(from as u32);
        for pair in words[2..].chunks(2) {
            match pair {
                ["ack", n] => {
                    header.ack = self
                        .iss
                        .unwrap_or(0)
                        .wrapping_add(n.parse::<i64>().unwrap() as u32);
                }
                ["win", n] => header.window = n.parse().unwrap(),
                _ => self.fail("what?"),
            }
        }
        for option in options.split(',').map(str::trim) {
            self.push_option(&mut header.options, option);
        }
        let text: Vec<u8> = (from..to).map(|p| ((p - 1) % 251) as u8).collect();
        let ends = (at(B, self.ports.1), at(A, self.ports.0));
        let arrival = arrival(&mut self.host.pool, ends, header, &text);
        let reply = match self.host.receive(arrival) {
            Up::Reply(reply) => Some(reply),
            Up::Drop(reason, reply) => {
                self.drops.push_back(reason);
                reply
            }
            Up::Next(()) | Up::Done => None,
        };
        if let Some(Reply::Transport(departure)) = reply {
            self.keep(departure);
        }
    }
    fn push_option(&self, options: &mut TcpOptions, option: &str) {
        let words: Vec<&str> = option.split_whitespace().collect();
        let ours = |n: &str| {
            self.iss
                .unwrap_or(0)
                .wrapping_add(n.parse::<i64>().unwrap() as u32)
        };
        let ok = match words[..] {
            [] => true,
            ["nop"] => options.push(TcpOption::Nop),
            ["sackOK"] => options.push(TcpOption::SackPermitted),
            ["mss", n] => options.push(TcpOption::Mss(n.parse().unwrap())),
            ["wscale", n] => options.push(TcpOption::WindowScale(n.parse().unwrap())),
            ["TS", "val", val, "ecr", ecr] => {
                let ecr: u32 = ecr.parse().unwrap();
                options.push(TcpOption::Timestamps {
                    value: val.parse().unwrap(),
                    echo: ecr.wrapping_add(self.ts_base.unwrap_or(0)),
                })
            }
            ["sack", ref blocks @ ..] => {
                let mut sack = SackBlocks::default();
                for block in blocks {
                    let (l, r) = block.split_once(':').unwrap();
                    sack.push(ours(l), ours(r));
                }
                options.push(TcpOption::Nop);
                options.push(TcpOption::Nop);
                options.push(TcpOption::Sack(sack))
            }
            _ => false,
        };
        assert!(ok, "option {option}");
    }

    fn call(&mut self, call: &str) {
        let (verb, wanted) = match call.split_once('=') {
            Some((verb, wanted)) => (verb.trim(), Some(wanted.trim())),
            None => (call, None),
        };
        let words: Vec<&str> = verb.split_whitespace().collect();
        let result = self.call_words(&words);
        let result = match result {
            Ok(n) => n.to_string(),
            Err(e) => format!("{e:?}"),
        };
        match wanted {
            Some(wanted) if wanted != result => self.fail(&format!("instead: {result}")),
            None if result.parse::<u64>().is_err() => self.fail(&format!("instead: {result}")),
            _ => {}
        }
    }
    fn id(&self) -> ConnId {
        self.conn
            .unwrap_or_else(|| self.fail("there is no connection"))
    }
    fn call_words(&mut self, words: &[&str]) -> Result<u64, SocketError> {
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        match words {
            ["listen", _] => {
                let backlog = number(1) as u32;
                self.listener = Some(self.host.listen(self.ports.0, backlog, self.options));
            }
            ["unlisten"] => {
                let id = self.listener.take().unwrap();
                self.host.with(|t, cx| t.close_listener(id, cx));
            }
            ["connect"] => {
                let remote = at(B, self.ports.1);
                self.conn = Some(self.host.connect(self.ports.0, remote, self.options));
            }
            ["accept"] => {
                let id = self.listener.unwrap();
                self.conn = Some(self.host.tcp.accept(id, Owner(1))?.0);
            }
            ["write", _] => {
                let data: Vec<u8> = (0..number(1) as u64)
                    .map(|i| ((self.written + i) % 251) as u8)
                    .collect();
                let id = self.id();
                let n = self.host.with(|t, cx| t.send(id, &data, cx))?;
                self.written += n as u64;
                return Ok(n as u64);
            }
            ["read", _] => {
                let mut buffer = alloc::vec![0; number(1)];
                let id = self.id();
                let n = self.host.with(|t, cx| t.recv(id, &mut buffer, false, cx))?;
                for byte in &buffer[..n] {
                    assert_eq!(*byte, (self.read % 251) as u8, "read {}", self.read);
                    self.read += 1;
                }
                return Ok(n as u64);
            }
            ["close"] => {
                let id = self.id();
                self.host.with(|t, cx| t.close(id, cx));
            }
            ["abort"] => {
                let id = self.id();
                self.host.with(|t, cx| t.abort(id, cx));
            }
            ["shutdown"] => {
                let id = self.id();
                self.host.with(|t, cx| t.shutdown_write(id, cx))?;
            }
            ["error"] => {
                let id = self.id();
                if let Some(error) = self.host.tcp.take_error(id) {
                    return Err(error);
                }
            }
            ["port", _] => self.ports.1 = number(1) as u16,
            ["new", _] => {
                self.iss = None;
                self.irs = number(1) as u32;
                self.ts_base = None;
                self.written = 0;
                self.read = 0;
            }
            ["wait"] => {}
            _ => return self.look(words),
        }
        Ok(0)
    }
    /// Lines that look and do not touch.
    fn look(&mut self, words: &[&str]) -> Result<u64, SocketError> {
        match words {
            ["state", name] => {
                let all = self.host.tcp.all();
                let remote = at(B, self.ports.1);
                let state = all
                    .iter()
                    .find(|s| s.remote == Some(remote))
                    .map_or("CLOSED", |s| s.state.name());
                if state != *name {
                    self.fail(&format!("the state is {state}"));
                }
            }
            ["cwnd"] => {
                let s = self.host.tcp.status(self.id()).unwrap();
                return Ok(u64::from(s.cwnd / u32::from(s.mss)));
            }
            ["ssthresh"] => {
                let s = self.host.tcp.status(self.id()).unwrap();
                return Ok(u64::from(s.ssthresh / u32::from(s.mss)));
            }
            ["ready"] => return Ok(u64::from(self.host.tcp.ready(self.id()).0)),
            ["waiting"] => {
                let id = self.listener.unwrap();
                return Ok(u64::from(self.host.tcp.listener_status(id).unwrap().recv_q));
            }
            ["drop", name] => {
                let reason = self.drops.pop_front();
                let is = reason.map_or("nothing", DropReason::name);
                if is != *name {
                    self.fail(&format!("discarded: {is}"));
                }
            }
            _ => self.fail("what?"),
        }
        Ok(0)
    }
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}
