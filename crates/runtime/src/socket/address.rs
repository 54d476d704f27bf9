//! Addresses as programs write them: written out, or by the name of a node.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::io;

use crate::Node;

/// What a socket can bind or connect to, as `std::net::ToSocketAddrs`; names are the names of nodes.
pub trait ToLabAddr {
    /// The address, as this node sees it. `NotFound`: no node of that name; `InvalidInput`: not an address.
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr>;
}
impl ToLabAddr for SocketAddr {
    fn to_lab_addr(&self, _node: &Node) -> io::Result<SocketAddr> {
        Ok(*self)
    }
}
macro_rules! addresses {
    ($($from:ty),*) => {$(
        impl ToLabAddr for $from {
            fn to_lab_addr(&self, _node: &Node) -> io::Result<SocketAddr> {
                Ok((*self).into())
            }
        }
    )*};
}
addresses!(
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);
impl ToLabAddr for (&str, u16) {
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr> {
        let (name, port) = *self;
        let address = node.resolve(name).ok_or_else(|| no_node(name))?;
        Ok(SocketAddr::new(address, port))
    }
}
impl ToLabAddr for (String, u16) {
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr> {
        (self.0.as_str(), self.1).to_lab_addr(node)
    }
}
impl ToLabAddr for str {
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr> {
        if let Ok(address) = self.parse() {
            return Ok(address);
        }
        let (name, port) = split(self)?;
        (name, port).to_lab_addr(node)
    }
}
impl ToLabAddr for String {
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr> {
        self.as_str().to_lab_addr(node)
    }
}
impl<T: ToLabAddr + ?Sized> ToLabAddr for &T {
    fn to_lab_addr(&self, node: &Node) -> io::Result<SocketAddr> {
        (**self).to_lab_addr(node)
    }
}

/// `bob:8080` into its parts.
fn split(text: &str) -> io::Result<(&str, u16)> {
    let parts = text
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse().ok()?)));
    parts
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| invalid(text))
}
fn invalid(text: &str) -> io::Error {
    let message = format!("{text:?} is not an address: a name or an address, a colon and a port");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
fn no_node(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no node named {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_port_are_split_at_the_last_colon() {
        let rows = [
            ("bob:8080", Some(("bob", 8080))),
            ("10.0.0.1:7", Some(("10.0.0.1", 7))),
            ("bob:0", Some(("bob", 0))),
            ("bob", None),
            (":80", None),
            ("bob:", None),
            ("bob:65536", None),
            ("bob:http", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(split(text).ok(), expected, "{text}");
        }
    }
}
