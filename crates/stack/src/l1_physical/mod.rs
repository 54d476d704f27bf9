//! Layer 1: ports. A medium, an MTU, what the cable carries, a transmit queue.
use alloc::boxed::Box;
use heptad_wire::MacAddr;

mod loopback;
mod port;

pub use loopback::Loopback;
pub use port::Port;
pub(crate) use port::bytes_once_cut;

/// A port of a host (an interface), by its index in order of creation. Index 0 is the loopback `lo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);
impl PortId {
    /// The loopback port that every host has.
    pub const LOOPBACK: Self = Self(0);
}

/// What a port's frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Ethernet, with our address.
    Ethernet(MacAddr),
    /// Bare IP packets: a TUN, a VPN, the loopback.
    Ip,
}

/// What a cable tells both its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Carries super-segments whole. A cable with a rate, queue, loss, jitter, reordering, duplication or corruption does not.
    pub super_segments: bool,
    /// Carries packets whose transport checksum is not filled yet.
    pub unfilled_sums: bool,
}
impl Caps {
    /// As a plain real cable: frames of the MTU; sums may stay unfilled inside this process.
    pub const FRAMES: Self = Self {
        super_segments: false,
        unfilled_sums: true,
    };
    /// As memory: everything.
    pub const MEMORY: Self = Self {
        super_segments: true,
        unfilled_sums: true,
    };
}

/// How to make a port.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// `eth0`.
    pub name: Box<str>,
    /// Medium and address.
    pub medium: Medium,
    /// Largest network packet, bytes (without link header).
    pub mtu: u32,
    /// What the cable carries.
    pub caps: Caps,
    /// Bound of the transmit queue for packets that have no connection behind them, frames (Linux: txqueuelen 1000).
    pub queue_limit: u32,
}

/// RX/TX counts of a port, as `netstat -i` and `ip -s` show them. Frames once cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the column's own names
pub struct PortCounters {
    pub rx_ok: u64,
    pub rx_err: u64,
    pub rx_drop: u64,
    pub rx_bytes: u64,
    pub tx_ok: u64,
    pub tx_err: u64,
    pub tx_drop: u64,
    pub tx_bytes: u64,
}
