//! `/proc/net/tcp` and its like, column by column as Linux writes them: what net-tools reads.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::l4_transport::tcp::State;
use heptad_runtime::stack::stack::{SocketDetail, SocketRow};
use heptad_runtime::stack::{Family, SocketKind};

use super::Inode;
use crate::host::netlink::state;
use crate::host::tables::number_of;

/// Milliseconds of a tick (`USER_HZ`).
const TICK: u128 = 10;

/// The head of most files of IPv4.
const OF_V4: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout \
     inode ref pointer drops";

/// How a file of one protocol and family is laid out.
struct Layout {
    head: &'static str,
    /// Digits of a row's number.
    digits: usize,
    /// Lines of IPv4 are filled up to this.
    width: usize,
}

impl Layout {
    fn of(kind: SocketKind, family: Family) -> Self {
        let (head, digits, width) = match (kind, family) {
            (SocketKind::Stream, Family::V4) => (
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
                4,
                149,
            ),
            (SocketKind::Stream, Family::V6) => (
                "  sl  local_address                         remote_address                        st tx_queue \
                 rx_queue tr tm->when retrnsmt   uid  timeout inode",
                4,
                0,
            ),
            (SocketKind::Datagram | SocketKind::Lite, Family::V4) => (
                "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout \
                 inode ref pointer drops",
                5,
                127,
            ),
            (SocketKind::Echo, Family::V4) => (OF_V4, 5, 127),
            (_, Family::V4) => (OF_V4, 4, 0),
            (_, Family::V6) => (
                "  sl  local_address                         remote_address                        st tx_queue \
                 rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
                5,
                0,
            ),
        };
        Self {
            head,
            digits,
            width,
        }
    }
}

/// The rows of one kind of socket and one family.
pub fn shown(
    sockets: &[SocketDetail],
    (kind, family): (SocketKind, Family),
    inode: Inode<'_>,
) -> String {
    let Layout {
        head,
        digits,
        width,
    } = Layout::of(kind, family);
    let mut text = format!("{head:<width$}\n");
    let same = |row: &SocketRow| match (row.kind, kind) {
        (SocketKind::Raw(_), SocketKind::Raw(_)) => true,
        (own, kind) => own == kind,
    };
    let wanted = sockets
        .iter()
        .filter(|socket| socket.row.family == family && same(&socket.row));
    for (number, socket) in wanted.enumerate() {
        let row = format!("{number:>digits$}: {}", row(socket, inode));
        // A String takes everything.
        let _ = writeln!(text, "{row:<width$}");
    }
    text
}

fn row(socket: &SocketDetail, inode: Inode<'_>) -> String {
    let row = &socket.row;
    let nobody = SocketAddr::new(row.family.any(), 0);
    let [local, remote] =
        [row.local, row.remote.unwrap_or(nobody)].map(|end| address(row.family, end));
    let local_port = match row.kind {
        SocketKind::Raw(protocol) => protocol.into(),
        _ => row.local.port(),
    };
    let remote_port = row.remote.map_or(0, |end| end.port());
    let over = row.state == Some(State::TimeWait);
    let listens = row.state == Some(State::Listen);
    let sent = if listens { 0 } else { row.send_q };
    let (timer, left, times) = timer(socket);
    let user = if over {
        0
    } else {
        rustix::process::getuid().as_raw()
    };
    let inode = inode(row.socket);
    let first = format!(
        "{local}:{local_port:04X} {remote}:{remote_port:04X} {:02X} {sent:08X}:{:08X} \
         {timer:02X}:{left:08X} {times:08X} {user:>5} {:>8} {inode}",
        state(row),
        row.recv_q,
        0
    );
    match (row.kind, &socket.tcp) {
        // References, where it lies, timeouts in ticks, acknowledging, both windows.
        (SocketKind::Stream, Some(tcp)) if !over => {
            let info = tcp.info.unwrap_or_default();
            let ticks = |micros: u32| u128::from(micros) / 1000 / TICK;
            let threshold = match info.snd_ssthresh {
                0..0x7fff_ffff => i64::from(info.snd_ssthresh),
                _ => -1,
            };
            format!(
                "{first} 1 0000000000000000 {} {} 0 {} {threshold}",
                ticks(info.rto),
                ticks(info.ato),
                info.snd_cwnd
            )
        }
        (SocketKind::Stream, _) => format!("{first} 3 0000000000000000"),
        _ => format!("{first} 2 0000000000000000 0"),
    }
}

/// Kind, ticks left, how often it expired.
fn timer(socket: &SocketDetail) -> (u8, u128, u8) {
    let Some(timer) = socket.tcp.as_ref().and_then(|tcp| tcp.timer) else {
        return (0, 0, 0);
    };
    let kind = number_of(timer.kind);
    (kind, timer.left.as_millis() / TICK, timer.times)
}

/// Words of four bytes, as the kernel has them in memory.
fn address(family: Family, end: SocketAddr) -> String {
    let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
    let long = |ip: Ipv6Addr| -> String {
        let octets = ip.octets();
        let words = octets.chunks_exact(4).filter_map(|word| word.first_chunk());
        words.map(|octets| word(*octets)).collect()
    };
    match (family, end.ip()) {
        (Family::V4, IpAddr::V4(ip)) => word(ip.octets()),
        (_, IpAddr::V4(ip)) if ip.is_unspecified() => long(Ipv6Addr::UNSPECIFIED),
        (_, IpAddr::V4(ip)) => long(ip.to_ipv6_mapped()),
        (_, IpAddr::V6(ip)) => long(zone::bare(ip)),
    }
}
