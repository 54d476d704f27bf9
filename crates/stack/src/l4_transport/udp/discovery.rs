//! Whether datagrams may be fragmented, and which MTU counts (ip(7): IP_MTU_DISCOVER, ipv6(7): IPV6_MTU_DISCOVER; RFC 1191).
use core::net::IpAddr;

use super::Settings;

/// What a socket wants of path MTU discovery, in the order of Linux's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuDiscovery {
    /// Routers may fragment; what is longer than the way allows is fragmented here.
    #[default]
    Dont,
    /// Routers may not; what is longer is fragmented here, and routers may go on with that.
    Want,
    /// Nobody may: what is longer is refused.
    Do,
    /// The same, and what routers told of the way does not count: only our own link does.
    Probe,
    /// What is longer than our own link allows is refused; routers may fragment. What they told does not count.
    Interface,
    /// The same, and what is longer is fragmented here.
    Omit,
}
impl MtuDiscovery {
    /// All, by Linux's numbers.
    pub const ALL: [Self; 6] = [
        Self::Dont,
        Self::Want,
        Self::Do,
        Self::Probe,
        Self::Interface,
        Self::Omit,
    ];
    /// Whether only our own link's MTU counts.
    pub fn is_of_link(self) -> bool {
        matches!(self, Self::Probe | Self::Interface | Self::Omit)
    }
    /// Whether routers are forbidden to fragment a packet; `None`: it is refused.
    pub(in crate::l4_transport) fn forbids(self, too_long: bool) -> Option<bool> {
        match self {
            Self::Dont | Self::Omit => Some(false),
            Self::Want => Some(!too_long),
            Self::Do | Self::Probe => (!too_long).then_some(true),
            Self::Interface => (!too_long).then_some(false),
        }
    }
}

impl Settings {
    /// What it wants for packets to an address.
    pub(in crate::l4_transport) fn discovery_to(&self, ip: IpAddr) -> MtuDiscovery {
        match ip {
            _ if self.dont_fragment => MtuDiscovery::Do,
            IpAddr::V4(_) => self.discovery,
            IpAddr::V6(_) => self.discovery_v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_fragment_is_as_linux_has_it() {
        use MtuDiscovery::*;
        // DF of what fits, DF of what does not (`None`: refused), whether only the link counts.
        let table = [
            (Dont, Some(false), Some(false), false),
            (Want, Some(true), Some(false), false),
            (Do, Some(true), None, false),
            (Probe, Some(true), None, true),
            (Interface, Some(false), None, true),
            (Omit, Some(false), Some(false), true),
        ];
        for (mode, fits, too_long, of_link) in table {
            assert_eq!(mode.forbids(false), fits, "{mode:?}");
            assert_eq!(mode.forbids(true), too_long, "{mode:?}");
            assert_eq!(mode.is_of_link(), of_link, "{mode:?}");
        }
        assert_eq!(MtuDiscovery::ALL, table.map(|row| row.0));
    }
}
