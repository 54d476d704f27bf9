//! The kernel's own sockets as a network of one node: with it below, what a program sees of a host can be compared with
//! what the kernel itself shows.
#![allow(dead_code)]

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use heptad_runner::host::{At, Bytes, Interface, Settings, Sockets, Tables};
use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::l4_transport::tcp::{Congestion, Info, Status};
use heptad_runtime::stack::l4_transport::udp::{Choices, Received, Reported, Way};
use heptad_runtime::stack::stack::{Link, Membership, SocketDetail, SocketOption};
use heptad_runtime::stack::{
    Counters, Family, PortId, Ready, Shutdown, SocketError, SocketId, SocketKind,
};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// The node.
pub const NODE: MachineId = MachineId(0);

/// The kernel's loopback.
pub struct Kernel {
    inner: Arc<Inner>,
}

struct Inner {
    epoll: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u32,
    sockets: HashMap<u32, (OwnedFd, SocketKind)>,
    wakers: HashMap<u32, Waker>,
    returned: HashMap<u32, VecDeque<At>>,
}

impl Kernel {
    pub fn new() -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let inner = Arc::new(Inner {
            epoll,
            table: Mutex::default(),
        });
        let waking = Arc::downgrade(&inner);
        std::thread::spawn(move || {
            let mut events = Vec::with_capacity(64);
            while let Some(inner) = waking.upgrade() {
                let limit = rustix::event::Timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000_000,
                };
                events.clear();
                let _ = epoll::wait(
                    &inner.epoll,
                    rustix::buffer::spare_capacity(&mut events),
                    Some(&limit),
                );
                for event in events.drain(..) {
                    let key = event.data.u64() as u32;
                    let waker = inner.table.lock().unwrap().wakers.remove(&key);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            }
        });
        Self { inner }
    }

    fn add(&self, fd: OwnedFd, kind: SocketKind) -> At {
        let mut table = self.inner.table.lock().unwrap();
        table.next += 1;
        let index = table.next;
        epoll::add(
            &self.inner.epoll,
            &fd,
            EventData::new_u64(index.into()),
            EventFlags::ONESHOT,
        )
        .unwrap();
        table.sockets.insert(index, (fd, kind));
        At {
            machine: NODE,
            socket: SocketId {
                index,
                generation: 0,
            },
        }
    }

    /// The urgent byte, where the next read begins at it.
    fn urgent_byte(&self, at: At) -> Option<u8> {
        const AT_MARK: libc::c_ulong = 0x8905;
        let mut here: libc::c_int = 0;
        // SAFETY: the kernel writes one int through the pointer.
        self.on(at, |fd, _| unsafe {
            libc::ioctl(fd.as_raw_fd(), AT_MARK, &raw mut here)
        });
        let mut byte = [0];
        let taken = || self.on(at, |fd, _| net::recv(fd, &mut byte, RecvFlags::OOB));
        let got = (here == 1).then(taken)?;
        got.is_ok_and(|got| got.1 == 1).then_some(byte[0])
    }

    fn on<R>(&self, at: At, verb: impl FnOnce(BorrowedFd<'_>, SocketKind) -> R) -> R {
        let table = self.inner.table.lock().unwrap();
        let (fd, kind) = &table.sockets[&at.socket.index];
        verb(fd.as_fd(), *kind)
    }

    /// A connection that was put back makes its listener readable.
    fn returned(&self, at: At) -> Ready {
        let table = self.inner.table.lock().unwrap();
        match table.returned.get(&at.socket.index) {
            Some(queue) if !queue.is_empty() => Ready::READABLE,
            _ => Ready::NONE,
        }
    }

    fn raw<T>(&self, at: At, level: i32, name: i32, value: &T) -> Result<(), SocketError> {
        let size = size_of::<T>() as u32;
        // SAFETY: the kernel reads `size` bytes of `value`.
        let done = self.on(at, |fd, _| unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(value).cast(),
                size,
            )
        });
        if done == 0 {
            Ok(())
        } else {
            Err(SocketError::Invalid)
        }
    }
}

fn error(errno: Errno) -> SocketError {
    match errno {
        Errno::AGAIN => SocketError::WouldBlock,
        Errno::INPROGRESS => SocketError::InProgress,
        Errno::ALREADY => SocketError::Already,
        Errno::ISCONN => SocketError::IsConnected,
        Errno::NOTCONN => SocketError::NotConnected,
        Errno::PIPE => SocketError::BrokenPipe,
        Errno::CONNREFUSED => SocketError::ConnectionRefused,
        Errno::CONNRESET => SocketError::ConnectionReset,
        Errno::TIMEDOUT => SocketError::TimedOut,
        Errno::ADDRINUSE => SocketError::AddressInUse,
        Errno::ADDRNOTAVAIL => SocketError::AddressNotAvailable,
        Errno::NETUNREACH => SocketError::NetworkUnreachable,
        Errno::INVAL => SocketError::Invalid,
        Errno::DESTADDRREQ => SocketError::DestinationRequired,
        other => panic!("the kernel says {other}"),
    }
}

fn internet(address: Option<net::SocketAddrAny>) -> SocketAddr {
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    address.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
}

impl Sockets for Kernel {
    fn open(&self, _: MachineId, family: Family, kind: SocketKind) -> Result<At, SocketError> {
        let family = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let ty = if kind == SocketKind::Stream {
            SocketType::STREAM
        } else {
            SocketType::DGRAM
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(self.add(
            net::socket_with(family, ty, flags, None).map_err(error)?,
            kind,
        ))
    }
    fn bind(&self, at: At, local: SocketAddr) -> Result<(), SocketError> {
        self.on(at, |fd, _| net::bind(fd, &local)).map_err(error)
    }
    fn listen(&self, at: At, backlog: u32) -> Result<(), SocketError> {
        self.on(at, |fd, _| net::listen(fd, backlog as i32))
            .map_err(error)
    }
    fn connect(&self, at: At, remote: SocketAddr) -> Result<(), SocketError> {
        self.on(at, |fd, _| net::connect(fd, &remote))
            .map_err(error)
    }
    fn disconnect(&self, at: At) -> Result<(), SocketError> {
        self.on(at, |fd, _| net::connect_unspec(fd)).map_err(error)
    }
    fn accept(&self, at: At) -> Result<(At, SocketAddr), SocketError> {
        let returned = {
            let mut table = self.inner.table.lock().unwrap();
            table
                .returned
                .get_mut(&at.socket.index)
                .and_then(VecDeque::pop_front)
        };
        if let Some(again) = returned {
            return Ok((again, self.peer(again)?));
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, peer) = self
            .on(at, |fd, _| net::acceptfrom_with(fd, flags))
            .map_err(error)?;
        Ok((self.add(fd, SocketKind::Stream), internet(peer)))
    }
    fn unaccept(&self, listener: At, accepted: At) {
        let mut table = self.inner.table.lock().unwrap();
        table
            .returned
            .entry(listener.socket.index)
            .or_default()
            .push_front(accepted);
    }
    fn send(&self, at: At, data: &[u8]) -> Result<usize, SocketError> {
        self.on(at, |fd, _| net::send(fd, data, SendFlags::NOSIGNAL))
            .map_err(error)
    }
    fn recv(&self, at: At, _behind: u32, out: &mut [u8]) -> Result<Bytes, SocketError> {
        if let Some(byte) = self.urgent_byte(at) {
            return Ok(Bytes::urgent(byte, out));
        }
        self.on(at, |fd, _| net::recv(fd, out, RecvFlags::empty()))
            .map(|got| Bytes::usual(got.1))
            .map_err(error)
    }
    fn send_urgent(&self, at: At, data: &[u8]) -> Result<usize, SocketError> {
        let flags = SendFlags::NOSIGNAL | SendFlags::OOB;
        self.on(at, |fd, _| net::send(fd, data, flags))
            .map_err(error)
    }
    /// Without choices: those are the stack's.
    fn send_message(
        &self,
        at: At,
        data: &[u8],
        remote: SocketAddr,
        choices: &Choices,
    ) -> Result<usize, SocketError> {
        assert_eq!(*choices, Choices::default());
        self.on(at, |fd, _| {
            net::sendto(fd, data, SendFlags::NOSIGNAL, &remote)
        })
        .map_err(error)
    }
    fn recv_message(&self, at: At, out: &mut [u8]) -> Result<Received, SocketError> {
        let (_, count, from) = self
            .on(at, |fd, _| net::recvfrom(fd, out, RecvFlags::empty()))
            .map_err(error)?;
        let local = self.local(at)?;
        Ok(Received {
            copied: count,
            len: count,
            from: Some(internet(from)),
            way: Way {
                to: local.ip(),
                port: PortId::LOOPBACK,
                hops: 64,
                class: 0,
            },
        })
    }
    fn refuse_datagram(&self, _at: At, _from: (SocketAddr, &Way), _data: &[u8]) {}
    fn recv_error(&self, _: At) -> Option<Reported> {
        None
    }
    fn shutdown(&self, at: At, how: Shutdown) -> Result<(), SocketError> {
        let how = match how {
            Shutdown::Read => net::Shutdown::Read,
            Shutdown::Write => net::Shutdown::Write,
            Shutdown::Both => net::Shutdown::Both,
        };
        self.on(at, |fd, _| net::shutdown(fd, how)).map_err(error)
    }
    fn close(&self, at: At) {
        let mut table = self.inner.table.lock().unwrap();
        table.wakers.remove(&at.socket.index);
        table.sockets.remove(&at.socket.index);
    }
    fn set(&self, at: At, option: SocketOption) -> Result<(), SocketError> {
        match option {
            SocketOption::ReuseAddress(on) => {
                self.raw(at, libc::SOL_SOCKET, libc::SO_REUSEADDR, &i32::from(on))
            }
            SocketOption::KeepAlive(on) => {
                self.raw(at, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &i32::from(on))
            }
            SocketOption::NoDelay(on) => {
                self.raw(at, libc::IPPROTO_TCP, libc::TCP_NODELAY, &i32::from(on))
            }
            SocketOption::V6Only(on) => {
                self.raw(at, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &i32::from(on))
            }
            SocketOption::Linger(time) => {
                let seconds = time.map_or(0, |time| time.as_secs() as i32);
                self.raw(
                    at,
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    &[i32::from(time.is_some()), seconds],
                )
            }
            _ => Ok(()),
        }
    }
    fn get(&self, at: At, which: SocketOption) -> Result<SocketOption, SocketError> {
        Ok(match which {
            SocketOption::NoDelay(_) => SocketOption::NoDelay(
                self.on(at, |fd, _| sockopt::tcp_nodelay(fd))
                    .map_err(error)?,
            ),
            SocketOption::KeepAlive(_) => SocketOption::KeepAlive(
                self.on(at, |fd, _| sockopt::socket_keepalive(fd))
                    .map_err(error)?,
            ),
            SocketOption::MaxSegment(_) => SocketOption::MaxSegment(1448),
            SocketOption::Congestion(_) => SocketOption::Congestion(Congestion::Cubic),
            other => other,
        })
    }
    fn change_membership(
        &self,
        _: At,
        _: (Link, IpAddr),
        _: Membership,
    ) -> Result<(), SocketError> {
        Err(SocketError::NotSupported)
    }
    fn socket_mtu(&self, _: At) -> Result<u32, SocketError> {
        Ok(65_536)
    }
    fn take_error(&self, at: At) -> Option<SocketError> {
        self.on(at, |fd, _| sockopt::socket_error(fd))
            .unwrap()
            .err()
            .map(error)
    }
    fn ready(&self, at: At) -> Ready {
        use rustix::event::{PollFd, PollFlags, poll};
        self.on(at, |fd, _| {
            let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN | PollFlags::OUT)];
            let now = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            poll(&mut fds, Some(&now)).unwrap();
            let got = fds[0].revents();
            let mut ready = Ready::NONE;
            for (flag, bit) in [
                (PollFlags::IN, Ready::READABLE),
                (PollFlags::OUT, Ready::WRITABLE),
                (PollFlags::ERR, Ready::ERROR),
                (PollFlags::HUP, Ready::HANG_UP),
            ] {
                if got.contains(flag) {
                    ready |= bit;
                }
            }
            ready
        }) | self.returned(at)
    }
    fn local(&self, at: At) -> Result<SocketAddr, SocketError> {
        self.on(at, |fd, _| net::getsockname(fd))
            .map(|address| internet(Some(address)))
            .map_err(error)
    }
    fn peer(&self, at: At) -> Result<SocketAddr, SocketError> {
        self.on(at, |fd, _| net::getpeername(fd))
            .map(internet)
            .map_err(error)
    }
    fn status(&self, _: At) -> Option<Status> {
        None
    }
    fn tcp_info(&self, _: At) -> Option<Info> {
        None
    }
    fn register(&self, at: At, interest: Ready, waker: &Waker) {
        let mut flags = EventFlags::ONESHOT;
        if interest.intersects(Ready::READABLE) {
            flags |= EventFlags::IN | EventFlags::RDHUP;
        }
        if interest.intersects(Ready::WRITABLE) {
            flags |= EventFlags::OUT;
        }
        let mut table = self.inner.table.lock().unwrap();
        table.wakers.insert(at.socket.index, waker.clone());
        let data = EventData::new_u64(at.socket.index.into());
        epoll::modify(
            &self.inner.epoll,
            &table.sockets[&at.socket.index].0,
            data,
            flags,
        )
        .unwrap();
    }
    /// The kernel tells of a listener's first connection only, not of more.
    fn watch(&self, at: At, waker: &Waker) {
        if !self.ready(at).contains(Ready::READABLE) {
            self.register(at, Ready::READABLE, waker);
        }
    }
    fn waiting(&self, at: At) -> u32 {
        u32::from(self.ready(at).contains(Ready::READABLE))
    }
    fn deregister(&self, at: At) {
        self.inner
            .table
            .lock()
            .unwrap()
            .wakers
            .remove(&at.socket.index);
    }
    fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let bob = (name == "bob").then_some(IpAddr::from([127, 0, 0, 1]));
        bob.into_iter().collect()
    }
    fn names(&self) -> Vec<(MachineId, String, Vec<IpAddr>)> {
        vec![(NODE, "bob".into(), self.addresses_of("bob"))]
    }
    fn name_of(&self, address: IpAddr) -> Option<String> {
        address.is_loopback().then(|| "bob".to_owned())
    }
    fn has_way_out(&self, _: MachineId) -> bool {
        false
    }
    fn datagrams_at(&self, _: MachineId, _: u16) -> bool {
        false
    }
    fn interfaces(&self, _: MachineId) -> Vec<Interface> {
        let address = Some((IpAddr::from([127, 0, 0, 1]), 8));
        vec![Interface {
            name: "lo".into(),
            index: 1,
            address,
            mtu: 65_536,
            mac: [0; 6],
            loopback: true,
        }]
    }
    fn tables(&self, _: MachineId) -> Tables {
        Tables::default()
    }
    fn counters(&self, _: MachineId) -> Counters {
        Counters::default()
    }
    fn settings(&self, _: MachineId) -> Settings {
        Settings::default()
    }
    fn details(&self, _: MachineId) -> Vec<SocketDetail> {
        Vec::new()
    }
}
