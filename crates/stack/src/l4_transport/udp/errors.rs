//! The error queue of a UDP socket (ip(7): IP_RECVERR, MSG_ERRQUEUE; RFC 1122 4.1.3.3): what was said of its datagrams.
use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::super::readiness::SocketError;
use crate::l3_network::Told;
use crate::{DropReason, Instant};

/// Most errors that wait at one socket; later ones are forgotten.
const ERRORS: usize = 256;
/// How many destinations a socket without a peer remembers.
const SENT: usize = 256;

/// An error about a datagram, as `recv_error` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What a program is told that asks for no more.
    pub error: SocketError,
    /// Where the datagram went.
    pub remote: SocketAddr,
    /// Who says what in ICMP; `None`: this host refused to send it.
    pub told: Option<Told>,
    /// How long a packet may be, bytes, if that is what it is about.
    pub mtu: Option<u32>,
    /// When it came, in the host's time.
    pub at: Instant,
}

/// What was said of the datagrams of a socket that asked for it, and to whom it sent some.
#[derive(Default)]
pub(super) struct ErrorQueue {
    errors: VecDeque<Reported>,
    sent: VecDeque<SocketAddr>,
}
impl ErrorQueue {
    /// A datagram left for there.
    pub(super) fn sent_to(&mut self, remote: SocketAddr) {
        if self.sent.back() == Some(&remote) {
            return;
        }
        if self.sent.len() >= SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(remote);
    }
    /// Whether one did, as far as is remembered: a forged error seldom guesses that (RFC 5927 4).
    pub(super) fn has_sent_to(&self, remote: SocketAddr) -> bool {
        self.sent.contains(&remote)
    }
    /// One more; there may be no room.
    pub(super) fn push(&mut self, reported: Reported) -> Result<(), DropReason> {
        if self.errors.len() >= ERRORS {
            return Err(DropReason::ErrorQueueFull);
        }
        self.errors.push_back(reported);
        Ok(())
    }
    /// The oldest, and the error that is then pending: what ICMP says next.
    pub(super) fn pop(&mut self) -> Option<(Reported, Option<SocketError>)> {
        let reported = self.errors.pop_front()?;
        let next = self.errors.front().filter(|next| next.told.is_some());
        Some((reported, next.map(|next| next.error)))
    }
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }
}
