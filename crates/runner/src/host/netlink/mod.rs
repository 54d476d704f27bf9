//! Netlink (RFC 3549, netlink(7)): what `ip`, `ss` and `getifaddrs` ask the kernel for is told of the node.
//!
//! ```text
//!   program ── requests ──▶ pair, or a call with an address ──▶ answers ── tables of the node
//!           ◀── datagrams of replies, at most so many wait here ───┘
//! ```
//!
//! Protocols 0 (routes) and 4 (sockets) only; all others are the kernel's. Changes are refused, groups stay silent.

mod diag;
mod endpoint;
mod link;
pub(crate) mod message;
mod route;

use std::net::{IpAddr, SocketAddr};

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::{Family, SocketError, SocketKind};

pub use diag::state;
pub use endpoint::Endpoint;

use super::sockets::Sockets;
use message::{Answer, Message};

/// `NETLINK_ROUTE` and `NETLINK_SOCK_DIAG`.
pub const ROUTE: u32 = 0;
const SOCK_DIAG: u32 = 4;

/// `RTM_GET…`.
const GETLINK: u16 = 18;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const GETNEIGH: u16 = 30;
const GETRULE: u16 = 34;
/// The last type of rtnetlink (`RTM_MAX`), of Linux 6.
const LAST: u16 = 123;

/// Who asks, and how.
struct Asker<'a, S> {
    network: &'a S,
    machine: MachineId,
    protocol: u32,
    /// Its port.
    port: u32,
    /// Errors without the request in them (`NETLINK_CAP_ACK`).
    capped: bool,
    /// Requests of dumps are filters (`NETLINK_GET_STRICT_CHK`).
    strict: bool,
    inode: diag::Inode<'a>,
}

/// The datagrams that answer the requests in a datagram.
fn answers<S: Sockets>(asker: &Asker<'_, S>, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for request in message::messages(datagram) {
        let header = request.header;
        let is_request = header.flags & message::REQUEST != 0 && header.kind >= message::FIRST_TYPE;
        let answer = match asker.protocol {
            _ if !is_request => Ok(Answer::Done),
            ROUTE => about_routes(asker, &request),
            _ => about_sockets(asker, &request),
        };
        all.extend(message::datagrams(
            &request,
            asker.port,
            answer,
            asker.capped,
        ));
    }
    all
}

/// rtnetlink(7). As Linux: a request of less than a byte says nothing, and of four types in a row the third only looks.
fn about_routes<S: Sockets>(asker: &Asker<'_, S>, request: &Message<'_>) -> Result<Answer, i32> {
    let kind = request.header.kind;
    if kind > LAST {
        return Err(libc::EOPNOTSUPP);
    }
    if request.body.is_empty() {
        return Ok(Answer::Done);
    }
    if kind % 4 != GETLINK % 4 {
        return Err(libc::EPERM);
    }
    let dump = request.header.flags & message::DUMP != 0;
    let tables = asker.network.tables(asker.machine);
    match (kind, dump) {
        (GETLINK, true) => Ok(link::links(&tables, request)),
        (GETLINK, false) => link::one_link(&tables, request),
        (GETADDR, true) => Ok(link::addresses(&tables, request, asker.strict)),
        (GETROUTE, true) => Ok(route::routes(&tables, request, asker.strict)),
        (GETROUTE, false) => route::one_route(&tables, request, |to| {
            speak_from(asker.network, asker.machine, to)
        }),
        (GETNEIGH, true) => Ok(route::neighbours(&tables, request)),
        (GETNEIGH, false) => route::one_neighbour(&tables, request),
        (GETRULE, true) => Ok(route::rules(request)),
        _ => Err(libc::EOPNOTSUPP),
    }
}

/// sock_diag(7).
fn about_sockets<S: Sockets>(asker: &Asker<'_, S>, request: &Message<'_>) -> Result<Answer, i32> {
    let dump = request.header.flags & message::DUMP != 0;
    let sockets = || asker.network.details(asker.machine);
    let known = (asker.inode, rustix::process::getuid().as_raw());
    match request.header.kind {
        diag::BY_FAMILY if dump => diag::dump(&sockets(), request, known),
        diag::BY_FAMILY => diag::one(&sockets(), request, known),
        // Linux looks for the socket before it asks who wants to end it.
        diag::DESTROY => diag::one(&sockets(), request, known).and(Err(libc::EPERM)),
        _ => Err(libc::EINVAL),
    }
}

/// The address that a host would speak from to another: a datagram socket that is connected there has it.
fn speak_from(
    network: &impl Sockets,
    machine: MachineId,
    to: SocketAddr,
) -> Result<IpAddr, SocketError> {
    let family = match to {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    let at = network.open(machine, family, SocketKind::Datagram)?;
    let found = network.connect(at, to).and_then(|()| network.local(at));
    network.close(at);
    found.map(|local| local.ip())
}

#[cfg(test)]
mod tests;
