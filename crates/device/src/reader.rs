//! Frames out of the kernel, as packets.
use std::io;

use heptad_stack::wire::{PacketBuf, Pool};

use crate::vnet_header::{Frame, LEN, VnetHeader};
use crate::{Interface, Kind};

/// The virtio header, an Ethernet header with two tags, the longest IP packet: one of IPv6, whose length counts no header.
const LONGEST: usize = LEN + 22 + 40 + 65_535;

/// Reads frames and makes packets of them; keeps what it needs for that between reads.
pub struct Reader {
    pool: Pool,
    buffer: Vec<u8>,
}
impl Reader {
    /// Packets are numbered as made by this machine.
    pub fn new(origin: u32) -> Self {
        Self {
            pool: Pool::new(origin),
            buffer: Vec::new(),
        }
    }
    /// The next frame; `None` when nothing waits. Bytes of the kernel are not trusted: what it says of a packet is checked
    /// against it, and a read too short for its own header gives an empty packet.
    pub fn read(&mut self, from: &Interface) -> io::Result<Option<PacketBuf>> {
        self.buffer.clear();
        self.buffer.reserve(LONGEST);
        if from.read_into(&mut self.buffer)? == 0 {
            return Ok(None);
        }
        let ethernet = from.kind() != Kind::Tun;
        Ok(Some(self.packet(ethernet)))
    }
    /// A packet of what was read.
    fn packet(&mut self, ethernet: bool) -> PacketBuf {
        let Some((header, _)) = self.buffer.split_first_chunk::<LEN>() else {
            return self.pool.packet();
        };
        let header = VnetHeader::parse(header);
        // A short frame must not pin the whole buffer.
        let bytes = if self.buffer.len() < LONGEST / 4 {
            self.buffer.as_slice().to_vec()
        } else {
            core::mem::take(&mut self.buffer)
        };
        header.packet(Frame::new(bytes, LEN), ethernet, &mut self.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> PacketBuf {
        let mut reader = Reader::new(1);
        reader.buffer = Vec::with_capacity(LONGEST);
        reader.buffer.extend_from_slice(bytes);
        reader.packet(true)
    }

    #[test]
    fn a_read_shorter_than_its_own_header_is_an_empty_packet() {
        for len in 0..=LEN {
            assert_eq!(read(&vec![0xff; len]).len(), 0, "{len}");
        }
        assert_eq!(read(&[0; LEN + 60]).len(), 60);
    }

    #[test]
    fn a_short_frame_does_not_pin_the_buffer() {
        let short = read(&[0; 100]);
        assert!(short.true_size() < 1000, "{}", short.true_size());
        let long = read(&[0; 60_000]);
        assert!(long.true_size() >= LONGEST, "{}", long.true_size());
    }
}
