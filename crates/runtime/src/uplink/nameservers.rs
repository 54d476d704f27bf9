//! The name servers of this machine, whoever of the nodes asks.
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whom nodes ask (RFC 5737: nobody has this address).
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const PORT: u16 = 53;
/// Where the machine says whom it asks.
const FILE: &str = "/etc/resolv.conf";
/// Most of them, as resolv.conf(5) has it.
const MOST: usize = 3;

/// Which of them is asked: the next one if the last one did not answer.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Who is asked in place of [`NAMESERVER`]. The file is read each time: networks come and go.
pub(super) fn for_question(to: SocketAddr) -> Option<SocketAddr> {
    if to != SocketAddr::new(NAMESERVER.into(), PORT) {
        return None;
    }
    let all = listed(&std::fs::read_to_string(FILE).unwrap_or_default());
    let turn = TURN.load(Ordering::Relaxed);
    let server = all.get(turn % all.len().max(1)).copied();
    // As resolv.conf(5) has it where the file says nothing.
    let server = server.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Some(SocketAddr::new(server, PORT))
}

/// Somebody did not answer: the next question is for the next one.
pub(super) fn blame() {
    TURN.fetch_add(1, Ordering::Relaxed);
}

fn listed(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)
    });
    let addresses = servers.filter_map(|word| IpAddr::from_str(word).ok());
    addresses.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_resolv_conf_has_them() {
        let text = "# nameserver 1.1.1.1\nsearch home\nnameserver 192.0.2.1\nnameserver\t2001:db8::53 # ours\n\
                    nameserver fe80::1%eth0\nnameserver nobody\noptions edns0\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let expected = ["192.0.2.1", "2001:db8::53", "192.0.2.3"];
        let expected = expected.map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(listed(text), expected);
        assert!(listed("").is_empty());
        let other = SocketAddr::new(NAMESERVER.into(), 54);
        assert_eq!(for_question(other), None);
    }
}
