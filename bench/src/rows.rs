//! The rows of the table: which work, in which amounts, with which goal.
use anyhow::Result;

use crate::ours::Ours;
use crate::packet::Over;
use crate::pair::Cable;
use crate::peer::Smoltcp;
use crate::{bulk, exchange, memory, packet, tap};

/// How much work a figure is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For a figure that stays.
    Full,
    /// `--quick`: an eighth.
    Quick,
    /// As little as shows that it works.
    #[cfg(test)]
    Tiny,
}
impl Size {
    fn of(self, full: u64) -> u64 {
        match self {
            Self::Full => full,
            Self::Quick => full / 8,
            #[cfg(test)]
            Self::Tiny => full / 1000,
        }
    }
    /// How many silent connections; the goals speak of ten thousand.
    fn idle(self) -> usize {
        match self {
            Self::Full | Self::Quick => IDLE,
            #[cfg(test)]
            Self::Tiny => 20,
        }
    }
}

/// What a figure should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Our own figure, or more.
    AtLeast(f64),
    /// Our own figure, or less.
    AtMost(f64),
    /// So many times as good as the peer.
    Ratio(f64),
}

impl Row {
    /// Whether it has a kernel's end and real time, and processes of its own.
    pub fn is_real(&self) -> bool {
        [TAP, TAP_IPV6].contains(&self.name)
    }
    /// Why it cannot be measured on this machine.
    pub fn missing(&self) -> Option<String> {
        self.is_real().then(tap::missing).flatten()
    }
}

/// Whom we are compared with, and its figure.
#[derive(Clone, Copy)]
pub struct Peer {
    pub name: &'static str,
    pub run: fn(Size) -> Result<f64>,
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    /// A larger figure is a better one.
    pub more_is_better: bool,
    pub goal: Option<Goal>,
    pub ours: fn(Size) -> Result<f64>,
    pub peer: Option<Peer>,
    /// What is done, in one line.
    pub note: &'static str,
}

/// The rows that not every machine can have.
const TAP: &str = "bulk-tap";
const TAP_IPV6: &str = "bulk-tap-ipv6";

const SMOLTCP: &str = "smoltcp 0.14";
const IDLE: usize = 10_000;

const LONG: Cable = Cable {
    mtu: 65_535,
    ..Cable::ETHERNET
};
const ETHERNET_V6: Cable = Cable {
    ipv6: true,
    ..Cable::ETHERNET
};
const LONG_V6: Cable = Cable { ipv6: true, ..LONG };
const MEMORY_V6: Cable = Cable {
    ipv6: true,
    ..MEMORY
};
const COPIED_V6: Cable = Cable {
    ipv6: true,
    ..COPIED
};
const SMALL_V6: Cable = Cable {
    ipv6: true,
    ..SMALL
};
const MEMORY: Cable = Cable {
    checksums: false,
    ..LONG
};
const COPIED: Cable = Cable {
    copied: true,
    ..Cable::ETHERNET
};
/// Buffers of a connection that says little; smoltcp allocates both at once.
const SMALL: Cable = Cable {
    buffer: 4096,
    ..Cable::ETHERNET
};

const REQUESTS: u64 = 400_000;
const STREAM: u64 = 400_000_000;
/// smoltcp asks each of its sockets about each frame.
const SLOW_STREAM: u64 = 20_000_000;

/// Every row, in the order of the table.
pub const ROWS: [Row; 30] = [
    Row {
        name: "bulk-1500",
        unit: "MB/s",
        more_is_better: true,
        goal: Some(Goal::Ratio(1.0)),
        ours: |size| bulk::throughput::<Ours>(&Cable::ETHERNET, 0, size.of(STREAM)),
        peer: smoltcp(|size| bulk::throughput::<Smoltcp>(&Cable::ETHERNET, 0, size.of(STREAM))),
        note: "one stream, MTU 1500, sums filled and verified",
    },
    Row {
        name: "bulk-1500-copied",
        unit: "MB/s",
        more_is_better: true,
        goal: None,
        ours: |size| bulk::throughput::<Ours>(&COPIED, 0, size.of(STREAM)),
        peer: smoltcp(|size| bulk::throughput::<Smoltcp>(&COPIED, 0, size.of(STREAM))),
        note: "the same; our frames are written out as bytes too",
    },
    Row {
        name: "bulk-64k",
        unit: "MB/s",
        more_is_better: true,
        goal: Some(Goal::Ratio(1.0)),
        ours: |size| bulk::throughput::<Ours>(&LONG, 0, size.of(2 * STREAM)),
        peer: smoltcp(|size| bulk::throughput::<Smoltcp>(&LONG, 0, size.of(2 * STREAM))),
        note: "segments of 64 KB, MTU 65535, sums filled and verified",
    },
    Row {
        name: "bulk-64k-unsummed",
        unit: "MB/s",
        more_is_better: true,
        goal: None,
        ours: |size| bulk::throughput::<Ours>(&MEMORY, 0, size.of(4 * STREAM)),
        peer: smoltcp(|size| bulk::throughput::<Smoltcp>(&MEMORY, 0, size.of(4 * STREAM))),
        note: "the same without TCP checksums, as inside a lab",
    },
    Row {
        name: "bulk-1500-idle",
        unit: "MB/s",
        more_is_better: true,
        goal: None,
        ours: |size| bulk::throughput::<Ours>(&SMALL, size.idle(), size.of(SLOW_STREAM)),
        peer: smoltcp(|size| {
            bulk::throughput::<Smoltcp>(&SMALL, size.idle(), size.of(SLOW_STREAM) / 20)
        }),
        note: "10,000 silent connections beside, buffers of 4 KiB",
    },
    Row {
        name: "idle-cost",
        unit: "MB/s",
        more_is_better: true,
        goal: Some(Goal::Ratio(0.9)),
        ours: |size| bulk::throughput::<Ours>(&Cable::ETHERNET, size.idle(), size.of(STREAM)),
        peer: Some(Peer {
            name: "none idle",
            run: |size| bulk::throughput::<Ours>(&Cable::ETHERNET, 0, size.of(STREAM)),
        }),
        note: "bulk-1500 beside 10,000 silent ones, and without them",
    },
    ipv6(
        "bulk-1500-ipv6",
        |size| bulk::throughput::<Ours>(&ETHERNET_V6, 0, size.of(STREAM)),
        |size| bulk::throughput::<Ours>(&Cable::ETHERNET, 0, size.of(STREAM)),
        "MB/s",
        "bulk-1500 over IPv6: 20 bytes a frame less",
    ),
    ipv6(
        "copied-ipv6",
        |size| bulk::throughput::<Ours>(&COPIED_V6, 0, size.of(STREAM)),
        |size| bulk::throughput::<Ours>(&COPIED, 0, size.of(STREAM)),
        "MB/s",
        "bulk-1500-copied over IPv6",
    ),
    ipv6(
        "bulk-64k-ipv6",
        |size| bulk::throughput::<Ours>(&LONG_V6, 0, size.of(2 * STREAM)),
        |size| bulk::throughput::<Ours>(&LONG, 0, size.of(2 * STREAM)),
        "MB/s",
        "bulk-64k over IPv6",
    ),
    ipv6(
        "unsummed-ipv6",
        |size| bulk::throughput::<Ours>(&MEMORY_V6, 0, size.of(4 * STREAM)),
        |size| bulk::throughput::<Ours>(&MEMORY, 0, size.of(4 * STREAM)),
        "MB/s",
        "bulk-64k-unsummed over IPv6",
    ),
    ipv6(
        "idle-ipv6",
        |size| bulk::throughput::<Ours>(&SMALL_V6, size.idle(), size.of(SLOW_STREAM)),
        |size| bulk::throughput::<Ours>(&SMALL, size.idle(), size.of(SLOW_STREAM)),
        "MB/s",
        "bulk-1500-idle over IPv6",
    ),
    ipv6(
        "idle-cost-ipv6",
        |size| bulk::throughput::<Ours>(&ETHERNET_V6, size.idle(), size.of(STREAM)),
        |size| bulk::throughput::<Ours>(&Cable::ETHERNET, size.idle(), size.of(STREAM)),
        "MB/s",
        "idle-cost over IPv6, both beside silent connections",
    ),
    ipv6(
        "requests-1-ipv6",
        |size| exchange::requests::<Ours>(&ETHERNET_V6, 1, size.of(REQUESTS)),
        |size| exchange::requests::<Ours>(&Cable::ETHERNET, 1, size.of(REQUESTS)),
        "1/s",
        "requests-1 over IPv6",
    ),
    ipv6(
        "requests-64-ipv6",
        |size| exchange::requests::<Ours>(&ETHERNET_V6, 64, size.of(REQUESTS)),
        |size| exchange::requests::<Ours>(&Cable::ETHERNET, 64, size.of(REQUESTS)),
        "1/s",
        "requests-64 over IPv6",
    ),
    ipv6(
        "connections-ipv6",
        |size| exchange::connections::<Ours>(&SMALL_V6, size.of(100_000)),
        |size| exchange::connections::<Ours>(&SMALL, size.of(100_000)),
        "1/s",
        "connections over IPv6",
    ),
    Row {
        more_is_better: false,
        ..ipv6(
            "endpoint-ipv6",
            |size| memory::endpoint::<Ours>(&ETHERNET_V6, size.idle()),
            |size| memory::endpoint::<Ours>(&Cable::ETHERNET, size.idle()),
            "B",
            "endpoint-bytes over IPv6",
        )
    },
    Row {
        name: "requests-1",
        unit: "1/s",
        more_is_better: true,
        goal: Some(Goal::AtLeast(300_000.0)),
        ours: |size| exchange::requests::<Ours>(&Cable::ETHERNET, 1, size.of(REQUESTS)),
        peer: smoltcp(|size| exchange::requests::<Smoltcp>(&Cable::ETHERNET, 1, size.of(REQUESTS))),
        note: "1 byte each way on one connection, MTU 1500",
    },
    Row {
        name: "requests-64",
        unit: "1/s",
        more_is_better: true,
        goal: Some(Goal::AtLeast(300_000.0)),
        ours: |size| exchange::requests::<Ours>(&Cable::ETHERNET, 64, size.of(REQUESTS)),
        peer: smoltcp(|size| {
            exchange::requests::<Smoltcp>(&Cable::ETHERNET, 64, size.of(REQUESTS))
        }),
        note: "64 bytes each way on one connection, MTU 1500",
    },
    Row {
        name: "connections",
        unit: "1/s",
        more_is_better: true,
        goal: None,
        ours: |size| exchange::connections::<Ours>(&SMALL, size.of(100_000)),
        peer: smoltcp(|size| exchange::connections::<Smoltcp>(&SMALL, size.of(100_000))),
        note: "connect, 64 bytes each way, close; smoltcp: no TIME-WAIT",
    },
    Row {
        name: "endpoint-bytes",
        unit: "B",
        more_is_better: false,
        goal: Some(Goal::AtMost(1200.0)),
        ours: |size| memory::endpoint::<Ours>(&Cable::ETHERNET, size.idle()),
        peer: smoltcp(|size| memory::endpoint::<Smoltcp>(&SMALL, size.idle())),
        note: "a silent end's heap; smoltcp: buffers of 2 x 4 KiB",
    },
    Row {
        name: TAP,
        unit: "MB/s",
        more_is_better: true,
        goal: None,
        ours: |size| tap::ours(size.of(STREAM)),
        peer: Some(Peer {
            name: "kernel, veth",
            run: |size| tap::peer(size.of(STREAM)),
        }),
        note: "one stream to the kernel over TAP, in real time; root only",
    },
    ipv6(
        TAP_IPV6,
        |size| tap::ours_over_ipv6(size.of(STREAM)),
        |size| tap::ours(size.of(STREAM)),
        "MB/s",
        "bulk-tap over IPv6",
    ),
    operation(
        "packet-new",
        |size| packet::new(size.of(OPERATIONS)),
        "a packet from the pool and back",
    ),
    operation(
        "packet-push-pull",
        |size| packet::push_pull(size.of(OPERATIONS)),
        "three headers on and off",
    ),
    operation(
        "packet-duplicate",
        |size| packet::duplicate(size.of(OPERATIONS)),
        "a second packet, the same payload",
    ),
    operation(
        "packet-cut",
        |size| packet::cut(Over::Ipv4, size.of(OPERATIONS)),
        "one frame of 44 cut from a super-segment",
    ),
    operation(
        "packet-merge",
        |size| packet::merge(Over::Ipv4, size.of(OPERATIONS)),
        "one frame verified and merged, of 44",
    ),
    Row {
        more_is_better: false,
        ..ipv6(
            "packet-cut-ipv6",
            |size| packet::cut(Over::Ipv6, size.of(OPERATIONS)),
            |size| packet::cut(Over::Ipv4, size.of(OPERATIONS)),
            "ns",
            "packet-cut over IPv6",
        )
    },
    Row {
        more_is_better: false,
        ..ipv6(
            "packet-merge-ipv6",
            |size| packet::merge(Over::Ipv6, size.of(OPERATIONS)),
            |size| packet::merge(Over::Ipv4, size.of(OPERATIONS)),
            "ns",
            "packet-merge over IPv6",
        )
    },
    Row {
        peer: smoltcp(|size| packet::fill_by_peer(size.of(OPERATIONS))),
        ..operation(
            "packet-fill",
            |size| packet::fill(size.of(OPERATIONS)),
            "the TCP checksum of 1,460 bytes",
        )
    },
];

const OPERATIONS: u64 = 2_000_000;

const fn smoltcp(run: fn(Size) -> Result<f64>) -> Option<Peer> {
    Some(Peer { name: SMOLTCP, run })
}

/// A row of IPv6, beside ours of IPv4.
const fn ipv6(
    name: &'static str,
    ours: fn(Size) -> Result<f64>,
    over_ipv4: fn(Size) -> Result<f64>,
    unit: &'static str,
    note: &'static str,
) -> Row {
    Row {
        name,
        unit,
        more_is_better: true,
        goal: Some(Goal::Ratio(0.95)),
        ours,
        peer: Some(Peer {
            name: "IPv4",
            run: over_ipv4,
        }),
        note,
    }
}

/// A row of nanoseconds, without a peer.
const fn operation(name: &'static str, ours: fn(Size) -> Result<f64>, note: &'static str) -> Row {
    Row {
        name,
        unit: "ns",
        more_is_better: false,
        goal: None,
        ours,
        peer: None,
        note,
    }
}
