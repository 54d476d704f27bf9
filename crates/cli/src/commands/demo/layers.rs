//! One message, down seven layers at alice and up at bob: read from the two ends of one packet's way.
use heptad_lab::{FrameRecord, Moment};
use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::tcp::TcpHeader;

use super::SCRIPT;
use super::dissect::{Inner, dissect, flag_names, hex};
use super::story::Story;
use crate::paint::pad;

/// Columns of the layers' names and of the sender's side.
const NAMES: usize = 23;
const LEFT: usize = 27;

/// One end of the packet's way.
struct End<'a> {
    record: &'a FrameRecord,
    destination: heptad_wire::MacAddr,
    source: heptad_wire::MacAddr,
    fcs: u32,
    ip: Ipv4Header,
    tcp: TcpHeader,
    payload: &'a [u8],
}

/// A layer's name, what the sender did there, what the receiver saw.
type Row = (&'static str, String, String);

impl Story<'_> {
    /// The chapter of the seven layers.
    pub fn layers(&self) -> String {
        let chapter = self.chapter("일곱 계층", "seven layers");
        let message = SCRIPT[0];
        let Some((down, up)) = self.message(message) else {
            return format!("{chapter}  (no single frame carried the first message)\n");
        };
        let head = ("", "alice: send ↓".to_string(), "bob: recv ↑".to_string());
        let mut rows = vec![head];
        rows.extend(self.upper_layers(message, &down, &up));
        rows.extend(self.lower_layers(&down, &up));
        let mut text = format!("{chapter}\n");
        for (layer, left, right) in rows {
            let name = self.paint.name(&pad(layer, NAMES));
            text += &format!("  {name} {} {right}\n", pad(&left, LEFT));
        }
        let bytes: Vec<String> = message
            .chars()
            .map(|c| hex(c.encode_utf8(&mut [0; 4]).as_bytes()))
            .collect();
        let id = down.record.id.as_u64();
        text + &format!(
            "  {message} = {}\n  packet {id:#x} at both ends: the same one\n",
            bytes.join(" · ")
        )
    }

    /// Layers 7 to 5.
    fn upper_layers(&self, message: &str, down: &End<'_>, up: &End<'_>) -> [Row; 3] {
        let line = format!("alice: {message}");
        let printed = if self.seen.bob.contains(&line) {
            format!("{message:?}")
        } else {
            "nothing like it".into()
        };
        let decoded = match core::str::from_utf8(up.payload) {
            Ok(text) => format!("{} characters + newline", text.trim_end().chars().count()),
            Err(error) => error.to_string(),
        };
        [
            (
                "7 응용 application",
                format!("{message:?} + newline"),
                printed,
            ),
            (
                "6 표현 presentation",
                format!("{} bytes of UTF-8", down.payload.len()),
                decoded,
            ),
            (
                "5 세션 session",
                format!("{}:{} →", down.ip.src, down.tcp.src_port),
                format!("→ {}:{}", up.ip.dst, up.tcp.dst_port),
            ),
        ]
    }

    /// Layers 4 to 1.
    fn lower_layers(&self, down: &End<'_>, up: &End<'_>) -> [Row; 5] {
        let (seq, ack) = self.relative(down.ip.src.into(), down.tcp.seq, down.tcp.ack);
        let end = up.tcp.seq.wrapping_add(up.payload.len() as u32);
        let answer = match self.acknowledgment(end) {
            Some(acked) => format!("ack {acked} goes back"),
            None => "no ack of its own".into(),
        };
        let routers = match down.ip.ttl.saturating_sub(up.ip.ttl) {
            1 => "one router".to_string(),
            n => format!("{n} routers"),
        };
        let later = up.record.at.since(down.record.at).as_secs_f64() * 1e3;
        let (here, there) = (self.interface(down.record), self.interface(up.record));
        [
            (
                "4 전송 transport",
                format!("TCP {} seq {seq} ack {ack}", flag_names(down.tcp.flags)),
                answer,
            ),
            (
                "3 네트워크 network",
                format!("IPv4 ttl {}, {} bytes", down.ip.ttl, down.ip.total_len),
                format!("ttl {}: {routers}", up.ip.ttl),
            ),
            (
                "2 데이터링크 data link",
                format!("→ {}", down.destination),
                format!("{} →", up.source),
            ),
            // The receiver took the frame: a bad frame check sequence would have been its end.
            (
                "",
                format!("fcs {:08x}", down.fcs),
                format!("fcs {:08x} good", up.fcs),
            ),
            (
                "1 물리 physical",
                format!("{} bytes at {here}", down.record.bytes.len()),
                format!("{there}, {later:.1} ms later"),
            ),
        ]
    }

    /// The frame that carried a whole message away from alice, and the same packet as bob took it.
    fn message(&self, message: &str) -> Option<(End<'_>, End<'_>)> {
        let carries = |end: &End<'_>| end.payload.strip_suffix(b"\n") == Some(message.as_bytes());
        let sent = |end: &End<'_>| {
            end.record.moment == Moment::Sent && self.machine(end.record) == "alice"
        };
        let taken = |end: &End<'_>| {
            end.record.moment == Moment::Received(Ok(())) && self.machine(end.record) == "bob"
        };
        self.ends().filter(carries).filter(sent).find_map(|down| {
            let up = self
                .ends()
                .filter(carries)
                .filter(taken)
                .find(|up| up.record.id == down.record.id)?;
            Some((down, up))
        })
    }

    /// The relative number of the first ACK from bob that covers everything up to `end`.
    fn acknowledgment(&self, end: u32) -> Option<u32> {
        let covers = |ack: u32| ack.wrapping_sub(end) < 1 << 31;
        let from_bob =
            |e: &End<'_>| e.record.moment == Moment::Sent && self.machine(e.record) == "bob";
        let answer = self.ends().filter(from_bob).find(|e| covers(e.tcp.ack))?;
        Some(self.relative(answer.ip.src.into(), 0, answer.tcp.ack).1)
    }

    fn ends(&self) -> impl Iterator<Item = End<'_>> {
        self.seen.frames.iter().filter_map(|record| {
            let frame = dissect(&record.bytes)?;
            let Inner::Tcp { ip, tcp, payload } = frame.inner else {
                return None;
            };
            let (destination, source) = (frame.ethernet.dst, frame.ethernet.src);
            Some(End {
                record,
                destination,
                source,
                fcs: frame.fcs,
                ip,
                tcp,
                payload,
            })
        })
    }
}
