//! The groups of one socket, as Linux lets a program join, leave and filter them (ip(7), ipv6(7), RFC 3678).
use alloc::vec::Vec;
use core::net::IpAddr;

use super::filter::{Filter, Mode};
use crate::l1_physical::PortId;
use crate::l3_network::zone;

/// What a program asks of one group on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP, MCAST_JOIN_GROUP: any source.
    Join,
    /// IP_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP, MCAST_LEAVE_GROUP.
    Leave,
    /// IP_ADD_SOURCE_MEMBERSHIP, MCAST_JOIN_SOURCE_GROUP: this source, and those that were joined so before.
    JoinSource(IpAddr),
    /// IP_DROP_SOURCE_MEMBERSHIP, MCAST_LEAVE_SOURCE_GROUP; the last source takes the group along.
    LeaveSource(IpAddr),
    /// IP_BLOCK_SOURCE, MCAST_BLOCK_SOURCE: any but this one.
    Block(IpAddr),
    /// IP_UNBLOCK_SOURCE, MCAST_UNBLOCK_SOURCE.
    Unblock(IpAddr),
    /// IP_MSFILTER, MCAST_MSFILTER: all at once.
    Replace(Filter),
}

/// Why a program does not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipError {
    /// Joined already.
    Already,
    /// Not joined, or a source that is not in the list (or is there already, as Linux has it).
    Absent,
    /// Sources of a group that was not joined, or joined the other way.
    Invalid,
    /// Beyond a bound.
    Full,
}

/// What one socket has joined.
#[derive(Clone, Debug, Default)]
pub struct Memberships {
    list: Vec<(PortId, IpAddr, Filter)>,
}

/// Most memberships and most sources of each (Linux: igmp_max_memberships and igmp_max_msf; IPv6 bounds memberships by
/// memory only, and has mld_max_msf).
const fn bounds(group: IpAddr) -> (usize, usize) {
    match group {
        IpAddr::V4(_) => (20, 10),
        IpAddr::V6(_) => (256, 64),
    }
}

impl Memberships {
    /// None.
    pub const NONE: Self = Self { list: Vec::new() };
    /// Which sources of a group on a link it hears; `None`: not joined.
    pub fn filter(&self, port: PortId, group: IpAddr) -> Option<&Filter> {
        let mut list = self.list.iter();
        let found = list.find(|(at, ip, _)| (*at, *ip) == (port, group));
        found.map(|(_, _, filter)| filter)
    }
    /// Whether what a source sent to an address, a group or not, is heard; `unjoined` tells of groups that are not joined here.
    /// Linux: ip_mc_sf_allow, inet6_mc_check.
    pub fn hears(&self, port: PortId, dst: IpAddr, source: IpAddr, unjoined: bool) -> bool {
        if !dst.is_multicast() {
            return true;
        }
        match self.filter(port, zone::bare_ip(dst)) {
            Some(filter) => filter.passes(zone::bare_ip(source)),
            None => unjoined,
        }
    }
    /// Puts a filter in its place; `None`: the group is left.
    pub fn set(&mut self, port: PortId, group: IpAddr, filter: Option<Filter>) {
        self.list.retain(|(at, ip, _)| (*at, *ip) != (port, group));
        self.list.extend(filter.map(|filter| (port, group, filter)));
    }
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &(PortId, IpAddr, Filter)> {
        self.list.iter()
    }
    /// A link on which a group was joined.
    pub fn port_of(&self, group: IpAddr) -> Option<PortId> {
        let mut list = self.list.iter();
        list.find(|(_, ip, _)| *ip == group).map(|(port, ..)| *port)
    }
    /// The filter that a group has after what is asked; `None`: it is left.
    pub fn after(
        &self,
        port: PortId,
        group: IpAddr,
        asked: Membership,
    ) -> Result<Option<Filter>, MembershipError> {
        let (most, most_sources) = bounds(group);
        let present = self.filter(port, group).cloned();
        let joined = present.clone().ok_or(MembershipError::Invalid);
        let family = self
            .list
            .iter()
            .filter(|(_, ip, _)| ip.is_ipv4() == group.is_ipv4());
        let is_full = present.is_none() && family.count() >= most;
        match asked {
            Membership::Join if present.is_some() => Err(MembershipError::Already),
            Membership::Join | Membership::JoinSource(_) if is_full => Err(MembershipError::Full),
            Membership::Join => Ok(Some(Filter::EVERYTHING)),
            Membership::Leave => present.map(|_| None).ok_or(MembershipError::Absent),
            Membership::JoinSource(source) => {
                let filter = present.unwrap_or(Filter::NOTHING);
                with(filter, Mode::Include, source, most_sources).map(Some)
            }
            Membership::Block(source) => {
                with(joined?, Mode::Exclude, source, most_sources).map(Some)
            }
            Membership::Unblock(source) => without(joined?, Mode::Exclude, source).map(Some),
            Membership::LeaveSource(source) => {
                let filter = without(joined?, Mode::Include, source)?;
                Ok(Some(filter).filter(|filter| *filter != Filter::NOTHING))
            }
            Membership::Replace(filter) if filter.sources.len() > most_sources => {
                Err(MembershipError::Full)
            }
            Membership::Replace(filter) => {
                joined.map(|_| Some(filter).filter(|filter| *filter != Filter::NOTHING))
            }
        }
    }
}

/// A filter of this mode; an empty one may change sides, as on Linux.
fn sided(filter: Filter, mode: Mode) -> Result<Filter, MembershipError> {
    match filter.mode == mode || filter.sources.is_empty() {
        true => Ok(Filter { mode, ..filter }),
        false => Err(MembershipError::Invalid),
    }
}
fn with(filter: Filter, mode: Mode, ip: IpAddr, most: usize) -> Result<Filter, MembershipError> {
    let mut filter = sided(filter, mode)?;
    if filter.sources.len() >= most {
        return Err(MembershipError::Full);
    }
    match filter.sources.insert(ip) {
        true => Ok(filter),
        false => Err(MembershipError::Absent),
    }
}
fn without(filter: Filter, mode: Mode, ip: IpAddr) -> Result<Filter, MembershipError> {
    let mut filter = sided(filter, mode)?;
    match filter.sources.remove(&ip) {
        true => Ok(filter),
        false => Err(MembershipError::Absent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Membership::*;

    const GROUP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(239, 1, 2, 3));

    fn source(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }
    fn filter(mode: Mode, sources: &[u8]) -> Option<Filter> {
        Some(Filter {
            mode,
            sources: sources.iter().map(|n| source(*n)).collect(),
        })
    }

    #[test]
    fn what_is_asked_is_answered_as_linux_answers_it() {
        use Mode::{Exclude, Include};
        let (any, none) = (filter(Exclude, &[]), None);
        let rows = [
            (&none, Join, Ok(any.clone())),
            (&any, Join, Err(MembershipError::Already)),
            (&none, Leave, Err(MembershipError::Absent)),
            (&any, Leave, Ok(None)),
            (&none, JoinSource(source(1)), Ok(filter(Include, &[1]))),
            // Joined for any source, and then for one: an empty list changes sides.
            (&any, JoinSource(source(1)), Ok(filter(Include, &[1]))),
            (
                &filter(Include, &[1]),
                JoinSource(source(2)),
                Ok(filter(Include, &[1, 2])),
            ),
            (
                &filter(Include, &[1]),
                JoinSource(source(1)),
                Err(MembershipError::Absent),
            ),
            (&filter(Include, &[1]), LeaveSource(source(1)), Ok(None)),
            (
                &filter(Include, &[1]),
                LeaveSource(source(2)),
                Err(MembershipError::Absent),
            ),
            (&none, LeaveSource(source(1)), Err(MembershipError::Invalid)),
            (&any, Block(source(1)), Ok(filter(Exclude, &[1]))),
            (&none, Block(source(1)), Err(MembershipError::Invalid)),
            (
                &filter(Include, &[1]),
                Block(source(2)),
                Err(MembershipError::Invalid),
            ),
            (&filter(Exclude, &[1]), Unblock(source(1)), Ok(any.clone())),
            (&any, Unblock(source(1)), Err(MembershipError::Absent)),
            (
                &filter(Exclude, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
                Block(source(11)),
                Err(MembershipError::Full),
            ),
            (
                &any,
                Replace(filter(Include, &[1, 2]).unwrap()),
                Ok(filter(Include, &[1, 2])),
            ),
            (&any, Replace(Filter::NOTHING), Ok(None)),
            (
                &none,
                Replace(Filter::EVERYTHING),
                Err(MembershipError::Invalid),
            ),
        ];
        for (before, asked, expected) in rows {
            let mut memberships = Memberships::default();
            memberships.set(PortId(1), GROUP, before.clone());
            let after = memberships.after(PortId(1), GROUP, asked.clone());
            assert_eq!(after, expected, "{before:?} {asked:?}");
        }
    }

    #[test]
    fn a_socket_joins_twenty_groups_of_ipv4_and_no_more() {
        let mut memberships = Memberships::default();
        for n in 0..20 {
            let group = [239, 0, 0, n].into();
            let after = memberships.after(PortId(1), group, Join).unwrap();
            memberships.set(PortId(1), group, after);
        }
        for asked in [Join, JoinSource(source(1))] {
            let after = memberships.after(PortId(1), GROUP, asked);
            assert_eq!(after, Err(MembershipError::Full));
        }
        let v6 = memberships.after(PortId(1), "ff15::1".parse().unwrap(), Join);
        assert_eq!(v6, Ok(Some(Filter::EVERYTHING)));
    }
}
