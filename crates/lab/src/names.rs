//! Who is called what, and who has which address.
//!
//! Addresses of the file are known from the start. Those that a host makes in a router's prefix are its stack's to tell: they come
//! while the lab runs.
use core::net::IpAddr;

use heptad_stack::stack::{AddressState, Origin};
use heptad_stack::{PortId, Stack};

use crate::topology::is_link_local;
use crate::{Lab, MachineId, MachineInfo};

impl Lab {
    /// By name.
    pub fn machine(&self, name: &str) -> Option<MachineId> {
        self.names.get(name).copied()
    }
    /// All, in order of names.
    pub fn machines(&self) -> Vec<MachineInfo> {
        let info = |(id, name): (MachineId, &str)| MachineInfo {
            id,
            name: name.to_owned(),
            kind: self.machines[id.0 as usize].kind,
            addresses: self.addresses_at(id),
        };
        self.names
            .iter()
            .map(|(name, id)| info((*id, name)))
            .collect()
    }
    /// A name's addresses that mean the same everywhere, those of the file first.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let all = self.machine(name).map(|id| self.addresses_at(id));
        let all = all.into_iter().flatten().map(|(_, address, _)| address);
        all.filter(|address| !is_link_local(*address)).collect()
    }
    /// A name's first address.
    pub fn resolve(&self, name: &str) -> Option<IpAddr> {
        self.addresses(name).first().copied()
    }
    /// Who owns an address. A link-local one has an owner if only one machine of the lab has it.
    pub fn owner(&self, address: IpAddr) -> Option<MachineId> {
        let known = self.owners.get(&address).copied();
        known.or_else(|| match address.is_ipv6() {
            true => self.only_owner(address),
            false => None,
        })
    }
    fn only_owner(&self, address: IpAddr) -> Option<MachineId> {
        let has = |id: &MachineId| {
            let all = self.stack(*id).map(|stack| stack.addresses());
            let mut cables = all
                .into_iter()
                .flatten()
                .filter(|a| a.0 != PortId::LOOPBACK);
            cables.any(|(_, own, _)| own == address)
        };
        let mut owners = self.names.values().copied().filter(has);
        let first = owners.next()?;
        owners.next().is_none().then_some(first)
    }

    /// Whether some host has not yet heard the router that its addresses come from, or still asks others whether they have
    /// its addresses.
    pub fn awaits_addresses(&self) -> bool {
        let mut automatic = self.automatic.iter();
        let mut careful = self.careful.iter().filter_map(|id| self.stack(*id));
        automatic.any(|(id, port)| self.caused_at(*id).iter().all(|(other, ..)| other != port))
            || careful.any(Stack::is_asking_for_addresses)
    }

    /// Port, address and prefix length: those of the file, then those that routers caused.
    fn addresses_at(&self, id: MachineId) -> Vec<(String, IpAddr, u8)> {
        let mut all = self.addresses[id.0 as usize].clone();
        all.extend(self.caused_at(id));
        all
    }
    fn caused_at(&self, id: MachineId) -> Vec<(String, IpAddr, u8)> {
        let Some(stack) = self.stack(id) else {
            return Vec::new();
        };
        let mut caused = Vec::new();
        for (port, address) in stack.ipv6_addresses() {
            let automatic = matches!(address.origin, Origin::Stable | Origin::Temporary);
            if automatic && address.state != AddressState::Duplicate {
                let name = stack.port_name(port).unwrap_or_default();
                caused.push((name.into(), address.ip.into(), address.len));
            }
        }
        caused
    }
}
