//! The nodes of a lab that have the kernel's stack, each in a network namespace.
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use heptad_lab::{MachineId, RealCable, Topology};
use heptad_runner::netns::{Door, Files, Place, hand_over, make};
use heptad_runtime::Network;
use heptad_runtime::device::Interface;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::failure::Failure;

/// The interface at a cable of the loopback's: `lo` is the kernel's own.
const LOOPBACKS: &str = "eth0";

/// The ways into them.
#[derive(Default)]
pub struct Namespaces {
    nodes: BTreeMap<MachineId, Node>,
    /// The lab's ends of the channels to those who entered: closed, they tell that the lab is gone.
    guests: Mutex<Vec<OwnedFd>>,
}

struct Node {
    door: Door,
    loopback: bool,
}

impl Namespaces {
    /// Makes the namespace of a node; its cable's end is returned.
    pub fn add(&mut self, topology: &Topology, cable: &RealCable) -> Result<Interface, Failure> {
        let place = place(topology, cable);
        let made = make(&place).map_err(|error| {
            Failure::ours(format!(
                "{}: {error}\nhelp: heptad doctor says what is missing",
                cable.node
            ))
        })?;
        let node = Node {
            door: made.door,
            loopback: place.loopback,
        };
        self.nodes.insert(cable.machine, node);
        Ok(made.cable)
    }

    /// Whether programs of this node enter a namespace.
    pub fn has(&self, machine: MachineId) -> bool {
        self.nodes.contains_key(&machine)
    }

    /// Lets a program in whose front has the other end of the channel.
    pub fn let_in(
        &self,
        network: &Network,
        machine: MachineId,
        channel: OwnedFd,
    ) -> io::Result<()> {
        let node = self.nodes.get(&machine).ok_or(io::ErrorKind::NotFound)?;
        let files = Files::new(network, machine, node.loopback);
        hand_over(&channel, &node.door, &files)?;
        let guests = self.guests.lock();
        let mut guests = guests.unwrap_or_else(PoisonError::into_inner);
        guests.retain(is_open);
        guests.push(channel);
        Ok(())
    }
}

fn is_open(channel: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(channel, PollFlags::empty())];
    let at_once = Timespec::default();
    let polled = poll(&mut fds, Some(&at_once));
    polled.is_ok() && !fds[0].revents().contains(PollFlags::HUP)
}

/// What the lab file says of such a node.
fn place(topology: &Topology, cable: &RealCable) -> Place {
    let node = topology.nodes.get(&cable.node);
    let mut links = topology.links.iter();
    let is_its = |end: &(String, String)| end.0 == cable.node;
    let loopback = links.any(|link| link.is_loopback() && link.ends.iter().any(is_its));
    let addresses = node.and_then(|node| node.addresses.get(&cable.interface));
    let gateways = node.into_iter().flat_map(|node| &node.gateways);
    Place {
        interface: match loopback {
            true => LOOPBACKS.into(),
            false => cable.interface.clone(),
        },
        mac: cable.mac,
        mtu: cable.mtu,
        addresses: addresses.cloned().unwrap_or_default(),
        gateways: gateways.map(|gateway| gateway.address).collect(),
        automatic: node.is_some_and(|node| !node.automatic.is_empty()),
        loopback,
    }
}
