//! What every story needs: a lab, sockets, and time that moves.
#![allow(dead_code, reason = "each test file uses its own part")]
use std::net::SocketAddr;

use heptad_lab::stack::time::Duration;
use heptad_lab::stack::{EventMask, Family, Instant, SocketError, SocketId, SocketKind};
use heptad_lab::{Lab, LabOptions, MachineId, Outcome, Topology};

/// A socket on a machine.
pub type End = (MachineId, SocketId);

pub struct Story {
    pub lab: Lab,
}

pub fn options(seed: u64) -> LabOptions {
    LabOptions {
        seed,
        event_hash: true,
        observe: true,
        events: EventMask::ALL,
    }
}
pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
pub fn seconds(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

impl Story {
    pub fn new(topology: &Topology, options: LabOptions) -> Self {
        let lab = Lab::new(topology, options).expect("a lab");
        Self { lab }
    }
    /// A lab file without its timeline.
    pub fn chat(text: &str, options: LabOptions) -> Self {
        let mut topology = Topology::parse(text, "chat.toml").expect("a good file");
        topology.changes.clear();
        Self::new(&topology, options)
    }
    pub fn socket(&mut self, node: &str, kind: SocketKind) -> End {
        let machine = self.lab.machine(node).expect("a node of this name");
        let open = |stack: &mut heptad_lab::stack::Stack| stack.socket(Family::V4, kind);
        (
            machine,
            self.lab
                .with(machine, |stack, _| open(stack))
                .expect("a socket"),
        )
    }
    pub fn bind(&mut self, end: End, port: u16) {
        let local = SocketAddr::from(([0, 0, 0, 0], port));
        let bound = self
            .lab
            .with(end.0, |stack, cx| stack.bind(end.1, local, cx));
        bound.expect("a free port");
    }
    pub fn udp(&mut self, node: &str, port: u16) -> End {
        let end = self.socket(node, SocketKind::Datagram);
        self.bind(end, port);
        end
    }
    pub fn send_to(&mut self, from: End, bytes: &[u8], to: &str) {
        let to = to.parse().expect("an address and a port");
        let sent = self
            .lab
            .with(from.0, |stack, cx| stack.send_to(from.1, bytes, to, cx));
        assert_eq!(sent, Ok(bytes.len()));
    }
    pub fn receive(&mut self, at: End) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = vec![0; 65_536];
        match self
            .lab
            .with(at.0, |stack, cx| stack.recv_from(at.1, &mut buffer, cx))
        {
            Ok((len, _, from)) => Some((buffer[..len].to_vec(), from)),
            Err(SocketError::WouldBlock) => None,
            Err(other) => panic!("{other}"),
        }
    }
    pub fn run_for(&mut self, time: Duration) {
        let outcome = self.lab.run_until(self.lab.now() + time, false, u64::MAX);
        assert!(
            matches!(outcome, Outcome::Idle | Outcome::Reached),
            "{outcome:?}"
        );
    }
    /// A stream socket that listens on a port.
    pub fn listen(&mut self, node: &str, port: u16) -> End {
        let end = self.socket(node, SocketKind::Stream);
        self.bind(end, port);
        let heard = self
            .lab
            .with(end.0, |stack, cx| stack.listen(end.1, 128, cx));
        heard.expect("a listener");
        end
    }
    /// Begins to connect.
    pub fn connect(&mut self, node: &str, to: &str) -> End {
        let end = self.socket(node, SocketKind::Stream);
        let to = to.parse().expect("an address and a port");
        let begun = self
            .lab
            .with(end.0, |stack, cx| stack.connect(end.1, to, cx));
        assert_eq!(begun, Err(SocketError::InProgress));
        end
    }
    /// The next connection; lets time pass until it is there.
    pub fn accept(&mut self, listener: End, limit: Instant) -> End {
        loop {
            match self
                .lab
                .with(listener.0, |stack, cx| stack.accept(listener.1, cx))
            {
                Ok((socket, _)) => return (listener.0, socket),
                Err(SocketError::WouldBlock) => self.until_ready(limit),
                Err(other) => panic!("{other}"),
            }
        }
    }
    /// Lets time pass until some socket is ready.
    pub fn until_ready(&mut self, limit: Instant) {
        while self.lab.poll_ready().is_some() {}
        let outcome = self.lab.run_until(limit, true, u64::MAX);
        assert_eq!(outcome, Outcome::Ready, "at {:?}", self.lab.now());
    }
    /// Sends what the socket takes; how many bytes.
    pub fn send(&mut self, from: End, bytes: &[u8]) -> usize {
        match self
            .lab
            .with(from.0, |stack, cx| stack.send(from.1, bytes, cx))
        {
            Ok(taken) => taken,
            Err(SocketError::WouldBlock) => 0,
            Err(other) => panic!("{other}"),
        }
    }
    /// What is there; `None` at the end of the stream.
    pub fn recv<'b>(&mut self, at: End, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        match self
            .lab
            .with(at.0, |stack, cx| stack.recv(at.1, buffer, cx))
        {
            Ok(0) => None,
            Ok(len) => Some(&buffer[..len]),
            Err(SocketError::WouldBlock) => Some(&[]),
            Err(other) => panic!("{other}"),
        }
    }
    pub fn close(&mut self, end: End) {
        self.lab.with(end.0, |stack, cx| stack.close(end.1, cx));
    }
}
