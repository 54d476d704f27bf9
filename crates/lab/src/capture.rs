//! pcapng, written by hand: nanoseconds, an interface a cable end, direction, packet ids, causes as comments, names, the seed.
//!
//! Makes bytes only; who writes them to a file is not known here. Blocks after draft-ietf-opsawg-pcapng; little-endian.
//! What a machine discarded later has no bytes of its own: it is a line of text on a last interface, `lab/drops`.
use core::net::IpAddr;

use crate::frames::{FrameRecord, Interface, Moment};
use heptad_stack::DropReason;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// `isb_ifdrop`
const IF_DROP: u16 = 5;
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;
/// A packet that names its own dissector (Wireshark's "upper PDU").
const LINKTYPE_UPPER_PDU: u16 = 252;
const COMMENT: u16 = 1;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Bit 24 of `epb_flags`: the frame check sequence did not hold.
const CRC_ERROR: u32 = 1 << 24;

/// Turns frame records into the bytes of a pcapng file.
pub struct Pcapng {
    epoch_nanos: u64,
    interfaces: Vec<String>,
}

/// What the head of a capture says.
#[derive(Clone, Debug)]
pub struct CaptureHead {
    /// The lab's name.
    pub lab: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the lab file's text, hexadecimal.
    pub lab_sha256: String,
    /// Nanoseconds since 1970 of the lab's time zero: fixed in virtual time.
    pub epoch_nanos: u64,
}

impl Pcapng {
    /// Begins a capture; `out` receives section header, interfaces and names.
    pub fn begin(
        head: &CaptureHead,
        interfaces: &[Interface],
        names: &[(IpAddr, String)],
        out: &mut Vec<u8>,
    ) -> Self {
        section(head, out);
        for interface in interfaces {
            let linktype = if interface.bare_ip {
                LINKTYPE_RAW
            } else {
                LINKTYPE_ETHERNET
            };
            describe(linktype, &interface.name, &interface.description, out);
        }
        let what = "packets that a machine had taken and discarded later";
        describe(LINKTYPE_UPPER_PDU, "lab/drops", what, out);
        resolve(names, out);
        Self {
            epoch_nanos: head.epoch_nanos,
            interfaces: interfaces.iter().map(|i| i.name.clone()).collect(),
        }
    }
    /// Appends one record.
    pub fn record(&mut self, record: &FrameRecord, out: &mut Vec<u8>) {
        let (direction, cause) = match &record.moment {
            Moment::Sent => (OUTBOUND, None),
            Moment::Received(Ok(())) => (INBOUND, None),
            Moment::Received(Err(reason)) => (INBOUND, Some(format!("dropped: {}", reason.text()))),
            Moment::Lost(cause) => (OUTBOUND, Some(format!("lost on the cable: {cause}"))),
            Moment::DroppedLater(reason) => return self.dropped_later(record, *reason, out),
        };
        let fcs = matches!(record.moment, Moment::Received(Err(DropReason::FrameCheck)));
        let flags = direction | if fcs { CRC_ERROR } else { 0 };
        let comments = cause.into_iter().chain(record.note.clone());
        self.packet(
            record,
            record.interface,
            flags,
            comments,
            &record.bytes,
            out,
        );
    }
    /// Ends a capture that had to let `missed` records go: interface statistics for `lab/drops` say how many.
    pub fn end(&self, missed: u64, out: &mut Vec<u8>) {
        let last = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        block(STATISTICS, out, |out| {
            for word in [last, 0, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            option(IF_DROP, &missed.to_le_bytes(), out);
            option(0, &[], out);
        });
    }
    fn dropped_later(&self, record: &FrameRecord, reason: DropReason, out: &mut Vec<u8>) {
        let interface = self.interfaces.get(record.interface as usize);
        let machine = interface
            .and_then(|name| name.split('/').next())
            .unwrap_or("");
        let text = format!(
            "{machine} dropped packet {}: {}",
            record.id.as_u64(),
            reason.text()
        );
        // Tag 12: the dissector's name, padded to 4; tag 0: end.
        let dissector = b"data-text-lines\0";
        let mut bytes = vec![0, 12, 0, 16];
        bytes.extend_from_slice(dissector);
        bytes.extend_from_slice(&[0, 0, 0, 0]);
        bytes.extend_from_slice(text.as_bytes());
        let last = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.packet(record, last, 0, core::iter::once(text), &bytes, out);
    }
    /// An enhanced packet block.
    fn packet(
        &self,
        record: &FrameRecord,
        interface: u32,
        flags: u32,
        comments: impl Iterator<Item = String>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        let nanos = self.epoch_nanos.wrapping_add(record.at.as_nanos());
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        block(PACKET, out, |out| {
            for word in [interface, (nanos >> 32) as u32, nanos as u32, len, len] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            padded(bytes, out);
            for comment in comments {
                option(COMMENT, comment.as_bytes(), out);
            }
            option(2, &flags.to_le_bytes(), out);
            option(5, &record.id.as_u64().to_le_bytes(), out);
            option(0, &[], out);
        });
    }
}

/// Section header: byte order, version 1.0, length unknown, who made it and from what.
fn section(head: &CaptureHead, out: &mut Vec<u8>) {
    let CaptureHead {
        lab,
        seed,
        lab_sha256,
        epoch_nanos: _,
    } = head;
    block(SECTION, out, |out| {
        out.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        let comment = format!("lab={lab} seed={seed} sha256={lab_sha256}");
        option(COMMENT, comment.as_bytes(), out);
        let application = concat!("heptad ", env!("CARGO_PKG_VERSION"));
        option(4, application.as_bytes(), out);
        option(0, &[], out);
    });
}

/// Interface description: link type, no snapshot limit, name, description, nanoseconds.
fn describe(linktype: u16, name: &str, description: &str, out: &mut Vec<u8>) {
    block(INTERFACE, out, |out| {
        out.extend_from_slice(&linktype.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        option(2, name.as_bytes(), out);
        option(3, description.as_bytes(), out);
        option(9, &[9], out);
        option(0, &[], out);
    });
}

/// Name resolution: addresses and the nodes that have them.
fn resolve(names: &[(IpAddr, String)], out: &mut Vec<u8>) {
    if names.is_empty() {
        return;
    }
    block(NAMES, out, |out| {
        for (address, name) in names {
            let (kind, mut value) = match address {
                IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                IpAddr::V6(v6) => (2, v6.octets().to_vec()),
            };
            value.extend_from_slice(name.as_bytes());
            value.push(0);
            option(kind, &value, out);
        }
        option(0, &[], out);
    });
}

/// A block: type, length, body, length again.
fn block(kind: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let total = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
    out[start + 4..start + 8].copy_from_slice(&total.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
}

/// An option or name record: code, length, value padded to 4. Texts too long for the length field are cut.
fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    padded(value, out);
}

fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().wrapping_neg() % 4, 0);
}
