//! The interfaces of this machine that a lab file names.
use heptad_lab::topology::NodeKind;
use heptad_lab::{Lab, MachineId};
use heptad_runtime::Network;
use heptad_runtime::device::{DeviceError, Interface, Kind};

use crate::failure::Failure;

/// Opens all of them and brings them up.
pub fn open(lab: &Lab) -> Result<Vec<(MachineId, Interface)>, Failure> {
    let cables = lab.real_cables().into_iter();
    let open = |cable: heptad_lab::RealCable| {
        let kind = match cable.kind {
            NodeKind::Tun => Kind::Tun,
            _ => Kind::Tap,
        };
        let interface = Interface::attach(kind, &cable.interface)?;
        interface.bring_up(cable.mtu)?;
        Ok((cable.machine, interface))
    };
    cables
        .map(open)
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))
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
