//! What a workload needs of two hosts on one cable, so that each stack does the same work.
use anyhow::{Result, bail, ensure};

/// Which of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that listens.
    Server,
}

/// The cable, alike for every stack.
#[derive(Clone, Copy, Debug)]
pub struct Cable {
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// The hosts speak IPv6.
    pub ipv6: bool,
    /// TCP checksums are filled by the sender and verified by the receiver.
    pub checksums: bool,
    /// Every frame is written out into bytes of its own and read in from them, as a device would ask for.
    pub copied: bool,
    /// Send and receive buffer of a socket, bytes; a stack whose buffers grow by themselves takes it as their bound.
    pub buffer: usize,
}
impl Cable {
    /// Ethernet as most know it.
    pub const ETHERNET: Self = Self {
        mtu: 1500,
        ipv6: false,
        checksums: true,
        copied: false,
        buffer: 256 * 1024,
    };
}

/// Frames that one host may send before the other one has its turn.
pub const BURST: usize = 64;
/// Virtual time that one direction takes, microseconds.
pub const STEP_MICROS: u64 = 10;

/// Two hosts on a cable, in virtual time. Nothing blocks.
pub trait Pair: Sized {
    /// A connection's two ends.
    type Conn: Copy;
    /// Two hosts that know each other's hardware address.
    fn new(cable: &Cable) -> Result<Self>;
    /// Opens a connection; both ends are established then.
    fn connect(&mut self) -> Result<Self::Conn>;
    /// Opens so many more, each of which has exchanged one message and then stays silent.
    fn connect_idle(&mut self, count: usize, message: &[u8]) -> Result<()> {
        for _ in 0..count {
            let conn = self.connect()?;
            crate::exchange::one(self, conn, message)?;
        }
        self.settle()
    }
    /// Whether neither host has anything to send in the next second.
    fn is_quiet(&mut self) -> bool;
    /// Lets time pass until no acknowledgement is delayed any more: it would come in the middle of what is measured.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..SETTLING {
            if self.is_quiet() {
                return Ok(());
            }
            self.round()?;
        }
        bail!("the hosts are not silent after {SETTLING} rounds")
    }
    /// How many bytes one end took; 0 if there is no room.
    fn send(&mut self, side: Side, conn: Self::Conn, data: &[u8]) -> Result<usize>;
    /// How many bytes one end gave; 0 if there are none.
    fn recv(&mut self, side: Side, conn: Self::Conn, out: &mut [u8]) -> Result<usize>;
    /// Closes both ends, the client's first, and lets the network forget them as far as the stack does.
    fn close(&mut self, conn: Self::Conn) -> Result<()>;
    /// One host sends what it has, at most a burst, and the other one receives it. If that is nothing, as `round`.
    fn turn(&mut self, from: Side) -> Result<()>;
    /// Each host sends what it has, at most a burst; time moves, to the next timer if nothing was sent.
    fn round(&mut self) -> Result<()>;
    /// Flips the last bit of the next frame that the client sends with at least so many bytes.
    #[cfg(test)]
    fn damage_next(&mut self, least: usize);
}

/// Rounds without any progress before a workload gives up.
pub const PATIENCE: u32 = 100;

/// Rounds until hosts must have fallen silent.
const SETTLING: u32 = 100_000;

/// Counts rounds in which nothing came.
#[derive(Default)]
pub struct Patience(u32);
impl Patience {
    /// A round is over; whether it brought something.
    pub fn round(&mut self, progress: bool) -> Result<()> {
        self.0 = if progress { 0 } else { self.0 + 1 };
        ensure!(
            self.0 < PATIENCE,
            "no byte arrived in {PATIENCE} rounds: the transfer stands still"
        );
        Ok(())
    }
}
