//! IGMP: versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 9776). Every address in a message is one of IPv4.
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use crate::group::{CODE_8, Message, Query, Record, Version, put, split};
use crate::{ParseError, checksum};

/// Types of the messages.
pub mod kind {
    /// Membership query, of all versions
    pub const QUERY: u8 = 0x11;
    /// Report of version 1
    pub const REPORT_V1: u8 = 0x12;
    /// Report of version 2
    pub const REPORT_V2: u8 = 0x16;
    /// Leave (version 2)
    pub const LEAVE: u8 = 0x17;
    /// Report of version 3
    pub const REPORT_V3: u8 = 0x22;
}

/// Bytes of every message but a query and a report of version 3.
pub const HEADER_LEN: usize = 8;
/// Bytes of a query of version 3 without sources.
pub const QUERY_V3_LEN: usize = 12;
/// What version 1 gives its members, where the field is zero (RFC 2236 4, RFC 9776 7.2.1), milliseconds.
pub const V1_MAX_RESPONSE: u32 = 10_000;

/// Reads a whole message and checks its checksum. `BadVersion` for another type, `BadLength` for a query of a length
/// that no version has.
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let ([kind, code, _, _], rest) = split::<4>(bytes)?;
    let (group, behind) = address(rest)?;
    if checksum::sum(bytes) != 0xffff {
        return Err(ParseError::BadChecksum);
    }
    match kind {
        kind::QUERY => query(code, group, behind),
        kind::REPORT_V1 | kind::REPORT_V2 => Ok(Message::Report {
            version: match kind {
                kind::REPORT_V1 => Version::V1,
                _ => Version::V2,
            },
            group,
        }),
        kind::LEAVE => Ok(Message::Leave { group }),
        kind::REPORT_V3 => Record::parse_all(rest, address).map(Message::Records),
        _ => Err(ParseError::BadVersion),
    }
}

fn query(code: u8, group: IpAddr, behind: &[u8]) -> Result<Message, ParseError> {
    let tenths = u32::from(code);
    // RFC 9776 7.1: the length tells the version.
    Ok(Message::Query(match (behind.len(), code) {
        (0, 0) => Query::of(Version::V1, V1_MAX_RESPONSE, group),
        (0, _) => Query::of(Version::V2, 100 * tenths, group),
        (1..4, _) => return Err(ParseError::BadLength),
        _ => {
            Query::of(Version::V3, 100 * CODE_8.decode(tenths), group).extended(behind, address)?
        }
    }))
}

/// The whole message with its checksum.
pub fn to_bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN);
    match message {
        Message::Query(query) => {
            out.extend([kind::QUERY, code(query), 0, 0]);
            put(query.group, &mut out);
            if query.version == Version::V3 {
                query.emit_extension(&mut out);
            }
        }
        Message::Report { version, group } => {
            let kind = match version {
                Version::V1 => kind::REPORT_V1,
                _ => kind::REPORT_V2,
            };
            out.extend([kind, 0, 0, 0]);
            put(*group, &mut out);
        }
        Message::Leave { group } => {
            out.extend([kind::LEAVE, 0, 0, 0]);
            put(*group, &mut out);
        }
        Message::Records(records) => {
            out.extend([kind::REPORT_V3, 0, 0, 0]);
            Record::emit_all(records, &mut out);
        }
    }
    checksum::fill(&mut out, 2, 0);
    out
}

fn code(query: &Query) -> u8 {
    let tenths = query.max_response / 100;
    match query.version {
        Version::V1 => 0,
        // Zero would make it version 1.
        Version::V2 => tenths.clamp(1, 255) as u8,
        Version::V3 => CODE_8.encode(tenths) as u8,
    }
}

fn address(bytes: &[u8]) -> Result<(IpAddr, &[u8]), ParseError> {
    let (octets, rest) = split::<4>(bytes)?;
    Ok((Ipv4Addr::from_octets(octets).into(), rest))
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
    fn query(version: Version, max_response: u32, group: &str) -> Query {
        Query::of(version, max_response, ip(group))
    }
    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        checksum::fill(&mut bytes, 2, 0);
        bytes
    }

    #[test]
    fn messages_are_read_and_written_again() {
        let extended = Query {
            suppress: true,
            robustness: 2,
            interval: 125,
            sources: vec![ip("10.0.0.1")],
            ..query(Version::V3, 25_600, "239.1.2.3")
        };
        let record = |kind, group: &str, sources: &[&str]| Record {
            kind,
            group: ip(group),
            sources: sources.iter().map(|source| ip(source)).collect(),
        };
        let group = ip("239.1.2.3");
        let v1 = Version::V1;
        let v2 = Version::V2;
        let rows: [(&[u8], Message); 9] = [
            (
                &[0x11, 0, 0, 0, 0, 0, 0, 0],
                Message::Query(query(v1, 10_000, "0.0.0.0")),
            ),
            (
                &[0x11, 100, 0, 0, 0, 0, 0, 0],
                Message::Query(query(v2, 10_000, "0.0.0.0")),
            ),
            (
                &[0x11, 255, 0, 0, 239, 1, 2, 3],
                Message::Query(query(v2, 25_500, "239.1.2.3")),
            ),
            (
                &[0x11, 0x90, 0, 0, 239, 1, 2, 3, 0x0a, 125, 0, 1, 10, 0, 0, 1],
                Message::Query(extended),
            ),
            (
                &[0x12, 0, 0, 0, 239, 1, 2, 3],
                Message::Report { version: v1, group },
            ),
            (
                &[0x16, 0, 0, 0, 239, 1, 2, 3],
                Message::Report { version: v2, group },
            ),
            (&[0x17, 0, 0, 0, 239, 1, 2, 3], Message::Leave { group }),
            (&[0x22, 0, 0, 0, 0, 0, 0, 0], Message::Records(vec![])),
            (
                &[
                    0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 239, 1, 2, 3, 5, 0, 0, 2, 232, 0, 0, 1,
                    10, 0, 0, 1, 10, 0, 0, 2,
                ],
                Message::Records(vec![
                    record(RecordKind::ToExclude, "239.1.2.3", &[]),
                    record(RecordKind::Allow, "232.0.0.1", &["10.0.0.1", "10.0.0.2"]),
                ]),
            ),
        ];
        for (bytes, message) in rows {
            let bytes = summed(bytes.to_vec());
            assert_eq!(parse(&bytes), Ok(message.clone()));
            assert_eq!(to_bytes(&message), bytes);
        }
    }

    #[test]
    fn a_report_of_linux_is_read() {
        // CHANGE_TO_EXCLUDE of 239.1.2.3, as ip_mc_join_group makes it.
        let bytes = [0x22, 0, 0xe8, 0xf9, 0, 0, 0, 1, 4, 0, 0, 0, 0xef, 1, 2, 3];
        let Ok(Message::Records(records)) = parse(&bytes) else {
            panic!("not read");
        };
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].kind, RecordKind::ToExclude);
        assert_eq!(to_bytes(&Message::Records(records)), bytes);
    }

    #[test]
    fn broken_messages_tell_why() {
        let report = |records: u8, sources: u8, words: u8| {
            let mut bytes = vec![0x22, 0, 0, 0, 0, 0, 0, records, 1, words, 0, sources];
            bytes.extend([239, 1, 2, 3, 10, 0, 0, 1]);
            bytes
        };
        let query = |len: usize, sources: u8| {
            let mut bytes = vec![0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, sources];
            bytes.resize(len, 0);
            bytes
        };
        let rows = [
            (query(7, 0), ParseError::Truncated),
            (query(9, 0), ParseError::BadLength),
            (query(11, 0), ParseError::BadLength),
            (query(15, 1), ParseError::Truncated),
            (report(2, 1, 0), ParseError::Truncated),
            (report(1, 2, 0), ParseError::Truncated),
            (report(1, 1, 1), ParseError::Truncated),
            (vec![0x13, 0, 0, 0, 0, 0, 0, 0], ParseError::BadVersion),
            (vec![0x11, 0, 0], ParseError::Truncated),
        ];
        for (bytes, error) in rows {
            let bytes = match bytes.len() {
                0..4 => bytes,
                _ => summed(bytes),
            };
            assert_eq!(parse(&bytes), Err(error), "{bytes:x?}");
        }
        let mut bytes = summed(query(12, 0));
        bytes[9] ^= 1;
        assert_eq!(parse(&bytes), Err(ParseError::BadChecksum));
    }

    #[test]
    fn what_a_reader_must_not_mind_is_left_out() {
        // An unknown record, auxiliary data, and bytes behind the last record.
        let bytes = summed(vec![
            0x22, 9, 0, 0, 7, 7, 0, 2, 9, 1, 0, 1, 239, 1, 2, 3, 10, 0, 0, 1, 1, 2, 3, 4, 1, 1, 0,
            0, 239, 1, 2, 4, 5, 6, 7, 8, 0xff, 0xff,
        ]);
        let only = Record {
            kind: RecordKind::IsInclude,
            group: ip("239.1.2.4"),
            sources: vec![],
        };
        assert_eq!(parse(&bytes), Ok(Message::Records(vec![only])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_and_written_again(
            kind in prop::sample::select(&[0x11, 0x12, 0x16, 0x17, 0x22][..]),
            mut bytes in prop::collection::vec(any::<u8>(), 8..200),
            count in 0u8..4,
        ) {
            bytes[0] = kind;
            bytes[6..8].copy_from_slice(&[0, count]);
            let bytes = summed(bytes);
            if let Ok(message) = parse(&bytes) {
                prop_assert_eq!(parse(&to_bytes(&message)), Ok(message));
            }
        }
    }
}
