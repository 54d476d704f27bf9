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

impl Reported {
    /// This host did not send a datagram that may not be fragmented and is longer than the way allows.
    pub(in crate::l4_transport) fn too_long(remote: SocketAddr, mtu: u32, at: Instant) -> Self {
        Self {
            error: SocketError::MessageTooLong,
            remote,
            told: None,
            mtu: Some(mtu),
            at,
        }
    }
    /// What the socket fails with while this is the oldest that waits: what ICMP says.
    pub(in crate::l4_transport) fn pending(&self) -> Option<SocketError> {
        self.told.as_ref().map(|_| self.error)
    }
}

/// Errors that wait at one socket, oldest first.
pub(in crate::l4_transport) struct Errors<T>(VecDeque<T>);
impl<T> Default for Errors<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}
impl<T> Errors<T> {
    /// One more; there may be no room.
    pub(in crate::l4_transport) fn push(&mut self, error: T) -> Result<(), DropReason> {
        if self.0.len() >= ERRORS {
            return Err(DropReason::ErrorQueueFull);
        }
        self.0.push_back(error);
        Ok(())
    }
    /// The oldest, and what is then pending: what the next one says.
    pub(in crate::l4_transport) fn pop(
        &mut self,
        pending: impl Fn(&T) -> Option<SocketError>,
    ) -> Option<(T, Option<SocketError>)> {
        let error = self.0.pop_front()?;
        Some((error, self.0.front().and_then(pending)))
    }
    pub(in crate::l4_transport) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What was said of the datagrams of a socket that asked for it, and to whom it sent some.
#[derive(Default)]
pub(super) struct ErrorQueue {
    pub(super) errors: Errors<Reported>,
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
}
