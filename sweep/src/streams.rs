//! Endless streams in a lab: who sends always has more, who receives takes all that comes.
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::stack::l5_session::SocketOption;
use heptad_lab::stack::{Family, Instant, Ready, SocketError, SocketId, SocketKind};
use heptad_lab::{Lab, MachineId, Outcome};

/// What is given to a socket at once.
const BLOCK: usize = 64 * 1024;
/// A lab that stands still is noticed after so many looks at one instant.
const PATIENCE: u32 = 100_000;

/// A socket on a machine.
type End = (MachineId, SocketId);

/// One stream.
pub struct Stream {
    sender: End,
    receiver: Option<End>,
    port: u16,
    listener: End,
    /// Bytes that arrived.
    pub arrived: u64,
}

/// All streams of a lab.
pub struct Streams {
    /// The lab.
    pub lab: Lab,
    /// In the order of their beginning.
    pub all: Vec<Stream>,
    block: Bytes,
}

impl Streams {
    /// None yet.
    pub fn new(lab: Lab) -> Self {
        Self {
            lab,
            all: Vec::new(),
            block: Bytes::from(vec![0x5a; BLOCK]),
        }
    }
    /// One more begins to connect, from `from` to `to`.
    pub fn begin(&mut self, from: &str, to: &str, congestion: Congestion) -> Result<()> {
        let port = u16::try_from(5001 + self.all.len()).context("too many streams")?;
        let address = self.lab.resolve(to).with_context(|| to.to_owned())?;
        let listener = self.listen(to, port)?;
        let sender = self.socket(from)?;
        let (machine, id) = sender;
        let begun = self.lab.with(machine, |stack, cx| {
            stack.set(id, SocketOption::Congestion(congestion), cx)?;
            stack.connect(id, SocketAddr::new(address, port), cx)
        });
        ensure!(begun == Err(SocketError::InProgress), "connect: {begun:?}");
        self.all.push(Stream {
            sender,
            receiver: None,
            port,
            listener,
            arrived: 0,
        });
        Ok(())
    }
    /// Lets all of them go on for `time`.
    pub fn run(&mut self, time: Duration) -> Result<()> {
        let limit = self.lab.now() + time;
        let (mut at, mut looks) = (Instant::ZERO, 0);
        while self.lab.now() < limit {
            looks = if self.lab.now() > at { 0 } else { looks + 1 };
            at = self.lab.now();
            ensure!(looks < PATIENCE, "the lab stands still at {at:?}");
            self.serve_all()?;
            if let Outcome::Stalled(machines) = self.lab.run_until(limit, true, u64::MAX) {
                bail!("{machines:?} never let time move");
            }
            while self.lab.poll_ready().is_some() {}
        }
        Ok(())
    }
    /// Gives and takes what there is room for.
    pub fn serve_all(&mut self) -> Result<()> {
        (0..self.all.len()).try_for_each(|index| self.serve(index))
    }
    /// Share of a stream's segments with text that were sent more than once.
    #[cfg(test)]
    pub fn sent_again(&self, index: usize) -> f64 {
        let (machine, id) = self.all[index].sender;
        let stack = self.lab.stack(machine).expect("a host");
        let info = stack.tcp_info(id, self.lab.now()).expect("a connection");
        f64::from(info.total_retrans) / f64::from(info.data_segs_out)
    }
    fn serve(&mut self, index: usize) -> Result<()> {
        let Self { lab, all, block } = self;
        let stream = &mut all[index];
        if stream.receiver.is_none() {
            let (machine, id) = stream.listener;
            match lab.with(machine, |stack, cx| stack.accept(id, cx)) {
                Ok((socket, _)) => stream.receiver = Some((machine, socket)),
                Err(SocketError::WouldBlock) => {}
                Err(error) => bail!("accept at port {}: {error}", stream.port),
            }
        }
        let (machine, id) = stream.sender;
        let stack = lab.stack(machine);
        // Once there is room it is filled, as by a program that waits in write(2).
        let mut fills = stack.is_some_and(|stack| stack.ready(id).contains(Ready::WRITABLE));
        while fills {
            match lab.with(machine, |stack, cx| stack.send_bytes(id, block.clone(), cx)) {
                Ok(()) => {}
                Err(SocketError::WouldBlock) => fills = false,
                Err(error) => bail!("send to port {}: {error}", stream.port),
            }
        }
        let Some((machine, id)) = stream.receiver else {
            return Ok(());
        };
        loop {
            match lab.with(machine, |stack, cx| stack.recv_bytes(id, BLOCK, cx)) {
                Ok(bytes) if bytes.is_empty() => bail!("port {}: the stream ended", stream.port),
                Ok(bytes) => stream.arrived += bytes.len() as u64,
                Err(SocketError::WouldBlock) => return Ok(()),
                Err(error) => bail!("receive at port {}: {error}", stream.port),
            }
        }
    }
    fn listen(&mut self, node: &str, port: u16) -> Result<End> {
        let (machine, id) = self.socket(node)?;
        let all = SocketAddr::from(([0, 0, 0, 0], port));
        self.lab.with(machine, |stack, cx| {
            stack.bind(id, all, cx)?;
            stack.listen(id, 1, cx)
        })?;
        Ok((machine, id))
    }
    fn socket(&mut self, node: &str) -> Result<End> {
        let machine = self.lab.machine(node).with_context(|| node.to_owned())?;
        let open =
            |stack: &mut heptad_lab::stack::Stack| stack.socket(Family::V4, SocketKind::Stream);
        let id = self.lab.with(machine, |stack, _| open(stack))?;
        Ok((machine, id))
    }
}
