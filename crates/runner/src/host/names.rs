//! Names of nodes for programs that ask a name server, whichever it is (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use heptad_runtime::lab::MachineId;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::sockets::Sockets;

/// Where name servers listen.
const PORT: u16 = 53;
/// Seconds that an answer may be kept: addresses stay for the life of a lab, which may be short.
const TTL: u32 = 0;

/// Whether a datagram from a socket of `machine` to `remote` is a question to us: port 53 at an address that no node has,
/// or at the node itself where nobody serves names. A node with a way out may mean somebody there.
pub fn is_asked(network: &impl Sockets, machine: MachineId, remote: SocketAddr) -> bool {
    if remote.port() != PORT {
        return false;
    }
    let address = remote.ip().to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return !network.datagrams_at(machine, PORT);
    }
    network.name_of(address).is_none() && !network.has_way_out(machine)
}

/// The answer to a question that goes to somebody outside of the lab, but is about one of its nodes.
pub fn answer_for_outside(
    network: &impl Sockets,
    (machine, remote): (MachineId, SocketAddr),
    query: &[u8],
) -> Option<Vec<u8>> {
    let goes_out = remote.port() == PORT
        && network.has_way_out(machine)
        && network.name_of(remote.ip().to_canonical()).is_none();
    let reply = goes_out.then(|| response(network, query)).flatten()?;
    let is_known = reply.metadata.response_code == ResponseCode::NoError;
    is_known.then(|| reply.to_vec().ok()).flatten()
}

/// The answer to a query; `None` for bytes that are none.
pub fn answer(network: &impl Sockets, query: &[u8]) -> Option<Vec<u8>> {
    response(network, query)?.to_vec().ok()
}

fn response(network: &impl Sockets, query: &[u8]) -> Option<Message> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.authoritative = true;
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.iter().cloned());
    reply.metadata.response_code = match query.queries.as_slice() {
        _ if query.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
        [question] if question.query_class() == DNSClass::IN => {
            match records(network, question.name(), question.query_type()) {
                Some(records) => {
                    reply.add_answers(records);
                    ResponseCode::NoError
                }
                None => ResponseCode::NXDomain,
            }
        }
        [_] => ResponseCode::NXDomain,
        _ => ResponseCode::FormErr,
    };
    Some(reply)
}

/// Records of a name, none where it has none of this type; `None` when there is no such name.
fn records(network: &impl Sockets, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
    let data: Vec<RData> = match reverse(name) {
        Some(address) => {
            let node = Name::from_utf8(format!("{}.", network.name_of(address)?)).ok()?;
            let pointer = (kind == RecordType::PTR).then_some(RData::PTR(PTR(node)));
            pointer.into_iter().collect()
        }
        None => {
            let addresses = hosts(network, name)?.into_iter();
            let of_kind = addresses.filter_map(|address| match (address, kind) {
                (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
                (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
                _ => None,
            });
            of_kind.collect()
        }
    };
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    Some(data.into_iter().map(record).collect())
}

/// The addresses of a host, of either family; `None` when there is no such name.
fn hosts(network: &impl Sockets, name: &Name) -> Option<Vec<IpAddr>> {
    let text = name.to_utf8();
    let text = text.strip_suffix('.').unwrap_or(&text);
    // RFC 6761 6.3
    if text.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let names = [text.to_owned(), text.to_lowercase()];
    let mut known = names.iter().map(|name| network.addresses_of(name));
    known.find(|addresses| !addresses.is_empty())
}

/// The address in a name below in-addr.arpa or ip6.arpa.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}
