//! What stands at the ends of cables: hosts and routers (a stack each), switches, and machines outside of the lab.
use core::net::Ipv6Addr;

use heptad_stack::wire::{MacAddr, Pool};
use heptad_stack::{
    Counters, Cx, EventLog, EventMask, Instant, Medium, PortConfig, PortId, Ready, Rng, SocketId,
    Stack, StackConfig,
};

use crate::MachineId;
use crate::outside::Outside;
use crate::seed::stream;
use crate::switch::Switch;
use crate::topology::NodeKind;

/// Linux's txqueuelen.
const QUEUE_LIMIT: u32 = 1000;

/// A machine and its ports.
pub(crate) struct Machine {
    pub name: String,
    pub kind: NodeKind,
    pub ports: Vec<Socketed>,
    pub body: Body,
    pub patience: Patience,
}

/// Notices a machine that never lets time move: that is due again and again at one instant without a frame or a verb.
#[derive(Default)]
pub(crate) struct Patience {
    at: Instant,
    calls: u32,
}
impl Patience {
    /// Most calls at one instant.
    const BOUND: u32 = 10_000;
    /// It is called; whether once too often. Then it begins anew.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.at != now {
            *self = Self { at: now, calls: 0 };
        }
        self.calls += 1;
        let over = self.calls > Self::BOUND;
        if over {
            self.calls = 0;
        }
        over
    }
    /// Something came from outside.
    pub fn renew(&mut self) {
        self.calls = 0;
    }
}

/// A port with its cable plugged in.
pub(crate) struct Socketed {
    pub name: String,
    /// Index of the cable.
    pub link: usize,
    /// Which of its ends: 0 or 1. The machine sends in the direction of this number.
    pub end: usize,
    /// The direction in which it hears: the other one, but for a cable that leads back to where it came from.
    pub hears: usize,
    /// The stack's id of this port; a switch numbers its own.
    pub id: PortId,
}

pub(crate) enum Body {
    Host(Box<Host>),
    Switch(Box<Switch>),
    Outside(Outside),
}

/// A stack and what a [`Cx`] lends it.
pub(crate) struct Host {
    pub stack: Stack,
    pub rng: Rng,
    pub pool: Pool,
    pub events: EventLog,
    pub counters: Counters,
    /// A socket that became ready and was not asked for yet; those behind it wait in the stack.
    pub ready: Option<(SocketId, Ready)>,
}
impl Host {
    pub fn new(
        seed: u64,
        id: MachineId,
        name: &str,
        config: StackConfig,
        events: EventMask,
    ) -> Self {
        let mut rng = stream(seed, name, "stack");
        let mut pool = Pool::new(id.0);
        let mut events = EventLog::new(events);
        let mut counters = Counters::default();
        let mut cx = Cx {
            now: Instant::ZERO,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        };
        let stack = Stack::new(config, &mut cx);
        Self {
            stack,
            rng,
            pool,
            events,
            counters,
            ready: None,
        }
    }
    /// Runs a verb of the stack at a time.
    pub fn with<R>(&mut self, now: Instant, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.stack, &mut cx)
    }
}

/// The stack's id of a machine's cabled port by its index; 0 is the loopback, which stands behind all of them.
pub(crate) fn port_id(index: usize) -> PortId {
    PortId(u16::try_from(index + 1).unwrap_or(u16::MAX))
}

/// How a stack's port is made.
pub(crate) fn port_config(
    machine: MachineId,
    index: usize,
    name: &str,
    mtu: u32,
    caps: heptad_stack::Caps,
) -> PortConfig {
    PortConfig {
        name: name.into(),
        medium: Medium::Ethernet(mac(machine, index)),
        mtu,
        caps,
        queue_limit: QUEUE_LIMIT,
    }
}

/// Locally administered: 02, the machine's number from 1 (3 bytes), the port's number from 0 (2 bytes).
pub(crate) fn mac(machine: MachineId, port: usize) -> MacAddr {
    let [_, a, b, c] = machine.0.saturating_add(1).to_be_bytes();
    let [d, e] = u16::try_from(port).unwrap_or(u16::MAX).to_be_bytes();
    MacAddr([2, a, b, c, d, e])
}

/// The link-local address that a stack makes of its link address (RFC 4291 appendix A).
pub(crate) fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0.map(u16::from);
    let (high, low) = ((a ^ 2) << 8 | b, e << 8 | f);
    Ipv6Addr::new(0xfe80, 0, 0, 0, high, c << 8 | 0xff, 0xfe00 | d, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_ten_thousand_calls_at_one_instant() {
        let mut patience = Patience::default();
        let at = Instant::from_nanos;
        assert!((0..10_000).all(|_| !patience.is_over(at(5))));
        assert!(patience.is_over(at(5)));
        assert!((0..10_000).all(|_| !patience.is_over(at(5))));
        assert!(!patience.is_over(at(6)), "time moved");
        assert!((0..50_000).all(|n| {
            if n % 9_000 == 0 {
                patience.renew();
            }
            !patience.is_over(at(6))
        }));
    }

    #[test]
    fn the_link_local_address_is_the_one_that_the_stack_makes() {
        let mac = mac(MachineId(7), 3);
        assert_eq!(link_local(mac).to_string(), "fe80::ff:fe08:3");
        let mut host = Host::new(
            1,
            MachineId(7),
            "h",
            StackConfig::default(),
            EventMask::NONE,
        );
        let config = port_config(MachineId(7), 3, "eth3", 1500, heptad_stack::Caps::FRAMES);
        let port = host.stack.add_port(config);
        let address = "fd00::1".parse().expect("an address");
        host.stack.add_address(port, address, 64).expect("is one");
        let all = host.stack.addresses();
        assert!(all.contains(&(port, link_local(mac).into(), 64)), "{all:?}");
    }

    #[test]
    fn hardware_addresses_are_local_and_all_different() {
        let mut all = std::collections::BTreeSet::new();
        for machine in [0, 1, 255, 256, 65_535, 65_536] {
            for port in [0, 1, 255, 256, 4095] {
                let mac = mac(MachineId(machine), port);
                assert!(mac.0[0] == 2 && all.insert(mac), "{mac}");
            }
        }
    }
}
