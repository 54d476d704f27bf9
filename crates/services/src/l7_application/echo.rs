//! Echo (RFC 862): what comes goes back.
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use heptad_runtime::{Node, TcpListener, TcpStream, run_is_over};

/// Serves every client in a thread of its own, until the run is over.
pub fn server(node: &Node, port: u16, out: &mut dyn Write) -> io::Result<u8> {
    let listener = TcpListener::bind(node, (node.any_address(), port))?;
    writeln!(out, "echo-server: listening at {}", listener.local_addr()?)?;
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if run_is_over(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        // A socket of IPv6 tells IPv4 peers as `::ffff:a.b.c.d`.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        writeln!(out, "echo-server: {peer} came")?;
        node.network()
            .spawn(&format!("echo {peer}"), move || echo(stream));
    }
}

/// Sends everything back until the client ends; then ends too.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let taken = stream.read(&mut buffer)?;
        if taken == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(buffer.get(..taken).unwrap_or_default())?;
    }
}

/// Sends each text as a line, one after the other, and prints what comes back. 1: something else came back.
pub fn client(
    node: &Node,
    host: &str,
    port: u16,
    texts: &[String],
    out: &mut dyn Write,
) -> io::Result<u8> {
    let mut stream = TcpStream::connect(node, (host, port))?;
    let mut exit = 0;
    for text in texts {
        let line = format!("{text}\n").into_bytes();
        stream.write_all(&line)?;
        let mut answer = vec![0; line.len()];
        stream.read_exact(&mut answer)?;
        if answer != line {
            exit = 1;
        }
        write!(out, "echo-client: {}", String::from_utf8_lossy(&answer))?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(if rest.is_empty() { exit } else { 1 })
}
