//! `publish = ["8080:80", "5353:53/udp"]`: ports of a node that the machine around the lab can reach.
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::document::{Fields, Result};

/// A port of a node, to be reached from the machine that the lab runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where the machine listens; port 0: a free one.
    pub outside: SocketAddr,
    /// The node's port.
    pub inside: u16,
    /// Streams or datagrams.
    pub transport: Transport,
}

/// What a published port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

const LIKE: &str = "8080:80";

/// The node's `publish`, in the order of the file.
pub(super) fn read(node: Fields<'_, '_>) -> Result<Vec<Publish>> {
    let Some(texts) = node.texts("publish", "[\"8080:80\", \"5353:53/udp\"]")? else {
        return Ok(Vec::new());
    };
    let one = |(text, span): &(&str, core::ops::Range<usize>)| {
        parse(text).map_err(|wrong| {
            let complaint = node
                .source
                .error(span.clone(), format!("`publish`: {wrong}"));
            complaint.help(format!("write it like \"{LIKE}\""))
        })
    };
    texts.iter().map(one).collect()
}

/// `[ADDRESS:]OUTSIDE:INSIDE[/tcp|/udp]`. The error is for people.
fn parse(text: &str) -> core::result::Result<Publish, String> {
    let (ports, transport) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Transport::Tcp),
        Some((ports, "udp")) => (ports, Transport::Udp),
        Some((_, other)) => return Err(format!("`{other}` is neither tcp nor udp")),
    };
    let (outside, inside) = ports
        .rsplit_once(':')
        .ok_or_else(|| format!("`{text}` needs two ports, outside and inside"))?;
    let (address, outside) = match outside.rsplit_once(':') {
        None => (Ipv4Addr::LOCALHOST.into(), outside),
        Some((address, outside)) => (parse_address(address)?, outside),
    };
    let port = |text: &str| {
        let number = text.parse::<u16>();
        number.map_err(|_| format!("`{text}` is not a port from 0 to 65535"))
    };
    let inside = port(inside)?;
    if inside == 0 {
        return Err("the port inside can't be 0".into());
    }
    Ok(Publish {
        outside: SocketAddr::new(address, port(outside)?),
        inside,
        transport,
    })
}

fn parse_address(text: &str) -> core::result::Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    match (address, bare) {
        (Ok(IpAddr::V6(_)), None) => Err(format!("write `[{text}]` for an IPv6 address")),
        (Ok(address), _) => Ok(address),
        (Err(_), _) => Err(format!("`{text}` is not an address of this machine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_may_have_an_address_before_and_a_protocol_behind() {
        for (text, outside, inside, transport) in [
            ("8080:80", "127.0.0.1:8080", 80, Transport::Tcp),
            ("0:80", "127.0.0.1:0", 80, Transport::Tcp),
            ("8080:80/tcp", "127.0.0.1:8080", 80, Transport::Tcp),
            ("5353:53/udp", "127.0.0.1:5353", 53, Transport::Udp),
            ("0.0.0.0:8080:80", "0.0.0.0:8080", 80, Transport::Tcp),
            ("[::1]:5353:53/udp", "[::1]:5353", 53, Transport::Udp),
        ] {
            let expected = Publish {
                outside: outside.parse().unwrap(),
                inside,
                transport,
            };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_pair_of_ports_is_told_apart() {
        for (text, message) in [
            ("80", "`80` needs two ports, outside and inside"),
            ("", "`` needs two ports, outside and inside"),
            ("8080:0", "the port inside can't be 0"),
            ("8080:", "`` is not a port from 0 to 65535"),
            (":80", "`` is not a port from 0 to 65535"),
            ("70000:80", "`70000` is not a port from 0 to 65535"),
            ("8080:http", "`http` is not a port from 0 to 65535"),
            ("8080:80/sctp", "`sctp` is neither tcp nor udp"),
            ("bob:8080:80", "`bob` is not an address of this machine"),
            ("::1:8080:80", "write `[::1]` for an IPv6 address"),
        ] {
            assert_eq!(parse(text), Err(message.into()), "{text}");
        }
    }
}
