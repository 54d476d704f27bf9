//! What a switch knows of groups, for people.
use core::net::IpAddr;

use heptad_stack::Instant;
use heptad_stack::time::Duration;

use super::groups::GROUP_BOUND;
use super::snooping::Snooping;
use crate::machine::Body;
use crate::{Lab, MachineId};

/// What a switch knows of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchGroups {
    /// Who wants which group, in order of groups and ports.
    pub groups: Vec<SnoopedGroup>,
    /// Ports that get every group, in order.
    pub routers: Vec<SnoopedRouter>,
    /// Who asks, in each family at most one.
    pub queriers: Vec<SnoopedQuerier>,
    /// Most groups that it remembers.
    pub bound: usize,
    /// Reports that found no room.
    pub refused: u64,
}

/// A group with members behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnoopedGroup {
    /// The group.
    pub group: IpAddr,
    /// The port's name.
    pub port: String,
    /// How long it is remembered if the members fall silent.
    pub left: Duration,
}

/// A port behind which somebody gets every group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnoopedRouter {
    /// The port's name.
    pub port: String,
    /// How long it is remembered if whoever asked there falls silent; `None`: for good.
    pub left: Option<Duration>,
}

/// Who asks for the members of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnoopedQuerier {
    /// Its address; unspecified if it has none.
    pub address: IpAddr,
    /// Whether it is the switch itself.
    pub own: bool,
    /// Whether members had time to answer: frames of groups go to members only.
    pub settled: bool,
}

impl Lab {
    /// What a switch knows of groups at present; `None` for other machines, and for a switch that does not snoop.
    pub fn switch_groups(&self, machine: MachineId) -> Option<SwitchGroups> {
        let machine = self.machines.get(machine.0 as usize)?;
        let Body::Switch(switch) = &machine.body else {
            return None;
        };
        let name = |port: usize| machine.ports.get(port).map_or("", |p| &p.name).to_owned();
        let snooping = switch.snooping.as_ref()?;
        Some(snooping.show(self.now, name))
    }
}

impl Snooping {
    fn show(&self, now: Instant, name: impl Fn(usize) -> String) -> SwitchGroups {
        let groups = self.groups.all(now);
        SwitchGroups {
            groups: groups
                .map(|(group, port, until)| SnoopedGroup {
                    group,
                    port: name(port),
                    left: until.since(now),
                })
                .collect(),
            routers: self.show_routers(now, name),
            queriers: self.show_queriers(now),
            bound: GROUP_BOUND,
            refused: self.groups.refused(),
        }
    }
    fn show_routers(&self, now: Instant, name: impl Fn(usize) -> String) -> Vec<SnoopedRouter> {
        let mut ports: std::collections::BTreeMap<usize, Option<Instant>> =
            self.silent.iter().map(|port| (*port, None)).collect();
        for (port, until) in self.sides.iter().flat_map(|side| &side.routers) {
            let known = ports.entry(*port).or_insert(Some(*until));
            *known = known.map(|known| known.max(*until));
        }
        let alive = ports
            .into_iter()
            .filter(|(_, until)| until.is_none_or(|until| until > now));
        alive
            .map(|(port, until)| SnoopedRouter {
                port: name(port),
                left: until.map(|until| until.since(now)),
            })
            .collect()
    }
    fn show_queriers(&self, now: Instant) -> Vec<SnoopedQuerier> {
        let one = |side: &super::snooping::Side| {
            let asker = side.querier.asker(now)?;
            Some(SnoopedQuerier {
                address: asker.address,
                own: side.querier.asks(now).is_some(),
                settled: side.querier.is_settled(now),
            })
        };
        self.sides.iter().filter_map(one).collect()
    }
}
