//! What `heptad ss` is told of a node's sockets.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The sockets of a node, inside out.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeInsides {
    pub node: String,
    pub sockets: Vec<Inside>,
}

/// A row of ss, and what its options add.
#[derive(Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
pub struct Inside {
    /// `tcp`, `udp` or `raw`.
    pub netid: String,
    pub ipv6: bool,
    /// ss's word.
    pub state: String,
    pub recv_q: u32,
    pub send_q: u32,
    pub local: String,
    pub peer: String,
    pub pid: Option<u32>,
    pub program: Option<String>,
    /// The socket's number on its node; none once its program is gone.
    pub ino: Option<u32>,
    pub timer: Option<SsTimer>,
    /// r, rb, t, tb, f, w, o, bl, d.
    pub skmem: [u64; 9],
    pub congestion: Option<String>,
    /// The fields of `struct tcp_info`, without their prefix.
    pub tcp_info: BTreeMap<String, u64>,
}

/// What a socket waits for.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct SsTimer {
    /// `on`, `keepalive`, `timewait`, `persist`.
    pub kind: String,
    pub millis: u64,
    pub times: u8,
}
