//! One interface of the kernel of which we hold the other end.
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use heptad_stack::wire::PacketBuf;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use crate::DeviceError;
use crate::requests::{self, Links};
use crate::vnet_header::{self, VnetHeader};

/// Longest name of an interface, bytes (Linux's IFNAMSIZ, less the zero byte).
pub const MAX_NAME: usize = 15;

const DRIVER: &str = "/dev/net/tun";
/// Linux writes at most so many pieces in one call (IOV_MAX); a packet of more is copied into one.
const MOST_PIECES: usize = 1024;

/// What the kernel's interface carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ethernet frames.
    Tap,
    /// Bare IP packets.
    Tun,
    /// Ethernet frames too, by a packet socket on one end of a pair of interfaces (veth(4)) whose other end is the kernel's.
    Veth,
}
impl fmt::Display for Kind {
    /// As `ip tuntap` and `ip link` spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tap => "tap",
            Self::Tun => "tun",
            Self::Veth => "veth",
        })
    }
}

/// What the kernel may leave to whoever reads its frames. Super-segments need the checksum as well: without it the kernel
/// cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// Transport checksums that are to be filled.
    pub checksum: bool,
    /// Super-segments of TCP over IPv4.
    pub tso4: bool,
    /// Super-segments of TCP over IPv6.
    pub tso6: bool,
}
impl Offloads {
    /// Frames as on a wire: cut and filled.
    pub const NONE: Self = Self {
        checksum: false,
        tso4: false,
        tso6: false,
    };
    /// All that a packet of ours can say.
    pub const ALL: Self = Self {
        checksum: true,
        tso4: true,
        tso6: true,
    };
    fn bits(self) -> u32 {
        let Self {
            checksum,
            tso4,
            tso6,
        } = self;
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        flag(checksum, libc::TUN_F_CSUM)
            | flag(tso4, libc::TUN_F_TSO4)
            | flag(tso6, libc::TUN_F_TSO6)
    }
}

/// Why [`Interface::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// The kernel has frames, or news of its end: read.
    pub readable: bool,
    /// Somebody called [`Interface::wake`].
    pub called: bool,
}

/// The other end of an interface of the kernel. All verbs take `&self`: one thread may read while another writes. When it
/// is dropped, an interface that was made here goes; one that was there before stays.
#[derive(Debug)]
pub struct Interface {
    name: String,
    kind: Kind,
    /// The driver's file, or a packet socket.
    tun: OwnedFd,
    call: OwnedFd,
}

impl Interface {
    /// Attaches to the interface of this name in the process's network namespace; makes it if there is none, which only
    /// an administrator may. Nothing is left to us at first ([`Offloads::NONE`]).
    pub fn attach(kind: Kind, name: &str) -> Result<Self, DeviceError> {
        check_name(name)?;
        let mode = match kind {
            Kind::Tap => libc::IFF_TAP,
            Kind::Tun => libc::IFF_TUN,
            Kind::Veth => return Self::listen(name),
        };
        let tun = open_driver()?;
        let flags = mode | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let existed = Links::open().and_then(|links| links.mtu(name)).is_ok();
        requests::set_interface(tun.as_fd(), name, flags)
            .map_err(|error| refused(kind, name, existed, error))?;
        let other = |doing| {
            move |error| DeviceError::Refused {
                name: name.to_owned(),
                doing,
                error,
            }
        };
        requests::set_header_len(tun.as_fd(), vnet_header::LEN as i32)
            .map_err(other("length of the virtio header"))?;
        let interface = Self::adopt(kind, name, tun)?;
        interface.set_offloads(Offloads::NONE)?;
        Ok(interface)
    }
    /// A packet socket on an interface that is there, which frames come out of as on a wire.
    fn listen(name: &str) -> Result<Self, DeviceError> {
        let socket = requests::packet_socket(name).map_err(|error| DeviceError::Refused {
            name: name.to_owned(),
            doing: "packet socket",
            error,
        })?;
        Self::adopt(Kind::Veth, name, socket)
    }
    /// The other end that somebody else attached to, in whichever network namespace, and handed over: see
    /// [`Interface::into_file`].
    pub fn adopt(kind: Kind, name: &str, file: OwnedFd) -> Result<Self, DeviceError> {
        let call = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let call = call.map_err(|errno| DeviceError::Refused {
            name: name.to_owned(),
            doing: "eventfd",
            error: errno.into(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            tun: file,
            call,
        })
    }
    /// What is to be handed to another process.
    pub fn into_file(self) -> OwnedFd {
        self.tun
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// TAP or TUN.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Gives it the cable's MTU (bytes of an IP packet) and brings it up; what is so already needs no permission.
    pub fn bring_up(&self, mtu: u32) -> Result<(), DeviceError> {
        let name = || self.name.clone();
        let other = |doing| {
            move |error| DeviceError::Refused {
                name: name(),
                doing,
                error,
            }
        };
        let links = Links::open().map_err(other("socket"))?;
        let is = links.mtu(&self.name).map_err(other("MTU"))?;
        if is != mtu {
            links.set_mtu(&self.name, mtu).map_err(|error| {
                let (name, wanted) = (name(), mtu);
                match error.kind() {
                    io::ErrorKind::PermissionDenied => DeviceError::Mtu { name, is, wanted },
                    _ => other("change of the MTU")(error),
                }
            })?;
        }
        if links.is_up(&self.name).map_err(other("state"))? {
            return Ok(());
        }
        links
            .bring_up(&self.name)
            .map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => DeviceError::Down(name()),
                _ => other("bringing it up")(error),
            })
    }
    /// Says what the kernel may leave to us from now on; frames that wait to be read stay as they are. Who made a pair of
    /// interfaces has told the kernel's end to cut and fill, and it stays so.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<(), DeviceError> {
        if self.kind == Kind::Veth {
            return Ok(());
        }
        requests::set_offloads(self.tun.as_fd(), offloads.bits()).map_err(|error| {
            DeviceError::Refused {
                name: self.name.clone(),
                doing: "offloads",
                error,
            }
        })
    }
    /// Sleeps until there is something to read or somebody calls.
    pub fn wait(&self) -> io::Result<Woken> {
        let mut fds = [
            PollFd::new(&self.tun, PollFlags::IN),
            PollFd::new(&self.call, PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let [readable, called] = fds.map(|fd| !fd.revents().is_empty());
        if called {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.call, &mut count); // empty already: another thread took it
        }
        Ok(Woken { readable, called })
    }
    /// Ends a [`Interface::wait`], the present or the next one.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.call, &1u64.to_ne_bytes()); // full: it is called already
    }
    /// Writes one packet, whole or not at all, with what is known of its checksum and cut. `EIO`: the interface is down;
    /// `EINVAL`: the kernel does not take it.
    pub fn write(&self, packet: &PacketBuf) -> io::Result<()> {
        let header = VnetHeader::of(packet).emit();
        if packet.body().len() + 2 > MOST_PIECES {
            let mut whole = header.to_vec();
            whole.extend_from_slice(packet.head());
            for chunk in packet.body() {
                whole.extend_from_slice(chunk.bytes());
            }
            return self.write_pieces(&[IoSlice::new(&whole)]);
        }
        let mut pieces = Vec::with_capacity(packet.body().len() + 2);
        pieces.push(IoSlice::new(&header));
        pieces.push(IoSlice::new(packet.head()));
        let chunks = packet.body().iter();
        pieces.extend(chunks.map(|chunk| IoSlice::new(chunk.bytes())));
        self.write_pieces(&pieces)
    }
    fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match rustix::io::writev(&self.tun, pieces) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
    /// One read: bytes appended to `buffer` within its capacity; 0 when nothing waits.
    pub(crate) fn read_into(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.tun, rustix::buffer::spare_capacity(buffer)) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                other => return Ok(other?),
            }
        }
    }
}

/// Whether this process can open the driver of TAP and TUN, for `heptad doctor`. An interface that is there already can
/// then be attached to by its owner; making one needs an administrator.
pub fn usable() -> Result<(), DeviceError> {
    open_driver().map(drop)
}

fn open_driver() -> Result<OwnedFd, DeviceError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DRIVER);
    match file {
        Ok(file) => Ok(file.into()),
        Err(error) => {
            let missing = matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)
            );
            Err(match missing {
                true => DeviceError::NoDriver,
                false => DeviceError::Driver(error),
            })
        }
    }
}

/// As Linux's `dev_valid_name`, and `%`, which would ask for a number in its place.
fn check_name(name: &str) -> Result<(), DeviceError> {
    let bad = |byte: u8| matches!(byte, b'/' | b':' | b'%' | 0) || byte.is_ascii_whitespace();
    let fits = (1..=MAX_NAME).contains(&name.len());
    if !fits || matches!(name, "." | "..") || name.bytes().any(bad) {
        return Err(DeviceError::Name(name.to_owned()));
    }
    Ok(())
}

/// Why TUNSETIFF failed.
fn refused(kind: Kind, name: &str, existed: bool, error: io::Error) -> DeviceError {
    let name = name.to_owned();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if existed => DeviceError::NotOwner { kind, name },
        Some(libc::EPERM | libc::EACCES) => DeviceError::MayNotMake { kind, name },
        Some(libc::EBUSY) => DeviceError::Busy(name),
        Some(libc::EINVAL) if existed => DeviceError::OtherKind { kind, name },
        _ => DeviceError::Refused {
            name,
            doing: "attaching",
            error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_the_kernel_is_asked() {
        for (name, good) in [
            ("heptad0", true),
            ("a", true),
            ("fifteen-letters", true),
            ("sixteen--letters", false),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("tap:a", false),
            ("tap%d", false),
            ("a b", false),
            ("a\0", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_told_apart() {
        let why = |errno, existed| {
            let error = io::Error::from_raw_os_error(errno);
            refused(Kind::Tap, "t0", existed, error).to_string()
        };
        for (errno, existed, text) in [
            (
                libc::EPERM,
                false,
                "not permitted to make the tap interface t0",
            ),
            (
                libc::EPERM,
                true,
                "the tap interface t0 belongs to another user",
            ),
            (
                libc::EBUSY,
                true,
                "the interface t0 is in use by another process",
            ),
            (
                libc::EINVAL,
                true,
                "the interface t0 exists and is no tap of one queue",
            ),
        ] {
            assert_eq!(why(errno, existed), text);
        }
        assert!(why(libc::ENOMEM, false).starts_with("interface t0: attaching: "));
    }

    #[test]
    fn offloads_are_the_bits_of_the_driver() {
        assert_eq!(Offloads::NONE.bits(), 0);
        assert_eq!(Offloads::ALL.bits(), 7);
        let ipv4 = Offloads {
            tso6: false,
            ..Offloads::ALL
        };
        assert_eq!(ipv4.bits(), 3);
    }
}
