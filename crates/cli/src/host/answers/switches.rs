//! What switches know of groups.
use heptad_lab::topology::NodeKind;
use heptad_lab::{MachineInfo, SwitchGroups};
use heptad_stack::time::Duration;

use super::Answers;
use crate::control::{Answer, NodeSwitchGroups, SwitchGroupRow, SwitchQuerierRow, SwitchRouterRow};

impl Answers {
    pub(super) fn switch_groups(&self, node: Option<&str>) -> Result<Answer, String> {
        let switches = self.switches(node)?;
        let look = |switch: &MachineInfo| {
            let known = self.network.lab(|lab| lab.switch_groups(switch.id))?;
            Some(rows(switch, known))
        };
        let nodes = switches.iter().filter_map(look).collect();
        Ok(Answer::SwitchGroups { nodes })
    }
    /// The switch of this name, or all.
    fn switches(&self, node: Option<&str>) -> Result<Vec<MachineInfo>, String> {
        let mut all = self.network.lab(|lab| lab.machines());
        all.retain(|machine| machine.kind == NodeKind::Switch);
        let Some(name) = node else {
            return Ok(all);
        };
        let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
        let there = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let lab = &self.name;
        let message = format!("no switch named {name} in the lab {lab}; {there}");
        all.retain(|switch| switch.name == name);
        if all.is_empty() {
            return Err(message);
        }
        Ok(all)
    }
}

fn rows(switch: &MachineInfo, known: SwitchGroups) -> NodeSwitchGroups {
    let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let group = |row: heptad_lab::SnoopedGroup| SwitchGroupRow {
        port: row.port,
        group: row.group,
        left: millis(row.left),
    };
    let router = |row: heptad_lab::SnoopedRouter| SwitchRouterRow {
        port: row.port,
        left: row.left.map(millis),
    };
    let querier = |row: heptad_lab::SnoopedQuerier| SwitchQuerierRow {
        address: row.address,
        own: row.own,
        settled: row.settled,
    };
    NodeSwitchGroups {
        node: switch.name.clone(),
        index: u64::from(switch.id.0) + 1,
        groups: known.groups.into_iter().map(group).collect(),
        routers: known.routers.into_iter().map(router).collect(),
        queriers: known.queriers.into_iter().map(querier).collect(),
        refused: known.refused,
    }
}
