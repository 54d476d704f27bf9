//! Socket options of Linux that the C library crate does not name (`linux/in.h`, `linux/in6.h`, `linux/tcp.h`, `asm/socket.h`,
//! `linux/net_tstamp.h`).

/// `IPPROTO_IP`: the filter of a group.
pub const IP_MSFILTER: i32 = 41;
/// `IPPROTO_IP`, `IPPROTO_IPV6`: joins a group. It is the first of the seven that name groups, [`MCAST_MSFILTER`] the last.
pub const MCAST_JOIN_GROUP: i32 = 42;
/// Hears no more of a source.
pub const MCAST_BLOCK_SOURCE: i32 = 43;
/// Hears of it again.
pub const MCAST_UNBLOCK_SOURCE: i32 = 44;
/// Leaves a group.
pub const MCAST_LEAVE_GROUP: i32 = 45;
/// Joins a group for one source.
pub const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
/// Leaves it.
pub const MCAST_LEAVE_SOURCE_GROUP: i32 = 47;
/// The filter of a group.
pub const MCAST_MSFILTER: i32 = 48;
/// `IPPROTO_IP`: the interface of what is sent.
pub const IP_UNICAST_IF: i32 = 50;
/// `IPPROTO_IPV6`: the same.
pub const IPV6_UNICAST_IF: i32 = 76;
/// `IPPROTO_IPV6`: the path MTU of a connected socket.
pub const IPV6_PATHMTU: i32 = 61;
/// `IPPROTO_TCP`: figures of the congestion control.
pub const TCP_CC_INFO: i32 = 26;
/// Level of raw sockets of IPv4.
pub const SOL_RAW: i32 = 255;
/// Level of ICMPv6.
pub const SOL_ICMPV6: i32 = 58;
/// `SOL_RAW`: which types of ICMP a socket does not hear.
pub const ICMP_FILTER: i32 = 1;
/// `IPPROTO_IPV6`, `SOL_RAW`: where a checksum stands.
pub const IPV6_CHECKSUM: i32 = 7;
/// `SOL_SOCKET`: times of arrival whose seconds have 64 bits on every machine, in microseconds.
pub const SO_TIMESTAMP_NEW: i32 = 63;
/// In nanoseconds.
pub const SO_TIMESTAMPNS_NEW: i32 = 64;
/// As flags ask for them.
pub const SO_TIMESTAMPING_NEW: i32 = 65;
/// `SO_TIMESTAMPING`: times are taken of what comes.
pub const SOF_TIMESTAMPING_RX_SOFTWARE: i32 = 1 << 3;
/// And told.
pub const SOF_TIMESTAMPING_SOFTWARE: i32 = 1 << 4;
