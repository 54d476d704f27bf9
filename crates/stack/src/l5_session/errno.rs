//! One table: what a verb answers, as Linux's errno (asm-generic/errno-base.h and errno.h; x86-64 and arm64 have the same numbers).
use super::SocketError;

impl SocketError {
    /// Linux's number.
    pub const fn errno(self) -> i32 {
        self.row().0
    }
    /// Linux's name.
    pub const fn errno_name(self) -> &'static str {
        self.row().1
    }
    const fn row(self) -> (i32, &'static str) {
        match self {
            Self::BadSocket => (9, "EBADF"),
            Self::WouldBlock => (11, "EAGAIN"),
            Self::AccessDenied => (13, "EACCES"),
            Self::NoDevice => (19, "ENODEV"),
            Self::Invalid => (22, "EINVAL"),
            Self::BrokenPipe => (32, "EPIPE"),
            Self::Protocol => (71, "EPROTO"),
            Self::DestinationRequired => (89, "EDESTADDRREQ"),
            Self::MessageTooLong => (90, "EMSGSIZE"),
            Self::NoProtocolOption => (92, "ENOPROTOOPT"),
            Self::NotSupported => (95, "EOPNOTSUPP"),
            Self::FamilyNotSupported => (97, "EAFNOSUPPORT"),
            Self::AddressInUse => (98, "EADDRINUSE"),
            Self::AddressNotAvailable => (99, "EADDRNOTAVAIL"),
            Self::NetworkUnreachable => (101, "ENETUNREACH"),
            Self::ConnectionAborted => (103, "ECONNABORTED"),
            Self::ConnectionReset => (104, "ECONNRESET"),
            Self::NoBuffers => (105, "ENOBUFS"),
            Self::IsConnected => (106, "EISCONN"),
            Self::NotConnected => (107, "ENOTCONN"),
            Self::TimedOut => (110, "ETIMEDOUT"),
            Self::ConnectionRefused => (111, "ECONNREFUSED"),
            Self::HostUnreachable => (113, "EHOSTUNREACH"),
            Self::Already => (114, "EALREADY"),
            Self::InProgress => (115, "EINPROGRESS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SocketError;

    #[test]
    fn errors_have_the_numbers_that_linux_programs_know() {
        let rows = [
            (SocketError::WouldBlock, 11, "EAGAIN"),
            (SocketError::AddressInUse, 98, "EADDRINUSE"),
            (SocketError::ConnectionRefused, 111, "ECONNREFUSED"),
            (SocketError::InProgress, 115, "EINPROGRESS"),
        ];
        for (error, number, name) in rows {
            assert_eq!((error.errno(), error.errno_name()), (number, name));
        }
    }
}
