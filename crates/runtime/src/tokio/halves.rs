//! The two directions of a connection, apart.
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpStream;

/// The reading direction, by reference.
#[derive(Debug)]
pub struct ReadHalf<'s>(pub(super) &'s TcpStream);
/// The writing direction, by reference.
#[derive(Debug)]
pub struct WriteHalf<'s>(pub(super) &'s TcpStream);
/// The reading direction.
#[derive(Debug)]
pub struct OwnedReadHalf(pub(super) Arc<TcpStream>);
/// The writing direction; dropping it ends that direction, as `shutdown` does.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    ends_at_drop: bool,
}

impl OwnedWriteHalf {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            ends_at_drop: true,
        }
    }
    /// Drops it without ending the direction: that happens when the reading half goes too.
    pub fn forget(mut self) {
        self.ends_at_drop = false;
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }
    /// Theirs.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.ends_at_drop {
            // A connection that is over has nothing left to end.
            let _ = self.stream.end_writing();
        }
    }
}
impl OwnedReadHalf {
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
    /// Theirs.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
    /// Reads without taking.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }
}

macro_rules! reads {
    ($($half:ty),*) => {$(
        impl AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.poll_read_shared(cx, buf)
            }
        }
    )*};
}
reads!(ReadHalf<'_>, OwnedReadHalf);

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_shared(cx, data)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.end_writing())
    }
}
impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_shared(cx, data)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.stream.end_writing();
        self.ends_at_drop &= ended.is_err();
        Poll::Ready(ended)
    }
}
