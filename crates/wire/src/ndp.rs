//! Neighbour discovery (RFC 4861) with RDNSS (RFC 8106): ICMPv6 messages 133 to 137 and their options.
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::ipv6::address;
use crate::{MacAddr, ParseError};

/// Types of the messages.
pub mod kind {
    /// Router solicitation
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbour solicitation
    pub const NEIGHBOUR_SOLICIT: u8 = 135;
    /// Neighbour advertisement
    pub const NEIGHBOUR_ADVERT: u8 = 136;
    /// Redirect
    pub const REDIRECT: u8 = 137;
}

/// One message: ICMPv6's four first bytes are not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ndp {
    /// Who is a router here?
    RouterSolicit {
        /// Its options.
        options: Options,
    },
    /// I am.
    RouterAdvert {
        /// What it says of itself.
        router: RouterAdvert,
        /// Its options.
        options: Options,
    },
    /// Who has this address?
    NeighbourSolicit {
        /// The address.
        target: Ipv6Addr,
        /// Its options.
        options: Options,
    },
    /// I have it.
    NeighbourAdvert {
        /// The address.
        target: Ipv6Addr,
        /// The sender is a router.
        router: bool,
        /// It answers a question.
        solicited: bool,
        /// What was known before gives way.
        overrides: bool,
        /// Its options.
        options: Options,
    },
    /// There is a better first hop.
    Redirect {
        /// The better one; the destination itself if it is on-link.
        target: Ipv6Addr,
        /// For this destination.
        destination: Ipv6Addr,
        /// Its options.
        options: Options,
    },
}

/// The fixed fields of a router advertisement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvert {
    /// What hosts should send with; 0: not told.
    pub hop_limit: u8,
    /// Addresses come from DHCPv6.
    pub managed: bool,
    /// Other things come from DHCPv6.
    pub other: bool,
    /// How long it is a default router, seconds; 0: it is none.
    pub lifetime: u16,
    /// Milliseconds; 0: not told.
    pub reachable_time: u32,
    /// Milliseconds; 0: not told.
    pub retrans_timer: u32,
}

/// A prefix on the link (RFC 4861 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInfo {
    /// Bits.
    pub len: u8,
    /// Addresses in it are on this link.
    pub on_link: bool,
    /// Hosts may make addresses in it.
    pub autonomous: bool,
    /// Seconds; all ones: for ever.
    pub valid: u32,
    /// Seconds; all ones: for ever.
    pub preferred: u32,
    /// The prefix.
    pub prefix: Ipv6Addr,
}

/// The options of a message; those that are not known are left out (RFC 4861 4.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Link address of the sender.
    pub source: Option<MacAddr>,
    /// Link address of the target.
    pub target: Option<MacAddr>,
    /// Prefixes.
    pub prefixes: Vec<PrefixInfo>,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// Recursive resolvers with their lifetime in seconds.
    pub rdnss: Vec<(u32, Vec<Ipv6Addr>)>,
    /// RFC 3971's nonce as RFC 7527 uses it, to know one's own question again.
    pub nonce: Option<[u8; 6]>,
}

/// Most prefixes, and most lists of resolvers, that are read of one message.
const MOST: usize = 32;

impl Ndp {
    /// Reads what stands behind type, code and checksum of a message of type `kind`; `BadVersion` for another type,
    /// `BadLength` for an option of length zero or beyond the end.
    pub fn parse(kind: u8, bytes: &[u8]) -> Result<Self, ParseError> {
        let (word, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or(ParseError::Truncated)?;
        match kind {
            kind::ROUTER_SOLICIT => Ok(Self::RouterSolicit {
                options: Options::parse(rest)?,
            }),
            kind::ROUTER_ADVERT => {
                let (times, options) =
                    rest.split_first_chunk::<8>().ok_or(ParseError::Truncated)?;
                Ok(Self::RouterAdvert {
                    router: RouterAdvert::parse(*word, *times),
                    options: Options::parse(options)?,
                })
            }
            kind::NEIGHBOUR_SOLICIT => {
                let (target, options) = address_first(rest)?;
                Ok(Self::NeighbourSolicit { target, options })
            }
            kind::NEIGHBOUR_ADVERT => {
                let (target, options) = address_first(rest)?;
                Ok(Self::NeighbourAdvert {
                    target,
                    router: word[0] & 0x80 != 0,
                    solicited: word[0] & 0x40 != 0,
                    overrides: word[0] & 0x20 != 0,
                    options,
                })
            }
            kind::REDIRECT => {
                let target = address(rest)?;
                let (destination, options) = address_first(rest.get(16..).unwrap_or_default())?;
                Ok(Self::Redirect {
                    target,
                    destination,
                    options,
                })
            }
            _ => Err(ParseError::BadVersion),
        }
    }
    /// The type of the message.
    pub fn kind(&self) -> u8 {
        match self {
            Self::RouterSolicit { .. } => kind::ROUTER_SOLICIT,
            Self::RouterAdvert { .. } => kind::ROUTER_ADVERT,
            Self::NeighbourSolicit { .. } => kind::NEIGHBOUR_SOLICIT,
            Self::NeighbourAdvert { .. } => kind::NEIGHBOUR_ADVERT,
            Self::Redirect { .. } => kind::REDIRECT,
        }
    }
    /// The whole ICMPv6 message, its checksum field zero.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = alloc::vec![self.kind(), 0, 0, 0];
        let options = match self {
            Self::RouterSolicit { options } => {
                out.extend([0; 4]);
                options
            }
            Self::RouterAdvert { router, options } => {
                router.emit(&mut out);
                options
            }
            Self::NeighbourSolicit { target, options } => {
                out.extend([0; 4]);
                out.extend(target.octets());
                options
            }
            Self::NeighbourAdvert {
                target,
                router,
                solicited,
                overrides,
                options,
            } => {
                let flags =
                    u8::from(*router) << 7 | u8::from(*solicited) << 6 | u8::from(*overrides) << 5;
                out.extend([flags, 0, 0, 0]);
                out.extend(target.octets());
                options
            }
            Self::Redirect {
                target,
                destination,
                options,
            } => {
                out.extend([0; 4]);
                out.extend(target.octets());
                out.extend(destination.octets());
                options
            }
        };
        options.emit(&mut out);
        out
    }
}

impl RouterAdvert {
    fn parse(word: [u8; 4], times: [u8; 8]) -> Self {
        let [hop_limit, flags, l0, l1] = word;
        let [r0, r1, r2, r3, t0, t1, t2, t3] = times;
        Self {
            hop_limit,
            managed: flags & 0x80 != 0,
            other: flags & 0x40 != 0,
            lifetime: u16::from_be_bytes([l0, l1]),
            reachable_time: u32::from_be_bytes([r0, r1, r2, r3]),
            retrans_timer: u32::from_be_bytes([t0, t1, t2, t3]),
        }
    }
    fn emit(&self, out: &mut Vec<u8>) {
        let Self {
            hop_limit,
            managed,
            other,
            lifetime,
            reachable_time,
            retrans_timer,
        } = self;
        out.extend([*hop_limit, u8::from(*managed) << 7 | u8::from(*other) << 6]);
        out.extend(lifetime.to_be_bytes());
        out.extend(reachable_time.to_be_bytes());
        out.extend(retrans_timer.to_be_bytes());
    }
}

fn address_first(bytes: &[u8]) -> Result<(Ipv6Addr, Options), ParseError> {
    let options = bytes.get(16..).ok_or(ParseError::Truncated)?;
    Ok((address(bytes)?, Options::parse(options)?))
}

impl Options {
    fn parse(mut bytes: &[u8]) -> Result<Self, ParseError> {
        let mut options = Self::default();
        while let [kind, units, ..] = *bytes {
            let len = usize::from(units) * 8;
            let (option, rest) = bytes.split_at_checked(len).ok_or(ParseError::BadLength)?;
            //= rfc4861#4.6
            //# Nodes MUST silently discard an ND packet that contains an option with length zero.
            let data = option.get(2..).ok_or(ParseError::BadLength)?;
            options.read(kind, data);
            bytes = rest;
        }
        match bytes {
            [] => Ok(options),
            _ => Err(ParseError::Truncated),
        }
    }
    /// One option; one that is shorter than its kind says nothing.
    fn read(&mut self, kind: u8, data: &[u8]) {
        let mac = || data.first_chunk::<6>().map(|mac| MacAddr(*mac));
        match kind {
            1 => self.source = self.source.or_else(mac),
            2 => self.target = self.target.or_else(mac),
            3 if self.prefixes.len() < MOST => self.prefixes.extend(PrefixInfo::parse(data)),
            5 => {
                let mtu = data.get(2..6).and_then(<[u8]>::first_chunk::<4>);
                self.mtu = self.mtu.or(mtu.map(|mtu| u32::from_be_bytes(*mtu)));
            }
            14 => self.nonce = self.nonce.or(data.first_chunk::<6>().copied()),
            25 if self.rdnss.len() < MOST => self.rdnss.extend(resolvers(data)),
            _ => {}
        }
    }
    fn emit(&self, out: &mut Vec<u8>) {
        let Self {
            source,
            target,
            prefixes,
            mtu,
            rdnss,
            nonce,
        } = self;
        for (kind, mac) in [(1, source), (2, target)] {
            if let Some(mac) = mac {
                out.extend([kind, 1]);
                out.extend(mac.0);
            }
        }
        if let Some(mtu) = mtu {
            out.extend([5, 1, 0, 0]);
            out.extend(mtu.to_be_bytes());
        }
        for prefix in prefixes {
            prefix.emit(out);
        }
        for (lifetime, addresses) in rdnss {
            out.extend([25, (1 + 2 * addresses.len()) as u8, 0, 0]);
            out.extend(lifetime.to_be_bytes());
            for address in addresses {
                out.extend(address.octets());
            }
        }
        if let Some(nonce) = nonce {
            out.extend([14, 1]);
            out.extend(nonce);
        }
    }
}

/// RFC 8106 5.1.
fn resolvers(data: &[u8]) -> Option<(u32, Vec<Ipv6Addr>)> {
    let (head, addresses) = data.split_first_chunk::<6>()?;
    let [_, _, l0, l1, l2, l3] = *head;
    let (addresses, _) = addresses.as_chunks::<16>();
    let addresses: Vec<_> = addresses
        .iter()
        .map(|a| Ipv6Addr::from_octets(*a))
        .collect();
    (!addresses.is_empty()).then_some((u32::from_be_bytes([l0, l1, l2, l3]), addresses))
}

impl PrefixInfo {
    fn parse(data: &[u8]) -> Option<Self> {
        let (head, rest) = data.split_first_chunk::<14>()?;
        let [len, flags, v0, v1, v2, v3, p0, p1, p2, p3, ..] = *head;
        Some(Self {
            len,
            on_link: flags & 0x80 != 0,
            autonomous: flags & 0x40 != 0,
            valid: u32::from_be_bytes([v0, v1, v2, v3]),
            preferred: u32::from_be_bytes([p0, p1, p2, p3]),
            prefix: address(rest).ok()?,
        })
    }
    fn emit(&self, out: &mut Vec<u8>) {
        let Self {
            len,
            on_link,
            autonomous,
            valid,
            preferred,
            prefix,
        } = self;
        out.extend([
            3,
            4,
            *len,
            u8::from(*on_link) << 7 | u8::from(*autonomous) << 6,
        ]);
        out.extend(valid.to_be_bytes());
        out.extend(preferred.to_be_bytes());
        out.extend([0; 4]);
        out.extend(prefix.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

    fn messages() -> [Ndp; 5] {
        let options = Options {
            source: Some(MAC),
            ..Options::default()
        };
        [
            Ndp::RouterSolicit {
                options: options.clone(),
            },
            Ndp::RouterAdvert {
                router: RouterAdvert {
                    hop_limit: 64,
                    managed: false,
                    other: true,
                    lifetime: 1800,
                    reachable_time: 30_000,
                    retrans_timer: 1000,
                },
                options: Options {
                    mtu: Some(1280),
                    prefixes: alloc::vec![PrefixInfo {
                        len: 64,
                        on_link: true,
                        autonomous: true,
                        valid: 86_400,
                        preferred: 14_400,
                        prefix: ip("fd00:1::"),
                    }],
                    rdnss: alloc::vec![(600, alloc::vec![ip("fd00:1::1"), ip("fd00:1::2")])],
                    ..options.clone()
                },
            },
            Ndp::NeighbourSolicit {
                target: ip("fe80::1"),
                options: Options {
                    nonce: Some([1, 2, 3, 4, 5, 6]),
                    ..options
                },
            },
            Ndp::NeighbourAdvert {
                target: ip("fe80::1"),
                router: true,
                solicited: false,
                overrides: true,
                options: Options {
                    target: Some(MAC),
                    ..Options::default()
                },
            },
            Ndp::Redirect {
                target: ip("fe80::1"),
                destination: ip("fd00:2::1"),
                options: Options::default(),
            },
        ]
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        for message in messages() {
            let bytes = message.to_bytes();
            assert_eq!(Ndp::parse(bytes[0], &bytes[4..]), Ok(message));
        }
    }

    #[test]
    fn options_that_cannot_be_are_refused_and_unknown_ones_left_out() {
        let target = [0; 20];
        let with = |options: &[u8]| {
            let bytes = [&target, options].concat();
            Ndp::parse(kind::NEIGHBOUR_SOLICIT, &bytes).map(|message| match message {
                Ndp::NeighbourSolicit { options, .. } => options,
                other => panic!("{other:?}"),
            })
        };
        let none = Options::default();
        type Row<'a> = (&'a [u8], Result<Options, ParseError>);
        let rows: [Row<'_>; 5] = [
            (&[], Ok(none.clone())),
            (&[1, 0, 0, 0, 0, 0, 0, 0], Err(ParseError::BadLength)),
            (&[1, 2, 0, 0, 0, 0, 0, 0], Err(ParseError::BadLength)),
            (&[200, 1, 0, 0, 0, 0, 0, 0], Ok(none.clone())),
            // A prefix needs 32 bytes: this one says nothing.
            (&[3, 1, 64, 0xc0, 0, 0, 0, 0], Ok(none)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(with(bytes), expected, "{bytes:?}");
        }
        assert_eq!(with(&[1]), Err(ParseError::Truncated));
        assert_eq!(Ndp::parse(128, &[0; 40]), Err(ParseError::BadVersion));
    }

    proptest! {
        #[test]
        fn what_is_cut_short_is_refused_or_read_and_never_panics(which in 0usize..5, len in 0usize..140) {
            let bytes = messages()[which].to_bytes();
            let short = &bytes[4..len.clamp(4, bytes.len())];
            let _ = Ndp::parse(bytes[0], short);
        }
        #[test]
        fn what_was_read_of_any_bytes_is_written_so_that_it_reads_the_same(
            kind in 133u8..138,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(message) = Ndp::parse(kind, &bytes) {
                let again = message.to_bytes();
                prop_assert_eq!(Ndp::parse(kind, &again[4..]), Ok(message));
            }
        }
    }
}
