//! Two hosts of Heptad's stack on a cable.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use heptad_stack::l4_transport::tcp;
use heptad_stack::wire::{MacAddr, PacketBuf, Pool, Sum};
use heptad_stack::{
    Caps, Counters, Cx, DropReason, EventLog, Instant, Medium, PortConfig, PortId, Rng,
    SocketError, SocketId, SocketKind, Stack, StackConfig,
};

use crate::pair::{BURST, Cable, Pair, Patience, STEP_MICROS, Side};

/// The hosts' numbers.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const SERVICE: u16 = 7;
/// Virtual time between two connections: in the minute of a TIME-WAIT, fewer are opened than there are ephemeral ports.
const BETWEEN_CONNECTIONS: Duration = Duration::from_millis(3);

/// The address of a host on this cable.
fn address(number: u8, cable: &Cable) -> IpAddr {
    match cable.ipv6 {
        false => Ipv4Addr::new(10, 0, 0, number).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

/// One host and what it borrows for each call.
pub struct Host {
    pub stack: Stack,
    rng: Rng,
    pub pool: Pool,
    events: EventLog,
    counters: Counters,
    pub port: PortId,
}

/// Both hosts.
pub struct Ours {
    now: Instant,
    client: Host,
    server: Host,
    listener: SocketId,
    cable: Cable,
    frames: Vec<PacketBuf>,
    verdicts: Vec<Result<(), DropReason>>,
    #[cfg(test)]
    damage: Option<usize>,
}

impl Host {
    /// The host of this number on one end of the cable.
    pub fn new(number: u8, cable: &Cable) -> Result<Self> {
        let mut rng = Rng::from_seed([number; 32]);
        let mut pool = Pool::new(u32::from(number));
        let (mut events, mut counters) = (EventLog::default(), Counters::default());
        let buffer = u32::try_from(cable.buffer).context("a buffer of over 4 GiB")?;
        let defaults = tcp::Config::default();
        let config = StackConfig {
            tcp: tcp::Config {
                // half of the memory is window
                rmem: (defaults.rmem.0, 2 * buffer),
                wmem: (defaults.wmem.0, buffer),
                ..defaults
            },
            ..StackConfig::default()
        };
        let mut stack = Stack::new(
            config,
            &mut Cx {
                now: Instant::ZERO,
                rng: &mut rng,
                pool: &mut pool,
                events: &mut events,
                counters: &mut counters,
            },
        );
        let port = stack.add_port(PortConfig {
            name: "eth0".into(),
            medium: Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, number])),
            mtu: u32::try_from(cable.mtu)?,
            caps: Caps {
                super_segments: cable.mtu > 1500,
                unfilled_sums: !cable.checksums,
            },
            queue_limit: 1000,
        });
        let len = if cable.ipv6 { 64 } else { 24 };
        stack.add_address(port, address(number, cable), len)?;
        Ok(Self {
            stack,
            rng,
            pool,
            events,
            counters,
            port,
        })
    }
    /// A verb at this time.
    pub fn with<R>(&mut self, now: Instant, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let Self {
            stack,
            rng,
            pool,
            events,
            counters,
            ..
        } = self;
        let mut cx = Cx {
            now,
            rng,
            pool,
            events,
            counters,
        };
        verb(stack, &mut cx)
    }
    /// Frames that it wants to send, at most a burst.
    pub fn burst(&mut self, now: Instant, frames: &mut Vec<PacketBuf>) {
        let port = self.port;
        self.with(now, |stack, cx| {
            while frames.len() < BURST
                && let Some(frame) = stack.poll_transmit(port, cx)
            {
                frames.push(frame);
            }
        });
    }
}

impl Ours {
    /// The frames of one direction; how many there were.
    fn carry(&mut self, from: Side) -> usize {
        self.now += Duration::from_micros(STEP_MICROS);
        let (sender, receiver) = match from {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        };
        sender.burst(self.now, &mut self.frames);
        let count = self.frames.len();
        for frame in &mut self.frames {
            if self.cable.copied {
                let mut bytes = Vec::with_capacity(frame.len());
                frame.write_to(&mut bytes);
                let other = receiver.pool.from_bytes(bytes.into());
                sender.pool.recycle(std::mem::replace(frame, other));
            } else if self.cable.checksums {
                // The receiver knows nothing of what the sender computed.
                frame.set_sum(Sum::Unverified);
            }
        }
        #[cfg(test)]
        self.hurt(from);
        let Self {
            frames, verdicts, ..
        } = self;
        let receiver = match from {
            Side::Client => &mut self.server,
            Side::Server => &mut self.client,
        };
        let port = receiver.port;
        receiver.with(self.now, |stack, cx| {
            stack.receive_batch(port, frames, verdicts, cx);
            if stack.poll_at().is_some_and(|at| at <= cx.now) {
                stack.on_timeout(cx);
            }
        });
        verdicts.clear();
        // Packets go back to where they are made, or each of them would be a new one.
        let (receiver, sender) = match from {
            Side::Client => (&mut self.server, &mut self.client),
            Side::Server => (&mut self.client, &mut self.server),
        };
        receiver.pool.balance(&mut sender.pool);
        while receiver.stack.poll_ready().is_some() {}
        count
    }
    #[cfg(test)]
    fn hurt(&mut self, from: Side) {
        let (Some(least), Side::Client) = (self.damage, from) else {
            return;
        };
        if let Some(at) = self.frames.iter().position(|f| f.len() >= least) {
            let frame = self.frames.remove(at);
            let last = frame.len() as u32 * 8 - 1;
            let mut frame = frame.corrupt(last);
            if !self.cable.checksums {
                // nobody looks: as memory that went bad
                frame.set_sum(Sum::Verified);
            }
            self.frames.insert(at, frame);
            self.damage = None;
        }
    }
    fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let mut patience = Patience::default();
        loop {
            if let Some(found) = done(self) {
                return Ok(found);
            }
            self.round()?;
            patience.round(false)?;
        }
    }
}

/// The two handles of a connection.
#[derive(Clone, Copy)]
pub struct Conn {
    client: SocketId,
    server: SocketId,
}
impl Conn {
    fn end(self, side: Side) -> SocketId {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

impl Pair for Ours {
    type Conn = Conn;

    fn new(cable: &Cable) -> Result<Self> {
        let client = Host::new(CLIENT, cable)?;
        let mut server = Host::new(SERVER, cable)?;
        let at = SocketAddr::new(address(SERVER, cable), SERVICE);
        let listener = server.stack.socket(at.ip(), SocketKind::Stream)?;
        server.with(Instant::ZERO, |stack, cx| {
            stack.bind(listener, at, cx)?;
            stack.listen(listener, 16, cx)
        })?;
        Ok(Self {
            now: Instant::ZERO,
            client,
            server,
            listener,
            cable: *cable,
            frames: Vec::new(),
            verdicts: Vec::new(),
            #[cfg(test)]
            damage: None,
        })
    }

    fn connect(&mut self) -> Result<Conn> {
        let remote = SocketAddr::new(address(SERVER, &self.cable), SERVICE);
        let client = self.client.stack.socket(remote.ip(), SocketKind::Stream)?;
        let now = self.now;
        let begun = self
            .client
            .with(now, |stack, cx| stack.connect(client, remote, cx));
        ensure!(begun == Err(SocketError::InProgress), "connect: {begun:?}");
        let listener = self.listener;
        let (server, _) = self.until(|pair| {
            let now = pair.now;
            let accepted = pair
                .server
                .with(now, |stack, cx| stack.accept(listener, cx));
            accepted.ok()
        })?;
        let answer = self
            .client
            .with(self.now, |stack, cx| stack.connect(client, remote, cx));
        answer.context("the client's end")?;
        Ok(Conn { client, server })
    }

    fn send(&mut self, side: Side, conn: Conn, data: &[u8]) -> Result<usize> {
        let now = self.now;
        let socket = conn.end(side);
        match self
            .host(side)
            .with(now, |stack, cx| stack.send(socket, data, cx))
        {
            Err(SocketError::WouldBlock) => Ok(0),
            taken => Ok(taken?),
        }
    }

    fn recv(&mut self, side: Side, conn: Conn, out: &mut [u8]) -> Result<usize> {
        let now = self.now;
        let socket = conn.end(side);
        match self
            .host(side)
            .with(now, |stack, cx| stack.recv(socket, out, cx))
        {
            Err(SocketError::WouldBlock) => Ok(0),
            Ok(0) => bail!("the stream ended early"),
            given => Ok(given?),
        }
    }

    fn close(&mut self, conn: Conn) -> Result<()> {
        let (client, server) = (conn.client, conn.server);
        self.client
            .with(self.now, |stack, cx| stack.close(client, cx));
        self.until(|pair| {
            let status = pair.server.stack.tcp_status(server)?;
            (status.state == tcp::State::CloseWait).then_some(())
        })?;
        self.server
            .with(self.now, |stack, cx| stack.close(server, cx));
        self.round()?;
        self.now += BETWEEN_CONNECTIONS;
        Ok(())
    }

    fn is_quiet(&mut self) -> bool {
        let (a, b) = (self.client.stack.poll_at(), self.server.stack.poll_at());
        let soon = self.now + Duration::from_secs(1);
        [a, b].into_iter().flatten().all(|at| at > soon)
    }

    fn turn(&mut self, from: Side) -> Result<()> {
        if self.carry(from) == 0 {
            self.round()?;
        }
        Ok(())
    }

    fn round(&mut self) -> Result<()> {
        let carried = self.carry(Side::Client) + self.carry(Side::Server);
        if carried == 0 {
            let (a, b) = (self.client.stack.poll_at(), self.server.stack.poll_at());
            let next = [a, b].into_iter().flatten().min();
            self.now = self.now.max(next.unwrap_or(self.now));
        }
        Ok(())
    }

    #[cfg(test)]
    fn damage_next(&mut self, least: usize) {
        self.damage = Some(least);
    }
}
