//! Sets of nodes whose packets of IP do not reach each other, while it lasts.
//!
//! What counts is who made a packet and for whom it is, by its addresses, and who hands it on to whom: so a partition holds behind switches
//! and routers too, and a packet that is for somebody beyond it is swallowed by the first cable. ARP passes.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use heptad_stack::wire::PacketBuf;
use heptad_stack::{Instant, PortId};

use crate::faults::FaultRow;
use crate::link::ip_ends;
use crate::script::InForce;
use crate::topology::{Division, Partition};
use crate::{Lab, LabError, MachineId};

/// Every partition so far.
#[derive(Default)]
pub(crate) struct Partitions {
    all: Vec<Standing>,
    standing: usize,
}

struct Standing {
    asked: Partition,
    since: Instant,
    until: Option<Instant>,
    /// In which set a machine is.
    machines: BTreeMap<MachineId, usize>,
    addresses: BTreeMap<IpAddr, usize>,
    swallowed: u64,
}

impl Partitions {
    /// Whether any stands. O(1).
    pub fn stand(&self) -> bool {
        self.standing > 0
    }
    /// A frame leaves a machine for the one at the other end of a cable: the partition that swallows it.
    pub fn swallows(
        &mut self,
        frame: &mut PacketBuf,
        [from, to]: [MachineId; 2],
        link_header: usize,
    ) -> Option<String> {
        let (src, dst) = ip_ends(frame, link_header)?;
        let standing = self.all.iter_mut().filter(|one| one.until.is_none());
        for one in standing {
            let by = |machine: &MachineId, address: &IpAddr| {
                let machine = one.machines.get(machine);
                [machine, one.addresses.get(address)].map(Option::<&usize>::copied)
            };
            let sent = by(&from, &src).into_iter().flatten();
            let heard = by(&to, &dst);
            let mut pairs = sent.flat_map(|a| heard.into_iter().flatten().map(move |b| (a, b)));
            let parts = |(a, b): (usize, usize)| if one.asked.one_way { a < b } else { a != b };
            if pairs.any(parts) {
                one.swallowed += 1;
                return Some(format!("partition: {}", one.asked.name));
            }
        }
        None
    }
    /// Names of those so far.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|one| one.asked.name.as_str())
    }
    /// Ends that of a name, or all; how many.
    pub fn end(&mut self, name: Option<&str>, now: Instant) -> usize {
        let mut ended = 0;
        for one in &mut self.all {
            let named = name.is_none_or(|name| name == one.asked.name);
            if named && one.until.is_none() {
                one.until = Some(now);
                ended += 1;
            }
        }
        self.standing -= ended;
        ended
    }
    /// Those that stand.
    pub fn in_force(&self) -> impl Iterator<Item = InForce> + '_ {
        let standing = self.all.iter().filter(|one| one.until.is_none());
        standing.map(|one| InForce {
            name: one.asked.name.clone(),
            link: None,
            what: one.asked.to_string(),
            applied: one.swallowed,
            n: one.swallowed,
        })
    }
    /// What each swallowed.
    pub fn rows(&self) -> impl Iterator<Item = FaultRow> + '_ {
        self.all.iter().map(|one| {
            let seconds = |at: Instant| at.as_nanos() as f64 / 1e9;
            let until = one.until.map(|at| format!(" to {:.3} s", seconds(at)));
            FaultRow {
                link: one.asked.name.clone(),
                direction: one.asked.to_string(),
                kind: if one.asked.one_way {
                    "blackhole"
                } else {
                    "partition"
                },
                asked: format!(
                    "from {:.3} s{}",
                    seconds(one.since),
                    until.unwrap_or_default()
                ),
                probability: None,
                applied: one.swallowed,
                n: one.swallowed,
                missing: 0,
                // Nobody has to try.
                passed: 0,
            }
        })
    }
}

/// `a b ↔ c`; `a → b`
impl core::fmt::Display for Partition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let set = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
        let sets: Vec<_> = self.sets.iter().map(set).collect();
        f.write_str(&sets.join(if self.one_way { " → " } else { " ↔ " }))
    }
}

impl Lab {
    /// Begins or ends a partition now. Addresses are those that the nodes have now.
    pub fn divide(&mut self, division: &Division) -> Result<(), LabError> {
        let part = match division {
            Division::Heal(name) => {
                let ended = self.fabric.partitions.end(name.as_deref(), self.now);
                return match name {
                    Some(name) if ended == 0 => Err(LabError::Impossible(format!(
                        "no partition named {name} stands"
                    ))),
                    _ => Ok(()),
                };
            }
            Division::Part(part) => part,
        };
        let (mut machines, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        for (set, names) in part.sets.iter().enumerate() {
            for name in names {
                let id = self.machine(name);
                let id = id.ok_or_else(|| LabError::NoNode(name.clone()))?;
                machines.insert(id, set);
                addresses.extend(self.every_address(id).into_iter().map(|ip| (ip, set)));
            }
        }
        self.fabric.partitions.all.push(Standing {
            asked: part.clone(),
            since: self.now,
            until: None,
            machines,
            addresses,
            swallowed: 0,
        });
        self.fabric.partitions.standing += 1;
        Ok(())
    }
    fn every_address(&self, id: MachineId) -> Vec<IpAddr> {
        let of_file = self.addresses.get(id.0 as usize).into_iter().flatten();
        let mut all: Vec<IpAddr> = of_file.map(|(_, address, _)| *address).collect();
        let stack = self.stack(id).map(|stack| stack.addresses());
        let on_cables = stack
            .into_iter()
            .flatten()
            .filter(|a| a.0 != PortId::LOOPBACK);
        all.extend(on_cables.map(|(_, address, _)| address));
        all
    }
}
