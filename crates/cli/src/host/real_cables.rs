//! The interfaces of the kernel at the ends of a lab's cables: those of this machine that a lab file names, and those of nodes with
//! the kernel's stack.
use heptad_lab::topology::NodeKind;
use heptad_lab::{Lab, MachineId, RealCable, Topology};
use heptad_runtime::Network;
use heptad_runtime::device::{DeviceError, Interface, Kind};

use super::namespaces::Namespaces;
use crate::failure::Failure;

/// All of them.
#[derive(Default)]
pub struct Opened {
    /// What is at the ends of cables.
    pub interfaces: Vec<(MachineId, Interface)>,
    /// Where programs find the kernel's stack.
    pub namespaces: Namespaces,
}

/// Opens all of them and brings them up.
pub fn open(lab: &Lab, topology: &Topology) -> Result<Opened, Failure> {
    let mut opened = Opened::default();
    for cable in lab.real_cables() {
        let interface = match cable.kind {
            NodeKind::Kernel => opened.namespaces.add(topology, &cable)?,
            NodeKind::Tun => of_this_machine(Kind::Tun, &cable)?,
            _ => of_this_machine(Kind::Tap, &cable)?,
        };
        opened.interfaces.push((cable.machine, interface));
    }
    Ok(opened)
}

fn of_this_machine(kind: Kind, cable: &RealCable) -> Result<Interface, Failure> {
    let open = || {
        let interface = Interface::attach(kind, &cable.interface)?;
        interface.bring_up(cable.mtu)?;
        Ok(interface)
    };
    open().map_err(|error| failure(&error))
}

/// From now on frames pass.
pub fn attach(network: &Network, interfaces: Vec<(MachineId, Interface)>) -> Result<(), Failure> {
    for (machine, interface) in interfaces {
        network
            .attach(machine, interface)
            .map_err(|error| failure(&error))?;
    }
    Ok(())
}

/// A name that can't be used is the lab file's fault, all else this machine's.
fn failure(error: &DeviceError) -> Failure {
    let help = error
        .help()
        .map(|help| format!("\nhelp: {help}"))
        .unwrap_or_default();
    let message = format!("{error}{help}");
    match error {
        DeviceError::Name(_) | DeviceError::OtherKind { .. } => Failure::usage(message),
        _ => Failure::ours(message),
    }
}
