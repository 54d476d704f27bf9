//! How the two ends of a datagram socket in the guard's room (`exec/room`) tell datagrams apart: by **marks** in fields of the IP
//! header that mean nothing on that loopback, the hop limit and the traffic class. A mark says which datagram of the
//! lab's it is that the program reads.

use std::net::IpAddr;

/// The traffic class of what only asks whether the program's socket is still there.
pub const LEFT_OUT: u8 = 255;

/// Different marks.
pub const MARKS: u32 = 255 * 255;

/// Numbers of options and of control messages, by the family of the socket (ip(7), ipv6(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// `IPPROTO_IP`, `IPPROTO_IPV6`.
    pub level: i32,
    /// The hop limit, as a control message.
    pub low: i32,
    /// The traffic class, as a control message.
    pub high: i32,
    /// The option that asks for the hop limit.
    pub wants_low: i32,
    /// The option that asks for the traffic class.
    pub wants_high: i32,
}

impl Level {
    /// Of a socket with such an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self {
                level: libc::IPPROTO_IP,
                low: libc::IP_TTL,
                high: libc::IP_TOS,
                wants_low: libc::IP_RECVTTL,
                wants_high: libc::IP_RECVTOS,
            },
            IpAddr::V6(_) => Self {
                level: libc::IPPROTO_IPV6,
                low: libc::IPV6_HOPLIMIT,
                high: libc::IPV6_TCLASS,
                wants_low: libc::IPV6_RECVHOPLIMIT,
                wants_high: libc::IPV6_RECVTCLASS,
            },
        }
    }
}

/// Hop limit (never 0) and traffic class (never [`LEFT_OUT`]) of a mark below [`MARKS`].
pub fn fields(mark: u32) -> (u8, u8) {
    let (high, low) = (mark / 255, mark % 255);
    (low as u8 + 1, high as u8)
}

/// The mark of such fields.
pub fn mark(hop_limit: u8, class: u8) -> u32 {
    u32::from(class) * 255 + u32::from(hop_limit.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_comes_back_and_none_is_the_one_that_is_left_out() {
        for wanted in 0..MARKS {
            let (hop_limit, class) = fields(wanted);
            assert!(hop_limit > 0 && class != LEFT_OUT, "{wanted}");
            assert_eq!(mark(hop_limit, class), wanted);
        }
    }
}
