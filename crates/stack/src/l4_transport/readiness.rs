//! What a socket is ready for, who owns it, and what its verbs may answer. Defined at layer 4, shown by layer 5.

/// Which socket of layer 5 an endpoint belongs to: opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u64);

/// Readiness bits, as poll(2) speaks of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ready(pub u8);
impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Data, an end of stream, or a connection to accept (POLLIN).
    pub const READABLE: Self = Self(1);
    /// Room to send, or a connect that ended (POLLOUT).
    pub const WRITABLE: Self = Self(2);
    /// An error waits (POLLERR).
    pub const ERROR: Self = Self(4);
    /// The peer sent FIN (POLLRDHUP).
    pub const READ_CLOSED: Self = Self(8);
    /// Both directions are over (POLLHUP).
    pub const HANG_UP: Self = Self(16);
    /// A byte beside the stream (POLLPRI).
    pub const URGENT: Self = Self(32);
    /// These bits if something holds, else none.
    pub(super) const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }
    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
impl core::ops::BitOr for Ready {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
impl core::ops::BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What a socket verb answers instead of a value. The table in `l5_session` maps them to errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// EAGAIN
    #[error("operation would block")]
    WouldBlock,
    /// EINPROGRESS
    #[error("connection in progress")]
    InProgress,
    /// EALREADY
    #[error("connection already in progress")]
    Already,
    /// EISCONN
    #[error("already connected")]
    IsConnected,
    /// ENOTCONN
    #[error("not connected")]
    NotConnected,
    /// EPIPE
    #[error("broken pipe")]
    BrokenPipe,
    /// ECONNREFUSED
    #[error("connection refused")]
    ConnectionRefused,
    /// ECONNRESET
    #[error("connection reset by peer")]
    ConnectionReset,
    /// ECONNABORTED
    #[error("connection aborted")]
    ConnectionAborted,
    /// ETIMEDOUT
    #[error("connection timed out")]
    TimedOut,
    /// EADDRINUSE
    #[error("address already in use")]
    AddressInUse,
    /// ENODEV: a scope that names no port
    #[error("no such device")]
    NoDevice,
    /// EADDRNOTAVAIL
    #[error("cannot assign requested address")]
    AddressNotAvailable,
    /// ENETUNREACH
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// EHOSTUNREACH
    #[error("no route to host")]
    HostUnreachable,
    /// EAFNOSUPPORT
    #[error("address family not supported")]
    FamilyNotSupported,
    /// EINVAL
    #[error("invalid argument")]
    Invalid,
    /// EDESTADDRREQ
    #[error("destination address required")]
    DestinationRequired,
    /// EMSGSIZE
    #[error("message too long")]
    MessageTooLong,
    /// EOPNOTSUPP
    #[error("operation not supported")]
    NotSupported,
    /// ENOPROTOOPT
    #[error("protocol not available")]
    NoProtocolOption,
    /// EBADF: the socket does not exist
    #[error("bad socket")]
    BadSocket,
    /// EMFILE/ENOBUFS: a bound of the host
    #[error("no buffer space available")]
    NoBuffers,
    /// EACCES
    #[error("permission denied")]
    AccessDenied,
    /// EPROTO
    #[error("protocol error")]
    Protocol,
}
