//! A host by itself: a stack on one cable without link layer, whose other end is the caller's, and its clock.
use std::collections::VecDeque;
use std::net::IpAddr;

use heptad_stack::l4_transport::tcp;
use heptad_stack::stack::Route;
use heptad_stack::wire::Chunk;
use heptad_stack::{Caps, Cx, EventMask, Instant, Medium, PortConfig, PortId, Stack, StackConfig};

use crate::MachineId;
use crate::machine::{Host, Patience};

/// One that left.
pub struct Sent {
    /// When.
    pub at: Instant,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

/// The stack, its clock, and what left it and was not looked at yet.
pub struct Solo {
    host: Host,
    port: PortId,
    now: Instant,
    /// What left, oldest first.
    pub sent: VecDeque<Sent>,
}

/// How it is made.
#[derive(Clone, Debug)]
pub struct SoloConfig {
    /// Of its TCP.
    pub tcp: tcp::Config,
    /// Its address.
    pub local: IpAddr,
    /// Bits of its network.
    pub prefix_len: u8,
    /// Longest packet, bytes.
    pub mtu: u32,
    /// Whether the cable takes super-segments.
    pub super_segments: bool,
}

impl Solo {
    /// `Err`: an address that no host can have.
    pub fn new(settings: &SoloConfig) -> Result<Self, String> {
        let config = StackConfig {
            tcp: settings.tcp.clone(),
            ..StackConfig::default()
        };
        let mut host = Host::new(1, MachineId(0), "pkt", config, EventMask::NONE);
        let port = host.stack.add_port(PortConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mtu: settings.mtu,
            caps: match settings.super_segments {
                true => Caps::MEMORY,
                false => Caps::FRAMES,
            },
            queue_limit: 1000,
        });
        let local = settings.local;
        let all = match local {
            IpAddr::V4(_) => IpAddr::from([0, 0, 0, 0]),
            IpAddr::V6(_) => IpAddr::from([0_u16; 8]),
        };
        let stack = &mut host.stack;
        stack
            .add_address(port, local, settings.prefix_len)
            .and_then(|()| stack.add_route(Route::to(all, 0, port)))
            .map_err(|error| format!("{local}: {error}"))?;
        let mut under_test = Self {
            host,
            port,
            now: Instant::ZERO,
            sent: VecDeque::new(),
        };
        // What an address begins with (IPv6's questions for duplicates) is over before a script begins.
        under_test.advance(Instant::from_nanos(10_000_000_000));
        under_test.sent.clear();
        Ok(under_test)
    }
    /// Its clock.
    pub fn now(&self) -> Instant {
        self.now
    }
    /// To look at.
    pub fn stack(&self) -> &Stack {
        &self.host.stack
    }
    /// A verb, and what follows from it.
    pub fn with<R>(&mut self, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let result = self.host.with(self.now, verb);
        self.drain();
        result
    }
    /// A packet arrives.
    pub fn receive(&mut self, bytes: &[u8]) {
        let frame = self.host.pool.from_chunk(Chunk::copy_from(bytes));
        let port = self.port;
        // Refused ones are a part of scripts: what comes of them is what is looked at.
        let _ = self.with(|stack, cx| stack.receive(port, frame, cx));
    }
    /// When something is due next.
    pub fn due(&self) -> Option<Instant> {
        self.host.stack.poll_at()
    }
    /// Lets time pass, and what is due happen.
    pub fn advance(&mut self, to: Instant) {
        while let Some(at) = self.due().filter(|at| *at <= to) {
            self.now = self.now.max(at);
            self.drain();
        }
        self.now = self.now.max(to);
    }
    fn drain(&mut self) {
        let mut patience = Patience::default();
        loop {
            let (port, now) = (self.port, self.now);
            while let Some(frame) = self
                .host
                .with(now, |stack, cx| stack.poll_transmit(port, cx))
            {
                self.leave(frame);
            }
            while self.host.stack.poll_ready().is_some() {}
            if self.due().is_none_or(|at| at > now) || patience.is_over(now) {
                return;
            }
            self.host.with(now, |stack, cx| stack.on_timeout(cx));
        }
    }
    fn leave(&mut self, mut frame: heptad_stack::wire::PacketBuf) {
        frame.fill();
        let mut bytes = Vec::with_capacity(frame.len());
        frame.write_to(&mut bytes);
        self.sent.push_back(Sent {
            at: self.now,
            bytes,
        });
        self.host.pool.recycle(frame);
    }
}
