//! Two hosts of smoltcp 0.14 on a cable.
use std::collections::VecDeque;

use anyhow::{Result, anyhow, ensure};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::{Socket, tcp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::pair::{BURST, Cable, Pair, Patience, STEP_MICROS, Side};

const SERVER: IpAddress = IpAddress::v4(10, 0, 0, 2);
const SERVICE: u16 = 7;
const ETHERNET: usize = 14;

/// One end of the cable: frames in buffers that are used again.
struct Port {
    mtu: usize,
    checksums: bool,
    received: VecDeque<Frame>,
    sent: VecDeque<Frame>,
    current: Frame,
    free: Vec<Frame>,
}
/// A buffer as long as the longest frame, and how much of it is one.
#[derive(Default)]
struct Frame {
    bytes: Vec<u8>,
    len: usize,
}

impl Device for Port {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Space<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = self.mtu + ETHERNET;
        caps.checksum = ChecksumCapabilities::default();
        if !self.checksums {
            caps.checksum.tcp = Checksum::None;
        }
        caps
    }
    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Space<'_>)> {
        let frame = self.received.pop_front()?;
        self.free.push(std::mem::replace(&mut self.current, frame));
        let space = Space {
            mtu: self.mtu,
            sent: &mut self.sent,
            free: &mut self.free,
        };
        Some((Received(&self.current), space))
    }
    fn transmit(&mut self, _: Instant) -> Option<Space<'_>> {
        (self.sent.len() < BURST).then_some(Space {
            mtu: self.mtu,
            sent: &mut self.sent,
            free: &mut self.free,
        })
    }
}

/// A frame that came.
struct Received<'a>(&'a Frame);
impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0.bytes[..self.0.len])
    }
}

/// Room for a frame that leaves.
struct Space<'a> {
    mtu: usize,
    sent: &'a mut VecDeque<Frame>,
    free: &'a mut Vec<Frame>,
}
impl phy::TxToken for Space<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = self.free.pop().unwrap_or_default();
        let longest = self.mtu + ETHERNET;
        if frame.bytes.len() < longest {
            frame.bytes.resize(longest, 0);
        }
        frame.len = len;
        let written = write(&mut frame.bytes[..len]);
        self.sent.push_back(frame);
        written
    }
}

/// One host.
struct Host {
    interface: Interface,
    port: Port,
    sockets: SocketSet<'static>,
    /// The program did something since the last poll.
    touched: bool,
}
impl Host {
    fn new(number: u8, cable: &Cable) -> Result<Self> {
        let mut port = Port {
            mtu: cable.mtu,
            checksums: cable.checksums,
            received: VecDeque::new(),
            sent: VecDeque::new(),
            current: Frame::default(),
            free: Vec::new(),
        };
        let address = EthernetAddress([2, 0, 0, 0, 0, number]);
        let mut config = Config::new(HardwareAddress::Ethernet(address));
        config.random_seed = u64::from(number);
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        let mut full = false;
        interface.update_ip_addrs(|addresses| {
            let address = IpCidr::new(IpAddress::v4(10, 0, 0, number), 24);
            full = addresses.push(address).is_err();
        });
        ensure!(!full, "smoltcp has no room for an address");
        Ok(Self {
            interface,
            port,
            sockets: SocketSet::new(Vec::new()),
            touched: false,
        })
    }
    fn poll(&mut self, now: Instant) {
        self.touched = false;
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }
}

/// Both hosts.
pub struct Smoltcp {
    now: Instant,
    client: Host,
    server: Host,
    buffer: usize,
    next_port: u16,
    /// Closed sockets, to be used again with their buffers.
    spare: Vec<tcp::Socket<'static>>,
    #[cfg(test)]
    damage: Option<usize>,
}

impl Smoltcp {
    fn socket(&mut self) -> tcp::Socket<'static> {
        self.spare.pop().unwrap_or_else(|| {
            let buffer = || tcp::SocketBuffer::new(vec![0; self.buffer]);
            tcp::Socket::new(buffer(), buffer())
        })
    }
    fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
    /// The frames of one direction; how many there were.
    fn carry(&mut self, from: Side) -> usize {
        self.now += Duration::from_micros(STEP_MICROS);
        let now = self.now;
        if self.host(from).touched {
            self.host(from).poll(now);
        }
        #[cfg(test)]
        self.hurt(from);
        let (sender, receiver) = match from {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        };
        let count = sender.port.sent.len();
        receiver.port.received.append(&mut sender.port.sent);
        receiver.poll(self.now);
        // Buffers go back to where frames are made, or each answer would ask for a new one.
        let surplus = receiver
            .port
            .free
            .len()
            .saturating_sub(sender.port.free.len())
            / 2;
        let keep = receiver.port.free.len() - surplus;
        sender.port.free.extend(receiver.port.free.drain(keep..));
        count
    }
    #[cfg(test)]
    fn hurt(&mut self, from: Side) {
        let (Some(least), Side::Client) = (self.damage, from) else {
            return;
        };
        let mut sent = self.client.port.sent.iter_mut();
        if let Some(frame) = sent.find(|frame| frame.len >= least) {
            frame.bytes[frame.len - 1] ^= 1;
            self.damage = None;
        }
    }
    /// Opens a connection while the other sockets look on from elsewhere: smoltcp asks each of them about each frame.
    fn open(&mut self) -> Result<(SocketHandle, SocketHandle)> {
        let (mut client, mut server) = (self.socket(), self.socket());
        server
            .listen(SERVICE)
            .map_err(|error| anyhow!("listen: {error}"))?;
        self.next_port = if self.next_port == u16::MAX {
            32_768
        } else {
            self.next_port + 1
        };
        let context = self.client.interface.context();
        client
            .connect(context, (SERVER, SERVICE), self.next_port)
            .map_err(|error| anyhow!("connect: {error}"))?;
        let ends = (
            self.client.sockets.add(client),
            self.server.sockets.add(server),
        );
        self.client.poll(self.now);
        let mut patience = Patience::default();
        while !(self.client.sockets.get::<tcp::Socket>(ends.0).may_send()
            && self.server.sockets.get::<tcp::Socket>(ends.1).may_send())
        {
            self.round()?;
            patience.round(false)?;
        }
        Ok(ends)
    }
}

/// Takes a closed socket out of its set.
fn take(host: &mut Host, handle: SocketHandle) -> Option<tcp::Socket<'static>> {
    match host.sockets.remove(handle) {
        Socket::Tcp(socket) => Some(socket),
        _ => None,
    }
}

/// The two handles of a connection.
#[derive(Clone, Copy)]
pub struct Conn {
    client: SocketHandle,
    server: SocketHandle,
}
impl Conn {
    fn end(self, side: Side) -> SocketHandle {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

impl Pair for Smoltcp {
    type Conn = Conn;

    fn new(cable: &Cable) -> Result<Self> {
        Ok(Self {
            now: Instant::ZERO,
            client: Host::new(1, cable)?,
            server: Host::new(2, cable)?,
            buffer: cable.buffer,
            next_port: 32_768,
            spare: Vec::new(),
            #[cfg(test)]
            damage: None,
        })
    }

    fn connect(&mut self) -> Result<Conn> {
        let (client, server) = self.open()?;
        Ok(Conn { client, server })
    }

    fn connect_idle(&mut self, count: usize, message: &[u8]) -> Result<()> {
        let idle = || SocketSet::new(Vec::with_capacity(count));
        let (mut clients, mut servers) = (idle(), idle());
        for _ in 0..count {
            let conn = self.connect()?;
            crate::exchange::one(self, conn, message)?;
            let Conn { client, server } = conn;
            clients.add(self.client.sockets.remove(client));
            servers.add(self.server.sockets.remove(server));
        }
        self.client.sockets = clients;
        self.server.sockets = servers;
        self.settle()
    }

    fn send(&mut self, side: Side, conn: Conn, data: &[u8]) -> Result<usize> {
        let host = self.host(side);
        let socket = host.sockets.get_mut::<tcp::Socket>(conn.end(side));
        host.touched = true;
        socket
            .send_slice(data)
            .map_err(|error| anyhow!("send: {error}"))
    }

    fn recv(&mut self, side: Side, conn: Conn, out: &mut [u8]) -> Result<usize> {
        let host = self.host(side);
        let socket = host.sockets.get_mut::<tcp::Socket>(conn.end(side));
        host.touched = true;
        socket
            .recv_slice(out)
            .map_err(|error| anyhow!("recv: {error}"))
    }

    fn close(&mut self, conn: Conn) -> Result<()> {
        let Conn { client, server } = conn;
        self.client.sockets.get_mut::<tcp::Socket>(client).close();
        self.client.poll(self.now);
        let mut patience = Patience::default();
        while self.server.sockets.get::<tcp::Socket>(server).state() != tcp::State::CloseWait {
            self.round()?;
            patience.round(false)?;
        }
        self.server.sockets.get_mut::<tcp::Socket>(server).close();
        self.server.poll(self.now);
        self.round()?;
        self.round()?;
        // Its TIME-WAIT would keep the socket for ten seconds: it ends here.
        for socket in [
            take(&mut self.client, client),
            take(&mut self.server, server),
        ] {
            let mut socket = socket.ok_or_else(|| anyhow!("smoltcp gave another socket back"))?;
            socket.abort();
            self.spare.push(socket);
        }
        Ok(())
    }

    fn is_quiet(&mut self) -> bool {
        let soon = self.now + Duration::from_secs(1);
        [&mut self.client, &mut self.server]
            .into_iter()
            .all(|host| {
                let at = host.interface.poll_at(self.now, &host.sockets);
                host.port.sent.is_empty() && at.is_none_or(|at| at > soon)
            })
    }

    fn turn(&mut self, from: Side) -> Result<()> {
        if self.carry(from) == 0 {
            self.round()?;
        }
        Ok(())
    }

    fn round(&mut self) -> Result<()> {
        let carried = self.carry(Side::Client) + self.carry(Side::Server);
        if carried == 0 && self.client.port.sent.is_empty() && self.server.port.sent.is_empty() {
            let mut next = None;
            for host in [&mut self.client, &mut self.server] {
                let at = host.interface.poll_at(self.now, &host.sockets);
                next = [next, at].into_iter().flatten().min();
            }
            self.now = self.now.max(next.unwrap_or(self.now));
            self.client.poll(self.now);
            self.server.poll(self.now);
        }
        Ok(())
    }

    #[cfg(test)]
    fn damage_next(&mut self, least: usize) {
        self.damage = Some(least);
    }
}
