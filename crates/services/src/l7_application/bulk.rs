//! Many bytes in one direction, and the SHA-256 of both ends.
use std::io::{self, Read, Write};
use std::net::Shutdown;

use heptad_runtime::stack::Rng;
use heptad_runtime::{Node, TcpListener, TcpStream};
use sha2::{Digest, Sha256};

const CHUNK: usize = 64 * 1024;

/// Takes one connection to its end; prints how many bytes came and their SHA-256.
pub fn sink(node: &Node, port: u16, out: &mut dyn Write) -> io::Result<u8> {
    let listener = TcpListener::bind(node, (node.any_address(), port))?;
    let (mut stream, _) = listener.accept()?;
    let (mut hash, mut bytes) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; CHUNK];
    loop {
        let taken = stream.read(&mut buffer)?;
        if taken == 0 {
            break;
        }
        hash.update(buffer.get(..taken).unwrap_or_default());
        bytes += taken as u64;
    }
    report("sink", bytes, hash, out)
}

/// Sends bytes drawn from the lab's seed, waits until the other side has seen the end, prints their SHA-256.
pub fn send(node: &Node, host: &str, port: u16, bytes: u64, out: &mut dyn Write) -> io::Result<u8> {
    let mut stream = TcpStream::connect(node, (host, port))?;
    let mut source = Rng::from_seed(seed(node));
    let (mut hash, mut left) = (Sha256::new(), bytes);
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        for word in buffer.chunks_exact_mut(8) {
            word.copy_from_slice(&source.next_u64().to_le_bytes());
        }
        let now = left.min(CHUNK as u64);
        let chunk = buffer.get(..now as usize).unwrap_or_default();
        hash.update(chunk);
        stream.write_all(chunk)?;
        left -= now;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    report("send", bytes, hash, out)
}

fn seed(node: &Node) -> [u8; 32] {
    let seed = node.network().lab(|lab| lab.seed());
    Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(b"\0bulk")
        .finalize()
        .into()
}
fn report(who: &str, bytes: u64, hash: Sha256, out: &mut dyn Write) -> io::Result<u8> {
    write!(out, "{who}: {bytes} bytes, sha256 ")?;
    for byte in hash.finalize() {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    Ok(0)
}
