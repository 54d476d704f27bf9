//! Sockets that are bound to a port of the host (SO_BINDTODEVICE): what they hear and by which way they speak.
use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Settings, Udp};
use crate::l1_physical::PortId;

impl Settings {
    /// Whether it hears what comes in by a port.
    pub(in crate::l4_transport) fn is_open_to(&self, port: PortId) -> bool {
        self.device.is_none_or(|device| device == port)
    }
    /// The port that a packet to one host leaves by, where routes found this one for it; `None`: routes say when it leaves.
    pub(super) fn speaks_by(&self, found: PortId) -> Option<PortId> {
        self.device.map(|device| match found {
            // To this host itself: by the port that has the address.
            PortId::LOOPBACK => device,
            found => found,
        })
    }
}

impl Udp {
    /// Those of a list that hear what comes in by a port: those that are bound to it before those that are bound to none.
    pub(super) fn open_to<'a>(&self, list: &'a [u32], by: Option<PortId>) -> Cow<'a, [u32]> {
        let Some(by) = by.filter(|_| self.knows_devices) else {
            return list.into();
        };
        let bound_to = |device: Option<PortId>| -> Vec<u32> {
            let of = |index: &&u32| {
                let endpoint = self.endpoints.get(**index);
                endpoint.is_some_and(|endpoint| endpoint.settings.device == device)
            };
            list.iter().filter(of).copied().collect()
        };
        let own = bound_to(Some(by));
        match own.is_empty() {
            true => bound_to(None).into(),
            false => own.into(),
        }
    }
}
