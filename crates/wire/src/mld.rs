//! Multicast listener discovery: ICMPv6 messages of version 1 (RFC 2710) and 2 (RFC 9777). Every address in a message is
//! one of IPv6.
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::group::{CODE_16, Message, Query, Record, Version, put, split};
use crate::{ParseError, ipv6};

/// Types of the messages.
pub mod kind {
    /// Query, of both versions
    pub const QUERY: u8 = 130;
    /// Report of version 1
    pub const REPORT: u8 = 131;
    /// Done (version 1)
    pub const DONE: u8 = 132;
    /// Report of version 2
    pub const REPORT_V2: u8 = 143;
}

/// Bytes of a message of version 1.
pub const V1_LEN: usize = 24;
/// Bytes of a query of version 2 without sources.
pub const QUERY_V2_LEN: usize = 28;
/// The hop-by-hop header in front of every message: a router alert (RFC 2711) with value 0, which is MLD's, and padding.
pub const HOP_BY_HOP: [u8; 8] = [
    ipv6::next_header::ICMPV6,
    0,
    ipv6::Ipv6Option::ROUTER_ALERT,
    2,
    0,
    0,
    1,
    0,
];

/// Whether messages of this type are MLD's.
pub fn is_kind(kind: u8) -> bool {
    matches!(
        kind,
        kind::QUERY | kind::REPORT | kind::DONE | kind::REPORT_V2
    )
}

/// Reads what stands behind type, code and checksum of a message of type `kind`; the checksum covers the addresses of the
/// packet as well and is checked by the caller. `BadVersion` for another type, `BadLength` for a query of a length that
/// no version has.
pub fn parse(kind: u8, bytes: &[u8]) -> Result<Message, ParseError> {
    let ([c0, c1, _, _], rest) = split::<4>(bytes)?;
    match kind {
        kind::QUERY => query(u16::from_be_bytes([c0, c1]), rest),
        kind::REPORT => Ok(Message::Report {
            version: Version::V2,
            group: address(rest)?.0,
        }),
        kind::DONE => Ok(Message::Leave {
            group: address(rest)?.0,
        }),
        kind::REPORT_V2 => Record::parse_all(bytes, address).map(Message::Records),
        _ => Err(ParseError::BadVersion),
    }
}

fn query(code: u16, rest: &[u8]) -> Result<Message, ParseError> {
    let (group, behind) = address(rest)?;
    let code = u32::from(code);
    // RFC 9777 8.1: the length tells the version.
    Ok(Message::Query(match behind.len() {
        0 => Query::of(Version::V2, code, group),
        1..4 => return Err(ParseError::BadLength),
        _ => Query::of(Version::V3, CODE_16.decode(code), group).extended(behind, address)?,
    }))
}

/// The whole ICMPv6 message, its checksum field zero.
pub fn to_bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(V1_LEN);
    match message {
        Message::Query(query) => {
            let code = match query.version {
                Version::V3 => CODE_16.encode(query.max_response),
                _ => query.max_response.min(u16::MAX.into()),
            };
            let [c0, c1] = (code as u16).to_be_bytes();
            out.extend([kind::QUERY, 0, 0, 0, c0, c1, 0, 0]);
            put(query.group, &mut out);
            if query.version == Version::V3 {
                query.emit_extension(&mut out);
            }
        }
        Message::Report { group, .. } => {
            out.extend([kind::REPORT, 0, 0, 0, 0, 0, 0, 0]);
            put(*group, &mut out);
        }
        Message::Leave { group } => {
            out.extend([kind::DONE, 0, 0, 0, 0, 0, 0, 0]);
            put(*group, &mut out);
        }
        Message::Records(records) => {
            out.extend([kind::REPORT_V2, 0, 0, 0]);
            Record::emit_all(records, &mut out);
        }
    }
    out
}

fn address(bytes: &[u8]) -> Result<(IpAddr, &[u8]), ParseError> {
    let rest = bytes.get(16..).ok_or(ParseError::Truncated)?;
    Ok((ipv6::address(bytes)?.into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::RecordKind;
    use alloc::vec;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    fn octets(address: &str) -> Vec<u8> {
        let mut out = vec![];
        put(ip(address), &mut out);
        out
    }
    const GROUP: &str = "ff15::1234";

    #[test]
    fn messages_are_read_and_written_again() {
        let group = ip(GROUP);
        let general = Query::of(Version::V2, 10_000, ip("::"));
        let extended = Query {
            robustness: 2,
            interval: 128,
            sources: vec![ip("fd00::1")],
            ..Query::of(Version::V3, 32_768, group)
        };
        let records = vec![
            Record {
                kind: RecordKind::ToExclude,
                group,
                sources: vec![],
            },
            Record {
                kind: RecordKind::Block,
                group,
                sources: vec![ip("fd00::1")],
            },
        ];
        let source = octets("fd00::1");
        let rows: [(&[&[u8]], Message); 5] = [
            (
                &[&[130, 0, 0, 0, 0x27, 0x10, 0, 0], &octets("::")],
                Message::Query(general),
            ),
            (
                &[
                    &[130, 0, 0, 0, 0x80, 0, 0, 0],
                    &octets(GROUP),
                    &[2, 0x80, 0, 1],
                    &source,
                ],
                Message::Query(extended),
            ),
            (
                &[&[131, 0, 0, 0, 0, 0, 0, 0], &octets(GROUP)],
                Message::Report {
                    version: Version::V2,
                    group,
                },
            ),
            (
                &[&[132, 0, 0, 0, 0, 0, 0, 0], &octets(GROUP)],
                Message::Leave { group },
            ),
            (
                &[
                    &[143, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0],
                    &octets(GROUP),
                    &[6, 0, 0, 1],
                    &octets(GROUP),
                    &source,
                ],
                Message::Records(records),
            ),
        ];
        for (pieces, message) in rows {
            let bytes = pieces.concat();
            assert!(is_kind(bytes[0]));
            assert_eq!(parse(bytes[0], &bytes[4..]), Ok(message.clone()));
            assert_eq!(to_bytes(&message), bytes);
        }
    }

    #[test]
    fn a_report_of_linux_is_read_and_written_again() {
        // CHANGE_TO_EXCLUDE of ff15::1234, the checksum set to zero.
        let bytes = [
            &[143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0xff, 0x15][..],
            &[0; 12],
            &[0x12, 0x34],
        ]
        .concat();
        let report = parse(bytes[0], &bytes[4..]).unwrap();
        assert_eq!(to_bytes(&report), bytes);
    }

    #[test]
    fn broken_messages_tell_why() {
        let query = |len: usize, sources: u8| {
            let mut bytes = [
                &[0x27, 0x10, 0, 0],
                &octets("::")[..],
                &[2, 125, 0, sources],
            ]
            .concat();
            bytes.resize(len, 0);
            bytes
        };
        for (kind, bytes, error) in [
            (kind::QUERY, query(19, 0), ParseError::Truncated),
            (kind::QUERY, query(22, 0), ParseError::BadLength),
            (kind::QUERY, query(24, 1), ParseError::Truncated),
            (kind::REPORT, query(19, 0), ParseError::Truncated),
            (kind::DONE, query(3, 0), ParseError::Truncated),
            (kind::REPORT_V2, vec![0, 0, 0, 1], ParseError::Truncated),
            (kind::REPORT_V2, vec![0, 0, 0], ParseError::Truncated),
            (128, query(24, 0), ParseError::BadVersion),
        ] {
            assert_eq!(parse(kind, &bytes), Err(error), "{kind} {bytes:x?}");
        }
    }

    #[test]
    fn the_header_in_front_is_a_router_alert() {
        let options: Vec<_> = ipv6::Ipv6Options::new(&HOP_BY_HOP).collect();
        assert_eq!(options.len(), 1);
        let alert = options[0].unwrap();
        assert_eq!((alert.kind, alert.data), (5, &[0, 0][..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_and_written_again(
            kind in prop::sample::select(&[130, 131, 132, 143][..]),
            mut bytes in prop::collection::vec(any::<u8>(), 4..200),
            count in 0u8..4,
        ) {
            bytes[2..4].copy_from_slice(&[0, count]);
            if let Ok(message) = parse(kind, &bytes) {
                let again = to_bytes(&message);
                prop_assert_eq!(parse(kind, &again[4..]), Ok(message));
            }
        }
    }
}
