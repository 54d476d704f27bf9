//! What a packet of ours is, beside what the script expects: the first difference by name, and both written as scripts are.
use heptad_stack::wire::tcp::{EcnCounters, Flags, TcpHeader, TcpOption, TcpOptions};

use super::flow::timestamps;
use super::script::{Carried, OptionSpec, PacketSpec, TcpSpec, TosSpec};
use super::segment::{Seen, SeenPayload, wire_options};
use super::settings::Settings;

/// The control bits that make RFC 9768's ACE field.
const ACE: Flags = Flags(0x1c0);

/// A segment of ours in the script's numbers, joined of what left together.
pub(super) struct Joined {
    pub header: TcpHeader,
    pub len: u32,
}

/// What of the IP header differs.
pub(super) fn ip(seen: &Seen, expected: &PacketSpec) -> Result<(), String> {
    let ecn = seen.tos & 3;
    match expected.ip.tos {
        TosSpec::Ecn(bits) if ecn != bits => {
            return Err(field("ECN", codepoint(bits), codepoint(ecn)));
        }
        TosSpec::Capable if !matches!(ecn, 1 | 2) => {
            return Err(field("ECN", "ect0 or ect1", codepoint(ecn)));
        }
        TosSpec::Whole(tos) if seen.tos != tos => {
            return Err(field(
                "DS field",
                format!("{tos:#x}"),
                format!("{:#x}", seen.tos),
            ));
        }
        _ => {}
    }
    match expected.ip.ttl {
        Some(ttl) if ttl != seen.ttl => Err(field("TTL", ttl, seen.ttl)),
        _ => Ok(()),
    }
}
fn codepoint(bits: u8) -> &'static str {
    ["noecn", "ect1", "ect0", "ce"][usize::from(bits & 3)]
}
fn field(name: &str, expected: impl core::fmt::Display, seen: impl core::fmt::Display) -> String {
    format!("{name}: {expected} was expected, {seen} was sent")
}

/// What of a segment differs.
pub(super) fn tcp(seen: &Joined, expected: &TcpSpec, settings: &Settings) -> Result<(), String> {
    let header = &seen.header;
    same("sequence number", expected.seq, header.seq)?;
    same("length", expected.len, seen.len)?;
    flags(header.flags, expected)?;
    // Without the flag the field is the script's word, which is 0 if it says none.
    same("acknowledgment", expected.ack, header.ack)?;
    if let Some(window) = expected.window {
        same("window", window, header.window)?;
    }
    same("urgent pointer", expected.urgent, header.urgent)?;
    match &expected.options {
        Some(options) => self::options(header, options, settings),
        None => Ok(()),
    }
}
fn same<T: PartialEq + core::fmt::Display>(name: &str, expected: T, seen: T) -> Result<(), String> {
    match expected == seen {
        true => Ok(()),
        false => Err(field(name, expected, seen)),
    }
}
fn flags(seen: Flags, expected: &TcpSpec) -> Result<(), String> {
    let wanted = Flags(expected.flags.bits);
    let alike = match expected.flags.is_ace {
        true => seen.0 == wanted.0,
        // The bits of ECN count one by one otherwise, which is the same.
        false => seen.0 & 0x1ff == wanted.0,
    };
    match alike {
        true => Ok(()),
        false => Err(field("flags", letters(wanted), letters(seen))),
    }
}
fn options(seen: &TcpHeader, expected: &[OptionSpec], settings: &Settings) -> Result<(), String> {
    let wanted = wire_options(expected).ok_or("the options are longer than a header holds")?;
    let kinds =
        |options: &TcpOptions| -> Vec<_> { options.iter().flatten().map(without_value).collect() };
    let (left, right) = (kinds(&wanted), kinds(&seen.options));
    if left != right || wanted.as_bytes().len() != seen.options.as_bytes().len() {
        return Err(field("options", shown(&wanted), shown(&seen.options)));
    }
    match (
        settings.tick,
        timestamps(&wanted),
        timestamps(&seen.options),
    ) {
        (Some(tick), Some((value, _)), Some((ours, _))) => {
            let apart = value.wrapping_sub(ours).cast_signed().unsigned_abs();
            match tick * apart > settings.tolerance {
                true => Err(field("TS val", value, ours)),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
/// Values of timestamps are compared apart: only where the script means them.
fn without_value(option: TcpOption<'_>) -> String {
    match option {
        TcpOption::Timestamps { .. } => "TS".into(),
        other => format!("{other:?}"),
    }
}

// ── as scripts write them ────────────────────────────────────────────────────────────────────────────────────────────

/// Control bits.
fn letters(flags: Flags) -> String {
    let ace = if flags.0 & ACE.0 != 0 {
        flags.0
    } else {
        flags.0 & !ACE.0
    };
    let all = [
        (Flags::SYN, 'S'),
        (Flags::FIN, 'F'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::URG, 'U'),
        (Flags::ECE, 'E'),
        (Flags::CWR, 'W'),
        (Flags::AE, 'A'),
        (Flags::ACK, '.'),
    ];
    let set: String = all
        .into_iter()
        .filter(|(bit, _)| ace & bit.0 != 0)
        .map(|(_, letter)| letter)
        .collect();
    if set.is_empty() { "-".into() } else { set }
}
/// A list of options.
fn shown(options: &TcpOptions) -> String {
    let all = options.iter().flatten().map(|option| match option {
        TcpOption::Nop => "nop".into(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::WindowScale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".into(),
        TcpOption::Sack(blocks) => {
            let blocks = blocks.as_slice().iter();
            let blocks: Vec<_> = blocks
                .map(|(left, right)| format!("{left}:{right}"))
                .collect();
            format!("sack {}", blocks.join(" "))
        }
        TcpOption::Timestamps { value, echo } => format!("TS val {value} ecr {echo}"),
        TcpOption::FastOpen(cookie) => format!("FO {}", hex(cookie)),
        TcpOption::AccEcn(counters) => shown_counters(&counters),
        TcpOption::Unknown { kind, data } => format!("kind {kind} {}", hex(data)),
    });
    format!("<{}>", all.collect::<Vec<String>>().join(","))
}
fn shown_counters(counters: &EcnCounters) -> String {
    let order = match counters.ect1_first {
        true => ["e1b", "ceb", "e0b"],
        false => ["e0b", "ceb", "e1b"],
    };
    let fields = order.iter().zip(counters.fields());
    let fields: String = fields.map(|(name, n)| format!(" {name} {n}")).collect();
    format!("ECN{fields}")
}
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A segment as a line of a script.
pub(super) fn line(seen: &Joined) -> String {
    let Joined { header, len } = seen;
    let end = header.seq.wrapping_add(*len);
    let mut line = format!("{} {}:{end}({len})", letters(header.flags), header.seq);
    if header.flags.contains(Flags::ACK) {
        line += &format!(" ack {}", header.ack);
    }
    line += &format!(" win {}", header.window);
    if header.urgent != 0 {
        line += &format!(" urg {}", header.urgent);
    }
    if !header.options.as_bytes().is_empty() {
        line += &format!(" {}", shown(&header.options));
    }
    line
}
/// What the script expects, as a line.
pub(super) fn expected_line(packet: &PacketSpec) -> String {
    match &packet.carries {
        Carried::Udp(len) => format!("udp ({len})"),
        Carried::Icmp(icmp) => format!("icmp {} {}", icmp.kind, icmp.code.as_deref().unwrap_or("")),
        Carried::Tcp(tcp) => {
            let header = TcpHeader {
                src_port: 0,
                dst_port: 0,
                seq: tcp.seq,
                ack: tcp.ack,
                reserved: 0,
                flags: Flags(tcp.flags.bits),
                window: tcp.window.unwrap_or(0),
                checksum: 0,
                urgent: tcp.urgent,
                options: (tcp.options.as_deref().and_then(wire_options))
                    .unwrap_or(TcpOptions::NONE),
            };
            let line = line(&Joined {
                header,
                len: tcp.len,
            });
            let line = match tcp.window {
                Some(_) => line,
                None => line.replacen(" win 0", "", 1),
            };
            match tcp.options {
                Some(_) => line,
                None => format!("{line} <...>"),
            }
        }
    }
}
/// Anything else of ours, as a line.
pub(super) fn other_line(seen: &Seen) -> String {
    match &seen.carries {
        SeenPayload::Udp(udp) => format!("udp ({})", usize::from(udp.len).saturating_sub(8)),
        SeenPayload::Icmp { kind, code } => format!("icmp type {kind} code {code}"),
        SeenPayload::Other(protocol) => format!("a packet of protocol {protocol}"),
        SeenPayload::Tcp(header, len) => line(&Joined {
            header: *header,
            len: *len,
        }),
    }
}
