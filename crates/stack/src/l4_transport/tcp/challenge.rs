//! Challenge ACKs and their limit (RFC 5961 7): each connection has its own. A limit of the whole host would tell everybody who
//! owns a connection here how many challenges others caused (CVE-2016-5696); Linux has none any more.
use crate::Instant;
use crate::time::Duration;

/// Least time between two of one connection (for segments without text).
pub const CONNECTION_GAP: Duration = Duration::from_millis(500);

/// A connection's own limit for answers to segments that are out of place.
pub fn allow_again(last: &mut Option<Instant>, now: Instant) -> bool {
    if last.is_some_and(|at| now.since(at) < CONNECTION_GAP) {
        return false;
    }
    *last = Some(now);
    true
}
