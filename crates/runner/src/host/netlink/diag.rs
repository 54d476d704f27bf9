//! Sockets (sock_diag(7)): `struct inet_diag_req_v2` in, `struct inet_diag_msg` out, as `ss` asks and shows.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::l4_transport::tcp::{Detail, State};
use heptad_runtime::stack::stack::{SocketDetail, SocketRow};
use heptad_runtime::stack::{Family, SocketId, SocketKind};

use super::message::{Answer, Message, Reply, short, word};
use crate::host::tables::number_of;

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY`.
pub const BY_FAMILY: u16 = 20;
pub const DESTROY: u16 = 21;

/// Bytes of a request: family, protocol, extensions, padding, states; then an identity of 48 bytes.
const REQUEST: usize = 56;
/// `INET_DIAG_…`: attributes, and in a request bit n - 1 asks for attribute n.
const MEMINFO: u16 = 1;
const INFO: u16 = 2;
const CONG: u16 = 4;
const SKMEMINFO: u16 = 7;
const SHUTDOWN: u16 = 8;
const SKV6ONLY: u16 = 11;

/// The first number that is no family (`AF_MAX`).
const FAMILIES: i32 = 46;

/// States of Linux that are not TCP's alone.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;

/// What a program asks for.
struct Asked {
    family: Family,
    protocol: i32,
    extensions: u8,
    states: u32,
    ports: [u16; 2],
    ends: [[u8; 16]; 2],
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, i32> {
        let request: &[u8; REQUEST] = body.first_chunk().ok_or(libc::EINVAL)?;
        let [family, protocol, extensions, ..] = *request;
        let port = |at| short(request, at).map_or(0, u16::from_be);
        let end = |at: usize| {
            let bytes = request.get(at..).and_then(|rest| rest.first_chunk());
            bytes.copied().unwrap_or_default()
        };
        Ok(Self {
            family: match i32::from(family) {
                libc::AF_INET => Family::V4,
                libc::AF_INET6 => Family::V6,
                FAMILIES.. => return Err(libc::EINVAL),
                // Programs then look elsewhere, such as into /proc.
                _ => return Err(libc::ENOENT),
            },
            protocol: protocol.into(),
            extensions,
            states: word(request, 4).unwrap_or(0),
            ports: [port(8), port(10)],
            ends: [end(12), end(28)],
        })
    }

    fn is_known(&self) -> bool {
        let all = [
            libc::IPPROTO_TCP,
            libc::IPPROTO_UDP,
            libc::IPPROTO_UDPLITE,
            libc::IPPROTO_RAW,
        ];
        all.contains(&self.protocol)
    }

    fn wants(&self, attribute: u16) -> bool {
        self.extensions & (1 << (attribute - 1)) != 0
    }

    fn is_of_kind(&self, row: &SocketRow) -> bool {
        let protocol = match row.kind {
            SocketKind::Stream => libc::IPPROTO_TCP,
            SocketKind::Datagram => libc::IPPROTO_UDP,
            SocketKind::Lite => libc::IPPROTO_UDPLITE,
            SocketKind::Raw(_) => libc::IPPROTO_RAW,
            SocketKind::Echo => return false,
        };
        (row.family, protocol) == (self.family, self.protocol)
    }

    /// Of a dump: state, and ports where the request names them.
    fn selects(&self, row: &SocketRow) -> bool {
        let ports = [row.local.port(), row.remote.map_or(0, |end| end.port())];
        let mut named = self.ports.iter().zip(ports);
        let same = named.all(|(asked, port)| [0, port].contains(asked));
        self.is_of_kind(row) && same && self.states & (1 << state(row)) != 0
    }

    /// Of a question about one socket: its ends.
    fn means(&self, row: &SocketRow) -> bool {
        let id = Identity::of(row);
        self.is_of_kind(row) && (self.ports, self.ends) == (id.ports, id.ends)
    }
}

/// What the kernel knows of a socket beside its connection: its inode in the program's descriptors.
pub type Inode<'a> = &'a dyn Fn(SocketId) -> u32;

/// The sockets of a node that are asked for.
///
/// # Errors
/// `EINVAL` for a request that is too short, `ENOENT` for sockets that are not of IP.
pub fn dump(
    sockets: &[SocketDetail],
    request: &Message<'_>,
    (inode, user): (Inode<'_>, u32),
) -> Result<Answer, i32> {
    let asked = Asked::read(request.body)?;
    if !asked.is_known() {
        return Ok(Answer::NoDump(libc::ENOENT));
    }
    let selected = sockets.iter().filter(|socket| asked.selects(&socket.row));
    let shown = selected.map(|socket| reply(socket, &asked, (inode, user)));
    Ok(Answer::Dump(shown.collect()))
}

/// One socket, by its ends.
///
/// # Errors
/// As [`dump`], and `ENOENT` when there is no such socket.
pub fn one(
    sockets: &[SocketDetail],
    request: &Message<'_>,
    (inode, user): (Inode<'_>, u32),
) -> Result<Answer, i32> {
    let asked = Asked::read(request.body)?;
    let mut found = sockets.iter().filter(|socket| asked.means(&socket.row));
    let found = found.next().ok_or(libc::ENOENT)?;
    Ok(Answer::One(reply(found, &asked, (inode, user))))
}

/// `struct inet_diag_sockid`.
struct Identity {
    ports: [u16; 2],
    ends: [[u8; 16]; 2],
    interface: u32,
    cookie: [u32; 2],
}

impl Identity {
    fn of(row: &SocketRow) -> Self {
        let nowhere = SocketAddr::new(row.family.any(), 0);
        // A connection without a socket is over.
        let id = row.socket.map(|id| [id.index, id.generation]);
        let local_port = match row.kind {
            SocketKind::Raw(protocol) => protocol.into(),
            _ => row.local.port(),
        };
        let remote = row.remote.unwrap_or(nowhere);
        Self {
            ports: [local_port, remote.port()],
            ends: [octets(row.family, row.local), octets(row.family, remote)],
            interface: match row.local {
                SocketAddr::V6(local) => local.scope_id(),
                SocketAddr::V4(_) => 0,
            },
            cookie: id.unwrap_or([u32::MAX; 2]),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.ports.map(u16::to_be_bytes).concat();
        bytes.extend(self.ends.concat());
        bytes.extend(self.interface.to_ne_bytes());
        bytes.extend(self.cookie.map(u32::to_ne_bytes).concat());
        bytes
    }
}

/// IPv4 in the first four bytes, or mapped in a socket of IPv6.
fn octets(family: Family, end: SocketAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match (family, end.ip()) {
        (Family::V4, IpAddr::V4(ip)) => {
            for (slot, octet) in bytes.iter_mut().zip(ip.octets()) {
                *slot = octet;
            }
            bytes
        }
        (Family::V6, IpAddr::V4(ip)) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED.octets(),
        (Family::V6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
        (_, IpAddr::V6(ip)) => zone::bare(ip).octets(),
    }
}

fn reply(
    SocketDetail { row, tcp, v6_only }: &SocketDetail,
    asked: &Asked,
    (inode, user): (Inode<'_>, u32),
) -> Reply {
    let family = match row.family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let (timer, times, left) = timer(tcp.as_ref());
    let start = [family as u8, state(row), timer, times];
    let numbers = [
        left,
        row.recv_q,
        row.send_q,
        user,
        row.socket.map_or(0, inode),
    ];
    let numbers = numbers.map(u32::to_ne_bytes).concat();
    let fixed = [&start, &Identity::of(row).bytes()[..], &numbers];
    let mut reply = Reply::new(BY_FAMILY, &fixed).with(SHUTDOWN, &[shutdown(row)]);
    if row.family == Family::V6 {
        reply = reply.with(SKV6ONLY, &[u8::from(*v6_only)]);
    }
    let Some(tcp) = tcp else {
        return reply;
    };
    let memory = tcp.memory.map(|bytes| bytes as u32);
    if asked.wants(SKMEMINFO) {
        reply = reply.with(SKMEMINFO, &memory.map(u32::to_ne_bytes).concat());
    }
    if asked.wants(MEMINFO) {
        let [received, _, sent, _, spare, queued, ..] = memory;
        let four = [received, queued, spare, sent].map(u32::to_ne_bytes);
        reply = reply.with(MEMINFO, &four.concat());
    }
    if let Some(info) = tcp.info.as_ref().filter(|_| asked.wants(INFO)) {
        reply = reply.with(INFO, &info.bytes());
    }
    match tcp.congestion.filter(|_| asked.wants(CONG)) {
        Some(congestion) => reply.with_text(CONG, congestion.name()),
        None => reply,
    }
}

/// Kind, how often it expired, and the milliseconds left.
fn timer(tcp: Option<&Detail>) -> (u8, u8, u32) {
    let Some(timer) = tcp.and_then(|tcp| tcp.timer) else {
        return (0, 0, 0);
    };
    let kind = number_of(timer.kind);
    let left = u32::try_from(timer.left.as_millis()).unwrap_or(u32::MAX);
    (kind, timer.times, left)
}

/// Which directions are over: bit 0 for receiving, bit 1 for sending.
fn shutdown(row: &SocketRow) -> u8 {
    match row.state {
        Some(State::CloseWait) => 1,
        Some(State::FinWait1 | State::FinWait2) => 2,
        Some(State::LastAck | State::Closing | State::TimeWait) => 3,
        _ => 0,
    }
}

/// Linux's number of a state; a socket without states is connected or not.
pub fn state(row: &SocketRow) -> u8 {
    match (row.state, row.remote) {
        (None, None) | (Some(State::Closed), _) => CLOSE,
        (None, Some(_)) | (Some(State::Established), _) => ESTABLISHED,
        (Some(State::SynSent), _) => 2,
        (Some(State::SynReceived), _) => 3,
        (Some(State::FinWait1), _) => 4,
        (Some(State::FinWait2), _) => 5,
        (Some(State::TimeWait), _) => 6,
        (Some(State::CloseWait), _) => 8,
        (Some(State::LastAck), _) => 9,
        (Some(State::Listen), _) => 10,
        (Some(State::Closing), _) => 11,
    }
}
