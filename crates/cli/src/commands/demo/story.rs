//! The story, told in 80 columns from the frames that were seen.
use std::io::Write as _;
use std::net::IpAddr;

use heptad_lab::{FrameRecord, Moment};
use heptad_wire::arp::ArpPacket;
use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::tcp::{Flags, TcpHeader};

use super::dissect::{Inner, arp_line, dissect, flag_names, options};
use super::{SCRIPT, Seen};
use crate::args::{Cli, Command};
use crate::commands::netstat::{Names, sockets_text};
use crate::failure::Failure;
use crate::paint::{Paint, pad};
use crate::report::fault_table;

/// Lost frames that are told one by one.
const MOST_LOST_SHOWN: usize = 6;

/// Tells all of it on stdout.
pub fn tell(seen: &Seen, paint: Paint) -> Result<(), Failure> {
    let story = Story {
        seen,
        paint,
        isn: initial_sequence_numbers(seen),
    };
    let chapters = [
        story.heading(),
        story.handshake(),
        story.layers(),
        story.conversation(),
        story.netstat("while they talk", &seen.established),
        story.netstat("after goodbye", &seen.after),
        story.faults(),
        story.verdict(),
    ];
    let mut out = std::io::stdout();
    Ok(write!(out, "{}", chapters.join("\n"))?)
}

/// The story and what it is told from.
pub struct Story<'a> {
    /// What was seen.
    pub seen: &'a Seen,
    /// Colour or none.
    pub paint: Paint,
    /// Of alice and of bob.
    isn: (u32, u32),
}

impl Story<'_> {
    fn heading(&self) -> String {
        let (programs, why) = match &self.seen.builtin_because {
            None => ("two unmodified Python programs", String::new()),
            Some(why) => ("built-in Rust programs", format!("  no Python: {why}\n")),
        };
        let address = |name| {
            self.address(name)
                .map_or(String::new(), |ip| ip.to_string())
        };
        let title = self.paint.bold("chat");
        let seed = self.seen.report.seed;
        let (alice, bob) = (self.paint.name("alice"), self.paint.name("bob"));
        let (alice_ip, bob_ip) = (address("alice"), address("bob"));
        format!(
            "{title} · seed {seed} · {programs} · no root · real time\n{why}\n  \
             {alice} {alice_ip} ── 20 ms ± 5 ms, loss 5 % ── r1 ── 10 Mbit ── {bob_ip} {bob}\n"
        )
    }

    /// Who asked for whose address, and the hosts' segments until the three-way handshake is done.
    fn handshake(&self) -> String {
        let chapter = self.chapter("악수", "handshake");
        let mut text = format!("{chapter}  alice: connect((\"bob\", 8080))\n");
        let mut first_syn = None;
        for record in &self.seen.frames {
            let Some(frame) = dissect(&record.bytes) else {
                continue;
            };
            if let Moment::Lost(cause) = &record.moment {
                text += &self.line(record, &self.paint.bad("✕"), &format!("lost: {cause}"), "");
            }
            match (&record.moment, &frame.inner) {
                (Moment::Sent, Inner::Arp(arp)) => text += &self.arp(record, arp),
                (Moment::Sent, Inner::Tcp { ip, tcp, .. }) if self.is_host(record) => {
                    text += &self.segment(record, ip, tcp);
                    let begun = *first_syn.get_or_insert(record.at);
                    if self.machine(record) == "alice" && tcp.flags == Flags::ACK {
                        let ms = record.at.since(begun).as_secs_f64() * 1e3;
                        let at = seconds(record);
                        return text
                            + &format!(
                                "    {at:.3} ESTABLISHED  {ms:.1} ms after the first SYN\n"
                            );
                    }
                }
                _ => {}
            }
        }
        text
    }

    fn arp(&self, record: &FrameRecord, arp: &ArpPacket) -> String {
        let (what, to) = arp_line(arp);
        let to = to.map_or("everybody".to_string(), |ip| self.name_of(IpAddr::V4(ip)));
        self.line(
            record,
            "ARP",
            &what,
            &format!("{} → {to}", self.machine(record)),
        )
    }

    fn segment(&self, record: &FrameRecord, ip: &Ipv4Header, tcp: &TcpHeader) -> String {
        let (seq, ack) = self.relative(ip.src.into(), tcp.seq, tcp.ack);
        let numbers = match tcp.flags.contains(Flags::ACK) {
            true => format!("seq {seq} ack {ack}"),
            false => format!("seq {seq}"),
        };
        let what = format!("{:<8} {numbers}  {}", flag_names(tcp.flags), options(tcp));
        let way = format!("{} → {}", self.machine(record), self.name_of(ip.dst.into()));
        self.line(record, "TCP", &what, &way)
    }

    fn is_host(&self, record: &FrameRecord) -> bool {
        ["alice", "bob"].contains(&self.machine(record).as_str())
    }

    fn conversation(&self) -> String {
        let mut text = format!("{}\n", self.chapter("대화", "conversation"));
        for (name, lines) in [("alice", &self.seen.alice), ("bob", &self.seen.bob)] {
            for line in lines {
                text += &format!(
                    "  {} {line}\n",
                    self.paint.name(&pad(&format!("{name}$"), 6))
                );
            }
        }
        text
    }

    fn netstat(&self, when: &str, nodes: &[crate::control::NodeSockets]) -> String {
        use clap::Parser;
        let Ok(Cli {
            command: Some(Command::Netstat(flags)),
            ..
        }) = Cli::try_parse_from(["heptad", "netstat", "-ant"])
        else {
            return String::new();
        };
        let mut text = String::new();
        for node in nodes {
            let prompt = format!("{}$ netstat -ant", node.node);
            text += &format!("{}  {}\n", self.paint.name(&prompt), self.paint.dim(when));
            text += &sockets_text(&flags, node, &Names::default())
                .lines()
                .skip(1)
                .map(|line| format!("{}\n", line.trim_end()))
                .collect::<String>();
        }
        text
    }

    fn faults(&self) -> String {
        let again = match self.seen.sent_again {
            0 => "nothing had to be sent again".to_string(),
            1 => "1 segment was sent again".to_string(),
            n => format!("{n} segments were sent again"),
        };
        let lost = self
            .seen
            .frames
            .iter()
            .filter_map(|record| match &record.moment {
                Moment::Lost(cause) => {
                    let way = format!("at {}", self.interface(record));
                    Some(self.line(record, &self.paint.bad("✕"), cause, &way))
                }
                _ => None,
            });
        let lost: String = lost.take(MOST_LOST_SHOWN).collect();
        let table = indent(&fault_table(&self.seen.report.faults));
        format!(
            "{}  {again}\n{lost}{table}",
            self.chapter("장애", "faults asked and applied")
        )
    }

    fn verdict(&self) -> String {
        let (arrived, sent) = (self.seen.arrived(), SCRIPT.len());
        let verdict = if arrived == sent {
            self.paint.good(&format!(
                "✓ {arrived} of {sent} lines arrived exactly as they were sent"
            ))
        } else {
            self.paint.bad(&format!(
                "✕ only {arrived} of {sent} lines arrived as they were sent"
            ))
        };
        let mut text = format!("{verdict}\n");
        if let Some(capture) = &self.seen.report.capture {
            text +=
                &format!("capture {capture}\nopen it with Wireshark, or: tshark -r {capture}\n");
        }
        if let Some(error) = &self.seen.report.capture_error {
            text += &format!("the capture is not whole: {error}\n");
        }
        text
    }

    /// A heading in both languages.
    pub fn chapter(&self, korean: &str, english: &str) -> String {
        self.paint.bold(&format!("{korean} {english}"))
    }

    fn line(&self, record: &FrameRecord, protocol: &str, what: &str, way: &str) -> String {
        format!(
            "    {:.3} {} {} {way}\n",
            seconds(record),
            pad(protocol, 4),
            pad(what, 46)
        )
        .trim_end()
        .to_string()
            + "\n"
    }

    /// Sequence and acknowledgment numbers as people count them.
    pub fn relative(&self, from: IpAddr, seq: u32, ack: u32) -> (u32, u32) {
        let (alice, bob) = self.isn;
        let (ours, theirs) = if Some(from) == self.address("alice") {
            (alice, bob)
        } else {
            (bob, alice)
        };
        (seq.wrapping_sub(ours), ack.wrapping_sub(theirs))
    }

    /// Whose port a frame was seen at.
    pub fn machine(&self, record: &FrameRecord) -> String {
        self.seen
            .machines
            .iter()
            .find(|machine| machine.id == record.machine)
            .map_or(String::new(), |machine| machine.name.clone())
    }

    /// The cable end it was seen at.
    pub fn interface(&self, record: &FrameRecord) -> String {
        self.seen
            .interfaces
            .get(record.interface as usize)
            .map_or(String::new(), |interface| interface.name.clone())
    }

    fn address(&self, name: &str) -> Option<IpAddr> {
        address(self.seen, name)
    }

    fn name_of(&self, ip: IpAddr) -> String {
        let owner = self.seen.machines.iter().find(|machine| {
            machine
                .addresses
                .iter()
                .any(|(_, address, _)| *address == ip)
        });
        owner.map_or_else(|| ip.to_string(), |machine| machine.name.clone())
    }
}

fn address(seen: &Seen, name: &str) -> Option<IpAddr> {
    let machine = seen.machines.iter().find(|machine| machine.name == name)?;
    machine.addresses.first().map(|(_, address, _)| *address)
}

/// The SYN's sequence number of each host.
fn initial_sequence_numbers(seen: &Seen) -> (u32, u32) {
    let of = |name: &str| {
        seen.frames
            .iter()
            .find_map(|record| match dissect(&record.bytes)?.inner {
                Inner::Tcp { ip, tcp, .. }
                    if tcp.flags.contains(Flags::SYN)
                        && Some(IpAddr::V4(ip.src)) == address(seen, name) =>
                {
                    Some(tcp.seq)
                }
                _ => None,
            })
    };
    (of("alice").unwrap_or(0), of("bob").unwrap_or(0))
}

fn seconds(record: &FrameRecord) -> f64 {
    record.at.as_nanos() as f64 / 1e9
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
