//! Requests of rtnetlink(7): interfaces, addresses, routes, rules.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use heptad_runtime::stack::wire::MacAddr;

use crate::host::netlink::message::{ACK, ERROR, REQUEST, Reply, messages, word};

/// Of a request: what is not there is made, and what is there is an error (`NLM_F_CREATE`, `NLM_F_EXCL`).
const NEW: u16 = 0x600;
/// Attributes of `linux/if_link.h`, `if_addr.h`, `rtnetlink.h`, `neighbour.h`, `fib_rules.h` and `veth.h`.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const TO_TABLE: u8 = 1;
const VETH_INFO_PEER: u16 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// The table of what the loopback's cable carries.
const OUTWARD: u8 = 100;
/// Nobody: the loopback's packets are for whoever is at the end of its cable (RFC 3927 reserves the address).
const FAR_END: Ipv4Addr = Ipv4Addr::new(169, 254, 255, 254);

/// A socket in the namespace in which it was opened.
pub(super) struct Routes {
    socket: OwnedFd,
}

impl Routes {
    pub(super) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: plain integers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        super::kernel::checked(fd)?;
        // SAFETY: the descriptor is new and ours.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { socket })
    }

    /// A pair of interfaces, the far one in another namespace.
    pub(super) fn make_pair(&self, near: &str, far: &str, namespace: RawFd) -> io::Result<()> {
        let far = Reply::new(0, &[&link(0, 0)])
            .with_text(IFLA_IFNAME, far)
            .with_word(libc::IFLA_NET_NS_FD, namespace.cast_unsigned());
        let peer = Reply::new(0, &[]).with(VETH_INFO_PEER, far.body());
        let info = Reply::new(0, &[])
            .with_text(libc::IFLA_INFO_KIND, "veth")
            .with(libc::IFLA_INFO_DATA, peer.body());
        let request = Reply::new(libc::RTM_NEWLINK, &[&link(0, 0)])
            .with_text(IFLA_IFNAME, near)
            .with(libc::IFLA_LINKINFO, info.body());
        self.ask(&request, NEW)
    }

    /// Brings an interface up, with this address and MTU; 0 leaves that as it is.
    pub(super) fn set_link(&self, name: &str, mac: Option<MacAddr>, mtu: u32) -> io::Result<()> {
        let up = libc::IFF_UP.cast_unsigned();
        let mut request =
            Reply::new(libc::RTM_NEWLINK, &[&link(up, up)]).with_text(IFLA_IFNAME, name);
        if let Some(mac) = mac {
            request = request.with(IFLA_ADDRESS, &mac.0);
        }
        if mtu > 0 {
            request = request.with_word(IFLA_MTU, mtu);
        }
        self.ask(&request, 0)
    }

    /// An address; those of IPv6 are not asked for first.
    pub(super) fn add_address(&self, name: &str, address: IpAddr, len: u8) -> io::Result<()> {
        let index = index(name)?.to_ne_bytes();
        let flags = if address.is_ipv6() {
            libc::IFA_F_NODAD as u8
        } else {
            0
        };
        let fixed = [family(address), len, flags, libc::RT_SCOPE_UNIVERSE];
        let bytes = octets(address);
        let mut request = Reply::new(libc::RTM_NEWADDR, &[&fixed, &index])
            .with(IFA_LOCAL, &bytes)
            .with(IFA_ADDRESS, &bytes);
        if let (IpAddr::V4(ip), true) = (address, len < 31) {
            let broadcast = ip.to_bits() | (u32::MAX >> len);
            request = request.with(IFA_BROADCAST, &broadcast.to_be_bytes());
        }
        self.ask(&request, NEW)
    }

    /// The way to everybody else.
    pub(super) fn add_gateway(&self, name: &str, gateway: IpAddr) -> io::Result<()> {
        let request = route(family(gateway), 0, libc::RT_TABLE_MAIN, 0)
            .with(libc::RTA_GATEWAY, &octets(gateway))
            .with_word(libc::RTA_OIF, index(name)?);
        self.ask(&request, NEW)
    }

    /// What this node sends to 127.0.0.0/8 goes out by an interface, to its own link address.
    pub(super) fn lead_loopback_out(&self, name: &str, mac: MacAddr) -> io::Result<()> {
        let index = index(name)?;
        let state = libc::NUD_PERMANENT.to_ne_bytes();
        let fixed = [
            &[family(FAR_END.into()), 0, 0, 0][..],
            &index.to_ne_bytes(),
            &state,
            &[0, 0],
        ];
        let neighbour = Reply::new(libc::RTM_NEWNEIGH, &fixed)
            .with(libc::NDA_DST, &FAR_END.octets())
            .with(libc::NDA_LLADDR, &mac.0);
        self.ask(&neighbour, NEW)?;
        let loopback = Ipv4Addr::new(127, 0, 0, 0);
        let on_link = RTNH_F_ONLINK;
        let outward = route(family(loopback.into()), 8, OUTWARD, on_link)
            .with(libc::RTA_DST, &loopback.octets())
            .with(libc::RTA_GATEWAY, &FAR_END.octets())
            .with(libc::RTA_PREFSRC, &Ipv4Addr::LOCALHOST.octets())
            .with_word(libc::RTA_OIF, index);
        self.ask(&outward, NEW)?;
        // What the node itself sends comes in by `lo`, in the words of rules.
        let from_here = rule(libc::RTM_NEWRULE, OUTWARD, 1).with_text(FRA_IIFNAME, "lo");
        self.ask(&from_here, NEW)?;
        self.ask(&rule(libc::RTM_NEWRULE, libc::RT_TABLE_LOCAL, 2), NEW)?;
        self.ask(&rule(libc::RTM_DELRULE, libc::RT_TABLE_LOCAL, 0), 0)
    }

    /// Sends a request and takes the kernel's word on it.
    fn ask(&self, request: &Reply, flags: u16) -> io::Result<()> {
        let bytes = request.as_request(flags | REQUEST | ACK);
        rustix::io::write(&self.socket, &bytes)?;
        let mut answer = [0; 4096];
        let length = rustix::io::read(&self.socket, &mut answer)?;
        let mut said = messages(answer.get(..length).unwrap_or_default());
        let errno = said
            .find(|message| message.header.kind == ERROR)
            .and_then(|message| word(message.body, 0));
        match errno.map(u32::cast_signed) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// `struct ifinfomsg`: any interface, these flags of these.
fn link(flags: u32, of: u32) -> Vec<u8> {
    let [flags, of] = [flags, of].map(u32::to_ne_bytes);
    [&[0; 8][..], &flags, &of].concat()
}

/// `struct rtmsg`: a route to a prefix of so many bits.
fn route(family: u8, len: u8, table: u8, flags: u32) -> Reply {
    let (scope, kind) = (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
    let fixed = [family, len, 0, 0, table, libc::RTPROT_STATIC, scope, kind];
    Reply::new(libc::RTM_NEWROUTE, &[&fixed, &flags.to_ne_bytes()])
}

/// `struct fib_rule_hdr`: all of IPv4 is looked up in a table.
fn rule(request: u16, table: u8, priority: u32) -> Reply {
    let fixed = [
        libc::AF_INET as u8,
        0,
        0,
        0,
        table,
        0,
        0,
        TO_TABLE,
        0,
        0,
        0,
        0,
    ];
    Reply::new(request, &[&fixed])
        .with_word(FRA_TABLE, table.into())
        .with_word(FRA_PRIORITY, priority)
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The number of an interface of the namespace that this process is in.
fn index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a NUL-terminated string, alive across the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
