//! The system calls that need `unsafe`: requests to the TUN driver and to an interface, and packet sockets.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType};

/// A request about an interface, with room for its answer; `name` has at most 15 bytes.
fn named(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` consists of integers and of a union of integers and pointers, for all of which zeros are a value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    let room = request.ifr_name.len() - 1; // the last one stays zero
    for (slot, byte) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *slot = byte.cast_signed() as libc::c_char;
    }
    request
}

fn ioctl(fd: BorrowedFd<'_>, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: all numbers of this module that come here take a pointer to an `ifreq`, which lives through the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), number, core::ptr::from_mut(request)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// TUNSETIFF: this open file becomes the other end of the interface, which is made if there is none.
pub(crate) fn set_interface(tun: BorrowedFd<'_>, name: &str, flags: i32) -> io::Result<()> {
    let mut request = named(name);
    // The flags of TUN are 16 bits in a signed field.
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    ioctl(tun, libc::TUNSETIFF, &mut request)
}

/// TUNSETVNETHDRSZ: bytes in front of each frame.
pub(crate) fn set_header_len(tun: BorrowedFd<'_>, len: i32) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ takes a pointer to an `int`, which lives through the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// TUNSETOFFLOAD: what the kernel may leave to us.
pub(crate) fn set_offloads(tun: BorrowedFd<'_>, bits: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its bits by value.
    let result = unsafe {
        libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            libc::c_ulong::from(bits),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A socket for the frames that come out of an interface, and for those that go into it, each with a virtio header
/// (packet(7)). What it sent itself it does not hear.
pub(crate) fn packet_socket(name: &str) -> io::Result<OwnedFd> {
    let index = Links::open()?.index(name)?;
    // Of no protocol until it is bound: it would hear every interface.
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain integers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    set_option(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        // As much as the kernel allows: bursts wait here for the reader.
        set_option(&socket, libc::SOL_SOCKET, option, i32::MAX / 2)?;
    }
    // SAFETY: `sockaddr_ll` consists of integers, for all of which zeros are a value.
    let mut address: libc::sockaddr_ll = unsafe { core::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: an address of this length, which lives through the call.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// packet(7), Linux 4.20; not in every libc's headers.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as libc::socklen_t;
    let fd = socket.as_raw_fd();
    // SAFETY: the options of this module take an `int`, which lives through the call.
    let set = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks and changes what `ip link` shows of interfaces, in the network namespace of the process.
pub(crate) struct Links {
    socket: OwnedFd,
}
impl Links {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        Ok(Self { socket })
    }
    pub(crate) fn index(&self, name: &str) -> io::Result<i32> {
        let mut request = named(name);
        ioctl(
            self.socket.as_fd(),
            libc::SIOCGIFINDEX as libc::Ioctl,
            &mut request,
        )?;
        // SAFETY: SIOCGIFINDEX answers in this field; it is an integer, for which all bits are a value.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex })
    }
    pub(crate) fn mtu(&self, name: &str) -> io::Result<u32> {
        let mut request = named(name);
        ioctl(
            self.socket.as_fd(),
            libc::SIOCGIFMTU as libc::Ioctl,
            &mut request,
        )?;
        // SAFETY: SIOCGIFMTU answers in this field; it is an integer, for which all bits are a value.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        Ok(u32::try_from(mtu).unwrap_or(0))
    }
    pub(crate) fn set_mtu(&self, name: &str, mtu: u32) -> io::Result<()> {
        let mut request = named(name);
        request.ifr_ifru.ifru_mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
        ioctl(
            self.socket.as_fd(),
            libc::SIOCSIFMTU as libc::Ioctl,
            &mut request,
        )
    }
    fn flags(&self, name: &str) -> io::Result<libc::c_short> {
        let mut request = named(name);
        ioctl(
            self.socket.as_fd(),
            libc::SIOCGIFFLAGS as libc::Ioctl,
            &mut request,
        )?;
        // SAFETY: SIOCGIFFLAGS answers in this field; it is an integer, for which all bits are a value.
        Ok(unsafe { request.ifr_ifru.ifru_flags })
    }
    pub(crate) fn is_up(&self, name: &str) -> io::Result<bool> {
        Ok(self.flags(name)? & libc::IFF_UP as libc::c_short != 0)
    }
    pub(crate) fn bring_up(&self, name: &str) -> io::Result<()> {
        let mut request = named(name);
        request.ifr_ifru.ifru_flags = self.flags(name)? | libc::IFF_UP as libc::c_short;
        ioctl(
            self.socket.as_fd(),
            libc::SIOCSIFFLAGS as libc::Ioctl,
            &mut request,
        )
    }
}
