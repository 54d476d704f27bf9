//! Challenge ACKs and their limits (RFC 5961 7).
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

/// Most in a second from one host.
pub const HOST_LIMIT: u32 = 1000;
/// Least time between two of one connection (for segments without text).
pub const CONNECTION_GAP: Duration = Duration::from_millis(500);

/// The host's limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChallengeLimit {
    second: u64,
    sent: u32,
}
impl ChallengeLimit {
    /// Whether one more may be sent now; counts it.
    pub fn allow(&mut self, cx: &mut Cx<'_>) -> bool {
        let second = cx.now.as_millis() / 1000;
        if second != self.second {
            self.second = second;
            self.sent = 0;
        }
        if self.sent >= HOST_LIMIT {
            return false;
        }
        self.sent += 1;
        cx.count(Counter::TcpExtTcpChallengeAck);
        true
    }
}

/// A connection's own limit for answers to segments that are out of place.
pub fn allow_again(last: &mut Option<Instant>, now: Instant) -> bool {
    if last.is_some_and(|at| now.since(at) < CONNECTION_GAP) {
        return false;
    }
    *last = Some(now);
    true
}
