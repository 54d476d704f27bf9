//! `heptad capture`
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::print_json;
use crate::args::Capture;
use crate::control::Ask;
use crate::control::client::Client;
use crate::failure::Failure;

/// How often a silent capture looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// How long the lab may take to end it.
const LAST: Duration = Duration::from_secs(5);

/// Kinds of blocks of a pcapng file.
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Writes what the lab sends, block by block, so that the file is whole whenever it ends.
pub fn capture(capture: &Capture, json: bool) -> Result<u8, Failure> {
    let to_stdout = capture.write == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "a capture is no text for a terminal: -w FILE, or | tshark -r -",
        ));
    }
    let client = Client::find(capture.lab.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (ours, theirs) = UnixStream::pair()?;
    let ask = Ask::Capture {
        links: capture.links.clone(),
        nodes: capture.nodes.clone(),
    };
    client.ask_with_channel(&ask, theirs.into())?;
    let out: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout())
    } else {
        let path = &capture.write;
        let file = File::create(path)
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        Box::new(io::BufWriter::new(file))
    };
    let mut blocks = Blocks {
        out,
        most: capture.count.unwrap_or(u64::MAX),
        frames: 0,
        missed: None,
    };
    let until = capture
        .seconds
        .map(|s| Instant::now() + Duration::from_secs(s));
    receive(ours, &mut blocks, &stop, until)?;
    tell(&blocks, to_stdout, json)
}

/// Reads to the end, which is asked for after so many frames, at `until`, or when told to stop.
fn receive(
    mut lab: UnixStream,
    blocks: &mut Blocks,
    stop: &AtomicBool,
    until: Option<Instant>,
) -> Result<(), Failure> {
    lab.set_read_timeout(Some(LOOK))?;
    let (mut waiting, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let mut ending = None;
    loop {
        let now = Instant::now();
        let enough = blocks.frames >= blocks.most
            || stop.load(Ordering::Relaxed)
            || until.is_some_and(|until| now >= until);
        match ending {
            None if enough => {
                lab.shutdown(Shutdown::Write)?;
                ending = Some(now + LAST);
            }
            Some(last) if now > last => return Ok(()),
            _ => {}
        }
        match lab.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                waiting.extend_from_slice(&chunk[..len]);
                let whole = blocks.take(&waiting)?;
                waiting.drain(..whole);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn tell(blocks: &Blocks, to_stdout: bool, json: bool) -> Result<u8, Failure> {
    let (frames, missed) = (blocks.frames, blocks.missed);
    if json && !to_stdout {
        print_json(&serde_json::json!({ "frames": frames, "missed": missed }))?;
        return Ok(0);
    }
    eprintln!("{frames} frames captured");
    match missed {
        Some(0) => {}
        Some(missed) => {
            eprintln!("{missed} frames missed: they came faster than they could be written");
        }
        None => eprintln!("the lab ended first: how many frames were missed is not known"),
    }
    Ok(0)
}

/// The blocks of a pcapng file on their way.
struct Blocks {
    out: Box<dyn Write>,
    most: u64,
    frames: u64,
    /// Told by the lab at the end.
    missed: Option<u64>,
}
impl Blocks {
    /// Writes the whole blocks at the beginning of `bytes`, but for frames beyond the count; returns their length.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + 8) {
            let word = |i| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
            let (kind, len) = (word(0), word(4) as usize);
            let Some(block) = bytes.get(at..at + len.max(12)) else {
                break;
            };
            at += block.len();
            match kind {
                PACKET if self.frames >= self.most => continue,
                PACKET => self.frames += 1,
                STATISTICS => self.missed = Some(missed(block)),
                _ => {}
            }
            self.out.write_all(block)?;
        }
        self.out.flush()?;
        Ok(at)
    }
}

/// The one option of the lab's statistics: code and length, then the number.
fn missed(block: &[u8]) -> u64 {
    let number = block
        .get(24..32)
        .and_then(|number| number.first_chunk::<8>());
    number.map_or(0, |number| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with this kind and body.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes(), &len, body, &len].concat()
    }

    #[test]
    fn only_whole_blocks_are_written_and_frames_beyond_the_count_are_not() {
        let (head, frame) = (block(0x0a0d_0d0a, &[0; 16]), block(PACKET, &[0; 20]));
        let statistics = block(
            STATISTICS,
            &[&[0; 12][..], &[5, 0, 8, 0, 7], &[0; 11]].concat(),
        );
        let whole = [head, frame.clone(), frame, statistics].concat();
        for cut in 0..=whole.len() {
            let mut blocks = Blocks {
                out: Box::new(io::sink()),
                most: 1,
                frames: 0,
                missed: None,
            };
            let first = blocks.take(&whole[..cut]).expect("a sink");
            assert!(first <= cut);
            let rest = blocks.take(&whole[first..]).expect("a sink");
            assert_eq!(first + rest, whole.len());
            assert_eq!((blocks.frames, blocks.missed), (1, Some(7)), "cut at {cut}");
        }
    }
}
