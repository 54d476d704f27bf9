//! Layer 4: TCP, UDP, UDP-Lite, ICMP echo and raw sockets, and who gets what (demultiplexing, port allocation).
pub mod echo;
mod endpoints;
pub mod family;
pub mod ports;
pub mod raw;
pub mod readiness;
pub mod strangers;
pub mod tcp;
pub mod udp;

use core::net::{IpAddr, SocketAddr};

use heptad_wire::Chunk;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;

use crate::l1_physical::PortId;
use crate::l3_network::{
    Arrival, Departure, EchoError, Flow, IcmpError, NetError, Reply, Told, Up,
};
use crate::{Counter, Cx, DropReason, Instant, Rng};
use echo::Echo;
use family::Family;
use ports::PortSpace;
use raw::Raw;
use readiness::{Owner, Ready, SocketError};
use strangers::Strangers;
use tcp::Tcp;
use udp::{Reported, Udp, UdpId};

/// The transport protocols of one host.
pub struct Transport {
    /// TCP.
    pub tcp: Tcp,
    /// UDP.
    pub udp: Udp,
    /// UDP-Lite.
    pub udp_lite: Udp,
    /// ICMP echo.
    pub echo: Echo,
    /// Raw sockets.
    pub raw: Raw,
    /// Who speaks to addresses of others through this host.
    pub strangers: Strangers,
    /// Who holds which TCP port.
    pub tcp_ports: PortSpace,
    /// Who holds which UDP port.
    pub udp_ports: PortSpace,
    /// Who holds which UDP-Lite port.
    pub udp_lite_ports: PortSpace,
    /// Who holds which identifier of echo requests.
    pub echo_ids: PortSpace,
    /// Whose turn it is to send when both want to.
    udp_first: bool,
    echo_first: bool,
    lite_first: bool,
}
impl Transport {
    /// Without sockets. Secrets are drawn from `cx.rng`.
    pub fn new(config: tcp::Config, cx: &mut Cx<'_>) -> Self {
        // Only programs of this host choose identifiers: no secret is needed, and no chance is taken from the others.
        let mut own = Rng::from_seed([0; 32]);
        let tcp = Tcp::new(config, cx);
        let udp = Udp::new(cx.rng);
        let tcp_ports = PortSpace::new(cx.rng);
        let udp_ports = PortSpace::new(cx.rng);
        Self {
            udp_lite: udp.lite(),
            udp_lite_ports: udp_ports.beside(),
            tcp,
            udp,
            tcp_ports,
            udp_ports,
            echo: Echo::new(&mut own),
            raw: Raw::default(),
            strangers: Strangers::default(),
            echo_ids: PortSpace::new(&mut own),
            udp_first: false,
            echo_first: false,
            lite_first: false,
        }
    }
    /// Whose an endpoint is: UDP or UDP-Lite.
    pub fn udp_of(&self, id: UdpId) -> &Udp {
        match id.is_lite() {
            true => &self.udp_lite,
            false => &self.udp,
        }
    }
    /// The same, to change it.
    pub fn udp_of_mut(&mut self, id: UdpId) -> &mut Udp {
        match id.is_lite() {
            true => &mut self.udp_lite,
            false => &mut self.udp,
        }
    }
    /// A datagram for this host. `route` finds the way back to an address.
    pub fn receive(
        &mut self,
        arrival: Arrival,
        route: tcp::WayBack<'_>,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        match arrival.protocol {
            protocol::TCP => self.tcp.receive(arrival, route, cx),
            protocol::UDP => self.udp.receive(arrival, cx),
            protocol::UDP_LITE => self.udp_lite.receive(arrival, cx),
            protocol::ICMP if arrival.dst.is_ipv4() => self.echo.receive(arrival, cx),
            next_header::ICMPV6 if arrival.dst.is_ipv6() => self.echo.receive(arrival, cx),
            _ => {
                cx.count(match arrival.dst {
                    IpAddr::V4(_) => Counter::IpInUnknownProtos,
                    IpAddr::V6(_) => Counter::Ip6InUnknownProtos,
                });
                //= rfc1122#3.2.2.1
                //# A host SHOULD generate Destination Unreachable messages with code: 2 (Protocol Unreachable)
                let reply = (!arrival.group).then_some(Reply::ProtocolUnreachable);
                Up::Drop(DropReason::UnknownProtocol, reply)
            }
        }
    }
    /// The network said no to something we sent; `told` is who said it in which words, `None`: this host had no way.
    /// Refused if it names nothing that a socket here has sent (RFC 5927 4).
    pub fn unreachable(
        &mut self,
        flow: Flow,
        error: NetError,
        told: Option<Told>,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let by_raw = self.raw_hears(&flow, net_error(error), is_hard(error), (&told, None), cx);
        let heard = match flow.protocol {
            protocol::TCP => self.tcp.unreachable(flow, error, cx),
            protocol::UDP => self.udp.unreachable(flow, error, told, cx),
            protocol::UDP_LITE => self.udp_lite.unreachable(flow, error, told, cx),
            _ if EchoError::is_about(&flow) => {
                let message = IcmpError::undelivered(flow.remote.ip(), error);
                let told = told.unwrap_or(Told::unsent(&flow, message));
                self.echo.failed(EchoError::about(&flow, told), cx)
            }
            _ => Err(DropReason::IcmpNoFlow),
        };
        heard_by_either(heard, by_raw)
    }
    /// Somebody says what became of an echo request.
    pub fn echo_failed(&mut self, error: EchoError, cx: &mut Cx<'_>) -> Result<(), DropReason> {
        let by_raw = self.raw.is_open() && {
            let of = match error.local {
                IpAddr::V4(_) => protocol::ICMP,
                IpAddr::V6(_) => next_header::ICMPV6,
            };
            let hard = error.net_error().is_some_and(is_hard);
            let local = error.local;
            let reported = Reported::from(echo::Reported {
                error: error.clone(),
                at: cx.now,
            });
            self.raw.failed((local, of), &reported, |_| hard)
        };
        heard_by_either(self.echo.failed(error, cx), by_raw)
    }
    /// Raw sockets of the protocol hear of errors, too.
    fn raw_hears(
        &mut self,
        flow: &Flow,
        error: SocketError,
        hard: bool,
        (told, mtu): (&Option<Told>, Option<u32>),
        cx: &mut Cx<'_>,
    ) -> bool {
        if !self.raw.is_open() {
            return false;
        }
        let reported = Reported {
            error,
            remote: SocketAddr::new(flow.remote.ip(), 0),
            told: told.clone(),
            mtu,
            at: cx.now,
        };
        let from = (flow.local.ip(), flow.protocol);
        self.raw.failed(from, &reported, |_| hard)
    }
    /// A smaller MTU on the way (RFC 1191, 8201). UDP leaves fragmenting to layer 3. Refused if nothing of ours was really
    /// sent that way (RFC 5927).
    pub fn path_mtu(
        &mut self,
        flow: Flow,
        mtu: u32,
        told: Option<Told>,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let error = SocketError::MessageTooLong;
        let by_raw = self.raw_hears(&flow, error, true, (&told, Some(mtu)), cx);
        match flow.protocol {
            // What a raw socket may have sent proves nothing of the way: only these learn it.
            protocol::TCP => self.tcp.path_mtu(flow, mtu, cx),
            protocol::UDP => self.udp.path_mtu(flow, mtu, told, cx),
            protocol::UDP_LITE => self.udp_lite.path_mtu(flow, mtu, told, cx),
            _ if EchoError::is_about(&flow) => {
                let message = echo::too_long(flow.remote.ip(), mtu);
                let told = told.unwrap_or(Told::unsent(&flow, message));
                self.echo.failed(EchoError::about(&flow, told), cx)
            }
            _ => heard_by_either(Err(DropReason::IcmpNoFlow), by_raw),
        }
    }
    /// Whether somebody here handles a protocol, but for raw sockets.
    pub fn handles(&self, ip: IpAddr, number: u8) -> bool {
        let ported = matches!(number, protocol::TCP | protocol::UDP | protocol::UDP_LITE);
        ported || number == Family::from(ip).icmp()
    }
    /// Timers that are due.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.tcp.on_timeout(cx);
    }
    /// When the next timer is due. O(1).
    pub fn poll_at(&self) -> Option<Instant> {
        self.tcp.poll_at()
    }
    /// The next packet that a connection or socket wants to send by this port. Streams and datagrams take turns.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<Departure> {
        self.udp_first = !self.udp_first;
        if self.udp_first {
            let departure = self.poll_datagram(port);
            departure.or_else(|| self.tcp.poll_transmit(port, cx))
        } else {
            let departure = self.tcp.poll_transmit(port, cx);
            departure.or_else(|| self.poll_datagram(port))
        }
    }
    /// So do UDP and echo among themselves.
    fn poll_datagram(&mut self, port: PortId) -> Option<Departure> {
        self.echo_first = !self.echo_first;
        if self.echo_first {
            let departure = self.echo.poll_transmit(port);
            departure.or_else(|| self.poll_udp(port))
        } else {
            let departure = self.poll_udp(port);
            departure.or_else(|| self.echo.poll_transmit(port))
        }
    }
    fn poll_udp(&mut self, port: PortId) -> Option<Departure> {
        self.lite_first = !self.lite_first;
        let [first, second] = match self.lite_first {
            true => [&mut self.udp_lite, &mut self.udp],
            false => [&mut self.udp, &mut self.udp_lite],
        };
        let departure = first.poll_transmit(port);
        departure.or_else(|| second.poll_transmit(port))
    }
    /// Whether `poll_transmit` has something for this port. O(1).
    pub fn wants_transmit(&self, port: PortId) -> bool {
        self.tcp.wants_transmit(port)
            || self.udp.wants_transmit(port)
            || self.udp_lite.wants_transmit(port)
            || self.echo.wants_transmit(port)
            || self.raw.wants_transmit(port)
    }
    /// An endpoint whose readiness may have changed since it was last taken from here.
    pub fn poll_ready(&mut self) -> Option<(Owner, Ready)> {
        let stream = self.tcp.poll_ready();
        stream
            .or_else(|| self.udp.poll_ready())
            .or_else(|| self.udp_lite.poll_ready())
            .or_else(|| self.echo.poll_ready())
            .or_else(|| self.raw.poll_ready())
    }
}

/// The unspecified address of the same family.
pub(crate) fn any_of(addr: IpAddr) -> IpAddr {
    Family::from(addr).any()
}

/// What a program is told of it.
pub(crate) fn net_error(error: NetError) -> SocketError {
    match error {
        NetError::NetUnreachable => SocketError::NetworkUnreachable,
        NetError::HostUnreachable | NetError::Prohibited | NetError::TimeExceeded => {
            SocketError::HostUnreachable
        }
        NetError::ProtocolUnreachable => SocketError::NoProtocolOption,
        NetError::PortUnreachable => SocketError::ConnectionRefused,
        NetError::ParameterProblem => SocketError::Protocol,
        NetError::Broadcast | NetError::Denied => SocketError::AccessDenied,
        NetError::Family => SocketError::FamilyNotSupported,
    }
}

/// An error that a raw socket heard of was about something, whoever else knows nothing of it.
fn heard_by_either(heard: Result<(), DropReason>, by_raw: bool) -> Result<(), DropReason> {
    match heard {
        Err(DropReason::IcmpNoFlow) if by_raw => Ok(()),
        heard => heard,
    }
}

/// What is final: an endpoint with a peer hears of it without IP_RECVERR too (Linux's icmp_err_convert, roughly).
pub(crate) fn is_hard(error: NetError) -> bool {
    matches!(
        error,
        NetError::PortUnreachable
            | NetError::ProtocolUnreachable
            | NetError::Prohibited
            | NetError::Denied
            | NetError::ParameterProblem
    )
}

/// Whether a connection of these ends exists, for the port space.
pub(crate) fn in_use(tcp: &Tcp) -> impl Fn(SocketAddr, SocketAddr) -> bool + '_ {
    |local, remote| tcp.in_use(local, remote)
}

/// Copies what there is room for; how many bytes those were.
fn copy_out(chunks: &[Chunk], out: &mut [u8]) -> usize {
    let mut copied = 0;
    for chunk in chunks {
        let room = out.get_mut(copied..).unwrap_or_default();
        let part = room.len().min(chunk.len());
        room[..part].copy_from_slice(&chunk.bytes()[..part]);
        copied += part;
    }
    copied
}
